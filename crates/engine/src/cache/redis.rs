//! The cache on Redis: values and buckets are keys that end by themselves; without the server each process has its share.

use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::rate::{Limited, Quota};
use bongsu_domain::{Clock, Timestamp};
use futures_util::future::BoxFuture;
use redis::{Cmd, FromRedisValue, RedisResult, Script, cmd};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::buckets::Buckets;
use super::doubts::{Doubt, Doubts};
use super::{Cache, CacheHealth, CacheMetrics, Counts, Limit, Taken, no_bucket};
use crate::link::{Held, Link, NoAnswer};
use crate::{OpenError, RedisConfig};

/// How often a connection is asked whether it still lives, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(1);
/// How long work in the background waits for an answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Keys that one command drops or goes through.
const DROPPED_AT_ONCE: usize = 500;
const TOKEN: i64 = 1_000_000;

pub(super) struct Redis {
    inside: Arc<Inside>,
    keeper: JoinHandle<()>,
}

struct Inside {
    link: Arc<Link>,
    prefix: String,
    answer_within: Duration,
    script: Script,
    doubts: Doubts,
    buckets: Buckets,
    counts: Counts,
}

impl Redis {
    pub(super) fn open(config: &RedisConfig, clock: Arc<dyn Clock>) -> Result<Redis, OpenError> {
        let inside = Arc::new(Inside {
            link: Arc::new(Link::new(config, clock)?),
            prefix: config.prefix.clone(),
            answer_within: config.answer_within,
            script: Script::new(include_str!("take.lua")),
            doubts: Doubts::default(),
            buckets: Buckets::default(),
            counts: Counts::default(),
        });
        let keeper = tokio::spawn(keep(inside.clone()));
        Ok(Redis { inside, keeper })
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.keeper.abort();
        self.inside.link.close();
    }
}

/// Keeps a connection for as long as the cache lives. What is in doubt is settled before anybody may ask.
async fn keep(inside: Arc<Inside>) {
    loop {
        let held = inside.link.connect(None).await;
        if inside.settle(Some(&held)).await.is_ok() {
            inside.link.admit(held);
            inside.watch().await;
        }
    }
}

impl Inside {
    /// Looks after the connection until it is cut.
    async fn watch(&self) {
        let mut ticks = tokio::time::interval(PING_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.link.was_cut() => return,
                () = self.doubts.raised() => {
                    if self.settle(None).await.is_err() {
                        self.link.give_up("values in doubt cannot be dropped");
                    }
                }
                _ = ticks.tick() => {
                    // A failure has been noted where it matters.
                    let _ = self.ask::<()>(None, cmd("PING")).await;
                }
            }
        }
    }

    /// Drops what is in doubt from the server, over a new connection or over the one that is in use.
    async fn settle(&self, held: Option<&Held>) -> Result<(), NoAnswer> {
        while let Some(doubt) = self.doubts.next(DROPPED_AT_ONCE) {
            match &doubt {
                Doubt::Keys(keys) => {
                    self.unlink(held, keys.iter().map(|(key, _)| self.value(key).into_bytes()).collect()).await?
                }
                Doubt::All(_) => self.unlink_all(held).await?,
            }
            self.doubts.settle(&doubt);
        }
        Ok(())
    }

    /// Goes through the whole server; what was there before the first step has been met at the last.
    async fn unlink_all(&self, held: Option<&Held>) -> Result<(), NoAnswer> {
        let values = self.value("");
        let pattern = format!("{}*", escaped(&values));
        let mut cursor = 0_u64;
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(DROPPED_AT_ONCE);
            let (next, found): (u64, Vec<Vec<u8>>) = self.ask(held, scan).await?;
            self.unlink(held, found).await?;
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    async fn unlink(&self, held: Option<&Held>, names: Vec<Vec<u8>>) -> Result<(), NoAnswer> {
        if names.is_empty() {
            return Ok(());
        }
        let mut unlink = cmd("UNLINK");
        unlink.arg(names);
        self.ask(held, unlink).await
    }

    /// Work in the background over a new connection or over the one that is in use.
    async fn ask<T: FromRedisValue>(&self, held: Option<&Held>, command: Cmd) -> Result<T, NoAnswer> {
        let ask = async |mut link| command.query_async::<T>(&mut link).await;
        match held {
            Some(held) => self.link.call_on(held.clone(), PATIENCE, ask).await,
            None => self.link.call(PATIENCE, ask).await,
        }
    }

    async fn get(&self, key: &str) -> Option<Vec<u8>> {
        if self.doubts.about(key) {
            return None;
        }
        let mut get = cmd("GET");
        get.arg(self.value(key));
        let ask = async |mut link| get.query_async::<Option<Vec<u8>>>(&mut link).await;
        self.link.call(self.answer_within, ask).await.ok().flatten()
    }

    /// Changes a value; whatever happens on the way, the one before it is not seen again here.
    async fn change(&self, key: &str, command: &Cmd) {
        let unsure = self.doubts.unsure(key);
        let ask = async |mut link| command.query_async::<()>(&mut link).await;
        if self.link.call(self.answer_within, ask).await.is_ok() {
            unsure.answered();
        }
    }

    async fn forget(&self, key: &str) {
        self.change(key, cmd("UNLINK").arg(self.value(key))).await;
    }

    async fn take(&self, key: &str, limit: Limit, cost: u32, now: Timestamp) -> Taken {
        let limit = Limit { rate_per_s: limit.rate_per_s.max(1), burst: limit.burst.max(1) };
        let name = format!("{}b:{key}", self.prefix);
        let mut script = self.script.key(name);
        script.arg(limit.rate_per_s).arg(limit.burst).arg(cost);
        let ask = async |mut link| -> RedisResult<(bool, i64)> { script.invoke_async(&mut link).await };
        match self.link.call(self.answer_within, ask).await {
            Ok((given, level)) => Taken { outcome: outcome(limit, cost, given, level), shared: true },
            Err(NoAnswer) => {
                self.counts.fallbacks.add(1);
                Taken { outcome: self.buckets.take(key, limit, cost, now), shared: false }
            }
        }
    }

    fn value(&self, key: &str) -> String {
        format!("{}v:{key}", self.prefix)
    }
}

