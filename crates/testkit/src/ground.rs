//! A database of its own for a world, on the server that `BONGSU_MYSQL_URL` names.

use std::sync::atomic::{AtomicU32, Ordering};

use bongsu_store::my::run_on_server;

use crate::named::{REDIS, SERVER};

/// `database` has every world stand on a database instead of files.
const WORLDS: &str = "BONGSU_WORLDS";
/// How long what a process of a world holds is its own; who crashes keeps others waiting for as long.
const LEASE_S: u32 = 3;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A database; it goes with its world.
pub(crate) struct Ground {
    url: String,
    name: String,
}

/// Whether worlds stand on databases unless they say otherwise.
pub(crate) fn is_usual() -> bool {
    std::env::var(WORLDS).is_ok_and(|word| word == "database")
}

impl Ground {
    /// Makes one.
    ///
    /// # Panics
    /// No server is named, or it refuses.
    pub(crate) fn new() -> Self {
        let server = std::env::var(SERVER).unwrap_or_else(|_| panic!("{SERVER} names no server"));
        let name = format!("bongsu_world_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        // One that a run with the same process id left.
        run_on_server(&server, &format!("DROP DATABASE IF EXISTS {name}")).expect("the server drops a database");
        run_on_server(&server, &format!("CREATE DATABASE {name}")).expect("the server makes a database");
        let (place, _) = server.rsplit_once('/').expect("an address names a database");
        Self { url: format!("{place}/{name}"), name }
    }

    /// The configuration of a process on it.
    pub(crate) fn settings(&self, with_redis: bool) -> Vec<(String, String)> {
        let mut settings = vec![
            ("store.kind", "mysql".to_owned()),
            ("store.url", self.url.clone()),
            ("process.lease_s", LEASE_S.to_string()),
        ];
        if let Ok(redis) = std::env::var(REDIS)
            && with_redis
        {
            for section in [["cache.kind", "cache.url", "cache.prefix"], ["bus.kind", "bus.url", "bus.prefix"]] {
                let values = ["redis".to_owned(), redis.clone(), format!("{}:", self.name)];
                settings.extend(section.into_iter().zip(values));
            }
        }
        settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // A test that failed leaves its database to whoever looks into it.
        if !std::thread::panicking()
            && let Err(error) = run_on_server(&self.url, &format!("DROP DATABASE IF EXISTS {}", self.name))
        {
            eprintln!("the database {} stays: {error}", self.name);
        }
    }
}
