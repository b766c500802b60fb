//! What waits for one receiver, and the receiver's end of it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::registry::Registry;
use super::{WAITING_BYTES_MAX, WAITING_MAX};

/// What a receiver gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A message.
    Message(Arc<[u8]>),
    /// So many messages were lost here, because this receiver did not keep up. They were older than the next one.
    Lagged(u64),
    /// Messages of other processes may have been missed before this moment.
    Gap,
}

/// Listens to one topic.
#[derive(Debug)]
pub struct BusReceiver {
    number: u64,
    mailbox: Arc<Mailbox>,
    registry: Arc<Registry>,
    topic: Arc<str>,
}

impl BusReceiver {
    pub(super) fn new(number: u64, mailbox: Arc<Mailbox>, registry: Arc<Registry>, topic: Arc<str>) -> BusReceiver {
        BusReceiver { number, mailbox, registry, topic }
    }

    /// Waits for what comes next; `None` when the bus is gone and nothing waits any more. May be dropped at any time
    /// without a loss.
    pub async fn recv(&mut self) -> Option<Heard> {
        loop {
            match self.mailbox.take() {
                Next::Heard(heard) => return Some(heard),
                Next::Closed => return None,
                Next::Nothing => self.mailbox.rung.notified().await,
            }
        }
    }

    /// What waits, if anything does.
    pub fn try_recv(&mut self) -> Option<Heard> {
        match self.mailbox.take() {
            Next::Heard(heard) => Some(heard),
            Next::Closed | Next::Nothing => None,
        }
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }
}

impl Drop for BusReceiver {
    fn drop(&mut self) {
        self.registry.leave(&self.topic, self.number);
    }
}

#[derive(Debug, Default)]
pub(super) struct Mailbox {
    inside: Mutex<Inside>,
    rung: Notify,
}

#[derive(Debug, Default)]
struct Inside {
    messages: VecDeque<Arc<[u8]>>,
    bytes: usize,
    lost: u64,
    gap: bool,
    closed: bool,
}

enum Next {
    Heard(Heard),
    Nothing,
    Closed,
}

impl Mailbox {
    /// Puts a message in; returns how many it pushed out.
    pub(super) fn put(&self, message: &Arc<[u8]>) -> u64 {
        let mut inside = self.lock();
        let mut lost = 0;
        while inside.messages.len() >= WAITING_MAX || inside.bytes + message.len() > WAITING_BYTES_MAX {
            let Some(oldest) = inside.messages.pop_front() else { break };
            inside.bytes -= oldest.len();
            lost += 1;
        }
        inside.lost += lost;
        inside.bytes += message.len();
        inside.messages.push_back(message.clone());
        drop(inside);
        self.rung.notify_one();
        lost
    }

    /// Notes a gap. It comes before the messages that wait, so that it cannot be pushed out; whoever makes up for it
    /// then has seen more than the gap asks for.
    #[cfg(feature = "redis")]
    pub(super) fn gap(&self) {
        self.lock().gap = true;
        self.rung.notify_one();
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.rung.notify_one();
    }

    fn take(&self) -> Next {
        let mut inside = self.lock();
        if std::mem::take(&mut inside.gap) {
            return Next::Heard(Heard::Gap);
        }
        let lost = std::mem::take(&mut inside.lost);
        if lost > 0 {
            return Next::Heard(Heard::Lagged(lost));
        }
        match inside.messages.pop_front() {
            Some(message) => {
                inside.bytes -= message.len();
                Next::Heard(Heard::Message(message))
            }
            None if inside.closed => Next::Closed,
            None => Next::Nothing,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
