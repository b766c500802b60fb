//! Who may come in: roles, kinds of keys, networks, signatures, origins, and the log of what they changed.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use axum::body::Body;
use bongsu_domain::Clock;
use bongsu_store::keys::KeyScope;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::world::{Seen, World};
use crate::ApiConfig;
use crate::peer::Peer;

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a string, not {value}")).to_owned()
}

async fn made(world: &World, account: &str, mut spec: Value) -> Value {
    spec["account"] = account.into();
    world.call("POST", "/v1/keys", &world.operator, spec).await.good(201)
}

/// A call from an address.
async fn from(world: &World, address: &str, forwarded: &str, key: &str) -> Seen {
    let mut request = Request::get("/v1/wallet").header("authorization", format!("Bearer {key}"));
    if !forwarded.is_empty() {
        request = request.header("x-forwarded-for", forwarded);
    }
    let mut request = request.body(Body::empty()).expect("a request");
    request.extensions_mut().insert(Peer(address.parse::<IpAddr>().expect("an address")));
    world.send(request).await
}

#[tokio::test]
async fn each_role_may_do_what_its_scopes_say_and_no_more() {
    let world = World::new().await;
    let (account, owner) = world.sending_account("a").await;
    let account = account.to_string();
    let message = json!({"to": "01012345678", "from": "021234567", "text": "hi"});
    // Sending, reading, seeing numbers, managing, operating.
    for (role, allowed) in [
        ("owner", [true, true, true, true, false]),
        ("sender", [true, true, false, false, false]),
        ("viewer", [false, true, false, false, false]),
        ("operator", [false, true, true, true, true]),
    ] {
        let made = match role {
            "operator" => world.call("POST", "/v1/keys", &world.operator, json!({"role": role})).await.good(201),
            _ => made(&world, &account, json!({"role": role})).await,
        };
        assert_eq!(made["role"], role);
        let key = text(&made["key"]);
        let sent = world.call("POST", "/v1/messages", &key, message.clone()).await.status;
        let list = world.call("GET", &format!("/v1/messages?account={account}"), &key, Value::Null).await;
        let sees = list.body["items"][0]["to"] == "01012345678";
        let keys = world.call("GET", &format!("/v1/keys?account={account}"), &key, Value::Null).await.status;
        let relays = world.call("GET", "/v1/relays", &key, Value::Null).await.status;
        let seen = [sent == 202, list.status == 200, sees, keys == 200, relays == 200];
        assert_eq!(seen, allowed, "{role}");
    }
    let listed = world.call("GET", "/v1/keys", &owner, Value::Null).await.good(200);
    let roles: Vec<_> = listed["items"].as_array().expect("rows").iter().map(|row| row["role"].clone()).collect();
    assert_eq!(roles, [json!("viewer"), json!("sender"), json!("owner"), json!("owner")]);
}

