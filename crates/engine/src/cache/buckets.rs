//! The token buckets of one process: the whole limit when it is alone, its share when there are others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bongsu_domain::rate::{Limited, Quota};
use bongsu_domain::{Bucket, Timestamp};

use super::{BUCKETS_MAX, Limit};
use crate::counter::Counter;

#[derive(Debug)]
pub(super) struct Buckets {
    held: Mutex<HashMap<String, Held>>,
    processes: AtomicU32,
    pub(super) evicted: Counter,
}

#[derive(Debug)]
struct Held {
    bucket: Bucket,
    share: Limit,
}

impl Default for Buckets {
    fn default() -> Self {
        Buckets { held: Mutex::default(), processes: AtomicU32::new(1), evicted: Counter::default() }
    }
}

impl Buckets {
    pub(super) fn set_processes(&self, count: u32) {
        self.processes.store(count.max(1), Ordering::Relaxed);
    }

    /// Takes from this process's share of the limit.
    pub(super) fn take(&self, key: &str, limit: Limit, cost: u32, now: Timestamp) -> Result<Quota, Limited> {
        let share = share(limit, self.processes.load(Ordering::Relaxed));
        let mut held = self.lock();
        if !held.contains_key(key) {
            self.make_room(&mut held, now);
            held.insert(key.to_owned(), Held::full(share, now));
        }
        let held = held.get_mut(key).expect("it was just put there when it was not");
        if held.share != share {
            held.change(share, now);
        }
        held.bucket.take(now, cost)
    }

    /// Full ones may go without anybody noticing. If all are in use, the fullest go: their owners win least.
    fn make_room(&self, held: &mut HashMap<String, Held>, now: Timestamp) {
        if held.len() < BUCKETS_MAX {
            return;
        }
        held.retain(|_, one| !one.bucket.is_full(now));
        // A sixteenth at once, so that the search is paid for by many newcomers.
        let spare = (held.len() + BUCKETS_MAX / 16).saturating_sub(BUCKETS_MAX);
        if spare == 0 {
            return;
        }
        let mut waits: Vec<(Duration, String)> = held.iter_mut().map(|(k, one)| (one.reset(now), k.clone())).collect();
        waits.select_nth_unstable(spare - 1);
        for (_, key) in &waits[..spare] {
            held.remove(key);
        }
        self.evicted.add(spare as u64);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn full(share: Limit, now: Timestamp) -> Held {
        Held { bucket: Bucket::new(share.rate_per_s, share.burst, now), share }
    }

    /// Goes on with another limit. What is left stays left, up to the new burst, and a debt stays a debt; a full bucket
    /// at each change would be a way around the limit.
    fn change(&mut self, share: Limit, now: Timestamp) {
        let (left, debt) = match self.bucket.take(now, 0) {
            Ok(quota) => (quota.remaining, 0),
            Err(limited) => (0, whole(limited.retry_after, self.share.rate_per_s)),
        };
        let was_full = self.bucket.is_full(now);
        *self = Held::full(share, now);
        if !was_full {
            let spent = share.burst.saturating_sub(left).saturating_add(debt);
            // A fresh bucket grants any ask once.
            let _ = self.bucket.take(now, spent);
        }
    }

    fn reset(&mut self, now: Timestamp) -> Duration {
        match self.bucket.take(now, 0) {
            Ok(quota) => quota.reset,
            Err(limited) => limited.quota.reset,
        }
    }
}

/// Tokens that come in a time, rounded up.
fn whole(time: Duration, rate_per_s: u32) -> u32 {
    let tokens = (time.as_micros() * u128::from(rate_per_s)).div_ceil(1_000_000);
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

fn share(limit: Limit, processes: u32) -> Limit {
    let part = |all: u32| (all / processes.max(1)).max(1);
    Limit { rate_per_s: part(limit.rate_per_s), burst: part(limit.burst) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const LIMIT: Limit = Limit { rate_per_s: 10, burst: 100 };

    fn left(taken: Result<Quota, Limited>) -> u32 {
        taken.expect("granted").remaining
    }

    #[test]
    fn a_share_is_a_part_of_rate_and_burst_and_at_least_one() {
        assert_eq!(share(LIMIT, 3), Limit { rate_per_s: 3, burst: 33 });
        assert_eq!(share(LIMIT, 1000), Limit { rate_per_s: 1, burst: 1 });
        assert_eq!(share(Limit { rate_per_s: 0, burst: 0 }, 1), Limit { rate_per_s: 1, burst: 1 });
    }

    #[test]
    fn another_limit_keeps_what_was_spent() {
        let buckets = Buckets::default();
        assert_eq!(left(buckets.take("a", LIMIT, 60, NOW)), 40);
        let less = Limit { rate_per_s: 10, burst: 50 };
        assert_eq!(left(buckets.take("a", less, 0, NOW)), 40);
        let more = Limit { rate_per_s: 20, burst: 500 };
        assert_eq!(left(buckets.take("a", more, 0, NOW)), 40);
        // A full one is full again, or a raised limit would only fill slowly for who spent nothing.
        assert_eq!(left(buckets.take("b", LIMIT, 0, NOW)), 100);
        assert_eq!(left(buckets.take("b", more, 0, NOW)), 500);
    }

    #[test]
    fn another_limit_keeps_a_debt() {
        let buckets = Buckets::default();
        assert_eq!(left(buckets.take("a", LIMIT, 150, NOW)), 0);
        let faster = Limit { rate_per_s: 50, burst: 100 };
        let limited = buckets.take("a", faster, 0, NOW).expect_err("fifty in debt");
        assert_eq!(limited.retry_after, Duration::from_secs(1));
    }

    #[test]
    fn flapping_counts_of_processes_give_nothing_away() {
        let buckets = Buckets::default();
        let mut given = 0;
        for count in [1, 2, 3, 2, 1, 4, 1].into_iter().cycle().take(700) {
            buckets.set_processes(count);
            given += u32::from(buckets.take("a", LIMIT, 1, NOW).is_ok());
        }
        assert!(given <= LIMIT.burst, "{given}");
    }

    #[test]
    fn memory_is_bounded_and_the_fullest_go_first() {
        let buckets = Buckets::default();
        let slow = Limit { rate_per_s: 1, burst: 1_000_000 };
        left(buckets.take("spent", slow, 900_000, NOW));
        for owner in 0..BUCKETS_MAX as u32 + 10 {
            left(buckets.take(&owner.to_string(), slow, 1, NOW));
        }
        assert!(buckets.lock().len() <= BUCKETS_MAX);
        assert!(buckets.evicted.get() > 0);
        assert_eq!(left(buckets.take("spent", slow, 0, NOW)), 100_000, "it was the emptiest");
        // An hour later those that are full again leave without being missed.
        let later = NOW.plus(Duration::from_secs(3600));
        let evicted = buckets.evicted.get();
        for owner in 0..BUCKETS_MAX as u32 {
            left(buckets.take(&format!("later {owner}"), slow, 0, later));
        }
        assert!(buckets.lock().len() <= BUCKETS_MAX);
        assert_eq!(buckets.evicted.get(), evicted);
    }
}
