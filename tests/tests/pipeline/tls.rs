//! Relays over TLS: the operator's authority is trusted, another one is not.

use bongsu_testkit::{Authority, World, until};
use serde_json::json;

use crate::messages;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_and_receipts_travel_over_tls() {
    let world = World::builder().tls(Authority::new("smsc.example")).start().await;
    let ids = world.batch(json!({}), messages(0, 100)).await;
    assert!(world.wait_final(&ids).await.iter().all(|message| message["status"] == "delivered"));
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_whose_certificate_another_authority_signed_gets_nothing() {
    let stranger = Authority::new("smsc.example");
    let world = World::builder()
        .tls(Authority::new("smsc.example"))
        .shares(json!({ "kt": 0, "skt": 50, "lgu": 50 }))
        .relay("kt", json!({ "settings": { "tlsCa": stranger.pem, "tlsServerName": stranger.name } }))
        .start_unlinked()
        .await;
    for relay in ["skt", "lgu"] {
        world.wait_relay(relay, true).await;
    }
    until("kt was tried", || async {
        let health = world.operator("GET", "/v1/relays/kt", json!(null)).await.good(200)["health"].clone();
        (health["up"] == false).then_some(())
    })
    .await;
    let ids = world.batch(json!({}), messages(0, 20)).await;
    assert!(world.wait_final(&ids).await.iter().all(|message| message["status"] == "delivered"));
    assert_eq!(world.sim.stats()["kt"].binds, 0);
    world.audit().await;
}
