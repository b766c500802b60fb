//! SMPP programs written by others exchange messages, long messages and receipts with ours.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use bongsu_testkit::{World, recipient, until};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Where the programs of the others are installed; none on a machine without them, which CI must not be.
fn installed() -> Option<PathBuf> {
    let directory = std::env::var_os("BONGSU_PEERS").map(PathBuf::from);
    if directory.is_none() {
        assert!(std::env::var_os("CI").is_none(), "BONGSU_PEERS is not set; `cargo xtask test` installs the peers");
        eprintln!("SKIPPED: BONGSU_PEERS is not set, no peer is tried; `cargo xtask test` installs them");
    }
    directory
}

fn program(peers: &std::path::Path, script: &str, arguments: &[u16]) -> Command {
    let script_path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers").join(script);
    let mut command =
        if script.ends_with(".py") { Command::new(peers.join("venv/bin/python")) } else { Command::new("node") };
    command.arg(script_path).args(arguments.iter().map(u16::to_string)).env("NODE_PATH", peers.join("node_modules"));
    command.kill_on_drop(true);
    command
}

async fn client_is_content(script: &str) {
    let Some(peers) = installed() else { return };
    let world = World::start().await;
    let control = world.sim.control_addr().expect("a control interface").port();
    let output = program(&peers, script, &[world.sim.addr("kt").port(), control]).output().await.expect("it starts");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_in_node_is_content_with_our_simulator() {
    client_is_content("node_client.js").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_in_python_is_content_with_our_simulator() {
    client_is_content("smpplib_client.py").await;
}

/// A message centre of somebody else, and what it said so far.
struct Centre {
    said: Arc<Mutex<Vec<Value>>>,
    _child: Child,
}

impl Centre {
    async fn start(peers: &std::path::Path, script: &str, port: u16) -> Self {
        let mut child = program(peers, script, &[port])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{script}: {error}"));
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let said: Arc<Mutex<Vec<Value>>> = Arc::default();
        let heard = said.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                heard.lock().expect("no panic").push(serde_json::from_str(&line).expect("a line of JSON"));
            }
        });
        let centre = Self { said, _child: child };
        until("the message centre listens", || async { (!centre.events("ready").is_empty()).then_some(()) }).await;
        centre
    }

    fn events(&self, kind: &str) -> Vec<Value> {
        self.said.lock().expect("no panic").iter().filter(|line| line["event"] == kind).cloned().collect()
    }
}

/// A port for a program that must be told one. It is none of those that the kernel gives to whoever asks for any, so
/// nobody takes it before the program listens.
fn own_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + (std::process::id() % 100) as u16 * 40;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

async fn server_is_served(script: &str, settings: Value) {
    let Some(peers) = installed() else { return };
    let port = own_port();
    let centre = Centre::start(&peers, script, port).await;
    let world = World::builder()
        .relays(&["kt"])
        .shares(json!({ "other": 100 }))
        .relay("other", json!({ "address": format!("127.0.0.1:{port}"), "binds": 1, "settings": settings }))
        .start()
        .await;
    let long: String = (0..60).map(|n| format!("{n:02} 봉수대에서. ")).collect();
    let wanted =
        [(recipient(1), "안녕하세요 봉수입니다".to_owned()), (recipient(2), "plain".to_owned()), (recipient(4), long)];
    let mut ids = Vec::new();
    for (to, text) in &wanted {
        ids.push(world.send(to, text).await);
    }
    for message in world.wait_final(&ids).await {
        assert_eq!(message["status"], "delivered", "{message:#}");
    }
    let unknown = world.send(&recipient(3), "nobody there").await;
    let unknown = &world.wait_final(&[unknown]).await[0];
    assert_eq!(unknown["status"], "undelivered", "{unknown:#}");
    let got = centre.events("message");
    for (to, text) in &wanted {
        let message = got.iter().find(|message| message["to"] == json!(to)).expect("it arrived");
        assert_eq!(message["text"], json!(text));
    }
    let parts: u64 = got.iter().filter_map(|message| message["parts"].as_u64()).sum();
    until("every receipt was confirmed", || async { (centre.events("receipt").len() as u64 >= parts).then_some(()) })
        .await;
    assert!(centre.events("receipt").iter().all(|receipt| receipt["status"] == 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_centre_in_node_gets_our_messages_in_parts() {
    server_is_served("node_server.js", json!({ "responseIdHex": true, "long": "udh" })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_centre_in_node_gets_our_messages_as_payload() {
    server_is_served("node_server.js", json!({ "responseIdHex": true, "long": "payload" })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_centre_in_python_gets_our_messages_in_parts() {
    server_is_served("smpp34_server.py", json!({ "long": "udh" })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_centre_in_python_gets_our_messages_as_payload() {
    server_is_served("smpp34_server.py", json!({ "long": "payload" })).await;
}
