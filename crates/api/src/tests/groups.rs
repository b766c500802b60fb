//! Groups through the interface: rows in three formats, broken uploads, sending, approval, cancel, what did not arrive.

use axum::body::Body;
use bongsu_domain::Clock;
use bongsu_send::SendConfig;
use bongsu_store::keys::KeyScope;
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::world::{Seen, World};
use crate::ApiConfig;

pub(super) const FROM: &str = "021234567";

impl World {
    pub(super) async fn group(&self, key: &str, body: Value) -> String {
        let group = self.call("POST", "/v1/groups", key, body).await.good(201);
        group["id"].as_str().expect("an id").to_owned()
    }

    /// A body of a type, with an idempotency key or without.
    async fn rows(&self, path: &str, key: &str, content_type: &str, idem: Option<&str>, body: impl Into<Body>) -> Seen {
        let mut request = Request::builder()
            .method("POST")
            .uri(path)
            .header("authorization", format!("Bearer {key}"))
            .header("content-type", content_type);
        if let Some(idem) = idem {
            request = request.header("idempotency-key", idem);
        }
        self.send(request.body(body.into()).expect("a request")).await
    }

    pub(super) async fn csv(&self, id: &str, key: &str, text: impl Into<String>) -> Seen {
        self.rows(&format!("/v1/groups/{id}/rows"), key, "text/csv", None, text.into()).await
    }

    pub(super) async fn read(&self, path: &str, key: &str) -> Value {
        self.call("GET", path, key, Value::Null).await.good(200)
    }

    pub(super) async fn step(&self, id: &str, what: &str, key: &str) -> Seen {
        self.call("POST", &format!("/v1/groups/{id}/{what}"), key, Value::Null).await
    }

    /// Reads a group until something is so: periodic work is on its way.
    async fn group_until(&self, id: &str, key: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..2_000 {
            let group = self.read(&format!("/v1/groups/{id}"), key).await;
            if is_so(&group) {
                return group;
            }
            tokio::time::timeout(std::time::Duration::from_millis(10), std::future::pending::<()>()).await.unwrap_err();
        }
        panic!("it never came to that");
    }
}

pub(super) fn numbers(count: usize) -> String {
    let mut text = "to,이름\n".to_owned();
    (0..count).for_each(|n| text.push_str(&format!("0102000{n:04},손님{n}\n")));
    text
}

pub(super) fn defaults() -> Value {
    json!({"defaults": {"from": FROM, "text": "안녕하세요 #{이름}님"}, "name": "봄 행사"})
}

#[tokio::test]
async fn a_table_is_staged_sent_and_seen() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let id = world.group(&key, defaults()).await;
    assert!(id.starts_with("grp_"));
    let done = world.csv(&id, &key, numbers(700)).await.good(200);
    assert_eq!(done["counts"], json!({"rows": 700, "accepted": 700, "rejected": 0, "known": 0}));
    assert_eq!(done["rowsReceived"], 700);
    let staged = world.read(&format!("/v1/groups/{id}"), &key).await;
    assert_eq!((&staged["state"], &staged["name"]), (&json!("staging"), &json!("봄 행사")));
    assert_eq!(staged["estimate"], json!({"unit": "point:sms", "amount": 700}));
    assert_eq!(staged["progress"], Value::Null);
    let none = world.read("/v1/messages", &key).await;
    assert_eq!(none["items"], json!([]));
    let sent = world.step(&id, "send", &key).await.good(202);
    assert_eq!(sent["state"], "sending");
    assert_eq!(sent["progress"]["total"], 700);
    let again = world.step(&id, "send", &key).await.good(202);
    assert_eq!(again["sentAt"], sent["sentAt"]);
    let entries = world.read("/v1/wallet/entries", &key).await;
    let charges: Vec<i64> =
        entries["items"].as_array().expect("a list").iter().filter_map(|e| e["amount"].as_i64()).collect();
    assert_eq!(charges.iter().filter(|amount| **amount == -700).count(), 1, "{entries}");
    let list = world.read("/v1/groups", &key).await;
    assert_eq!(list["items"][0]["id"].as_str(), Some(&*id));
    let audit = world.read("/v1/audit", &world.operator).await;
    assert_eq!((&audit["accepted"], &audit["missing"]), (&json!(700), &json!(0)));
}

