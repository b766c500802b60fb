//! Lists: every filter finds what it should, each message once, and nobody else's.

use std::collections::BTreeSet;

use bongsu_testkit::{World, recipient};
use serde_json::{Value, json};

use super::{all_pages, ids, key_with, text};

/// A world with messages of every kind that a filter tells apart: all delivered but those over skt, and one canceled
/// relay's failures.
async fn populated() -> World {
    let script = json!({ "relays": {
        "skt": { "codes": { "UNDELIV:001": 1.0 } },
        "lgu": { "codes": { "EXPIRED:027": 1.0 } },
    } });
    let world = World::builder().script(script).shares(json!({ "kt": 40, "skt": 30, "lgu": 30 })).start().await;
    let rows: Vec<Value> = (0..12).map(|n| json!({ "to": recipient(n % 5), "text": format!("가 {n}") })).collect();
    let mut all = world.batch(json!({ "lane": "bulk" }), rows).await;
    let long = "나".repeat(60);
    let rows: Vec<Value> = (0..6)
        .map(|n| json!({ "to": recipient(n), "text": format!("{long}{n}"), "clientRef": format!("r-{n}") }))
        .collect();
    all.extend(world.batch(json!({ "lane": "realtime" }), rows).await);
    for n in 0..5 {
        all.push(
            world
                .submit(json!({ "to": format!("0103333{:04}", n % 2), "text": format!("다 {n}"), "lane": "auth" }))
                .await,
        );
    }
    world.wait_final(&all).await;
    world
}

/// A filter of the list, and what it should find among all messages.
type Filter = (String, Box<dyn Fn(&Value) -> bool>);

fn filters(all: &[Value]) -> Vec<Filter> {
    let mut filters: Vec<Filter> = vec![(String::new(), Box::new(|_| true))];
    for name in ["status", "channel", "lane", "batchId", "clientRef"] {
        let values: BTreeSet<String> = all.iter().filter_map(|m| m[name].as_str().map(str::to_owned)).collect();
        assert!(values.len() > 1, "{name} tells nothing apart: {values:?}");
        for value in values {
            filters.push((format!("{name}={value}"), Box::new(move |m| m[name] == value.as_str())));
        }
    }
    for relay in ["kt", "skt", "lgu"] {
        let of_last =
            move |m: &Value| m["attempts"].as_array().and_then(|a| a.last()).is_some_and(|a| a["relay"] == relay);
        filters.push((format!("relay={relay}"), Box::new(of_last)));
    }
    let numbers: BTreeSet<String> = all.iter().map(|m| text(&m["to"])).collect();
    for number in numbers {
        let last = number[7..].to_owned();
        filters.push((format!("recipientLast4={last}"), Box::new(move |m| text(&m["to"]).ends_with(&last))));
        filters.push((format!("recipient={number}"), Box::new(move |m| m["to"] == number.as_str())));
    }
    let middle = text(&all[all.len() / 2]["acceptedAt"]);
    let (since, until) = (middle.clone(), middle.clone());
    filters.push((format!("since={middle}"), Box::new(move |m| text(&m["acceptedAt"]) >= since)));
    filters.push((format!("until={middle}"), Box::new(move |m| text(&m["acceptedAt"]) < until)));
    let (since, relay) = (middle.clone(), "kt");
    filters.push((
        format!("since={middle}&lane=auth&relay={relay}&channel=sms&status=delivered"),
        Box::new(move |m| {
            let fits = m["lane"] == "auth" && m["channel"] == "sms" && m["status"] == "delivered";
            fits && m["attempts"].as_array().and_then(|a| a.last()).is_some_and(|a| a["relay"] == relay)
                && text(&m["acceptedAt"]) >= since
        }),
    ));
    filters
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_filter_finds_each_message_once_and_never_a_neighbours() {
    let world = populated().await;
    let neighbour = world.member("neighbour").await;
    let all = world.messages("").await;
    assert_eq!(all.len(), 23);
    let newest_first: Vec<&str> = ids(&all);
    assert!(newest_first.windows(2).all(|pair| pair[0] > pair[1]), "{newest_first:?}");
    for (query, fits) in filters(&all) {
        let expected: Vec<&Value> = all.iter().filter(|message| fits(message)).collect();
        let expected: Vec<&str> = expected.iter().map(|m| m["id"].as_str().expect("an id")).collect();
        for limit in [1, 4, 500] {
            let found = all_pages(&world, &world.main.key, &format!("/v1/messages?{query}"), limit).await;
            assert_eq!(ids(&found), expected, "{query} in pages of {limit}");
        }
        let theirs = all_pages(&world, &neighbour.key, &format!("/v1/messages?{query}"), 500).await;
        assert_eq!(theirs, Vec::<Value>::new(), "{query}");
    }
    let id = newest_first[0];
    let theirs = world.call(&neighbour.key, "GET", &format!("/v1/messages/{id}"), Value::Null).await;
    assert_eq!(theirs.refusal(), (404, "UM1011"));
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recipients_are_masked_without_the_scope() {
    let world = World::start().await;
    let id = world.send("010-2345-6789", "가려진다").await;
    world.wait_final(std::slice::from_ref(&id)).await;
    let masked = key_with(&world, &world.main, &["read"]).await;
    let full = key_with(&world, &world.main, &["read", "numbers"]).await;
    for (key, number) in [(&masked, "010****6789"), (&full, "01023456789")] {
        let one = world.call(key, "GET", &format!("/v1/messages/{id}"), Value::Null).await;
        assert_eq!(one.body["to"], number);
        let list = world.call(key, "GET", "/v1/messages?recipient=01023456789", Value::Null).await;
        assert_eq!(list.body["items"][0]["to"], number, "{}", list.text);
        for answer in [&one, &list] {
            assert_eq!(answer.text.contains("01023456789"), number == "01023456789", "{}", answer.text);
            assert!(!answer.text.contains("가려진다"), "texts are not shown: {}", answer.text);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_filters_are_refused_by_name() {
    let world = World::builder().start_unlinked().await;
    for (query, field) in [
        ("recipient=12", "recipient"),
        ("recipientLast4=123", "recipientLast4"),
        ("since=yesterday", "since"),
        ("until=2026-13-01T00:00:00Z", "until"),
        ("status=gone", "status"),
        ("channel=fax", "channel"),
        ("lane=fast", "lane"),
        ("batchId=msg_1", "batchId"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("page=2", "page"),
        ("status=queued&status=sent", "status"),
    ] {
        let reply = world.call(&world.main.key, "GET", &format!("/v1/messages?{query}"), Value::Null).await;
        assert_eq!(reply.refusal(), (400, "UM1001"), "{query}");
        assert_eq!(reply.body["errors"][0]["field"], field, "{query}: {}", reply.text);
    }
    let reply = world.call(&world.main.key, "GET", "/v1/messages?cursor=x", Value::Null).await;
    assert_eq!(reply.refusal(), (422, "UM1001"));
    let reply = world.operator("GET", "/v1/messages?recipient=01012345678", Value::Null).await;
    assert_eq!(reply.refusal(), (422, "UM1001"), "an operator names the account to search by a number");
    let nothing = world.get("/v1/messages?relay=nobody").await;
    assert_eq!(nothing, json!({ "items": [], "nextCursor": null }));
}
