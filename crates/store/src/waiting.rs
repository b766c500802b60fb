//! Runs that wait for their time: put aside at accept, let go when it comes, moved and taken apart before.
//!
//! A waiting run has its row in `runs`, so its messages exist, and one in `waiting` instead of one in `backlog`, so no
//! dispatcher sees it. Whoever accepts says so by [`Slice::send_at`]; a request whose rows were staged before their time
//! was known gives [`hold`] the moment from which their expiry was counted, and it is counted anew when they leave.

use std::time::Duration;

use bongsu_domain::id::{id_day, id_millis};
use bongsu_domain::{AccountId, Code, Hours, Lane, Status, Timestamp};

use crate::accept::Slice;
use crate::changes::{self, Change, Final};
use crate::claims::DueKind;
use crate::db::dialect::Kind::Int;
use crate::db::dialect::Many;
use crate::db::{Db, OptionalExtension};
use crate::error::{Error, Kind};
use crate::rows::{self, RUN_COLUMNS, Run};
use crate::tx::Tx;

/// Why a run waits: the only reason so far is its time.
const SCHEDULED: i64 = 1;

/// From when the expiry counts that the rows of a slice were written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// From the time they leave.
    FromSendAt,
    /// From when they were written; it is counted anew when they leave.
    FromAccept,
}

static WAITING: Many = Many::new(
    "INSERT INTO waiting (first, count, lane, account, request, expires, at, counted, reason)
       VALUES {(v_first, v_count, v_lane, v_account, v_request, v_expires, v_at, v_counted, v_reason)}",
    &[
        ("v_first", Int),
        ("v_count", Int),
        ("v_lane", Int),
        ("v_account", Int),
        ("v_request", Int),
        ("v_expires", Int),
        ("v_at", Int),
        ("v_counted", Int),
        ("v_reason", Int),
    ],
);

static RUNS: Many = Many::new(
    "INSERT INTO runs (first, count, next, gen, lane, account, request, send_at, held)
       VALUES {(v_first, v_count, 0, 0, v_lane, v_account, v_request, v_at, 1)}",
    &[("v_first", Int), ("v_count", Int), ("v_lane", Int), ("v_account", Int), ("v_request", Int), ("v_at", Int)],
);

static BACKLOG: Many = Many::new(
    "INSERT INTO backlog (lane, account, first, expires) VALUES {(v_lane, v_account, v_first, v_expires)}",
    &[("v_lane", Int), ("v_account", Int), ("v_first", Int), ("v_expires", Int)],
);

static RELEASED: Many = Many::new("UPDATE {v, }runs SET held = 0 WHERE first = v_first", &[("v_first", Int)]);

/// Makes slices exist that leave at their [`Slice::send_at`].
pub(crate) fn hold(tx: &Tx<'_>, request: i64, slices: &[(AccountId, Slice)], counted: Counted) -> Result<(), Error> {
    if slices.is_empty() {
        return Ok(());
    }
    let run =
        |(account, s): &(AccountId, Slice)| [s.first, i64::from(s.count), s.lane as i64, account.0, request, s.send_at];
    tx.live.many(&RUNS, slices.iter().map(run))?;
    let waiting = |(account, s): &(AccountId, Slice)| {
        let from = match counted {
            Counted::FromSendAt => s.send_at,
            Counted::FromAccept => id_millis(s.first),
        };
        [s.first, i64::from(s.count), s.lane as i64, account.0, request, s.expires, s.send_at, from, SCHEDULED]
    };
    tx.live.many(&WAITING, slices.iter().map(waiting))?;
    Ok(())
}

