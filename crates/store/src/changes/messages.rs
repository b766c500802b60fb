//! Changes of message rows, their attempts and receipts.

use std::collections::HashMap;

use bongsu_domain::Day;
use bongsu_domain::id::{id_day, id_millis};

use super::{Attempt, Final, Receipt, Verdict};
use crate::db::dialect::Kind::{Blob, Int, Text};
use crate::db::dialect::Many;
use crate::db::{Value, int, int_or_null, text_or_null};
use crate::error::Error;
use crate::tx::Tx;

/// Keeps the current attempt before a later one takes its columns.
static ARCHIVE: Many = Many::new(
    "INSERT OR IGNORE INTO attempts (id, attempt, relay, relay_id, outcome, code, t_claim, t_submit, t_result)
       SELECT id, attempt, relay, relay_id, outcome, code, t_claim, t_submit, t_result FROM {v, }messages
       WHERE id = v_id AND attempt > 0 AND attempt < v_attempt AND status < 10",
    &[("v_id", Int), ("v_attempt", Int)],
);

const ATTEMPT: &[(&str, crate::db::dialect::Kind)] = &[
    ("v_id", Int),
    ("v_attempt", Int),
    ("v_relay", Int),
    ("v_relay_id", Text),
    ("v_outcome", Int),
    ("v_code", Int),
    ("v_claim", Int),
    ("v_submit", Int),
    ("v_result", Int),
    ("v_status", Int),
];

static CURRENT: Many = Many::new(
    "UPDATE {v, }messages SET attempt = v_attempt, relay = v_relay, relay_id = v_relay_id, outcome = v_outcome, code = v_code,
       t_claim = v_claim, t_submit = v_submit, t_result = v_result, status = v_status
       WHERE id = v_id AND attempt <= v_attempt AND status < 10",
    ATTEMPT,
);

/// The message was decided by another attempt meanwhile; this one is history all the same.
static HISTORY: Many = Many::new(
    "INSERT OR REPLACE INTO attempts (id, attempt, relay, relay_id, outcome, code, t_claim, t_submit, t_result)
       SELECT v_id, v_attempt, v_relay, v_relay_id, v_outcome, v_code, v_claim, v_submit, v_result FROM {v, }messages
       WHERE id = v_id AND attempt <> v_attempt AND v_status >= 0",
    ATTEMPT,
);

const PARTS: &[(&str, crate::db::dialect::Kind)] = &[("v_relay_id", Text), ("v_id", Int), ("v_attempt", Int)];
static CURRENT_PARTS: Many =
    Many::new("UPDATE {v, }messages SET relay_id = v_relay_id WHERE id = v_id AND attempt = v_attempt", PARTS);
static HISTORY_PARTS: Many =
    Many::new("UPDATE {v, }attempts SET relay_id = v_relay_id WHERE id = v_id AND attempt = v_attempt", PARTS);

const RECEIPT: &[(&str, crate::db::dialect::Kind)] =
    &[("v_id", Int), ("v_attempt", Int), ("v_part", Int), ("v_at", Int), ("v_verdict", Int), ("v_raw", Blob)];

/// A receipt that seemed to decide a message which another one decided meanwhile is a repetition.
static RECEIPTS: Many = Many::new(
    "INSERT OR REPLACE INTO receipts (id, attempt, part, at, verdict, raw) SELECT v_id, v_attempt, v_part, v_at,
       CASE WHEN v_verdict = 0 AND EXISTS (SELECT 1 FROM messages WHERE id = v_id AND status >= 10) THEN 1 ELSE v_verdict END,
       v_raw",
    RECEIPT,
);
/// The same where the rows of the messages are locked and known.
static KNOWN_RECEIPTS: Many = Many::new(
    "INSERT OR REPLACE INTO receipts (id, attempt, part, at, verdict, raw)
       VALUES {(v_id, v_attempt, v_part, v_at, v_verdict, v_raw)}",
    RECEIPT,
);

