//! Schedules (예약): what waits for its time is let go when that comes, and may be moved or withdrawn before.

use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::{AccountId, Code, MessageId, RequestId, Timestamp, Trouble};
use bongsu_store::waiting::{Target, Withdrawn};
use bongsu_store::{Error, Kind};

use crate::accept::store_refusal;
use crate::dispatch::Shared;
use crate::service::{Service, account_of};
use crate::types::{Finding, MessageView, Refusal, Scope};

/// How often the one who has this work looks for what is due.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Rounds between two looks of the others that have the role.
const OTHERS_EVERY: u32 = 4;
/// How long what is due is left to the one who has this work: it may just have died.
const PATIENCE: Duration = Duration::from_millis(300);

/// Lets go what is due until it is aborted.
pub async fn run(shared: Arc<Shared>) {
    let (mut rounds, mut trouble) = (0_u32, Trouble::default());
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        rounds = rounds.wrapping_add(1);
        let now = shared.clock.now();
        let before = match shared.territory.schedules() {
            (true, _) => now,
            (false, true) if rounds.is_multiple_of(OTHERS_EVERY) => now.minus(PATIENCE),
            _ => continue,
        };
        if let Some(error) = trouble.begins(step(&shared, before).await.map(drop)) {
            tracing::warn!(%error, "what is due could not be let go; it is tried again");
        }
    }
}

/// One round: lets go what was due by a moment. Answers how many runs.
///
/// # Errors
/// Those of the store.
pub async fn step(shared: &Shared, before: Timestamp) -> Result<usize, Error> {
    shared.store.release_due(before, shared.config.ad_hours).await
}

impl Service {
    /// Has a message that waits for its time leave at another one.
    ///
    /// # Errors
    /// `NotFound`; `ScheduleOutOfRange`; `AlreadySent` when it does not wait for its time any more, or never did.
    pub async fn reschedule(&self, scope: Scope, id: MessageId, at: Timestamp) -> Result<MessageView, Refusal> {
        self.move_to(account_of(scope), Target::Message(id.0), id.time(), at).await?;
        self.message(scope, id).await
    }

    /// Has every message of a batch that waits for its time leave at another one. Answers the time that is kept, and how
    /// many messages.
    ///
    /// # Errors
    /// As for [`Service::reschedule`], when none of them waits.
    pub async fn reschedule_batch(
        &self,
        scope: Scope,
        id: RequestId,
        at: Timestamp,
    ) -> Result<(Timestamp, u64), Refusal> {
        self.move_to(account_of(scope), Target::Batch(id.0), id.time(), at).await
    }

    async fn move_to(
        &self,
        account: Option<AccountId>,
        target: Target,
        accepted: Timestamp,
        at: Timestamp,
    ) -> Result<(Timestamp, u64), Refusal> {
        let ads = Default::default();
        let mut terms = self.terms(bongsu_domain::Lane::Bulk, &ads);
        terms.latest = terms.latest.min(self.shared.config.kept_until(accepted));
        let kept = terms.time(at).map_err(|why| {
            Refusal::fields(Code::ScheduleOutOfRange, vec![Finding::new("sendAt", Code::ScheduleOutOfRange, why)])
        })?;
        let kept = kept.unwrap_or(Timestamp::from_millis(terms.now.millis()));
        let (store, hours) = (&self.shared.store, self.shared.config.ad_hours);
        let done = match (store.reschedule(account, target, kept).await, target) {
            (Err(error), Target::Message(id)) if error.kind() == Kind::NotFound => {
                store.reschedule_unmoved(account, id, kept, hours).await
            }
            (done, _) => done,
        };
        match done {
            Ok(messages) => Ok((kept, messages)),
            Err(error) if matches!(error.kind(), Kind::Conflict("left")) => Err(Refusal::new(
                Code::AlreadySent,
                "nothing of it waits for its time: it has left, is leaving or ended",
            )),
            Err(error) => Err(store_refusal(error)),
        }
    }

    /// Cancels what of a batch has not left, with the refunds. A repeat after a failure goes on where that ended.
    ///
    /// # Errors
    /// `NotFound`; `AlreadySent` when nothing of it could be canceled, now or before.
    pub async fn cancel_batch(&self, scope: Scope, id: RequestId) -> Result<Withdrawn, Refusal> {
        let done = self.shared.store.cancel_batch(account_of(scope), id.0).await.map_err(store_refusal)?;
        if done.canceled == 0 {
            return Err(Refusal::new(Code::AlreadySent, "every message of it has left, is leaving or ended"));
        }
        Ok(done)
    }
}
