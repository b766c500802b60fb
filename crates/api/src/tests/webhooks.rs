//! Who may make webhooks that tell what, and how their routes are called.

use bongsu_store::keys::KeyScope;
use serde_json::{Value, json};

use super::world::World;

const URL: &str = "https://1.1.1.1/hook";

#[tokio::test]
async fn only_who_sees_numbers_has_them_told() {
    let world = World::new().await;
    let (account, owner) = world.sending_account("a").await;
    let manager = world.key(account, &[KeyScope::Manage]).await;
    let half = world.key(account, &[KeyScope::Manage, KeyScope::Numbers]).await;
    let full = json!({"url": URL, "includePii": true});
    for key in [&manager, &half] {
        let seen = world.call("POST", "/v1/webhooks", key, full.clone()).await;
        assert_eq!(seen.refusal(), (403, "UM1003"));
        assert_eq!(seen.body["errors"][0]["field"], "includePii");
    }
    let masked = world.call("POST", "/v1/webhooks", &manager, json!({"url": URL})).await.good(201);
    let masked = format!("/v1/webhooks/{}", masked["id"].as_str().expect("an id"));
    let told = world.call("POST", "/v1/webhooks", &owner, full).await.good(201);
    let told = format!("/v1/webhooks/{}", told["id"].as_str().expect("an id"));
    for (path, change) in [
        (&masked, json!({"includePii": true})),
        (&told, json!({"includePii": true})),
        (&told, json!({"url": "https://1.0.0.1/mine"})),
        (&told, json!({"events": ["message.delivered"]})),
        (&told, json!({"staticHeader": {"name": "x-mine", "value": "1"}})),
    ] {
        let seen = world.call("PATCH", path, &manager, change.clone()).await;
        assert_eq!(seen.refusal(), (403, "UM1003"), "{change}");
        let kept = world.call("GET", path, &owner, Value::Null).await.good(200);
        assert_eq!((&kept["url"], &kept["includePii"]), (&json!(URL), &json!(path == &told)));
    }
    world.call("PATCH", &masked, &manager, json!({"url": "https://1.0.0.1/mine"})).await.good(200);
    world.call("PATCH", &told, &manager, json!({"disabled": true, "description": "off"})).await.good(200);
    world.call("PATCH", &told, &manager, json!({"includePii": false, "url": "https://1.0.0.1/m"})).await.good(200);
    world.call("PATCH", &told, &owner, json!({"includePii": true})).await.good(200);
    let operators = format!("/v1/webhooks?account={account}");
    world.call("POST", &operators, &world.operator, json!({"url": URL, "includePii": true})).await.good(201);
}

#[tokio::test]
async fn a_secret_is_replaced_with_and_without_a_body() {
    let world = World::new().await;
    let (_, owner) = world.sending_account("a").await;
    let made = world.call("POST", "/v1/webhooks", &owner, json!({"url": URL})).await.good(201);
    let path = format!("/v1/webhooks/{}/rotate", made["id"].as_str().expect("an id"));
    let mut seen = vec![made["secret"].clone()];
    for body in [Value::Null, json!({}), json!({"oldForS": 0})] {
        let new = world.call("POST", &path, &owner, body).await.good(200);
        assert!(!seen.contains(&new["secret"]), "a new one");
        seen.push(new["secret"].clone());
    }
    assert_eq!(world.call("POST", &path, &owner, json!({"oldForS": -1})).await.refusal(), (422, "UM1001"));
}

#[tokio::test]
async fn what_is_wrong_with_a_url_is_told_once() {
    let world = World::new().await;
    let (_, owner) = world.sending_account("a").await;
    for (body, detail) in [
        (json!({"url": 1}), "must be a string, is a number"),
        (json!({"url": ""}), "is required"),
        (json!({}), "is required"),
    ] {
        let seen = world.call("POST", "/v1/webhooks", &owner, body).await;
        assert_eq!(seen.refusal(), (422, "UM1001"));
        assert_eq!(seen.body["errors"].as_array().map(Vec::len), Some(1), "{}", seen.body);
        assert_eq!(
            (&seen.body["errors"][0]["field"], &seen.body["errors"][0]["detail"]),
            (&json!("url"), &json!(detail))
        );
    }
}
