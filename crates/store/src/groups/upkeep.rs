//! Periodic work about groups that nobody sent: they expire, their rows go; and what days beyond retention take with them.

use bongsu_domain::id::first_id_at;
use bongsu_domain::{AccountId, Lane, Timestamp};

use super::{Phase, State, load};
use crate::accept;
use crate::db::{Db, OptionalExtension};
use crate::error::Error;
use crate::rows::Run;
use crate::tx::Tx;

/// Slices removed in one transaction.
const DISCARDED_AT_ONCE: u32 = 4;
/// Rows removed in one transaction.
const RETIRED_AT_ONCE: u32 = 500;

/// What periodic work does for a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Makes runs of slices.
    Move,
    /// Stops runs.
    Stop,
    /// Ends stopped messages.
    End,
    /// Removes staged rows.
    Discard,
}

/// Whether a slice belongs to a group that may still be sent, or is being moved.
pub(crate) fn has_slice(live: &Db, first: i64) -> Result<bool, Error> {
    live.prepare_cached("SELECT first FROM group_slices WHERE first = ?")?.exists([first])
}

/// Groups that nobody sent since a moment.
pub(crate) fn overdue(live: &Db, idle_since: Timestamp, limit: u32) -> Result<Vec<i64>, Error> {
    // A group is not touched before it is made, so its id bounds the look.
    live.prepare_cached("SELECT id FROM send_groups WHERE phase = ? AND id < ? AND touched < ? ORDER BY id LIMIT ?")?
        .query_map((Phase::Staging as u8, first_id_at(idle_since), idle_since.millis(), limit), |row| row.get(0))?
        .collect()
}

/// Ends a group that nobody sent since a moment.
pub(crate) fn expire_idle(tx: &mut Tx<'_>, group: i64, idle_since: Timestamp) -> Result<bool, Error> {
    let row = load(tx.live, None, group)?;
    let idle = |row: &super::GroupRow| row.phase == Phase::Staging as u8 && row.touched < idle_since.millis();
    let Some(row) = row.filter(idle) else { return Ok(false) };
    tx.live.execute(
        "UPDATE send_groups SET state = ?, phase = ?, finished = ? WHERE id = ?",
        (State::Expired as u8, Phase::Discard as u8, tx.now.millis(), row.id),
    )?;
    Ok(true)
}

/// Removes some staged rows of a group that is not to be. Answers whether there may be more.
pub(crate) fn discard_some(tx: &mut Tx<'_>, group: i64) -> Result<bool, Error> {
    let Some(_) = load(tx.live, None, group)?.filter(|row| row.phase == Phase::Discard as u8) else { return Ok(false) };
    let slices: Vec<(i64, u32)> = super::mover::unmoved(tx.live, group, DISCARDED_AT_ONCE)?
        .into_iter()
        .map(|slice| (slice.first, slice.count))
        .collect();
    if slices.is_empty() {
        tx.live.execute("DELETE FROM group_uploads WHERE request = ?", [group])?;
        tx.live.execute("UPDATE send_groups SET phase = ? WHERE id = ?", (Phase::Done as u8, group))?;
        return Ok(false);
    }
    let firsts: Vec<i64> = slices.iter().map(|(first, _)| *first).collect();
    tx.live.delete_in("DELETE FROM group_slices WHERE first", &firsts)?;
    accept::discard(tx, &slices)?;
    Ok(true)
}

/// Slices of groups that are sent and not moved, after one: first id, count, and the end of the look when it is reached.
pub(crate) fn unmoved(live: &Db, after: i64, limit: u32) -> Result<Vec<(i64, u32)>, Error> {
    live.prepare_cached(
        "SELECT group_slices.first, group_slices.count FROM group_slices INNER JOIN requests ON requests.id = group_slices.request
           WHERE group_slices.first > ? AND group_slices.skip < 0 ORDER BY group_slices.first LIMIT ?",
    )?
    .query_map((after, limit), |row| Ok((row.get(0)?, row.get(1)?)))?
    .collect()
}

/// Whether something of a range of ids is staged, or not yet ended.
pub(crate) fn holds(live: &Db, (from, to): (i64, i64)) -> Result<bool, Error> {
    live.prepare_cached("SELECT first FROM group_slices WHERE first BETWEEN ? AND ? LIMIT 1")?.exists((from, to))
}

/// Removes what is kept of the groups of a day, some rows at a time. Answers how many went.
pub(crate) fn retire(tx: &mut Tx<'_>, from: i64, to: i64) -> Result<usize, Error> {
    tx.live.execute("DELETE FROM group_uploads WHERE request BETWEEN ? AND ?", (from, to))?;
    let sql = "SELECT request, row_no FROM group_errors WHERE request BETWEEN ? AND ? ORDER BY request, row_no LIMIT ?";
    let errors: Vec<(i64, i64)> = tx
        .live
        .prepare_cached(sql)?
        .query_map((from, to, RETIRED_AT_ONCE), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut gone = errors.len();
    for of_group in errors.chunk_by(|a, b| a.0 == b.0) {
        let (group, last) = of_group[of_group.len() - 1];
        tx.live.execute("DELETE FROM group_errors WHERE request = ? AND row_no <= ?", (group, last))?;
    }
    let sql = "SELECT id FROM send_groups WHERE id BETWEEN ? AND ? LIMIT ?";
    let groups: Vec<i64> = tx
        .live
        .prepare_cached(sql)?
        .query_map((from, to, RETIRED_AT_ONCE), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    gone += tx.live.delete_in("DELETE FROM send_groups WHERE id", &groups)?;
    Ok(gone)
}

/// The slice of a group that holds an id, when the group is sent: its messages exist before they have a run.
pub(crate) fn run_to_be(live: &Db, id: i64) -> Result<Option<Run>, Error> {
    let sql = "SELECT group_slices.first, group_slices.count, group_slices.lane, send_groups.account, send_groups.id,
           send_groups.send_at, send_groups.sent FROM group_slices
         INNER JOIN send_groups ON send_groups.id = group_slices.request
         WHERE group_slices.first <= ? AND group_slices.first > ? AND send_groups.sent > 0
         ORDER BY group_slices.first DESC LIMIT 1";
    let read = |row: &crate::db::Row<'_>| {
        let (send_at, sent): (i64, i64) = (row.get(5)?, row.get(6)?);
        Ok(Run {
            first: row.get(0)?,
            count: row.get(1)?,
            next: 0,
            generation: 0,
            lane: Lane::from_u8(row.get(2)?).unwrap_or(Lane::Bulk),
            account: AccountId(row.get(3)?),
            request: row.get(4)?,
            send_at: if send_at > sent { send_at } else { 0 },
            held: send_at > sent,
        })
    };
    let run = live.prepare_cached(sql)?.query_row((id, id - accept::RUN_MAX as i64), read).optional()?;
    Ok(run.filter(|run| id <= run.last()))
}
