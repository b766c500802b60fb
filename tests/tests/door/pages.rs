//! Pages for machines: metrics, health and the OpenAPI document.

use std::sync::mpsc;

use bongsu_testkit::{World, recipient, until};
use serde_json::{Value, json};

/// Names of the interface that the send pipeline and its door answer.
const METRICS: [&str; 12] = [
    "bongsu_accepted_total{channel=\"sms\",lane=\"realtime\"}",
    "bongsu_final_total{channel=\"sms\",lane=\"realtime\",relay=\"kt\",status=\"delivered\"}",
    "bongsu_oldest_queued_seconds{lane=\"auth\"}",
    "bongsu_oldest_queued_seconds{lane=\"ad\"}",
    "bongsu_unknown_attempts",
    "bongsu_sweeper_found_total",
    "bongsu_commit_seconds_count",
    "bongsu_commit_rows",
    "bongsu_wal_bytes",
    "bongsu_relay_window_used{relay=\"kt\"}",
    "bongsu_relay_up{relay=\"kt\"}",
    "bongsu_sockets{protocol=\"http\"}",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_page_has_every_name_of_the_interface_and_nobodys_data() {
    let world = World::builder().relays(&["kt"]).shares(json!({ "kt": 100 })).start().await;
    let ids = vec![world.send(&recipient(1), "하나").await, world.send(&recipient(2), "둘").await];
    world.wait_final(&ids).await;
    // A result is counted after it can be seen.
    let counted = format!("{} 2", METRICS[1]);
    let page = until("both results are counted", || async {
        let page = world.call("", "GET", "/metrics", Value::Null).await;
        page.text.lines().any(|line| line == counted).then_some(page)
    })
    .await;
    assert_eq!(page.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let value = |name: &str| -> f64 {
        let line = page.text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        let line = line.unwrap_or_else(|| panic!("no {name} in\n{}", page.text));
        line.rsplit(' ').next().and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no number in {line}"))
    };
    for name in METRICS {
        let base = name.split('{').next().unwrap_or(name);
        let base = base.strip_suffix("_count").unwrap_or(base);
        assert!(page.text.contains(&format!("# TYPE {base} ")), "{base} has no type");
        value(name);
    }
    for (name, expected) in [(METRICS[0], 2.0), (METRICS[10], 1.0), (METRICS[4], 0.0)] {
        assert_eq!(value(name), expected, "{name}");
    }
    assert!(value("bongsu_commit_seconds_count") > 0.0 && value(METRICS[11]) > 0.0);
    for secret in [&recipient(1), &world.main.key, &world.main.account] {
        assert!(!page.text.contains(secret.as_str()), "{secret} on the metrics page");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_cannot_work_is_alive_but_not_ready() {
    let world = World::builder().start_unlinked().await;
    let ask = |path: &'static str| world.call("", "GET", path, Value::Null);
    assert_eq!(ask("/health/live").await.good(200), json!({ "status": "live" }));
    let ready = ask("/health/ready").await.good(200);
    assert_eq!(ready["status"], "ready", "relays that are down are no reason to stop accepting: {ready}");

    // Every reading thread of the store is stuck, as on a disk that does not answer.
    let mut releases = Vec::new();
    let mut stuck = Vec::new();
    for _ in 0..8 {
        let (release, released) = mpsc::channel::<()>();
        releases.push(release);
        let store = world.store().clone();
        stuck.push(tokio::spawn(async move {
            store
                .read(move |_| {
                    // Ends when the test lets go of its end.
                    let _ = released.recv();
                    Ok(())
                })
                .await
        }));
    }
    let not_ready = until("the process says that it is not ready", || async {
        let reply = ask("/health/ready").await;
        (reply.status == 503).then_some(reply)
    })
    .await;
    assert_eq!(not_ready.body["status"], "not ready");
    let checks = not_ready.body["checks"].as_array().expect("checks");
    let store = checks.iter().find(|check| check["name"] == "store").expect("the store is named");
    assert_eq!(store["ok"], false, "{not_ready:?}");
    assert_eq!(ask("/health/live").await.status, 200);
    drop(releases);
    for read in stuck {
        read.await.expect("no panic").expect("a read");
    }
    until("the process is ready again", || async { (ask("/health/ready").await.status == 200).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_served_document_is_the_committed_one() {
    let world = World::builder().start_unlinked().await;
    let served = world.call("", "GET", "/openapi.json", Value::Null).await.good(200);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    let committed = std::fs::read_to_string(file).expect("docs/openapi.json");
    let committed: Value = serde_json::from_str(&committed).expect("JSON");
    assert!(served == committed, "docs/openapi.json is not what the server answers; run `cargo xtask gen`");
    assert_eq!(served["openapi"], "3.1.0");
}
