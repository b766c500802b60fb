//! Events as readers see them.

use bongsu_domain::{AccountId, Code, Status, Timestamp};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum EventKind {
    /// A message was accepted.
    Accepted = 0,
    /// It cannot go on by itself: parked until an operator replays it.
    Held = 1,
    /// A relay took it.
    Submitted = 2,
    /// The handset has it.
    Delivered = 3,
    /// The relay says why the handset does not have it.
    Undelivered = 4,
    /// Its time ran out.
    Expired = 5,
    /// The relay cannot tell.
    Uncertain = 6,
    /// It never left.
    Failed = 7,
    /// Its owner canceled it.
    Canceled = 8,
    /// The last message of a group ended.
    GroupFinished = 9,
}

impl EventKind {
    /// Every kind, ascending by number.
    pub const ALL: [EventKind; 10] = [
        EventKind::Accepted,
        EventKind::Held,
        EventKind::Submitted,
        EventKind::Delivered,
        EventKind::Undelivered,
        EventKind::Expired,
        EventKind::Uncertain,
        EventKind::Failed,
        EventKind::Canceled,
        EventKind::GroupFinished,
    ];

    /// The word used outside.
    pub const fn as_str(self) -> &'static str {
        match self {
            EventKind::Accepted => "message.accepted",
            EventKind::Held => "message.held",
            EventKind::Submitted => "message.submitted",
            EventKind::Delivered => "message.delivered",
            EventKind::Undelivered => "message.undelivered",
            EventKind::Expired => "message.expired",
            EventKind::Uncertain => "message.uncertain",
            EventKind::Failed => "message.failed",
            EventKind::Canceled => "message.canceled",
            EventKind::GroupFinished => "group.finished",
        }
    }

    /// One sentence about it, for documents.
    pub const fn about(self) -> &'static str {
        match self {
            EventKind::Accepted => "The message was accepted and will be sent.",
            EventKind::Held => "The message cannot be processed and waits for an operator.",
            EventKind::Submitted => "A relay took the message; its receipt is awaited.",
            EventKind::Delivered => "The handset has the message.",
            EventKind::Undelivered => "The relay took the message and the handset does not have it; `code` says why.",
            EventKind::Expired => "The time of the message ran out, before it left or while its receipt was awaited.",
            EventKind::Uncertain => "The relay cannot tell the result yet; a later event does.",
            EventKind::Failed => "The message never left: it was refused, or every relay was tried.",
            EventKind::Canceled => "The message was canceled before it left.",
            EventKind::GroupFinished => "The last message of the group ended.",
        }
    }

    /// The kind of a word.
    pub fn parse(word: &str) -> Option<EventKind> {
        EventKind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The kind of a stored number.
    pub(crate) fn from_u8(number: u8) -> Option<EventKind> {
        EventKind::ALL.get(usize::from(number)).copied()
    }

    /// The kind of a message's end.
    pub(crate) fn of_end(status: Status) -> Option<EventKind> {
        Some(match status {
            Status::Delivered | Status::Read => EventKind::Delivered,
            Status::Undelivered => EventKind::Undelivered,
            Status::Expired => EventKind::Expired,
            Status::Failed => EventKind::Failed,
            Status::Canceled => EventKind::Canceled,
            _ => return None,
        })
    }

    /// Whether nothing follows it.
    pub const fn is_end(self) -> bool {
        use EventKind::{Canceled, Delivered, Expired, Failed, GroupFinished, Undelivered};
        matches!(self, Delivered | Undelivered | Expired | Failed | Canceled | GroupFinished)
    }

    /// The place of an event among those of its message: it ascends with them, with gaps.
    pub(crate) const fn seq(self, attempt: u8) -> u32 {
        let attempt = if attempt == 0 { 1 } else { attempt as u32 };
        match self {
            EventKind::Accepted => 0,
            EventKind::Held => attempt * 4,
            EventKind::Submitted => attempt * 4 + 1,
            EventKind::Uncertain => attempt * 4 + 2,
            _ => 256 * 4,
        }
    }
}

/// Something that happened to a message, or to a group of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Where it is in the order of all events of the installation: unique, ascending, never used again.
    pub position: i64,
    /// Whose it is.
    pub account: AccountId,
    /// What happened.
    pub kind: EventKind,
    /// The message; of an event of a group, the group.
    pub message: i64,
    /// The batch or group the message belongs to, 0 for a single message.
    pub request: i64,
    /// Its place among the events of the message: ascending, with gaps.
    pub seq: u32,
    /// Where the message stands by it.
    pub status: Status,
    /// Why.
    pub code: Code,
    /// The attempt it is about, 0 for none.
    pub attempt: u8,
    /// Number of the relay of the attempt.
    pub relay: Option<u8>,
    /// When, exact to the millisecond.
    pub at: Timestamp,
}

/// Events in the order of their positions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventPage {
    /// The events.
    pub events: Vec<Event>,
    /// The position to go on after, also when there are no events.
    pub next: i64,
}
