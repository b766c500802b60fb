//! Periodic work and what ends waiting messages: cancels, expiry, cleaning, days that come and go.

use bongsu_domain::{AccountId, Day, Hours, Timestamp};

use super::{Place, Store};
use crate::error::Error;
use crate::files::Layout;
use crate::waiting::{self, Target, Withdrawn};
use crate::{Reader, facts, groups, recovery, sweep};

/// Runs that are let go in one commit.
const RELEASE_MAX: u32 = 50;

impl Store {
    /// Cancels a waiting message of an account (or of any).
    ///
    /// # Errors
    /// `NotFound`; `Conflict("sent")` when it is too late.
    pub async fn cancel(&self, account: Option<AccountId>, id: i64) -> Result<(), Error> {
        let done = self.write_as(false, move |tx| sweep::cancel(tx, account, id)).await;
        if let Some(account) = account {
            self.wrote(account);
        }
        done
    }

    /// Ends waiting messages that are worthless by now. Answers how many.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn expire_waiting(&self, runs_max: u32) -> Result<u32, Error> {
        let now = self.inner.clock.now();
        let runs = self.read(move |reader| sweep::overdue_runs(&reader.live, now, runs_max)).await?;
        let mut ended = 0;
        for first in runs {
            ended += self.write_as(false, move |tx| sweep::expire_run(tx, first)).await?;
        }
        Ok(ended)
    }

    /// Lets runs go whose time has come, each once over all processes that try; those alone that were due before, where
    /// another process has this work. Answers how many went.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn release_due(&self, before: Timestamp, hours: Hours) -> Result<usize, Error> {
        let mut gone = 0;
        loop {
            let due =
                self.inner.hot.read(move |reader| waiting::due(&reader.live, before.millis(), RELEASE_MAX)).await?;
            if due.is_empty() {
                return Ok(gone);
            }
            let more = due.len() == RELEASE_MAX as usize;
            let released = self.write_as(false, move |tx| waiting::release(tx, &due, hours)).await?;
            gone += released;
            if !more || released == 0 {
                return Ok(gone);
            }
        }
    }

    /// Has what waits for its time leave at another one. Answers how many messages.
    ///
    /// # Errors
    /// `NotFound`; `Conflict("left")` when nothing of it waits for its time.
    pub async fn reschedule(&self, account: Option<AccountId>, target: Target, at: Timestamp) -> Result<u64, Error> {
        let done = self.write_as(false, move |tx| waiting::reschedule(tx, account, target, at.millis())).await;
        if let Some(account) = account {
            self.wrote(account);
        }
        done
    }

    /// Cancels what of a batch has not left, run by run: a repeat goes on where a crash ended it.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn cancel_batch(&self, account: Option<AccountId>, request: i64) -> Result<Withdrawn, Error> {
        let runs = self.read(move |reader| waiting::runs_of(&reader.live, account, request)).await?;
        let mut sum = Withdrawn::default();
        for first in runs {
            let of_run = self.write_as(false, move |tx| waiting::withdraw(tx, first)).await?;
            sum.canceled += of_run.canceled;
            sum.left += of_run.left;
        }
        if let Some(account) = account {
            self.wrote(account);
        }
        Ok(sum)
    }

    /// Removes keys, orphans and staged rows that are over their time. Answers how many.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn clean(&self, orphans_before: Timestamp, staged_before: Timestamp) -> Result<usize, Error> {
        let from = *self.cleaned_to();
        let slices = match &self.inner.place {
            Place::Files { layout, .. } => {
                let layout = layout.clone();
                self.read(move |reader| recovery::orphan_slices(&layout, &reader.live, from, staged_before)).await?
            }
            #[cfg(feature = "mysql")]
            Place::Database { .. } => {
                self.read(move |reader| crate::my::orphan_slices(&reader.live, from, staged_before)).await?
            }
        };
        let mut gone = slices.len();
        for slice in slices {
            self.write_as(false, move |tx| recovery::discard(tx, &[slice])).await?;
        }
        *self.cleaned_to() = from.max(staged_before);
        gone += self.forget_keys(orphans_before).await?;
        Ok(gone + self.forget_events().await?)
    }

    /// Removes keys and orphans that are over their time: all of them, since more may come between two cleanings than a
    /// short unit removes.
    async fn forget_keys(&self, orphans_before: Timestamp) -> Result<usize, Error> {
        let mut gone = 0;
        loop {
            let some = self.write_as(false, move |tx| sweep::clean(tx, orphans_before)).await?;
            gone += some;
            if some < sweep::CLEAN_MAX as usize {
                return Ok(gone);
            }
        }
    }

    /// Removes events that were kept for their time.
    async fn forget_events(&self) -> Result<usize, Error> {
        let before = self.inner.clock.now().minus(facts::EVENTS_KEPT);
        match &self.inner.place {
            Place::Files { .. } => {
                let board = &self.inner.facts;
                let mut gone = self.forget_events_of(None, before).await?;
                for day in board.days_below(facts::number_at(before)) {
                    gone += self.forget_events_of(Some(day), before).await?;
                    board.forget(day);
                }
                Ok(gone)
            }
            #[cfg(feature = "mysql")]
            Place::Database { .. } => self.aside(move |db| crate::my::drop_events(db, before)).await,
        }
    }

    async fn forget_events_of(&self, at: Option<Day>, before: Timestamp) -> Result<usize, Error> {
        let mut gone = 0;
        loop {
            let some = self.write_as(false, move |tx| facts::forget_events(tx, at, before)).await?;
            gone += some;
            if some < facts::FORGOTTEN_AT_ONCE as usize {
                return Ok(gone);
            }
        }
    }

    fn cleaned_to(&self) -> std::sync::MutexGuard<'_, Timestamp> {
        self.inner.cleaned_to.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Drops the days before `keep_from`, up to the first of which something still waits: small rows first, then the files
    /// are unlinked. Answers the days that went.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn retire_days(&self, keep_from: Day) -> Result<Vec<Day>, Error> {
        let mut days = match &self.inner.place {
            Place::Files { layout, .. } => layout.days()?,
            #[cfg(feature = "mysql")]
            Place::Database { .. } => self.read(|reader| crate::my::days(&reader.live)).await?,
        };
        days.sort_unstable();
        let mut gone = Vec::new();
        for day in days.into_iter().filter(|day| *day < keep_from) {
            let range = sweep::day_range(day);
            let held = move |reader: &mut Reader| {
                Ok(waiting::holds(&reader.live, range)? || groups::holds(&reader.live, range)?)
            };
            if self.read(held).await? {
                // Partitions go from the oldest on, so later days stay with it.
                break;
            }
            while !self.write_as(false, move |tx| sweep::retire(tx, day)).await? {}
            self.drop_day(day).await?;
            gone.push(day);
        }
        if !gone.is_empty() {
            // A file that somebody has open keeps its place on the disk.
            self.inner.readers.forget_days();
            self.inner.hot.forget_days();
        }
        Ok(gone)
    }

    async fn drop_day(&self, day: Day) -> Result<(), Error> {
        match &self.inner.place {
            Place::Files { layout, .. } => {
                remove_files(layout, day)?;
                self.inner.facts.forget(day);
                Ok(())
            }
            #[cfg(feature = "mysql")]
            Place::Database { .. } => self.aside(move |db| crate::my::drop_day(db, day)).await,
        }
    }

    /// Makes room for the history of the next days, where that is done ahead of time.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn prepare_days(&self) -> Result<(), Error> {
        match &self.inner.place {
            Place::Files { .. } => Ok(()),
            #[cfg(feature = "mysql")]
            Place::Database { .. } => {
                let now = self.inner.clock.now();
                self.aside(move |db| crate::my::keep_partitions(db, now)).await
            }
        }
    }

    /// Works on a connection of its own, beside writer and readers: changes of the schema wait for others.
    #[cfg(feature = "mysql")]
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&crate::db::Db) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let Place::Database { address, .. } = &self.inner.place else {
            return Err(Error::new(crate::Kind::Unavailable, "there is no database"));
        };
        let address = crate::db::mysql::Address::clone(address);
        let (reply, done) = tokio::sync::oneshot::channel();
        std::thread::Builder::new().name("store-aside".into()).spawn(move || {
            let db = crate::db::mysql::Conn::new(address, None).map(crate::db::Db::from);
            // Who asked may have gone.
            let _ = reply.send(db.and_then(|db| work(&db)));
        })?;
        done.await.map_err(|_| Error::new(crate::Kind::Unavailable, "the work aside ended early"))?
    }
}

fn remove_files(layout: &Layout, day: Day) -> Result<(), Error> {
    for path in [layout.day(day), layout.index(day)] {
        for suffix in ["", "-wal", "-shm"] {
            let mut name = path.clone().into_os_string();
            name.push(suffix);
            match std::fs::remove_file(&name) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
    }
    Ok(())
}
