//! What a law stands on: one engine, seen by two processes.

use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::{Clock, ManualClock, Timestamp};
use bongsu_engine::bus::{self, Bus, BusReceiver, Heard};
use bongsu_engine::cache::{self, Cache};

/// How long a law waits for what must happen at some time.
const DEADLINE: Duration = Duration::from_secs(60);

/// One engine as two processes have it.
pub trait House {
    fn caches(&self) -> [Arc<dyn Cache>; 2];

    fn buses(&self) -> [Arc<dyn Bus>; 2];

    /// The engine's own time.
    async fn now(&self) -> Timestamp;

    /// Returns when so much of the engine's time has passed.
    async fn pass(&self, time: Duration);

    /// A receiver that hears both processes.
    async fn listen(&self, bus: &Arc<dyn Bus>, topic: &str) -> BusReceiver;
}

/// The engines of one process: both are the same.
pub struct Inprocess {
    clock: Arc<ManualClock>,
    cache: Arc<dyn Cache>,
    bus: Arc<dyn Bus>,
}

impl Inprocess {
    pub fn open() -> Inprocess {
        let clock = by_hand();
        Inprocess { cache: cache::open_inprocess(clock.clone()), bus: bus::open_inprocess(clock.clone()), clock }
    }
}

impl House for Inprocess {
    fn caches(&self) -> [Arc<dyn Cache>; 2] {
        [self.cache.clone(), self.cache.clone()]
    }

    fn buses(&self) -> [Arc<dyn Bus>; 2] {
        [self.bus.clone(), self.bus.clone()]
    }

    async fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    async fn listen(&self, bus: &Arc<dyn Bus>, topic: &str) -> BusReceiver {
        bus.subscribe(topic).unwrap()
    }
}

pub fn by_hand() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)))
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    let waiting = async {
        while !holds().await {
            ticks.tick().await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, waiting).await.is_ok(), "never: {what}");
}

/// What a receiver hears next, whatever it is.
pub async fn next(receiver: &mut BusReceiver) -> Heard {
    let heard = tokio::time::timeout(DEADLINE, receiver.recv()).await;
    heard.expect("something is heard").expect("the bus is there")
}

/// The next message; notices before it are passed over.
pub async fn message(receiver: &mut BusReceiver) -> Vec<u8> {
    loop {
        if let Heard::Message(message) = next(receiver).await {
            return message.to_vec();
        }
    }
}

/// A number as a message, and back.
pub fn numbered(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

pub fn number_of(message: &[u8]) -> u64 {
    u64::from_be_bytes(message.try_into().expect("a number"))
}
