//! The relay of the fixed test numbers: it answers like one, and nothing leaves the process.
//!
//! What becomes of a number is fixed (`PhoneNumber::test_number`): delivered, switched off, unknown subscriber, delivered, no
//! result ever, a repeated receipt, a receipt before the answer, throttled twice and then delivered. Answer and receipt are
//! told together, so that a process that is killed leaves no message without its result.

use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::channel::Channel;
use bongsu_domain::lane::Lane;
use bongsu_domain::time::{Clock, Timestamp};
use bongsu_wire::smpp::status::ESME_RTHROTTLED;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::{
    Ack, Counters, Event, Health, MessageState, Outbound, PartAnswer, RelayConfig, RelayPort, RelayReceipt,
    UnsentReason,
};

/// Its number in claims: above those of relays.
pub const NUMBER: u8 = 63;
/// Its name; none of a relay has an underscore.
pub const NAME: &str = "bongsu_test";
/// Parts that it takes at a time.
const ROOM: u32 = 1_000;
/// The test number that is throttled, and how often.
const THROTTLED: (u8, u8) = (8, 2);

/// The relay of the test numbers.
pub struct Simulated {
    events: mpsc::Sender<Vec<Event>>,
    clock: Arc<dyn Clock>,
    since: Timestamp,
}

/// Starts it; it is up at once and stays so.
pub fn start(events: mpsc::Sender<Vec<Event>>, clock: Arc<dyn Clock>) -> Arc<dyn RelayPort> {
    let since = clock.now();
    Arc::new(Simulated { events, clock, since })
}

/// What is told of one message, list by list.
fn tell(message: &Outbound, now: Timestamp) -> Vec<Vec<Event>> {
    let (id, attempt) = (message.id, message.attempt);
    let unsent = |why| vec![vec![Event::Unsent { relay: NUMBER, id, attempt, why }]];
    if now > message.deadline {
        return unsent(UnsentReason::Deadline);
    }
    if now >= message.expires {
        return unsent(UnsentReason::Expired);
    }
    let Some(number) = message.to.test_number() else {
        // Nobody books another number here; a defect must not count as sent.
        return unsent(UnsentReason::Down);
    };
    // The reference of every attempt is its own: a receipt of the first must not end the second.
    let relay_id = format!("{id:x}-{attempt}");
    let answered = |answer: PartAnswer| Event::Answered {
        relay: NUMBER,
        id,
        attempt,
        written_at: now,
        answered_at: now,
        parts: vec![answer],
    };
    if (number, true) == (THROTTLED.0, attempt <= THROTTLED.1) {
        return vec![vec![answered(PartAnswer::Refused(ESME_RTHROTTLED))]];
    }
    let taken = answered(PartAnswer::Accepted(relay_id.clone()));
    let receipt = |state, err: &str| Event::Receipt(receipt(message, &relay_id, state, err, now));
    let delivered = || receipt(MessageState::Delivered, "000");
    match number {
        2 => vec![vec![taken, receipt(MessageState::Expired, "027")]],
        3 => vec![vec![taken, receipt(MessageState::Undeliverable, "001")]],
        5 => vec![vec![taken]],
        6 => vec![vec![taken, delivered(), delivered()]],
        7 => vec![vec![delivered()], vec![taken]],
        _ => vec![vec![taken, delivered()]],
    }
}

fn receipt(message: &Outbound, relay_id: &str, state: MessageState, err: &str, now: Timestamp) -> RelayReceipt {
    RelayReceipt {
        relay: NUMBER,
        relay_id: relay_id.to_owned(),
        state,
        err: Some(err.to_owned()),
        to: message.to.national().to_owned(),
        from: message.from.national().to_owned(),
        reference: Some(bongsu_domain::id::reference(message.id)),
        raw: format!("id:{relay_id} stat:{state:?} err:{err}").into_bytes(),
        at: now,
        ack: Ack::none(),
    }
}

impl RelayPort for Simulated {
    fn parts(&self, _: Channel, _: &str) -> u8 {
        1
    }

    fn room(&self, _: Lane) -> u32 {
        ROOM
    }

    fn submit(&self, messages: Vec<Outbound>) {
        let (events, clock) = (self.events.clone(), self.clock.clone());
        tokio::spawn(async move {
            for message in messages {
                for list in tell(&message, clock.now()) {
                    // The settling side is gone only when the process ends; the next start settles the claim.
                    let _ = events.send(list).await;
                }
            }
        });
    }

    fn health(&self) -> Health {
        Health {
            up: true,
            since: self.since,
            binds: 1,
            window: ROOM,
            window_used: 0,
            queued: 0,
            throttled: false,
            counters: Counters::default(),
        }
    }

    fn reconfigure(&self, _: RelayConfig) {}

    fn stop(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

#[cfg(test)]
mod tests {
    use bongsu_domain::phone::PhoneNumber;

    use super::*;

    fn outbound(number: u8, attempt: u8) -> Outbound {
        Outbound {
            id: 0x1234_5678,
            attempt,
            lane: Lane::Realtime,
            deadline: Timestamp(2_000),
            expires: Timestamp(3_000),
            to: PhoneNumber::from_national(&format!("0100000000{number}")).expect("digits"),
            from: PhoneNumber::from_national("0212345678").expect("digits"),
            channel: Channel::Sms,
            text: "t".into(),
            subject: None,
            parts: 1,
        }
    }

    /// What is told in short: `a` taken, `t` throttled, `u` not sent, else the state of a receipt; lists are parted by a bar.
    fn told(number: u8, attempt: u8, now: i64) -> String {
        let word = |event: &Event| match event {
            Event::Answered { parts, .. } if matches!(parts[0], PartAnswer::Accepted(_)) => "a".to_owned(),
            Event::Answered { .. } => "t".to_owned(),
            Event::Receipt(receipt) => format!("{:?}", receipt.state),
            _ => "u".to_owned(),
        };
        let lists = tell(&outbound(number, attempt), Timestamp(now));
        lists.iter().map(|list| list.iter().map(word).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn every_number_has_its_outcome() {
        let table = [
            (1, "a Delivered"),
            (2, "a Expired"),
            (3, "a Undeliverable"),
            (4, "a Delivered"),
            (5, "a"),
            (6, "a Delivered Delivered"),
            (7, "Delivered | a"),
            (8, "t"),
        ];
        for (number, expected) in table {
            assert_eq!(told(number, 1, 1_000), expected, "number {number}");
        }
        assert_eq!((told(8, 2, 1_000), told(8, 3, 1_000)), ("t".into(), "a Delivered".into()));
    }

    #[test]
    fn nothing_is_taken_after_its_deadline_or_for_another_number() {
        assert_eq!(told(1, 1, 2_001), "u");
        assert_eq!(told(9, 1, 1_000), "u");
    }
}
