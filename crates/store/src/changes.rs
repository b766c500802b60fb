//! What happened to attempts: results, receipts, retries, refunds, written in batches in one group commit.

use bongsu_domain::id::{id_day, id_millis};
use bongsu_domain::{AccountId, Code, Lane, Status, Timestamp, Unit};
use rusqlite::params;

use crate::claims::{self, Due};
use crate::error::Error;
use crate::rows::Outcome;
use crate::tx::Tx;

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
    let mut firsts = Vec::new();
    for change in changes {
        match change {
            Change::Attempt(attempt) => write_attempt(tx, attempt)?,
            Change::Parts { id, attempt, relay_id } => write_parts(tx, *id, *attempt, relay_id)?,
            Change::Final(end) => firsts.push(finish(tx, end)?),
            Change::Receipt(receipt) => write_receipt(tx, receipt)?,
            Change::Park { .. } => park(tx, change)?,
            live_only => write_live(tx, live_only)?,
        }
    }
    Ok(firsts)
}

fn write_attempt(tx: &mut Tx<'_>, a: &Attempt) -> Result<(), Error> {
    let accepted = id_millis(a.id);
    let db = &tx.days.get(id_day(a.id))?.db;
    if a.attempt > 1 {
        db.prepare_cached(
            "INSERT OR IGNORE INTO attempts (id, attempt, relay, relay_id, outcome, code, t_claim, t_submit, t_result)
               SELECT id, attempt, relay, relay_id, outcome, code, t_claim, t_submit, t_result FROM messages
               WHERE id = ? AND attempt > 0 AND attempt < ? AND status < 10",
        )?
        .execute((a.id, a.attempt))?;
    }
    let changed = db
        .prepare_cached(
            "UPDATE messages SET attempt = ?, relay = ?, relay_id = ?, outcome = ?, code = ?, t_claim = ?, t_submit = ?, t_result = ?,
               status = ? WHERE id = ? AND attempt <= ? AND status < 10",
        )?
        .execute(params![
            a.attempt,
            a.relay,
            a.relay_id,
            a.outcome as u8,
            a.code.number(),
            a.claimed - accepted,
            a.submitted.map(|t| t - accepted),
            a.result.map(|t| t - accepted),
            a.status as u8,
            a.id,
            a.attempt
        ])?;
    if changed == 0 {
        // The message was decided by an earlier attempt meanwhile; this one is history all the same.
        db.prepare_cached(
            "INSERT OR REPLACE INTO attempts (id, attempt, relay, relay_id, outcome, code, t_claim, t_submit, t_result)
               SELECT ?, ?, ?, ?, ?, ?, ?, ?, ? FROM messages WHERE id = ? AND attempt <> ?",
        )?
        .execute(params![
            a.id,
            a.attempt,
            a.relay,
            a.relay_id,
            a.outcome as u8,
            a.code.number(),
            a.claimed - accepted,
            a.submitted.map(|t| t - accepted),
            a.result.map(|t| t - accepted),
            a.id,
            a.attempt
        ])?;
    }
    Ok(())
}

fn write_parts(tx: &mut Tx<'_>, id: i64, attempt: u8, relay_id: &str) -> Result<(), Error> {
    let db = &tx.days.get(id_day(id))?.db;
    let changed = db
        .prepare_cached("UPDATE messages SET relay_id = ? WHERE id = ? AND attempt = ?")?
        .execute((relay_id, id, attempt))?;
    if changed == 0 {
        db.prepare_cached("UPDATE attempts SET relay_id = ? WHERE id = ? AND attempt = ?")?
            .execute((relay_id, id, attempt))?;
    }
    Ok(())
}

/// Makes a message final if it is not: the one place where a final status and its refund are written.
pub(crate) fn finish(tx: &mut Tx<'_>, end: &Final) -> Result<bool, Error> {
    let after_accept = end.at - id_millis(end.id);
    let outcome = end.outcome.map(|o| o as u8);
    let file = tx.days.get(id_day(end.id))?;
    let changed = file
        .db
        .prepare_cached(
            "UPDATE messages SET status = ?, code = ?, t_result = ?,
               outcome = CASE WHEN attempt = ? THEN COALESCE(?, outcome) ELSE outcome END WHERE id = ? AND status < 10",
        )?
        .execute(params![end.status as u8, end.code.number(), after_accept, end.attempt, outcome, end.id])?;
    let first = changed == 1;
    if !first {
        file.db.prepare_cached("UPDATE messages SET late = 1 WHERE id = ? AND late = 0")?.execute([end.id])?;
    }
    if end.attempt > 0 && (!first || end.attempt < u8::MAX) {
        file.db
            .prepare_cached("UPDATE attempts SET outcome = COALESCE(?, outcome), code = ?, t_result = ? WHERE id = ? AND attempt = ?")?
            .execute(params![outcome, end.code.number(), after_accept, end.id, end.attempt])?;
    }
    if first && let Some((account, unit, amount)) = end.refund.filter(|(_, _, amount)| *amount > 0) {
        file.refund(account, unit, amount);
    }
    Ok(first)
}

