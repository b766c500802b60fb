//! Laws of token buckets. An engine with a clock of its own earns while a law runs, so what it may give is reckoned by that
//! clock; by hand nothing is earned, and the same laws are exact.

use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::Timestamp;
use bongsu_engine::cache::{Cache, KEY_MAX, Limit};

use crate::house::{House, until};

/// What a bucket may have given since `start`: its burst, and what came in since.
async fn may_give(house: &impl House, limit: Limit, start: Timestamp) -> u64 {
    let earned = house.now().await.since(start).as_micros() * u128::from(limit.rate_per_s) / 1_000_000;
    u64::from(limit.burst) + u64::try_from(earned).unwrap()
}

async fn takes(cache: Arc<dyn Cache>, key: &str, limit: Limit, count: u32, now: Timestamp) -> u64 {
    let mut given = 0;
    for _ in 0..count {
        given += u64::from(cache.take(key, limit, 1, now).await.outcome.is_ok());
    }
    given
}

pub async fn a_bucket_gives_its_burst_and_what_its_rate_earned(house: impl House) {
    let [here, there] = house.caches();
    let limit = Limit { rate_per_s: 2, burst: 50 };
    let start = house.now().await;
    let given = takes(here, "a", limit, 40, start).await + takes(there.clone(), "a", limit, 40, start).await;
    assert!(given >= 50, "{given}");
    assert!(given <= may_give(&house, limit, start).await, "{given}");
    let other = there.take("b", limit, 50, start).await;
    assert_eq!(other.outcome.unwrap().limit, 50, "another key has a bucket of its own");
}

pub async fn parallel_takers_in_two_processes_get_no_more_together(house: impl House) {
    let limit = Limit { rate_per_s: 2, burst: 150 };
    let start = house.now().await;
    let caches = house.caches();
    let takers = (0..16).map(|number| {
        let cache = caches[number % 2].clone();
        tokio::spawn(async move { takes(cache, "a", limit, 20, start).await })
    });
    let mut given = 0;
    for taker in takers.collect::<Vec<_>>() {
        given += taker.await.unwrap();
    }
    assert!(given >= 150, "{given}");
    assert!(given <= may_give(&house, limit, start).await, "{given}");
}

pub async fn an_ask_above_the_burst_leaves_a_debt(house: impl House) {
    let [here, there] = house.caches();
    let limit = Limit { rate_per_s: 1, burst: 1000 };
    let now = house.now().await;
    let quota = here.take("a", limit, 3000, now).await.outcome.unwrap();
    assert_eq!((quota.limit, quota.remaining, quota.reset), (1000, 0, Duration::from_secs(3000)));
    let limited = there.take("a", limit, 1, now).await.outcome.unwrap_err();
    assert_eq!(limited.quota.remaining, 0);
    let passed = house.now().await.since(now);
    assert!(limited.retry_after <= Duration::from_secs(2001));
    assert!(limited.retry_after + passed >= Duration::from_secs(2001), "{limited:?} after {passed:?}");
}

pub async fn a_bucket_fills_again(house: impl House) {
    let [here, _] = house.caches();
    let limit = Limit { rate_per_s: 1000, burst: 10 };
    let mut now = house.now().await;
    let mut last = here.take("a", limit, 30, now).await.outcome;
    until("a debt is paid", async || {
        if let Err(limited) = last {
            house.pass(limited.retry_after).await;
            now = house.now().await;
        }
        last = here.take("a", limit, 10, now).await.outcome;
        last.is_ok()
    })
    .await;
}

pub async fn asking_for_nothing_takes_nothing(house: impl House) {
    let [here, _] = house.caches();
    let limit = Limit { rate_per_s: 1, burst: 100 };
    let now = house.now().await;
    for _ in 0..3 {
        let quota = here.take("a", limit, 0, now).await.outcome.unwrap();
        assert_eq!((quota.limit, quota.remaining, quota.reset), (100, 100, Duration::ZERO));
    }
    assert!(here.take("a", limit, 1000, now).await.outcome.is_ok());
    assert!(here.take("a", limit, 0, now).await.outcome.is_err(), "not even nothing while in debt");
}

pub async fn another_limit_keeps_what_was_spent(house: impl House) {
    let [here, there] = house.caches();
    let limit = |burst| Limit { rate_per_s: 1, burst };
    let now = house.now().await;
    here.take("a", limit(1000), 900, now).await.outcome.unwrap();
    let more = there.take("a", limit(5000), 0, now).await.outcome.unwrap();
    let passed = u32::try_from(house.now().await.since(now).as_secs()).unwrap();
    assert_eq!(more.limit, 5000);
    assert!((100..=100 + passed).contains(&more.remaining), "{more:?}");
    let less = here.take("a", limit(50), 0, now).await.outcome.unwrap();
    assert_eq!((less.limit, less.remaining), (50, 50));
}

pub async fn a_key_over_the_limit_gets_nothing(house: impl House) {
    let [here, _] = house.caches();
    let limit = Limit { rate_per_s: 1000, burst: 1000 };
    let now = house.now().await;
    assert!(here.take(&"k".repeat(KEY_MAX), limit, 1, now).await.outcome.is_ok());
    let taken = here.take(&"k".repeat(KEY_MAX + 1), limit, 1, now).await;
    assert!(taken.outcome.unwrap_err().retry_after > Duration::ZERO);
    assert_eq!(here.metrics().refused, 1);
}

/// The engine of one process gives its share when it is told that it is not alone.
#[tokio::test]
async fn a_process_that_is_not_alone_gives_its_share() {
    let house = crate::house::Inprocess::open();
    let [cache, _] = house.caches();
    let limit = Limit { rate_per_s: 8, burst: 100 };
    let now = house.now().await;
    cache.set_processes(4);
    assert_eq!(takes(cache.clone(), "a", limit, 100, now).await, 25);
    let later = now.plus(Duration::from_secs(3));
    assert_eq!(takes(cache.clone(), "a", limit, 100, later).await, 6);
    // Alone again, it goes on from what is left, and earns at the whole rate.
    cache.set_processes(0);
    assert_eq!(takes(cache.clone(), "a", limit, 100, later).await, 0);
    let later = later.plus(Duration::from_secs(1));
    assert_eq!(takes(cache.clone(), "a", limit, 100, later).await, 8);
    let taken = cache.take("b", limit, 100, now).await;
    assert!(taken.outcome.is_ok() && !taken.shared);
}
