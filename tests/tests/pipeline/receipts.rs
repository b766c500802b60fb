//! Receipts in every dialect and at every wrong moment: one result each, and the money is right.

use std::collections::BTreeMap;

use bongsu_testkit::{World, until};
use serde_json::{Value, json};

use crate::{messages, statuses};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_that_come_twice_or_before_the_response_give_one_result() {
    let world = World::builder()
        .shares(json!({ "kt": 40, "skt": 30, "lgu": 30 }))
        .script(json!({ "relays": {
            "kt": { "duplicateReceipts": 1.0, "codes": { "UNDELIV:001": 0.25 } },
            "skt": { "earlyReceipts": 1.0 },
            "lgu": { "duplicateReceipts": 1.0, "earlyReceipts": 1.0, "latencyMs": 30, "echoReference": false },
        }}))
        .start()
        .await;
    let ids = world.batch(json!({}), messages(0, 1_000)).await;
    let messages = world.wait_final(&ids).await;
    let statuses = statuses(&messages);
    let (delivered, undelivered) = (statuses["delivered"], statuses["undelivered"]);
    assert_eq!(delivered + undelivered, 1_000, "{statuses:?}");
    assert!((50..150).contains(&undelivered), "a quarter of kt's share: {undelivered}");
    assert!(messages.iter().all(|message| message["late"] == false));
    // What was not delivered is refunded.
    world.wait_points(&world.main, 1_000_000 - delivered as i64).await;
    let counts = world.audit().await;
    assert_eq!((counts.unknown_attempts, counts.duplicates_reported), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_counts_its_ids_from_one_again_does_not_mix_results_up() {
    let script = |members: Value| {
        let mut kt = json!({ "restartIds": true });
        for (member, value) in members.as_object().into_iter().flatten() {
            kt[member] = value.clone();
        }
        json!({ "relays": { "kt": kt } })
    };
    let world = World::builder()
        .relays(&["kt"])
        .shares(json!({ "kt": 100 }))
        .script(script(json!({ "duplicateReceipts": 1.0, "echoReference": false })))
        .start()
        .await;
    let first = world.batch(json!({}), messages(0, 200)).await;
    assert_eq!(statuses(&world.wait_final(&first).await), BTreeMap::from([("delivered", 200)]));
    // The same ids to the same numbers, each time with the opposite result; the last ones even before the response.
    let undelivered = json!({ "UNDELIV:001": 1.0 });
    let rounds = [
        ("undelivered", json!({ "codes": undelivered, "duplicateReceipts": 1.0, "echoReference": false })),
        ("delivered", json!({ "earlyReceipts": 1.0 })),
        ("undelivered", json!({ "codes": undelivered, "earlyReceipts": 1.0, "duplicateReceipts": 1.0 })),
    ];
    for (wanted, members) in rounds {
        // What is repeated of the round before must have come; it has no word in the next one.
        until("every receipt was confirmed", || async {
            (world.sim.stats()["kt"].receipts_waiting == 0).then_some(())
        })
        .await;
        world.sim.stop_relay("kt").await.expect("it runs");
        world.script(script(members));
        world.sim.start_relay("kt").await.expect("its port is its own");
        let again = world.batch(json!({}), messages(0, 200)).await;
        assert_eq!(statuses(&world.wait_final(&again).await), BTreeMap::from([(wanted, 200)]));
    }
    assert_eq!(statuses(&world.wait_final(&first).await), BTreeMap::from([("delivered", 200)]));
    world.wait_points(&world.main, 1_000_000 - 400).await;
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_and_receipts_are_read_in_the_dialect_of_each_relay() {
    let world = World::builder()
        .shares(json!({ "kt": 34, "skt": 33, "lgu": 33 }))
        .relay("kt", json!({ "settings": { "responseIdHex": true } }))
        .relay("skt", json!({ "settings": { "receiptIdHex": true } }))
        .script(json!({ "relays": {
            "kt": { "idStyle": "hex", "receiptIdStyle": "decimal", "leadingZeros": 8, "receiptForm": "text", "echoReference": false },
            "skt": { "idStyle": "decimal", "receiptIdStyle": "hex", "receiptForm": "tlv", "codes": { "EXPIRED:027": 0.3 } },
            "lgu": { "leadingZeros": 10, "receiptForm": "text", "receiptDates": 12, "echoReference": false },
        }}))
        .start()
        .await;
    let ids = world.batch(json!({}), messages(0, 600)).await;
    let messages = world.wait_final(&ids).await;
    let statuses = statuses(&messages);
    assert_eq!(statuses["delivered"] + statuses["expired"], 600, "{statuses:?}");
    assert!((30..90).contains(&statuses["expired"]), "{statuses:?}");
    let counts = world.audit().await;
    assert_eq!((counts.orphan_receipts, counts.unknown_attempts), (0, 0));
}
