//! Scripted faults: each does what it says, and nothing else.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::time::Duration;

use bongsu_sim::Script;
use bongsu_wire::smpp::{self, BindKind, status};
use common::{Client, Pdu, sim, submit};

const KT: &str = "kt";

/// Sends numbered messages and collects (answers, receipts) until nothing comes for a while.
async fn exchange(client: &mut Client, count: u32) -> (Vec<u32>, usize) {
    let burst: Vec<u8> =
        (0..count).flat_map(|n| submit(n + 2, &format!("0101234{n:04}"), n as u16, &format!("number {n}"))).collect();
    client.send(&burst).await;
    let (mut answers, mut receipts) = (Vec::new(), 0);
    loop {
        let next = tokio::time::timeout(Duration::from_millis(200), client.next()).await;
        match next {
            Ok(Some(Pdu::Answer { status, .. })) => answers.push(status),
            Ok(Some(Pdu::Receipt { .. })) => receipts += 1,
            Ok(other) => panic!("{other:?}"),
            Err(_) => return (answers, receipts),
        }
    }
}

#[tokio::test]
async fn shares_of_refusals_lost_answers_and_second_receipts() {
    let script = r#"{"relays": {"kt": {"delayMs": 1, "refuse": {"0x0B": 0.1}, "dropResponses": 0.1,
        "duplicateReceipts": 0.1, "codes": {"NONE": 0.1}}}}"#;
    let sim = sim(script);
    let mut client = Client::bound(sim.addr(KT)).await;
    let (answers, receipts) = exchange(&mut client, 2_000).await;
    let refused = answers.iter().filter(|status| **status == status::ESME_RINVDSTADR).count();
    assert!((150..250).contains(&refused), "{refused}");
    // 90 % are taken, of them 90 % answered and 90 % × 110 % reported.
    let ok = answers.len() - refused;
    assert!((1_550..1_690).contains(&ok), "{ok}");
    assert!((1_700..1_860).contains(&receipts), "{receipts}");
    let stats = &sim.stats()[KT];
    assert_eq!((stats.parts, stats.taken), (2_000, 2_000 - refused as u64));
    assert_eq!(stats.unanswered, stats.taken - ok as u64);
    sim.shutdown().await;
}

