//! Prices: what one message of a channel costs, and in which unit; frozen into a message at accept (design D10).

use bongsu_domain::{Channel, Price};

use crate::Store;
use crate::db::{Db, params};
use crate::error::{Error, Kind};
use crate::wallet::unit_of;

/// The highest price of a message, in the unit's smallest part.
pub const MAX_PRICE: i64 = 1_000_000;

/// The price of every channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceTable([Price; Channel::ALL.len()]);

impl Default for PriceTable {
    /// The weights of the origin: an SMS costs 1 `point:sms`, an LMS 3.
    fn default() -> Self {
        Self(Channel::ALL.map(Price::default_for))
    }
}

impl PriceTable {
    /// What a message of this channel costs.
    #[must_use]
    pub fn of(&self, channel: Channel) -> Price {
        self.0[channel as usize]
    }
}

/// The prices in force: the table's rows over the defaults.
///
/// # Errors
/// Only those of the file.
pub fn load(live: &Db) -> Result<PriceTable, Error> {
    let mut table = PriceTable::default();
    let mut statement = live.prepare_cached("SELECT channel, unit, amount FROM prices")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let number: u8 = row.get(0)?;
        // A row of a channel that this program does not know belongs to a newer one.
        if let Some(channel) = Channel::from_u8(number) {
            table.0[channel as usize] = Price { unit: unit_of(row.get(1)?)?, amount: row.get(2)? };
        }
    }
    Ok(table)
}

/// The prices in force, for accepting: asked for by all processes after each change of settings.
///
/// # Errors
/// Only those of the store.
pub async fn in_force(store: &Store) -> Result<PriceTable, Error> {
    let read = store.read(|reader| load(&reader.live).map(Some));
    let table = store.by_way_of_beside("prices", decode, encode, read).await?;
    Ok(table.unwrap_or_default())
}

fn encode(table: &PriceTable) -> Vec<u8> {
    let bytes = |price: &Price| [&[price.unit as u8][..], &price.amount.to_be_bytes()].concat();
    table.0.iter().flat_map(bytes).collect()
}

/// A table of another length is that of another version.
fn decode(bytes: &[u8]) -> Option<PriceTable> {
    let mut table = PriceTable::default();
    let (prices, rest) = bytes.as_chunks::<9>();
    if !rest.is_empty() || prices.len() != table.0.len() {
        return None;
    }
    for (price, [unit, amount @ ..]) in table.0.iter_mut().zip(prices) {
        *price = Price { unit: unit_of(*unit).ok()?, amount: i64::from_be_bytes(*amount) };
    }
    Some(table)
}

/// Every channel with its price.
///
/// # Errors
/// Only those of the store.
pub async fn list(store: &Store) -> Result<Vec<(Channel, Price)>, Error> {
    let table = store.read(|reader| load(&reader.live)).await?;
    Ok(Channel::ALL.map(|channel| (channel, table.of(channel))).to_vec())
}

/// Sets a price; messages accepted before keep theirs.
///
/// # Errors
/// `Invalid("amount")` outside 0 to [`MAX_PRICE`].
pub async fn put(store: &Store, channel: Channel, price: Price) -> Result<(), Error> {
    if !(0..=MAX_PRICE).contains(&price.amount) {
        return Err(Error::new(Kind::Invalid("amount"), format!("a price is between 0 and {MAX_PRICE}")));
    }
    store
        .write(move |tx| {
            tx.live.prepare_cached("DELETE FROM prices WHERE channel = ?")?.execute([channel as u8])?;
            tx.live.prepare_cached("INSERT INTO prices (channel, unit, amount) VALUES (?, ?, ?)")?.execute(params![
                channel as u8,
                price.unit as u8,
                price.amount
            ])?;
            Ok(())
        })
        .await
}
