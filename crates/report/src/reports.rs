//! All endpoints of this process: which they are, a task for each, and what they are told.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bongsu_domain::{AccountId, Clock, Timestamp, Trouble, WebhookId};
use bongsu_send::Service;
use bongsu_store::webhooks::{self, Owned};
use bongsu_store::{Error, Store};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::client::Client;
use crate::endpoint::{Endpoint, Progress, Shared};
use crate::metrics::Metrics;

/// How often it is looked which endpoints are free or changed.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The same for events of other processes, which tell this one nothing.
const READ_EVERY: Duration = Duration::from_millis(200);
/// Those who wait for events are woken no faster.
const WAKE_EVERY: Duration = Duration::from_millis(20);
/// How long a step that failed is left alone.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two cleanings.
const CLEAN_EVERY: Duration = Duration::from_secs(60);
/// How long deliveries are listed.
const KEPT_FOR: Duration = Duration::from_secs(30 * 86_400);
/// Events that are read to see whose they are.
const NEWS_MAX: u32 = 500;
/// Words to a task that may wait.
const WORDS_MAX: usize = 4;

/// What is needed to tell customers.
pub struct Setup {
    /// Where messages and the log are.
    pub service: Service,
    /// Who calls.
    pub client: Client,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
}

/// The endpoints of a process.
pub struct Reports {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    keeper: Option<JoinHandle<()>>,
}

/// A word to the task of an endpoint.
#[derive(Clone, Copy)]
enum Word {
    /// The log has more.
    News,
    /// The store has another version.
    Version(i64),
}

impl Reports {
    /// Takes endpoints and calls them until it is stopped.
    ///
    /// # Errors
    /// `ClockBehind`.
    pub fn start(setup: Setup) -> Result<Self, Error> {
        let mut reports = Self::idle(setup)?;
        let (shared, stopped) = (reports.shared.clone(), reports.stop.subscribe());
        let on_page = shared.clone();
        shared.service.on_metrics(move |out| on_page.metrics.write(out, on_page.clock.now()));
        reports.keeper = Some(tokio::spawn(keep(shared, stopped)));
        Ok(reports)
    }

    /// Takes and calls nothing by itself: whoever has it drives its endpoints by steps.
    ///
    /// # Errors
    /// `ClockBehind`.
    pub fn idle(setup: Setup) -> Result<Self, Error> {
        let Setup { service, client, clock } = setup;
        let me = service.store().incarnation()?;
        let shared = Arc::new(Shared { service, client, clock, metrics: Metrics::default(), me });
        Ok(Self { shared, stop: watch::channel(false).0, keeper: None })
    }

    /// Takes what no living process has and gives all endpoints of this one, as they are stored.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn endpoints(&self) -> Result<Vec<Endpoint>, Error> {
        let mut endpoints = Vec::new();
        for owned in webhooks::look(self.shared.store(), self.shared.me).await? {
            endpoints.extend(open(&self.shared, owned.id).await?);
        }
        Ok(endpoints)
    }

    /// What was counted, as Prometheus text.
    pub fn metrics(&self) -> String {
        let mut out = String::new();
        self.shared.metrics.write(&mut out, self.shared.clock.now());
        out
    }

    /// Takes nothing new, waits a while for the calls under way, and gives the endpoints to other processes.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if let Some(keeper) = self.keeper.take() {
            // A keeper that panicked has said so on stderr.
            let _ = keeper.await;
        }
    }

    /// Waits until the keeper is gone although nobody stopped it: never, unless it panicked.
    pub async fn failed(&self) {
        self.stop.closed().await;
    }
}

async fn open(shared: &Arc<Shared>, id: WebhookId) -> Result<Option<Endpoint>, Error> {
    shared.metrics.endpoints.fetch_add(1, Ordering::Relaxed);
    let endpoint = Endpoint::open(shared.clone(), id).await;
    if !matches!(endpoint, Ok(Some(_))) {
        shared.metrics.endpoints.fetch_sub(1, Ordering::Relaxed);
    }
    endpoint
}

/// A task that runs, and what it was told last.
struct Task {
    account: AccountId,
    words: mpsc::Sender<Word>,
    version: i64,
    handle: JoinHandle<()>,
}

async fn keep(shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let mut tasks: HashMap<WebhookId, Task> = HashMap::new();
    let mut facts = shared.store().watch_facts();
    let (mut next_look, mut next_clean) = (Instant::now(), Instant::now() + CLEAN_EVERY);
    let (mut looks, mut reads) = (Trouble::default(), Trouble::default());
    let mut newest = i64::MIN;
    while !*stopped.borrow() {
        if Instant::now() >= next_look {
            next_look = Instant::now() + LOOK_EVERY;
            if let Some(error) = looks.begins(look(&shared, &mut tasks, &stopped).await) {
                tracing::warn!(%error, "webhooks could not be looked at; tried again");
            }
        }
        if Instant::now() >= next_clean {
            next_clean = Instant::now() + CLEAN_EVERY;
            clean(&shared).await;
        }
        let read = wake(&shared, &tasks, newest).await;
        if let Some(error) = reads.begins(read.map(|now| newest = now)) {
            tracing::warn!(%error, "the log of events could not be read; tried again");
        }
        tokio::select! {
            _ = stopped.changed() => {}
            // A sender that is gone belongs to a store that is closing.
            // Commits come faster than anybody has to be woken. A sender that is gone belongs to a store that is closing.
            _ = facts.changed() => tokio::time::sleep(WAKE_EVERY).await,
            () = tokio::time::sleep(READ_EVERY) => {}
        }
    }
    // All are told at once, by the end of their words; each has its time to finish.
    let handles: Vec<JoinHandle<()>> = tasks.into_values().map(|task| task.handle).collect();
    for handle in handles {
        let _ = handle.await;
    }
    if let Err(error) = webhooks::release(shared.store(), shared.me).await {
        tracing::warn!(%error, "webhooks could not be given up; others take them when this process is gone");
    }
}

