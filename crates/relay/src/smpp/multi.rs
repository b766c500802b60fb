//! Messages of several parts on one session: which parts are to be written, and which answers came.

use std::collections::VecDeque;

use bongsu_domain::time::Timestamp;

use crate::{Event, Outbound, PartAnswer};

/// One message of several parts.
pub(super) struct Multi {
    pub(super) message: Outbound,
    pub(super) parts: Vec<Vec<u8>>,
    answers: Vec<Option<PartAnswer>>,
    /// Parts to write, in order.
    unwritten: VecDeque<u8>,
    /// Parts written whose answer is awaited.
    in_flight: u8,
    written_at: Option<Timestamp>,
}

/// What becomes of a message that is not continued.
pub(super) enum Left {
    /// The relay has nothing of it.
    Unsent(Outbound),
    /// Every part is answered or unknown.
    Answered(Event),
    /// Answers are still to come.
    Open,
}

impl Multi {
    fn new(message: Outbound, parts: Vec<Vec<u8>>) -> Multi {
        let count = u8::try_from(parts.len()).expect("at most 255 parts");
        let answers = vec![None; parts.len()];
        Multi { message, parts, answers, unwritten: (0..count).collect(), in_flight: 0, written_at: None }
    }

    /// The part to write next.
    pub(super) fn next(&self) -> Option<u8> {
        self.unwritten.front().copied()
    }

    /// The next part is in the write buffer.
    pub(super) fn on_written(&mut self, now: Timestamp) {
        self.unwritten.pop_front();
        self.in_flight += 1;
        self.written_at.get_or_insert(now);
    }

    /// The relay has nothing of `part`: it was not written after all, or throttled.
    pub(super) fn on_returned(&mut self, part: u8) {
        self.in_flight -= 1;
        let place = self.unwritten.partition_point(|other| *other < part);
        self.unwritten.insert(place, part);
        if self.is_untouched() {
            self.written_at = None;
        }
    }

    fn on_answer(&mut self, part: u8, answer: PartAnswer) {
        self.in_flight -= 1;
        self.answers[usize::from(part)] = Some(answer);
    }

    fn is_untouched(&self) -> bool {
        self.in_flight == 0 && self.answers.iter().all(Option::is_none)
    }

    fn is_done(&self) -> bool {
        self.in_flight == 0 && self.unwritten.is_empty()
    }

    fn into_event(self, relay: u8, now: Timestamp) -> Event {
        Event::Answered {
            relay,
            id: self.message.id,
            attempt: self.message.attempt,
            written_at: self.written_at.unwrap_or(now),
            answered_at: now,
            parts: self.answers.into_iter().map(|answer| answer.unwrap_or(PartAnswer::Unknown)).collect(),
        }
    }
}

/// The messages of several parts on one session.
#[derive(Default)]
pub(super) struct Multis {
    slots: Vec<Option<Multi>>,
    free: Vec<usize>,
    /// Those with parts to write; the first is the one to go on with.
    open: VecDeque<usize>,
}

impl Multis {
    /// Adds a message, before all others if it is `urgent`.
    pub(super) fn add(&mut self, message: Outbound, parts: Vec<Vec<u8>>, urgent: bool) -> usize {
        let multi = Some(Multi::new(message, parts));
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index] = multi;
                index
            }
            None => {
                self.slots.push(multi);
                self.slots.len() - 1
            }
        };
        if urgent {
            self.open.push_front(index)
        } else {
            self.open.push_back(index)
        }
        index
    }

    /// The message to go on with.
    pub(super) fn current(&mut self) -> Option<(usize, &mut Multi)> {
        while let Some(index) = self.open.front().copied() {
            if self.slots[index].as_ref().is_some_and(|multi| !multi.unwritten.is_empty()) {
                return self.slots[index].as_mut().map(|multi| (index, multi));
            }
            self.open.pop_front();
        }
        None
    }

    pub(super) fn get(&mut self, index: usize) -> Option<&mut Multi> {
        self.slots.get_mut(index)?.as_mut()
    }

    pub(super) fn is_open(&mut self) -> bool {
        self.current().is_some()
    }

    /// A part came back and has to be written again.
    pub(super) fn give_back(&mut self, index: usize, part: u8) {
        if let Some(multi) = self.get(index) {
            multi.on_returned(part);
            if !self.open.contains(&index) {
                self.open.push_front(index);
            }
        }
    }

    /// An answer came; the event when it was the last one.
    pub(super) fn answer(
        &mut self,
        index: usize,
        part: u8,
        answer: PartAnswer,
        relay: u8,
        now: Timestamp,
    ) -> Option<Event> {
        let multi = self.get(index)?;
        multi.on_answer(part, answer);
        if !multi.is_done() {
            return None;
        }
        Some(self.remove(index)?.into_event(relay, now))
    }

    /// No further part of it is written.
    pub(super) fn give_up(&mut self, index: usize, relay: u8, now: Timestamp) -> Left {
        let Some(multi) = self.get(index) else {
            return Left::Open;
        };
        if multi.is_untouched() {
            return self.remove(index).map_or(Left::Open, |multi| Left::Unsent(multi.message));
        }
        multi.unwritten.clear();
        if multi.in_flight > 0 {
            return Left::Open;
        }
        self.remove(index).map_or(Left::Open, |multi| Left::Answered(multi.into_event(relay, now)))
    }

    /// The session ends: what was written and not answered is unknown.
    pub(super) fn settle(&mut self, relay: u8, now: Timestamp) -> Vec<Left> {
        self.open.clear();
        self.free.clear();
        let settled = self.slots.drain(..).flatten().map(|multi| {
            if multi.is_untouched() {
                Left::Unsent(multi.message)
            } else {
                Left::Answered(multi.into_event(relay, now))
            }
        });
        settled.collect()
    }

    fn remove(&mut self, index: usize) -> Option<Multi> {
        let multi = self.slots.get_mut(index)?.take()?;
        self.open.retain(|open| *open != index);
        self.free.push(index);
        Some(multi)
    }
}
