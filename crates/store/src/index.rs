//! Search keys of messages: a tail in memory, the rest in sorted runs, one file a day (design D3).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use bongsu_domain::id::id_day;
use bongsu_domain::{AccountId, Day};
use rusqlite::Connection;

use crate::error::{Error, Kind};
use crate::files::{self, Layout};
use crate::migrate;

/// Entries kept in memory before they are written as one sorted run.
const TAIL_MAX: usize = 200_000;
/// Newest days whose tail stays in memory; older ones are written out, however short their tail.
pub(crate) const DAYS_IN_MEMORY: usize = 2;
/// Runs of one file before they are merged into one.
const RUNS_MAX: i64 = 64;

/// What a key is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// Keyed hash of account and recipient.
    Recipient = 0,
    /// Keyed hash of account and last four digits.
    LastFour = 1,
    /// Hash of account and sender number: [`sender_key`].
    Sender = 2,
    /// Hash of account and a label or a department code: [`tags`].
    Tag = 3,
}

impl KeyKind {
    /// Whether many messages share a key: then the key leads to buckets of ids, one entry for all that lie in one.
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, KeyKind::Sender | KeyKind::Tag)
    }
}

/// Ids of one bucket: those that one node gave in one millisecond, so a run never lies in two.
pub(crate) const BUCKET: i64 = bongsu_domain::id::BLOCK_MAX as i64;

/// The bucket of an id.
pub(crate) fn bucket_of(id: i64) -> i64 {
    id & !(BUCKET - 1)
}

/// The key of an account's sender number, 32 bits, from the keyed hash of the number ([`crate::senders::number_hash`]).
pub fn sender_key(account: AccountId, number_hash: i64) -> i64 {
    mix(number_hash ^ mix(account.0)) & 0xFFFF_FFFF
}

/// What a tag is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagOf<'a> {
    /// The department code.
    BillCode(&'a str),
    /// A label of this name, whatever its value.
    Label(&'a str),
    /// A label of this name and value.
    LabelValue(&'a str, &'a str),
}

/// The hash under which an account's messages with something are found. What it is made of is stored in clear, so it needs
/// no key; it says no more than that.
pub fn tag(account: AccountId, of: TagOf<'_>) -> i64 {
    let (kind, parts) = match of {
        TagOf::BillCode(code) => (1, [code, ""]),
        TagOf::Label(name) => (2, [name, ""]),
        TagOf::LabelValue(name, value) => (3, [name, value]),
    };
    let mut hash = mix(account.0 ^ (kind << 56));
    for part in parts {
        hash = part.bytes().fold(mix(hash ^ part.len() as i64), |hash, byte| {
            (hash ^ i64::from(byte)).wrapping_mul(0x100_0000_01b3_i64)
        });
    }
    mix(hash)
}

/// The tags of a message.
pub fn tags(account: AccountId, bill_code: Option<&str>, labels: &[(String, String)]) -> Vec<i64> {
    let mut tags = Vec::with_capacity(usize::from(bill_code.is_some()) + 2 * labels.len());
    tags.extend(bill_code.map(|code| tag(account, TagOf::BillCode(code))));
    for (name, value) in labels {
        tags.push(tag(account, TagOf::Label(name)));
        tags.push(tag(account, TagOf::LabelValue(name, value)));
    }
    tags
}

/// The finaliser of SplitMix64: every bit of the result hangs on every bit of the input.
fn mix(value: i64) -> i64 {
    let mut x = (value as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)) as i64
}

/// The keys of one message.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(crate) id: i64,
    pub(crate) recipient: i64,
    pub(crate) last4: i64,
    /// 0 when it is found by none.
    pub(crate) sender: i64,
    pub(crate) tags: Vec<i64>,
}

/// Keys that only one message has.
#[derive(Debug, Clone, Copy)]
struct Own {
    id: i64,
    recipient: i64,
    last4: i64,
}

/// Keys that many messages share: kind, key, bucket.
type Mark = (u8, i64, i64);

#[derive(Default, Clone)]
struct Part {
    /// In the order of ids.
    own: Vec<Own>,
    marks: BTreeSet<Mark>,
    /// The last sender's mark: the next message mostly has the same.
    last: Option<Mark>,
}

impl Part {
    fn is_empty(&self) -> bool {
        self.own.is_empty()
    }

    fn is_full(&self) -> bool {
        self.own.len() >= TAIL_MAX || self.marks.len() >= TAIL_MAX
    }

    fn add(&mut self, keys: Keys) {
        self.own.push(Own { id: keys.id, recipient: keys.recipient, last4: keys.last4 });
        let bucket = bucket_of(keys.id);
        if keys.sender != 0 {
            let mark = (KeyKind::Sender as u8, keys.sender, bucket);
            if self.last.replace(mark) != Some(mark) {
                self.marks.insert(mark);
            }
        }
        self.marks.extend(keys.tags.into_iter().map(|tag| (KeyKind::Tag as u8, tag, bucket)));
    }

