//! The wallet: an append-only ledger, and beside it a balance that the same transaction keeps (design D10).

use bongsu_domain::{AccountId, Timestamp, Unit};

use crate::accounts;
use crate::db::dialect::Kind::{Int, Text};
use crate::db::dialect::Many;
use crate::db::{Db, OptionalExtension, Row, Value, int, params};
use crate::error::{Error, Kind};
use crate::{PAGE_MAX, Store};

/// The most that one entry moves, in the unit's smallest part.
pub const MAX_AMOUNT: i64 = 1_000_000_000_000;
/// The longest cause of an operator's credit, in characters.
pub const CAUSE_MAX: usize = 100;

const COLUMNS: &str = "seq, account, unit, amount, balance, cause, at";

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Position in the ledger; the cursor of a listing.
    pub seq: i64,
    /// Whose money.
    pub account: AccountId,
    /// Of which unit.
    pub unit: Unit,
    /// What was moved: above 0 credits, below 0 charges.
    pub amount: i64,
    /// The balance after it.
    pub balance: i64,
    /// Why: unique per account and unit.
    pub cause: String,
    /// When.
    pub at: Timestamp,
}

/// A balance that is not the sum of its entries: account, unit, balance, sum.
pub type Mismatch = (AccountId, Unit, i64, i64);

/// Takes `amount` from a balance, once per cause. An amount of 0 (a free price) writes nothing.
///
/// # Errors
/// `NoBalance` when less is there; nothing is changed then. `Conflict("cause")` when the cause moved another amount
/// before. `Invalid("amount")` below 0 or above [`MAX_AMOUNT`].
pub fn charge(
    live: &Db,
    account: AccountId,
    unit: Unit,
    amount: i64,
    cause: &str,
    now: Timestamp,
) -> Result<(), Error> {
    if amount == 0 {
        return Ok(());
    }
    charge_all(live, account, unit, &[(cause.to_owned(), amount)], now)
}

static ENTRIES: Many = Many::new(
    "INSERT INTO ledger (account, unit, amount, balance, cause, at) VALUES {(v_account, v_unit, v_amount, v_balance, v_cause, v_at)}",
    &[("v_account", Int), ("v_unit", Int), ("v_amount", Int), ("v_balance", Int), ("v_cause", Text), ("v_at", Int)],
);

/// Takes several amounts from one balance, each once per cause: all of them, or an error. The balance is locked from here
/// to the commit, so this comes last in a transaction.
pub(crate) fn charge_all(
    live: &Db,
    account: AccountId,
    unit: Unit,
    charges: &[(String, i64)],
    now: Timestamp,
) -> Result<(), Error> {
    charges.iter().try_for_each(|(_, amount)| check_amount(*amount))?;
    let before = row_of_balance(live, account, unit)?.unwrap_or(0);
    let sum: i64 = charges.iter().map(|(_, amount)| amount).sum();
    if before < sum {
        if let [(cause, amount)] = charges
            && let Some(first) = by_cause(live, account, unit, cause)?
        {
            return same_amount(&first, -amount);
        }
        return Err(Error::new(Kind::NoBalance, format!("the {} balance is below {sum}", unit.as_str())));
    }
    let mut balance = before;
    let entries: Vec<_> = charges
        .iter()
        .map(|(cause, amount)| {
            balance -= amount;
            [int(account.0), int(unit as u8), int(-amount), int(balance), Value::Text(cause), int(now.0)]
        })
        .collect();
    // The entries first: a unique cause refuses a repetition before anything has changed.
    if let Err(error) = live.many(&ENTRIES, entries) {
        let [(cause, amount)] = charges else { return Err(error) };
        return same_amount(&repeated(live, account, unit, cause, error)?, -amount);
    }
    live.execute("UPDATE balances SET amount = ? WHERE account = ? AND unit = ?", (balance, account.0, unit as u8))?;
    Ok(())
}

