//! Counting what was promised against what is there, in reads short enough for a running server.

mod moves;

use std::time::Duration;

use bongsu_domain::Status;
use bongsu_domain::id::id_day;

use crate::error::Error;
use crate::groups;
use crate::readers::Reader;
use crate::rows::{self, Run};
use crate::store::Store;
use moves::{Kept, Moves};

/// Runs counted in one read.
const RUNS_AT_ONCE: u32 = 100;
/// Rows of the live file added up in one read.
const ROWS_AT_ONCE: u32 = 20_000;
/// The embedded store writes a result in one file and its refund in another one right after: where a refund lacks, the
/// ledger is read so often again, after so long a wait.
const LOOKS_AGAIN: usize = 5;
const COMMIT_WAIT: Duration = Duration::from_millis(200);

/// What the store counts by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages that the request rows promise.
    pub accepted: u64,
    /// Promised messages that have no row.
    pub missing: u64,
    /// Messages that more than one receipt made final.
    pub double_final: u64,
    /// Charges, in units, beyond what the requests cost, and refunds beyond what the messages give back.
    pub double_charge: u64,
    /// Balances that are not the sum of their entries, and money that the entries lack.
    pub ledger_mismatch: u64,
    /// Attempts that are or were unknown.
    pub unknown_attempts: u64,
    /// Receipts that no attempt wants.
    pub orphan_receipts: u64,
}

/// What the runs of one read hold.
#[derive(Default)]
struct Counted {
    promised: u64,
    present: u64,
    double_final: u64,
    owed_back: i64,
}

impl Counted {
    fn add(&mut self, more: &Self) {
        self.promised += more.promised;
        self.present += more.present;
        self.double_final += more.double_final;
        self.owed_back += more.owed_back;
    }
}

/// Counts everything, also while business goes on: what should be is read between two looks at what was booked, so that
/// nothing which is just being booked counts as too much or too little. Counts of a busy store are of about now.
///
/// # Errors
/// Those of the store.
pub async fn totals(store: &Store) -> Result<Totals, Error> {
    loop {
        let kept = Kept::of(store).await?;
        let totals = count(store, &kept).await?;
        // Retention may have dropped a day meanwhile.
        if Kept::of(store).await? == kept {
            return Ok(totals);
        }
    }
}

async fn count(store: &Store, kept: &Kept) -> Result<Totals, Error> {
    let before = Moves::read(store, kept).await?;
    let promises = promises(store).await?;
    let mut sum = Counted::default();
    // What is moved between the two looks is counted twice rather than not at all.
    let mut from = i64::MIN;
    while let Some((last, counted)) = store.read(move |reader| count_unmoved(reader, from)).await? {
        sum.add(&counted);
        from = last;
    }
    let mut from = i64::MIN;
    while let Some((last, counted)) = store.read(move |reader| count_runs(reader, from)).await? {
        sum.add(&counted);
        from = last;
    }
    let mut after = Moves::read(store, kept).await?;
    for _ in 0..LOOKS_AGAIN {
        if short(&sum, &after) == 0 {
            break;
        }
        tokio::time::sleep(COMMIT_WAIT).await;
        after = Moves::read(store, kept).await?;
    }
    store.read(move |reader| conclude(reader, &sum, &promises, &before, &after)).await
}

/// What the request rows say.
struct Promises {
    accepted: i64,
    cost: i64,
}