#[tokio::test]
async fn rows_come_as_json_and_line_by_line() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let id = world.group(&key, json!({"defaults": {"from": FROM, "text": "공지"}})).await;
    let path = format!("/v1/groups/{id}/rows");
    let body = json!({"messages": [{"to": "01020000001"}, {"to": "1"}, {"to": "01020000002", "text": "둘"}]});
    let done = world.call("POST", &path, &key, body).await.good(200);
    assert_eq!(done["counts"], json!({"rows": 3, "accepted": 2, "rejected": 1, "known": 0}));
    let lines = "{\"to\":\"01020000003\",\"lane\":\"realtime\"}\n\n{\"to\":5}\n{\"to\":\"01020000004\"}";
    let done = world.rows(&path, &key, "application/x-ndjson", None, lines).await.good(200);
    assert_eq!(done["counts"], json!({"rows": 3, "accepted": 2, "rejected": 1, "known": 0}));
    let errors = world.read(&format!("/v1/groups/{id}/errors"), &key).await;
    let told: Vec<_> = errors["items"].as_array().expect("a list").iter().map(|e| (&e["row"], &e["code"])).collect();
    assert_eq!(told, [(&json!(2), &json!("UM1020")), (&json!(5), &json!("UM1001"))]);
    let page = world.read(&format!("/v1/groups/{id}/errors?limit=1"), &key).await;
    let next = page["nextCursor"].as_str().expect("a cursor");
    let page = world.read(&format!("/v1/groups/{id}/errors?limit=1&cursor={next}"), &key).await;
    assert_eq!(page["items"][0]["row"], 5);
    for (content_type, body, refusal) in [
        ("text/plain", "x", (415, "UM1015")),
        ("application/json", "{\"rows\":[]}", (400, "UM1001")),
        ("application/json", "no", (400, "UM1001")),
        ("text/csv; charset=utf-16", "to\n", (415, "UM1015")),
        ("text/csv", "number\n010\n", (422, "UM1001")),
    ] {
        assert_eq!(world.rows(&path, &key, content_type, None, body).await.refusal(), refusal, "{content_type} {body}");
    }
    let rest = world.read(&format!("/v1/groups/{id}"), &key).await;
    assert_eq!(rest["counts"], json!({"rows": 6, "accepted": 4, "rejected": 2}));
    assert_eq!(rest["uploading"], false);
}

#[tokio::test]
async fn what_a_row_lacks_is_told_by_its_number() {
    let world = World::new().await;
    let (account, key) = world.sending_account("a").await;
    let id = world.group(&key, defaults()).await;
    let text = "to,이름,from,clientRef\n\
                01020000001,하나,,r-1\n\
                0212345678,둘,,r-2\n\
                01020000003,셋,029999999,r-3\n\
                01020000004,넷,,r-1\n\
                =cmd,\u{1F600},,r-5\n";
    let done = world.csv(&id, &key, text).await.good(200);
    assert_eq!(done["counts"], json!({"rows": 5, "accepted": 1, "rejected": 4, "known": 0}));
    let errors = world.read(&format!("/v1/groups/{id}/errors"), &key).await;
    let told: Vec<_> = errors["items"].as_array().expect("a list").iter().map(|e| (&e["row"], &e["field"])).collect();
    let row = |row: u32, field: &str| (json!(row), json!(field));
    let expected = [row(2, "to"), row(3, "from"), row(4, "clientRef"), row(5, "to"), row(5, "text")];
    assert_eq!(told, expected.iter().map(|(row, field)| (row, field)).collect::<Vec<_>>());
    assert!(!errors.to_string().contains("0212345678"), "{errors}");
    let full = world.csv_of(&id, &key).await;
    let lines: Vec<&str> = full.lines().collect();
    assert_eq!(lines[0], "row,to,clientRef,code,name,reason");
    assert!(lines[1].starts_with("2,0212345678,r-2,UM1020,BAD_RECIPIENT_FORMAT,"), "{}", lines[1]);
    assert!(lines[2].starts_with("3,01020000003,r-3,UM2001,SENDER_NOT_REGISTERED,"), "{}", lines[2]);
    assert!(lines[3].starts_with("4,01020000004,r-1,UM1010,DUPLICATE_CLIENT_REF,"), "{}", lines[3]);
    assert!(lines[4].starts_with("5,'=cmd,r-5,") && lines[4].contains("text: "), "{}", lines[4]);
    assert_eq!(lines.len(), 5);
    let reader = world.key(account, &[KeyScope::Read]).await;
    let masked = world.csv_of(&id, &reader).await;
    assert!(masked.contains("\n4,010****0004,") && masked.contains("\n2,021***5678,"), "{masked}");
}

