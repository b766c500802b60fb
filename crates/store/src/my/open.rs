//! Opening a database: schema, key file, node, and the threads.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bongsu_domain::{IdGen, Secret};

use super::board::{self, Board};
use super::replica::Replica;
use super::writer::{Fence, Writer, standing};
use super::{history, migrate};
use crate::db::{Db, mysql};
use crate::error::{Error, Kind};
use crate::migrate::Step;
use crate::open::{NEWEST, Options};
use crate::readers::{READ_TIME_MAX, Reader, Readers};
use crate::store::{Inner, Place, Store};
use crate::vault::{self, Vault};
use crate::writer::Inbox;

/// The furthest that this machine's clock may be from the database's.
const SKEW_MAX_MS: i64 = 1_000;

/// A database as the store.
#[derive(Debug, Clone)]
pub struct Mysql {
    /// `mysql://user:password@host:3306/database`.
    pub url: Secret,
    /// The same of a replica for history reads.
    pub replica: Option<Secret>,
    /// Connections for reading.
    pub readers: u16,
    /// How long what this process holds is its own without a renewal.
    pub lease: Duration,
    /// Whether the machine's clock is compared with the database's.
    pub check_clock: bool,
}

impl Mysql {
    /// Defaults for an address.
    pub fn new(url: Secret) -> Self {
        Self { url, replica: None, readers: 4, lease: Duration::from_secs(15), check_clock: true }
    }

    /// Seconds after which the server ends a silent connection.
    fn idle_s(&self) -> u32 {
        (self.lease.as_secs() as u32 / 2).clamp(1, 5)
    }
}

fn key_file(options: &Options) -> PathBuf {
    options.key_file.clone().unwrap_or_else(|| options.directory.join("keys"))
}

/// Runs on a thread of its own: connections have runtimes of their own, which do not start within another one.
fn apart<T: Send>(work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    let ended = || Error::new(Kind::Unavailable, "the opening thread ended early");
    std::thread::scope(|scope| scope.spawn(work).join().unwrap_or_else(|_| Err(ended())))
}

/// Opens the store as one of several processes.
pub(crate) fn open(options: Options, my: &Mysql) -> Result<Store, Error> {
    apart(|| join(options, my))
}

/// Opens for reading only, beside the processes that write.
pub(crate) fn open_reading(options: Options, my: &Mysql) -> Result<Store, Error> {
    apart(|| watch(options, my))
}

fn join(options: Options, my: &Mysql) -> Result<Store, Error> {
    let trips = Arc::new(AtomicU64::new(0));
    let address = mysql::Address::parse(my.url.expose(), my.idle_s(), trips.clone())?;
    let connect = |read_max: Option<Duration>| mysql::Conn::new(address.clone(), read_max).map(Db::from);
    // Waiting for another process that opens takes longer than the server lets a connection be silent.
    let patient = mysql::Address { idle_s: 120, ..address.clone() };
    let db = Db::from(mysql::Conn::new(patient, None)?);
    std::fs::create_dir_all(&options.directory)?;
    let vault = migrate::alone(&db, || {
        migrate::migrate(&db, migrate::STEPS)?;
        migrate::fact(&db, "board")?;
        migrate::fact(&db, "generation")?;
        migrate::fact(&db, "events")?;
        history::keep_partitions(&db, options.clock.now())?;
        let used: i64 = db.query_row("SELECT COUNT(*) FROM vault_keys", (), |row| row.get(0))?;
        let vault = Vault::open_or_create(&key_file(&options), used == 0)?;
        vault::check(&db, &vault)?;
        Ok(Arc::new(vault))
    })?;
    if my.check_clock {
        let skew = (options.clock.now().millis() - board::now(&db)?).abs();
        if skew > SKEW_MAX_MS {
            let why = format!("this machine's clock and the database's are {skew} ms apart; synchronise them");
            return Err(Error::new(Kind::ClockBehind, why));
        }
    }
    let began = Instant::now();
    let mut board = Board::new(connect(None)?, incarnation(&options), my.lease);
    let node = board.join()?;
    let mut ids = IdGen::new(node);
    if let Some(newest) = newest_id(&db)? {
        ids.observe(newest);
    }
    let ids = Arc::new(Mutex::new(ids));
    let (fatal, failed) = tokio::sync::watch::channel(None);
    let leases = board.start(began, fatal.clone())?;
    let name = format!("node:{node}");
    let (owner, commits) = standing(&db, &name)?.unwrap_or_default();
    drop(db);
    let inbox = Arc::new(Inbox::new());
    let runs: Arc<std::sync::OnceLock<crate::store::RunSink>> = Arc::default();
    let metrics = Arc::new(crate::metrics::Metrics::default());
    let board_of_facts: Arc<crate::facts::Board> = Arc::default();
    let writer = Writer {
        live: connect(None)?,
        fence: Fence { node, name, owner, commits },
        unsure: false,
        inbox: inbox.clone(),
        clock: options.clock.clone(),
        ids: ids.clone(),
        metrics: metrics.clone(),
        fatal,
        runs: runs.clone(),
        board: board_of_facts.clone(),
    };
    let thread = std::thread::Builder::new().name("store-writer".into()).spawn(move || writer.run())?;
    let replica = my.replica.as_ref().map(|url| replica(my, url, &trips)).transpose()?.map(Box::new);
    let reader = || Ok(Reader::database(connect(Some(READ_TIME_MAX))?));
    Ok(Store::new(Inner {
        place: Place::Database { leases: Some(leases), replica, trips, address: Box::new(address.clone()) },
        readers: Readers::start(usize::from(my.readers), "store-reader", reader)?,
        hot: Readers::start(2, "store-dispatch", reader)?,
        facts: board_of_facts,
        numberer: Some(Readers::start(1, "store-numberer", || Ok(Reader::database(connect(None)?)))?),
        sets: Arc::default(),
        inbox,
        ids,
        vault,
        metrics,
        cleaned_to: Mutex::new(options.clock.now().minus(Duration::from_secs(25 * 3600))),
        clock: options.clock,
        failed,
        admin_cache: Arc::default(),
        settings: Default::default(),
        runs,
        threads: Mutex::new(vec![thread]),
        lock: Mutex::default(),
    }))
}

