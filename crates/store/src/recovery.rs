//! After a crash: claims that nobody holds any more, staged rows without a request, money that is not booked.

use bongsu_domain::id::id_millis;
use bongsu_domain::map::{IdMap, IdSet};
use bongsu_domain::{Code, Lane, Status, Timestamp};

use crate::accept;
use crate::changes::{self, Attempt, Change, Submit, Unknown};
use crate::claims::{self, Due, DueKind, Left};
use crate::db::Db;
use crate::error::Error;
use crate::files::{self, Layout};
use crate::rows::{self, MessageRow, Outcome};
use crate::tx::Tx;

/// What to do with an attempt whose fate is unknown, by lane and relay: when, and whether to send again.
pub type AfterUnknown = Box<dyn Fn(Lane, u8) -> (std::time::Duration, DueKind) + Send + Sync>;

/// How the fate of attempts is decided at a start.
pub struct Policy {
    /// After an unknown attempt.
    pub after_unknown: AfterUnknown,
    /// How long a submitted message may wait for its receipt.
    pub receipt_deadline: std::time::Duration,
    /// Plain keyed hash of the recipient's number in a sealed message row.
    pub plain_recipient: Box<dyn Fn(&MessageRow) -> i64 + Send + Sync>,
}

/// Settles some claims of incarnations that are not alive. Answers how many were left.
pub(crate) fn settle_claims(tx: &mut Tx<'_>, policy: &Policy, alive: &[i64], limit: u32) -> Result<usize, Error> {
    let left = claims::left_over(tx.live, alive, limit)?;
    for claim in &left {
        let mut ids: Vec<i64> = claim.messages.iter().map(|message| message.id).collect();
        ids.sort_unstable();
        let mut found: IdMap<MessageRow> = rows::by_ids(tx, &ids)?.into_iter().map(|row| (row.id, row)).collect();
        let due = due_among(tx, &ids)?;
        let rows: Vec<_> = claim
            .messages
            .iter()
            .filter_map(|message| found.remove(&message.id).map(|row| (*message, row, due.contains(&message.id))))
            .filter(|(_, row, _)| !row.status.is_final())
            .collect();
        // Read after what is due: whoever took a message off that list in between has its claim in here.
        let is_unsure = rows.iter().any(|(message, row, is_due)| !is_due && !is_waiting(*message, row));
        let claimed = if is_unsure { claims::claimed_since(tx.live, claim.no)? } else { Default::default() };
        let mut todo = Vec::new();
        park_again(tx, claim.lane, &rows, &mut todo)?;
        for (message, row, is_due) in &rows {
            // Otherwise it was put back and waits for its next turn, or another claim has it by now.
            if !is_due && !claimed.contains(&message.id) {
                settle_message(tx, policy, claim.lane, *message, row, &mut todo);
            } else if is_waiting(*message, row) {
                spill(policy, row, &mut todo);
            }
        }
        todo.push(Change::ClaimDone(claim.id));
        changes::apply(tx, &todo)?;
    }
    Ok(left.len())
}

/// Parks what is parked in the file of its day alone, which commits before the list of what is parked: an operator finds
/// it there, and it is not told again.
fn park_again(tx: &Tx<'_>, lane: Lane, rows: &[(Left, MessageRow, bool)], todo: &mut Vec<Change>) -> Result<(), Error> {
    if tx.live.is_mysql() {
        // One database has one commit for both, and an operator may replay what was parked while this looks.
        return Ok(());
    }
    let is_parked = |(left, row, is_due): &&(Left, MessageRow, bool)| {
        row.status == Status::Parked && row.attempt.attempt <= left.attempt && !is_due
    };
    let ids: Vec<i64> = rows.iter().filter(is_parked).map(|(left, ..)| left.id).collect();
    let listed: IdSet =
        tx.live.select_in("SELECT id FROM parked WHERE id", &ids, "", |row| row.get(0))?.into_iter().collect();
    for (left, row, _) in rows.iter().filter(is_parked).filter(|(left, ..)| !listed.contains(&left.id)) {
        todo.push(Change::Park {
            id: left.id,
            account: row.account,
            attempt: left.attempt,
            lane,
            at: tx.now.millis(),
            reason: "it could not be sent; the reason was lost when the process ended".to_string(),
        });
    }
    Ok(())
}

/// Whether the attempt was submitted and waits for its receipt.
fn is_waiting(left: Left, row: &MessageRow) -> bool {
    row.status != Status::Parked
        && row.attempt.attempt == left.attempt
        && matches!(row.attempt.outcome, Some(Outcome::Submitted | Outcome::Uncertain))
}

