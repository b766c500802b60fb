//! Who does what: processes of one role each, and what is left of one that ends.

use bongsu_server::config::Role;
use bongsu_testkit::{World, has_database, recipient, until};
use serde_json::{Value, json};

use super::{call, checks, manned};

fn rows(count: usize, from: usize) -> Vec<Value> {
    (from..from + count).map(|n| json!({ "to": recipient(n), "text": format!("봉수 {n}") })).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_of_one_role_each_send_a_batch() {
    if !has_database() {
        return;
    }
    let world = World::builder().on_database().set("roles", "api").start_unlinked().await;
    let other = world.join(&[Role::Api]).await;
    let first = world.join(&[Role::Dispatch]).await;
    let second = world.join(&[Role::Dispatch]).await;
    let report = world.join(&[Role::Report]).await;
    assert!(world.service().links().is_empty(), "a process without the role dispatch has no links");
    manned(&[&first, &second], 3).await;
    world.batch(json!({ "lane": "bulk" }), rows(300, 0)).await;
    let body =
        json!({ "channel": "auto", "lane": "auth", "from": world.main.from, "to": recipient(900), "text": "1234" });
    let accepted = call(other.http(), &world.main.key, "POST", "/v1/messages", body).await.good(202);
    let counts = world.audit().await;
    assert_eq!((counts.accepted, counts.open), (301, 0));
    let path = format!("/v1/messages/{}", accepted["id"].as_str().expect("an id"));
    let seen = call(other.http(), &world.main.key, "GET", &path, Value::Null).await.good(200);
    assert_eq!(seen["status"], "delivered");

    // The end of one in the middle of a batch: the other takes its part.
    world.batch(json!({ "lane": "bulk" }), rows(2_000, 1_000)).await;
    first.stop().await;
    world.batch(json!({ "lane": "bulk" }), rows(300, 4_000)).await;
    let counts = world.audit().await;
    assert_eq!((counts.accepted, counts.duplicates_reported), (2_601, 0), "an orderly end is no reason to send twice");
    report.stop().await;
    second.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatcher_that_dies_is_replaced() {
    if !has_database() {
        return;
    }
    let world = World::builder()
        .on_database()
        .set("roles", "api,report")
        .set("send.unknown_wait_ms", 500)
        .start_unlinked()
        .await;
    let first = world.join(&[Role::Dispatch]).await;
    manned(&[&first], 3).await;
    let second = world.join(&[Role::Dispatch]).await;
    world.batch(json!({ "lane": "bulk" }), rows(3_000, 0)).await;
    until("something was sent", || async { (!world.seen("kt").await.is_empty()).then_some(()) }).await;
    first.crash().await;
    world.batch(json!({ "lane": "bulk" }), rows(100, 5_000)).await;
    let counts = world.audit().await;
    assert_eq!(counts.accepted, 3_100);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_and_metrics_name_what_processes_share() {
    if !has_database() {
        return;
    }
    let world = World::builder().on_database().start().await;
    let (status, all) = checks(&world.http).await;
    assert_eq!(status, 200, "{all:?}");
    for name in ["store", "dispatch", "relays", "leases", "cache", "bus"] {
        until(&format!("{name} is well"), || async {
            let (_, all) = checks(&world.http).await;
            all.contains(&(name.to_owned(), true)).then_some(())
        })
        .await;
    }
    let page = world.call("", "GET", "/metrics", Value::Null).await;
    for name in [
        "bongsu_store_round_trips_total ",
        "bongsu_store_again_total ",
        "bongsu_processes 1",
        "bongsu_leases_good 1",
        "bongsu_binds_held{relay=\"kt\"} 2",
        "bongsu_binds{relay=\"kt\"} 2",
        "bongsu_task_held{task=\"sweep\"} 1",
        "bongsu_cache_fallbacks_total ",
        "bongsu_bus_dropped_total ",
    ] {
        assert!(page.text.contains(name), "{name} in {}", page.text);
    }
}
