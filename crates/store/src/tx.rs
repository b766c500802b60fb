//! The one open group commit: the live file, the day files touched so far, and ids.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::changes::Standing;
use crate::claims;
use crate::db::Db;
use crate::db::dialect::{Kind::Int, Many};
use crate::error::{Error, Kind};
use crate::facts::{self, News};
use crate::files::{self, Layout};
use crate::index::{Index, Keys, bucket_of};
use crate::migrate;
use crate::rows::Run;
use crate::wal::Wal;
use crate::wallet;
use bongsu_domain::{AccountId, Day, IdGen, Timestamp, Unit};

static TAGS: Many = Many::new(
    "INSERT OR IGNORE INTO tags (tag, bucket) VALUES {(v_tag, v_bucket)}",
    &[("v_tag", Int), ("v_bucket", Int)],
);

/// Day files that stay open for writing; more than two only around midnight and for late receipts.
const DAYS_OPEN_MAX: usize = 8;

/// One open day file.
pub(crate) struct DayFile {
    pub(crate) db: Db,
    pub(crate) wal: Arc<Wal>,
    open: bool,
    /// Row changes of this connection before the open transaction.
    begun_at: u64,
    settle_next: i64,
    refunds: BTreeMap<(i64, u8), i64>,
}

impl DayFile {
    /// Rows that the open transaction changed.
    fn written(&self) -> u64 {
        total_changes(&self.db) - self.begun_at
    }

    /// Money this commit gives back to an account.
    pub(crate) fn refund(&mut self, account: AccountId, unit: Unit, amount: i64) {
        *self.refunds.entry((account.0, unit as u8)).or_default() += amount;
    }
}

/// The day files, opened when first needed.
pub(crate) struct Days {
    layout: Layout,
    files: BTreeMap<Day, DayFile>,
    index: Arc<Index>,
    pages_max: Option<u32>,
    /// Messages as this thread wrote them.
    standing: Standing,
}

impl Days {
    pub(crate) fn new(layout: Layout, index: Arc<Index>, pages_max: Option<u32>) -> Self {
        Self { layout, files: BTreeMap::new(), index, pages_max, standing: Standing::default() }
    }

    /// The file of a day within the open transaction.
    pub(crate) fn get(&mut self, day: Day) -> Result<&mut DayFile, Error> {
        let file = self.peek(day)?;
        if !file.open {
            file.db.execute("BEGIN IMMEDIATE", ())?;
            file.open = true;
            file.begun_at = total_changes(&file.db);
        }
        Ok(file)
    }

    /// The file of a day, in whatever transaction it is.
    pub(crate) fn peek(&mut self, day: Day) -> Result<&mut DayFile, Error> {
        if !self.files.contains_key(&day) {
            self.make_room();
            let mut db = files::open_writer(&self.layout.day(day), migrate::DAY)?;
            let wal = Wal::watch(&mut db)?;
            if let Some(pages) = self.pages_max {
                db.pragma_update(None, "max_page_count", pages)?;
            }
            let db = Db::from(db);
            let settle_next: i64 =
                db.query_row("SELECT COALESCE(MAX(seq), 0) + 1 FROM settles", (), |row| row.get(0))?;
            self.files
                .insert(day, DayFile { db, wal, open: false, begun_at: 0, settle_next, refunds: BTreeMap::new() });
        }
        self.files.get_mut(&day).ok_or_else(|| Error::new(Kind::Unavailable, "day file went away"))
    }

    /// Forgets the oldest files that no transaction uses.
    fn make_room(&mut self) {
        while self.files.len() >= DAYS_OPEN_MAX {
            let Some(day) = self.files.iter().find(|(_, file)| !file.open).map(|(day, _)| *day) else { return };
            self.files.remove(&day);
        }
    }

    /// The open files.
    pub(crate) fn open_files(&self) -> impl Iterator<Item = (Day, &DayFile)> {
        self.files.iter().map(|(day, file)| (*day, file))
    }

