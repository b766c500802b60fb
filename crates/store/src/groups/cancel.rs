//! Canceling a group: what nobody has claimed is stopped at once, and then ended message by message.

use bongsu_domain::id::id_day;
use bongsu_domain::{AccountId, Code, Status};

use super::{GroupRow, Phase, State, load, must};
use crate::accept::Slice;
use crate::changes::{self, Change, Final};
use crate::claims::DueKind;
use crate::db::Db;
use crate::db::dialect::Kind::Int;
use crate::db::dialect::Many;
use crate::error::Error;
use crate::rows::{self, MessageRow, Run};
use crate::tx::Tx;

/// Runs stopped in one transaction: the messages of each are counted.
const STOPPED_AT_ONCE: u32 = 10;
/// Statuses of messages that nobody has claimed are below it.
const CLAIMED: u8 = Status::Sending as u8;

static STOPPED: Many = Many::new(
    "INSERT OR IGNORE INTO group_slices (first, request, count, lane, expires, amount, skip)
       VALUES {(v_first, v_request, v_count, v_lane, 0, 0, v_skip)}",
    &[("v_first", Int), ("v_request", Int), ("v_count", Int), ("v_lane", Int), ("v_skip", Int)],
);

static UNMOVED: Many = Many::new("UPDATE {v, }group_slices SET skip = 0 WHERE first = v_first", &[("v_first", Int)]);

/// Cancels a group: from here on nothing of it becomes a run. What is to be done then is done by [`stop`] and
/// [`end_stopped`].
pub(crate) fn begin(tx: &mut Tx<'_>, account: AccountId, group: i64) -> Result<Result<GroupRow, State>, Error> {
    let row = must(tx.live, Some(account), group)?;
    let now = tx.now.millis();
    match row.state {
        State::Canceled => return Ok(Ok(row)),
        State::Expired | State::Finished => return Ok(Err(row.state)),
        State::Staging | State::WaitingApproval => {
            tx.live.execute(
                "UPDATE send_groups SET state = ?, phase = ?, finished = ?, canceled = ?, upload = 0, touched = ? WHERE id = ?",
                (State::Canceled as u8, Phase::Discard as u8, now, row.accepted, now, group),
            )?;
        }
        State::Scheduled | State::Sending => {
            // What was canceled alone before has not left either.
            let alone = canceled_alone(tx, &row)?;
            tx.live.execute(
                "UPDATE send_groups SET state = ?, phase = ?, canceled = ?, touched = ? WHERE id = ?",
                (State::Canceled as u8, Phase::Stop as u8, alone, now, group),
            )?;
        }
    }
    must(tx.live, Some(account), group).map(Ok)
}

/// Messages of a group that were canceled one by one.
fn canceled_alone(tx: &mut Tx<'_>, row: &GroupRow) -> Result<u32, Error> {
    let sql = "SELECT CAST(COALESCE(SUM(messages), 0) AS SIGNED) FROM progress WHERE request = ? AND status = ?";
    let (mut day, last) = (id_day(row.first), id_day(row.last));
    let mut canceled = 0;
    loop {
        let of_day: i64 =
            tx.day(day)?.prepare_cached(sql)?.query_row((row.id, Status::Canceled as u8), |counted| counted.get(0))?;
        canceled += of_day;
        if tx.live.is_mysql() || day >= last {
            return Ok(u32::try_from(canceled).unwrap_or_default());
        }
        day = day.next();
    }
}

/// Stops some runs of a canceled group. Answers whether there may be more; when not, nothing of the group can be claimed
/// any more, and it knows how many messages it kept from leaving.
pub(crate) fn stop(tx: &mut Tx<'_>, group: i64) -> Result<bool, Error> {
    let Some(row) = load(tx.live, None, group)?.filter(|row| row.phase == Phase::Stop as u8) else { return Ok(false) };
    let slices = super::mover::unmoved(tx.live, group, STOPPED_AT_ONCE)?;
    if !slices.is_empty() {
        stop_some(tx, &row, &slices)?;
        return Ok(true);
    }
    let runs = runs_of(tx.live, &row)?;
    let Some(last) = runs.last().map(|run| run.first) else {
        tx.live.execute("UPDATE send_groups SET phase = ? WHERE id = ?", (Phase::End as u8, group))?;
        return Ok(false);
    };
    let mut kept = 0;
    for run in runs {
        kept += stop_run(tx, &run)?;
    }
    let sql = "UPDATE send_groups SET canceled = canceled + ?, stopped_to = ? WHERE id = ?";
    tx.live.execute(sql, (kept, last, group))?;
    Ok(true)
}

/// Stops slices of a canceled group that have no run.
pub(super) fn stop_some(tx: &mut Tx<'_>, row: &GroupRow, slices: &[Slice]) -> Result<(), Error> {
    let kept = stop_slices(tx, row, slices)?;
    tx.live.execute("UPDATE send_groups SET canceled = canceled + ? WHERE id = ?", (kept, row.id))?;
    Ok(())
}

