//! Events and statistics over a real store: an account sees its own, an operator all.

use bongsu_domain::{AccountId, Day};
use bongsu_store::keys::KeyScope;
use serde_json::{Value, json};

use super::world::World;

/// Accepts a message that waits for its time, so that nothing happens to it meanwhile.
async fn send(world: &World, key: &str, more: Value) -> String {
    let later = "2026-11-20T12:00:00+09:00";
    let mut body = json!({"to": "010-1234-5678", "from": "02-123-4567", "text": "안녕하세요", "sendAt": later});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    let accepted = world.call("POST", "/v1/messages", key, body).await.good(202);
    accepted["id"].as_str().expect("an id").to_owned()
}

async fn get(world: &World, path: &str, key: &str) -> Value {
    world.call("GET", path, key, Value::Null).await.good(200)
}

#[tokio::test]
async fn events_are_read_on_and_on_and_each_account_sees_its_own() {
    let world = World::new().await;
    let (own, key) = world.sending_account("a").await;
    let (_, neighbour) = world.sending_account("b").await;
    let first = send(&world, &key, json!({})).await;
    let foreign = send(&world, &neighbour, json!({})).await;
    world.call("POST", &format!("/v1/messages/{first}/cancel"), &key, Value::Null).await.good(200);
    let page = get(&world, "/v1/events?limit=1", &key).await;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1));
    let event = &page["items"][0];
    assert_eq!((event["type"].as_str(), event["data"]["id"].as_str()), (Some("message.accepted"), Some(&*first)));
    assert_eq!(event["account"], own.to_string());
    let next = page["nextCursor"].as_str().expect("a cursor");
    assert_eq!(event["id"].as_str(), Some(next));
    let page = get(&world, &format!("/v1/events?after={next}"), &key).await;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1));
    let event = &page["items"][0];
    assert_eq!((event["type"].as_str(), event["data"]["code"].as_str()), (Some("message.canceled"), Some("UM8002")));
    assert!(event["data"]["seq"].as_u64() > Some(0));
    let end = page["nextCursor"].as_str().expect("a cursor").to_owned();
    let page = get(&world, &format!("/v1/events?after={end}"), &key).await;
    assert_eq!((&page["items"], page["nextCursor"].as_str()), (&json!([]), Some(&*end)));
    let of_neighbour = get(&world, "/v1/events", &neighbour).await;
    let seen: Vec<_> = of_neighbour["items"].as_array().expect("items").iter().map(|e| &e["data"]["id"]).collect();
    assert_eq!(seen, [&json!(foreign)]);
    let all = get(&world, "/v1/events", &world.operator).await;
    assert_eq!(all["items"].as_array().map(Vec::len), Some(3));
    let one = get(&world, &format!("/v1/events?account={own}"), &world.operator).await;
    assert_eq!(one["items"].as_array().map(Vec::len), Some(2));
    let later = get(&world, "/v1/events?since=2026-11-21T00:00:00%2B09:00", &key).await;
    assert_eq!(later["items"], json!([]));
}

#[tokio::test]
async fn a_cursor_that_is_none_and_another_account_are_refused() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let (other, _) = world.sending_account("b").await;
    for bad in ["x", "evt_", "evt_000000000000", "evt_00000000000000", "msg_0000000000000", "evt_ilou000000000", "-1"] {
        let seen = world.call("GET", &format!("/v1/events?after={bad}"), &key, Value::Null).await;
        assert_eq!(seen.refusal(), (400, "UM1001"), "{bad}");
    }
    let both = "/v1/events?after=evt_0000000000000&since=2026-11-20T00:00:00%2B09:00";
    assert_eq!(world.call("GET", both, &key, Value::Null).await.refusal(), (400, "UM1001"));
    for path in [format!("/v1/events?account={other}"), format!("/v1/stats?account={other}")] {
        assert_eq!(world.call("GET", &path, &key, Value::Null).await.refusal(), (404, "UM1011"), "{path}");
    }
    let blind = world.key(other, &[KeyScope::Send]).await;
    for path in ["/v1/events", "/v1/stats"] {
        assert_eq!(world.call("GET", path, &blind, Value::Null).await.refusal(), (403, "UM1003"), "{path}");
    }
    for bad in [
        "from=2026-13-01",
        "from=20261120",
        "by=hour",
        "by=day,,relay",
        "from=2026-11-21&to=2026-11-20",
        "from=2020-01-01&to=2026-11-20",
        "from=",
    ] {
        let seen = world.call("GET", &format!("/v1/stats?{bad}"), &key, Value::Null).await;
        if bad == "from=" {
            assert_eq!(seen.status.as_u16(), 200, "an empty parameter is none");
        } else {
            assert_eq!(seen.refusal(), (400, "UM1001"), "{bad}");
        }
    }
}

