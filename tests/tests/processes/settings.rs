//! Settings that one process changes count in all of them: at once with a bus, within about a second without.

use std::time::{Duration, Instant};

use bongsu_server::config::Role;
use bongsu_testkit::{Builder, Http, Process, World, has_database, has_redis, recipient, until};
use serde_json::{Value, json};

use super::call;

/// How long a change may take without a bus: a look each second, and plenty for what a busy machine adds.
const WITHOUT_NEWS: Duration = Duration::from_secs(15);

async fn pair(builder: Builder) -> (World, Process) {
    let world = builder.on_database().start().await;
    let other = world.join(&[Role::Api]).await;
    (world, other)
}

/// Asks with a key until it is answered so, and says how long that took.
async fn answered(http: &Http, key: &str, status: u16) -> Duration {
    let began = Instant::now();
    until(&format!("the answer is {status}"), || async {
        let reply = call(http, key, "GET", "/v1/wallet", Value::Null).await;
        (reply.status == status).then_some(())
    })
    .await;
    began.elapsed()
}

async fn a_revoked_key_is_refused(world: &World, other: &Process) -> Duration {
    let made = world.call(&world.main.key, "POST", "/v1/keys", json!({ "scopes": ["read"] })).await.good(201);
    let (id, key) = (made["id"].as_str().expect("an id"), made["key"].as_str().expect("a key"));
    answered(other.http(), key, 200).await;
    answered(&world.http, key, 200).await;
    let revoked = world.call(&world.main.key, "DELETE", &format!("/v1/keys/{id}"), Value::Null).await;
    assert_eq!(revoked.status, 204);
    let here = call(&world.http, key, "GET", "/v1/wallet", Value::Null).await;
    assert_eq!(here.status, 401, "the process that revoked it refuses it at once");
    answered(other.http(), key, 401).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_refused_everywhere_without_a_bus() {
    if !has_database() {
        return;
    }
    let (world, other) = pair(World::builder().without_redis()).await;
    let took = a_revoked_key_is_refused(&world, &other).await;
    assert!(took < WITHOUT_NEWS, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_refused_everywhere_with_a_bus() {
    if !has_database() || !has_redis() {
        return;
    }
    let (world, other) = pair(World::builder()).await;
    for _ in 0..3 {
        let took = a_revoked_key_is_refused(&world, &other).await;
        assert!(took < WITHOUT_NEWS, "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_switched_off_or_moved_is_refused_everywhere_within_seconds() {
    if !has_database() {
        return;
    }
    let (world, other) = pair(World::builder().without_redis()).await;
    let made = world.call(&world.main.key, "POST", "/v1/keys", json!({ "role": "viewer" })).await.good(201);
    let (id, key) = (made["id"].as_str().expect("an id"), made["key"].as_str().expect("a key"));
    answered(other.http(), key, 200).await;
    let path = format!("/v1/keys/{id}");
    for (patch, status) in [
        (json!({ "active": false }), 401),
        (json!({ "active": true }), 200),
        (json!({ "ipAllow": ["192.0.2.0/24"] }), 403),
        (json!({ "ipAllow": ["127.0.0.0/8", "::1"] }), 200),
    ] {
        world.call(&world.main.key, "PATCH", &path, patch.clone()).await.good(200);
        assert_eq!(call(&world.http, key, "GET", "/v1/wallet", Value::Null).await.status, status, "here: {patch}");
        let took = answered(other.http(), key, status).await;
        assert!(took < WITHOUT_NEWS, "{patch}: {took:?}");
        answered(other.http(), &world.main.key, 200).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suspension_prices_senders_and_shares_count_everywhere() {
    if !has_database() {
        return;
    }
    let (world, other) = pair(World::builder()).await;
    let send = async |n: usize, from: &str| {
        let body = json!({ "channel": "sms", "from": from, "to": recipient(n), "text": format!("봉수 {n}") });
        call(other.http(), &world.main.key, "POST", "/v1/messages", body).await
    };
    let first = send(0, &world.main.from).await.good(202);
    let path = |message: &Value| format!("/v1/messages/{}", message["id"].as_str().expect("an id"));
    assert_eq!(world.get(&path(&first)).await["price"]["amount"], 1);

    // Each was asked for before it changed, so the other process remembers it.
    assert_eq!(send(1, "0215889999").await.status, 422, "it is not registered");
    let sender = world.call(&world.main.key, "POST", "/v1/senders", json!({ "number": "0215889999" })).await.good(201);
    let approve = format!("/v1/senders/{}/approve", sender["id"].as_str().expect("an id"));
    world.operator("POST", &approve, Value::Null).await.good(200);
    until("the new number may send", || async { (send(2, "0215889999").await.status == 202).then_some(()) }).await;

    let price = json!({ "channel": "sms", "unit": "point:sms", "amount": 7 });
    world.operator("PUT", "/v1/prices", price).await.good(200);
    until("the new price counts", || async {
        let sent = send(3, &world.main.from).await.good(202);
        (world.get(&path(&sent)).await["price"]["amount"] == 7).then_some(())
    })
    .await;

    let account = format!("/v1/accounts/{}", world.main.account);
    world.operator("PATCH", &account, json!({ "suspended": true })).await.good(200);
    answered(other.http(), &world.main.key, 403).await;
    world.operator("PATCH", &account, json!({ "suspended": false })).await.good(200);
    answered(other.http(), &world.main.key, 200).await;
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_an_api_process_adds_is_linked_by_a_dispatcher() {
    if !has_database() {
        return;
    }
    let world = World::builder().on_database().relays(&["kt", "skt"]).shares(Value::Null).start().await;
    let other = world.join(&[Role::Api]).await;
    let body = json!({
        "name": "third", "kind": "smpp", "address": world.sim.addr("skt").to_string(), "systemId": "bongsu",
        "password": "secret", "ratePerS": 100, "window": 10, "binds": 1, "resendUnknown": true,
    });
    call(other.http(), &world.operator_key, "POST", "/v1/relays", body).await.good(201);
    world.wait_relay("third", true).await;
    call(other.http(), &world.operator_key, "DELETE", "/v1/relays/third", Value::Null).await;
    until("the link is gone", || async {
        world.service().links().iter().all(|(name, _)| name != "third").then_some(())
    })
    .await;
}
