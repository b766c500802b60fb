//! Bodies that cannot be accepted: each is refused with its field and its code, and nothing is taken for it.

use bongsu_testkit::World;
use serde_json::{Value, json};

use super::post;

/// What is wrong: the body, the status, the field, the code.
type Row = (String, u16, &'static str, &'static str);

const NO_JSON: [&str; 26] = [
    "",
    " ",
    "nul",
    "{",
    "}",
    "[",
    "{]",
    "{\"to\"}",
    "{\"to\":}",
    "{\"to\":\"1\",}",
    "{to:1}",
    "{'to':'1'}",
    "\"",
    "\"\\x\"",
    "\"\\ud800\"",
    "01",
    "1.",
    "+1",
    "1e999",
    "NaN",
    "{}{}",
    "{} x",
    "// c\n{}",
    "\u{feff}{}",
    "{\"text\":\"a\nb\"}",
    "to=010&text=hi",
];

fn with(field: &str, value: Value) -> String {
    let mut body = json!({ "to": "01020000001", "from": "0215880000", "text": "봉수" });
    body[field] = value;
    body.to_string()
}

fn forms() -> Vec<Row> {
    let mut table: Vec<Row> = NO_JSON.iter().map(|body| ((*body).to_owned(), 400, "body", "UM1001")).collect();
    for body in ["null", "true", "7", "\"text\"", "[]"] {
        table.push((body.to_owned(), 422, "body", "UM1001"));
    }
    for field in ["channel", "lane", "to", "from", "text", "subject", "clientRef", "billCode"] {
        for value in [json!(1), json!(true), json!(["x"]), json!({ "x": 1 })] {
            table.push((with(field, value), 422, field, "UM1001"));
        }
    }
    for field in ["to", "from", "text"] {
        table.push((with(field, Value::Null), 422, field, "UM1001"));
    }
    for value in [json!("10M"), json!("PT0S"), json!(0), json!(-1), json!(1.5), json!("P30D")] {
        table.push((with("expiresIn", value), 422, "expiresIn", "UM1001"));
    }
    for (field, value) in [("channel", "fax"), ("lane", "fast"), ("tu", "1"), ("id", "msg_1"), ("clientRef", "")] {
        table.push((with(field, json!(value)), 422, field, "UM1001"));
    }
    for (field, value) in [("sendAt", json!(true)), ("sendAt", json!("2026-03-02T09:00:00")), ("ad", json!("yes"))] {
        table.push((with(field, value), 422, field, "UM1001"));
    }
    table.push((with("dedupeWindow", json!(true)), 422, "dedupeWindow", "UM3006"));
    for value in [json!(true), json!(-1), json!("1")] {
        table.push((with("maxCost", value), 422, "maxCost", "UM1001"));
    }
    for channel in ["alimtalk", "mms", "rcs", "email"] {
        table.push((with("channel", json!(channel)), 422, "channel", "UM3006"));
    }
    table.push((with("variables", json!({ "a": 1 })), 422, "variables.a", "UM1001"));
    table.push((with("labels", json!({ "k": null })), 422, "labels.k", "UM1001"));
    table
}

fn meanings() -> Vec<Row> {
    let mut table = Vec::new();
    for to in
        ["", "1", "0212345678", "0101234567", "010123456789", "015-1234-5678", "0501-1234-5678", "abc", "01O12345678"]
    {
        table.push((with("to", json!(to)), 422, "to", "UM1020"));
    }
    table.push((with("to", json!("+1 202 555 0100")), 422, "to", "UM1021"));
    for from in ["", "12", "05012345678", "01002345678", "0212345679"] {
        table.push((with("from", json!(from)), 422, "from", "UM2001"));
    }
    for text in ["", " ", "\n\n"] {
        table.push((with("text", json!(text)), 422, "text", "UM1034"));
    }
    table.push((with("text", json!("종\u{7}소리")), 422, "text", "UM1031"));
    table.push((with("text", json!("웃음 😀")), 422, "text", "UM1030"));
    table.push((with("text", json!("가".repeat(1_001))), 422, "text", "UM1032"));
    table.push((with("subject", json!("가".repeat(21))), 422, "subject", "UM1033"));
    table.push((with("text", json!("#{이름}님")), 422, "variables.이름", "UM6005"));
    table.push((with("variables", json!({ "이름": "x" })), 422, "variables.이름", "UM6005"));
    table.push((with("clientRef", json!("x".repeat(65))), 422, "clientRef", "UM6006"));
    table
}

