//! The set-up routes, from an empty installation to one that could send.

use std::time::Duration;

use bongsu_store::keys::KeyScope;
use bongsu_store::senders::{self, IssuedCode};
use serde_json::{Value, json};

use super::world::World;

#[tokio::test]
async fn an_operator_sets_up_an_account() {
    let world = World::new().await;
    let operator = world.operator.as_str();
    let account = world.call("POST", "/v1/accounts", operator, json!({"name": "축제"})).await.good(201);
    assert_eq!((account["name"].as_str(), account["suspended"].as_bool()), (Some("축제"), Some(false)));
    assert_eq!(account["dedupeS"], 0, "equal messages are sent unless somebody wants otherwise");
    let id = account["id"].as_str().expect("an id");

    let created = json!({"account": id, "scopes": ["send", "read", "manage"], "kind": "live"});
    let created = world.call("POST", "/v1/keys", operator, created).await.good(201);
    let key = created["key"].as_str().expect("the secret");
    assert!(key.starts_with(created["prefix"].as_str().expect("a prefix")));
    let listed = world.call("GET", "/v1/keys", key, Value::Null).await.good(200);
    assert_eq!((listed["items"].as_array().map(Vec::len), listed["nextCursor"].clone()), (Some(1), Value::Null));
    assert!(!listed.to_string().contains(key));

    let credit = json!({"account": id, "unit": "point:sms", "amount": 100, "cause": "start"});
    for _ in 0..2 {
        let entry = world.call("POST", "/v1/wallet/credits", operator, credit.clone()).await.good(201);
        assert_eq!((entry["amount"].as_i64(), entry["balance"].as_i64()), (Some(100), Some(100)));
    }
    let wallet = world.call("GET", "/v1/wallet", key, Value::Null).await.good(200);
    assert_eq!(wallet, json!({"balances": {"point:sms": 100}}));
    let entries = world.call("GET", "/v1/wallet/entries?unit=point:sms", key, Value::Null).await.good(200);
    assert_eq!(entries["items"].as_array().map(Vec::len), Some(1));

    let patched = json!({"ratePerS": 7, "name": "새 이름"});
    let patched = world.call("PATCH", &format!("/v1/accounts/{id}"), operator, patched).await.good(200);
    assert_eq!((patched["ratePerS"].as_i64(), patched["name"].as_str()), (Some(7), Some("새 이름")));
}

#[tokio::test]
async fn an_account_has_a_window_against_equal_messages() {
    let world = World::new().await;
    let operator = world.operator.as_str();
    let wanted = json!({"name": "a", "dedupeS": 86_400});
    let account = world.call("POST", "/v1/accounts", operator, wanted).await.good(201);
    assert_eq!(account["dedupeS"], 86_400);
    let path = format!("/v1/accounts/{}", account["id"].as_str().expect("an id"));
    let patched = world.call("PATCH", &path, operator, json!({"dedupeS": 30})).await.good(200);
    assert_eq!(patched["dedupeS"], 30);
    for wrong in [json!(86_401), json!(-1), json!(1.5), json!("60"), json!(true)] {
        let patch = world.call("PATCH", &path, operator, json!({"dedupeS": wrong})).await;
        assert_eq!((patch.refusal(), &patch.body["errors"][0]["field"]), ((422, "UM1001"), &json!("dedupeS")));
        let create = world.call("POST", "/v1/accounts", operator, json!({"name": "b", "dedupeS": wrong})).await;
        assert_eq!(create.refusal(), (422, "UM1001"), "{wrong}");
    }
    let seen = world.call("GET", &path, operator, Value::Null).await.good(200);
    assert_eq!(seen["dedupeS"], 30);
    let listed = world.call("GET", "/v1/accounts", operator, Value::Null).await.good(200);
    assert_eq!(listed["items"][0]["dedupeS"], 30);
}

