//! Messages, ids, receipts and the inbox, without faults.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use bongsu_wire::smpp::{self, BindKind, DataCoding, MessageState};
use common::{Client, Pdu, sim, submit, submit_bytes};

#[tokio::test]
async fn a_message_is_answered_reported_and_kept() {
    let sim = sim("{}");
    let mut client = Client::bound(sim.addr("kt")).await;
    client.submit(2, "821012345678", 77, "hello").await;
    assert_eq!(client.answer().await, (0, "1".into()));
    let (receipt, reference) = client.receipt().await;
    assert_eq!((receipt.id.as_str(), receipt.state, reference), ("1", MessageState::Delivered, Some(77)));
    let inbox = sim.inbox("010-1234-5678");
    assert_eq!(inbox.len(), 1);
    let message = &inbox[0];
    assert_eq!(
        (message.relay.as_str(), message.to.as_str(), message.from.as_str()),
        ("kt", "01012345678", "0212345678")
    );
    assert_eq!((message.text.as_str(), message.parts, message.reference), ("hello", 1, Some(77)));
    sim.shutdown().await;
}

#[tokio::test]
async fn long_korean_messages_are_joined_however_they_are_cut() {
    let sim = sim("{}");
    let mut client = Client::bound(sim.addr("kt")).await;
    let text = "긴 메시지입니다. ".repeat(40);
    for (coding, to) in [(DataCoding::Ksc5601, "01011110001"), (DataCoding::Ucs2, "01011110002")] {
        let bytes = smpp::encode_text(&text, coding).unwrap();
        let parts = smpp::split_udh(&bytes, coding, 9).unwrap();
        assert!(parts.len() > 3);
        for (index, part) in parts.iter().enumerate().rev() {
            let udhi = smpp::esm::UDHI;
            client.send(&submit_bytes(index as u32 + 2, to, 5, part, udhi, coding.as_u8())).await;
            assert_eq!(client.answer().await.0, 0);
        }
        let inbox = sim.inbox(to);
        assert_eq!((inbox.len(), inbox[0].text.as_str(), inbox[0].parts), (1, text.as_str(), parts.len() as u8));
    }
    let bytes = smpp::encode_text(&text, DataCoding::Ksc5601).unwrap();
    client.send(&submit_bytes(90, "01011110003", 6, &bytes, 0, DataCoding::Ksc5601.as_u8())).await;
    client.answer().await;
    assert_eq!(sim.inbox("01011110003")[0].text, text);
    let stats = &sim.stats()["kt"];
    assert_eq!(stats.submits, 3);
    assert!(stats.parts > 8 && stats.duplicates.is_empty());
    sim.shutdown().await;
}

