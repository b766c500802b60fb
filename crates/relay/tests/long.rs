//! Messages of several parts: payload and user data header, answers, throttling, cuts.

mod smsc;

use std::time::Duration;

use bongsu_domain::channel::Channel;
use bongsu_domain::lane::Lane;
use bongsu_relay::{Long, Outbound, PartAnswer, RelayConfig};
use bongsu_wire::smpp::{DataCoding, esm};
use bongsu_wire::smpp::{Joiner, decode_text, status, tag};
use smsc::{Lab, TokioClock, config};

fn lms(lab: &Lab, id: i64, lane: Lane) -> Outbound {
    let text = "대한민국의 주권은 국민에게 있고, 모든 권력은 국민으로부터 나온다. ".repeat(5);
    let parts = lab.relay.parts(Channel::Lms, &text);
    Outbound {
        channel: Channel::Lms, subject: Some("헌법".into()), text: text.into(), parts, ..lab.message(id, lane)
    }
}

fn by_udh() -> RelayConfig {
    RelayConfig { long: Long::Udh, ..config() }
}

#[tokio::test(start_paused = true)]
async fn a_payload_is_one_part_with_its_subject() {
    let mut lab = Lab::new(config());
    let mut smsc = lab.bound().await;
    let message = lms(&lab, 5, Lane::Realtime);
    assert_eq!(message.parts, 1);
    lab.relay.submit(vec![message.clone()]);
    let pdu = smsc.submitted().await;
    pdu.submit(|pdu| {
        assert!(pdu.short_message.is_empty());
        assert_eq!(decode_text(pdu.payload(), DataCoding::Ksc5601), *message.text);
        assert_eq!(
            pdu.tlvs.get(tag::LMS_SUBJECT).map(|octets| decode_text(octets, DataCoding::Ksc5601)).as_deref(),
            Some("헌법")
        );
    });
    smsc.accept(&pdu, "1").await;
    assert_eq!(lab.answered().await, (5, vec![PartAnswer::Accepted("1".to_owned())]));
}

#[tokio::test(start_paused = true)]
async fn parts_are_answered_together_in_their_order() {
    let mut lab = Lab::new(by_udh());
    let mut smsc = lab.bound().await;
    let message = lms(&lab, 0x305, Lane::Realtime);
    assert_eq!(message.parts, 3);
    lab.relay.submit(vec![message.clone()]);
    let mut joiner = Joiner::new(10, Duration::from_secs(60));
    let mut pdus = Vec::new();
    let mut joined = None;
    for number in 0..3 {
        let pdu = smsc.submitted().await;
        assert_eq!(pdu.reference(), 0x305);
        pdu.submit(|pdu| {
            assert_eq!(pdu.esm_class & esm::UDHI, esm::UDHI);
            assert_eq!(pdu.registered_delivery, 1);
            assert_eq!(pdu.tlvs.get(tag::LMS_SUBJECT).is_some(), number == 0);
            joined = joiner.accept(pdu, TokioClock::START);
        });
        pdus.push(pdu);
    }
    let joined = joined.expect("three parts make the text");
    assert_eq!(decode_text(&joined.bytes, DataCoding::Ksc5601), *message.text);
    assert_eq!(lab.relay.health().window_used, 3);
    smsc.accept(&pdus[2], "3").await;
    smsc.refuse(&pdus[1], status::ESME_RSYSERR).await;
    smsc.accept(&pdus[0], "1").await;
    let parts = vec![
        PartAnswer::Accepted("1".to_owned()),
        PartAnswer::Refused(status::ESME_RSYSERR),
        PartAnswer::Accepted("3".to_owned()),
    ];
    assert_eq!(lab.answered().await, (0x305, parts));
    assert_eq!(lab.relay.health().window_used, 0);
}

