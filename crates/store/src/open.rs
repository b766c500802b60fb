//! Opening a data directory: lock, key file, schema, what a crash left, and the threads.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bongsu_domain::{Clock, Day, IdGen, Timestamp};
use rusqlite::Connection;

use crate::db::Db;
use crate::error::{Error, Kind};
use crate::facts;
use crate::files::{self, Layout};
use crate::index::{DAYS_IN_MEMORY, Index};
use crate::keys;
use crate::metrics::Metrics;
use crate::migrate;
use crate::readers::{Reader, Readers};
use crate::recovery;
use crate::store::{Inner, Place, RunSink, Store};
use crate::tx::{Days, Files};
use crate::vault::{self, Vault};
use crate::wal::Wal;
use crate::writer::{Inbox, Writer};

/// Reading threads for callers.
const READERS: usize = 2;
/// Pages of a log from which it is checkpointed beside the writer.
const CHECKPOINT_PAGES: u64 = 2_000;
/// Pages of a log at which the writer itself waits for the checkpoint, so that a log cannot grow without end.
const CHECKPOINT_PAGES_MAX: u64 = 32_000;
/// How far before the last id unclaimed slices are looked for at a start.
const STAGED_LOOK_BACK: Duration = Duration::from_secs(25 * 3600);

/// How a data directory is opened.
pub struct Options {
    /// The data directory; made when it is not there.
    pub directory: PathBuf,
    /// The key file; `DIR/keys` when not set.
    pub key_file: Option<PathBuf>,
    /// Number of this node, 0 to 1023.
    pub node: u16,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Limit of each database file in pages of 4 KiB: a stand-in for a disk that fills up.
    pub pages_max: Option<u32>,
    /// The database, where the store is not in files; the directory then only has the key file.
    #[cfg(feature = "mysql")]
    pub database: Option<crate::my::Mysql>,
}

impl Options {
    /// Defaults for a directory.
    pub fn new(directory: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self {
            directory: directory.into(),
            key_file: None,
            node: 0,
            clock,
            pages_max: None,
            #[cfg(feature = "mysql")]
            database: None,
        }
    }
}

/// Opens the store.
///
/// # Errors
/// `InUse` when another process has the directory; `Corrupt` when data is there but its key is not.
pub(crate) fn open(options: Options) -> Result<Store, Error> {
    std::fs::create_dir_all(&options.directory)?;
    let layout = Layout::new(&options.directory);
    let lock = files::lock(&layout)?;
    let fresh = !layout.live().exists();
    let key_file = options.key_file.clone().unwrap_or_else(|| options.directory.join("keys"));
    let vault = Arc::new(Vault::open_or_create(&key_file, fresh)?);
    let mut live = files::open_writer(&layout.live(), migrate::LIVE)?;
    if let Some(pages) = options.pages_max {
        live.pragma_update(None, "max_page_count", pages)?;
    }
    let wal = Wal::watch(&mut live)?;
    let live = Db::from(live);
    vault::check(&live, &vault)?;
    sync_directory(&options.directory)?;
    for day in layout.days()? {
        files::complete(&layout.day(day), migrate::DAY)?;
        files::complete(&layout.index(day), migrate::INDEX)?;
    }
    let index = Arc::new(Index::new(layout.clone()));
    let ids = Arc::new(Mutex::new(resume_ids(&layout, &live, options.node)?));
    let board: Arc<facts::Board> = Arc::default();
    let mut days = Days::new(layout.clone(), index.clone(), options.pages_max);
    let now = options.clock.now();
    let all = layout.days()?;
    let (old, recent) = all.split_at(all.len().saturating_sub(DAYS_IN_MEMORY));
    newest_slice(&board, None, &live)?;
    for day in recent {
        newest_slice(&board, Some(*day), &days.peek(*day)?.db)?;
        if let Some(messages) = days.peek(*day)?.db.lite() {
            index.rebuild(*day, messages)?;
        }
    }
    for day in old {
        let messages = Db::from(files::open_writer(&layout.day(*day), migrate::DAY)?);
        newest_slice(&board, Some(*day), &messages)?;
        if let Some(messages) = messages.lite() {
            index.rebuild_to_end(*day, messages)?;
        }
    }
    board.show();
    let since = now.minus(STAGED_LOOK_BACK);
    let staged = recovery::orphan_slices(&layout, &live, since, Timestamp::MAX)?;
    // Starts with an empty log, so that the first commits are short.
    live.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?;
    let mut files = Files::new(live, wal, days, ids.clone(), board);
    let mut tx = files.begin(now)?;
    recovery::discard(&mut tx, &staged)?;
    files.commit(now)?;
    start(options, layout, files, index, ids, vault, lock)
}

