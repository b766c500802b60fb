//! The handle that the program works with: every question and every write, each with its limits and errors.

use std::sync::{Arc, Mutex};

use bongsu_domain::{AccountId, Clock, Day, IdGen, Lane, Timestamp};
use tokio::sync::{oneshot, watch};

use crate::accept::{
    self, BatchCommit, IdempotencyKey, MakeAnswer, NewMessage, Refused, Seen, Single, SingleReply, Stage, Staged,
};
use crate::changes::{self, Change};
use crate::claims::{self, Claim, Due, ShareState, Taken};
use crate::error::{Error, Kind};
use crate::files::Layout;
use crate::index::Index;
use crate::lookup::{self, StoredOrphan, UnknownRow};
use crate::metrics::Metrics;
use crate::open::{self, Options};
use crate::query::{self, Filter, Found, FoundPage, Loaded, ParkedRow};
use crate::readers::{Reader, Readers};
use crate::recovery::{self, Policy};
use crate::rows::Run;
use crate::settings;
use crate::sweep;
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
        replica: Option<crate::my::Replica>,
        /// Round trips.
        trips: Arc<std::sync::atomic::AtomicU64>,
        /// How to reach it.
        address: crate::db::mysql::Address,
    },
}

pub(crate) struct Inner {
    pub(crate) place: Place,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) readers: Readers,
    pub(crate) hot: Readers,
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
        let done = self.write_as(false, move |tx| {
            let before = settings::written(tx.live);
            let done = work(tx)?;
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

    /// Accepts one message. Concurrent ones share a commit.
    ///
    /// # Errors
    /// `Unavailable`, `Full`, `ClockBehind`.
    pub async fn accept_one(
        &self,
        account: AccountId,
        lane: Lane,
        message: NewMessage,
        idempotency: Option<IdempotencyKey>,
        answer: MakeAnswer,
    ) -> SingleReply {
        let (reply, receiver) = oneshot::channel();
        let single = Single {
            account,
            lane,
            message,
            idempotency,
            answer: Some(answer),
            status: 202,
            reply: Some(reply),
            outcome: None,
            failed: None,
        };
        self.inner.inbox.put(Job::Single(Box::new(single)), lane == Lane::Auth).map_err(|(_, error)| error)?;
        receiver.await.map_err(|_| Error::new(Kind::Unavailable, "the writer stopped"))?
    }

    /// Writes one slice of a batch; its rows do not exist before [`Store::commit_batch`].
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn stage(&self, stage: Stage) -> Result<Staged, Error> {
        self.write_as(stage.lane == Lane::Auth, move |tx| accept::stage(tx, &stage)).await
    }

    /// Makes a staged batch exist.
    ///
    /// # Errors
    /// As for [`Store::write`]; a refusal is not an error.
    pub async fn commit_batch(&self, batch: BatchCommit) -> Result<Result<(), Refused>, Error> {
        let urgent = batch.slices.iter().all(|s| s.lane == Lane::Auth);
        self.write_as(urgent, move |tx| accept::commit_batch(tx, &batch)).await
    }

    /// Removes what was staged for a batch that is not to be.
    ///
    /// # Errors
    /// As for [`Store::write`]; the sweeper removes it then.
    pub async fn discard(&self, slices: Vec<accept::Slice>) -> Result<(), Error> {
        for slice in slices {
            self.write_as(false, move |tx| accept::discard(tx, &[(slice.first, slice.count)])).await?;
        }
        Ok(())
    }

    /// What is stored under an idempotency key.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn seen(&self, key: IdempotencyKey) -> Result<Option<Seen>, Error> {
        let now_ms = self.inner.clock.now().millis();
        self.read(move |reader| accept::seen(&reader.live, &key, now_ms)).await
    }

    /// Writes claims; each holds or not by itself.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn claim(&self, urgent: bool, claims: Vec<Claim>, states: Vec<ShareState>) -> Result<Vec<Taken>, Error> {
        let taken = self.write_as(urgent, move |tx| claims::write(tx, &claims, &states)).await;
        crate::faults::point("after-claim");
        taken
    }

    /// Writes what happened to attempts.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn apply(&self, changes: Vec<Change>) -> Result<Vec<bool>, Error> {
        self.write_as(false, move |tx| changes::apply(tx, &changes)).await
    }

    /// Waiting runs of a lane and account above an id, oldest first.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn waiting_runs(
        &self,
        lane: Lane,
        account: AccountId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Run>, Error> {
        self.inner.hot.read(move |reader| claims::waiting_runs(&reader.live, lane, account, after, limit)).await
    }

    /// Accounts with waiting runs in a lane, above `after`.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn waiting_accounts(&self, lane: Lane, after: AccountId, limit: u32) -> Result<Vec<AccountId>, Error> {
        self.inner.hot.read(move |reader| claims::waiting_accounts(&reader.live, lane, after, limit)).await
    }

    /// One run by its first id.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn run(&self, first: i64) -> Result<Option<Run>, Error> {
        self.inner
            .hot
            .read(move |reader| Ok(crate::rows::run_of(&reader.live, first)?.filter(|r| r.first == first)))
            .await
    }

    /// Accept times of the oldest waiting message of each lane.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn oldest_waiting(&self) -> Result<Vec<(Lane, Timestamp)>, Error> {
        self.read(|reader| claims::oldest_waiting(&reader.live)).await
    }

    /// What is due by now in a part.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn due(&self, now: Timestamp, part: claims::Part, limit: u32) -> Result<Vec<Due>, Error> {
        self.inner.hot.read(move |reader| claims::due(&reader.live, now.millis(), part, limit)).await
    }

    /// Rows of a run with their texts.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn load_run(&self, run: Run, from: u32, count: u32) -> Result<Loaded, Error> {
        self.inner.hot.read(move |reader| query::load_run(reader, &run, from, count)).await
    }

    /// Rows of single messages with their texts.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn load_ids(&self, ids: Vec<i64>) -> Result<Loaded, Error> {
        self.inner.hot.read(move |reader| query::load_ids(reader, &ids)).await
    }

    /// Finds what memory no longer knows about receipts.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn look<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Look<'_>) -> Result<T, Error> + Send + 'static,
    {
        self.inner.hot.read(move |reader| work(&mut Look { reader })).await
    }

    /// Settles claims that an earlier life of this process left, a few at a time. Answers how many.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn settle_claims(&self, policy: Arc<Policy>, limit: u32) -> Result<usize, Error> {
        #[cfg(feature = "mysql")]
        let lease = self.leases().map(crate::my::Leases::lease);
        self.write_as(false, move |tx| {
            #[cfg(feature = "mysql")]
            if let Some(lease) = lease {
                let alive = crate::my::fence_dead(tx.live, lease)?;
                return recovery::settle_claims(tx, &policy, &alive, limit);
            }
            recovery::settle_claims(tx, &policy, &[], limit)
        })
        .await
    }

    /// Orphans after a number, for the start.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn orphans(&self, after: i64, limit: u32) -> Result<Vec<StoredOrphan>, Error> {
        self.read(move |reader| lookup::orphans(&reader.live, after, limit)).await
    }

    /// Cancels a waiting message of an account (or of any).
    ///
    /// # Errors
    /// `NotFound`; `Conflict("sent")` when it is too late.
    pub async fn cancel(&self, account: Option<AccountId>, id: i64) -> Result<(), Error> {
        let done = self.write_as(false, move |tx| sweep::cancel(tx, account, id)).await;
        if let Some(account) = account {
            self.wrote(account);
        }
        done
    }

    /// Ends waiting messages that are worthless by now. Answers how many.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn expire_waiting(&self, runs_max: u32) -> Result<u32, Error> {
        let now = self.inner.clock.now();
        let runs = self.read(move |reader| sweep::overdue_runs(&reader.live, now, runs_max)).await?;
        let mut ended = 0;
        for first in runs {
            ended += self.write_as(false, move |tx| sweep::expire_run(tx, first)).await?;
        }
        Ok(ended)
    }

    /// Removes keys, orphans and staged rows that are over their time. Answers how many.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn clean(&self, orphans_before: Timestamp, staged_before: Timestamp) -> Result<usize, Error> {
        let from = *self.cleaned_to();
        let slices = match &self.inner.place {
            Place::Files { layout, .. } => {
                let layout = layout.clone();
                self.read(move |reader| recovery::orphan_slices(&layout, &reader.live, from, staged_before)).await?
            }
            #[cfg(feature = "mysql")]
            Place::Database { .. } => {
                self.read(move |reader| crate::my::orphan_slices(&reader.live, from, staged_before)).await?
            }
        };
        let mut gone = slices.len();
        for slice in slices {
            self.write_as(false, move |tx| recovery::discard(tx, &[slice])).await?;
        }
        *self.cleaned_to() = from.max(staged_before);
        gone += self.write_as(false, move |tx| sweep::clean(tx, orphans_before)).await?;
        Ok(gone)
    }

    fn cleaned_to(&self) -> std::sync::MutexGuard<'_, Timestamp> {
        self.inner.cleaned_to.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Drops the days before `keep_from`: small rows first, then the files are unlinked. Answers the days that went.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn retire_days(&self, keep_from: Day) -> Result<Vec<Day>, Error> {
        let days = match &self.inner.place {
            Place::Files { layout, .. } => layout.days()?,
            #[cfg(feature = "mysql")]
            Place::Database { .. } => self.read(|reader| crate::my::days(&reader.live)).await?,
        };
        let mut gone = Vec::new();
        for day in days.into_iter().filter(|day| *day < keep_from) {
            while !self.write_as(false, move |tx| sweep::retire(tx, day)).await? {}
            self.drop_day(day).await?;
            gone.push(day);
        }
        if !gone.is_empty() {
            // A file that somebody has open keeps its place on the disk.
            self.inner.readers.forget_days();
            self.inner.hot.forget_days();
        }
        Ok(gone)
    }

    async fn drop_day(&self, day: Day) -> Result<(), Error> {
        match &self.inner.place {
            Place::Files { layout, .. } => remove_files(layout, day),
            #[cfg(feature = "mysql")]
            Place::Database { .. } => self.aside(move |db| crate::my::drop_day(db, day)).await,
        }
    }

    /// Makes room for the history of the next days, where that is done ahead of time.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn prepare_days(&self) -> Result<(), Error> {
        match &self.inner.place {
            Place::Files { .. } => Ok(()),
            #[cfg(feature = "mysql")]
            Place::Database { .. } => {
                let now = self.inner.clock.now();
                self.aside(move |db| crate::my::keep_partitions(db, now)).await
            }
        }
    }

    /// Works on a connection of its own, beside writer and readers: changes of the schema wait for others.
    #[cfg(feature = "mysql")]
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&crate::db::Db) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let Place::Database { address, .. } = &self.inner.place else {
            return Err(Error::new(Kind::Unavailable, "there is no database"));
        };
        let address = address.clone();
        let (reply, done) = oneshot::channel();
        std::thread::Builder::new().name("store-aside".into()).spawn(move || {
            let db = crate::db::mysql::Conn::new(address, None).map(crate::db::Db::from);
            // Who asked may have gone.
            let _ = reply.send(db.and_then(|db| work(&db)));
        })?;
        done.await.map_err(|_| Error::new(Kind::Unavailable, "the work aside ended early"))?
    }

    /// What this process holds of what several share; `None` on the embedded store, which belongs to one process.
    #[cfg(feature = "mysql")]
    pub fn leases(&self) -> Option<&crate::my::Leases> {
        match &self.inner.place {
            Place::Files { .. } => None,
            Place::Database { leases, .. } => leases.as_ref(),
        }
    }

    #[cfg(feature = "mysql")]
    pub(crate) fn replica(&self) -> Option<&crate::my::Replica> {
        match &self.inner.place {
            Place::Database { replica, .. } => replica.as_ref(),
            Place::Files { .. } => None,
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

    /// One message of an account (or of any) with its attempts.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn message(&self, account: Option<AccountId>, id: i64) -> Result<Option<Found>, Error> {
        self.history(account, move |reader| query::one(reader, account, id)).await
    }

    fn search(&self) -> query::Search {
        match &self.inner.place {
            Place::Files { index, .. } => query::Search::Index(index.clone()),
            #[cfg(feature = "mysql")]
            Place::Database { .. } => query::Search::Tables,
        }
    }

    /// Reads history: on a replica where there is one that has everything the account wrote.
    async fn history<T, F>(&self, account: Option<AccountId>, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(&mut Reader) -> Result<T, Error> + Send + Sync + 'static,
    {
        #[cfg(feature = "mysql")]
        if let (Place::Database { replica: Some(replica), .. }, Some(account)) = (&self.inner.place, account) {
            let last = self.read(move |reader| claims::last_accept(&reader.live, account)).await?;
            if replica.serves(account, last, self.inner.clock.now()).await {
                let work = Arc::new(work);
                let there = work.clone();
                match replica.readers().read(move |reader| there(reader)).await {
                    Err(error) if error.kind() == Kind::Unavailable || error.kind() == Kind::Lost => replica.is_away(),
                    answered => {
                        self.inner.metrics.replica_reads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        return answered;
                    }
                }
                return self.read(move |reader| work(reader)).await;
            }
        }
        let _ = account;
        self.read(work).await
    }

    /// An account wrote something else than a message: for a while it reads where that is.
    pub fn wrote(&self, account: AccountId) {
        #[cfg(feature = "mysql")]
        if let Place::Database { replica: Some(replica), .. } = &self.inner.place {
            replica.wrote(account);
        }
        let _ = account;
    }

    /// A page of messages.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn page(&self, filter: Filter) -> Result<FoundPage, Error> {
        let search = self.search();
        let account = filter.account;
        self.history(account, move |reader| query::page(reader, &search, &filter)).await
    }

    /// Attempts that are or were unknown, newest first.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn unknown_attempts(
        &self,
        account: Option<AccountId>,
        below: (i64, u8),
        limit: u32,
    ) -> Result<Vec<UnknownRow>, Error> {
        self.read(move |reader| lookup::unknown_page(&reader.live, account, below, limit)).await
    }

    /// Attempts whose fate is unknown now.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn unknown_open(&self) -> Result<u64, Error> {
        self.read(|reader| {
            let mut open = reader.live.prepare_cached("SELECT COUNT(*) FROM unknown_attempts WHERE resolved = 0")?;
            Ok(open.query_row((), |row| row.get::<i64>(0))?.unsigned_abs())
        })
        .await
    }

    /// Messages that cannot be processed, newest first.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn parked(&self, account: Option<AccountId>, below: i64, limit: u32) -> Result<Vec<ParkedRow>, Error> {
        self.read(move |reader| query::parked(reader, account, below, limit)).await
    }

    /// Puts a parked message back into the line.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn replay(&self, account: Option<AccountId>, id: i64) -> Result<(), Error> {
        self.write_as(false, move |tx| query::replay(tx, account, id)).await
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
    }
}

