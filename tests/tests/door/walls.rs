//! Walls: every route of the OpenAPI document refuses whoever may not use it, and hides what is a neighbour's.

use std::time::Duration;

use bongsu_domain::Clock;
use bongsu_server::clock::SystemClock;
use bongsu_testkit::{Member, World, recipient};
use serde_json::{Value, json};

use super::{key_with, message, text};

const SCOPES: [&str; 4] = ["send", "read", "numbers", "manage"];
/// Has the form of a key, and its checksum, but nobody has it.
const FOREIGN_SCOPE: &str = "operator";

/// One operation of the document.
struct Operation {
    method: String,
    path: String,
    scope: Option<String>,
    account_only: bool,
    is_public: bool,
    takes_account: bool,
    body: Value,
}

/// A world in which a webhook may be of this machine, so that nobody has to be looked up.
async fn world() -> World {
    World::builder().set("webhooks.allow_loopback", "true").start().await
}

async fn operations(world: &World) -> Vec<Operation> {
    let document = world.call("", "GET", "/openapi.json", Value::Null).await.good(200);
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let parameters = operation["parameters"].as_array().expect("parameters");
            let schema = operation.pointer("/requestBody/content/application~1json/schema/$ref");
            operations.push(Operation {
                method: method.to_uppercase(),
                path: path.clone(),
                scope: operation["x-scope"].as_str().map(str::to_owned),
                account_only: operation["x-account-only"] == true,
                is_public: operation.get("security").is_some(),
                takes_account: parameters.iter().any(|parameter| parameter["name"] == "account"),
                body: schema.map_or(Value::Null, |schema| sample(text(schema).rsplit('/').next().unwrap_or(""))),
            });
        }
    }
    operations
}

/// A body that would be accepted of whoever may send it.
fn sample(schema: &str) -> Value {
    match schema {
        "SendMessage" => json!({ "to": "01020000001", "from": "0215880000", "text": "t" }),
        "SendBatch" => json!({ "messages": [{ "to": "01020000001", "from": "0215880000", "text": "t" }] }),
        "NewSender" => json!({ "number": "02-987-6543" }),
        "VerifySender" => json!({ "code": "123456" }),
        "NewRelay" => json!({ "name": "x", "address": "127.0.0.1:1", "systemId": "a", "password": "b" }),
        "RelayPatch" => json!({ "window": 3 }),
        "Shares" => json!({ "shares": { "kt": 100 } }),
        "Price" => json!({ "channel": "sms", "unit": "point:sms", "amount": 0 }),
        "NewCredit" => json!({ "account": "acc_0000000000001", "unit": "point:sms", "amount": 1, "cause": "x" }),
        "NewAccount" => json!({ "name": "x" }),
        "AccountPatch" => json!({ "suspended": true }),
        "NewKey" => json!({ "scopes": ["read"] }),
        "NewTime" => json!({ "sendAt": SystemClock.now().plus(Duration::from_secs(60)).rfc3339() }),
        "KeyPatch" => json!({ "active": false }),
        "LookAt" => json!({ "minutes": 5 }),
        "NewGroup" => json!({ "name": "x" }),
        "GroupRows" => sample("SendBatch"),
        "Validate" => sample("SendMessage"),
        "NewWebhook" => json!({ "url": "http://127.0.0.1:9/bongsu" }),
        "WebhookPatch" => json!({ "disabled": true }),
        "RotateWebhook" => json!({ "oldForS": 0 }),
        "ReplayWebhook" => json!({ "since": SystemClock.now().rfc3339() }),
        "TeamNumbersPut" => json!({ "numbers": ["01020000001"] }),
        _ => panic!("say in this test what a body of {schema} looks like"),
    }
}

/// Where a path has a second thing in it.
const NO_DELIVERY: &str = "dlv_0000000000001";

/// What the neighbour has, as far as an account can name it.
struct Neighbour {
    member: Member,
    message: String,
    batch: String,
    group: String,
    webhook: String,
    sender: String,
    key: String,
    spare_key: String,
}

