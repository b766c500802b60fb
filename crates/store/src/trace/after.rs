//! What followed the events of one message: the entry of the ledger that gave its price back, and the calls of webhooks that
//! told of it together with others.

use bongsu_domain::id::{first_id_at, id_day, id_millis};
use bongsu_domain::{AccountId, Status, Timestamp, Unit};

use super::{LedgerRow, RequestRow};
use crate::db::{Db, OptionalExtension};
use crate::error::Error;
use crate::facts::{self, Told};
use crate::query::Found;
use crate::readers::Reader;
use crate::rows::MessageRow;
use crate::vault::Vault;
use crate::webhooks::{self, DeliveryRow};

/// Entries of an account that are looked through for one that gave money back.
const ENTRIES_MAX: u32 = 2_000;
/// Clocks of several processes, and the order in which their transactions end, differ by less, in microseconds.
const SKEW_US: i64 = 1_000_000;

/// Money that a message gave back.
#[derive(Debug, Clone)]
pub struct Refund {
    /// Its price.
    pub amount: i64,
    /// Of which unit.
    pub unit: Unit,
    /// The entry that has it, with what else that commit gave back; none when it is not found.
    pub entry: Option<LedgerRow>,
}

/// When something happened to a message that may have been told, Unix milliseconds, in order.
pub(super) fn moments(live: &Db, found: &Found, request: Option<&RequestRow>) -> Result<Vec<i64>, Error> {
    let row = &found.row;
    let mut moments = vec![id_millis(row.id)];
    if let Some(group) = request.filter(|request| request.kind == crate::groups::KIND) {
        // Its messages came to exist when it was sent.
        let sent = live
            .prepare_cached("SELECT sent FROM send_groups WHERE id = ?")?
            .query_row([group.id], |row| row.get::<i64>(0))
            .optional()?;
        moments.extend(sent.filter(|sent| *sent > 0));
    }
    for attempt in found.earlier.iter().chain([&row.attempt]) {
        moments.extend(attempt.answered);
        moments.extend(attempt.result);
    }
    moments.sort_unstable();
    moments.dedup();
    Ok(moments)
}

/// What a message that ended gave back, which is its price unless it arrived.
pub(super) fn refund(live: &Db, row: &MessageRow, told: &[Told]) -> Result<Option<Refund>, Error> {
    if !row.status.is_final() || matches!(row.status, Status::Delivered | Status::Read) || row.price == 0 {
        return Ok(None);
    }
    let end = told.iter().find(|told| told.event.kind.is_end());
    let entry = end.map(|end| entry(live, row, end.commit_ms)).transpose()?.flatten();
    Ok(Some(Refund { amount: row.price, unit: row.unit, entry }))
}

/// The entry of the commit that ended a message.
fn entry(live: &Db, row: &MessageRow, commit_ms: i64) -> Result<Option<LedgerRow>, Error> {
    let account = row.account;
    let skew = if live.is_mysql() { SKEW_US } else { 0 };
    let from = first_entry_at(live, account, commit_ms * 1_000 - skew)?;
    let cause = format!("settle:{}:", id_day(row.id));
    let mut statement = live.prepare_cached(
        "SELECT seq, amount, cause, at, unit FROM ledger WHERE account = ? AND seq >= ? ORDER BY seq LIMIT ?",
    )?;
    let mut rows = statement.query((account.0, from, ENTRIES_MAX))?;
    while let Some(found) = rows.next()? {
        let at: i64 = found.get(3)?;
        if at >= (commit_ms + 1) * 1_000 + skew {
            break;
        }
        let entry = LedgerRow { seq: found.get(0)?, amount: found.get(1)?, unit: row.unit, cause: found.get(2)?, at };
        let is_of_unit = found.get::<u8>(4)? == row.unit as u8;
        let is_of_commit = at.div_euclid(1_000) == commit_ms && entry.cause.starts_with(&cause);
        if is_of_unit && is_of_commit && entry.amount >= row.price {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

/// The first entry of an account from a moment on, by halves: entries are in the order of time.
fn first_entry_at(live: &Db, account: AccountId, at_us: i64) -> Result<i64, Error> {
    let last: Option<i64> =
        live.query_row("SELECT MAX(seq) FROM ledger WHERE account = ?", [account.0], |row| row.get(0))?;
    let mut next =
        live.prepare_cached("SELECT seq, at FROM ledger WHERE account = ? AND seq >= ? ORDER BY seq LIMIT 1")?;
    let (mut low, mut high) = (0, last.unwrap_or(0));
    while low < high {
        let middle = low + (high - low) / 2;
        match next.query_row((account.0, middle), |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?))).optional()? {
            Some((seq, at)) if at < at_us => low = seq + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// Calls of webhooks that told of a message, alone or, where they came soon after it, with others; oldest first.
pub(super) fn deliveries(live: &Db, vault: &Vault, row: &MessageRow, told: &[Told]) -> Result<Vec<DeliveryRow>, Error> {
    let skew = if live.is_mysql() { SKEW_US } else { 0 };
    let mut all = webhooks::of_message(live, vault, row.account, row.id)?;
    for told in told {
        let from = first_id_at(Timestamp(told.commit_ms * 1_000 - skew));
        all.extend(webhooks::of_event(live, vault, row.account, told.event.position, from)?);
    }
    all.sort_by_key(|delivery| delivery.id.0);
    all.dedup_by_key(|delivery| delivery.id.0);
    Ok(all)
}

/// The events of a message that are found soon after its moments.
pub(super) fn told(reader: &mut Reader, row: &MessageRow, moments: &[i64]) -> Result<Vec<Told>, Error> {
    let margin = if reader.live.is_mysql() { SKEW_US / 1_000 } else { 0 };
    let mut told = facts::of_message(&reader.live, row.account, row.id, moments, margin)?;
    if !reader.live.is_mysql()
        && let Some(day) = reader.day(id_day(row.id))?
    {
        told.extend(facts::of_message(day, row.account, row.id, moments, margin)?);
    }
    told.sort_by_key(|told| told.event.position);
    Ok(told)
}
