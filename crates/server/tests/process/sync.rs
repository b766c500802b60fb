//! A disk that cannot sync: the process stops with a sentence rather than promise what it cannot keep.

use std::process::Command;

use bongsu_testkit::recipient;
use serde_json::json;

use super::{Server, audit, simulator, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_sync_stops_the_process_and_the_next_start_is_clean() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let library = directory.path().join("sync_fault.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/process/sync_fault.c");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status();
    assert!(compiled.expect("a C compiler").success());
    let fault = directory.path().join("the disk is broken");
    let path = |path: &std::path::Path| path.to_str().expect("a name in UTF-8").to_owned();
    let sim = simulator();
    let mut server = Server::start(&data, &[("LD_PRELOAD", &path(&library)), ("SYNC_FAULT", &path(&fault))]);
    server.relay(&sim).await;
    let member = server.member(1_000).await;
    let mut acked = Vec::new();
    for n in 0..20 {
        let body = member.message(&recipient(n), &format!("전 {n}"));
        let reply = server.call(&member.key, "POST", "/v1/messages", body).await.good(202);
        acked.push(text(&reply["id"]));
    }

    std::fs::write(&fault, "").expect("a writable directory");
    for n in 0..5 {
        let body = member.message(&recipient(n), &format!("중 {n}"));
        // The process may be gone already; what it must not do is say yes.
        if let Ok(reply) = server.http.call(&member.key, "POST", "/v1/messages", &body).await {
            assert_eq!(reply.refusal(), (503, "UM8004"), "{}", reply.text);
        }
    }
    let (code, stderr) = server.ended();
    assert_eq!(code, Some(1), "{stderr}");
    let last = stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("bongsu: the storage failed (") && last.contains("start again"), "{stderr}");

    let refused = Server::try_start(&data, &[("LD_PRELOAD", &path(&library)), ("SYNC_FAULT", &path(&fault))]);
    let (code, stderr) = refused.err().expect("a disk that is still broken does not start");
    assert_eq!(code, Some(1), "{stderr}");
    std::fs::remove_file(&fault).expect("it is there");

    // What left without its answer being written is unknown; here nobody waits a minute for its receipt.
    let server = Server::start(&data, &[("BONGSU__SEND__UNKNOWN_WAIT_MS", "1000")]);
    let reply = server.call(&member.key, "POST", "/v1/messages", member.message(&recipient(30), "후")).await;
    acked.push(text(&reply.good(202)["id"]));
    let counts = audit(&server, &acked, &sim, directory.path()).await;
    assert_eq!(counts["acked"], 21);
    // What was refused with 503 may be there or not, like everything without an answer; what was acknowledged is.
    assert!((21..=26).contains(&counts["accepted"].as_u64().expect("a number")), "{counts}");
    let ready = server.call("", "GET", "/health/ready", json!(null)).await;
    assert_eq!(ready.status, 200);
    sim.shutdown().await;
}
