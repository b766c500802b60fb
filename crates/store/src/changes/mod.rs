//! What happened to attempts: results, receipts, retries, refunds, written in batches in one group commit.

use bongsu_domain::map::IdMap;
use bongsu_domain::{AccountId, Code, Lane, Status, Timestamp, Unit};

use crate::claims::Due;
use crate::error::Error;
use crate::rows::Outcome;
use crate::tx::Tx;

mod live;
mod messages;
mod standing;

pub(crate) use messages::replayed;
pub(crate) use standing::Standing;

/// One attempt as it stands now. Times are Unix milliseconds.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The message.
    pub id: i64,
    /// 1, 2, 3 …
    pub attempt: u8,
    /// Number of the relay.
    pub relay: u8,
    /// One line a part: the relay's id, then a tab and the code once it is known.
    pub relay_id: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// Code of the outcome.
    pub code: Code,
    /// Status of the message by it; not final.
    pub status: Status,
    /// Claimed.
    pub claimed: i64,
    /// Written.
    pub submitted: Option<i64>,
    /// Answered by the relay.
    pub answered: Option<i64>,
    /// Result.
    pub result: Option<i64>,
}

/// The one final result of a message.
#[derive(Debug, Clone)]
pub struct Final {
    /// The message.
    pub id: i64,
    /// The attempt that decided it, 0 for none (canceled, expired while waiting).
    pub attempt: u8,
    /// Final status.
    pub status: Status,
    /// Its code.
    pub code: Code,
    /// Outcome of the attempt.
    pub outcome: Option<Outcome>,
    /// Unix milliseconds.
    pub at: i64,
    /// Account, unit and amount to give back.
    pub refund: Option<(AccountId, Unit, i64)>,
}

/// A receipt as it came.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The message.
    pub id: i64,
    /// Its attempt.
    pub attempt: u8,
    /// Its part, from 0.
    pub part: u8,
    /// Arrival.
    pub at: Timestamp,
    /// What it meant.
    pub verdict: Verdict,
    /// The text of it, without the text of the message.
    pub raw: Vec<u8>,
}

/// What a receipt meant for its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It made the message final.
    Decided = 0,
    /// It was there before.
    Repeated = 1,
    /// The message was final already.
    Late = 2,
    /// One of several parts.
    Part = 3,
    /// An intermediate state.
    NotFinal = 4,
}

/// A submitted part that waits longer than memory keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submit {
    /// Number of the relay.
    pub relay: u8,
    /// The relay's id.
    pub relay_id: String,
    /// The message.
    pub id: i64,
    /// Its attempt.
    pub attempt: u8,
    /// Its part, from 0.
    pub part: u8,
    /// Parts of the attempt.
    pub parts: u8,
    /// Keyed hash of account and recipient.
    pub recipient: i64,
    /// Unix milliseconds.
    pub deadline: i64,
}

/// A receipt that matched nothing.
#[derive(Debug, Clone)]
pub struct Orphan {
    /// Number of the relay.
    pub relay: u8,
    /// The relay's id.
    pub relay_id: String,
    /// Plain keyed hash of the recipient's number (the account is not known).
    pub recipient: i64,
    /// `user_message_reference` when echoed.
    pub reference: Option<u16>,
    /// Status it stands for.
    pub status: Status,
    /// Code it stands for.
    pub code: Code,
    /// Arrival.
    pub at: Timestamp,
    /// The text of it.
    pub raw: Vec<u8>,
}

/// An attempt whose fate is unknown.
#[derive(Debug, Clone, Copy)]
pub struct Unknown {
    /// The message.
    pub id: i64,
    /// Its attempt.
    pub attempt: u8,
    /// Number of the relay.
    pub relay: u8,
    /// Its account.
    pub account: AccountId,
    /// Plain keyed hash of the recipient's number.
    pub recipient: i64,
    /// Unix milliseconds.
    pub since: i64,
}

