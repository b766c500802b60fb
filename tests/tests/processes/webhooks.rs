//! Webhooks over two processes: each event is told once, and a process that dies takes no webhook with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bongsu_domain::Clock;
use bongsu_server::clock::SystemClock;
use bongsu_server::config::Role;
use bongsu_testkit::{Receiver, World, has_database, recipient, until};
use serde_json::{Value, json};

fn rows(count: usize, from: usize) -> Vec<Value> {
    (from..from + count).map(|n| json!({ "to": recipient(n), "text": format!("봉수 {n}") })).collect()
}

/// How often each event was told to a receiver.
fn told(receiver: &Receiver) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for call in receiver.calls() {
        *told.entry(call.id().to_owned()).or_default() += 1;
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_tell_each_event_once_and_one_goes_on_alone() {
    if !has_database() {
        return;
    }
    let world =
        World::builder().on_database().set("process.lease_s", 10).set("webhooks.allow_loopback", "true").start().await;
    let other = world.join(&[Role::Report]).await;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut receivers = Vec::new();
    let mut webhooks = Vec::new();
    for _ in 0..6 {
        let receiver = Receiver::start(clock.clone()).await;
        let body = json!({ "url": receiver.url(), "events": ["message.delivered"] });
        let webhook = world.call(&world.main.key, "POST", "/v1/webhooks", body).await.good(201);
        webhooks.push(webhook["id"].as_str().expect("an id").to_owned());
        receivers.push(receiver);
    }
    world.batch(json!({ "lane": "bulk" }), rows(40, 0)).await;
    until("everybody has heard of all", || async {
        receivers.iter().all(|receiver| told(receiver).len() == 40).then_some(())
    })
    .await;
    for receiver in &receivers {
        assert!(told(receiver).values().all(|times| *times == 1), "{:?}", told(receiver));
    }
    // A call that was answered and not noted is repeated by the next one; here nothing is under way.
    for webhook in &webhooks {
        until("all calls are noted", || async {
            let calls = world.get(&format!("/v1/webhooks/{webhook}/deliveries?limit=100")).await;
            let calls = calls["items"].as_array().expect("a list");
            (calls.len() == 40 && calls.iter().all(|call| call["status"] == "delivered")).then_some(())
        })
        .await;
    }
    // What it had is taken by the one that lives, once its lease has ended.
    other.crash().await;
    world.batch(json!({ "lane": "bulk" }), rows(40, 1_000)).await;
    until("everybody has heard of those too", || async {
        receivers.iter().all(|receiver| told(receiver).len() == 80).then_some(())
    })
    .await;
    for receiver in &receivers {
        let more = told(receiver).values().map(|times| times - 1).sum::<usize>();
        assert_eq!(more, 0, "nothing was under way when it died");
    }
}