    fn absorb(&mut self, other: Part) {
        self.own.extend(other.own);
        self.marks.extend(other.marks);
    }

    fn find(&self, kind: KeyKind, key: i64, found: &mut Vec<i64>) {
        if kind.is_shared() {
            let marks = self.marks.range((kind as u8, key, i64::MIN)..=(kind as u8, key, i64::MAX));
            found.extend(marks.map(|(.., bucket)| *bucket));
            return;
        }
        let matches = |own: &&Own| key == if kind == KeyKind::Recipient { own.recipient } else { own.last4 };
        found.extend(self.own.iter().filter(matches).map(|own| own.id));
    }
}

#[derive(Default)]
struct DayTail {
    fresh: Part,
    /// Being written; still searched.
    leaving: Part,
}

/// The search keys of all days.
pub struct Index {
    layout: Layout,
    tails: Mutex<BTreeMap<Day, DayTail>>,
}

impl Index {
    pub(crate) fn new(layout: Layout) -> Self {
        Self { layout, tails: Mutex::new(BTreeMap::new()) }
    }

    fn tails(&self) -> std::sync::MutexGuard<'_, BTreeMap<Day, DayTail>> {
        self.tails.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Adds the keys of rows of one day that were just written. Rows that never come to exist are found out by the reader.
    pub(crate) fn add(&self, day: Day, keys: impl IntoIterator<Item = Keys>) {
        let mut tails = self.tails();
        let tail = tails.entry(day).or_default();
        keys.into_iter().for_each(|keys| tail.fresh.add(keys));
    }

    /// A day whose tail is due to be written.
    pub(crate) fn full(&self) -> Option<Day> {
        let tails = self.tails();
        let recent = tails.keys().rev().nth(DAYS_IN_MEMORY - 1).copied();
        let due = |day: Day, tail: &DayTail| {
            let over = recent.is_some_and(|recent| day < recent) && !tail.fresh.is_empty();
            (over || tail.fresh.is_full()) && tail.leaving.is_empty()
        };
        tails.iter().find(|(day, tail)| due(**day, tail)).map(|(day, _)| *day)
    }

    /// Writes the tail of one day as a sorted run.
    pub(crate) fn flush(&self, day: Day) -> Result<(), Error> {
        let keys = {
            let mut tails = self.tails();
            let tail = tails.entry(day).or_default();
            if tail.leaving.is_empty() {
                tail.leaving = std::mem::take(&mut tail.fresh);
            }
            tail.leaving.clone()
        };
        let written = self.write_run(day, &keys);
        let mut tails = self.tails();
        let tail = tails.entry(day).or_default();
        let mut left = std::mem::take(&mut tail.leaving);
        if written.is_err() {
            // They are due again with the next commit.
            left.absorb(std::mem::take(&mut tail.fresh));
            tail.fresh = left;
        }
        written
    }

    fn write_run(&self, day: Day, keys: &Part) -> Result<(), Error> {
        let Some(upto) = keys.own.iter().map(|own| own.id).max() else { return Ok(()) };
        let db = files::open_writer(&self.layout.index(day), migrate::INDEX)?;
        db.execute_batch("BEGIN IMMEDIATE")?;
        let run: i64 = db.query_row("SELECT COALESCE(MAX(run), 0) + 1 FROM flushed", [], |row| row.get(0))?;
        let mut pairs: Vec<(i64, i64)> = Vec::with_capacity(keys.own.len());
        for kind in [KeyKind::Recipient, KeyKind::LastFour] {
            pairs.clear();
            pairs.extend(
                keys.own.iter().map(|k| (if kind == KeyKind::Recipient { k.recipient } else { k.last4 }, k.id)),
            );
            pairs.sort_unstable();
            let mut insert =
                db.prepare_cached("INSERT OR IGNORE INTO entries (run, kind, key, id) VALUES (?, ?, ?, ?)")?;
            for (key, id) in &pairs {
                insert.execute((run, kind as u8, key, id))?;
            }
        }
        let mut insert = db.prepare_cached("INSERT OR IGNORE INTO entries (run, kind, key, id) VALUES (?, ?, ?, ?)")?;
        for (kind, key, bucket) in &keys.marks {
            insert.execute((run, kind, key, bucket))?;
        }
        drop(insert);
        db.execute("INSERT INTO flushed (run, upto) VALUES (?, ?)", (run, upto))?;
        db.execute_batch("COMMIT")?;
        if run % RUNS_MAX == 0 {
            merge(&db)?;
        }
        db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
        Ok(())
    }

