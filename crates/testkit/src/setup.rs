//! What a server needs before it can send, set up through its HTTP API as an operator would.

use serde_json::{Value, json};

use crate::http::{Http, Reply};

/// An account that can send.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its id.
    pub account: String,
    /// Its API key, with every scope of an account.
    pub key: String,
    /// Its approved sender number.
    pub from: String,
}

/// Calls as the operator and insists on a good answer.
pub(crate) async fn ask(http: &Http, key: &str, method: &str, path: &str, body: Value) -> Value {
    let reply: Reply = http.call(key, method, path, &body).await.expect("the server answers");
    assert!((200..300).contains(&reply.status), "{method} {path} answered {}: {}", reply.status, reply.text);
    reply.body
}

/// Registers a relay.
pub(crate) async fn relay(http: &Http, operator: &str, body: Value) {
    ask(http, operator, "POST", "/v1/relays", body).await;
}

/// An account with points, a key, the shares for both channels, and a sender number.
pub(crate) async fn member(http: &Http, operator: &str, name: &str, from: &str, points: i64, shares: &Value) -> Member {
    let account = ask(http, operator, "POST", "/v1/accounts", json!({ "name": name })).await;
    let account = text(&account["id"]);
    if points > 0 {
        let credit = json!({ "account": account, "unit": "point:sms", "amount": points, "cause": "set-up" });
        ask(http, operator, "POST", "/v1/wallet/credits", credit).await;
    }
    let scopes = json!(["send", "read", "numbers", "manage"]);
    let key =
        ask(http, operator, "POST", "/v1/keys", json!({ "account": account, "kind": "live", "scopes": scopes })).await;
    let key = text(&key["key"]);
    if !shares.is_null() {
        for channel in ["sms", "lms"] {
            ask(http, &key, "PUT", &format!("/v1/distributions/{channel}"), json!({ "shares": shares })).await;
        }
    }
    let sender = ask(http, &key, "POST", "/v1/senders", json!({ "number": from })).await;
    let approve = format!("/v1/senders/{}/approve", text(&sender["id"]));
    ask(http, operator, "POST", &approve, Value::Null).await;
    Member { account, key, from: from.to_owned() }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text instead of {value}")).to_owned()
}
