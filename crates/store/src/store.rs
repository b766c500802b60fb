//! The handle that the program works with: every question and every write, each with its limits and errors.

mod accepts;
mod dispatch;
mod facts;
mod groups;
mod history;
mod upkeep;

use std::sync::{Arc, Mutex};

use bongsu_domain::{Clock, IdGen, Timestamp};
use tokio::sync::watch;

pub use dispatch::Look;
pub use groups::GroupAnswer;

use crate::audit_log;
use crate::error::{Error, Kind};
use crate::files::Layout;
use crate::index::Index;
use crate::metrics::Metrics;
use crate::open::{self, Options};
use crate::readers::{Reader, Readers};
use crate::rows::Run;
use crate::settings;
use crate::tx::{self, Tx};
use crate::vault::Vault;
use crate::writer::{self, Inbox, Job};

/// Who is told about new runs.
pub(crate) type RunSink = Box<dyn Fn(&[Run]) + Send + Sync>;

/// Where the truth lies.
pub(crate) enum Place {
    /// Files of this process alone.
    Files {
        /// Where they are.
        layout: Layout,
        /// Search keys.
        index: Arc<Index>,
    },
    /// One database of several processes.
    #[cfg(feature = "mysql")]
    Database {
        /// What this process holds; none for one that only reads.
        leases: Option<crate::my::Leases>,
        /// Where history is read.
        replica: Option<Box<crate::my::Replica>>,
        /// Round trips.
        trips: Arc<std::sync::atomic::AtomicU64>,
        /// How to reach it.
        address: Box<crate::db::mysql::Address>,
    },
}

pub(crate) struct Inner {
    pub(crate) place: Place,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) readers: Readers,
    pub(crate) hot: Readers,
    /// What of the recorded facts is shown.
    pub(crate) facts: Arc<crate::facts::Board>,
    /// Gives events their numbers, where that comes after the commit.
    pub(crate) numberer: Option<Readers>,
    /// Sets of billCode and labels.
    pub(crate) sets: Arc<crate::facts::Sets>,
    pub(crate) ids: Arc<Mutex<IdGen>>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) failed: watch::Receiver<Option<String>>,
    pub(crate) admin_cache: Arc<crate::keys::Cache>,
    /// Slices staged before are accepted, or gone.
    pub(crate) cleaned_to: Mutex<Timestamp>,
    pub(crate) settings: settings::Settings,
    pub(crate) runs: Arc<std::sync::OnceLock<RunSink>>,
    pub(crate) threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
    pub(crate) lock: Mutex<Option<std::fs::File>>,
}

/// The truth of one installation.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

impl Store {
    /// Opens a data directory, for this process alone.
    ///
    /// # Errors
    /// `InUse` when another process has it; `Corrupt` when data is there but its key is not.
    pub fn open(options: Options) -> Result<Self, Error> {
        #[cfg(feature = "mysql")]
        if let Some(database) = options.database.clone() {
            return crate::my::open(options, &database);
        }
        open::open(options)
    }

    /// Opens a directory for reading only, beside the process that has it.
    ///
    /// # Errors
    /// `NotFound` when there is no store; `Corrupt` when its key is missing.
    pub fn open_reading(options: Options) -> Result<Self, Error> {
        #[cfg(feature = "mysql")]
        if let Some(database) = options.database.clone() {
            return crate::my::open_reading(options, &database);
        }
        open::open_reading(options)
    }

    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// Seals and hashes personal data.
    pub fn vault(&self) -> &Arc<Vault> {
        &self.inner.vault
    }

    /// Keys looked up lately.
    pub(crate) fn admin_cache(&self) -> &Arc<crate::keys::Cache> {
        &self.inner.admin_cache
    }

    /// Wall time, as the store sees it.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// Counters.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// One id.
    ///
    /// # Errors
    /// `ClockBehind`.
    pub fn new_id(&self) -> Result<i64, Error> {
        tx::block(&self.inner.ids, self.inner.clock.now(), 1)
    }