/// Slices that have no run get one that nobody is offered.
fn stop_slices(tx: &mut Tx<'_>, row: &GroupRow, slices: &[Slice]) -> Result<u32, Error> {
    let mut kept = 0;
    for slice in slices {
        let run = Run {
            first: slice.first,
            count: slice.count,
            next: 0,
            generation: 0,
            lane: slice.lane,
            account: row.account,
            request: row.id,
            send_at: 0,
            held: false,
        };
        crate::accept::hidden_run(tx.live, &run)?;
        kept += unclaimed(tx, &run)?;
    }
    // They came to exist when the group was sent, and are counted like the others.
    let born = crate::accept::staged_still(tx, row.account, slices)?;
    crate::accept::tell(tx, row.id, &born);
    tx.live.many(&UNMOVED, slices.iter().map(|slice| [slice.first]))?;
    Ok(kept)
}

/// The next runs of a group that are not stopped.
fn runs_of(live: &Db, row: &GroupRow) -> Result<Vec<Run>, Error> {
    let sql = format!(
        "SELECT {} FROM runs WHERE account = ? AND first > ? AND first <= ? AND request = ? ORDER BY first LIMIT ? /* lock */",
        rows::RUN_COLUMNS
    );
    let binds = (row.account.0, row.stopped_to, row.last, row.id, STOPPED_AT_ONCE);
    live.prepare_cached(&sql)?.query_map(binds, rows::read_run)?.collect()
}

/// Takes a run out of the line. Answers how many messages that keeps from leaving.
fn stop_run(tx: &mut Tx<'_>, run: &Run) -> Result<u32, Error> {
    let stopped = tx.live.prepare_cached("SELECT first FROM group_slices WHERE first = ?")?.exists([run.first])?;
    if stopped {
        // It never was in the line, and is counted.
        return Ok(0);
    }
    let mut kept = end_due(tx, run)?;
    if run.next < run.count {
        crate::sweep::take_out(tx.live, run)?;
        kept += unclaimed(tx, run)?;
        let bind = [run.first, run.request, i64::from(run.count), run.lane as i64, i64::from(run.next)];
        tx.live.many(&STOPPED, [bind])?;
    }
    Ok(kept)
}

/// Messages of a run that wait and were never claimed.
fn unclaimed(tx: &mut Tx<'_>, run: &Run) -> Result<u32, Error> {
    let from = run.first + i64::from(run.next);
    tx.day(id_day(run.first))?
        .prepare_cached("SELECT COUNT(*) FROM messages WHERE id BETWEEN ? AND ? AND status < ?")?
        .query_row((from, run.last(), CLAIMED), |row| row.get(0))
}

/// Ends messages of a run that were claimed, came back, and wait for their next turn.
fn end_due(tx: &mut Tx<'_>, run: &Run) -> Result<u32, Error> {
    let due: Vec<i64> = tx
        .live
        .prepare_cached("SELECT id FROM due WHERE id BETWEEN ? AND ? AND kind = ? ORDER BY id /* lock */")?
        .query_map((run.first, run.last(), DueKind::Send as u8), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut ended = Vec::new();
    for id in due {
        let row = rows::by_id(tx.day(id_day(id))?, id)?.filter(|row| row.status == Status::Queued);
        ended.extend(row.map(|row| (id, Change::Final(canceled(&row, tx.now.millis())))));
    }
    let ids: Vec<i64> = ended.iter().map(|(id, _)| *id).collect();
    tx.live.delete_in("DELETE FROM due WHERE kind = 0 AND id", &ids)?;
    let changes: Vec<Change> = ended.into_iter().map(|(_, change)| change).collect();
    changes::apply(tx, &changes)?;
    Ok(changes.len() as u32)
}

fn canceled(row: &MessageRow, now_ms: i64) -> Final {
    Final {
        id: row.id,
        attempt: 0,
        status: Status::Canceled,
        code: Code::Canceled,
        outcome: None,
        at: now_ms,
        refund: Some((row.account, row.unit, row.price)),
    }
}

/// Ends the messages of one stopped run. Answers whether there may be more.
pub(crate) fn end_stopped(tx: &mut Tx<'_>, group: i64) -> Result<bool, Error> {
    let Some(_) = load(tx.live, None, group)?.filter(|row| row.phase == Phase::End as u8) else { return Ok(false) };
    let sql = "SELECT first, count, skip FROM group_slices WHERE request = ? AND skip >= 0 ORDER BY first LIMIT 1";
    let next: Vec<(i64, i64, i64)> = tx
        .live
        .prepare_cached(sql)?
        .query_map([group], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let Some((first, count, skip)) = next.into_iter().next() else {
        tx.live.execute("UPDATE send_groups SET phase = ? WHERE id = ?", (Phase::Watch as u8, group))?;
        return Ok(false);
    };
    tx.live.execute("DELETE FROM group_slices WHERE first = ?", [first])?;
    let waiting = rows::in_range(tx.day(id_day(first))?, first + skip, first + count - 1)?;
    let now = tx.now.millis();
    let changes: Vec<Change> = waiting
        .iter()
        .filter(|row| (row.status as u8) < CLAIMED)
        .map(|row| Change::Final(canceled(row, now)))
        .collect();
    changes::apply(tx, &changes)?;
    Ok(true)
}
