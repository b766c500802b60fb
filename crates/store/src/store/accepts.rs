//! What callers send: single messages, batches, and the answers kept for repeats.

use bongsu_domain::{AccountId, Lane};
use tokio::sync::oneshot;

use super::Store;
use crate::accept::{
    self, BatchCommit, IdempotencyKey, MakeAnswer, NewMessage, Refused, Seen, Single, SingleReply, Stage, Staged,
};
use crate::error::{Error, Kind};
use crate::writer::Job;

impl Store {
    /// Accepts one message. Concurrent ones share a commit.
    ///
    /// # Errors
    /// `Unavailable`, `Full`, `ClockBehind`.
    pub async fn accept_one(
        &self,
        account: AccountId,
        lane: Lane,
        message: NewMessage,
        idempotency: Option<IdempotencyKey>,
        answer: MakeAnswer,
    ) -> SingleReply {
        self.accept(Single::new(account, lane, message, idempotency, None, answer)).await
    }

    /// As [`Store::accept_one`].
    ///
    /// # Errors
    /// As for [`Store::accept_one`].
    pub async fn accept(&self, mut single: Box<Single>) -> SingleReply {
        if single.message.counted.is_some() {
            // Boxed: few messages are counted by words of their callers.
            Box::pin(self.give_stats(single.account, std::iter::once(&mut single.message))).await?;
        }
        let (reply, receiver) = oneshot::channel();
        single.reply = Some(reply);
        let is_urgent = single.lane == Lane::Auth;
        self.inner.inbox.put(Job::Single(single), is_urgent).map_err(|(_, error)| error)?;
        receiver.await.map_err(|_| Error::new(Kind::Unavailable, "the writer stopped"))?
    }

    /// Writes one slice of a batch; its rows do not exist before [`Store::commit_batch`].
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn stage(&self, mut stage: Stage) -> Result<Staged, Error> {
        self.give_stats(stage.account, stage.messages.iter_mut()).await?;
        self.write_as(stage.lane == Lane::Auth, move |tx| accept::stage(tx, &stage)).await
    }

    /// Makes a staged batch exist.
    ///
    /// # Errors
    /// As for [`Store::write`]; a refusal is not an error.
    pub async fn commit_batch(&self, batch: BatchCommit) -> Result<Result<(), Refused>, Error> {
        let urgent = batch.slices.iter().all(|s| s.lane == Lane::Auth);
        self.write_as(urgent, move |tx| accept::commit_batch(tx, &batch)).await
    }

    /// Removes what was staged for a batch that is not to be.
    ///
    /// # Errors
    /// As for [`Store::write`]; the sweeper removes it then.
    pub async fn discard(&self, slices: Vec<accept::Slice>) -> Result<(), Error> {
        for slice in slices {
            self.write_as(false, move |tx| accept::discard(tx, &[(slice.first, slice.count)])).await?;
        }
        Ok(())
    }

    /// What accepting these messages would find of their client references and equal messages. Changes nothing.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn before(&self, messages: Vec<NewMessage>) -> Result<Vec<accept::Before>, Error> {
        let now_ms = self.inner.clock.now().millis();
        self.read(move |reader| accept::before(reader, &messages, now_ms)).await
    }

    /// What is stored under an idempotency key.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn seen(&self, key: IdempotencyKey) -> Result<Option<Seen>, Error> {
        let now_ms = self.inner.clock.now().millis();
        self.read(move |reader| accept::seen(&reader.live, &key, now_ms)).await
    }
}
