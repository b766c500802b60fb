//! Whole batches: scheduled, moved, canceled.

use std::time::Duration;

use bongsu_testkit::{World, recipient};
use serde_json::{Value, json};

use crate::{MORNING, ahead, at, is_in_time};

/// Accepts a batch and gives its id with those of its messages.
async fn batch(world: &World, defaults: Value, rows: Vec<Value>) -> (String, Vec<String>) {
    let ids = world.batch(defaults, rows).await;
    let id = world.message(&ids[0]).await["batchId"].as_str().expect("a batch").to_owned();
    (id, ids)
}

fn rows(count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({ "to": recipient(n), "text": format!("봉수 {n}") })).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_leaves_at_its_own_time() {
    let (builder, clock) = at(MORNING);
    let world = builder.start().await;
    let mut some = rows(900);
    for (n, row) in some.iter_mut().enumerate().skip(600) {
        row["sendAt"] = json!(if n < 750 { ahead(&clock, 7_200_000) } else { ahead(&clock, -1_000) });
    }
    let time = ahead(&clock, 3_600_000);
    let (id, ids) = batch(&world, json!({ "sendAt": time, "lane": "bulk" }), some).await;
    world.wait_final(&ids[750..]).await;
    let of = |status: &str| format!("batchId={id}&status={status}");
    assert_eq!(world.messages(&of("scheduled")).await.len(), 750);
    clock.advance(Duration::from_secs(3_601));
    world.wait_final(&ids[..600]).await;
    assert_eq!(world.messages(&of("scheduled")).await.len(), 150);
    clock.advance(Duration::from_secs(3_600));
    for message in &world.wait_final(&ids).await[..750] {
        assert!(is_in_time(message), "{message:#}");
    }
    let counts = world.audit().await;
    assert_eq!((counts.accepted, counts.duplicates_reported), (900, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_moves_as_a_whole() {
    let (builder, clock) = at(MORNING);
    let mut world = builder.start().await;
    let (id, ids) = batch(&world, json!({ "sendAt": ahead(&clock, 600_000) }), rows(1_200)).await;
    let path = format!("/v1/batches/{id}/reschedule");
    let time = ahead(&clock, 1_200_000);
    let key = world.main.key.clone();
    let moved = world.call(&key, "POST", &path, json!({ "sendAt": time })).await.good(200);
    assert_eq!(moved, json!({ "batchId": id, "sendAt": time, "messages": 1_200 }));
    world.crash().await;
    clock.advance(Duration::from_secs(900));
    world.start_again().await;
    assert_eq!(world.messages(&format!("batchId={id}&status=scheduled")).await.len(), 1_200);
    let stranger = world.member("stranger").await;
    assert_eq!(world.call(&stranger.key, "POST", &path, json!({ "sendAt": time })).await.status, 404);
    clock.advance(Duration::from_secs(301));
    for message in world.wait_final(&ids).await {
        assert_eq!((&message["status"], &message["sendAt"]), (&json!("delivered"), &json!(time)));
    }
    let late = world.call(&key, "POST", &path, json!({ "sendAt": ahead(&clock, 600_000) })).await;
    assert_eq!((late.status, late.body["code"].as_str()), (409, Some("UM1012")), "{}", late.text);
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_takes_back_what_has_not_left() {
    let (builder, clock) = at(MORNING);
    let world = builder.start().await;
    let points = world.points(&world.main).await;
    let mut some = rows(1_010);
    for row in some.iter_mut().take(10) {
        row["sendAt"] = json!(ahead(&clock, 0));
    }
    let (id, ids) = batch(&world, json!({ "sendAt": ahead(&clock, 600_000) }), some).await;
    world.wait_final(&ids[..10]).await;
    let path = format!("/v1/batches/{id}/cancel");
    let stranger = world.member("stranger").await;
    assert_eq!(world.call(&stranger.key, "POST", &path, Value::Null).await.status, 404);
    for _ in 0..2 {
        // A repeat answers the same.
        let canceled = world.call(&world.main.key, "POST", &path, Value::Null).await.good(200);
        assert_eq!(canceled, json!({ "batchId": id, "canceled": 1_000, "left": 10 }));
    }
    assert_eq!(world.points(&world.main).await, points - 10);
    clock.advance(Duration::from_secs(601));
    let after = world.send(&recipient(5_000), "danach").await;
    world.wait_final(&[after]).await;
    assert_eq!(world.messages(&format!("batchId={id}&status=canceled")).await.len(), 1_000);
    let counts = world.audit().await;
    assert_eq!(counts.accepted, 1_011);

    let (id, _) = batch(&world, json!({}), rows(3)).await;
    world.audit().await;
    let gone = world.call(&world.main.key, "POST", &format!("/v1/batches/{id}/cancel"), Value::Null).await;
    assert_eq!((gone.status, gone.body["code"].as_str()), (409, Some("UM1012")), "{}", gone.text);
}
