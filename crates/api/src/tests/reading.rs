//! Searching, exporting and trying out messages over a real store, without a relay: messages are accepted and wait.

use bongsu_store::keys::KeyScope;
use serde_json::{Value, json};

use super::world::World;

fn message(to: &str, more: Value) -> Value {
    let mut message = json!({"to": to, "from": "02-123-4567", "text": "안녕하세요"});
    for (name, value) in more.as_object().expect("an object") {
        message[name] = value.clone();
    }
    message
}

/// An account with two senders and messages of many sorts. Answers its key and the batch.
async fn filled(world: &World) -> (String, String) {
    let (_, key) = world.sending_account("a").await;
    let sender = world.call("POST", "/v1/senders", &key, json!({"number": "02-765-4321"})).await.good(201);
    let path = format!("/v1/senders/{}/approve", sender["id"].as_str().expect("an id"));
    world.call("POST", &path, &world.operator, Value::Null).await.good(200);
    for (to, more) in [
        ("010-1111-0001", json!({"clientRef": "한 100%_\\'\"", "labels": {"shop": "강남 1=호점"}, "billCode": "A-17"})),
        ("010-1111-0002", json!({"labels": {"shop": "=2호점"}, "lane": "auth"})),
        (
            "010-1111-0003",
            json!({"from": "02-765-4321", "billCode": "A-17", "text": "가".repeat(60), "subject": "=제목"}),
        ),
        ("010-2222-0003", json!({"from": "02-765-4321", "labels": {"kind": "x", "shop": "강남 1=호점"}})),
    ] {
        world.call("POST", "/v1/messages", &key, message(to, more)).await.good(202);
    }
    let rows: Vec<Value> =
        (0..5).map(|n| json!({"to": format!("010-3333-000{n}"), "variables": {"n": n.to_string()}})).collect();
    let batch = json!({
        "defaults": {"from": "02-123-4567", "text": "50% 할인_ \\ 쿠폰 #{n}번 Sale'", "labels": {"shop": "all"}, "billCode": "B"},
        "messages": rows,
    });
    let answer = world.call("POST", "/v1/messages/batch", &key, batch).await.good(202);
    (key, answer["batchId"].as_str().expect("an id").to_owned())
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The recipients of all pages of a list, in pages of `limit`.
async fn list(world: &World, key: &str, query: &str, limit: u32) -> Vec<String> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/messages?{query}&limit={limit}{cursor}");
        let page = world.call("GET", &path, key, Value::Null).await.good(200);
        let items = page["items"].as_array().expect("items");
        assert!(items.len() <= limit as usize);
        all.extend(items.iter().map(|item| item["to"].as_str().expect("a number").to_owned()));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// All messages once none of them is on its way.
async fn settled(world: &World, key: &str) -> Vec<Value> {
    loop {
        let page = world.call("GET", "/v1/messages?limit=500", key, Value::Null).await.good(200);
        let items = page["items"].as_array().expect("items").clone();
        let ended = items.iter().filter(|item| !item["finalAt"].is_null()).count();
        if ended == 0 || ended == items.len() {
            return items;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn every_filter_finds_its_messages_alone_together_and_in_pages() {
    let world = World::new().await;
    let (key, batch) = filled(&world).await;
    let (_, neighbour) = world.sending_account("b").await;
    let shop = escaped("shop=강남 1=호점");
    let all = list(&world, &key, "", 500).await;
    assert_eq!(all.len(), 9);
    let table = [
        (format!("label={shop}"), vec!["01022220003", "01011110001"]),
        ("label=shop&lane=auth".into(), vec!["01011110002"]),
        ("label=kind".into(), vec!["01022220003"]),
        ("label=kind%3Dy".into(), vec![]),
        ("billCode=A-17".into(), vec!["01011110003", "01011110001"]),
        ("billCode=A-1".into(), vec![]),
        ("sender=027654321".into(), vec!["01022220003", "01011110003"]),
        ("sender=%2B82-2-765-4321&type=lms".into(), vec!["01011110003"]),
        ("sender=027654321&recipientLast4=0003".into(), vec!["01022220003", "01011110003"]),
        ("sender=027654321&recipient=010-2222-0003&label=kind%3Dx".into(), vec!["01022220003"]),
        (format!("clientRef={}", escaped("한 100%_\\'\"")), vec!["01011110001"]),
        ("clientRef=%25".into(), vec![]),
        ("type=lms&channel=lms".into(), vec!["01011110003"]),
        ("originStatus=SUCCESS".into(), vec![]),
        ("code=UM4001".into(), vec![]),
        (format!("batchId={batch}&recipientLast4=0003"), vec!["01033330003"]),
        (format!("batchId={batch}&billCode=A-17"), vec![]),
        ("until=2000-01-01T00:00:00Z&billCode=B".into(), vec![]),
    ];
    for (query, wanted) in &table {
        for limit in [1, 2, 500] {
            assert_eq!(list(&world, &key, query, limit).await, *wanted, "{query} in pages of {limit}");
        }
        assert_eq!(list(&world, &neighbour, query, 500).await, Vec::<String>::new(), "{query} by a neighbour");
    }
    let batch_rows = list(&world, &key, "label=shop%3Dall&billCode=B", 2).await;
    assert_eq!(batch_rows.len(), 5);
    let page = world.call("GET", "/v1/messages?lane=auth", &key, Value::Null).await.good(200);
    for name in ["status", "originStatus", "code"] {
        // Nothing of it changes any more: without a relay all of them have ended, or all of them wait.
        let mut settled = settled(&world, &key).await;
        settled.dedup_by_key(|item| item[name].clone());
        for item in &settled {
            let word = item[name].as_str().expect("a word");
            let same = list(&world, &key, &format!("{name}={word}"), 4).await;
            assert!(same.contains(&item["to"].as_str().expect("a number").to_owned()), "{name}={word}");
        }
        assert!(!settled.is_empty());
    }
    let id = page["items"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(list(&world, &key, &format!("messageId={id}"), 5).await, ["01011110002"]);
    assert_eq!(list(&world, &key, &format!("messageId={id}&lane=bulk"), 5).await, Vec::<String>::new());
    assert_eq!(list(&world, &neighbour, &format!("messageId={id}"), 5).await, Vec::<String>::new());
}

#[tokio::test]
async fn texts_are_searched_as_they_stand_and_never_what_fills_them() {
    let world = World::new().await;
    let (key, _) = filled(&world).await;
    for wanted in ["50% 할인_ \\ 쿠폰", "할인_", "sale'", "#{n}", "\\ "] {
        let found = list(&world, &key, &format!("q={}", escaped(wanted)), 2).await;
        assert_eq!(found.len(), 5, "{wanted}");
    }
    // Wild cards of other languages, values that fill a shared text in.
    for wanted in ["50_", "%%", ".*", "쿠폰 3번", "01033330001"] {
        assert_eq!(list(&world, &key, &format!("q={}", escaped(wanted)), 500).await, Vec::<String>::new(), "{wanted}");
    }
    let (_, neighbour) = world.sending_account("b").await;
    assert_eq!(list(&world, &neighbour, &format!("q={}", escaped("할인")), 500).await, Vec::<String>::new());
    for (query, field) in [
        ("q=x", "q"),
        (&*format!("q={}", "a".repeat(101)), "q"),
        ("q=ab&since=2026-01-01T00:00:00Z&until=2026-02-02T00:00:00Z", "since"),
    ] {
        let seen = world.call("GET", &format!("/v1/messages?{query}"), &key, Value::Null).await;
        assert_eq!(seen.refusal(), (422, "UM1001"), "{query}");
        assert_eq!(seen.body["errors"][0]["field"], field, "{query}");
    }
    let seen = world.call("GET", "/v1/messages?q=ab", &world.operator, Value::Null).await;
    assert_eq!(seen.refusal(), (422, "UM1001"));
}

#[tokio::test]
async fn texts_of_one_message_are_found_wherever_it_came_from() {
    let world = World::new().await;
    let (key, _) = filled(&world).await;
    let own = |text: &str| json!({"text": text});
    // A syllable and its letters are the same text once composed; a text that is filled in is searched as it leaves.
    let filled_in = json!({"text": "5_0%\\ #{이름} Ca\u{1111}\u{1166}'", "variables": {"이름": "홍길동"}});
    world.call("POST", "/v1/messages", &key, message("010-4444-0001", filled_in.clone())).await.good(202);
    let mut secret = filled_in;
    secret["lane"] = json!("auth");
    world.call("POST", "/v1/messages", &key, message("010-4444-0002", secret)).await.good(202);
    let rows: Vec<Value> =
        ["010-4444-0003", "010-4444-0004"].map(|to| message(to, own(&format!("홍길동 {to} 5_0%\\")))).into();
    world.call("POST", "/v1/messages/batch", &key, json!({"messages": rows})).await.good(202);
    let group = json!({"defaults": {"from": "02-123-4567", "text": "공지"}});
    let group = world.call("POST", "/v1/groups", &key, group).await.good(201);
    let path = format!("/v1/groups/{}", group["id"].as_str().expect("an id"));
    let rows = json!([{"to": "010-4444-0005", "text": "홍길동 5_0%\\"}, {"to": "010-4444-0006"}]);
    world.call("POST", &format!("{path}/rows"), &key, json!({"messages": rows})).await.good(200);
    world.call("POST", &format!("{path}/send"), &key, Value::Null).await.good(202);
    while list(&world, &key, "q=%EA%B3%B5%EC%A7%80", 500).await.is_empty() {
        tokio::task::yield_now().await;
    }
    let all = ["01044440005", "01044440004", "01044440003", "01044440001"];
    for (wanted, found) in [
        ("홍길동", &all[..]),
        ("5_0%\\", &all),
        ("홍길동 010", &all[1..3]),
        ("\u{1112}\u{1169}\u{11bc}길동 CA페'", &all[3..]),
        ("#{이름}", &[]),
        ("5__%", &[]),
        ("안녕하세요", &["01022220003", "01011110001"]),
        ("=제목", &["01011110003"]),
        ("가가", &["01011110003"]),
    ] {
        for limit in [1, 3, 500] {
            let query = format!("q={}", escaped(wanted));
            assert_eq!(list(&world, &key, &query, limit).await, found, "{wanted} in pages of {limit}");
        }
    }
    let both = format!("q={}&recipientLast4=0003", escaped("홍길동"));
    assert_eq!(list(&world, &key, &both, 1).await, ["01044440003"]);
    assert_eq!(list(&world, &key, &format!("q={}&lane=auth", escaped("홍길동")), 5).await, Vec::<String>::new());
    let (account, neighbour) = world.sending_account("b").await;
    assert_eq!(list(&world, &neighbour, &format!("q={}", escaped("홍길동")), 500).await, Vec::<String>::new());
    let named = format!("q={}&account={account}", escaped("안녕하세요"));
    assert_eq!(list(&world, &world.operator, &named, 500).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_wrong_filter_is_refused_by_name() {
    let world = World::new().await;
    let (_, key) = world.account("a", &[KeyScope::Read]).await;
    for (query, field) in [
        ("messageId=bat_0000000000000", "messageId"),
        ("sender=12", "sender"),
        ("code=4001", "code"),
        ("code=UM9", "code"),
        ("originStatus=success", "originStatus"),
        ("type=fax", "type"),
        ("type=sms&channel=lms", "type"),
        ("labels=x", "labels"),
    ] {
        let seen = world.call("GET", &format!("/v1/messages?{query}"), &key, Value::Null).await;
        assert_eq!(seen.refusal(), (400, "UM1001"), "{query}");
        assert_eq!(seen.body["errors"][0]["field"], field, "{query}");
    }
}

#[tokio::test]
async fn an_export_has_every_row_once_and_no_formula() {
    let world = World::new().await;
    let (key, _) = filled(&world).await;
    let csv = world.call("GET", "/v1/messages.csv", &key, Value::Null).await.good(200);
    let csv = csv.as_str().expect("text");
    let lines: Vec<&str> = csv.trim_end().split("\r\n").collect();
    assert_eq!(lines.len(), 10, "{csv}");
    assert!(lines[0].starts_with("id,batchId,clientRef,lane,"), "{}", lines[0]);
    assert!(csv.contains("shop==2호점") && csv.contains("01011110003"), "{csv}");
    let formulas = lines.iter().flat_map(|line| line.split(',')).filter(|cell| cell.starts_with(['=', '+', '-', '@']));
    assert_eq!(formulas.count(), 0, "{csv}");
    let some = world.call("GET", "/v1/messages.csv?billCode=A-17", &key, Value::Null).await.good(200);
    assert_eq!(some.as_str().expect("text").lines().count(), 3);
    let (_, neighbour) = world.sending_account("b").await;
    let none = world.call("GET", "/v1/messages.csv", &neighbour, Value::Null).await.good(200);
    assert_eq!(none.as_str().expect("text").lines().count(), 1);
    let (account, _) = world.account("c", &[KeyScope::Read]).await;
    let masked = world.key(account, &[KeyScope::Read]).await;
    assert_eq!(world.call("GET", "/v1/messages.csv?status=x", &masked, Value::Null).await.refusal(), (400, "UM1001"));
}

#[tokio::test]
async fn a_dry_run_tells_all_and_changes_nothing() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    for relay in ["kt", "skt"] {
        let row = json!({"name": relay, "kind": "smpp", "address": "127.0.0.1:9", "systemId": "b", "password": "p", "ratePerS": 10,
                         "window": 10, "binds": 1});
        world.call("POST", "/v1/relays", &world.operator, row).await.good(201);
    }
    world.call("PUT", "/v1/distributions/sms", &key, json!({"shares": {"kt": 70, "skt": 30}})).await.good(200);
    let taken = message("010-1111-0001", json!({"clientRef": "r"}));
    world.call("POST", "/v1/messages", &key, taken.clone()).await.good(202);
    let before = world.call("GET", "/v1/audit", &world.operator, Value::Null).await.good(200);
    let wallet = world.call("GET", "/v1/wallet", &key, Value::Null).await.good(200);
    let rows: Vec<Value> = vec![
        message("010-1111-0002", json!({})),
        message("010-1111-0003", json!({"text": "값 ₩100 🎉 #{n}", "variables": {"n": "é"}})),
        message("010-1111-0004", json!({"from": "02-999-9999", "maxCost": 0})),
        taken,
        message("010-1111-0005", json!({"text": "가".repeat(60), "maxCost": 3})),
        message("010-1111-0006", json!({"lane": "ad"})),
        message("12", json!({"fallback": [{"channel": "alimtalk"}]})),
    ];
    let found = world.call("POST", "/v1/messages/validate", &key, json!({"messages": rows})).await.good(200);
    let codes = |row: usize| -> Vec<String> {
        let findings = found["results"][row]["findings"].as_array().expect("findings");
        findings
            .iter()
            .map(|f| format!("{} {}", f["field"].as_str().unwrap_or(""), f["code"].as_str().unwrap_or("")))
            .collect()
    };
    assert_eq!(codes(0), Vec::<String>::new(), "{found}");
    let first = &found["results"][0];
    assert_eq!(
        (&first["channel"], &first["encoding"]["bytes"], &first["parts"]),
        (&json!("sms"), &json!(10), &json!(1))
    );
    assert_eq!((&first["price"], &first["relay"]), (&json!({"unit": "point:sms", "amount": 1}), &json!("kt")));
    assert!(codes(1).iter().all(|code| code.starts_with("text ")), "{found}");
    let bad: Vec<_> = found["results"][1]["encoding"]["characters"]
        .as_array()
        .expect("characters")
        .iter()
        .map(|bad| (bad["index"].as_u64().unwrap_or(0), bad["codePoint"].as_str().unwrap_or("").to_owned()))
        .collect();
    assert_eq!(bad, [(2, "U+20A9".to_owned()), (7, "U+1F389".to_owned()), (9, "U+00E9".to_owned())]);
    assert!(found["results"][1]["encoding"]["characters"][0]["suggestion"].is_string(), "{found}");
    assert_eq!(codes(2), ["from UM2001", "maxCost UM3002"]);
    assert_eq!(codes(3), ["clientRef UM1010"]);
    assert_eq!(codes(4), Vec::<String>::new());
    assert_eq!(found["results"][4]["type"], "lms");
    assert!(codes(5).len() == 3 && codes(5).iter().all(|code| code == "text UM2010"), "{found}");
    assert!(
        codes(6).contains(&"fallback.0.channel UM3006".to_owned()) && codes(6).contains(&"to UM1020".to_owned()),
        "{found}"
    );
    assert_eq!((&found["valid"], &found["counts"]["accepted"]), (&json!(false), &json!(2)));
    assert_eq!(found["estimate"]["amount"], 4);
    assert_eq!(found["routes"][0]["shares"][0], json!({"relay": "kt", "percent": 70, "owed": 0.0}));
    assert_eq!(found["routes"][0]["next"], "kt");
    let one = world.call("POST", "/v1/messages/validate", &key, message("010-1111-0002", json!({}))).await.good(200);
    assert_eq!((&one["valid"], &one["counts"]["rows"]), (&json!(true), &json!(1)));
    let broken = world.call("POST", "/v1/messages/validate", &key, json!({"messages": []})).await;
    assert_eq!(broken.refusal(), (422, "UM1001"));
    assert_eq!(world.call("GET", "/v1/audit", &world.operator, Value::Null).await.good(200), before);
    assert_eq!(world.call("GET", "/v1/wallet", &key, Value::Null).await.good(200), wallet);
    assert_eq!(list(&world, &key, "", 500).await, ["01011110001"]);
}

#[tokio::test]
async fn a_balance_that_does_not_cover_it_is_a_finding() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let rows: Vec<Value> = (0..1_001).map(|n| message(&format!("0101{n:07}"), json!({}))).collect();
    let found = world.call("POST", "/v1/messages/validate", &key, json!({"messages": rows})).await.good(200);
    assert_eq!((&found["valid"], &found["counts"]["rejected"]), (&json!(false), &json!(0)));
    assert_eq!((&found["findings"][0]["code"], &found["balance"]), (&json!("UM3001"), &json!(1_000)));
}

#[tokio::test]
async fn nothing_is_sent_for_more_than_its_ceiling() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let long = "가".repeat(60);
    let dear = message("010-1111-0001", json!({"text": long, "maxCost": 2}));
    let seen = world.call("POST", "/v1/messages", &key, dear.clone()).await;
    assert_eq!(seen.refusal(), (402, "UM3002"));
    assert_eq!(seen.body["errors"][0]["field"], "maxCost");
    let batch = json!({"defaults": {"maxCost": 2}, "messages": [dear, message("010-1111-0002", json!({}))]});
    let answer = world.call("POST", "/v1/messages/batch", &key, batch).await.good(202);
    assert_eq!(answer["counts"], json!({"rows": 2, "accepted": 1, "rejected": 1}));
    assert_eq!(answer["results"][0]["error"]["code"], "UM3002");
    let right = message("010-1111-0003", json!({"text": "가".repeat(60), "maxCost": 3}));
    world.call("POST", "/v1/messages", &key, right).await.good(202);
}

#[tokio::test]
async fn every_channel_name_is_answered_in_one_shape() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    for (channel, code) in [
        ("alimtalk", "UM3006"),
        ("friendtalk", "UM3006"),
        ("brandtalk", "UM3006"),
        ("rcs", "UM3006"),
        ("mms", "UM3006"),
        ("email", "UM3006"),
        ("push", "UM3006"),
        ("fax", "UM1001"),
    ] {
        let body = message("010-1111-0001", json!({"channel": channel}));
        let seen = world.call("POST", "/v1/messages", &key, body.clone()).await;
        assert_eq!(seen.refusal(), (422, code), "{channel}");
        assert_eq!(seen.body["errors"][0]["field"], "channel");
        let tried = world.call("POST", "/v1/messages/validate", &key, body).await.good(200);
        assert_eq!(tried["results"][0]["findings"][0]["code"], code, "{channel}");
    }
}

#[tokio::test]
async fn why_and_trace_answer_for_ones_own_messages_only() {
    let world = World::new().await;
    let (key, batch) = filled(&world).await;
    let (_, neighbour) = world.sending_account("b").await;
    let request = http::Request::post("/v1/messages")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .header("x-request-id", "shop-17.a");
    let body = message("010-1111-0009", json!({})).to_string();
    let seen = world.send(request.body(body.into()).expect("a request")).await;
    let id = seen.good(202)["id"].as_str().expect("an id").to_owned();

    let why = world.call("GET", &format!("/v1/messages/{id}/why"), &key, Value::Null).await.good(200);
    assert_eq!((&why["price"]["amount"], &why["price"]["source"]), (&json!(1), &json!("price table at accept")));
    assert_eq!(why["rules"][0]["rule"], "PRICE-FROZEN");
    assert!(why["rules"].as_array().expect("rules").len() >= 2, "{why}");

    let trace = world.call("GET", &format!("/v1/messages/{id}/trace"), &key, Value::Null).await.good(200);
    assert_eq!((&trace["requestId"], &trace["message"]["id"]), (&json!("shop-17.a"), &json!(id)));
    let steps: Vec<&str> =
        trace["steps"].as_array().expect("steps").iter().filter_map(|s| s["step"].as_str()).collect();
    for step in ["request", "ledger", "run"] {
        assert!(steps.contains(&step), "{step} of {steps:?}");
    }
    let times: Vec<&str> = trace["steps"].as_array().expect("steps").iter().filter_map(|s| s["at"].as_str()).collect();
    assert!(times.is_sorted(), "{trace}");

    let by_request = world.call("GET", "/v1/traces/shop-17.a", &key, Value::Null).await.good(200);
    assert_eq!(by_request["requests"][0]["messages"], json!([id]), "{by_request}");
    assert_eq!(by_request["message"]["message"]["id"], json!(id));
    let by_message = world.call("GET", &format!("/v1/traces/{id}"), &key, Value::Null).await.good(200);
    assert_eq!(by_message["message"]["requestId"], "shop-17.a");
    let by_batch = world.call("GET", &format!("/v1/traces/{batch}"), &key, Value::Null).await.good(200);
    assert_eq!((&by_batch["requests"][0]["kind"], &by_batch["message"]), (&json!("batch"), &Value::Null));
    assert_eq!(by_batch["requests"][0]["messages"].as_array().map(Vec::len), Some(5));
    let made_up = by_batch["requests"][0]["requestId"].as_str().expect("an id").to_owned();
    assert!(made_up.starts_with("req_"), "{made_up}");
    let found = world.call("GET", &format!("/v1/traces/{made_up}"), &key, Value::Null).await.good(200);
    assert_eq!(found["requests"][0]["id"], json!(batch));

    for path in [
        format!("/v1/messages/{id}/why"),
        format!("/v1/messages/{id}/trace"),
        format!("/v1/traces/{id}"),
        format!("/v1/traces/{batch}"),
        format!("/v1/traces/{made_up}"),
        "/v1/traces/shop-17.a".to_owned(),
    ] {
        assert_eq!(world.call("GET", &path, &neighbour, Value::Null).await.refusal(), (404, "UM1011"), "{path}");
        world.call("GET", &path, &world.operator, Value::Null).await.good(200);
    }
    assert_eq!(world.call("GET", "/v1/traces/nobody", &key, Value::Null).await.refusal(), (404, "UM1011"));
}
