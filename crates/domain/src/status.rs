//! The states of a message and the moves between them.

use crate::code::Code;

/// Where a message is. The number is what the store keeps; 10 and above is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Status {
    /// Waits for something with a name: night hours, approval, balance, quota.
    Held = 0,
    /// Waits for its time (예약).
    Scheduled = 1,
    /// Waits for its turn.
    Queued = 2,
    /// Claimed by a dispatcher; a try is running, or the next one is due.
    Sending = 3,
    /// A relay took it; its receipt is awaited.
    Submitted = 4,
    /// The relay cannot tell the result; a later receipt or the deadline ends it.
    Uncertain = 5,
    /// Cannot be processed; an operator replays or ends it.
    Parked = 6,
    /// The handset has it.
    Delivered = 10,
    /// A relay took it and says why the handset does not have it.
    Undelivered = 11,
    /// Its time ran out, before it left or while its receipt was awaited.
    Expired = 12,
    /// Never left us: refused, or every relay was tried.
    Failed = 13,
    /// Canceled by its owner before it was claimed.
    Canceled = 14,
    /// The recipient has read it.
    Read = 15,
}

impl Status {
    /// Every status, ascending by number.
    pub const ALL: [Status; 13] = [
        Status::Held,
        Status::Scheduled,
        Status::Queued,
        Status::Sending,
        Status::Submitted,
        Status::Uncertain,
        Status::Parked,
        Status::Delivered,
        Status::Undelivered,
        Status::Expired,
        Status::Failed,
        Status::Canceled,
        Status::Read,
    ];

    /// The word used outside. The answer to a send says "accepted" instead.
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Held => "held",
            Status::Scheduled => "scheduled",
            Status::Queued => "queued",
            Status::Sending => "sending",
            Status::Submitted => "submitted",
            Status::Uncertain => "uncertain",
            Status::Parked => "parked",
            Status::Delivered => "delivered",
            Status::Undelivered => "undelivered",
            Status::Expired => "expired",
            Status::Failed => "failed",
            Status::Canceled => "canceled",
            Status::Read => "read",
        }
    }

    /// The status of a word.
    pub fn parse(word: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// The status of a stored number.
    pub fn from_u8(number: u8) -> Option<Status> {
        Status::ALL.into_iter().find(|status| *status as u8 == number)
    }

    /// Whether the message has ended: neither its status nor its money changes any more (but for delivered → read).
    pub const fn is_final(self) -> bool {
        self as u8 >= 10
    }
}

/// Whether a message may go from one status to another.
///
/// Moves go forward by rank. Held and scheduled stand side by side and may change into each other; only an operator's
/// replay goes back, from parked to queued; only what is not yet claimed can be canceled; nothing that has not been
/// queued can have reached a relay; and delivered may still become read.
pub fn can_move(from: Status, to: Status) -> bool {
    use Status::*;
    match (from, to) {
        _ if from == to => false,
        (Delivered, Read) => true,
        _ if from.is_final() => false,
        (Scheduled, Held) | (Parked, Queued) => true,
        (Held | Scheduled | Queued | Parked, Canceled) => true,
        (_, Canceled) => false,
        (Held | Scheduled, Sending | Submitted | Uncertain | Delivered | Undelivered | Read) => false,
        _ => from < to,
    }
}

/// Whether a message that stands so may be at its recipient's now or later, as far as status and code tell. A try of
/// unknown fate may have brought it there whatever it ended as.
pub fn may_have_arrived(status: Status, code: Code) -> bool {
    match status {
        Status::Undelivered | Status::Failed | Status::Canceled => false,
        Status::Expired => code != Code::ExpiredBeforeSend,
        _ => true,
    }
}

/// The four words of the origin's result screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OriginStatus {
    /// Not final yet.
    Pending,
    /// Delivered by the first try.
    Success,
    /// Delivered after more than one try.
    Resend,
    /// Ended without delivery.
    Fail,
}

impl OriginStatus {
    /// All four.
    pub const ALL: [OriginStatus; 4] =
        [OriginStatus::Pending, OriginStatus::Success, OriginStatus::Resend, OriginStatus::Fail];

    /// The word of the origin's screen as a value.
    pub fn parse(word: &str) -> Option<OriginStatus> {
        OriginStatus::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// The word used outside.
    pub const fn as_str(self) -> &'static str {
        match self {
            OriginStatus::Pending => "PENDING",
            OriginStatus::Success => "SUCCESS",
            OriginStatus::Resend => "RESEND",
            OriginStatus::Fail => "FAIL",
        }
    }
}

/// The origin's word for a message with this status after `tries` attempts.
pub fn origin_status(status: Status, tries: u32) -> OriginStatus {
    match status {
        Status::Delivered | Status::Read if tries > 1 => OriginStatus::Resend,
        Status::Delivered | Status::Read => OriginStatus::Success,
        _ if status.is_final() => OriginStatus::Fail,
        _ => OriginStatus::Pending,
    }
}

#[cfg(test)]
mod tests;
