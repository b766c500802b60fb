//! Accounts: the tenants whose messages, money, keys and sender numbers are kept apart (design D12).

use bongsu_domain::{AccountId, Timestamp, ad};

use crate::db::{Db, OptionalExtension, Row, params};
use crate::error::{Error, Kind};
use crate::{PAGE_MAX, Store};

/// Requests a second that the API's bucket of a new account refills by.
pub const DEFAULT_RATE_PER_S: u32 = 1_000;
/// The highest rate an account can be given.
pub const RATE_MAX: u32 = 1_000_000;
/// The longest window in which equal messages are sent once, in seconds.
pub const DEDUPE_MAX_S: u32 = 86_400;
/// The longest name, in characters.
pub const NAME_MAX: usize = 100;

const COLUMNS: &str = "id, name, created, suspended, rate_per_s, dedupe_s, ad_name, opt_out";

/// One account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    /// Its id.
    pub id: AccountId,
    /// Its name, for people.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// True when none of its keys may do anything.
    pub suspended: bool,
    /// Requests a second that its bucket refills by.
    pub rate_per_s: u32,
    /// For how many seconds an equal message (sender, recipient, channel, text) is a duplicate; 0: never.
    pub dedupe_s: u32,
    /// What it says of itself in advertisements (광고).
    pub ads: ad::Sender,
}

/// What to change of an account; `None` leaves a value as it is.
#[derive(Debug, Clone, Default)]
pub struct AccountPatch {
    /// Another name.
    pub name: Option<String>,
    /// Suspend or resume.
    pub suspended: Option<bool>,
    /// Another rate, 1 to [`RATE_MAX`].
    pub rate_per_s: Option<u32>,
    /// Another window against equal messages, 0 (off) to [`DEDUPE_MAX_S`].
    pub dedupe_s: Option<u32>,
    /// Another sender name of advertisements; empty for none.
    pub ad_name: Option<String>,
    /// Another free number for refusals (080…), in any usual form; empty for none.
    pub opt_out: Option<String>,
}

/// Makes an account.
///
/// # Errors
/// `Invalid("name")` when it is not 1 to [`NAME_MAX`] characters without control characters.
pub async fn create(store: &Store, name: &str) -> Result<AccountRow, Error> {
    create_with(store, name, 0).await
}

/// Makes an account with a window in which equal messages are sent once, in seconds; 0 for none.
///
/// # Errors
/// As [`create`]; `Invalid("dedupeS")` above [`DEDUPE_MAX_S`].
pub async fn create_with(store: &Store, name: &str, dedupe_s: u32) -> Result<AccountRow, Error> {
    let name = check_name(name)?;
    check_window(dedupe_s)?;
    store
        .write(move |tx| {
            let row = AccountRow {
                id: AccountId(tx.new_id()?),
                name: name.clone(),
                created: tx.now,
                suspended: false,
                rate_per_s: DEFAULT_RATE_PER_S,
                dedupe_s,
                ads: ad::Sender::default(),
            };
            tx.live
                .prepare_cached(
                    "INSERT INTO accounts (id, name, created, suspended, rate_per_s, dedupe_s) VALUES (?, ?, ?, ?, ?, ?)",
                )?
                .execute(params![row.id.0, row.name, row.created.0, row.suspended, row.rate_per_s, row.dedupe_s])?;
            Ok(row)
        })
        .await
}

/// One account.
///
/// # Errors
/// `NotFound`.
pub async fn get(store: &Store, id: AccountId) -> Result<AccountRow, Error> {
    store.read(move |reader| must_exist(&reader.live, id)).await
}

/// Accounts, newest first, at most `limit` (and [`PAGE_MAX`]) of them, older than `after`.
///
/// # Errors
/// Only those of the store.
pub async fn list(store: &Store, limit: u32, after: Option<AccountId>) -> Result<Vec<AccountRow>, Error> {
    store
        .read(move |reader| {
            let mut statement = reader
                .live
                .prepare_cached(&format!("SELECT {COLUMNS} FROM accounts WHERE id < ? ORDER BY id DESC LIMIT ?"))?;
            let after = after.map_or(i64::MAX, |id| id.0);
            let rows = statement.query_map(params![after, limit.min(PAGE_MAX)], from_row)?;
            rows.collect()
        })
        .await
}