#[tokio::test]
async fn statistics_add_up_in_every_way() {
    let world = World::new().await;
    let (own, key) = world.sending_account("a").await;
    let (_, neighbour) = world.sending_account("b").await;
    send(&world, &neighbour, json!({"billCode": "D9"})).await;
    let lms = "가".repeat(60);
    send(&world, &key, json!({})).await;
    let canceled = send(&world, &key, json!({"billCode": "D1", "labels": {"event": "spring", "shop": "a"}})).await;
    send(&world, &key, json!({"billCode": "D1", "labels": {"event": "spring"}, "lane": "bulk"})).await;
    send(&world, &key, json!({"billCode": "D2", "text": lms, "subject": "제목"})).await;
    world.call("POST", &format!("/v1/messages/{canceled}/cancel"), &key, Value::Null).await.good(200);

    let stats = get(&world, "/v1/stats", &key).await;
    assert_eq!((stats["from"].as_str(), stats["to"].as_str()), (Some("2026-11-20"), Some("2026-11-20")));
    let totals = json!({
        "total": 4, "success": 0, "fail": 0, "canceled": 1, "open": 3,
        "charged": {"point:sms": 6}, "refunded": {"point:sms": 1}, "net": {"point:sms": 5},
    });
    assert_eq!(stats["totals"], totals);
    let spent = get(&world, "/v1/wallet", &key).await["balances"]["point:sms"].as_i64();
    assert_eq!(spent, Some(1_000 - 5), "net is what the balance lost");
    let rows = |stats: &Value, by: &str| -> Vec<(Value, i64)> {
        let items = stats["items"].as_array().expect("items");
        items.iter().map(|row| (row[by].clone(), row["total"].as_i64().expect("a number"))).collect()
    };
    for (by, wanted) in [
        ("channel", vec![(json!("sms"), 3), (json!("lms"), 1)]),
        ("lane", vec![(json!("realtime"), 3), (json!("bulk"), 1)]),
        ("billCode", vec![(json!(null), 1), (json!("D1"), 2), (json!("D2"), 1)]),
        ("status", vec![(json!("open"), 3), (json!("canceled"), 1)]),
        ("day", vec![(json!("2026-11-20"), 4)]),
        ("relay", vec![(json!(null), 4)]),
        ("account", vec![(json!(own.to_string()), 4)]),
    ] {
        let stats = get(&world, &format!("/v1/stats?by={by}"), &key).await;
        assert_eq!(rows(&stats, by), wanted, "{by}");
        assert_eq!(stats["totals"], totals, "{by}");
    }
    let labels = get(&world, "/v1/stats?by=label", &key).await;
    let wanted =
        [(json!(null), 2), (json!({"key": "event", "value": "spring"}), 2), (json!({"key": "shop", "value": "a"}), 1)];
    assert_eq!(rows(&labels, "label"), wanted);
    let both = get(&world, "/v1/stats?by=billCode,status&from=2026-11-01&to=2026-11-20", &key).await;
    assert_eq!(both["items"].as_array().map(Vec::len), Some(4));
    let all = get(&world, "/v1/stats?by=account", &world.operator).await;
    assert_eq!(all["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(all["totals"]["total"], 5);
    let none = get(&world, "/v1/stats?from=2026-11-01&to=2026-11-19", &key).await;
    assert_eq!((&none["items"], &none["totals"]["total"]), (&json!([]), &json!(0)));
}

#[tokio::test]
async fn sets_beyond_a_days_measure_are_counted_without_their_tags() {
    let world = World::new().await;
    let (account, key) = world.sending_account("a").await;
    let tags = |n: usize| bongsu_store::facts::Tags { bill_code: Some(format!("D{n}")), ..Default::default() };
    let sets: Vec<_> = (0..1_005).map(tags).collect();
    let store = world.app.service.store();
    let numbers = store.stat_sets(account, &sets).await.expect("numbers");
    assert_eq!(numbers.iter().filter(|number| **number != 0).count(), 1_000);
    assert_eq!(store.stat_sets(account, &sets).await.expect("numbers"), numbers);
    let beyond = numbers.iter().position(|number| *number == 0).expect("one beyond");
    send(&world, &key, json!({"billCode": format!("D{beyond}")})).await;
    let stats = get(&world, "/v1/stats?by=billCode", &key).await;
    assert_eq!((&stats["items"][0]["billCode"], &stats["totals"]["total"]), (&json!(null), &json!(1)));
    let other = store.stat_sets(AccountId(1), &[tags(beyond)]).await.expect("numbers");
    assert!(other[0] > 0, "another account has its own measure");
    world.clock.advance(std::time::Duration::from_secs(86_400));
    assert!(store.stat_sets(account, &[tags(beyond)]).await.expect("numbers")[0] > 0);
    assert_eq!(world.app.clock.now().kst_day(), Day(20_261_121));
}