/// Adds `amount` to a balance, once per cause, and answers the entry: the first one when the cause is repeated.
///
/// # Errors
/// `Conflict("cause")` when the cause moved another amount before; `Invalid("amount")` outside 1 to [`MAX_AMOUNT`] or
/// when the balance would no longer fit.
pub fn credit(
    live: &Db,
    account: AccountId,
    unit: Unit,
    amount: i64,
    cause: &str,
    now: Timestamp,
) -> Result<Entry, Error> {
    check_amount(amount)?;
    let before = row_of_balance(live, account, unit)?;
    let balance = before
        .unwrap_or(0)
        .checked_add(amount)
        .ok_or_else(|| Error::new(Kind::Invalid("amount"), "the balance would not fit into 63 bits"))?;
    let inserted = live
        .prepare_cached("INSERT INTO ledger (account, unit, amount, balance, cause, at) VALUES (?, ?, ?, ?, ?, ?)")?
        .execute(params![account.0, unit as u8, amount, balance, cause, now.0]);
    if let Err(e) = inserted {
        let first = repeated(live, account, unit, cause, e)?;
        same_amount(&first, amount)?;
        return Ok(first);
    }
    let seq = live.last_insert_id();
    let sql = match before {
        Some(_) => "UPDATE balances SET amount = ? WHERE account = ? AND unit = ?",
        None => "INSERT INTO balances (amount, account, unit) VALUES (?, ?, ?)",
    };
    live.prepare_cached(sql)?.execute((balance, account.0, unit as u8))?;
    Ok(Entry { seq, account, unit, amount, balance, cause: cause.to_owned(), at: now })
}

/// What is left of a unit; 0 when it was never used. It locks nothing: it may be less when it is charged.
///
/// # Errors
/// Only those of the file.
pub fn balance(live: &Db, account: AccountId, unit: Unit) -> Result<i64, Error> {
    let sql = "SELECT amount FROM balances WHERE account = ? AND unit = ?";
    Ok(live.query_row(sql, (account.0, unit as u8), |row| row.get(0)).optional()?.unwrap_or(0))
}

/// Balances that differ from the sum of their entries, or lack one of the two. Empty is right.
///
/// # Errors
/// Only those of the file.
pub fn mismatches(live: &Db) -> Result<Vec<Mismatch>, Error> {
    let mut statement = live.prepare_cached(
        "SELECT account, unit, CAST(SUM(balance) AS SIGNED), CAST(SUM(moved) AS SIGNED) FROM ( \
           SELECT account, unit, amount AS balance, 0 AS moved FROM balances \
           UNION ALL SELECT account, unit, 0, SUM(amount) FROM ledger GROUP BY account, unit) AS both_sides \
         GROUP BY account, unit HAVING SUM(balance) <> SUM(moved) ORDER BY account, unit",
    )?;
    let mut rows = statement.query(())?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((AccountId(row.get(0)?), unit_of(row.get(1)?)?, row.get(2)?, row.get(3)?));
    }
    Ok(found)
}

/// An operator's credit. The cause makes it safe to repeat: the same one answers the first entry again.
///
/// # Errors
/// `NotFound` for an unknown account, `Invalid("amount")`, `Invalid("cause")` (1 to [`CAUSE_MAX`] characters),
/// `Conflict("cause")` when the cause credited another amount before.
pub async fn top_up(store: &Store, account: AccountId, unit: Unit, amount: i64, cause: &str) -> Result<Entry, Error> {
    let cause = cause.trim();
    if cause.is_empty() || cause.chars().count() > CAUSE_MAX || cause.chars().any(char::is_control) {
        return Err(Error::new(Kind::Invalid("cause"), format!("a cause has 1 to {CAUSE_MAX} characters")));
    }
    check_amount(amount)?;
    // The prefix keeps an operator's words apart from the causes that the program itself writes.
    let cause = format!("credit:{cause}");
    // No setting: nobody remembers a balance.
    store
        .write_as(false, move |tx| {
            accounts::must_exist(tx.live, account)?;
            credit(tx.live, account, unit, amount, &cause, tx.now)
        })
        .await
}

