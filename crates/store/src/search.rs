//! Searching messages: by keys where there are some, else along the runs of an account, newest first, and never further
//! than one page may cost.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bongsu_domain::id::id_day;
use bongsu_domain::status::origin_status;
use bongsu_domain::{Channel, Code, Lane, OriginStatus, Status};

use crate::db::{Db, OptionalExtension};
use crate::error::Error;
use crate::index::{BUCKET, Index, KeyKind};
use crate::query::{Filter, Found, FoundPage, TextCheck, complete, held};
use crate::readers::Reader;
use crate::rows::{self, MessageRow, Run};

/// Ids one page looks at; a filter that matches fewer gives a short page with a cursor.
const SCAN_MAX: i64 = 20_000;
/// Ids it looks at whatever the time: a cursor never stands still.
const SCAN_MIN: i64 = 1_000;
/// How long one page looks further.
const PAGE_TIME: Duration = Duration::from_millis(20);
/// Messages of a key that are looked up for one page.
const CANDIDATES_MAX: usize = 1_000;
/// Candidates of a key read at once.
const KEYS_AT_ONCE: usize = 256;
/// Runs read at once.
const RUNS_AT_ONCE: u32 = 32;

/// Where search keys are.
pub(crate) enum Search {
    /// In files of their own.
    Index(Arc<Index>),
    /// In an index of the message tables.
    #[cfg(feature = "mysql")]
    Tables,
}

impl Search {
    /// Ids, or buckets of ids, that may have a key, newest first.
    fn find(
        &self,
        #[cfg_attr(not(feature = "mysql"), allow(unused_variables, reason = "files have their keys elsewhere"))]
        live: &Db,
        (kind, key): (KeyKind, i64),
        from: i64,
        to: i64,
        limit: usize,
    ) -> Result<Vec<i64>, Error> {
        match self {
            Search::Index(index) => index.find(kind, key, from, to, limit),
            #[cfg(feature = "mysql")]
            Search::Tables => crate::my::search(live, kind, key, from, to, limit),
        }
    }

    /// Whether a key of this kind leads to buckets.
    fn has_buckets(&self, kind: KeyKind) -> bool {
        match self {
            Search::Index(_) => kind.is_shared(),
            #[cfg(feature = "mysql")]
            Search::Tables => kind == KeyKind::Tag,
        }
    }
}

