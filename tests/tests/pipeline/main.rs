//! The way of a message through the whole application, told in scenarios: HTTP in, SMPP out, receipts back.
//!
//! Every scenario has a world of its own and ends with the audit: callers, books and simulators must agree.

mod failover;
mod hostile;
mod lanes;
mod long;
mod parked;
mod peers;
mod rate;
mod receipts;
mod responses;
mod shares;
mod smsc;
mod stops;
mod tls;
mod unknown;
mod waiting;

use bongsu_testkit::recipient;
use serde_json::{Value, json};

/// `count` short messages to different numbers from the `first`-th on; the ordinal in the text makes each one its own.
fn messages(first: usize, count: usize) -> Vec<Value> {
    (first..first + count).map(|n| json!({ "to": recipient(n), "text": format!("봉수 {n}") })).collect()
}

/// The relays of a message's attempts, in order.
fn path(message: &Value) -> Vec<&str> {
    message["attempts"].as_array().into_iter().flatten().filter_map(|attempt| attempt["relay"].as_str()).collect()
}

/// How many messages were first booked on each relay.
fn first_attempts(messages: &[Value]) -> std::collections::BTreeMap<&str, usize> {
    let mut counts = std::collections::BTreeMap::new();
    for message in messages {
        *counts.entry(path(message)[0]).or_default() += 1;
    }
    counts
}

/// How many messages have each status.
fn statuses(messages: &[Value]) -> std::collections::BTreeMap<&str, usize> {
    let mut counts = std::collections::BTreeMap::new();
    for message in messages {
        *counts.entry(message["status"].as_str().expect("a status")).or_default() += 1;
    }
    counts
}
