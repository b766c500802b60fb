//! The bus port: lossy fan-out of short messages between processes.

mod inprocess;
mod mailbox;
#[cfg(feature = "redis")]
mod outbox;
#[cfg(feature = "redis")]
mod redis;
mod registry;

use std::fmt;
use std::sync::Arc;

use bongsu_domain::{Clock, Timestamp};

use crate::counter::Counter;
use crate::{OpenError, RedisConfig};

pub use mailbox::{BusReceiver, Heard};

/// Bytes that the name of a topic may have.
pub const TOPIC_MAX: usize = 200;
/// Bytes that a message may have.
pub const MESSAGE_MAX: usize = 64 * 1024;
/// Receivers that one bus serves.
pub const RECEIVERS_MAX: usize = 100_000;
/// Messages that wait for one receiver; the next one pushes out the oldest.
pub const WAITING_MAX: usize = 1024;
/// Bytes of messages that wait for one receiver.
pub const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Messages that wait to leave the process; the next one pushes out the oldest.
pub const OUTGOING_MAX: usize = 10_000;
/// Bytes of messages that wait to leave the process.
pub const OUTGOING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Tells all processes what one of them says, as far as it can.
///
/// Laws, each a test in `tests/laws`:
/// - A message reaches every receiver of its topic, those of the process that published it included, and no other.
/// - What one publisher says one after another is heard in that order, each message at most once.
/// - A receiver that does not keep up loses the oldest and is told how many.
/// - A receiver that may have missed something of other processes is told by a [`Heard::Gap`], once the way is open
///   again: after the connection was cut, after another process had to drop something (a second or two later if it drops
///   all the time), and when the first receiver of a topic in this process begins to hear other processes. What it reads
///   elsewhere after the gap and what it hears from then on leave nothing out.
/// - Own receivers hear what their process publishes also while the server is down.
/// - Publishing never waits and never fails; memory is bounded by the constants of this module.
pub trait Bus: Send + Sync {
    /// Says `message` to all receivers of `topic`. One over [`MESSAGE_MAX`] bytes, or a topic over [`TOPIC_MAX`], is
    /// dropped and counted.
    fn publish(&self, topic: &str, message: &[u8]);

    /// Begins to listen. Messages of this process are heard from now on; those of others from the first [`Heard::Gap`]
    /// on, or from now on where this process listens to that topic already. Dropping the receiver ends it.
    ///
    /// # Errors
    /// [`Refused`] over the limits of this module.
    fn subscribe(&self, topic: &str) -> Result<BusReceiver, Refused>;

    /// How the engine is.
    fn health(&self) -> BusHealth;

    /// What was counted since the engine was opened.
    fn metrics(&self) -> BusMetrics;
}

/// Why nobody can listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The topic has more than [`TOPIC_MAX`] bytes.
    Topic,
    /// The bus has [`RECEIVERS_MAX`] receivers.
    Receivers,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Topic => write!(f, "a topic has at most {TOPIC_MAX} bytes"),
            Refused::Receivers => write!(f, "a bus has at most {RECEIVERS_MAX} receivers"),
        }
    }
}

impl std::error::Error for Refused {}

/// How a bus is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusHealth {
    /// Whether other processes are heard; always true in process.
    pub up: bool,
    /// Since when that is so.
    pub since: Timestamp,
    /// The last thing that went wrong; it stays after the server is back.
    pub last_error: Option<String>,
    /// Messages that wait to leave this process.
    pub outgoing: usize,
}

/// What a bus counted since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BusMetrics {
    /// Messages published here.
    pub published: u64,
    /// Of these, those that the server took.
    pub sent: u64,
    /// Of these, those that never left, or perhaps never, because the server was down or too slow.
    pub dropped: u64,
    /// Messages of other processes that came in.
    pub heard: u64,
    /// Messages that receivers lost because they did not keep up.
    pub lagged: u64,
    /// Gaps that receivers were told of.
    pub gaps: u64,
    /// Messages and topics over their limit, and what came in and is no message of a bus.
    pub refused: u64,
    /// Calls that the server answered with an error, or not at all, while it was thought to be up.
    pub failures: u64,
    /// Connections that were made.
    pub connects: u64,
    /// Receivers now.
    pub receivers: u64,
}

#[derive(Debug, Default)]
struct Counts {
    published: Counter,
    lagged: Counter,
    gaps: Counter,
    refused: Counter,
}

impl Counts {
    /// Whether a message is within the limits; one that is not is counted.
    fn fits(&self, topic: &str, message: &[u8]) -> bool {
        let fits = topic.len() <= TOPIC_MAX && message.len() <= MESSAGE_MAX;
        if fits { &self.published } else { &self.refused }.add(1);
        fits
    }

    fn metrics(&self, receivers: usize) -> BusMetrics {
        BusMetrics {
            published: self.published.get(),
            lagged: self.lagged.get(),
            gaps: self.gaps.get(),
            refused: self.refused.get(),
            receivers: receivers as u64,
            ..BusMetrics::default()
        }
    }
}

/// The choice of an engine with what it needs.
#[derive(Debug, Clone)]
pub enum BusConfig {
    /// Within this process.
    Inprocess,
    /// Publish and subscribe of Redis.
    Redis(RedisConfig),
}

/// Opens the chosen engine, as [`open_inprocess`] and [`open_redis`] do.
///
/// # Errors
/// Those of [`open_redis`].
pub fn open(config: &BusConfig, clock: Arc<dyn Clock>) -> Result<Arc<dyn Bus>, OpenError> {
    match config {
        BusConfig::Inprocess => Ok(open_inprocess(clock)),
        BusConfig::Redis(redis) => open_redis(redis, clock),
    }
}

/// Opens the engine of one process.
pub fn open_inprocess(clock: Arc<dyn Clock>) -> Arc<dyn Bus> {
    Arc::new(inprocess::Inprocess::new(clock.now()))
}

/// Opens the engine on Redis. It connects in the background, also when the server is down now. Must be called on a tokio
/// runtime, which runs the connection until the bus is dropped.
///
/// # Errors
/// [`OpenError`] when the address is none, the prefix is too long, or this build has no feature `redis`.
#[cfg(feature = "redis")]
pub fn open_redis(config: &RedisConfig, clock: Arc<dyn Clock>) -> Result<Arc<dyn Bus>, OpenError> {
    Ok(Arc::new(redis::Redis::open(config, clock)?))
}

/// Opens the engine on Redis, which this build does not have.
///
/// # Errors
/// [`OpenError::NotBuilt`].
#[cfg(not(feature = "redis"))]
pub fn open_redis(_config: &RedisConfig, _clock: Arc<dyn Clock>) -> Result<Arc<dyn Bus>, OpenError> {
    Err(OpenError::NotBuilt("redis"))
}
