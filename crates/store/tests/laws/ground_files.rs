//! The laws stand on files.

use bongsu_store::{Options, Store};

/// A directory of its own.
pub struct Ground;

impl Ground {
    pub fn new() -> Self {
        Self
    }

    pub fn options(&self, options: Options) -> Options {
        options
    }

    /// Whether other processes may use it as well.
    pub fn is_shared(&self) -> bool {
        false
    }

    pub fn abandon(&self, store: &Store) {
        store.close();
    }

    pub fn end_leases_but(&self, _: &Store) {}
}
