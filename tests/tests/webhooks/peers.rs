//! Libraries of others accept every call: `standardwebhooks` of npm and of PyPI.

use std::path::PathBuf;
use std::process::Stdio;

use bongsu_testkit::{Receiver, World, recipient, until};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Where the programs of the others are installed; none on a machine without them, which CI must not be.
fn installed() -> Option<PathBuf> {
    let directory = std::env::var_os("BONGSU_PEERS").map(PathBuf::from);
    if directory.is_none() {
        assert!(std::env::var_os("CI").is_none(), "BONGSU_PEERS is not set; `cargo xtask test` installs the peers");
        eprintln!("SKIPPED: BONGSU_PEERS is not set, no peer is tried; `cargo xtask test` installs them");
    }
    directory
}

/// Gives calls to a verifier, one a line, and reads its verdict: how many it believed.
async fn believed(peers: &std::path::Path, script: &str, secret: &str, calls: &[Value]) -> usize {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers").join(script);
    let mut command =
        if script.ends_with(".py") { Command::new(peers.join("venv/bin/python")) } else { Command::new("node") };
    let mut child = command
        .arg(path)
        .env("NODE_PATH", peers.join("node_modules"))
        .env("WEBHOOK_SECRET", secret)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{script}: {error}"));
    let lines: String = calls.iter().map(|call| format!("{call}\n")).collect();
    let mut input = child.stdin.take().expect("piped");
    input.write_all(lines.as_bytes()).await.expect("it reads");
    drop(input);
    let output = child.wait_with_output().await.expect("it ends");
    assert!(output.status.success(), "{script} failed");
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or_else(|_| panic!("{script}: {output:?}"))
}

async fn every_call_is_believed(script: &str) {
    let Some(peers) = installed() else { return };
    let world = World::builder().set("webhooks.allow_loopback", "true").start().await;
    let receiver = Receiver::start(std::sync::Arc::new(bongsu_server::clock::SystemClock)).await;
    let key = &world.main.key;
    let body = json!({ "url": receiver.url() });
    let webhook = world.call(key, "POST", "/v1/webhooks", body).await.good(201);
    let rotate = format!("/v1/webhooks/{}/rotate", webhook["id"].as_str().expect("an id"));
    let rows =
        |from: usize| (from..from + 5).map(|n| json!({ "to": recipient(n), "text": format!("봉수 {n}") })).collect();
    world.batch(json!({}), rows(0)).await;
    until("all of the first batch is told", || async { (receiver.calls().len() >= 15).then_some(()) }).await;
    let new = world.call(key, "POST", &rotate, json!({})).await.good(200);
    world.batch(json!({}), rows(10)).await;
    until("all is told", || async { (receiver.calls().len() >= 30).then_some(()) }).await;
    let line = |call: &bongsu_testkit::Call| {
        json!({
            "headers": {
                "webhook-id": call.id(),
                "webhook-timestamp": call.header("webhook-timestamp"),
                "webhook-signature": call.header("webhook-signature"),
            },
            "body": String::from_utf8_lossy(&call.body),
        })
    };
    let calls: Vec<Value> = receiver.calls().iter().map(line).collect();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    assert_eq!(believed(&peers, script, &text(&webhook["secret"]), &calls).await, calls.len());
    let after = calls.iter().filter(|call| text(&call["headers"]["webhook-signature"]).contains(' ')).count();
    assert!(after >= 10, "{after}");
    assert_eq!(believed(&peers, script, &text(&new["secret"]), &calls).await, after, "the new secret signs since");
    let forged: Vec<Value> = calls
        .iter()
        .map(|call| json!({ "headers": call["headers"], "body": format!("{} ", text(&call["body"])) }))
        .collect();
    assert_eq!(believed(&peers, script, &text(&webhook["secret"]), &forged).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verifier_from_npm_believes_every_call() {
    every_call_is_believed("webhook_verifier.js").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verifier_from_pypi_believes_every_call() {
    every_call_is_believed("webhook_verifier.py").await;
}
