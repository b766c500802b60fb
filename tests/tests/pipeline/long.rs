//! Long messages arrive whole, with their subject, whichever way they travel.

use bongsu_testkit::{World, recipient};
use serde_json::{Value, json};

/// 1,900 bytes of CP949 that differ from beginning to end.
fn text() -> String {
    (0..100).map(|n| format!("{n:03} 봉수대 소식.\n")).collect()
}

async fn travel(long: &str) -> (Value, Vec<bongsu_sim::Received>) {
    let world = World::builder().every_relay(json!({ "settings": { "long": long } })).start().await;
    let before = world.points(&world.main).await;
    let id = world.submit(json!({ "to": recipient(1), "text": text(), "subject": "한양 소식" })).await;
    let message = world.wait_final(&[id]).await.remove(0);
    assert_eq!((&message["status"], &message["channel"]), (&json!("delivered"), &json!("lms")), "{message:#}");
    assert_eq!(before - world.points(&world.main).await, 3, "an LMS costs three");
    world.audit().await;
    (message, world.sim.inbox(&recipient(1)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_message_travels_as_one_payload() {
    let (message, inbox) = travel("payload").await;
    assert_eq!(message["attempts"][0]["parts"].as_array().map(Vec::len), Some(1), "{message:#}");
    assert_eq!((inbox.len(), inbox[0].parts, inbox[0].subject.as_deref()), (1, 1, Some("한양 소식")));
    assert_eq!(inbox[0].text, text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_message_travels_in_parts_that_are_put_together_again() {
    let (message, inbox) = travel("udh").await;
    let parts = message["attempts"][0]["parts"].as_array().expect("parts");
    assert!(parts.len() > 10, "{}", parts.len());
    assert!(parts.iter().all(|part| part["code"] == "UM0002" && part["relayId"].is_string()), "{parts:#?}");
    assert_eq!((inbox.len(), usize::from(inbox[0].parts)), (1, parts.len()));
    assert_eq!((inbox[0].subject.as_deref(), inbox[0].text.as_str()), (Some("한양 소식"), text().as_str()));
}
