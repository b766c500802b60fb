//! Every route refuses a missing or wrong key, a missing scope and a neighbour's ids. The routes come from the document.

use bongsu_store::keys::{KeyScope, Role};
use serde_json::{Value, json};

use super::world::World;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// Method, path with parameters filled in, and the operation, of every operation that needs a key.
fn guarded() -> Vec<(String, String, Value)> {
    let document = crate::openapi();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("an item") {
            assert!(METHODS.contains(&method.as_str()));
            if operation.get("security").is_none() {
                let path =
                    path.replace("{channel}", "sms").replace("{name}", "kt").replace("{id}", "msg_0000000000000");
                let path = path.replace("{delivery}", "dlv_0000000000000");
                operations.push((method.to_uppercase(), path, operation.clone()));
            }
        }
    }
    assert!(operations.len() > 30, "{}", operations.len());
    operations
}

fn body(operation: &Value) -> Value {
    if operation.get("requestBody").is_some() { json!({}) } else { Value::Null }
}

#[tokio::test]
async fn a_missing_or_wrong_key_is_refused_everywhere() {
    let world = World::new().await;
    let (account, revoked) = world.account("a", &[KeyScope::Read, KeyScope::Manage]).await;
    let rows = world.call("GET", &format!("/v1/keys?account={account}"), &world.operator, Value::Null).await.good(200);
    let id = rows["items"][0]["id"].as_str().expect("an id").to_owned();
    world.call("DELETE", &format!("/v1/keys/{id}"), &world.operator, Value::Null).await.good(204);
    for (method, path, operation) in guarded() {
        for key in ["", "bk_wrong", "x", &revoked] {
            let seen = world.call(&method, &path, key, body(&operation)).await;
            assert_eq!(seen.refusal(), (401, "UM1002"), "{method} {path} {key}");
            assert_eq!(seen.headers["www-authenticate"], "Bearer");
        }
    }
}

#[tokio::test]
async fn a_missing_scope_is_refused_everywhere() {
    let world = World::new().await;
    let (account, _) = world.account("a", &[KeyScope::Read]).await;
    for (method, path, operation) in guarded() {
        let Some(wanted) = operation["x-scope"].as_str() else { continue };
        let others: Vec<_> = KeyScope::ALL
            .into_iter()
            .filter(|scope| scope.as_str() != wanted && *scope != KeyScope::Operator)
            .collect();
        let key = world.key(account, &others).await;
        let seen = world.call(&method, &path, &key, body(&operation)).await;
        assert_eq!(seen.refusal(), (403, "UM1003"), "{method} {path} needs {wanted}");
        if operation["x-account-only"] == true {
            let seen = world.call(&method, &path, &world.operator, body(&operation)).await;
            assert_eq!(seen.refusal(), (403, "UM1003"), "{method} {path} by an operator");
        }
    }
}

#[tokio::test]
async fn a_suspended_account_is_refused_everywhere() {
    let world = World::new().await;
    let (account, key) = world.account("a", &[KeyScope::Send, KeyScope::Read, KeyScope::Manage]).await;
    let path = format!("/v1/accounts/{account}");
    world.call("PATCH", &path, &world.operator, json!({"suspended": true})).await.good(200);
    for (method, path, operation) in guarded() {
        let seen = world.call(&method, &path, &key, body(&operation)).await;
        assert_eq!(seen.refusal(), (403, "UM3005"), "{method} {path}");
    }
}

#[tokio::test]
async fn a_neighbours_ids_are_not_found() {
    let world = World::new().await;
    let all = [KeyScope::Send, KeyScope::Read, KeyScope::Numbers, KeyScope::Manage];
    let (_, mine) = world.account("mine", &all).await;
    let (other, theirs) = world.account("theirs", &all).await;
    let sender = world.call("POST", "/v1/senders", &theirs, json!({"number": "02-123-4567"})).await.good(201);
    let keys = world.call("GET", "/v1/keys", &theirs, Value::Null).await.good(200);
    let sender = sender["id"].as_str().expect("an id");
    let key = keys["items"][0]["id"].as_str().expect("an id");
    for (method, path, body) in [
        ("GET", format!("/v1/senders/{sender}"), Value::Null),
        ("DELETE", format!("/v1/senders/{sender}"), Value::Null),
        ("POST", format!("/v1/senders/{sender}/code"), Value::Null),
        ("POST", format!("/v1/senders/{sender}/verify"), json!({"code": "000000"})),
        ("GET", format!("/v1/keys/{key}"), Value::Null),
        ("PATCH", format!("/v1/keys/{key}"), json!({"active": false})),
        ("DELETE", format!("/v1/keys/{key}"), Value::Null),
        ("GET", format!("/v1/accounts/{other}/team-numbers"), Value::Null),
        ("PUT", format!("/v1/accounts/{other}/team-numbers"), json!({"numbers": []})),
        ("GET", format!("/v1/audit-log?account={other}"), Value::Null),
        ("GET", format!("/v1/senders?account={other}"), Value::Null),
        ("POST", format!("/v1/senders?account={other}"), json!({"number": "02-123-4568"})),
        ("GET", format!("/v1/keys?account={other}"), Value::Null),
        ("POST", "/v1/keys".to_owned(), json!({"account": other.to_string(), "scopes": ["read"]})),
        ("GET", format!("/v1/wallet?account={other}"), Value::Null),
        ("GET", format!("/v1/wallet/entries?account={other}"), Value::Null),
        ("GET", format!("/v1/distributions/sms?account={other}"), Value::Null),
        ("PUT", format!("/v1/distributions/sms?account={other}"), json!({"shares": {"kt": 100}})),
        ("DELETE", format!("/v1/distributions/sms?account={other}"), Value::Null),
        ("GET", format!("/v1/messages?account={other}"), Value::Null),
        ("GET", format!("/v1/attempts?outcome=unknown&account={other}"), Value::Null),
    ] {
        let seen = world.call(method, &path, &mine, body).await;
        assert_eq!(seen.refusal(), (404, "UM1011"), "{method} {path}");
    }
    world.call("GET", &format!("/v1/senders/{sender}"), &theirs, Value::Null).await.good(200);
    world.call("GET", &format!("/v1/keys/{key}"), &theirs, Value::Null).await.good(200);
}

