//! Numbers of a team: those that keys of the kind team may send to, so that a trial reaches nobody else.

use std::collections::HashSet;

use bongsu_domain::{AccountId, PhoneNumber, Timestamp};

use crate::accounts;
use crate::db::{Db, params};
use crate::error::{Error, Kind};
use crate::vault::{HashPurpose, Vault};
use crate::{Reader, Store};

/// Numbers that one account can name.
pub const TEAM_MAX: usize = 100;

/// One number of an account's team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamNumber {
    /// The number.
    pub number: PhoneNumber,
    /// Since when.
    pub created: Timestamp,
}

/// The keyed hash under which a number of a team is looked up.
#[must_use]
pub fn number_hash(vault: &Vault, account: AccountId, number: &PhoneNumber) -> i64 {
    let mut bytes = account.0.to_be_bytes().to_vec();
    bytes.extend_from_slice(number.national().as_bytes());
    vault.hash_in(HashPurpose::Recipient, &bytes)
}

/// The numbers of an account, by number.
///
/// # Errors
/// `NotFound` for an unknown account.
pub async fn list(store: &Store, account: AccountId) -> Result<Vec<TeamNumber>, Error> {
    let vault = store.vault().clone();
    store
        .read(move |reader| {
            accounts::must_exist(&reader.live, account)?;
            load(&reader.live, &vault, account)
        })
        .await
}

/// Replaces the numbers of an account; those that were there before keep their time.
///
/// # Errors
/// `NotFound` for an unknown account; `Invalid("numbers")` beyond [`TEAM_MAX`].
pub async fn put(store: &Store, account: AccountId, numbers: Vec<PhoneNumber>) -> Result<Vec<TeamNumber>, Error> {
    let vault = store.vault().clone();
    let wanted: HashSet<PhoneNumber> = numbers.into_iter().collect();
    if wanted.len() > TEAM_MAX {
        return Err(Error::new(Kind::Invalid("numbers"), format!("a team has at most {TEAM_MAX} numbers")));
    }
    store
        .write(move |tx| {
            accounts::must_exist(tx.live, account)?;
            let lock = "SELECT id FROM accounts WHERE id = ? /* lock */";
            tx.live.prepare_cached(lock)?.query_map([account.0], |row| row.get::<i64>(0))?;
            let there = load(tx.live, &vault, account)?;
            for gone in there.iter().filter(|old| !wanted.contains(&old.number)) {
                tx.live
                    .prepare_cached("DELETE FROM team_numbers WHERE account = ? AND number_hash = ?")?
                    .execute((account.0, number_hash(&vault, account, &gone.number)))?;
            }
            for number in wanted.iter().filter(|number| there.iter().all(|old| old.number != **number)) {
                tx.live
                    .prepare_cached(
                        "INSERT INTO team_numbers (account, number_hash, number_sealed, created) VALUES (?, ?, ?, ?)",
                    )?
                    .execute(params![
                        account.0,
                        number_hash(&vault, account, number),
                        vault.seal(number.national().as_bytes()),
                        tx.now.0
                    ])?;
            }
            load(tx.live, &vault, account)
        })
        .await
}

/// The hashes of an account's numbers, for whoever asks often.
///
/// # Errors
/// Only those of the file.
pub fn hashes(reader: &Reader, account: AccountId) -> Result<HashSet<i64>, Error> {
    let mut statement = reader.live.prepare_cached("SELECT number_hash FROM team_numbers WHERE account = ?")?;
    statement.query_map([account.0], |row| row.get(0))?.collect()
}

fn load(live: &Db, vault: &Vault, account: AccountId) -> Result<Vec<TeamNumber>, Error> {
    let mut statement =
        live.prepare_cached("SELECT number_sealed, created FROM team_numbers WHERE account = ? LIMIT 1000")?;
    let rows: Vec<(Vec<u8>, i64)> =
        statement.query_map([account.0], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let mut numbers = Vec::with_capacity(rows.len());
    for (sealed, created) in rows {
        let opened =
            vault.open(&sealed).ok().and_then(|bytes| PhoneNumber::from_national(std::str::from_utf8(&bytes).ok()?));
        let number = opened.ok_or_else(|| Error::new(Kind::Corrupt, "a number of a team cannot be read"))?;
        numbers.push(TeamNumber { number, created: Timestamp(created) });
    }
    numbers.sort_by_key(|row| row.number);
    Ok(numbers)
}