/// First ids of runs whose time has come, the earliest first.
pub(crate) fn due(live: &Db, now_ms: i64, limit: u32) -> Result<Vec<i64>, Error> {
    let mut statement = live.prepare_cached("SELECT first FROM waiting WHERE at <= ? ORDER BY at, first LIMIT ?")?;
    let found = statement.query_map((now_ms, limit), |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(found)
}

/// A row of `waiting`.
#[derive(Debug, Clone, Copy)]
struct Row {
    first: i64,
    count: u32,
    lane: Lane,
    account: AccountId,
    request: i64,
    expires: i64,
    at: i64,
    counted: i64,
}

const COLUMNS: &str = "first, count, lane, account, request, expires, at, counted";

fn read(row: &crate::db::Row<'_>) -> Result<Row, Error> {
    Ok(Row {
        first: row.get(0)?,
        count: row.get(1)?,
        lane: Lane::from_u8(row.get(2)?).unwrap_or(Lane::Bulk),
        account: AccountId(row.get(3)?),
        request: row.get(4)?,
        expires: row.get(5)?,
        at: row.get(6)?,
        counted: row.get(7)?,
    })
}

fn of_run(live: &Db, first: i64) -> Result<Option<Row>, Error> {
    live.prepare_cached(&format!("SELECT {COLUMNS} FROM waiting WHERE first = ? /* lock */"))?
        .query_row([first], read)
        .optional()
}

/// Lets those of these runs go whose time has come: each once, whoever else tries. Answers how many went.
pub(crate) fn release(tx: &mut Tx<'_>, firsts: &[i64], hours: Hours) -> Result<usize, Error> {
    let head = format!("SELECT {COLUMNS} FROM waiting WHERE at <= {} AND first", tx.now.millis());
    let mut rows = tx.live.select_in(&head, firsts, "/* lock */", read)?;
    rows.sort_unstable_by_key(|row| row.first);
    rows.dedup_by_key(|row| row.first);
    let firsts: Vec<i64> = rows.iter().map(|row| row.first).collect();
    let head = format!("SELECT {RUN_COLUMNS} FROM runs WHERE first");
    let mut runs = tx.live.select_in(&head, &firsts, "/* lock */", rows::read_run)?;
    runs.sort_unstable_by_key(|run| run.first);
    runs.dedup_by_key(|run| run.first);
    for row in rows.iter_mut().filter(|row| row.at != row.counted) {
        row.expires = recount_once(tx, row, hours)?;
    }
    tx.live.many(&RELEASED, firsts.iter().map(|first| [*first]))?;
    let open: Vec<Run> = runs.into_iter().filter(|run| run.next < run.count).collect();
    let expires = |run: &Run| {
        let at = rows.binary_search_by_key(&run.first, |row| row.first);
        at.map_or(i64::MAX, |at| rows[at].expires)
    };
    tx.live.many(&BACKLOG, open.iter().map(|run| [run.lane as i64, run.account.0, run.first, expires(run)]))?;
    tx.live.delete_in("DELETE FROM waiting WHERE first", &firsts)?;
    tx.fresh.extend(open.iter().map(|run| Run { held: false, ..*run }));
    Ok(firsts.len())
}

/// Counts the expiry of a waiting run from its time. Its rows lie in another file, which may have been committed although
/// the rest was not: what was counted anew then shows in the earliest expiry, and the time has come, so it stays.
fn recount_once(tx: &mut Tx<'_>, row: &Row, hours: Hours) -> Result<i64, Error> {
    let (first, last) = (row.first, row.first + i64::from(row.count) - 1);
    match earliest(tx, (first, last))? {
        Some(now) if now != row.expires => Ok(now),
        _ => recount(tx, (first, last), row.lane, (row.counted, row.at), hours),
    }
}

/// The earliest expiry of rows, Unix milliseconds.
fn earliest(tx: &mut Tx<'_>, (first, last): (i64, i64)) -> Result<Option<i64>, Error> {
    let earliest: Option<i64> = tx
        .day(id_day(first))?
        .prepare_cached("SELECT MIN(expires) FROM messages WHERE id BETWEEN ? AND ?")?
        .query_row((first, last), |row| row.get(0))?;
    Ok(earliest.map(|expires| id_millis(first) + expires))
}

/// Counts the expiry of rows from another moment (ms); answers the earliest. That of advertisements counts in the hours
/// in which they may leave.
pub(crate) fn recount(
    tx: &mut Tx<'_>,
    (first, last): (i64, i64),
    lane: Lane,
    (from, to): (i64, i64),
    hours: Hours,
) -> Result<i64, Error> {
    let accepted = id_millis(first);
    let db = tx.day(id_day(first))?;
    let mut known: Vec<i64> = db
        .prepare_cached("SELECT DISTINCT expires FROM messages WHERE id BETWEEN ? AND ?")?
        .query_map((first, last), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    // A moment that moves to where another stood must not be moved again with it.
    known.sort_unstable_by_key(|expires| if to > from { -*expires } else { *expires });
    let mut earliest = i64::MAX;
    for expires in known {
        let moved = moved(lane, accepted + expires, (from, to), hours);
        db.prepare_cached("UPDATE messages SET expires = ? WHERE id BETWEEN ? AND ? AND expires = ?")?.execute((
            moved - accepted,
            first,
            last,
            expires,
        ))?;
        earliest = earliest.min(moved);
    }
    Ok(earliest)
}

fn moved(lane: Lane, expires: i64, (from, to): (i64, i64), hours: Hours) -> i64 {
    if lane != Lane::Ad {
        return expires - from + to;
    }
    let time = Timestamp::from_millis;
    let life = hours.between(time(from), time(expires)).max(Duration::from_millis(1));
    hours.after(time(to), life).millis()
}

/// What is to leave at another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// One message.
    Message(i64),
    /// Every message of a request, of whatever kind, that still waits.
    Request(i64),
    /// The same of a batch, and nothing else.
    Batch(i64),
}

/// Has what waits leave at another time (ms). Answers how many messages.
///
/// # Errors
/// `NotFound` when it does not exist for this account; `Conflict("left")` when nothing of it waits for its time.
pub(crate) fn reschedule(tx: &mut Tx<'_>, account: Option<AccountId>, target: Target, at: i64) -> Result<u64, Error> {
    let moved = match target {
        Target::Message(id) => reschedule_one(tx, account, id, at)?,
        Target::Request(id) => reschedule_all(tx, account, id, at)?,
        Target::Batch(id) => {
            batch(tx.live, account, id)?;
            reschedule_all(tx, account, id, at)?
        }
    };
    if moved == 0 {
        return Err(Error::new(Kind::Conflict("left"), "it does not wait for its time"));
    }
    Ok(moved)
}

fn not_found() -> Error {
    Error::new(Kind::NotFound, "no such message")
}

fn reschedule_one(tx: &mut Tx<'_>, account: Option<AccountId>, id: i64, at: i64) -> Result<u64, Error> {
    let run =
        rows::run_of(tx.live, id)?.filter(|run| account.is_none_or(|a| a == run.account)).ok_or_else(not_found)?;
    // What is due is leaving, although nobody may have let it go yet.
    let waits = |row: &Row| row.at > tx.now.millis();
    let Some(row) = of_run(tx.live, run.first)?.filter(waits) else { return Ok(0) };
    part(tx, &run, &row, id)?;
    move_to(tx.live, id, at)?;
    Ok(1)
}

fn move_to(live: &Db, first: i64, at: i64) -> Result<(), Error> {
    live.prepare_cached("UPDATE waiting SET at = ? WHERE first = ?")?.execute((at, first))?;
    live.prepare_cached("UPDATE runs SET send_at = ? WHERE first = ?")?.execute((at, first))?;
    Ok(())
}

/// Makes a message of a waiting run a run of its own, with those before and after it.
fn part(tx: &mut Tx<'_>, run: &Run, row: &Row, id: i64) -> Result<(), Error> {
    let offset = (id - run.first) as u32;
    let pieces = [(run.first, offset), (id, 1), (id + 1, run.count - offset - 1)];
    if run.count == 1 {
        return Ok(());
    }
    let (kept, new) = if offset == 0 { (pieces[1], &pieces[2..]) } else { (pieces[0], &pieces[1..]) };
    tx.live.prepare_cached("UPDATE runs SET count = ? WHERE first = ?")?.execute((kept.1, kept.0))?;
    let expires = |tx: &mut Tx<'_>, (first, count): (i64, u32)| -> Result<i64, Error> {
        Ok(earliest(tx, (first, first + i64::from(count) - 1))?.unwrap_or(row.expires))
    };
    let of_kept = expires(tx, kept)?;
    let sql = "UPDATE waiting SET count = ?, expires = ? WHERE first = ?";
    tx.live.prepare_cached(sql)?.execute((kept.1, of_kept, kept.0))?;
    let mut with_expiry = Vec::new();
    for piece in new.iter().filter(|(_, count)| *count > 0) {
        with_expiry.push((piece.0, piece.1, expires(tx, *piece)?));
    }
    let new = || with_expiry.iter();
    let (lane, account) = (row.lane as i64, row.account.0);
    tx.live
        .many(&RUNS, new().map(|(first, count, _)| [*first, i64::from(*count), lane, account, row.request, row.at]))?;
    tx.live.many(
        &WAITING,
        new().map(|(first, count, expires)| {
            [*first, i64::from(*count), lane, account, row.request, *expires, row.at, row.counted, SCHEDULED]
        }),
    )?;
    Ok(())
}

