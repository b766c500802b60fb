//! The closed table of result codes: `UM`, four digits and a name, one language for answers, results and statistics.
//!
//! First digit: 0 fine, 1 request, 2 policy or law, 3 account and money, 4 recipient for good, 5 recipient for now,
//! 6 content or template, 7 relay, 8 platform, 9 unknown. The enum's discriminant is the number.

mod table;

use crate::status::Status;
use std::fmt;
use std::str::FromStr;
use table::{ROWS, Row};

/// What is done, or has to be done, about a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Nothing: it is no failure.
    None,
    /// Nothing: the failure is final.
    No,
    /// The caller has to change something; the same request fails again.
    Fix,
    /// The same relay is tried again with growing waits.
    Same,
    /// Another relay is tried.
    Route,
    /// Final on this channel; a fallback channel (대체발송) may follow.
    Next,
    /// Waits for a time or an event, such as a credit.
    Hold,
    /// The result is asked or waited for before anything is sent again.
    Ask,
}

/// What a final code does to the charge of its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Billing {
    /// The charge stays.
    Billable,
    /// The charge is given back.
    Refundable,
    /// The contract with the relay decides; without a word in it the charge is given back.
    ByContract,
}

/// A result code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Code {
    /// Accepted.
    OkAccepted = 0,
    /// Handed to the relay.
    OkSubmitted = 1,
    /// Delivered.
    OkDelivered = 2,
    /// Read.
    OkRead = 3,
    /// The request is not valid.
    BadRequest = 1001,
    /// The API key is missing or wrong.
    Unauthenticated = 1002,
    /// The API key may not do this.
    Forbidden = 1003,
    /// The signature is too old or was used before.
    ClockSkewOrReplay = 1004,
    /// The first request with this idempotency key is still running.
    IdempotencyInProgress = 1005,
    /// This idempotency key was used with another body.
    IdempotencyMismatch = 1006,
    /// The same recipient is in the request twice.
    DuplicateRecipient = 1007,
    /// Too many messages in one request.
    TooManyRows = 1008,
    /// The time to send is too near, too far or past.
    ScheduleOutOfRange = 1009,
    /// This client reference was used before.
    DuplicateClientRef = 1010,
    /// There is no such thing here.
    NotFound = 1011,
    /// Too late to cancel or change, the message is on its way.
    AlreadySent = 1012,
    /// It exists already or was changed meanwhile.
    Conflict = 1013,
    /// This path does not take this method.
    MethodNotAllowed = 1014,
    /// The body is of a type or charset that is not taken here.
    UnsupportedMediaType = 1015,
    /// The request body is too large.
    BodyTooLarge = 1016,
    /// The request took too long to arrive.
    RequestTimeout = 1017,
    /// An equal message was accepted a short time ago.
    DuplicateContent = 1018,
    /// The recipient is not a number we can send to.
    BadRecipientFormat = 1020,
    /// Sending to this country is not allowed.
    CountryNotAllowed = 1021,
    /// The kind of the API key does not allow this recipient.
    RecipientNotForKey = 1022,
    /// A character cannot be sent in a text message.
    UnencodableCharacter = 1030,
    /// The text holds a control character.
    ControlCharacter = 1031,
    /// The text is too long.
    BodyTooLong = 1032,
    /// The subject is too long, or this type has none.
    SubjectTooLong = 1033,
    /// The text is empty.
    EmptyBody = 1034,
    /// The attachment cannot be sent.
    AttachmentInvalid = 1036,
    /// The sender number is not registered or not valid.
    SenderNotRegistered = 2001,
    /// The sender number is blocked.
    SenderBlocked = 2002,
    /// The sender profile is not valid.
    SenderProfileInvalid = 2003,
    /// The advertising label, name or opt-out is missing.
    AdFormatInvalid = 2010,
    /// Advertising may not be sent at night.
    AdNightBlocked = 2013,
    /// The recipient has not agreed to advertising.
    AdConsentMissing = 2014,
    /// The channel does not send at this hour.
    OutsideChannelHours = 2016,
    /// The recipient has opted out.
    OptedOut = 2020,
    /// The recipient is on the block list.
    BlockListed = 2021,
    /// The address bounced before.
    SuppressedBounce = 2022,
    /// Stopped by a spam filter.
    SpamFiltered = 2030,
    /// Stopped as likely fraud.
    FraudBlocked = 2031,
    /// The balance is not enough.
    NoBalance = 3001,
    /// The spending limit is reached.
    SpendLimit = 3002,
    /// Too many requests, slow down.
    RateLimited = 3003,
    /// The quota is used up.
    QuotaExceeded = 3004,
    /// The account is suspended.
    AccountSuspended = 3005,
    /// This feature or channel is not available.
    FeatureNotEnabled = 3006,
    /// The number does not exist.
    RecipientUnknown = 4001,
    /// The number is suspended.
    RecipientSuspended = 4002,
    /// The message was refused for this recipient.
    RecipientRefused = 4003,
    /// The recipient does not use this channel.
    NotChannelUser = 4004,
    /// The recipient is not a friend or target.
    NotFriendOrTarget = 4005,
    /// The recipient blocked the channel.
    ChannelBlockedByUser = 4006,
    /// The device cannot show this message.
    DeviceUnsupported = 4007,
    /// The recipient must pass an adult check.
    AdultCheckRequired = 4008,
    /// The push token is no longer valid.
    TokenGone = 4009,
    /// The push token belongs to another app.
    TokenWrongApp = 4010,
    /// The mailbox does not exist.
    MailboxUnknown = 4011,
    /// The mail domain does not exist.
    MailDomainUnknown = 4012,
    /// The recipient complained.
    Complained = 4013,
    /// The phone is switched off.
    PoweredOff = 5001,
    /// The phone is out of coverage.
    OutOfCoverage = 5002,
    /// The inbox is full.
    InboxFull = 5003,
    /// The phone is busy.
    DeviceBusy = 5004,
    /// The radio link failed.
    RadioFailure = 5005,
    /// The phone could not take it just now.
    DeviceTempError = 5006,
    /// The mail server asks to try later.
    Greylisted = 5007,
    /// There is no such template.
    TemplateNotFound = 6001,
    /// The template is not approved.
    TemplateNotApproved = 6002,
    /// The message differs from its template.
    TemplateMismatch = 6003,
    /// The buttons differ from the template.
    ButtonMismatch = 6004,
    /// A variable is missing or not in the text.
    VariableMissingOrExtra = 6005,
    /// A field is too long.
    FieldTooLong = 6006,
    /// A link is not valid.
    LinkInvalid = 6007,
    /// The message type does not fit.
    MessageTypeMismatch = 6009,
    /// The relay is down.
    RouteDown = 7001,
    /// The relay asks us to slow down.
    RouteThrottled = 7002,
    /// The queue of the relay is full.
    RouteQueueFull = 7003,
    /// The relay refused our credentials.
    RouteAuthFailed = 7004,
    /// No relay can take this message.
    NoRoute = 7005,
    /// The relay did not answer; the message may never have left.
    VendorTimeout = 7006,
    /// The relay failed.
    VendorError = 7007,
    /// The relay says it has this message already.
    VendorDuplicateId = 7008,
    /// The relay cannot tell the result.
    VendorUncertain = 7009,
    /// The relay says the message is too large.
    VendorPayloadTooLarge = 7010,
    /// The relay removed the message.
    RemovedByVendor = 7011,
    /// An internal error.
    Internal = 8001,
    /// Canceled.
    Canceled = 8002,
    /// Expired before it could be sent.
    ExpiredBeforeSend = 8003,
    /// The store is not available.
    StoreUnavailable = 8004,
    /// The storage is full.
    StorageFull = 8005,
    /// No result came by the deadline.
    ResultTimeout = 9001,
    /// A result came after the end.
    LateResult = 9002,
    /// The relay answered with an unknown code.
    UnmappedVendorCode = 9003,
}