/// The balance of every unit the account ever had.
///
/// # Errors
/// Only those of the store.
pub async fn balances(store: &Store, account: AccountId) -> Result<Vec<(Unit, i64)>, Error> {
    store
        .read(move |reader| {
            let mut statement =
                reader.live.prepare_cached("SELECT unit, amount FROM balances WHERE account = ? ORDER BY unit")?;
            let mut rows = statement.query([account.0])?;
            let mut all = Vec::new();
            while let Some(row) = rows.next()? {
                all.push((unit_of(row.get(0)?)?, row.get(1)?));
            }
            Ok(all)
        })
        .await
}

/// Entries, newest first, at most `limit` (and [`PAGE_MAX`]) of them, older than the cursor `before`.
///
/// # Errors
/// Only those of the store.
pub async fn entries(
    store: &Store,
    account: AccountId,
    unit: Option<Unit>,
    limit: u32,
    before: Option<i64>,
) -> Result<Vec<Entry>, Error> {
    store
        .read(move |reader| {
            let mut statement = reader.live.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM ledger WHERE account = ? AND seq < ? AND (? IS NULL OR unit = ?) \
                 ORDER BY seq DESC LIMIT ?"
            ))?;
            let unit = unit.map(|unit| unit as u8);
            let mut rows =
                statement.query(params![account.0, before.unwrap_or(i64::MAX), unit, unit, limit.min(PAGE_MAX)])?;
            let mut page = Vec::new();
            while let Some(row) = rows.next()? {
                page.push(entry(&row)?);
            }
            Ok(page)
        })
        .await
}

fn check_amount(amount: i64) -> Result<(), Error> {
    if (1..=MAX_AMOUNT).contains(&amount) {
        return Ok(());
    }
    Err(Error::new(Kind::Invalid("amount"), format!("an amount is between 1 and {MAX_AMOUNT}, not {amount}")))
}

fn same_amount(first: &Entry, amount: i64) -> Result<(), Error> {
    if first.amount == amount {
        return Ok(());
    }
    Err(Error::new(
        Kind::Conflict("cause"),
        format!("the cause {} moved {} before, so it cannot move {amount}", first.cause, first.amount),
    ))
}

/// The entry that made an insert fail, or the failure itself when it had another reason.
fn repeated(live: &Db, account: AccountId, unit: Unit, cause: &str, error: Error) -> Result<Entry, Error> {
    if matches!(error.kind(), Kind::Conflict(_))
        && let Some(first) = by_cause(live, account, unit, cause)?
    {
        return Ok(first);
    }
    Err(error)
}

fn by_cause(live: &Db, account: AccountId, unit: Unit, cause: &str) -> Result<Option<Entry>, Error> {
    let mut statement =
        live.prepare_cached(&format!("SELECT {COLUMNS} FROM ledger WHERE account = ? AND unit = ? AND cause = ?"))?;
    let mut rows = statement.query(params![account.0, unit as u8, cause])?;
    rows.next()?.map(|row| entry(&row)).transpose()
}

fn row_of_balance(live: &Db, account: AccountId, unit: Unit) -> Result<Option<i64>, Error> {
    live.prepare_cached("SELECT amount FROM balances WHERE account = ? AND unit = ? /* lock */")?
        .query_row(params![account.0, unit as u8], |row| row.get(0))
        .optional()
}

fn entry(row: &Row<'_>) -> Result<Entry, Error> {
    Ok(Entry {
        seq: row.get(0)?,
        account: AccountId(row.get(1)?),
        unit: unit_of(row.get(2)?)?,
        amount: row.get(3)?,
        balance: row.get(4)?,
        cause: row.get(5)?,
        at: Timestamp(row.get(6)?),
    })
}

pub(crate) fn unit_of(number: u8) -> Result<Unit, Error> {
    Unit::from_u8(number).ok_or_else(|| Error::new(Kind::Corrupt, format!("unknown unit {number} in the live file")))
}
