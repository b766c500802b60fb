//! The heart of one relay: what its sessions, its keeper and its port ask and tell each other.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bongsu_domain::lane::Lane;
use bongsu_domain::time::{Clock, Timestamp};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use super::lanes::is_ended;
use super::state::{Phase, State};
use crate::{Counters, Event, Outbound, RelayConfig, UnsentReason};

/// How long messages wait for a relay without a link before they come back: a cut is usually mended at once.
const GRACE_AUTH: Duration = Duration::from_millis(200);
const GRACE: Duration = Duration::from_secs(2);

/// A write of a few PDUs waits for more answers while fewer than this many fit the window.
const GATHER_MAX: u32 = 20;

/// The shared state of one relay.
pub(super) struct Hub {
    pub(super) events: mpsc::Sender<Vec<Event>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) seed: u64,
    pub(super) totals: Totals,
    /// Notified when the keeper has something to do.
    pub(super) keeper: Notify,
    is_keeper_asleep: AtomicBool,
    pub(super) room: Arc<Notify>,
    /// Grows with every change of configuration or phase, so that sessions look without taking the lock.
    version: AtomicU64,
    pub(super) in_flight: AtomicU32,
    pub(super) stopped: watch::Sender<bool>,
    state: Mutex<State>,
}

/// The counters behind [`Counters`].
#[derive(Default)]
pub(super) struct Totals {
    pub(super) written: AtomicU64,
    pub(super) throttled: AtomicU64,
    pub(super) unknown: AtomicU64,
    pub(super) receipts: AtomicU64,
    pub(super) mobile_originated: AtomicU64,
    pub(super) malformed: AtomicU64,
    pub(super) stray: AtomicU64,
    pub(super) binds: AtomicU64,
    pub(super) bind_failures: AtomicU64,
}

impl Totals {
    pub(super) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            written: read(&self.written),
            throttled: read(&self.throttled),
            unknown: read(&self.unknown),
            receipts: read(&self.receipts),
            mobile_originated: read(&self.mobile_originated),
            malformed: read(&self.malformed),
            stray: read(&self.stray),
            binds: read(&self.binds),
            bind_failures: read(&self.bind_failures),
        }
    }
}

/// What a link's task has to do.
#[derive(Clone)]
pub(super) enum Duty {
    /// Keep a session with this configuration; another epoch means another session.
    Bind(Arc<RelayConfig>, u64),
    /// Nothing, until woken.
    Rest,
    /// End; a running session has until then.
    End(Instant),
}

/// What a session wants to write.
pub(super) struct Ask {
    pub(super) now: Instant,
    pub(super) at: Timestamp,
    /// Its parts in flight.
    pub(super) in_flight: u32,
    /// The lane of the message it is in the middle of.
    pub(super) open: Option<Lane>,
    /// Whether it may begin messages.
    pub(super) may_take: bool,
    /// Whether it would rather wait for more room than write a few PDUs.
    pub(super) may_gather: bool,
}

/// What it may write.
pub(super) enum Grant {
    /// The first part of this message.
    Take(Outbound),
    /// The next part of the message it is in the middle of.
    Continue,
    /// Nothing before then.
    Later(Instant),
    /// Little: better wait for more answers.
    Gather,
    /// Nothing until woken or answered.
    Nothing,
}

/// How often a session looks whether the gate opened again.
const SHUT_LOOK: Duration = Duration::from_millis(100);