    /// Closes a day that retention removes.
    pub(crate) fn close(&mut self, day: Day) {
        self.files.remove(&day);
        self.standing.forget();
    }

    /// Rows that the open group commit changed; `None` when a failed statement ended the transaction of a file.
    pub(crate) fn written(&self) -> Option<u64> {
        let mut open = self.files.values().filter(|file| file.open);
        open.try_fold(0, |sum, file| (!ended(&file.db)).then(|| sum + file.written()))
    }

    /// Commits every open day file and returns what the ledger has to book, and how many rows changed. Each day that
    /// stands is told at once: a later one may refuse.
    fn commit(&mut self, mut stands: impl FnMut(Day)) -> Result<(Vec<Settle>, u64), Error> {
        let mut settles = Vec::new();
        let mut rows = 0;
        for (day, file) in self.files.iter_mut().filter(|(_, file)| file.open) {
            if !file.refunds.is_empty() {
                let seq = file.settle_next;
                for ((account, unit), amount) in &file.refunds {
                    file.db
                        .prepare_cached("INSERT INTO settles (seq, account, unit, amount) VALUES (?, ?, ?, ?)")?
                        .execute((seq, account, unit, amount))?;
                    settles.push(Settle { day: *day, seq, account: *account, unit: *unit, amount: *amount });
                }
            }
            rows += file.written();
            file.db.execute("COMMIT", ())?;
            file.open = false;
            file.settle_next += i64::from(!file.refunds.is_empty());
            file.refunds.clear();
            stands(*day);
        }
        Ok((settles, rows))
    }

    /// A unit failed: what it noted of messages may not stand.
    pub(crate) fn forget_standing(&mut self) {
        self.standing.forget();
    }

    fn rollback(&mut self) {
        self.standing.forget();
        for file in self.files.values_mut().filter(|file| file.open) {
            // A failed statement may have ended the transaction already; then there is nothing left to roll back.
            let _ = file.db.execute("ROLLBACK", ());
            file.open = false;
            file.refunds.clear();
        }
    }
}

/// A settle row: money that a committed day file gives back.
struct Settle {
    day: Day,
    seq: i64,
    account: i64,
    unit: u8,
    amount: i64,
}

/// The writer's files between commits.
pub(crate) struct Files {
    pub(crate) live: Db,
    pub(crate) wal: Arc<Wal>,
    pub(crate) days: Days,
    pub(crate) ids: Arc<Mutex<IdGen>>,
    /// Runs that come to exist with this commit.
    pub(crate) fresh: Vec<Run>,
    /// What this commit does to messages.
    pub(crate) news: News,
    /// What of it is shown to readers.
    pub(crate) board: Arc<facts::Board>,
    /// The newest slice of events.
    slice: i64,
    /// Rows changed by commits since somebody took the number.
    pub(crate) row_writes: u64,
    /// Row changes of the live file before the open group commit.
    begun_at: u64,
    /// A day file committed but the live file did not: the ledger is behind.
    behind: bool,
    /// The same, while this process lived: dispatchers may have read what waits as it was before.
    half: bool,
}

/// What units of one group commit work with.
pub struct Tx<'a> {
    /// What lives as long as the installation.
    pub live: &'a Db,
    /// When this group commit began.
    pub now: Timestamp,
    pub(crate) history: History<'a>,
    pub(crate) fresh: &'a mut Vec<Run>,
    pub(crate) news: &'a mut News,
    pub(crate) ids: &'a Mutex<IdGen>,
}

