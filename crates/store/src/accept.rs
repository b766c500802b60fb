//! Accepting: single messages of one commit together, batches in staged slices that come to exist with their request.

use std::collections::HashMap;

use bongsu_domain::id::{id_day, id_millis};
use bongsu_domain::{AccountId, Channel, Day, Lane, MessageId, Timestamp, Unit};
use rusqlite::{OptionalExtension, params};
use tokio::sync::oneshot;

use crate::error::{Error, Kind};
use crate::index::Keys;
use crate::rows::{self, Run};
use crate::tx::Tx;
use crate::wallet;

/// Messages of one run, and so of one slice.
pub const RUN_MAX: usize = 500;
/// How long an answer is kept for a repeat of the same request.
const IDEMPOTENCY_MS: i64 = 24 * 3600 * 1000;

/// A message ready to be written: checked, priced, sealed.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Channel after the automatic choice.
    pub channel: Channel,
    /// Price frozen now.
    pub unit: Unit,
    /// Amount in the unit.
    pub price: i64,
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
    /// Keyed hash of account and client reference.
    pub client_ref: Option<i64>,
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
pub type MakeAnswer = Box<dyn FnOnce(i64) -> (u16, Vec<u8>) + Send>;

/// One message that waits for the next commit.
pub struct Single {
    pub(crate) account: AccountId,
    pub(crate) lane: Lane,
    pub(crate) message: NewMessage,
    pub(crate) idempotency: Option<IdempotencyKey>,
    pub(crate) answer: Option<MakeAnswer>,
    pub(crate) reply: Option<oneshot::Sender<SingleReply>>,
    pub(crate) outcome: Option<Result<(i64, Vec<u8>), Refused>>,
    pub(crate) failed: Option<Error>,
}

impl Single {
    pub(crate) fn done(mut self: Box<Self>, committed: Result<(), Error>) {
        let result = match (committed, self.outcome.take()) {
            (Ok(()), Some(outcome)) => Ok(outcome),
            (Err(error), _) => Err(error),
            (Ok(()), None) => {
                Err(self.failed.take().unwrap_or_else(|| Error::new(Kind::Unavailable, "the message was not written")))
            }
        };
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(result);
        }
    }
}

/// Writes the single messages of one commit: ids in the order of lane and account, one run for each of those.
pub(crate) fn write_singles(tx: &mut Tx<'_>, singles: &mut [Box<Single>]) -> Result<(), Error> {
    singles.sort_by_key(|s| (s.lane, s.account));
    let mut purses = Purses::default();
    for same in singles.chunk_by_mut(|a, b| (a.lane, a.account) == (b.lane, b.account)) {
        for chunk in same.chunks_mut(RUN_MAX) {
            match write_run(tx, chunk, &mut purses) {
                // Without ids nothing of the run is written; the rest of the commit needs none.
                Err(error) if error.kind() == Kind::ClockBehind => {
                    for single in chunk.iter_mut().filter(|s| s.outcome.is_none()) {
                        single.failed = Some(error.clone());
                    }
                }
                written => written?,
            }
        }
    }
    Ok(())
}

fn write_run(tx: &mut Tx<'_>, chunk: &mut [Box<Single>], purses: &mut Purses) -> Result<(), Error> {
    let mut seen_refs = Vec::new();
    let mut seen_keys = Vec::new();
    for single in chunk.iter_mut() {
        let refusal = refusal(tx, single, purses, &seen_refs, &seen_keys)?;
        if refusal.is_none() {
            seen_refs.extend(single.message.client_ref);
            seen_keys.extend(single.idempotency.as_ref().map(|k| k.key));
        }
        single.outcome = refusal.map(Err);
    }
    let count = chunk.iter().filter(|s| s.outcome.is_none()).count();
    if count == 0 {
        return Ok(());
    }
    let (account, lane) = (chunk[0].account, chunk[0].lane);
    let first = tx.new_ids(count as u32)?;
    let day = id_day(first);
    let accepted_ms = id_millis(first);
    let mut expires = i64::MAX;
    for (id, single) in (first..).zip(chunk.iter_mut().filter(|s| s.outcome.is_none())) {
        expires = expires.min(accepted_ms + single.message.expires_ms);
        write_message(tx, day, id, account, 0, lane, &single.message)?;
        write_single_request(tx, id, account, &single.message)?;
        let cause = format!("request:{}", MessageId(id));
        wallet::charge(tx.live, account, single.message.unit, single.message.price, &cause, tx.now)?;
        if let Some(key) = single.message.client_ref {
            put_client_ref(tx, key, id)?;
        }
        let (status, body) = single.answer.take().map_or((202, Vec::new()), |answer| answer(id));
        if let Some(key) = &single.idempotency {
            put_answer(tx, key, status, &body, accepted_ms)?;
        }
        single.outcome = Some(Ok((id, body)));
    }
    let slice = Slice { first, count: count as u32, lane, expires };
    write_slice_row(tx, day, &slice, 0)?;
    write_runs(tx, account, 0, &[slice])
}

