//! What dispatchers read and write: waiting runs, claims, results, and what receipts belong to.

use std::sync::Arc;

use bongsu_domain::{AccountId, Lane, Timestamp};

use super::Store;
use crate::changes::{self, Change};
use crate::claims::{self, Claim, Due, ShareState, Taken, Waiting};
use crate::error::Error;
use crate::lookup::{self, Known, StoredOrphan, Wanted};
use crate::query::{self, Loaded};
use crate::readers::Reader;
use crate::recovery::{self, Policy};
use crate::rows::Run;

impl Store {
    /// Writes claims; each holds or not by itself.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn claim(&self, urgent: bool, claims: Vec<Claim>, states: Vec<ShareState>) -> Result<Vec<Taken>, Error> {
        let taken = self.write_as(urgent, move |tx| claims::write(tx, &claims, &states)).await;
        crate::faults::point("after-claim");
        taken
    }

    /// Writes what happened to attempts.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn apply(&self, changes: Vec<Change>) -> Result<Vec<bool>, Error> {
        self.write_as(false, move |tx| changes::apply(tx, &changes)).await
    }

    /// Waiting runs of a lane and account above an id, oldest first.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn waiting_runs(
        &self,
        lane: Lane,
        account: AccountId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Run>, Error> {
        self.inner.hot.read(move |reader| claims::waiting_runs(&reader.live, lane, account, after, limit)).await
    }

    /// Accounts with waiting runs, at most `limit` of each lane, and whether anything is due.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn waiting(&self, now: Timestamp, limit: u32) -> Result<Waiting, Error> {
        self.inner.hot.read(move |reader| claims::waiting(&reader.live, now.millis(), limit)).await
    }

    /// One run by its first id.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn run(&self, first: i64) -> Result<Option<Run>, Error> {
        self.inner
            .hot
            .read(move |reader| Ok(crate::rows::run_of(&reader.live, first)?.filter(|r| r.first == first)))
            .await
    }

    /// Since when the oldest waiting message of each lane could leave.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn oldest_waiting(&self) -> Result<Vec<(Lane, Timestamp)>, Error> {
        self.read(|reader| claims::oldest_waiting(&reader.live)).await
    }

    /// What is due by now in a part.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn due(&self, now: Timestamp, part: claims::Part, limit: u32) -> Result<Vec<Due>, Error> {
        self.inner.hot.read(move |reader| claims::due(&reader.live, now.millis(), part, limit)).await
    }

    /// Puts off what is still due, to a later moment.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn postpone(&self, due: Vec<Due>, at: Timestamp) -> Result<(), Error> {
        self.write_as(false, move |tx| claims::postpone(tx.live, &due, at.millis())).await
    }

    /// Rows of a run with their texts.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn load_run(&self, run: Run, from: u32, count: u32) -> Result<Loaded, Error> {
        self.inner.hot.read(move |reader| query::load_run(reader, &run, from, count)).await
    }

    /// Rows of single messages with their texts.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn load_ids(&self, ids: Vec<i64>) -> Result<Loaded, Error> {
        self.inner.hot.read(move |reader| query::load_ids(reader, &ids)).await
    }

    /// Finds what memory no longer knows about receipts.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn look<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Look<'_>) -> Result<T, Error> + Send + 'static,
    {
        self.inner.hot.read(move |reader| work(&mut Look { reader })).await
    }

    /// Settles claims that an earlier life of this process left, a few at a time. Answers how many.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn settle_claims(&self, policy: Arc<Policy>, limit: u32) -> Result<usize, Error> {
        #[cfg(feature = "mysql")]
        let lease = self.leases().map(crate::my::Leases::lease);
        self.write_as(false, move |tx| {
            #[cfg(feature = "mysql")]
            if let Some(lease) = lease {
                let alive = crate::my::fence_dead(tx.live, lease)?;
                return recovery::settle_claims(tx, &policy, &alive, limit);
            }
            recovery::settle_claims(tx, &policy, &[], limit)
        })
        .await
    }

    /// Orphans after a number, for the start.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn orphans(&self, after: i64, limit: u32) -> Result<Vec<StoredOrphan>, Error> {
        self.read(move |reader| lookup::orphans(&reader.live, after, limit)).await
    }
}

/// Look-ups of the receipt path.
pub struct Look<'a> {
    reader: &'a mut Reader,
}

impl Look<'_> {
    /// What is known of receipts, in their order.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn known(&mut self, wanted: &[Wanted]) -> Result<Vec<Known>, Error> {
        lookup::known(self.reader, wanted)
    }

    /// Spilled parts whose deadline has passed, with their messages.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn overdue(
        &mut self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(changes::Submit, Option<crate::rows::MessageRow>)>, Error> {
        lookup::overdue(self.reader, now.millis(), limit)
    }

    /// A message row.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn row(&mut self, id: i64) -> Result<Option<crate::rows::MessageRow>, Error> {
        Ok(self.reader.message(id)?.map(|(row, _)| row))
    }
}
