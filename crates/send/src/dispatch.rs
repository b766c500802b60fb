//! Dispatch: takes what waits in turns, books it on relays, writes the intent, and lets it go.

mod due;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bongsu_domain::{AccountId, Channel, Clock, Lane, MessageId, Timestamp};
use bongsu_engine::queue::Queue;
use bongsu_store::claims::{Claim, Claimed};
use bongsu_store::rows::Run;
use bongsu_store::{Error, Store};
use tokio::sync::{Notify, mpsc};

use crate::booking::{self, Booking};
use crate::config::SendConfig;
use crate::flights::Flights;
use crate::lanes::Lanes;
use crate::launch::{self, Launch, Leaving};
use crate::note;
use crate::outgoing;
use crate::pending::Pending;
use crate::relays::Relays;
use crate::settle::Note;
use crate::shares::Ratios;
use crate::territory::Territory;

/// Claims that may be on their way to the disk at once.
const CLAIMS_OUT_MAX: usize = 16;
/// Messages that may be out without an answer.
const UNSETTLED_MAX: usize = 16_000;
/// Messages of one claim.
const CLAIM_MAX: usize = 500;
/// The fewest messages of a turn, so that many accounts do not make many tiny commits.
const TURN_MIN: usize = 16;
/// How long room in `bulk` or `ad` for less than a whole claim waits for more.
const WORTH_WAIT: Duration = Duration::from_millis(20);
/// Records taken from the queue of a lane at once.
const PULL_MAX: usize = 1_000;
/// Rows read ahead that memory keeps over all lanes.
const READY_MAX: usize = 20_000;
/// How often the dispatcher looks without being woken: for what falls due, and for rates.
const TICK: Duration = Duration::from_millis(20);
/// How often lanes without work ask the store for runs that were overlooked.
const SWEEP_EVERY: Duration = Duration::from_secs(2);
/// The same where other processes accept: nothing but the store tells what they accepted. So many dispatchers share that
/// work, so that the store is asked no more often by more of them; news of urgent lanes come by the bus.
const SHARED_SWEEP_EVERY: Duration = Duration::from_millis(40);
const SWEEPERS_MAX: u16 = 5;
/// When a sweep looks at the same account of `bulk` or `ad` again.
const LOOK_AGAIN: Duration = Duration::from_millis(150);
/// Runs of other dispatchers that are remembered while they wait.
const FOREIGN_MAX: usize = 20_000;

/// A claim that did not hold: its run has to be read again.
pub struct Missed {
    /// Its lane.
    pub lane: Lane,
    /// First id of the run, 0 for due messages.
    pub first: i64,
    /// Its account.
    pub account: AccountId,
    /// Whether the claim was written.
    pub held: bool,
    /// The run is claimed to its end.
    pub whole: bool,
}

/// What the parts of the pipeline share.
pub struct Shared {
    /// The truth.
    pub store: Store,
    /// Names of runs.
    pub queue: Arc<dyn Queue>,
    /// The links.
    pub relays: Arc<Relays>,
    /// What is on its way.
    pub flights: Flights,
    /// What of it all is this process's.
    pub territory: Territory,
    /// Settings.
    pub config: SendConfig,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Counters.
    pub metrics: crate::metrics::SendMetrics,
    /// Whose steps are written to the log.
    pub steps: crate::steps::Steps,
    /// Booked, not handed over.
    pub pending: Pending,
    /// Wakes the dispatcher.
    pub wake: Arc<Notify>,
    /// Set once a graceful stop began.
    pub stopping: AtomicBool,
    /// Claims on their way to the disk.
    pub claims_out: AtomicUsize,
    /// Messages that left and have neither been answered nor come back: memory is bounded by them, also when relays are
    /// down and every try ends at once.
    pub unsettled: AtomicUsize,
    /// Tells the settling side what no relay can.
    pub notes: mpsc::Sender<Note>,
    /// The incarnation of this dispatcher.
    pub owner: i64,
    /// Something was accepted elsewhere: the store is asked at once.
    pub nudged: AtomicBool,
    /// Who is told what this process accepted.
    pub told: std::sync::OnceLock<Tell>,
    /// What is added to the page of metrics.
    pub more_metrics: std::sync::OnceLock<MoreMetrics>,
    /// A group was sent or canceled in this process.
    pub group_work: tokio::sync::Notify,
}

