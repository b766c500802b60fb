//! Parts between booking and the queue of their relay.

use std::sync::atomic::{AtomicU32, Ordering};

/// Parts that are booked on a relay and have not reached its queue yet.
#[derive(Debug)]
pub struct Pending([AtomicU32; 64]);

impl Default for Pending {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU32::new(0)))
    }
}

impl Pending {
    /// Parts on their way to a relay.
    pub fn of(&self, relay: u8) -> u32 {
        self.0.get(usize::from(relay)).map_or(0, |parts| parts.load(Ordering::Acquire))
    }

    /// Booked.
    pub fn add(&self, relay: u8, parts: u32) {
        if let Some(cell) = self.0.get(usize::from(relay)) {
            cell.fetch_add(parts, Ordering::AcqRel);
        }
    }

    /// Handed over, or given up.
    pub fn sub(&self, relay: u8, parts: u32) {
        if let Some(cell) = self.0.get(usize::from(relay)) {
            cell.fetch_sub(parts, Ordering::AcqRel);
        }
    }
}