/// A page of messages.
pub(crate) fn page(reader: &mut Reader, search: &Search, filter: &Filter) -> Result<FoundPage, Error> {
    if let Some(id) = filter.id {
        return by_ids(reader, filter, Some(id));
    }
    if let Some(key) = filter.client_ref {
        let id: Option<i64> = reader
            .live
            .prepare_cached("SELECT id FROM client_refs WHERE `key` = ?")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        return by_ids(reader, filter, id);
    }
    let mut scan = Scan::new(filter);
    if let Some(request) = filter.request {
        let account = filter.account.map_or(0, |a| a.0);
        let range: Option<(i64, i64)> = reader
            .live
            .prepare_cached("SELECT first_id, last_id FROM requests WHERE id = ? AND (? = 0 OR account = ?)")?
            .query_row((request, account, account), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((first, last)) = range else { return Ok(FoundPage::default()) };
        scan.page.next = scan.range(reader, filter.from.max(first), filter.to.min(last))?;
        return Ok(scan.page);
    }
    match filter.key {
        Some((kind, key)) if search.has_buckets(kind) => by_buckets(reader, search, (kind, key), scan),
        Some(key) => by_key(reader, search, key, scan),
        None => {
            scan.page.next = scan.range(reader, filter.from, filter.to)?;
            Ok(scan.page)
        }
    }
}

/// Messages up to this id have no sender and no tags to be found by: an earlier version wrote them.
fn tagged_after(live: &Db) -> Result<i64, Error> {
    let value: Option<String> = live
        .prepare_cached("SELECT value FROM facts WHERE name = 'tagged-after'")?
        .query_row((), |row| row.get(0))
        .optional()?;
    Ok(value.and_then(|value| value.parse().ok()).unwrap_or(0))
}

/// Along the buckets of a key, and below the oldest that can have one along everything.
fn by_buckets(
    reader: &mut Reader,
    search: &Search,
    key: (KeyKind, i64),
    mut scan: Scan<'_>,
) -> Result<FoundPage, Error> {
    let filter = scan.filter;
    let known_from = filter.from.max(tagged_after(&reader.live)?.saturating_add(1));
    let mut to = filter.to;
    while to >= known_from {
        let buckets = search.find(&reader.live, key, known_from, to, KEYS_AT_ONCE)?;
        for bucket in &buckets {
            let (low, high) = (*bucket, bucket.saturating_add(BUCKET - 1));
            scan.looked += 1;
            if let Some(next) = scan.range(reader, low.max(known_from), high.min(to))? {
                scan.page.next = Some(next);
                return Ok(scan.page);
            }
            to = low.max(known_from) - 1;
        }
        if buckets.len() < KEYS_AT_ONCE {
            to = known_from - 1;
        }
    }
    scan.page.next = scan.range(reader, filter.from, to.min(filter.to))?;
    Ok(scan.page)
}

/// Message by message of a key.
fn by_key(reader: &mut Reader, search: &Search, key: (KeyKind, i64), mut scan: Scan<'_>) -> Result<FoundPage, Error> {
    let filter = scan.filter;
    let unkeyed = if key.0.is_shared() { tagged_after(&reader.live)? } else { -1 };
    let (from, mut to) = (filter.from.max(unkeyed + 1), filter.to);
    let began = Instant::now();
    let mut page = FoundPage::default();
    let mut looked = 0;
    if filter.from > to {
        // Says what is wrong with the range.
        search.find(&reader.live, key, filter.from, to, 1)?;
    }
    while from <= to {
        let ids = search.find(&reader.live, key, from, to, KEYS_AT_ONCE)?;
        let whole = ids.len() < KEYS_AT_ONCE;
        for id in ids {
            let spent = looked >= CANDIDATES_MAX || (looked > 0 && began.elapsed() > PAGE_TIME);
            if page.rows.len() == filter.limit || spent {
                page.next = Some(id);
                return Ok(page);
            }
            looked += 1;
            look_up(reader, filter, id, &mut page)?;
            to = id - 1;
        }
        if whole {
            break;
        }
    }
    scan.page = page;
    scan.page.next = scan.range(reader, filter.from, filter.to.min(unkeyed))?;
    Ok(scan.page)
}

/// Messages named by id, which are at most one.
fn by_ids(reader: &mut Reader, filter: &Filter, id: Option<i64>) -> Result<FoundPage, Error> {
    let mut page = FoundPage::default();
    if let Some(id) = id {
        look_up(reader, filter, id, &mut page)?;
    }
    Ok(page)
}

/// Adds the message of an id if it exists and is wanted.
fn look_up(reader: &mut Reader, filter: &Filter, id: i64, page: &mut FoundPage) -> Result<(), Error> {
    let Some((row, run)) = reader.message(id)? else { return Ok(()) };
    if !matches(filter, &row) {
        return Ok(());
    }
    if let Some(text) = &filter.text {
        let mut texts = Texts::new(text);
        texts.read(reader, &run, id, id)?;
        if !texts.has(&row) {
            return Ok(());
        }
    }
    let found = held(filter, complete(reader, row, &run)?);
    if stands(filter, &found) {
        page.rows.push(found);
    }
    Ok(())
}

/// Whether a row has everything that a row can tell.
fn matches(filter: &Filter, row: &MessageRow) -> bool {
    let key = |(kind, key)| kind != KeyKind::Recipient || row.recipient == key;
    filter.account.is_none_or(|a| a == row.account)
        && (filter.from..=filter.to).contains(&row.id)
        && filter.id.is_none_or(|id| id == row.id)
        && filter.channel.is_none_or(|c| c == row.channel)
        && filter.lane.is_none_or(|l| l == row.lane)
        && filter.relay.is_none_or(|r| row.attempt.relay == Some(r))
        && filter.request.is_none_or(|r| r == row.request)
        && filter.key.is_none_or(key)
        && filter.code.is_none_or(|code| code == shown_code(row))
        && filter.check.as_ref().is_none_or(|check| check.holds(row))
}

/// The code that a view of the message has.
fn shown_code(row: &MessageRow) -> Code {
    match row.attempt.attempt {
        0 if !row.status.is_final() => Code::OkAccepted,
        _ => Code::from_number(row.attempt.code).unwrap_or(Code::UnmappedVendorCode),
    }
}

/// Whether a message stands as wanted, once claims and earlier attempts are known.
fn stands(filter: &Filter, found: &Found) -> bool {
    let current = u32::from(found.row.attempt.attempt > 0);
    let others = found.earlier.iter().filter(|earlier| earlier.attempt != found.row.attempt.attempt).count();
    let tries = current + u32::try_from(others).unwrap_or(u32::MAX);
    filter.status.is_none_or(|status| status == found.row.status)
        && filter.origin_status.is_none_or(|origin| origin == origin_status(found.row.status, tries))
}

/// One page on its way along runs.
struct Scan<'f> {
    filter: &'f Filter,
    page: FoundPage,
    /// Ids looked at.
    looked: i64,
    began: Instant,
    /// What a statement can tell of the filter.
    conditions: String,
    texts: Option<Texts<'f>>,
}

