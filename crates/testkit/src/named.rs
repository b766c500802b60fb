//! Engines that the environment names, for tests that need them.

use std::io::Write;

/// The server, as `mysql://user:password@host:port/database`; the user may make databases.
pub(crate) const SERVER: &str = "BONGSU_MYSQL_URL";
/// A server that cache and bus use; without one each process has its own.
pub(crate) const REDIS: &str = "BONGSU_REDIS_URL";

/// Whether a server for databases is named. Where none is, what needs one says so, loudly, and as a failure in CI.
pub fn has_database() -> bool {
    let is_named = std::env::var_os(SERVER).is_some();
    if !is_named {
        let loud = format!("\n*** NOT TESTED: {SERVER} is not set, so this needs a database that is not there ***\n\n");
        // Not by a macro: the test runner would keep those words to itself.
        let _ = std::io::stderr().write_all(loud.as_bytes());
        assert!(std::env::var_os("CI").is_none(), "{SERVER} names no server");
    }
    is_named
}

/// Whether a Redis server is named.
pub fn has_redis() -> bool {
    std::env::var_os(REDIS).is_some()
}
