//! Batches: slices that are staged, and the small transaction that makes them exist.

use std::collections::{HashMap, HashSet};

use bongsu_domain::id::{id_day, id_millis};
use bongsu_domain::{AccountId, Day, Lane, Unit};

use super::keys::{Answers, NewAnswer, Taken};
use super::write::{self, Born, Request, Row, Slice};
use super::{IdempotencyKey, NewMessage, Refused};
use crate::db::dialect::Kind::{Blob, Int};
use crate::db::dialect::Many;
use crate::error::{Error, Kind};
use crate::facts::Tally;
use crate::groups;
use crate::rows;
use crate::tx::Tx;
use crate::wallet;

static CONTENTS: Many = Many::new(
    "INSERT OR IGNORE INTO contents (request, no, sealed) VALUES {(v_request, v_no, v_sealed)}",
    &[("v_request", Int), ("v_no", Int), ("v_sealed", Blob)],
);

/// Rows of a batch to be staged: one lane, one account, one time to leave, at most [`RUN_MAX`].
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

/// What became of a stage: the slice, and which rows had a client reference that is taken, or an equal message.
#[derive(Debug)]
pub struct Staged {
    /// Absent when every row was refused.
    pub slice: Option<Slice>,
    /// Positions in `messages` that were refused, with the message of the same content where that is why; 0 for one that
    /// is only staged, in this request or another.
    pub duplicates: Vec<(usize, Option<i64>)>,
}

/// Writes one slice. Its rows do not exist until [`commit_batch`].
pub(crate) fn stage(tx: &mut Tx<'_>, stage: &Stage) -> Result<Staged, Error> {
    let taken = Taken::look(tx, stage.messages.iter())?;
    let now_ms = tx.now.millis();
    let (mut refs, mut content) = (HashSet::new(), HashSet::new());
    let mut duplicates = Vec::new();
    let mut rows = Vec::with_capacity(stage.messages.len());
    for (at, message) in stage.messages.iter().enumerate() {
        let first = message.dedupe.and_then(|(key, window)| taken.content(key, window, now_ms));
        if message.client_ref.is_some_and(|key| refs.contains(&key) || taken.client_ref(key)) {
            duplicates.push((at, None));
        } else if first.is_some() || message.dedupe.is_some_and(|(key, _)| content.contains(&key)) {
            duplicates.push((at, Some(first.unwrap_or(0))));
        } else {
            refs.extend(message.client_ref);
            content.extend(message.dedupe.map(|(key, _)| key));
            rows.push((0, message));
        }
    }
    if rows.is_empty() {
        return Ok(Staged { slice: None, duplicates });
    }
    let first = tx.new_ids(rows.len() as u32)?;
    let day = id_day(first);
    let accepted_ms = id_millis(first);
    let send_at = stage.messages[0].send_at;
    let mut slice = Slice { first, count: rows.len() as u32, lane: stage.lane, expires: i64::MAX, send_at };
    for (id, row) in (first..).zip(&mut rows) {
        row.0 = id;
        slice.expires = slice.expires.min(accepted_ms + row.1.expires_ms);
    }
    taken.put(tx.live, &rows, now_ms)?;
    write_contents(tx, day, stage)?;
    let messages: Vec<Row<'_>> = rows
        .iter()
        .map(|(id, message)| Row { id: *id, account: stage.account, request: stage.request, lane: stage.lane, message })
        .collect();
    write::messages(tx, day, &messages)?;
    let tallies = Tally::of(rows.iter().map(|(_, message)| *message));
    write::slices(tx.day(day)?, &[(slice, &tallies)], stage.request)?;
    Ok(Staged { slice: Some(slice), duplicates })
}

