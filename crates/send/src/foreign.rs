//! Receipts that came to another process: it keeps them as orphans, and whoever sent the message finds them there.
//!
//! A relay may send a receipt over any bind of the customer, so also over that of a process that knows nothing of the
//! message. What its sender misses (it was killed, it was paused) is matched through the store, again and again.

use std::collections::BTreeSet;
use std::time::Duration;

use bongsu_domain::Timestamp;
use bongsu_domain::id::first_id_at;

use crate::receipts::stored;
use crate::round::Round;
use crate::settle::Settler;

/// How often the receipts that others kept are looked for.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(150);
/// How far back each look goes: commits of other processes come in no order.
const LOOK_BACK: Duration = Duration::from_secs(5);
/// How often all kept receipts are matched against the store, by the process that settles for the dead.
const MATCH_EVERY: Duration = Duration::from_secs(20);
/// Receipts read at once.
const PAGE: u32 = 5_000;

/// What was seen of the receipts that others kept.
#[derive(Default)]
pub(crate) struct Foreign {
    looked: Option<Timestamp>,
    matched: Option<Timestamp>,
    seen: BTreeSet<i64>,
}

impl Settler {
    /// Takes receipts of this process's messages from where other processes kept them.
    pub(crate) async fn look_for_foreign(&mut self) {
        let now = self.shared.clock.now();
        let due = self.foreign.looked.is_none_or(|looked| now.since(looked) >= LOOK_EVERY);
        if !self.shared.territory.is_shared() || !self.shared.territory.roles().dispatch || !due {
            return;
        }
        self.foreign.looked = Some(now);
        let mut after = first_id_at(now.minus(LOOK_BACK));
        self.foreign.seen = self.foreign.seen.split_off(&after);
        loop {
            let page = match self.shared.store.orphans(after, PAGE).await {
                Ok(page) => page,
                Err(error) => return tracing::warn!(%error, "kept receipts could not be read; they are read again"),
            };
            let whole = page.len() < PAGE as usize;
            after = page.last().map_or(after, |(seq, _)| *seq);
            let new: Vec<_> = page.into_iter().filter(|(seq, _)| self.foreign.seen.insert(*seq)).collect();
            let mut round = Round::default();
            {
                let shared = self.shared.clone();
                let mut flights = shared.flights.lock();
                for (seq, orphan) in new {
                    if !self.try_place(&mut flights, &mut round, stored((seq, orphan.clone()))) {
                        self.orphans.keep(seq, orphan);
                    }
                    round.cut();
                }
            }
            if !round.changes.is_empty() {
                self.write(round).await;
            }
            if whole {
                break;
            }
        }
        let again = self.foreign.matched.is_none_or(|matched| now.since(matched) >= MATCH_EVERY);
        if again && self.shared.territory.recovers() {
            self.match_again().await;
        }
    }

    /// Matches everything that is kept against what the store knows by now.
    pub(crate) async fn match_again(&mut self) {
        let now = self.shared.clock.now();
        self.foreign.matched = Some(now);
        self.orphans.forget_old(now);
        if let Err(error) = self.load_orphans().await {
            tracing::warn!(%error, "kept receipts could not be matched; they are matched again");
        }
    }
}
