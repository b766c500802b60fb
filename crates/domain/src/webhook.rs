//! Telling customers what became of messages: when a call is tried again, where it may go, and what waits for what.

mod line;
mod target;

pub use line::{Delivery, Line, Take};
pub use target::{BadTarget, Host, Policy, Scheme, Target, is_public};

use std::time::Duration;

use crate::time::Timestamp;

/// Retries of the schedule unless a customer names others.
pub const RETRIES: u16 = 10;
/// Retries that a schedule may have.
pub const RETRIES_MAX: usize = 20;
/// Longest wait of a schedule, in minutes: a week.
pub const WAIT_MAX_MINUTES: u32 = 7 * 24 * 60;
/// Longest `Retry-After` that is honoured.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// Minutes between a failure and the next try, one a retry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(Vec<u32>);

impl Default for Schedule {
    /// n² − n + 1 minutes after the n-th failure: 1, 3, 7, 13, 21, 31, 43, 57, 73, 91.
    fn default() -> Self {
        Self((1..=u32::from(RETRIES)).map(|n| n * n - n + 1).collect())
    }
}

impl Schedule {
    /// The waits of a customer; none when they are more than [`RETRIES_MAX`] or one is not from 1 to
    /// [`WAIT_MAX_MINUTES`]. An empty one never tries again.
    pub fn new(minutes: Vec<u32>) -> Option<Self> {
        let good = minutes.len() <= RETRIES_MAX && minutes.iter().all(|wait| (1..=WAIT_MAX_MINUTES).contains(wait));
        good.then_some(Self(minutes))
    }

    /// The waits in minutes.
    pub fn minutes(&self) -> &[u32] {
        &self.0
    }

    /// The wait after so many failures, 1 for the first; none when it was the last try.
    pub fn wait(&self, failures: u16) -> Option<Duration> {
        let minutes = self.0.get(usize::from(failures).checked_sub(1)?)?;
        Some(Duration::from_secs(u64::from(*minutes) * 60))
    }
}

/// What came of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It answered.
    Status {
        /// HTTP status.
        status: u16,
        /// Its `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// No answer: not allowed, not reached, cut, too slow, or no HTTP.
    None,
}

/// What follows a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It arrived.
    Delivered,
    /// The endpoint is gone: nothing is sent to it until somebody enables it again.
    Gone,
    /// It is tried again.
    Again {
        /// When.
        at: Timestamp,
        /// Nothing else goes to the endpoint before.
        pause: bool,
    },
    /// That was the last try.
    Exhausted,
}

/// What follows a call that ended at `now`, with `failures` before it.
///
/// Any 2xx is success (Standard Webhooks 1.0, "Delivery"), 410 says that nobody wants them any more, all others failed,
/// redirects too. A `Retry-After` of 429 and 503 only makes a wait longer, at most [`RETRY_AFTER_MAX`].
pub fn after_call(now: Timestamp, failures: u16, schedule: &Schedule, answer: Answer) -> Verdict {
    let asked = match answer {
        Answer::Status { status: 200..=299, .. } => return Verdict::Delivered,
        Answer::Status { status: 410, .. } => return Verdict::Gone,
        Answer::Status { status: 429 | 503, retry_after } => retry_after.map(|wait| wait.min(RETRY_AFTER_MAX)),
        Answer::Status { .. } | Answer::None => None,
    };
    match schedule.wait(failures.saturating_add(1)) {
        Some(wait) => {
            let wait = wait.max(asked.unwrap_or_default());
            Verdict::Again { at: now.plus(wait), pause: asked.is_some() }
        }
        None => Verdict::Exhausted,
    }
}

#[cfg(test)]
mod tests;
