//! The control interface, the log and TLS.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;

use bongsu_sim::{Script, Sim, SimConfig};
use bongsu_wire::smpp::BindKind;
use common::{Client, sim};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Status and body; HTTP/1.0, so that the body ends with the connection.
async fn call(addr: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("{method} {path} HTTP/1.0\r\nhost: sim\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

async fn call_json(addr: SocketAddr, method: &str, path: &str, body: &str) -> (u16, Value) {
    let (status, body) = call(addr, method, path, body).await;
    (status, serde_json::from_str(&body).unwrap())
}

#[tokio::test]
async fn counters_inbox_and_the_list_of_submits() {
    let sim = sim("{}");
    let control = sim.control_addr().unwrap();
    let mut client = Client::bound(sim.addr("kt")).await;
    for n in [1, 2, 2] {
        client.submit(u32::from(n) + 1, "821012345678", n, &format!("text {n}")).await;
        client.answer().await;
    }
    let (status, stats) = call_json(control, "GET", "/stats", "").await;
    assert_eq!(status, 200);
    let keys = ["submits", "parts", "receipts", "binds", "duplicates", "maxInAnySecond"];
    for key in keys.into_iter().chain(["mostInASecond", "overRate", "worstExcess", "bound", "mostBinds"]) {
        assert!(stats["kt"].get(key).is_some() && stats["skt"].get(key).is_some(), "{key}: {stats}");
    }
    assert_eq!(stats["kt"]["submits"], 3);
    let duplicate = &stats["kt"]["duplicates"][0];
    assert_eq!(
        (&duplicate["to"], &duplicate["reference"], &duplicate["count"]),
        (&json!("01012345678"), &json!(2), &json!(2))
    );
    let (status, inbox) = call_json(control, "GET", "/inbox?to=01012345678", "").await;
    assert_eq!((status, inbox.as_array().unwrap().len()), (200, 3));
    assert_eq!(
        (&inbox[0]["relay"], &inbox[0]["text"], &inbox[0]["messageId"]),
        (&json!("kt"), &json!("text 1"), &json!("1"))
    );
    let (status, seen) = call(control, "GET", "/seen", "").await;
    let lines: Vec<Value> = seen.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(status, 200);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1], json!({"to": "01012345678", "from": "0212345678", "reference": 2, "relay": "kt"}));
    sim.shutdown().await;
}

#[tokio::test]
async fn a_bad_script_is_refused_with_its_path_and_changes_nothing() {
    let sim = sim(r#"{"relays": {"kt": {"bindRefuse": 13}}}"#);
    let control = sim.control_addr().unwrap();
    for (script, path) in [
        (r#"{"relays": {"kt": {"codes": {"DELIVRD": 2}}}}"#, "relays.kt.codes.DELIVRD"),
        (r#"{"relays": {"ntt": {}}}"#, "relays.ntt"),
        ("{", "line 1 column 1"),
    ] {
        let (status, answer) = call_json(control, "PUT", "/script", script).await;
        assert_eq!(status, 400);
        assert_eq!(answer["problems"][0]["path"], path, "{answer}");
        assert!(answer["error"].as_str().unwrap().starts_with(path));
    }
    assert_eq!(Client::connect(sim.addr("kt")).await.bind(BindKind::Transceiver, "b", "").await, 13);
    assert_eq!(call(control, "PUT", "/script", r#"{"relays": {}}"#).await.0, 200);
    Client::bound(sim.addr("kt")).await;
    let strange = SimConfig {
        relays: vec![("kt".into(), ([127, 0, 0, 1], 0).into())],
        script: Script::parse(r#"{"relays": {"skt": {}}}"#).unwrap(),
        ..SimConfig::default()
    };
    assert_eq!(Sim::start(strange).err().unwrap().to_string(), "relays.skt: no such relay; there are kt");
    sim.shutdown().await;
}

#[tokio::test]
async fn relays_are_switched() {
    let sim = sim("{}");
    let control = sim.control_addr().unwrap();
    assert_eq!(call(control, "POST", "/relays/kt/stop", "").await.0, 200);
    assert!(TcpStream::connect(sim.addr("kt")).await.is_err());
    for _ in 0..2 {
        assert_eq!(call(control, "POST", "/relays/kt/start", "").await.0, 200);
    }
    let mut client = Client::bound(sim.addr("kt")).await;
    assert_eq!(call(control, "POST", "/relays/kt/silent", "").await.0, 200);
    client.submit(2, "01012345678", 1, "x").await;
    assert!(client.is_quiet(30).await);
    assert_eq!(call(control, "POST", "/relays/ntt/stop", "").await.0, 404);
    assert_eq!(call(control, "POST", "/relays/kt/explode", "").await.0, 404);
    assert_eq!(call(control, "GET", "/relays/kt/stop", "").await.0, 405);
    sim.shutdown().await;
}

#[tokio::test]
async fn the_log_has_a_line_for_each_submit_over_tls() {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(issued.signing_key.serialize_der().into());
    let server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(issued.cert.der().clone()).unwrap();
    let trusting = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("submits.ndjson");
    let sim = Sim::start(SimConfig {
        relays: vec![("kt".into(), ([127, 0, 0, 1], 0).into())],
        log: Some(log.clone()),
        tls: Some(Arc::new(server)),
        inbox: false,
        ..SimConfig::default()
    })
    .unwrap();
    let socket = TcpStream::connect(sim.addr("kt")).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(trusting)).connect(name, socket).await.unwrap();
    let mut client = Client::over(stream);
    assert_eq!(client.bind(BindKind::Transceiver, "bongsu", "").await, 0);
    for n in 1..=300 {
        client.submit(n + 1, "01012345678", n as u16, "a secret text").await;
    }
    for _ in 0..300 {
        client.receipt().await;
    }
    assert!(sim.inbox("01012345678").is_empty());
    sim.shutdown().await;
    let log = std::fs::read_to_string(log).unwrap();
    assert!(!log.contains("secret"));
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 300);
    assert_eq!((&lines[299]["messageId"], &lines[299]["status"]), (&json!("300"), &json!(0)));
}
