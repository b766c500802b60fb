//! A clock that runs like the machine's and can be put forward.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use bongsu_domain::{Clock, Timestamp};

/// Runs from a moment of the scenario's choice; what waits by wall time sees the hours pass that the scenario skips.
#[derive(Debug)]
pub struct ShiftedClock {
    from: Timestamp,
    began: Instant,
    ahead_us: AtomicI64,
}

impl ShiftedClock {
    /// A clock that shows this time now (RFC 3339).
    ///
    /// # Panics
    /// It is no time.
    pub fn at(time: &str) -> Self {
        let from = Timestamp::parse_rfc3339(time).unwrap_or_else(|| panic!("{time} is no time"));
        Self { from, began: Instant::now(), ahead_us: AtomicI64::new(0) }
    }

    /// Puts it forward.
    pub fn advance(&self, by: Duration) {
        self.ahead_us.fetch_add(by.as_micros() as i64, Ordering::SeqCst);
    }

    /// Puts it forward to this time (RFC 3339), which has not come yet.
    ///
    /// # Panics
    /// It is no time, or past.
    pub fn advance_to(&self, time: &str) {
        let time = Timestamp::parse_rfc3339(time).unwrap_or_else(|| panic!("{time} is no time"));
        let now = self.now();
        assert!(time >= now, "{time:?} is past, it is {now:?}");
        self.advance(time.since(now));
    }

    /// Puts it forward to this time (RFC 3339) unless a slow machine has let it come already.
    ///
    /// # Panics
    /// It is no time.
    pub fn reach(&self, time: &str) {
        let time = Timestamp::parse_rfc3339(time).unwrap_or_else(|| panic!("{time} is no time"));
        self.advance(time.since(self.now()));
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        let ahead = Duration::from_micros(self.ahead_us.load(Ordering::SeqCst).unsigned_abs());
        self.from.plus(self.began.elapsed()).plus(ahead)
    }
}
