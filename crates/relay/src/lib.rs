//! The relay room: the port every relay kind implements, and the SMPP 3.4 client behind it.
//!
//! A relay takes messages, answers each of them exactly once with an [`Event`], and reports receipts.
//! It owns windows, pacing and links; which relay to try next is decided elsewhere.

mod config;
pub mod simulated;
pub mod smpp;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::channel::Channel;
use bongsu_domain::code::Code;
use bongsu_domain::lane::Lane;
use bongsu_domain::phone::PhoneNumber;
use bongsu_domain::time::Timestamp;
pub use bongsu_wire::smpp::{DataCoding, IdRule, MessageState};
use futures_util::future::BoxFuture;

pub use crate::config::{Gate, Long, RelayConfig, Timers, TlsConfig};
pub use crate::smpp::codes::{receipt_code, status_code};

/// One attempt to send one message through one relay.
#[derive(Clone)]
pub struct Outbound {
    /// The message id; its low 16 bits travel as `user_message_reference` (SMPP 3.4, 5.3.2.17).
    pub id: i64,
    /// Which attempt of the message this is, handed back unchanged.
    pub attempt: u8,
    /// The lane it is queued in.
    pub lane: Lane,
    /// Not a byte is written after this moment.
    pub deadline: Timestamp,
    /// The message is worthless after this moment; travels as `validity_period`.
    pub expires: Timestamp,
    /// The handset.
    pub to: PhoneNumber,
    /// The sender's number.
    pub from: PhoneNumber,
    /// SMS or LMS.
    pub channel: Channel,
    /// The text, normalised to LF and NFC.
    pub text: Arc<str>,
    /// The subject of an LMS.
    pub subject: Option<Arc<str>>,
    /// What [`RelayPort::parts`] said; windows and queues count with it.
    pub parts: u8,
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outbound { id, attempt, lane, to, parts, .. } = self;
        f.debug_struct("Outbound")
            .field("id", id)
            .field("attempt", attempt)
            .field("lane", lane)
            .field("to", to)
            .field("parts", parts)
            .finish_non_exhaustive()
    }
}

/// What the relay said to one part of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartAnswer {
    /// Taken; the relay's id for it in canonical form. Empty when the relay named none.
    Accepted(String),
    /// Refused with this SMPP `command_status`.
    Refused(u32),
    /// Written, but no answer: the response timer ran out or the connection was cut.
    Unknown,
}

/// Why not one byte of a message was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnsentReason {
    /// The relay has no link.
    Down,
    /// Its deadline passed while it waited.
    Deadline,
    /// The message expired while it waited.
    Expired,
    /// The text does not fit the relay's coding or limits.
    Encoding(Code),
    /// The relay is being stopped.
    Stopped,
}

/// A receipt for one part of a message.
#[derive(Debug)]
pub struct RelayReceipt {
    /// The relay it came from.
    pub relay: u8,
    /// The relay's id for the part in canonical form, as in [`PartAnswer::Accepted`].
    pub relay_id: String,
    /// The final or intermediate state.
    pub state: MessageState,
    /// The relay's own error code, as written.
    pub err: Option<String>,
    /// The handset's number, national digits.
    pub to: String,
    /// The sender's number, national digits.
    pub from: String,
    /// The low 16 bits of the message id, if the relay returns them.
    pub reference: Option<u16>,
    /// The receipt as written, without its `text:` field, which repeats what the message said.
    pub raw: Vec<u8>,
    /// When it was read from the link.
    pub at: Timestamp,
    /// Confirms it to the relay; confirm after the receipt is stored.
    pub ack: Ack,
}