/// The one place where a final status is written.
static FINISH: Many = Many::new(
    "UPDATE {v, }messages SET status = v_status, code = v_code, t_result = v_result,
       outcome = CASE WHEN attempt = v_attempt THEN COALESCE(v_outcome, outcome) ELSE outcome END
       WHERE id = v_id AND status < 10",
    &[("v_id", Int), ("v_attempt", Int), ("v_status", Int), ("v_code", Int), ("v_result", Int), ("v_outcome", Int)],
);
static LATE: Many = Many::new("UPDATE {v, }messages SET late = 1 WHERE id = v_id AND late = 0", &[("v_id", Int)]);
static ENDED: Many = Many::new(
    "UPDATE {v, }attempts SET outcome = COALESCE(v_outcome, outcome), code = v_code, t_result = v_result
       WHERE id = v_id AND attempt = v_attempt",
    &[("v_id", Int), ("v_attempt", Int), ("v_code", Int), ("v_result", Int), ("v_outcome", Int)],
);

/// What stands in the rows that will change, where several processes write: they are locked, in the order of ids, so that
/// two writers never wait for each other in a circle. With one writer a statement tells by what it matched.
#[derive(Default)]
pub(super) struct Standing(Option<HashMap<i64, (u8, bool)>>);

impl Standing {
    pub(super) fn lock(tx: &Tx<'_>, ids: impl Iterator<Item = i64>) -> Result<Self, Error> {
        if !tx.live.is_mysql() {
            return Ok(Self(None));
        }
        let mut ids: Vec<i64> = ids.collect();
        ids.sort_unstable();
        ids.dedup();
        let sql = "SELECT id, attempt, status FROM messages WHERE id";
        let read = |row: &crate::db::Row<'_>| Ok((row.get(0)?, (row.get(1)?, row.get::<u8>(2)? < 10)));
        let rows = tx.live.select_in(sql, &ids, "ORDER BY id /* lock */", read)?;
        Ok(Self(Some(rows.into_iter().collect())))
    }

    fn known(&mut self) -> Option<&mut HashMap<i64, (u8, bool)>> {
        self.0.as_mut()
    }
}

fn by_day<T>(mut items: Vec<T>, id: impl Fn(&T) -> i64) -> Vec<Vec<T>> {
    items.sort_by_key(|item| id(item));
    let mut days: Vec<Vec<T>> = Vec::new();
    for item in items {
        match days.last_mut() {
            Some(day) if id_day(id(&day[0])) == id_day(id(&item)) => day.push(item),
            _ => days.push(vec![item]),
        }
    }
    days
}

fn attempt_row(a: &Attempt) -> [Value<'_>; 10] {
    let accepted = id_millis(a.id);
    [
        int(a.id),
        int(a.attempt),
        int(a.relay),
        text_or_null(a.relay_id.as_deref()),
        int(a.outcome as u8),
        int(a.code.number()),
        int(a.claimed - accepted),
        int_or_null(a.submitted.map(|t| t - accepted)),
        int_or_null(a.result.map(|t| t - accepted)),
        int(a.status as u8),
    ]
}

/// Writes attempts as they stand now.
pub(super) fn attempts(tx: &mut Tx<'_>, standing: &mut Standing, attempts: &[&Attempt]) -> Result<(), Error> {
    for day in by_day(attempts.to_vec(), |a| a.id) {
        let db = tx.day(id_day(day[0].id))?;
        db.many(&ARCHIVE, day.iter().filter(|a| a.attempt > 1).map(|a| [a.id, i64::from(a.attempt)]))?;
        let mut missed = Vec::new();
        if let Some(known) = standing.known() {
            let (current, history): (Vec<&Attempt>, Vec<&Attempt>) = day
                .into_iter()
                .partition(|a| known.get(&a.id).is_some_and(|(attempt, open)| *open && *attempt <= a.attempt));
            db.many(&CURRENT, current.iter().map(|a| attempt_row(a)))?;
            known.extend(current.iter().map(|a| (a.id, (a.attempt, true))));
            missed = history;
        } else {
            for a in day {
                if db.many(&CURRENT, [attempt_row(a)])? == 0 {
                    missed.push(a);
                }
            }
        }
        db.many(&HISTORY, missed.iter().map(|a| attempt_row(a)))?;
    }
    Ok(())
}