fn refusal(
    tx: &mut Tx<'_>,
    single: &Single,
    purses: &mut Purses,
    refs: &[i64],
    keys: &[i64],
) -> Result<Option<Refused>, Error> {
    if let Some(key) = &single.idempotency {
        if let Some(seen) = seen(tx.live, key, tx.now.millis())? {
            return Ok(Some(Refused::Seen(seen)));
        }
        if keys.contains(&key.key) {
            // Two at once in one commit: callers serialise the same key, so this is a hash met twice.
            return Ok(Some(Refused::Seen(Seen::OtherBody)));
        }
    }
    if let Some(key) = single.message.client_ref
        && (refs.contains(&key) || client_ref_taken(tx, key)?)
    {
        return Ok(Some(Refused::DuplicateClientRef));
    }
    let message = &single.message;
    Ok((!purses.take(tx, single.account, message.unit, message.price)?).then_some(Refused::NoBalance))
}

/// The answer stored under a key that is still valid.
pub(crate) fn seen(live: &rusqlite::Connection, key: &IdempotencyKey, now_ms: i64) -> Result<Option<Seen>, Error> {
    let row = live
        .prepare_cached("SELECT body_hash, status, answer FROM idempotency WHERE key = ? AND expires > ?")?
        .query_row((key.key, now_ms), |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    Ok(row.map(
        |(hash, status, answer)| if hash == key.body_hash { Seen::Answer(status, answer) } else { Seen::OtherBody },
    ))
}

fn put_answer(tx: &Tx<'_>, key: &IdempotencyKey, status: u16, body: &[u8], now_ms: i64) -> Result<(), Error> {
    tx.live
        .prepare_cached("REPLACE INTO idempotency (key, body_hash, status, answer, expires) VALUES (?, ?, ?, ?, ?)")?
        .execute(params![key.key, key.body_hash, status, body, now_ms + IDEMPOTENCY_MS])?;
    Ok(())
}

/// Whether a client reference belongs to a message that exists, or is being staged.
fn client_ref_taken(tx: &mut Tx<'_>, key: i64) -> Result<bool, Error> {
    let id: Option<i64> = tx
        .live
        .prepare_cached("SELECT id FROM client_refs WHERE key = ?")?
        .query_row([key], |row| row.get(0))
        .optional()?;
    let Some(id) = id else { return Ok(false) };
    let taken: Option<i64> = tx
        .days
        .get(id_day(id))?
        .db
        .prepare_cached("SELECT id FROM messages WHERE id = ?")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(taken.is_some())
}

fn put_client_ref(tx: &Tx<'_>, key: i64, id: i64) -> Result<(), Error> {
    let changed = tx.live.prepare_cached("UPDATE client_refs SET id = ? WHERE key = ?")?.execute((id, key))?;
    if changed == 0 {
        tx.live.prepare_cached("INSERT INTO client_refs (key, id) VALUES (?, ?)")?.execute((key, id))?;
    }
    Ok(())
}

fn write_message(
    tx: &mut Tx<'_>,
    day: Day,
    id: i64,
    account: AccountId,
    request: i64,
    lane: Lane,
    message: &NewMessage,
) -> Result<(), Error> {
    insert_message(&tx.days.get(day)?.db, id, account, request, lane, message)?;
    tx.days.index().add(day, [Keys { id, recipient: message.recipient, last4: message.last4 }]);
    Ok(())
}

/// The one statement that creates a message row.
pub(crate) fn insert_message(
    db: &rusqlite::Connection,
    id: i64,
    account: AccountId,
    request: i64,
    lane: Lane,
    message: &NewMessage,
) -> Result<(), Error> {
    db.prepare_cached(
        "INSERT INTO messages (id, account, request, lane, channel, unit, price, expires, recipient, last4, content, sealed, extra,
           status, code, late, attempt) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 2, 0, 0, 0)",
    )?
    .execute(params![
        id,
        account.0,
        request,
        lane as u8,
        message.channel as u8,
        message.unit as u8,
        message.price,
        message.expires_ms,
        message.recipient,
        message.last4,
        message.content,
        message.sealed,
        message.extra,
    ])?;
    Ok(())
}

fn write_single_request(tx: &Tx<'_>, id: i64, account: AccountId, message: &NewMessage) -> Result<(), Error> {
    insert_request(
        tx.live,
        &Request {
            id,
            account,
            kind: 0,
            rows: 1,
            accepted: 1,
            unit: message.unit,
            amount: message.price,
            first: id,
            last: id,
        },
    )
}

