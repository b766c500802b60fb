//! A disk that fills up: callers are told, nothing is half done, and all is well when there is room again.

use bongsu_testkit::recipient;
use serde_json::{Value, json};

use super::{Server, audit, simulator, text};

/// Pages of 4 KiB that each database file may have: enough to start, and for some thousand messages.
const PAGES: &str = "400";
const POINTS: i64 = 1_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_with_503_leaves_nothing_half_done_and_heals() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let sim = simulator();
    let server = Server::start(&data, &[("BONGSU__STORE__PAGES_MAX", PAGES)]);
    let member = server.member(POINTS).await;
    server.relay(&sim).await;
    let mut acked: Vec<String> = Vec::new();
    let refused = loop {
        let first = acked.len();
        assert!(first < 100_000, "the disk is never full");
        let row = |n| json!({ "to": recipient(n % 10_000), "text": format!("가득 찬 디스크 {n}") });
        let rows: Vec<Value> = (first..first + 500).map(row).collect();
        let batch = json!({ "defaults": { "from": member.from }, "messages": rows });
        let reply = server.call(&member.key, "POST", "/v1/messages/batch", batch).await;
        if reply.status != 202 {
            break reply;
        }
        acked.extend(reply.body["results"].as_array().expect("results").iter().map(|row| text(&row["id"])));
    };
    assert_eq!(refused.refusal(), (503, "UM8005"), "{}", refused.text);
    assert!(refused.header("retry-after").is_some(), "{:?}", refused.headers);
    assert_eq!(refused.body["retryable"], true);
    assert!(!acked.is_empty());

    // Smaller ones may still find room; each is either there and paid for, or neither.
    let mut singles = 0;
    loop {
        let body = member.message(&recipient(singles), &format!("하나 {singles} {}", "나".repeat(900)));
        let reply = server.call(&member.key, "POST", "/v1/messages", body).await;
        if reply.status != 202 {
            assert_eq!(reply.refusal(), (503, "UM8005"), "{}", reply.text);
            break;
        }
        singles += 1;
        acked.push(text(&reply.body["id"]));
        assert!(singles < 100_000, "the disk is never full");
    }
    let batches = acked.len() - singles;
    let spent = i64::try_from(batches + 3 * singles).expect("a small number");
    let wallet = server.call(&member.key, "GET", "/v1/wallet", Value::Null).await.good(200);
    assert_eq!(wallet["balances"]["point:sms"], POINTS - spent, "reads go on, and only what is there was paid for");
    let totals = server.operator("GET", "/v1/audit", Value::Null).await;
    assert_eq!(totals["accepted"], acked.len());
    for name in ["missing", "doubleFinal", "doubleCharge", "ledgerMismatch"] {
        assert_eq!(totals[name], 0, "{name}: {totals}");
    }
    let (code, stderr) = server.stop();
    assert_eq!(code, Some(0), "{stderr}");

    // What left without its answer being written is unknown; here nobody waits a minute for its receipt.
    let server = Server::start(&data, &[("BONGSU__SEND__UNKNOWN_WAIT_MS", "1000")]);
    let reply = server.call(&member.key, "POST", "/v1/messages", member.message(&recipient(1), "다시")).await;
    acked.push(text(&reply.good(202)["id"]));
    let counts = audit(&server, &acked, &sim, directory.path()).await;
    assert_eq!((&counts["acked"], &counts["accepted"]), (&json!(acked.len()), &json!(acked.len())));
    assert_eq!(counts["final"], acked.len());
    sim.shutdown().await;
}
