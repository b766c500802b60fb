//! Accounts, keys, sender numbers, money, relays, distributions and prices.

mod keys;
pub mod relays;
mod senders;
mod wallet;

use bongsu_domain::AccountId;
use bongsu_store::{Store, accounts};

async fn account(store: &Store) -> AccountId {
    accounts::create(store, "가게").await.unwrap().id
}

fn wrong(code: &str) -> String {
    let first = if code.starts_with('0') { '1' } else { '0' };
    format!("{first}{}", &code[1..])
}