#[tokio::test]
async fn relays_and_shares_are_data() {
    let world = World::new().await;
    let (account, key) = world.account("a", &[KeyScope::Manage]).await;
    for name in ["kt", "skt"] {
        let relay = json!({
            "name": name, "kind": "smpp", "address": "127.0.0.1:2775", "systemId": "bongsu", "password": "secret",
            "ratePerS": 100, "window": 10, "binds": 1, "resendUnknown": false, "settings": {"coding": "ucs2"},
        });
        let seen = world.call("POST", "/v1/relays", &world.operator, relay).await.good(201);
        assert_eq!((seen["settings"]["coding"].as_str(), seen["resendUnknown"].as_bool()), (Some("ucs2"), Some(false)));
        assert!(!seen.to_string().contains("secret"), "{seen}");
    }
    let again = json!({"name": "kt", "address": "h:1", "systemId": "s", "password": "p"});
    let seen = world.call("POST", "/v1/relays", &world.operator, again).await;
    assert_eq!(seen.refusal(), (409, "UM1013"));
    assert_eq!(seen.body["errors"][0]["field"], "name");

    let even = world.call("GET", "/v1/distributions/sms", &key, Value::Null).await.good(200);
    assert_eq!((even["set"].as_bool(), even["shares"].clone()), (Some(false), json!({"kt": 50, "skt": 50})));
    let shares = json!({"shares": {"kt": 70, "skt": 30}});
    let set = world.call("PUT", "/v1/distributions/sms", &key, shares).await.good(200);
    assert_eq!((set["set"].as_bool(), set["shares"].clone()), (Some(true), json!({"kt": 70, "skt": 30})));
    let by_operator = format!("/v1/distributions/sms?account={account}");
    let seen = world.call("GET", &by_operator, &world.operator, Value::Null).await.good(200);
    assert_eq!(seen["shares"], json!({"kt": 70, "skt": 30}));
    for shares in [json!({"kt": 70}), json!({}), json!({"kt": 70, "no": 30}), json!({"kt": "70"}), json!([])] {
        let seen = world.call("PUT", "/v1/distributions/sms", &key, json!({"shares": shares})).await;
        assert_eq!(seen.refusal(), (422, "UM1001"), "{shares}");
    }
    assert_eq!(world.call("GET", "/v1/distributions/fax", &key, Value::Null).await.refusal(), (404, "UM1011"));
    assert_eq!(world.call("GET", "/v1/distributions/mms", &key, Value::Null).await.refusal(), (422, "UM3006"));
    assert_eq!(
        world.call("GET", "/v1/distributions/sms", &world.operator, Value::Null).await.refusal(),
        (400, "UM1001"),
        "an operator names the account"
    );

    let used = world.call("DELETE", "/v1/relays/skt", &world.operator, Value::Null).await;
    assert_eq!(used.refusal(), (409, "UM1013"));
    world.call("DELETE", "/v1/distributions/sms", &key, Value::Null).await.good(200);
    let patch = json!({"ratePerS": 200, "settings": {"coding": null}});
    let seen = world.call("PATCH", "/v1/relays/kt", &world.operator, patch).await.good(200);
    assert_eq!((seen["ratePerS"].as_i64(), seen["settings"]["coding"].as_str()), (Some(200), Some("ksc5601")));
    world.call("DELETE", "/v1/relays/skt", &world.operator, Value::Null).await.good(204);
    let rows = world.call("GET", "/v1/relays", &world.operator, Value::Null).await.good(200);
    assert_eq!(rows["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(world.call("GET", "/v1/relays/skt", &world.operator, Value::Null).await.refusal(), (404, "UM1011"));
}

#[tokio::test]
async fn prices_are_set_by_operators_and_read_by_all() {
    let world = World::new().await;
    let (_, key) = world.account("a", &[KeyScope::Read]).await;
    let price = json!({"channel": "lms", "unit": "krw", "amount": 30_000});
    assert_eq!(world.call("PUT", "/v1/prices", &key, price.clone()).await.refusal(), (403, "UM1003"));
    assert_eq!(world.call("PUT", "/v1/prices", &world.operator, price.clone()).await.good(200), price);
    let prices = world.call("GET", "/v1/prices", &key, Value::Null).await.good(200);
    assert_eq!(prices["items"], json!([{"channel": "sms", "unit": "point:sms", "amount": 1}, price]));
    let wrong = json!({"channel": "fax", "unit": "", "amount": -1, "more": 1});
    let seen = world.call("PUT", "/v1/prices", &world.operator, wrong).await;
    let fields: Vec<_> = seen.body["errors"].as_array().expect("findings").iter().map(|e| e["field"].clone()).collect();
    assert_eq!(
        (seen.refusal(), fields),
        ((422, "UM1001"), vec![json!("channel"), json!("unit"), json!("amount"), json!("more")])
    );
}

#[tokio::test]
async fn no_key_makes_one_that_may_do_more() {
    let world = World::new().await;
    let (_, key) = world.account("a", &[KeyScope::Manage, KeyScope::Read]).await;
    let made = world.call("POST", "/v1/keys", &key, json!({"scopes": ["read"]})).await.good(201);
    assert_eq!(made["scopes"], json!(["read"]));
    for (body, code) in [
        (json!({"scopes": ["send"]}), "UM1003"),
        (json!({"scopes": ["operator"]}), "UM1001"),
        (json!({"kind": "operator"}), "UM1003"),
        (json!({"scopes": []}), "UM1001"),
        (json!({}), "UM1001"),
        (json!({"scopes": ["fly"]}), "UM1001"),
        (json!({"scopes": "read"}), "UM1001"),
        (json!({"scopes": ["read"], "kind": "fax"}), "UM1001"),
        (json!({"scopes": ["read"], "role": "viewer"}), "UM1001"),
        (json!({"role": "owner"}), "UM1003"),
        (json!({"role": "operator"}), "UM1003"),
        (json!({"role": "viewer", "ipAllow": ["10.0.0.0/33"]}), "UM1001"),
        (json!({"role": "viewer", "signing": "maybe"}), "UM1001"),
        (json!({"scopes": ["read"], "account": "x"}), "UM1001"),
    ] {
        let seen = world.call("POST", "/v1/keys", &key, body.clone()).await;
        let (status, seen_code) = seen.refusal();
        assert!((status == 422 || status == 403) && seen_code == code, "{body}: {}", seen.body);
    }
    let operator = json!({"kind": "operator"});
    world.call("POST", "/v1/keys", &world.operator, operator).await.good(201);
    let seen = world.call("POST", "/v1/keys", &world.operator, json!({"scopes": ["read"]})).await;
    assert_eq!(seen.body["errors"][0]["field"], "account");
}

#[tokio::test]
async fn a_land_line_gets_no_code_and_needs_an_operator() {
    let world = World::new().await;
    let (_, key) = world.account("a", &[KeyScope::Manage]).await;
    let sender = world.call("POST", "/v1/senders", &key, json!({"number": "02-123-4567"})).await.good(201);
    assert_eq!((sender["number"].as_str(), sender["state"].as_str()), (Some("021234567"), Some("pending")));
    assert_eq!((sender["codeSent"].as_bool(), sender["codeExpiresAt"].clone()), (Some(false), Value::Null));
    let path = format!("/v1/senders/{}", sender["id"].as_str().expect("an id"));
    let seen = world.call("POST", &format!("{path}/code"), &key, Value::Null).await;
    assert_eq!(seen.refusal(), (422, "UM3006"));
    let approve = format!("{path}/approve");
    assert_eq!(world.call("POST", &approve, &key, Value::Null).await.refusal(), (403, "UM1003"));
    let active = world.call("POST", &approve, &world.operator, Value::Null).await.good(200);
    assert_eq!(active["state"], "active");
    let twice = world.call("POST", "/v1/senders", &key, json!({"number": "021234567"})).await;
    assert_eq!(twice.refusal(), (409, "UM1013"));
    let wrong = world.call("POST", "/v1/senders", &key, json!({"number": "12"})).await;
    assert_eq!(wrong.refusal(), (422, "UM2001"));
    world.call("DELETE", &path, &key, Value::Null).await.good(204);
    let rows = world.call("GET", "/v1/senders", &key, Value::Null).await.good(200);
    assert_eq!(rows["items"], json!([]));
}

#[tokio::test]
async fn a_sender_number_is_proved_by_the_code_it_received() {
    let world = World::new().await;
    let (account, key) = world.account("a", &[KeyScope::Manage]).await;
    let sender = world.call("POST", "/v1/senders", &key, json!({"number": "010-2345-6789"})).await.good(201);
    assert_eq!(sender["codeSent"], true);
    assert!(sender["codeExpiresAt"].is_string());
    let path = format!("/v1/senders/{}", sender["id"].as_str().expect("an id"));

    let messages = world.call("GET", "/v1/messages", &world.operator, Value::Null).await.good(200);
    assert_eq!(messages["items"].as_array().map(Vec::len), Some(1), "the code is a message of the house");
    assert_eq!(messages["items"][0]["to"], "01023456789");
    assert_eq!(messages["items"][0]["lane"], "auth");

    let soon = world.call("POST", &format!("{path}/code"), &key, Value::Null).await;
    assert_eq!(soon.refusal(), (429, "UM3003"));
    assert_eq!(soon.headers["retry-after"], "30");
    let verify = format!("{path}/verify");
    for tries in 1..=6 {
        let seen = world.call("POST", &verify, &key, json!({"code": "wrong"})).await;
        assert_eq!(seen.refusal(), if tries < 6 { (422, "UM1001") } else { (429, "UM3003") }, "try {tries}");
        assert_eq!(seen.body["errors"][0]["field"], "code");
    }
    world.clock.advance(Duration::from_secs(31));
    // The store tells the code to whoever sends it; here that is the test.
    let id = sender["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    let issued = senders::issue_code(world.app.service.store(), account, id).await.expect("a code");
    let IssuedCode::Sent { code, .. } = issued else { panic!("a new code, not {issued:?}") };
    let active = world.call("POST", &verify, &key, json!({"code": code.expose()})).await.good(200);
    assert_eq!(active["state"], "active");
}

#[tokio::test]
async fn lists_go_on_where_they_ended() {
    let world = World::new().await;
    for name in ["a", "b", "c"] {
        world.account(name, &[KeyScope::Read]).await;
    }
    let mut names = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/accounts?limit=2&cursor={cursor}");
        let page = world.call("GET", &path, &world.operator, Value::Null).await.good(200);
        for item in page["items"].as_array().expect("rows") {
            names.push(item["name"].as_str().expect("a name").to_owned());
        }
        match page["nextCursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(names, ["c", "b", "a"]);
    let seen = world.call("GET", "/v1/accounts?limit=0", &world.operator, Value::Null).await;
    assert_eq!(seen.refusal(), (400, "UM1001"));
    let seen = world.call("GET", "/v1/accounts?page=2", &world.operator, Value::Null).await;
    assert_eq!((seen.refusal(), seen.body["errors"][0]["field"].clone()), ((400, "UM1001"), json!("page")));
}

#[tokio::test]
async fn a_relay_is_found_by_its_name_and_by_its_id() {
    let world = World::new().await;
    let relay = json!({"name": "kt", "address": "127.0.0.1:1", "systemId": "a", "password": "b"});
    let relay = world.call("POST", "/v1/relays", &world.operator, relay).await.good(201);
    let by_id = format!("/v1/relays/{}", relay["id"].as_str().expect("an id"));
    for path in ["/v1/relays/kt", &by_id] {
        let found = world.call("PATCH", path, &world.operator, json!({"window": 7})).await.good(200);
        assert_eq!((found["id"].clone(), found["window"].clone()), (relay["id"].clone(), json!(7)));
    }
    world.call("DELETE", &by_id, &world.operator, Value::Null).await.good(204);
    for path in ["/v1/relays/kt", &by_id] {
        assert_eq!(world.call("GET", path, &world.operator, Value::Null).await.refusal(), (404, "UM1011"));
    }
}

#[tokio::test]
async fn the_audit_counts_what_was_promised() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let message = json!({"to": "01012345678", "from": "021234567", "text": "hi"});
    world.call("POST", "/v1/messages", &key, message).await.good(202);
    let clean = json!({
        "accepted": 1, "missing": 0, "doubleFinal": 0, "doubleCharge": 0, "ledgerMismatch": 0,
        "unknownAttempts": 0, "orphanReceipts": 0,
    });
    // Without a relay the message fails; a count between its result and its refund would see one without the other.
    let mut totals = Value::Null;
    for _ in 0..1_000 {
        totals = world.call("GET", "/v1/audit", &world.operator, Value::Null).await.good(200);
        if totals == clean {
            break;
        }
    }
    assert_eq!(totals, clean);
    assert_eq!(world.call("GET", "/v1/audit", &key, Value::Null).await.refusal(), (403, "UM1003"));
}
