//! What the rest of the program asks of the send room.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bongsu_domain::{AccountId, Channel, Code, Lane, MessageId, Timestamp};
use bongsu_relay::Health;
use bongsu_store::{Kind, Store};
use tokio::sync::{Semaphore, watch};

use crate::accept::store_refusal;
use crate::dispatch::Shared;
use crate::gate::Gate;
use crate::pipeline::{self, Tasks};
use crate::settings::Settings;
use crate::types::{Held, MessageView, Page, ParkedView, Refusal, Scope, UnknownView};
use crate::views;

/// Batches that are read and prepared at once; others wait as the bytes they came as.
const BATCHES_AT_ONCE: usize = 2;

/// Uploads to groups that are read at once: each keeps some thousand rows in memory.
const UPLOADS_AT_ONCE: usize = 8;

/// How long the store may take before the process is not ready; a probe waits for this answer.
const READY_MAX: Duration = Duration::from_secs(1);

/// The send room, as callers see it.
#[derive(Clone)]
pub struct Service {
    pub(crate) shared: Arc<Shared>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) batches: Arc<Semaphore>,
    /// Id of the HTTP request that it works for.
    pub(crate) trace: Option<Arc<str>>,
    /// Turns of uploads to groups.
    pub(crate) uploads: Arc<Semaphore>,
    pub(crate) counted: Arc<tokio::sync::Mutex<crate::page::Counted>>,
    tasks: Arc<Mutex<Option<Tasks>>>,
    failed: watch::Receiver<Option<&'static str>>,
}

impl Service {
    pub(crate) fn new(shared: Arc<Shared>, tasks: Tasks, failed: watch::Receiver<Option<&'static str>>) -> Self {
        Self {
            shared,
            gate: Arc::default(),
            settings: Arc::default(),
            batches: Arc::new(Semaphore::new(BATCHES_AT_ONCE)),
            trace: None,
            uploads: Arc::new(Semaphore::new(UPLOADS_AT_ONCE)),
            counted: Arc::default(),
            tasks: Arc::new(Mutex::new(Some(tasks))),
            failed,
        }
    }

    /// Stops the pipeline without losing anything; a second call does nothing.
    pub async fn stop(&self) {
        let tasks = self.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(tasks) = tasks {
            pipeline::stop(&self.shared, tasks).await;
        }
    }