impl Neighbour {
    async fn of(world: &World) -> Self {
        let member = world.member("neighbour").await;
        let body = message(&member, &recipient(1), "neighbour");
        let sent = world.call(&member.key, "POST", "/v1/messages", body).await.good(202);
        let batch = json!({ "messages": [message(&member, &recipient(2), "neighbour")] });
        let batch = world.call(&member.key, "POST", "/v1/messages/batch", batch).await.good(202);
        let batch = text(&batch["batchId"]);
        let sender = world.call(&member.key, "POST", "/v1/senders", json!({ "number": "02-555-1234" })).await.good(201);
        let key = world.call(&member.key, "POST", "/v1/keys", json!({ "scopes": ["read"] })).await.good(201);
        let group = world.call(&member.key, "POST", "/v1/groups", json!({ "name": "neighbour" })).await.good(201);
        let webhook = sample("NewWebhook");
        let webhook = world.call(&member.key, "POST", "/v1/webhooks", webhook).await.good(201);
        let id = |value: &Value| text(&value["id"]);
        let (group, webhook) = (id(&group), id(&webhook));
        Self {
            message: id(&sent),
            batch,
            group,
            webhook,
            sender: id(&sender),
            key: id(&key),
            spare_key: text(&key["key"]),
            member,
        }
    }

