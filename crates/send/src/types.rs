//! What callers ask of the send room and what it answers: drafts, findings, refusals, views.

use std::time::Duration;

use bongsu_domain::{AccountId, Code, KeyId, Lane, MessageId, Status, Timestamp, Unit};

/// Whose data a call may see. There is no way to look anything up without one (design D12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One account's own data.
    Account(AccountId),
    /// The operator of this installation: every account.
    Operator,
}

/// Who calls: an authenticated key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// What it may see.
    pub scope: Scope,
    /// The key it came with.
    pub key: KeyId,
}

/// To whom a key may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// Everybody but the fixed test numbers.
    #[default]
    Live,
    /// The numbers of the account's team.
    Team,
    /// The fixed test numbers; nothing leaves, and nothing is charged.
    Test,
}

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sending {
    /// Whose message it is.
    pub account: AccountId,
    /// The key it came with; none for Bongsu's own.
    pub key: Option<KeyId>,
    /// To whom that key may send.
    pub reach: Reach,
}

impl From<AccountId> for Sending {
    fn from(account: AccountId) -> Self {
        Self { account, key: None, reach: Reach::Live }
    }
}

/// One message as a caller wrote it, before any rule has been applied.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Requested channel.
    pub channel: bongsu_domain::ChannelChoice,
    /// Requested lane.
    pub lane: Lane,
    /// Recipient as written.
    pub to: String,
    /// Sender number as written.
    pub from: String,
    /// Text with `#{name}` variables.
    pub text: std::sync::Arc<str>,
    /// Title of an LMS.
    pub subject: Option<std::sync::Arc<str>>,
    /// Values of the variables; keys with or without `#{}`.
    pub variables: Vec<(String, String)>,
    /// The caller's own id, at most 64 characters, unique per account.
    pub client_ref: Option<String>,
    /// Department code, at most 32 characters.
    pub bill_code: Option<String>,
    /// Labels: at most 10, key ≤ 30, value ≤ 100 characters.
    pub labels: Vec<(String, String)>,
    /// How long the message may wait before it is worthless, counted from when it may leave.
    pub expires_in: Option<Duration>,
    /// When it is to leave (예약); absent: at once.
    pub send_at: Option<Timestamp>,
    /// Whether its caller says that it is an advertisement (광고); it is one by its lane.
    pub ad: Option<bool>,
    /// The most it may cost, in the unit of its price.
    pub max_cost: Option<i64>,
}

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The field as the caller names it (`to`, `variables.name`).
    pub field: String,
    /// The row of a batch.
    pub index: Option<u32>,
    /// What kind of wrong.
    pub code: Code,
    /// A sentence for people.
    pub detail: String,
    /// The message that was accepted with the same content.
    pub duplicate_of: Option<MessageId>,
}

impl Finding {
    /// Something about a field of a single request.
    pub fn new(field: impl Into<String>, code: Code, detail: impl Into<String>) -> Self {
        Self { field: field.into(), index: None, code, detail: detail.into(), duplicate_of: None }
    }
}

/// Why a request was not accepted. Nothing was queued and nothing charged.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The code of the whole answer.
    pub code: Code,
    /// Everything found, at once.
    pub findings: Vec<Finding>,
    /// A sentence for people.
    pub detail: String,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal with a sentence and no field findings.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, findings: Vec::new(), detail: detail.into(), retry_after: None }
    }

    /// A refusal because of the fields of the request.
    pub fn fields(code: Code, findings: Vec<Finding>) -> Self {
        let detail = findings.first().map(|f| format!("{}: {}", f.field, f.detail)).unwrap_or_default();
        Self { code, findings, detail, retry_after: None }
    }
}

/// The caller's idempotency key with what it was used for (RFC draft-ietf-httpapi-idempotency-key-header).
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// 1 to 255 characters of `A-Za-z0-9._-`.
    pub key: String,
    /// SHA-256 of the request body as received.
    pub body_hash: [u8; 32],
    /// Method and path, e.g. `POST /v1/messages`.
    pub route: &'static str,
}

/// A stored answer: sent now, and again when the same key comes again.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON body.
    pub body: Vec<u8>,
    /// True when this is the answer of an earlier request.
    pub replayed: bool,
}

/// Up to 10,000 messages in one call.
#[derive(Debug)]
pub struct Batch {
    /// One entry a row: a draft, or what already failed while reading it.
    pub rows: Vec<Result<Draft, Vec<Finding>>>,
    /// All rows or none.
    pub all_or_nothing: bool,
    /// Answer only with the rows that failed.
    pub errors_only: bool,
}

