//! One endpoint: takes what happened from the log, calls, and stores what came of it, a step at a time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bongsu_domain::webhook::{Answer, Line, Take, Verdict, after_call};
use bongsu_domain::{Clock, DeliveryId, EventId, Secret, Timestamp, WebhookId};
use bongsu_send::Service;
use bongsu_store::facts::Event;
use bongsu_store::webhooks::{self, Called, DeliveryState, Loaded, Standing, WebhookRow};
use bongsu_store::{Error, Store};
use bongsu_wire::webhook as wire;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::body::Telling;
use crate::client::{Client, Connections, Message, Refused, Seen};
use crate::metrics::Metrics;

/// Events that wait before one endpoint in memory and in the store; the log keeps the rest.
pub const WAITING_MAX: usize = 4_000;
/// Events that one step reads.
const READ_MAX: u32 = 500;
/// So far the log may be read past events that the endpoint does not want before that is noted in the store: the positions
/// of a minute, which are in time order like ids.
const SKIPPED_MAX: i64 = 60_000 << 22;

/// What all endpoints of a process use.
pub(crate) struct Shared {
    pub(crate) service: Service,
    pub(crate) client: Client,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    /// Under which this process owns endpoints.
    pub(crate) me: i64,
}

impl Shared {
    pub(crate) fn store(&self) -> &Store {
        self.service.store()
    }
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Something was done: there may be more.
    Did,
    /// Nothing to do before a call ends, an event happens, or this moment.
    Idle {
        /// When something is due; never when nothing waits.
        until: Timestamp,
    },
    /// It is another process's now, or gone.
    Lost,
}

/// How one call ended.
struct Ended {
    id: i64,
    seen: Result<Seen, Refused>,
    at: Timestamp,
    took_ms: u32,
}

/// What the line does not know of a delivery.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    /// Calls so far.
    calls: u16,
    /// It is told as a list.
    is_batch: bool,
}

/// An endpoint that this process calls.
pub struct Endpoint {
    shared: Arc<Shared>,
    id: WebhookId,
    row: WebhookRow,
    secrets: (Vec<u8>, Option<(Vec<u8>, Timestamp)>),
    line: Line,
    events: BTreeMap<i64, Event>,
    /// What else is known of each delivery.
    tallies: HashMap<i64, Tally>,
    under_way: JoinSet<Ended>,
    /// Ended, and not in the store yet.
    ended: Vec<Ended>,
    connections: Arc<Connections>,
    /// Position up to which the log was read; the store may know a lower one.
    read_to: i64,
    /// The log may have more.
    has_news: bool,
    /// What is in memory is to be read again.
    is_stale: bool,
}

impl Endpoint {
    pub(crate) async fn open(shared: Arc<Shared>, id: WebhookId) -> Result<Option<Self>, Error> {
        let Some(loaded) = webhooks::load(shared.store(), shared.me, id).await? else { return Ok(None) };
        let mut endpoint = Self {
            shared,
            id,
            row: loaded.row.clone(),
            secrets: Default::default(),
            line: Line::default(),
            events: BTreeMap::new(),
            tallies: HashMap::new(),
            under_way: JoinSet::new(),
            ended: Vec::new(),
            connections: Arc::default(),
            read_to: 0,
            has_news: true,
            is_stale: false,
        };
        endpoint.take_over(loaded);
        Ok(Some(endpoint))
    }

    /// Everything as it is stored.
    fn take_over(&mut self, loaded: Loaded) {
        let Loaded { row, secret, old_secret, events, deliveries } = loaded;
        self.line = Line::default();
        self.events = events.into_iter().map(|event| (event.position, event)).collect();
        self.tallies.clear();
        let mut in_deliveries = std::collections::BTreeSet::new();
        for stored in deliveries {
            let messages =
                stored.delivery.positions.iter().filter_map(|at| Some(self.events.get(at)?.message)).collect();
            in_deliveries.extend(stored.delivery.positions.iter().copied());
            self.tallies.insert(stored.id, Tally { calls: stored.calls, is_batch: stored.is_batch });
            self.line.restore(stored.id, stored.delivery, messages);
        }
        for event in self.events.values().filter(|event| !in_deliveries.contains(&event.position)) {
            self.line.push(event.position, event.message);
        }
        if row.settings.url != self.row.settings.url {
            self.connections = Arc::default();
        }
        self.read_to = row.read_to;
        self.secrets = (secret, old_secret);
        self.row = row;
        (self.has_news, self.is_stale) = (true, false);
    }