    /// The path of an operation with the neighbour's own thing in it.
    fn path(&self, path: &str) -> String {
        let path = &path.replace("{delivery}", NO_DELIVERY);
        let thing = match path.split('/').nth(2) {
            Some("messages" | "parked" | "traces") => &self.message,
            Some("batches") => &self.batch,
            Some("groups") => &self.group,
            Some("webhooks") => &self.webhook,
            Some("senders") => &self.sender,
            Some("keys") => &self.key,
            Some("accounts") => &self.member.account,
            Some("relays") => "kt",
            Some("distributions") => "sms",
            _ if !path.contains('{') => "",
            _ => panic!("say in this test what {path} names"),
        };
        match (path.find('{'), path.find('}')) {
            (Some(start), Some(end)) => format!("{}{thing}{}", &path[..start], &path[end + 1..]),
            _ => path.to_owned(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_refuses_a_missing_key_a_wrong_key_and_a_key_without_the_scope() {
    let world = world().await;
    let neighbour = Neighbour::of(&world).await;
    let mut lacking = Vec::new();
    for scope in SCOPES {
        let others: Vec<&str> = SCOPES.into_iter().filter(|other| *other != scope).collect();
        lacking.push((scope, key_with(&world, &world.main, &others).await));
    }
    lacking.push((FOREIGN_SCOPE, world.main.key.clone()));
    let unknown = unknown_key(&world).await;

    let mut refused = 0;
    for operation in operations(&world).await {
        let Operation { method, path, body, .. } = &operation;
        let path = neighbour.path(path);
        if operation.is_public {
            let reply = world.call("", method, &path, body.clone()).await;
            assert!(reply.status == 200, "{method} {path} is open: {}", reply.text);
            continue;
        }
        for key in ["", "x", unknown.as_str(), &world.main.key[..world.main.key.len() - 1]] {
            let reply = world.call(key, method, &path, body.clone()).await;
            assert_eq!(reply.refusal(), (401, "UM1002"), "{method} {path}");
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        }
        if let Some(scope) = &operation.scope {
            let (_, key) = lacking.iter().find(|(lacks, _)| lacks == scope).expect("a key for each scope");
            let reply = world.call(key, method, &path, body.clone()).await;
            assert_eq!(reply.refusal(), (403, "UM1003"), "{method} {path} without {scope}");
        }
        if operation.account_only {
            let reply = world.operator(method, &path, body.clone()).await;
            assert_eq!(reply.refusal(), (403, "UM1003"), "{method} {path} as an operator");
        }
        refused += 1;
    }
    assert!(refused >= 30, "{refused} operations");
    unharmed(&world, &neighbour).await;
}

/// A key that was good once, so that everything about it is right but that nobody has it.
async fn unknown_key(world: &World) -> String {
    let key = world.call(&world.main.key, "POST", "/v1/keys", json!({ "scopes": ["read"] })).await.good(201);
    let path = format!("/v1/keys/{}", text(&key["id"]));
    world.call(&world.main.key, "DELETE", &path, Value::Null).await.good(204);
    text(&key["key"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_hides_what_is_a_neighbours() {
    let world = world().await;
    let neighbour = Neighbour::of(&world).await;
    let mut tried = 0;
    for operation in operations(&world).await {
        let Operation { method, path, body, .. } = &operation;
        if operation.is_public || operation.scope.as_deref() == Some(FOREIGN_SCOPE) {
            continue;
        }
        let theirs = neighbour.path(path);
        if path.contains("{id}") {
            let reply = world.call(&world.main.key, method, &theirs, body.clone()).await;
            assert_eq!(reply.refusal(), (404, "UM1011"), "{method} {theirs}");
            let prefix = theirs.split('/').nth(3).and_then(|id| id.split('_').next()).expect("an id has a prefix");
            let nothing = path.replace("{id}", &format!("{prefix}_0000000000001")).replace("{delivery}", NO_DELIVERY);
            let nothing = world.call(&world.main.key, method, &nothing, body.clone()).await;
            assert_eq!(nothing.refusal(), (404, "UM1011"), "{method} {path}: like what is not there");
            assert_eq!(nothing.body["detail"], reply.body["detail"], "{method} {path}: nothing tells them apart");
            tried += 1;
        }
        if operation.takes_account {
            let query = format!("{theirs}?account={}&outcome=unknown", neighbour.member.account);
            let query = if path == "/v1/attempts" { query } else { query.replace("&outcome=unknown", "") };
            let reply = world.call(&world.main.key, method, &query, body.clone()).await;
            assert_eq!(reply.refusal(), (404, "UM1011"), "{method} {query}");
            tried += 1;
        }
    }
    assert!(tried >= 15, "{tried} ways to name a neighbour's");
    let body = json!({ "scopes": ["read"], "account": neighbour.member.account });
    assert_eq!(world.call(&world.main.key, "POST", "/v1/keys", body).await.refusal(), (404, "UM1011"));
    for list in ["/v1/messages", "/v1/senders", "/v1/keys", "/v1/wallet/entries", "/v1/attempts?outcome=unknown"] {
        let page = world.get(list).await;
        for row in page["items"].as_array().expect("rows") {
            assert_eq!(row["account"], world.main.account.as_str(), "{list}");
        }
    }
    unharmed(&world, &neighbour).await;
}

/// Nothing that was tried did anything.
async fn unharmed(world: &World, neighbour: &Neighbour) {
    let member = &neighbour.member;
    let account = world.operator("GET", &format!("/v1/accounts/{}", member.account), Value::Null).await.good(200);
    assert_eq!((&account["name"], &account["suspended"]), (&json!("neighbour"), &json!(false)));
    let sender = format!("/v1/senders/{}", neighbour.sender);
    let sender = world.call(&member.key, "GET", &sender, Value::Null).await.good(200);
    assert_eq!(sender["state"], "pending");
    world.call(&neighbour.spare_key, "GET", "/v1/wallet", Value::Null).await.good(200);
    let shares = world.call(&member.key, "GET", "/v1/distributions/sms", Value::Null).await.good(200);
    assert_eq!(shares["shares"], json!({ "kt": 70, "skt": 20, "lgu": 10 }));
    let sent = world.wait_final(std::slice::from_ref(&neighbour.message)).await;
    assert_eq!(sent[0]["status"], "delivered");
    let batch = format!("/v1/messages?batchId={}", neighbour.batch);
    let sent = world.call(&member.key, "GET", &batch, Value::Null).await.good(200);
    assert_eq!(sent["items"][0]["sendAt"], Value::Null);
    let counts = world.audit().await;
    assert_eq!((counts.accepted, counts.finals), (2, 2));
}
