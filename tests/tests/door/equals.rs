//! Equal messages: within the account's window the same text from the same number to the same number is sent once.

use std::sync::Arc;
use std::time::Duration;

use bongsu_testkit::{Member, Reply, World, recipient};
use futures_util::future;
use serde_json::{Value, json};

use super::{MovedClock, message, post, text};

async fn window(world: &World, member: &Member, seconds: u32) {
    let path = format!("/v1/accounts/{}", member.account);
    let account = world.operator("PATCH", &path, json!({ "dedupeS": seconds })).await.good(200);
    assert_eq!(account["dedupeS"], seconds);
}

async fn send(world: &World, member: &Member, body: &Value) -> Reply {
    post(world, &member.key, "/v1/messages", &[], body.to_string()).await
}

/// The message that a refusal names.
fn first(reply: &Reply) -> String {
    assert_eq!(reply.refusal(), (409, "UM1018"), "{}", reply.text);
    let error = &reply.body["errors"][0];
    assert_eq!((&error["field"], &error["code"]), (&json!("text"), &json!("UM1018")));
    let id = text(&error["duplicateOf"]);
    assert!(text(&reply.body["detail"]).contains(&id), "{}", reply.text);
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_equal_message_within_the_window_is_sent_once_and_the_second_is_reported() {
    let clock = Arc::new(MovedClock::default());
    let mut world = World::builder().clock(clock.clone()).start().await;
    let body = message(&world.main, &recipient(1), "주문이 왔습니다");
    for _ in 0..2 {
        send(&world, &world.main, &body).await.good(202);
    }
    window(&world, &world.main, 600).await;
    let sent = text(&send(&world, &world.main, &body).await.good(202)["id"]);
    let filled = json!({
        "to": "+82 10-2000-0001", "from": world.main.from, "text": "#{무엇}이 왔습니다", "variables": { "무엇": "주문" },
        "lane": "auth", "clientRef": "other",
    });
    for same in [&body, &filled] {
        assert_eq!(first(&send(&world, &world.main, same).await), sent);
    }
    world.restart().await;
    let keyed = [("idempotency-key", "once")];
    let refused = post(&world, &world.main.key, "/v1/messages", &keyed, filled.to_string()).await;
    assert_eq!(first(&refused), sent, "it outlives the process");

    let other = world.member("other").await;
    window(&world, &other, 600).await;
    let reply = send(&world, &other, &message(&other, &recipient(1), "주문이 왔습니다")).await;
    assert_eq!(reply.status, 202, "another account, another number");
    for different in
        [message(&world.main, &recipient(2), "주문이 왔습니다"), message(&world.main, &recipient(1), "주문이 갔습니다")]
    {
        send(&world, &world.main, &different).await.good(202);
    }
    assert_eq!(world.points(&world.main).await, 1_000_000 - 5, "what is refused costs nothing");

    clock.advance(Duration::from_secs(601));
    let reply = post(&world, &world.main.key, "/v1/messages", &keyed, filled.to_string()).await;
    assert_eq!(reply.status, 202, "neither the window nor the key is in the way: {}", reply.text);
    let replayed = post(&world, &world.main.key, "/v1/messages", &keyed, filled.to_string()).await;
    assert_eq!((replayed.status, replayed.text), (202, reply.text), "a repeated request is no equal message");
    window(&world, &world.main, 0).await;
    send(&world, &world.main, &body).await.good(202);
    assert_eq!(world.audit().await.accepted, 8);
    let received = world.sim.inbox(&recipient(1));
    assert_eq!(received.iter().filter(|message| message.text == "주문이 왔습니다").count(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_messages_at_once_are_one() {
    let world = World::start().await;
    window(&world, &world.main, 600).await;
    let body = message(&world.main, &recipient(1), "한 번만");
    let replies = future::join_all((0..20).map(|_| send(&world, &world.main, &body))).await;
    let (accepted, refused): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 202);
    assert_eq!((accepted.len(), refused.len()), (1, 19));
    assert!(refused.iter().all(|reply| first(reply) == text(&accepted[0].body["id"])));
    assert_eq!(world.points(&world.main).await, 1_000_000 - 1);
    world.audit().await;
    assert_eq!(world.sim.inbox(&recipient(1)).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_tells_each_row_that_equals_a_message_or_another_row() {
    let world = World::start().await;
    window(&world, &world.main, 600).await;
    let sent = text(&send(&world, &world.main, &message(&world.main, &recipient(1), "알림")).await.good(202)["id"]);
    let rows = |mode: &str| {
        let row = |n: usize| json!({ "to": recipient(n) });
        let auth = json!({ "to": recipient(2), "lane": "auth" });
        json!({
            "defaults": { "from": world.main.from, "text": "알림" },
            "mode": mode,
            "messages": [row(0), row(1), row(2), row(0), auth, row(3)],
        })
        .to_string()
    };
    let batch = async |mode| post(&world, &world.main.key, "/v1/messages/batch", &[], rows(mode)).await;
    let refused = batch("allOrNothing").await;
    assert_eq!(refused.refusal(), (409, "UM1018"));
    let errors = refused.body["errors"].as_array().expect("findings");
    let told: Vec<_> = errors.iter().map(|error| (error["index"].as_u64(), error["duplicateOf"].as_str())).collect();
    assert_eq!((told.len(), told[0]), (3, (Some(1), Some(&*sent))), "{}", refused.text);
    assert!(told[1..].iter().all(|(_, id)| id.is_none()), "nothing of a refused batch has a name: {}", refused.text);

    let answer = batch("partial").await.good(202);
    assert_eq!(answer["counts"], json!({ "rows": 6, "accepted": 3, "rejected": 3 }), "{answer}");
    assert_eq!(answer["estimate"]["amount"], 3);
    let results = answer["results"].as_array().expect("results");
    let error = |row: usize| &results[row]["error"];
    assert_eq!((&error(1)["code"], &error(1)["duplicateOf"]), (&json!("UM1018"), &json!(sent)));
    assert_eq!(error(1)["errors"][0]["duplicateOf"], json!(sent));
    assert_eq!(
        (&error(3)["duplicateOf"], &error(3)["detail"]),
        (&results[0]["id"], &json!("equal to row 0 of this batch"))
    );
    // Lanes are written one after the other, so either of rows 2 and 4 may be the first.
    let (kept, twin) = if results[2]["id"].is_string() { (2, 4) } else { (4, 2) };
    assert_eq!(error(twin)["duplicateOf"], results[kept]["id"], "{answer}");
    assert_eq!(error(twin)["detail"], format!("equal to row {kept} of this batch"));

    let again = batch("partial").await;
    assert_eq!(again.refusal(), (409, "UM1018"));
    assert_eq!(again.body["errors"].as_array().map(Vec::len), Some(6));
    assert_eq!(again.body["errors"][5]["duplicateOf"], results[5]["id"]);
    assert_eq!(world.points(&world.main).await, 1_000_000 - 4);
    assert_eq!(world.audit().await.accepted, 4);
    assert!((0..4).all(|n| world.sim.inbox(&recipient(n)).len() == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_reached_nobody_may_be_sent_again() {
    let world = World::start().await;
    window(&world, &world.main, 86_400).await;
    let no_phone = json!({ "codes": { "UNDELIV": 1.0 } });
    world.script(json!({ "relays": { "kt": no_phone, "skt": no_phone, "lgu": no_phone } }));
    let body = message(&world.main, &recipient(1), "다시");
    let failed = text(&send(&world, &world.main, &body).await.good(202)["id"]);
    let ended = world.wait_final(std::slice::from_ref(&failed)).await;
    assert_eq!(ended[0]["status"], "undelivered", "{}", ended[0]);
    world.script(json!({}));
    let second = text(&send(&world, &world.main, &body).await.good(202)["id"]);
    assert_eq!(first(&send(&world, &world.main, &body).await), second);
    let ended = world.wait_final(std::slice::from_ref(&second)).await;
    assert_eq!(ended[0]["status"], "delivered", "{}", ended[0]);
    assert_eq!(first(&send(&world, &world.main, &body).await), second, "that one arrived");
    world.audit().await;
}