    /// The clock it goes by.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.shared.clock.clone()
    }

    /// What it is about.
    pub fn id(&self) -> WebhookId {
        self.id
    }

    /// The store has another version of it: it is read again when no call is under way.
    pub(crate) fn look(&mut self, version: i64) {
        self.is_stale |= version != self.row.version;
    }

    /// Something happened that it may have to tell.
    pub fn wake(&mut self) {
        self.has_news = true;
    }

    /// Calls under way.
    pub fn calls_under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Waits until a call ends; for ever when none is under way.
    pub async fn call_ended(&mut self) {
        match self.under_way.join_next().await {
            Some(ended) => self.ended.extend(ended.ok()),
            None => std::future::pending().await,
        }
    }

    /// Does what can be done now: stores calls that ended, takes events, starts calls. Never waits for a call.
    ///
    /// # Errors
    /// Those of the store; nothing is lost, the next step tries again.
    pub async fn step(&mut self) -> Result<Progress, Error> {
        while let Some(ended) = self.under_way.try_join_next() {
            self.ended.extend(ended.ok());
        }
        let mut did = !self.ended.is_empty();
        if did && self.settle().await? == Standing::Lost {
            return Ok(Progress::Lost);
        }
        if self.is_stale {
            if !self.under_way.is_empty() {
                return Ok(Progress::Idle { until: Timestamp::MAX });
            }
            match webhooks::load(self.shared.store(), self.shared.me, self.id).await? {
                Some(loaded) => self.take_over(loaded),
                None => return Ok(Progress::Lost),
            }
        }
        if self.row.disabled.is_some() {
            return Ok(Progress::Idle { until: Timestamp::MAX });
        }
        match self.fill().await? {
            None => return Ok(Progress::Lost),
            Some(filled) => did |= filled,
        }
        match self.start().await? {
            None => return Ok(Progress::Lost),
            Some(started) => did |= started,
        }
        if did || self.is_stale {
            return Ok(Progress::Did);
        }
        let is_full = self.under_way.len() >= usize::from(self.row.settings.concurrency);
        let due = self.line.next_due().filter(|_| !is_full);
        Ok(Progress::Idle { until: due.map_or(Timestamp::MAX, Timestamp::from_millis) })
    }

    /// Takes what happened since from the log. None: it is not ours any more.
    async fn fill(&mut self) -> Result<Option<bool>, Error> {
        let room = WAITING_MAX.saturating_sub(self.line.len()).min(READ_MAX as usize) as u32;
        if !self.has_news || room == 0 {
            return Ok(Some(false));
        }
        let store = self.shared.store();
        let page = store.events(Some(self.row.account), self.read_to, room).await?;
        let is_all = page.events.len() < room as usize;
        let wanted = |event: &Event| {
            let names = &self.row.settings.events;
            let is_wanted = names.is_empty() || names.iter().any(|name| name == event.kind.as_str());
            is_wanted && !self.events.contains_key(&event.position)
        };
        let events: Vec<Event> = page.events.into_iter().filter(wanted).collect();
        if !events.is_empty() || page.next - self.row.read_to > SKIPPED_MAX {
            match webhooks::fill(store, self.shared.me, self.key(), events.clone(), page.next).await? {
                Standing::Same => self.row.read_to = page.next,
                Standing::Changed => {
                    self.is_stale = true;
                    return Ok(Some(true));
                }
                Standing::Lost => return Ok(None),
            }
        }
        self.read_to = page.next;
        self.has_news = !is_all;
        for event in &events {
            self.line.push(event.position, event.message);
            self.events.insert(event.position, *event);
        }
        Ok(Some(!is_all || !events.is_empty()))
    }

    fn key(&self) -> (WebhookId, i64) {
        (self.id, self.row.version)
    }

    /// Starts calls as many as there may be. None: it is not ours any more.
    async fn start(&mut self) -> Result<Option<bool>, Error> {
        if self.is_stale || self.shared.store().validity().is_some_and(|validity| !validity.is_good()) {
            return Ok(Some(false));
        }
        let now = self.shared.clock.now();
        let batch = usize::from(self.row.settings.batch);
        let mut ready: Vec<i64> = Vec::new();
        let mut formed: Vec<i64> = Vec::new();
        while self.under_way.len() + ready.len() < usize::from(self.row.settings.concurrency) {
            match self.line.take(now.millis(), batch) {
                Some(Take::Again(id)) => ready.push(id),
                Some(Take::New(positions)) => {
                    let id = match self.shared.store().new_id() {
                        Ok(id) => id,
                        Err(error) => {
                            // What was taken off the line is read again as it is stored.
                            self.is_stale = true;
                            return Err(error);
                        }
                    };
                    self.line.form(id, positions);
                    self.tallies.insert(id, Tally { calls: 0, is_batch: batch > 1 });
                    ready.push(id);
                    formed.push(id);
                }
                None => break,
            }
        }
        if ready.is_empty() {
            return Ok(Some(false));
        }
        let standing = self.announce(&ready, &formed, now).await;
        if !matches!(standing, Ok(Standing::Same)) {
            // Nothing was called: all of it is read again as it is stored.
            self.is_stale = true;
        }
        Ok(if standing? == Standing::Lost { None } else { Some(true) })
    }

    async fn announce(&mut self, ready: &[i64], formed: &[i64], now: Timestamp) -> Result<Standing, Error> {
        let is_batch = |id: &&i64| self.tallies.get(id).is_some_and(|tally| tally.is_batch);
        if formed.iter().any(|id| is_batch(&id)) {
            // The same events under the same id, whatever happens from here on.
            let new = formed.iter().map(|id| self.called(*id, now)).collect();
            let standing = webhooks::form(self.shared.store(), self.shared.me, self.key(), new).await?;
            if standing != Standing::Same {
                return Ok(standing);
            }
        }
        let bodies = self.bodies(ready, now).await?;
        for (id, event_id, body) in bodies {
            self.call(id, &event_id, body, now);
        }
        Ok(Standing::Same)
    }

    /// What is told by each delivery: its id, its `webhook-id`, its body.
    async fn bodies(&self, ready: &[i64], now: Timestamp) -> Result<Vec<(i64, String, Bytes)>, Error> {
        let events_of = |id: &i64| -> Vec<Event> {
            let positions = self.line.get(*id).map(|delivery| delivery.positions.as_slice()).unwrap_or_default();
            positions.iter().filter_map(|position| self.events.get(position).copied()).collect()
        };
        let all: Vec<(i64, Vec<Event>)> = ready.iter().map(|id| (*id, events_of(id))).collect();
        let mut ids: Vec<i64> = all.iter().flat_map(|(_, events)| events.iter().map(|event| event.message)).collect();
        ids.sort_unstable();
        ids.dedup();
        let messages = self.shared.service.briefs(self.row.account, ids).await?;
        let numbers = all.iter().flat_map(|(_, events)| events.iter().filter_map(|event| event.relay));
        let relays = numbers.map(|no| (no, self.shared.service.relay_name(no))).collect();
        let telling = Telling { messages: &messages, relays: &relays, include_pii: self.row.settings.include_pii };
        let told = all.iter().map(|(id, events)| match events.as_slice() {
            [event] if !self.tallies.get(id).is_some_and(|tally| tally.is_batch) => {
                (*id, EventId(event.position).to_string(), Bytes::from(telling.one(event)))
            }
            events => (*id, DeliveryId(*id).to_string(), Bytes::from(telling.several(events, now))),
        });
        Ok(told.collect())
    }

    fn call(&mut self, id: i64, event_id: &str, body: Bytes, now: Timestamp) {
        let (secret, old) = &self.secrets;
        let old = old.as_ref().filter(|(_, until)| now < *until).map(|(old, _)| old);
        let secrets: Vec<Vec<u8>> = [Some(secret), old].into_iter().flatten().cloned().collect();
        let headers = headers(event_id, now, &secrets, self.row.settings.header.as_ref(), &body);
        let message = Message { headers, body };
        let (shared, connections, url) = (self.shared.clone(), self.connections.clone(), self.row.settings.url.clone());
        self.under_way.spawn(async move {
            let began = Instant::now();
            let seen = shared.client.call(&url, &message, &connections).await;
            Ended { id, seen, at: now, took_ms: u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX) }
        });
    }

    /// A delivery as its row says it before a call ended.
    fn called(&self, id: i64, now: Timestamp) -> Called {
        let delivery = self.line.get(id).cloned();
        let tally = self.tallies.get(&id).copied().unwrap_or_default();
        let (positions, failures) = delivery.map(|d| (d.positions, d.failures)).unwrap_or_default();
        let events: Vec<&Event> = positions.iter().filter_map(|position| self.events.get(position)).collect();
        let first = events.first();
        let same = first.filter(|first| events.iter().all(|event| event.message == first.message));
        Called {
            id,
            message: same.map_or(0, |event| event.message),
            kind: first.map_or(bongsu_store::facts::EventKind::Accepted, |event| event.kind),
            positions,
            is_batch: tally.is_batch,
            state: DeliveryState::Pending,
            calls: tally.calls,
            failures,
            due: now,
            at: Timestamp(0),
            http: None,
            took_ms: 0,
            reason: None,
            answer: Vec::new(),
        }
    }

    /// Stores what came of the calls that ended, and then goes on from there.
    async fn settle(&mut self) -> Result<Standing, Error> {
        let now = self.shared.clock.now();
        let mut called = Vec::with_capacity(self.ended.len());
        let mut verdicts = Vec::with_capacity(self.ended.len());
        let mut is_gone = false;
        for ended in &self.ended {
            let one = self.called(ended.id, now);
            let answer = ended.seen.as_ref().map_or(Answer::None, |seen| seen.answer(now));
            let mut verdict = after_call(now, one.failures, &self.row.settings.schedule, answer);
            if verdict == Verdict::Gone {
                // Its events stay first in line, for the day somebody enables it again.
                is_gone = true;
                verdict = Verdict::Again { at: now, pause: false };
            }
            let (state, due) = match verdict {
                Verdict::Delivered => (DeliveryState::Delivered, now),
                Verdict::Again { at, .. } => (DeliveryState::Pending, at),
                Verdict::Exhausted | Verdict::Gone => (DeliveryState::Exhausted, now),
            };
            let seen = ended.seen.as_ref();
            called.push(Called {
                state,
                due,
                calls: one.calls.saturating_add(1),
                failures: one.failures.saturating_add(u16::from(state != DeliveryState::Delivered)),
                at: ended.at,
                http: seen.ok().map(|seen| seen.status),
                took_ms: ended.took_ms,
                reason: seen.err().map(|refused| refused.as_str()),
                answer: seen.map(|seen| seen.text.clone()).unwrap_or_default(),
                ..one
            });
            verdicts.push(verdict);
        }
        let store = self.shared.store();
        let standing = webhooks::settle(store, self.shared.me, self.key(), called.clone(), is_gone).await?;
        if standing == Standing::Lost {
            return Ok(standing);
        }
        self.is_stale |= standing == Standing::Changed;
        // Calls that were under way beside the first one may answer the same.
        if is_gone && self.row.disabled.is_none() {
            self.row.disabled = Some(webhooks::Disabled::Gone);
            Metrics::count(&self.shared.metrics.disabled);
            tracing::warn!(webhook = %self.id, "a webhook answered 410 Gone and is disabled");
        }
        self.ended.clear();
        self.go_on(&called, &verdicts, now);
        Ok(standing)
    }

    fn go_on(&mut self, called: &[Called], verdicts: &[Verdict], now: Timestamp) {
        let was_full = self.line.len() >= WAITING_MAX;
        let metrics = &self.shared.metrics;
        for (one, verdict) in called.iter().zip(verdicts) {
            Metrics::count(if *verdict == Verdict::Delivered { &metrics.delivered } else { &metrics.failed });
            self.tallies.insert(one.id, Tally { calls: one.calls, is_batch: one.is_batch });
            if let Verdict::Again { at, pause } = verdict {
                self.line.again(one.id, at.millis());
                if *pause {
                    self.line.pause(at.millis());
                }
                continue;
            }
            if *verdict == Verdict::Exhausted {
                Metrics::count(&metrics.exhausted);
            }
            self.line.done(one.id);
            self.tallies.remove(&one.id);
            for position in &one.positions {
                self.events.remove(position);
            }
        }
        if was_full && verdicts.contains(&Verdict::Delivered) {
            // It answers again and has a whole line of old failures: no later event comes in before they are told.
            self.line.hurry(now.millis());
        }
    }

    /// Waits for the calls under way, at most so long, and stores what came of them.
    pub async fn finish(mut self, within: Duration) {
        let until = Instant::now() + within;
        while !self.under_way.is_empty() && tokio::time::timeout_at(until, self.call_ended()).await.is_ok() {}
        self.under_way.abort_all();
        if !self.ended.is_empty()
            && let Err(error) = self.settle().await
        {
            tracing::warn!(%error, webhook = %self.id, "what a webhook answered last could not be stored; it is called again");
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.shared.metrics.endpoints.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The headers of a call besides those of HTTP.
pub fn headers(
    id: &str,
    now: Timestamp,
    secrets: &[Vec<u8>],
    own: Option<&(String, Secret)>,
    body: &[u8],
) -> Vec<(HeaderName, HeaderValue)> {
    let seconds = now.millis().div_euclid(1_000);
    let secrets: Vec<wire::SigningSecret> =
        secrets.iter().filter_map(|bytes| wire::SigningSecret::new(bytes.clone())).collect();
    let signature = wire::signatures(&secrets, id, seconds, body);
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::with_capacity(4);
    let mut put = |name: &str, value: &str| {
        if let (Ok(name), Ok(value)) = (name.parse(), value.parse()) {
            headers.push((name, value));
        }
    };
    put(wire::ID, id);
    put(wire::TIMESTAMP, &seconds.to_string());
    put(wire::SIGNATURE, &signature);
    if let Some((name, value)) = own {
        put(name, value.expose());
    }
    headers
}
