//! The cache port: values that may be lost at any time, and token buckets that all processes share.

mod buckets;
#[cfg(feature = "redis")]
mod doubts;
mod inprocess;
#[cfg(feature = "redis")]
mod redis;
mod values;

use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::rate::{Limited, Quota};
use bongsu_domain::{Clock, Timestamp};
use futures_util::future::BoxFuture;

use crate::counter::Counter;
use crate::{OpenError, RedisConfig};

/// Bytes that a key may have.
pub const KEY_MAX: usize = 200;
/// Bytes that a value may have.
pub const VALUE_MAX: usize = 64 * 1024;
/// The longest that a value is kept; a longer time counts as this. It bounds how long other processes may see a value
/// that one of them could not take back.
pub const TTL_MAX: Duration = Duration::from_secs(3600);
/// Values that one process keeps; the next one pushes out those that would end first.
pub const VALUES_MAX: usize = 10_000;
/// Bytes of values that one process keeps.
pub const VALUES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Token buckets that one process keeps; the next one pushes out full ones, which changes nothing, then the fullest.
pub const BUCKETS_MAX: usize = 100_000;

/// Values that may be lost at any time, and token buckets over processes. Slower without it, never wrong.
///
/// Laws, each a test in `tests/laws`:
/// - A value that was put is got until its time is over, it is forgotten, another takes its place, or it is lost.
/// - What a process put or forgot never shows an older value to that process again, whatever happens to the server in
///   between. Another process may see an older value until the time of that value is over, when this one could not
///   reach the server; who cannot bear that puts a version into the key.
/// - No call fails and none waits longer than the engine's patience; while the server is down each answers at once.
/// - A bucket never gives more than its burst and its rate over the time, over all processes together; each loss of the
///   server's memory may give its burst once more. While the server does not answer, each process gives its own share.
/// - Memory is bounded by the constants of this module.
///
/// Every future may be dropped at any time. Then nobody knows whether it had its effect, and the laws still hold.
pub trait Cache: Send + Sync {
    /// The value of a key, or `None` when there is none, when it was lost or when the engine does not answer.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<Vec<u8>>>;

    /// Keeps a value for `ttl`, at most [`TTL_MAX`], if the engine can. A value over [`VALUE_MAX`] bytes or with a `ttl`
    /// of less than a millisecond is not kept, and the one before it is gone all the same.
    fn put<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration) -> BoxFuture<'a, ()>;

    /// Drops the value of a key.
    fn forget<'a>(&'a self, key: &'a str) -> BoxFuture<'a, ()>;

    /// Takes `cost` tokens from the bucket of a key, which is full when it is first named. What is given and what is
    /// told is that of [`bongsu_domain::Bucket::take`], debts included. `now` is the time for the process's own share; a
    /// shared bucket goes by the clock of its server. A key over [`KEY_MAX`] bytes is a defect of the caller and gets
    /// nothing.
    ///
    /// Values and buckets have names of their own: the same key may be used for both.
    fn take<'a>(&'a self, key: &'a str, limit: Limit, cost: u32, now: Timestamp) -> BoxFuture<'a, Taken>;

    /// Says how many processes share the limits now, at least 1, which is also what an engine begins with. A process on
    /// its own gives that part of rate and burst, but at least 1 of each.
    fn set_processes(&self, count: u32);

    /// How the engine is.
    fn health(&self) -> CacheHealth;

    /// What was counted since the engine was opened.
    fn metrics(&self) -> CacheMetrics;
}

/// What a bucket holds and gets, over all processes; 0 counts as 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Tokens that it gets a second.
    pub rate_per_s: u32,
    /// Tokens that it holds.
    pub burst: u32,
}

/// The answer of [`Cache::take`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// What is left, or how long to wait; when limited, nothing was taken.
    pub outcome: Result<Quota, Limited>,
    /// Whether the bucket of all processes was asked. Otherwise it was this process's share, and the numbers in `outcome`
    /// are those of the share.
    pub shared: bool,
}

/// How a cache is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheHealth {
    /// Whether calls reach the server; always true in process.
    pub up: bool,
    /// Since when that is so.
    pub since: Timestamp,
    /// The last thing that went wrong; it stays after the server is back.
    pub last_error: Option<String>,
    /// Takes that were decided by the process's own share because the server did not answer.
    pub fallbacks: u64,
}

