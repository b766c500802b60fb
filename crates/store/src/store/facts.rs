//! What was recorded: events by position, progress of requests, statistics.

use std::collections::HashMap;

use bongsu_domain::{AccountId, Status};
use tokio::sync::watch;

use super::{Place, Store};
use crate::accept::NewMessage;
use crate::error::Error;
use crate::facts::{self, Cell, EventPage, StatsQuery, Tags};

/// Events of one page.
const EVENTS_MAX: u32 = 1_000;

impl Store {
    /// Events after a position, oldest first: those of an account, or all. A page may be empty while `next` moves on.
    ///
    /// Whoever goes on after `next` each time misses none and gets none twice. Positions are kept over restarts.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn events(&self, account: Option<AccountId>, after: i64, limit: u32) -> Result<EventPage, Error> {
        let limit = limit.clamp(1, EVENTS_MAX);
        if self.is_shared() {
            return self
                .read(move |reader| {
                    let shown = facts::shown_number(&reader.live)?;
                    facts::page(reader, &[None], shown, account, after, limit)
                })
                .await;
        }
        let board = self.inner.facts.clone();
        let shown = board.shown();
        let files = board.files_from(after.max(0) / i64::from(facts::SLICE_MAX));
        self.read(move |reader| facts::page(reader, &files, shown, account, after, limit)).await
    }

    /// The position after all events that are shown now; with it one begins to follow only what comes.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn newest_event(&self) -> Result<i64, Error> {
        let shown = match self.is_shared() {
            true => self.read(|reader| facts::shown_number(&reader.live)).await?,
            false => self.inner.facts.shown(),
        };
        let width = i64::from(facts::SLICE_MAX);
        Ok(shown.saturating_mul(width).saturating_add(width - 1))
    }

    /// How many messages of a batch or group stand where; they always add up to what was accepted. What waits, in
    /// whichever way, is told as `queued`. Empty when there is no such request.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn progress(&self, request: i64) -> Result<Vec<(Status, u64)>, Error> {
        self.read(move |reader| facts::progress(reader, request)).await
    }

    /// Changes whenever this process committed facts; other processes of a shared database do not tell: look from time to
    /// time.
    pub fn watch_facts(&self) -> watch::Receiver<u64> {
        self.inner.facts.watch()
    }

    /// Gives positions to events that were committed without, on a shared database. One process at a time does it, every
    /// 100 ms; where two do, nothing is lost and nothing told twice. Answers how many slices got theirs.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn number_events(&self) -> Result<usize, Error> {
        #[cfg(feature = "mysql")]
        if let Some(numberer) = &self.inner.numberer {
            let now = self.inner.clock.now();
            let numbered = numberer.read(move |reader| facts::number(reader, now, facts::NUMBERED_AT_ONCE)).await?;
            if numbered > 0 {
                self.inner.facts.tell();
            }
            return Ok(numbered);
        }
        Ok(0)
    }

    /// Counted messages of some days of accept, cell by cell.
    ///
    /// # Errors
    /// As for [`Store::read`]; `Invalid("from")` when there is too much to add up at once.
    pub async fn stats(&self, query: StatsQuery) -> Result<Vec<Cell>, Error> {
        let files = match &self.inner.place {
            Place::Files { layout, .. } => layout.days()?,
            #[cfg(feature = "mysql")]
            Place::Database { .. } => Vec::new(),
        };
        self.read(move |reader| facts::stats(reader, &query, &files)).await
    }

    /// The sets of billCode and labels behind the numbers of cells.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn stat_tags(&self, numbers: Vec<u32>) -> Result<HashMap<u32, Tags>, Error> {
        self.read(move |reader| facts::tags(&reader.live, &numbers)).await
    }

    /// The numbers of sets that messages of an account are counted under, in their order. A set that is new is written, at
    /// most 1,000 of an account a day; those beyond are counted under none (0).
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn stat_sets(&self, account: AccountId, sets: &[Tags]) -> Result<Vec<u32>, Error> {
        let today = self.inner.clock.now().kst_day();
        let known = &self.inner.sets;
        let mut unknown: Vec<Tags> =
            sets.iter().filter(|tags| known.get(account, tags, today).is_none()).cloned().collect();
        unknown.sort_unstable();
        unknown.dedup();
        let mut learnt = HashMap::new();
        for some in unknown.chunks(facts::SETS_AT_ONCE) {
            let (some, vault) = (some.to_vec(), self.inner.vault.clone());
            let found = self
                .write_as(false, move |tx| {
                    let numbers = facts::intern(tx, &vault, account, &some)?;
                    Ok(some.iter().cloned().zip(numbers).collect::<Vec<_>>())
                })
                .await?;
            learnt.extend(found.iter().cloned());
            known.learn(account, found, today);
        }
        let number = |tags: &Tags| learnt.get(tags).copied().or_else(|| known.get(account, tags, today)).unwrap_or(0);
        Ok(sets.iter().map(number).collect())
    }

    /// Fills in the numbers of the sets that new messages are counted under.
    pub(crate) async fn give_stats<'m>(
        &self,
        account: AccountId,
        messages: impl Iterator<Item = &'m mut NewMessage>,
    ) -> Result<(), Error> {
        let mut tagged: Vec<&mut NewMessage> = messages.filter(|message| message.counted.is_some()).collect();
        if tagged.is_empty() {
            return Ok(());
        }
        let sets: Vec<Tags> = tagged.iter().filter_map(|m| m.counted.as_deref().cloned()).collect();
        let numbers = self.stat_sets(account, &sets).await?;
        for (message, number) in tagged.iter_mut().zip(numbers) {
            message.stat = number;
        }
        Ok(())
    }
}