fn batches() -> Vec<Row> {
    let row = json!({ "to": "01020000001", "from": "0215880000", "text": "t" });
    let table = [
        (json!({}), "messages"),
        (json!({ "messages": [] }), "messages"),
        (json!({ "messages": {} }), "messages"),
        (json!({ "messages": [row], "mode": "all" }), "mode"),
        (json!({ "messages": [row], "defaults": [] }), "defaults"),
        (json!({ "messages": [row], "defaults": { "lane": "x" } }), "defaults.lane"),
        (json!({ "rows": [row] }), "rows"),
        (json!([row]), "body"),
        (json!({ "messages": [[], 1] }), "messages"),
        (json!({ "messages": [{ "to": 1, "from": "0215880000", "text": "t" }] }), "to"),
    ];
    table.into_iter().map(|(body, field)| (body.to_string(), 422, field, "UM1001")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_malformed_bodies_are_refused_with_field_and_code_and_cost_nothing() {
    let world = World::start().await;
    let singles: Vec<Row> = forms().into_iter().chain(meanings()).collect();
    assert!(singles.len() >= 100, "{} bodies", singles.len());
    let all = singles.iter().map(|row| ("/v1/messages", row));
    let batches = batches();
    for (path, (body, status, field, code)) in all.chain(batches.iter().map(|row| ("/v1/messages/batch", row))) {
        let reply = post(&world, &world.main.key, path, &[], body.as_str()).await;
        let shown: String = body.chars().take(200).collect();
        assert_eq!(reply.status, *status, "{shown}: {}", reply.text);
        assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{shown}");
        let errors = reply.body["errors"].as_array().unwrap_or_else(|| panic!("{shown}: {}", reply.text));
        let found = errors.iter().find(|error| error["field"] == *field);
        let found = found.unwrap_or_else(|| panic!("{shown}: no {field} in {}", reply.text));
        assert_eq!(found["code"], *code, "{shown}: {}", reply.text);
        assert!(found["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{shown}");
        assert_eq!(reply.body["type"], format!("urn:bongsu:code:{}", text_of(&reply.body["code"])));
    }
    let key = &world.main.key;
    let form = post(&world, key, "/v1/messages", &[("content-type", "text/plain")], with("lane", json!("bulk"))).await;
    assert_eq!(form.refusal(), (415, "UM1015"));
    let bytes = post(&world, key, "/v1/messages", &[], b"{\"to\":\"\xff\"}".as_slice()).await;
    assert_eq!((bytes.refusal(), &bytes.body["errors"][0]["field"]), ((400, "UM1001"), &json!("body")));

    assert_eq!(world.messages("").await, Vec::<Value>::new());
    assert_eq!(world.points(&world.main).await, 1_000_000);
    let entries = world.get("/v1/wallet/entries").await;
    assert_eq!(entries["items"].as_array().map(Vec::len), Some(1), "the credit of the set-up: {entries}");
    assert_eq!(world.audit().await.accepted, 0);
}

fn text_of(value: &Value) -> &str {
    value.as_str().expect("a code")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_wrong_with_a_message_is_told_at_once() {
    let world = World::start().await;
    let body =
        json!({ "to": "12", "from": "1", "text": "웃음 😀", "lane": "fast", "tu": 1, "clientRef": "x".repeat(65) });
    let reply = world.call(&world.main.key, "POST", "/v1/messages", body).await;
    let fields: Vec<_> = reply.body["errors"].as_array().expect("findings").iter().map(|e| &e["field"]).collect();
    assert_eq!(reply.status, 422);
    assert_eq!(fields, ["lane", "tu", "to", "from", "text", "clientRef"], "{}", reply.text);
}
