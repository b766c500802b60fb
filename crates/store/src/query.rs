//! Listing messages: by recipient or own id through keys, else along the runs of an account, newest first.

use std::collections::HashMap;
use std::sync::Arc;

use bongsu_domain::id::id_day;
use bongsu_domain::{AccountId, Channel, Lane, Status};

use crate::claims;
use crate::db::{Db, OptionalExtension};
use crate::error::Error;
use crate::index::{Index, KeyKind};
use crate::readers::Reader;
use crate::rows::{self, AttemptRow, MessageRow, Run};

/// Rows one page looks at; a filter that matches fewer gives a short page with a cursor.
const SCAN_MAX: usize = 20_000;
/// Candidates of a key look-up.
const CANDIDATES_MAX: usize = 5_000;

/// What to look for. All filters combine.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Whose messages; absent for the operator.
    pub account: Option<AccountId>,
    /// Keyed hash by kind.
    pub key: Option<(KeyKind, i64)>,
    /// Keyed hash of account and client reference.
    pub client_ref: Option<i64>,
    /// Lowest id.
    pub from: i64,
    /// Highest id.
    pub to: i64,
    /// Status.
    pub status: Option<Status>,
    /// Channel.
    pub channel: Option<Channel>,
    /// Number of the relay of the current attempt.
    pub relay: Option<u8>,
    /// Lane.
    pub lane: Option<Lane>,
    /// Batch.
    pub request: Option<i64>,
    /// Advertisements may not leave now: those that wait are held.
    pub ads_held: bool,
    /// Rows wanted.
    pub limit: usize,
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

fn complete(reader: &mut Reader, mut row: MessageRow, run: &Run) -> Result<Found, Error> {
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

/// Where search keys are.
pub(crate) enum Search {
    /// In files of their own.
    Index(Arc<Index>),
    /// In an index of the message tables.
    #[cfg(feature = "mysql")]
    Tables,
}

/// A page of messages.
pub(crate) fn page(reader: &mut Reader, search: &Search, filter: &Filter) -> Result<FoundPage, Error> {
    if let Some(key) = filter.client_ref {
        let id: Option<i64> = reader
            .live
            .prepare_cached("SELECT id FROM client_refs WHERE `key` = ?")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        return by_ids(reader, filter, id.into_iter().collect());
    }
    if let Some((kind, key)) = filter.key {
        let (from, to) = (filter.from.max(0), filter.to);
        let ids = match search {
            Search::Index(index) => index.find(kind, key, from, to, CANDIDATES_MAX)?,
            #[cfg(feature = "mysql")]
            Search::Tables => crate::my::search(&reader.live, kind, key, from, to, CANDIDATES_MAX)?,
        };
        return by_ids(reader, filter, ids);
    }
    along_runs(reader, filter)
}

fn by_ids(reader: &mut Reader, filter: &Filter, ids: Vec<i64>) -> Result<FoundPage, Error> {
    let mut page = FoundPage::default();
    let whole = ids.len() < CANDIDATES_MAX;
    let mut last = None;
    for id in ids {
        if page.rows.len() == filter.limit {
            page.next = Some(id);
            return Ok(page);
        }
        last = Some(id);
        if let Some((row, run)) = reader.message(id)?
            && matches(filter, &row)
        {
            let found = held(filter, complete(reader, row, &run)?);
            if filter.status.is_none_or(|status| status == found.row.status) {
                page.rows.push(found);
            }
        }
    }
    page.next = last.filter(|_| !whole).map(|id| id - 1);
    Ok(page)
}

fn along_runs(reader: &mut Reader, filter: &Filter) -> Result<FoundPage, Error> {
    let (mut from, mut to) = (filter.from, filter.to);
    if let Some(request) = filter.request {
        let range = reader
            .live
            .prepare_cached("SELECT first_id, last_id FROM requests WHERE id = ? AND (? = 0 OR account = ?)")?
            .query_row((request, account_of(filter), account_of(filter)), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((first, last)): Option<(i64, i64)> = range else { return Ok(FoundPage::default()) };
        (from, to) = (from.max(first), to.min(last));
    }
    let mut page = FoundPage::default();
    let mut scanned = 0;
    while page.rows.len() < filter.limit {
        if scanned >= SCAN_MAX {
            page.next = Some(to);
            return Ok(page);
        }
        let Some(run) = run_below(reader, filter, to)? else { return Ok(page) };
        if run.last() < from {
            return Ok(page);
        }
        let (low, high) = (run.first.max(from), run.last().min(to));
        scanned += (high - low + 1).max(1) as usize;
        if filter.request.is_none_or(|request| request == run.request)
            && filter.lane.is_none_or(|lane| lane == run.lane)
            && let Some(next) = take_rows(reader, filter, &run, low, high, &mut page)?
        {
            page.next = Some(next);
            return Ok(page);
        }
        to = run.first - 1;
    }
    page.next = Some(to).filter(|to| *to >= from);
    Ok(page)
}

fn account_of(filter: &Filter) -> i64 {
    filter.account.map_or(0, |a| a.0)
}

fn run_below(reader: &Reader, filter: &Filter, to: i64) -> Result<Option<Run>, Error> {
    let run = match filter.account {
        Some(account) => reader
            .live
            .prepare_cached(&format!(
                "SELECT {} FROM runs WHERE account = ? AND first <= ? ORDER BY first DESC LIMIT 1",
                rows::RUN_COLUMNS
            ))?
            .query_row((account.0, to), rows::read_run)
            .optional()?,
        None => reader
            .live
            .prepare_cached(&format!(
                "SELECT {} FROM runs WHERE first <= ? ORDER BY first DESC LIMIT 1",
                rows::RUN_COLUMNS
            ))?
            .query_row([to], rows::read_run)
            .optional()?,
    };
    Ok(run)
}

/// Adds matching rows of a run, newest first; the id to go on with when the page is full.
fn take_rows(
    reader: &mut Reader,
    filter: &Filter,
    run: &Run,
    low: i64,
    high: i64,
    page: &mut FoundPage,
) -> Result<Option<i64>, Error> {
    let Some(day) = reader.day(id_day(run.first))? else { return Ok(None) };
    let rows = rows::in_range(day, low, high)?;
    for row in rows.into_iter().rev() {
        if page.rows.len() == filter.limit {
            return Ok(Some(row.id));
        }
        if matches(filter, &row) {
            let found = held(filter, complete(reader, row, run)?);
            if filter.status.is_none_or(|status| status == found.row.status) {
                page.rows.push(found);
            }
        }
    }
    Ok(None)
}

/// An advertisement that waits is held while none may leave.
fn held(filter: &Filter, mut found: Found) -> Found {
    if filter.ads_held && found.row.lane == Lane::Ad && found.row.status == Status::Queued {
        found.row.status = Status::Held;
    }
    found
}

fn matches(filter: &Filter, row: &MessageRow) -> bool {
    filter.account.is_none_or(|a| a == row.account)
        && (filter.from..=filter.to).contains(&row.id)
        && filter.channel.is_none_or(|c| c == row.channel)
        && filter.lane.is_none_or(|l| l == row.lane)
        && filter.relay.is_none_or(|r| row.attempt.relay == Some(r))
        && filter.request.is_none_or(|r| r == row.request)
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
