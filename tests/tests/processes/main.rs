//! Several processes over one database, told in scenarios: each does its part, they follow one another's settings, and one
//! that ends leaves nothing behind.
#![cfg(feature = "full")]

mod limits;
mod roles;
mod settings;
mod webhooks;

use std::collections::BTreeSet;

use bongsu_testkit::{Http, Process, Reply, until};
use serde_json::Value;

/// Calls a process, which must answer.
async fn call(http: &Http, key: &str, method: &str, path: &str, body: Value) -> Reply {
    http.call(key, method, path, &body).await.unwrap_or_else(|why| panic!("{method} {path}: {why}"))
}

/// The checks of a process's readiness, by name: whether each is well.
async fn checks(http: &Http) -> (u16, Vec<(String, bool)>) {
    let ready = call(http, "", "GET", "/health/ready", Value::Null).await;
    let checks = ready.body["checks"].as_array().cloned().unwrap_or_default();
    let shown = |check: &Value| (check["name"].as_str().unwrap_or_default().to_owned(), check["ok"] == true);
    (ready.status, checks.iter().map(shown).collect())
}

/// Waits until so many relays have a link in one of these processes.
async fn manned(processes: &[&Process], relays: usize) {
    until("every relay is linked somewhere", || async {
        let links = processes.iter().flat_map(|process| process.service().links());
        let up: BTreeSet<String> = links.filter(|(_, health)| health.up).map(|(name, _)| name).collect();
        (up.len() == relays).then_some(())
    })
    .await;
}
