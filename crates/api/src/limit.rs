//! Limits per account: requests and messages a second, in token buckets (RAT-01), told by `RateLimit-*` headers.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use bongsu_domain::rate::{Bucket, Quota};
use bongsu_domain::{AccountId, Code, KeyId, Timestamp};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::problem::{Problem, whole_seconds};

/// Buckets kept per limit. Above it full ones are forgotten, which changes nothing for their owners.
const BUCKETS_MAX: usize = 100_000;

/// Whose requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Payer {
    /// All keys of an account share.
    Account(AccountId),
    /// An operator key has its own.
    Operator(KeyId),
}

/// Buckets of one kind, made when first used.
#[derive(Debug)]
pub struct Buckets<K>(Mutex<HashMap<K, Held>>);

#[derive(Debug)]
struct Held {
    bucket: Bucket,
    rate_per_s: u32,
}

impl<K: Hash + Eq> Default for Buckets<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq> Buckets<K> {
    /// Takes `cost` from the owner's bucket of `burst` tokens. A changed rate starts with a full bucket.
    ///
    /// # Errors
    /// 429 [`Code::RateLimited`] with the time to wait; then nothing is taken.
    pub fn take(&self, owner: K, rate_per_s: u32, burst: u32, now: Timestamp, cost: u32) -> Result<Quota, Problem> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= BUCKETS_MAX && !held.contains_key(&owner) {
            held.retain(|_, held| !held.bucket.is_full(now));
        }
        let fresh = || Held { bucket: Bucket::new(rate_per_s, burst, now), rate_per_s };
        let held = held.entry(owner).or_insert_with(fresh);
        if held.rate_per_s != rate_per_s {
            *held = fresh();
        }
        held.bucket.take(now, cost).map_err(|limited| Problem {
            retry_after: Some(limited.retry_after),
            allowance: Some(limited.quota),
            ..Problem::new(Code::RateLimited, format!("the limit is {rate_per_s} a second"))
        })
    }
}

/// Writes `RateLimit-Limit`, `-Remaining` and `-Reset` (seconds until the bucket is full).
pub fn write(quota: &Quota, headers: &mut HeaderMap) {
    headers.insert(HeaderName::from_static("ratelimit-limit"), HeaderValue::from(quota.limit));
    headers.insert(HeaderName::from_static("ratelimit-remaining"), HeaderValue::from(quota.remaining));
    headers.insert(HeaderName::from_static("ratelimit-reset"), HeaderValue::from(whole_seconds(quota.reset)));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_account_over_its_limit_leaves_others_alone() {
        let buckets = Buckets::default();
        let now = Timestamp::from_secs(1_800_000_000);
        for _ in 0..3 {
            buckets.take(1, 2, 3, now, 1).expect("within the burst");
        }
        let problem = buckets.take(1, 2, 3, now, 1).expect_err("over the limit");
        assert_eq!((problem.code, problem.status.as_u16()), (Code::RateLimited, 429));
        assert_eq!(problem.retry_after, Some(Duration::from_millis(500)));
        buckets.take(2, 2, 3, now, 1).expect("another account");
        buckets.take(1, 2, 3, now.plus(Duration::from_millis(500)), 1).expect("one token came back");
    }

    #[test]
    fn a_new_rate_counts_at_once() {
        let buckets = Buckets::default();
        let now = Timestamp::from_secs(1_800_000_000);
        buckets.take(1, 1, 1, now, 1).expect("the first");
        buckets.take(1, 1, 1, now, 1).expect_err("over the limit");
        buckets.take(1, 100, 100, now, 50).expect("the new rate");
    }

    #[test]
    fn headers_tell_what_is_left() {
        let mut headers = HeaderMap::new();
        let mut bucket = Bucket::new(10, 20, Timestamp(0));
        write(&bucket.take(Timestamp(0), 5).expect("within the burst"), &mut headers);
        assert_eq!(headers["ratelimit-limit"], "20");
        assert_eq!(headers["ratelimit-remaining"], "15");
        assert_eq!(headers["ratelimit-reset"], "1");
    }
}
