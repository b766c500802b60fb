//! What a call says, who signed it, in which order calls come, and that none is lost.

use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::Clock;
use bongsu_testkit::{Answer, Call, Receiver, World, recipient, until};
use bongsu_wire::webhook::{SigningSecret, verify};
use serde_json::{Value, json};

use super::house::{House, reports, settle};

/// Whether a call is proved by a secret.
fn is_proved(call: &Call, secret: &str) -> bool {
    let secret = SigningSecret::parse(secret).expect("a secret");
    let headers = (call.id(), call.header("webhook-timestamp"), call.header("webhook-signature"));
    verify(&secret, headers, &call.body, call.at, Duration::from_secs(300)).is_ok()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_signed_and_says_what_happened_without_text_and_number() {
    let house = House::new().await;
    let header = json!({ "name": "X-Own-Secret", "value": "kept" });
    let webhook = house.webhook(json!({ "staticHeader": header, "events": [] })).await;
    let id = house
        .world
        .submit(json!({
            "to": recipient(7), "text": "비밀 인증번호 123456", "clientRef": "order-7", "billCode": "D1", "labels": { "k": "v" },
        }))
        .await;
    house.wait_told(std::slice::from_ref(&id)).await;
    let mut endpoint = house.endpoint().await;
    settle(&mut endpoint).await;
    let calls = house.receiver.calls();
    let kinds: Vec<String> = calls.iter().map(Call::kind).collect();
    assert_eq!(kinds, ["message.accepted", "message.submitted", "message.delivered"]);
    for call in &calls {
        assert!(is_proved(call, text(&webhook["secret"])));
        assert!(call.id().starts_with("evt_") && call.body.len() < 20_000);
        assert_eq!((call.header("x-own-secret"), call.header("content-type")), ("kept", "application/json"));
        let body = String::from_utf8(call.body.clone()).expect("text");
        assert!(!body.contains("비밀") && !body.contains(&recipient(7)), "{body}");
    }
    let last = calls[2].json();
    let data = &last["data"];
    assert_eq!(
        (text(&data["id"]), text(&data["clientRef"]), text(&data["status"])),
        (id.as_str(), "order-7", "delivered")
    );
    assert_eq!((text(&data["billCode"]), text(&data["labels"]["k"])), ("D1", "v"));
    assert!(text(&data["to"]).contains("****") && ["kt", "skt", "lgu"].contains(&text(&data["relay"])), "{data:#}");
    let path = format!("/v1/webhooks/{}", text(&webhook["id"]));
    let shown = house.world.get(&path).await;
    assert!(shown.get("secret").is_none() && !shown.to_string().contains("kept"), "{shown:#}");

    house.call("PATCH", &path, json!({ "includePii": true, "staticHeader": {} })).await.good(200);
    house.send(1).await;
    let mut endpoint = house.endpoint().await;
    settle(&mut endpoint).await;
    let last = house.receiver.calls().pop().expect("a call");
    assert_eq!((last.json()["data"]["to"].as_str(), last.header("x-own-secret")), (Some(recipient(0).as_str()), ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_secret_is_replaced_both_sign() {
    let house = House::new().await;
    let webhook = house.webhook(json!({})).await;
    let path = format!("/v1/webhooks/{}/rotate", text(&webhook["id"]));
    let new = house.call("POST", &path, json!({})).await.good(200);
    assert_ne!(new["secret"], webhook["secret"]);
    house.send(1).await;
    let mut endpoint = house.endpoint().await;
    settle(&mut endpoint).await;
    house.pass(Duration::from_secs(24 * 3600));
    house.send(1).await;
    settle(&mut endpoint).await;
    let calls = house.receiver.calls();
    let proofs = |call: &Call| [&webhook, &new].map(|one| is_proved(call, text(&one["secret"])));
    assert_eq!((proofs(&calls[0]), proofs(&calls[1])), ([true, true], [false, true]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_message_keep_their_order_and_others_go_on() {
    let house = House::new().await;
    house.webhook(json!({ "events": ["message.accepted", "message.delivered"], "concurrency": 4 })).await;
    let ids = house.send(3).await;
    let stuck = ids[1].clone();
    let refuse = stuck.clone();
    house.receiver.script(move |call| Answer::of(if call.json()["data"]["id"] == refuse { 500 } else { 200 }));
    let mut endpoint = house.endpoint().await;
    settle(&mut endpoint).await;
    let told = |id: &str| -> Vec<String> {
        let calls = house.receiver.calls();
        calls.iter().filter(|call| call.json()["data"]["id"] == id).map(Call::kind).collect()
    };
    assert_eq!(told(&ids[0]), ["message.accepted", "message.delivered"]);
    assert_eq!(told(&ids[2]), ["message.accepted", "message.delivered"]);
    assert_eq!(told(&stuck), ["message.accepted"], "the later one waits");
    house.receiver.status(200);
    house.pass(Duration::from_secs(60));
    settle(&mut endpoint).await;
    assert_eq!(told(&stuck), ["message.accepted", "message.accepted", "message.delivered"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_repeats_a_call_with_its_id_and_loses_none() {
    let house = House::new().await;
    house.webhook(json!({ "concurrency": 1 })).await;
    house.send(3).await;
    let mut endpoint = house.endpoint().await;
    endpoint.step().await.expect("a store that answers");
    endpoint.call_ended().await;
    // Told, and not noted.
    drop(endpoint);
    let later = reports(&house.world, &house.clock);
    let mut endpoint = later.endpoints().await.expect("a store that answers").remove(0);
    settle(&mut endpoint).await;
    let ids: Vec<String> = house.receiver.calls().iter().map(|call| call.id().to_owned()).collect();
    assert_eq!(ids.len(), 4, "{ids:?}");
    assert_eq!(ids[0], ids[1]);
    let old = house.reports.endpoints().await.expect("a store that answers");
    assert_eq!(old.len(), 1, "the embedded store has one process: whoever looks has all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_one_call_and_the_same_after_a_crash() {
    let house = House::new().await;
    let events = ["message.accepted", "message.delivered"];
    let webhook = house.webhook(json!({ "batch": 500, "concurrency": 1, "events": events })).await;
    house.receiver.status(500);
    house.send(4).await;
    let mut endpoint = house.endpoint().await;
    endpoint.step().await.expect("a store that answers");
    endpoint.call_ended().await;
    drop(endpoint);
    house.send(1).await;
    let later = reports(&house.world, &house.clock);
    let mut endpoint = later.endpoints().await.expect("a store that answers").remove(0);
    settle(&mut endpoint).await;
    let calls = house.receiver.calls();
    assert_eq!(calls[0].id(), calls[1].id());
    let events = |call: &Call| -> Vec<String> {
        let list = call.json()["data"].as_array().expect("a list").clone();
        list.iter().map(|event| format!("{} {}", text(&event["data"]["id"]), text(&event["type"]))).collect()
    };
    assert_eq!(events(&calls[0]).len(), 8);
    assert_eq!(events(&calls[0]), events(&calls[1]), "the same events under the same id");
    assert!(calls.iter().all(|call| is_proved(call, text(&webhook["secret"])) && call.kind() == "events.batch"));
    assert_eq!(events(&calls[2]).len(), 2, "what came later is another call");
    house.receiver.status(200);
    house.pass(Duration::from_secs(60));
    settle(&mut endpoint).await;
    let states: Vec<Value> = house.deliveries(&webhook).await.iter().map(|one| one["status"].clone()).collect();
    assert_eq!(states, ["delivered", "delivered"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_call_tells_how_it_went() {
    let house = House::new().await;
    let webhook = house.webhook(json!({})).await;
    let path = format!("/v1/webhooks/{}/test", text(&webhook["id"]));
    let good = house.call("POST", &path, Value::Null).await.good(200);
    assert_eq!((&good["delivered"], &good["httpStatus"]), (&json!(true), &json!(204)));
    let call = house.receiver.calls().remove(0);
    assert!(call.kind() == "webhook.test" && is_proved(&call, text(&webhook["secret"])));
    house.receiver.status(302);
    let bad = house.call("POST", &path, Value::Null).await.good(200);
    assert_eq!((&bad["delivered"], &bad["httpStatus"]), (&json!(false), &json!(302)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_endpoint_holds_up_nobody() {
    let world = World::builder().set("webhooks.allow_loopback", "true").start().await;
    let clock: Arc<dyn Clock> = Arc::new(bongsu_server::clock::SystemClock);
    let (slow, fast) = (Receiver::start(clock.clone()).await, Receiver::start(clock).await);
    slow.script(|_| Answer { held: true, ..Answer::of(200) });
    for receiver in [&slow, &fast] {
        let body = json!({ "url": receiver.url(), "events": ["message.delivered"], "concurrency": 2 });
        world.call(&world.main.key, "POST", "/v1/webhooks", body).await.good(201);
    }
    let rows = (0..10).map(|n| json!({ "to": recipient(n), "text": format!("봉수 {n}") })).collect();
    world.batch(json!({}), rows).await;
    until("the fast one has heard of all", || async { (fast.calls().len() == 10).then_some(()) }).await;
    assert!(slow.calls().len() <= 2, "{}", slow.calls().len());
    slow.let_go();
    until("the slow one too", || async { (slow.calls().len() == 10).then_some(()) }).await;
    let page = world.call("", "GET", "/metrics", Value::Null).await.text;
    assert!(page.contains("bongsu_webhook_calls_total{outcome=\"delivered\"}"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_shows_what_was_given_back_and_who_was_told() {
    let house = House::new().await;
    let webhooks = [house.webhook(json!({})).await, house.webhook(json!({ "batch": 10 })).await];
    let later = house.clock.now().plus(Duration::from_secs(3_600)).rfc3339();
    let mut ids = Vec::new();
    for n in 0..2 {
        ids.push(house.world.submit(json!({ "to": recipient(n), "text": "봉수", "sendAt": later })).await);
    }
    house.pass(Duration::from_secs(60));
    for id in &ids {
        house.call("POST", &format!("/v1/messages/{id}/cancel"), json!(null)).await.good(200);
    }
    house.wait_told(&ids).await;
    house.pass(Duration::from_secs(1));
    for mut endpoint in house.reports.endpoints().await.expect("a store that answers") {
        settle(&mut endpoint).await;
    }
    for id in &ids {
        let trace = house.world.get(&format!("/v1/messages/{id}/trace")).await;
        let steps = trace["steps"].as_array().expect("steps");
        let amounts: Vec<&str> =
            steps.iter().filter(|step| step["step"] == "ledger").map(|step| text(&step["detail"]["amount"])).collect();
        assert_eq!(amounts, ["-1 point:sms", "1 point:sms"], "{trace:#}");
        let told: Vec<&Value> =
            steps.iter().filter(|step| step["step"] == "webhook").map(|step| &step["detail"]).collect();
        assert_eq!(told.len(), 2, "{trace:#}");
        for webhook in &webhooks {
            let one = told.iter().find(|detail| detail["webhook"] == webhook["id"]).expect("a call of each webhook");
            assert_eq!((text(&one["state"]), text(&one["http"])), ("delivered", "204"));
        }
        assert!(told.iter().any(|detail| text(&detail["told"]) == "2 events"), "{trace:#}");
        let times: Vec<&str> = steps.iter().filter_map(|step| step["at"].as_str()).collect();
        assert!(times.is_sorted(), "{trace:#}");
    }
}
