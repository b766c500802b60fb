//! The one writer: gathers what waits, runs it as one commit sized by time, and answers when it is durable.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bongsu_domain::{Clock, Timestamp};
use tokio::sync::oneshot;

use crate::accept::{self, Single};
use crate::error::{Error, Kind};
use crate::metrics::Metrics;
use crate::tx::{Files, Tx, ended};

/// How long units are gathered into one commit. `auth` units go first into the next one.
const GROUP_TIME: Duration = Duration::from_millis(4);
/// Single messages of one commit: they are written after all were gathered, so time alone does not bound them.
const SINGLES_MAX: usize = 500;
/// Units that may wait; more are refused as `Unavailable`.
const WAITING_MAX: usize = 50_000;
/// Savepoint around a unit of which the rest of the group must not suffer.
const SAVEPOINT: &str = "SAVEPOINT unit";

/// Something that becomes part of a group commit.
pub(crate) trait Unit: Send {
    /// Does the work inside the open transaction; again when the transaction has to be run again. An error undoes only this unit's changes to the live file; a unit must
    /// not touch a day file before everything that may refuse it is behind it.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Error>;
    /// Called when the commit is durable, or failed.
    fn done(self: Box<Self>, committed: Result<(), Error>);
}

/// What waits for the writer.
pub(crate) enum Job {
    /// A single message; those of one commit are written together, sorted by lane and account.
    Single(Box<Single>),
    /// Anything else.
    Unit(Box<dyn Unit>),
}

#[derive(Default)]
struct Waiting {
    urgent: VecDeque<Job>,
    normal: VecDeque<Job>,
    closed: bool,
    held: bool,
}

/// The hand-over between callers and the writer thread.
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    ready: Condvar,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Self { waiting: Mutex::new(Waiting::default()), ready: Condvar::new() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Puts a job in line; gives it back when the line is full or closed.
    pub(crate) fn put(&self, job: Job, urgent: bool) -> Result<(), (Job, Error)> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err((job, Error::new(Kind::Unavailable, "the store is closed")));
        }
        if waiting.urgent.len() + waiting.normal.len() >= WAITING_MAX {
            return Err((job, Error::new(Kind::Unavailable, "too many writes wait")));
        }
        if urgent {
            waiting.urgent.push_back(job)
        } else {
            waiting.normal.push_back(job)
        }
        self.ready.notify_one();
        Ok(())
    }

    /// Ends the writer after what already waits.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_one();
    }

    /// Whether nothing more is taken.
    #[cfg(feature = "mysql")]
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Answers everything that waits with an error.
    pub(crate) fn refuse_waiting(&self, error: &Error) {
        let jobs: Vec<Job> = {
            let mut waiting = self.lock();
            let urgent = std::mem::take(&mut waiting.urgent);
            urgent.into_iter().chain(std::mem::take(&mut waiting.normal)).collect()
        };
        for job in jobs {
            match job {
                Job::Single(single) => single.done(Err(error.clone())),
                Job::Unit(unit) => unit.done(Err(error.clone())),
            }
        }
    }

    /// Holds the writer before its next commit, or lets it go: the fault wrapper of tests.
    pub(crate) fn hold(&self, held: bool) {
        self.lock().held = held;
        self.ready.notify_one();
    }

    /// Waits for the first job; `None` when closed and empty.
    pub(crate) fn first(&self) -> Option<Job> {
        let mut waiting = self.lock();
        loop {
            if !waiting.held {
                if let Some(job) = waiting.urgent.pop_front().or_else(|| waiting.normal.pop_front()) {
                    return Some(job);
                }
                if waiting.closed {
                    return None;
                }
            }
            waiting = self.ready.wait(waiting).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    pub(crate) fn next(&self) -> Option<Job> {
        let mut waiting = self.lock();
        waiting.urgent.pop_front().or_else(|| waiting.normal.pop_front())
    }
}

/// A closure as a unit.
struct Call<F, T> {
    work: F,
    result: Option<Result<T, Error>>,
    reply: Option<oneshot::Sender<Result<T, Error>>>,
}

impl<F, T> Unit for Call<F, T>
where
    F: FnMut(&mut Tx<'_>) -> Result<T, Error> + Send,
    T: Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let result = (self.work)(tx);
        let outcome = result.as_ref().map(|_| ()).map_err(Clone::clone);
        self.result = Some(result);
        outcome
    }

    fn done(mut self: Box<Self>, committed: Result<(), Error>) {
        let result = match (committed, self.result.take()) {
            (Ok(()), Some(result)) | (Err(_), Some(result @ Err(_))) => result,
            (Err(error), _) => Err(error),
            (Ok(()), None) => Err(Error::new(Kind::Unavailable, "the unit did not run")),
        };
        if let Some(reply) = self.reply.take() {
            // The caller may have gone; the write stands all the same.
            let _ = reply.send(result.map_err(Error::for_callers));
        }
    }
}

