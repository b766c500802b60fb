//! Starts the pipeline over an open store, and stops it without losing anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bongsu_domain::{Clock, Lane, Trouble};
use bongsu_engine::queue::{InProcess, Queue, Record};
use bongsu_store::claims::DueKind;
use bongsu_store::recovery::Policy;
use bongsu_store::{Error, Store};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

use crate::config::SendConfig;
use crate::dispatch::{Dispatcher, Shared};
use crate::facts;
use crate::flights::Flights;
use crate::groups;
use crate::metrics::SendMetrics;
use crate::outgoing;
use crate::pending::Pending;
use crate::relays::Relays;
use crate::schedule;
use crate::sealed;
use crate::service::Service;
use crate::settle::{Note, Settler};
use crate::sweeper;
use crate::territory::{self, Territory};

/// Event lists that may wait for the settling side; relays read no further while it is full.
const EVENTS_MAX: usize = 1_024;
/// Notes that may wait.
const NOTES_MAX: usize = 1_024;
/// How long the last results of closed links may take to be written.
const SETTLE_MAX: Duration = Duration::from_secs(5);
/// How often claims of dead processes are looked for.
const RECOVER_EVERY: Duration = Duration::from_secs(1);
/// Claims of an earlier life settled in one commit.
const CLAIMS_AT_ONCE: u32 = 4;

/// The tasks of a running pipeline.
pub(crate) struct Tasks {
    dispatcher: JoinHandle<()>,
    settler: JoinHandle<()>,
    /// Opens and closes links as leases come and go.
    keeper: JoinHandle<()>,
    /// Chores that end with the process.
    chores: Vec<JoinHandle<()>>,
}

/// Settles what an earlier life left, connects the relays, and starts to dispatch.
///
/// # Errors
/// Those of the store.
pub async fn start(store: Store, config: SendConfig, clock: Arc<dyn Clock>) -> Result<Service, Error> {
    let (events, events_receiver) = mpsc::channel(EVENTS_MAX);
    let (notes, notes_receiver) = mpsc::channel(NOTES_MAX);
    let wake = Arc::new(Notify::new());
    let queue: Arc<dyn Queue> = Arc::new(InProcess::default());
    let owner = store.incarnation()?;
    let territory = Territory::new(&store, config.roles);
    let relays = Arc::new(Relays::new(events, wake.clone(), clock.clone(), config.seed));
    let shared = Arc::new(Shared {
        store,
        queue,
        relays,
        flights: Flights::default(),
        territory,
        config,
        clock,
        metrics: SendMetrics::default(),
        steps: Default::default(),
        pending: Pending::default(),
        wake,
        stopping: AtomicBool::new(false),
        claims_out: AtomicUsize::new(0),
        unsettled: AtomicUsize::new(0),
        notes,
        owner,
        nudged: AtomicBool::new(false),
        told: Default::default(),
        more_metrics: Default::default(),
        group_work: Notify::new(),
    });
    publish_runs(&shared);
    if !shared.territory.is_shared() {
        settle_dead(&shared, false).await?;
    }
    shared.relays.reload(&shared.store, &shared.territory).await?;
    let (died, failed) = watch::channel(None);
    let settler = Settler::new(shared.clone(), events_receiver, notes_receiver);
    let tasks = Tasks {
        settler: supervise("settling", &died, &shared, settler.run()),
        dispatcher: supervise("dispatch", &died, &shared, Dispatcher::new(shared.clone()).run()),
        chores: vec![
            supervise("sweeping", &died, &shared, sweeper::run(shared.clone())),
            supervise("schedules", &died, &shared, schedule::run(shared.clone())),
            supervise("groups", &died, &shared, groups::run(shared.clone())),
            supervise("recovery", &died, &shared, recover(shared.clone())),
            supervise("numbering events", &died, &shared, facts::number(shared.clone())),
        ],
        keeper: supervise("leases", &died, &shared, territory::keep(shared.clone())),
    };
    Ok(Service::new(shared, tasks, failed))
}

/// Runs a part; tells when it ended although nobody stopped it.
fn supervise(
    name: &'static str,
    died: &watch::Sender<Option<&'static str>>,
    shared: &Arc<Shared>,
    part: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    let (died, shared) = (died.clone(), shared.clone());
    let part = tokio::spawn(part);
    let abort = AbortOnDrop(part.abort_handle());
    tokio::spawn(async move {
        let _abort = abort;
        // A panic has said so on stderr; here it only matters that the part is gone.
        let _ = part.await;
        if !shared.stopping.load(Ordering::Acquire) {
            died.send_replace(Some(name));
        }
    })
}