fn remove_files(layout: &Layout, day: Day) -> Result<(), Error> {
    for path in [layout.day(day), layout.index(day)] {
        for suffix in ["", "-wal", "-shm"] {
            let mut name = path.clone().into_os_string();
            name.push(suffix);
            match std::fs::remove_file(&name) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Look-ups of the receipt path.
pub struct Look<'a> {
    reader: &'a mut Reader,
}

impl Look<'_> {
    /// Spilled parts with a relay's id, newest message first.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn submits(&mut self, relay: u8, relay_id: &str) -> Result<Vec<changes::Submit>, Error> {
        lookup::submits(&self.reader.live, relay, relay_id)
    }

    /// Spilled parts whose deadline has passed.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn overdue(&mut self, now: Timestamp, limit: u32) -> Result<Vec<changes::Submit>, Error> {
        lookup::overdue(&self.reader.live, now.millis(), limit)
    }

    /// The unknown attempt a receipt belongs to.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn unknown(&mut self, relay: u8, recipient: i64, reference: Option<u16>) -> Result<Option<UnknownRow>, Error> {
        lookup::unknown(&self.reader.live, relay, recipient, reference)
    }

    /// Orphans of a relay for one recipient.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn orphans_for(&mut self, relay: u8, recipient: i64) -> Result<Vec<StoredOrphan>, Error> {
        lookup::orphans_for(&self.reader.live, relay, recipient)
    }

    /// A message row.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn row(&mut self, id: i64) -> Result<Option<crate::rows::MessageRow>, Error> {
        Ok(self.reader.message(id)?.map(|(row, _)| row))
    }
}
