//! Advertisements (광고): what they have to say, and the night in which none leaves.

use bongsu_testkit::{World, recipient, until};
use serde_json::{Value, json};

use crate::{arrivals, at, millis};

const NIGHT_FROM: &str = "2026-03-02T21:00:00+09:00";
const NIGHT_TO: &str = "2026-03-03T08:00:00+09:00";

/// What an account says of itself in advertisements.
async fn introduce(world: &World) {
    let about = json!({ "adName": "봉수가게", "optOutNumber": "080-123-4567" });
    let path = format!("/v1/accounts/{}", world.main.account);
    let account = world.call(&world.main.key, "PATCH", &path, about).await.good(200);
    assert_eq!((&account["adName"], &account["optOutNumber"]), (&json!("봉수가게"), &json!("0801234567")));
}

fn ad(n: usize) -> Value {
    let text = format!("(광고)봉수가게 {n}번째 할인\n무료수신거부 080-123-4567");
    json!({ "to": recipient(n), "text": text, "ad": true, "expiresIn": "PT1H" })
}

/// Moments at which something was written to relays.
fn written(message: &Value) -> impl Iterator<Item = i64> + '_ {
    message["attempts"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|a| &a["submittedAt"])
        .filter(|at| !at.is_null())
        .map(millis)
}