impl Hub {
    pub(super) fn new(
        config: RelayConfig,
        events: mpsc::Sender<Vec<Event>>,
        room: Arc<Notify>,
        clock: Arc<dyn Clock>,
        seed: u64,
    ) -> Arc<Hub> {
        let state = State::new(config, Instant::now(), clock.now());
        Arc::new(Hub {
            events,
            clock,
            seed,
            totals: Totals::default(),
            keeper: Notify::new(),
            is_keeper_asleep: AtomicBool::new(false),
            room,
            version: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            stopped: watch::Sender::new(false),
            state: Mutex::new(state),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(super) fn duty(&self, index: usize) -> Duty {
        let state = self.lock();
        match state.phase {
            Phase::Stopping { until } => Duty::End(until),
            Phase::Abandoned => Duty::End(Instant::now()),
            Phase::Running if index >= usize::from(state.config.binds) => Duty::Rest,
            Phase::Running => Duty::Bind(Arc::clone(&state.config), state.epoch),
        }
    }

    /// Decides what a session writes next and takes it out of queue and pace. What ended in the queue is told in
    /// `unsent`.
    pub(super) fn grant(&self, ask: &Ask, unsent: &mut Vec<Event>) -> Grant {
        let state = &mut *self.lock();
        if !state.config.gate.is_open() {
            return Grant::Later(ask.now + SHUT_LOOK);
        }
        if let Some(until) = state.throttle.pause(ask.now) {
            return Grant::Later(until);
        }
        if state.throttle.has_resumed(ask.now) {
            self.room.notify_one();
        }
        loop {
            let Some((lane, is_new)) = state.candidate(ask) else {
                return Grant::Nothing;
            };
            if is_new && state.lanes.front(lane).is_some_and(|message| is_ended(message, ask.at)) {
                unsent.extend(state.lanes.pop(lane).map(|message| self.ended(&state.config, &message, ask.at)));
                continue;
            }
            let limit = state.window_limit(lane);
            if ask.in_flight >= limit {
                return Grant::Nothing;
            }
            let little = (limit / 4).min(GATHER_MAX);
            if lane != Lane::Auth && ask.may_gather && ask.in_flight > 0 && limit - ask.in_flight < little {
                return Grant::Gather;
            }
            if let Err(next) = state.pace.try_part(lane, ask.now) {
                return Grant::Later(next);
            }
            if !is_new {
                return Grant::Continue;
            }
            return match state.take(lane, &self.room) {
                Some(message) => Grant::Take(message),
                None => Grant::Nothing,
            };
        }
    }

    fn ended(&self, config: &RelayConfig, message: &Outbound, at: Timestamp) -> Event {
        let why = if at >= message.expires { UnsentReason::Expired } else { UnsentReason::Deadline };
        unsent(config.no, message, why)
    }

    /// Puts a message back to the front that the relay has nothing of.
    pub(super) fn requeue(&self, message: Outbound) {
        self.lock().lanes.push_front(message);
        self.wake_keeper();
    }

    /// Parts went into flight, or their write was taken back.
    pub(super) fn add_in_flight(&self, parts: u32) {
        self.in_flight.fetch_add(parts, Ordering::Relaxed);
    }

    pub(super) fn sub_in_flight(&self, parts: u32) {
        self.in_flight.fetch_sub(parts, Ordering::Relaxed);
    }

    /// A chunk of answers was read, of them `accepted` good ones.
    pub(super) fn on_answers(&self, answered: u32, accepted: u32) {
        self.sub_in_flight(answered);
        self.lock().throttle.on_accepted(accepted);
        self.room.notify_one();
    }

    /// The relay throttled a part written at `written`.
    pub(super) fn on_throttled(&self, written: Instant, now: Instant) {
        Totals::add(&self.totals.throttled, 1);
        self.lock().throttle.on_throttled(written, now);
    }

    pub(super) fn on_link_up(&self) -> Event {
        Totals::add(&self.totals.binds, 1);
        let event = self.lock().on_link(1, self.clock.now());
        self.room.notify_one();
        event
    }

    pub(super) fn on_link_down(&self) -> Event {
        let event = self.lock().on_link(-1, self.clock.now());
        self.wake_keeper();
        event
    }

    pub(super) fn on_link_task_ended(&self) {
        self.lock().running -= 1;
        self.keeper.notify_one();
    }

    /// Whether the keeper has to look again soon; if not, it is notified when it has to.
    pub(super) fn has_queue(&self) -> bool {
        self.is_keeper_asleep.store(true, Ordering::SeqCst);
        let has_queue = !self.lock().lanes.is_empty();
        if has_queue {
            self.is_keeper_asleep.store(false, Ordering::SeqCst);
        }
        has_queue
    }

    pub(super) fn wake_keeper(&self) {
        if self.is_keeper_asleep.swap(false, Ordering::SeqCst) {
            self.keeper.notify_one();
        }
    }

    /// Takes out what waited too long or in vain.
    pub(super) fn sweep(&self) -> Vec<Event> {
        let (now, at) = (Instant::now(), self.clock.now());
        let state = &mut *self.lock();
        let ended = state.lanes.take_ended(at);
        let mut events: Vec<Event> = ended.iter().map(|message| self.ended(&state.config, message, at)).collect();
        let down = if state.binds > 0 { Duration::ZERO } else { now.saturating_duration_since(state.down_since) };
        let (why, left) = match state.phase {
            Phase::Stopping { .. } | Phase::Abandoned => (UnsentReason::Stopped, state.lanes.take_if(|_| true)),
            Phase::Running if down >= GRACE => (UnsentReason::Down, state.lanes.take_if(|_| true)),
            Phase::Running if down >= GRACE_AUTH => {
                (UnsentReason::Down, state.lanes.take_if(|message| message.lane == Lane::Auth))
            }
            Phase::Running => return events,
        };
        events.extend(left.iter().map(|message| unsent(state.config.no, message, why)));
        events
    }

    /// Tells those who wait for the stop, if it is complete.
    pub(super) fn announce_stop(&self) {
        let state = self.lock();
        if matches!(state.phase, Phase::Stopping { .. }) && state.running == 0 && state.lanes.is_empty() {
            self.stopped.send_replace(true);
        }
    }

    /// Whether nobody can use the relay any more.
    pub(super) fn is_over(&self) -> bool {
        let state = self.lock();
        state.is_dropped && state.running == 0
    }

    /// Everybody looks at configuration and phase again.
    pub(super) fn announce(&self, state: &State) {
        self.version.fetch_add(1, Ordering::Release);
        state.wakes.iter().for_each(|wake| wake.notify_one());
        self.keeper.notify_one();
    }
}

/// A message that comes back.
pub(super) fn unsent(relay: u8, message: &Outbound, why: UnsentReason) -> Event {
    Event::Unsent { relay, id: message.id, attempt: message.attempt, why }
}