#[tokio::test]
async fn what_is_no_id_is_not_found() {
    let world = World::new().await;
    for path in ["/v1/messages/1", "/v1/messages/acc_0000000000000", "/v1/accounts/x", "/v1/senders/%00", "/v1/keys/가"]
    {
        let path = path.replace('가', "%EA%B0%80");
        let seen = world.call("GET", &path, &world.operator, Value::Null).await;
        assert_eq!(seen.refusal(), (404, "UM1011"), "{path}");
    }
}

#[tokio::test]
async fn every_body_must_be_a_json_object() {
    let world = World::new().await;
    let (_, key) = world.account("a", &[KeyScope::Send, KeyScope::Manage]).await;
    for (method, path, operation) in guarded() {
        // Rows are read in whatever form they come, and only of a group that is there.
        if operation.get("requestBody").is_none() || operation["requestBody"]["content"].get("text/csv").is_some() {
            continue;
        }
        let key = if operation["x-account-only"] == true { &key } else { &world.operator };
        let path = if path.contains("sender") && !path.contains("verify") || path.contains("distributions") {
            let (account, _) = world.account("b", &[KeyScope::Read]).await;
            format!("{path}?account={account}")
        } else {
            path
        };
        for (text, status) in
            [("", 400), ("{", 400), ("\u{feff}{}", 400), ("[]", 422), ("null", 422), ("{\"zzz\":1}", 422)]
        {
            // A body that may be left out is no wrong one.
            if text.is_empty() && operation["requestBody"]["required"] == false {
                continue;
            }
            let request = http::Request::builder()
                .method(method.as_str())
                .uri(&path)
                .header("authorization", format!("Bearer {key}"))
                .header("content-type", "application/json");
            let seen = world.send(request.body(text.to_owned().into()).expect("a request")).await;
            if path.ends_with("/validate") && text.contains("zzz") {
                // What is wrong with a message is what the dry run is asked for.
                assert_eq!((seen.status.as_u16(), &seen.body["valid"]), (200, &false.into()), "{}", seen.body);
                continue;
            }
            assert_eq!(seen.refusal(), (status, "UM1001"), "{method} {path} {text}");
            assert!(seen.body["errors"][0]["field"].is_string(), "{method} {path} {text}: {}", seen.body);
        }
    }
}

#[tokio::test]
async fn each_role_is_let_in_exactly_where_its_scopes_are() {
    let world = World::new().await;
    let (account, _) = world.account("a", &[KeyScope::Read]).await;
    for role in [Role::Owner, Role::Sender, Role::Viewer] {
        let spec = json!({"account": account.to_string(), "role": role.as_str()});
        let made = world.call("POST", "/v1/keys", &world.operator, spec).await.good(201);
        let key = made["key"].as_str().expect("a key");
        for (method, path, operation) in guarded() {
            let wanted = operation["x-scope"].as_str().and_then(KeyScope::parse);
            let may = wanted.is_none_or(|scope| role.scopes().has(scope));
            let seen = world.call(&method, &path, key, body(&operation)).await;
            assert_eq!(seen.status.as_u16() == 403, !may, "{method} {path} as {}: {}", role.as_str(), seen.body);
        }
    }
}

#[tokio::test]
async fn rows_and_parameters_are_refused_in_words_of_the_interface() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let group = world.call("POST", "/v1/groups", &key, json!({"defaults": {"from": "021234567"}})).await.good(201);
    let rows = format!("/v1/groups/{}/rows", group["id"].as_str().expect("an id"));
    for body in [json!([]), json!([[{"to": "01012345678", "text": "hi"}]]), json!({"messages": 1}), json!({"rows": []})]
    {
        let seen = world.call("POST", &rows, &key, body.clone()).await;
        assert_eq!(seen.refusal(), (400, "UM1001"), "{body}");
        let detail = seen.body["detail"].as_str().expect("a detail");
        assert!(detail.starts_with("body: must be an object with a list") && !detail.contains("struct"), "{detail}");
    }
    let message = json!({"messages": [{"to": "01012345678", "text": "hi"}]});
    let seen = world.call("POST", &format!("{rows}?from=5"), &key, message).await;
    assert_eq!((seen.status.as_u16(), &seen.body["errors"][0]["field"]), (409, &json!("from")), "{}", seen.body);
    let seen = world.call("GET", "/v1/attempts?outcome=unknown&cursor=x", &key, Value::Null).await;
    assert_eq!((seen.status.as_u16(), &seen.body["errors"][0]["field"]), (400, &json!("cursor")), "{}", seen.body);
    let seen = world.call("GET", "/v1/messages.csv?limit=5", &key, Value::Null).await;
    assert_eq!((seen.status.as_u16(), &seen.body["errors"][0]["field"]), (400, &json!("limit")), "{}", seen.body);
}
