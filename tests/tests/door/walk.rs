//! One account through everything that a customer uses, over files and over a database with Redis: a group from a table,
//! schedules, every search, what would be and what was, events, statistics, and who may not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bongsu_domain::Clock;
use bongsu_server::clock::SystemClock;
use bongsu_testkit::{Builder, World, recipient, until};
use serde_json::{Value, json};

use super::{all_pages, ids, post, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_goes_through_everything() {
    walk(World::builder()).await;
}

#[cfg(feature = "full")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_goes_through_everything_over_a_database() {
    if bongsu_testkit::has_database() {
        walk(World::builder().on_database()).await;
    }
}

async fn walk(builder: Builder) {
    let world = builder.relays(&["kt", "skt"]).shares(json!({ "kt": 100 })).start().await;
    let group = group(&world).await;
    let sent = Sent { second: second_sender(&world).await, group, ..singles_and_batch(&world).await };
    let sent = Sent { moved: schedules(&world).await, ..sent };
    searches(&world, &sent).await;
    what_would_be_and_what_was(&world, &sent).await;
    events(&world, &sent).await;
    statistics(&world, &sent).await;
    who_may_not(&world).await;
}

/// Ids of what was sent, in the order of sending.
#[derive(Default)]
struct Sent {
    /// A further sender number.
    second: String,
    /// Of the group: none arrived.
    group: Vec<String>,
    /// With everything that a message can be found by.
    single: String,
    long: String,
    secret: String,
    /// The batch and its rows.
    batch: (String, Vec<String>),
    /// One that was canceled before its time, and one that left at its time.
    moved: [String; 2],
}

impl Sent {
    fn delivered(&self) -> Vec<&str> {
        let Self { single, long, secret, batch, moved, .. } = self;
        let rows = batch.1.iter().map(String::as_str);
        [single, long, secret].into_iter().map(String::as_str).chain(rows).chain([moved[1].as_str()]).collect()
    }

    fn all(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.group.iter().map(String::as_str).chain(self.delivered()).collect();
        all.insert(all.len() - 1, &self.moved[0]);
        all
    }
}

/// A table with errors, of which nothing arrives; and what is told of it.
async fn group(world: &World) -> Vec<String> {
    let key = &world.main.key;
    world.script(json!({ "relays": { "kt": { "codes": { "UNDELIV:001": 1.0 } } } }));
    let body = json!({ "name": "봄", "defaults": { "from": world.main.from, "text": "#{이름}님 안녕하세요" } });
    let group = world.call(key, "POST", "/v1/groups", body).await.good(201);
    let path = format!("/v1/groups/{}", text(&group["id"]));
    let table = format!(
        "to,이름,clientRef\n{},하나,g-1\n12,둘,g-2\n{},셋,g-3\n{},\u{1F600},g-4\n{},다섯,g-5\n",
        recipient(1),
        recipient(3),
        recipient(4),
        recipient(5)
    );
    let staged = post(world, key, &format!("{path}/rows"), &[("content-type", "text/csv")], table).await.good(200);
    assert_eq!(staged["counts"], json!({ "rows": 5, "accepted": 3, "rejected": 2, "known": 0 }));
    let errors = all_pages(world, key, &format!("{path}/errors"), 1).await;
    assert_eq!(errors.iter().map(|error| error["row"].clone()).collect::<Vec<_>>(), [json!(2), json!(4)]);
    let before = world.points(&world.main).await;
    let answer = world.call(key, "POST", &format!("{path}/send"), Value::Null).await.good(202);
    assert_eq!((&answer["state"], &answer["progress"]["total"]), (&json!("sending"), &json!(3)));
    assert_eq!(world.points(&world.main).await, before - 3);
    let over = until("the group is over", || async {
        Some(world.get(&path).await).filter(|group| group["state"] == "finished")
    });
    assert_eq!(over.await["progress"]["counts"]["undelivered"], 3);
    let told = world.call(key, "GET", &format!("{path}/events"), Value::Null).await;
    assert!(told.text.starts_with("event: finished\n"), "{}", told.text);
    let failures = world.call(key, "GET", &format!("{path}/failures.csv"), Value::Null).await;
    let rows: Vec<Vec<&str>> = failures.text.lines().map(|line| line.split(',').take(4).collect()).collect();
    let numbers = [1, 3, 5].map(recipient);
    assert_eq!(rows[0], ["row", "to", "clientRef", "code"]);
    assert_eq!(rows[1][..3], ["2", "12", "g-2"]);
    assert_eq!(rows[2][0], "4");
    let undelivered: Vec<(&str, &str)> = rows[3..].iter().map(|row| (row[1], row[2])).collect();
    assert_eq!(undelivered, [(&*numbers[0], "g-1"), (&*numbers[1], "g-3"), (&*numbers[2], "g-5")]);
    world.script(json!({}));
    let as_batch = text(&group["id"]).replace("grp_", "bat_");
    let mut found = all_pages(world, key, &format!("/v1/messages?batchId={as_batch}"), 2).await;
    found.reverse();
    ids(&found).into_iter().map(str::to_owned).collect()
}