/// Ends a part together with the one who watches it.
struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Stops: nothing new leaves, what is out has a while to be answered, everything known is written.
pub(crate) async fn stop(shared: &Shared, tasks: Tasks) {
    shared.stopping.store(true, Ordering::Release);
    shared.wake.notify_one();
    if shared.territory.is_shared() {
        // From here on nobody else closes a link: each has its time to be answered, under leases that are still ours.
        let _ = tasks.keeper.await;
    }
    // A dispatcher that panicked has stopped all the same; its claims are settled at the next start.
    let _ = tasks.dispatcher.await;
    while shared.claims_out.load(Ordering::Acquire) > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    shared.relays.stop(shared.config.drain).await;
    tasks.chores.iter().for_each(JoinHandle::abort);
    // The links are closed; what they sent last is being written.
    territory::leave(shared);
    // A settling side that is gone needs no word.
    let _ = shared.notes.send(Note::Closed).await;
    let settler_ends = tasks.settler.abort_handle();
    if tokio::time::timeout(SETTLE_MAX, tasks.settler).await.is_err() {
        tracing::warn!("what the relays said last could not be written in time; it counts as unknown");
        settler_ends.abort();
    }
}

fn publish_runs(shared: &Arc<Shared>) {
    let weak = Arc::downgrade(shared);
    shared.store.on_runs(move |runs| {
        let Some(shared) = weak.upgrade() else { return };
        if let Some(tell) = shared.told.get() {
            let mut lanes: Vec<Lane> = runs.iter().map(|run| run.lane).collect();
            lanes.sort_unstable();
            lanes.dedup();
            tell(&lanes);
        }
        if !shared.territory.roles().dispatch {
            return;
        }
        let records: Vec<Record> = runs
            .iter()
            .map(|run| Record { lane: run.lane, account: run.account, first: run.first, count: run.count })
            .collect();
        shared.queue.publish(&records);
        shared.wake.notify_one();
    });
}

/// Settles what dead processes left, where this process has that task.
async fn recover(shared: Arc<Shared>) {
    let mut trouble = Trouble::default();
    loop {
        tokio::time::sleep(RECOVER_EVERY).await;
        if !shared.territory.recovers() {
            continue;
        }
        let settled = settle_dead(&shared, true).await;
        if let Ok(claims @ 1..) = settled {
            tracing::warn!(claims, "claims of a process that is gone were settled");
        }
        if let Some(error) = trouble.begins(settled.map(drop)) {
            tracing::warn!(%error, "claims of dead processes could not be settled; it is tried again");
        }
    }
}

/// Claims that nobody holds any more: what was not answered is unknown, the rest goes on. Answers how many there were.
/// Where there is a settling side by then, it is told.
async fn settle_dead(shared: &Arc<Shared>, tells: bool) -> Result<usize, Error> {
    let resend: std::collections::HashMap<u8, bool> = {
        let vault = shared.store.vault().clone();
        let rows = shared.store.read(move |reader| bongsu_store::relays::load(&reader.live, &vault)).await?;
        rows.into_iter().map(|row| (row.no, row.resend_unknown)).collect()
    };
    let unknown_wait = shared.config.unknown_wait;
    let vault = shared.store.vault().clone();
    let policy = Arc::new(Policy {
        after_unknown: Box::new(move |lane, relay| match resend.get(&relay) {
            Some(false) => (unknown_wait, DueKind::Expire),
            _ if lane == Lane::Auth => (Duration::ZERO, DueKind::Send),
            _ => (unknown_wait, DueKind::Send),
        }),
        receipt_deadline: shared.config.receipt_deadline,
        plain_recipient: Box::new(move |row| {
            let payload = vault.open(&row.sealed).ok().and_then(|bytes| sealed::decode(&bytes));
            payload.map_or(0, |payload| outgoing::plain_hash(&vault, &payload.to))
        }),
    });
    let mut settled = 0;
    let mut told = tokio::time::Instant::now();
    loop {
        let some = shared.store.settle_claims(policy.clone(), CLAIMS_AT_ONCE).await?;
        settled += some;
        // Receipts that wait for these messages must find them before they are sent again, so not only at the end.
        if tells && settled > 0 && (some == 0 || told.elapsed() >= RECOVER_EVERY) {
            let _ = shared.notes.send(Note::Recovered).await;
            told = tokio::time::Instant::now();
        }
        if some == 0 {
            return Ok(settled);
        }
    }
}
