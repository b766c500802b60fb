//! What is kept for how long: events for their time, progress with its messages, counters for good.

use bongsu_domain::{Day, Timestamp};

use super::board::Where;
use super::write::COUNTER;
use crate::db::dialect::Many;
use crate::error::Error;
use crate::tx::Tx;

/// Slices that one unit removes.
pub(crate) const FORGOTTEN_AT_ONCE: u32 = 500;

/// Removes the oldest slices of a file that were written before a moment. Answers how many.
pub(crate) fn forget_events(tx: &mut Tx<'_>, at: Where, before: Timestamp) -> Result<usize, Error> {
    let db = match at {
        Some(day) => tx.day(day)?,
        None => tx.live,
    };
    let oldest: Vec<(i64, i64)> = db
        .prepare_cached("SELECT no, at FROM event_slices ORDER BY no LIMIT ?")?
        .query_map([FORGOTTEN_AT_ONCE], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let over: Vec<i64> = oldest.into_iter().take_while(|(_, at)| *at < before.millis()).map(|(no, _)| no).collect();
    db.delete_in("DELETE FROM event_slices WHERE no", &over)
}

/// Removes some progress of requests in a range, on a database; files have it in those of their days.
pub(crate) fn forget_progress(tx: &Tx<'_>, (from, to): (i64, i64), limit: u32) -> Result<usize, Error> {
    let over: Vec<i64> = tx
        .live
        .prepare_cached("SELECT DISTINCT request FROM progress WHERE request BETWEEN ? AND ? LIMIT ?")?
        .query_map((from, to, limit), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    tx.live.delete_in("DELETE FROM progress WHERE request", &over)
}

static KEEP: Many = Many::new(
    "INSERT OR REPLACE INTO counters (account, day, channel, lane, unit, relay, status, stat, node, messages, charged, refunded)
       VALUES {(v_account, v_day, v_channel, v_lane, v_unit, v_relay, v_status, v_stat, v_node, v_messages, v_charged, v_refunded)}",
    COUNTER,
);

/// Keeps what a day's file has counted, since the file goes; once more does no harm. A database has all in one table.
pub(crate) fn keep_counters(tx: &mut Tx<'_>, day: Day) -> Result<(), Error> {
    if tx.live.is_mysql() {
        return Ok(());
    }
    let sql = "SELECT account, day, channel, lane, unit, relay, status, stat, node, messages, charged, refunded FROM counters";
    let rows: Vec<[i64; 12]> = tx
        .peek_day(day)?
        .prepare_cached(sql)?
        .query_map((), |row| {
            let mut cells = [0; 12];
            for (at, cell) in cells.iter_mut().enumerate() {
                *cell = row.get(at)?;
            }
            Ok(cells)
        })?
        .collect::<Result<_, _>>()?;
    tx.live.many(&KEEP, rows)?;
    Ok(())
}