    /// Changes settings, in the next group commit. `Err` undoes only this unit; `Ok` is answered once it is durable.
    ///
    /// # Errors
    /// Those of `work`; `Unavailable`, `Full` or `Broken` when the commit failed.
    pub async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
    {
        let mut work = work;
        let note = audit_log::open_note();
        let done = self.write_as(false, move |tx| {
            let before = settings::written(tx.live);
            let done = work(tx)?;
            if let Some(note) = &note {
                note.write(tx)?;
            }
            Ok((done, settings::raise(tx, before)?))
        });
        let done = done.await;
        self.inner.settings.wrote(done.as_ref().ok().and_then(|(_, mark)| *mark));
        done.map(|(done, _)| done)
    }

    pub(crate) fn settings(&self) -> &settings::Settings {
        &self.inner.settings
    }

    /// Whether several processes may have this store at once.
    pub fn is_shared(&self) -> bool {
        !matches!(self.inner.place, Place::Files { .. })
    }

    /// Tells about runs as they come to exist; set once, before the first accept.
    pub fn on_runs(&self, sink: impl Fn(&[Run]) + Send + Sync + 'static) {
        // A second sink would be a second dispatcher; the first one stays.
        let _ = self.inner.runs.set(Box::new(sink));
    }

    pub(crate) async fn write_as<T, F>(&self, urgent: bool, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
    {
        let (unit, reply) = writer::call(work);
        self.inner.inbox.put(Job::Unit(unit), urgent).map_err(|(_, error)| error)?;
        reply.await.map_err(|_| Error::new(Kind::Unavailable, "the writer stopped"))?
    }

    /// Reads on a reading thread, at most a second.
    ///
    /// # Errors
    /// Those of `work`; `Unavailable` when too many wait or it took too long.
    pub async fn read<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Reader) -> Result<T, Error> + Send + 'static,
    {
        self.inner.readers.read(work).await
    }

    /// What this process holds of what several share; `None` on the embedded store, which belongs to one process.
    #[cfg(feature = "mysql")]
    pub fn leases(&self) -> Option<&crate::my::Leases> {
        match &self.inner.place {
            Place::Files { .. } => None,
            Place::Database { leases, .. } => leases.as_ref(),
        }
    }

    /// Round trips to the database so far.
    pub fn round_trips(&self) -> u64 {
        match &self.inner.place {
            Place::Files { .. } => 0,
            #[cfg(feature = "mysql")]
            Place::Database { trips, .. } => trips.load(std::sync::atomic::Ordering::Relaxed),
        }
    }

    /// Holds all writes, or lets them go: for tests of what callers see meanwhile.
    pub fn hold_writes(&self, held: bool) {
        self.inner.inbox.hold(held);
    }

    /// Waits until a file could not be written or synced; says why. The process has to stop then.
    pub async fn failed(&self) -> String {
        let mut failed = self.inner.failed.clone();
        loop {
            if let Some(reason) = failed.borrow_and_update().clone() {
                return reason;
            }
            if failed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Stops as a process does that is killed: nothing is freed. For tests of what others do then.
    #[cfg(feature = "mysql")]
    #[doc(hidden)]
    pub fn abandon(&self) {
        if let Some(leases) = self.leases() {
            leases.abandon();
        }
        self.close();
    }

    /// Writes what waits, stops the threads and gives the directory free.
    pub fn close(&self) {
        self.inner.inbox.close();
        self.inner.readers.close();
        self.inner.hot.close();
        self.inner.numberer.iter().for_each(Readers::close);
        #[cfg(feature = "mysql")]
        if let Place::Database { replica: Some(replica), .. } = &self.inner.place {
            replica.close();
        }
        let threads = self.inner.threads.lock().map(|mut t| std::mem::take(&mut *t)).unwrap_or_default();
        for thread in threads {
            // A thread that panicked has said so on stderr.
            let _ = thread.join();
        }
        #[cfg(feature = "mysql")]
        if let Some(leases) = self.leases() {
            leases.close();
        }
        if let Ok(mut lock) = self.inner.lock.lock() {
            lock.take();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.inbox.close();
        self.readers.close();
        self.hot.close();
        self.numberer.iter().for_each(Readers::close);
    }
}