impl World {
    async fn csv_of(&self, id: &str, key: &str) -> String {
        let seen = self.call("GET", &format!("/v1/groups/{id}/failures.csv"), key, Value::Null).await;
        assert_eq!(seen.headers["content-type"], "text/csv; charset=utf-8");
        let Value::String(text) = seen.good(200) else { panic!("text") };
        text
    }
}

/// A body that breaks off after its pieces.
fn broken(pieces: Vec<String>) -> Body {
    let pieces = pieces.into_iter().map(|piece| Ok(Bytes::from(piece)));
    let end = std::iter::once(Err(std::io::Error::other("the line is cut")));
    Body::from_stream(futures_util::stream::iter(pieces.chain(end)))
}

#[tokio::test]
async fn a_broken_upload_goes_on_without_a_double() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let id = world.group(&key, defaults()).await;
    let path = format!("/v1/groups/{id}/rows");
    let all = numbers(30);
    let cut = all.find("손님20").expect("a row") + 3;
    let seen = world.rows(&path, &key, "text/csv", None, broken(vec![all[..cut].to_owned()])).await;
    assert_eq!(seen.refusal(), (400, "UM1001"));
    let group = world.read(&format!("/v1/groups/{id}"), &key).await;
    assert_eq!(group["rowsReceived"], 20, "rows that came whole are there");
    // The whole table again, or from any row before.
    let done = world.rows(&format!("{path}?from=1"), &key, "text/csv", None, all.clone()).await.good(200);
    assert_eq!(done["counts"], json!({"rows": 30, "accepted": 10, "rejected": 0, "known": 20}));
    let gap = world.rows(&format!("{path}?from=32"), &key, "text/csv", None, "to\n1\n").await;
    assert_eq!(gap.refusal(), (409, "UM1013"));
    // With a key nobody has to count.
    let more = numbers(40).replace("0102000", "0102001");
    let cut = more.find("손님10").expect("a row");
    let seen = world.rows(&path, &key, "text/csv", Some("part-2"), broken(vec![more[..cut].to_owned()])).await;
    assert_eq!(seen.refusal(), (400, "UM1001"));
    assert_eq!(world.read(&format!("/v1/groups/{id}"), &key).await["uploading"], true);
    assert_eq!(world.csv(&id, &key, "to\n1\n").await.refusal(), (409, "UM1013"));
    assert_eq!(world.step(&id, "send", &key).await.refusal(), (409, "UM1013"));
    for known in [10, 40] {
        let done = world.rows(&path, &key, "text/csv", Some("part-2"), more.clone()).await.good(200);
        assert_eq!(done["counts"]["known"], known);
        assert_eq!(done["rowsReceived"], 70);
    }
    let longer = world.rows(&path, &key, "text/csv", Some("part-2"), more.clone() + "01020020000,x\n").await;
    assert_eq!(longer.refusal(), (422, "UM1006"));
    let sent = world.step(&id, "send", &key).await.good(202);
    assert_eq!(sent["progress"]["total"], 70);
}

