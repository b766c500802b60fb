//! What is urgent overtakes, and nobody's mountain stands in another one's way. Told by order of arrival, not by time.

use bongsu_testkit::{World, recipient, until};
use serde_json::json;

use crate::messages;

/// What a relay of 200/s may take before something more urgent of twenty thousand that wait: usually a refill of 50 ms, but
/// a disk that syncs slowly keeps the urgent one for seconds.
const AHEAD_MAX: usize = 600;

async fn narrow(rate: u32) -> World {
    World::builder().relays(&["kt"]).shares(json!({ "kt": 100 })).every_relay(json!({ "ratePerS": rate })).start().await
}

/// Where each recipient stands in what the relay took; waits until all of them arrived.
async fn places(world: &World, numbers: &[String]) -> Vec<usize> {
    until("all of them arrived", || async {
        let seen = world.seen("kt").await;
        numbers.iter().map(|number| seen.iter().position(|(to, _)| to == number)).collect()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_overtakes_twenty_thousand_that_wait() {
    let world = narrow(200).await;
    let other = world.member("another").await;
    for half in 0..2 {
        world.batch_as(&other, json!({ "lane": "bulk" }), messages(half * 10_000, 10_000)).await;
    }
    let codes: Vec<String> = (0..50).map(|n| recipient(30_000 + n)).collect();
    let mut taken = Vec::new();
    for code in &codes {
        world.submit(json!({ "to": code, "text": "code", "lane": "auth" })).await;
        taken.push(world.sim.stats()["kt"].taken as usize);
    }
    for (place, taken) in places(&world, &codes).await.into_iter().zip(taken) {
        assert!(place <= taken + AHEAD_MAX, "accepted when {taken} had been taken, arrived as number {place}");
    }
    assert!(world.sim.stats()["kt"].taken < 20_000, "most of the mountain still waits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_take_turns_in_a_lane() {
    let world = narrow(400).await;
    let (large, small) = (world.member("large").await, world.member("small").await);
    world.batch_as(&large, json!({ "lane": "bulk" }), messages(0, 5_000)).await;
    until("the large one is under way", || async { (world.sim.stats()["kt"].taken > 20).then_some(()) }).await;
    world.batch_as(&small, json!({ "lane": "bulk" }), messages(10_000, 10)).await;
    let taken = world.sim.stats()["kt"].taken as usize;
    let numbers: Vec<String> = (0..10).map(|n| recipient(10_000 + n)).collect();
    for place in places(&world, &numbers).await {
        assert!(place <= taken + 2_000, "accepted when {taken} had been taken, arrived as number {place}");
    }
    world.operator("PATCH", "/v1/relays/kt", json!({ "ratePerS": 20_000 })).await.good(200);
    world.audit().await;
}
