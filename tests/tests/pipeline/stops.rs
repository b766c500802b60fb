//! A server that is stopped or torn away in the middle of traffic goes on where it was.

use std::collections::BTreeMap;

use bongsu_testkit::{World, until};
use serde_json::json;

use crate::{messages, statuses};

async fn under_way() -> (World, Vec<String>) {
    let world = World::builder()
        .every_relay(json!({ "ratePerS": 1_000 }))
        .set("send.unknown_wait_ms", 500)
        .script(json!({ "relays": {
            "kt": { "delayMs": [0, 800], "latencyMs": 20 },
            "skt": { "delayMs": [0, 800], "latencyMs": 20 },
        }}))
        .start()
        .await;
    let ids = world.batch(json!({}), messages(0, 3_000)).await;
    (world, ids)
}

async fn submitted(world: &World, count: u64) {
    until("so many left", || async {
        (world.sim.stats().values().map(|stats| stats.taken).sum::<u64>() >= count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_in_the_middle_of_traffic_loses_nothing_and_doubles_nothing() {
    let (mut world, ids) = under_way().await;
    submitted(&world, 500).await;
    world.restart().await;
    submitted(&world, 1_500).await;
    world.restart().await;
    let messages = world.wait_final(&ids).await;
    assert_eq!(statuses(&messages), BTreeMap::from([("delivered", 3_000)]));
    assert_eq!(world.points(&world.main).await, 1_000_000 - 3_000);
    let counts = world.audit().await;
    assert_eq!((counts.duplicates_reported, counts.unknown_attempts), (0, 0), "a stop in order leaves nothing unknown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_torn_away_doubles_only_what_it_lists_as_unknown() {
    let (mut world, ids) = under_way().await;
    for count in [300, 900, 1_800] {
        submitted(&world, count).await;
        world.crash().await;
        world.start_again().await;
    }
    let messages = world.wait_final(&ids).await;
    assert_eq!(statuses(&messages), BTreeMap::from([("delivered", 3_000)]));
    assert_eq!(world.points(&world.main).await, 1_000_000 - 3_000);
    world.audit().await;
}
