//! What waits for one endpoint: which events may go now, and which wait for an earlier one of their message.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Events that are told together, and how that went so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Positions of the events, ascending.
    pub positions: Vec<i64>,
    /// Failed calls so far.
    pub failures: u16,
    /// When it is due, Unix milliseconds.
    pub due: i64,
}

/// What can be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Take {
    /// Call again with this delivery.
    Again(i64),
    /// Make a delivery of these events.
    New(Vec<i64>),
}

/// The line before one endpoint. Events of one message go in the order of their positions, one delivery of it at a time;
/// those of other messages pass a delivery that waits to be tried again.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// Events in no delivery yet: position and message.
    waiting: BTreeMap<i64, i64>,
    deliveries: HashMap<i64, (Delivery, Vec<i64>)>,
    /// Deliveries that nobody is calling with, by when they are due.
    due: BTreeSet<(i64, i64)>,
    /// Messages of which deliveries have events, and how many of these: a replay may bring a second one.
    held: HashMap<i64, u32>,
    /// Nothing goes before, Unix milliseconds.
    paused_until: i64,
}

impl Line {
    /// Events that are here, in deliveries or not.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.deliveries.values().map(|(delivery, _)| delivery.positions.len()).sum::<usize>()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.deliveries.is_empty()
    }

    /// The lowest position here.
    pub fn oldest(&self) -> Option<i64> {
        let in_deliveries = self.deliveries.values().filter_map(|(delivery, _)| delivery.positions.first().copied());
        self.waiting.keys().next().copied().into_iter().chain(in_deliveries).min()
    }

    /// An event came: later ones have higher positions.
    pub fn push(&mut self, position: i64, message: i64) {
        self.waiting.insert(position, message);
    }

    /// A delivery of events that are not in the line, as it was stored, with the message of each.
    pub fn restore(&mut self, id: i64, delivery: Delivery, messages: Vec<i64>) {
        self.hold(&messages);
        self.due.insert((delivery.due, id));
        self.deliveries.insert(id, (delivery, messages));
    }

    /// What can be done now: a delivery that is due, else up to `batch` events of messages of which nothing is under way.
    /// What is answered is under way until [`Line::done`], [`Line::again`] or [`Line::form`].
    pub fn take(&mut self, now_ms: i64, batch: usize) -> Option<Take> {
        if now_ms < self.paused_until {
            return None;
        }
        if let Some(first) = self.due.first().copied().filter(|(due, _)| *due <= now_ms) {
            self.due.remove(&first);
            return Some(Take::Again(first.1));
        }
        // A message that a delivery holds keeps all its later events here, so order within a batch is order of positions.
        let free = self.waiting.iter().filter(|(_, message)| !self.held.contains_key(message));
        let events: Vec<i64> = free.take(batch).map(|(position, _)| *position).collect();
        (!events.is_empty()).then_some(Take::New(events))
    }

    /// Events that [`Line::take`] answered become a delivery, with a call under way.
    pub fn form(&mut self, id: i64, positions: Vec<i64>) {
        let messages: Vec<i64> = positions.iter().filter_map(|position| self.waiting.remove(position)).collect();
        self.hold(&messages);
        let delivery = Delivery { positions, failures: 0, due: 0 };
        self.deliveries.insert(id, (delivery, messages));
    }

    /// A delivery.
    pub fn get(&self, id: i64) -> Option<&Delivery> {
        self.deliveries.get(&id).map(|(delivery, _)| delivery)
    }

    /// A delivery is over, delivered or not: what waited for it may go.
    pub fn done(&mut self, id: i64) {
        let Some((delivery, messages)) = self.deliveries.remove(&id) else { return };
        self.due.remove(&(delivery.due, id));
        for message in messages {
            if let Some(held) = self.held.get_mut(&message) {
                *held -= 1;
                if *held == 0 {
                    self.held.remove(&message);
                }
            }
        }
    }

    fn hold(&mut self, messages: &[i64]) {
        for message in messages {
            *self.held.entry(*message).or_default() += 1;
        }
    }

    /// A call failed; the next one is at `due`.
    pub fn again(&mut self, id: i64, due: i64) {
        if let Some((delivery, _)) = self.deliveries.get_mut(&id) {
            delivery.failures = delivery.failures.saturating_add(1);
            delivery.due = due;
            self.due.insert((due, id));
        }
    }

    /// Nothing goes before this moment, Unix milliseconds.
    pub fn pause(&mut self, until_ms: i64) {
        self.paused_until = self.paused_until.max(until_ms);
    }

    /// What waits to be tried again is due now: the endpoint answers again.
    pub fn hurry(&mut self, now_ms: i64) -> Vec<i64> {
        let later: Vec<(i64, i64)> = self.due.iter().copied().filter(|(due, _)| *due > now_ms).collect();
        for (due, id) in &later {
            self.due.remove(&(*due, *id));
            self.due.insert((now_ms, *id));
            if let Some((delivery, _)) = self.deliveries.get_mut(id) {
                delivery.due = now_ms;
            }
        }
        later.into_iter().map(|(_, id)| id).collect()
    }

    /// When something may be due next, Unix milliseconds; none when nothing waits for a time.
    pub fn next_due(&self) -> Option<i64> {
        let free = self.waiting.values().any(|message| !self.held.contains_key(message));
        let due = if free { Some(0) } else { self.due.first().map(|(due, _)| *due) };
        due.map(|due| due.max(self.paused_until))
    }
}
