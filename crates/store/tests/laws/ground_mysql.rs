//! The laws stand on a database of its own of the server that `BONGSU_MYSQL_URL` names.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bongsu_domain::Secret;
use bongsu_store::my::Mysql;
use bongsu_store::{Options, Store};

/// Runs of laws on random work: a database takes longer to make than a directory.
pub const CASES: u32 = 12;
/// Rows that a commit writes for itself: it counts itself in the lease of its node.
pub const ROWS_A_COMMIT: u64 = 1;

/// Names the database to a process that a law starts.
const DATABASE: &str = "BONGSU_LAWS_DATABASE";

/// Everything but the schema's own table, to be emptied between laws.
pub const TABLES: [&str; 33] = [
    "accounts",
    "api_keys",
    "attempts",
    "audit_log",
    "backlog",
    "balances",
    "claims",
    "client_refs",
    "code_sends",
    "contents",
    "counters",
    "dedupe",
    "distribution_state",
    "distributions",
    "due",
    "event_slices",
    "facts",
    "idempotency",
    "leases",
    "ledger",
    "messages",
    "nonces",
    "orphan_receipts",
    "parked",
    "prices",
    "progress",
    "receipts",
    "relays",
    "requests",
    "runs",
    "senders",
    "slices",
    "team_numbers",
];
/// The others.
pub const MORE_TABLES: [&str; 13] = [
    "stat_sets",
    "submits",
    "tags",
    "unknown_attempts",
    "vault_keys",
    "waiting",
    "group_errors",
    "group_slices",
    "group_uploads",
    "send_groups",
    "webhooks",
    "webhook_due",
    "webhook_deliveries",
];

/// A database that laws of this process use one after the other: to make one takes longer than most laws.
struct Slot {
    name: String,
    /// Keeps it from other processes of tests; they may run beside this one.
    _held: std::fs::File,
}

static FREE: Mutex<Vec<Slot>> = Mutex::new(Vec::new());
static NEXT: AtomicU64 = AtomicU64::new(0);

impl Slot {
    /// One that nobody uses, empty.
    fn take(server: &str) -> Slot {
        if let Some(slot) = FREE.lock().unwrap().pop() {
            return slot;
        }
        let port = server.rsplit_once(':').unwrap().1;
        for number in 0.. {
            let path = std::env::temp_dir().join(format!("bongsu-laws-{port}-{number}.lock"));
            let held = std::fs::File::create(path).unwrap();
            if held.try_lock().is_ok() {
                let slot = Slot { name: format!("bongsu_laws_{number}"), _held: held };
                slot.make(server);
                return slot;
            }
        }
        unreachable!("numbers do not end")
    }

    fn make(&self, server: &str) {
        let Slot { name, .. } = self;
        let sql = format!("DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name}");
        bongsu_store::my::run_on_server(&format!("{server}/information_schema"), &sql).unwrap();
    }

    fn empty(&self, server: &str) {
        let tables: Vec<String> =
            TABLES.iter().chain(&MORE_TABLES).map(|table| format!("DELETE FROM {table}")).collect();
        let sql = format!("START TRANSACTION; {}; COMMIT", tables.join("; "));
        bongsu_store::my::run_on_server(&format!("{server}/{}", self.name), &sql).unwrap();
    }
}

/// A database of its own.
pub struct Ground {
    /// By which the stores reach it.
    server: String,
    name: String,
    /// It goes back when the law is kept.
    slot: Option<Slot>,
    /// The law changed its days, which other laws expect as a first start makes them.
    changed: AtomicBool,
}

/// The server. Where none is named no law can stand, so the whole run ends, loudly: as a failure where all engines have to
/// be there.
pub fn server() -> String {
    let Ok(url) = std::env::var("BONGSU_MYSQL_URL") else {
        let loud = b"\n*** NOT TESTED: BONGSU_MYSQL_URL is not set, so no law of the store ran on MariaDB ***\n\n";
        // Not by a macro: the test runner would keep those words to itself.
        let _ = std::io::stderr().write_all(loud);
        std::process::exit(i32::from(std::env::var_os("CI").is_some()));
    };
    url
}

/// The server's address without the database.
fn address(url: &str) -> String {
    url.rsplit_once('/').expect("an address names a database").0.to_owned()
}

impl Ground {
    pub fn new() -> Self {
        let server = address(&server());
        let slot = Slot::take(&server);
        Self { server, name: slot.name.clone(), slot: Some(slot), changed: AtomicBool::new(false) }
    }

    /// Without the days that other laws begin with.
    pub fn fresh() -> Self {
        let ground = Self::new();
        ground.slot.as_ref().unwrap().make(&ground.server);
        ground.changes_days();
        ground
    }

    /// On a server of the law's own.
    pub fn on(url: &str) -> Self {
        let name = format!("laws_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        bongsu_store::my::run_on_server(url, &format!("CREATE DATABASE {name}")).unwrap();
        Self::at(address(url), name)
    }

    fn at(server: String, name: String) -> Self {
        Self { server, name, slot: None, changed: AtomicBool::new(false) }
    }

    /// By way of a port of this machine that leads to the server.
    pub fn by_way_of(port: u16) -> Self {
        let mut ground = Self::new();
        let account = ground.server.rsplit_once('@').unwrap().0;
        ground.server = format!("{account}@127.0.0.1:{port}");
        ground
    }

    /// The ground of the process that started this one.
    pub fn of_parent() -> Self {
        Self::at(address(&server()), std::env::var(DATABASE).unwrap())
    }

    /// Its days become others than those of a first start.
    pub fn changes_days(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }

    /// What a process started by this one has to know, with [`Ground::of_parent`].
    pub fn words(&self) -> Vec<(&'static str, String)> {
        vec![(DATABASE, self.name.clone())]
    }

    pub fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    /// How a store reaches it. Leases outlive every law unless it ends them.
    pub fn mysql(&self) -> Mysql {
        Mysql { check_clock: false, lease: Duration::from_secs(3600), ..Mysql::new(Secret::new(self.url())) }
    }

    pub fn options(&self, options: Options) -> Options {
        Options { database: Some(self.mysql()), ..options }
    }

    /// Runs one statement beside the stores.
    pub fn sql(&self, sql: &str) {
        bongsu_store::my::run_on_server(&self.url(), sql).unwrap();
    }

    pub fn is_shared(&self) -> bool {
        true
    }

    /// The same database for one more process.
    pub fn beside(&self) -> Self {
        Self::at(self.server.clone(), self.name.clone())
    }

    /// Under which a store claims.
    pub fn owner(&self, store: &Store) -> i64 {
        store.leases().unwrap().owner()
    }

    /// Ends a process without a good-bye.
    pub fn abandon(&self, store: &Store) {
        store.abandon();
    }

    /// As a living process does it: nodes whose leases ended are nobody's.
    pub fn bury_all_but(&self, store: &Store) {
        let owner = store.leases().unwrap().owner();
        self.sql(&format!("UPDATE leases SET owner = 0 WHERE owner <> {owner}"));
    }

    /// As time does it: the leases of all other processes end.
    pub fn end_leases_but(&self, store: &Store) {
        let owner = store.leases().unwrap().owner();
        self.sql(&format!("UPDATE leases SET until = 0 WHERE owner <> {owner}"));
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // A law that failed leaves its database to whoever looks into it.
        let Some(slot) = self.slot.take().filter(|_| !std::thread::panicking()) else { return };
        let server = address(&server());
        if self.changed.load(Ordering::Relaxed) {
            slot.make(&server);
        } else {
            slot.empty(&server);
        }
        FREE.lock().unwrap().push(slot);
    }
}