fn reschedule_all(tx: &Tx<'_>, account: Option<AccountId>, request: i64, at: i64) -> Result<u64, Error> {
    promised(tx.live, account, request)?;
    let now = tx.now.millis();
    let rows: Vec<Row> = tx
        .live
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM waiting WHERE request = ? AND at > ? ORDER BY first /* lock */"
        ))?
        .query_map((request, now), read)?
        .collect::<Result<_, _>>()?;
    tx.live.prepare_cached("UPDATE waiting SET at = ? WHERE request = ? AND at > ?")?.execute((at, request, now))?;
    static MOVED: Many =
        Many::new("UPDATE {v, }runs SET send_at = v_at WHERE first = v_first", &[("v_at", Int), ("v_first", Int)]);
    tx.live.many(&MOVED, rows.iter().map(|row| [at, row.first]))?;
    Ok(rows.iter().map(|row| u64::from(row.count)).sum())
}

/// What a request was promised: whose it is, and where its messages lie.
struct Promised {
    /// 1 for a batch.
    kind: u8,
    account: AccountId,
    first: i64,
    last: i64,
}

fn promised(live: &Db, account: Option<AccountId>, request: i64) -> Result<Promised, Error> {
    let found = live
        .prepare_cached("SELECT account, first_id, last_id, kind FROM requests WHERE id = ? AND kind <> 0")?
        .query_row([request], |row| {
            let (first, last) = (row.get(1)?, row.get(2)?);
            Ok(Promised { kind: row.get(3)?, account: AccountId(row.get(0)?), first, last })
        })
        .optional()?;
    found
        .filter(|found| account.is_none_or(|account| account == found.account))
        .ok_or_else(|| Error::new(Kind::NotFound, "no such batch"))
}

