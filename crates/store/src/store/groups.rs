//! Groups: making, filling, sending, canceling, and the periodic steps that follow.

use bongsu_domain::{AccountId, Hours, Timestamp};

use super::Store;
use crate::accept::{IdempotencyKey, Seen};
use crate::error::{Error, Kind};
use crate::groups::{
    self, Chunk, ChunkDone, ChunkRefused, GroupRow, NewGroup, Promise, RowFailure, SendGroup, SendRefused, State, Step,
};
use crate::rows::MessageRow;
use crate::sweep;
use crate::tx::Tx;
use crate::waiting::{self, Target};

/// Makes the answer to a new group.
pub type GroupAnswer = Box<dyn Fn(&GroupRow) -> Vec<u8> + Send>;

impl Store {
    /// Makes a group. The answer is kept under the key for 24 hours; a repeated one gets it again.
    ///
    /// # Errors
    /// `TooMany("groups")`; as for [`Store::write`].
    pub async fn create_group(
        &self,
        new: NewGroup,
        key: Option<IdempotencyKey>,
        answer: GroupAnswer,
    ) -> Result<Result<(GroupRow, Vec<u8>), Seen>, Error> {
        let account = new.account;
        let done = self.write_as(false, move |tx| groups::create(tx, &new, key.as_ref(), &answer)).await;
        self.wrote(account);
        done
    }

    /// One group of an account (or of any).
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn group(&self, account: Option<AccountId>, id: i64) -> Result<Option<GroupRow>, Error> {
        self.read(move |reader| groups::load(&reader.live, account, id)).await
    }