fn write_contents(tx: &mut Tx<'_>, day: Day, stage: &Stage) -> Result<(), Error> {
    if stage.contents.is_empty() {
        return Ok(());
    }
    let db = tx.day(day)?;
    let there: i64 = db
        .prepare_cached("SELECT COUNT(*) FROM contents WHERE request = ? AND no = 1")?
        .query_row([stage.request], |row| row.get(0))?;
    if there == 0 {
        let text = |(at, sealed)| (stage.request, at as i64 + 1, sealed);
        db.many(&CONTENTS, stage.contents.iter().enumerate().map(text))?;
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
    /// The API key that it came with, 0 for none.
    pub key: i64,
    /// The key, with the answer to store under it.
    pub idempotency: Option<(IdempotencyKey, u16, Vec<u8>)>,
    /// Id of the HTTP request.
    pub trace: Option<std::sync::Arc<str>>,
}

/// The small transaction that makes a batch exist: key, request, runs, charge.
pub(crate) fn commit_batch(tx: &mut Tx<'_>, batch: &BatchCommit) -> Result<Result<(), Refused>, Error> {
    if let Some((key, ..)) = &batch.idempotency
        && let Some(seen) = super::seen(tx.live, key, tx.now.millis())?
    {
        return Ok(Err(Refused::Seen(seen)));
    }
    if wallet::balance(tx.live, batch.account, batch.unit)? < batch.amount {
        return Ok(Err(Refused::NoBalance));
    }
    if let Some((key, status, body)) = &batch.idempotency {
        let stored = Answers::look(tx.live, &[key.key])?;
        stored.put(tx.live, vec![NewAnswer { key, status: *status, body }], tx.now.millis())?;
    }
    let born = staged_still(tx, batch.account, &batch.slices)?;
    let first = batch.slices.iter().map(|s| s.first).min().unwrap_or(0);
    let last = batch.slices.iter().map(|s| s.first + i64::from(s.count) - 1).max().unwrap_or(0);
    let request = Request {
        id: batch.request,
        account: batch.account,
        kind: 1,
        rows: batch.rows,
        accepted: batch.slices.iter().map(|s| s.count).sum(),
        unit: batch.unit,
        amount: batch.amount,
        first,
        last,
        key: batch.key,
        trace: batch.trace.as_deref(),
    };
    write::insert_request(tx.live, &request)?;
    write::runs(tx, batch.request, &born)?;
    let cause = format!("request:{}", bongsu_domain::RequestId(batch.request));
    match wallet::charge(tx.live, batch.account, batch.unit, batch.amount, &cause, tx.now) {
        // Another process took it since the look above; the next look sees that.
        Err(error) if error.kind() == Kind::NoBalance => Err(Error::new(Kind::Busy, "the balance changed meanwhile")),
        charged => charged.map(Ok),
    }
}

/// Refuses slices that were cleaned away because their request took too long. Their rows are locked, so that they are not
/// cleaned away now. Answers the slices with what their messages count for.
pub(crate) fn staged_still(tx: &mut Tx<'_>, account: AccountId, slices: &[Slice]) -> Result<Vec<Born>, Error> {
    let mut born = Vec::with_capacity(slices.len());
    for of_day in slices.chunk_by(|a, b| id_day(a.first) == id_day(b.first)) {
        let mut firsts: Vec<i64> = of_day.iter().map(|slice| slice.first).collect();
        firsts.sort_unstable();
        let there: HashMap<i64, (u32, Option<Vec<u8>>)> = tx
            .peek_day(id_day(firsts[0]))?
            .select_in("SELECT first, count, tally FROM slices WHERE first", &firsts, "/* lock */", |row| {
                Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))
            })?
            .into_iter()
            .collect();
        for slice in of_day {
            let Some((_, tally)) = there.get(&slice.first).filter(|(count, _)| *count == slice.count) else {
                return Err(Error::new(Kind::Unavailable, "the staged rows of this batch are gone; send it again"));
            };
            let tallies = Tally::decode(tally.as_deref().unwrap_or_default())?;
            born.push(Born { account, slice: *slice, tallies });
        }
    }
    Ok(born)
}

/// Removes slices whose request was refused or never came. One that exists by now stays.
pub(crate) fn discard(tx: &mut Tx<'_>, slices: &[(i64, u32)]) -> Result<(), Error> {
    for &(first, count) in slices {
        let day = id_day(first);
        let lock = "SELECT first FROM slices WHERE first = ? /* lock */";
        tx.peek_day(day)?.prepare_cached(lock)?.query_map([first], |row| row.get::<i64>(0))?;
        if rows::run_of(tx.live, first)?.is_some() || groups::has_slice(tx.live, first)? {
            continue;
        }
        let last = first + i64::from(count) - 1;
        let db = tx.day(day)?;
        db.execute("DELETE FROM messages WHERE id BETWEEN ? AND ?", (first, last))?;
        db.execute("DELETE FROM slices WHERE first = ?", [first])?;
    }
    Ok(())
}