/// A text as a pattern of Redis that matches nothing else.
fn escaped(text: &str) -> String {
    let special = |letter| matches!(letter, '*' | '?' | '[' | ']' | '\\');
    text.chars().flat_map(|letter| special(letter).then_some('\\').into_iter().chain([letter])).collect()
}

/// What [`bongsu_domain::Bucket::take`] says about a bucket of that level.
fn outcome(limit: Limit, cost: u32, given: bool, level: i64) -> Result<Quota, Limited> {
    let time_for =
        |tokens: i64| Duration::from_micros(tokens.max(0).unsigned_abs().div_ceil(u64::from(limit.rate_per_s)));
    let full = i64::from(limit.burst) * TOKEN;
    let remaining = u32::try_from(level.max(0) / TOKEN).unwrap_or(u32::MAX);
    let quota = Quota { limit: limit.burst, remaining, reset: time_for(full - level) };
    if given {
        return Ok(quota);
    }
    let needed = i64::from(cost.min(limit.burst)) * TOKEN;
    Err(Limited { quota, retry_after: time_for(needed - level) })
}

impl Cache for Redis {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<Vec<u8>>> {
        let inside = &self.inside;
        Box::pin(async move {
            let value = if inside.counts.fits(key) { inside.get(key).await } else { None };
            inside.counts.got(value)
        })
    }

    fn put<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration) -> BoxFuture<'a, ()> {
        let inside = &self.inside;
        Box::pin(async move {
            inside.counts.puts.add(1);
            if !inside.counts.fits(key) {
                return;
            }
            match inside.counts.keeps(value, ttl) {
                Some(ttl) => {
                    let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
                    inside.change(key, cmd("SET").arg(inside.value(key)).arg(value).arg("PX").arg(millis)).await;
                }
                None => inside.forget(key).await,
            }
        })
    }

    fn forget<'a>(&'a self, key: &'a str) -> BoxFuture<'a, ()> {
        let inside = &self.inside;
        Box::pin(async move {
            inside.counts.forgets.add(1);
            if inside.counts.fits(key) {
                inside.forget(key).await;
            }
        })
    }

    fn take<'a>(&'a self, key: &'a str, limit: Limit, cost: u32, now: Timestamp) -> BoxFuture<'a, Taken> {
        let inside = &self.inside;
        Box::pin(async move {
            let taken = match inside.counts.fits(key) {
                true => inside.take(key, limit, cost, now).await,
                false => no_bucket(limit),
            };
            inside.counts.taken(taken)
        })
    }

    fn set_processes(&self, count: u32) {
        self.inside.buckets.set_processes(count);
    }

    fn health(&self) -> CacheHealth {
        let status = self.inside.link.status();
        let fallbacks = self.inside.counts.fallbacks.get();
        CacheHealth { up: status.up, since: status.since, last_error: status.last_error, fallbacks }
    }

    fn metrics(&self) -> CacheMetrics {
        let link = &self.inside.link;
        CacheMetrics {
            failures: link.failures.get(),
            timeouts: link.timeouts.get(),
            connects: link.connects.get(),
            ..self.inside.counts.metrics(self.inside.buckets.evicted.get())
        }
    }
}
