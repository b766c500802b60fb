//! Sets a server up through its HTTP API, as an operator would by hand.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::http::Api;

/// How the relays are asked to be used.
#[derive(Debug, Clone, Copy)]
pub struct Relay {
    /// Parts a second.
    pub rate_per_s: u32,
    /// Unanswered parts a bind.
    pub window: u32,
    /// Connections.
    pub binds: u32,
}

/// What a server needs before it can send.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Relay name and SMPP address.
    pub relays: Vec<(String, String)>,
    /// Settings of every relay.
    pub relay: Relay,
    /// Share of each relay in percent.
    pub shares: Vec<(String, u32)>,
    /// Names of the accounts.
    pub accounts: Vec<String>,
    /// Points of each account.
    pub points: i64,
    /// Requests a second of each account; what the server gives when there is none.
    pub requests_per_s: Option<u32>,
}

impl Setup {
    /// Relays with the shares 70, 20, 10 and one account.
    pub fn usual(relays: &[(String, String)], relay: Relay, account: &str) -> Self {
        let shares = relays.iter().map(|(name, _)| name.clone()).zip([70, 20, 10]).collect();
        Self {
            relays: relays.to_vec(),
            relay,
            shares,
            accounts: vec![account.to_owned()],
            points: 2_000_000_000,
            requests_per_s: None,
        }
    }

    /// The shares as a JSON object.
    pub fn ratio(&self) -> Value {
        self.shares.iter().map(|(name, share)| (name.clone(), json!(share))).collect::<serde_json::Map<_, _>>().into()
    }
}

/// An account that can send.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its id.
    pub account: String,
    /// Id of its API key.
    pub key_id: String,
    /// Its API key.
    pub key: String,
    /// Its sender number.
    pub from: String,
}

/// Creates what is missing: relays, accounts with points, a verified sender number, a key and a distribution each.
/// Relays that are there get their new address. `operator` speaks with the operator's key.
pub async fn set_up(operator: &Api, setup: &Setup) -> Result<Vec<Member>> {
    relays(operator, setup).await?;
    let mut members = Vec::new();
    for (number, name) in setup.accounts.iter().enumerate() {
        members.push(member(operator, setup, name, number).await.with_context(|| format!("account {name}"))?);
    }
    Ok(members)
}

/// Creates the relays, or gives those of the same name their new address and settings.
pub async fn relays(operator: &Api, setup: &Setup) -> Result<()> {
    let there = operator.ask("GET", "/v1/relays", None).await?;
    for (name, address) in &setup.relays {
        let mut body = json!({
            "address": address,
            "systemId": "bongsu",
            "password": "secret",
            "ratePerS": setup.relay.rate_per_s,
            "window": setup.relay.window,
            "binds": setup.relay.binds,
            "resendUnknown": true,
        });
        match find(&there, "name", name) {
            Some(_) => drop(operator.ask("PATCH", &format!("/v1/relays/{name}"), Some(&body)).await?),
            None => {
                body["name"] = json!(name);
                body["kind"] = json!("smpp");
                operator.ask("POST", "/v1/relays", Some(&body)).await?;
            }
        }
    }
    Ok(())
}

async fn member(operator: &Api, setup: &Setup, name: &str, number: usize) -> Result<Member> {
    let accounts = operator.ask("GET", "/v1/accounts", None).await?;
    let account = match find(&accounts, "name", name) {
        Some(account) => id(account)?,
        None => id(&operator.ask("POST", "/v1/accounts", Some(&json!({ "name": name }))).await?)?,
    };
    if let Some(rate) = setup.requests_per_s {
        let limit = json!({ "ratePerS": rate });
        operator.ask("PATCH", &format!("/v1/accounts/{account}"), Some(&limit)).await?;
    }
    let credit = json!({ "account": account, "unit": "point:sms", "amount": setup.points, "cause": "set-up" });
    let (status, answer) = operator.call("POST", "/v1/wallet/credits", Some(&credit)).await?;
    ensure!((200..300).contains(&status) || status == 409, "credit answered {status}: {answer}");

    let scopes = json!({ "account": account, "kind": "live", "scopes": ["send", "read", "numbers", "manage"] });
    let made = operator.ask("POST", "/v1/keys", Some(&scopes)).await?;
    let key_id = id(&made)?;
    let key = made["key"].as_str().context("the answer holds no key")?.to_owned();
    let own = Api { address: operator.address.clone(), key: key.clone() };

    for channel in ["sms", "lms"] {
        let path = format!("/v1/distributions/{channel}");
        own.ask("PUT", &path, Some(&json!({ "shares": setup.ratio() }))).await?;
    }
    let from = format!("02123456{:02}", 78 + number);
    sender(operator, &own, &from).await?;
    Ok(Member { account, key_id, key, from })
}

/// Registers a number and lets the operator approve it.
async fn sender(operator: &Api, own: &Api, number: &str) -> Result<()> {
    let (status, answer) = own.call("POST", "/v1/senders", Some(&json!({ "number": number }))).await?;
    let sender = if (200..300).contains(&status) {
        id(&answer)?
    } else {
        // It is there from an earlier run, or its code could not be sent; the operator's word is enough for both.
        let there = own.ask("GET", "/v1/senders", None).await?;
        let found = find(&there, "number", number).or_else(|| items(&there).first());
        id(found.with_context(|| format!("POST /v1/senders answered {status}: {answer}"))?)?
    };
    let (status, answer) = operator.call("POST", &format!("/v1/senders/{sender}/approve"), None).await?;
    ensure!((200..300).contains(&status) || status == 409, "approve answered {status}: {answer}");
    Ok(())
}

/// The rows of a list, with or without an envelope.
fn items(list: &Value) -> &[Value] {
    list.get("items").unwrap_or(list).as_array().map_or(&[], Vec::as_slice)
}

fn find<'a>(list: &'a Value, field: &str, value: &str) -> Option<&'a Value> {
    items(list).iter().find(|item| item[field] == value)
}

fn id(item: &Value) -> Result<String> {
    Ok(item["id"].as_str().with_context(|| format!("no id in {item}"))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_in_lists() {
        let list = json!({"items": [{"id": "rly_1", "name": "kt"}, {"id": "rly_2", "name": "skt"}]});
        assert_eq!(find(&list, "name", "skt").map(|r| id(r).expect("an id")), Some("rly_2".to_owned()));
        assert!(find(&json!([]), "name", "kt").is_none());
    }

    #[test]
    fn the_usual_shares() {
        let relays = ["kt", "skt", "lgu"].map(|n| (n.to_owned(), String::new()));
        let setup = Setup::usual(&relays, Relay { rate_per_s: 1, window: 1, binds: 1 }, "demo");
        assert_eq!(setup.ratio(), json!({"kt": 70, "skt": 20, "lgu": 10}));
    }
}
