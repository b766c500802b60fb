//! Ids: 63 bits in time order, shown as a prefix and base32.
//!
//! 41 bits of milliseconds since 2024-01-01T00:00:00Z (enough until 2093), 10 bits of node, 12 bits of sequence. Rows
//! written together lie together, and an id alone tells its time, so no second index on time is needed.

use crate::time::{Day, Timestamp};
use std::fmt;
use std::str::FromStr;

/// 2024-01-01T00:00:00Z in milliseconds since the Unix epoch.
const EPOCH_MILLIS: i64 = 1_704_067_200_000;
const SEQUENCE_BITS: u32 = 12;
const NODE_BITS: u32 = 10;
const MILLIS_SHIFT: u32 = SEQUENCE_BITS + NODE_BITS;
const MILLIS_MAX: i64 = (1 << 41) - 1;

/// The bits of an id below its milliseconds: node and sequence.
pub const TIME_SHIFT: u32 = MILLIS_SHIFT;
/// The most ids of one [`IdGen::block`]: all sequence numbers of a millisecond.
pub const BLOCK_MAX: u32 = 1 << SEQUENCE_BITS;
/// The largest node number.
pub const NODE_MAX: u16 = (1 << NODE_BITS) - 1;
/// How far the clock may step back before ids are refused.
pub const STEP_BACK_MAX_MS: i64 = 1000;

/// Crockford's base32, lower case.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TEXT_LEN: usize = 13;

/// The text is not an id of the wanted kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this kind")]
pub struct BadId;

macro_rules! id_types {
    ($($(#[$doc:meta])* $name:ident $prefix:literal)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl $name {
            /// What its text begins with, before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// When the id was made, exact to the millisecond.
            pub fn time(self) -> Timestamp {
                Timestamp::from_millis(id_millis(self.0))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_id(f, concat!($prefix, "_"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<$name, BadId> {
                text.strip_prefix(concat!($prefix, "_")).and_then(decode).map($name).ok_or(BadId)
            }
        }
    )*};
}

id_types! {
    /// A message.
    MessageId "msg"
    /// A request: one message or a batch.
    RequestId "bat"
    /// A group: a request of many rows that are staged before it is sent.
    GroupId "grp"
    /// An account.
    AccountId "acc"
    /// An API key.
    KeyId "key"
    /// A sender number (발신번호).
    SenderId "snd"
    /// A relay (중계사).
    RelayId "rly"
    /// An endpoint of a customer that is told what became of messages.
    WebhookId "whk"
    /// A delivery to such an endpoint.
    DeliveryId "dlv"
    /// An entry of the ledger.
    EntryId "led"
    /// An event: its position.
    EventId "evt"
    /// An HTTP request that came without an id of its own.
    TraceId "req"
}

/// The Unix milliseconds of an id.
pub const fn id_millis(id: i64) -> i64 {
    (id >> MILLIS_SHIFT) + EPOCH_MILLIS
}

/// The day in Seoul of an id.
pub fn id_day(id: i64) -> Day {
    Timestamp::from_millis(id_millis(id)).kst_day()
}

/// The smallest id of the millisecond of `time`; 0 for times before 2024, the last millisecond's for times after 2093.
pub fn first_id_at(time: Timestamp) -> i64 {
    (time.millis() - EPOCH_MILLIS).clamp(0, MILLIS_MAX) << MILLIS_SHIFT
}

/// The low 16 bits: the `user_message_reference` (SMPP 3.4, 5.3.2.17) of every attempt of the message.
pub const fn reference(id: i64) -> u16 {
    (id & 0xFFFF) as u16
}

/// The clock stepped back further than [`STEP_BACK_MAX_MS`]; new ids could repeat old ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the clock is {by_ms} ms behind the newest id")]
pub struct ClockBehind {
    /// How far it is behind.
    pub by_ms: i64,
}

/// Makes ascending ids of one node. Two generators may run at once only with different nodes.
#[derive(Debug, Clone)]
pub struct IdGen {
    node: u16,
    /// Milliseconds since the id epoch of the next id.
    millis: i64,
    /// Sequence number of the next id, [`BLOCK_MAX`] when the millisecond is used up.
    sequence: u32,
}

impl IdGen {
    /// A generator for `node`, of which only the low 10 bits count.
    pub fn new(node: u16) -> IdGen {
        IdGen { node: node & NODE_MAX, millis: 0, sequence: 0 }
    }

    /// Makes every later id larger than `id`, which another life of this node or another node gave.
    pub fn observe(&mut self, id: i64) {
        let millis = id >> MILLIS_SHIFT;
        let node = ((id >> SEQUENCE_BITS) as u16) & NODE_MAX;
        let next = match node.cmp(&self.node) {
            std::cmp::Ordering::Less => (millis, 0),
            std::cmp::Ordering::Equal => (millis, (id & i64::from(BLOCK_MAX - 1)) as u32 + 1),
            std::cmp::Ordering::Greater => (millis + 1, 0),
        };
        (self.millis, self.sequence) = next.max((self.millis, self.sequence));
    }

    /// The first of `count` ids that follow one another, all of one millisecond. `count` is brought into 1 to
    /// [`BLOCK_MAX`]. When the clock stands still or stepped back by at most a second the newest millisecond goes on,
    /// and the one after it when it is used up.
    ///
    /// # Errors
    /// [`ClockBehind`] when the clock is more than a second behind the newest id.
    pub fn block(&mut self, now: Timestamp, count: u32) -> Result<i64, ClockBehind> {
        let count = count.clamp(1, BLOCK_MAX);
        let clock = (now.millis() - EPOCH_MILLIS).clamp(0, MILLIS_MAX);
        if self.millis - clock > STEP_BACK_MAX_MS {
            return Err(ClockBehind { by_ms: self.millis - clock });
        }
        if clock > self.millis {
            (self.millis, self.sequence) = (clock, first_sequence(clock));
        }
        if self.sequence + count > BLOCK_MAX {
            self.millis += 1;
            self.sequence = first_sequence(self.millis);
            if self.sequence + count > BLOCK_MAX {
                self.sequence = 0;
            }
        }
        let first = self.millis << MILLIS_SHIFT | i64::from(self.node) << SEQUENCE_BITS | i64::from(self.sequence);
        self.sequence += count;
        Ok(first)
    }
}

/// Where the sequence of a millisecond begins: spread over the lower half, so that two messages to one recipient hardly
/// share a [`reference`] although few ids are given in most milliseconds.
const fn first_sequence(millis: i64) -> u32 {
    ((millis as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 53) as u32
}

fn write_id(f: &mut fmt::Formatter<'_>, prefix: &str, id: i64) -> fmt::Result {
    let mut text = [b'0'; TEXT_LEN];
    let mut rest = id as u64;
    for place in text.iter_mut().rev() {
        *place = ALPHABET[(rest & 31) as usize];
        rest >>= 5;
    }
    f.write_str(prefix)?;
    f.write_str(str::from_utf8(&text).expect("the alphabet is ASCII"))
}

/// Reads exactly the 13 characters that [`write_id`] writes, so that one id has one spelling.
fn decode(text: &str) -> Option<i64> {
    if text.len() != TEXT_LEN {
        return None;
    }
    let value = text.bytes().try_fold(0_u128, |value, byte| Some(value << 5 | u128::from(digit_of(byte)?)))?;
    i64::try_from(value).ok()
}

fn digit_of(byte: u8) -> Option<u8> {
    let index = ALPHABET.iter().position(|&letter| letter == byte)?;
    u8::try_from(index).ok()
}

#[cfg(test)]
mod tests;