fn batch(live: &Db, account: Option<AccountId>, request: i64) -> Result<Promised, Error> {
    let promised = promised(live, account, request)?;
    if promised.kind == 1 { Ok(promised) } else { Err(Error::new(Kind::NotFound, "no such batch")) }
}

/// First ids of the runs of a batch, in order.
///
/// # Errors
/// `NotFound` when it does not exist for this account.
pub(crate) fn runs_of(live: &Db, account: Option<AccountId>, request: i64) -> Result<Vec<i64>, Error> {
    let promised = batch(live, account, request)?;
    let sql = "SELECT first FROM runs WHERE account = ? AND first BETWEEN ? AND ? AND request = ? ORDER BY first";
    let mut statement = live.prepare_cached(sql)?;
    let range = (promised.account.0, promised.first, promised.last, request);
    let found = statement.query_map(range, |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(found)
}

/// What a cancel of many came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Withdrawn {
    /// Messages that are canceled, by it or before.
    pub canceled: u64,
    /// Messages that have left, are leaving, or ended otherwise before.
    pub left: u64,
}

/// Cancels what of a run has not left: all of it at once, with the refunds.
pub(crate) fn withdraw(tx: &mut Tx<'_>, first: i64) -> Result<Withdrawn, Error> {
    let Some(run) = rows::run_of(tx.live, first)?.filter(|run| run.first == first) else {
        return Ok(Withdrawn::default());
    };
    let rows = rows::in_range(tx.day(id_day(first))?, run.first, run.last())?;
    let mut ends = Vec::new();
    for row in rows.iter().filter(|row| row.status == Status::Queued) {
        let unclaimed = row.id - run.first >= i64::from(run.next);
        let taken = unclaimed
            || tx
                .live
                .prepare_cached("DELETE FROM due WHERE id = ? AND kind = ?")?
                .execute((row.id, DueKind::Send as u8))?
                > 0;
        if taken {
            ends.push(Change::Final(Final {
                id: row.id,
                attempt: 0,
                status: Status::Canceled,
                code: Code::Canceled,
                outcome: None,
                at: tx.now.millis(),
                refund: Some((row.account, row.unit, row.price)),
            }));
        }
    }
    if run.next < run.count {
        drop_waiting(tx.live, &run)?;
    }
    let firsts = changes::apply(tx, &ends)?;
    let before = rows.iter().filter(|row| row.status == Status::Canceled).count();
    let canceled = (before + firsts.iter().filter(|first| **first).count()) as u64;
    Ok(Withdrawn { canceled, left: u64::from(run.count) - canceled })
}

/// Takes a run out of every line: nothing of it is to be claimed.
fn drop_waiting(live: &Db, run: &Run) -> Result<(), Error> {
    live.prepare_cached("UPDATE runs SET next = count, gen = gen + 1, held = 0 WHERE first = ?")?
        .execute([run.first])?;
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

/// Forgets a waiting run of which the last message was canceled.
pub(crate) fn forget_if_over(tx: &mut Tx<'_>, run: &Run) -> Result<(), Error> {
    if !run.held {
        return Ok(());
    }
    let open: i64 = tx
        .day(id_day(run.first))?
        .prepare_cached("SELECT COUNT(*) FROM messages WHERE id BETWEEN ? AND ? AND status < 10")?
        .query_row((run.first, run.last()), |row| row.get(0))?;
    if open == 0 { drop_waiting(tx.live, run) } else { Ok(()) }
}

/// Whether something of a range of ids still waits for its time.
pub(crate) fn holds(live: &Db, (from, to): (i64, i64)) -> Result<bool, Error> {
    live.prepare_cached("SELECT first FROM waiting WHERE first BETWEEN ? AND ? LIMIT 1")?.exists((from, to))
}
