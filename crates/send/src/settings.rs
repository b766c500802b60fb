//! What accepting has to know about an account: its sender numbers, its window against equal messages and the prices,
//! remembered until something changes.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use bongsu_domain::map::QuickMap;
use bongsu_domain::{AccountId, Channel, PhoneNumber, Price, ad};
use bongsu_store::prices::PriceTable;
use bongsu_store::{Error, HashPurpose, Store, Vault, accounts, index, prices, senders, team};

use crate::accept::search_hash;

/// Sender numbers that are remembered, and accounts.
const SENDERS_MAX: usize = 100_000;

/// Last digits of recipients whose keyed hash is remembered: an account has 10,000 at most, and many messages to each.
const ENDINGS_MAX: usize = 50_000;

/// What accepting takes of an account's row.
#[derive(Debug, Default)]
pub struct Known {
    /// For how many milliseconds an equal message is a duplicate; none when it never is.
    pub window_ms: Option<i64>,
    /// What it says of itself in advertisements.
    pub ads: ad::Sender,
}

/// The last sender number with its keyed hash: the next message mostly has the same.
type LastSender = Option<(PhoneNumber, i64)>;

#[derive(Default)]
struct Kept {
    generation: u64,
    prices: Option<PriceTable>,
    senders: HashMap<(AccountId, i64), bool>,
    accounts: HashMap<AccountId, Arc<Known>>,
    teams: HashMap<AccountId, HashSet<i64>>,
}

/// Settings read lately; a write to any of them makes all be read again.
#[derive(Default)]
pub struct Settings {
    kept: Mutex<Kept>,
    last: Mutex<LastSender>,
    endings: Mutex<QuickMap<(AccountId, [u8; 4]), i64>>,
}

impl Settings {
    fn kept(&self, generation: u64) -> std::sync::MutexGuard<'_, Kept> {
        let mut kept = self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if kept.generation != generation
            || kept.senders.len().max(kept.accounts.len()).max(kept.teams.len()) > SENDERS_MAX
        {
            *kept = Kept { generation, ..Kept::default() };
        }
        kept
    }

    /// The price of a message now.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn price(&self, store: &Store, channel: Channel) -> Result<Price, Error> {
        let generation = store.generation();
        if let Some(table) = self.kept(generation).prices {
            return Ok(table.of(channel));
        }
        let table = prices::in_force(store).await?;
        self.kept(generation).prices = Some(table);
        Ok(table.of(channel))
    }

    /// Whether an account may send from a number.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn may_send_from(&self, store: &Store, account: AccountId, number: &PhoneNumber) -> Result<bool, Error> {
        let generation = store.generation();
        let hash = self.number_hash(store.vault(), number);
        if let Some(known) = self.kept(generation).senders.get(&(account, hash)) {
            return Ok(*known);
        }
        let active = store.read(move |reader| senders::active_number(&reader.live, account, hash)).await?;
        self.kept(generation).senders.insert((account, hash), active);
        Ok(active)
    }

    /// What messages of a sender number are found by.
    pub fn sender_key(&self, vault: &Vault, account: AccountId, number: &PhoneNumber) -> i64 {
        index::sender_key(account, self.number_hash(vault, number))
    }

    /// What messages to numbers with these last four digits are found by.
    pub fn last4_key(&self, vault: &Vault, account: AccountId, number: &PhoneNumber) -> i64 {
        let hash = || search_hash(vault, HashPurpose::LastFour, account, number.last4());
        let Ok(digits) = number.last4().as_bytes().try_into() else { return hash() };
        let mut endings = self.endings.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if endings.len() >= ENDINGS_MAX {
            endings.clear();
        }
        *endings.entry((account, digits)).or_insert_with(hash)
    }

    fn number_hash(&self, vault: &Vault, number: &PhoneNumber) -> i64 {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match *last {
            Some((known, hash)) if known == *number => hash,
            _ => {
                let hash = senders::number_hash(vault, number);
                *last = Some((*number, hash));
                hash
            }
        }
    }

    /// What there is to know of an account.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn account(&self, store: &Store, account: AccountId) -> Result<Arc<Known>, Error> {
        let generation = store.generation();
        if let Some(known) = self.kept(generation).accounts.get(&account) {
            return Ok(known.clone());
        }
        let row = store.read(move |reader| accounts::load(&reader.live, account)).await?;
        let known = row.map_or_else(Known::default, |row| Known {
            window_ms: (row.dedupe_s > 0).then_some(i64::from(row.dedupe_s) * 1_000),
            ads: row.ads,
        });
        let known = Arc::new(known);
        self.kept(generation).accounts.insert(account, known.clone());
        Ok(known)
    }

    /// Whether a number, by its hash, is one of an account's team.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn in_team(&self, store: &Store, account: AccountId, hash: i64) -> Result<bool, Error> {
        let generation = store.generation();
        if let Some(team) = self.kept(generation).teams.get(&account) {
            return Ok(team.contains(&hash));
        }
        let team = store.read(move |reader| team::hashes(reader, account)).await?;
        let is_in = team.contains(&hash);
        self.kept(generation).teams.insert(account, team);
        Ok(is_in)
    }
}
