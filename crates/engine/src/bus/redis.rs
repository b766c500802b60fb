//! The bus on Redis: one connection carries what is published and what is heard; own receivers do not need it.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::Clock;
use redis::{PushInfo, PushKind, Value, cmd};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::outbox::{Batch, Outbox, Outgoing};
use super::registry::{Changes, Registry};
use super::{Bus, BusHealth, BusMetrics, BusReceiver, MESSAGE_MAX, Refused};
use crate::counter::Counter;
use crate::link::{Held, Link, NoAnswer, OnPush};
use crate::{OpenError, RedisConfig};

/// How often a connection is asked whether it still lives.
const PING_EVERY: Duration = Duration::from_secs(1);
/// How long an answer may take. Nobody waits for it.
const PATIENCE: Duration = Duration::from_secs(2);
/// Topics that one command names.
const TOPICS_AT_ONCE: usize = 500;
/// Messages that are written together, and their bytes.
const MESSAGES_AT_ONCE: usize = 512;
const BYTES_AT_ONCE: usize = 1024 * 1024;
/// Bytes before a message: the origin.
const HEADER: usize = 8;

pub(super) struct Redis {
    inside: Arc<Inside>,
    keeper: JoinHandle<()>,
}

struct Inside {
    link: Arc<Link>,
    registry: Arc<Registry>,
    outbox: Outbox,
    ear: Arc<Ear>,
    sent: Counter,
}

/// What comes in from the server.
struct Ear {
    registry: Arc<Registry>,
    /// Tells this bus's own messages, which its receivers have heard already, from those of others.
    origin: [u8; HEADER],
    topics: String,
    gaps: String,
    heard: Counter,
}

impl Redis {
    pub(super) fn open(config: &RedisConfig, clock: Arc<dyn Clock>) -> Result<Redis, OpenError> {
        let link = Arc::new(Link::new(config, clock)?);
        let registry = Arc::new(Registry::new(true));
        let ear = Arc::new(Ear {
            registry: registry.clone(),
            // It has to differ from those of all others, and nothing else: no behaviour follows from its value, so it
            // need not be repeatable like other randomness.
            origin: RandomState::new().hash_one(0_u8).to_be_bytes(),
            topics: format!("{}t:", config.prefix),
            gaps: format!("{}gaps", config.prefix),
            heard: Counter::default(),
        });
        let inside = Arc::new(Inside { link, registry, outbox: Outbox::default(), ear, sent: Counter::default() });
        let keeper = tokio::spawn(keep(inside.clone()));
        Ok(Redis { inside, keeper })
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.keeper.abort();
        self.inside.link.close();
        self.inside.registry.close();
    }
}

/// Keeps a connection for as long as the bus lives. It counts as up when the server knows all topics.
async fn keep(inside: Arc<Inside>) {
    let ear = inside.ear.clone();
    let on_push: OnPush = Arc::new(move |push| ear.hear(push));
    loop {
        let held = inside.link.connect(Some(on_push.clone())).await;
        inside.registry.cut();
        if inside.listen_for_gaps(&held).await.is_ok() && inside.follow(&held).await.is_ok() {
            inside.link.admit(held.clone());
            inside.serve(&held).await;
        }
    }
}

