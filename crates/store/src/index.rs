//! Search keys of messages: a tail in memory, the rest in sorted runs, one file a day (design D3).

use std::collections::BTreeMap;
use std::sync::Mutex;

use bongsu_domain::Day;
use bongsu_domain::id::id_day;
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
}

/// The keys of one message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys {
    pub(crate) id: i64,
    pub(crate) recipient: i64,
    pub(crate) last4: i64,
}

#[derive(Default)]
struct DayTail {
    /// In the order of ids.
    fresh: Vec<Keys>,
    /// Being written; still searched.
    leaving: Vec<Keys>,
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
        self.tails().entry(day).or_default().fresh.extend(keys);
    }

    /// A day whose tail is due to be written.
    pub(crate) fn full(&self) -> Option<Day> {
        let tails = self.tails();
        let recent = tails.keys().rev().nth(DAYS_IN_MEMORY - 1).copied();
        let due = |day: Day, tail: &DayTail| {
            let over = recent.is_some_and(|recent| day < recent) && !tail.fresh.is_empty();
            (over || tail.fresh.len() >= TAIL_MAX) && tail.leaving.is_empty()
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
            left.append(&mut tail.fresh);
            tail.fresh = left;
        }
        written
    }

    fn write_run(&self, day: Day, keys: &[Keys]) -> Result<(), Error> {
        let Some(upto) = keys.iter().map(|k| k.id).max() else { return Ok(()) };
        let db = files::open_writer(&self.layout.index(day), migrate::INDEX)?;
        db.execute_batch("BEGIN IMMEDIATE")?;
        let run: i64 = db.query_row("SELECT COALESCE(MAX(run), 0) + 1 FROM flushed", [], |row| row.get(0))?;
        let mut pairs: Vec<(i64, i64)> = Vec::with_capacity(keys.len());
        for kind in [KeyKind::Recipient, KeyKind::LastFour] {
            pairs.clear();
            pairs.extend(keys.iter().map(|k| (if kind == KeyKind::Recipient { k.recipient } else { k.last4 }, k.id)));
            pairs.sort_unstable();
            let mut insert =
                db.prepare_cached("INSERT OR IGNORE INTO entries (run, kind, key, id) VALUES (?, ?, ?, ?)")?;
            for (key, id) in &pairs {
                insert.execute((run, kind as u8, key, id))?;
            }
        }
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
        let mut select =
            messages.prepare("SELECT id, recipient, last4 FROM messages WHERE id > ? ORDER BY id LIMIT ?")?;
        let mut after = upto;
        loop {
            let keys: Vec<Keys> = select
                .query_map((after, TAIL_MAX as i64), |row| {
                    Ok(Keys { id: row.get(0)?, recipient: row.get(1)?, last4: row.get(2)? })
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

    /// Ids in `[from, to]` that may have the key, newest first, at most `limit`.
    ///
    /// # Errors
    /// `Invalid` when the range is empty.
    pub fn find(&self, kind: KeyKind, key: i64, from: i64, to: i64, limit: usize) -> Result<Vec<i64>, Error> {
        if from > to {
            return Err(Error::new(Kind::Invalid("since"), "the range is empty"));
        }
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
        let Some(tail) = tails.get(&day) else { return Vec::new() };
        let matches = |k: &&Keys| if kind == KeyKind::Recipient { k.recipient == key } else { k.last4 == key };
        tail.leaving.iter().chain(&tail.fresh).filter(matches).map(|k| k.id).collect()
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