/// What a relay tells its owner.
#[derive(Debug)]
pub enum Event {
    /// Every part has an answer or is unknown. Comes once for an [`Outbound`], if [`Event::Unsent`] does not.
    Answered {
        /// The relay.
        relay: u8,
        /// [`Outbound::id`].
        id: i64,
        /// [`Outbound::attempt`].
        attempt: u8,
        /// When its first part was written.
        written_at: Timestamp,
        /// When its last answer came, or was given up.
        answered_at: Timestamp,
        /// One answer a part, in their order.
        parts: Vec<PartAnswer>,
    },
    /// The relay surely has nothing of it.
    Unsent {
        /// The relay.
        relay: u8,
        /// [`Outbound::id`].
        id: i64,
        /// [`Outbound::attempt`].
        attempt: u8,
        /// Why.
        why: UnsentReason,
    },
    /// A receipt came.
    Receipt(RelayReceipt),
    /// The number of usable binds changed.
    Link {
        /// The relay.
        relay: u8,
        /// Whether at least one bind is usable.
        up: bool,
        /// How many are.
        binds: u16,
        /// Since when.
        at: Timestamp,
    },
}

/// The session side of an [`Ack`].
pub trait Confirm: Send + Sync {
    /// Answers the receipt that came with `token`; does nothing when its session is gone.
    fn confirm(&self, token: u32);
}

/// The right to confirm one receipt; dropping it leaves the receipt unanswered, so the relay offers it again.
pub struct Ack(Option<(Arc<dyn Confirm>, u32)>);

impl Ack {
    /// An acknowledgement that answers `token` on `session`.
    pub fn new(session: Arc<dyn Confirm>, token: u32) -> Ack {
        Ack(Some((session, token)))
    }

    /// An acknowledgement nobody waits for.
    pub fn none() -> Ack {
        Ack(None)
    }

    /// Queues the answer on the session the receipt came from; no-op when that session is gone.
    pub fn confirm(self) {
        if let Some((session, token)) = self.0 {
            session.confirm(token);
        }
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ack").field(&self.0.as_ref().map(|(_, token)| token)).finish()
    }
}

/// How a relay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Whether at least one bind is usable.
    pub up: bool,
    /// Since when it is up or down.
    pub since: Timestamp,
    /// Usable binds.
    pub binds: u16,
    /// Parts that may be outstanding now over all usable binds; shrinks while the relay throttles.
    pub window: u32,
    /// Parts written and not answered.
    pub window_used: u32,
    /// Parts taken and not written.
    pub queued: u32,
    /// Whether the relay asked us to slow down and we are waiting.
    pub throttled: bool,
    /// Totals since the start.
    pub counters: Counters,
}

/// Totals of a relay since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Parts written.
    pub written: u64,
    /// Parts the relay throttled and we queued again.
    pub throttled: u64,
    /// Parts without an answer.
    pub unknown: u64,
    /// Receipts read.
    pub receipts: u64,
    /// `deliver_sm` that were no receipts (mobile originated); confirmed and dropped.
    pub mobile_originated: u64,
    /// PDUs that could not be read.
    pub malformed: u64,
    /// Responses nobody waited for.
    pub stray: u64,
    /// Successful binds.
    pub binds: u64,
    /// Failed connects and refused binds.
    pub bind_failures: u64,
}

/// The port every relay kind implements.
///
/// Laws: every submitted [`Outbound`] gets exactly one [`Event::Answered`] or [`Event::Unsent`]; nothing is written
/// after its deadline; `Unsent` means the relay has nothing of it; a receipt not confirmed is offered again.
pub trait RelayPort: Send + Sync {
    /// How many parts `text` becomes on this relay, at least 1.
    fn parts(&self, channel: Channel, text: &str) -> u8;

    /// How many parts of `lane` it takes now: free window plus one refill (at most 50 ms of its rate) minus what is
    /// queued, 20 % of it kept for `auth`; 0 while it is down, paused or stopping.
    fn room(&self, lane: Lane) -> u32;

    /// Queues messages; never blocks and never refuses, what it cannot send comes back as [`Event::Unsent`].
    fn submit(&self, messages: Vec<Outbound>);

    /// How it is now.
    fn health(&self) -> Health;

    /// Applies a new configuration: rate and window at once, what concerns the links by draining and binding again.
    fn reconfigure(&self, config: RelayConfig);

    /// Stops: queued messages come back as [`UnsentReason::Stopped`], those in flight have `drain` to be answered,
    /// then the links are unbound. The future ends when every link is closed.
    fn stop(&self, drain: Duration) -> BoxFuture<'static, ()>;
}
