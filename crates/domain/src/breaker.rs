//! The breaker (차단기) of a relay: takes a dead relay out within seconds and lets a trickle find out when it is back.

use crate::time::Timestamp;
use std::time::Duration;

/// Failures in a row that open it.
pub const FAILURES_IN_A_ROW: u32 = 5;
/// The window over which the share of failures is taken.
pub const WINDOW: Duration = Duration::from_secs(10);
/// The fewest results in the window from which a share is taken; more than half of them failed opens it.
pub const RESULTS_MIN: u32 = 20;
/// How long it stays open before a probe, and the time between two probes.
pub const PROBE_EVERY: Duration = Duration::from_secs(1);
/// How long a probe without any result holds back the next one.
pub const PROBE_LOST: Duration = Duration::from_secs(5);
/// Probes that must succeed in a row to close it.
pub const PROBES_TO_CLOSE: u32 = 3;

const SLICES: usize = WINDOW.as_secs() as usize;

/// What may go to the relay now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Allow {
    /// Everything.
    All,
    /// One message, whose result has to be told; the answer has counted it as sent.
    Probe,
    /// Nothing.
    None,
}

/// The state for people and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// The relay is used.
    Closed,
    /// The relay is not used until this moment; [`Timestamp::MAX`] while no session is bound.
    Open {
        /// When probing begins.
        until: Timestamp,
    },
    /// The relay is probed.
    HalfOpen,
}

/// Results of one second.
#[derive(Debug, Clone, Copy, Default)]
struct Slice {
    second: i64,
    ok: u32,
    failed: u32,
}

/// A breaker.
#[derive(Debug, Clone)]
pub struct Breaker {
    state: State,
    in_a_row: u32,
    slices: [Slice; SLICES],
    probes_ok: u32,
    /// When the last probe left, and whether its result is still awaited.
    probe: Option<(Timestamp, bool)>,
}

impl Default for Breaker {
    fn default() -> Breaker {
        Breaker::new()
    }
}

impl Breaker {
    /// A closed breaker.
    pub fn new() -> Breaker {
        Breaker { state: State::Closed, in_a_row: 0, slices: [Slice::default(); SLICES], probes_ok: 0, probe: None }
    }

    /// The state at `now`.
    pub fn state(&self, now: Timestamp) -> State {
        match self.state {
            State::Open { until } if until <= now => State::HalfOpen,
            state => state,
        }
    }

    /// What may go out at `now`. [`Allow::Probe`] is given to one asker only, at most once a second, and not while the
    /// probe before it is awaited.
    pub fn allows(&mut self, now: Timestamp) -> Allow {
        self.state = self.state(now);
        match self.state {
            State::Closed => Allow::All,
            State::Open { .. } => Allow::None,
            State::HalfOpen if self.may_probe(now) => {
                self.probe = Some((now, true));
                Allow::Probe
            }
            State::HalfOpen => Allow::None,
        }
    }

    /// The relay answered. Answers that come while it is open belong to earlier messages and say nothing.
    pub fn on_ok(&mut self, now: Timestamp) {
        self.in_a_row = 0;
        match self.state(now) {
            State::Closed => self.slice(now).ok += 1,
            State::Open { .. } => {}
            State::HalfOpen => {
                self.state = State::HalfOpen;
                self.answered();
                self.probes_ok += 1;
                if self.probes_ok >= PROBES_TO_CLOSE {
                    *self = Breaker::new();
                }
            }
        }
    }

    /// The relay failed a message or did not answer in time.
    pub fn on_fail(&mut self, now: Timestamp) {
        match self.state(now) {
            State::Closed => {
                self.in_a_row += 1;
                self.slice(now).failed += 1;
                if self.in_a_row >= FAILURES_IN_A_ROW || self.is_mostly_failing(now) {
                    self.open(now.plus(PROBE_EVERY));
                }
            }
            State::Open { .. } => {}
            State::HalfOpen => self.open(now.plus(PROBE_EVERY)),
        }
    }

    /// The last session of the relay was lost.
    pub fn on_down(&mut self, _now: Timestamp) {
        self.open(Timestamp::MAX);
    }

    /// A session is bound. A relay that was down is probed at once; otherwise nothing changes.
    pub fn on_up(&mut self, now: Timestamp) {
        if matches!(self.state, State::Open { until: Timestamp::MAX }) {
            self.open(now);
        }
    }

    fn open(&mut self, until: Timestamp) {
        *self = Breaker { state: State::Open { until }, ..Breaker::new() };
    }

    fn may_probe(&self, now: Timestamp) -> bool {
        let Some((left, is_awaited)) = self.probe else { return true };
        now.since(left) >= if is_awaited { PROBE_LOST } else { PROBE_EVERY }
    }

    fn answered(&mut self) {
        if let Some((_, is_awaited)) = &mut self.probe {
            *is_awaited = false;
        }
    }

    fn slice(&mut self, now: Timestamp) -> &mut Slice {
        let second = second_of(now);
        let slice = &mut self.slices[second.rem_euclid(SLICES as i64) as usize];
        if slice.second != second {
            *slice = Slice { second, ..Slice::default() };
        }
        slice
    }

    fn is_mostly_failing(&self, now: Timestamp) -> bool {
        let second = second_of(now);
        let recent = self.slices.iter().filter(|slice| (second - SLICES as i64 + 1..=second).contains(&slice.second));
        let (ok, failed) = recent.fold((0, 0), |(ok, failed), slice| (ok + slice.ok, failed + slice.failed));
        ok + failed >= RESULTS_MIN && failed > ok
    }
}

fn second_of(now: Timestamp) -> i64 {
    now.0.div_euclid(1_000_000)
}

#[cfg(test)]
mod tests;
