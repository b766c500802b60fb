//! Accepting: single messages of one commit together, batches in staged slices that come to exist with their request.
//!
//! Every transaction writes keys first, rows then, the account's balance last, so that two of them never wait for each
//! other in a circle and the row that all requests of an account share is held for the shortest time.

use std::sync::Arc;

use bongsu_domain::id::id_millis;
use bongsu_domain::{AccountId, Channel, Lane, Timestamp, Unit};
use tokio::sync::oneshot;

use crate::error::{Error, Kind};
use crate::facts::Tags;

mod batch;
mod keys;
mod singles;
mod write;

pub use batch::{BatchCommit, Stage, Staged};
pub(crate) use batch::{commit_batch, discard, stage, staged_still};
pub use keys::Before;
pub(crate) use keys::{before, clean, remember, seen};
pub(crate) use singles::write_singles;
pub use write::Slice;
pub(crate) use write::{Request, Row, hidden_run, insert_message, insert_request, runs, tell};

/// Messages of one run, and so of one slice.
pub const RUN_MAX: usize = 500;

/// A message ready to be written: checked, priced, sealed.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Channel after the automatic choice.
    pub channel: Channel,
    /// Price frozen now.
    pub unit: Unit,
    /// Amount in the unit.
    pub price: i64,
    /// When it is to leave, Unix milliseconds; 0: at once.
    pub send_at: i64,
    /// Milliseconds after accept at which it is worthless.
    pub expires_ms: i64,
    /// Keyed hash of account and recipient.
    pub recipient: i64,
    /// Keyed hash of account and the recipient's last four digits.
    pub last4: i64,
    /// Number of its text in the request's contents, 0: the text is in `sealed`.
    pub content: u32,
    /// Recipient, sender, variables or text.
    pub sealed: Vec<u8>,
    /// clientRef, billCode and labels as JSON.
    pub extra: Option<String>,
    /// billCode and labels that it is counted under.
    pub counted: Option<std::sync::Arc<Tags>>,
    /// Their number; the store fills it in.
    pub stat: u32,
    /// Keyed hash of account and client reference.
    pub client_ref: Option<i64>,
    /// Keyed hash of account, sender, recipient and content, and for how many milliseconds an equal message is a
    /// duplicate.
    pub dedupe: Option<(i64, i64)>,
    /// The API key that a single message came with, 0 for none; a batch names it in its request.
    pub key: i64,
    /// Hash of account and sender number ([`crate::index::sender_key`]).
    pub sender: i64,
    /// What else it is found by ([`crate::index::tags`]).
    pub tags: Vec<i64>,
}

/// The key of an idempotent request, as the store knows it.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    /// Keyed hash of account, route and key.
    pub key: i64,
    /// SHA-256 of the body.
    pub body_hash: [u8; 32],
}

/// Why a request was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The balance does not cover it.
    NoBalance,
    /// Its client reference is taken.
    DuplicateClientRef,
    /// This message, of the same sender, recipient and content, was accepted within the account's window; 0 while the
    /// batch it belongs to is staged, and so not promised yet.
    Duplicate(i64),
    /// The same idempotency key was used before: its stored answer, or another body.
    Seen(Seen),
}

/// What is stored under an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The same request: answer the same.
    Answer(u16, Vec<u8>),
    /// Another body under the same key.
    OtherBody,
}

/// The outcome of a single accept: its id and the stored answer, or a refusal.
pub type SingleReply = Result<Result<(i64, Vec<u8>), Refused>, Error>;
/// Makes the answer from the id.
pub type MakeAnswer = Box<dyn Fn(i64) -> (u16, Vec<u8>) + Send>;

/// One message that waits for the next commit.
pub struct Single {
    pub(crate) account: AccountId,
    pub(crate) lane: Lane,
    pub(crate) message: NewMessage,
    pub(crate) idempotency: Option<IdempotencyKey>,
    /// Id of the HTTP request that it came with.
    pub(crate) trace: Option<Arc<str>>,
    pub(crate) answer: Option<MakeAnswer>,
    /// Status of the answer.
    pub(crate) status: u16,
    pub(crate) reply: Option<oneshot::Sender<SingleReply>>,
    pub(crate) outcome: Option<Result<(i64, Vec<u8>), Refused>>,
    pub(crate) failed: Option<Error>,
}

impl Single {
    /// A message to accept; `trace` is the id of the HTTP request that it came with. Boxed at once: it goes to another
    /// thread, and who waits for it has no need to keep room for it.
    pub fn new(
        account: AccountId,
        lane: Lane,
        message: NewMessage,
        idempotency: Option<IdempotencyKey>,
        trace: Option<Arc<str>>,
        answer: MakeAnswer,
    ) -> Box<Self> {
        Box::new(Self {
            account,
            lane,
            message,
            idempotency,
            trace,
            answer: Some(answer),
            status: 202,
            reply: None,
            outcome: None,
            failed: None,
        })
    }

    pub(crate) fn done(mut self: Box<Self>, committed: Result<(), Error>) {
        let result = match (committed, self.outcome.take()) {
            (Ok(()), Some(outcome)) => Ok(outcome),
            (Err(error), _) => Err(error),
            (Ok(()), None) => {
                Err(self.failed.take().unwrap_or_else(|| Error::new(Kind::Unavailable, "the message was not written")))
            }
        };
        self.answer_now(result);
    }

    /// Answers the caller, once.
    pub(crate) fn answer_now(&mut self, result: SingleReply) {
        if let Some(reply) = self.reply.take() {
            // The caller may have gone; the write stands all the same.
            let _ = reply.send(result);
        }
    }
}

/// When a message was accepted.
pub fn accepted_at(id: i64) -> Timestamp {
    Timestamp::from_millis(id_millis(id))
}
