//! Changes of what waits: due rows, claims, spilled parts, unknown attempts, orphans, parked messages.

use bongsu_domain::Status;
use bongsu_domain::id::id_day;

use super::messages;
use super::{Change, Orphan, Standing, Submit, Unknown};
use crate::claims;
use crate::db::dialect::Kind::{Blob, Int, Text};
use crate::db::dialect::Many;
use crate::db::{Value, int};
use crate::error::Error;
use crate::tx::Tx;

static SPILL: Many = Many::new(
    "INSERT OR REPLACE INTO submits (relay, relay_id, id, attempt, part, parts, recipient, deadline)
       VALUES {(v_relay, v_relay_id, v_id, v_attempt, v_part, v_parts, v_recipient, v_deadline)}",
    &[
        ("v_relay", Int),
        ("v_relay_id", Text),
        ("v_id", Int),
        ("v_attempt", Int),
        ("v_part", Int),
        ("v_parts", Int),
        ("v_recipient", Int),
        ("v_deadline", Int),
    ],
);
static UNSPILL: Many = Many::new(
    "DELETE {only mysql: submits }FROM {v, }submits WHERE relay = v_relay AND relay_id = v_relay_id AND id = v_id",
    &[("v_relay", Int), ("v_relay_id", Text), ("v_id", Int)],
);
static UNKNOWN: Many = Many::new(
    "INSERT OR REPLACE INTO unknown_attempts (id, attempt, relay, account, recipient, since, resolved)
       VALUES {(v_id, v_attempt, v_relay, v_account, v_recipient, v_since, 0)}",
    &[("v_id", Int), ("v_attempt", Int), ("v_relay", Int), ("v_account", Int), ("v_recipient", Int), ("v_since", Int)],
);
static RESOLVED: Many = Many::new(
    "UPDATE {v, }unknown_attempts SET resolved = v_at, resolution = v_resolution WHERE id = v_id AND attempt = v_attempt",
    &[("v_at", Int), ("v_resolution", Text), ("v_id", Int), ("v_attempt", Int)],
);
static ORPHAN: Many = Many::new(
    "INSERT OR REPLACE INTO orphan_receipts (seq, relay, relay_id, recipient, reference, status, code, at, raw)
       VALUES {(v_seq, v_relay, v_relay_id, v_recipient, v_reference, v_status, v_code, v_at, v_raw)}",
    &[
        ("v_seq", Int),
        ("v_relay", Int),
        ("v_relay_id", Text),
        ("v_recipient", Int),
        ("v_reference", Int),
        ("v_status", Int),
        ("v_code", Int),
        ("v_at", Int),
        ("v_raw", Blob),
    ],
);
static PARKED: Many = Many::new(
    "INSERT OR REPLACE INTO parked (id, account, at, attempt, lane, reason)
       VALUES {(v_id, v_account, v_at, v_attempt, v_lane, v_reason)}",
    &[("v_id", Int), ("v_account", Int), ("v_at", Int), ("v_attempt", Int), ("v_lane", Int), ("v_reason", Text)],
);

/// Writes changes of which no two are about the same thing.
pub(super) fn write(tx: &mut Tx<'_>, standing: &mut Standing, changes: &[&Change]) -> Result<(), Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let pick = |want: fn(&Change) -> Option<i64>| -> Vec<i64> {
        let mut ids: Vec<i64> = changes.iter().filter_map(|change| want(change)).collect();
        ids.sort_unstable();
        ids
    };
    let due: Vec<_> = changes.iter().filter_map(|c| if let Change::Due(due) = c { Some(*due) } else { None }).collect();
    claims::insert_due(tx.live, &due)?;
    let not_due = pick(|c| if let Change::NotDue(id) = c { Some(*id) } else { None });
    tx.live.delete_in("DELETE FROM due WHERE id", &not_due)?;
    let done = pick(|c| if let Change::ClaimDone(id) = c { Some(*id) } else { None });
    tx.live.delete_in("DELETE FROM claims WHERE id", &done)?;
    let over = pick(|c| if let Change::OrphanDone(seq) = c { Some(*seq) } else { None });
    tx.live.delete_in("DELETE FROM orphan_receipts WHERE seq", &over)?;
    spilled(tx, changes)?;
    unknown(tx, changes)?;
    tx.live.many(
        &ORPHAN,
        changes.iter().filter_map(|c| if let Change::Orphan(seq, o) = c { Some(orphan(*seq, o)) } else { None }),
    )?;
    for change in changes {
        if let Change::Park { .. } = change {
            park(tx, standing, change)?;
        }
    }
    Ok(())
}

fn spilled(tx: &Tx<'_>, changes: &[&Change]) -> Result<(), Error> {
    let spills = changes.iter().filter_map(|c| if let Change::Spill(s) = c { Some(spill(s)) } else { None });
    tx.live.many(&SPILL, spills)?;
    let unspills = changes.iter().filter_map(|c| match c {
        Change::Unspill { relay, relay_id, id } => Some([int(*relay), Value::Text(relay_id), int(*id)]),
        _ => None,
    });
    tx.live.many(&UNSPILL, unspills)?;
    Ok(())
}

fn spill(s: &Submit) -> [Value<'_>; 8] {
    let parts = [int(s.attempt), int(s.part), int(s.parts)];
    [int(s.relay), Value::Text(&s.relay_id), int(s.id), parts[0], parts[1], parts[2], int(s.recipient), int(s.deadline)]
}

fn unknown(tx: &Tx<'_>, changes: &[&Change]) -> Result<(), Error> {
    let unknown = changes.iter().filter_map(|c| match c {
        Change::Unknown(Unknown { id, attempt, relay, account, recipient, since }) => {
            Some([*id, i64::from(*attempt), i64::from(*relay), account.0, *recipient, *since])
        }
        _ => None,
    });
    tx.live.many(&UNKNOWN, unknown)?;
    let resolved = changes.iter().filter_map(|c| match c {
        Change::Resolved { id, attempt, at, resolution } => {
            Some([int(*at), Value::Text(resolution), int(*id), int(*attempt)])
        }
        _ => None,
    });
    tx.live.many(&RESOLVED, resolved)?;
    Ok(())
}

fn orphan(seq: i64, o: &Orphan) -> [Value<'_>; 9] {
    [
        int(seq),
        int(o.relay),
        Value::Text(&o.relay_id),
        int(o.recipient),
        int(o.reference.map_or(-1, i64::from)),
        int(o.status as u8),
        int(o.code.number()),
        int(o.at.micros()),
        Value::Blob(&o.raw),
    ]
}

fn park(tx: &mut Tx<'_>, standing: &mut Standing, change: &Change) -> Result<(), Error> {
    let Change::Park { id, account, attempt, lane, at, reason } = change else { return Ok(()) };
    if messages::stop(tx, standing, *id, *attempt, *at)? {
        tx.day(id_day(*id))?
            .execute("UPDATE messages SET status = ? WHERE id = ? AND status < 10", (Status::Parked as u8, *id))?;
    }
    let row = [int(*id), int(account.0), int(*at), int(*attempt), int(*lane as u8), Value::Text(reason)];
    tx.live.many(&PARKED, [row])?;
    Ok(())
}
