//! The cache of one process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bongsu_domain::{Clock, Timestamp};
use futures_util::future::{BoxFuture, ready};

use super::buckets::Buckets;
use super::values::Values;
use super::{Cache, CacheHealth, CacheMetrics, Counts, Limit, Taken, no_bucket};

pub(super) struct Inprocess {
    clock: Arc<dyn Clock>,
    opened: Timestamp,
    values: Mutex<Values>,
    buckets: Buckets,
    counts: Counts,
}

impl Inprocess {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Inprocess {
        let opened = clock.now();
        Inprocess { clock, opened, values: Mutex::default(), buckets: Buckets::default(), counts: Counts::default() }
    }

    fn values(&self) -> MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache for Inprocess {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<Vec<u8>>> {
        let value = if self.counts.fits(key) { self.values().get(key, self.clock.now()) } else { None };
        Box::pin(ready(self.counts.got(value)))
    }

    fn put<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration) -> BoxFuture<'a, ()> {
        self.counts.puts.add(1);
        if self.counts.fits(key) {
            let now = self.clock.now();
            match self.counts.keeps(value, ttl) {
                Some(ttl) => self.values().put(key, value, ttl, now),
                None => self.values().remove(key),
            }
        }
        Box::pin(ready(()))
    }

    fn forget<'a>(&'a self, key: &'a str) -> BoxFuture<'a, ()> {
        self.counts.forgets.add(1);
        if self.counts.fits(key) {
            self.values().remove(key);
        }
        Box::pin(ready(()))
    }

    fn take<'a>(&'a self, key: &'a str, limit: Limit, cost: u32, now: Timestamp) -> BoxFuture<'a, Taken> {
        let taken = match self.counts.fits(key) {
            true => Taken { outcome: self.buckets.take(key, limit, cost, now), shared: false },
            false => no_bucket(limit),
        };
        Box::pin(ready(self.counts.taken(taken)))
    }

    fn set_processes(&self, count: u32) {
        self.buckets.set_processes(count);
    }

    fn health(&self) -> CacheHealth {
        CacheHealth { up: true, since: self.opened, last_error: None, fallbacks: 0 }
    }

    fn metrics(&self) -> CacheMetrics {
        self.counts.metrics(self.values().evicted + self.buckets.evicted.get())
    }
}
