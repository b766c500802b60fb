//! A server that is stopped or torn away in the middle of traffic goes on where it was.

use std::collections::BTreeMap;

use bongsu_testkit::{World, until};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_streams_that_are_watched_instead_of_cutting_them() {
    let mut world = World::start().await;
    let group = world.call(&world.main.key, "POST", "/v1/groups", json!({})).await.good(201);
    let path = format!("/v1/groups/{}/events", group["id"].as_str().unwrap());
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: bongsu\r\nauthorization: Bearer {}\r\n\r\n", world.main.key);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("event: progress") {
        assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "{}", String::from_utf8_lossy(&seen));
    }
    world.stop().await;
    stream.read_to_end(&mut seen).await.unwrap();
    let text = String::from_utf8(seen).unwrap();
    assert!(text.ends_with("\r\n0\r\n\r\n"), "the last chunk says that it is whole: {text}");
    world.start_again().await;
    assert_eq!(world.call(&world.main.key, "GET", "/v1/groups", Value::Null).await.status, 200);
}
