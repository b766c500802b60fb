//! The request of each `bongsu admin` command.

use hyper::Method;
use serde_json::{Map, Value, json};

use super::{Account, Distribution, Key, Noun, Of, Price, Relay, Sender, Tuning, Wallet};
use crate::client::escape;
use crate::environment::Environment;

/// One request: method, path, body.
pub(super) type Request = (Method, String, Option<Value>);

/// What to send for a command.
pub(super) fn of(noun: &Noun, environment: &Environment) -> Request {
    match noun {
        Noun::Account(account) => of_account(account),
        Noun::Key(key) => of_key(key),
        Noun::Sender(sender) => of_sender(sender),
        Noun::Relay(relay) => of_relay(relay, environment),
        Noun::Distribution(distribution) => of_distribution(distribution),
        Noun::Price(Price::List) => get("/v1/prices", None),
        Noun::Price(Price::Set { channel, unit, amount }) => {
            (Method::PUT, "/v1/prices".to_owned(), Some(json!({ "channel": channel, "unit": unit, "amount": amount })))
        }
        Noun::Wallet(Wallet::Show(of)) => get("/v1/wallet", Some(of)),
        Noun::Wallet(Wallet::Entries(of)) => get("/v1/wallet/entries", Some(of)),
        Noun::Wallet(Wallet::Credit { account, amount, unit, cause }) => {
            post("/v1/wallet/credits", json!({ "account": account, "unit": unit, "amount": amount, "cause": cause }))
        }
    }
}

fn of_account(account: &Account) -> Request {
    match account {
        Account::Create { name } => post("/v1/accounts", json!({ "name": name })),
        Account::List => get("/v1/accounts", None),
        Account::Update { id, name, suspended, rate } => {
            let body = [
                ("name", name.as_ref().map(|name| json!(name))),
                ("suspended", suspended.map(|suspended| json!(suspended))),
                ("ratePerS", rate.map(|rate| json!(rate))),
            ];
            (Method::PATCH, format!("/v1/accounts/{}", escape(id)), Some(object(body)))
        }
    }
}

fn of_distribution(distribution: &Distribution) -> Request {
    let place = |channel: &str, of: &Of| with_account(&format!("/v1/distributions/{}", escape(channel)), of);
    match distribution {
        Distribution::Set { channel, shares, of } => {
            let shares: Map<String, Value> =
                shares.iter().map(|(relay, share)| (relay.clone(), json!(share))).collect();
            (Method::PUT, place(channel, of), Some(json!({ "shares": shares })))
        }
        Distribution::Show { channel, of } => (Method::GET, place(channel, of), None),
        Distribution::Reset { channel, of } => (Method::DELETE, place(channel, of), None),
    }
}

fn of_key(key: &Key) -> Request {
    match key {
        Key::Create { of, scopes, kind } => {
            let body = [
                ("account", of.account.as_ref().map(|account| json!(account))),
                ("scopes", (!scopes.is_empty()).then(|| json!(scopes))),
                ("kind", kind.as_ref().map(|kind| json!(kind))),
            ];
            post("/v1/keys", object(body))
        }
        Key::List(of) => get("/v1/keys", Some(of)),
        Key::Revoke { id } => (Method::DELETE, format!("/v1/keys/{}", escape(id)), None),
    }
}

fn of_sender(sender: &Sender) -> Request {
    match sender {
        Sender::Add { number, of } => {
            (Method::POST, with_account("/v1/senders", of), Some(json!({ "number": number })))
        }
        Sender::Verify { id, code } => post(&format!("/v1/senders/{}/verify", escape(id)), json!({ "code": code })),
        Sender::Code { id } => (Method::POST, format!("/v1/senders/{}/code", escape(id)), None),
        Sender::Approve { id } => (Method::POST, format!("/v1/senders/{}/approve", escape(id)), None),
        Sender::List(of) => get("/v1/senders", Some(of)),
        Sender::Delete { id } => (Method::DELETE, format!("/v1/senders/{}", escape(id)), None),
    }
}

fn of_relay(relay: &Relay, environment: &Environment) -> Request {
    let fields = |address: Option<&String>, system_id: Option<&String>, tuning: &Tuning| {
        [
            ("address", address.map(|address| json!(address))),
            ("systemId", system_id.map(|system_id| json!(system_id))),
            ("password", environment.get("BONGSU_RELAY_PASSWORD").map(|password| json!(password))),
            ("ratePerS", tuning.rate.map(|rate| json!(rate))),
            ("window", tuning.window.map(|window| json!(window))),
            ("binds", tuning.binds.map(|binds| json!(binds))),
            ("resendUnknown", tuning.resend_unknown.map(|resend| json!(resend))),
        ]
    };
    match relay {
        Relay::Add { name, address, system_id, tuning } => {
            let mut body = object(fields(Some(address), Some(system_id), tuning));
            body["name"] = json!(name);
            body["kind"] = json!("smpp");
            post("/v1/relays", body)
        }
        Relay::List => get("/v1/relays", None),
        Relay::Update { name, address, system_id, tuning } => (
            Method::PATCH,
            format!("/v1/relays/{}", escape(name)),
            Some(object(fields(address.as_ref(), system_id.as_ref(), tuning))),
        ),
        Relay::Delete { name } => (Method::DELETE, format!("/v1/relays/{}", escape(name)), None),
    }
}

fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    Value::Object(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}

fn get(path: &str, of: Option<&Of>) -> Request {
    (Method::GET, of.map_or_else(|| path.to_owned(), |of| with_account(path, of)), None)
}

fn post(path: &str, body: Value) -> Request {
    (Method::POST, path.to_owned(), Some(body))
}

fn with_account(path: &str, of: &Of) -> String {
    match &of.account {
        Some(account) => format!("{path}?account={}", escape(account)),
        None => path.to_owned(),
    }
}