#[tokio::test]
async fn a_key_brings_the_same_rows_or_none() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let id = world.group(&key, defaults()).await;
    let path = format!("/v1/groups/{id}/rows");
    let upload = async |idem: &str, body: Body| world.rows(&path, &key, "text/csv", Some(idem), body).await;
    let first = numbers(30) + "1,누구\n";
    upload("one", first.clone().into()).await.good(200);
    for other in
        [first.replace("01020000007", "01020009999"), first.replace("손님29", "남"), first.replace("\n1,", "\n2,")]
    {
        assert_eq!(upload("one", other.into()).await.refusal(), (422, "UM1006"));
    }
    assert_eq!(upload("one", first.into()).await.good(200)["counts"]["known"], 31);
    // One that breaks is gone on with by the same rows only.
    let second = numbers(30).replace("0102000", "0102001");
    let cut = second.find("손님20").expect("a row") + 3;
    upload("two", broken(vec![second[..cut].to_owned()])).await.refusal();
    for other in [second.replace("손님5", "남"), second[..second.find("손님10").expect("a row")].to_owned() + "끝\n"]
    {
        assert_eq!(upload("two", other.into()).await.refusal(), (422, "UM1006"));
    }
    let group = world.read(&format!("/v1/groups/{id}"), &key).await;
    assert_eq!((&group["rowsReceived"], &group["uploading"]), (&json!(51), &json!(true)));
    let done = upload("two", second.into()).await.good(200);
    assert_eq!((&done["counts"]["known"], &done["rowsReceived"]), (&json!(20), &json!(61)));
    assert_eq!(world.step(&id, "send", &key).await.good(202)["progress"]["total"], 60);
}

#[tokio::test]
async fn a_group_that_cannot_be_paid_stays_staged() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let id = world.group(&key, defaults()).await;
    assert_eq!(world.step(&id, "send", &key).await.refusal(), (409, "UM1013"));
    world.csv(&id, &key, numbers(1_001)).await.good(200);
    assert_eq!(world.step(&id, "send", &key).await.refusal(), (402, "UM3001"));
    assert_eq!(world.read(&format!("/v1/groups/{id}"), &key).await["state"], "staging");
    let credit = json!({"account": account_of(&world, &key).await, "unit": "point:sms", "amount": 1, "cause": "more"});
    world.call("POST", "/v1/wallet/credits", &world.operator, credit).await.good(201);
    world.step(&id, "send", &key).await.good(202);
}

async fn account_of(world: &World, key: &str) -> String {
    let rows = world.read("/v1/keys", key).await;
    rows["items"][0]["account"].as_str().expect("an account").to_owned()
}

#[tokio::test]
async fn uploads_at_once_lose_no_row() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let id = world.group(&key, defaults()).await;
    let upload = async |upload: usize| {
        let text = numbers(20).replace("01020", &format!("0103{upload}"));
        loop {
            let seen = world.csv(&id, &key, text.clone()).await;
            if seen.status.as_u16() == 409 {
                assert!(seen.body.to_string().contains("try again"), "{}", seen.body);
                continue;
            }
            return seen.good(200)["counts"].clone();
        }
    };
    let all = futures_util::future::join_all((0..10).map(upload)).await;
    assert!(
        all.iter().all(|counts| *counts == json!({"rows": 20, "accepted": 20, "rejected": 0, "known": 0})),
        "{all:?}"
    );
    let group = world.read(&format!("/v1/groups/{id}"), &key).await;
    assert_eq!(group["counts"], json!({"rows": 200, "accepted": 200, "rejected": 0}));
    assert_eq!(world.step(&id, "send", &key).await.good(202)["progress"]["total"], 200);
}

#[tokio::test]
async fn a_row_that_costs_more_than_its_ceiling_is_refused() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let long = "가".repeat(60);
    let id = world.group(&key, json!({"defaults": {"from": FROM, "text": long, "maxCost": 2}})).await;
    let rows = json!({"messages": [
        {"to": "01020000001"}, {"to": "01020000002", "maxCost": 3}, {"to": "01020000003", "text": "짧은 글"},
        {"to": "01020000004", "text": "짧은 글", "maxCost": 0},
    ]});
    let done = world.call("POST", &format!("/v1/groups/{id}/rows"), &key, rows).await.good(200);
    assert_eq!(done["counts"], json!({"rows": 4, "accepted": 2, "rejected": 2, "known": 0}));
    let errors = world.read(&format!("/v1/groups/{id}/errors"), &key).await;
    let told: Vec<_> = errors["items"].as_array().expect("a list").iter().map(|e| (&e["row"], &e["code"])).collect();
    assert_eq!(told, [(&json!(1), &json!("UM3002")), (&json!(4), &json!("UM3002"))]);
}