/// Keeps a receipt. One that seemed to decide a message which another one decided meanwhile is a repetition.
fn write_receipt(tx: &mut Tx<'_>, receipt: &Receipt) -> Result<(), Error> {
    tx.days
        .get(id_day(receipt.id))?
        .db
        .prepare_cached(
            "INSERT OR REPLACE INTO receipts (id, attempt, part, at, verdict, raw) VALUES (?, ?, ?, ?,
               CASE WHEN ? = 0 AND EXISTS (SELECT 1 FROM messages WHERE id = ? AND status >= 10) THEN 1 ELSE ? END, ?)",
        )?
        .execute(params![
            receipt.id,
            receipt.attempt,
            receipt.part,
            receipt.at.micros(),
            receipt.verdict as u8,
            receipt.id,
            receipt.verdict as u8,
            receipt.raw
        ])?;
    Ok(())
}

fn park(tx: &mut Tx<'_>, change: &Change) -> Result<(), Error> {
    let Change::Park { id, account, attempt, lane, at, reason } = change else { return Ok(()) };
    tx.days
        .get(id_day(*id))?
        .db
        .prepare_cached("UPDATE messages SET status = ? WHERE id = ? AND status < 10")?
        .execute((Status::Parked as u8, id))?;
    tx.live
        .prepare_cached("REPLACE INTO parked (id, account, at, attempt, lane, reason) VALUES (?, ?, ?, ?, ?, ?)")?
        .execute(params![id, account.0, at, attempt, *lane as u8, reason])?;
    Ok(())
}

fn write_live(tx: &Tx<'_>, change: &Change) -> Result<(), Error> {
    let live = tx.live;
    match change {
        Change::Due(due) => claims::insert_due(live, due)?,
        Change::NotDue(id) => {
            live.prepare_cached("DELETE FROM due WHERE id = ?")?.execute([id])?;
        }
        Change::ClaimDone(id) => {
            live.prepare_cached("DELETE FROM claims WHERE id = ?")?.execute([id])?;
        }
        Change::Spill(s) => {
            live.prepare_cached(
                "REPLACE INTO submits (relay, relay_id, id, attempt, part, parts, recipient, deadline) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![s.relay, s.relay_id, s.id, s.attempt, s.part, s.parts, s.recipient, s.deadline])?;
        }
        Change::Unspill { relay, relay_id, id } => {
            live.prepare_cached("DELETE FROM submits WHERE relay = ? AND relay_id = ? AND id = ?")?
                .execute(params![relay, relay_id, id])?;
        }
        Change::Unknown(u) => {
            live.prepare_cached(
                "REPLACE INTO unknown_attempts (id, attempt, relay, account, recipient, since, resolved) VALUES (?, ?, ?, ?, ?, ?, 0)",
            )?
            .execute(params![u.id, u.attempt, u.relay, u.account.0, u.recipient, u.since])?;
        }
        Change::Resolved { id, attempt, at, resolution } => {
            live.prepare_cached(
                "UPDATE unknown_attempts SET resolved = ?, resolution = ? WHERE id = ? AND attempt = ?",
            )?
            .execute(params![at, resolution, id, attempt])?;
        }
        Change::Orphan(seq, o) => {
            live.prepare_cached(
                "REPLACE INTO orphan_receipts (seq, relay, relay_id, recipient, reference, status, code, at, raw) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                seq,
                o.relay,
                o.relay_id,
                o.recipient,
                o.reference.map_or(-1, i64::from),
                o.status as u8,
                o.code.number(),
                o.at.micros(),
                o.raw
            ])?;
        }
        Change::OrphanDone(seq) => {
            live.prepare_cached("DELETE FROM orphan_receipts WHERE seq = ?")?.execute([seq])?;
        }
        Change::Attempt(_) | Change::Parts { .. } | Change::Final(_) | Change::Receipt(_) | Change::Park { .. } => {}
    }
    Ok(())
}
