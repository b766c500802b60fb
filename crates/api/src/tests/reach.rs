//! No key gives away, or takes from others, more than it has; a test key changes nothing that is real.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use bongsu_domain::Clock;
use http::Request;
use serde_json::{Value, json};

use super::world::{Seen, World};
use crate::peer::Peer;

const OFFICE: &str = "203.0.113.0/24";
/// An address of the office.
const DESK: &str = "203.0.113.9";

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a string, not {value}")).to_owned()
}

/// A key that the operator makes: its path and the key.
async fn made(world: &World, account: &str, mut spec: Value) -> (String, String) {
    spec["account"] = account.into();
    let made = world.call("POST", "/v1/keys", &world.operator, spec).await.good(201);
    (format!("/v1/keys/{}", text(&made["id"])), text(&made["key"]))
}

/// A call from the office.
async fn call(world: &World, method: &str, path: &str, key: &str, body: Value) -> Seen {
    let mut request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {key}"));
    if !body.is_null() {
        request = request.header("content-type", "application/json");
    }
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    let mut request = request.body(body).expect("a request");
    request.extensions_mut().insert(Peer(DESK.parse::<IpAddr>().expect("an address")));
    world.send(request).await
}

fn refused(seen: &Seen, field: &str) {
    assert_eq!(seen.refusal(), (403, "UM1003"), "{}", seen.body);
    assert_eq!(seen.body["errors"][0]["field"], field, "{}", seen.body);
}

#[tokio::test]
async fn a_key_of_some_networks_opens_no_others() {
    let world = World::new().await;
    let (account, _) = world.sending_account("a").await;
    let account = account.to_string();
    let (own, key) = made(&world, &account, json!({"role": "owner", "ipAllow": [OFFICE]})).await;
    let (other, _) = made(&world, &account, json!({"role": "sender"})).await;
    for networks in [Value::Null, json!([]), json!(["0.0.0.0/0"]), json!([DESK, "198.51.100.7"]), json!(["::/0"])] {
        let spec = json!({"role": "viewer", "ipAllow": networks});
        refused(&call(&world, "POST", "/v1/keys", &key, spec).await, "ipAllow");
        if !networks.is_null() {
            for path in [&own, &other] {
                refused(&call(&world, "PATCH", path, &key, json!({"ipAllow": networks})).await, "ipAllow");
            }
        }
    }
    // One that is used from everywhere is renamed, or switched on again, by keys of everywhere.
    call(&world, "PATCH", &other, &key, json!({"active": false})).await.good(200);
    refused(&call(&world, "PATCH", &other, &key, json!({"active": true})).await, "ipAllow");
    refused(&call(&world, "PATCH", &other, &key, json!({"name": "x"})).await, "ipAllow");
    call(&world, "PATCH", &other, &key, json!({"ipAllow": [DESK], "active": true})).await.good(200);
    call(&world, "POST", "/v1/keys", &key, json!({"role": "viewer", "ipAllow": ["203.0.113.64/26"]})).await.good(201);
    call(&world, "PATCH", &own, &key, json!({"ipAllow": [DESK]})).await.good(200);
    refused(&call(&world, "PATCH", &own, &key, json!({"ipAllow": [OFFICE]})).await, "ipAllow");
    // A leaked key is ended from wherever its owner is.
    let (leaked, _) = made(&world, &account, json!({"role": "owner"})).await;
    call(&world, "DELETE", &leaked, &key, Value::Null).await.good(204);
}

