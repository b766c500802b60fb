//! Test keys and test numbers: every outcome of the real thing, through the same path, and nothing leaves.

use std::sync::Arc;
use std::time::Duration;

use bongsu_testkit::World;
use serde_json::{Value, json};

use super::{MovedClock, text};

/// What becomes of the numbers 1 to 8: status, code, and attempts.
const OUTCOMES: [(&str, &str, usize); 8] = [
    ("delivered", "UM0002", 1),
    ("expired", "UM5001", 1),
    ("undelivered", "UM4001", 1),
    ("delivered", "UM0002", 1),
    ("submitted", "UM0001", 1),
    ("delivered", "UM0002", 1),
    ("delivered", "UM0002", 1),
    ("delivered", "UM0002", 3),
];

fn number(n: usize) -> String {
    format!("0100000000{n}")
}

async fn test_key(world: &World) -> String {
    let spec = json!({ "role": "sender", "kind": "test" });
    text(&world.call(&world.main.key, "POST", "/v1/keys", spec).await.good(201)["key"])
}

/// Waits for the outcome of each id, which are of the numbers 1 to 8.
async fn each_has_its_outcome(world: &World, ids: &[String]) {
    for (id, (status, code, attempts)) in ids.iter().zip(OUTCOMES) {
        let message = world.wait_message(id, status, |message| message["status"] == status).await;
        assert_eq!((&message["code"], &message["price"]["amount"]), (&json!(code), &json!(0)), "{message}");
        let tried = message["attempts"].as_array().expect("attempts");
        assert_eq!(tried.len(), attempts, "{message}");
        assert!(tried.iter().all(|attempt| attempt["relay"] == "bongsu_test"), "{message}");
        let throttled = tried.iter().filter(|attempt| attempt["code"] == "UM7002").count();
        assert_eq!(throttled, attempts - 1, "{message}");
    }
}

async fn nothing_left(world: &World) {
    for relay in ["kt", "skt", "lgu"] {
        assert_eq!(world.seen(relay).await, [], "{relay} got a test");
    }
    assert_eq!(world.points(&world.main).await, 1_000_000, "a test costs nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_test_number_has_its_outcome_and_nothing_leaves() {
    let world = World::start().await;
    let key = test_key(&world).await;
    let body = |n: usize, text: &str| json!({ "to": number(n), "from": world.main.from, "text": text });
    let mut singles = Vec::new();
    for n in 1..=8 {
        let sent = world.call(&key, "POST", "/v1/messages", body(n, "단건")).await.good(202);
        assert_eq!(sent["price"]["amount"], 0);
        singles.push(text(&sent["id"]));
    }
    let rows: Vec<Value> = (1..=8).map(|n| body(n, "묶음")).collect();
    let batch = world.call(&key, "POST", "/v1/messages/batch", json!({ "messages": rows })).await.good(202);
    assert_eq!(batch["estimate"]["amount"], 0);
    let batch: Vec<String> = batch["results"].as_array().expect("rows").iter().map(|row| text(&row["id"])).collect();
    each_has_its_outcome(&world, &singles).await;
    each_has_its_outcome(&world, &batch).await;
    nothing_left(&world).await;

    let live = world.call(&world.main.key, "POST", "/v1/messages", body(1, "실제")).await;
    assert_eq!((live.refusal(), &live.body["errors"][0]["field"]), ((422, "UM1022"), &json!("to")));
    let stranger = json!({ "to": "01020000001", "from": world.main.from, "text": "시험" });
    assert_eq!(world.call(&key, "POST", "/v1/messages", stranger).await.refusal(), (422, "UM1022"));
    let found = world.call(&key, "GET", "/v1/messages?relay=bongsu_test&limit=500", Value::Null).await.good(200);
    assert_eq!(found["items"].as_array().map(Vec::len), Some(16));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tests_survive_a_crash_and_end_without_a_result_at_the_deadline() {
    let clock = Arc::new(MovedClock::default());
    let mut world = World::builder().clock(clock.clone()).start().await;
    let key = test_key(&world).await;
    let rows: Vec<Value> = (0..400)
        .map(|at| json!({ "to": number(1 + at % 8), "from": world.main.from, "text": format!("{at}") }))
        .collect();
    let batch = world.call(&key, "POST", "/v1/messages/batch", json!({ "messages": rows })).await.good(202);
    world.crash().await;
    world.start_again().await;
    let ids: Vec<String> = batch["results"].as_array().expect("rows").iter().map(|row| text(&row["id"])).collect();
    // What the crash left unknown is sent again when its wait is over, and the silent number ends at its deadline.
    clock.advance(Duration::from_secs(61));
    for n in [1, 2, 3, 4, 6, 7, 8] {
        for id in ids.iter().skip(n - 1).step_by(8) {
            world.wait_message(id, "ends", |message| message["status"] == OUTCOMES[n - 1].0).await;
        }
    }
    clock.advance(Duration::from_secs(26 * 3600));
    for id in ids.iter().skip(4).step_by(8) {
        let silent = world.wait_message(id, "ends", |message| message["status"] == "expired").await;
        assert_eq!(silent["code"], "UM9001", "{silent}");
    }
    nothing_left(&world).await;
    world.audit().await;
}
