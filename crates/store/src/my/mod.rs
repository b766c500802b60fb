//! The store on MariaDB and MySQL: one database for several processes.
//!
//! Each process has one writer with one connection that groups what waits into transactions, as on the embedded store.
//! What other processes do meanwhile is met by locks in a fixed order (keys, rows by id, balances last), by unique keys, and
//! by running a transaction again.

mod board;
mod history;
mod migrate;
mod open;
mod replica;
#[cfg(test)]
mod words;
mod writer;

pub use board::Leases;
pub(crate) use board::fence_dead;
pub(crate) use history::{days, drop_day, drop_events, keep_partitions, orphan_slices, search};
#[doc(hidden)]
pub use open::migrate_further;
pub use open::{Mysql, run_on_server};
pub(crate) use open::{open, open_reading};
pub(crate) use replica::{Replica, last_write};

/// Waits on a thread of the store's own, which no runtime shares; a wait that ends early only looks again early.
fn pause(time: std::time::Duration) {
    std::thread::park_timeout(time);
}
