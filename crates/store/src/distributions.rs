//! Distributions (분배 비율): which share of an account's messages of a channel each relay gets.

use std::collections::BTreeMap;

use bongsu_domain::{AccountId, Channel, Timestamp};

use crate::Store;
use crate::accounts;
use crate::db::{Db, OptionalExtension, params};
use crate::error::{Error, Kind};
use crate::relays;

/// What shares add up to, in percent.
pub const WHOLE: u32 = 100;

/// Distributions that a refusal names; more are counted.
const NAMED_MAX: usize = 10;

/// The shares of one account and channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistributionRow {
    /// Whose.
    pub account: AccountId,
    /// Of which channel.
    pub channel: Channel,
    /// Relay name and percent, in the order in which the relays were made. Empty when there is no relay at all.
    pub shares: Vec<(String, u32)>,
    /// False when nothing was set and this is the even share.
    pub set: bool,
    /// When it was set.
    pub updated: Option<Timestamp>,
}

/// Sets the shares. A relay with a share of 0 is a standby: it gets what the others cannot take.
///
/// # Errors
/// `NotFound` for an unknown account; `Invalid("shares")` unless they are at least 0 each, sum up to 100, and name
/// existing relays once each.
pub async fn put(
    store: &Store,
    account: AccountId,
    channel: Channel,
    shares: &[(String, i64)],
) -> Result<DistributionRow, Error> {
    let shares = shares.to_vec();
    store
        .write(move |tx| {
            accounts::must_exist(tx.live, account)?;
            let stored = by_number(&relays::names(tx.live)?, &shares)?;
            let json = serde_json::to_string(&stored).map_err(|e| invalid(e.to_string()))?;
            clear(tx.live, account, channel)?;
            tx.live
                .prepare_cached("INSERT INTO distributions (account, channel, shares, updated) VALUES (?, ?, ?, ?)")?
                .execute(params![account.0, channel as u8, json, tx.now.0])?;
            view(tx.live, account, channel)
        })
        .await
}

/// The shares in force.
///
/// # Errors
/// `NotFound` for an unknown account.
pub async fn get(store: &Store, account: AccountId, channel: Channel) -> Result<DistributionRow, Error> {
    store
        .read(move |reader| {
            accounts::must_exist(&reader.live, account)?;
            view(&reader.live, account, channel)
        })
        .await
}

/// Goes back to the even share.
///
/// # Errors
/// `NotFound` for an unknown account.
pub async fn reset(store: &Store, account: AccountId, channel: Channel) -> Result<DistributionRow, Error> {
    store
        .write(move |tx| {
            accounts::must_exist(tx.live, account)?;
            clear(tx.live, account, channel)?;
            view(tx.live, account, channel)
        })
        .await
}

/// The shares in force by relay number; they sum up to 100, or there is none because there is no relay.
///
/// # Errors
/// Only those of the file.
pub fn load(live: &Db, account: AccountId, channel: Channel) -> Result<Vec<(u8, u32)>, Error> {
    match stored(live, account, channel)? {
        Some((shares, _)) => Ok(shares.into_iter().collect()),
        None => Ok(even(&relays::names(live)?.iter().map(|(no, _)| *no).collect::<Vec<_>>())),
    }
}

/// Where the distribution of an account and channel stands for one dispatch process, as [`save_state`] kept it.
///
/// # Errors
/// Only those of the file.
pub fn load_state(live: &Db, account: AccountId, channel: Channel, seat: u16) -> Result<Option<Vec<u8>>, Error> {
    live.prepare_cached("SELECT state FROM distribution_state WHERE account = ? AND channel = ? AND seat = ?")?
        .query_row(params![account.0, channel as u8, seat], |row| row.get(0))
        .optional()
}

/// Keeps where the distribution stands, so that small sends keep the ratio over restarts.
///
/// # Errors
/// Only those of the file.
pub fn save_state(live: &Db, account: AccountId, channel: Channel, seat: u16, state: &[u8]) -> Result<(), Error> {
    let changed = live
        .prepare_cached("UPDATE distribution_state SET state = ? WHERE account = ? AND channel = ? AND seat = ?")?
        .execute(params![state, account.0, channel as u8, seat])?;
    if changed == 0 {
        live.prepare_cached("INSERT INTO distribution_state (state, account, channel, seat) VALUES (?, ?, ?, ?)")?
            .execute(params![state, account.0, channel as u8, seat])?;
    }
    Ok(())
}

