//! Over which session receipts come.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use bongsu_sim::Sim;
use bongsu_wire::smpp::{self, BindKind, CommandId};
use common::{Client, Pdu, sim, submit};

async fn bound(sim: &Sim, kind: BindKind, system_id: &str) -> Client {
    let mut client = Client::connect(sim.addr("kt")).await;
    assert_eq!(client.bind(kind, system_id, "").await, 0);
    client
}

async fn transceivers<const N: usize>(sim: &Sim) -> [Client; N] {
    let mut clients = Vec::new();
    for _ in 0..N {
        clients.push(bound(sim, BindKind::Transceiver, "bongsu").await);
    }
    clients.try_into().unwrap_or_else(|_| panic!("as many as were bound"))
}

/// Submits one message for each reference, all in one write.
async fn submit_all(client: &mut Client, references: impl Iterator<Item = u16>) {
    let bytes: Vec<u8> = references.flat_map(|n| submit(u32::from(n) + 2, "01012345678", n, "x")).collect();
    client.send(&bytes).await;
}

/// The references of the next receipts, in ascending order.
async fn receipts(client: &mut Client, count: usize) -> Vec<u16> {
    let mut references = Vec::new();
    for _ in 0..count {
        references.push(client.receipt().await.1.unwrap());
    }
    references.sort_unstable();
    references
}

/// Waits until the relay has written that many receipts.
async fn until_written(sim: &Sim, count: u64) {
    while sim.stats()["kt"].receipts < count {
        tokio::task::yield_now().await;
    }
}

/// The references of the receipts that are on their way, in ascending order: what comes before an answer does.
async fn rest(client: &mut Client) -> Vec<u16> {
    let mut enquire = Vec::new();
    smpp::encode_header_only(CommandId::ENQUIRE_LINK, 0, 9_999, &mut enquire);
    client.send(&enquire).await;
    let mut references = Vec::new();
    loop {
        match client.next().await {
            Some(Pdu::Answer { .. }) => {}
            Some(Pdu::Receipt { reference, .. }) => references.push(reference.unwrap()),
            Some(Pdu::Other { id: CommandId::ENQUIRE_LINK_RESP, .. }) => break,
            other => panic!("{other:?}"),
        }
    }
    references.sort_unstable();
    references
}

#[tokio::test]
async fn receipts_come_over_the_session_that_submitted() {
    let sim = sim(r#"{"relays": {"kt": {"delayMs": [0, 20]}}}"#);
    let [mut first, mut second, mut idle] = transceivers(&sim).await;
    submit_all(&mut first, 0..40).await;
    submit_all(&mut second, 40..60).await;
    assert_eq!(receipts(&mut first, 40).await, (0..40).collect::<Vec<_>>());
    assert_eq!(receipts(&mut second, 20).await, (40..60).collect::<Vec<_>>());
    assert!(rest(&mut idle).await.is_empty());
    sim.shutdown().await;
}

#[tokio::test]
async fn receipts_of_a_session_that_is_gone_come_over_the_others() {
    let sim = sim(r#"{"relays": {"kt": {"delayMs": 0, "receiptWindow": 3}}}"#);
    let [mut deaf, mut other] = transceivers(&sim).await;
    deaf.acks = false;
    submit_all(&mut deaf, 0..10).await;
    // Three are written and seven wait behind them, for this session alone.
    receipts(&mut deaf, 3).await;
    assert!(other.is_quiet(30).await);
    drop(deaf);
    for expected in 0..10 {
        assert_eq!(other.receipt().await.1, Some(expected));
    }
    sim.shutdown().await;
}

#[tokio::test]
async fn receipts_of_a_transmitter_come_over_any_receiver_of_its_system_id() {
    let sim = sim(r#"{"relays": {"kt": {"delayMs": 0}}}"#);
    let mut stranger = bound(&sim, BindKind::Receiver, "stranger").await;
    let mut receiver = bound(&sim, BindKind::Receiver, "bongsu").await;
    let mut transmitter = bound(&sim, BindKind::Transmitter, "bongsu").await;
    submit_all(&mut transmitter, 0..10).await;
    assert_eq!(receipts(&mut receiver, 10).await, (0..10).collect::<Vec<_>>());
    assert!(rest(&mut transmitter).await.is_empty() && rest(&mut stranger).await.is_empty());
    sim.shutdown().await;
}

#[tokio::test]
async fn receipts_anywhere_come_over_the_other_sessions_in_turn() {
    let sim = sim(r#"{"relays": {"kt": {"delayMs": 1, "receiptsAnywhere": 1.0}}}"#);
    let mut stranger = bound(&sim, BindKind::Transceiver, "stranger").await;
    let [mut sender, mut second, mut third] = transceivers(&sim).await;
    submit_all(&mut sender, 0..40).await;
    let mut all = receipts(&mut second, 20).await;
    all.extend(receipts(&mut third, 20).await);
    all.sort_unstable();
    assert_eq!(all, (0..40).collect::<Vec<_>>());
    assert!(rest(&mut sender).await.is_empty());
    // Alone, a session gets its own, and a neighbour's are not its business.
    submit_all(&mut stranger, 0..5).await;
    assert_eq!(receipts(&mut stranger, 5).await, [0, 1, 2, 3, 4]);
    assert_eq!(sim.stats()["kt"].receipts, 45);
    sim.shutdown().await;
}

#[tokio::test]
async fn the_seed_decides_which_receipts_come_over_another_session() {
    let script = r#"{"relays": {"kt": {"delayMs": 1, "receiptsAnywhere": 0.3}}}"#;
    let mut runs = Vec::new();
    for backwards in [false, true] {
        let sim = sim(script);
        let [mut sender, mut other] = transceivers(&sim).await;
        if backwards {
            submit_all(&mut sender, (0..400).rev()).await;
        } else {
            submit_all(&mut sender, 0..400).await;
        }
        until_written(&sim, 400).await;
        let elsewhere = rest(&mut other).await;
        assert_eq!(rest(&mut sender).await.len() + elsewhere.len(), 400);
        assert!((90..150).contains(&elsewhere.len()), "{}", elsewhere.len());
        runs.push(elsewhere);
        sim.shutdown().await;
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn an_early_receipt_over_another_session_comes_before_the_response_too() {
    let sim = sim(r#"{"relays": {"kt": {"earlyReceipts": 1.0, "receiptsAnywhere": 1.0, "delayMs": 1000}}}"#);
    let [mut sender, mut other] = transceivers(&sim).await;
    sender.submit(2, "01012345678", 1, "x").await;
    tokio::select! {
        biased;
        (receipt, _) = other.receipt() => assert_eq!(receipt.id, "1"),
        pdu = sender.next() => panic!("this came first: {pdu:?}"),
    }
    assert!(matches!(sender.next().await, Some(Pdu::Answer { status: 0, .. })));
    // Alone, the session gets its own receipt early.
    drop(other);
    while sim.stats()["kt"].bound > 1 {
        tokio::task::yield_now().await;
    }
    sender.submit(3, "01012345678", 2, "y").await;
    assert!(matches!(sender.next().await, Some(Pdu::Receipt { reference: Some(2), .. })));
    assert!(matches!(sender.next().await, Some(Pdu::Answer { status: 0, .. })));
    sim.shutdown().await;
}
