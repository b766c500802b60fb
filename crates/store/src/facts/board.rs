//! What this process knows of written facts: which file has slices up to where, what is shown, and who waits for more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bongsu_domain::id::first_id_at;
use bongsu_domain::{Day, Timestamp};
use tokio::sync::watch;

use super::SLICE_MAX;

/// Where a slice is: the file of a day, or the live file.
pub(crate) type Where = Option<Day>;

/// Shared by the writer and the readers of one store.
#[derive(Debug)]
pub(crate) struct Board {
    /// Slices up to this number are shown: their group commit is done.
    shown: AtomicI64,
    /// The newest slice of each file.
    newest: Mutex<BTreeMap<Where, i64>>,
    told: watch::Sender<u64>,
}

impl Default for Board {
    fn default() -> Self {
        Self { shown: AtomicI64::new(0), newest: Mutex::default(), told: watch::channel(0).0 }
    }
}

impl Board {
    fn newest(&self) -> MutexGuard<'_, BTreeMap<Where, i64>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file's commit wrote slices up to a number.
    pub(crate) fn wrote(&self, at: Where, no: i64) {
        let mut newest = self.newest();
        let known = newest.entry(at).or_default();
        *known = no.max(*known);
    }

    /// A group commit is done: all that was written is shown.
    pub(crate) fn show(&self) {
        let newest = self.last();
        if self.shown.fetch_max(newest, Ordering::AcqRel) < newest {
            self.tell();
        }
    }

    /// Facts were committed.
    pub(crate) fn tell(&self) {
        self.told.send_modify(|count| *count += 1);
    }

    /// The newest slice of all files.
    pub(crate) fn last(&self) -> i64 {
        self.newest().values().copied().max().unwrap_or(0)
    }

    /// The newest slice that is shown.
    pub(crate) fn shown(&self) -> i64 {
        self.shown.load(Ordering::Acquire)
    }

    /// The files that have slices from a number on.
    pub(crate) fn files_from(&self, no: i64) -> Vec<Where> {
        self.newest().iter().filter(|(_, newest)| **newest >= no).map(|(at, _)| *at).collect()
    }

    /// Days whose slices are all below a number.
    pub(crate) fn days_below(&self, no: i64) -> Vec<Day> {
        self.newest().iter().filter(|(_, newest)| (1..no).contains(*newest)).filter_map(|(at, _)| *at).collect()
    }

    /// A day has no slices any more, or no file.
    pub(crate) fn forget(&self, day: Day) {
        // What was shown stays the mark below which no number is given again.
        let mut newest = self.newest();
        if let Some(no) = newest.remove(&Some(day)) {
            let live = newest.entry(None).or_default();
            *live = no.max(*live);
        }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.told.subscribe()
    }
}

/// The number after `last`: never below the moment, so that no number comes again when all slices are gone.
pub(crate) fn number_after(last: i64, now: Timestamp) -> i64 {
    (last + 1).max(number_at(now))
}

/// The lowest number of a moment.
pub(crate) fn number_at(at: Timestamp) -> i64 {
    first_id_at(at) / i64::from(SLICE_MAX)
}
