//! Receipts and other input from the message centre, well formed and not.

mod smsc;

use std::time::Duration;

use bongsu_domain::lane::Lane;
use bongsu_relay::{Event, IdRule, MessageState, PartAnswer, RelayConfig, RelayReceipt};
use bongsu_wire::smpp::{CommandId, TlvBuf, esm, status, tag};
use smsc::{Lab, config};

const SECOND: Duration = Duration::from_secs(1);

async fn receipt(lab: &mut Lab) -> RelayReceipt {
    match lab.news().await {
        Event::Receipt(receipt) => receipt,
        other => panic!("no receipt: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_receipt_is_confirmed_when_its_owner_says_so() {
    let mut lab = Lab::new(config());
    let mut smsc = lab.bound().await;
    let text =
        b"id:0042 sub:001 dlvrd:001 submit date:2603010900 done date:2603010901 stat:DELIVRD err:000 text:secret";
    smsc.receipt(text, &TlvBuf::new(), 11).await;
    smsc.receipt(b"id:43 stat:UNDELIV err:027", &TlvBuf::new(), 12).await;
    let first = receipt(&mut lab).await;
    assert_eq!((first.relay, first.relay_id.as_str(), first.state), (7, "42", MessageState::Delivered));
    assert_eq!((first.to.as_str(), first.from.as_str()), ("01012345678", "15881588"));
    assert!(String::from_utf8_lossy(&first.raw).ends_with("err:000"));
    let second = receipt(&mut lab).await;
    assert_eq!((second.state, second.err.as_deref()), (MessageState::Undeliverable, Some("027")));
    assert!(smsc.is_silent(SECOND).await);
    second.ack.confirm();
    let response = smsc.expect(CommandId::DELIVER_SM_RESP).await;
    assert_eq!((response.sequence, response.status), (12, status::ESME_ROK));
    first.ack.confirm();
    assert_eq!(smsc.expect(CommandId::DELIVER_SM_RESP).await.sequence, 11);
    assert_eq!(lab.relay.health().counters.receipts, 2);
}

#[tokio::test(start_paused = true)]
async fn a_confirmation_for_a_lost_session_does_nothing() {
    let mut lab = Lab::new(config());
    let mut smsc = lab.bound().await;
    smsc.receipt(b"id:1 stat:DELIVRD", &TlvBuf::new(), 5).await;
    let first = receipt(&mut lab).await;
    drop(smsc);
    let mut smsc = lab.bound().await;
    first.ack.confirm();
    assert!(smsc.is_silent(SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_may_come_before_the_response_and_in_other_digits() {
    let id_rule = IdRule { response_hex: true, receipt_hex: false };
    let mut lab = Lab::new(RelayConfig { id_rule, ..config() });
    let mut smsc = lab.bound().await;
    lab.submit([0x77], Lane::Auth);
    let pdu = smsc.submitted().await;
    let mut tlvs = TlvBuf::new();
    tlvs.push_cstr(tag::RECEIPTED_MESSAGE_ID, b"255");
    tlvs.push_u8(tag::MESSAGE_STATE, 2);
    tlvs.push_u16(tag::USER_MESSAGE_REFERENCE, 0x77);
    smsc.receipt(b"", &tlvs, 1).await;
    smsc.accept(&pdu, "00FF").await;
    let early = receipt(&mut lab).await;
    assert_eq!(early.reference, Some(0x77));
    assert_eq!(lab.answered().await, (0x77, vec![PartAnswer::Accepted(early.relay_id.clone())]));
}

#[tokio::test(start_paused = true)]
async fn a_message_from_a_handset_is_confirmed_and_counted() {
    let mut lab = Lab::new(config());
    let mut smsc = lab.bound().await;
    smsc.deliver(0, b"id:1 stat:DELIVRD", &TlvBuf::new(), 3).await;
    assert_eq!(smsc.expect(CommandId::DELIVER_SM_RESP).await.sequence, 3);
    smsc.deliver(esm::RECEIPT, b"stat:DELIVRD", &TlvBuf::new(), 4).await;
    assert_eq!(smsc.expect(CommandId::DELIVER_SM_RESP).await.sequence, 4);
    let counters = lab.relay.health().counters;
    assert_eq!((counters.mobile_originated, counters.malformed, counters.receipts), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_understood_is_refused_and_the_session_goes_on() {
    let mut lab = Lab::new(config());
    let mut smsc = lab.bound().await;
    smsc.header(CommandId::DATA_SM, 0, 21).await;
    let nack = smsc.expect(CommandId::GENERIC_NACK).await;
    assert_eq!((nack.sequence, nack.status), (21, status::ESME_RINVCMDID));
    smsc.header(CommandId::DELIVER_SM, 0, 22).await;
    assert_eq!(smsc.expect(CommandId::GENERIC_NACK).await.sequence, 22);
    smsc.header(CommandId::ENQUIRE_LINK, 0, 23).await;
    assert_eq!(smsc.expect(CommandId::ENQUIRE_LINK_RESP).await.sequence, 23);
    // A response without its body: taken, with no id to match receipts by.
    lab.submit([1], Lane::Auth);
    let pdu = smsc.submitted().await;
    smsc.header(CommandId::SUBMIT_SM_RESP, 0, pdu.sequence).await;
    assert_eq!(lab.answered().await, (1, vec![PartAnswer::Accepted(String::new())]));
}

#[tokio::test(start_paused = true)]
async fn an_impossible_length_ends_the_session() {
    let mut lab = Lab::new(config());
    let mut smsc = lab.bound().await;
    lab.submit([1], Lane::Auth);
    smsc.submitted().await;
    smsc.send(&[0xFF; 16]).await;
    assert_eq!(smsc.expect(CommandId::GENERIC_NACK).await.status, status::ESME_RINVCMDLEN);
    assert!(smsc.next().await.is_none());
    assert_eq!(lab.answered().await, (1, vec![PartAnswer::Unknown]));
    lab.bound().await;
}

#[tokio::test(start_paused = true)]
async fn garbage_never_loses_a_message() {
    let mut lab = Lab::new(config());
    let mut random = 1u64;
    for round in 0..60i64 {
        let mut smsc = lab.bound().await;
        lab.submit([round], Lane::Auth);
        let pdu = smsc.submitted().await;
        let mut noise = Vec::new();
        for _ in 0..40 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let body = random.to_be_bytes();
            let id = [0x8000_0004, 5, 0x8000_0015, 0x8000_0000, 0x15, 0x103, 0x8000_0006][(random >> 40) as usize % 7];
            let length = 16 + (random >> 50) as usize % 9;
            noise.extend_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
            noise.extend_from_slice(&u32::to_be_bytes(id));
            noise.extend_from_slice(&[0, 0, 0, (random >> 60) as u8]);
            noise.extend_from_slice(&((random >> 33) as u32 % 4 + pdu.sequence - 1).to_be_bytes());
            noise.extend_from_slice(&body[..length - 16]);
        }
        noise.extend_from_slice(&random.to_be_bytes());
        smsc.send(&noise).await;
        drop(smsc);
        let (id, parts) = lab.answered().await;
        assert_eq!((id, parts.len()), (round, 1));
    }
}
