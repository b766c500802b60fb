//! Periodic work: waiting messages that expire, keys and orphans over their time, days beyond retention.

use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::Trouble;
use bongsu_store::{Error, audit_log};

use crate::dispatch::Shared;

/// How often waiting messages are looked through for expired ones.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);
/// How many of those rounds lie between two cleanings.
const CLEAN_EVERY: u32 = 30;
/// Runs looked through in one round.
const RUNS_MAX: u32 = 200;
/// Staged rows of a request that never came are removed after this.
const STAGED_FOR: Duration = Duration::from_secs(600);

/// Sweeps until it is aborted.
pub async fn run(shared: Arc<Shared>) {
    let (mut rounds, mut trouble) = (0_u32, Trouble::default());
    loop {
        tokio::time::sleep(EXPIRE_EVERY).await;
        rounds = rounds.wrapping_add(1);
        if !shared.territory.sweeps() {
            continue;
        }
        if let Some(error) = trouble.begins(step(&shared, rounds.is_multiple_of(CLEAN_EVERY)).await) {
            tracing::warn!(%error, "sweeping failed; it is tried again");
        }
    }
}

/// One round.
///
/// # Errors
/// Those of the store.
pub async fn step(shared: &Shared, clean: bool) -> Result<(), Error> {
    shared.store.expire_waiting(RUNS_MAX).await?;
    if clean {
        let now = shared.clock.now();
        let orphans_before = now.minus(shared.config.receipt_deadline);
        shared.store.clean(orphans_before, now.minus(STAGED_FOR)).await?;
        shared.store.prepare_days().await?;
        if let Some(days) = shared.config.audit_days {
            audit_log::clean(&shared.store, now.minus(Duration::from_secs(u64::from(days) * 86_400))).await?;
        }
        if let Some(days) = shared.config.retention_days {
            let keep_from = now.minus(Duration::from_secs(u64::from(days) * 86_400)).kst_day();
            for day in shared.store.retire_days(keep_from).await? {
                tracing::info!(%day, "a day beyond retention was dropped");
            }
        }
    }
    Ok(())
}