#[tokio::test]
async fn a_step_without_fields_does_not_overlook_one() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let id = world.group(&key, defaults()).await;
    world.csv(&id, &key, numbers(2)).await.good(200);
    let at = json!({"sendAt": "2026-11-21T12:00:00+09:00"});
    for what in ["send", "approve", "cancel"] {
        let path = format!("/v1/groups/{id}/{what}");
        let seen = world.call("POST", &path, &key, at.clone()).await;
        assert_eq!((seen.status.as_u16(), &seen.body["errors"][0]["field"]), (422, &json!("sendAt")), "{}", seen.body);
        assert_eq!(world.rows(&path, &key, "application/json", None, "no").await.refusal(), (400, "UM1001"));
    }
    assert_eq!(world.read(&format!("/v1/groups/{id}"), &key).await["state"], "staging");
    let message = json!({"to": "01020000001", "from": FROM, "text": "공지", "sendAt": at["sendAt"]});
    let sent = world.call("POST", "/v1/messages", &key, message).await.good(202);
    let path = format!("/v1/messages/{}/cancel", sent["id"].as_str().expect("an id"));
    assert_eq!(world.call("POST", &path, &key, json!({"why": "x"})).await.status.as_u16(), 422);
    world.call("POST", &path, &key, json!({})).await.good(200);
    let none = world.rows(&format!("/v1/groups/{id}/send"), &key, "text/plain", None, "").await;
    assert_eq!(none.good(202)["state"], "sending");
}

#[tokio::test]
async fn another_key_with_the_scope_approves() {
    let world = World::new().await;
    let (account, key) = world.sending_account("a").await;
    let id = world.group(&key, json!({"defaults": {"from": FROM, "text": "공지"}, "approval": true})).await;
    world.csv(&id, &key, "to\n01020000001\n").await.good(200);
    assert_eq!(world.step(&id, "approve", &key).await.refusal(), (409, "UM1013"));
    assert_eq!(world.step(&id, "send", &key).await.good(202)["state"], "waiting_approval");
    assert_eq!(world.step(&id, "approve", &key).await.refusal(), (403, "UM1003"));
    let sender = world.key(account, &[KeyScope::Send]).await;
    assert_eq!(world.step(&id, "approve", &sender).await.refusal(), (403, "UM1003"));
    let boss = world.key(account, &[KeyScope::Manage]).await;
    assert_eq!(world.step(&id, "approve", &boss).await.good(202)["state"], "sending");
}

#[tokio::test]
async fn a_canceled_group_says_what_had_left_and_gives_the_rest_back() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let id = world.group(&key, defaults()).await;
    world.csv(&id, &key, numbers(600)).await.good(200);
    world.step(&id, "send", &key).await.good(202);
    let canceled = world.step(&id, "cancel", &key).await.good(200);
    assert_eq!(canceled["state"], "canceled");
    let (kept, left) = (canceled["cancel"]["canceled"].as_u64(), canceled["cancel"]["escaped"].as_u64());
    assert_eq!(kept.zip(left).map(|(kept, left)| kept + left), Some(600));
    let over = world.group_until(&id, &key, |group| group["finishedAt"] != Value::Null).await;
    assert_eq!(over["progress"]["counts"]["canceled"], canceled["cancel"]["canceled"]);
    assert_eq!(world.step(&id, "cancel", &key).await.good(200)["cancel"], canceled["cancel"]);
    assert_eq!(world.step(&id, "send", &key).await.refusal(), (409, "UM1013"));
    let failures = world.csv_of(&id, &key).await;
    assert_eq!(failures.lines().filter(|line| line.contains(",CANCELED,")).count() as u64, kept.unwrap_or(0));
    assert!(failures.contains("\n1,01020000000,,"), "{}", &failures[..200]);
    let staged = world.group(&key, defaults()).await;
    world.csv(&staged, &key, numbers(3)).await.good(200);
    let gone = world.step(&staged, "cancel", &key).await.good(200);
    assert_eq!(gone["cancel"], json!({"canceled": 3, "escaped": 0}));
    let audit = world.read("/v1/audit", &world.operator).await;
    assert_eq!(
        (&audit["accepted"], &audit["ledgerMismatch"], &audit["doubleCharge"]),
        (&json!(600), &json!(0), &json!(0))
    );
}

