//! What waits too long is not sent, what is not wanted any more is not sent, and neither costs anything.

use bongsu_testkit::World;
use serde_json::{Value, json};

use crate::{messages, statuses};

/// One relay that lets a message through now and then.
async fn slow() -> World {
    World::builder().relays(&["kt"]).shares(json!({ "kt": 100 })).every_relay(json!({ "ratePerS": 2 })).start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_worthless_by_now_expires_and_is_refunded() {
    let world = slow().await;
    let before = world.points(&world.main).await;
    let ids = world.batch(json!({ "expiresIn": "PT5S" }), messages(0, 40)).await;
    let messages = world.wait_final(&ids).await;
    let statuses = statuses(&messages);
    let delivered = statuses.get("delivered").copied().unwrap_or(0);
    assert!((1..20).contains(&delivered), "{statuses:?}");
    assert_eq!(statuses["expired"], 40 - delivered, "{statuses:?}");
    for message in messages.iter().filter(|message| message["status"] == "expired") {
        assert_eq!((&message["code"], &message["attempts"]), (&json!("UM8003"), &json!([])), "{message:#}");
    }
    world.wait_points(&world.main, before - delivered as i64).await;
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_message_is_canceled_once_and_refunded() {
    let world = slow().await;
    let before = world.points(&world.main).await;
    let ids = world.batch(json!({}), messages(0, 12)).await;
    let last = format!("/v1/messages/{}/cancel", ids[11]);
    let canceled = world.call(&world.main.key, "POST", &last, Value::Null).await.good(200);
    assert_eq!(canceled["status"], "canceled", "{canceled:#}");
    let again = world.call(&world.main.key, "POST", &last, Value::Null).await;
    assert_eq!(again.refusal(), (409, "UM1012"));
    let messages = world.wait_final(&ids).await;
    let statuses = statuses(&messages);
    assert_eq!((statuses["delivered"], statuses["canceled"]), (11, 1));
    let delivered = format!("/v1/messages/{}/cancel", ids[0]);
    assert_eq!(world.call(&world.main.key, "POST", &delivered, Value::Null).await.refusal(), (409, "UM1012"));
    world.wait_points(&world.main, before - 11).await;
    assert!(world.sim.inbox(&bongsu_testkit::recipient(11)).is_empty(), "it never left");
    world.audit().await;
}