/// What a cache counted since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheMetrics {
    /// Gets that found a value.
    pub hits: u64,
    /// Gets that found none, for whatever reason.
    pub misses: u64,
    /// Puts.
    pub puts: u64,
    /// Forgets.
    pub forgets: u64,
    /// Takes.
    pub takes: u64,
    /// Takes that were limited.
    pub limited: u64,
    /// Takes that were decided by the process's own share because the server did not answer.
    pub fallbacks: u64,
    /// Calls with a key or value over its limit.
    pub refused: u64,
    /// Values and buckets that were pushed out of this process before their time.
    pub evicted: u64,
    /// Calls that the server answered with an error, or not at all, while it was thought to be up.
    pub failures: u64,
    /// Those of the failures that waited in vain.
    pub timeouts: u64,
    /// Connections that were made.
    pub connects: u64,
}

#[derive(Debug, Default)]
struct Counts {
    hits: Counter,
    misses: Counter,
    puts: Counter,
    forgets: Counter,
    takes: Counter,
    limited: Counter,
    fallbacks: Counter,
    refused: Counter,
}

impl Counts {
    fn got(&self, value: Option<Vec<u8>>) -> Option<Vec<u8>> {
        if value.is_some() { &self.hits } else { &self.misses }.add(1);
        value
    }

    fn taken(&self, taken: Taken) -> Taken {
        self.takes.add(1);
        self.limited.add(u64::from(taken.outcome.is_err()));
        taken
    }

    /// Whether a key is within its limit; one that is not is counted.
    fn fits(&self, key: &str) -> bool {
        let fits = key.len() <= KEY_MAX;
        self.refused.add(u64::from(!fits));
        fits
    }

    /// The time to keep a value, or `None` when it is not to be kept.
    fn keeps(&self, value: &[u8], ttl: Duration) -> Option<Duration> {
        let fits = value.len() <= VALUE_MAX;
        self.refused.add(u64::from(!fits));
        (fits && ttl >= Duration::from_millis(1)).then_some(ttl.min(TTL_MAX))
    }

    fn metrics(&self, evicted: u64) -> CacheMetrics {
        CacheMetrics {
            hits: self.hits.get(),
            misses: self.misses.get(),
            puts: self.puts.get(),
            forgets: self.forgets.get(),
            takes: self.takes.get(),
            limited: self.limited.get(),
            fallbacks: self.fallbacks.get(),
            refused: self.refused.get(),
            evicted,
            ..CacheMetrics::default()
        }
    }
}

/// The answer to a key that is over its limit.
fn no_bucket(limit: Limit) -> Taken {
    let quota = Quota { limit: limit.burst.max(1), remaining: 0, reset: TTL_MAX };
    Taken { outcome: Err(Limited { quota, retry_after: TTL_MAX }), shared: false }
}

/// The choice of an engine with what it needs.
#[derive(Debug, Clone)]
pub enum CacheConfig {
    /// Bounded, in this process.
    Inprocess,
    /// Redis.
    Redis(RedisConfig),
}

/// Opens the chosen engine, as [`open_inprocess`] and [`open_redis`] do.
///
/// # Errors
/// Those of [`open_redis`].
pub fn open(config: &CacheConfig, clock: Arc<dyn Clock>) -> Result<Arc<dyn Cache>, OpenError> {
    match config {
        CacheConfig::Inprocess => Ok(open_inprocess(clock)),
        CacheConfig::Redis(redis) => open_redis(redis, clock),
    }
}

/// Opens the engine of one process.
pub fn open_inprocess(clock: Arc<dyn Clock>) -> Arc<dyn Cache> {
    Arc::new(inprocess::Inprocess::new(clock))
}

/// Opens the engine on Redis. It connects in the background, also when the server is down now. Must be called on a tokio
/// runtime, which runs the connection until the cache is dropped.
///
/// # Errors
/// [`OpenError`] when the address is none, the prefix is too long, or this build has no feature `redis`.
#[cfg(feature = "redis")]
pub fn open_redis(config: &RedisConfig, clock: Arc<dyn Clock>) -> Result<Arc<dyn Cache>, OpenError> {
    Ok(Arc::new(redis::Redis::open(config, clock)?))
}

/// Opens the engine on Redis, which this build does not have.
///
/// # Errors
/// [`OpenError::NotBuilt`].
#[cfg(not(feature = "redis"))]
pub fn open_redis(_config: &RedisConfig, _clock: Arc<dyn Clock>) -> Result<Arc<dyn Cache>, OpenError> {
    Err(OpenError::NotBuilt("redis"))
}
