//! Counters of the store, read by the metrics page.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the commit histogram, in microseconds.
pub const COMMIT_BOUNDS_US: [u64; 12] =
    [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 512_000, 2_000_000];

/// What the writer did so far.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Group commits.
    pub commits: AtomicU64,
    /// Units in them.
    pub units: AtomicU64,
    /// Rows inserted, updated or deleted by the message path.
    pub row_writes: AtomicU64,
    /// Bytes written to the logs.
    pub wal_bytes: AtomicU64,
    /// Time of the commits, microseconds.
    pub commit_us: AtomicU64,
    /// Commits by duration; the last one counts what is over every bound.
    pub commit_buckets: [AtomicU64; COMMIT_BOUNDS_US.len() + 1],
    /// Transactions that were run again because another process was in the way.
    pub again: AtomicU64,
    /// Questions about history that a replica answered.
    pub replica_reads: AtomicU64,
    /// What the sweepers found that the regular path had left.
    pub sweeper_found: AtomicU64,
}

impl Metrics {
    #[cfg(feature = "mysql")]
    pub(crate) fn again(&self) {
        self.again.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn commit(&self, took: Duration, units: usize) {
        let us = took.as_micros() as u64;
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.units.fetch_add(units as u64, Ordering::Relaxed);
        self.commit_us.fetch_add(us, Ordering::Relaxed);
        self.commit_buckets[COMMIT_BOUNDS_US.partition_point(|bound| *bound < us)].fetch_add(1, Ordering::Relaxed);
    }
}
