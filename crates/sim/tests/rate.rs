//! The rate at which submits arrive, as the relay counts it over all its sessions.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use bongsu_wire::smpp::{BindKind, status};
use common::{Client, sim, submit};

/// Sends that many submits at once and waits for all answers.
async fn burst(client: &mut Client, count: u32) -> Vec<u32> {
    let bytes: Vec<u8> = (0..count).flat_map(|n| submit(n + 2, "01012345678", n as u16, "x")).collect();
    client.send(&bytes).await;
    let mut answers = Vec::new();
    for _ in 0..count {
        answers.push(client.answer().await.0);
    }
    answers
}

#[tokio::test]
async fn all_sessions_count_together_and_nothing_is_refused() {
    let sim = sim(r#"{"relays": {"kt": {"rateLimitPerS": 25}, "skt": {"rateLimitPerS": 25, "throttlePerS": 10}}}"#);
    let kinds = [(BindKind::Transceiver, "one"), (BindKind::Transmitter, "one"), (BindKind::Transceiver, "two")];
    for (kind, system_id) in kinds {
        let mut client = Client::connect(sim.addr("kt")).await;
        assert_eq!(client.bind(kind, system_id, "").await, 0);
        assert_eq!(burst(&mut client, 10).await, [0; 10]);
    }
    let stats = &sim.stats()["kt"];
    assert_eq!((stats.parts, stats.most_in_a_second, stats.max_in_any_second), (30, 30, 30));
    assert_eq!((stats.over_rate, stats.worst_excess), (5, 5));
    // What is refused has arrived all the same.
    let mut client = Client::bound(sim.addr("skt")).await;
    let answers = burst(&mut client, 27).await;
    assert_eq!(answers.iter().filter(|answer| **answer == status::ESME_RTHROTTLED).count(), 17);
    let stats = &sim.stats()["skt"];
    assert_eq!((stats.most_in_a_second, stats.over_rate, stats.worst_excess), (27, 2, 2));
    sim.shutdown().await;
}

#[tokio::test]
async fn without_a_limit_nothing_is_over_it() {
    let sim = sim("{}");
    let mut client = Client::bound(sim.addr("kt")).await;
    burst(&mut client, 40).await;
    let stats = &sim.stats()["kt"];
    assert_eq!((stats.most_in_a_second, stats.over_rate, stats.worst_excess), (40, 0, 0));
    sim.shutdown().await;
}
