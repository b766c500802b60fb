//! Two processes over one database: what is due leaves once, and the end of one makes nothing late.

use std::time::Duration;

use bongsu_server::config::Role;
use bongsu_testkit::{World, has_database, recipient};
use serde_json::{Value, json};

use crate::{ahead, arrivals, at, is_in_time};

const HOUR: Duration = Duration::from_secs(3_600);

fn rows(count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({ "to": recipient(n), "text": format!("봉수 {n}") })).collect()
}

/// A world of an API and two processes that dispatch and have schedules.
async fn world() -> Option<(World, std::sync::Arc<bongsu_testkit::ShiftedClock>)> {
    if !has_database() {
        return None;
    }
    let (builder, clock) = at("2026-03-02T10:00:00+09:00");
    let world = builder.on_database().set("roles", "api,dispatch,schedule").set("send.unknown_wait_ms", 500).start();
    Some((world.await, clock))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_leaves_once_and_in_time() {
    let Some((world, clock)) = world().await else { return };
    let other = world.join(&[Role::Dispatch, Role::Schedule]).await;
    let send_at = ahead(&clock, 3_600_000);
    let ids = world.batch(json!({ "sendAt": send_at, "lane": "realtime" }), rows(1_000)).await;
    for n in 0..30 {
        let body = json!({ "to": recipient(2_000 + n), "text": "봉수", "sendAt": send_at });
        world.submit(body).await;
    }
    clock.advance(HOUR);
    for message in world.wait_final(&ids).await {
        assert_eq!(message["attempts"].as_array().map(Vec::len), Some(1), "{message:#}");
        assert!(is_in_time(&message), "{message:#}");
    }
    let counts = world.audit().await;
    assert_eq!((counts.accepted, counts.duplicates_reported), (1_030, 0));
    for n in 0..30 {
        assert_eq!(arrivals(&world, &recipient(2_000 + n)).await, 1);
    }
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_death_of_one_makes_nothing_late() {
    let Some((mut world, clock)) = world().await else { return };
    // The first process has the work; it dies while messages wait, and the other does not wait for its lease to end.
    let other = world.join(&[Role::Api, Role::Dispatch, Role::Schedule]).await;
    let send_at = ahead(&clock, 3_600_000);
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(world.submit(json!({ "to": recipient(n), "text": "봉수", "sendAt": send_at })).await);
    }
    world.crash().await;
    clock.advance(HOUR);
    world.start_again().await;
    for message in world.wait_final(&ids).await {
        assert_eq!(message["status"], "delivered", "{message:#}");
    }
    world.audit().await;
    other.stop().await;
}
