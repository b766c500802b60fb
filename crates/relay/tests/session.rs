//! Sessions against a scripted message centre: binding, answers, cuts, deadlines, throttling, stopping.

mod smsc;

use std::collections::BTreeSet;
use std::time::Duration;

use bongsu_domain::code::Code;
use bongsu_domain::lane::Lane;
use bongsu_relay::{Event, Outbound, PartAnswer, RelayConfig, UnsentReason};
use bongsu_wire::smpp::{CommandId, status};
use smsc::{Lab, Smsc, config};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn accepted(id: &str) -> Vec<PartAnswer> {
    vec![PartAnswer::Accepted(id.to_owned())]
}

#[tokio::test(start_paused = true)]
async fn an_accepted_message_is_answered_once_with_its_id() {
    let mut lab = Lab::new(config());
    let mut smsc = lab.bound().await;
    assert_eq!(smsc.config.system_id, "bongsu");
    lab.submit([0x1_0005], Lane::Realtime);
    let pdu = smsc.submitted().await;
    assert_eq!(pdu.reference(), 5);
    pdu.submit(|pdu| {
        assert_eq!((pdu.source, pdu.dest), (&b"15881588"[..], &b"01012345678"[..]));
        assert_eq!((pdu.registered_delivery, pdu.data_coding), (1, 0x0E));
        assert_eq!(pdu.validity, b"000000010000000R");
    });
    assert_eq!(lab.relay.health().window_used, 1);
    smsc.accept(&pdu, "0042").await;
    assert_eq!(lab.answered().await, (0x1_0005, accepted("42")));
    smsc.accept(&pdu, "0042").await;
    smsc.header(CommandId::ENQUIRE_LINK, 0, 77).await;
    assert_eq!(smsc.expect(CommandId::ENQUIRE_LINK_RESP).await.sequence, 77);
    let health = lab.relay.health();
    assert_eq!((health.window_used, health.queued, health.counters.stray), (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn refusals_come_back_with_their_status() {
    let mut lab = Lab::new(config());
    let mut smsc = lab.bound().await;
    lab.submit([1, 2], Lane::Bulk);
    let first = smsc.submitted().await;
    let second = smsc.submitted().await;
    smsc.header(CommandId::GENERIC_NACK, status::ESME_RSYSERR, second.sequence).await;
    smsc.refuse(&first, status::ESME_RINVDSTADR).await;
    assert_eq!(lab.answered().await, (2, vec![PartAnswer::Refused(status::ESME_RSYSERR)]));
    assert_eq!(lab.answered().await, (1, vec![PartAnswer::Refused(status::ESME_RINVDSTADR)]));
}

#[tokio::test(start_paused = true)]
async fn a_refused_bind_is_tried_again_ever_more_slowly() {
    let mut lab = Lab::with(config(), 4096, 3, 64);
    lab.submit([1], Lane::Bulk);
    let mut ceiling = Duration::from_millis(200 * 2 * 2 * 2);
    for _ in 0..5 {
        let before = Instant::now();
        let mut smsc = lab.connection().await;
        smsc.refuse_bind(status::ESME_RBINDFAIL).await;
        assert!(before.elapsed() <= 2 * ceiling, "waited {:?}", before.elapsed());
        ceiling = (ceiling * 2).min(10 * SECOND);
    }
    assert!(!lab.relay.health().up);
    assert_eq!(lab.relay.room(Lane::Auth), 0);
    let _smsc = lab.connection().await;
    assert_eq!(lab.relay.health().counters.bind_failures, 8);
    // Waits spread below the ceilings, but nine connects in no time would be none.
    assert!(lab.elapsed() > SECOND, "{:?}", lab.elapsed());
}

#[tokio::test(start_paused = true)]
async fn silence_in_the_bind_ends_with_the_session_init_timer() {
    let mut lab = Lab::new(config());
    let mut smsc = lab.connection().await;
    smsc.expect(CommandId::BIND_TRANSCEIVER).await;
    assert!(smsc.next().await.is_none());
    assert_eq!(lab.elapsed().as_secs(), 10);
    lab.bound().await;
}

#[tokio::test(start_paused = true)]
async fn a_relay_without_links_gives_messages_back() {
    let mut lab = Lab::with(config(), 4096, usize::MAX, 64);
    lab.submit([1], Lane::Bulk);
    lab.submit([2], Lane::Auth);
    assert_eq!(lab.unsent().await, (2, UnsentReason::Down));
    assert!((200..300).contains(&lab.elapsed().as_millis()), "{:?}", lab.elapsed());
    assert_eq!(lab.unsent().await, (1, UnsentReason::Down));
    assert!((2000..2100).contains(&lab.elapsed().as_millis()), "{:?}", lab.elapsed());
    lab.submit([3], Lane::Realtime);
    assert_eq!(lab.unsent().await, (3, UnsentReason::Down));
    assert!(lab.elapsed().as_millis() < 2200);
}

#[tokio::test(start_paused = true)]
async fn a_lost_response_makes_all_of_the_session_unknown() {
    let mut lab = Lab::new(config());
    let mut smsc = lab.bound().await;
    lab.submit(1..=3, Lane::Realtime);
    let first = smsc.submitted().await;
    smsc.submitted().await;
    let third = smsc.submitted().await;
    smsc.accept(&first, "a").await;
    smsc.accept(&third, "c").await;
    assert_eq!(lab.answered().await, (1, accepted("a")));
    assert_eq!(lab.answered().await, (3, accepted("c")));
    assert_eq!(lab.answered().await, (2, vec![PartAnswer::Unknown]));
    assert!((3000..3100).contains(&lab.elapsed().as_millis()), "{:?}", lab.elapsed());
    assert!(smsc.next().await.is_none());
    lab.submit([4], Lane::Realtime);
    let mut smsc = lab.bound().await;
    assert_eq!(smsc.submitted().await.reference(), 4);
    assert_eq!(lab.relay.health().counters.unknown, 1);
}

#[tokio::test(start_paused = true)]
async fn a_cut_with_a_full_window_loses_nothing_that_waits() {
    let mut lab = Lab::new(RelayConfig { window: 4, ..config() });
    let mut smsc = lab.bound().await;
    lab.submit(1..=10, Lane::Auth);
    for id in 1..=4 {
        assert_eq!(smsc.submitted().await.reference(), id);
    }
    assert!(smsc.is_silent(SECOND).await);
    drop(smsc);
    for id in 1..=4 {
        assert_eq!(lab.answered().await, (id, vec![PartAnswer::Unknown]));
    }
    let mut smsc = lab.bound().await;
    for id in 5..=10 {
        let pdu = smsc.submitted().await;
        assert_eq!(pdu.reference(), id);
        smsc.accept(&pdu, "x").await;
        assert_eq!(lab.answered().await, (id, accepted("x")));
    }
}

#[tokio::test(start_paused = true)]
async fn throttled_messages_are_sent_again_after_a_pause() {
    let mut lab = Lab::new(RelayConfig { window: 8, ..config() });
    let mut smsc = lab.bound().await;
    lab.submit(1..=3, Lane::Realtime);
    let pdus = [smsc.submitted().await, smsc.submitted().await, smsc.submitted().await];
    for (pdu, command_status) in
        pdus.iter().zip([status::ESME_RTHROTTLED, status::ESME_RMSGQFUL, status::ESME_RTHROTTLED])
    {
        smsc.refuse(pdu, command_status).await;
    }
    assert!(smsc.is_silent(Duration::from_millis(990)).await);
    let health = lab.relay.health();
    assert_eq!((health.throttled, health.queued, health.window, health.window_used), (true, 3, 4, 0));
    assert_eq!(lab.relay.room(Lane::Auth), 0);
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let pdu = smsc.submitted().await;
        seen.insert(pdu.reference());
        smsc.accept(&pdu, "y").await;
        assert!(matches!(lab.answered().await, (_, parts) if parts == accepted("y")));
    }
    assert_eq!(seen, BTreeSet::from([1, 2, 3]));
    assert_eq!(lab.relay.health().counters.throttled, 3);
    assert!(lab.relay.room(Lane::Auth) > 0);
}

#[tokio::test(start_paused = true)]
async fn throttling_ends_with_the_deadline() {
    let mut lab = Lab::new(config());
    let mut smsc = lab.bound().await;
    let deadline = lab.clock_in(Duration::from_millis(500));
    lab.relay.submit(vec![Outbound { deadline, ..lab.message(1, Lane::Auth) }]);
    let pdu = smsc.submitted().await;
    smsc.refuse(&pdu, status::ESME_RTHROTTLED).await;
    assert_eq!(lab.unsent().await, (1, UnsentReason::Deadline));
    assert!((500..600).contains(&lab.elapsed().as_millis()), "{:?}", lab.elapsed());
    assert!(smsc.is_silent(2 * SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_after_its_deadline_or_expiry() {
    let mut lab = Lab::new(RelayConfig { rate_per_s: 1.0, ..config() });
    let mut smsc = lab.bound().await;
    let soon = lab.clock_in(Duration::from_millis(900));
    lab.relay.submit(vec![
        lab.message(1, Lane::Auth),
        Outbound { deadline: soon, ..lab.message(2, Lane::Auth) },
        Outbound { expires: soon, ..lab.message(3, Lane::Auth) },
        lab.message(4, Lane::Auth),
    ]);
    let first = smsc.submitted().await;
    assert_eq!(first.reference(), 1);
    smsc.accept(&first, "a").await;
    assert_eq!(lab.answered().await.0, 1);
    let ends = BTreeSet::from([lab.unsent().await, lab.unsent().await].map(|(id, why)| (id, format!("{why:?}"))));
    assert_eq!(ends, BTreeSet::from([(2, "Deadline".to_owned()), (3, "Expired".to_owned())]));
    assert_eq!(smsc.submitted().await.reference(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_write_is_taken_back_at_the_deadline() {
    let mut lab = Lab::with(config(), 250, 0, 64);
    let mut smsc = lab.bound().await;
    let deadline = lab.clock_in(SECOND);
    let messages = (1..=5).map(|id| Outbound { deadline, ..lab.message(id, Lane::Auth) });
    lab.relay.submit(messages.collect());
    // The pipe takes 250 octets: two PDUs and a piece of the third.
    tokio::time::sleep(2 * SECOND).await;
    for id in 1..=2 {
        assert_eq!(smsc.submitted().await.reference(), id);
    }
    assert!(smsc.next().await.is_none(), "half a PDU is not completed after its deadline");
    let mut ends = Vec::new();
    for _ in 1..=5 {
        ends.push(match lab.news().await {
            Event::Answered { id, parts, .. } => (id, parts == [PartAnswer::Unknown]),
            Event::Unsent { id, why, .. } => (id, why != UnsentReason::Deadline),
            other => panic!("{other:?}"),
        });
    }
    ends.sort_unstable();
    assert_eq!(ends, [(1, true), (2, true), (3, true), (4, false), (5, false)]);
}

#[tokio::test(start_paused = true)]
async fn a_text_outside_the_coding_is_not_sent() {
    let mut lab = Lab::new(config());
    let mut smsc = lab.bound().await;
    lab.relay.submit(vec![Outbound { text: "🙂".into(), ..lab.message(1, Lane::Bulk) }]);
    assert_eq!(lab.unsent().await, (1, UnsentReason::Encoding(Code::UnencodableCharacter)));
    assert!(smsc.is_silent(SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_link_is_probed_and_a_dead_one_replaced() {
    let mut lab = Lab::new(config());
    let mut smsc = lab.bound().await;
    let probe = smsc.expect(CommandId::ENQUIRE_LINK).await;
    assert_eq!(lab.elapsed().as_secs(), 30);
    smsc.header(CommandId::ENQUIRE_LINK_RESP, 0, probe.sequence).await;
    let probe = smsc.expect(CommandId::ENQUIRE_LINK).await;
    assert_eq!(lab.elapsed().as_secs(), 60);
    smsc.header(CommandId::GENERIC_NACK, status::ESME_RINVCMDID, probe.sequence).await;
    smsc.expect(CommandId::ENQUIRE_LINK).await;
    assert!(smsc.next().await.is_none());
    assert_eq!(lab.elapsed().as_secs(), 93);
    lab.bound().await;
}

#[tokio::test(start_paused = true)]
async fn an_unbind_by_the_relay_is_answered_and_followed_by_a_new_bind() {
    let mut lab = Lab::new(config());
    let mut smsc = lab.bound().await;
    smsc.header(CommandId::UNBIND, 0, 9).await;
    assert_eq!(smsc.expect(CommandId::UNBIND_RESP).await.sequence, 9);
    assert!(smsc.next().await.is_none());
    assert!(matches!(lab.event().await, Event::Link { up: false, binds: 0, .. }));
    lab.bound().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_drains_unbinds_and_gives_the_queue_back() {
    let mut lab = Lab::new(RelayConfig { window: 2, ..config() });
    let mut smsc = lab.bound().await;
    lab.submit(1..=4, Lane::Auth);
    let first = smsc.submitted().await;
    let second = smsc.submitted().await;
    let stop = tokio::spawn(lab.relay.stop(10 * SECOND));
    let mut given_back = [lab.unsent().await, lab.unsent().await];
    given_back.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(given_back, [(3, UnsentReason::Stopped), (4, UnsentReason::Stopped)]);
    smsc.accept(&second, "b").await;
    assert_eq!(lab.answered().await, (2, accepted("b")));
    assert!(!stop.is_finished());
    smsc.accept(&first, "a").await;
    assert_eq!(lab.answered().await, (1, accepted("a")));
    let unbind = smsc.expect(CommandId::UNBIND).await;
    smsc.header(CommandId::UNBIND_RESP, 0, unbind.sequence).await;
    assert!(smsc.next().await.is_none());
    stop.await.expect("the stop ends");
    assert!(lab.elapsed() < SECOND);
    lab.submit([5], Lane::Auth);
    assert!(matches!(lab.news().await, Event::Unsent { id: 5, why: UnsentReason::Stopped, .. }));
    assert!(lab.has_no_connection());
}

#[tokio::test(start_paused = true)]
async fn a_stop_gives_up_on_a_silent_relay() {
    let mut lab = Lab::new(config());
    let mut smsc = lab.bound().await;
    lab.submit([1], Lane::Auth);
    smsc.submitted().await;
    let stop = lab.relay.stop(SECOND);
    assert_eq!(lab.answered().await, (1, vec![PartAnswer::Unknown]));
    smsc.expect(CommandId::UNBIND).await;
    stop.await;
    assert!((2000..2100).contains(&lab.elapsed().as_millis()), "{:?}", lab.elapsed());
}

#[tokio::test(start_paused = true)]
async fn new_credentials_take_effect_on_a_new_bind_after_the_drain() {
    let mut lab = Lab::new(config());
    let mut smsc = lab.bound().await;
    lab.submit([1], Lane::Auth);
    let pdu = smsc.submitted().await;
    lab.relay.reconfigure(RelayConfig { system_id: "other".to_owned(), ..config() });
    assert!(smsc.is_silent(SECOND).await);
    smsc.accept(&pdu, "a").await;
    assert_eq!(lab.answered().await, (1, accepted("a")));
    assert!(lab.has_no_connection());
    let unbind = smsc.expect(CommandId::UNBIND).await;
    smsc.header(CommandId::UNBIND_RESP, 0, unbind.sequence).await;
    let smsc = lab.bound().await;
    assert_eq!(smsc.config.system_id, "other");
}

#[tokio::test(start_paused = true)]
async fn binds_come_and_go_and_the_window_follows_at_once() {
    let mut lab = Lab::new(RelayConfig { window: 2, ..config() });
    let mut one = lab.bound().await;
    lab.relay.reconfigure(RelayConfig { window: 2, binds: 2, ..config() });
    let mut two = lab.bound().await;
    assert_eq!((lab.relay.health().binds, lab.relay.health().window), (2, 4));
    lab.relay.reconfigure(RelayConfig { window: 3, binds: 1, ..config() });
    let unbind = two.expect(CommandId::UNBIND).await;
    two.header(CommandId::UNBIND_RESP, 0, unbind.sequence).await;
    while !matches!(lab.event().await, Event::Link { up: true, binds: 1, .. }) {}
    lab.submit(1..=5, Lane::Auth);
    for id in 1..=3 {
        assert_eq!(one.submitted().await.reference(), id);
    }
    assert!(one.is_silent(SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn a_full_event_channel_stops_reading_but_loses_nothing() {
    let mut lab = Lab::with(config(), 1024 * 1024, 0, 1);
    let mut smsc = lab.bound().await;
    lab.submit(1..=50, Lane::Auth);
    let mut pdus = Vec::new();
    for _ in 1..=50 {
        pdus.push(smsc.submitted().await);
    }
    for pdu in &pdus {
        smsc.accept(pdu, "z").await;
        tokio::task::yield_now().await;
    }
    // Longer than the response timer: answers that nobody read are not late.
    tokio::time::sleep(5 * SECOND).await;
    for id in 1..=50 {
        assert_eq!(lab.answered().await, (id, accepted("z")));
    }
    assert_eq!(lab.relay.health().binds, 1);
}

#[tokio::test(start_paused = true)]
async fn a_backlog_is_written_in_few_writes() {
    let mut lab = Lab::new(RelayConfig { window: 1000, ..config() });
    let mut smsc = lab.bound().await;
    let before = smsc.reads;
    lab.submit(1..=500, Lane::Bulk);
    for _ in 1..=500 {
        smsc.submitted().await;
    }
    assert!(smsc.reads - before <= 500 / 20, "{} reads", smsc.reads - before);
}

#[tokio::test(start_paused = true)]
async fn a_bulk_backlog_leaves_window_and_turn_to_auth() {
    let mut lab = Lab::new(RelayConfig { window: 10, ..config() });
    let mut smsc = lab.bound().await;
    lab.submit(1..=50, Lane::Bulk);
    let mut first = Vec::new();
    for id in 1..=8 {
        first.push(smsc.submitted().await);
        assert_eq!(first[first.len() - 1].reference(), id);
    }
    assert!(smsc.is_silent(SECOND).await);
    assert_eq!(lab.relay.room(Lane::Bulk), 0);
    assert!(lab.relay.room(Lane::Auth) > 0);
    lab.submit([100, 101], Lane::Auth);
    assert_eq!(smsc.submitted().await.reference(), 100);
    assert_eq!(smsc.submitted().await.reference(), 101);
    answer_all(&mut smsc, &first).await;
    assert_eq!(smsc.submitted().await.reference(), 9);
}

async fn answer_all(smsc: &mut Smsc, pdus: &[smsc::Pdu]) {
    for pdu in pdus {
        smsc.accept(pdu, "q").await;
    }
}

#[tokio::test(start_paused = true)]
async fn room_is_bounded_by_window_rate_and_queue() {
    let mut lab = Lab::new(RelayConfig { rate_per_s: 1000.0, window: 500, ..config() });
    assert_eq!(lab.relay.room(Lane::Auth), 0);
    let mut smsc = lab.bound().await;
    lab.room.notified().await;
    // A refill is 50: one for the free window, one to wait.
    assert_eq!((lab.relay.room(Lane::Auth), lab.relay.room(Lane::Bulk)), (100, 80));
    lab.submit(1..=80, Lane::Bulk);
    assert_eq!(lab.relay.room(Lane::Bulk), 0);
    assert_eq!(lab.relay.room(Lane::Auth), 100);
    lab.room.notified().await;
    assert!(lab.relay.room(Lane::Bulk) >= 60);
    while let Ok(pdu) = tokio::time::timeout(SECOND, smsc.submitted()).await {
        smsc.accept(&pdu, "r").await;
    }
    assert_eq!(lab.relay.room(Lane::Bulk), 80);
}