impl<'f> Scan<'f> {
    fn new(filter: &'f Filter) -> Self {
        Self {
            filter,
            page: FoundPage::default(),
            looked: 0,
            began: Instant::now(),
            conditions: conditions(filter),
            texts: filter.text.as_ref().map(Texts::new),
        }
    }

    fn is_spent(&self) -> bool {
        self.looked >= SCAN_MAX || (self.looked >= SCAN_MIN && self.began.elapsed() > PAGE_TIME)
    }

    /// Adds what is wanted of a range of ids, newest first. Answers where to go on when the page ends before the range.
    fn range(&mut self, reader: &mut Reader, from: i64, mut to: i64) -> Result<Option<i64>, Error> {
        while from <= to {
            let runs = self.runs_below(reader, to)?;
            for run in &runs {
                if run.last() < from {
                    return Ok(None);
                }
                if self.page.rows.len() >= self.filter.limit || self.is_spent() {
                    return Ok(Some(to));
                }
                let (low, high) = (run.first.max(from), run.last().min(to));
                self.looked += (high - low + 1).max(1);
                if self.may_have(run)
                    && let Some(next) = self.take(reader, run, low, high)?
                {
                    return Ok(Some(next));
                }
                to = run.first - 1;
            }
            if runs.len() < RUNS_AT_ONCE as usize {
                return Ok(None);
            }
        }
        Ok(None)
    }

    fn runs_below(&self, reader: &Reader, to: i64) -> Result<Vec<Run>, Error> {
        let columns = rows::RUN_COLUMNS;
        match self.filter.account {
            Some(account) => reader
                .live
                .prepare_cached(&format!(
                    "SELECT {columns} FROM runs WHERE account = ? AND first <= ? ORDER BY first DESC LIMIT ?"
                ))?
                .query_map((account.0, to, RUNS_AT_ONCE), rows::read_run)?
                .collect(),
            None => reader
                .live
                .prepare_cached(&format!("SELECT {columns} FROM runs WHERE first <= ? ORDER BY first DESC LIMIT ?"))?
                .query_map((to, RUNS_AT_ONCE), rows::read_run)?
                .collect(),
        }
    }

    fn may_have(&self, run: &Run) -> bool {
        self.filter.request.is_none_or(|request| request == run.request)
            && self.filter.lane.is_none_or(|lane| lane == run.lane)
            && (self.texts.is_none() || is_searched(run))
    }

    /// Adds what is wanted of a run; the id to go on with when the page is full.
    fn take(&mut self, reader: &mut Reader, run: &Run, low: i64, high: i64) -> Result<Option<i64>, Error> {
        let mut wanted = std::mem::take(&mut self.conditions);
        let of_all = wanted.len();
        if let Some(texts) = &mut self.texts {
            let numbers = texts.read(reader, run, low, high)?;
            // Titles, which only an LMS has, and texts that no other message has are sealed with their rows.
            let _ = write!(wanted, " AND (content = 0 OR content IN ({numbers}) OR channel = {})", Channel::Lms as u8);
        }
        let rows = match reader.day(id_day(run.first))? {
            Some(day) => some_in_range(
                day,
                &wanted,
                low,
                high,
                &mut |row| matches(self.filter, row) && self.texts.as_ref().is_none_or(|texts| texts.has(row)),
                self.filter.limit + 1 - self.page.rows.len(),
                self.filter.has_more_to_ask(),
            ),
            None => Ok(Vec::new()),
        };
        wanted.truncate(of_all);
        self.conditions = wanted;
        for row in rows? {
            if self.page.rows.len() == self.filter.limit {
                return Ok(Some(row.id));
            }
            let found = held(self.filter, complete(reader, row, run)?);
            if stands(self.filter, &found) {
                self.page.rows.push(found);
            }
        }
        Ok(None)
    }
}

impl Filter {
    /// Whether a row that matches may still be left out once its claim and its attempts are known.
    fn has_more_to_ask(&self) -> bool {
        self.status.is_some() || self.origin_status.is_some()
    }
}

