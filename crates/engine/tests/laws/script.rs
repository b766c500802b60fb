//! The bucket on the server: that it is the bucket of the domain, and what it costs.

use bongsu_domain::{Bucket, Timestamp};
use bongsu_engine::cache::Limit;
use redis::aio::MultiplexedConnection;
use redis::cmd;

use crate::server::{Server, cache_of, config, server_time};

use crate::house::until;

/// The level and the time that the server keeps of a bucket.
async fn kept(raw: &mut MultiplexedConnection, name: &str) -> Option<(i64, Timestamp)> {
    let kept: Option<String> = cmd("GET").arg(name).query_async(raw).await.unwrap();
    let kept = kept?;
    let (level, filled) = kept.split_once(' ').unwrap();
    Some((level.parse().unwrap(), Timestamp(filled.parse().unwrap())))
}

/// The time of each grant is read from what the server keeps; at that time a bucket of the domain must say the same.
#[tokio::test]
async fn the_script_does_what_the_bucket_of_the_domain_does() {
    let Some(server) = Server::start().await else { return };
    let config = config(&server.url());
    let cache = cache_of(&config);
    let mut raw = server.raw().await;
    until("the server is reached", async || cache.health().up).await;
    let ends = [1, 2, 7, 999, 1000, 50_000, 1_000_000, u32::MAX - 1, u32::MAX];
    let mut random = 1_u64;
    let mut random = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let (mut given, mut limited) = (0, 0);
    for (number, (rate_per_s, burst)) in ends.iter().flat_map(|rate| ends.map(|burst| (*rate, burst))).enumerate() {
        let (key, limit) = (number.to_string(), Limit { rate_per_s, burst });
        let name = format!("{}b:{key}", config.prefix);
        let mut model: Option<Bucket> = None;
        for _ in 0..20 {
            let cost = match random(4) {
                0 => burst,
                1 => 1,
                2 => u32::try_from(1 + random(u64::from(burst))).unwrap(),
                _ => ends[usize::try_from(random(ends.len() as u64)).unwrap()],
            };
            let before = server_time(&raw).await;
            let taken = cache.take(&key, limit, cost, before).await;
            assert!(taken.shared);
            // A bucket that is full again has gone by itself and is made anew.
            let at = kept(&mut raw, &name).await.map(|(_, filled)| filled);
            match taken.outcome {
                Ok(quota) => {
                    given += 1;
                    let Some(at) = at.filter(|at| *at >= before) else { continue };
                    let model = model.get_or_insert_with(|| Bucket::new(rate_per_s, burst, at));
                    assert_eq!(model.take(at, cost), Ok(quota), "{limit:?} {cost}");
                }
                Err(refused) => {
                    limited += 1;
                    let model = model.as_ref().unwrap();
                    let then = model.clone().take(before, cost).unwrap_err();
                    let after = model.clone().take(server_time(&raw).await, cost);
                    assert!(refused.retry_after <= then.retry_after, "{limit:?} {cost}");
                    assert!(after.is_ok() || after.unwrap_err().retry_after <= refused.retry_after, "{limit:?} {cost}");
                }
            }
        }
    }
    assert!(given > 200 && limited > 200, "{given} {limited}");
}

#[tokio::test]
async fn a_take_is_one_round_trip_and_every_key_ends_by_itself() {
    let Some(server) = Server::start().await else { return };
    let cache = cache_of(&config(&server.url()));
    let mut raw = server.raw().await;
    until("the server is reached", async || cache.health().up).await;
    let now = server_time(&raw).await;
    for number in 0..100 {
        let limit = Limit { rate_per_s: 1, burst: 1000 };
        assert!(cache.take(&(number % 10).to_string(), limit, 5, now).await.shared);
        cache.put(&number.to_string(), b"value", std::time::Duration::from_secs(u64::MAX)).await;
        assert!(cache.get(&number.to_string()).await.is_some());
    }
    let stats: String = cmd("INFO").arg("commandstats").query_async(&mut raw).await.unwrap();
    let calls = |command: &str| -> u32 {
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    };
    // The first one finds that the server does not have the script yet.
    assert_eq!((calls("evalsha"), calls("script|load")), (101, 1), "{stats}");
    // Inside the script the bucket is read and written; outside a value is a command each.
    assert_eq!((calls("get"), calls("set")), (200, 200), "{stats}");

    let names: Vec<String> = cmd("KEYS").arg("*").query_async(&mut raw).await.unwrap();
    assert_eq!(names.len(), 110);
    for name in names {
        let millis: i64 = cmd("PTTL").arg(&name).query_async(&mut raw).await.unwrap();
        assert!((1..=3_600_000).contains(&millis), "{name} ends in {millis} ms");
    }
}
