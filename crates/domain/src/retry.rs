//! What follows a try that did not end well: the same relay again, another one, or the end.
//!
//! Two counts run side by side. Failures of a relay follow the failover path: the booked relay some times, each other
//! relay once by weight, then failed. Failures that pass by themselves go to the same relay with growing waits.

use crate::code::{Action, Code};
use crate::lane::Lane;
use crate::status::Status;
use crate::time::Timestamp;
use std::time::Duration;

/// The waits before the tries at the same relay; each is drawn between zero and this (full jitter).
pub const SAME_WAITS: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(300),
];
/// The most times a message may be throttled. Throttles count for nothing else, but even they have to end.
pub const THROTTLES_MAX: usize = 60;
/// The most times a message is sent again because the fate of a try is unknown.
pub const RESENDS_MAX: usize = 5;

/// The failover path of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailoverPolicy {
    /// Tries on the relay it is booked on, at least 1. Every other relay gets one.
    pub tries_on_first: u8,
    /// The wait before the same relay is tried again, and before one that is down.
    pub wait: Duration,
    /// Whether it is also waited before another relay that is up.
    pub wait_between_relays: bool,
}

impl Default for FailoverPolicy {
    /// Twice on the first relay, 3 s apart; on at once to a relay that is up.
    fn default() -> FailoverPolicy {
        FailoverPolicy { tries_on_first: 2, wait: Duration::from_secs(3), wait_between_relays: false }
    }
}

impl FailoverPolicy {
    /// The timing of RNS: twice on the first relay, 10 s before every try.
    pub const fn rns() -> FailoverPolicy {
        FailoverPolicy { tries_on_first: 2, wait: Duration::from_secs(10), wait_between_relays: true }
    }

    /// The most tries of a message over `relays` relays, throttled ones not counted.
    pub fn tries_max(&self, relays: usize) -> usize {
        usize::from(self.tries_on_first.max(1)) + relays.saturating_sub(1) + SAME_WAITS.len() + RESENDS_MAX
    }
}

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Not one byte was written.
    Unsent,
    /// The relay answered no.
    Refused,
    /// The relay took it, and a receipt says that it was not delivered.
    Undelivered,
    /// Written, but no answer came: it may have been taken.
    Unknown,
}

/// One try of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    /// The relay.
    pub relay: u8,
    /// What came of it.
    pub code: Code,
    /// How it ended.
    pub outcome: Outcome,
}

/// What the decision is made from.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    /// The present moment.
    pub now: Timestamp,
    /// Every try so far, the one just ended last.
    pub history: &'a [Tried],
    /// The relay the message is booked on, then the others by weight: [`crate::route::Shares::preference`].
    pub relays: &'a [u8],
    /// Whether a relay is up, as far as is known.
    pub is_up: &'a dyn Fn(u8) -> bool,
    /// The failover path.
    pub policy: &'a FailoverPolicy,
    /// No try begins at or after this moment.
    pub expires: Timestamp,
    /// Any number; the jitter is drawn from it.
    pub random: u64,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another try at or after `at`, unless a receipt ends the message before.
    Again {
        /// The relay.
        relay: u8,
        /// When it falls due, always before the message expires.
        at: Timestamp,
    },
    /// The message ends now.
    Final {
        /// Its final status.
        status: Status,
        /// Its code.
        code: Code,
    },
    /// No further try: the message ends as expired at `at` unless a receipt ends it before.
    ExpireAt {
        /// When it ends.
        at: Timestamp,
        /// Its code then.
        code: Code,
    },
}

/// What follows a try whose failure is known: unsent, refused or undelivered. A code that says "ask" leads to another
/// relay when this one refused, since a refused message is nowhere, and is final when the relay had taken it.
pub fn after_attempt(case: &Case<'_>) -> Next {
    let Some(last) = case.history.last() else { return case.end(Code::NoRoute) };
    match last.code.action() {
        Action::Same if is_throttle(last.code) => case.after_throttle(last),
        Action::Same => case.same_relay(last),
        Action::Route => case.other_relay(),
        Action::Ask if last.outcome != Outcome::Undelivered => case.other_relay(),
        Action::Ask | Action::None | Action::No | Action::Fix | Action::Next | Action::Hold => case.end(last.code),
    }
}

