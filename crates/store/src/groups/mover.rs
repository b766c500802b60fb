//! What follows a sent group: its slices become runs, some at a time; and once every message is final, it is finished.

use bongsu_domain::id::{id_day, id_millis};
use bongsu_domain::{AccountId, Code, Hours, Lane, Status};

use super::{GroupRow, Phase, State, load};
use crate::accept::{self, Slice};
use crate::db::{Db, OptionalExtension, Row};
use crate::error::{Error, Kind};
use crate::tx::Tx;
use crate::waiting::{self, Counted, Target};

/// Slices that become runs in one transaction.
const SLICES_AT_ONCE: u32 = 50;
/// Slices whose rows are changed in one transaction.
const SHIFTED_AT_ONCE: usize = 4;
/// A message may expire by so much of its life earlier than the time of sending asks for, rather than have its row written
/// again.
const LIFE_SHARE: i64 = 20;

/// Groups in a phase, by id.
pub(crate) fn in_phase(live: &Db, phase: Phase, after: i64, limit: u32) -> Result<Vec<i64>, Error> {
    live.prepare_cached("SELECT id FROM send_groups WHERE phase = ? AND id > ? ORDER BY id LIMIT ?")?
        .query_map((phase as u8, after, limit), |row| row.get(0))?
        .collect()
}

/// Groups for which something has to be written, with the step that does it.
pub(crate) fn moving(live: &Db, limit: u32) -> Result<Vec<(i64, super::upkeep::Step)>, Error> {
    use super::upkeep::Step;
    let mut found = Vec::new();
    for (phase, step) in
        [(Phase::Move, Step::Move), (Phase::Stop, Step::Stop), (Phase::End, Step::End), (Phase::Discard, Step::Discard)]
    {
        found.extend(in_phase(live, phase, 0, limit)?.into_iter().map(|id| (id, step)));
    }
    Ok(found)
}