impl Code {
    /// Every code, ascending by number.
    pub const ALL: [Code; table::COUNT] = table::codes();

    /// The four digits as a number, 0 to 9999; what the store keeps.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The code with this number.
    pub fn from_number(number: u16) -> Option<Code> {
        position(number).map(|index| ROWS[index].code)
    }

    /// The form used outside: `UM4001`.
    pub fn as_str(self) -> &'static str {
        self.row().text()
    }

    /// The name in the table: `RECIPIENT_UNKNOWN`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// One English sentence for people, without a full stop.
    pub fn title_en(self) -> &'static str {
        self.row().title_en
    }

    /// One Korean sentence for people, without a full stop.
    pub fn title_ko(self) -> &'static str {
        self.row().title_ko
    }

    /// The HTTP status of an answer that carries this code as its problem (RFC 9457).
    pub fn http_status(self) -> u16 {
        self.row().http_status
    }

    /// Whether the same request may succeed later although nobody changes anything.
    pub fn retryable(self) -> bool {
        matches!(self.action(), Action::Same | Action::Route)
    }

    /// What it does to the charge.
    pub fn billing(self) -> Billing {
        self.row().billing
    }

    /// What is done about it.
    pub fn action(self) -> Action {
        self.row().action
    }

    /// The code of the IMS protocol, printed on IMS-compatible endpoints only.
    pub fn ims(self) -> Option<&'static str> {
        self.row().ims
    }

    /// The Kakao result codes with this meaning. The first one is what Kakao-compatible endpoints print; one Kakao
    /// number may stand at several of our codes, since it means different things at different relays.
    pub fn kakao(self) -> &'static [u16] {
        self.row().kakao
    }

    /// The final status of a message that ends with this code. `left` tells whether a relay had accepted it once.
    pub fn final_status(self, left: bool) -> Status {
        match self {
            Code::OkDelivered => Status::Delivered,
            Code::OkRead => Status::Read,
            Code::Canceled => Status::Canceled,
            Code::ExpiredBeforeSend | Code::ResultTimeout | Code::VendorTimeout => Status::Expired,
            _ if left || matches!(self.number() / 1000, 4 | 5) => Status::Undelivered,
            _ => Status::Failed,
        }
    }

    fn row(self) -> &'static Row {
        &ROWS[position(self.number()).expect("a test walks every code and finds its row")]
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is no code of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a result code of the table")]
pub struct UnknownCode;

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Code, UnknownCode> {
        let digits = text.strip_prefix("UM").ok_or(UnknownCode)?;
        if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(UnknownCode);
        }
        digits.parse().ok().and_then(Code::from_number).ok_or(UnknownCode)
    }
}

fn position(number: u16) -> Option<usize> {
    ROWS.binary_search_by_key(&number, |row| row.code.number()).ok()
}

#[cfg(test)]
mod tests;
