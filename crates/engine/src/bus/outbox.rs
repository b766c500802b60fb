//! Messages that wait to leave the process.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{OUTGOING_BYTES_MAX, OUTGOING_MAX};
use crate::counter::Counter;

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

    /// Takes the oldest, up to so many messages and about so many bytes; `None` when there is nothing to say.
    pub(super) fn take(&self, max: usize, bytes_max: usize) -> Option<Batch> {
        let mut inside = self.lock();
        let gap = std::mem::take(&mut inside.owes_gap);
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