#[tokio::test]
async fn a_throttle_lets_through_what_it_promises() {
    let sim = sim(r#"{"relays": {"kt": {"throttlePerS": 100}}}"#);
    let mut client = Client::bound(sim.addr(KT)).await;
    let (answers, receipts) = exchange(&mut client, 250).await;
    assert_eq!(answers.iter().filter(|status| **status == 0).count(), 100);
    assert_eq!(answers.iter().filter(|status| **status == status::ESME_RTHROTTLED).count(), 150);
    assert_eq!(receipts, 100);
    assert!(sim.stats()[KT].duplicates.is_empty());
    sim.shutdown().await;
}

#[tokio::test]
async fn a_silent_relay_answers_enquire_link_only_until_it_is_started() {
    let sim = sim(r#"{"relays": {"kt": {"delayMs": 0}}}"#);
    let mut client = Client::bound(sim.addr(KT)).await;
    sim.silence(KT).unwrap();
    client.submit(2, "01012345678", 1, "x").await;
    let mut enquire = Vec::new();
    smpp::encode_header_only(smpp::CommandId::ENQUIRE_LINK, 0, 3, &mut enquire);
    client.send(&enquire).await;
    let answer = client.next().await;
    assert!(
        matches!(answer, Some(Pdu::Other { id: smpp::CommandId::ENQUIRE_LINK_RESP, sequence: 3, .. })),
        "{answer:?}"
    );
    assert!(client.is_quiet(50).await);
    sim.start_relay(KT).await.unwrap();
    client.submit(4, "01012345678", 2, "y").await;
    assert_eq!(client.answer().await.0, 0);
    sim.shutdown().await;
}

#[tokio::test]
async fn a_relay_that_stops_refuses_and_comes_back_on_its_port_with_ids_from_1() {
    let sim = sim(r#"{"relays": {"kt": {"restartIds": true, "delayMs": 0}}}"#);
    let mut client = Client::bound(sim.addr(KT)).await;
    client.acks = false;
    client.submit(2, "01012345678", 1, "x").await;
    assert_eq!(client.answer().await.1, "1");
    sim.stop_relay(KT).await.unwrap();
    while client.next().await.is_some() {}
    assert!(tokio::net::TcpStream::connect(sim.addr(KT)).await.is_err());
    assert_eq!(sim.stats()[KT].bound, 0);
    sim.start_relay(KT).await.unwrap();
    let mut client = Client::bound(sim.addr(KT)).await;
    assert_eq!(client.receipt().await.0.id, "1");
    client.submit(2, "01012345678", 2, "y").await;
    assert_eq!(client.answer().await.1, "1");
    assert!(sim.stop_relay("ntt").await.unwrap_err().to_string().contains("kt, skt"));
    sim.shutdown().await;
}

#[tokio::test]
async fn a_session_is_cut_with_a_full_window_and_its_receipts_come_to_the_next() {
    let sim = sim(r#"{"relays": {"kt": {"disconnectEvery": 5, "delayMs": 1}}}"#);
    let mut client = Client::bound(sim.addr(KT)).await;
    let burst: Vec<u8> = (0..8).flat_map(|n| submit(n + 2, "01012345678", n as u16, "x")).collect();
    client.send(&burst).await;
    let mut answers = 0;
    while let Some(pdu) = client.next().await {
        answers += u32::from(matches!(pdu, Pdu::Answer { .. }));
    }
    assert_eq!(answers, 4);
    let mut client = Client::bound(sim.addr(KT)).await;
    let mut receipts = 0;
    while receipts < 4 {
        client.receipt().await;
        receipts += 1;
    }
    assert_eq!(sim.stats()[KT].unanswered, 4);
    sim.shutdown().await;
}

#[tokio::test]
async fn early_receipts_come_first_over_either_kind_of_session() {
    let sim = sim(r#"{"relays": {"kt": {"earlyReceipts": 1.0, "delayMs": 1000}}}"#);
    let mut both = Client::bound(sim.addr(KT)).await;
    both.submit(2, "01012345678", 1, "x").await;
    assert!(matches!(both.next().await, Some(Pdu::Receipt { .. })));
    assert!(matches!(both.next().await, Some(Pdu::Answer { .. })));
    let (mut sender, mut receiver) = (Client::connect(sim.addr(KT)).await, Client::connect(sim.addr(KT)).await);
    assert_eq!(sender.bind(BindKind::Transmitter, "pair", "").await, 0);
    assert_eq!(receiver.bind(BindKind::Receiver, "pair", "").await, 0);
    sender.submit(2, "01012345678", 2, "y").await;
    tokio::select! {
        biased;
        (receipt, _) = receiver.receipt() => assert_eq!(receipt.id, "2"),
        answer = sender.answer() => panic!("the answer came first: {answer:?}"),
    }
    assert_eq!(sender.answer().await, (0, "2".into()));
    sim.shutdown().await;
}

#[tokio::test]
async fn binds_are_refused_by_script_and_by_password() {
    let sim = sim(r#"{"relays": {"kt": {"bindRefuse": "0x0D"}, "skt": {"password": "right"}}}"#);
    let mut client = Client::connect(sim.addr(KT)).await;
    assert_eq!(client.bind(BindKind::Transceiver, "bongsu", "").await, status::ESME_RBINDFAIL);
    assert!(client.next().await.is_none());
    for (password, expected) in [("wrong", status::ESME_RINVPASWD), ("right", 0)] {
        let mut client = Client::connect(sim.addr("skt")).await;
        assert_eq!(client.bind(BindKind::Transceiver, "bongsu", password).await, expected);
    }
    let stats = sim.stats();
    assert_eq!((stats[KT].binds_refused, stats["skt"].binds_refused, stats["skt"].binds), (1, 1, 1));
    sim.shutdown().await;
}

#[tokio::test]
async fn a_slow_relay_answers_after_its_latency() {
    let sim = sim(r#"{"relays": {"kt": {"latencyMs": 80}}}"#);
    let mut client = Client::bound(sim.addr(KT)).await;
    let begun = tokio::time::Instant::now();
    client.submit(2, "01012345678", 1, "x").await;
    loop {
        if let Some(Pdu::Answer { status, .. }) = client.next().await {
            assert_eq!(status, 0);
            break;
        }
    }
    assert!(begun.elapsed() >= Duration::from_millis(79), "{:?}", begun.elapsed());
    sim.shutdown().await;
}

#[tokio::test]
async fn the_same_seed_gives_the_same_results_in_any_order() {
    let script = r#"{"relays": {"kt": {"delayMs": 0, "codes": {"UNDELIV": 0.3, "EXPIRED": 0.3}}}}"#;
    let mut runs = Vec::new();
    for (seed, backwards) in [(1, false), (1, true), (2, false)] {
        let sim = sim(script);
        sim.set_script(Script { seed: Some(seed), ..Script::parse(script).unwrap() }).unwrap();
        let mut client = Client::bound(sim.addr(KT)).await;
        let mut order: Vec<u16> = (0..100).collect();
        if backwards {
            order.reverse();
        }
        for n in &order {
            client.submit(u32::from(*n) + 2, "01012345678", *n, "x").await;
        }
        let mut states = Vec::new();
        while states.len() < 100 {
            let (receipt, reference) = client.receipt().await;
            states.push((reference, receipt.state));
        }
        states.sort_by_key(|(reference, _)| *reference);
        runs.push(states);
        sim.shutdown().await;
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test]
async fn receipts_wait_for_acknowledgements_beyond_their_window() {
    let sim = sim(r#"{"relays": {"kt": {"delayMs": 0, "receiptWindow": 3}}}"#);
    let mut client = Client::bound(sim.addr(KT)).await;
    client.acks = false;
    let burst: Vec<u8> = (0..5).flat_map(|n| submit(n + 2, "01012345678", n as u16, "x")).collect();
    client.send(&burst).await;
    let mut last = 0;
    for _ in 0..8 {
        if let Some(Pdu::Receipt { sequence, .. }) = client.next().await {
            last = sequence;
        }
    }
    assert_eq!(last, 3);
    assert!(client.is_quiet(30).await);
    client.acks = true;
    let mut acks = Vec::new();
    for sequence in 1..=3 {
        smpp::encode_deliver_resp(0, sequence, &mut acks);
    }
    client.send(&acks).await;
    for expected in ["4", "5"] {
        assert_eq!(client.receipt().await.0.id, expected);
    }
    sim.shutdown().await;
}