/// Rows of a range, newest first, that a statement and a question let pass: so many, or all when more has to be asked.
fn some_in_range(
    day: &Db,
    conditions: &str,
    low: i64,
    high: i64,
    wanted: &mut dyn FnMut(&MessageRow) -> bool,
    limit: usize,
    all: bool,
) -> Result<Vec<MessageRow>, Error> {
    let mut statement = day.prepare_cached(&format!(
        "SELECT {} FROM messages WHERE id BETWEEN ? AND ?{conditions} ORDER BY id DESC",
        rows::COLUMNS
    ))?;
    let mut read = statement.query((low, high))?;
    let mut found = Vec::new();
    while (all || found.len() < limit)
        && let Some(row) = read.next()?
    {
        let row = rows::read(&row)?;
        if wanted(&row) {
            found.push(row);
        }
    }
    Ok(found)
}

/// The part of a filter that a statement decides, or at least narrows.
fn conditions(filter: &Filter) -> String {
    let mut sql = String::new();
    let mut also = |condition: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = write!(sql, " AND {condition}");
    };
    if let Some(status) = filter.status {
        // A claim, a schedule and the night are not written into the row.
        match status {
            Status::Sending | Status::Scheduled | Status::Held => {
                also(format_args!("status IN ({}, {})", status as u8, Status::Queued as u8));
            }
            _ => also(format_args!("status = {}", status as u8)),
        }
    }
    match filter.origin_status {
        Some(OriginStatus::Pending) => also(format_args!("status < 10")),
        Some(OriginStatus::Success | OriginStatus::Resend) => also(format_args!("status IN (10, 15)")),
        Some(OriginStatus::Fail) => also(format_args!("status IN (11, 12, 13, 14)")),
        None => {}
    }
    match filter.code {
        Some(Code::OkAccepted | Code::UnmappedVendorCode) | None => {}
        Some(code) => also(format_args!("code = {}", code.number())),
    }
    if let Some(channel) = filter.channel {
        also(format_args!("channel = {}", channel as u8));
    }
    if let Some(relay) = filter.relay {
        also(format_args!("relay = {relay}"));
    }
    if let Some((KeyKind::Sender, key)) = filter.key {
        also(format_args!("sender IN (0, {key})"));
    }
    sql
}

/// Whether texts of a run are searched: never a one-time code (design D11).
fn is_searched(run: &Run) -> bool {
    run.lane != Lane::Auth
}

/// Which shared texts have what is looked for, as far as they were read. Texts of single rows are opened as they come: that
/// costs about as much as reading the row, so the bounds of a page hold for both.
struct Texts<'f> {
    asks: &'f TextCheck,
    /// By request and number.
    known: HashMap<(i64, u32), bool>,
}

impl<'f> Texts<'f> {
    fn new(asks: &'f TextCheck) -> Self {
        Self { asks, known: HashMap::new() }
    }

    /// Reads the texts of some messages of a run. Answers the numbers of those that have it, as a list of values.
    fn read(&mut self, reader: &mut Reader, run: &Run, low: i64, high: i64) -> Result<String, Error> {
        let mut list = String::from("-1");
        if !is_searched(run) {
            return Ok(list);
        }
        let Some(day) = reader.day(id_day(run.first))? else { return Ok(list) };
        let numbers: Vec<u32> = day
            .prepare_cached("SELECT DISTINCT content FROM messages WHERE id BETWEEN ? AND ? AND content > 0")?
            .query_map((low, high), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for no in numbers {
            let has = match self.known.get(&(run.request, no)) {
                Some(has) => *has,
                None => {
                    let sealed: Option<Vec<u8>> = day
                        .prepare_cached("SELECT sealed FROM contents WHERE request = ? AND no = ?")?
                        .query_row((run.request, no), |row| row.get(0))
                        .optional()?;
                    let has = sealed.is_some_and(|sealed| self.asks.shared.holds(&sealed));
                    self.known.insert((run.request, no), has);
                    has
                }
            };
            if has {
                let _ = write!(list, ", {no}");
            }
        }
        Ok(list)
    }

    /// Whether the text or the title of a message has it.
    fn has(&self, row: &MessageRow) -> bool {
        let shared = self.known.get(&(row.request, row.content)).copied().unwrap_or(false);
        let has_own = row.content == 0 || row.channel == Channel::Lms;
        row.lane != Lane::Auth && (shared || (has_own && self.asks.own.holds(row)))
    }
}
