//! Messages as they are found: what to look for, what a view needs, what is read to be sent.

use std::collections::HashMap;
use std::sync::Arc;

use bongsu_domain::id::id_day;
use bongsu_domain::{AccountId, Channel, Code, Lane, OriginStatus, Status};

use crate::claims;
use crate::db::Db;
use crate::error::Error;
use crate::index::KeyKind;
use crate::readers::Reader;
use crate::rows::{self, AttemptRow, MessageRow, Run};

/// What to look for. All filters combine.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Whose messages; absent for the operator.
    pub account: Option<AccountId>,
    /// The message itself.
    pub id: Option<i64>,
    /// Hash by kind: what narrows the search. `check` says whether a message really has what was hashed.
    pub key: Option<(KeyKind, i64)>,
    /// Keyed hash of account and client reference.
    pub client_ref: Option<i64>,
    /// Lowest id.
    pub from: i64,
    /// Highest id.
    pub to: i64,
    /// Status.
    pub status: Option<Status>,
    /// The origin's word for status and number of tries.
    pub origin_status: Option<OriginStatus>,
    /// Result code.
    pub code: Option<Code>,
    /// Channel.
    pub channel: Option<Channel>,
    /// Number of the relay of the current attempt.
    pub relay: Option<u8>,
    /// Lane.
    pub lane: Option<Lane>,
    /// Batch or group.
    pub request: Option<i64>,
    /// Advertisements may not leave now: those that wait are held.
    pub ads_held: bool,
    /// A search in texts and titles.
    pub text: Option<TextCheck>,
    /// Whether a row has what only its sealed or extra part tells.
    pub check: Option<Check<MessageRow>>,
    /// Rows wanted.
    pub limit: usize,
}

/// A question about something that only the caller can read.
pub struct Check<T: ?Sized>(Arc<dyn Fn(&T) -> bool + Send + Sync>);

impl<T: ?Sized> Check<T> {
    /// Asks by a function.
    pub fn new(asks: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(asks))
    }

    /// The answer.
    pub fn holds(&self, of: &T) -> bool {
        (self.0)(of)
    }
}

/// A search in texts: of what batches and groups store once for several messages, and of what each message has alone.
#[derive(Debug, Clone)]
pub struct TextCheck {
    /// Whether a sealed text that messages share has it.
    pub shared: Check<[u8]>,
    /// Whether the title of a message, or a text that it alone has, has it.
    pub own: Check<MessageRow>,
}

impl<T: ?Sized> Clone for Check<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: ?Sized> std::fmt::Debug for Check<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Check")
    }
}

/// A message with everything a view needs.
#[derive(Debug, Clone)]
pub struct Found {
    /// The row; its status tells `sending` when a claim holds it, and `scheduled` while it waits for its time.
    pub row: MessageRow,
    /// Attempts before the current one.
    pub earlier: Vec<AttemptRow>,
    /// When a further attempt is due, Unix milliseconds.
    pub due: Option<i64>,
    /// When it was to leave, Unix milliseconds; 0: at once.
    pub send_at: i64,
}

/// A page: rows newest first, and the highest id of the next page when there may be more.
#[derive(Debug, Clone, Default)]
pub struct FoundPage {
    /// The rows.
    pub rows: Vec<Found>,
    /// Highest id of the next page.
    pub next: Option<i64>,
}

/// One message with its attempts.
pub(crate) fn one(reader: &mut Reader, account: Option<AccountId>, id: i64) -> Result<Option<Found>, Error> {
    let Some((row, run)) = reader.message(id)? else { return Ok(None) };
    if account.is_some_and(|a| a != row.account) {
        return Ok(None);
    }
    complete(reader, row, &run).map(Some)
}

/// Rows of an account's messages by id.
pub(crate) fn rows_of(reader: &mut Reader, account: AccountId, ids: &[i64]) -> Result<Vec<MessageRow>, Error> {
    let mut found = rows(reader, ids)?;
    found.retain(|row| row.account == account);
    Ok(found)
}

/// Rows of messages by id, of staged ones too.
pub(crate) fn rows(reader: &mut Reader, ids: &[i64]) -> Result<Vec<MessageRow>, Error> {
    let mut by_day: std::collections::BTreeMap<_, Vec<i64>> = Default::default();
    for id in ids {
        by_day.entry(id_day(*id)).or_default().push(*id);
    }
    let mut found = Vec::with_capacity(ids.len());
    for (day, ids) in by_day {
        let Some(day) = reader.day(day)? else { continue };
        found.extend(day.select_in(
            &format!("SELECT {} FROM messages WHERE id", rows::COLUMNS),
            &ids,
            "",
            rows::read,
        )?);
    }
    Ok(found)
}

