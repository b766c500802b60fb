//! `bongsu trace`: everything that happened to a message, in order.

use std::fmt::Write;

use clap::Args;
use serde_json::Value;

use super::{Json, Target};
use crate::environment::Environment;
use crate::failure::{Answer, Failure};

/// `bongsu trace …`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// A message (msg_…), a batch (bat_…), a group (grp_…), or the X-Request-Id of a call.
    #[arg(value_name = "ID")]
    id: String,
    /// Look for a request id of your own from this time on (RFC 3339); the last day otherwise.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// And before this one.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    pub(super) json: Json,
}

/// Asks the server.
pub(super) async fn run(flags: &Flags, environment: &Environment) -> Result<Answer, Failure> {
    let client = flags.target.client(environment)?;
    let times = [("since", &flags.since), ("until", &flags.until)];
    let times = times.iter().filter_map(|(name, time)| Some(format!("{name}={}", escaped(time.as_deref()?))));
    let query: Vec<String> = times.collect();
    let path = format!("/v1/traces/{}?{}", escaped(&flags.id), query.join("&"));
    let found = client.get(path.trim_end_matches('?')).await?;
    let text = shown(&found);
    Ok(Answer::new(found, text.trim_end()))
}

/// As a part of an address (RFC 3986, 2.3).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            // Writing to a string cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

fn shown(found: &Value) -> String {
    let mut out = String::new();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    for request in found["requests"].as_array().into_iter().flatten() {
        let _ = writeln!(
            out,
            "{} {}  request {}  key {}  accepted {} of {}",
            text(&request["kind"]),
            text(&request["id"]),
            text(&request["requestId"]),
            text(&request["key"]),
            request["accepted"],
            request["rows"]
        );
        for message in request["messages"].as_array().into_iter().flatten() {
            let _ = writeln!(out, "  {}", text(message));
        }
    }
    let message = &found["message"];
    if !message.is_null() {
        let _ = writeln!(out, "{}  {}", text(&message["message"]["id"]), text(&message["message"]["status"]));
    }
    for step in message["steps"].as_array().into_iter().flatten() {
        let attempt = step["attempt"].as_u64().map_or(String::new(), |n| format!(" {n}"));
        let detail = step["detail"].as_object().into_iter().flatten();
        let detail: Vec<String> = detail.map(|(name, value)| format!("{name}={}", text(value))).collect();
        let name = format!("{}{attempt}", text(&step["step"]));
        let _ = writeln!(out, "  {:<29}  {name:<10}  {}", text(&step["at"]), detail.join("  "));
    }
    if let Some(next) = found["nextUntil"].as_str() {
        let _ = writeln!(out, "there may be more before {next}: --until {next}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn steps_are_lines_in_order() {
        let found = json!({
            "requests": [{"id": "bat_1", "kind": "batch", "requestId": "r", "key": null, "accepted": 2, "rows": 3, "messages": ["msg_1"]}],
            "message": {
                "message": {"id": "msg_1", "status": "delivered"},
                "steps": [{"at": "2026-11-20T09:00:00.123+09:00", "step": "claim", "attempt": 1, "detail": {"relay": "kt"}}],
            },
            "nextUntil": null,
        });
        let text = shown(&found);
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.contains("claim 1") && text.contains("relay=kt"), "{text}");
        assert_eq!(escaped("a b/+한"), "a%20b%2F%2B%ED%95%9C");
    }
}
