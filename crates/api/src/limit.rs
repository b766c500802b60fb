//! Limits per account: requests and messages a second, in token buckets (RAT-01) that all processes share where they have a
//! shared cache, told by `RateLimit-*` headers.

use std::fmt;

use bongsu_domain::rate::Quota;
use bongsu_domain::{AccountId, Code, KeyId, Timestamp};
use bongsu_engine::cache::{Cache, Limit};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::problem::{Problem, whole_seconds};

/// What is counted, and whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    /// Requests with all keys of an account together.
    Requests(AccountId),
    /// Requests with a key of an operator.
    OperatorRequests(KeyId),
    /// Messages of an account.
    Messages(AccountId),
}

/// The name of the bucket.
impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requests(account) => write!(f, "requests:{}", account.0),
            Self::OperatorRequests(key) => write!(f, "requests:key:{}", key.0),
            Self::Messages(account) => write!(f, "messages:{}", account.0),
        }
    }
}

/// Takes `cost` from a bucket that is full at first.
///
/// # Errors
/// 429 [`Code::RateLimited`] with the time to wait; then nothing is taken.
pub async fn take(
    cache: &dyn Cache,
    bucket: Bucket,
    limit: Limit,
    cost: u32,
    now: Timestamp,
) -> Result<Quota, Problem> {
    let taken = cache.take(&bucket.to_string(), limit, cost, now).await;
    taken.outcome.map_err(|limited| Problem {
        retry_after: Some(limited.retry_after),
        allowance: Some(limited.quota),
        ..Problem::new(Code::RateLimited, format!("the limit is {} a second", limit.rate_per_s))
    })
}

/// Writes `RateLimit-Limit`, `-Remaining` and `-Reset` (seconds until the bucket is full).
pub fn write(quota: &Quota, headers: &mut HeaderMap) {
    headers.insert(HeaderName::from_static("ratelimit-limit"), HeaderValue::from(quota.limit));
    headers.insert(HeaderName::from_static("ratelimit-remaining"), HeaderValue::from(quota.remaining));
    headers.insert(HeaderName::from_static("ratelimit-reset"), HeaderValue::from(whole_seconds(quota.reset)));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bongsu_domain::ManualClock;
    use bongsu_engine::cache;

    use super::*;

    #[tokio::test]
    async fn one_account_over_its_limit_leaves_others_alone() {
        let now = Timestamp::from_secs(1_800_000_000);
        let cache = cache::open_inprocess(Arc::new(ManualClock::new(now)));
        let limit = Limit { rate_per_s: 2, burst: 3 };
        let one = Bucket::Messages(AccountId(1));
        for _ in 0..3 {
            take(&*cache, one, limit, 1, now).await.expect("within the burst");
        }
        let problem = take(&*cache, one, limit, 1, now).await.expect_err("over the limit");
        assert_eq!((problem.code, problem.status.as_u16()), (Code::RateLimited, 429));
        assert_eq!(problem.retry_after, Some(Duration::from_millis(500)));
        for other in
            [Bucket::Messages(AccountId(2)), Bucket::Requests(AccountId(1)), Bucket::OperatorRequests(KeyId(1))]
        {
            take(&*cache, other, limit, 1, now).await.expect("another bucket");
        }
        take(&*cache, one, limit, 1, now.plus(Duration::from_millis(500))).await.expect("one token came back");
    }

    #[test]
    fn headers_tell_what_is_left() {
        let mut headers = HeaderMap::new();
        let mut bucket = bongsu_domain::Bucket::new(10, 20, Timestamp(0));
        write(&bucket.take(Timestamp(0), 5).expect("within the burst"), &mut headers);
        assert_eq!(headers["ratelimit-limit"], "20");
        assert_eq!(headers["ratelimit-remaining"], "15");
        assert_eq!(headers["ratelimit-reset"], "1");
    }
}
