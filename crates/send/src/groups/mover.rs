//! Periodic work about groups: what was sent becomes runs, what was canceled is ended, what is over is finished or removed.

use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::{GroupId, Trouble};
use bongsu_store::Error;
use tokio::time::Instant;

use super::view::Counts;
use crate::dispatch::Shared;

/// How often work is looked for when nobody tells of any.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often groups are looked at that may be over.
const WATCH_EVERY: Duration = Duration::from_millis(500);
/// How often groups are looked at that wait for their time: all their messages may have been canceled.
const WAITING_EVERY: Duration = Duration::from_secs(2);
/// How often idle groups are looked for.
const IDLE_EVERY: Duration = Duration::from_secs(30);
/// A group that nobody touches for this long is removed, unless it is sent.
const IDLE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Groups worked on in turn: a large one does not hold up the others.
const GROUPS_AT_ONCE: u32 = 16;
/// Groups looked at in one go.
const WATCHED_AT_ONCE: u32 = 200;

/// Works until it is aborted.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut watched = (0, Instant::now());
    let mut waiting = (0, Instant::now());
    let (mut idle, mut trouble) = (Instant::now(), Trouble::default());
    loop {
        // Whoever sent or canceled a group in this process tells; other processes are noticed by looking.
        let _ = tokio::time::timeout(LOOK_EVERY, shared.group_work.notified()).await;
        if !shared.territory.moves_groups() {
            continue;
        }
        let done = async {
            work(&shared).await?;
            if watched.1.elapsed() >= WATCH_EVERY {
                watched = (watch(&shared, false, watched.0).await?, Instant::now());
            }
            if waiting.1.elapsed() >= WAITING_EVERY {
                waiting = (watch(&shared, true, waiting.0).await?, Instant::now());
            }
            if idle.elapsed() >= IDLE_EVERY {
                idle = Instant::now();
                expire(&shared).await?;
            }
            Ok::<(), Error>(())
        };
        if let Some(error) = trouble.begins(done.await) {
            tracing::warn!(%error, "work about groups failed; it is tried again");
        }
    }
}

/// Does what there is to do for groups, step by step in turns.
///
/// # Errors
/// Those of the store.
pub(crate) async fn work(shared: &Shared) -> Result<(), Error> {
    loop {
        let mut todo = shared.store.group_work(GROUPS_AT_ONCE).await?;
        if todo.is_empty() {
            return Ok(());
        }
        let mut failed = false;
        while !todo.is_empty() {
            let mut more = Vec::with_capacity(todo.len());
            for (group, step) in todo {
                match shared.store.group_step(group, step, shared.config.ad_hours).await {
                    Ok(true) => more.push((group, step)),
                    Ok(false) => {}
                    Err(error) => {
                        failed = true;
                        let group = GroupId(group);
                        tracing::warn!(%error, %group, "a step of a group failed; it is tried again");
                    }
                }
            }
            todo = more;
        }
        if failed {
            // Not at once: what refuses may be the store.
            return Ok(());
        }
    }
}

/// Finishes groups of which every message is final. Answers after which one to go on.
async fn watch(shared: &Shared, waiting: bool, after: i64) -> Result<i64, Error> {
    let groups = shared.store.watched_groups(waiting, after, WATCHED_AT_ONCE).await?;
    let next = if groups.len() == WATCHED_AT_ONCE as usize { groups.last().map_or(0, |(id, _)| *id) } else { 0 };
    for (group, total) in groups {
        let counts = Counts::new(u64::from(total), shared.store.progress(group).await?);
        if counts.is_over() {
            shared.store.finish_group(group).await?;
        }
    }
    Ok(next)
}

async fn expire(shared: &Shared) -> Result<(), Error> {
    let idle_since = shared.clock.now().minus(IDLE_MAX);
    shared.store.expire_groups(idle_since, WATCHED_AT_ONCE).await.map(drop)
}
