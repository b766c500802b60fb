//! Messages that wait to leave the process.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{OUTGOING_BYTES_MAX, OUTGOING_MAX};
use crate::counter::Counter;

/// The least time between two gaps that others are told of. All their receivers look elsewhere for what they missed, so
/// a bus that drops all the time must not ask for that all the time.
const GAP_EVERY: Duration = Duration::from_secs(1);

/// A message on its way: the channel of its topic, and the message in its frame.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) channel: String,
    pub(super) frame: Vec<u8>,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    inside: Mutex<Inside>,
    rung: Notify,
    pub(super) dropped: Counter,
}

#[derive(Debug, Default)]
struct Inside {
    waiting: VecDeque<Outgoing>,
    bytes: usize,
    /// Whether others have yet to be told that something was dropped.
    owes_gap: bool,
    gap_told: Option<Instant>,
}

/// What leaves together.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) messages: Vec<Outgoing>,
    pub(super) gap: bool,
}

impl Outbox {
    pub(super) fn put(&self, outgoing: Outgoing) {
        let mut inside = self.lock();
        let size = outgoing.size();
        let mut dropped = 0;
        while inside.waiting.len() >= OUTGOING_MAX || inside.bytes + size > OUTGOING_BYTES_MAX {
            let Some(oldest) = inside.waiting.pop_front() else { break };
            inside.bytes -= oldest.size();
            dropped += 1;
        }
        inside.owes_gap |= dropped > 0;
        inside.bytes += size;
        inside.waiting.push_back(outgoing);
        drop(inside);
        self.dropped.add(dropped);
        self.rung.notify_one();
    }

    /// Takes the oldest, up to so many messages and about so many bytes; `None` when there is nothing to say now.
    pub(super) fn take(&self, max: usize, bytes_max: usize) -> Option<Batch> {
        let mut inside = self.lock();
        let now = Instant::now();
        let gap = inside.owes_gap && inside.gap_told.is_none_or(|told| now - told >= GAP_EVERY);
        if gap {
            (inside.owes_gap, inside.gap_told) = (false, Some(now));
        }
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while messages.len() < max && bytes < bytes_max {
            let Some(next) = inside.waiting.pop_front() else { break };
            bytes += next.size();
            messages.push(next);
        }
        inside.bytes -= bytes;
        (gap || !messages.is_empty()).then_some(Batch { messages, gap })
    }

    /// These were taken and nobody knows whether they arrived.
    pub(super) fn lost(&self, count: usize) {
        self.lock().owes_gap = true;
        self.dropped.add(count as u64);
    }

    /// Waits for a message; it may also return without one.
    pub(super) async fn rung(&self) {
        self.rung.notified().await;
    }

    pub(super) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outgoing {
    fn size(&self) -> usize {
        self.channel.len() + self.frame.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(outbox: &Outbox, count: usize, size: usize) {
        (0..count).for_each(|_| outbox.put(Outgoing { channel: String::new(), frame: vec![0; size] }));
    }

    #[test]
    fn batches_are_bounded_in_messages_and_bytes() {
        let outbox = Outbox::default();
        put(&outbox, 5, 100);
        let sizes = || outbox.take(3, 250).map(|batch| batch.messages.len());
        assert_eq!([sizes(), sizes(), sizes()], [Some(3), Some(2), None]);
        put(&outbox, 5, 200);
        assert_eq!([sizes(), sizes(), sizes(), sizes()], [Some(2), Some(2), Some(1), None]);
        assert_eq!(outbox.lock().bytes, 0);
    }

    #[test]
    fn bytes_push_the_oldest_out() {
        let outbox = Outbox::default();
        put(&outbox, 3, OUTGOING_BYTES_MAX / 2);
        assert_eq!((outbox.len(), outbox.dropped.get()), (2, 1));
    }

    #[tokio::test]
    async fn gaps_are_told_at_once_but_not_all_the_time() {
        let outbox = Outbox::default();
        let gap = || outbox.take(10, 10).map(|batch| batch.gap);
        assert_eq!(gap(), None);
        outbox.lost(1);
        assert_eq!(gap(), Some(true));
        outbox.lost(1);
        put(&outbox, 1, 1);
        // Told a moment ago, however slow this test is.
        outbox.lock().gap_told = Some(Instant::now() + GAP_EVERY * 3600);
        assert_eq!([gap(), gap()], [Some(false), None]);
        outbox.lock().gap_told = Instant::now().checked_sub(GAP_EVERY);
        assert_eq!([gap(), gap()], [Some(true), None]);
    }
}
