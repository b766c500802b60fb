//! Who listens to what in this process, and which topics the server has yet to be told of.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

#[cfg(feature = "redis")]
use tokio::sync::Notify;

use super::mailbox::{BusReceiver, Mailbox};
use super::{Counts, RECEIVERS_MAX, Refused, TOPIC_MAX};

#[derive(Debug)]
pub(super) struct Registry {
    inside: RwLock<Inside>,
    /// Whether there is a server that has to know the topics.
    follows: bool,
    #[cfg(feature = "redis")]
    changed: Notify,
    pub(super) counts: Counts,
}

#[derive(Debug, Default)]
struct Inside {
    topics: HashMap<Arc<str>, Topic>,
    /// Topics that began or ended since the server was last told.
    changes: HashSet<Arc<str>>,
    receivers: usize,
    /// The number of the latest receiver.
    last: u64,
    closed: bool,
}

#[derive(Debug, Default)]
struct Topic {
    /// By the number of the receiver.
    mailboxes: HashMap<u64, Arc<Mailbox>>,
    /// Whether messages of other processes come in.
    #[cfg(feature = "redis")]
    live: bool,
}

/// What the server has to be told.
#[cfg(feature = "redis")]
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) begun: Vec<Arc<str>>,
    pub(super) ended: Vec<Arc<str>>,
}

impl Registry {
    pub(super) fn new(follows: bool) -> Registry {
        Registry {
            inside: RwLock::default(),
            follows,
            #[cfg(feature = "redis")]
            changed: Notify::new(),
            counts: Counts::default(),
        }
    }

    pub(super) fn join(self: &Arc<Self>, topic: &str) -> Result<BusReceiver, Refused> {
        let refuse = |why| {
            self.counts.refused.add(1);
            Err(why)
        };
        if topic.len() > TOPIC_MAX {
            return refuse(Refused::Topic);
        }
        let mut inside = self.write();
        if inside.receivers >= RECEIVERS_MAX {
            return refuse(Refused::Receivers);
        }
        let mailbox = Arc::new(Mailbox::default());
        if inside.closed {
            mailbox.close();
        }
        inside.receivers += 1;
        inside.last += 1;
        let number = inside.last;
        let name = match inside.topics.get_key_value(topic) {
            Some((name, _)) => name.clone(),
            None => self.begin(&mut inside, topic),
        };
        inside.topics.entry(name.clone()).or_default().mailboxes.insert(number, mailbox.clone());
        Ok(BusReceiver::new(number, mailbox, self.clone(), name))
    }

    fn begin(&self, inside: &mut Inside, topic: &str) -> Arc<str> {
        let name: Arc<str> = topic.into();
        self.change(inside, &name);
        name
    }

    pub(super) fn leave(&self, topic: &Arc<str>, number: u64) {
        let mut inside = self.write();
        let Some(here) = inside.topics.get_mut(topic) else { return };
        if here.mailboxes.remove(&number).is_none() {
            return;
        }
        let empty = here.mailboxes.is_empty();
        inside.receivers -= 1;
        if empty {
            inside.topics.remove(topic);
            self.change(&mut inside, topic);
        }
    }

    fn change(&self, inside: &mut Inside, topic: &Arc<str>) {
        if self.follows {
            inside.changes.insert(topic.clone());
            #[cfg(feature = "redis")]
            self.changed.notify_one();
        }
    }

    /// Hands a message to the receivers of this process.
    pub(super) fn deliver(&self, topic: &str, message: &[u8]) {
        let inside = self.read();
        let Some(here) = inside.topics.get(topic) else { return };
        let message: Arc<[u8]> = message.into();
        let lost: u64 = here.mailboxes.values().map(|mailbox| mailbox.put(&message)).sum();
        self.counts.lagged.add(lost);
    }

    pub(super) fn receivers(&self) -> usize {
        self.read().receivers
    }

    pub(super) fn close(&self) {
        let mut inside = self.write();
        inside.closed = true;
        inside.topics.values().flat_map(|topic| topic.mailboxes.values()).for_each(|mailbox| mailbox.close());
    }

    fn read(&self) -> RwLockReadGuard<'_, Inside> {
        self.inside.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inside> {
        self.inside.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What only a bus with a server needs.
#[cfg(feature = "redis")]
impl Registry {
    /// Waits until a topic begins or ends; it may also return without one.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes up to `max` topics that began or ended. One that did both is told as it is now, for the server does not mind
    /// hearing something twice.
    pub(super) fn changes(&self, max: usize) -> Changes {
        let mut inside = self.write();
        let some: Vec<Arc<str>> = inside.changes.iter().take(max).cloned().collect();
        let mut changes = Changes::default();
        for topic in some {
            inside.changes.remove(&topic);
            match inside.topics.get(&topic) {
                Some(here) if here.live => {}
                Some(_) => changes.begun.push(topic),
                None => changes.ended.push(topic),
            }
        }
        changes
    }

    /// The server was not reached about these; they are told another time.
    pub(super) fn not_told(&self, topics: impl Iterator<Item = Arc<str>>) {
        self.write().changes.extend(topics);
    }

    /// Messages of other processes come in for these topics from now on; their receivers have missed what came before.
    pub(super) fn live(&self, topics: &[Arc<str>]) {
        let mut inside = self.write();
        for topic in topics {
            if let Some(here) = inside.topics.get_mut(topic) {
                here.live = true;
                self.tell_gap(here);
            }
        }
    }

    /// Nothing comes in any more; all topics have to be told again.
    pub(super) fn cut(&self) {
        let mut inside = self.write();
        inside.topics.values_mut().for_each(|here| here.live = false);
        inside.changes = inside.topics.keys().cloned().collect();
    }

    /// Another process dropped something.
    pub(super) fn gap(&self) {
        self.read().topics.values().for_each(|here| self.tell_gap(here));
    }

    fn tell_gap(&self, here: &Topic) {
        here.mailboxes.values().for_each(|mailbox| mailbox.gap());
        self.counts.gaps.add(here.mailboxes.len() as u64);
    }
}