#[tokio::test]
async fn a_group_waits_for_its_time_and_takes_another() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let id = world.group(&key, defaults()).await;
    world.csv(&id, &key, numbers(2)).await.good(200);
    let path = format!("/v1/groups/{id}/schedule");
    for wrong in ["soon", "2020-01-01T00:00:00+09:00", "2099-01-01T00:00:00+09:00"] {
        let seen = world.call("POST", &path, &key, json!({"sendAt": wrong})).await;
        assert_eq!(seen.status.as_u16(), 422, "{wrong}: {}", seen.body);
    }
    let (first, second) = ("2026-11-21T12:00:00.000+09:00", "2026-11-22T12:00:00.000+09:00");
    let scheduled = world.call("POST", &path, &key, json!({"sendAt": first})).await.good(202);
    assert_eq!(scheduled["state"], "scheduled");
    let moved = world.call("POST", &path, &key, json!({"sendAt": second})).await.good(202);
    assert_ne!(moved["sendAt"], scheduled["sendAt"]);
    let canceled = world.step(&id, "cancel", &key).await.good(200);
    assert_eq!(canceled["cancel"], json!({"canceled": 2, "escaped": 0}));
}

#[tokio::test]
async fn a_scheduled_group_is_over_when_all_of_it_is_canceled() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let mut groups = Vec::new();
    for group in ["x", "y"] {
        let id = world.group(&key, json!({"defaults": {"from": FROM, "text": "공지"}})).await;
        let rows: Vec<Value> =
            (1..=3).map(|n| json!({"to": format!("0102000000{n}"), "clientRef": format!("{group}{n}")})).collect();
        world.call("POST", &format!("/v1/groups/{id}/rows"), &key, json!({"messages": rows})).await.good(200);
        let at = world.clock.now().plus(std::time::Duration::from_secs(3_600)).rfc3339();
        world.call("POST", &format!("/v1/groups/{id}/schedule"), &key, json!({"sendAt": at})).await.good(202);
        groups.push(id);
    }
    for client_ref in ["x1", "x2", "x3", "y1", "y2"] {
        let found = world.read(&format!("/v1/messages?clientRef={client_ref}"), &key).await;
        let id = found["items"][0]["id"].as_str().expect("an id").to_owned();
        world.call("POST", &format!("/v1/messages/{id}/cancel"), &key, Value::Null).await.good(200);
    }
    // One was canceled message by message, of the other a message was left.
    let canceled = world.step(&groups[1], "cancel", &key).await.good(200);
    assert_eq!(canceled["cancel"], json!({"canceled": 3, "escaped": 0}));
    for (id, state) in groups.iter().zip(["finished", "canceled"]) {
        let over = world.group_until(id, &key, |group| group["finishedAt"] != Value::Null).await;
        assert_eq!((&over["state"], &over["progress"]["counts"]["canceled"]), (&json!(state), &json!(3)));
    }
}

#[tokio::test]
async fn one_message_of_a_group_is_changed_before_the_group_is_in_the_line() {
    // Nobody makes runs of what is sent.
    let mut send = SendConfig::default();
    send.roles.schedule = false;
    let world = World::over(send, ApiConfig::default()).await;
    let (_, key) = world.sending_account("a").await;
    let (_, neighbour) = world.sending_account("b").await;
    let now = world.clock.now();
    let [at, later] = [3_600, 7_200].map(|s| now.plus(std::time::Duration::from_secs(s)).rfc3339());
    let mut ids = Vec::new();
    for (group, step) in [("x", json!({"sendAt": at})), ("y", Value::Null)] {
        let id = world.group(&key, json!({"defaults": {"from": FROM, "text": "공지"}})).await;
        let rows: Vec<Value> =
            (1..=3).map(|n| json!({"to": format!("0102000000{n}"), "clientRef": format!("{group}{n}")})).collect();
        world.call("POST", &format!("/v1/groups/{id}/rows"), &key, json!({"messages": rows})).await.good(200);
        let what = if step.is_null() { "send" } else { "schedule" };
        world.call("POST", &format!("/v1/groups/{id}/{what}"), &key, step).await.good(202);
        for n in 1..=3 {
            let found = world.read(&format!("/v1/messages?clientRef={group}{n}"), &key).await;
            ids.push(found["items"][0]["id"].as_str().expect("an id").to_owned());
        }
    }
    let body = json!({"sendAt": later});
    let call = async |n: usize, what: &str, key: &str| {
        let body = if what == "reschedule" { body.clone() } else { Value::Null };
        world.call("POST", &format!("/v1/messages/{}/{what}", ids[n]), key, body).await
    };
    for what in ["reschedule", "cancel"] {
        assert_eq!(call(0, what, &neighbour).await.refusal(), (404, "UM1011"), "{what}");
    }
    let moved = call(0, "reschedule", &key).await.good(200);
    assert_eq!((&moved["status"], &moved["sendAt"]), (&json!("scheduled"), &json!(later)));
    assert_eq!(call(1, "cancel", &key).await.good(200)["status"], "canceled");
    let left = world.read(&format!("/v1/messages/{}", ids[2]), &key).await;
    assert_eq!((&left["status"], &left["sendAt"]), (&json!("scheduled"), &json!(at)));
    assert_eq!(call(3, "cancel", &key).await.good(200)["status"], "canceled");
    assert_eq!(call(4, "reschedule", &key).await.refusal(), (409, "UM1012"));
    let audit = world.read("/v1/audit", &world.operator).await;
    assert_eq!((&audit["accepted"], &audit["missing"]), (&json!(6), &json!(0)));
}

