//! What follows an answer: the schedule, its end, 410, Retry-After, replays.

use std::time::Duration;

use bongsu_domain::Timestamp;
use bongsu_testkit::Answer;
use serde_json::{Value, json};

use super::house::{House, settle};

const MINUTE: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_endpoint_is_called_after_1_3_7_13_21_31_43_57_73_91_minutes_and_then_left() {
    let house = House::new().await;
    let webhook = house.webhook(json!({})).await;
    house.receiver.status(500);
    let ids = house.send(1).await;
    let mut endpoint = house.endpoint().await;
    let mut due = settle(&mut endpoint).await;
    assert_eq!(house.receiver.calls().len(), 1);
    for (no, minutes) in [1u32, 3, 7, 13, 21, 31, 43, 57, 73, 91].into_iter().enumerate() {
        let last = house.receiver.calls().last().expect("a call").at;
        assert_eq!(due, last.plus(MINUTE * minutes), "after failure {}", no + 1);
        house.clock.set(due.minus(MOMENT));
        settle(&mut endpoint).await;
        assert_eq!(house.receiver.calls().len(), no + 1, "not before");
        house.pass(MOMENT);
        due = settle(&mut endpoint).await;
        assert_eq!(house.receiver.calls().len(), no + 2);
        assert_eq!(house.receiver.calls().last().expect("a call").at, last.plus(MINUTE * minutes));
    }
    assert_eq!(due, Timestamp::MAX, "nothing is due any more");
    house.pass(MINUTE * 60 * 24);
    settle(&mut endpoint).await;
    let calls = house.receiver.calls();
    assert_eq!(calls.len(), 11);
    assert!(calls.iter().all(|call| call.id() == calls[0].id() && call.body == calls[0].body), "the same every time");
    let delivery = &house.deliveries(&webhook).await[0];
    assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("exhausted"), &json!(11)), "{delivery:#}");
    assert_eq!((&delivery["httpStatus"], &delivery["nextAt"]), (&json!(500), &Value::Null));
    assert_eq!(house.world.message(&ids[0]).await["status"], "delivered", "the result stays readable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_own_schedule_counts_and_a_result_in_between_ends_it() {
    let house = House::new().await;
    let webhook = house.webhook(json!({ "schedule": [5, 10] })).await;
    house.receiver.status(400);
    house.send(1).await;
    let mut endpoint = house.endpoint().await;
    settle(&mut endpoint).await;
    house.pass(MINUTE * 5);
    settle(&mut endpoint).await;
    house.receiver.status(201);
    house.pass(MINUTE * 10);
    assert_eq!(settle(&mut endpoint).await, Timestamp::MAX);
    let delivery = &house.deliveries(&webhook).await[0];
    assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("delivered"), &json!(3)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gone_disables_and_enabling_tells_what_was_left() {
    let house = House::new().await;
    let webhook = house.webhook(json!({ "concurrency": 1 })).await;
    let path = format!("/v1/webhooks/{}", webhook["id"].as_str().expect("an id"));
    house.receiver.status(410);
    house.send(2).await;
    let mut endpoint = house.endpoint().await;
    assert_eq!(settle(&mut endpoint).await, Timestamp::MAX);
    assert_eq!(house.receiver.calls().len(), 1, "one 410 is enough");
    let seen = house.world.get(&path).await;
    assert_eq!((&seen["disabled"], &seen["disabledReason"]), (&json!(true), &json!("gone")));
    house.pass(MINUTE * 60 * 24);
    settle(&mut endpoint).await;
    assert_eq!(house.receiver.calls().len(), 1);
    house.receiver.status(200);
    house.call("POST", &format!("{path}/enable"), Value::Null).await.good(200);
    let mut endpoint = house.endpoint().await;
    settle(&mut endpoint).await;
    let calls = house.receiver.calls();
    assert_eq!(calls.len(), 3);
    assert_eq!(calls[1].id(), calls[0].id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_gone_is_counted_once() {
    let house = House::new().await;
    house.webhook(json!({ "concurrency": 5 })).await;
    house.receiver.status(410);
    house.send(5).await;
    settle(&mut house.endpoint().await).await;
    let page = house.reports.metrics();
    assert!(page.contains("\nbongsu_webhook_disabled_total 1\n"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_makes_the_whole_endpoint_wait() {
    let house = House::new().await;
    house.webhook(json!({ "concurrency": 1 })).await;
    house.receiver.script(|_| Answer { headers: vec![("retry-after", "600".into())], ..Answer::of(429) });
    house.send(2).await;
    let mut endpoint = house.endpoint().await;
    let began = house.receiver.calls().len();
    let due = settle(&mut endpoint).await;
    let calls = house.receiver.calls();
    assert_eq!((began, calls.len()), (0, 1), "the other event waits too");
    assert_eq!(due, calls[0].at.plus(MINUTE * 10));
    house.receiver.status(200);
    house.clock.set(due);
    settle(&mut endpoint).await;
    assert_eq!(house.receiver.calls().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_may_be_a_date() {
    let house = House::new().await;
    house.webhook(json!({ "concurrency": 1 })).await;
    let date = "Fri, 20 Nov 2026 00:15:00 GMT";
    let until = Timestamp::parse_rfc3339("2026-11-20T00:15:00Z").expect("the same moment");
    let wait = until.since(bongsu_domain::Clock::now(&*house.clock));
    assert!(wait > MINUTE && wait < MINUTE * 60, "{wait:?}");
    house.receiver.script(move |_| Answer { headers: vec![("retry-after", date.to_owned())], ..Answer::of(503) });
    house.send(1).await;
    let mut endpoint = house.endpoint().await;
    assert_eq!(settle(&mut endpoint).await, until);
    house.receiver.status(200);
    house.clock.set(until);
    settle(&mut endpoint).await;
    assert_eq!(house.receiver.calls().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_are_told_again_when_somebody_asks() {
    let house = House::new().await;
    let webhook = house.webhook(json!({ "schedule": [], "concurrency": 1 })).await;
    let path = format!("/v1/webhooks/{}", webhook["id"].as_str().expect("an id"));
    house.receiver.script(|_| Answer { body: "no\u{1b}[31m such thing", ..Answer::of(404) });
    house.pass(MINUTE);
    let since = bongsu_domain::Clock::now(&*house.clock);
    house.send(2).await;
    let mut endpoint = house.endpoint().await;
    settle(&mut endpoint).await;
    let failed = house.deliveries(&webhook).await;
    assert_eq!(failed.len(), 2);
    assert_eq!((&failed[0]["status"], &failed[0]["answer"]), (&json!("exhausted"), &json!("no [31m such thing")));

    house.receiver.status(200);
    let one = format!("{path}/deliveries/{}/replay", failed[1]["id"].as_str().expect("an id"));
    let replayed = house.call("POST", &one, Value::Null).await.good(202);
    assert_eq!(replayed["status"], "pending");
    let mut endpoint = house.endpoint().await;
    settle(&mut endpoint).await;
    let calls = house.receiver.calls();
    assert_eq!((calls.len(), calls[2].id()), (3, failed[1]["eventId"].as_str().expect("an id")));
    let delivered = format!("{path}/deliveries?deliveryStatus=delivered");
    assert_eq!(house.world.get(&delivered).await["items"].as_array().map(Vec::len), Some(1));

    house.call("POST", &format!("{path}/replay"), json!({ "since": since.rfc3339() })).await;
    let mut endpoint = house.endpoint().await;
    settle(&mut endpoint).await;
    let calls = house.receiver.calls();
    let again: Vec<&str> = calls[3..].iter().map(bongsu_testkit::Call::id).collect();
    assert_eq!(again, [failed[1]["eventId"].as_str().expect("an id"), failed[0]["eventId"].as_str().expect("an id")]);
    let stranger = format!("{path}/deliveries/dlv_0000000000000/replay");
    assert_eq!(house.call("POST", &stranger, Value::Null).await.refusal(), (404, "UM1011"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_without_an_end_counts_by_its_status() {
    let house = House::new().await;
    let webhook = house.webhook(json!({})).await;
    house.receiver.script(|_| Answer { body: "and on", endless: true, ..Answer::of(200) });
    house.send(1).await;
    let mut endpoint = house.endpoint().await;
    assert_eq!(settle(&mut endpoint).await, Timestamp::MAX);
    let delivery = &house.deliveries(&webhook).await[0];
    assert_eq!((&delivery["status"], &delivery["answer"]), (&json!("delivered"), &json!("and on")));
}