/// Where messages lie.
pub(crate) enum History<'a> {
    /// One file a day, which commits before the live file.
    Files(&'a mut Days),
    /// Partitions of the same database.
    #[cfg_attr(not(feature = "mysql"), allow(dead_code, reason = "the embedded store has files"))]
    Tables(&'a mut Refunds),
}

/// Money that a commit gives back, by day of accept, account and unit.
pub(crate) type Refunds = BTreeMap<(Day, i64, u8), i64>;

impl Tx<'_> {
    /// One id.
    ///
    /// # Errors
    /// `ClockBehind` when the clock stepped back by more than a second.
    pub fn new_id(&mut self) -> Result<i64, Error> {
        self.new_ids(1)
    }

    /// The first of `count` contiguous ids of one millisecond.
    pub(crate) fn new_ids(&mut self, count: u32) -> Result<i64, Error> {
        block(self.ids, self.now, count)
    }

    /// Messages of a day, within this commit.
    pub(crate) fn day(&mut self, day: Day) -> Result<&Db, Error> {
        match &mut self.history {
            History::Files(days) => Ok(&days.get(day)?.db),
            History::Tables(_) => Ok(self.live),
        }
    }

    /// Messages of a day, for a look before anything is written.
    pub(crate) fn peek_day(&mut self, day: Day) -> Result<&Db, Error> {
        match &mut self.history {
            History::Files(days) => Ok(&days.peek(day)?.db),
            History::Tables(_) => Ok(self.live),
        }
    }

    /// Messages as the only writer of the files left them. Where several processes write nothing can be remembered.
    pub(crate) fn remembered(&mut self) -> Option<&mut Standing> {
        match &mut self.history {
            History::Files(days) => Some(&mut days.standing),
            History::Tables(_) => None,
        }
    }

    /// Money this commit gives back to an account for a message of that day.
    pub(crate) fn refund(&mut self, day: Day, account: AccountId, unit: Unit, amount: i64) -> Result<(), Error> {
        match &mut self.history {
            History::Files(days) => days.get(day)?.refund(account, unit, amount),
            History::Tables(refunds) => *refunds.entry((day, account.0, unit as u8)).or_default() += amount,
        }
        Ok(())
    }

    /// Search keys of new messages. Tables have an index of their own, but for tags.
    pub(crate) fn searchable(&mut self, day: Day, keys: impl IntoIterator<Item = Keys>) -> Result<(), Error> {
        if let History::Files(days) = &mut self.history {
            days.index.add(day, keys);
            return Ok(());
        }
        let tags: std::collections::BTreeSet<(i64, i64)> =
            keys.into_iter().flat_map(|keys| keys.tags.into_iter().map(move |tag| (tag, bucket_of(keys.id)))).collect();
        self.live.many(&TAGS, tags.into_iter().map(|(tag, bucket)| [tag, bucket]))?;
        Ok(())
    }

    /// Nothing of a day is needed any more.
    pub(crate) fn close_day(&mut self, day: Day) {
        if let History::Files(days) = &mut self.history {
            days.close(day);
            days.index.forget(day);
        }
    }
}

/// Rows that a file's connection ever changed.
pub(crate) fn total_changes(db: &Db) -> u64 {
    db.lite().map_or(0, rusqlite::Connection::total_changes)
}

/// Whether no transaction of a file is open: a failed statement may have ended it.
pub(crate) fn ended(db: &Db) -> bool {
    db.lite().is_some_and(rusqlite::Connection::is_autocommit)
}

/// Contiguous ids, or a refusal while the clock is behind.
pub(crate) fn block(ids: &Mutex<IdGen>, now: Timestamp, count: u32) -> Result<i64, Error> {
    let mut ids = ids.lock().map_err(|_| Error::new(Kind::Unavailable, "id generator poisoned"))?;
    ids.block(now, count).map_err(|_| Error::new(Kind::ClockBehind, "the clock stepped back by more than a second"))
}

impl Files {
    pub(crate) fn new(live: Db, wal: Arc<Wal>, days: Days, ids: Arc<Mutex<IdGen>>, board: Arc<facts::Board>) -> Self {
        let (news, slice) = (News::default(), board.last());
        let (fresh, row_writes, begun_at) = (Vec::new(), 0, 0);
        Self { live, wal, days, ids, fresh, news, board, slice, row_writes, begun_at, behind: true, half: false }
    }

