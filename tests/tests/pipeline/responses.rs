//! Responses that never come although the relay took the message: the receipt tells what became of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bongsu_testkit::{World, recipient, until};
use serde_json::json;

use crate::smsc::{Smsc, accepted, delivered, receipt, undelivered};
use crate::{messages, path, statuses};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_responses_are_made_good_by_receipts_and_nothing_is_sent_twice() {
    let world = World::builder()
        .relays(&["kt"])
        .shares(json!({ "kt": 100 }))
        .every_relay(json!({ "settings": { "responseTimeoutMs": 500 } }))
        // An hour: only a receipt can end them.
        .set("send.unknown_wait_ms", 3_600_000)
        .script(json!({ "relays": { "kt": { "dropResponses": 0.2, "delayMs": [0, 900] } } }))
        .start()
        .await;
    let ids = world.batch(json!({}), messages(0, 200)).await;
    let messages = world.wait_final(&ids).await;
    assert_eq!(statuses(&messages), BTreeMap::from([("delivered", 200)]));
    assert!(messages.iter().all(|message| path(message) == ["kt"]), "nothing was sent again");
    let rows = world.pages("/v1/attempts?outcome=unknown&limit=100").await;
    assert!(rows.len() >= 20, "{}", rows.len());
    assert!(rows.iter().all(|row| row["resolution"] == "receipt"), "{rows:#?}");
    let counts = world.audit().await;
    assert_eq!((counts.duplicates_reported, counts.orphan_receipts), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_messages_to_one_number_at_once_get_their_own_results() {
    // A message centre that answers nothing and sends receipts in the opposite order of arrival.
    let held: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let smsc = Smsc::start(move |sequence, submit| {
        let text = bongsu_wire::smpp::decode_text(submit.short_message, bongsu_wire::smpp::DataCoding::Ksc5601);
        let state = if text.contains("good") { delivered() } else { undelivered() };
        let mut held = held.lock().expect("no panic under the lock");
        held.push(receipt(submit, &format!("{}", 5_000 + sequence), state, 1_000 + sequence));
        if held.len() < 20 { Vec::new() } else { held.drain(..).rev().collect() }
    })
    .await;
    let world = World::builder()
        .relays(&["kt"])
        .shares(json!({ "own": 100 }))
        .relay("own", json!({ "address": smsc.address, "binds": 1, "settings": { "responseTimeoutMs": 2_000 } }))
        .set("send.unknown_wait_ms", 3_600_000)
        .start()
        .await;
    let pair = |n: usize| {
        [
            json!({ "to": recipient(n), "text": format!("good {n}") }),
            json!({ "to": recipient(n), "text": format!("bad {n}") }),
        ]
    };
    let ids = world.batch(json!({}), (0..10).flat_map(pair).collect()).await;
    let messages = world.wait_final(&ids).await;
    for (n, message) in messages.iter().enumerate() {
        let wanted = if n % 2 == 0 { "delivered" } else { "undelivered" };
        assert_eq!(message["status"], wanted, "{n}: {message:#}");
    }
    world.wait_points(&world.main, 1_000_000 - 10).await;
    let counts = world.count().await;
    assert_eq!((counts.open, counts.lost, counts.double_final, counts.ledger_mismatch), (0, 0, 0, 0), "{counts:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_failure_of_one_attempt_says_nothing_about_the_next_that_is_out() {
    // A message centre that is silent about the code, tells of its failure when it comes again, and then that it arrived.
    let mut codes = 0;
    let mut answer = Vec::new();
    let smsc = Smsc::start(move |sequence, submit| {
        let text = bongsu_wire::smpp::decode_text(submit.short_message, bongsu_wire::smpp::DataCoding::Ksc5601);
        let (first, second, other) = (format!("first-{codes}"), format!("second-{codes}"), format!("other-{sequence}"));
        if !text.contains("code") {
            let told = [accepted(sequence, &other), receipt(submit, &other, delivered(), 3_000 + sequence)];
            return answer.drain(..).chain(told).collect();
        }
        codes += 1;
        if codes == 1 {
            return Vec::new();
        }
        answer = vec![accepted(sequence, &second), receipt(submit, &second, delivered(), 2_000 + sequence)];
        vec![receipt(submit, &first, undelivered(), 1_000 + sequence)]
    })
    .await;
    let world = World::builder()
        .relays(&["kt"])
        .shares(json!({ "own": 100 }))
        .relay("own", json!({ "address": smsc.address, "binds": 1, "settings": { "responseTimeoutMs": 5_000 } }))
        .start()
        .await;
    let code = world.submit(json!({ "to": recipient(1), "text": "code 1234", "lane": "auth" })).await;
    until("the first attempt has its receipt", || async {
        let rows = world.pages("/v1/attempts?outcome=unknown&limit=100").await;
        rows.into_iter().find(|row| row["messageId"] == code && row["resolution"] == "receipt")
    })
    .await;
    assert_eq!(world.message(&code).await["status"], "sending", "its second attempt is out");
    let other = world.submit(json!({ "to": recipient(2), "text": "go on", "lane": "auth" })).await;
    let messages = world.wait_final(&[code, other]).await;
    assert_eq!(statuses(&messages), BTreeMap::from([("delivered", 2)]), "{messages:#?}");
    assert_eq!(path(&messages[0]), ["own", "own"]);
    // Both arrived, so both are paid for.
    world.wait_points(&world.main, 1_000_000 - 2).await;
}