impl Inside {
    /// Works until the connection is cut.
    async fn serve(&self, held: &Held) {
        let mut ticks = tokio::time::interval(PING_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Failures are noted by the link, which ends this when they are of the connection.
        loop {
            let _ = tokio::select! {
                // First of all: what waits is not taken out for a connection that is known to be gone.
                biased;
                () = self.link.was_cut() => return,
                () = self.registry.changed() => self.follow(held).await,
                _ = ticks.tick() => self.tick(held).await,
                () = self.outbox.rung() => self.flush().await,
            };
        }
    }

    /// Asks whether the server lives, and tries again what it refused.
    async fn tick(&self, held: &Held) -> Result<(), NoAnswer> {
        self.link.call(PATIENCE, async |mut link| cmd("PING").query_async::<()>(&mut link).await).await?;
        self.follow(held).await?;
        self.flush().await
    }

    async fn listen_for_gaps(&self, held: &Held) -> Result<(), NoAnswer> {
        self.link.call_on(held.clone(), PATIENCE, async |mut link| link.subscribe(&self.ear.gaps).await).await
    }

    /// Tells the server which topics began and ended.
    async fn follow(&self, held: &Held) -> Result<(), NoAnswer> {
        loop {
            let Changes { begun, ended } = self.registry.changes(TOPICS_AT_ONCE);
            if begun.is_empty() && ended.is_empty() {
                return Ok(());
            }
            let told = self.tell(held, &begun, &ended).await;
            if told.is_err() {
                self.registry.not_told(begun.into_iter().chain(ended));
                return told;
            }
            self.registry.live(&begun);
        }
    }

    async fn tell(&self, held: &Held, begun: &[Arc<str>], ended: &[Arc<str>]) -> Result<(), NoAnswer> {
        let channels = |topics: &[Arc<str>]| topics.iter().map(|topic| self.ear.channel(topic)).collect::<Vec<_>>();
        let (begun, ended) = (channels(begun), channels(ended));
        if !ended.is_empty() {
            self.link.call_on(held.clone(), PATIENCE, async |mut link| link.unsubscribe(&ended).await).await?;
        }
        if !begun.is_empty() {
            self.link.call_on(held.clone(), PATIENCE, async |mut link| link.subscribe(&begun).await).await?;
        }
        Ok(())
    }

    /// Sends what waits. A batch without an answer is not sent again, for it may have arrived.
    async fn flush(&self) -> Result<(), NoAnswer> {
        while self.link.held().is_some() {
            let Some(Batch { messages, gap }) = self.outbox.take(MESSAGES_AT_ONCE, BYTES_AT_ONCE) else { break };
            let mut batch = redis::Pipeline::with_capacity(messages.len() + 1);
            if gap {
                batch.cmd("PUBLISH").arg(&self.ear.gaps).arg(&self.ear.origin).ignore();
            }
            for message in &messages {
                batch.cmd("PUBLISH").arg(&message.channel).arg(&message.frame).ignore();
            }
            let sent = self.link.call(PATIENCE, async |mut link| batch.query_async::<()>(&mut link).await).await;
            if sent.is_err() {
                self.outbox.lost(messages.len());
                return sent;
            }
            self.sent.add(messages.len() as u64);
        }
        Ok(())
    }
}

impl Ear {
    fn channel(&self, topic: &str) -> String {
        format!("{}{topic}", self.topics)
    }

    fn frame(&self, message: &[u8]) -> Vec<u8> {
        [&self.origin, message].concat()
    }

    /// Takes what the server sends. Others may write to these channels too, so anything may come.
    fn hear(&self, push: PushInfo) {
        if push.kind != PushKind::Message {
            return;
        }
        let [Value::BulkString(channel), Value::BulkString(frame)] = push.data.as_slice() else { return };
        let Some((origin, message)) = frame.split_at_checked(HEADER).filter(|(_, rest)| rest.len() <= MESSAGE_MAX)
        else {
            self.registry.counts.refused.add(1);
            return;
        };
        if origin == self.origin {
            return;
        }
        if channel == self.gaps.as_bytes() {
            self.registry.gap();
        } else if let Some(topic) = channel.strip_prefix(self.topics.as_bytes()).and_then(|t| str::from_utf8(t).ok()) {
            self.heard.add(1);
            self.registry.deliver(topic, message);
        }
    }
}

impl Bus for Redis {
    fn publish(&self, topic: &str, message: &[u8]) {
        let inside = &self.inside;
        if inside.registry.counts.fits(topic, message) {
            inside.registry.deliver(topic, message);
            inside.outbox.put(Outgoing { channel: inside.ear.channel(topic), frame: inside.ear.frame(message) });
        }
    }

    fn subscribe(&self, topic: &str) -> Result<BusReceiver, Refused> {
        self.inside.registry.join(topic)
    }

    fn health(&self) -> BusHealth {
        let status = self.inside.link.status();
        let outgoing = self.inside.outbox.len();
        BusHealth { up: status.up, since: status.since, last_error: status.last_error, outgoing }
    }

    fn metrics(&self) -> BusMetrics {
        let inside = &self.inside;
        BusMetrics {
            sent: inside.sent.get(),
            dropped: inside.outbox.dropped.get(),
            heard: inside.ear.heard.get(),
            failures: inside.link.failures.get(),
            connects: inside.link.connects.get(),
            ..inside.registry.counts.metrics(inside.registry.receivers())
        }
    }
}
