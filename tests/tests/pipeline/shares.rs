//! Traffic is divided exactly as the customer said.

use std::collections::BTreeMap;

use bongsu_testkit::{World, recipient};
use futures_util::future::join_all;

use crate::{first_attempts, messages, statuses};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_single_sends_keep_the_ratio_across_a_restart() {
    let mut world = World::start().await;
    let mut ids = Vec::new();
    for round in 0..20 {
        if round == 9 {
            world.restart().await;
        }
        let numbers: Vec<String> = (0..50).map(|n| recipient(round * 50 + n)).collect();
        let texts: Vec<String> = (0..50).map(|n| format!("single {}", round * 50 + n)).collect();
        ids.extend(join_all(numbers.iter().zip(&texts).map(|(to, text)| world.send(to, text))).await);
    }
    let messages = world.wait_final(&ids).await;
    assert_eq!(statuses(&messages), BTreeMap::from([("delivered", 1_000)]));
    let shares = first_attempts(&messages);
    for (relay, wanted) in [("kt", 700), ("skt", 200), ("lgu", 100)] {
        assert!(shares[relay].abs_diff(wanted) <= 1, "{shares:?}");
    }
    assert_eq!(world.points(&world.main).await, 1_000_000 - 1_000);
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_rows_are_divided_to_the_message() {
    let world = World::start().await;
    let ids = world.batch(serde_json::json!({}), messages(0, 10_000)).await;
    let messages = world.wait_final(&ids).await;
    assert_eq!(statuses(&messages), BTreeMap::from([("delivered", 10_000)]));
    assert_eq!(first_attempts(&messages), BTreeMap::from([("kt", 7_000), ("skt", 2_000), ("lgu", 1_000)]));
    let counts = world.audit().await;
    assert_eq!((counts.accepted, counts.finals, counts.duplicates_reported), (10_000, 10_000, 0));
}
