//! Distribution: which relay a message is booked on, exactly by the customer's ratio.
//!
//! Smooth weighted round robin, counted in parts. Each relay has a credit: hundredths of a part that it is owed. A part
//! adds every relay's weight to its credit and takes 100 from the one that carries it. Of the relays that are owed
//! something the one whose debt must be paid first is next (earliest deadline, as in Pfair scheduling), which keeps every
//! count within one of the ratio at every moment; taking the largest credit instead, as nginx does, does not promise that.

/// A ratio: relays (by their small number) with weights in percent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares(Vec<(u8, u32)>);

/// Why a ratio is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// The weights do not sum to 100.
    #[error("the shares sum to {0}, not to 100")]
    Sum(u64),
    /// A relay stands in it twice.
    #[error("a relay is named twice")]
    Twice(u8),
    /// More than [`RELAYS_MAX`] relays.
    #[error("more than {RELAYS_MAX} relays")]
    TooMany,
}

/// The most relays of one ratio.
pub const RELAYS_MAX: usize = 63;

impl Shares {
    /// A ratio. A weight of 0 is a standby: booked nothing, but tried when others fail.
    ///
    /// # Errors
    /// [`ShareError`] unless the weights sum to 100 and every relay stands in it once.
    pub fn new(shares: Vec<(u8, u32)>) -> Result<Shares, ShareError> {
        if shares.len() > RELAYS_MAX {
            return Err(ShareError::TooMany);
        }
        let twice = shares.iter().enumerate().find(|(index, share)| shares[..*index].iter().any(|s| s.0 == share.0));
        if let Some((_, share)) = twice {
            return Err(ShareError::Twice(share.0));
        }
        let sum = shares.iter().map(|share| u64::from(share.1)).sum();
        if sum != 100 { Err(ShareError::Sum(sum)) } else { Ok(Shares(shares)) }
    }

    /// The relays and weights in the order they were given.
    pub fn as_slice(&self) -> &[(u8, u32)] {
        &self.0
    }

    /// The order in which relays are tried for a message booked on `first`: itself, then the others by weight, equal
    /// weights in the order they were given.
    pub fn preference(&self, first: u8) -> Vec<u8> {
        let mut others: Vec<_> = self.0.iter().filter(|share| share.0 != first).collect();
        others.sort_by_key(|share| std::cmp::Reverse(share.1));
        std::iter::once(first).chain(others.into_iter().map(|share| share.0)).collect()
    }
}

/// One relay's account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Credit {
    relay: u8,
    weight: u32,
    /// Hundredths of a part owed to the relay, negative when it carried more than its share.
    owed: i64,
}

/// How far each relay of one (account, channel) is from its share. Starts level, and again whenever the ratio changes:
/// a new ratio is counted from its first message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Distribution {
    credits: Vec<Credit>,
}

/// First byte of an encoded state.
const STATE_VERSION: u8 = 1;
const CREDIT_BYTES: usize = 10;

impl Distribution {
    /// The relay that the next message is booked on. Asking changes nothing.
    pub fn peek(&self, shares: &Shares) -> u8 {
        if self.counts_for(shares) { next(&self.credits) } else { next(&level(shares)) }
    }

    /// Books `parts` parts on `relay`. When it is another relay than [`Distribution::peek`] names (a spill), the one
    /// passed over stays owed and is repaid by later messages. A relay outside the ratio is owed to nobody: all others
    /// keep their claim.
    pub fn take(&mut self, relay: u8, parts: u32, shares: &Shares) {
        if !self.counts_for(shares) {
            self.credits = level(shares);
        }
        let parts = i64::from(parts);
        for credit in &mut self.credits {
            credit.owed = credit.owed.saturating_add(i64::from(credit.weight) * parts);
            if credit.relay == relay {
                credit.owed = credit.owed.saturating_sub(100 * parts);
            }
        }
    }

    /// The state for the store: 1 byte version, then 10 bytes a relay.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + self.credits.len() * CREDIT_BYTES);
        bytes.push(STATE_VERSION);
        for credit in &self.credits {
            bytes.push(credit.relay);
            bytes.push(u8::try_from(credit.weight).expect("weights sum to 100"));
            bytes.extend_from_slice(&credit.owed.to_le_bytes());
        }
        bytes
    }

    /// Reads what [`Distribution::encode`] wrote; None for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Distribution> {
        let (&version, rest) = bytes.split_first()?;
        if version != STATE_VERSION || !rest.len().is_multiple_of(CREDIT_BYTES) {
            return None;
        }
        let read = |chunk: &[u8]| {
            let owed = i64::from_le_bytes(chunk[2..].try_into().ok()?);
            (chunk[1] <= 100).then_some(Credit { relay: chunk[0], weight: u32::from(chunk[1]), owed })
        };
        Some(Distribution { credits: rest.chunks_exact(CREDIT_BYTES).map(read).collect::<Option<_>>()? })
    }

    /// The ratio that it counts for; empty while nothing was booked.
    pub fn weights(&self) -> Vec<(u8, u32)> {
        self.credits.iter().map(|credit| (credit.relay, credit.weight)).collect()
    }

    /// Hundredths of a part that each relay is owed, for people who ask why.
    pub fn owed(&self) -> impl Iterator<Item = (u8, i64)> + '_ {
        self.credits.iter().map(|credit| (credit.relay, credit.owed))
    }

    fn counts_for(&self, shares: &Shares) -> bool {
        self.credits.iter().map(|credit| (credit.relay, credit.weight)).eq(shares.0.iter().copied())
    }
}

fn level(shares: &Shares) -> Vec<Credit> {
    shares.0.iter().map(|&(relay, weight)| Credit { relay, weight, owed: 0 }).collect()
}

fn next(credits: &[Credit]) -> u8 {
    let with_turn = |credit: &Credit| credit.owed.saturating_add(i64::from(credit.weight));
    let eligible = credits.iter().filter(|credit| credit.weight > 0 && with_turn(credit) > 0);
    let urgent = eligible.reduce(|best, other| if is_due_before(other, best) { other } else { best });
    // Nobody is owed anything only when what was spilled to a standby came back in another way.
    let fallback = || credits.iter().max_by_key(|credit| (credit.weight > 0, credit.owed, credit.weight));
    urgent.or_else(fallback).map(|credit| credit.relay).expect("weights sum to 100, so there is a relay")
}

/// A relay's deadline is the number of further parts after which it would be owed a whole one: (100 - owed) / weight.
/// The larger weight wins a tie.
fn is_due_before(one: &Credit, other: &Credit) -> bool {
    let deadline = |a: &Credit, b: &Credit| (100 - i128::from(a.owed) - i128::from(a.weight)) * i128::from(b.weight);
    let (first, second) = (deadline(one, other), deadline(other, one));
    first < second || (first == second && one.weight > other.weight)
}

#[cfg(test)]
mod tests;
