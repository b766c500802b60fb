//! Counting what was promised against what is there, in reads short enough for a running server.

use std::collections::HashMap;

use bongsu_domain::id::id_day;
use bongsu_domain::{GroupId, MessageId, RequestId, Status};

use crate::db::Db;
use crate::error::Error;
use crate::groups;
use crate::readers::Reader;
use crate::rows::{self, Run};
use crate::store::Store;

/// Runs counted in one read.
const RUNS_AT_ONCE: u32 = 100;
/// Rows of the live file added up in one read.
const ROWS_AT_ONCE: u32 = 20_000;

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
    while let Some(last) = {
        let (last, counted) = store.read(move |reader| count_runs(reader, after)).await?;
        sum.promised += counted.promised;
        sum.present += counted.present;
        sum.double_final += counted.double_final;
        sum.owed_back += counted.owed_back;
        last
    } {
        after = last;
    }
    // What is moved between the two looks is counted twice rather than not at all.
    let mut after = i64::MIN;
    while let Some((last, counted)) = store.read(move |reader| count_unmoved(reader, after)).await? {
        sum.promised += counted.promised;
        sum.present += counted.present;
        after = last;
    }
    let promises = promises(store).await?;
    let moves = moves(store, promises.oldest).await?;
    store.read(move |reader| conclude(reader, &sum, &promises, &moves)).await
}

/// What the request rows say.
struct Promises {
    accepted: i64,
    cost: i64,
    /// Id of the oldest request, 0 when there is none.
    oldest: i64,
}

async fn promises(store: &Store) -> Result<Promises, Error> {
    let mut sum = Promises { accepted: 0, cost: 0, oldest: 0 };
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
        for (id, accepted, amount) in rows {
            sum.oldest = if sum.oldest == 0 { id } else { sum.oldest };
            sum.accepted += accepted;
            sum.cost += amount;
        }
    }
}

/// What the ledger says.
#[derive(Default)]
struct Moves {
    charged: i64,
    refunded: i64,
    /// Sum of the entries of each account and unit.
    balances: HashMap<(i64, u8), i64>,
}

/// Adds the ledger up. It outlives what retention drops: only what belongs to requests and runs that are left counts as
/// charged or refunded. Causes sort by time, as ids and days do.
async fn moves(store: &Store, oldest: i64) -> Result<Moves, Error> {
    let first_run = store
        .read(|reader| reader.live.query_row("SELECT COALESCE(MIN(first), 0) FROM runs", (), |row| row.get(0)))
        .await?;
    let floors = [
        format!("request:{}", RequestId(oldest)),
        format!("request:{}", MessageId(oldest)),
        format!("settle:{}:", id_day(first_run)),
        format!("request:{}", GroupId(oldest)),
    ];
    let mut sum = Moves::default();
    let mut after = i64::MIN;
    loop {
        let rows: Vec<(i64, i64, u8, i64, String)> = store
            .read(move |reader| {
                let sql = "SELECT seq, account, unit, amount, cause FROM ledger WHERE seq > ? ORDER BY seq LIMIT ?";
                let mut page = reader.live.prepare_cached(sql)?;
                let rows = page.query_map((after, ROWS_AT_ONCE), |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
                })?;
                rows.collect::<Result<_, _>>()
            })
            .await?;
        let Some((last, ..)) = rows.last() else { return Ok(sum) };
        after = *last;
        for (_, account, unit, amount, cause) in rows {
            *sum.balances.entry((account, unit)).or_default() += amount;
            if cause.starts_with("settle:") && cause >= floors[2] {
                sum.refunded += amount;
            } else if (cause.starts_with("request:bat_") && cause >= floors[0])
                || (cause.starts_with("request:grp_") && cause >= floors[3])
                || (cause.starts_with("request:msg_") && cause >= floors[1])
            {
                sum.charged -= amount;
            }
        }
    }
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
    Ok((runs.last().map(|run| run.first), counted))
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

fn conclude(reader: &mut Reader, sum: &Counted, promises: &Promises, moves: &Moves) -> Result<Totals, Error> {
    let live = &reader.live;
    let number = |sql: &str| -> Result<i64, Error> { live.query_row(sql, (), |row| row.get(0)) };
    let over = |is: i64, should: i64| (is - should).max(0).unsigned_abs();
    let accepted = promises.accepted.unsigned_abs();
    let lacking_rows = accepted.saturating_sub(sum.promised) + sum.promised.saturating_sub(sum.present);
    let short = over(promises.cost, moves.charged) + over(sum.owed_back, moves.refunded);
    Ok(Totals {
        accepted,
        missing: lacking_rows,
        double_final: sum.double_final,
        double_charge: over(moves.charged, promises.cost) + over(moves.refunded, sum.owed_back),
        ledger_mismatch: mismatches(live, &moves.balances)? + short,
        unknown_attempts: number("SELECT COUNT(*) FROM unknown_attempts")?.unsigned_abs(),
        orphan_receipts: number("SELECT COUNT(*) FROM orphan_receipts")?.unsigned_abs(),
    })
}

/// Balances that are not the sum of their entries, or lack one of the two.
fn mismatches(live: &Db, sums: &HashMap<(i64, u8), i64>) -> Result<u64, Error> {
    let mut statement = live.prepare_cached("SELECT account, unit, amount FROM balances")?;
    let kept: HashMap<(i64, u8), i64> =
        statement.query_map((), |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?.collect::<Result<_, _>>()?;
    let differ = kept.iter().filter(|(key, amount)| sums.get(key).copied().unwrap_or(0) != **amount).count();
    let lacking = sums.iter().filter(|(key, amount)| **amount != 0 && !kept.contains_key(key)).count();
    Ok((differ + lacking) as u64)
}