    /// Waits until a part of the pipeline died by itself; says which. The process has to stop then.
    pub async fn failed(&self) -> String {
        let mut failed = self.failed.clone();
        loop {
            if let Some(part) = *failed.borrow_and_update() {
                return part.to_string();
            }
            if failed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The same, on behalf of an HTTP request: its id is kept with what it accepts, and named where something goes wrong.
    pub fn on_behalf(&self, request_id: Arc<str>) -> Self {
        Self { trace: Some(request_id), ..self.clone() }
    }

    /// The store, for the routes that only read and write settings.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// One message.
    ///
    /// # Errors
    /// `NotFound`, also for a neighbour's.
    pub async fn message(&self, scope: Scope, id: MessageId) -> Result<MessageView, Refusal> {
        let found = self.shared.store.message(account_of(scope), id.0).await.map_err(store_refusal)?;
        let found = found.ok_or_else(|| Refusal::new(Code::NotFound, "there is no such message"))?;
        Ok(views::message(found, self.shared.store.vault(), &self.shared.relays, self.ads_held()))
    }

    /// What holds advertisements at this moment.
    pub(crate) fn ads_held(&self) -> Option<Held> {
        Held::at(Lane::Ad, self.shared.config.ad_hours, self.shared.clock.now())
    }

    /// Cancels a message that has not left.
    ///
    /// # Errors
    /// `NotFound`; `AlreadySent` when it is too late.
    pub async fn cancel(&self, scope: Scope, id: MessageId) -> Result<MessageView, Refusal> {
        let (store, account) = (&self.shared.store, account_of(scope));
        let done = match store.cancel(account, id.0).await {
            Err(error) if error.kind() == Kind::NotFound => {
                store.cancel_unmoved(account, id.0, self.shared.config.ad_hours).await
            }
            done => done,
        };
        match done {
            Ok(()) => self.message(scope, id).await,
            Err(error) if matches!(error.kind(), Kind::Conflict("sent")) => {
                Err(Refusal::new(Code::AlreadySent, "the message has left or is leaving"))
            }
            Err(error) => Err(store_refusal(error)),
        }
    }

    /// Attempts that are or were unknown, newest first.
    ///
    /// # Errors
    /// `BadRequest` for a cursor that is none.
    pub async fn unknown_attempts(
        &self,
        scope: Scope,
        limit: u32,
        cursor: Option<String>,
    ) -> Result<Page<UnknownView>, Refusal> {
        let below = match cursor.as_deref() {
            None => (i64::MAX, u8::MAX),
            Some(text) => text
                .split_once('.')
                .and_then(|(id, n)| Some((id.parse::<MessageId>().ok()?.0, n.parse().ok()?)))
                .ok_or_else(|| Refusal::new(Code::BadRequest, "cursor: not a cursor of this list"))?,
        };
        let rows = self.shared.store.unknown_attempts(account_of(scope), below, limit).await.map_err(store_refusal)?;
        let last = rows.last().filter(|_| rows.len() == limit as usize);
        let next_cursor = last.map(|row| format!("{}.{}", MessageId(row.id), row.attempt));
        let view = |row: bongsu_store::lookup::UnknownRow| UnknownView {
            id: MessageId(row.id),
            account: row.account,
            n: row.attempt,
            relay: self.shared.relays.name(row.relay),
            since: Timestamp::from_millis(row.since),
            resolved_at: (row.resolved != 0).then(|| Timestamp::from_millis(row.resolved)),
            resolution: row.resolution,
        };
        Ok(Page { items: rows.into_iter().map(view).collect(), next_cursor })
    }

    /// Messages that cannot be processed, newest first.
    ///
    /// # Errors
    /// `BadRequest` for a cursor that is none.
    pub async fn parked(&self, scope: Scope, limit: u32, cursor: Option<String>) -> Result<Page<ParkedView>, Refusal> {
        let below = match cursor.as_deref() {
            None => i64::MAX,
            Some(text) => {
                text.parse::<MessageId>()
                    .map_err(|_| Refusal::new(Code::BadRequest, "cursor: not a cursor of this list"))?
                    .0
            }
        };
        let rows = self.shared.store.parked(account_of(scope), below, limit).await.map_err(store_refusal)?;
        let next_cursor = rows.last().filter(|_| rows.len() == limit as usize).map(|row| MessageId(row.id).to_string());
        let view = |row: bongsu_store::query::ParkedRow| ParkedView {
            id: MessageId(row.id),
            account: row.account,
            at: Timestamp::from_millis(row.at),
            reason: row.reason,
        };
        Ok(Page { items: rows.into_iter().map(view).collect(), next_cursor })
    }

    /// Puts a parked message back into the line.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn replay(&self, scope: Scope, id: MessageId) -> Result<(), Refusal> {
        self.shared.store.replay(account_of(scope), id.0).await.map_err(store_refusal)?;
        self.shared.wake.notify_one();
        Ok(())
    }

    /// How a relay is; absent when it is not running.
    pub fn relay_health(&self, no: u8) -> Option<Health> {
        self.shared.relays.get(no).and_then(|link| link.health())
    }

    /// Whether the breaker of a relay lets everything through.
    pub fn relay_closed(&self, no: u8) -> bool {
        let now = self.shared.clock.now();
        self.shared.relays.get(no).is_some_and(|link| link.is_closed(now) && !link.is_down(now))
    }

    /// Brings the running links in line with the relay rows.
    pub async fn relays_changed(&self) {
        self.shared.store.look_at_leases();
        if let Err(error) = self.shared.relays.reload(&self.shared.store, &self.shared.territory).await {
            tracing::warn!(%error, "relays could not be read again; the next change reads them");
        }
    }

    /// A distribution was changed; the dispatcher reads it with its next look.
    pub async fn distributions_changed(&self, _account: AccountId, _channel: Channel) {
        self.shared.wake.notify_one();
    }

    /// Another process accepted something: the dispatcher looks at the store.
    pub fn nudge(&self) {
        self.shared.nudged.store(true, Ordering::Release);
        self.shared.wake.notify_one();
    }

    /// Calls `tell` with the lanes in which this process accepted something, for those who dispatch elsewhere; set once.
    pub fn on_accept(&self, tell: impl Fn(&[bongsu_domain::Lane]) + Send + Sync + 'static) {
        // A second listener would be a second bus; the first one stays.
        let _ = self.shared.told.set(Box::new(tell));
    }

    /// What is not ready, by part.
    pub async fn ready(&self) -> Vec<(&'static str, Result<(), String>)> {
        let read = tokio::time::timeout(READY_MAX, self.shared.store.read(|_| Ok(()))).await;
        let store = match read {
            Ok(read) => read.map_err(|error| error.to_string()),
            Err(_) => Err("it does not answer".into()),
        };
        let stopping = self.shared.stopping.load(Ordering::Acquire);
        vec![("store", store), ("dispatch", if stopping { Err("stopping".into()) } else { Ok(()) })]
    }
}

pub(crate) fn account_of(scope: Scope) -> Option<AccountId> {
    match scope {
        Scope::Account(account) => Some(account),
        Scope::Operator => None,
    }
}
