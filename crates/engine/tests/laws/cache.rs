//! Laws of values.

use std::time::Duration;

use bongsu_engine::cache::{KEY_MAX, Limit, VALUE_MAX};

use crate::house::House;

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(30);

pub async fn a_value_that_was_put_is_got(house: impl House) {
    let [here, there] = house.caches();
    assert_eq!(here.get("a").await, None);
    here.put("a", b"one", HOUR).await;
    here.put("empty", b"", HOUR).await;
    here.put("한글 키 \r\n*?[]", &[0, 255, b'\r', b'\n'], HOUR).await;
    for cache in [here, there] {
        assert_eq!(cache.get("a").await.as_deref(), Some(&b"one"[..]));
        assert_eq!(cache.get("empty").await.as_deref(), Some(&b""[..]));
        assert_eq!(cache.get("한글 키 \r\n*?[]").await.as_deref(), Some(&[0, 255, b'\r', b'\n'][..]));
        assert_eq!(cache.get("").await, None);
        assert_eq!(cache.get("A").await, None);
    }
}

pub async fn another_value_takes_its_place(house: impl House) {
    let [here, there] = house.caches();
    here.put("a", b"one", HOUR).await;
    there.put("a", b"two", HOUR).await;
    assert_eq!(here.get("a").await.as_deref(), Some(&b"two"[..]));
    here.put("a", b"three", HOUR).await;
    assert_eq!(there.get("a").await.as_deref(), Some(&b"three"[..]));
}

pub async fn a_value_ends_with_its_time(house: impl House) {
    let [here, there] = house.caches();
    here.put("long", b"one", HOUR).await;
    here.put("short", b"two", MOMENT).await;
    house.pass(MOMENT).await;
    for cache in [here, there] {
        assert_eq!(cache.get("short").await, None);
        assert_eq!(cache.get("long").await.as_deref(), Some(&b"one"[..]));
    }
}

pub async fn a_value_put_again_begins_anew(house: impl House) {
    let [here, _] = house.caches();
    here.put("longer", b"one", MOMENT).await;
    here.put("longer", b"two", HOUR).await;
    here.put("shorter", b"one", HOUR).await;
    here.put("shorter", b"two", MOMENT).await;
    house.pass(MOMENT).await;
    assert_eq!(here.get("longer").await.as_deref(), Some(&b"two"[..]));
    assert_eq!(here.get("shorter").await, None);
}

pub async fn a_forgotten_value_is_gone(house: impl House) {
    let [here, there] = house.caches();
    here.put("a", b"one", HOUR).await;
    here.put("b", b"two", HOUR).await;
    there.forget("a").await;
    there.forget("a").await;
    there.forget("never put").await;
    for cache in [&here, &there] {
        assert_eq!(cache.get("a").await, None);
        assert_eq!(cache.get("b").await.as_deref(), Some(&b"two"[..]));
    }
    here.put("a", b"three", HOUR).await;
    assert_eq!(there.get("a").await.as_deref(), Some(&b"three"[..]));
}

pub async fn what_is_over_a_limit_is_refused_and_leaves_nothing_behind(house: impl House) {
    let [here, there] = house.caches();
    let (longest, too_long) = ("k".repeat(KEY_MAX), "k".repeat(KEY_MAX + 1));
    let (largest, too_large) = (vec![7; VALUE_MAX], vec![7; VALUE_MAX + 1]);
    here.put(&longest, &largest, HOUR).await;
    assert_eq!(there.get(&longest).await, Some(largest));
    here.put(&too_long, b"one", HOUR).await;
    assert_eq!(here.get(&too_long).await, None);
    here.forget(&too_long).await;
    assert_eq!(here.metrics().refused, 3);

    // What takes the place of a value must not leave that value in its place.
    here.put(&longest, &too_large, HOUR).await;
    assert_eq!(there.get(&longest).await, None);
    assert_eq!(here.metrics().refused, 4);
    here.put("a", b"one", HOUR).await;
    here.put("a", b"two", Duration::ZERO).await;
    assert_eq!(there.get("a").await, None);
}

pub async fn values_and_buckets_have_names_of_their_own(house: impl House) {
    let [here, there] = house.caches();
    let limit = Limit { rate_per_s: 1, burst: 1000 };
    let now = house.now().await;
    here.put("a", b"one", HOUR).await;
    assert!(here.take("a", limit, 600, now).await.outcome.is_ok());
    assert_eq!(there.get("a").await.as_deref(), Some(&b"one"[..]));
    there.forget("a").await;
    assert!(there.take("a", limit, 600, now).await.outcome.is_err());
}

pub async fn what_happens_is_counted(house: impl House) {
    let [here, _] = house.caches();
    let now = house.now().await;
    here.put("a", b"one", HOUR).await;
    here.get("a").await;
    here.get("b").await;
    here.get("c").await;
    here.forget("a").await;
    here.take("a", Limit { rate_per_s: 1, burst: 500 }, 400, now).await.outcome.unwrap();
    here.take("a", Limit { rate_per_s: 1, burst: 500 }, 400, now).await.outcome.unwrap_err();
    let metrics = here.metrics();
    assert_eq!((metrics.puts, metrics.hits, metrics.misses, metrics.forgets), (1, 1, 2, 1));
    assert_eq!((metrics.takes, metrics.limited, metrics.fallbacks, metrics.refused), (2, 1, 0, 0));
    let health = here.health();
    assert!(health.up);
    assert_eq!(health.fallbacks, 0);
}