/// Wraps a closure; the receiver gets its result once it is durable.
pub(crate) fn call<T, F>(work: F) -> (Box<dyn Unit>, oneshot::Receiver<Result<T, Error>>)
where
    F: FnMut(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
    T: Send + 'static,
{
    let (reply, receiver) = oneshot::channel();
    (Box::new(Call { work, result: None, reply: Some(reply) }), receiver)
}

/// The writer thread.
pub(crate) struct Writer {
    pub(crate) files: Files,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) fatal: tokio::sync::watch::Sender<Option<String>>,
    pub(crate) after_commit: Box<dyn Fn(&mut Files) + Send>,
}

impl Writer {
    /// Runs until the inbox is closed, or an fsync failed: repeating one lies, so the process has to stop.
    pub(crate) fn run(mut self) {
        while let Some(job) = self.inbox.first() {
            let started = Instant::now();
            let mut group = Group::default();
            let committed = self.gather(job, started, &mut group);
            self.metrics.commit(started.elapsed(), group.len());
            (self.after_commit)(&mut self.files);
            let fatal = committed.as_ref().err().filter(|e| e.kind() == Kind::Broken).map(ToString::to_string);
            group.answer(committed);
            if let Some(reason) = fatal {
                self.inbox.close();
                self.inbox.refuse_waiting(&Error::new(Kind::Unavailable, "the storage failed; the process stops"));
                let _ = self.fatal.send(Some(reason));
                return;
            }
        }
    }

    fn gather(&mut self, first: Job, started: Instant, group: &mut Group) -> Result<(), Error> {
        let now = self.clock.now();
        let mut outcome = self.files.begin(now).map(|_| ());
        let mut next = Some(first);
        while let Some(job) = next.take() {
            match job {
                Job::Single(single) => group.singles.push(single),
                Job::Unit(mut unit) => {
                    let before = self.files.days.written();
                    let ran = outcome.clone().and_then(|()| self.run_unit(unit.as_mut(), now));
                    if let Err(error) = &ran
                        && outcome.is_ok()
                        && (ended(&self.files.live) || self.files.days.written() != before)
                    {
                        outcome = Err(undone(error));
                    }
                    group.units.push((unit, ran));
                }
            }
            if outcome.is_ok() && started.elapsed() < GROUP_TIME && group.singles.len() < SINGLES_MAX {
                next = self.inbox.next();
            }
        }
        let outcome = outcome
            .and_then(|()| accept::write_singles(&mut self.files.tx(now), &mut group.singles))
            .and_then(|()| self.files.commit(now));
        if outcome.is_err() {
            self.files.rollback();
        }
        outcome
    }

    fn run_unit(&mut self, unit: &mut dyn Unit, now: Timestamp) -> Result<(), Error> {
        self.files.live.execute(SAVEPOINT, ())?;
        let (runs, mark) = (self.files.fresh.len(), self.files.news.mark());
        let ran = unit.run(&mut self.files.tx(now));
        if ran.is_err() {
            self.files.fresh.truncate(runs);
            self.files.news.undo(mark);
            self.files.days.forget_standing();
        }
        if !ended(&self.files.live) {
            if ran.is_err() {
                self.files.live.execute("ROLLBACK TO unit", ())?;
            }
            self.files.live.execute("RELEASE unit", ())?;
        }
        ran
    }
}

/// What the neighbours of a unit are told that cannot be undone alone: it ended the transaction of a file (a full disk, a
/// broken one), or failed with a day file half written, of which nothing may stand.
fn undone(error: &Error) -> Error {
    match error.kind() {
        Kind::Full | Kind::Broken | Kind::Corrupt => error.clone(),
        _ => Error::new(Kind::Unavailable, format!("the commit was undone: {error}")),
    }
}

/// The jobs of one commit.
#[derive(Default)]
pub(crate) struct Group {
    #[allow(clippy::vec_box, reason = "they come boxed through the line, and are sorted")]
    pub(crate) singles: Vec<Box<Single>>,
    pub(crate) units: Vec<(Box<dyn Unit>, Result<(), Error>)>,
}

impl Group {
    pub(crate) fn len(&self) -> usize {
        self.singles.len() + self.units.len()
    }

    /// Answers the single messages, whatever becomes of the commit.
    #[cfg(feature = "mysql")]
    pub(crate) fn answer_singles(&mut self, error: &Error) {
        for single in &mut self.singles {
            single.answer_now(Err(error.clone()));
        }
    }

    /// Forgets the single messages whose callers were told to come again: they must not be written behind their backs.
    #[cfg(feature = "mysql")]
    pub(crate) fn drop_answered(&mut self) {
        self.singles.retain(|single| single.reply.is_some());
    }

    pub(crate) fn answer(self, committed: Result<(), Error>) {
        let committed = committed.map_err(Error::for_callers);
        for single in self.singles {
            single.done(committed.clone());
        }
        for (unit, ran) in self.units {
            unit.done(if ran.is_err() { Ok(()) } else { committed.clone() });
        }
    }
}
