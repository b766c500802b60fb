//! The port in front of an SMPP relay.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bongsu_domain::channel::Channel;
use bongsu_domain::lane::Lane;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::dial::Dial;
use super::hub::Hub;
use super::state::Phase;
use super::{link, submit};
use crate::{Health, Outbound, RelayConfig, RelayPort};

/// The port of an SMPP relay.
pub(super) struct Relay {
    hub: Arc<Hub>,
    dial: Arc<dyn Dial>,
}

impl Relay {
    pub(super) fn new(hub: Arc<Hub>, dial: Arc<dyn Dial>) -> Relay {
        Relay { hub, dial }
    }

    /// Starts the link tasks that are missing. They are never ended by a smaller number of binds, only rested, so that
    /// a link that still drains and one that begins never add up to more than agreed.
    pub(super) fn open_links(&self) {
        let mut state = self.hub.lock();
        if state.phase != Phase::Running {
            return;
        }
        while state.wakes.len() < usize::from(state.config.binds) {
            let wake = Arc::new(Notify::new());
            let run = link::run(Arc::clone(&self.hub), Arc::clone(&self.dial), state.wakes.len(), Arc::clone(&wake));
            state.wakes.push(wake);
            state.running += 1;
            tokio::spawn(run);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let mut state = self.hub.lock();
        state.is_dropped = true;
        // A stop that is under way goes on: its future does not need the port.
        if state.phase == Phase::Running {
            state.phase = Phase::Abandoned;
        }
        self.hub.announce(&state);
    }
}

impl RelayPort for Relay {
    fn parts(&self, _channel: Channel, text: &str) -> u8 {
        let config = Arc::clone(&self.hub.lock().config);
        submit::parts(&config, text)
    }

    fn room(&self, lane: Lane) -> u32 {
        self.hub.lock().room(lane, self.hub.in_flight.load(Ordering::Relaxed), Instant::now())
    }

    fn submit(&self, messages: Vec<Outbound>) {
        let mut state = self.hub.lock();
        messages.into_iter().for_each(|message| state.lanes.push(message));
        state.wakes.iter().for_each(|wake| wake.notify_one());
        drop(state);
        self.hub.wake_keeper();
    }

    fn health(&self) -> Health {
        let state = self.hub.lock();
        Health {
            up: state.binds > 0,
            since: state.since,
            binds: state.binds,
            window: state.window(),
            window_used: self.hub.in_flight.load(Ordering::Relaxed),
            queued: state.lanes.parts_total(),
            throttled: state.throttle.pause(Instant::now()).is_some(),
            counters: self.hub.totals.read(),
        }
    }

    fn reconfigure(&self, config: RelayConfig) {
        let mut state = self.hub.lock();
        state.pace.set_rate(config.rate_per_s);
        state.throttle.set_window(config.window);
        if !state.config.same_link(&config) {
            state.epoch += 1;
        }
        state.config = Arc::new(config);
        self.hub.announce(&state);
        drop(state);
        self.hub.room.notify_one();
        self.open_links();
    }

    fn stop(&self, drain: Duration) -> BoxFuture<'static, ()> {
        let hub = Arc::clone(&self.hub);
        let mut state = self.hub.lock();
        if state.phase == Phase::Running {
            state.phase = Phase::Stopping { until: Instant::now() + drain };
            self.hub.announce(&state);
        }
        drop(state);
        Box::pin(async move {
            // The sender lives in the hub, so waiting ends by the announcement alone.
            let _announced = hub.stopped.subscribe().wait_for(|stopped| *stopped).await.is_ok();
        })
    }
}