/// One message as it is shown.
#[derive(Debug, Clone)]
pub struct MessageView {
    /// The message.
    pub id: MessageId,
    /// Its account.
    pub account: AccountId,
    /// The request it came with, when that was a batch.
    pub batch: Option<bongsu_domain::RequestId>,
    /// The caller's own id.
    pub client_ref: Option<String>,
    /// Lane.
    pub lane: Lane,
    /// Channel after the automatic choice.
    pub channel: bongsu_domain::Channel,
    /// Recipient; absent when the sealed part cannot be opened.
    pub to: Option<bongsu_domain::PhoneNumber>,
    /// Sender number; absent as the recipient is.
    pub from: Option<String>,
    /// Where it stands.
    pub status: Status,
    /// Result code.
    pub code: Code,
    /// A result arrived after the final one.
    pub late: bool,
    /// Unit and amount frozen at accept.
    pub price: (Unit, i64),
    /// Department code.
    pub bill_code: Option<String>,
    /// Labels.
    pub labels: Vec<(String, String)>,
    /// Attempts in order; the last one is the current one.
    pub attempts: Vec<AttemptView>,
    /// Accepted at.
    pub accepted_at: Timestamp,
    /// Final at.
    pub final_at: Option<Timestamp>,
    /// When a further attempt is due.
    pub retry_at: Option<Timestamp>,
    /// When it is or was to leave, where its caller said.
    pub send_at: Option<Timestamp>,
    /// What holds it, and until when.
    pub held: Option<Held>,
}

/// Why a message waits although its turn has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// `night`: an advertisement outside of the hours for them.
    pub reason: &'static str,
    /// Until when.
    pub until: Timestamp,
}

impl Held {
    /// What holds a message of a lane at a moment.
    pub fn at(lane: Lane, hours: bongsu_domain::Hours, now: Timestamp) -> Option<Self> {
        let held = lane == Lane::Ad && !hours.is_open(now);
        held.then(|| Self { reason: "night", until: hours.next_open(now) })
    }
}

/// One try over one relay.
#[derive(Debug, Clone)]
pub struct AttemptView {
    /// 1, 2, 3 …
    pub n: u8,
    /// Relay name.
    pub relay: String,
    /// Its parts: the relay's id and the code of each.
    pub parts: Vec<PartView>,
    /// `sending`, `submitted`, `delivered`, `undelivered`, `refused`, `unknown`, `unreachable`, `expired`, `uncertain`.
    pub outcome: &'static str,
    /// Code of the outcome.
    pub code: Code,
    /// A sentence for people.
    pub reason: Option<String>,
    /// A result came after the final one.
    pub late: bool,
    /// Claimed at.
    pub claimed_at: Option<Timestamp>,
    /// Last byte written at.
    pub submitted_at: Option<Timestamp>,
    /// Answered by the relay at.
    pub responded_at: Option<Timestamp>,
    /// Its receipt came at.
    pub reported_at: Option<Timestamp>,
    /// Result at.
    pub final_at: Option<Timestamp>,
}

/// One SMPP part of an attempt.
#[derive(Debug, Clone)]
pub struct PartView {
    /// The relay's id, as normalised.
    pub relay_id: Option<String>,
    /// Result code of the part.
    pub code: Code,
}

/// What to list. All filters combine.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// The message itself.
    pub id: Option<MessageId>,
    /// Recipient in full.
    pub recipient: Option<bongsu_domain::PhoneNumber>,
    /// Its last four digits.
    pub recipient_last4: Option<String>,
    /// Sender number.
    pub sender: Option<bongsu_domain::PhoneNumber>,
    /// A label: its name, and its value when that counts.
    pub label: Option<(String, Option<String>)>,
    /// Department code.
    pub bill_code: Option<String>,
    /// What the text or the title of a batch or group has in it.
    pub text: Option<String>,
    /// Accepted at or after.
    pub since: Option<Timestamp>,
    /// Accepted before.
    pub until: Option<Timestamp>,
    /// Status.
    pub status: Option<Status>,
    /// The origin's word.
    pub origin_status: Option<bongsu_domain::OriginStatus>,
    /// Result code.
    pub code: Option<Code>,
    /// Channel.
    pub channel: Option<bongsu_domain::Channel>,
    /// Relay name.
    pub relay: Option<String>,
    /// Lane.
    pub lane: Option<Lane>,
    /// Batch.
    pub batch: Option<bongsu_domain::RequestId>,
    /// The caller's own id.
    pub client_ref: Option<String>,
    /// Rows a page, 1 to 500.
    pub limit: u32,
    /// Where the last page ended.
    pub cursor: Option<String>,
}

/// One page, newest first.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Give this back for the next page; absent at the end.
    pub next_cursor: Option<String>,
}

/// An attempt that is or was unknown.
#[derive(Debug, Clone)]
pub struct UnknownView {
    /// The message.
    pub id: MessageId,
    /// Its account.
    pub account: AccountId,
    /// 1, 2, 3 …
    pub n: u8,
    /// Relay name.
    pub relay: String,
    /// Unknown since.
    pub since: Timestamp,
    /// Until.
    pub resolved_at: Option<Timestamp>,
    /// How it ended: `receipt`, `sent again`, `expired`.
    pub resolution: Option<String>,
}

/// A message that cannot be processed.
#[derive(Debug, Clone)]
pub struct ParkedView {
    /// The message.
    pub id: MessageId,
    /// Its account.
    pub account: AccountId,
    /// Parked at.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}
