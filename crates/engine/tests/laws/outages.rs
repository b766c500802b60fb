//! What the cache does when its server dies, hangs, forgets, or refuses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bongsu_domain::{Secret, Timestamp};
use bongsu_engine::cache::{self, Cache, CacheConfig, Limit};
use bongsu_engine::{OpenError, RedisConfig, bus};
use futures_util::FutureExt as _;
use redis::cmd;

use crate::house::{by_hand, until};
use crate::server::{Server, cache_of, config, server_time};

const HOUR: Duration = Duration::from_secs(3600);
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

async fn is_up(cache: &Arc<dyn Cache>) {
    until("the server is reached", async || cache.health().up).await;
}

async fn is_down(cache: &Arc<dyn Cache>) {
    until("the server is missed", async || !cache.health().up).await;
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_without_being_repeated() {
    for url in [
        "",
        "nowhere",
        "http://:hunter2@a",
        "redis://:hunter2@",
        "redis://:hunter2@a/x",
        "rediss://:hunter2@a#insecure",
    ] {
        let config = RedisConfig::new(Secret::new(url));
        let refused = cache::open(&CacheConfig::Redis(config.clone()), by_hand()).err().expect(url);
        assert!(matches!(refused, OpenError::Address(_)), "{url}: {refused}");
        assert!(!refused.to_string().contains("hunter2") && !format!("{refused:?} {config:?}").contains("hunter2"));
        assert!(bus::open_redis(&config, by_hand()).is_err(), "{url}");
    }
    let config = RedisConfig { prefix: "p".repeat(65), ..RedisConfig::new(Secret::new("redis://a")) };
    assert_eq!(cache::open_redis(&config, by_hand()).err(), Some(OpenError::Prefix));
}

/// This server speaks no TLS, which is found out by trying.
#[tokio::test]
async fn an_address_with_tls_is_tried_with_tls() {
    let Some(server) = Server::start().await else { return };
    let cache = cache_of(&config(&server.url().replace("redis://", "rediss://")));
    until("the error shows", async || cache.health().last_error.is_some()).await;
    assert!(!cache.health().up);
}

#[tokio::test]
async fn without_its_server_each_process_gives_its_share_until_the_server_is_back() {
    let Some(mut server) = Server::start().await else { return };
    let config = config(&server.url());
    let caches = [cache_of(&config), cache_of(&config)];
    let limit = Limit { rate_per_s: 2, burst: 100 };
    for cache in &caches {
        is_up(cache).await;
        cache.set_processes(2);
        assert!(cache.take("a", limit, 1, NOW).await.shared);
        cache.put("a", b"value", HOUR).await;
    }
    server.kill();
    for cache in &caches {
        is_down(cache).await;
        let mut given = 0;
        for _ in 0..80 {
            let taken = cache.take("a", limit, 1, NOW).await;
            assert!(!taken.shared);
            given += u32::from(taken.outcome.is_ok());
        }
        assert_eq!(given, 50);
        assert_eq!(cache.take("a", limit, 1, NOW.plus(Duration::from_secs(1))).await.outcome.unwrap().limit, 50);
        assert_eq!(cache.get("a").await, None);
        cache.put("a", b"value", HOUR).await;
        cache.forget("a").await;
        let health = cache.health();
        assert_eq!((health.up, health.fallbacks, cache.metrics().fallbacks), (false, 81, 81));
        assert!(health.last_error.is_some());
    }
    server.start_again().await;
    for cache in &caches {
        is_up(cache).await;
    }
    let taken = caches[0].take("a", limit, 100, NOW).await;
    assert!(taken.shared && taken.outcome.is_ok(), "the server forgot, so the bucket is full: {taken:?}");
    assert!(caches[1].take("a", limit, 60, NOW).await.outcome.is_err(), "and it is the bucket of both");
    caches[0].put("a", b"again", HOUR).await;
    until("a value is kept again", async || caches[1].get("a").await.as_deref() == Some(b"again")).await;
    assert!(caches[0].metrics().connects >= 2);
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_found_later() {
    let Some(mut server) = Server::start().await else { return };
    let config = config(&server.url());
    server.kill();
    let cache = cache_of(&config);
    assert_eq!(cache.get("a").await, None);
    assert!(!cache.take("a", Limit { rate_per_s: 1, burst: 1 }, 1, NOW).await.shared);
    until("the error shows", async || cache.health().last_error.is_some()).await;
    assert!(!cache.health().up);
    server.start_again().await;
    is_up(&cache).await;
    cache.put("a", b"value", HOUR).await;
    assert_eq!(cache.get("a").await.as_deref(), Some(&b"value"[..]));
}

/// A server that hangs costs one call its patience; then the circuit is open. What was changed in the meantime is not seen
/// again as it was before.
#[tokio::test]
async fn nothing_older_comes_back_with_a_server_that_hung() {
    let Some(server) = Server::start().await else { return };
    let cache = cache_of(&RedisConfig { answer_within: Duration::from_millis(100), ..config(&server.url()) });
    is_up(&cache).await;
    for key in ["forgotten", "replaced", "untouched"] {
        until("the value is kept", async || {
            cache.put(key, b"old", HOUR).await;
            cache.get(key).await.is_some()
        })
        .await;
    }
    let before = cache.metrics().timeouts;
    server.hang();
    is_down_by_calls(&cache).await;
    for _ in 0..1000 {
        cache.forget("forgotten").await;
        cache.put("replaced", b"new", HOUR).await;
        assert_eq!(cache.get("untouched").await, None);
    }
    // The call that found out, and perhaps one in the background.
    assert!((1..=2).contains(&(cache.metrics().timeouts - before)), "{:?}", cache.metrics());
    server.go_on();
    is_up(&cache).await;
    assert_eq!(cache.get("forgotten").await, None);
    assert_ne!(cache.get("replaced").await.as_deref(), Some(&b"old"[..]));
    until("the server answers in time", async || cache.get("untouched").await.is_some()).await;
}

async fn is_down_by_calls(cache: &Arc<dyn Cache>) {
    until("the server is missed", async || {
        cache.get("untouched").await;
        !cache.health().up
    })
    .await;
}

#[tokio::test]
async fn nothing_older_comes_back_after_more_changes_than_can_be_remembered() {
    let Some(server) = Server::start().await else { return };
    let config = RedisConfig { answer_within: Duration::from_millis(100), ..config(&server.url()) };
    let patient = RedisConfig { answer_within: HOUR, ..config.clone() };
    let (cache, other) = (cache_of(&config), cache_of(&patient));
    is_up(&cache).await;
    is_up(&other).await;
    for number in 0..3000 {
        other.put(&number.to_string(), b"old", HOUR).await;
    }
    let mut raw = server.raw().await;
    cmd("SET").arg("laws:of somebody else").arg("kept").query_async::<()>(&mut raw).await.unwrap();
    server.hang();
    is_down_by_calls(&cache).await;
    for number in 0..12_000 {
        cache.forget(&number.to_string()).await;
    }
    server.go_on();
    is_up(&cache).await;
    for number in 0..3000 {
        assert_eq!(cache.get(&number.to_string()).await, None);
    }
    assert_eq!(other.get("1").await, None);
    let kept: Option<String> = cmd("GET").arg("laws:of somebody else").query_async(&mut raw).await.unwrap();
    assert_eq!(kept.as_deref(), Some("kept"));
    until("values are believed again", async || {
        cache.put("1", b"new", HOUR).await;
        cache.get("1").await.is_some()
    })
    .await;
}

#[tokio::test]
async fn a_change_that_is_dropped_half_way_shows_nothing_older() {
    let Some(server) = Server::start().await else { return };
    let cache = cache_of(&config(&server.url()));
    is_up(&cache).await;
    for number in 0..200 {
        let key = number.to_string();
        cache.put(&key, b"old", HOUR).await;
        assert!(cache.put(&key, b"new", HOUR).now_or_never().is_none());
        assert_ne!(cache.get(&key).await.as_deref(), Some(&b"old"[..]));
    }
    assert!(cache.health().up);
}

/// The server refuses one kind of command. That is no reason to do without the others, and old values are not believed.
#[tokio::test]
async fn a_refused_command_leaves_the_others_alone() {
    let Some(server) = Server::start().await else { return };
    let mut raw = server.raw().await;
    let cache = cache_of(&config(&server.url()));
    is_up(&cache).await;
    cache.put("a", b"old", HOUR).await;
    let acl = |rule: &'static str| {
        let mut raw = raw.clone();
        async move { cmd("ACL").arg("SETUSER").arg("default").arg(rule).query_async::<()>(&mut raw).await.unwrap() }
    };
    acl("-set").await;
    acl("-evalsha").await;
    cache.put("a", b"new", HOUR).await;
    assert_eq!(cache.get("a").await, None);
    assert!(!cache.take("b", Limit { rate_per_s: 1, burst: 10 }, 1, NOW).await.shared);
    let health = cache.health();
    assert!(health.up && health.last_error.unwrap().contains("NOPERM"));
    assert_eq!(cache.metrics().failures, 2);
    acl("+set").await;
    acl("+evalsha").await;
    assert!(cache.take("b", Limit { rate_per_s: 1, burst: 10 }, 1, NOW).await.shared);
    until("the value is kept", async || {
        cache.put("a", b"new", HOUR).await;
        cache.get("a").await.is_some()
    })
    .await;
    assert_eq!(cache.metrics().connects, 1);
    let _: () = cmd("PING").query_async(&mut raw).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_gives_the_burst_once_more_and_no_errors() {
    let Some(server) = Server::start().await else { return };
    let config = config(&server.url());
    let mut raw = server.raw().await;
    let limit = Limit { rate_per_s: 5, burst: 100 };
    let done = Arc::new(AtomicBool::new(false));
    let mut caches = Vec::new();
    for _ in 0..2 {
        let cache = cache_of(&config);
        is_up(&cache).await;
        caches.push(cache);
    }
    let start = server_time(&raw).await;
    let takers = (0..8).map(|number| {
        let (cache, done) = (caches[number % 2].clone(), done.clone());
        tokio::spawn(async move {
            let mut given = 0_u64;
            while !done.load(Ordering::Relaxed) {
                let taken = cache.take("a", limit, 1, NOW).await;
                assert!(taken.shared);
                given += u64::from(taken.outcome.is_ok());
            }
            given
        })
    });
    let takers: Vec<_> = takers.collect();
    let flushes = 5;
    for _ in 0..flushes {
        let takes = caches[0].metrics().takes;
        until("the burst is spent", async || caches[0].metrics().takes > takes + 300).await;
        let mut flush = redis::pipe();
        flush.cmd("FLUSHALL").ignore().cmd("SCRIPT").arg("FLUSH").ignore();
        flush.query_async::<()>(&mut raw).await.unwrap();
    }
    let takes = caches[0].metrics().takes;
    until("the burst is spent", async || caches[0].metrics().takes > takes + 300).await;
    done.store(true, Ordering::Relaxed);
    let mut given = 0;
    for taker in takers {
        given += taker.await.unwrap();
    }
    let earned = server_time(&raw).await.since(start).as_micros() as u64 * u64::from(limit.rate_per_s) / 1_000_000;
    let bursts = (flushes + 1) * u64::from(limit.burst);
    // Every life of the server begins with a full bucket and may end with less than one token earned and not given.
    assert!(given >= bursts, "{given}");
    assert!(given <= bursts + earned, "{given} with {earned} earned");
    for cache in caches {
        let metrics = cache.metrics();
        assert_eq!((metrics.failures, metrics.fallbacks, metrics.connects), (0, 0, 1), "{:?}", cache.health());
    }
}

/// A connection that somebody else ends costs nothing but a moment on one's own share.
#[tokio::test]
async fn a_cut_connection_is_made_again() {
    let Some(server) = Server::start().await else { return };
    let cache = cache_of(&config(&server.url()));
    let mut raw = server.raw().await;
    is_up(&cache).await;
    for cut in 2..6 {
        cmd("CLIENT")
            .arg("KILL")
            .arg("TYPE")
            .arg("normal")
            .arg("SKIPME")
            .arg("yes")
            .query_async::<()>(&mut raw)
            .await
            .unwrap();
        until("another connection", async || cache.metrics().connects == cut && cache.health().up).await;
        cache.put("a", b"value", HOUR).await;
        assert!(cache.get("a").await.is_some());
    }
}