/// Opens a directory for reading only, beside the process that has it. Writes are refused as `Unavailable`.
///
/// # Errors
/// `NotFound` when there is no store; `Corrupt` when its key is missing.
pub(crate) fn open_reading(options: Options) -> Result<Store, Error> {
    let layout = Layout::new(&options.directory);
    if !layout.live().exists() {
        return Err(Error::new(Kind::NotFound, format!("no store in {}", options.directory.display())));
    }
    let key_file = options.key_file.clone().unwrap_or_else(|| options.directory.join("keys"));
    let vault = Arc::new(Vault::open_or_create(&key_file, false)?);
    let inbox = Arc::new(Inbox::new());
    inbox.close();
    let (_, failed) = tokio::sync::watch::channel(None);
    Ok(Store::new(Inner {
        readers: Readers::start(READERS, "store-reader", || Reader::files(&layout))?,
        hot: Readers::start(1, "store-reader", || Reader::files(&layout))?,
        facts: Arc::default(),
        numberer: None,
        sets: Arc::default(),
        place: Place::Files { index: Arc::new(Index::new(layout.clone())), layout },
        inbox,
        ids: Arc::new(Mutex::new(IdGen::new(options.node))),
        vault,
        metrics: Arc::default(),
        clock: options.clock.clone(),
        failed,
        admin_cache: Arc::default(),
        cleaned_to: Mutex::new(options.clock.now()),
        settings: Default::default(),
        runs: Arc::default(),
        threads: Mutex::default(),
        lock: Mutex::default(),
    }))
}

fn start(
    options: Options,
    layout: Layout,
    files: Files,
    index: Arc<Index>,
    ids: Arc<Mutex<IdGen>>,
    vault: Arc<Vault>,
    lock: std::fs::File,
) -> Result<Store, Error> {
    let opened = options.clock.now();
    let inbox = Arc::new(Inbox::new());
    let runs: Arc<OnceLock<RunSink>> = Arc::default();
    let metrics = Arc::new(Metrics::default());
    let (fatal, failed) = tokio::sync::watch::channel(None);
    let board = files.board.clone();
    let (chores, todo) = std::sync::mpsc::sync_channel::<Chore>(16);
    let housekeeping = {
        let (layout, index) = (layout.clone(), index.clone());
        std::thread::Builder::new().name("store-chores".into()).spawn(move || {
            for chore in todo {
                chore.run(&layout, &index);
            }
        })?
    };
    let writer = Writer {
        files,
        inbox: inbox.clone(),
        clock: options.clock.clone(),
        metrics: metrics.clone(),
        fatal,
        after_commit: after_commit(index.clone(), metrics.clone(), chores, runs.clone()),
    };
    let thread = std::thread::Builder::new().name("store-writer".into()).spawn(move || writer.run())?;
    Ok(Store::new(Inner {
        readers: Readers::start(READERS, "store-reader", || Reader::files(&layout))?,
        hot: Readers::start(1, "store-dispatch", || Reader::files(&layout))?,
        facts: board,
        numberer: None,
        sets: Arc::default(),
        place: Place::Files { layout, index },
        inbox,
        ids,
        vault,
        metrics,
        clock: options.clock,
        failed,
        admin_cache: Arc::new(keys::Cache::default()),
        cleaned_to: Mutex::new(opened),
        settings: Default::default(),
        runs,
        threads: Mutex::new(vec![thread, housekeeping]),
        lock: Mutex::new(Some(lock)),
    }))
}

/// Work beside the writer.
enum Chore {
    Checkpoint(Option<Day>),
    Flush(Day),
}