/// The distributions that name a relay, as `acc_… sms`: the first ten, and how many more.
pub(crate) fn naming(live: &Db, no: u8) -> Result<Vec<String>, Error> {
    let mut statement =
        live.prepare_cached("SELECT account, channel, shares FROM distributions ORDER BY account, channel")?;
    let mut rows = statement.query(())?;
    let mut users = Vec::new();
    let mut more = 0usize;
    while let Some(row) = rows.next()? {
        let (account, channel, shares): (i64, u8, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if !parse(&shares)?.contains_key(&no) {
            continue;
        }
        if users.len() < NAMED_MAX {
            users.push(format!("{} {}", AccountId(account), Channel::from_u8(channel).map_or("?", Channel::as_str)));
        } else {
            more += 1;
        }
    }
    if more > 0 {
        users.push(format!("{more} more"));
    }
    Ok(users)
}

/// An even share over relays: the first ones get what is left over, so 34, 33, 33.
fn even(relays: &[u8]) -> Vec<(u8, u32)> {
    let count = relays.len() as u32;
    (0..count).zip(relays).map(|(at, no)| (*no, WHOLE / count + u32::from(at < WHOLE % count))).collect()
}

fn by_number(relays: &[(u8, String)], shares: &[(String, i64)]) -> Result<BTreeMap<u8, u32>, Error> {
    let mut numbered = BTreeMap::new();
    for (name, share) in shares {
        let Some((no, _)) = relays.iter().find(|(_, known)| known == name) else {
            return Err(invalid(format!("there is no relay {name:?}")));
        };
        let share = u32::try_from(*share).ok().filter(|share| *share <= WHOLE);
        let share = share.ok_or_else(|| invalid(format!("the share of {name} is not between 0 and {WHOLE}")))?;
        if numbered.insert(*no, share).is_some() {
            return Err(invalid(format!("the relay {name} is there twice")));
        }
    }
    let sum: u32 = numbered.values().sum();
    if sum != WHOLE {
        return Err(invalid(format!("the shares sum up to {sum}, not {WHOLE}")));
    }
    Ok(numbered)
}

fn view(live: &Db, account: AccountId, channel: Channel) -> Result<DistributionRow, Error> {
    let names: BTreeMap<u8, String> = relays::names(live)?.into_iter().collect();
    let updated = stored(live, account, channel)?.map(|(_, updated)| updated);
    let shares = load(live, account, channel)?
        .into_iter()
        .map(|(no, share)| {
            let name =
                names.get(&no).ok_or_else(|| Error::new(Kind::Corrupt, format!("relay number {no} has no row")))?;
            Ok((name.clone(), share))
        })
        .collect::<Result<_, Error>>()?;
    Ok(DistributionRow { account, channel, shares, set: updated.is_some(), updated })
}

type Stored = (BTreeMap<u8, u32>, Timestamp);

fn stored(live: &Db, account: AccountId, channel: Channel) -> Result<Option<Stored>, Error> {
    let found: Option<(String, i64)> = live
        .prepare_cached("SELECT shares, updated FROM distributions WHERE account = ? AND channel = ?")?
        .query_row(params![account.0, channel as u8], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    found.map(|(shares, updated)| Ok((parse(&shares)?, Timestamp(updated)))).transpose()
}

fn clear(live: &Db, account: AccountId, channel: Channel) -> Result<(), Error> {
    live.prepare_cached("DELETE FROM distributions WHERE account = ? AND channel = ?")?
        .execute(params![account.0, channel as u8])?;
    Ok(())
}

fn parse(shares: &str) -> Result<BTreeMap<u8, u32>, Error> {
    serde_json::from_str(shares).map_err(|_| Error::new(Kind::Corrupt, "stored shares cannot be understood"))
}

fn invalid(why: impl Into<String>) -> Error {
    Error::new(Kind::Invalid("shares"), why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_even_share_always_sums_to_100() {
        assert_eq!(even(&[]), []);
        assert_eq!(even(&[4]), [(4, 100)]);
        assert_eq!(even(&[0, 1, 2]), [(0, 34), (1, 33), (2, 33)]);
        for count in 1..=63u8 {
            let shares = even(&(0..count).collect::<Vec<_>>());
            assert_eq!(shares.iter().map(|(_, share)| share).sum::<u32>(), WHOLE, "{count} relays");
        }
    }

    #[test]
    fn shares_must_sum_to_100_over_known_relays() {
        let relays = [(0, "kt".to_owned()), (1, "skt".to_owned()), (4, "lgu".to_owned())];
        let put = |shares: &[(&str, i64)]| {
            by_number(&relays, &shares.iter().map(|(name, share)| ((*name).to_owned(), *share)).collect::<Vec<_>>())
        };
        assert_eq!(put(&[("lgu", 10), ("kt", 70), ("skt", 20)]).unwrap(), BTreeMap::from([(0, 70), (1, 20), (4, 10)]));
        assert_eq!(put(&[("kt", 100), ("skt", 0)]).unwrap(), BTreeMap::from([(0, 100), (1, 0)]));
        for (shares, says) in [
            (&[][..], "sum up to 0"),
            (&[("kt", 99)], "sum up to 99"),
            (&[("kt", 101)], "between 0 and 100"),
            (&[("kt", 110), ("skt", -10)], "share of kt"),
            (&[("kt", 100), ("skt", -1)], "share of skt"),
            (&[("kt", 50), ("kt", 50)], "twice"),
            (&[("kt", 50), ("nobody", 50)], "no relay \"nobody\""),
            (&[("kt", i64::MAX), ("skt", i64::MIN)], "share of kt"),
        ] {
            let e = put(shares).unwrap_err();
            assert_eq!(e.kind(), Kind::Invalid("shares"));
            assert!(e.to_string().contains(says), "{e} should say {says}");
        }
    }
}