fn settle_message(tx: &Tx<'_>, policy: &Policy, lane: Lane, left: Left, row: &MessageRow, todo: &mut Vec<Change>) {
    let now = tx.now.millis();
    let outcome = row.attempt.outcome;
    if row.status == Status::Parked || row.attempt.attempt > left.attempt {
        // An operator decides about it, or a later claim does.
    } else if is_waiting(left, row) {
        spill(policy, row, todo);
    } else if row.attempt.attempt < left.attempt && left.relay == claims::ENDS_HERE {
        // It was claimed to be ended, not to be sent: whoever takes it next decides again.
        todo.push(Change::Due(due_now(now, lane, left.id, left.attempt, row)));
    } else if row.attempt.attempt < left.attempt {
        todo.push(Change::Attempt(Attempt {
            id: left.id,
            attempt: left.attempt,
            relay: left.relay,
            relay_id: None,
            outcome: Outcome::Unknown,
            code: Code::VendorTimeout,
            status: Status::Sending,
            claimed: now,
            submitted: None,
            answered: None,
            result: None,
        }));
        unknown(policy, lane, left, row, now, todo);
    } else if outcome == Some(Outcome::Unknown) {
        unknown(policy, lane, left, row, now, todo);
    } else {
        todo.push(Change::Due(due_now(now, lane, left.id, left.attempt + 1, row)));
    }
}

fn due_now(now: i64, lane: Lane, id: i64, attempt: u8, row: &MessageRow) -> Due {
    Due { at: now, id, attempt, kind: DueKind::Send, lane, account: row.account, relay: claims::NO_RELAY }
}

fn unknown(policy: &Policy, lane: Lane, left: Left, row: &MessageRow, now: i64, todo: &mut Vec<Change>) {
    let (wait, kind) = (policy.after_unknown)(lane, left.relay);
    todo.push(Change::Unknown(Unknown {
        id: left.id,
        attempt: left.attempt,
        relay: left.relay,
        account: row.account,
        recipient: (policy.plain_recipient)(row),
        since: now,
    }));
    todo.push(Change::Due(Due {
        at: now + wait.as_millis() as i64,
        id: left.id,
        attempt: left.attempt + 1,
        kind,
        lane,
        account: row.account,
        relay: claims::NO_RELAY,
    }));
}

fn spill(policy: &Policy, row: &MessageRow, todo: &mut Vec<Change>) {
    let (Some(relay), Some(ids)) = (row.attempt.relay, row.attempt.relay_id.as_deref()) else { return };
    let lines: Vec<&str> = ids.split('\n').collect();
    let since = row.attempt.submitted.unwrap_or_else(|| id_millis(row.id));
    let recipient = (policy.plain_recipient)(row);
    for (part, line) in lines.iter().enumerate().filter(|(_, line)| !line.contains('\t')) {
        todo.push(Change::Spill(Submit {
            relay,
            relay_id: (*line).to_string(),
            id: row.id,
            attempt: row.attempt.attempt,
            part: part as u8,
            parts: lines.len() as u8,
            recipient,
            deadline: since + policy.receipt_deadline.as_millis() as i64,
        }));
    }
}

/// Which of some messages are due again.
fn due_among(tx: &Tx<'_>, ids: &[i64]) -> Result<IdSet, Error> {
    Ok(tx.live.select_in("SELECT id FROM due WHERE id", ids, "", |row| row.get(0))?.into_iter().collect())
}

/// Slices staged in `[since, until)` that no request claims.
pub(crate) fn orphan_slices(
    layout: &Layout,
    live: &Db,
    since: Timestamp,
    until: Timestamp,
) -> Result<Vec<(i64, u32)>, Error> {
    let (from, to) = (bongsu_domain::id::first_id_at(since), bongsu_domain::id::first_id_at(until));
    let mut found = Vec::new();
    for day in layout.days()?.into_iter().filter(|day| *day >= since.kst_day()) {
        let db = Db::from(files::open_reader(&layout.day(day))?);
        let mut statement =
            db.prepare_cached("SELECT first, count FROM slices WHERE first >= ? AND first < ? ORDER BY first")?;
        let slices = statement.query_map([from, to], |row| Ok((row.get::<i64>(0)?, row.get::<u32>(1)?)))?;
        for slice in slices {
            let (first, count) = slice?;
            let exists: i64 = live
                .prepare_cached("SELECT COUNT(*) FROM runs WHERE first = ?")?
                .query_row([first], |row| row.get(0))?;
            if exists == 0 && !crate::groups::has_slice(live, first)? {
                found.push((first, count));
            }
        }
    }
    Ok(found)
}

/// Removes staged rows whose request never came.
pub(crate) fn discard(tx: &mut Tx<'_>, slices: &[(i64, u32)]) -> Result<(), Error> {
    accept::discard(tx, slices)
}
