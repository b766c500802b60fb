//! Limits of an account: who is over them waits, and nobody else does.

use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::{ManualClock, Timestamp};
use bongsu_testkit::{Member, Reply, World, recipient};
use serde_json::{Value, json};

use super::message;

fn quota(reply: &Reply) -> [Option<&str>; 3] {
    ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"].map(|name| reply.header(name))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_over_the_rate_of_an_account_wait_and_another_account_does_not() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_795_132_800)));
    let world =
        World::builder().clock(clock.clone()).without_redis().set("limits.messages_burst", 3).start_unlinked().await;
    let other = world.member("other").await;
    let path = format!("/v1/accounts/{}", world.main.account);
    world.operator("PATCH", &path, json!({ "ratePerS": 2 })).await.good(200);
    let send = async |member: &Member, n| {
        world.call(&member.key, "POST", "/v1/messages", message(member, &recipient(n), "봉수")).await
    };
    for (n, left) in [(1, "2"), (2, "1"), (3, "0")] {
        let reply = send(&world.main, n).await;
        assert_eq!((reply.status, quota(&reply)[..2].to_vec()), (202, vec![Some("3"), Some(left)]), "{}", reply.text);
    }
    let over = send(&world.main, 4).await;
    assert_eq!(over.refusal(), (429, "UM3003"));
    assert_eq!(over.header("retry-after"), Some("1"));
    assert_eq!(quota(&over), [Some("3"), Some("0"), Some("2")]);
    assert_eq!(over.body["retryable"], true);
    let batch =
        json!({ "messages": [message(&world.main, &recipient(5), "a"), message(&world.main, &recipient(6), "b")] });
    let refused = world.call(&world.main.key, "POST", "/v1/messages/batch", batch.clone()).await;
    assert_eq!(refused.refusal(), (429, "UM3003"));
    for n in 0..50 {
        assert_eq!(send(&other, n).await.status, 202, "another account has its own");
    }
    world.get("/v1/wallet").await;
    clock.advance(Duration::from_secs(1));
    world.call(&world.main.key, "POST", "/v1/messages/batch", batch).await.good(202);
    assert_eq!(send(&world.main, 7).await.refusal(), (429, "UM3003"));
    assert_eq!(world.points(&world.main).await, 1_000_000 - 5, "what was refused cost nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_over_the_rate_wait_whatever_they_ask() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_795_132_800)));
    let world =
        World::builder().clock(clock.clone()).without_redis().set("limits.requests_per_s", 30).start_unlinked().await;
    let other = world.member("other").await;
    let ask = async |key: &str| world.call(key, "GET", "/v1/wallet", Value::Null).await;
    let mut asked = 0;
    let over = loop {
        let reply = ask(&world.main.key).await;
        if reply.status == 429 {
            break reply;
        }
        asked += 1;
        assert!(asked <= 30, "30 requests a second");
    };
    assert_eq!((over.refusal(), over.header("retry-after")), ((429, "UM3003"), Some("1")));
    assert_eq!(quota(&over)[..2], [Some("30"), Some("0")]);
    let unknown = world.call(&world.main.key, "POST", "/v1/messages", Value::Null).await;
    assert_eq!(unknown.refusal(), (429, "UM3003"));
    ask(&other.key).await.good(200);
    clock.advance(Duration::from_secs(1));
    ask(&world.main.key).await.good(200);
}