/// One change. Those of one call are written in order, in one commit.
#[derive(Debug, Clone)]
pub enum Change {
    /// An attempt as it stands now.
    Attempt(Attempt),
    /// The ids and codes of the parts of an attempt.
    Parts {
        /// The message.
        id: i64,
        /// Its attempt.
        attempt: u8,
        /// One line a part.
        relay_id: String,
    },
    /// The final result.
    Final(Final),
    /// A receipt.
    Receipt(Receipt),
    /// Something becomes due.
    Due(Due),
    /// Something is not due any more.
    NotDue(i64),
    /// A claim of which every message is accounted for.
    ClaimDone(i64),
    /// A part leaves memory.
    Spill(Submit),
    /// A spilled part has its receipt, or its message ended: all parts of the attempt.
    Unspill {
        /// Number of the relay.
        relay: u8,
        /// The relay's id.
        relay_id: String,
        /// The message.
        id: i64,
    },
    /// An attempt's fate is unknown.
    Unknown(Unknown),
    /// It became known, or was given up.
    Resolved {
        /// The message.
        id: i64,
        /// Its attempt.
        attempt: u8,
        /// Unix milliseconds.
        at: i64,
        /// How.
        resolution: &'static str,
    },
    /// A receipt that matched nothing, with the number it is kept under.
    Orphan(i64, Orphan),
    /// An orphan found its message, or its deadline passed.
    OrphanDone(i64),
    /// The message cannot be processed.
    Park {
        /// The message.
        id: i64,
        /// Its account.
        account: AccountId,
        /// The attempt that could not be made.
        attempt: u8,
        /// Its lane.
        lane: Lane,
        /// Unix milliseconds.
        at: i64,
        /// Why.
        reason: String,
    },
}

/// Writes changes. Answers, for every [`Change::Final`] in order, whether it was the first final result of its message.
pub(crate) fn apply(tx: &mut Tx<'_>, changes: &[Change]) -> Result<Vec<bool>, Error> {
    let mut standing = Standing::lock(tx, changes.iter().filter_map(Change::message))?;
    let mut firsts = Vec::new();
    for wave in waves(changes) {
        wave.write(tx, &mut standing, &mut firsts)?;
    }
    standing.keep(tx);
    firsts.sort_unstable();
    Ok(firsts.into_iter().map(|(_, first)| first).collect())
}

/// Makes a message final if it is not.
pub(crate) fn finish(tx: &mut Tx<'_>, end: &Final) -> Result<bool, Error> {
    let mut firsts = Vec::new();
    let mut standing = Standing::lock(tx, std::iter::once(end.id))?;
    messages::finish(tx, &mut standing, &[(0, end)], &mut firsts)?;
    standing.keep(tx);
    Ok(firsts.first().is_some_and(|(_, first)| *first))
}

/// Changes of which no two are about the same thing, so that they can be written together, kind by kind.
#[derive(Default)]
struct Wave<'a> {
    attempts: Vec<&'a Attempt>,
    parts: Vec<(i64, u8, &'a str)>,
    receipts: Vec<&'a Receipt>,
    finals: Vec<(usize, &'a Final)>,
    live: Vec<&'a Change>,
}

/// Parts changes so that those of one message, claim or orphan keep their order.
fn waves(changes: &[Change]) -> Vec<Wave<'_>> {
    let mut met: IdMap<usize> = IdMap::default();
    met.reserve(changes.len());
    let mut waves: Vec<Wave<'_>> = Vec::new();
    for (at, change) in changes.iter().enumerate() {
        let times = met.entry(change.about()).or_default();
        if waves.len() <= *times {
            waves.push(Wave::default());
        }
        let wave = &mut waves[*times];
        *times += 1;
        match change {
            Change::Attempt(attempt) => wave.attempts.push(attempt),
            Change::Parts { id, attempt, relay_id } => wave.parts.push((*id, *attempt, relay_id)),
            Change::Final(end) => wave.finals.push((at, end)),
            Change::Receipt(receipt) => wave.receipts.push(receipt),
            other => wave.live.push(other),
        }
    }
    waves
}

impl Wave<'_> {
    fn write(&self, tx: &mut Tx<'_>, standing: &mut Standing, firsts: &mut Vec<(usize, bool)>) -> Result<(), Error> {
        messages::attempts(tx, standing, &self.attempts)?;
        messages::parts(tx, &self.parts)?;
        messages::receipts(tx, standing, &self.receipts)?;
        messages::finish(tx, standing, &self.finals, firsts)?;
        live::write(tx, standing, &self.live)
    }
}

impl Change {
    /// The message, claim or orphan it is about: their ids never meet, all come from one generator.
    fn about(&self) -> i64 {
        match self {
            Change::Attempt(Attempt { id, .. })
            | Change::Parts { id, .. }
            | Change::Final(Final { id, .. })
            | Change::Receipt(Receipt { id, .. })
            | Change::Due(Due { id, .. })
            | Change::NotDue(id)
            | Change::ClaimDone(id)
            | Change::Spill(Submit { id, .. })
            | Change::Unspill { id, .. }
            | Change::Unknown(Unknown { id, .. })
            | Change::Resolved { id, .. }
            | Change::Orphan(id, _)
            | Change::OrphanDone(id)
            | Change::Park { id, .. } => *id,
        }
    }

    /// The message whose row it changes.
    pub fn message(&self) -> Option<i64> {
        match self {
            Change::Attempt(_) | Change::Parts { .. } | Change::Final(_) | Change::Receipt(_) | Change::Park { .. } => {
                Some(self.about())
            }
            _ => None,
        }
    }
}