/// Adds to the page of metrics.
pub type MoreMetrics = Box<dyn Fn(&mut String) + Send + Sync>;

/// Is told the lanes in which something was accepted.
pub type Tell = Box<dyn Fn(&[Lane]) + Send + Sync>;

/// The dispatcher of one process.
pub struct Dispatcher {
    shared: Arc<Shared>,
    lanes: Lanes,
    ratios: Ratios,
    missed: mpsc::UnboundedReceiver<Missed>,
    missed_sender: mpsc::UnboundedSender<Missed>,
    blocked: std::collections::HashMap<(Lane, AccountId), Timestamp>,
    swept: Option<Timestamp>,
    due_looked: Option<Timestamp>,
    due_out: usize,
    /// The last sweep saw something due.
    is_due: bool,
    /// Accounts whose runs in `bulk` or `ad` a sweep has looked at: what is left there is mostly of other dispatchers.
    looked: std::collections::HashMap<(Lane, AccountId), Timestamp>,
    /// When runs of each lane were claimed last.
    claimed: [Option<Timestamp>; Lane::ALL.len()],
    /// Since when runs of other dispatchers are seen to wait.
    foreign: std::collections::HashMap<i64, Timestamp>,
}

impl Dispatcher {
    /// A dispatcher over shared parts.
    pub fn new(shared: Arc<Shared>) -> Self {
        let (missed_sender, missed) = mpsc::unbounded_channel();
        Self {
            shared,
            lanes: Lanes::default(),
            ratios: Ratios::default(),
            missed,
            missed_sender,
            blocked: Default::default(),
            swept: None,
            due_looked: None,
            due_out: 0,
            is_due: false,
            looked: Default::default(),
            claimed: Default::default(),
            foreign: Default::default(),
        }
    }