    /// Opens the group commit.
    pub(crate) fn begin(&mut self, now: Timestamp) -> Result<Tx<'_>, Error> {
        self.live.execute("BEGIN IMMEDIATE", ())?;
        self.begun_at = total_changes(&self.live);
        if self.behind {
            book_missing(&self.live, &self.days.layout, now)?;
        }
        if self.half {
            claims::outdate(&self.live)?;
        }
        Ok(self.tx(now))
    }

    /// Runs on in the open group commit.
    pub(crate) fn tx(&mut self, now: Timestamp) -> Tx<'_> {
        Tx {
            live: &self.live,
            now,
            history: History::Files(&mut self.days),
            fresh: &mut self.fresh,
            news: &mut self.news,
            ids: &self.ids,
        }
    }

    /// Makes everything durable: the day files first, so that a crash in between leaves rows that do not exist yet and
    /// money that the next start books.
    pub(crate) fn commit(&mut self, now: Timestamp) -> Result<(), Error> {
        let news = std::mem::take(&mut self.news);
        let wrote = facts::flush_files(news, &self.live, &mut self.days, &mut self.slice, now)?;
        let (board, half) = (&self.board, &mut self.half);
        let (settles, rows) = self.days.commit(|day| {
            *half = true;
            // What is in a day file stands, whatever becomes of the files after it.
            wrote.iter().filter(|(at, _)| *at == Some(day)).for_each(|(at, no)| board.wrote(*at, *no));
        })?;
        crate::faults::point("between-day-and-live");
        self.behind = !settles.is_empty() || self.behind;
        for settle in &settles {
            book(&self.live, settle, now)?;
        }
        self.live.execute("COMMIT", ())?;
        wrote.iter().for_each(|(at, no)| self.board.wrote(*at, *no));
        self.board.show();
        (self.behind, self.half) = (false, false);
        self.row_writes += rows + (total_changes(&self.live) - self.begun_at);
        crate::faults::point("after-live");
        Ok(())
    }

    pub(crate) fn rollback(&mut self) {
        self.fresh.clear();
        self.news = News::default();
        self.days.rollback();
        if !ended(&self.live) {
            let _ = self.live.execute("ROLLBACK", ());
        }
        self.behind = true;
    }
}

fn book(live: &Db, settle: &Settle, now: Timestamp) -> Result<(), Error> {
    let unit =
        Unit::from_u8(settle.unit).ok_or_else(|| Error::new(Kind::Corrupt, "settle row with an unknown unit"))?;
    let cause = format!("settle:{}:{}", settle.day, settle.seq);
    wallet::credit(live, AccountId(settle.account), unit, settle.amount, &cause, now)?;
    let changed =
        live.prepare_cached("UPDATE booked SET settle = ? WHERE day = ?")?.execute((settle.seq, settle.day.0))?;
    if changed == 0 {
        live.prepare_cached("INSERT INTO booked (day, settle) VALUES (?, ?)")?.execute((settle.day.0, settle.seq))?;
    }
    Ok(())
}

/// Books the settle rows that a crash left between a day file and the live file.
fn book_missing(live: &Db, layout: &Layout, now: Timestamp) -> Result<(), Error> {
    for day in layout.days()? {
        let booked: i64 = live
            .prepare_cached("SELECT COALESCE(MAX(settle), 0) FROM booked WHERE day = ?")?
            .query_row([day.0], |row| row.get(0))?;
        let db = Db::from(files::open_reader(&layout.day(day))?);
        let rows: Vec<Settle> = db
            .prepare_cached("SELECT seq, account, unit, amount FROM settles WHERE seq > ? ORDER BY seq")?
            .query_map([booked], |row| {
                Ok(Settle { day, seq: row.get(0)?, account: row.get(1)?, unit: row.get(2)?, amount: row.get(3)? })
            })?
            .collect::<Result<_, _>>()?;
        for settle in &rows {
            book(live, settle, now)?;
        }
    }
    Ok(())
}