async fn second_sender(world: &World) -> String {
    let number = "0215889999";
    let sender = world.call(&world.main.key, "POST", "/v1/senders", json!({ "number": number })).await.good(201);
    world.operator("POST", &format!("/v1/senders/{}/approve", text(&sender["id"])), Value::Null).await.good(200);
    number.to_owned()
}

async fn singles_and_batch(world: &World) -> Sent {
    let single = world
        .submit(json!({
            "to": recipient(11), "text": "주문 50%_할인 \\ 끝'", "clientRef": "order-1",
            "labels": { "shop": "강남" }, "billCode": "A-17",
        }))
        .await;
    let long = world
        .submit(json!({ "to": recipient(12), "text": "가".repeat(60), "subject": "봄 소식", "lane": "bulk" }))
        .await;
    let secret = world.submit(json!({ "to": recipient(13), "text": "인증 1234", "lane": "auth" })).await;
    let rows = (0..3).map(|n| json!({ "to": recipient(20 + n), "variables": { "n": n.to_string() } })).collect();
    let defaults = json!({ "text": "#{n}번 쿠폰", "labels": { "shop": "모두" }, "billCode": "B", "lane": "bulk" });
    let rows = world.batch(defaults, rows).await;
    let batch = text(&world.message(&rows[0]).await["batchId"]);
    let sent = Sent { single, long, secret, batch: (batch, rows), ..Sent::default() };
    let all: Vec<String> = [&sent.single, &sent.long, &sent.secret].into_iter().chain(&sent.batch.1).cloned().collect();
    let ended = world.wait_final(&all).await;
    assert!(ended.iter().all(|message| message["status"] == "delivered"), "{ended:?}");
    sent
}

