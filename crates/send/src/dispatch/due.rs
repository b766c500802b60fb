//! What fell due: retries, and attempts whose fate stayed unknown.

use std::time::Duration;

use bongsu_domain::{Channel, Lane};
use bongsu_store::Error;
use bongsu_store::claims::{Claimed, Due, DueKind};

use super::{CLAIM_MAX, Dispatcher, Missed, TICK};
use crate::booking::{self, Booking};
use crate::launch::Leaving;
use crate::outgoing;
use crate::settle::Note;

/// Due messages read at once.
const DUE_READ_MAX: u32 = 1_000;

impl Dispatcher {
    /// Reads what fell due.
    pub(super) async fn look_due(&mut self) -> Result<(), Error> {
        let now = self.shared.clock.now();
        let waiting: usize = Lane::ALL.iter().map(|lane| self.lanes.get(*lane).due.len()).sum();
        let has_looked = self.due_looked.is_some_and(|at| now.since(at) < TICK);
        // Where the store is far, the sweep tells whether it is worth a look.
        let has_none = self.shared.territory.is_shared() && !self.is_due;
        if waiting > 0 || self.due_out > 0 || has_looked || has_none {
            return Ok(());
        }
        self.is_due = false;
        self.due_looked = Some(now);
        let is_night = !self.shared.config.ad_hours.is_open(now);
        let mut held = Vec::new();
        for due in self.shared.store.due(now, self.shared.territory.part(now), DUE_READ_MAX).await? {
            match due.kind {
                DueKind::Send if is_night && due.lane == Lane::Ad => held.push(due),
                DueKind::Send => self.lanes.get(due.lane).due.push_back(due),
                DueKind::Expire => {
                    // The settling side outlives the dispatcher; at its end nobody needs the note.
                    let _ = self.shared.notes.send(Note::Expire(due)).await;
                    self.due_looked = Some(now.plus(Duration::from_secs(1)));
                }
            }
        }
        self.put_off(held).await
    }

    /// Puts off what is due of advertisements until they may leave.
    pub(super) async fn put_off(&self, due: Vec<Due>) -> Result<(), Error> {
        if due.is_empty() {
            return Ok(());
        }
        let opens = self.shared.config.ad_hours.next_open(self.shared.clock.now());
        self.shared.store.postpone(due, opens).await
    }

    /// Lets messages go that fell due: retries, and attempts whose fate stayed unknown.
    pub(super) async fn send_due(&mut self, lane: Lane) -> Result<bool, Error> {
        if self.lanes.get(lane).due.is_empty() || (self.is_full() && lane != Lane::Auth) {
            return Ok(false);
        }
        let take = self.lanes.get(lane).due.len().min(CLAIM_MAX);
        let mut due: Vec<Due> = self.lanes.get(lane).due.drain(..take).collect();
        due.sort_by_key(|due| due.account);
        let loaded = self.shared.store.load_ids(due.iter().map(|due| due.id).collect()).await?;
        let ready = outgoing::open(self.shared.store.vault(), loaded);
        let mut by_id: std::collections::HashMap<i64, _> =
            ready.into_iter().map(|ready| (ready.row.id, ready)).collect();
        let now = self.shared.clock.now();
        let mut moved = false;
        for same in due.chunk_by(|a, b| a.account == b.account) {
            let account = same[0].account;
            let mut claimed = Vec::new();
            let mut relays = Vec::new();
            let mut leaving = Vec::new();
            // Before anything is booked: what fails here leaves nothing behind.
            let channels = same.iter().filter_map(|due| by_id.get(&due.id)).map(|ready| ready.row.channel);
            let channels: std::collections::BTreeSet<Channel> = channels.collect();
            for channel in channels {
                self.load_ratio(account, channel).await?;
            }
            for due in same {
                let Some(ready) = by_id.remove(&due.id) else {
                    let _ = self.shared.notes.send(Note::Gone(due.id)).await;
                    continue;
                };
                let booked = booking::book_due(&self.shared, &mut self.ratios, &ready, due, now);
                match booked {
                    Booking::Wait => self.lanes.get(lane).due.push_back(*due),
                    Booking::Skip => {
                        let _ = self.shared.notes.send(Note::Gone(due.id)).await;
                    }
                    booking => {
                        claimed.push(*due);
                        relays.push(booking.byte());
                        leaving.push(Leaving { ready, booking, attempt: due.attempt, send_at: 0 });
                    }
                }
            }
            if !claimed.is_empty() {
                moved = true;
                self.due_out += 1;
                let missed = Missed { lane, account, first: 0, held: false, whole: false };
                self.launch(lane, account, Claimed::Due(claimed), (relays, Vec::new()), leaving, missed)?;
            }
        }
        Ok(moved)
    }
}
