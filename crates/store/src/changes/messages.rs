//! Changes of message rows, their attempts and receipts.

use bongsu_domain::id::{id_day, id_millis};
use bongsu_domain::{Code, Day, Status};

use super::standing::{Standing, Stands};
use super::{Attempt, Final, Receipt, Verdict};
use crate::db::dialect::Kind::{Blob, Int, Text};
use crate::db::dialect::Many;
use crate::db::{Value, int, int_or_null, text_or_null};
use crate::error::Error;
use crate::facts::{EventKind, Moved};
use crate::rows::Outcome;
use crate::tx::Tx;

/// Keeps the current attempt before a later one takes its columns.
static ARCHIVE: Many = Many::new(
    "INSERT OR IGNORE INTO attempts (id, attempt, relay, relay_id, outcome, code, t_claim, t_submit, t_answer, t_result)
       SELECT id, attempt, relay, relay_id, outcome, code, t_claim, t_submit, t_answer, t_result FROM {v, }messages
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
    ("v_answer", Int),
    ("v_result", Int),
    ("v_status", Int),
];

static CURRENT: Many = Many::new(
    "UPDATE {v, }messages SET attempt = v_attempt, relay = v_relay, relay_id = v_relay_id, outcome = v_outcome, code = v_code,
       t_claim = v_claim, t_submit = v_submit, t_answer = v_answer, t_result = v_result, status = v_status
       WHERE id = v_id AND attempt <= v_attempt AND status < 10",
    ATTEMPT,
);

