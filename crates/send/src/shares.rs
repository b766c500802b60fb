//! The ratio of each customer over the relays, and how far each relay is from its share.

use std::collections::{HashMap, HashSet};

use bongsu_domain::{AccountId, Channel, Distribution, Shares};
use bongsu_store::claims::ShareState;
use bongsu_store::{Error, Store, distributions};

/// Ratios that memory keeps; over it all are read anew.
const KEPT_MAX: usize = 50_000;

/// The ratio of one (account, channel).
#[derive(Debug, Clone)]
pub struct Ratio {
    /// Shares by relay number.
    pub shares: Shares,
    /// Who is owed how much.
    pub credits: Distribution,
}

/// All ratios used lately.
#[derive(Default)]
pub struct Ratios {
    kept: HashMap<(AccountId, Channel), Option<Ratio>>,
    dirty: HashSet<(AccountId, Channel)>,
    generation: u64,
    /// The place among the dispatchers under which the credits are kept.
    seat: u16,
}

impl Ratios {
    /// Reads the ratio of an account when it is not known, or something was changed by hand since. Answers whether it
    /// was read.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn load(&mut self, store: &Store, account: AccountId, channel: Channel) -> Result<bool, Error> {
        let mut fresh = false;
        if self.generation != store.generation() || self.kept.len() > KEPT_MAX {
            self.generation = store.generation();
            self.refresh(store).await?;
            fresh = true;
        }
        if self.kept.contains_key(&(account, channel)) {
            return Ok(fresh);
        }
        let ratio = read(store, account, channel, self.seat).await?;
        self.kept.insert((account, channel), ratio);
        Ok(true)
    }

    /// Keeps what follows under another place among the dispatchers.
    pub fn sit(&mut self, seat: u16) {
        self.seat = seat;
    }

    /// Takes new shares where they changed; credits that count for the old shares start level by themselves.
    async fn refresh(&mut self, store: &Store) -> Result<(), Error> {
        if self.kept.len() > KEPT_MAX {
            self.kept.clear();
        }
        let keys: Vec<_> = self.kept.keys().copied().collect();
        for (account, channel) in keys {
            let fresh = read(store, account, channel, self.seat).await?;
            let old = self.kept.insert((account, channel), fresh.clone()).flatten();
            if let (Some(old), Some(Some(kept))) = (old, self.kept.get_mut(&(account, channel))) {
                kept.credits = old.credits;
            }
        }
        Ok(())
    }

    /// The ratio of an account; none when there is no relay.
    pub fn get(&mut self, account: AccountId, channel: Channel) -> Option<&mut Ratio> {
        self.kept.get_mut(&(account, channel)).and_then(Option::as_mut)
    }

    /// Books parts on a relay; written with the claim that follows.
    pub fn take(&mut self, account: AccountId, channel: Channel, relay: u8, parts: u32) {
        if let Some(ratio) = self.get(account, channel) {
            ratio.credits.take(relay, parts, &ratio.shares);
            self.dirty.insert((account, channel));
        }
    }

    /// States that changed since the last call.
    pub fn changed(&mut self) -> Vec<ShareState> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty
            .into_iter()
            .filter_map(|(account, channel)| {
                let ratio = self.kept.get(&(account, channel))?.as_ref()?;
                Some(ShareState { account, channel, seat: self.seat, state: ratio.credits.encode() })
            })
            .collect()
    }
}

async fn read(store: &Store, account: AccountId, channel: Channel, seat: u16) -> Result<Option<Ratio>, Error> {
    store
        .read(move |reader| {
            let shares = distributions::load(&reader.live, account, channel)?;
            let state = distributions::load_state(&reader.live, account, channel, seat)?;
            Ok(Shares::new(shares).ok().map(|shares| Ratio {
                shares,
                credits: state.and_then(|bytes| Distribution::decode(&bytes)).unwrap_or_default(),
            }))
        })
        .await
}
