//! Idempotency: the same request again is the same message, whatever happens in between.

use bongsu_testkit::{Reply, World, recipient};
use futures_util::future::{self, Either};
use serde_json::{Value, json};

use super::{message, post};

/// A request that is sent more than once.
struct Request {
    path: &'static str,
    body: String,
    /// The same key with this one is a mistake.
    other: String,
    messages: usize,
}

fn requests(world: &World) -> [Request; 2] {
    let row = |n| message(&world.main, &recipient(n), &format!("봉수 {n}"));
    [
        Request { path: "/v1/messages", body: row(1).to_string(), other: row(2).to_string(), messages: 1 },
        Request {
            path: "/v1/messages/batch",
            body: json!({ "messages": (10..15).map(row).collect::<Vec<_>>() }).to_string(),
            other: json!({ "messages": (20..25).map(row).collect::<Vec<_>>() }).to_string(),
            messages: 5,
        },
    ]
}

async fn send(world: &World, path: &str, body: &str, key: &str) -> Reply {
    post(world, &world.main.key, path, &[("idempotency-key", key)], body).await
}

fn replayed(reply: &Reply) -> bool {
    reply.header("idempotency-replayed") == Some("true")
}

async fn accepted(world: &World) -> u64 {
    world.operator("GET", "/v1/audit", Value::Null).await.good(200)["accepted"].as_u64().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_identical_requests_at_once_are_one_message_and_the_second_gets_the_first_answer() {
    let mut world = World::start().await;
    let mut before = 0;
    for request in requests(&world) {
        let key = "at-once";
        let both = future::join(
            send(&world, request.path, &request.body, key),
            send(&world, request.path, &request.body, key),
        );
        let (one, two) = both.await;
        assert_eq!((one.status, two.status), (202, 202), "{} {}", one.text, two.text);
        assert_eq!(one.text, two.text);
        assert_ne!(replayed(&one), replayed(&two), "one of them is the first");
        assert_eq!(accepted(&world).await, before + request.messages as u64);
        before += request.messages as u64;

        let other = send(&world, request.path, &request.other, key).await;
        assert_eq!(other.refusal(), (422, "UM1006"));
        let elsewhere = send(&world, request.path, &request.other, "another-key").await;
        assert_eq!((elsewhere.status, replayed(&elsewhere)), (202, false));
        before += request.messages as u64;

        world.restart().await;
        let again = send(&world, request.path, &request.body, key).await;
        assert_eq!((again.status, replayed(&again)), (202, true), "the answer outlives the process");
        assert_eq!(again.text, one.text);
        assert_eq!(accepted(&world).await, before);
    }
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_the_accounts_own_and_a_refusal_is_not_remembered() {
    let world = World::start().await;
    let other = world.member("other").await;
    let mine = message(&world.main, &recipient(1), "mine").to_string();
    let theirs = message(&other, &recipient(1), "theirs").to_string();
    let keyed = [("idempotency-key", "shared")];
    assert_eq!(post(&world, &world.main.key, "/v1/messages", &keyed, mine).await.status, 202);
    let reply = post(&world, &other.key, "/v1/messages", &keyed, theirs).await;
    assert_eq!((reply.status, replayed(&reply)), (202, false));

    let wrong = json!({ "to": "12", "from": other.from, "text": "hi" }).to_string();
    let keyed = [("idempotency-key", "corrected")];
    assert_eq!(post(&world, &other.key, "/v1/messages", &keyed, wrong).await.refusal(), (422, "UM1020"));
    let right = message(&other, &recipient(2), "hi").to_string();
    assert_eq!(post(&world, &other.key, "/v1/messages", &keyed, right).await.status, 202);
    for bad in ["a b", "", &"x".repeat(256), "쿼리"] {
        let reply = post(&world, &other.key, "/v1/messages", &[("idempotency-key", bad)], "{}").await;
        assert_eq!(reply.refusal(), (400, "UM1001"), "{bad:?}");
        assert_eq!(reply.body["errors"][0]["field"], "Idempotency-Key");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_whose_first_is_held_up_is_told_to_come_back() {
    let world = World::builder().set("send.idempotency_wait_ms", 100).start().await;
    for request in requests(&world) {
        let key = "held";
        world.hold_writes(true);
        let (one, two) = (
            Box::pin(send(&world, request.path, &request.body, key)),
            Box::pin(send(&world, request.path, &request.body, key)),
        );
        // Only one of them can be answered while nothing is written: the one that found the key in use.
        let (busy, held) = match future::select(one, two).await {
            Either::Left(pair) => pair,
            Either::Right(pair) => pair,
        };
        assert_eq!(busy.refusal(), (409, "UM1005"));
        assert!(busy.header("retry-after").is_some(), "{:?}", busy.headers);
        world.hold_writes(false);
        let first = held.await;
        assert_eq!((first.status, replayed(&first)), (202, false), "{}", first.text);
        let again = send(&world, request.path, &request.body, key).await;
        assert_eq!((again.status, replayed(&again)), (202, true));
        assert_eq!(again.text, first.text);
    }
    assert_eq!(accepted(&world).await, 6);
    world.audit().await;
}
