//! Messages between claim and result: what memory knows about each, and how answers and receipts find it.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard};

use bongsu_domain::map::{IdMap, QuickMap};
use bongsu_domain::{AccountId, Channel, Code, Lane, Tried, Unit};

/// Submitted messages that memory keeps; the oldest over it go to the store.
pub const WAITING_MAX: usize = 200_000;
/// Finished parts that are remembered, to tell a repeated receipt from a stray one.
const RECENT_MAX: usize = 100_000;

/// One message on its way.
#[derive(Debug, Clone)]
pub struct Flight {
    /// The message.
    pub id: i64,
    /// The attempt.
    pub attempt: u8,
    /// Number of the relay.
    pub relay: u8,
    /// Lane.
    pub lane: Lane,
    /// Account.
    pub account: AccountId,
    /// Channel.
    pub channel: Channel,
    /// Price frozen at accept.
    pub price: (Unit, i64),
    /// Worthless at, Unix milliseconds.
    pub expires: i64,
    /// Since when it could leave, Unix milliseconds: its accept, its time, the end of the night.
    pub since: i64,
    /// Claimed at, Unix milliseconds.
    pub claimed: i64,
    /// Written at, Unix milliseconds.
    pub submitted: i64,
    /// Answered by the relay at, Unix milliseconds, 0 while it is not.
    pub answered: i64,
    /// The claim that holds it, 0 when the store found it again.
    pub claim: i64,
    /// Plain keyed hash of the recipient.
    pub recipient: i64,
    /// The relay's ids, with the code of each part once it is known. Empty before the answer.
    pub parts: Vec<Part>,
    /// Tries before this one.
    pub history: Vec<Tried>,
}

/// One part of a submitted message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The relay's id.
    pub relay_id: String,
    /// Its result.
    pub code: Option<Code>,
}

impl Flight {
    /// The parts as the store keeps them: one line a part, id, tab, code.
    pub fn lines(&self) -> String {
        lines(&self.parts)
    }
}

/// One line a part: its id, then a tab and the number of its code once it is known.
pub fn lines(parts: &[Part]) -> String {
    let mut text = String::with_capacity(parts.len() * 12);
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            text.push('\n');
        }
        text.push_str(&part.relay_id);
        if let Some(code) = part.code.filter(|_| parts.len() > 1) {
            text.push('\t');
            text.push_str(&code.number().to_string());
        }
    }
    text
}

/// Reads what [`lines`] wrote.
pub fn parse_lines(text: &str) -> Vec<Part> {
    text.split('\n')
        .map(|line| match line.split_once('\t') {
            Some((id, code)) => Part { relay_id: id.into(), code: code.parse().ok().and_then(Code::from_number) },
            None => Part { relay_id: line.into(), code: None },
        })
        .collect()
}

/// Where a receipt belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The message.
    pub id: i64,
    /// Its attempt.
    pub attempt: u8,
    /// Its part, from 0.
    pub part: u8,
}

/// All flights of this process.
pub struct Flights {
    inner: Mutex<Inner>,
}

/// The flights, while they are locked.
pub struct Inner {
    hasher: RandomState,
    flights: IdMap<Flight>,
    claims: IdMap<u32>,
    /// By a keyed hash of relay, the relay's id and the recipient.
    by_relay_id: QuickMap<u64, Place>,
    recent: QuickMap<u64, Place>,
    recent_order: VecDeque<u64>,
    waiting: VecDeque<(i64, i64, u8)>,
}

impl Default for Flights {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner {
                hasher: RandomState::new(),
                flights: IdMap::default(),
                claims: IdMap::default(),
                by_relay_id: QuickMap::default(),
                recent: QuickMap::default(),
                recent_order: VecDeque::new(),
                waiting: VecDeque::new(),
            }),
        }
    }
}

