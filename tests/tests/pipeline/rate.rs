//! The rate that a relay was promised is kept, as the relay itself counts it.

use bongsu_testkit::{World, until};
use serde_json::json;

use crate::messages;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_a_second_are_never_exceeded_also_across_reconnects() {
    let world = World::builder()
        .relays(&["kt"])
        .shares(json!({ "kt": 100 }))
        .every_relay(json!({ "ratePerS": 100, "settings": { "responseTimeoutMs": 500 } }))
        .set("send.unknown_wait_ms", 300)
        .start()
        .await;
    let mut ids = world.batch(json!({ "lane": "bulk" }), messages(0, 350)).await;
    ids.extend(world.batch(json!({ "lane": "auth" }), messages(1_000, 150)).await);
    for after in [100, 250, 400] {
        until("so many left", || async { (world.sim.stats()["kt"].parts >= after).then_some(()) }).await;
        world.sim.stop_relay("kt").await.expect("it runs");
        world.sim.start_relay("kt").await.expect("its port is its own");
    }
    let messages = world.wait_final(&ids).await;
    assert!(messages.iter().all(|message| message["status"] == "delivered"));
    let stats = &world.sim.stats()["kt"];
    assert!(stats.binds >= 8, "four times two binds: {}", stats.binds);
    assert!((50..=102).contains(&stats.max_in_any_second), "{}", stats.max_in_any_second);
    world.audit().await;
}
