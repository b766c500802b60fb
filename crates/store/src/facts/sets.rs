//! Sets of billCode and labels, each known by a small number, so that a message's end needs not read them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bongsu_domain::{AccountId, Day};

use crate::db::OptionalExtension;
use crate::error::Error;
use crate::tx::Tx;
use crate::vault::{HashPurpose, Vault};

/// New sets of an account and day that are counted apart; messages with more of them count under none.
const SETS_A_DAY_MAX: u32 = 1_000;
/// Sets looked up in one unit.
pub(crate) const SETS_AT_ONCE: usize = 100;
/// Sets that a process remembers.
const REMEMBERED_MAX: usize = 100_000;

/// What a message is counted under besides its channel, relay and status.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tags {
    /// Department code.
    pub bill_code: Option<String>,
    /// Labels, by key.
    pub labels: std::collections::BTreeMap<String, String>,
}

impl Tags {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.bill_code.is_none() && self.labels.is_empty()
    }

    fn hash(&self, vault: &Vault) -> i64 {
        let labels = self.labels_text();
        let code = self.bill_code.as_deref().map_or(String::new(), |code| format!("{}:{code}", code.len()));
        vault.hash_in(HashPurpose::Tags, format!("{code} {labels}").as_bytes())
    }

    fn labels_text(&self) -> String {
        serde_json::to_string(&self.labels).unwrap_or_default()
    }
}

/// Sets that are known already.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    known: Mutex<HashMap<(AccountId, Tags), u32>>,
    /// Accounts that have used up a day.
    full: Mutex<HashMap<AccountId, Day>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sets {
    /// The number of a set; `None` when it has to be looked up.
    pub(crate) fn get(&self, account: AccountId, tags: &Tags, today: Day) -> Option<u32> {
        if tags.is_empty() {
            return Some(0);
        }
        if let Some(no) = lock(&self.known).get(&(account, tags.clone())) {
            return Some(*no);
        }
        (lock(&self.full).get(&account) == Some(&today)).then_some(0)
    }

    pub(crate) fn learn(&self, account: AccountId, learnt: Vec<(Tags, u32)>, today: Day) {
        let mut known = lock(&self.known);
        for (tags, no) in learnt {
            if no == 0 {
                lock(&self.full).insert(account, today);
                continue;
            }
            if known.len() >= REMEMBERED_MAX {
                known.clear();
            }
            known.insert((account, tags), no);
        }
    }
}

/// Gives numbers to sets of an account; 0 to those beyond the day's measure.
pub(crate) fn intern(tx: &mut Tx<'_>, vault: &Vault, account: AccountId, sets: &[Tags]) -> Result<Vec<u32>, Error> {
    let today = tx.now.kst_day();
    let made: i64 = tx
        .live
        .prepare_cached("SELECT COUNT(*) FROM stat_sets WHERE account = ? AND made = ?")?
        .query_row((account.0, today.0), |row| row.get(0))?;
    let mut room = i64::from(SETS_A_DAY_MAX) - made;
    let find = "SELECT id FROM stat_sets WHERE account = ? AND hash = ?";
    let mut numbers = Vec::with_capacity(sets.len());
    for tags in sets {
        let hash = tags.hash(vault);
        let known: Option<u32> =
            tx.live.prepare_cached(find)?.query_row((account.0, hash), |row| row.get(0)).optional()?;
        if known.is_none() && room > 0 {
            room -= 1;
            let sql = "INSERT INTO stat_sets (account, hash, made, bill_code, labels) VALUES (?, ?, ?, ?, ?)";
            tx.live.prepare_cached(sql)?.execute((
                account.0,
                hash,
                today.0,
                tags.bill_code.as_deref(),
                tags.labels_text(),
            ))?;
            numbers.push(u32::try_from(tx.live.last_insert_id()).unwrap_or(0));
        } else {
            numbers.push(known.unwrap_or(0));
        }
    }
    Ok(numbers)
}
