//! Sender numbers: nobody sends from a number that is not proved to be theirs.

use std::sync::Arc;
use std::time::Duration;

use bongsu_testkit::{Member, World, recipient, until};
use serde_json::{Value, json};

use super::{MovedClock, text};

const NUMBER: &str = "01087654321";

/// The six digits that reached the handset, once there are `count` messages.
async fn code_in_inbox(world: &World, count: usize) -> String {
    let message = until("the code arrives", || async {
        let inbox = world.sim.inbox(NUMBER);
        (inbox.len() >= count).then(|| inbox[count - 1].clone())
    })
    .await;
    let digits: Vec<&str> = message.text.split(|c: char| !c.is_ascii_digit()).filter(|run| run.len() == 6).collect();
    assert_eq!(digits.len(), 1, "one code in {:?}", message.text);
    digits[0].to_owned()
}

async fn register(world: &World, member: &Member, number: &str) -> Value {
    world.call(&member.key, "POST", "/v1/senders", json!({ "number": number })).await.good(201)
}

async fn try_to_send(world: &World, member: &Member, from: &str) -> bongsu_testkit::Reply {
    let body = json!({ "to": recipient(1), "from": from, "text": "봉수" });
    world.call(&member.key, "POST", "/v1/messages", body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_sends_once_its_owner_has_typed_the_code_that_reached_it() {
    let clock = Arc::new(MovedClock::default());
    let world = World::builder().clock(clock.clone()).start().await;
    let sender = register(&world, &world.main, "010-8765-4321").await;
    assert_eq!((&sender["state"], &sender["codeSent"]), (&json!("pending"), &json!(true)));
    let path = format!("/v1/senders/{}", text(&sender["id"]));
    let verify = |code: String| {
        let (world, path) = (&world, format!("{path}/verify"));
        async move { world.call(&world.main.key, "POST", &path, json!({ "code": code })).await }
    };
    let again = || async { world.call(&world.main.key, "POST", &format!("{path}/code"), Value::Null).await };

    let code = code_in_inbox(&world, 1).await;
    assert_eq!(try_to_send(&world, &world.main, NUMBER).await.refusal(), (422, "UM2001"));
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for left in (0..5).rev() {
        let reply = verify(wrong.to_owned()).await;
        assert_eq!(reply.refusal(), (422, "UM1001"));
        assert!(reply.text.contains(&format!("{left} tries are left")), "{}", reply.text);
    }
    assert_eq!(verify(code).await.refusal(), (429, "UM3003"), "even the right code is locked now");

    let soon = again().await;
    assert_eq!(soon.refusal(), (429, "UM3003"));
    let wait: u64 = soon.header("retry-after").and_then(|wait| wait.parse().ok()).expect("seconds");
    assert!((1..=30).contains(&wait), "{wait}");
    for sent in 2..=5 {
        clock.advance(Duration::from_secs(31));
        // A commit that began before the clock moved may still take this request in: then it is too early once more.
        let answer = until("the pause is over", || async {
            let reply = again().await;
            (reply.status == 202).then_some(reply.body)
        })
        .await;
        assert_eq!(answer["codeSent"], true);
        assert!(!answer.to_string().contains(&code_in_inbox(&world, sent).await), "the code is in no answer");
    }
    clock.advance(Duration::from_secs(31));
    let many = again().await;
    assert_eq!(many.refusal(), (429, "UM3003"), "five an hour");
    let wait: u64 = many.header("retry-after").and_then(|wait| wait.parse().ok()).expect("seconds");
    assert!((3_000..3_600).contains(&wait), "{wait}");

    let old = code_in_inbox(&world, 4).await;
    let last = code_in_inbox(&world, 5).await;
    if old != last {
        assert_eq!(verify(old).await.refusal(), (422, "UM1001"), "a new code replaces the old one");
    }
    clock.advance(Duration::from_secs(300));
    assert!(verify(last).await.text.contains("has expired"));
    clock.advance(Duration::from_secs(3_600));
    again().await.good(202);
    let active = verify(code_in_inbox(&world, 6).await).await.good(200);
    assert_eq!(active["state"], "active");
    let sent = try_to_send(&world, &world.main, NUMBER).await.good(202);
    world.wait_final(&[text(&sent["id"])]).await;
    assert_eq!(world.sim.inbox(&recipient(1)).last().map(|message| message.from.clone()), Some(NUMBER.to_owned()));
    assert_eq!(world.points(&world.main).await, 999_999, "codes cost nothing");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_is_not_the_accounts_own_cannot_send_and_costs_nothing() {
    let world = World::start().await;
    let other = world.member("other").await;
    register(&world, &world.main, "0319876543").await;
    for from in ["0319876543", "0317654321", &other.from, "15880000"] {
        let reply = try_to_send(&world, &world.main, from).await;
        assert_eq!(reply.refusal(), (422, "UM2001"), "{from}");
        assert_eq!(reply.body["errors"][0]["field"], "from");
    }
    assert_eq!(world.points(&world.main).await, 1_000_000);

    let taken = register(&world, &other, "0319876543").await;
    let approve = format!("/v1/senders/{}/approve", text(&taken["id"]));
    world.operator("POST", &approve, Value::Null).await.good(200);
    assert_eq!(try_to_send(&world, &world.main, "0319876543").await.refusal(), (422, "UM2001"), "approved for another");
    try_to_send(&world, &other, "031-987-6543").await.good(202);
    let twice = world.call(&other.key, "POST", "/v1/senders", json!({ "number": "031 9876543" })).await;
    assert_eq!(twice.refusal(), (409, "UM1013"));
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_number_sends_no_more_and_the_one_of_the_sign_up_stays() {
    let world = World::start().await;
    let protected = json!({ "number": "0312223333", "protected": true });
    let protected = world.call(&world.main.key, "POST", "/v1/senders", protected).await.good(201);
    let path = format!("/v1/senders/{}", text(&protected["id"]));
    let refused = world.call(&world.main.key, "DELETE", &path, Value::Null).await;
    assert_eq!((refused.refusal(), &refused.body["errors"][0]["field"]), ((409, "UM1013"), &json!("protected")));

    let own = world.get("/v1/senders").await;
    let own =
        own["items"].as_array().expect("rows").iter().find(|row| row["number"] == world.main.from.as_str()).cloned();
    let path = format!("/v1/senders/{}", text(&own.expect("the number of the set-up")["id"]));
    try_to_send(&world, &world.main, &world.main.from).await.good(202);
    world.call(&world.main.key, "DELETE", &path, Value::Null).await.good(204);
    assert_eq!(try_to_send(&world, &world.main, &world.main.from).await.refusal(), (422, "UM2001"));
    assert_eq!(world.call(&world.main.key, "GET", &path, Value::Null).await.refusal(), (404, "UM1011"));
    let anew = register(&world, &world.main, &world.main.from).await;
    assert_eq!(anew["state"], "pending", "it has to be proved again");
    assert_eq!(anew["codeSent"], false, "no text reaches a land line");
    assert_eq!(world.points(&world.main).await, 999_999);
    world.audit().await;
}
