//! How fast one relay is written to: spacing of sends, and slowing down when it throttles.

use std::time::Duration;

use bongsu_domain::lane::Lane;
use bongsu_domain::rate::Pacer;
use bongsu_domain::time::Timestamp;
use tokio::time::Instant;

/// The share of the rate that lanes other than auth may use.
const OTHERS_SHARE: f64 = 0.8;

/// The lowest rate: one part a minute.
const RATE_MIN: f64 = 1.0 / 60.0;

/// The first wait after the relay throttles, and the longest one.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Spacing of sends over all binds of a relay; outlives its sessions.
///
/// Runs on the monotonic clock, so that a wall clock that is set back does not stop the relay.
pub(super) struct Pace {
    all: Pacer,
    others: Pacer,
    started: Instant,
}

impl Pace {
    pub(super) fn new(rate_per_s: f64, started: Instant) -> Pace {
        let rate = rate_per_s.max(RATE_MIN);
        Pace { all: Pacer::new(rate), others: Pacer::new(rate * OTHERS_SHARE), started }
    }

    /// Changes the rate; what was sent before still counts.
    pub(super) fn set_rate(&mut self, rate_per_s: f64) {
        let rate = rate_per_s.max(RATE_MIN);
        self.all.set_rate(rate);
        self.others.set_rate(rate * OTHERS_SHARE);
    }

    /// Takes the right to write one part now, or says when to ask again.
    pub(super) fn try_part(&mut self, lane: Lane, now: Instant) -> Result<(), Instant> {
        let at = self.timestamp(now);
        if lane == Lane::Auth {
            return self.all.try_at(at, 1).map_err(|next| now + next.since(at));
        }
        let before = self.others.clone();
        self.others.try_at(at, 1).map_err(|next| now + next.since(at))?;
        self.all.try_at(at, 1).map_err(|next| {
            self.others = before;
            now + next.since(at)
        })
    }

    fn timestamp(&self, now: Instant) -> Timestamp {
        Timestamp(0).plus(now.saturating_duration_since(self.started))
    }
}

/// The window a bind may use now: halved when the relay throttles, widened one by one while it answers well.
pub(super) struct Throttle {
    limit: u16,
    window: u16,
    accepted: u32,
    /// The end of the last pause; what was written before it does not count again.
    paused_until: Option<Instant>,
    pausing: bool,
    pause: Duration,
}

impl Throttle {
    pub(super) fn new(window: u16) -> Throttle {
        let window = window.max(1);
        Throttle { limit: window, window, accepted: 0, paused_until: None, pausing: false, pause: PAUSE_MIN }
    }

    /// Parts a bind may have outstanding.
    pub(super) fn limit(&self) -> u16 {
        self.limit
    }

    pub(super) fn set_window(&mut self, window: u16) {
        let window = window.max(1);
        let is_open = self.limit == self.window;
        self.window = window;
        self.limit = if is_open { window } else { self.limit.min(window) };
    }

    /// The relay throttled a part written at `written`: all its binds pause, once for a window full of such answers.
    pub(super) fn on_throttled(&mut self, written: Instant, now: Instant) {
        if self.paused_until.is_some_and(|until| written < until) {
            return;
        }
        self.limit = (self.limit / 2).max(1);
        self.accepted = 0;
        self.paused_until = Some(now + self.pause);
        self.pausing = true;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    /// The relay took parts: a window full of them widens the window by one and forgets earlier pauses.
    pub(super) fn on_accepted(&mut self, parts: u32) {
        if self.limit == self.window && self.pause == PAUSE_MIN {
            return;
        }
        self.accepted += parts;
        while self.accepted >= u32::from(self.limit) {
            self.accepted -= u32::from(self.limit);
            self.pause = PAUSE_MIN;
            if self.limit == self.window {
                self.accepted = 0;
                return;
            }
            self.limit += 1;
        }
    }

    /// Until when nothing is written, if a pause runs.
    pub(super) fn pause(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| now < *until)
    }

    /// Whether a pause has ended since the last call.
    pub(super) fn has_resumed(&mut self, now: Instant) -> bool {
        let resumed = self.pausing && self.pause(now).is_none();
        self.pausing &= !resumed;
        resumed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throttled_window_halves_once_and_grows_back() {
        let start = Instant::now();
        let mut throttle = Throttle::new(16);
        for _ in 0..16 {
            throttle.on_throttled(start, start);
        }
        assert_eq!(throttle.limit(), 8);
        assert_eq!(throttle.pause(start), Some(start + PAUSE_MIN));
        let resumed = start + PAUSE_MIN;
        assert!(throttle.has_resumed(resumed) && !throttle.has_resumed(resumed));
        throttle.on_throttled(resumed, resumed);
        assert_eq!(throttle.pause(resumed), Some(resumed + 2 * PAUSE_MIN));
        assert_eq!(throttle.limit(), 4);
        throttle.on_accepted(4 + 5 + 6);
        assert_eq!(throttle.limit(), 7);
        throttle.on_accepted(10_000);
        assert_eq!(throttle.limit(), 16);
    }

    #[test]
    fn pauses_grow_to_five_seconds() {
        let mut now = Instant::now();
        let mut throttle = Throttle::new(10);
        let mut pauses = Vec::new();
        for _ in 0..5 {
            throttle.on_throttled(now, now);
            let until = throttle.pause(now).unwrap();
            pauses.push((until - now).as_secs());
            now = until;
        }
        assert_eq!(pauses, [1, 2, 4, 5, 5]);
        assert_eq!(throttle.limit(), 1);
    }

    #[test]
    fn others_leave_a_fifth_of_the_rate_to_auth() {
        let start = Instant::now();
        let mut pace = Pace::new(100.0, start);
        let mut sent = [0u32; 2];
        for milli in 0..10_000 {
            let now = start + Duration::from_millis(milli);
            sent[0] += u32::from(pace.try_part(Lane::Bulk, now).is_ok());
            sent[1] += u32::from(pace.try_part(Lane::Auth, now).is_ok());
        }
        assert!(sent[0] <= 800, "others sent {}", sent[0]);
        assert!((960..=1000).contains(&(sent[0] + sent[1])), "all sent {sent:?}");
        assert!(sent[1] >= 190, "auth sent {}", sent[1]);
    }
}