#[tokio::test]
async fn a_key_of_fewer_scopes_changes_none_that_has_more() {
    let world = World::new().await;
    let (account, _) = world.sending_account("a").await;
    let account = account.to_string();
    let (owner, owner_key) = made(&world, &account, json!({"role": "owner", "ipAllow": [OFFICE]})).await;
    let (manager, key) = made(&world, &account, json!({"scopes": ["manage", "read"]})).await;
    for patch in [json!({"ipAllow": []}), json!({"active": false}), json!({"name": "mine"})] {
        refused(&call(&world, "PATCH", &owner, &key, patch).await, "scopes");
    }
    refused(&call(&world, "DELETE", &owner, &key, Value::Null).await, "scopes");
    let kept = world.call("GET", &owner, &world.operator, Value::Null).await.good(200);
    assert_eq!((&kept["ipAllow"], &kept["active"], &kept["name"]), (&json!([OFFICE]), &json!(true), &json!("")));
    let (viewer, _) = made(&world, &account, json!({"role": "viewer"})).await;
    call(&world, "PATCH", &viewer, &key, json!({"name": "x"})).await.good(200);
    call(&world, "DELETE", &viewer, &key, Value::Null).await.good(204);
    call(&world, "DELETE", &manager, &owner_key, Value::Null).await.good(204);
    call(&world, "DELETE", &owner, &owner_key, Value::Null).await.good(204);
}

#[tokio::test]
async fn a_test_key_changes_only_what_test_keys_made() {
    let world = World::new().await;
    let (account, live) = world.sending_account("a").await;
    let (own, test) = made(&world, &account.to_string(), json!({"role": "owner", "kind": "test"})).await;
    let (real, _) = made(&world, &account.to_string(), json!({"role": "viewer"})).await;
    let later = world.clock.now().plus(Duration::from_secs(3_600)).rfc3339();
    let time = json!({"sendAt": later});
    let mut paths = Vec::new();
    for (key, to) in [(&live, "01012345678"), (&test, "01000000001")] {
        let message = json!({"to": to, "from": "021234567", "text": "hi", "sendAt": later});
        let one = world.call("POST", "/v1/messages", key, message.clone()).await.good(202);
        let many = world.call("POST", "/v1/messages/batch", key, json!({"messages": [message]})).await.good(202);
        let group = json!({"defaults": {"from": "021234567"}});
        let group = world.call("POST", "/v1/groups", key, group).await.good(201);
        paths.push([
            format!("/v1/messages/{}", text(&one["id"])),
            format!("/v1/batches/{}", text(&many["batchId"])),
            format!("/v1/groups/{}", text(&group["id"])),
        ]);
    }
    for (whose, paths) in paths.iter().enumerate() {
        for path in paths {
            let mut calls = vec![("cancel", Value::Null)];
            if !path.starts_with("/v1/groups") {
                calls.insert(0, ("reschedule", time.clone()));
            }
            for (what, body) in calls {
                let seen = world.call("POST", &format!("{path}/{what}"), &test, body).await;
                match whose {
                    0 => assert_eq!(seen.refusal(), (403, "UM1003"), "{path}/{what}"),
                    _ => drop(seen.good(200)),
                }
            }
        }
    }
    for (method, path, body) in [
        ("PUT", "/v1/distributions/sms", json!({"shares": {"kt": 100}})),
        ("DELETE", "/v1/distributions/sms", Value::Null),
        ("POST", "/v1/senders", json!({"number": "02-765-4321"})),
        ("POST", "/v1/webhooks", json!({"url": "https://1.1.1.1/hook"})),
        ("PATCH", &format!("/v1/accounts/{account}"), json!({"adName": "가게"})),
        ("PUT", &format!("/v1/accounts/{account}/team-numbers"), json!({"numbers": []})),
        ("POST", "/v1/keys", json!({"role": "viewer"})),
        ("PATCH", &real, json!({"name": "x"})),
        ("PATCH", &real, json!({"active": false})),
        ("DELETE", &real, Value::Null),
    ] {
        assert_eq!(world.call(method, path, &test, body).await.refusal(), (403, "UM1003"), "{method} {path}");
    }
    world.call("POST", "/v1/keys", &test, json!({"role": "viewer", "kind": "test"})).await.good(201);
    world.call("PATCH", &own, &test, json!({"name": "x"})).await.good(200);
    world.call("GET", "/v1/senders", &test, Value::Null).await.good(200);
}