    /// Steps until the stop.
    pub async fn run(mut self) {
        while !self.shared.stopping.load(Ordering::Acquire) {
            match self.step().await {
                Ok(true) => tokio::task::yield_now().await,
                Ok(false) => {
                    let wake = self.shared.wake.clone();
                    // Woken or not, the next step looks at everything.
                    let _ = tokio::time::timeout(TICK, wake.notified()).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "dispatch could not read the store; it tries again");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }

    /// One round over all lanes, the most urgent first. Answers whether anything moved.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn step(&mut self) -> Result<bool, Error> {
        self.take_missed();
        if !self.shared.territory.may_claim() || !self.shared.relays.is_manned() {
            return Ok(false);
        }
        self.ratios.sit(self.shared.territory.seat());
        self.sweep().await?;
        self.look_due().await?;
        let mut moved = false;
        for lane in Lane::ALL {
            for record in self.shared.queue.pull(lane, PULL_MAX) {
                if self.is_mine(lane, record.first, self.shared.clock.now()) {
                    self.lanes.get(lane).offer(&record);
                }
            }
            if lane == Lane::Ad && !self.shared.config.ad_hours.is_open(self.shared.clock.now()) {
                // The night: nothing of this lane is taken.
                let due = self.lanes.get(lane).due.drain(..).collect();
                self.put_off(due).await?;
                continue;
            }
            moved |= self.send_due(lane).await?;
            moved |= self.send_runs(lane).await?;
        }
        if Lane::ALL.iter().map(|lane| self.lanes.get(*lane).ready()).sum::<usize>() > READY_MAX {
            Lane::ALL.iter().for_each(|lane| self.lanes.get(*lane).drop_ready());
        }
        Ok(moved)
    }

    fn take_missed(&mut self) {
        while let Ok(missed) = self.missed.try_recv() {
            let lane = self.lanes.get(missed.lane);
            if missed.first == 0 {
                self.due_out = self.due_out.saturating_sub(1);
            } else if !missed.held {
                lane.forget(missed.first);
                if let Some(turn) = lane.turn(missed.account) {
                    turn.runs.retain(|run| run.first != missed.first);
                    turn.ready.clear();
                    turn.more = true;
                } else {
                    lane.more_accounts = true;
                }
            } else if missed.whole {
                lane.forget(missed.first);
            }
        }
    }

    /// Asks the store for what the queue did not tell.
    async fn sweep(&mut self) -> Result<(), Error> {
        let now = self.shared.clock.now();
        let first_time = self.swept.is_none();
        let shared = self.shared.territory.is_shared();
        let dispatchers = u32::from(self.shared.territory.part(now).count.clamp(1, SWEEPERS_MAX));
        let every = if shared { SHARED_SWEEP_EVERY * dispatchers } else { SWEEP_EVERY };
        let nudged = self.shared.nudged.swap(false, Ordering::AcqRel);
        if !nudged && self.swept.is_some_and(|swept| now.since(swept) < every) {
            return Ok(());
        }
        self.swept = Some(now);
        if self.foreign.len() > FOREIGN_MAX {
            self.foreign.clear();
        }
        let asks = Lane::ALL.map(|lane| {
            let state = self.lanes.get(lane);
            shared || state.is_empty() || state.more_accounts
        });
        if !asks.contains(&true) {
            return Ok(());
        }
        let waiting = self.shared.store.waiting(now, crate::lanes::ACCOUNTS_MAX as u32).await?;
        for lane in Lane::ALL {
            self.lanes.get(lane).more_accounts &= !asks[lane as usize];
        }
        self.is_due |= waiting.is_due;
        self.looked.retain(|_, at| now.since(*at) < LOOK_AGAIN);
        for (lane, account) in waiting.accounts {
            let has_runs = self.lanes.get(lane).turn(account).is_some_and(|turn| !turn.runs.is_empty());
            let was_looked_at = self.looked.contains_key(&(lane, account));
            if !asks[lane as usize] || has_runs || was_looked_at {
                continue;
            }
            let found = match self.refill(lane, account).await {
                Ok(found) => found,
                Err(error) => {
                    // The rest of what was seen is looked for again.
                    Lane::ALL.iter().for_each(|lane| self.lanes.get(*lane).more_accounts = true);
                    return Err(error);
                }
            };
            if !first_time && !shared {
                self.shared.store.metrics().sweeper_found.fetch_add(found as u64, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Whether this dispatcher takes a run: of its own part, or left by another for too long.
    fn is_mine(&mut self, lane: Lane, first: i64, now: Timestamp) -> bool {
        if self.shared.territory.part(now).has(first) {
            return true;
        }
        let since = *self.foreign.entry(first).or_insert(now);
        let mine = now.since(since) >= self.shared.territory.patience(lane);
        if mine {
            self.foreign.remove(&first);
        }
        mine
    }

    /// Takes the oldest runs of an account that are not in memory.
    async fn refill(&mut self, lane: Lane, account: AccountId) -> Result<usize, Error> {
        let limit = (self.lanes.get(lane).known().min(CLAIMS_OUT_MAX + crate::lanes::RUNS_MAX)
            + crate::lanes::RUNS_MAX
            + 1) as u32;
        let shared = self.shared.territory.is_shared();
        // The others' runs are among them.
        let limit = if shared { limit * 2 } else { limit };
        let mut runs = self.shared.store.waiting_runs(lane, account, 0, limit).await?;
        let more = runs.len() == limit as usize;
        if let Some(turn) = self.lanes.get(lane).turn(account).filter(|turn| turn.runs.is_empty()) {
            turn.more = false;
        }
        let now = self.shared.clock.now();
        if shared && matches!(lane, Lane::Bulk | Lane::Ad) {
            self.looked.insert((lane, account), now);
        }
        runs.retain(|run| self.is_mine(lane, run.first, now));
        let state = self.lanes.get(lane);
        let before = state.known();
        for run in runs {
            state.add(run);
        }
        if let Some(turn) = state.turn(account) {
            turn.more |= more;
        }
        Ok(self.lanes.get(lane).known() - before)
    }

    fn is_full(&self) -> bool {
        self.shared.claims_out.load(Ordering::Acquire) >= CLAIMS_OUT_MAX
            || self.shared.unsettled.load(Ordering::Acquire) >= UNSETTLED_MAX
    }

    /// Whether the room is worth a claim now: over a database each claim costs round trips, whatever its size, so a little
    /// room waits a moment for more.
    fn is_worth(&mut self, lane: Lane, account: AccountId, quantum: usize, now: Timestamp) -> bool {
        let waited = self.claimed[lane as usize].is_none_or(|at| now.since(at) >= WORTH_WAIT);
        if waited || matches!(lane, Lane::Auth | Lane::Realtime) || !self.shared.territory.is_shared() {
            return true;
        }
        let Some(turn) = self.lanes.get(lane).turn(account) else { return true };
        let (ready, channel) = (turn.ready.len(), turn.ready.front().map(|ready| ready.row.channel));
        let ratio = channel.and_then(|channel| self.ratios.get(account, channel));
        let room = ratio.map_or(u32::MAX, |ratio| booking::room_in_ratio(&self.shared, ratio, lane, now));
        room as usize >= ready.min(quantum)
    }

    /// Lets waiting runs of a lane go, account by account.
    async fn send_runs(&mut self, lane: Lane) -> Result<bool, Error> {
        let mut moved = false;
        for _ in 0..self.lanes.get(lane).accounts() {
            if self.is_full() && lane != Lane::Auth {
                break;
            }
            let Some(account) = self.lanes.get(lane).rotate() else { break };
            let room = booking::total_room(&self.shared, lane) as usize;
            let quantum = (room / self.lanes.get(lane).accounts().max(1)).clamp(TURN_MIN, CLAIM_MAX);
            moved |= self.send_turn(lane, account, quantum).await?;
        }
        if moved {
            // Whoever began this round took the room that was left; the next one begins with the next account.
            self.lanes.get(lane).rotate();
        }
        Ok(moved)
    }

    async fn send_turn(&mut self, lane: Lane, account: AccountId, quantum: usize) -> Result<bool, Error> {
        let Some(run) = self.first_run(lane, account).await? else { return Ok(false) };
        if self.lanes.get(lane).turn(account).is_some_and(|turn| turn.ready.is_empty()) {
            let loaded = self.shared.store.load_run(run, run.next, quantum as u32).await?;
            let ready = outgoing::open(self.shared.store.vault(), loaded);
            if ready.is_empty() {
                let first = MessageId(run.first);
                tracing::warn!(%account, run = %first, "a run without rows is left to the audit");
                self.lanes.get(lane).drop_run(account);
                return Ok(false);
            }
            if let Some(turn) = self.lanes.get(lane).turn(account) {
                turn.ready = ready.into();
            }
        }
        self.load_ratios(lane, account).await?;
        let now = self.shared.clock.now();
        if !self.is_worth(lane, account, quantum, now) {
            return Ok(false);
        }
        let blocked_for = self.blocked.get(&(lane, account)).map_or(Duration::ZERO, |since| now.since(*since));
        let blocked_ms = u32::try_from(blocked_for.as_millis()).unwrap_or(u32::MAX);
        let mut note = note::Note::before(&self.shared, &mut self.ratios, account, run.next, now, blocked_ms);
        let mut leaving = Vec::new();
        let mut relays = Vec::new();
        while relays.len() < quantum {
            let Some(turn) = self.lanes.get(lane).turn(account) else { break };
            let Some(ready) = turn.ready.front() else { break };
            let booked = booking::book(&self.shared, &mut self.ratios, ready, now, blocked_for);
            if matches!(booked, Booking::Wait) {
                break;
            }
            let Some(ready) = self.lanes.get(lane).turn(account).and_then(|turn| turn.ready.pop_front()) else { break };
            relays.push(booked.byte());
            if !matches!(booked, Booking::Skip) {
                leaving.push(Leaving { ready, booking: booked, attempt: 1, send_at: run.send_at });
            }
        }
        if relays.is_empty() {
            self.blocked.entry((lane, account)).or_insert(now);
            return Ok(false);
        }
        self.blocked.remove(&(lane, account));
        note.count = relays.len() as u16;
        self.claimed[lane as usize] = Some(now);
        self.claim_run(lane, account, run, (relays, note.encode()), leaving)?;
        Ok(true)
    }

    /// The oldest run of an account, read from the store when memory has none.
    async fn first_run(&mut self, lane: Lane, account: AccountId) -> Result<Option<Run>, Error> {
        let (front, more) = match self.lanes.get(lane).turn(account) {
            Some(turn) => (turn.runs.front().copied(), turn.more),
            None => return Ok(None),
        };
        if front.is_some() {
            return Ok(front);
        }
        if more {
            self.refill(lane, account).await?;
        }
        let front = self.lanes.get(lane).turn(account).and_then(|turn| turn.runs.front().copied());
        if front.is_none() {
            self.lanes.get(lane).retire(account);
            self.blocked.remove(&(lane, account));
        }
        Ok(front)
    }

    async fn load_ratios(&mut self, lane: Lane, account: AccountId) -> Result<(), Error> {
        let mut channels: Vec<_> = self
            .lanes
            .get(lane)
            .turn(account)
            .into_iter()
            .flat_map(|turn| turn.ready.iter().map(|r| r.row.channel))
            .collect();
        channels.sort_unstable();
        channels.dedup();
        for channel in channels {
            self.load_ratio(account, channel).await?;
        }
        Ok(())
    }

    async fn load_ratio(&mut self, account: AccountId, channel: Channel) -> Result<(), Error> {
        if self.ratios.load(&self.shared.store, account, channel).await?
            && let Some(ratio) = self.ratios.get(account, channel)
        {
            self.shared.relays.remember(account, channel, ratio.shares.clone());
        }
        Ok(())
    }

    fn claim_run(
        &mut self,
        lane: Lane,
        account: AccountId,
        run: Run,
        (relays, note): (Vec<u8>, Vec<u8>),
        leaving: Vec<Leaving>,
    ) -> Result<(), Error> {
        let claimed = Claimed::Run { first: run.first, from: run.next, generation: run.generation, count: run.count };
        let next = run.next + relays.len() as u32;
        let whole = next >= run.count;
        if let Some(turn) = self.lanes.get(lane).turn(account) {
            if whole {
                turn.runs.pop_front();
                turn.ready.clear();
            } else if let Some(front) = turn.runs.front_mut() {
                front.next = next;
            }
        }
        let missed = Missed { lane, account, first: run.first, held: false, whole };
        self.launch(lane, account, claimed, (relays, note), leaving, missed)
    }

    /// Until when what is claimed now may be written to a relay: advertisements until the night.
    fn deadline(&self, lane: Lane, now: Timestamp) -> Timestamp {
        let deadline = now.plus(self.shared.config.claim_deadline);
        match lane {
            Lane::Ad => deadline.min(self.shared.config.ad_hours.closes_at(now).minus(Duration::from_millis(1))),
            _ => deadline,
        }
    }

    fn launch(
        &mut self,
        lane: Lane,
        account: AccountId,
        claimed: Claimed,
        (relays, note): (Vec<u8>, Vec<u8>),
        leaving: Vec<Leaving>,
        missed: Missed,
    ) -> Result<(), Error> {
        let now = self.shared.clock.now();
        let deadline = self.deadline(lane, now);
        let id = match self.shared.store.new_id() {
            Ok(id) => id,
            Err(error) => {
                // Booked and taken off already: all of it is given back, as if the claim had not held.
                launch::give_back(&self.shared, leaving.iter().map(|leaving| leaving.booking));
                let _ = self.missed_sender.send(missed);
                return Err(error);
            }
        };
        let claim =
            Claim { id, owner: self.shared.owner, deadline: deadline.millis(), lane, account, claimed, relays, note };
        self.shared.claims_out.fetch_add(1, Ordering::AcqRel);
        let launch = Launch { claim, states: self.ratios.changed(), leaving, deadline, missed };
        tokio::spawn(launch::launch(self.shared.clone(), launch, self.missed_sender.clone()));
        Ok(())
    }
}