/// The message was decided by another attempt meanwhile; this one is history all the same.
static HISTORY: Many = Many::new(
    "INSERT OR REPLACE INTO attempts (id, attempt, relay, relay_id, outcome, code, t_claim, t_submit, t_answer, t_result)
       SELECT v_id, v_attempt, v_relay, v_relay_id, v_outcome, v_code, v_claim, v_submit, v_answer, v_result FROM {v, }messages
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

static RECEIPTS: Many = Many::new(
    "INSERT OR REPLACE INTO receipts (id, attempt, part, at, verdict, raw)
       SELECT v_id, v_attempt, v_part, v_at, v_verdict, v_raw {from v}",
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

fn attempt_row(a: &Attempt) -> [Value<'_>; 11] {
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
        int_or_null(a.answered.map(|t| t - accepted)),
        int_or_null(a.result.map(|t| t - accepted)),
        int(a.status as u8),
    ]
}

/// Writes attempts as they stand now.
pub(super) fn attempts(tx: &mut Tx<'_>, standing: &mut Standing, attempts: &[&Attempt]) -> Result<(), Error> {
    for day in by_day(attempts.to_vec(), |a| a.id) {
        let db = tx.day(id_day(day[0].id))?;
        db.many(&ARCHIVE, day.iter().filter(|a| a.attempt > 1).map(|a| [a.id, i64::from(a.attempt)]))?;
        let (current, history): (Vec<&Attempt>, Vec<&Attempt>) = day
            .into_iter()
            .partition(|a| standing.get(a.id).is_some_and(|stands| stands.is_open() && stands.attempt <= a.attempt));
        db.many(&CURRENT, current.iter().map(|a| attempt_row(a)))?;
        db.many(&HISTORY, history.iter().map(|a| attempt_row(a)))?;
        for a in current {
            let Some(stands) = standing.get_mut(a.id) else { continue };
            tx.news.moved(attempted(stands, a));
        }
    }
    Ok(())
}

/// What an attempt means for its message.
fn attempted(stands: &mut Stands, a: &Attempt) -> Moved {
    let is_new = stands.attempt < a.attempt || stands.status != a.status;
    let kind = match (a.status, a.outcome) {
        (Status::Uncertain, _) => Some(EventKind::Uncertain),
        (_, Outcome::Submitted) => Some(EventKind::Submitted),
        _ => None,
    };
    (stands.attempt, stands.relay) = (a.attempt, a.relay);
    let at = a.result.or(a.submitted).unwrap_or(a.claimed);
    stands.moves(a.id, a.status, kind.filter(|_| is_new), a.code, at, 0)
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
pub(super) fn receipts(tx: &mut Tx<'_>, standing: &Standing, receipts: &[&Receipt]) -> Result<(), Error> {
    for day in by_day(receipts.to_vec(), |r| r.id) {
        let rows = day.iter().map(|r| {
            let Receipt { id, attempt, part, at, verdict, raw } = r;
            let decided = standing.get(*id).is_some_and(|stands| !stands.is_open());
            let verdict = if decided && *verdict == Verdict::Decided { Verdict::Repeated } else { *verdict };
            [int(*id), int(*attempt), int(*part), int(at.micros()), int(verdict as u8), Value::Blob(raw)]
        });
        tx.day(id_day(day[0].id))?.many(&RECEIPTS, rows)?;
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
            let refund = end.refund.filter(|(_, _, amount)| first && *amount > 0);
            if let Some((account, unit, amount)) = refund {
                tx.refund(of_day, account, unit, amount)?;
            }
            if let Some(stands) = standing.get_mut(end.id).filter(|_| first) {
                let refunded = refund.map_or(0, |(_, _, amount)| amount);
                let kind = EventKind::of_end(end.status);
                let ended = stands.moves(end.id, end.status, kind, end.code, end.at, refunded);
                tx.news.moved(Moved { attempt: end.attempt, ..ended });
            }
        }
    }
    Ok(())
}

/// Writes the ends of open messages; tells which those are.
fn make_final(tx: &mut Tx<'_>, standing: &Standing, of_day: Day, day: &[(usize, &Final)]) -> Result<Vec<bool>, Error> {
    let db = tx.day(of_day)?;
    let mut met = bongsu_domain::map::IdSet::default();
    let first: Vec<bool> = day.iter().map(|(_, end)| standing.is_open(end.id) && met.insert(end.id)).collect();
    let open = day.iter().zip(&first).filter(|(_, first)| **first);
    db.many(&FINISH, open.map(|((_, end), _)| final_row(end)))?;
    let late = day.iter().zip(&first).filter(|(_, first)| !**first);
    db.many(&LATE, late.map(|((_, end), _)| [end.id]))?;
    // The attempt that the result is of, unless the message's own columns have it.
    let of_history = day
        .iter()
        .map(|(_, end)| *end)
        .filter(|end| end.attempt > 0 && standing.get(end.id).is_none_or(|stands| stands.attempt != end.attempt));
    let ended = of_history.map(|end| {
        let [id, attempt, _, code, result, outcome] = final_row(end);
        [id, attempt, code, result, outcome]
    });
    db.many(&ENDED, ended)?;
    Ok(first)
}

/// A message is parked. Answers whether it was open and not parked before.
pub(super) fn stop(tx: &mut Tx<'_>, standing: &mut Standing, id: i64, attempt: u8, at: i64) -> Result<bool, Error> {
    let goes_on = |stands: &&mut Stands| stands.is_open() && stands.status != Status::Parked;
    let Some(stands) = standing.get_mut(id).filter(goes_on) else { return Ok(false) };
    let (was_attempt, relay) = (stands.attempt, stands.relay);
    let parked = stands.moves(id, Status::Parked, Some(EventKind::Held), Code::Internal, at, 0);
    tx.news.moved(Moved { attempt: attempt.max(was_attempt), relay, ..parked });
    Ok(true)
}

/// A parked message goes back into the line.
pub(crate) fn replayed(tx: &mut Tx<'_>, id: i64) -> Result<(), Error> {
    let mut standing = Standing::lock(tx, std::iter::once(id))?;
    let at = tx.now.millis();
    let parked = standing.get_mut(id).filter(|stands| stands.status == Status::Parked);
    let moved = parked.map(|stands| stands.moves(id, Status::Queued, None, Code::OkAccepted, at, 0));
    standing.keep(tx);
    let Some(moved) = moved else { return Ok(()) };
    tx.news.moved(moved);
    tx.day(id_day(id))?.prepare_cached("UPDATE messages SET status = ? WHERE id = ? AND status = ?")?.execute((
        Status::Queued as u8,
        id,
        Status::Parked as u8,
    ))?;
    Ok(())
}
