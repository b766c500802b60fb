//! The send routes over a real store and pipeline, without a relay: messages are accepted and wait.

use bongsu_store::keys::KeyScope;
use http::Request;
use serde_json::{Value, json};

use super::world::{Seen, World};

fn one() -> Value {
    json!({"to": "010-1234-5678", "from": "02-123-4567", "text": "안녕하세요", "clientRef": "order-17"})
}

async fn post(world: &World, path: &str, key: &str, idempotency: &str, body: &Value) -> Seen {
    let request = Request::post(path)
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .header("idempotency-key", idempotency);
    world.send(request.body(body.to_string().into()).expect("a request")).await
}

#[tokio::test]
async fn a_message_is_accepted_and_read() {
    let world = World::new().await;
    let (account, key) = world.sending_account("a").await;
    let accepted = world.call("POST", "/v1/messages", &key, one()).await.good(202);
    assert_eq!(accepted["status"], "accepted");
    let id = accepted["id"].as_str().expect("an id");
    let path = format!("/v1/messages/{id}");
    let message = world.call("GET", &path, &key, Value::Null).await.good(200);
    assert_eq!((message["id"].as_str(), message["to"].as_str()), (Some(id), Some("01012345678")));
    assert_eq!((message["clientRef"].as_str(), message["channel"].as_str()), (Some("order-17"), Some("sms")));
    assert_eq!(message["price"], json!({"unit": "point:sms", "amount": 1}));
    let reader = world.key(account, &[KeyScope::Read]).await;
    assert_eq!(world.call("GET", &path, &reader, Value::Null).await.good(200)["to"], "010****5678");
    let (_, neighbour) = world.sending_account("b").await;
    for (method, path) in [("GET", path.clone()), ("POST", format!("{path}/cancel"))] {
        let seen = world.call(method, &path, &neighbour, Value::Null).await;
        assert_eq!(seen.refusal(), (404, "UM1011"), "{method} {path}");
    }
    for query in
        ["recipient=%2B82-10-1234-5678", "recipientLast4=5678", "clientRef=order-17", "lane=realtime&channel=sms"]
    {
        let page = world.call("GET", &format!("/v1/messages?{query}"), &key, Value::Null).await.good(200);
        assert_eq!(page["items"][0]["id"].as_str(), Some(id), "{query}");
        let page = world.call("GET", &format!("/v1/messages?{query}"), &neighbour, Value::Null).await.good(200);
        assert_eq!(page["items"], json!([]), "{query} by a neighbour");
    }
}

#[tokio::test]
async fn the_same_key_gets_the_same_answer() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let first = post(&world, "/v1/messages", &key, "k-1", &one()).await;
    assert!(!first.headers.contains_key("idempotency-replayed"));
    let first = first.good(202);
    let again = post(&world, "/v1/messages", &key, "k-1", &one()).await;
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.good(202), first);
    let other = json!({"to": "010-1234-5679", "from": "02-123-4567", "text": "t"});
    assert_eq!(post(&world, "/v1/messages", &key, "k-1", &other).await.refusal(), (422, "UM1006"));
    let page = world.call("GET", "/v1/messages", &key, Value::Null).await.good(200);
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_batch_tells_each_row() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let batch = json!({
        "defaults": {"from": "02-123-4567", "text": "#{name} 님"},
        "messages": [
            {"to": "010-1234-5678", "variables": {"name": "가"}},
            {"to": "12", "variables": {"name": "나"}},
            {"to": "010-1234-5679", "variables": {"name": "다"}, "sendAt": "2020-01-01T00:00:00+09:00"},
            {"to": "010-1234-5680", "variables": {"name": "라"}},
        ],
    });
    let answer = world.call("POST", "/v1/messages/batch", &key, batch.clone()).await.good(202);
    assert_eq!(answer["counts"], json!({"rows": 4, "accepted": 2, "rejected": 2}));
    let results = answer["results"].as_array().expect("results");
    assert!(results[0]["id"].is_string() && results[3]["id"].is_string(), "{answer}");
    assert!(results[1]["error"].is_object() && results[2]["error"].is_object(), "{answer}");
    let batch_id = answer["batchId"].as_str().expect("an id");
    let page = world.call("GET", &format!("/v1/messages?batchId={batch_id}"), &key, Value::Null).await.good(200);
    assert_eq!(page["items"].as_array().map(Vec::len), Some(2));
    let errors = world.call("POST", "/v1/messages/batch?return=errors", &key, batch.clone()).await.good(202);
    assert_eq!(errors["results"].as_array().map(Vec::len), Some(2));
    let mut all = batch;
    all["mode"] = json!("allOrNothing");
    let seen = world.call("POST", "/v1/messages/batch", &key, all).await;
    assert_eq!(seen.status, 422, "{}", seen.body);
    let rows: Vec<_> = seen.body["errors"].as_array().expect("findings").iter().map(|e| e["index"].clone()).collect();
    assert_eq!(rows, [json!(1), json!(2)]);
}

#[tokio::test]
async fn refusals_keep_their_codes() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let (_, poor) = world.account("poor", &[KeyScope::Send]).await;
    let mut foreign = one();
    foreign["from"] = json!("02-999-9999");
    let seen = world.call("POST", "/v1/messages", &key, foreign).await;
    assert_eq!(seen.refusal(), (422, "UM2001"));
    let wrong = json!({"to": "12", "from": "1", "text": "\u{1F600}", "sendAt": "x"});
    let seen = world.call("POST", "/v1/messages", &key, wrong).await;
    assert_eq!(seen.refusal().0, 422);
    assert_eq!(world.call("POST", "/v1/messages", &poor, one()).await.refusal(), (422, "UM2001"));
    assert_eq!(world.call("POST", "/v1/messages", &world.operator, one()).await.refusal(), (403, "UM1003"));
    world.call("POST", "/v1/messages", &key, one()).await.good(202);
    assert_eq!(world.call("POST", "/v1/messages", &key, one()).await.refusal(), (409, "UM1010"));
    let many = json!({"messages": vec![one(); 10_001]});
    assert_eq!(world.call("POST", "/v1/messages/batch", &key, many).await.refusal(), (413, "UM1008"));
}