/// Groups whose messages may all be final, id and messages: those whose time has come or that are canceled; or those that
/// wait for their time, of which every message may have been canceled alone.
pub(crate) fn watched(live: &Db, waiting: bool, after: i64, now_ms: i64, limit: u32) -> Result<Vec<(i64, u32)>, Error> {
    let which = if waiting { "send_at > ? AND state <> ?" } else { "(send_at <= ? OR state = ?)" };
    let sql =
        format!("SELECT id, accepted FROM send_groups WHERE phase = ? AND id > ? AND {which} ORDER BY id LIMIT ?");
    live.prepare_cached(&sql)?
        .query_map((Phase::Watch as u8, after, now_ms, State::Canceled as u8, limit), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect()
}

/// Makes runs of some slices. Answers whether there may be more. The life of advertisements counts in `hours`.
pub(crate) fn shift_and_move(tx: &mut Tx<'_>, group: i64, hours: Hours) -> Result<bool, Error> {
    let Some(row) = load(tx.live, None, group)?.filter(|row| row.phase == Phase::Move as u8) else { return Ok(false) };
    let mut slices = unmoved(tx.live, group, SLICES_AT_ONCE)?;
    if slices.is_empty() {
        tx.live.execute("UPDATE send_groups SET phase = ? WHERE id = ?", (Phase::Watch as u8, group))?;
        return Ok(false);
    }
    let waits = row.send_at > tx.now.millis();
    if !waits {
        let begins = row.sent.max(row.send_at);
        match slices.iter().position(|slice| is_late(slice, begins)) {
            // Those that expire as they should need no look at their rows.
            Some(at @ 1..) => slices.truncate(at),
            Some(0) => {
                slices.truncate(SHIFTED_AT_ONCE);
                for slice in slices.iter_mut().filter(|slice| is_late(slice, begins)) {
                    shift(tx, slice, begins, hours)?;
                }
            }
            None => {}
        }
    }
    make_runs(tx, &row, slices)?;
    Ok(true)
}

/// Has the slice of a message become a run before its turn, since something is asked of that message alone; of one that has
/// its run, or never gets one, nothing changes. The life of advertisements counts in `hours`.
pub(crate) fn move_slice_of(
    tx: &mut Tx<'_>,
    account: Option<AccountId>,
    message: i64,
    hours: Hours,
) -> Result<(), Error> {
    let Some(of) = super::run_to_be(tx.live, message)? else { return Ok(()) };
    let Some(row) = load(tx.live, account, of.request)? else { return Ok(()) };
    // Whoever moves slices holds the group, so what is seen now stays.
    let sql = "SELECT first, count, lane, expires FROM group_slices WHERE first = ? AND skip < 0";
    let slice = tx.live.prepare_cached(sql)?.query_row([of.first], read_slice).optional()?;
    let Some(mut slice) = slice else { return Ok(()) };
    if row.is_stopping() {
        return super::cancel::stop_some(tx, &row, &[slice]);
    }
    if row.phase != Phase::Move as u8 {
        return Ok(());
    }
    let begins = row.sent.max(row.send_at);
    if row.send_at <= tx.now.millis() && is_late(&slice, begins) {
        shift(tx, &mut slice, begins, hours)?;
    }
    make_runs(tx, &row, vec![slice])
}

/// Makes runs of slices, which wait for the time of their group, or for a dispatcher.
fn make_runs(tx: &mut Tx<'_>, row: &GroupRow, slices: Vec<Slice>) -> Result<(), Error> {
    let waits = row.send_at > tx.now.millis();
    let firsts: Vec<i64> = slices.iter().map(|slice| slice.first).collect();
    tx.live.delete_in("DELETE FROM group_slices WHERE first", &firsts)?;
    let send_at = if waits { row.send_at } else { 0 };
    let slices: Vec<Slice> = slices.into_iter().map(|slice| Slice { send_at, ..slice }).collect();
    let born = accept::staged_still(tx, row.account, &slices)?;
    if waits {
        let of_account: Vec<(AccountId, Slice)> = slices.into_iter().map(|slice| (row.account, slice)).collect();
        waiting::hold(tx, row.id, &of_account, Counted::FromAccept)?;
        accept::tell(tx, row.id, &born);
        return Ok(());
    }
    accept::runs(tx, row.id, &born)
}

/// Slices of a group that have no run yet, oldest first.
pub(super) fn unmoved(live: &Db, group: i64, limit: u32) -> Result<Vec<Slice>, Error> {
    live.prepare_cached(
        "SELECT first, count, lane, expires FROM group_slices WHERE request = ? AND skip < 0 ORDER BY first LIMIT ?",
    )?
    .query_map((group, limit), read_slice)?
    .collect()
}

fn read_slice(row: &Row<'_>) -> Result<Slice, Error> {
    Ok(Slice {
        first: row.get(0)?,
        count: row.get(1)?,
        lane: Lane::from_u8(row.get(2)?).unwrap_or(Lane::Bulk),
        expires: row.get(3)?,
        send_at: 0,
    })
}

/// Whether its messages lost too much of their life by waiting for the group to be sent.
fn is_late(slice: &Slice, begins: i64) -> bool {
    let staged = id_millis(slice.first);
    (begins - staged) * LIFE_SHARE > slice.expires - staged
}

/// Messages live from the time of sending on, not from when they were staged. Their rows lie in another file, which may be
/// committed although the slice stays: what is shifted already shows in the earliest expiry.
fn shift(tx: &mut Tx<'_>, slice: &mut Slice, begins: i64, hours: Hours) -> Result<(), Error> {
    let staged = id_millis(slice.first);
    let last = slice.first + i64::from(slice.count) - 1;
    let earliest: i64 = tx
        .day(id_day(slice.first))?
        .prepare_cached("SELECT COALESCE(MIN(expires), 0) FROM messages WHERE id BETWEEN ? AND ?")?
        .query_row((slice.first, last), |row| row.get(0))?;
    slice.expires = match staged + earliest {
        as_staged if as_staged <= slice.expires => {
            waiting::recount(tx, (slice.first, last), slice.lane, (staged, begins), hours)?
        }
        shifted => shifted,
    };
    Ok(())
}

/// Gives a group that waits for its time another one.
pub(super) fn reschedule(tx: &mut Tx<'_>, row: &GroupRow, at: i64) -> Result<(), Error> {
    let now = tx.now.millis();
    tx.live.execute("UPDATE send_groups SET send_at = ?, touched = ? WHERE id = ?", (at, now, row.id))?;
    match waiting::reschedule(tx, Some(row.account), Target::Request(row.id), at) {
        // Nothing of it is moved yet: its slices go by the time of the group.
        Err(error) if error.kind() == Kind::Conflict("left") => Ok(()),
        moved => moved.map(drop),
    }
}

/// Every message of a group is final. Answers whether it was not finished before.
pub(crate) fn finish(tx: &mut Tx<'_>, group: i64) -> Result<bool, Error> {
    let Some(row) = load(tx.live, None, group)?.filter(|row| row.phase == Phase::Watch as u8) else { return Ok(false) };
    let (state, status, code) = match row.state {
        State::Canceled => (State::Canceled, Status::Canceled, Code::Canceled),
        _ => (State::Finished, Status::Delivered, Code::OkDelivered),
    };
    tx.news.group_finished(row.account, group, status, code);
    tx.live.execute(
        "UPDATE send_groups SET state = ?, phase = ?, finished = ? WHERE id = ?",
        (state as u8, Phase::Done as u8, tx.now.millis(), group),
    )?;
    Ok(true)
}