#[tokio::test]
async fn a_key_is_switched_off_and_on_again() {
    let world = World::new().await;
    let (account, owner) = world.account("a", &[KeyScope::Read, KeyScope::Manage]).await;
    let made = made(&world, &account.to_string(), json!({"role": "viewer", "name": " 매장 "})).await;
    assert_eq!((&made["name"], &made["active"]), (&json!("매장"), &json!(true)));
    let (key, path) = (text(&made["key"]), format!("/v1/keys/{}", text(&made["id"])));
    world.call("GET", "/v1/wallet", &key, Value::Null).await.good(200);
    let off = world.call("PATCH", &path, &owner, json!({"active": false})).await.good(200);
    assert_eq!((&off["active"], &off["name"]), (&json!(false), &json!("매장")));
    assert_eq!(world.call("GET", "/v1/wallet", &key, Value::Null).await.refusal(), (401, "UM1002"));
    world.call("GET", "/v1/wallet", &owner, Value::Null).await.good(200);
    let on = world.call("PATCH", &path, &owner, json!({"active": true, "name": "본점"})).await.good(200);
    assert_eq!((&on["active"], &on["name"]), (&json!(true), &json!("본점")));
    world.call("GET", "/v1/wallet", &key, Value::Null).await.good(200);
    world.call("DELETE", &path, &owner, Value::Null).await.good(204);
    assert_eq!(world.call("PATCH", &path, &owner, json!({"active": true})).await.refusal(), (409, "UM1013"));

    let operators = world.call("GET", "/v1/keys", &world.operator, Value::Null).await.good(200);
    let own = operators["items"].as_array().expect("rows").iter().find(|row| row["kind"] == "operator");
    let path = format!("/v1/keys/{}", text(&own.expect("the operator's")["id"]));
    let last = world.call("PATCH", &path, &world.operator, json!({"active": false})).await;
    assert_eq!(last.refusal(), (409, "UM1013"), "nobody could switch it on again");
    for wrong in
        [json!({"active": "no"}), json!({"name": "x".repeat(51)}), json!({"ipAllow": ["x"]}), json!({"kind": "live"})]
    {
        assert_eq!(world.call("PATCH", &path, &world.operator, wrong).await.refusal(), (422, "UM1001"));
    }
}

