//! The writer of one process: gathers what waits, runs it as one transaction, and again when others were in the way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use bongsu_domain::{AccountId, Clock, IdGen, Timestamp};

use crate::accept;
use crate::db::{Db, OptionalExtension, mysql};
use crate::error::{Error, Kind};
use crate::facts::{self, News};
use crate::metrics::Metrics;
use crate::rows::Run;
use crate::store::RunSink;
use crate::tx::{History, Refunds, Tx};
use crate::wallet;
use crate::writer::{Group, Inbox, Job};

/// Single messages of one transaction.
const SINGLES_MAX: usize = 500;
/// Other units of one transaction: a slice of a batch is one.
const UNITS_MAX: usize = 12;
/// How often a transaction is run when others are in the way.
const TRIES_MAX: u32 = 8;
/// How long a lost connection is tried again before callers are told that the store is away.
const LOST_MAX: Duration = Duration::from_millis(1_500);
/// How often a unit is run again that met a row it had not seen: the next look sees the row that another process wrote.
const MET_MAX: u32 = 2;
/// Pause before a transaction that met another one is run again.
const AGAIN: Duration = Duration::from_millis(3);

/// The row by which a process that lost its node is kept from committing.
pub(super) struct Fence {
    /// The node.
    pub(super) node: u16,
    /// Name of the node's lease.
    pub(super) name: String,
    /// This incarnation.
    pub(super) owner: i64,
    /// Transactions of the node that are known to be committed.
    pub(super) commits: i64,
}

pub(super) struct Writer {
    pub(super) live: Db,
    pub(super) fence: Fence,
    /// The commit of the group that is being written may have happened: its answer was lost and nobody could be asked.
    pub(super) unsure: bool,
    pub(super) inbox: Arc<Inbox>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Arc<Mutex<IdGen>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) fatal: tokio::sync::watch::Sender<Option<String>>,
    pub(super) runs: Arc<OnceLock<RunSink>>,
    pub(super) board: Arc<facts::Board>,
}

/// What one run of a transaction came to.
enum Ran {
    Committed,
    /// A unit failed after it had written: run the others without it.
    Without,
}

impl Writer {
    /// Runs until the inbox is closed, or this process lost its node.
    pub(super) fn run(mut self) {
        while let Some(job) = self.inbox.first() {
            let started = Instant::now();
            let mut group = Group::default();
            self.gather(job, &mut group);
            let done = self.commit(&mut group);
            self.metrics.commit(started.elapsed(), group.len());
            let fenced = done.as_ref().err().filter(|e| e.kind() == Kind::Fenced).map(ToString::to_string);
            group.answer(done);
            if let Some(reason) = fenced {
                self.inbox.close();
                // Nobody takes what still waits; who sent it is told to go to another process.
                self.inbox.refuse_waiting(&away());
                let _ = self.fatal.send(Some(reason));
                return;
            }
        }
    }