    /// Fills the tail of a day from its message rows after a start.
    pub(crate) fn rebuild(&self, day: Day, messages: &Connection) -> Result<(), Error> {
        let upto = match self.open(day)? {
            Some(db) => db.query_row("SELECT COALESCE(MAX(upto), 0) FROM flushed", [], |row| row.get::<_, i64>(0))?,
            None => 0,
        };
        let mut select = messages.prepare(
            "SELECT id, recipient, last4, sender, account, extra FROM messages WHERE id > ? ORDER BY id LIMIT ?",
        )?;
        let mut after = upto;
        loop {
            let keys: Vec<Keys> = select
                .query_map((after, TAIL_MAX as i64), |row| {
                    let (account, extra): (i64, Option<String>) = (row.get(4)?, row.get(5)?);
                    let tags = extra.map_or_else(Vec::new, |extra| tags_of(AccountId(account), &extra));
                    Ok(Keys { id: row.get(0)?, recipient: row.get(1)?, last4: row.get(2)?, sender: row.get(3)?, tags })
                })?
                .collect::<Result<_, _>>()?;
            let Some(last) = keys.last() else { return Ok(()) };
            after = last.id;
            let whole = keys.len() == TAIL_MAX;
            self.add(day, keys);
            if whole {
                self.flush(day)?;
            }
        }
    }

    /// As [`Index::rebuild`], and nothing stays in memory.
    pub(crate) fn rebuild_to_end(&self, day: Day, messages: &Connection) -> Result<(), Error> {
        self.rebuild(day, messages)?;
        self.flush(day)
    }

    fn open(&self, day: Day) -> Result<Option<Connection>, Error> {
        let path = self.layout.index(day);
        if !path.exists() {
            return Ok(None);
        }
        let db = files::open_reader(&path)?;
        // Between making the file and its tables there is a moment, in which a search may come or a crash.
        let ready: i64 =
            db.query_row("SELECT COUNT(*) FROM sqlite_master WHERE name = 'flushed'", [], |row| row.get(0))?;
        Ok((ready > 0).then_some(db))
    }

    /// Ids in `[from, to]` that may have the key, newest first, at most `limit`; of a key that many share the buckets of
    /// ids that overlap the range.
    ///
    /// # Errors
    /// `Invalid` when the range is empty.
    pub fn find(&self, kind: KeyKind, key: i64, from: i64, to: i64, limit: usize) -> Result<Vec<i64>, Error> {
        if from > to {
            return Err(Error::new(Kind::Invalid("since"), "the range is empty"));
        }
        let from = if kind.is_shared() { bucket_of(from) } else { from };
        let mut found = Vec::new();
        for day in self.layout.days()?.into_iter().rev().filter(|d| (id_day(from)..=id_day(to)).contains(d)) {
            let mut ids = self.find_in_tail(day, kind, key);
            if let Some(db) = self.open(day)? {
                let runs: Vec<i64> = db
                    .prepare_cached("SELECT run FROM flushed")?
                    .query_map([], |row| row.get(0))?
                    .collect::<Result<_, _>>()?;
                let mut select = db.prepare_cached(
                    "SELECT id FROM entries WHERE run = ? AND kind = ? AND key = ? AND id BETWEEN ? AND ? ORDER BY id DESC LIMIT ?",
                )?;
                for run in runs {
                    let rows =
                        select.query_map((run, kind as u8, key, from, to, limit as i64), |row| row.get::<_, i64>(0))?;
                    for id in rows {
                        ids.push(id?);
                    }
                }
            }
            ids.retain(|id| (from..=to).contains(id));
            ids.sort_unstable_by(|a, b| b.cmp(a));
            ids.dedup();
            found.extend(ids);
            if found.len() >= limit {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    fn find_in_tail(&self, day: Day, kind: KeyKind, key: i64) -> Vec<i64> {
        let tails = self.tails();
        let mut found = Vec::new();
        if let Some(tail) = tails.get(&day) {
            tail.leaving.find(kind, key, &mut found);
            tail.fresh.find(kind, key, &mut found);
        }
        found
    }

    /// Removes what belongs to a day that retention drops.
    pub(crate) fn forget(&self, day: Day) {
        self.tails().remove(&day);
    }
}

/// Puts all runs into one new run, so that a look-up stays short.
fn merge(db: &Connection) -> Result<(), Error> {
    db.execute_batch(
        "BEGIN IMMEDIATE;
         INSERT INTO entries (run, kind, key, id)
           SELECT (SELECT MAX(run) + 1 FROM flushed), kind, key, id FROM entries GROUP BY kind, key, id ORDER BY kind, key, id;
         DELETE FROM entries WHERE run <= (SELECT MAX(run) FROM flushed);
         INSERT INTO flushed (run, upto) SELECT MAX(run) + 1, MAX(upto) FROM flushed;
         DELETE FROM flushed WHERE run < (SELECT MAX(run) FROM flushed);
         COMMIT",
    )?;
    Ok(())
}

/// What the store reads of a message's extra part, to find it by after a start.
#[derive(serde::Deserialize)]
struct Extra {
    #[serde(default)]
    b: Option<String>,
    #[serde(default)]
    l: Vec<(String, String)>,
}

fn tags_of(account: AccountId, extra: &str) -> Vec<i64> {
    serde_json::from_str(extra).map_or_else(|_| Vec::new(), |Extra { b, l }| tags(account, b.as_deref(), &l))
}
