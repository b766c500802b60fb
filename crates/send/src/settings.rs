//! What accepting has to know about an account: its sender numbers and the prices, remembered until something changes.

use std::collections::HashMap;
use std::sync::Mutex;

use bongsu_domain::{AccountId, Channel, PhoneNumber, Price};
use bongsu_store::prices::PriceTable;
use bongsu_store::{Error, Store, prices, senders};

/// Sender numbers that are remembered.
const SENDERS_MAX: usize = 100_000;

#[derive(Default)]
struct Kept {
    generation: u64,
    prices: Option<PriceTable>,
    senders: HashMap<(AccountId, i64), bool>,
}

/// Settings read lately; a write to any of them makes all be read again.
#[derive(Default)]
pub struct Settings {
    kept: Mutex<Kept>,
}

impl Settings {
    fn kept(&self, generation: u64) -> std::sync::MutexGuard<'_, Kept> {
        let mut kept = self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if kept.generation != generation || kept.senders.len() > SENDERS_MAX {
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
        let hash = senders::number_hash(store.vault(), number);
        if let Some(known) = self.kept(generation).senders.get(&(account, hash)) {
            return Ok(*known);
        }
        let active = store.read(move |reader| senders::active_number(&reader.live, account, hash)).await?;
        self.kept(generation).senders.insert((account, hash), active);
        Ok(active)
    }
}
