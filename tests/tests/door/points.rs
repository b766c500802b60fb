//! Points: a message is paid for or not accepted, however many ask at once.

use std::collections::BTreeMap;

use bongsu_testkit::{World, recipient};
use futures_util::future::join_all;
use serde_json::Value;

use super::{all_pages, ids, message};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_parallel_sends_on_points_for_a_hundred_make_a_hundred_messages() {
    bongsu_server::run::raise_file_limit();
    let world = World::builder().points(100).start().await;
    let sends = (0..1_000).map(|n| {
        let body = message(&world.main, &recipient(n), &format!("봉수 {n}"));
        world.call(&world.main.key, "POST", "/v1/messages", body)
    });
    let mut answers: BTreeMap<(u16, String), usize> = BTreeMap::new();
    let mut accepted = Vec::new();
    for reply in join_all(sends).await {
        let word = if reply.status == 202 { &reply.body["status"] } else { &reply.body["code"] };
        *answers.entry((reply.status, word.to_string())).or_default() += 1;
        accepted.extend(reply.body["id"].as_str().map(str::to_owned));
    }
    let expected = BTreeMap::from([((202, "\"accepted\"".to_owned()), 100), ((402, "\"UM3001\"".to_owned()), 900)]);
    assert_eq!(answers, expected);
    assert_eq!(world.points(&world.main).await, 0);

    world.wait_final(&accepted).await;
    let messages = world.messages("").await;
    assert_eq!(messages.len(), 100);
    let mut listed = ids(&messages);
    listed.sort_unstable();
    accepted.sort_unstable();
    assert_eq!(listed, accepted);

    let entries = all_pages(&world, &world.main.key, "/v1/wallet/entries", 37).await;
    let amounts: Vec<i64> = entries.iter().map(|entry| entry["amount"].as_i64().expect("a number")).collect();
    assert_eq!((amounts.len(), amounts.iter().sum::<i64>()), (101, 0), "one credit, a hundred charges");
    let mut balance = 0;
    for entry in entries.iter().rev() {
        balance += entry["amount"].as_i64().expect("a number");
        assert_eq!(entry["balance"].as_i64(), Some(balance), "{entry}");
        assert!(balance >= 0, "{entry}");
    }
    world.audit().await;
    let totals = world.operator("GET", "/v1/audit", Value::Null).await.good(200);
    assert_eq!((totals["accepted"].as_u64(), totals["ledgerMismatch"].as_u64()), (Some(100), Some(0)));
}