fn assert_not_at_night(message: &Value) {
    let (from, to) = (millis(&json!(NIGHT_FROM)), millis(&json!(NIGHT_TO)));
    assert!(written(message).all(|at| at < from || at >= to), "{message:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_advertisement_lacks_is_told() {
    let (builder, _) = at("2026-03-02T10:00:00+09:00");
    let world = builder.start().await;
    let key = world.main.key.clone();
    let post = |body: Value| world.call(&key, "POST", "/v1/messages", body);
    let with = |field: &str, value: Value| {
        let mut body = ad(1);
        body["from"] = json!(world.main.from);
        body[field] = value;
        body
    };
    let stranger = post(with("to", json!(recipient(1)))).await;
    assert_eq!((stranger.status, stranger.body["code"].as_str()), (422, Some("UM2010")), "{}", stranger.text);
    introduce(&world).await;
    for (field, value, found) in [
        ("text", json!("[광고]봉수가게\n무료거부 0801234567"), "text"),
        ("text", json!("(광고)딴가게\n무료거부 0801234567"), "text"),
        ("text", json!("(광고)봉수가게\n무료거부 0801234568"), "text"),
        ("subject", json!("할인"), "subject"),
        ("lane", json!("bulk"), "ad"),
        ("sendAt", json!("2026-03-02T09:00:00+09:00"), "sendAt"),
    ] {
        let reply = post(with(field, value)).await;
        assert_eq!((reply.status, &reply.body["errors"][0]["field"]), (422, &json!(found)), "{}", reply.text);
    }
    let mut unsaid = with("ad", json!(false));
    unsaid["lane"] = json!("ad");
    assert_eq!(post(unsaid).await.body["errors"][0]["field"], "ad");
    let id = post(with("ad", json!(true))).await.good(202)["id"].as_str().expect("an id").to_owned();
    let message = &world.wait_final(&[id]).await[0];
    assert_eq!((message["lane"].as_str(), message["status"].as_str()), (Some("ad"), Some("delivered")));
    let foreign = json!({ "suspended": true });
    let path = format!("/v1/accounts/{}", world.main.account);
    assert_eq!(world.call(&key, "PATCH", &path, foreign).await.status, 403);
    let other = world.member("stranger").await;
    let path = format!("/v1/accounts/{}", other.account);
    assert_eq!(world.call(&key, "PATCH", &path, json!({ "adName": "x" })).await.status, 404);
    let cleared = world.call(&other.key, "PATCH", &path, json!({ "adName": "" })).await.good(200);
    assert_eq!(cleared["adName"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_leave_before_the_night_is_held_until_the_morning_also_after_a_restart() {
    let (builder, clock) = at("2026-03-02T20:00:00+09:00");
    let mut world = builder.every_relay(json!({ "ratePerS": 2, "window": 2, "binds": 1 })).start().await;
    introduce(&world).await;
    // Ten seconds let at most twenty of kt's and all of the other relays' out.
    clock.advance_to("2026-03-02T20:59:50+09:00");
    let ids = world.batch(json!({}), (0..80).map(ad).collect()).await;
    let other = world.submit(json!({ "to": recipient(500), "text": "주문 안내" })).await;
    clock.reach(NIGHT_FROM);
    let held = world.messages("status=held").await;
    assert!(held.len() > 20, "{} are held", held.len());
    for message in &held {
        let shown = (&message["holdReason"], millis(&message["heldUntil"]));
        assert_eq!(shown, (&json!("night"), millis(&json!(NIGHT_TO))), "{message:#}");
    }
    world.wait_final(&[other]).await;
    world.crash().await;
    world.start_again().await;
    clock.advance_to("2026-03-03T03:00:00+09:00");
    let info = world.submit(json!({ "to": recipient(501), "text": "주문 안내" })).await;
    world.wait_final(&[info]).await;
    until("what the evening let out is settled and what is left is held", || async {
        let all = world.messages("lane=ad").await;
        all.iter().all(|message| message["status"] == "held" || message["status"] == "delivered").then_some(())
    })
    .await;
    for relay in ["kt", "skt", "lgu"] {
        let faster = json!({ "ratePerS": 1_000, "window": 100 });
        world.operator("PATCH", &format!("/v1/relays/{relay}"), faster).await.good(200);
    }
    clock.advance_to(NIGHT_TO);
    let messages = world.wait_final(&ids).await;
    for message in &messages {
        assert_eq!(message["status"], "delivered", "{message:#}");
        assert_not_at_night(message);
    }
    let morning = millis(&json!(NIGHT_TO));
    assert!(messages.iter().filter(|message| written(message).any(|at| at >= morning)).count() > 20);
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_accepted_at_night_says_so_and_leaves_at_eight() {
    let (builder, clock) = at("2026-03-02T23:00:00+09:00");
    let world = builder.start().await;
    introduce(&world).await;
    let mut body = ad(1);
    body["from"] = json!(world.main.from);
    let answer = world.call(&world.main.key, "POST", "/v1/messages", body).await.good(202);
    assert_eq!(
        (answer["holdReason"].as_str(), millis(&answer["heldUntil"])),
        (Some("night"), millis(&json!(NIGHT_TO)))
    );
    let id = answer["id"].as_str().expect("an id").to_owned();
    let mut planned = ad(2);
    planned["sendAt"] = json!("2026-03-03T05:00:00+09:00");
    let planned = world.submit(planned).await;
    assert_eq!(world.message(&planned).await["status"], "scheduled");
    clock.advance_to("2026-03-03T05:00:01+09:00");
    world.wait_message(&planned, "is held", |message| message["status"] == "held").await;
    clock.advance_to("2026-03-03T07:50:00+09:00");
    let info = world.submit(json!({ "to": recipient(9), "text": "주문 안내" })).await;
    world.wait_final(&[info]).await;
    assert_eq!(arrivals(&world, &recipient(1)).await + arrivals(&world, &recipient(2)).await, 0);
    clock.advance_to(NIGHT_TO);
    for message in world.wait_final(&[id, planned]).await {
        assert_eq!(message["status"], "delivered", "{message:#}");
        assert_not_at_night(&message);
        let first = written(&message).min().expect("it was written") - millis(&json!(NIGHT_TO));
        assert!((0..60_000).contains(&first), "{message:#}");
    }
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_waits_for_the_morning_too() {
    let (builder, clock) = at("2026-03-02T20:00:00+09:00");
    // Every first try is refused; the next one is due a quarter of an hour later, in the night.
    let builder = builder.set("failover.wait_ms", 900_000).script(json!({ "relays": {
        "kt": { "refuse": { "0x08": 1.0 } }, "skt": { "refuse": { "0x08": 1.0 } }, "lgu": { "refuse": { "0x08": 1.0 } },
    } }));
    let mut world = builder.start().await;
    introduce(&world).await;
    clock.advance_to("2026-03-02T20:50:00+09:00");
    let ids = world.batch(json!({}), (0..10).map(ad).collect()).await;
    let held = |message: &Value| message["status"] == "held" && !message["retryAt"].is_null();
    for id in &ids {
        world.wait_message(id, "was refused", |message| message["attempts"][0]["outcome"] == "refused").await;
    }
    clock.advance_to(NIGHT_FROM);
    let waiting = world.wait_message(&ids[0], "is held", held).await;
    assert_eq!(millis(&waiting["retryAt"]), millis(&json!(NIGHT_TO)), "{waiting:#}");
    assert_eq!(waiting["holdReason"], "night");
    world.crash().await;
    world.start_again().await;
    clock.advance_to("2026-03-03T07:50:00+09:00");
    assert_eq!(world.message(&ids[0]).await["status"], "held");
    world.script(json!({}));
    clock.advance_to(NIGHT_TO);
    for message in world.wait_final(&ids).await {
        assert_eq!(message["status"], "delivered", "{message:#}");
        assert_not_at_night(&message);
    }
    world.audit().await;
}