/// One that is moved and then canceled, and one from another number that leaves at its time.
async fn schedules(world: &World) -> [String; 2] {
    let key = &world.main.key;
    let at = |seconds| SystemClock.now().plus(Duration::from_secs(seconds)).rfc3339();
    let before = world.points(&world.main).await;
    let moved = world.submit(json!({ "to": recipient(31), "text": "나중 하나", "sendAt": at(3_600) })).await;
    let later = at(7_200);
    let path = format!("/v1/messages/{moved}");
    let seen = world.call(key, "POST", &format!("{path}/reschedule"), json!({ "sendAt": later })).await.good(200);
    assert_eq!((&seen["status"], &seen["sendAt"]), (&json!("scheduled"), &json!(later)));
    let waiting = all_pages(world, key, "/v1/messages?status=scheduled", 2).await;
    assert_eq!(ids(&waiting), [&*moved]);
    assert_eq!(world.points(&world.main).await, before - 1);
    assert_eq!(world.call(key, "POST", &format!("{path}/cancel"), Value::Null).await.good(200)["status"], "canceled");
    assert_eq!(world.points(&world.main).await, before);
    let refused = world.call(key, "POST", &format!("{path}/reschedule"), json!({ "sendAt": later })).await;
    assert_eq!(refused.refusal(), (409, "UM1012"));
    let soon = json!({ "to": recipient(32), "from": "0215889999", "text": "나중 둘", "sendAt": at(2) });
    let soon = world.submit(soon).await;
    let left = world.wait_final(std::slice::from_ref(&soon)).await;
    assert_eq!(left[0]["status"], "delivered");
    // Where this was slower than the time it named, it left at once.
    if let Some(at) = left[0]["sendAt"].as_str() {
        assert!(&*text(&left[0]["attempts"][0]["claimedAt"]) >= at, "{}", left[0]);
    }
    [moved, soon]
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn searches(world: &World, sent: &Sent) {
    let neighbour = world.member("neighbour").await;
    let (one, rows) = ([sent.single.as_str()], sent.batch.1.iter().map(String::as_str).collect::<Vec<_>>());
    let group: Vec<&str> = sent.group.iter().map(String::as_str).collect();
    let [canceled, soon] = [[sent.moved[0].as_str()], [sent.moved[1].as_str()]];
    let (long, secret) = ([sent.long.as_str()], [sent.secret.as_str()]);
    let all = sent.all();
    let relayed: Vec<&str> = all.iter().copied().filter(|id| *id != canceled[0]).collect();
    let shop: Vec<&str> = one.iter().copied().chain(rows.iter().copied()).collect();
    let code = text(&world.message(group[0]).await["code"]);
    let accepted = text(&world.message(&sent.single).await["acceptedAt"]);
    let fail: Vec<&str> = group.iter().copied().chain(canceled).collect();
    let q = |wanted: &str| format!("q={}", escaped(wanted));
    let table: Vec<(String, &[&str])> = vec![
        (String::new(), &all),
        (format!("messageId={}", one[0]), &one),
        ("clientRef=order-1".into(), &one),
        ("clientRef=g-3".into(), &group[1..2]),
        (format!("recipient={}", recipient(3)), &group[1..2]),
        (format!("recipientLast4={}", &recipient(11)[7..]), &one),
        (format!("sender={}", sent.second), &soon),
        ("label=shop".into(), &shop),
        (format!("label={}", escaped("shop=강남")), &one),
        ("billCode=A-17".into(), &one),
        ("billCode=B".into(), &rows),
        (format!("batchId={}", sent.batch.0), &rows),
        (q("50%_할인 \\ 끝'"), &one),
        (q("번 쿠폰"), &rows),
        (q("봄 소식"), &long),
        (q("님 안녕"), &group),
        (q("나중 둘"), &soon),
        (q("5__"), &[]),
        (q("인증"), &[]),
        ("status=undelivered".into(), &group),
        ("status=canceled".into(), &canceled),
        ("originStatus=FAIL".into(), &fail),
        (format!("code={code}"), &group),
        ("channel=lms".into(), &long),
        ("type=lms".into(), &long),
        ("relay=kt".into(), &relayed),
        ("relay=skt".into(), &[]),
        ("lane=auth".into(), &secret),
        (format!("since={}", escaped(&accepted)), &all[3..]),
        (format!("until={}", escaped(&accepted)), &group),
        (format!("{}&label=shop&billCode=B&status=delivered&lane=bulk", q("쿠폰")), &rows),
        (format!("{}&billCode=A-17", q("쿠폰")), &[]),
    ];
    for (query, wanted) in table {
        let newest_first: Vec<&str> = wanted.iter().rev().copied().collect();
        let path = format!("/v1/messages?{query}");
        let path = path.trim_end_matches('?');
        for limit in [2, 500] {
            let found = all_pages(world, &world.main.key, path, limit).await;
            assert_eq!(ids(&found), newest_first, "{query} in pages of {limit}");
        }
        assert_eq!(all_pages(world, &neighbour.key, path, 500).await, Vec::<Value>::new(), "{query} by a neighbour");
    }
    let csv = world.call(&world.main.key, "GET", "/v1/messages.csv?billCode=B", Value::Null).await;
    assert_eq!(csv.text.lines().count(), 1 + rows.len(), "{}", csv.text);
}

async fn what_would_be_and_what_was(world: &World, sent: &Sent) {
    let key = &world.main.key;
    let before = world.points(&world.main).await;
    let good = json!({ "to": recipient(1), "from": world.main.from, "text": "안녕하세요" });
    let bad = json!({ "to": "12", "from": world.main.from, "text": "값 \u{20A9}100" });
    let tried = world.call(key, "POST", "/v1/messages/validate", json!({ "messages": [good, bad] })).await.good(200);
    assert_eq!((&tried["valid"], &tried["counts"]["accepted"]), (&json!(false), &json!(1)));
    assert_eq!((&tried["results"][0]["relay"], &tried["results"][0]["price"]["amount"]), (&json!("kt"), &json!(1)));
    let codes: BTreeSet<&str> = tried["results"][1]["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .filter_map(|finding| finding["field"].as_str())
        .collect();
    assert_eq!(codes, BTreeSet::from(["text", "to"]));
    assert_eq!(world.points(&world.main).await, before);
    let why = world.get(&format!("/v1/messages/{}/why", sent.single)).await;
    assert_eq!(why["price"]["amount"], 1);
    assert!(why["rules"].as_array().is_some_and(|rules| rules.len() >= 2), "{why}");
    let trace = world.get(&format!("/v1/messages/{}/trace", sent.single)).await;
    let steps: Vec<&str> =
        trace["steps"].as_array().expect("steps").iter().filter_map(|step| step["step"].as_str()).collect();
    for step in ["request", "ledger", "run", "claim", "submit", "response", "receipt", "final"] {
        assert!(steps.contains(&step), "{step} of {steps:?}");
    }
    let traced = world.get(&format!("/v1/traces/{}", sent.batch.0)).await;
    assert_eq!(traced["requests"][0]["messages"], json!(sent.batch.1.iter().rev().collect::<Vec<_>>()));
}

/// Read on and on, every message is accepted once and ends once, as it stands.
async fn events(world: &World, sent: &Sent) {
    let (mut seen, mut after) = (Vec::new(), String::new());
    let ends = ["message.delivered", "message.undelivered", "message.canceled"];
    let mut ended: BTreeMap<String, String> = BTreeMap::new();
    let mut accepted = Vec::new();
    while ended.len() < sent.all().len() {
        let path = format!("/v1/events?limit=5{after}");
        let page = until("there are further events", || async {
            Some(world.get(&path).await).filter(|page| page["items"] != json!([]))
        });
        let page = page.await;
        after = format!("&after={}", text(&page["nextCursor"]));
        for event in page["items"].as_array().expect("items") {
            seen.push(text(&event["id"]));
            let (kind, id) = (text(&event["type"]), text(&event["data"]["id"]));
            if kind == "message.accepted" {
                accepted.push(id);
            } else if ends.contains(&&*kind) {
                assert_eq!(ended.insert(id, kind), None, "{event}");
            }
        }
    }
    assert!(seen.windows(2).all(|two| two[0] < two[1]), "in order, none twice: {seen:?}");
    accepted.sort_unstable();
    let mut all = sent.all();
    all.sort_unstable();
    assert_eq!(accepted, all);
    for id in all {
        let status = text(&world.message(id).await["status"]);
        assert_eq!(ended[id], format!("message.{status}"));
    }
}

async fn statistics(world: &World, sent: &Sent) {
    let day = |message: &Value| text(&message["acceptedAt"])[..10].to_owned();
    let (first, last) = (world.message(&sent.group[0]).await, world.message(&sent.moved[1]).await);
    let path = format!("/v1/stats?from={}&to={}", day(&first), day(&last));
    let stats = world.get(&path).await;
    let lost = 1_000_000 - world.points(&world.main).await;
    let [total, delivered] = [sent.all().len(), sent.delivered().len()];
    for (name, wanted) in [("total", total), ("success", delivered), ("fail", 3), ("canceled", 1), ("open", 0)] {
        assert_eq!(stats["totals"][name], wanted, "{name} of {stats}");
    }
    assert_eq!(stats["totals"]["net"]["point:sms"], lost, "net is what the balance lost");
    let by = world.get(&format!("{path}&by=billCode")).await;
    let rows: Vec<(&Value, &Value)> =
        by["items"].as_array().expect("items").iter().map(|row| (&row["billCode"], &row["total"])).collect();
    let wanted = [(json!(null), json!(total - 4)), (json!("A-17"), json!(1)), (json!("B"), json!(3))];
    assert_eq!(rows, wanted.iter().map(|(code, total)| (code, total)).collect::<Vec<_>>());
}

async fn who_may_not(world: &World) {
    let key = &world.main.key;
    let made = async |body: Value| world.call(key, "POST", "/v1/keys", body).await.good(201);
    let viewer = made(json!({ "role": "viewer" })).await;
    let as_viewer = text(&viewer["key"]);
    let body = json!({ "to": recipient(1), "from": world.main.from, "text": "안녕하세요" });
    assert_eq!(world.call(&as_viewer, "POST", "/v1/messages", body).await.refusal(), (403, "UM1003"));
    let masked = world.call(&as_viewer, "GET", "/v1/messages?limit=1", Value::Null).await.good(200);
    assert!(text(&masked["items"][0]["to"]).contains('*'), "{masked}");
    let elsewhere = made(json!({ "role": "owner", "ipAllow": ["203.0.113.0/24"] })).await;
    let from_here = world.call(&text(&elsewhere["key"]), "GET", "/v1/wallet", Value::Null).await;
    assert_eq!(from_here.refusal(), (403, "UM1003"));
    let here = made(json!({ "role": "owner", "ipAllow": ["127.0.0.0/8"] })).await;
    world.call(&text(&here["key"]), "GET", "/v1/wallet", Value::Null).await.good(200);
    let log = all_pages(world, key, "/v1/audit-log", 3).await;
    let keys: Vec<&Value> =
        log.iter().filter(|row| row["operation"] == "create_key").map(|row| &row["target"]).collect();
    assert_eq!(keys[..3], [&here["id"], &elsewhere["id"], &viewer["id"]]);
    assert!(log.iter().any(|row| row["operation"] == "create_sender"), "{log:?}");
    let all = Value::Array(log).to_string();
    assert!(!all.contains(&as_viewer) && !all.contains("0215889999"), "no secret and no number");
}