#[tokio::test]
async fn a_group_is_made_once_by_its_key() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let make = |text: &'static str| {
        let body = json!({"defaults": {"text": text}}).to_string();
        world.rows("/v1/groups", &key, "application/json", Some("make-1"), body)
    };
    let first = make("하나").await.good(201);
    let again = make("하나").await;
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.good(201), first);
    assert_eq!(make("둘").await.refusal(), (422, "UM1006"));
    for (body, field) in [
        (json!({"defaults": {"colour": "red"}}), "defaults.colour"),
        (json!({"name": ""}), "name"),
        (json!({"approval": "yes"}), "approval"),
        (json!({"messages": []}), "messages"),
        (json!({"sendAt": "morning"}), "sendAt"),
    ] {
        let seen = world.call("POST", "/v1/groups", &key, body).await;
        assert_eq!(seen.body["errors"][0]["field"], field, "{}", seen.body);
        assert_eq!(seen.refusal().0, 422);
    }
}

#[tokio::test]
async fn a_neighbours_group_is_not_there() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let (_, other) = world.sending_account("b").await;
    let id = world.group(&key, defaults()).await;
    assert_eq!(world.csv(&id, &other, numbers(1)).await.refusal(), (404, "UM1011"));
    for path in ["", "/errors", "/failures.csv", "/events"] {
        let seen = world.call("GET", &format!("/v1/groups/{id}{path}"), &other, Value::Null).await;
        assert_eq!(seen.refusal(), (404, "UM1011"), "{path}");
    }
    for what in ["send", "cancel", "approve"] {
        assert_eq!(world.step(&id, what, &other).await.refusal(), (404, "UM1011"), "{what}");
    }
    assert_eq!(world.read("/v1/groups", &other).await["items"], json!([]));
    let all = world.read("/v1/groups", &world.operator).await;
    assert_eq!(all["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_group_is_traced_by_the_calls_that_filled_and_sent_it() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let (_, neighbour) = world.sending_account("b").await;
    let id = world.group(&key, json!({"defaults": {"from": FROM, "text": "공지"}})).await;
    let call = async |what: &str, request: &str, body: &str| {
        let request = Request::post(format!("/v1/groups/{id}/{what}"))
            .header("authorization", format!("Bearer {key}"))
            .header("content-type", "text/csv")
            .header("x-request-id", request)
            .body(Body::from(body.to_owned()));
        world.send(request.expect("a request")).await
    };
    call("rows", "shop-up", "to\n01020000001\n01020000002\n").await.good(200);
    call("send", "shop-go", "").await.good(202);
    for request in ["shop-up", "shop-go"] {
        let found = world.read(&format!("/v1/traces/{request}"), &key).await;
        let requests = found["requests"].as_array().expect("requests");
        assert_eq!(requests.len(), 1, "{found}");
        assert_eq!((&requests[0]["id"], &requests[0]["requestId"]), (&json!(id), &json!("shop-go")));
        let path = format!("/v1/traces/{request}");
        assert_eq!(world.call("GET", &path, &neighbour, Value::Null).await.refusal(), (404, "UM1011"));
    }
}
