//! The failure story of RNS, by its own preset and by the faster default: one relay down, all down, one back.

use std::collections::BTreeMap;

use bongsu_testkit::{World, recipient};
use serde_json::{Value, json};

use crate::{messages, path, statuses};

const RELAYS: [&str; 3] = ["kt", "skt", "lgu"];

async fn tell_the_story(preset: &str) {
    // The waits are shortened; what is tried in which order is the preset's.
    let world = World::builder().set("failover.preset", preset).set("failover.wait_ms", 200).start().await;
    one_relay_down(&world).await;
    all_relays_down(&world).await;
    world.sim.start_relay("kt").await.expect("its port is its own");
    world.wait_relay("kt", true).await;
    let id = world.send(&recipient(900), "kt is back").await;
    let back = &world.wait_final(&[id]).await[0];
    assert_eq!((back["status"].as_str(), path(back)), (Some("delivered"), vec!["kt"]), "{back:#}");
    world.audit().await;
}

async fn one_relay_down(world: &World) {
    world.sim.stop_relay("kt").await.expect("it runs");
    world.wait_relay("kt", false).await;
    let ids = world.batch(json!({}), messages(0, 30)).await;
    let messages = world.wait_final(&ids).await;
    assert_eq!(statuses(&messages), BTreeMap::from([("delivered", 30)]));
    let moved: Vec<&Value> = messages.iter().filter(|message| path(message)[0] == "kt").collect();
    assert_eq!(moved.len(), 21, "the ratio is the customer's: kt keeps its bookings");
    for message in moved {
        assert_eq!(path(message), ["kt", "kt", "skt"], "{message:#}");
        assert_eq!(message["originStatus"], "RESEND");
        assert_eq!(message["attempts"][0]["outcome"], "unreachable");
        assert_eq!(message["attempts"][0]["code"], "UM7001");
    }
    for message in messages.iter().filter(|message| path(message)[0] != "kt") {
        assert_eq!((path(message).len(), &message["originStatus"]), (1, &json!("SUCCESS")));
    }
}

async fn all_relays_down(world: &World) {
    for relay in ["skt", "lgu"] {
        world.sim.stop_relay(relay).await.expect("it runs");
        world.wait_relay(relay, false).await;
    }
    let points = world.points(&world.main).await;
    let ids = world.batch(json!({}), messages(100, 30)).await;
    let messages = world.wait_final(&ids).await;
    assert_eq!(statuses(&messages), BTreeMap::from([("failed", 30)]));
    for message in &messages {
        assert_eq!((&message["code"], &message["originStatus"]), (&json!("UM7001"), &json!("FAIL")), "{message:#}");
        let path = path(message);
        assert_eq!((path.len(), path[0]), (4, path[1]), "twice on the first, each other one once: {path:?}");
        assert!(RELAYS.iter().all(|relay| path.contains(relay)), "{path:?}");
        let reason = message["attempts"][3]["reason"].as_str().expect("a reason");
        assert!(reason.contains(&path.join(" -> ")), "the path from the first relay on: {reason}");
    }
    // Refunded in full.
    world.wait_points(&world.main, points).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_relay_is_gone_around_and_comes_back_by_the_preset_of_rns() {
    tell_the_story("rns").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_relay_is_gone_around_and_comes_back_by_the_default() {
    tell_the_story("default").await;
}