    /// Groups below an id, newest first.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn groups(&self, account: Option<AccountId>, below: i64, limit: u32) -> Result<Vec<GroupRow>, Error> {
        self.read(move |reader| groups::page(&reader.live, account, below, limit)).await
    }

    /// What a request promised: a batch or a group that exists.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn promise(&self, account: Option<AccountId>, request: i64) -> Result<Option<Promise>, Error> {
        self.read(move |reader| groups::promise(&reader.live, account, request)).await
    }

    /// Begins an upload of rows, or goes on with the one of the same key (0: none).
    ///
    /// # Errors
    /// `NotFound`; as for [`Store::write`].
    pub async fn begin_upload(
        &self,
        account: AccountId,
        group: i64,
        upload: i64,
    ) -> Result<Result<groups::Begun, ChunkRefused>, Error> {
        self.write_as(false, move |tx| groups::begin_upload(tx, account, group, upload)).await
    }

    /// Ends an upload that came with a key, with so many rows, of which this is the keyed hash (0: not known).
    ///
    /// # Errors
    /// `NotFound`; as for [`Store::write`].
    pub async fn end_upload(
        &self,
        account: AccountId,
        group: i64,
        upload: i64,
        rows: u32,
        hash: i64,
    ) -> Result<Result<(), ChunkRefused>, Error> {
        self.write_as(false, move |tx| groups::end_upload(tx, account, group, upload, rows, hash)).await
    }

    /// Stages rows of a group; their messages do not exist before [`Store::send_group`].
    ///
    /// # Errors
    /// `NotFound`; as for [`Store::write`].
    pub async fn stage_rows(&self, mut chunk: Chunk) -> Result<Result<ChunkDone, ChunkRefused>, Error> {
        self.give_stats(chunk.account, chunk.lanes.iter_mut().flat_map(|lane| &mut lane.messages)).await?;
        self.write_as(false, move |tx| groups::chunk(tx, &chunk)).await
    }

    /// Sends a group: its request, its charge and its state in one transaction; or hands it to whoever approves it. One
    /// that was sent stays as it is.
    ///
    /// # Errors
    /// `NotFound`; as for [`Store::write`].
    pub async fn send_group(&self, ask: SendGroup) -> Result<Result<GroupRow, SendRefused>, Error> {
        let account = ask.account;
        let done = self.write_as(false, move |tx| groups::send(tx, &ask)).await;
        self.wrote(account);
        done
    }

    /// Sends a group at a time, or gives one that waits for its time another.
    ///
    /// # Errors
    /// `NotFound`; as for [`Store::write`].
    pub async fn schedule_group(&self, ask: SendGroup, at_ms: i64) -> Result<Result<GroupRow, SendRefused>, Error> {
        let account = ask.account;
        let done = self.write_as(false, move |tx| groups::schedule(tx, &ask, at_ms)).await;
        self.wrote(account);
        done
    }

    /// Cancels a group and stops what nobody has claimed, run by run. When it answers, nothing more of it leaves, and
    /// `canceled` of the row is exact. The stopped messages are ended by periodic work.
    ///
    /// # Errors
    /// `NotFound`; as for [`Store::write`]. A cancel that was begun goes on by periodic work.
    pub async fn cancel_group(&self, account: AccountId, group: i64) -> Result<Result<GroupRow, State>, Error> {
        let begun = self.write_as(false, move |tx| groups::cancel(tx, account, group)).await?;
        self.wrote(account);
        let mut row = match begun {
            Ok(row) => row,
            Err(state) => return Ok(Err(state)),
        };
        while row.is_stopping() {
            self.write_as(false, move |tx| groups::stop(tx, group)).await?;
            row = self.write_as(false, move |tx| groups::must(tx.live, Some(account), group)).await?;
        }
        Ok(Ok(row))
    }

    /// Groups that periodic work has something to do for.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn group_work(&self, limit: u32) -> Result<Vec<(i64, Step)>, Error> {
        self.read(move |reader| groups::moving(&reader.live, limit)).await
    }

    /// Does one step for a group. Answers whether there may be another one. The life of advertisements counts in `hours`.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn group_step(&self, group: i64, step: Step, hours: Hours) -> Result<bool, Error> {
        self.write_as(false, move |tx| match step {
            Step::Move => groups::shift_and_move(tx, group, hours),
            Step::Stop => groups::stop(tx, group),
            Step::End => groups::end_stopped(tx, group),
            Step::Discard => groups::discard_some(tx, group),
        })
        .await
    }

    /// As [`Store::cancel`], also of a message of a sent group that the periodic work has not come to: its slice becomes a
    /// run in the same transaction. The life of advertisements counts in `hours`.
    ///
    /// # Errors
    /// As for [`Store::cancel`].
    pub async fn cancel_unmoved(&self, account: Option<AccountId>, id: i64, hours: Hours) -> Result<(), Error> {
        self.of_unmoved(account, id, hours, move |tx| sweep::cancel(tx, account, id)).await
    }

    /// The same of a message that is to leave at another time. Answers how many messages.
    ///
    /// # Errors
    /// As for [`Store::reschedule`].
    pub async fn reschedule_unmoved(
        &self,
        account: Option<AccountId>,
        id: i64,
        at: Timestamp,
        hours: Hours,
    ) -> Result<u64, Error> {
        let target = Target::Message(id);
        self.of_unmoved(account, id, hours, move |tx| waiting::reschedule(tx, account, target, at.millis())).await
    }

    async fn of_unmoved<T: Send + 'static>(
        &self,
        account: Option<AccountId>,
        id: i64,
        hours: Hours,
        mut change: impl FnMut(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        // Whoever names what is not there must not keep the writer busy.
        if self.message(account, id).await?.is_none() {
            return Err(Error::new(Kind::NotFound, "no such message"));
        }
        let done = self.write_as(false, move |tx| {
            groups::move_slice_of(tx, account, id, hours)?;
            change(tx)
        });
        let done = done.await;
        if let Some(account) = account {
            self.wrote(account);
        }
        done
    }

    /// Ends groups that nobody touched since a moment, unsent. Answers how many.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn expire_groups(&self, idle_since: Timestamp, limit: u32) -> Result<usize, Error> {
        let over = self.read(move |reader| groups::overdue(&reader.live, idle_since, limit)).await?;
        let mut expired = 0;
        for group in over {
            expired += usize::from(self.write_as(false, move |tx| groups::expire_idle(tx, group, idle_since)).await?);
        }
        Ok(expired)
    }

    /// Groups after one that were sent, whose slices are all moved, and whose messages may all be final: id and messages.
    /// Those that wait for their time, or the others.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn watched_groups(&self, waiting: bool, after: i64, limit: u32) -> Result<Vec<(i64, u32)>, Error> {
        let now_ms = self.inner.clock.now().millis();
        self.read(move |reader| groups::watched(&reader.live, waiting, after, now_ms, limit)).await
    }

    /// Marks a group as finished: every message of it is final. Answers whether it was not before.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn finish_group(&self, group: i64) -> Result<bool, Error> {
        self.write_as(false, move |tx| groups::finish(tx, group)).await
    }

    /// What is wrong with rows of a group, after a row and finding.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn group_errors(&self, group: i64, after: (u32, u8), limit: u32) -> Result<Vec<RowFailure>, Error> {
        self.read(move |reader| groups::errors(&reader.live, group, after, limit)).await
    }

    /// Messages of a group that did not arrive, from some runs after an id; and the id to go on after, none at the end.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn group_failures(&self, group: GroupRow, after: i64) -> Result<(Vec<MessageRow>, Option<i64>), Error> {
        let account = Some(group.account);
        self.history(account, move |reader| groups::failed_messages(reader, &group, after)).await
    }
}