impl Chore {
    fn run(&self, layout: &Layout, index: &Index) {
        let done = match self {
            Chore::Flush(day) => index.flush(*day),
            Chore::Checkpoint(day) => {
                let path = day.map_or_else(|| layout.live(), |day| layout.day(day));
                checkpoint(&path, "PASSIVE")
            }
        };
        if let Err(error) = done {
            tracing::warn!(%error, "store housekeeping failed; it is tried again");
        }
    }
}

fn checkpoint(path: &std::path::Path, mode: &str) -> Result<(), Error> {
    let db = Connection::open(path)?;
    db.execute_batch(&format!("PRAGMA synchronous=FULL; PRAGMA busy_timeout=0; PRAGMA wal_checkpoint({mode});"))?;
    Ok(())
}

fn after_commit(
    index: Arc<Index>,
    metrics: Arc<Metrics>,
    chores: std::sync::mpsc::SyncSender<Chore>,
    runs: Arc<OnceLock<RunSink>>,
) -> Box<dyn Fn(&mut Files) + Send> {
    Box::new(move |files| {
        let fresh = std::mem::take(&mut files.fresh);
        let rows = std::mem::take(&mut files.row_writes);
        metrics.row_writes.fetch_add(rows, std::sync::atomic::Ordering::Relaxed);
        if let Some(sink) = runs.get().filter(|_| !fresh.is_empty()) {
            sink(&fresh);
        }
        // A chore that finds no place is asked for again after the next commit.
        let all = std::iter::once((None, &files.wal, &files.live))
            .chain(files.days.open_files().map(|(day, file)| (Some(day), &file.wal, &file.db)));
        for (day, wal, db) in all {
            metrics.wal_bytes.fetch_add(wal.take_bytes(), std::sync::atomic::Ordering::Relaxed);
            if wal.pages() > CHECKPOINT_PAGES_MAX {
                let _ = db.query_row("PRAGMA wal_checkpoint(RESTART)", (), |_| Ok(()));
                wal.restarted();
            } else if wal.is_due(CHECKPOINT_PAGES) {
                let _ = chores.try_send(Chore::Checkpoint(day));
            }
        }
        if let Some(day) = index.full() {
            let _ = chores.try_send(Chore::Flush(day));
        }
    })
}

/// What a file has of events.
fn newest_slice(board: &facts::Board, at: Option<Day>, db: &Db) -> Result<(), Error> {
    let newest = db.query_row("SELECT COALESCE(MAX(no), 0) FROM event_slices", (), |row| row.get(0))?;
    board.wrote(at, newest);
    Ok(())
}

/// The newest id of each kind that is kept: ids go on above them.
pub(crate) const NEWEST: [&str; 11] = [
    "SELECT MAX(id) FROM requests",
    "SELECT MAX(first + count) FROM runs WHERE first = (SELECT MAX(first) FROM runs)",
    "SELECT MAX(id) FROM claims",
    "SELECT MAX(id) FROM accounts",
    "SELECT MAX(id) FROM api_keys",
    "SELECT MAX(id) FROM senders",
    "SELECT MAX(id) FROM relays",
    "SELECT MAX(id) FROM audit_log",
    "SELECT MAX(id) FROM send_groups",
    "SELECT MAX(id) FROM webhook_deliveries",
    "SELECT MAX(seq) FROM orphan_receipts",
];

/// Ids go on above everything that was ever given.
fn resume_ids(layout: &Layout, live: &Db, node: u16) -> Result<IdGen, Error> {
    let mut ids = IdGen::new(node);
    for sql in NEWEST {
        if let Some(id) = live.query_row(sql, (), |row| row.get::<Option<i64>>(0))? {
            ids.observe(id);
        }
    }
    if let Some(day) = layout.days()?.last() {
        let db = files::open_reader(&layout.day(*day))?;
        if let Ok(Some(id)) = db.query_row("SELECT MAX(id) FROM messages", [], |row| row.get::<_, Option<i64>>(0)) {
            ids.observe(id);
        }
    }
    Ok(ids)
}

/// Makes new files in the directory survive a power cut.
fn sync_directory(directory: &std::path::Path) -> Result<(), Error> {
    std::fs::File::open(directory)?.sync_all()?;
    Ok(())
}