#[tokio::test]
async fn receipts_wait_for_the_next_bind_and_are_sent_again_without_an_acknowledgement() {
    let sim = sim(r#"{"relays": {"kt": {"delayMs": 0}}}"#);
    let mut sender = Client::connect(sim.addr("kt")).await;
    assert_eq!(sender.bind(BindKind::Transmitter, "bongsu", "").await, 0);
    sender.submit(2, "01012345678", 1, "a").await;
    assert_eq!(sender.answer().await.0, 0);
    drop(sender);
    let mut deaf = Client::bound(sim.addr("kt")).await;
    deaf.acks = false;
    assert_eq!(deaf.receipt().await.0.id, "1");
    drop(deaf);
    let mut other = Client::connect(sim.addr("kt")).await;
    assert_eq!(other.bind(BindKind::Receiver, "somebody", "").await, 0);
    assert!(other.is_quiet(50).await);
    let mut receiver = Client::connect(sim.addr("kt")).await;
    assert_eq!(receiver.bind(BindKind::Receiver, "bongsu", "").await, 0);
    assert_eq!(receiver.receipt().await.0.id, "1");
    let mut unbind = Vec::new();
    smpp::encode_header_only(smpp::CommandId::UNBIND, 0, 9, &mut unbind);
    receiver.send(&unbind).await;
    assert!(matches!(receiver.next().await, Some(Pdu::Other { id: smpp::CommandId::UNBIND_RESP, status: 0, .. })));
    assert!(receiver.next().await.is_none());
    let stats = &sim.stats()["kt"];
    assert_eq!((stats.receipts, stats.receipts_acked, stats.receipts_waiting), (2, 1, 0));
    assert_eq!((stats.binds, stats.bound), (4, 1));
    sim.shutdown().await;
}

#[tokio::test]
async fn dialects_of_ids() {
    let sim = sim(
        r#"{"relays": {"kt": {"idStyle": "hex", "receiptIdStyle": "decimal", "leadingZeros": 8, "echoReference": false}}}"#,
    );
    let mut client = Client::bound(sim.addr("kt")).await;
    for n in 1..=10 {
        client.submit(n + 1, "01012345678", n as u16, "x").await;
    }
    let (mut answers, mut receipts) = (Vec::new(), Vec::new());
    while receipts.len() < 10 {
        match client.next().await.unwrap() {
            Pdu::Answer { id, .. } => answers.push(id),
            Pdu::Receipt { receipt, reference, .. } => {
                assert_eq!(reference, None);
                receipts.push(receipt.id);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((answers[9].as_str(), receipts[9].as_str()), ("0000000a", "10"));
    sim.shutdown().await;
}

#[tokio::test]
async fn a_submit_that_comes_twice_is_listed_and_a_message_like_it_is_not() {
    let sim = sim("{}");
    let mut client = Client::bound(sim.addr("kt")).await;
    for (sequence, reference, text) in [(2, 1, "a"), (3, 1, "a"), (4, 2, "a"), (5, 1, "b"), (6, 1, "a")] {
        client.send(&submit(sequence, "01012345678", reference, text)).await;
        assert_eq!(client.answer().await.0, 0);
    }
    let mut elsewhere = Client::bound(sim.addr("skt")).await;
    elsewhere.submit(2, "01012345678", 1, "a").await;
    elsewhere.answer().await;
    let stats = sim.stats();
    assert!(stats["skt"].duplicates.is_empty());
    let duplicates = &stats["kt"].duplicates;
    assert_eq!(duplicates.len(), 1);
    assert_eq!((duplicates[0].reference, duplicates[0].part, duplicates[0].count), (Some(1), 1, 3));
    assert_eq!(stats["kt"].max_in_any_second, 5);
    sim.shutdown().await;
}

#[tokio::test]
async fn numbers_with_a_fixed_outcome() {
    let sim = sim(r#"{"relays": {"kt": {"codes": {"REJECTD": 1.0}, "delayMs": 5}}}"#);
    let mut client = Client::bound(sim.addr("kt")).await;
    let cases = [
        ("01000000001", MessageState::Delivered, "000"),
        ("821000000002", MessageState::Expired, "027"),
        ("01000000003", MessageState::Undeliverable, "001"),
        ("01000000004", MessageState::Rejected, "000"),
    ];
    for (number, state, error) in cases {
        client.submit(2, number, 1, "x").await;
        let receipt = client.receipt().await.0;
        assert_eq!((receipt.state, receipt.err.as_deref()), (state, Some(error)), "{number}");
    }
    client.submit(3, "01000000006", 1, "twice").await;
    let (first, second) = (client.receipt().await.0.id, client.receipt().await.0.id);
    assert_eq!(first, second);
    client.submit(4, "01000000007", 1, "early").await;
    assert!(matches!(client.next().await, Some(Pdu::Receipt { .. })));
    assert!(matches!(client.next().await, Some(Pdu::Answer { status: 0, .. })));
    let throttled = smpp::status::ESME_RTHROTTLED;
    for expected in [throttled, throttled, 0] {
        client.submit(5, "01000000008", 1, "at last").await;
        assert_eq!(client.answer().await.0, expected);
    }
    client.receipt().await;
    client.submit(6, "01000000005", 1, "never").await;
    client.answer().await;
    assert!(client.is_quiet(50).await);
    assert!(sim.stats()["kt"].duplicates.is_empty());
    sim.shutdown().await;
}
