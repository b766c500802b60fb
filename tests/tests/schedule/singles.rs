//! One message: when it leaves, and what its caller may do before.

use std::time::Duration;

use bongsu_domain::Clock;
use bongsu_testkit::{World, recipient, until};
use serde_json::{Value, json};

use crate::{MORNING, ahead, arrivals, at, is_in_time, late_by, millis};

async fn scheduled(world: &World, n: usize, send_at: &str) -> String {
    world.submit(json!({ "to": recipient(n), "text": format!("봉수 {n}"), "sendAt": send_at })).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_leaves_at_its_time_and_once() {
    let (builder, clock) = at(MORNING);
    let world = builder.start().await;
    let send_at = ahead(&clock, 3_600_000);
    let points = world.points(&world.main).await;
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(scheduled(&world, n, &send_at).await);
    }
    assert_eq!(world.points(&world.main).await, points - 20, "charged at accept");
    for id in &ids {
        let message = world.message(id).await;
        assert_eq!(message["status"], "scheduled", "{message:#}");
        assert_eq!(millis(&message["sendAt"]), millis(&json!(send_at)));
    }
    assert_eq!(world.messages("status=scheduled").await.len(), 20);
    assert_eq!(world.messages("status=queued").await.len(), 0);
    let now = world.send(&recipient(100), "at once").await;
    world.wait_final(&[now]).await;
    assert_eq!(arrivals(&world, &recipient(0)).await, 0);
    let left = millis(&json!(send_at)) - clock.now().millis();
    clock.advance(Duration::from_millis(left.unsigned_abs().saturating_sub(500)));
    for message in world.wait_final(&ids).await {
        assert_eq!(message["status"], "delivered", "{message:#}");
        assert!(is_in_time(&message), "{message:#}");
    }
    for n in 0..20 {
        assert_eq!(arrivals(&world, &recipient(n)).await, 1);
    }
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_and_the_refusals_say_when() {
    let (builder, clock) = at(MORNING);
    let world = builder.start().await;
    let body = |send_at: &str| json!({ "to": recipient(1), "from": world.main.from, "text": format!("{send_at}"), "sendAt": send_at });
    let key = world.main.key.clone();
    let post = |body: Value| world.call(&key, "POST", "/v1/messages", body);
    let day = 86_400_000;
    let later = ahead(&clock, day);
    let answer = post(body(&later)).await.good(202);
    assert_eq!((answer["status"].as_str(), millis(&answer["sendAt"])), (Some("accepted"), millis(&json!(later))));
    for ahead_ms in [-61_000, -day, 180 * day + 60_000] {
        let reply = post(body(&ahead(&clock, ahead_ms))).await;
        assert_eq!((reply.status, &reply.body["errors"][0]["field"]), (422, &json!("sendAt")), "{}", reply.text);
        assert_eq!(reply.body["code"], "UM1009", "{}", reply.text);
    }
    // The clocks of callers are not ours: what is past by less than a minute leaves at once.
    let answer = post(body(&ahead(&clock, -30_000))).await.good(202);
    assert!(answer.get("sendAt").is_none(), "{answer}");
    let id = answer["id"].as_str().expect("an id").to_owned();
    assert_eq!(world.wait_final(&[id]).await[0]["status"], "delivered");
    post(body(&ahead(&clock, 180 * day - 1_000))).await.good(202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_before_its_time_refunds_and_nothing_leaves() {
    let (builder, clock) = at(MORNING);
    let world = builder.start().await;
    let points = world.points(&world.main).await;
    let send_at = ahead(&clock, 3_600_000);
    let (gone, stays) = (scheduled(&world, 1, &send_at).await, scheduled(&world, 2, &send_at).await);
    let cancel = format!("/v1/messages/{gone}/cancel");
    let canceled = world.call(&world.main.key, "POST", &cancel, Value::Null).await.good(200);
    assert_eq!((canceled["status"].as_str(), &canceled["sendAt"]), (Some("canceled"), &json!(send_at)));
    assert_eq!(world.points(&world.main).await, points - 1);
    assert_eq!(world.call(&world.main.key, "POST", &cancel, Value::Null).await.status, 409);
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(world.wait_final(std::slice::from_ref(&stays)).await[0]["status"], "delivered");
    assert_eq!((arrivals(&world, &recipient(1)).await, arrivals(&world, &recipient(2)).await), (0, 1));
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_of_the_same_time_moves_alone() {
    let (builder, clock) = at(MORNING);
    let world = builder.start().await;
    let send_at = ahead(&clock, 3_600_000);
    let sends = (0..9).map(|n| scheduled(&world, n, &send_at));
    let ids = futures_util::future::join_all(sends).await;
    let path = |id: &str| format!("/v1/messages/{id}/reschedule");
    let moved = |time: &str| json!({ "sendAt": time });
    let (sooner, later) = (ahead(&clock, 60_000), ahead(&clock, 7_200_000));
    let key = &world.main.key;
    let first = world.call(key, "POST", &path(&ids[0]), moved(&sooner)).await.good(200);
    assert_eq!((first["status"].as_str(), &first["sendAt"]), (Some("scheduled"), &json!(sooner)));
    for n in [4, 8] {
        world.call(key, "POST", &path(&ids[n]), moved(&later)).await.good(200);
    }
    let past = world.call(key, "POST", &path(&ids[5]), moved(&ahead(&clock, -120_000))).await;
    assert_eq!((past.status, past.body["code"].as_str()), (422, Some("UM1009")), "{}", past.text);
    let nothing = world.call(key, "POST", &path(&ids[5]), json!({})).await;
    assert_eq!(nothing.status, 422, "{}", nothing.text);
    let stranger = world.member("stranger").await;
    assert_eq!(world.call(&stranger.key, "POST", &path(&ids[5]), moved(&later)).await.status, 404);
    let statuses = || async {
        let mut shown = Vec::new();
        for id in &ids {
            shown.push(world.message(id).await["status"].as_str().unwrap_or_default().chars().next().unwrap_or('?'));
        }
        shown.into_iter().collect::<String>()
    };
    assert_eq!(statuses().await, "sssssssss");
    clock.advance(Duration::from_secs(61));
    world.wait_final(&ids[..1]).await;
    assert_eq!(statuses().await, "dssssssss");
    clock.advance(Duration::from_secs(3_600));
    world.wait_final(&[&ids[1..4], &ids[5..8]].concat()).await;
    assert_eq!(statuses().await, "ddddsddds");
    let late = world.call(key, "POST", &path(&ids[1]), moved(&later)).await;
    assert_eq!((late.status, late.body["code"].as_str()), (409, Some("UM1012")), "{}", late.text);
    clock.advance(Duration::from_secs(3_600));
    for message in world.wait_final(&ids).await {
        assert_eq!(message["attempts"].as_array().map(Vec::len), Some(1), "{message:#}");
        assert!((0..120_000).contains(&late_by(&message)), "{message:#}");
    }
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_survives_a_crash_before_and_over_its_time() {
    let (builder, clock) = at(MORNING);
    let mut world = builder.start().await;
    let (soon, later) = (ahead(&clock, 60_000), ahead(&clock, 600_000));
    let ids = [scheduled(&world, 1, &soon).await, scheduled(&world, 2, &later).await];
    world.crash().await;
    clock.advance(Duration::from_secs(61));
    world.start_again().await;
    assert_eq!(world.wait_final(&ids[..1]).await[0]["status"], "delivered");
    assert_eq!(world.message(&ids[1]).await["status"], "scheduled");
    world.restart().await;
    clock.advance(Duration::from_secs(600));
    assert_eq!(world.wait_final(&ids[1..]).await[0]["status"], "delivered");
    assert_eq!((arrivals(&world, &recipient(1)).await, arrivals(&world, &recipient(2)).await), (1, 1));
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_life_counts_from_its_time() {
    let (builder, clock) = at(MORNING);
    let world = builder.start().await;
    for relay in ["kt", "skt", "lgu"] {
        world.sim.stop_relay(relay).await.expect("it runs");
        world.wait_relay(relay, false).await;
    }
    let points = world.points(&world.main).await;
    let body = json!({
        "to": recipient(1), "text": "짧은 삶", "lane": "realtime", "sendAt": ahead(&clock, 600_000), "expiresIn": "PT5M",
    });
    let id = world.submit(body).await;
    clock.advance(Duration::from_secs(590));
    let moved = json!({ "sendAt": ahead(&clock, 600_000) });
    world.call(&world.main.key, "POST", &format!("/v1/messages/{id}/reschedule"), moved).await.good(200);
    clock.advance(Duration::from_secs(590));
    assert_eq!(world.message(&id).await["status"], "scheduled", "its five minutes have not begun");
    clock.advance(Duration::from_secs(11 + 301));
    let message = &world.wait_final(&[id]).await[0];
    until("the refund is there", || async { (world.points(&world.main).await == points).then_some(()) }).await;
    assert_eq!(
        (message["status"].as_str(), message["code"].as_str()),
        (Some("expired"), Some("UM8003")),
        "{message:#}"
    );
    world.audit().await;
}
