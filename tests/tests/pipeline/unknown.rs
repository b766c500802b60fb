//! A relay that falls silent: nobody knows whether it took what was written, and nobody pretends to.

use bongsu_testkit::{Builder, World, recipient, until};
use serde_json::{Value, json};

use crate::path;

/// kt gets the first message of every account; its answers are given up soon.
fn mostly_kt() -> Builder {
    World::builder()
        .shares(json!({ "kt": 98, "skt": 1, "lgu": 1 }))
        .relay("kt", json!({ "settings": { "responseTimeoutMs": 300 } }))
}

async fn unknown_of(world: &World, id: &str) -> Value {
    until("the attempt is listed as unknown", || async {
        let rows = world.pages("/v1/attempts?outcome=unknown&limit=100").await;
        rows.into_iter().find(|row| row["messageId"] == id)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_goes_out_by_another_relay_at_once() {
    // An hour: the result below comes without waiting for it.
    let world = mostly_kt().set("send.unknown_wait_ms", 3_600_000).start().await;
    world.sim.silence("kt").expect("it is there");
    let id = world.submit(json!({ "to": recipient(1), "text": "code 1234", "lane": "auth" })).await;
    let message = &world.wait_final(std::slice::from_ref(&id)).await[0];
    assert_eq!((message["status"].as_str(), path(message)[0]), (Some("delivered"), "kt"), "{message:#}");
    assert_eq!(message["attempts"][0]["outcome"], "unknown");
    assert_eq!(path(message).len(), 2);
    assert_ne!(path(message)[1], "kt");
    let row = unknown_of(&world, &id).await;
    assert_eq!((row["n"].as_u64(), row["relay"].as_str()), (Some(1), Some("kt")), "{row:#}");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_waits_for_the_receipt_before_it_is_sent_again() {
    let wait = 1_200;
    let world = mostly_kt().set("send.unknown_wait_ms", wait).start().await;
    world.sim.silence("kt").expect("it is there");
    let id = world.submit(json!({ "to": recipient(1), "text": "sale", "lane": "bulk" })).await;
    let waiting = world.wait_message(&id, "is of unknown fate", |m| m["attempts"][0]["outcome"] == "unknown").await;
    assert_eq!((&waiting["status"], &waiting["originStatus"]), (&json!("sending"), &json!("PENDING")));
    let row = unknown_of(&world, &id).await;
    let message = &world.wait_final(&[id]).await[0];
    assert_eq!((message["status"].as_str(), path(message).len()), (Some("delivered"), 2), "{message:#}");
    assert_ne!(path(message)[1], "kt");
    let time =
        |value: &Value| bongsu_domain::Timestamp::parse_rfc3339(value.as_str().expect("a time")).expect("a time");
    let waited = time(&message["attempts"][1]["claimedAt"]).since(time(&row["since"]));
    assert!(waited.as_millis() >= wait - 1, "sent again after {waited:?}");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_must_not_get_it_twice_ends_the_message_and_says_that_it_may_never_have_left() {
    let world =
        mostly_kt().relay("kt", json!({ "resendUnknown": false })).set("send.unknown_wait_ms", 500).start().await;
    let points = world.points(&world.main).await;
    world.sim.silence("kt").expect("it is there");
    let id = world.submit(json!({ "to": recipient(1), "text": "once only", "lane": "bulk" })).await;
    let message = &world.wait_final(std::slice::from_ref(&id)).await[0];
    assert_eq!((message["status"].as_str(), path(message)), (Some("expired"), vec!["kt"]), "{message:#}");
    let reason = message["attempts"][0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("may never have left"), "{reason}");
    let resolution = until("the attempt is resolved", || async {
        unknown_of(&world, &id).await["resolution"].as_str().map(str::to_owned)
    });
    assert_eq!(resolution.await, "expired");
    // What may never have left costs nothing.
    world.wait_points(&world.main, points).await;
    world.audit().await;
}