/// What a caller was promised.
pub(crate) struct Request {
    pub(crate) id: i64,
    pub(crate) account: AccountId,
    pub(crate) kind: u8,
    pub(crate) rows: u32,
    pub(crate) accepted: u32,
    pub(crate) unit: Unit,
    pub(crate) amount: i64,
    pub(crate) first: i64,
    pub(crate) last: i64,
}

pub(crate) fn insert_request(live: &rusqlite::Connection, request: &Request) -> Result<(), Error> {
    live.prepare_cached(
        "INSERT INTO requests (id, account, kind, rows_given, accepted, unit, amount, first_id, last_id)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        request.id,
        request.account.0,
        request.kind,
        request.rows,
        request.accepted,
        request.unit as u8,
        request.amount,
        request.first,
        request.last
    ])?;
    Ok(())
}

/// A slice that was written and waits for its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// First id.
    pub first: i64,
    /// Contiguous ids from there.
    pub count: u32,
    /// Lane of all of them.
    pub lane: Lane,
    /// The earliest expiry in it, ms since the Unix epoch.
    pub expires: i64,
}

pub(crate) fn write_slice_row(tx: &mut Tx<'_>, day: Day, slice: &Slice, request: i64) -> Result<(), Error> {
    tx.days.get(day)?.db.prepare_cached("INSERT INTO slices (first, count, request) VALUES (?, ?, ?)")?.execute((
        slice.first,
        slice.count,
        request,
    ))?;
    Ok(())
}

pub(crate) fn write_runs(tx: &mut Tx<'_>, account: AccountId, request: i64, slices: &[Slice]) -> Result<(), Error> {
    let mut run = tx.live.prepare_cached(
        "INSERT INTO runs (first, count, next, gen, lane, account, request) VALUES (?, ?, 0, 0, ?, ?, ?)",
    )?;
    let mut backlog =
        tx.live.prepare_cached("INSERT INTO backlog (lane, account, first, expires) VALUES (?, ?, ?, ?)")?;
    for slice in slices {
        run.execute((slice.first, slice.count, slice.lane as u8, account.0, request))?;
        backlog.execute((slice.lane as u8, account.0, slice.first, slice.expires))?;
        tx.fresh.push(Run {
            first: slice.first,
            count: slice.count,
            next: 0,
            generation: 0,
            lane: slice.lane,
            account,
            request,
        });
    }
    Ok(())
}

/// Rows of a batch to be staged: one lane, one account, at most [`RUN_MAX`].
#[derive(Debug)]
pub struct Stage {
    /// The request they belong to.
    pub request: i64,
    /// Its account.
    pub account: AccountId,
    /// Their lane.
    pub lane: Lane,
    /// Texts of the request, to be written with the first slice of each day: number and sealed text.
    pub contents: std::sync::Arc<Vec<Vec<u8>>>,
    /// The rows.
    pub messages: Vec<NewMessage>,
}

/// What became of a stage: the slice, and which rows had a client reference that is taken.
#[derive(Debug)]
pub struct Staged {
    /// Absent when every row was refused.
    pub slice: Option<Slice>,
    /// Positions in `messages` that were refused.
    pub duplicates: Vec<usize>,
}

/// Writes one slice. Its rows do not exist until [`commit_batch`].
pub(crate) fn stage(tx: &mut Tx<'_>, stage: &Stage) -> Result<Staged, Error> {
    let mut duplicates = Vec::new();
    let mut refs = std::collections::HashSet::new();
    for (at, message) in stage.messages.iter().enumerate() {
        if let Some(key) = message.client_ref
            && (!refs.insert(key) || client_ref_taken(tx, key)?)
        {
            duplicates.push(at);
        }
    }
    let count = stage.messages.len() - duplicates.len();
    if count == 0 {
        return Ok(Staged { slice: None, duplicates });
    }
    let first = tx.new_ids(count as u32)?;
    let day = id_day(first);
    let mut slice = Slice { first, count: count as u32, lane: stage.lane, expires: i64::MAX };
    write_contents(tx, day, stage)?;
    let accepted_ms = id_millis(first);
    let mut id = first;
    for (at, message) in stage.messages.iter().enumerate() {
        if duplicates.binary_search(&at).is_ok() {
            continue;
        }
        slice.expires = slice.expires.min(accepted_ms + message.expires_ms);
        write_message(tx, day, id, stage.account, stage.request, stage.lane, message)?;
        if let Some(key) = message.client_ref {
            put_client_ref(tx, key, id)?;
        }
        id += 1;
    }
    write_slice_row(tx, day, &slice, stage.request)?;
    Ok(Staged { slice: Some(slice), duplicates })
}