#[tokio::test]
async fn a_kind_of_key_reaches_its_numbers_only() {
    let world = World::new().await;
    let (account, owner) = world.sending_account("a").await;
    let path = format!("/v1/accounts/{account}/team-numbers");
    let team = json!({"numbers": ["010-1234-5678", "01012345678", "+82 10 9876 5432"]});
    let team = world.call("PUT", &path, &owner, team).await.good(200);
    assert_eq!(team["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(team["items"][0]["number"], "01012345678");
    let wrong = world.call("PUT", &path, &owner, json!({"numbers": ["010-0000-0001", "02-123-4567"]})).await;
    let codes: Vec<_> = wrong.body["errors"].as_array().expect("two").iter().map(|e| e["code"].clone()).collect();
    assert_eq!((wrong.status.as_u16(), codes), (422, vec![json!("UM1022"), json!("UM1020")]));

    let mut keys = vec![("live", owner.clone())];
    for kind in ["team", "test"] {
        keys.push((
            kind,
            text(&made(&world, &account.to_string(), json!({"role": "owner", "kind": kind})).await["key"]),
        ));
    }
    for (kind, key) in &keys {
        for (to, who) in [("01012345678", "team"), ("01055556666", "stranger"), ("01000000001", "test")] {
            let good = match *kind {
                "live" => who != "test",
                "team" => who == "team",
                _ => who == "test",
            };
            let single = json!({"to": to, "from": "021234567", "text": "hi"});
            let batch = json!({"messages": [single.clone()]});
            for (path, body) in [("/v1/messages", single), ("/v1/messages/batch", batch)] {
                let seen = world.call("POST", path, key, body).await;
                match good {
                    true => drop(seen.good(202)),
                    false => {
                        assert_eq!(seen.refusal(), (422, "UM1022"), "{kind} to {who}");
                        assert_eq!(seen.body["errors"][0]["field"], "to");
                    }
                }
            }
        }
    }
    let entries = world.call("GET", "/v1/wallet/entries?limit=500", &owner, Value::Null).await.good(200);
    let charged = entries["items"].as_array().expect("rows").iter().filter(|row| row["amount"].as_i64() < Some(0));
    assert_eq!(charged.count(), 6, "live to two, team to one, twice each; a test costs nothing");
    world.call("PUT", &path, &owner, json!({"numbers": []})).await.good(200);
    let gone = json!({"to": "01012345678", "from": "021234567", "text": "hi"});
    assert_eq!(world.call("POST", "/v1/messages", &keys[1].1, gone).await.refusal(), (422, "UM1022"));
    for further in ["live", "team"] {
        let seen = world.call("POST", "/v1/keys", &keys[2].1, json!({"role": "sender", "kind": further})).await;
        assert_eq!(seen.refusal(), (403, "UM1003"), "a test key makes no {further} key");
    }
}

#[tokio::test]
async fn a_key_is_used_from_its_networks_only() {
    let config = ApiConfig { trusted_proxies: vec!["10.9.0.0/16".parse().expect("a network")], ..ApiConfig::default() };
    let world = World::with(config).await;
    let (account, _) = world.account("a", &[KeyScope::Read]).await;
    let spec = json!({"role": "viewer", "ipAllow": ["203.0.113.0/24", "2001:db8::/32", "198.51.100.7"]});
    let made = made(&world, &account.to_string(), spec).await;
    assert_eq!(made["ipAllow"], json!(["203.0.113.0/24", "2001:db8::/32", "198.51.100.7/32"]));
    let key = text(&made["key"]);
    for (address, forwarded, status) in [
        ("203.0.113.9", "", 200),
        ("::ffff:203.0.113.9", "", 200),
        ("2001:db8::5", "", 200),
        ("198.51.100.7", "", 200),
        ("198.51.100.8", "", 403),
        ("203.0.114.1", "", 403),
        ("127.0.0.1", "203.0.113.9", 403),
        ("10.9.1.1", "203.0.113.9", 200),
        ("10.9.1.1", "203.0.113.9, 192.0.2.1", 403),
        ("10.9.1.1", "", 403),
    ] {
        let seen = from(&world, address, forwarded, &key).await;
        assert_eq!(seen.status.as_u16(), status, "{address} {forwarded}: {}", seen.body);
        if status == 403 {
            assert_eq!(seen.refusal(), (403, "UM1003"));
        }
    }
    let path = format!("/v1/keys/{}", text(&made["id"]));
    world.call("PATCH", &path, &world.operator, json!({"ipAllow": []})).await.good(200);
    assert_eq!(from(&world, "198.51.100.8", "", &key).await.status, StatusCode::OK);
}

/// What a signed request consists of.
struct Signed<'s> {
    key: &'s str,
    secret: &'s str,
    timestamp: i64,
    nonce: &'s str,
    path: &'s str,
    body: &'s str,
    idempotency: &'s str,
}

impl Signed<'_> {
    fn header(&self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let body = hex(digest::digest(&digest::SHA256, self.body.as_bytes()).as_ref());
        let Self { key, timestamp, nonce, path, idempotency, .. } = self;
        let canonical = format!("BONGSU-HMAC-SHA256\nPOST\n{path}\n{timestamp}\n{nonce}\n{idempotency}\n{body}");
        let hmac_key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        let signature = hex(hmac::sign(&hmac_key, canonical.as_bytes()).as_ref());
        format!(
            "Bongsu-HMAC-SHA256 keyId={key}, timestamp={timestamp}, nonce={nonce}, bodySha256={body}, signature={signature}"
        )
    }

    async fn send(&self, world: &World, header: &str, body: &str) -> Seen {
        let mut request =
            Request::post(self.path).header("authorization", header).header("content-type", "application/json");
        if !self.idempotency.is_empty() {
            request = request.header("idempotency-key", self.idempotency);
        }
        world.send(request.body(body.to_owned().into()).expect("a request")).await
    }
}

