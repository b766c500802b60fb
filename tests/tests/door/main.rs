//! The HTTP side, told in scenarios over loopback: what is accepted, what is refused and how, and who sees what.

mod batches;
mod equals;
mod idempotency;
mod keys;
mod limits;
mod lists;
mod malformed;
mod pages;
mod points;
mod readme;
mod senders;
mod test_numbers;
mod walk;
mod walls;

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bongsu_domain::{Clock, Timestamp};
use bongsu_server::clock::SystemClock;
use bongsu_testkit::{Member, Reply, World};
use serde_json::{Value, json};

/// A text message of a member, as its JSON body.
fn message(from: &Member, to: &str, text: &str) -> Value {
    json!({ "to": to, "from": from.from, "text": text })
}

/// Posts a body as it is, with further headers.
async fn post(world: &World, key: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Reply {
    let bearer = format!("Bearer {key}");
    let mut all = vec![("authorization", bearer.as_str()), ("content-type", "application/json")];
    all.retain(|(name, _)| !headers.iter().any(|(other, _)| other == name));
    all.extend_from_slice(headers);
    let reply = world.http.send("POST", path, &all, body.into()).await;
    reply.unwrap_or_else(|why| panic!("POST {path}: {why}"))
}

/// A key of a member with these scopes.
async fn key_with(world: &World, member: &Member, scopes: &[&str]) -> String {
    let key = world.call(&member.key, "POST", "/v1/keys", json!({ "scopes": scopes })).await.good(201);
    text(&key["key"])
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text instead of {value}")).to_owned()
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["id"].as_str().expect("rows have ids")).collect()
}

/// Every row of a list that a key sees, in pages of `limit`.
async fn all_pages(world: &World, key: &str, path: &str, limit: usize) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut cursor = String::new();
    let start = if path.contains('?') { '&' } else { '?' };
    loop {
        let mut page =
            world.call(key, "GET", &format!("{path}{start}limit={limit}{cursor}"), Value::Null).await.good(200);
        let Value::Array(items) = page["items"].take() else { panic!("no items in {page}") };
        assert!(items.len() <= limit, "{} rows in a page of {limit}", items.len());
        rows.extend(items);
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

/// The machine's clock, moved forward by the test: minutes pass without anybody waiting for them.
#[derive(Debug, Default)]
struct MovedClock(AtomicI64);

impl MovedClock {
    fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).expect("a short while"), Ordering::SeqCst);
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(Duration::from_micros(self.0.load(Ordering::SeqCst).unsigned_abs()))
    }
}