    fn gather(&self, first: Job, group: &mut Group) {
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Single(single) => group.singles.push(single),
                Job::Unit(unit) => group.units.push((unit, Ok(()))),
            }
            let full = group.singles.len() >= SINGLES_MAX || group.units.len() >= UNITS_MAX;
            next = if full { None } else { self.inbox.next() };
        }
    }

    /// Runs the group until it is committed or cannot be.
    fn commit(&mut self, group: &mut Group) -> Result<(), Error> {
        let started = Instant::now();
        let mut busy = 0;
        self.unsure = false;
        loop {
            let ran = self.run_once(group, busy < MET_MAX);
            match ran {
                Ok(Ran::Committed) => return Ok(()),
                Ok(Ran::Without) => {}
                Err(error) => {
                    self.rollback();
                    match error.kind() {
                        Kind::Busy if busy < TRIES_MAX => {
                            busy += 1;
                            group.drop_answered();
                            self.metrics.again();
                            super::pause(AGAIN * busy);
                        }
                        Kind::Lost if started.elapsed() < LOST_MAX => super::pause(Duration::from_millis(50)),
                        Kind::Lost => {
                            // Who waits behind it has waited as long, and would wait as long again for each group.
                            self.inbox.refuse_waiting(&away());
                            return Err(away());
                        }
                        _ => return Err(error),
                    }
                }
            }
        }
    }

    fn rollback(&mut self) {
        if let Some(connection) = self.live.my() {
            connection.rollback();
        }
    }

    fn connection(&self) -> Result<&mysql::Conn, Error> {
        self.live.my().ok_or_else(|| Error::new(Kind::Unavailable, "not a database connection"))
    }

    fn run_once(&mut self, group: &mut Group, met_again: bool) -> Result<Ran, Error> {
        let now = self.clock.now();
        self.connection()?.begin()?;
        if !self.fence()? {
            self.rollback();
            self.fence.commits += 1;
            return Ok(Ran::Committed);
        }
        let mut refunds = Refunds::new();
        let mut fresh = Vec::new();
        let mut news = News::default();
        for (unit, ran) in group.units.iter_mut().filter(|(_, ran)| ran.is_ok()) {
            let written = self.connection()?.written();
            let (runs, mark) = (fresh.len(), news.mark());
            let mut tx = self.tx(now, &mut refunds, &mut fresh, &mut news);
            let Err(error) = unit.run(&mut tx) else { continue };
            if matches!(error.kind(), Kind::Busy | Kind::Lost) {
                return Err(error);
            }
            if met_again && error.kind() == Kind::Conflict("constraint") {
                return Err(Error::new(Kind::Busy, "a row came to be since this transaction looked"));
            }
            fresh.truncate(runs);
            news.undo(mark);
            *ran = Err(error);
            if self.connection()?.written() != written {
                self.rollback();
                return Ok(Ran::Without);
            }
        }
        let mut tx = self.tx(now, &mut refunds, &mut fresh, &mut news);
        accept::write_singles(&mut tx, &mut group.singles)?;
        facts::flush_tables(&news, &self.live, self.fence.node, now)?;
        self.give_back(refunds, now)?;
        crate::faults::point("between-day-and-live");
        if let Err(error) = self.connection()?.commit() {
            self.settle_commit(error, group)?;
        }
        self.fence.commits += 1;
        crate::faults::point("after-live");
        self.metrics.row_writes.store(self.connection()?.written(), std::sync::atomic::Ordering::Relaxed);
        if !news.is_empty() {
            self.board.tell();
        }
        if let Some(sink) = self.runs.get().filter(|_| !fresh.is_empty()) {
            let fresh: Vec<Run> = fresh;
            sink(&fresh);
        }
        Ok(Ran::Committed)
    }

    fn tx<'t>(
        &'t self,
        now: Timestamp,
        refunds: &'t mut Refunds,
        fresh: &'t mut Vec<Run>,
        news: &'t mut News,
    ) -> Tx<'t> {
        Tx { live: &self.live, now, history: History::Tables(refunds), fresh, news, ids: &self.ids }
    }

    /// Counts this transaction in the node's lease, which fails when the node belongs to another by now. `false` when it is
    /// counted already: it was committed by the try before, of which the answer was lost.
    fn fence(&self) -> Result<bool, Error> {
        let sql = "UPDATE leases SET commits = ? WHERE name = ? AND owner = ? AND commits = ?";
        let Fence { name, owner, commits, .. } = &self.fence;
        if self.live.execute(sql, (commits + 1, name.as_str(), *owner, *commits))? > 0 {
            return Ok(true);
        }
        match standing(&self.live, name)? {
            Some((of, count)) if self.unsure && of == *owner && count == commits + 1 => Ok(false),
            _ => Err(fenced()),
        }
    }

    /// A connection that broke at the commit leaves open whether it happened; the node's count tells, as soon as it can be
    /// asked. Claims and results must not be guessed, so this waits; who sends a message is told to come again.
    fn settle_commit(&mut self, error: Error, group: &mut Group) -> Result<(), Error> {
        if error.kind() != Kind::Lost {
            return Err(error);
        }
        let started = Instant::now();
        loop {
            match self.settled() {
                Ok(Some((owner, _))) if owner != self.fence.owner => return Err(fenced()),
                Ok(Some((_, count))) if count == self.fence.commits + 1 => return Ok(()),
                Ok(Some(_)) => return Err(Error::new(Kind::Busy, "the transaction was lost with its connection")),
                Ok(None) => return Err(fenced()),
                Err(_) if self.inbox.is_closed() => {
                    self.unsure = true;
                    return Err(error);
                }
                Err(_) => super::pause(Duration::from_millis(50)),
            }
            if started.elapsed() > LOST_MAX {
                group.answer_singles(&away());
                self.inbox.refuse_waiting(&away());
            }
        }
    }

    /// Who has the node and how many of its transactions are committed, when none is open any more: the server may still
    /// be about to read the commit of a connection that is gone, which holds the row until then.
    fn settled(&self) -> Result<Option<(i64, i64)>, Error> {
        let connection = self.connection()?;
        connection.begin()?;
        let found = standing(&self.live, &self.fence.name);
        connection.rollback();
        found
    }

    /// Books refunds, account by account in their order, at the end of the transaction. Their causes carry the node and its
    /// count of commits: both last over restarts and steps of the clock, which no number made from the time does.
    fn give_back(&self, refunds: Refunds, now: Timestamp) -> Result<(), Error> {
        let mut by_account: BTreeMap<(i64, u8), Vec<(bongsu_domain::Day, i64)>> = BTreeMap::new();
        for ((day, account, unit), amount) in refunds {
            by_account.entry((account, unit)).or_default().push((day, amount));
        }
        for ((account, unit), days) in by_account {
            for (day, amount) in days {
                let cause = format!("settle:{day}:{}.{}", self.fence.node, self.fence.commits + 1);
                wallet::credit(&self.live, AccountId(account), wallet::unit_of(unit)?, amount, &cause, now)?;
            }
        }
        Ok(())
    }
}

fn away() -> Error {
    Error::new(Kind::Unavailable, "the database is away; send it again with the same idempotency key")
}

fn fenced() -> Error {
    Error::new(Kind::Fenced, "this process lost its node to another: its lease had ended")
}

/// Who has a node, and how many of its transactions are committed; none is open when this is asked within a transaction.
pub(super) fn standing(live: &Db, name: &str) -> Result<Option<(i64, i64)>, Error> {
    let sql = "SELECT owner, commits FROM leases WHERE name = ? /* lock */";
    live.query_row(sql, [name], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}
