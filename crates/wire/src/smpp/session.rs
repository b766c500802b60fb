//! Rules of a session that need no socket: what may be sent in which state, and the numbering of requests.

use super::{CommandId, SEQUENCE_MAX};

/// Where a session stands (SMPP 3.4 section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BindState {
    /// Connected, not bound.
    Open,
    /// The ESME may submit.
    BoundTransmitter,
    /// The message centre may deliver.
    BoundReceiver,
    /// Both.
    BoundTransceiver,
    /// Unbound or disconnected.
    Closed,
}

impl BindState {
    /// Whether a bind has succeeded and no unbind has.
    pub const fn is_bound(self) -> bool {
        matches!(self, BindState::BoundTransmitter | BindState::BoundReceiver | BindState::BoundTransceiver)
    }

    const fn transmits(self) -> bool {
        matches!(self, BindState::BoundTransmitter | BindState::BoundTransceiver)
    }

    const fn receives(self) -> bool {
        matches!(self, BindState::BoundReceiver | BindState::BoundTransceiver)
    }
}

/// Which end of the session sends a PDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// The client, which submits.
    Esme,
    /// The message centre, which delivers.
    Smsc,
}

/// Whether `from` may send this PDU in this state (section 2.3, table 2-1).
///
/// `enquire_link`, its response and `generic_nack` are also allowed before the bind: table 2-1 forbids the first two
/// there, but peers that probe a fresh connection exist and harm nobody. Unknown commands are never allowed.
pub fn allowed(state: BindState, from: Peer, id: CommandId) -> bool {
    use CommandId as Id;
    if state == BindState::Closed {
        return false;
    }
    match (id, from) {
        (Id::ENQUIRE_LINK | Id::ENQUIRE_LINK_RESP | Id::GENERIC_NACK, _) => true,
        (Id::UNBIND | Id::UNBIND_RESP, _) => state.is_bound(),
        (Id::BIND_RECEIVER | Id::BIND_TRANSMITTER | Id::BIND_TRANSCEIVER, Peer::Esme) => state == BindState::Open,
        (Id::BIND_RECEIVER_RESP | Id::BIND_TRANSMITTER_RESP | Id::BIND_TRANSCEIVER_RESP, Peer::Smsc) => {
            state == BindState::Open
        }
        (Id::OUTBIND, Peer::Smsc) => state == BindState::Open,
        (Id::SUBMIT_SM | Id::SUBMIT_MULTI | Id::QUERY_SM | Id::CANCEL_SM | Id::REPLACE_SM, Peer::Esme) => {
            state.transmits()
        }
        (
            Id::SUBMIT_SM_RESP | Id::SUBMIT_MULTI_RESP | Id::QUERY_SM_RESP | Id::CANCEL_SM_RESP | Id::REPLACE_SM_RESP,
            Peer::Smsc,
        ) => state.transmits(),
        (Id::DELIVER_SM | Id::ALERT_NOTIFICATION, Peer::Smsc) => state.receives(),
        (Id::DELIVER_SM_RESP, Peer::Esme) => state.receives(),
        (Id::DATA_SM, Peer::Esme) | (Id::DATA_SM_RESP, Peer::Smsc) => state.transmits(),
        (Id::DATA_SM, Peer::Smsc) | (Id::DATA_SM_RESP, Peer::Esme) => state.receives(),
        _ => false,
    }
}

/// Numbers the requests of one direction of one session: 1, 2, … up to [`SEQUENCE_MAX`], then 1 again (section 5.1.4).
#[derive(Debug, Clone, Default)]
pub struct Sequence {
    last: u32,
}

impl Sequence {
    /// Starts before 1.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on after `last`.
    pub fn after(last: u32) -> Self {
        Sequence { last }
    }

    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "an endless counter, not an iterator")]
    pub fn next(&mut self) -> u32 {
        self.last = if self.last >= SEQUENCE_MAX { 1 } else { self.last + 1 };
        self.last
    }
}
