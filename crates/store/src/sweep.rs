//! What waits and must not wait longer: cancels, expiry of waiting messages, cleaning of keys, retention of days.

use bongsu_domain::id::id_day;
use bongsu_domain::{AccountId, Code, Day, Status, Timestamp};

use crate::accept;
use crate::changes::{self, Final};
use crate::claims::DueKind;
use crate::db::Db;
use crate::error::{Error, Kind};
use crate::facts;
use crate::groups;
use crate::rows::{self, MessageRow};
use crate::tx::Tx;
use crate::waiting;

/// Rows of each kind removed by one cleaning unit, so that it stays short.
pub(crate) const CLEAN_MAX: u32 = 500;

/// Cancels a message that no dispatcher has claimed.
///
/// # Errors
/// `NotFound` when it does not exist for this account; `Conflict("sent")` when it is too late.
pub(crate) fn cancel(tx: &mut Tx<'_>, account: Option<AccountId>, id: i64) -> Result<(), Error> {
    let not_found = || Error::new(Kind::NotFound, "no such message");
    let run =
        rows::run_of(tx.live, id)?.filter(|run| account.is_none_or(|a| a == run.account)).ok_or_else(not_found)?;
    let row = rows::by_id(tx.day(id_day(id))?, id)?.ok_or_else(not_found)?;
    let too_late = || Error::new(Kind::Conflict("sent"), "the message has left or is leaving");
    if row.status != Status::Queued {
        return Err(too_late());
    }
    if id - run.first >= i64::from(run.next) {
        tx.live.prepare_cached("UPDATE runs SET gen = gen + 1 WHERE first = ?")?.execute([run.first])?;
    } else {
        let waiting =
            tx.live.prepare_cached("DELETE FROM due WHERE id = ? AND kind = ?")?.execute((id, DueKind::Send as u8))?;
        if waiting == 0 {
            return Err(too_late());
        }
    }
    finish_waiting(tx, &row, Status::Canceled, Code::Canceled)?;
    waiting::forget_if_over(tx, &run)
}

/// Takes a run out of the line: nobody claims from it any more.
pub(crate) fn take_out(live: &Db, run: &rows::Run) -> Result<(), Error> {
    live.prepare_cached("UPDATE runs SET gen = gen + 1, held = 0 WHERE first = ?")?.execute([run.first])?;
    if run.held {
        live.prepare_cached("DELETE FROM waiting WHERE first = ?")?.execute([run.first])?;
    }
    live.prepare_cached("DELETE FROM backlog WHERE lane = ? AND account = ? AND first = ?")?.execute((
        run.lane as u8,
        run.account.0,
        run.first,
    ))?;
    Ok(())
}

/// Ends waiting messages of a run that are worthless by now.
pub(crate) fn expire_run(tx: &mut Tx<'_>, first: i64) -> Result<u32, Error> {
    let Some(run) = rows::run_of(tx.live, first)?.filter(|run| run.first == first) else { return Ok(0) };
    let from = run.first + i64::from(run.next);
    let waiting = rows::in_range(tx.day(id_day(first))?, from, run.last())?;
    let now = tx.now.millis();
    let mut ended = 0;
    let mut earliest = i64::MAX;
    for row in waiting.iter().filter(|row| row.status == Status::Queued) {
        if row.expires <= now {
            finish_waiting(tx, row, Status::Expired, Code::ExpiredBeforeSend)?;
            ended += 1;
        } else {
            earliest = earliest.min(row.expires);
        }
    }
    if ended > 0 {
        tx.live.prepare_cached("UPDATE runs SET gen = gen + 1 WHERE first = ?")?.execute([first])?;
    }
    tx.live
        .prepare_cached("UPDATE backlog SET expires = ? WHERE lane = ? AND account = ? AND first = ?")?
        .execute((earliest, run.lane as u8, run.account.0, first))?;
    Ok(ended)
}

fn finish_waiting(tx: &mut Tx<'_>, row: &MessageRow, status: Status, code: Code) -> Result<(), Error> {
    let end = Final {
        id: row.id,
        attempt: 0,
        status,
        code,
        outcome: None,
        at: tx.now.millis(),
        refund: Some((row.account, row.unit, row.price)),
    };
    changes::finish(tx, &end).map(|_| ())
}

/// First ids of waiting runs that hold something worthless by now.
pub(crate) fn overdue_runs(live: &Db, now: Timestamp, limit: u32) -> Result<Vec<i64>, Error> {
    let mut statement = live.prepare_cached("SELECT first FROM backlog WHERE expires <= ? LIMIT ?")?;
    let found = statement.query_map((now.millis(), limit), |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(found)
}

/// Removes keys and orphans that are over their time, at most [`CLEAN_MAX`] of each kind. Answers how many rows went.
pub(crate) fn clean(tx: &mut Tx<'_>, orphans_before: Timestamp) -> Result<usize, Error> {
    let gone = accept::clean(tx.live, tx.now.millis(), CLEAN_MAX)?;
    let orphans: Vec<i64> = tx
        .live
        .prepare_cached("SELECT seq FROM orphan_receipts WHERE at < ? ORDER BY seq LIMIT ?")?
        .query_map((orphans_before.micros(), CLEAN_MAX), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(gone + tx.live.delete_in("DELETE FROM orphan_receipts WHERE seq", &orphans)?)
}

/// What a day still needs before its file may go, in small units; `true` when it is done.
pub(crate) fn retire(tx: &mut Tx<'_>, day: Day) -> Result<bool, Error> {
    let (from, to) = day_range(day);
    if waiting::holds(tx.live, (from, to))? {
        return Err(Error::new(Kind::Conflict("waiting"), "messages of the day wait for their time"));
    }
    let mut gone = 0;
    tx.live.execute("DELETE FROM backlog WHERE first BETWEEN ? AND ?", (from, to))?;
    for (table, key, id) in [
        ("runs", "first", "first"),
        ("requests", "id", "id"),
        ("due", "id", "id"),
        ("unknown_attempts", "id", "id"),
        ("parked", "id", "id"),
        ("client_refs", "`key`", "id"),
    ] {
        let over: Vec<i64> = tx
            .live
            .prepare_cached(&format!("SELECT {key} FROM {table} WHERE {id} BETWEEN ? AND ? LIMIT ?"))?
            .query_map((from, to, CLEAN_MAX), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        gone +=
            tx.live.delete_in(&format!("DELETE FROM {table} WHERE {id} BETWEEN {from} AND {to} AND {key}"), &over)?;
    }
    gone += groups::retire(tx, from, to)?;
    if tx.live.is_mysql() {
        gone += facts::forget_progress(tx, (from, to), CLEAN_MAX)?;
    }
    if gone == 0 {
        facts::keep_counters(tx, day)?;
        tx.close_day(day);
    }
    Ok(gone == 0)
}

/// First and last id of a day.
pub(crate) fn day_range(day: Day) -> (i64, i64) {
    let start = |day: Day| bongsu_domain::id::first_id_at(day.start());
    (start(day), start(day.next()) - 1)
}
