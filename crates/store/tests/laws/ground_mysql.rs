//! The laws stand on a database of its own of the server that `BONGSU_MYSQL_URL` names.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
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

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A database of its own.
pub struct Ground {
    server: String,
    name: String,
    goes: bool,
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
        Self::on(&server())
    }

    /// On a server of the law's own.
    pub fn on(url: &str) -> Self {
        let name = format!("bongsu_laws_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        bongsu_store::my::run_on_server(url, &format!("CREATE DATABASE {name}")).unwrap();
        Self { server: address(url), name, goes: true }
    }

    /// On the server, by way of a port of this machine that leads to it.
    pub fn by_way_of(port: u16) -> Self {
        let url = server();
        let (account, place) = url.rsplit_once('@').unwrap();
        Self::on(&format!("{account}@127.0.0.1:{port}/{}", place.rsplit_once('/').unwrap().1))
    }

    /// The ground of the process that started this one.
    pub fn of_parent() -> Self {
        Self { server: address(&server()), name: std::env::var(DATABASE).unwrap(), goes: false }
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
        Self { server: self.server.clone(), name: self.name.clone(), goes: false }
    }

    /// Under which a store claims.
    pub fn owner(&self, store: &Store) -> i64 {
        store.leases().unwrap().owner()
    }

    /// Ends a process without a good-bye.
    pub fn abandon(&self, store: &Store) {
        store.abandon();
    }

    /// As time does it: the leases of all other processes end.
    pub fn end_leases_but(&self, store: &Store) {
        let owner = store.leases().unwrap().owner();
        self.sql(&format!("UPDATE leases SET until = 0 WHERE owner <> {owner}"));
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // A test that failed leaves its database to whoever looks into it.
        if self.goes && !std::thread::panicking() {
            let _ = bongsu_store::my::run_on_server(&self.url(), &format!("DROP DATABASE {}", self.name));
        }
    }
}
