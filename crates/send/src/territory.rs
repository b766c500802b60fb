//! The part of the work that is this process's, where several share one database: which binds, which runs, which chores.
//!
//! Nothing is safe by it alone: a claim is a conditional write, and a commit of a process that lost its node fails. It keeps
//! dispatchers out of each other's way, and each relay within its rate over all of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bongsu_domain::{Lane, Timestamp};
use bongsu_relay::Gate;
use bongsu_store::claims::Part;
use bongsu_store::{Bind, Holdings, Roles, Store, Validity};
use tokio::sync::watch;

use crate::dispatch::Shared;

/// How long work of another dispatcher may wait before anybody takes it: it was killed, or is busy. By lane.
const PATIENCE: [Duration; 4] =
    [Duration::from_millis(300), Duration::from_millis(1_000), Duration::from_secs(3), Duration::from_secs(3)];
/// How often binds whose moment came are looked for, and those that were to be given up.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What this process holds, as the send room asks for it.
pub struct Territory {
    shared: Option<(watch::Receiver<Arc<Holdings>>, Arc<Validity>)>,
    /// The database's clock less this machine's, ms.
    ahead_ms: AtomicI64,
    roles: Roles,
}

impl Territory {
    /// Everything on the embedded store; else what the leases say.
    pub fn new(store: &Store, roles: Roles) -> Self {
        store.play(roles);
        Self { shared: store.holdings().zip(store.validity()), ahead_ms: AtomicI64::new(0), roles }
    }

    fn holdings(&self) -> Option<Arc<Holdings>> {
        self.shared.as_ref().map(|(holdings, _)| holdings.borrow().clone())
    }

    /// What this process does.
    pub fn roles(&self) -> Roles {
        self.roles
    }

    /// Whether others may work on the same store.
    pub fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Whether it may claim messages: its leases are good, and it is one of the active dispatchers.
    pub fn may_claim(&self) -> bool {
        self.roles.dispatch
            && self
                .shared
                .as_ref()
                .is_none_or(|(holdings, validity)| validity.is_good() && holdings.borrow().active.is_some())
    }

    /// What stops all writing to relays once the leases are not good any more.
    pub fn gate(&self) -> Gate {
        match &self.shared {
            None => Gate::default(),
            Some((_, validity)) => {
                let validity = validity.clone();
                Gate::new(move || validity.is_good())
            }
        }
    }

    /// The part of the waiting work it takes first.
    pub fn part(&self, now: Timestamp) -> Part {
        let active = self.holdings().and_then(|holdings| holdings.active);
        let (index, count) = active.unwrap_or((0, 1));
        let patience = PATIENCE[Lane::Bulk as usize].as_millis() as i64;
        Part { index, count, anybodys_before: now.millis() - patience }
    }

    /// How long another's run of a lane is left to it.
    pub fn patience(&self, lane: Lane) -> Duration {
        PATIENCE[lane as usize]
    }

    /// Its place among the dispatchers, under which its distribution state is kept.
    pub fn seat(&self) -> u16 {
        self.holdings().and_then(|holdings| holdings.active).map_or(0, |(index, _)| index)
    }

    /// Whether it does the periodic work.
    pub fn sweeps(&self) -> bool {
        self.holdings().map_or(self.roles.report || self.roles.dispatch, |holdings| holdings.sweep)
    }

    /// Whether it lets what waits for its time go; and whether it is to look after what another forgot.
    pub fn schedules(&self) -> (bool, bool) {
        let owns = self.holdings().map_or(self.roles.schedule, |holdings| holdings.schedule);
        (owns, self.roles.schedule)
    }

    /// Whether it does what follows when groups were sent or canceled.
    pub fn moves_groups(&self) -> bool {
        self.holdings().map_or(self.roles.schedule, |holdings| holdings.schedule)
    }

    /// Whether it settles what dead processes left.
    pub fn recovers(&self) -> bool {
        self.holdings().is_some_and(|holdings| holdings.recover)
    }

    /// Binds of a relay that it may use now, of all binds of it; `None` for all of them.
    pub fn binds(&self, relay: u8, now: Timestamp) -> Option<(u16, u16)> {
        let holdings = self.holdings()?;
        let now_ms = self.database_ms(now);
        let usable = |(bind, from): &(&Bind, &i64)| bind.0 == relay && **from <= now_ms;
        let good = self.shared.as_ref().is_some_and(|(_, validity)| validity.is_good());
        let held = if good { holdings.binds.iter().filter(usable).count() as u16 } else { 0 };
        Some((held, holdings.slots.get(&relay).copied().unwrap_or(1).max(1)))
    }

    fn database_ms(&self, now: Timestamp) -> i64 {
        now.millis() + self.ahead_ms.load(Ordering::Acquire)
    }
}

/// Keeps the links in line with what this process holds, until it is stopping.
pub async fn keep(shared: Arc<Shared>) {
    let Some((mut holdings, validity)) = shared.territory.shared.clone() else { return std::future::pending().await };
    let mut known: BTreeMap<Bind, i64> = BTreeMap::new();
    let mut lapsed = false;
    loop {
        let mut changed = tokio::time::timeout(LOOK_EVERY, holdings.changed()).await.is_ok();
        if shared.stopping.load(Ordering::Acquire) {
            return;
        }
        if !validity.is_good() {
            if !std::mem::replace(&mut lapsed, true) {
                tracing::warn!("leases could not be renewed and end; sessions with relays are closed until they can");
                shared.relays.let_go();
                known.clear();
            }
            continue;
        }
        changed |= std::mem::take(&mut lapsed);
        let now = shared.clock.now();
        let held = holdings.borrow_and_update().clone();
        if changed {
            shared.territory.ahead_ms.store(held.now_ms - now.millis(), Ordering::Release);
        }
        let now_ms = shared.territory.database_ms(now);
        let usable: BTreeMap<Bind, i64> =
            held.binds.iter().filter(|(_, from)| **from <= now_ms).map(|(bind, from)| (*bind, *from)).collect();
        if usable.keys().ne(known.keys()) || changed {
            if let Err(error) = shared.relays.reload(&shared.store, &shared.territory).await {
                tracing::warn!(%error, "relays could not be read; they are read again");
                continue;
            }
            known = usable;
        }
        give_up(&shared, &held, now_ms);
    }
}

/// Gives everything up, now that no link is open any more.
pub fn leave(shared: &Shared) {
    let Some(held) = shared.territory.holdings() else { return };
    let now_ms = shared.territory.database_ms(shared.clock.now());
    let spacing = |relay: u8| shared.relays.get(relay).map_or(0, |link| link.spacing_ms());
    let binds = held.binds.keys().chain(&held.giving_up);
    shared.store.stopped(binds.map(|bind| (*bind, now_ms + spacing(bind.0))));
    shared.store.drain();
}

/// Reports binds that are not used any more although they were held: others may use them once their spacing is over.
fn give_up(shared: &Shared, held: &Holdings, now_ms: i64) {
    let stopped = held.giving_up.iter().filter_map(|bind| {
        let in_use = held.binds.keys().filter(|other| other.0 == bind.0).count();
        let link = shared.relays.get(bind.0);
        let open = link.as_ref().and_then(|link| link.health()).map_or(0, |health| usize::from(health.binds));
        let spacing = link.map_or(0, |link| link.spacing_ms());
        (open <= in_use).then_some((*bind, now_ms + spacing))
    });
    let stopped: Vec<(Bind, i64)> = stopped.collect();
    if !stopped.is_empty() {
        shared.store.stopped(stopped);
    }
}