#[tokio::test]
async fn a_signed_request_is_taken_once_and_only_as_it_was_signed() {
    let world = World::new().await;
    let (account, _) = world.sending_account("a").await;
    let made = made(&world, &account.to_string(), json!({"role": "owner", "signing": "required"})).await;
    let (id, key, secret) = (text(&made["id"]), text(&made["key"]), text(&made["signingSecret"]));
    let listed = world.call("GET", &format!("/v1/keys/{id}"), &world.operator, Value::Null).await.good(200);
    assert_eq!((&listed["signing"], listed.to_string().contains(&secret)), (&json!("required"), false));
    assert_eq!(world.call("GET", "/v1/wallet", &key, Value::Null).await.refusal(), (401, "UM1002"), "signed only");

    let body = json!({"to": "01012345678", "from": "021234567", "text": "hi"}).to_string();
    let now = world.clock.now().millis() / 1_000;
    let good = Signed {
        key: &id,
        secret: &secret,
        timestamp: now,
        nonce: "nonce-0000000000001",
        path: "/v1/messages",
        body: &body,
        idempotency: "order-1",
    };
    good.send(&world, &good.header(), &body).await.good(202);
    let again = good.send(&world, &good.header(), &body).await;
    assert_eq!(again.refusal(), (401, "UM1004"), "a replay");

    let other_body = body.replace("hi", "ho");
    let fresh = Signed { nonce: "nonce-0000000000002", ..good };
    assert_eq!(fresh.send(&world, &fresh.header(), &other_body).await.refusal(), (401, "UM1002"), "another body");
    let cases: [(&str, Signed<'_>); 3] = [
        ("another secret", Signed { secret: "bs_x", nonce: "nonce-0000000000003", ..good }),
        ("another key", Signed { key: "key_0000000000001", nonce: "nonce-0000000000004", ..good }),
        ("another path", Signed { path: "/v1/messages?x=1", nonce: "nonce-0000000000005", ..good }),
    ];
    for (what, signed) in cases {
        let seen = Signed { path: "/v1/messages", ..signed }.send(&world, &signed.header(), &body).await;
        assert_eq!(seen.refusal(), (401, "UM1002"), "{what}");
    }
    let header = Signed { nonce: "nonce-0000000000006", ..good }.header();
    let swapped = Signed { idempotency: "order-2", ..good }.send(&world, &header, &body).await;
    assert_eq!(swapped.refusal(), (401, "UM1002"), "another Idempotency-Key");

    for (seconds, nonce) in [(-301, "nonce-0000000000007"), (301, "nonce-0000000000008")] {
        let skewed = Signed { timestamp: now + seconds, nonce, ..good };
        let seen = skewed.send(&world, &skewed.header(), &body).await;
        assert_eq!(seen.refusal(), (401, "UM1004"));
        assert!(text(&seen.body["detail"]).contains(&now.to_string()), "the server's time: {}", seen.body);
    }
    world.clock.advance(Duration::from_secs(200));
    let late = Signed { nonce: "nonce-0000000000009", ..good };
    let replayed = late.send(&world, &late.header(), &body).await;
    assert_eq!(replayed.headers["idempotency-replayed"], "true", "five minutes are not over: {}", replayed.body);
    world.call("PATCH", &format!("/v1/keys/{id}"), &world.operator, json!({"active": false})).await.good(200);
    let off = Signed { nonce: "nonce-0000000000010", ..good };
    assert_eq!(off.send(&world, &off.header(), &body).await.refusal(), (401, "UM1002"), "switched off");
}

#[tokio::test]
async fn pages_of_listed_origins_only_get_answers() {
    let config = ApiConfig { cors_origins: vec!["https://console.example".to_owned()], ..ApiConfig::default() };
    let world = World::with(config).await;
    let (_, key) = world.account("a", &[KeyScope::Read]).await;
    let call = |method: &str, origin: &str, preflight: bool| {
        let mut request = Request::builder().method(method).uri("/v1/wallet").header("host", "api.example");
        request = request.header("authorization", format!("Bearer {key}")).header("origin", origin);
        if preflight {
            request = request.header("access-control-request-method", "GET");
        }
        world.send(request.body(Body::empty()).expect("a request"))
    };
    let told =
        |seen: &Seen| seen.headers.iter().filter(|(name, _)| name.as_str().starts_with("access-control")).count();

    let listed = call("GET", "https://console.example", false).await;
    assert_eq!(listed.headers["access-control-allow-origin"], "https://console.example");
    assert_eq!(listed.headers["vary"], "Origin");
    assert!(listed.headers.get("access-control-allow-credentials").is_none());
    assert_eq!(listed.status, StatusCode::OK);
    let preflight = call("OPTIONS", "https://console.example", true).await;
    assert_eq!(preflight.status, StatusCode::NO_CONTENT);
    assert_eq!(preflight.headers["access-control-allow-origin"], "https://console.example");
    assert!(preflight.headers["access-control-allow-headers"].to_str().expect("ascii").contains("Idempotency-Key"));
    for origin in ["https://evil.example", "null", "https://console.example.evil", "http://console.example"] {
        for preflight in [false, true] {
            let seen = call(if preflight { "OPTIONS" } else { "GET" }, origin, preflight).await;
            assert_eq!(seen.refusal(), (403, "UM1003"), "{origin}");
            assert_eq!(told(&seen), 0, "{origin}: {:?}", seen.headers);
        }
    }
    let own = call("GET", "https://api.example", false).await;
    assert_eq!((own.status, told(&own)), (StatusCode::OK, 0), "a page of this server needs no leave");
    let asked = call("OPTIONS", "https://console.example", false).await;
    assert_eq!(asked.refusal(), (405, "UM1014"), "no preflight");
}

#[tokio::test]
async fn every_change_is_in_the_audit_log_and_no_secret_is() {
    let world = World::new().await;
    let account = world.call("POST", "/v1/accounts", &world.operator, json!({"name": "가게"})).await.good(201);
    let account = text(&account["id"]);
    let owner = made(&world, &account, json!({"role": "owner"})).await;
    let (owner_id, owner) = (text(&owner["id"]), text(&owner["key"]));
    let viewer = world.call("POST", "/v1/keys", &owner, json!({"role": "viewer"})).await.good(201);
    let (viewer_id, viewer) = (text(&viewer["id"]), text(&viewer["key"]));
    let sender = world.call("POST", "/v1/senders", &owner, json!({"number": "02-123-4567"})).await.good(201);
    world.call("PATCH", &format!("/v1/keys/{viewer_id}"), &viewer, json!({"active": false})).await.refusal();
    world.call("PUT", "/v1/distributions/sms", &owner, json!({"shares": {"nobody": 100}})).await.refusal();
    let mut request = Request::delete(format!("/v1/keys/{viewer_id}"))
        .header("authorization", format!("Bearer {owner}"))
        .header("x-request-id", "mine-1")
        .body(Body::empty())
        .expect("a request");
    request.extensions_mut().insert(Peer([192, 0, 2, 7].into()));
    world.send(request).await.good(204);
    world.call("POST", "/v1/keys", "bk_wrong", json!({"role": "owner"})).await.refusal();
    world.call("GET", "/v1/relays", &viewer, Value::Null).await.refusal();

    let log = world.call("GET", "/v1/audit-log", &owner, Value::Null).await.good(200);
    let rows = log["items"].as_array().expect("rows");
    let told: Vec<_> = rows
        .iter()
        .map(|row| {
            let word = |name: &str| row[name].as_str().unwrap_or("-").to_owned();
            (word("role"), word("operation"), word("target"), row["status"].as_u64().unwrap_or(0), word("code"))
        })
        .collect();
    let row = |role: &str, operation: &str, target: &str, status: u64, code: &str| {
        (role.to_owned(), operation.to_owned(), target.to_owned(), status, code.to_owned())
    };
    assert_eq!(
        told,
        [
            row("owner", "revoke_key", &viewer_id, 204, "-"),
            row("owner", "update_distribution", "sms", 422, "UM1001"),
            row("viewer", "update_key", &viewer_id, 403, "UM1003"),
            row("owner", "create_sender", &text(&sender["id"]), 201, "-"),
            row("owner", "create_key", &viewer_id, 201, "-"),
            row("operator", "create_key", &owner_id, 201, "-"),
            row("operator", "create_account", &account, 201, "-"),
        ]
    );
    assert!(rows.iter().all(|row| row["account"] == account.as_str()));
    assert_eq!((&rows[0]["ip"], &rows[0]["requestId"]), (&json!("192.0.2.7"), &json!("mine-1")));
    for secret in [&owner, &viewer, "02-123", "021234567", "가게"] {
        assert!(!log.to_string().contains(secret), "{secret} stands in the log");
    }

    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/audit-log?limit=3&account={account}&cursor={cursor}");
        let page = world.call("GET", &path, &world.operator, Value::Null).await.good(200);
        ids.extend(page["items"].as_array().expect("rows").iter().map(|row| text(&row["id"])));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(ids, rows.iter().map(|row| text(&row["id"])).collect::<Vec<_>>());
    let by_key = format!("/v1/audit-log?key={owner_id}&operation=create_key");
    let by_key = world.call("GET", &by_key, &owner, Value::Null).await.good(200);
    assert_eq!(by_key["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn the_audit_log_tells_of_sends_beside_the_changes() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let (_, neighbour) = world.sending_account("b").await;
    let call = async |method: &str, path: &str, body: Value| world.call(method, path, &key, body).await;
    let message = json!({"to": "01012345678", "from": "021234567", "text": "비밀"});
    let later = world.clock.now().plus(Duration::from_secs(3_600)).rfc3339();
    let mut scheduled = message.clone();
    scheduled["sendAt"] = later.as_str().into();
    let one = text(&call("POST", "/v1/messages", message.clone()).await.good(202)["id"]);
    let two = text(&call("POST", "/v1/messages", scheduled).await.good(202)["id"]);
    let many = text(&call("POST", "/v1/messages/batch", json!({"messages": [message]})).await.good(202)["batchId"]);
    world.clock.advance(Duration::from_secs(1));
    call("POST", &format!("/v1/messages/{two}/cancel"), Value::Null).await.good(200);
    let group = text(&call("POST", "/v1/groups", json!({"defaults": {"from": "021234567"}})).await.good(201)["id"]);
    call("POST", &format!("/v1/groups/{group}/cancel"), Value::Null).await.good(200);

    let list = async |query: &str, key: &str| {
        let log = world.call("GET", &format!("/v1/audit-log{query}"), key, Value::Null).await.good(200);
        assert!(!log.to_string().contains("비밀") && !log.to_string().contains("01012345678"), "{log}");
        let rows = log["items"].as_array().expect("rows").clone();
        rows.iter()
            .map(|row| (text(&row["operation"]), row["target"].as_str().unwrap_or("-").to_owned()))
            .collect::<Vec<_>>()
    };
    let row = |operation: &str, target: &str| (operation.to_owned(), target.to_owned());
    let sends = [row("send_batch", &many), row("send_message", &two), row("send_message", &one)];
    assert_eq!(list("?kind=sends", &key).await, sends);
    let all = list("", &key).await;
    let changes = [row("cancel_group", &group), row("create_group", &group), row("cancel_message", &two)];
    assert_eq!(all[..6], [&changes[..], &sends[..]].concat());
    assert_eq!(list("?kind=all", &key).await, all);
    assert_eq!(list("?kind=changes", &key).await[..3], changes);
    assert_eq!(list("?operation=send_batch", &key).await, sends[..1]);
    assert_eq!(list("?kind=sends", &neighbour).await, []);
    let page = world.call("GET", "/v1/audit-log?kind=sends&limit=1", &key, Value::Null).await.good(200);
    let row = &page["items"][0];
    assert_eq!((&row["status"], &row["role"], &row["ip"]), (&json!(202), &Value::Null, &Value::Null));
    assert!(text(&row["requestId"]).starts_with("req_") && page["nextCursor"].is_string(), "{page}");
    assert_eq!(world.call("GET", "/v1/audit-log?kind=none", &key, Value::Null).await.status, 400);
}

#[tokio::test]
async fn the_audit_log_names_the_account_of_a_credit() {
    let world = World::new().await;
    let (account, _) = world.sending_account("a").await;
    let log = world.call("GET", "/v1/audit-log?operation=create_credit", &world.operator, Value::Null).await.good(200);
    assert_eq!(log["items"][0]["target"], account.to_string());
}
