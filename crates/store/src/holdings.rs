//! What this process holds of what several processes over one database share. The embedded store belongs to one process,
//! which holds everything: it has none of this.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::watch;

use crate::store::Store;

/// What a process does of what needs leases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Roles {
    /// It sends to relays.
    pub dispatch: bool,
    /// It does periodic work.
    pub report: bool,
    /// It lets what waits for its time go.
    pub schedule: bool,
}

/// A bind of a relay: its number, and the slot from 0.
pub type Bind = (u8, u16);

/// What this process holds now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Binds it may use, with the moment (ms, database clock) before which nothing is written through them.
    pub binds: BTreeMap<Bind, i64>,
    /// Binds it has to stop using, and then to report as [`Store::stopped`].
    pub giving_up: Vec<Bind>,
    /// For each relay by number: how many slots there are over all processes.
    pub slots: BTreeMap<u8, u16>,
    /// It does the periodic work.
    pub sweep: bool,
    /// It settles what dead processes left.
    pub recover: bool,
    /// It lets what waits for its time go.
    pub schedule: bool,
    /// Processes alive.
    pub members: u16,
    /// Its place among the active dispatchers, and how many there are.
    pub active: Option<(u16, u16)>,
    /// The database's clock at the last change, ms.
    pub now_ms: i64,
}

/// Until when the leases of this process are good, on its own clock.
#[derive(Debug)]
pub struct Validity {
    began: Instant,
    until_ms: AtomicU64,
}

impl Validity {
    #[cfg_attr(not(feature = "mysql"), allow(dead_code, reason = "the embedded store has no leases"))]
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), until_ms: AtomicU64::new(0) }
    }

    /// Good for so many milliseconds from now on.
    #[cfg_attr(not(feature = "mysql"), allow(dead_code, reason = "the embedded store has no leases"))]
    pub(crate) fn extend(&self, for_ms: u64) {
        self.until_ms.store(self.began.elapsed().as_millis() as u64 + for_ms, Ordering::Release);
    }

    /// Whether something may be written to a relay now.
    pub fn is_good(&self) -> bool {
        (self.began.elapsed().as_millis() as u64) < self.until_ms.load(Ordering::Acquire)
    }
}

impl Store {
    /// What this process holds, and every change of it; `None` where it holds everything.
    pub fn holdings(&self) -> Option<watch::Receiver<Arc<Holdings>>> {
        #[cfg(feature = "mysql")]
        return self.leases().map(crate::my::Leases::holdings);
        #[cfg(not(feature = "mysql"))]
        None
    }

    /// Whether what it holds is still its own; `None` where it holds everything.
    pub fn validity(&self) -> Option<Arc<Validity>> {
        #[cfg(feature = "mysql")]
        return self.leases().map(crate::my::Leases::validity);
        #[cfg(not(feature = "mysql"))]
        None
    }

    /// Whether the replica answers; `None` where there is none.
    pub fn replica_answers(&self) -> Option<bool> {
        #[cfg(feature = "mysql")]
        return self.replica().map(|replica| !replica.is_left_alone());
        #[cfg(not(feature = "mysql"))]
        None
    }

    /// This start of this process, by which its claims are known.
    ///
    /// # Errors
    /// `ClockBehind`.
    pub fn incarnation(&self) -> Result<i64, crate::Error> {
        #[cfg(feature = "mysql")]
        if let Some(leases) = self.leases() {
            return Ok(leases.owner());
        }
        self.new_id()
    }

    /// Says what this process does; it takes binds and periodic work by that.
    pub fn play(&self, roles: Roles) {
        #[cfg(feature = "mysql")]
        if let Some(leases) = self.leases() {
            leases.play(roles);
        }
        let _ = roles;
    }

    /// Relays changed: what is held of them is looked at now.
    pub fn look_at_leases(&self) {
        #[cfg(feature = "mysql")]
        if let Some(leases) = self.leases() {
            leases.look();
        }
    }

    /// Binds are not used any more; others may write through them from that moment (ms, database clock) on.
    pub fn stopped(&self, binds: impl IntoIterator<Item = (Bind, i64)>) {
        #[cfg(feature = "mysql")]
        if let Some(leases) = self.leases() {
            return leases.stopped(binds);
        }
        drop(binds.into_iter());
    }

    /// Gives up what it holds, bind by bind as they are reported as stopped; the node goes with [`Store::close`].
    pub fn drain(&self) {
        #[cfg(feature = "mysql")]
        if let Some(leases) = self.leases() {
            leases.drain();
        }
    }
}
