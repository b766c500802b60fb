//! What processes over one database tell each other: that settings changed, that there is something to send, and how many
//! serve the API. The bus makes it quick; without it a look at the database each second finds the same.

use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::{Lane, Trouble};
use bongsu_engine::bus::{Bus, BusReceiver, Heard};
use bongsu_engine::cache::Cache;
use bongsu_send::Service;
use bongsu_store::Store;
use bongsu_store::settings::Beside;
use tokio::task::JoinHandle;

/// How often the database is asked what others changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The least time between two looks, whatever the bus says.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// How long others may use a key or a price from the shared cache; its mark ends it earlier.
const REMEMBERED: Duration = Duration::from_secs(300);
/// Topic of changed settings; the message is who changed them.
const SETTINGS: &str = "settings";
/// Topic of new runs; the message is who accepted them, and their lanes.
const RUNS: &str = "runs";
/// Every topic, and what it tells.
pub const TOPICS: [(&str, &str); 2] = [
    (SETTINGS, "keys, accounts, sender numbers, prices, shares or relays changed"),
    (RUNS, "messages were accepted, and in which lanes"),
];

/// The engines that processes share, or those of this process alone.
#[derive(Clone)]
pub struct Engines {
    /// Limits, and look-ups.
    pub cache: Arc<dyn Cache>,
    /// News.
    pub bus: Arc<dyn Bus>,
    /// Whether others read that cache.
    pub is_cache_shared: bool,
}

/// The tasks that listen and tell; they end when this is dropped.
pub struct Neighbours(Vec<JoinHandle<()>>);

impl Drop for Neighbours {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl Neighbours {
    /// Begins to listen and to tell; on the embedded store there is nobody.
    pub fn watch(service: &Service, engines: &Engines, dispatches: bool) -> Self {
        let store = service.store().clone();
        if !store.is_shared() {
            return Self(Vec::new());
        }
        let me = store.incarnation().unwrap_or_default();
        if engines.is_cache_shared {
            store.remember_beside(Arc::new(Shelf(engines.cache.clone())));
        }
        let bus = engines.bus.clone();
        service.on_accept(move |lanes| bus.publish(RUNS, &runs_message(me, lanes)));
        let mut tasks = vec![
            tokio::spawn(tell_settings(store, engines.bus.clone(), me)),
            tokio::spawn(follow_settings(service.clone(), engines.clone(), me)),
        ];
        if dispatches {
            tasks.push(tokio::spawn(follow_runs(service.clone(), engines.bus.clone(), me)));
        }
        Self(tasks)
    }
}

fn runs_message(me: i64, lanes: &[Lane]) -> Vec<u8> {
    me.to_be_bytes().into_iter().chain(lanes.iter().map(|lane| *lane as u8)).collect()
}

/// Whether something was accepted in a lane that does not wait for the next look, which comes many times a second.
fn is_urgent(message: &[u8]) -> bool {
    let lanes = message.get(size_of::<i64>()..).unwrap_or_default();
    lanes.iter().any(|lane| matches!(Lane::from_u8(*lane), Some(Lane::Auth | Lane::Realtime)))
}

/// Whether a message is this process's own, which it has no need to hear.
fn is_own(message: &[u8], me: i64) -> bool {
    message.starts_with(&me.to_be_bytes())
}

async fn tell_settings(store: Store, bus: Arc<dyn Bus>, me: i64) {
    loop {
        store.settings_written().await;
        bus.publish(SETTINGS, &me.to_be_bytes());
    }
}

async fn follow_settings(service: Service, engines: Engines, me: i64) {
    let mut news = engines.bus.subscribe(SETTINGS).ok();
    let mut trouble = Trouble::default();
    loop {
        let found = service.store().look_at_neighbours().await;
        if let Ok(Some(found)) = &found {
            engines.cache.set_processes(found.serving);
            if found.changed {
                service.relays_changed().await;
            }
        }
        // Nobody could do anything by the old settings either: whatever a request does needs the database.
        if let Some(error) = trouble.begins(found.map(drop)) {
            tracing::warn!(%error, "what other processes changed cannot be read; tried again each second");
        }
        tokio::time::sleep(LOOK_PAUSE).await;
        // Without news from others the clock says when to look again.
        let _ = tokio::time::timeout(LOOK_EVERY, heard_of_others(&mut news, |news| !is_own(news, me))).await;
    }
}

async fn follow_runs(service: Service, bus: Arc<dyn Bus>, me: i64) {
    let mut news = bus.subscribe(RUNS).ok();
    loop {
        heard_of_others(&mut news, |news| !is_own(news, me) && is_urgent(news)).await;
        service.nudge();
    }
}

/// Completes when something was said that concerns this process, or may have been; what came meanwhile counts as one.
async fn heard_of_others(news: &mut Option<BusReceiver>, concerns: impl Fn(&[u8]) -> bool) {
    let Some(receiver) = news else { return std::future::pending().await };
    loop {
        let Some(heard) = receiver.recv().await else {
            *news = None;
            return;
        };
        if !matches!(heard, Heard::Message(message) if !concerns(&message)) {
            while receiver.try_recv().is_some() {}
            return;
        }
    }
}

/// The shared cache, as the store asks for it.
struct Shelf(Arc<dyn Cache>);

impl Beside for Shelf {
    fn get<'a>(&'a self, key: &'a str) -> std::pin::Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send + 'a>> {
        self.0.get(key)
    }

    fn put<'a>(&'a self, key: &'a str, value: &'a [u8]) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        self.0.put(key, value, REMEMBERED)
    }
}

#[cfg(test)]
mod tests {
    use bongsu_domain::{ManualClock, Timestamp};
    use bongsu_engine::bus;

    use super::*;

    /// Whether news of urgent runs of others come within a second.
    async fn hears(news: &mut Option<BusReceiver>) -> bool {
        let concerns = |news: &[u8]| !is_own(news, 7) && is_urgent(news);
        tokio::time::timeout(Duration::from_secs(1), heard_of_others(news, concerns)).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn urgent_runs_of_others_are_heard_and_a_crowd_counts_once() {
        let bus = bus::open_inprocess(Arc::new(ManualClock::new(Timestamp(0))));
        let mut news = bus.subscribe(RUNS).ok();
        bus.publish(RUNS, &runs_message(7, &[Lane::Auth]));
        assert!(!hears(&mut news).await, "its own message is no news");
        bus.publish(RUNS, &runs_message(8, &[Lane::Bulk, Lane::Ad]));
        assert!(!hears(&mut news).await, "bulk waits for the next look");
        for _ in 0..10 {
            bus.publish(RUNS, &runs_message(8, &[Lane::Bulk, Lane::Realtime]));
        }
        assert!(hears(&mut news).await);
        assert!(!hears(&mut news).await, "ten at once are one");
        drop(bus);
        assert!(news.is_some());
        assert!(hears(&mut news).await);
        assert!(news.is_none(), "a bus that is gone is not asked again");
    }
}
