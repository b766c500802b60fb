//! Rates: spacing what goes to a relay, and limiting what comes from an account.

use crate::time::Timestamp;
use std::time::Duration;

/// The share of a relay's rate that is used, so that a count in any window of a second stays under the rate itself.
const USED_SHARE: f64 = 0.98;
/// How late a timer may wake without the time being lost.
const SLACK_NANOS: i64 = 5_000_000;

/// Spaces sends to a relay (GCRA with a burst of 1). In any second it lets pass at most 98.5 % of the rate and one ask
/// more; ask once a PDU, so that the one more is one part.
#[derive(Debug, Clone)]
pub struct Pacer {
    /// Nanoseconds between two parts.
    interval: i64,
    /// The moment, in nanoseconds, at which the next one is due ("theoretical arrival time"); None before the first.
    due: Option<i64>,
    /// How far `due` was set ahead of its grant; a clock that shows more was set back.
    ahead: i64,
}

impl Pacer {
    /// A pacer for `rate_per_s` parts a second; rates below one an hour count as one an hour.
    pub fn new(rate_per_s: f64) -> Pacer {
        Pacer { interval: interval(rate_per_s), due: None, ahead: 0 }
    }

    /// Changes the rate. What was sent before still counts: the next one keeps its moment.
    pub fn set_rate(&mut self, rate_per_s: f64) {
        self.interval = interval(rate_per_s);
    }

    /// Takes `cost` parts now, all at once; those after the first are paid for by a longer wait for the next ask.
    ///
    /// # Errors
    /// The moment at which it is worth asking again.
    pub fn try_at(&mut self, now: Timestamp, cost: u32) -> Result<(), Timestamp> {
        let nanos = now.0.saturating_mul(1000);
        let mut due = self.due.unwrap_or(nanos);
        if due - nanos > self.ahead {
            due = nanos + self.ahead;
            self.due = Some(due);
        }
        if due > nanos {
            return Err(Timestamp(due.div_euclid(1000) + i64::from(due.rem_euclid(1000) > 0)));
        }
        let next = due.max(nanos - SLACK_NANOS).saturating_add(self.interval.saturating_mul(i64::from(cost)));
        self.due = Some(next);
        self.ahead = (next - nanos).max(0);
        Ok(())
    }
}

fn interval(rate_per_s: f64) -> i64 {
    let per_hour_least = rate_per_s.max(1.0 / 3600.0);
    (1e9 / (per_hour_least * USED_SHARE)).ceil() as i64
}

/// What `RateLimit-*` headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// The most that can be taken at once.
    pub limit: u32,
    /// What can still be taken now.
    pub remaining: u32,
    /// The time until all of `limit` can be taken again.
    pub reset: Duration,
}

/// There was not enough left; nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("rate limited, try again in {retry_after:?}")]
pub struct Limited {
    /// What is left.
    pub quota: Quota,
    /// The time until the same ask succeeds, if nobody else takes anything.
    pub retry_after: Duration,
}

/// Limits an account: a token bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    rate_per_s: i64,
    burst: i64,
    /// Millionths of a token; negative after an ask larger than the bucket.
    level: i64,
    filled: Timestamp,
}

const TOKEN: i64 = 1_000_000;

impl Bucket {
    /// A full bucket of `burst` tokens that gets `rate_per_s` tokens a second; both at least 1.
    pub fn new(rate_per_s: u32, burst: u32, now: Timestamp) -> Bucket {
        let burst = i64::from(burst.max(1));
        Bucket { rate_per_s: i64::from(rate_per_s.max(1)), burst, level: burst * TOKEN, filled: now }
    }

    /// Takes `cost` tokens. An ask larger than the bucket passes when the bucket is full and leaves a debt, so that a
    /// batch above the burst is slow rather than impossible.
    ///
    /// # Errors
    /// [`Limited`] when there is not enough; then nothing is taken.
    pub fn take(&mut self, now: Timestamp, cost: u32) -> Result<Quota, Limited> {
        self.fill(now);
        let needed = i64::from(cost).min(self.burst) * TOKEN;
        if self.level < needed {
            return Err(Limited { quota: self.quota(), retry_after: self.time_for(needed - self.level) });
        }
        self.level -= i64::from(cost) * TOKEN;
        Ok(self.quota())
    }

    /// Whether the bucket is full at `now`; a full one may be forgotten and made again.
    pub fn is_full(&mut self, now: Timestamp) -> bool {
        self.fill(now);
        self.level == self.burst * TOKEN
    }

    fn fill(&mut self, now: Timestamp) {
        let micros = now.0.saturating_sub(self.filled.0).max(0);
        self.level = self.level.saturating_add(micros.saturating_mul(self.rate_per_s)).min(self.burst * TOKEN);
        self.filled = now;
    }

    fn quota(&self) -> Quota {
        let remaining = u32::try_from(self.level.max(0) / TOKEN).unwrap_or(u32::MAX);
        let limit = u32::try_from(self.burst).unwrap_or(u32::MAX);
        Quota { limit, remaining, reset: self.time_for(self.burst * TOKEN - self.level) }
    }

    fn time_for(&self, tokens: i64) -> Duration {
        Duration::from_micros(tokens.max(0).unsigned_abs().div_ceil(self.rate_per_s.unsigned_abs()))
    }
}

#[cfg(test)]
mod tests;
