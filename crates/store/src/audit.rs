//! Counting what was promised against what is there, in reads short enough for a running server.

use bongsu_domain::id::id_day;
use bongsu_domain::{MessageId, RequestId, Status};

use crate::error::Error;
use crate::readers::Reader;
use crate::rows::{self, Run};
use crate::store::Store;
use crate::wallet;

/// Runs counted in one read.
const RUNS_AT_ONCE: u32 = 100;

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

/// Counts everything. What changes meanwhile may be counted before or after; on a quiet store the count is exact.
///
/// # Errors
/// Those of the store.
pub async fn totals(store: &Store) -> Result<Totals, Error> {
    let mut sum = Counted::default();
    let mut after = i64::MIN;
    loop {
        let (last, counted) = store.read(move |reader| count_runs(reader, after)).await?;
        sum.promised += counted.promised;
        sum.present += counted.present;
        sum.double_final += counted.double_final;
        sum.owed_back += counted.owed_back;
        match last {
            Some(last) => after = last,
            None => break,
        }
    }
    store.read(move |reader| conclude(reader, &sum)).await
}

fn count_runs(reader: &mut Reader, after: i64) -> Result<(Option<i64>, Counted), Error> {
    let runs: Vec<Run> = reader
        .live
        .prepare_cached(&format!("SELECT {} FROM runs WHERE first > ? ORDER BY first LIMIT ?", rows::RUN_COLUMNS))?
        .query_map((after, RUNS_AT_ONCE), rows::read_run)?
        .collect::<Result<_, _>>()?;
    let mut counted = Counted::default();
    for run in &runs {
        counted.promised += u64::from(run.count);
        let Some(day) = reader.day(id_day(run.first))? else { continue };
        let (present, owed): (i64, i64) = day
            .prepare_cached(
                "SELECT COUNT(*), COALESCE(SUM(CASE WHEN status > ? AND status < ? THEN price ELSE 0 END), 0)
                   FROM messages WHERE id BETWEEN ? AND ?",
            )?
            .query_row((Status::Delivered as u8, Status::Read as u8, run.first, run.last()), |r| {
                Ok((r.get(0)?, r.get(1)?))
            })?;
        counted.present += present.unsigned_abs();
        counted.owed_back += owed;
        let double: i64 = day
            .prepare_cached(
                "SELECT COUNT(*) FROM (SELECT id FROM receipts WHERE id BETWEEN ? AND ? AND verdict = 0 GROUP BY id HAVING COUNT(*) > 1)",
            )?
            .query_row((run.first, run.last()), |r| r.get(0))?;
        counted.double_final += double.unsigned_abs();
    }
    Ok((runs.last().map(|run| run.first), counted))
}

/// Sum of the entries with a cause in `[from, to)`; causes sort by time, as ids and days do.
fn moved(live: &rusqlite::Connection, from: &str, to: &str) -> Result<i64, Error> {
    let mut sum = live.prepare_cached("SELECT COALESCE(SUM(amount), 0) FROM ledger WHERE cause >= ? AND cause < ?")?;
    Ok(sum.query_row((from, to), |row| row.get(0))?)
}

fn conclude(reader: &mut Reader, sum: &Counted) -> Result<Totals, Error> {
    let live = &reader.live;
    let number = |sql: &str| -> Result<i64, Error> { Ok(live.query_row(sql, [], |row| row.get(0))?) };
    let accepted = number("SELECT COALESCE(SUM(accepted), 0) FROM requests")?.unsigned_abs();
    let cost = number("SELECT COALESCE(SUM(amount), 0) FROM requests")?;
    // The ledger outlives what retention drops: only what belongs to the requests and runs that are left is compared.
    let oldest = number("SELECT COALESCE(MIN(id), 0) FROM requests")?;
    let charged = -(moved(live, &format!("request:{}", RequestId(oldest)), "request:bau")?
        + moved(live, &format!("request:{}", MessageId(oldest)), "request:msh")?);
    let day = id_day(number("SELECT COALESCE(MIN(first), 0) FROM runs")?);
    let refunded = moved(live, &format!("settle:{day}:"), "settle;")?;
    let over = |is: i64, should: i64| (is - should).max(0).unsigned_abs();
    let lacking_rows = accepted.saturating_sub(sum.promised) + sum.promised.saturating_sub(sum.present);
    let short = over(cost, charged) + over(sum.owed_back, refunded);
    Ok(Totals {
        accepted,
        missing: lacking_rows,
        double_final: sum.double_final,
        double_charge: over(charged, cost) + over(refunded, sum.owed_back),
        ledger_mismatch: wallet::mismatches(live)?.len() as u64 + short,
        unknown_attempts: number("SELECT COUNT(*) FROM unknown_attempts")?.unsigned_abs(),
        orphan_receipts: number("SELECT COUNT(*) FROM orphan_receipts")?.unsigned_abs(),
    })
}