fn replica(my: &Mysql, url: &Secret, trips: &Arc<AtomicU64>) -> Result<Replica, Error> {
    let address = mysql::Address::parse(url.expose(), my.idle_s(), trips.clone())?;
    let reader = || Ok(Reader::database(mysql::Conn::new(address.clone(), Some(READ_TIME_MAX))?.into()));
    Ok(Replica::new(Readers::start(usize::from(my.readers), "store-replica", reader)?, my.lease))
}

fn watch(options: Options, my: &Mysql) -> Result<Store, Error> {
    let trips = Arc::new(AtomicU64::new(0));
    let address = mysql::Address::parse(my.url.expose(), my.idle_s(), trips.clone())?;
    let reader = || Ok(Reader::database(mysql::Conn::new(address.clone(), Some(READ_TIME_MAX))?.into()));
    let vault = Arc::new(Vault::open_or_create(&key_file(&options), false)?);
    let inbox = Arc::new(Inbox::new());
    inbox.close();
    let (_, failed) = tokio::sync::watch::channel(None);
    Ok(Store::new(Inner {
        place: Place::Database { leases: None, replica: None, trips, address: Box::new(address.clone()) },
        readers: Readers::start(2, "store-reader", reader)?,
        hot: Readers::start(1, "store-reader", reader)?,
        facts: Arc::default(),
        numberer: None,
        sets: Arc::default(),
        inbox,
        ids: Arc::new(Mutex::new(IdGen::new(0))),
        vault,
        metrics: Arc::default(),
        cleaned_to: Mutex::new(options.clock.now()),
        clock: options.clock,
        failed,
        admin_cache: Arc::default(),
        settings: Default::default(),
        runs: Arc::default(),
        threads: Mutex::default(),
        lock: Mutex::default(),
    }))
}

/// A number for this start of a process: its time, and what tells it from others of the same millisecond.
fn incarnation(options: &Options) -> i64 {
    let mut salt = [0; 4];
    vault::random(&mut salt);
    (options.clock.now().millis() << 20) | i64::from(u32::from_be_bytes(salt) & 0xF_FFFF)
}

fn newest_id(db: &Db) -> Result<Option<i64>, Error> {
    let mut newest = None;
    for sql in NEWEST.into_iter().chain(["SELECT MAX(id) FROM messages"]) {
        newest = newest.max(db.query_row(sql, (), |row| row.get::<Option<i64>>(0))?);
    }
    Ok(newest)
}

/// Runs one statement on a server, beside any store: for making and dropping databases.
///
/// # Errors
/// Those of the server.
pub fn run_on_server(url: &str, sql: &str) -> Result<(), Error> {
    let address = mysql::Address::parse(url, 60, Arc::default())?;
    apart(|| mysql::Conn::new(address, None)?.batch(sql))
}

/// Applies one more step than this program has, as a start of a newer one does beside processes that work: for tests.
#[doc(hidden)]
pub fn migrate_further(url: &str, name: &'static str, sql: &'static str) -> Result<(), Error> {
    let address = mysql::Address::parse(url, 60, Arc::default())?;
    apart(|| {
        let db = Db::from(mysql::Conn::new(address, None)?);
        let known =
            migrate::STEPS.iter().map(|step| Step { name: step.name, sql: step.sql, while_empty: step.while_empty });
        let steps: Vec<Step> = known.chain([Step { name, sql, while_empty: None }]).collect();
        migrate::alone(&db, || migrate::migrate(&db, &steps))
    })
}