#[tokio::test(start_paused = true)]
async fn only_the_throttled_part_is_sent_again() {
    let mut lab = Lab::new(by_udh());
    let mut smsc = lab.bound().await;
    lab.relay.submit(vec![lms(&lab, 9, Lane::Bulk)]);
    let pdus = [smsc.submitted().await, smsc.submitted().await, smsc.submitted().await];
    smsc.accept(&pdus[0], "1").await;
    smsc.refuse(&pdus[1], status::ESME_RTHROTTLED).await;
    smsc.accept(&pdus[2], "3").await;
    let again = smsc.submitted().await;
    assert!(lab.elapsed() >= Duration::from_secs(1));
    let text = |pdu: &smsc::Pdu| pdu.submit(|pdu| pdu.short_message.to_vec());
    assert_eq!(text(&again), text(&pdus[1]));
    smsc.accept(&again, "2").await;
    let parts = ["1", "2", "3"].map(|id| PartAnswer::Accepted(id.to_owned()));
    assert_eq!(lab.answered().await, (9, parts.to_vec()));
}

#[tokio::test(start_paused = true)]
async fn a_cut_between_parts_makes_the_rest_unknown() {
    let mut lab = Lab::new(RelayConfig { window: 2, ..by_udh() });
    let mut smsc = lab.bound().await;
    lab.relay.submit(vec![lms(&lab, 1, Lane::Auth), lms(&lab, 2, Lane::Auth)]);
    let first = smsc.submitted().await;
    smsc.accept(&first, "1").await;
    smsc.submitted().await;
    smsc.submitted().await;
    drop(smsc);
    let parts = vec![PartAnswer::Accepted("1".to_owned()), PartAnswer::Unknown, PartAnswer::Unknown];
    assert_eq!(lab.answered().await, (1, parts));
    // The second message was not begun; the next session sends all of it.
    let mut smsc = lab.bound().await;
    for _ in 0..3 {
        let pdu = smsc.submitted().await;
        assert_eq!(pdu.reference(), 2);
        smsc.accept(&pdu, "x").await;
    }
    assert_eq!(lab.answered().await.0, 2);
}

#[tokio::test(start_paused = true)]
async fn a_message_throttled_as_a_whole_survives_a_cut() {
    let mut lab = Lab::new(by_udh());
    let mut smsc = lab.bound().await;
    lab.relay.submit(vec![lms(&lab, 1, Lane::Bulk)]);
    for pdu in [smsc.submitted().await, smsc.submitted().await, smsc.submitted().await] {
        smsc.refuse(&pdu, status::ESME_RTHROTTLED).await;
    }
    drop(smsc);
    let mut smsc = lab.bound().await;
    for (id, number) in [("1", 1), ("2", 2), ("3", 3)] {
        let pdu = smsc.submitted().await;
        assert_eq!(pdu.submit(|pdu| pdu.short_message[5]), number);
        smsc.accept(&pdu, id).await;
    }
    let parts = ["1", "2", "3"].map(|id| PartAnswer::Accepted(id.to_owned()));
    assert_eq!(lab.answered().await, (1, parts.to_vec()));
}

#[tokio::test(start_paused = true)]
async fn auth_goes_between_the_parts_of_a_slow_bulk_message() {
    let mut lab = Lab::new(RelayConfig { rate_per_s: 2.0, ..by_udh() });
    let mut smsc = lab.bound().await;
    lab.relay.submit(vec![lms(&lab, 1, Lane::Bulk), lms(&lab, 2, Lane::Bulk)]);
    let mut order = vec![smsc.submitted().await.reference()];
    lab.submit([100], Lane::Auth);
    for _ in 0..4 {
        let pdu = smsc.submitted().await;
        order.push(pdu.reference());
        if order.len() > 1 {
            smsc.accept(&pdu, "x").await;
        }
    }
    assert_eq!(order, [1, 100, 1, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn parts_after_the_deadline_are_not_written() {
    let mut lab = Lab::new(RelayConfig { rate_per_s: 1.0, ..by_udh() });
    let mut smsc = lab.bound().await;
    let deadline = lab.clock_in(Duration::from_millis(1500));
    lab.relay.submit(vec![Outbound { deadline, ..lms(&lab, 1, Lane::Auth) }]);
    for id in ["1", "2"] {
        let pdu = smsc.submitted().await;
        smsc.accept(&pdu, id).await;
    }
    let parts = vec![PartAnswer::Accepted("1".to_owned()), PartAnswer::Accepted("2".to_owned()), PartAnswer::Unknown];
    assert_eq!(lab.answered().await, (1, parts));
    assert!(smsc.is_silent(Duration::from_secs(5)).await);
}