async fn promises(store: &Store) -> Result<Promises, Error> {
    let mut sum = Promises { accepted: 0, cost: 0 };
    let mut after = i64::MIN;
    loop {
        let rows: Vec<(i64, i64, i64)> = store
            .read(move |reader| {
                let sql = "SELECT id, accepted, amount FROM requests WHERE id > ? ORDER BY id LIMIT ?";
                let mut page = reader.live.prepare_cached(sql)?;
                let rows = page.query_map((after, ROWS_AT_ONCE), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
                rows.collect::<Result<_, _>>()
            })
            .await?;
        let Some((last, ..)) = rows.last() else { return Ok(sum) };
        after = *last;
        for (_, accepted, amount) in rows {
            sum.accepted += accepted;
            sum.cost += amount;
        }
    }
}

fn count_runs(reader: &mut Reader, after: i64) -> Result<Option<(i64, Counted)>, Error> {
    let runs: Vec<Run> = reader
        .live
        .prepare_cached(&format!("SELECT {} FROM runs WHERE first > ? ORDER BY first LIMIT ?", rows::RUN_COLUMNS))?
        .query_map((after, RUNS_AT_ONCE), rows::read_run)?
        .collect::<Result<_, _>>()?;
    let Some(last) = runs.last().map(|run| run.first) else { return Ok(None) };
    let mut counted = Counted::default();
    for run in &runs {
        counted.promised += u64::from(run.count);
        let Some(day) = reader.day(id_day(run.first))? else { continue };
        let (present, owed): (i64, i64) = day
            .prepare_cached(
                "SELECT COUNT(*), CAST(COALESCE(SUM(CASE WHEN status > ? AND status < ? THEN price ELSE 0 END), 0) AS SIGNED)
                   FROM messages WHERE id BETWEEN ? AND ?",
            )?
            .query_row((Status::Delivered as u8, Status::Read as u8, run.first, run.last()), |r| {
                Ok((r.get(0)?, r.get(1)?))
            })?;
        counted.present += present.unsigned_abs();
        counted.owed_back += owed;
        let double: i64 = day
            .prepare_cached(
                "SELECT COUNT(*) FROM (SELECT id FROM receipts WHERE id BETWEEN ? AND ? AND verdict = 0 GROUP BY id HAVING COUNT(*) > 1) AS decided",
            )?
            .query_row((run.first, run.last()), |r| r.get(0))?;
        counted.double_final += double.unsigned_abs();
    }
    Ok(Some((last, counted)))
}

/// Slices of groups that are sent and have no run yet.
fn count_unmoved(reader: &mut Reader, after: i64) -> Result<Option<(i64, Counted)>, Error> {
    let slices = groups::unmoved(&reader.live, after, RUNS_AT_ONCE)?;
    let Some((last, _)) = slices.last().copied() else { return Ok(None) };
    let mut counted = Counted::default();
    for (first, count) in slices {
        counted.promised += u64::from(count);
        let Some(day) = reader.day(id_day(first))? else { continue };
        let present: i64 = day
            .prepare_cached("SELECT COUNT(*) FROM messages WHERE id BETWEEN ? AND ?")?
            .query_row((first, first + i64::from(count) - 1), |row| row.get(0))?;
        counted.present += present.unsigned_abs();
    }
    Ok(Some((last, counted)))
}

fn conclude(
    reader: &Reader,
    sum: &Counted,
    promises: &Promises,
    before: &Moves,
    after: &Moves,
) -> Result<Totals, Error> {
    let live = &reader.live;
    let number = |sql: &str| -> Result<i64, Error> { live.query_row(sql, (), |row| row.get(0)) };
    let accepted = promises.accepted.unsigned_abs();
    let lacking_rows = accepted.saturating_sub(sum.promised) + sum.promised.saturating_sub(sum.present);
    Ok(Totals {
        accepted,
        missing: lacking_rows,
        double_final: sum.double_final,
        double_charge: over(before.charged, promises.cost) + over(before.refunded, sum.owed_back),
        ledger_mismatch: after.mismatches(live)? + over(promises.cost, after.charged) + short(sum, after),
        unknown_attempts: number("SELECT COUNT(*) FROM unknown_attempts")?.unsigned_abs(),
        orphan_receipts: number("SELECT COUNT(*) FROM orphan_receipts")?.unsigned_abs(),
    })
}

/// What should have been given back and was not.
fn short(sum: &Counted, moves: &Moves) -> u64 {
    over(sum.owed_back, moves.refunded)
}

fn over(is: i64, should: i64) -> u64 {
    (is - should).max(0).unsigned_abs()
}
