//! The simulator's time: the wall clock is read once, then only the monotonic one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bongsu_domain::time::Timestamp;
use tokio::time::Instant;

/// Never steps back.
#[derive(Clone, Copy)]
pub(crate) struct Time {
    origin: Instant,
    wall: Timestamp,
}

/// One moment.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    /// Microseconds since the simulator started.
    pub(crate) us: u64,
    pub(crate) wall: Timestamp,
}

impl Moment {
    pub(crate) fn ms(self) -> u64 {
        self.us / 1_000
    }
}

impl Time {
    #[expect(clippy::disallowed_methods, reason = "a simulator is an edge of its own: this is where its time enters")]
    pub(crate) fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX / 1_000);
        Self { origin: Instant::now(), wall: Timestamp::from_millis(millis) }
    }

    pub(crate) fn now(&self) -> Moment {
        let elapsed = self.origin.elapsed();
        Moment { us: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX), wall: self.wall.plus(elapsed) }
    }

    /// When the given millisecond begins.
    pub(crate) fn instant(&self, ms: u64) -> Instant {
        self.origin + Duration::from_millis(ms)
    }
}