fn write_contents(tx: &mut Tx<'_>, day: Day, stage: &Stage) -> Result<(), Error> {
    let db = &tx.days.get(day)?.db;
    let there: i64 = db
        .prepare_cached("SELECT COUNT(*) FROM contents WHERE request = ? AND no = 1")?
        .query_row([stage.request], |row| row.get(0))?;
    if there == 0 {
        let mut insert = db.prepare_cached("INSERT INTO contents (request, no, sealed) VALUES (?, ?, ?)")?;
        for (at, sealed) in stage.contents.iter().enumerate() {
            insert.execute((stage.request, at as i64 + 1, sealed))?;
        }
    }
    Ok(())
}

/// A batch whose slices are staged.
pub struct BatchCommit {
    /// The request.
    pub request: i64,
    /// Its account.
    pub account: AccountId,
    /// Rows the caller gave.
    pub rows: u32,
    /// What was staged.
    pub slices: Vec<Slice>,
    /// Unit of all prices.
    pub unit: Unit,
    /// Sum of all prices.
    pub amount: i64,
    /// The key, with the answer to store under it.
    pub idempotency: Option<(IdempotencyKey, u16, Vec<u8>)>,
}

/// The small transaction that makes a batch exist: key, charge, request, runs.
pub(crate) fn commit_batch(tx: &mut Tx<'_>, batch: &BatchCommit) -> Result<Result<(), Refused>, Error> {
    for slice in &batch.slices {
        staged_still(tx, slice)?;
    }
    if let Some((key, status, body)) = &batch.idempotency {
        if let Some(seen) = seen(tx.live, key, tx.now.millis())? {
            return Ok(Err(Refused::Seen(seen)));
        }
        put_answer(tx, key, *status, body, tx.now.millis())?;
    }
    let cause = format!("request:{}", bongsu_domain::RequestId(batch.request));
    match wallet::charge(tx.live, batch.account, batch.unit, batch.amount, &cause, tx.now) {
        Ok(()) => {}
        Err(error) if error.kind() == Kind::NoBalance => {
            if let Some((key, ..)) = &batch.idempotency {
                tx.live.prepare_cached("DELETE FROM idempotency WHERE key = ?")?.execute([key.key])?;
            }
            return Ok(Err(Refused::NoBalance));
        }
        Err(error) => return Err(error),
    }
    let first = batch.slices.iter().map(|s| s.first).min().unwrap_or(0);
    let last = batch.slices.iter().map(|s| s.first + i64::from(s.count) - 1).max().unwrap_or(0);
    insert_request(
        tx.live,
        &Request {
            id: batch.request,
            account: batch.account,
            kind: 1,
            rows: batch.rows,
            accepted: batch.slices.iter().map(|s| s.count).sum(),
            unit: batch.unit,
            amount: batch.amount,
            first,
            last,
        },
    )?;
    write_runs(tx, batch.account, batch.request, &batch.slices)?;
    Ok(Ok(()))
}

/// Refuses a slice that was cleaned away because its request took too long.
fn staged_still(tx: &mut Tx<'_>, slice: &Slice) -> Result<(), Error> {
    let there: i64 = tx
        .days
        .peek(id_day(slice.first))?
        .db
        .prepare_cached("SELECT COUNT(*) FROM slices WHERE first = ? AND count = ?")?
        .query_row((slice.first, slice.count), |row| row.get(0))?;
    if there == 0 {
        return Err(Error::new(Kind::Unavailable, "the staged rows of this batch are gone; send it again"));
    }
    Ok(())
}

/// Removes slices whose request was refused or never came. One that exists by now stays.
pub(crate) fn discard(tx: &mut Tx<'_>, slices: &[(i64, u32)]) -> Result<(), Error> {
    for &(first, count) in slices {
        if rows::run_of(tx.live, first)?.is_some() {
            continue;
        }
        let db = &tx.days.get(id_day(first))?.db;
        let last = first + i64::from(count) - 1;
        db.prepare_cached("DELETE FROM messages WHERE id BETWEEN ? AND ?")?.execute((first, last))?;
        db.prepare_cached("DELETE FROM slices WHERE first = ?")?.execute([first])?;
    }
    Ok(())
}

/// Balances of the accounts of one commit, read once: what is left for the next single message.
#[derive(Default)]
struct Purses {
    left: HashMap<(AccountId, Unit), i64>,
}

impl Purses {
    fn take(&mut self, tx: &Tx<'_>, account: AccountId, unit: Unit, amount: i64) -> Result<bool, Error> {
        let left = match self.left.entry((account, unit)) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => entry.insert(wallet::balance(tx.live, account, unit)?),
        };
        let covered = *left >= amount;
        if covered {
            *left -= amount;
        }
        Ok(covered)
    }
}

/// When a message was accepted.
pub fn accepted_at(id: i64) -> Timestamp {
    Timestamp::from_millis(id_millis(id))
}
