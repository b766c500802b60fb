//! What the links of one relay share: its queue, pace, throttle and phase, and the sums over them.

use std::sync::Arc;

use bongsu_domain::lane::Lane;
use bongsu_domain::time::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::hub::Ask;
use super::lanes::Lanes;
use super::pace::{Pace, Throttle};
use crate::{Event, Outbound, RelayConfig};

/// One refill is at most this much of the rate.
const REFILLS_PER_S: u32 = 20;

/// Of window and room, one in five is kept for auth.
const AUTH_SHARE: u32 = 5;

/// What the links of one relay share under its lock.
pub(super) struct State {
    pub(super) config: Arc<RelayConfig>,
    /// Grows when links have to be made anew.
    pub(super) epoch: u64,
    pub(super) lanes: Lanes,
    pub(super) pace: Pace,
    pub(super) throttle: Throttle,
    pub(super) binds: u16,
    pub(super) since: Timestamp,
    /// When the last link was lost, or the relay started.
    pub(super) down_since: Instant,
    pub(super) phase: Phase,
    /// What wakes each link's task.
    pub(super) wakes: Vec<Arc<Notify>>,
    /// Link tasks that have not ended.
    pub(super) running: usize,
    /// Whether the port is gone.
    pub(super) is_dropped: bool,
}

/// Whether the relay takes messages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It does.
    Running,
    /// Sessions have until then.
    Stopping { until: Instant },
    /// The port was dropped without a stop.
    Abandoned,
}

impl State {
    pub(super) fn new(config: RelayConfig, now: Instant, at: Timestamp) -> State {
        State {
            epoch: 0,
            lanes: Lanes::new(),
            pace: Pace::new(config.rate_per_s, now),
            throttle: Throttle::new(config.window),
            config: Arc::new(config),
            binds: 0,
            since: at,
            down_since: now,
            phase: Phase::Running,
            wakes: Vec::new(),
            running: 0,
            is_dropped: false,
        }
    }

    /// The lane to write from, and whether that begins a message.
    pub(super) fn candidate(&self, ask: &Ask) -> Option<(Lane, bool)> {
        match ask.open {
            Some(Lane::Auth) => Some((Lane::Auth, false)),
            _ if ask.may_take && self.lanes.parts(Lane::Auth) > 0 => Some((Lane::Auth, true)),
            Some(lane) => Some((lane, false)),
            None if ask.may_take => self.lanes.turn().map(|lane| (lane, true)),
            None => None,
        }
    }

    pub(super) fn take(&mut self, lane: Lane, room: &Notify) -> Option<Outbound> {
        let low = self.refill() / 4 + 1;
        let before = self.lanes.parts_total();
        let message = if lane == Lane::Auth { self.lanes.pop(lane) } else { self.lanes.pop_turn(lane) };
        if before >= low && self.lanes.parts_total() < low {
            room.notify_one();
        }
        message
    }

    pub(super) fn window_limit(&self, lane: Lane) -> u32 {
        let limit = u32::from(self.throttle.limit());
        match (lane, limit) {
            (Lane::Auth, _) | (_, 1) => limit,
            _ => limit - (limit / AUTH_SHARE).max(1),
        }
    }

    pub(super) fn refill(&self) -> u32 {
        ((self.config.rate_per_s / f64::from(REFILLS_PER_S)).ceil() as u32).max(1)
    }

    pub(super) fn window(&self) -> u32 {
        u32::from(self.binds) * u32::from(self.throttle.limit())
    }

    pub(super) fn room(&self, lane: Lane, in_flight: u32, now: Instant) -> u32 {
        let is_shut = self.binds == 0 || self.phase != Phase::Running || self.throttle.pause(now).is_some();
        if is_shut {
            return 0;
        }
        let refill = self.refill();
        let capacity = self.window().saturating_sub(in_flight).min(refill) + self.window().min(refill);
        match lane {
            Lane::Auth => capacity.saturating_sub(self.lanes.parts(Lane::Auth)),
            _ => (capacity - capacity / AUTH_SHARE).saturating_sub(self.lanes.parts_total()),
        }
    }

    pub(super) fn on_link(&mut self, change: i16, at: Timestamp) -> Event {
        let was_up = self.binds > 0;
        self.binds = self.binds.saturating_add_signed(change);
        let up = self.binds > 0;
        if up != was_up {
            self.since = at;
        }
        if !up {
            self.down_since = Instant::now();
        }
        Event::Link { relay: self.config.no, up, binds: self.binds, at }
    }
}