/// Writes ids and codes of the parts of attempts, wherever the attempt is.
pub(super) fn parts(tx: &mut Tx<'_>, parts: &[(i64, u8, &str)]) -> Result<(), Error> {
    for day in by_day(parts.to_vec(), |(id, ..)| *id) {
        let db = tx.day(id_day(day[0].0))?;
        let row = |(id, attempt, relay_id): &(i64, u8, &'_ str)| (relay_id.to_string(), *id, *attempt);
        if db.many(&CURRENT_PARTS, day.iter().map(row))? < day.len() {
            db.many(&HISTORY_PARTS, day.iter().map(row))?;
        }
    }
    Ok(())
}

/// Keeps receipts.
pub(super) fn receipts(tx: &mut Tx<'_>, standing: &mut Standing, receipts: &[&Receipt]) -> Result<(), Error> {
    for day in by_day(receipts.to_vec(), |r| r.id) {
        let statement = if standing.known().is_some() { &KNOWN_RECEIPTS } else { &RECEIPTS };
        let known = standing.known();
        let rows = day.iter().map(|r| {
            let Receipt { id, attempt, part, at, verdict, raw } = r;
            let decided = known.as_ref().is_some_and(|known| known.get(id).is_some_and(|(_, open)| !open));
            let verdict = if decided && *verdict == Verdict::Decided { Verdict::Repeated } else { *verdict };
            [int(*id), int(*attempt), int(*part), int(at.micros()), int(verdict as u8), Value::Blob(raw)]
        });
        tx.day(id_day(day[0].id))?.many(statement, rows)?;
    }
    Ok(())
}

fn final_row(end: &Final) -> [Value<'static>; 6] {
    [
        int(end.id),
        int(end.attempt),
        int(end.status as u8),
        int(end.code.number()),
        int(end.at - id_millis(end.id)),
        int_or_null(end.outcome.map(|o| o as u8)),
    ]
}

/// Makes messages final that are not, with their refunds; tells of each, by its number, whether it was the first.
pub(super) fn finish(
    tx: &mut Tx<'_>,
    standing: &mut Standing,
    ends: &[(usize, &Final)],
    firsts: &mut Vec<(usize, bool)>,
) -> Result<(), Error> {
    for day in by_day(ends.to_vec(), |(_, end)| end.id) {
        let of_day = id_day(day[0].1.id);
        let first = make_final(tx, standing, of_day, &day)?;
        for ((at, end), first) in day.iter().zip(first) {
            firsts.push((*at, first));
            if first && let Some((account, unit, amount)) = end.refund.filter(|(_, _, amount)| *amount > 0) {
                tx.refund(of_day, account, unit, amount)?;
            }
        }
    }
    Ok(())
}

fn make_final(
    tx: &mut Tx<'_>,
    standing: &mut Standing,
    of_day: Day,
    day: &[(usize, &Final)],
) -> Result<Vec<bool>, Error> {
    let db = tx.day(of_day)?;
    // The attempt that the result is of, unless the message's own columns have it.
    let mut of_history: Vec<&Final> = day.iter().map(|(_, end)| *end).filter(|end| end.attempt > 0).collect();
    let mut first = Vec::with_capacity(day.len());
    if let Some(known) = standing.known() {
        first.extend(day.iter().map(|(_, end)| known.get(&end.id).is_some_and(|(_, open)| *open)));
        let open = day.iter().zip(&first).filter(|(_, first)| **first);
        db.many(&FINISH, open.map(|((_, end), _)| final_row(end)))?;
        of_history.retain(|end| known.get(&end.id).is_none_or(|(attempt, _)| *attempt != end.attempt));
        for (_, end) in day {
            known.entry(end.id).and_modify(|(_, open)| *open = false);
        }
    } else {
        for (_, end) in day {
            first.push(db.many(&FINISH, [final_row(end)])? == 1);
        }
    }
    let late = day.iter().zip(&first).filter(|(_, first)| !**first);
    db.many(&LATE, late.map(|((_, end), _)| [end.id]))?;
    let ended = of_history.into_iter().map(|end| {
        let [id, attempt, _, code, result, outcome] = final_row(end);
        [id, attempt, code, result, outcome]
    });
    db.many(&ENDED, ended)?;
    Ok(first)
}
