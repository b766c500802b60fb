//! The laws stand on a database of its own of the server that `BONGSU_MYSQL_URL` names.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bongsu_domain::Secret;
use bongsu_store::my::Mysql;
use bongsu_store::{Options, Store};

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A database that goes with it.
pub struct Ground {
    server: String,
    name: String,
}

/// The server, or none: loudly, and an error where all engines have to be there.
pub fn server() -> Option<String> {
    let url = std::env::var("BONGSU_MYSQL_URL").ok();
    if url.is_none() {
        eprintln!("\n*** NOT TESTED: BONGSU_MYSQL_URL is not set, so no law of the store ran on MariaDB ***\n");
        assert!(std::env::var_os("CI").is_none(), "BONGSU_MYSQL_URL is not set");
    }
    url
}

impl Ground {
    pub fn new() -> Self {
        let url = server().expect("checked by every law before it begins");
        let (server, _) = url.rsplit_once('/').expect("an address names a database");
        let name = format!("bongsu_laws_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        bongsu_store::my::run_on_server(&url, &format!("CREATE DATABASE {name}")).unwrap();
        Self { server: server.to_string(), name }
    }

    pub fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    pub fn options(&self, options: Options) -> Options {
        let database =
            Mysql { check_clock: false, lease: Duration::from_secs(3600), ..Mysql::new(Secret::new(self.url())) };
        Options { database: Some(database), ..options }
    }

    pub fn is_shared(&self) -> bool {
        true
    }

    /// Ends a process without a good-bye.
    pub fn abandon(&self, store: &Store) {
        store.abandon();
    }

    /// As time does it: the leases of all other processes end.
    pub fn end_leases_but(&self, store: &Store) {
        let owner = store.leases().unwrap().owner();
        let sql = format!("UPDATE leases SET until = 0 WHERE owner <> {owner}");
        bongsu_store::my::run_on_server(&self.url(), &sql).unwrap();
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // A test that failed leaves its database to whoever looks into it.
        if !std::thread::panicking() {
            let _ = bongsu_store::my::run_on_server(&self.url(), &format!("DROP DATABASE {}", self.name));
        }
    }
}