impl Flights {
    /// Locks them; hold it only while values move.
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Inner {
    /// A claim was written: its messages leave now.
    pub fn depart(&mut self, claim: i64, flights: Vec<Flight>) {
        if !flights.is_empty() {
            self.claims.insert(claim, flights.len() as u32);
        }
        for flight in flights {
            self.flights.insert(flight.id, flight);
        }
    }

    /// The flight of an attempt.
    pub fn get_mut(&mut self, id: i64, attempt: u8) -> Option<&mut Flight> {
        self.flights.get_mut(&id).filter(|flight| flight.attempt == attempt)
    }

    /// Messages between claim and result.
    pub fn count(&self) -> usize {
        self.flights.len()
    }

    /// Puts back a flight that the store found again.
    pub fn revive(&mut self, flight: Flight) {
        self.flights.entry(flight.id).or_insert(flight);
    }

    /// The relay took a message: from now on its receipts find it.
    pub fn submitted(&mut self, id: i64) {
        let Some(flight) = self.flights.get(&id) else { return };
        let (relay, recipient, attempt) = (flight.relay, flight.recipient, flight.attempt);
        for (at, part) in flight.parts.iter().enumerate() {
            let key = self.hasher.hash_one((relay, part.relay_id.as_str(), recipient));
            self.by_relay_id.insert(key, Place { id, attempt, part: at as u8 });
        }
        self.waiting.push_back((flight.submitted, id, attempt));
    }

    /// Where a receipt belongs: a waiting part, or one that was finished lately (`true`).
    pub fn find(&self, relay: u8, relay_id: &str, recipient: i64) -> Option<(Place, bool)> {
        let key = self.hasher.hash_one((relay, relay_id, recipient));
        let waiting = self.by_relay_id.get(&key).map(|place| (*place, false));
        waiting.or_else(|| self.recent.get(&key).map(|place| (*place, true)))
    }

    /// A message left memory. Answers the flight, and its claim when that was the last one of it.
    pub fn land(&mut self, id: i64, attempt: u8) -> Option<(Flight, Option<i64>)> {
        if self.flights.get(&id).is_none_or(|flight| flight.attempt != attempt) {
            return None;
        }
        let flight = self.flights.remove(&id)?;
        for (at, part) in flight.parts.iter().enumerate() {
            let key = self.hasher.hash_one((flight.relay, part.relay_id.as_str(), flight.recipient));
            let place = Place { id, attempt, part: at as u8 };
            if self.by_relay_id.get(&key) == Some(&place) {
                self.by_relay_id.remove(&key);
            }
            self.remember(key, place);
        }
        let done = self.claim_counted(flight.claim);
        Some((flight, done))
    }

    fn remember(&mut self, key: u64, place: Place) {
        if self.recent.insert(key, place).is_none() {
            self.recent_order.push_back(key);
        }
        while self.recent_order.len() > RECENT_MAX {
            if let Some(old) = self.recent_order.pop_front() {
                self.recent.remove(&old);
            }
        }
    }

    fn claim_counted(&mut self, claim: i64) -> Option<i64> {
        let left = self.claims.get_mut(&claim)?;
        *left -= 1;
        if *left > 0 {
            return None;
        }
        self.claims.remove(&claim);
        Some(claim)
    }

    /// Submitted messages that were written before `before`, or are over the limit: they leave memory.
    pub fn stale(&mut self, before: i64, max: usize) -> Vec<(Flight, Option<i64>)> {
        let mut left = Vec::new();
        while left.len() < max {
            let over = self.waiting.len() > WAITING_MAX;
            let Some(&(submitted, id, attempt)) = self.waiting.front() else { break };
            if submitted >= before && !over {
                break;
            }
            self.waiting.pop_front();
            let key_of = |flight: &Flight| flight.attempt == attempt && !flight.parts.is_empty();
            if self.flights.get(&id).is_some_and(key_of) {
                left.extend(self.forget(id));
            }
        }
        left
    }

    /// Lets go of a flight that was only revived to take a receipt.
    pub fn forget_stored(&mut self, id: i64) {
        if self.flights.get(&id).is_some_and(|flight| flight.claim == 0) {
            self.flights.remove(&id);
        }
    }

    /// As [`Inner::land`], but its receipts are still to come: they are not remembered as finished.
    fn forget(&mut self, id: i64) -> Option<(Flight, Option<i64>)> {
        let flight = self.flights.remove(&id)?;
        for part in &flight.parts {
            let key = self.hasher.hash_one((flight.relay, part.relay_id.as_str(), flight.recipient));
            self.by_relay_id.remove(&key);
        }
        let done = self.claim_counted(flight.claim);
        Some((flight, done))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight(id: i64, claim: i64, relay_id: &str) -> Flight {
        Flight {
            id,
            attempt: 1,
            relay: 2,
            lane: Lane::Bulk,
            account: AccountId(1),
            channel: Channel::Sms,
            price: (Unit::PointSms, 1),
            expires: 0,
            since: 0,
            claimed: 0,
            submitted: id,
            answered: 0,
            claim,
            recipient: 77,
            parts: vec![Part { relay_id: relay_id.into(), code: None }],
            history: Vec::new(),
        }
    }

    #[test]
    fn a_claim_ends_with_its_last_message() {
        let flights = Flights::default();
        let mut inner = flights.lock();
        inner.depart(9, vec![flight(1, 9, "a"), flight(2, 9, "b")]);
        assert_eq!(inner.land(1, 1).unwrap().1, None);
        assert_eq!(inner.land(2, 1).unwrap().1, Some(9));
        assert!(inner.land(2, 1).is_none());
    }

    #[test]
    fn a_receipt_finds_its_part_while_waiting_and_after() {
        let flights = Flights::default();
        let mut inner = flights.lock();
        inner.depart(9, vec![flight(1, 9, "a")]);
        inner.submitted(1);
        let place = Place { id: 1, attempt: 1, part: 0 };
        assert_eq!(inner.find(2, "a", 77), Some((place, false)));
        assert_eq!(inner.find(2, "a", 78), None);
        inner.land(1, 1);
        assert_eq!(inner.find(2, "a", 77), Some((place, true)));
    }

    #[test]
    fn the_oldest_leave_memory_first_and_only_if_they_still_wait() {
        let flights = Flights::default();
        let mut inner = flights.lock();
        inner.depart(9, vec![flight(1, 9, "a"), flight(2, 9, "b"), flight(3, 9, "c")]);
        for id in 1..=3 {
            inner.submitted(id);
        }
        inner.land(1, 1);
        let left: Vec<i64> = inner.stale(3, 10).into_iter().map(|(flight, _)| flight.id).collect();
        assert_eq!(left, [2]);
        assert_eq!(inner.find(2, "b", 77), None);
    }

    #[test]
    fn part_lines_round_trip() {
        let parts = vec![
            Part { relay_id: "12".into(), code: Some(Code::OkDelivered) },
            Part { relay_id: "13".into(), code: None },
        ];
        assert_eq!(parse_lines(&lines(&parts)), parts);
    }
}