/// Wakes those of whose accounts something happened after a position; those who have nothing to do ask for nothing. Answers
/// the newest position.
async fn wake(shared: &Shared, tasks: &HashMap<WebhookId, Task>, after: i64) -> Result<i64, Error> {
    let newest = shared.store().newest_event().await?;
    if newest == after || tasks.is_empty() {
        return Ok(newest);
    }
    let page = if after == i64::MIN { None } else { Some(shared.store().events(None, after, NEWS_MAX).await?) };
    // Where much happened, it is quicker to let all look.
    let some = page.filter(|page| page.events.len() < NEWS_MAX as usize);
    let accounts: Option<HashSet<AccountId>> =
        some.as_ref().map(|page| page.events.iter().map(|event| event.account).collect());
    for task in tasks.values() {
        if accounts.as_ref().is_none_or(|accounts| accounts.contains(&task.account)) {
            // A task with words that wait looks at the log anyway.
            let _ = task.words.try_send(Word::News);
        }
    }
    Ok(some.map_or(newest, |page| page.next))
}

async fn look(
    shared: &Arc<Shared>,
    tasks: &mut HashMap<WebhookId, Task>,
    stopped: &watch::Receiver<bool>,
) -> Result<(), Error> {
    let owned = webhooks::look(shared.store(), shared.me).await?;
    tasks.retain(|id, task| !task.handle.is_finished() && owned.iter().any(|owned| owned.id == *id));
    for Owned { id, account, version, .. } in owned {
        match tasks.get_mut(&id) {
            Some(task) if task.version == version => {}
            Some(task) => {
                if task.words.try_send(Word::Version(version)).is_ok() {
                    task.version = version;
                }
            }
            None => match open(shared, id).await {
                Ok(Some(endpoint)) => {
                    let (words, heard) = mpsc::channel(WORDS_MAX);
                    let handle = tokio::spawn(run(endpoint, heard, stopped.clone()));
                    tasks.insert(id, Task { account, words, version, handle });
                }
                Ok(None) => {}
                // One that cannot be read must not keep the others.
                Err(error) => tracing::warn!(%error, webhook = %id, "a webhook could not be read; tried again"),
            },
        }
    }
    let (waiting, oldest) = webhooks::oldest(shared.store()).await?;
    shared.metrics.waiting.store(waiting, Ordering::Relaxed);
    shared.metrics.oldest.store(oldest.map_or(0, |oldest| oldest.0), Ordering::Relaxed);
    Ok(())
}

/// One endpoint: steps while there is something to do, then waits for whatever comes first.
async fn run(mut endpoint: Endpoint, mut words: mpsc::Receiver<Word>, stopped: watch::Receiver<bool>) {
    let (clock, mut trouble) = (endpoint.clock(), Trouble::default());
    loop {
        if *stopped.borrow() {
            return endpoint.finish(PAUSE * 5).await;
        }
        let (progress, failed) = match endpoint.step().await {
            Ok(progress) => (Some(progress), Ok(())),
            Err(error) => (None, Err(error)),
        };
        if let Some(error) = trouble.begins(failed) {
            tracing::warn!(%error, webhook = %endpoint.id(), "a webhook could not go on; tried again");
        }
        let wait = match progress {
            Some(Progress::Did) => continue,
            Some(Progress::Lost) => return,
            Some(Progress::Idle { until }) => until.since(clock.now()).min(PAUSE),
            None => PAUSE,
        };
        tokio::select! {
            word = words.recv() => {
                // Whatever it is told: news may have found no room behind it.
                endpoint.wake();
                match word {
                    Some(Word::News) => {}
                    Some(Word::Version(version)) => endpoint.look(version),
                    None => return endpoint.finish(PAUSE * 5).await,
                }
            }
            () = endpoint.call_ended() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Removes what is listed no longer, where this process has the periodic work.
async fn clean(shared: &Shared) {
    let is_ours = shared.store().holdings().is_none_or(|holdings| holdings.borrow().sweep);
    let before: Timestamp = shared.clock.now().minus(KEPT_FOR);
    if is_ours && let Err(error) = clean_all(shared.store(), before).await {
        tracing::warn!(%error, "old deliveries of webhooks could not be removed; tried again");
    }
}

async fn clean_all(store: &Store, before: Timestamp) -> Result<(), Error> {
    while webhooks::clean(store, before).await? > 0 {}
    Ok(())
}
