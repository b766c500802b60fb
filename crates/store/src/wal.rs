//! Watches the write-ahead logs: how much they grow, and when one should be checkpointed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;

use crate::error::Error;

/// Bytes of a log page with its frame header.
const FRAME_BYTES: u64 = 4096 + 24;

/// The log of one file.
#[derive(Debug, Default)]
pub(crate) struct Wal {
    /// Pages in the log after the last commit.
    pages: AtomicU64,
    /// Pages at which the next checkpoint beside the writer is due.
    due: AtomicU64,
    /// Bytes written to it since the file was opened.
    bytes: AtomicU64,
}

impl Wal {
    /// Counts every commit on this connection; also stops SQLite's own checkpoints.
    pub(crate) fn watch(db: &mut Connection) -> Result<Arc<Self>, Error> {
        let wal = Arc::new(Self::default());
        let hooked = wal.clone();
        db.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: std::os::raw::c_int| {
            let pages = u64::from(pages.unsigned_abs());
            let before = hooked.pages.swap(pages, Ordering::Relaxed);
            // A shorter log than before was started anew after a checkpoint.
            let grown = pages.checked_sub(before).unwrap_or(pages);
            hooked.bytes.fetch_add(grown * FRAME_BYTES, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(wal)
    }

    /// Whether the log grew by `step` pages since a checkpoint was last asked for.
    pub(crate) fn is_due(&self, step: u64) -> bool {
        let pages = self.pages();
        let due = self.due.load(Ordering::Relaxed);
        if pages + step < due {
            // The log was started anew.
            self.due.store(step, Ordering::Relaxed);
        }
        let due = self.due.load(Ordering::Relaxed).max(step);
        let is_due = pages >= due;
        if is_due {
            self.due.store(pages + step, Ordering::Relaxed);
        }
        is_due
    }

    /// The log begins anew with the next commit.
    pub(crate) fn restarted(&self) {
        self.pages.store(0, Ordering::Relaxed);
    }

    pub(crate) fn pages(&self) -> u64 {
        self.pages.load(Ordering::Relaxed)
    }

    pub(crate) fn take_bytes(&self) -> u64 {
        self.bytes.swap(0, Ordering::Relaxed)
    }
}
