//! The laws stand on files.

use bongsu_store::{Options, Store};

/// Runs of laws on random work.
pub const CASES: u32 = 40;
/// Rows that a commit writes for itself.
pub const ROWS_A_COMMIT: u64 = 0;

/// A directory of its own.
pub struct Ground;

impl Ground {
    pub fn new() -> Self {
        Self
    }

    /// The ground of the process that started this one.
    pub fn of_parent() -> Self {
        Self
    }

    /// Its days become others than those of a first start.
    pub fn changes_days(&self) {}

    /// What a process started by this one has to know, with [`Ground::of_parent`].
    pub fn words(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    pub fn options(&self, options: Options) -> Options {
        options
    }

    /// Whether other processes may use it as well.
    pub fn is_shared(&self) -> bool {
        false
    }

    /// Under which a store claims.
    pub fn owner(&self, _: &Store) -> i64 {
        1
    }

    pub fn abandon(&self, store: &Store) {
        store.close();
    }

    pub fn end_leases_but(&self, _: &Store) {}

    pub fn bury_all_but(&self, _: &Store) {}
}