/// What follows a try of unknown fate. An `auth` message goes out again at once; others wait `unknown_wait` for a
/// receipt first. Both go by a relay that is up and was tried least, another one than the last if there is one. A relay
/// that must not get a message twice (`resend_unknown` false) ends the message after the wait, on every lane, as does
/// the last of [`RESENDS_MAX`] resends at the end of its life.
pub fn after_unknown(case: &Case<'_>, lane: Lane, resend_unknown: bool, unknown_wait: Duration) -> Next {
    let waited = case.now.plus(unknown_wait).min(case.expires);
    let unknowns = case.history.iter().filter(|tried| tried.outcome == Outcome::Unknown).count();
    let at = if lane == Lane::Auth { case.now } else { case.now.plus(unknown_wait) };
    if !resend_unknown {
        return Next::ExpireAt { at: waited, code: Code::VendorTimeout };
    }
    match case.least_tried() {
        Some(relay) if unknowns <= RESENDS_MAX && at < case.expires => Next::Again { relay, at },
        _ => Next::ExpireAt { at: case.expires, code: Code::VendorTimeout },
    }
}

impl Case<'_> {
    fn after_throttle(&self, last: &Tried) -> Next {
        let throttles = self.history.iter().filter(|tried| is_throttle(tried.code)).count();
        if throttles > THROTTLES_MAX {
            return self.end(last.code);
        }
        let wait = SAME_WAITS[throttles.min(SAME_WAITS.len()) - 1];
        self.again(last.relay, self.now.plus(self.jittered(wait)))
    }

    fn same_relay(&self, last: &Tried) -> Next {
        let passing = |tried: &&Tried| tried.code.action() == Action::Same && !is_throttle(tried.code);
        match SAME_WAITS.get(self.history.iter().filter(passing).count() - 1) {
            Some(&wait) => self.again(last.relay, self.now.plus(self.jittered(wait))),
            None => self.end(last.code),
        }
    }

    fn other_relay(&self) -> Next {
        let first = self.relays.first().copied().unwrap_or(self.history[0].relay);
        if self.tries_of(first) < usize::from(self.policy.tries_on_first.max(1)) {
            return self.again(first, self.now.plus(self.policy.wait));
        }
        match self.relays.iter().skip(1).find(|relay| self.tries_of(**relay) == 0) {
            Some(&relay) if self.policy.wait_between_relays || !(self.is_up)(relay) => {
                self.again(relay, self.now.plus(self.policy.wait))
            }
            Some(&relay) => self.again(relay, self.now),
            None => self.end(self.code_of(first)),
        }
    }

    /// Tries that the failover path counts.
    fn tries_of(&self, relay: u8) -> usize {
        let counts = |tried: &&Tried| tried.relay == relay && tried.code.action() != Action::Same;
        self.history.iter().filter(counts).count()
    }

    /// What the relay said last, or the last word of any relay when it said nothing.
    fn code_of(&self, relay: u8) -> Code {
        let said = self.history.iter().rev().find(|tried| tried.relay == relay);
        said.or(self.history.last()).map_or(Code::NoRoute, |tried| tried.code)
    }

    fn least_tried(&self) -> Option<u8> {
        let last = self.history.last().map(|tried| tried.relay);
        let count = |relay: u8| self.history.iter().filter(|tried| tried.relay == relay).count();
        let worse = |relay: &u8| (!(self.is_up)(*relay), last == Some(*relay), count(*relay));
        self.relays.iter().copied().min_by_key(worse).or(last)
    }

    fn again(&self, relay: u8, at: Timestamp) -> Next {
        if at < self.expires { Next::Again { relay, at } } else { self.end(Code::ExpiredBeforeSend) }
    }

    fn end(&self, code: Code) -> Next {
        let left = self.history.iter().any(|tried| tried.outcome == Outcome::Undelivered);
        Next::Final { status: code.final_status(left), code }
    }

    /// Between one microsecond and `wait`.
    fn jittered(&self, wait: Duration) -> Duration {
        let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(1 + self.random % micros)
    }
}

/// The relay took nothing and asks for patience; no try is spent.
fn is_throttle(code: Code) -> bool {
    matches!(code, Code::RouteThrottled | Code::RouteQueueFull)
}

#[cfg(test)]
mod tests;