/// Changes an account and answers it as it is now. Its keys see the change at once.
///
/// # Errors
/// `NotFound`, `Invalid` of `name`, `ratePerS`, `dedupeS`, `adName`, `optOutNumber`.
pub async fn patch(store: &Store, id: AccountId, patch: AccountPatch) -> Result<AccountRow, Error> {
    let name = patch.name.as_deref().map(check_name).transpose()?;
    if patch.rate_per_s.is_some_and(|rate| !(1..=RATE_MAX).contains(&rate)) {
        return Err(Error::new(Kind::Invalid("ratePerS"), format!("a rate is between 1 and {RATE_MAX} a second")));
    }
    check_window(patch.dedupe_s.unwrap_or(0))?;
    let ad_name = patch.ad_name.as_deref().map(check_ad_name).transpose()?;
    let opt_out = patch.opt_out.as_deref().map(check_opt_out).transpose()?;
    let row = store
        .write(move |tx| {
            let mut row = must_exist(tx.live, id)?;
            row.name = name.clone().unwrap_or(row.name);
            row.suspended = patch.suspended.unwrap_or(row.suspended);
            row.rate_per_s = patch.rate_per_s.unwrap_or(row.rate_per_s);
            row.dedupe_s = patch.dedupe_s.unwrap_or(row.dedupe_s);
            row.ads.name = ad_name.clone().unwrap_or(row.ads.name);
            row.ads.opt_out = opt_out.clone().unwrap_or(row.ads.opt_out);
            let ads = &row.ads;
            tx.live
                .prepare_cached(
                    "UPDATE accounts SET name = ?, suspended = ?, rate_per_s = ?, dedupe_s = ?, ad_name = ?, opt_out = ? WHERE id = ?",
                )?
                .execute(params![
                    row.name,
                    row.suspended,
                    row.rate_per_s,
                    row.dedupe_s,
                    ads.name,
                    ads.opt_out,
                    id.0
                ])?;
            Ok(row)
        })
        .await?;
    store.admin_cache().forget();
    Ok(row)
}

/// The account's row, if there is one.
///
/// # Errors
/// Only those of the file.
pub fn load(live: &Db, id: AccountId) -> Result<Option<AccountRow>, Error> {
    live.prepare_cached(&format!("SELECT {COLUMNS} FROM accounts WHERE id = ?"))?.query_row([id.0], from_row).optional()
}

/// The account's row, or `NotFound`.
pub(crate) fn must_exist(live: &Db, id: AccountId) -> Result<AccountRow, Error> {
    load(live, id)?.ok_or_else(|| Error::new(Kind::NotFound, "there is no such account"))
}

fn check_name(name: &str) -> Result<String, Error> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(Error::new(Kind::Invalid("name"), format!("a name has 1 to {NAME_MAX} characters in one line")));
    }
    Ok(name.to_owned())
}

fn check_window(dedupe_s: u32) -> Result<(), Error> {
    if dedupe_s > DEDUPE_MAX_S {
        return Err(Error::new(Kind::Invalid("dedupeS"), format!("a window has 0 to {DEDUPE_MAX_S} seconds")));
    }
    Ok(())
}

/// The sender name as it is kept; none for the empty one, which takes it away.
fn check_ad_name(name: &str) -> Result<Option<String>, Error> {
    if name.is_empty() {
        return Ok(None);
    }
    let why = || format!("a sender name of advertisements has 1 to {} characters in one line", ad::NAME_MAX);
    ad::parse_name(name).map(Some).ok_or_else(|| Error::new(Kind::Invalid("adName"), why()))
}

/// The number for refusals as it is kept; none for the empty one, which takes it away.
fn check_opt_out(number: &str) -> Result<Option<String>, Error> {
    if number.is_empty() {
        return Ok(None);
    }
    let why = "a free number for refusals is 080 and 7 or 8 digits";
    ad::parse_opt_out(number).map(Some).ok_or_else(|| Error::new(Kind::Invalid("optOutNumber"), why))
}

fn from_row(row: &Row<'_>) -> Result<AccountRow, Error> {
    Ok(AccountRow {
        id: AccountId(row.get(0)?),
        name: row.get(1)?,
        created: Timestamp(row.get(2)?),
        suspended: row.get(3)?,
        rate_per_s: row.get(4)?,
        dedupe_s: row.get(5)?,
        ads: ad::Sender { name: row.get(6)?, opt_out: row.get(7)? },
    })
}