pub(crate) fn complete(reader: &mut Reader, mut row: MessageRow, run: &Run) -> Result<Found, Error> {
    let mut due = None;
    if row.status == Status::Queued && row.id - run.first < i64::from(run.next) {
        due = reader
            .live
            .prepare_cached("SELECT MIN(at) FROM due WHERE id = ?")?
            .query_row([row.id], |r| r.get::<Option<i64>>(0))?;
        if due.is_none() {
            row.status = Status::Sending;
        }
    } else if row.status == Status::Queued && run.held {
        row.status = Status::Scheduled;
    }
    // Also for a message decided by its first attempt: a second one that was out by then is part of the path.
    let earlier = match reader.day(id_day(row.id))? {
        Some(day) if row.attempt.attempt > 0 => rows::earlier_attempts(day, row.id)?,
        _ => Vec::new(),
    };
    Ok(Found { row, earlier, due, send_at: run.send_at })
}

/// An advertisement that waits is held while none may leave.
pub(crate) fn held(filter: &Filter, mut found: Found) -> Found {
    if filter.ads_held && found.row.lane == Lane::Ad && found.row.status == Status::Queued {
        found.row.status = Status::Held;
    }
    found
}

/// Messages to be sent: rows with the texts they refer to.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Rows in the order asked for; those that are gone are missing.
    pub rows: Vec<MessageRow>,
    /// Sealed texts by request and number.
    pub contents: HashMap<(i64, u32), Vec<u8>>,
    /// Attempts before the current one, of single messages only.
    pub earlier: HashMap<i64, Vec<AttemptRow>>,
}

/// Rows of a run from an offset on.
pub(crate) fn load_run(reader: &mut Reader, run: &Run, from: u32, count: u32) -> Result<Loaded, Error> {
    let low = run.first + i64::from(from);
    let high = (low + i64::from(count) - 1).min(run.last());
    let Some(day) = reader.day(id_day(run.first))? else { return Ok(Loaded::default()) };
    let rows = rows::in_range(day, low, high)?;
    with_contents(day, rows)
}

/// Rows of single messages.
pub(crate) fn load_ids(reader: &mut Reader, ids: &[i64]) -> Result<Loaded, Error> {
    let mut all = Loaded::default();
    for &id in ids {
        if let Some(day) = reader.day(id_day(id))?
            && let Some(row) = rows::by_id(day, id)?
        {
            if row.attempt.attempt > 1 {
                all.earlier.insert(id, rows::earlier_attempts(day, id)?);
            }
            let one = with_contents(day, vec![row])?;
            all.rows.extend(one.rows);
            all.contents.extend(one.contents);
        }
    }
    Ok(all)
}

fn with_contents(day: &Db, rows: Vec<MessageRow>) -> Result<Loaded, Error> {
    let mut contents = HashMap::new();
    for row in rows.iter().filter(|row| row.content > 0) {
        if let std::collections::hash_map::Entry::Vacant(entry) = contents.entry((row.request, row.content)) {
            let sealed: Vec<u8> = day
                .prepare_cached("SELECT sealed FROM contents WHERE request = ? AND no = ?")?
                .query_row((row.request, row.content), |r| r.get(0))?;
            entry.insert(sealed);
        }
    }
    Ok(Loaded { rows, contents, earlier: HashMap::new() })
}

/// A message that cannot be processed.
#[derive(Debug, Clone)]
pub struct ParkedRow {
    /// The message.
    pub id: i64,
    /// Its account.
    pub account: AccountId,
    /// Unix milliseconds.
    pub at: i64,
    /// Why.
    pub reason: String,
}

/// Parked messages below an id, newest first.
pub(crate) fn parked(
    reader: &Reader,
    account: Option<AccountId>,
    below: i64,
    limit: u32,
) -> Result<Vec<ParkedRow>, Error> {
    let account = account.map_or(0, |a| a.0);
    let mut statement = reader.live.prepare_cached(
        "SELECT id, account, at, reason FROM parked WHERE id < ? AND (? = 0 OR account = ?) ORDER BY id DESC LIMIT ?",
    )?;
    let found = statement
        .query_map((below, account, account, limit), |row| {
            Ok(ParkedRow { id: row.get(0)?, account: AccountId(row.get(1)?), at: row.get(2)?, reason: row.get(3)? })
        })?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

/// Puts a parked message back into the line.
pub(crate) fn replay(tx: &mut crate::tx::Tx<'_>, account: Option<AccountId>, id: i64) -> Result<(), Error> {
    let scope = account.map_or(0, |a| a.0);
    let (attempt, lane, owner): (u8, u8, i64) = tx
        .live
        .prepare_cached("SELECT attempt, lane, account FROM parked WHERE id = ? AND (? = 0 OR account = ?) /* lock */")?
        .query_row((id, scope, scope), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    tx.live.prepare_cached("DELETE FROM parked WHERE id = ?")?.execute([id])?;
    let due = claims::Due {
        at: tx.now.millis(),
        id,
        attempt,
        kind: claims::DueKind::Send,
        lane: Lane::from_u8(lane).unwrap_or(Lane::Bulk),
        account: AccountId(owner),
        relay: claims::NO_RELAY,
    };
    claims::insert_due(tx.live, &[due])?;
    crate::changes::replayed(tx, id)
}
