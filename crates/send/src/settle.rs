//! Settling: answers, failures and receipts become changes of the store; receipts are confirmed after the commit.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bongsu_domain::retry::{self, Case, Next, Outcome as TryOutcome, Tried};
use bongsu_domain::{Code, Lane, MessageId, Status, Timestamp};
use bongsu_relay::{Event, PartAnswer, RelayReceipt, UnsentReason, status_code};
use bongsu_store::changes::{Attempt, Change, Final, Unknown};
use bongsu_store::claims::{Due, DueKind, NO_RELAY};
use bongsu_store::rows::Outcome;
use tokio::sync::mpsc;

use crate::dispatch::Shared;
use crate::flights::{Flight, Inner, Part};
use crate::foreign::{self, Foreign};
use crate::metrics::Finished;
use crate::named;
use crate::orphans::Orphans;
use crate::receipts::{Unmatched, stored};
use crate::round::Round;

/// Changes of one write unit, so that an urgent accept gets in between.
const CHANGES_MAX: usize = 800;
/// The same over a database, where each unit costs round trips, whatever its size.
const SHARED_CHANGES_MAX: usize = 2_400;
/// Event lists taken at once.
const LISTS_MAX: usize = 256;
/// How long results gather before a round over a database, where each round costs round trips, whatever its size.
const GATHER: Duration = Duration::from_millis(20);
/// The longest that several dispatchers wait for more.
const GATHER_MAX: Duration = Duration::from_millis(100);
/// How often messages that wait long leave memory.
const TICK: Duration = Duration::from_secs(1);

/// What others than relays tell the settling side.
#[derive(Debug)]
pub enum Note {
    /// A message cannot be processed.
    Poison {
        /// The message.
        id: i64,
        /// The attempt that could not be made.
        attempt: u8,
        /// Why.
        reason: &'static str,
    },
    /// An unknown attempt is to be ended as expired.
    Expire(Due),
    /// Something was due for a message that needs nothing any more.
    Gone(i64),
    /// Claims of dead processes were settled: receipts that came for their messages may find them now.
    Recovered,
    /// No link is open any more: what is left of their events is the last.
    Closed,
}

/// The settling side of one process.
pub struct Settler {
    pub(crate) shared: Arc<Shared>,
    events: mpsc::Receiver<Vec<Event>>,
    notes: mpsc::Receiver<Note>,
    /// Receipts that overtook their answer.
    pub(crate) orphans: Orphans,
    random: u64,
    ticked: Timestamp,
    /// No link is open any more.
    closed: bool,
    /// Claims whose results are written; the next write says that they are done.
    done: Vec<Change>,
    /// Receipts that other processes kept, and when they were looked for.
    pub(crate) foreign: Foreign,
}

impl Settler {
    /// A settling side for the events of the relays.
    pub fn new(shared: Arc<Shared>, events: mpsc::Receiver<Vec<Event>>, notes: mpsc::Receiver<Note>) -> Self {
        let random = shared.config.seed | 1;
        let ticked = shared.clock.now();
        Self {
            shared,
            events,
            notes,
            orphans: Orphans::default(),
            random,
            ticked,
            closed: false,
            done: Vec::new(),
            foreign: Foreign::default(),
        }
    }

    /// Settles until every sender is gone, or the links are closed and all that came from them is written.
    pub async fn run(mut self) {
        if let Err(error) = self.load_orphans().await {
            tracing::warn!(%error, "unmatched receipts could not be read; they are matched when their deadline comes");
        }
        let mut lists = Vec::with_capacity(LISTS_MAX);
        let tick = if self.shared.territory.is_shared() { foreign::LOOK_EVERY } else { TICK };
        loop {
            tokio::select! {
                count = self.events.recv_many(&mut lists, LISTS_MAX) => {
                    if count == 0 {
                        return;
                    }
                    if self.shared.territory.is_shared() {
                        self.gather(&mut lists).await;
                    }
                    let events = lists.drain(..).flatten().collect();
                    self.settle(events).await;
                }
                Some(note) = self.notes.recv() => self.settle_note(note).await,
                () = tokio::time::sleep(tick) => {}
            }
            if self.is_over() {
                return self.write(Round::default()).await;
            }
            self.look_for_foreign().await;
            self.tick().await;
        }
    }

    /// Takes what comes within a moment as well: a longer one with several dispatchers, of which each hears its part only, so
    /// that a round costs the database as little as with one.
    async fn gather(&mut self, lists: &mut Vec<Vec<Event>>) {
        let dispatchers = u32::from(self.shared.territory.part(self.shared.clock.now()).count);
        let until = tokio::time::Instant::now() + (GATHER * (2 * dispatchers).saturating_sub(1)).min(GATHER_MAX);
        while lists.len() < LISTS_MAX {
            let more = self.events.recv_many(lists, LISTS_MAX - lists.len());
            if !tokio::time::timeout_at(until, more).await.is_ok_and(|count| count > 0) {
                return;
            }
        }
    }

    fn is_over(&self) -> bool {
        let unsettled = self.shared.unsettled.load(Ordering::Acquire);
        self.closed && unsettled == 0 && self.events.is_empty() && self.notes.is_empty()
    }

    /// One round over events: decide, write, confirm.
    pub async fn settle(&mut self, events: Vec<Event>) {
        let mut round = Round::default();
        let now = self.shared.clock.now();
        let shared = self.shared.clone();
        {
            let mut flights = shared.flights.lock();
            for event in events {
                self.event(&mut flights, &mut round, event, now);
                round.cut();
            }
        }
        if !round.unmatched.is_empty() {
            self.match_stored(&mut round, now).await;
        }
        let again = std::mem::take(&mut round.again);
        self.write(round).await;
        // Only now: the receipt may have come in this very round, after the attempt was given up.
        let again: Vec<_> =
            again.into_iter().flat_map(|(relay, recipient)| self.orphans.take(relay, recipient)).map(stored).collect();
        if !again.is_empty() {
            let mut round = Round { unmatched: again, ..Round::default() };
            self.match_stored(&mut round, now).await;
            self.write(round).await;
        }
    }

    /// Writes a round, however long the store refuses; what is decided here is decided.
    pub(crate) async fn write(&mut self, mut round: Round) {
        self.shared.steps.changed(&round.changes, &self.shared.relays);
        let most = if self.shared.territory.is_shared() { SHARED_CHANGES_MAX } else { CHANGES_MAX };
        let (mut units, then) = round.units(most);
        match units.first_mut() {
            Some(unit) => unit.append(&mut self.done),
            None if self.done.is_empty() => {}
            None => units.push(std::mem::take(&mut self.done)),
        }
        let mut firsts = Vec::new();
        bongsu_store::faults::point("before-results");
        for written in futures_util::future::join_all(units.into_iter().map(|unit| self.apply(unit))).await {
            firsts.extend(written);
        }
        self.done = then;
        for (finished, first) in round.finished.iter().zip(firsts) {
            self.shared.metrics.finished(finished, first);
        }
        bongsu_store::faults::point("before-ack");
        for ack in round.acks {
            ack.confirm();
        }
        if round.urgent {
            // Over a database a look at what is due waits for a sweep that says so.
            self.shared.nudged.fetch_or(self.shared.territory.is_shared(), Ordering::AcqRel);
            self.shared.wake.notify_one();
        }
    }

    async fn apply(&self, changes: Vec<Change>) -> Vec<bool> {
        loop {
            match self.shared.store.apply(changes.clone()).await {
                Ok(firsts) => return firsts,
                Err(error) => {
                    let messages = named::messages(changes.iter().filter_map(Change::message));
                    tracing::warn!(%error, messages, "results could not be written; they are written again");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }

    fn event(&mut self, flights: &mut Inner, round: &mut Round, event: Event, now: Timestamp) {
        match event {
            Event::Answered { relay, id, attempt, written_at, answered_at, parts } => {
                let Some(flight) = flights.get_mut(id, attempt) else { return };
                self.shared.unsettled.fetch_sub(1, Ordering::AcqRel);
                flight.submitted = written_at.millis();
                if parts.iter().any(|part| !matches!(part, PartAnswer::Unknown)) {
                    flight.answered = answered_at.millis();
                }
                self.shared.metrics.submitted(flight, written_at);
                self.answered(flights, round, id, attempt, &parts, answered_at, now);
                self.health(relay, &parts, now);
            }
            Event::Unsent { relay, id, attempt, why } => self.unsent(flights, round, relay, id, attempt, why, now),
            Event::Receipt(receipt) => self.receipt(flights, round, receipt),
            Event::Link { relay, up, binds, .. } => {
                tracing::info!(relay = self.shared.relays.name(relay), up, binds, "relay link changed");
                round.urgent = true;
            }
        }
    }

    /// What an answer says about the relay, beside what it says about the message.
    fn health(&self, relay: u8, parts: &[PartAnswer], now: Timestamp) {
        let Some(link) = self.shared.relays.get(relay) else { return };
        let ok = parts.iter().all(|part| match part {
            PartAnswer::Accepted(_) => true,
            PartAnswer::Refused(status) => !(7000..8000).contains(&status_code(*status).number()),
            PartAnswer::Unknown => false,
        });
        link.result(now, ok);
    }

    #[allow(clippy::too_many_arguments)]
    fn answered(
        &mut self,
        flights: &mut Inner,
        round: &mut Round,
        id: i64,
        attempt: u8,
        parts: &[PartAnswer],
        at: Timestamp,
        now: Timestamp,
    ) {
        if parts.iter().any(|part| matches!(part, PartAnswer::Unknown)) {
            return self.unknown(flights, round, id, attempt, now);
        }
        let refused = parts.iter().find_map(|part| match part {
            PartAnswer::Refused(status) => Some(status_code(*status)),
            _ => None,
        });
        let Some(code) = refused else { return self.submitted(flights, round, id, attempt, parts) };
        let taken = parts.iter().any(|part| matches!(part, PartAnswer::Accepted(_)));
        let Some((flight, claim_done)) = flights.land(id, attempt) else { return };
        if taken {
            // Half of a long message is with the relay: sending all of it again would double that half.
            round.changes.push(Change::Attempt(attempt_of(
                &flight,
                Outcome::Refused,
                code,
                Status::Sending,
                Some(at.millis()),
            )));
            self.finish(round, &flight, Status::Undelivered, code, Some(Outcome::Undelivered), at);
        } else {
            self.failed(round, &flight, Outcome::Refused, TryOutcome::Refused, code, at, now);
        }
        round.changes.extend(claim_done.map(Change::ClaimDone));
    }

    fn submitted(&mut self, flights: &mut Inner, round: &mut Round, id: i64, attempt: u8, parts: &[PartAnswer]) {
        let Some(flight) = flights.get_mut(id, attempt) else { return };
        flight.parts = parts
            .iter()
            .map(|part| match part {
                PartAnswer::Accepted(relay_id) => Part { relay_id: relay_id.clone(), code: None },
                PartAnswer::Refused(_) | PartAnswer::Unknown => Part { relay_id: String::new(), code: None },
            })
            .collect();
        round.changes.push(Change::Attempt(attempt_of(
            flight,
            Outcome::Submitted,
            Code::OkSubmitted,
            Status::Submitted,
            None,
        )));
        let key = (flight.relay, flight.recipient);
        flights.submitted(id);
        if !self.orphans.is_empty() {
            self.adopt(flights, round, key);
        }
    }

    fn unknown(&mut self, flights: &mut Inner, round: &mut Round, id: i64, attempt: u8, now: Timestamp) {
        let Some((flight, claim_done)) = flights.land(id, attempt) else { return };
        let code = Code::VendorTimeout;
        round.changes.push(Change::Attempt(attempt_of(&flight, Outcome::Unknown, code, Status::Sending, None)));
        round.changes.push(Change::Unknown(Unknown {
            id,
            attempt,
            relay: flight.relay,
            account: flight.account,
            recipient: flight.recipient,
            since: now.millis(),
        }));
        let resend = self.shared.relays.get(flight.relay).is_none_or(|link| link.resend_unknown);
        let wait = self.shared.config.unknown_wait;
        let next = self.with_case(&flight, TryOutcome::Unknown, code, now, |case| {
            retry::after_unknown(case, flight.lane, resend, wait)
        });
        let (at, relay, kind) = match next {
            Next::Again { relay, at } => (at, relay, DueKind::Send),
            Next::ExpireAt { at, .. } => (at, NO_RELAY, DueKind::Expire),
            Next::Final { .. } => (now, NO_RELAY, DueKind::Expire),
        };
        self.due(round, &flight, flight.attempt + 1, at, relay, kind, now);
        round.changes.extend(claim_done.map(Change::ClaimDone));
        // A receipt that came before may be the answer.
        round.again.push((flight.relay, flight.recipient));
    }

    #[allow(clippy::too_many_arguments)]
    fn unsent(
        &mut self,
        flights: &mut Inner,
        round: &mut Round,
        relay: u8,
        id: i64,
        attempt: u8,
        why: UnsentReason,
        now: Timestamp,
    ) {
        let Some((flight, claim_done)) = flights.land(id, attempt) else { return };
        self.shared.unsettled.fetch_sub(1, Ordering::AcqRel);
        match why {
            UnsentReason::Down => {
                self.failed(round, &flight, Outcome::Unreachable, TryOutcome::Unsent, Code::RouteDown, now, now);
            }
            UnsentReason::Deadline | UnsentReason::Stopped => {
                // Nothing left: the same attempt is made again.
                self.due(round, &flight, flight.attempt, now, relay, DueKind::Send, now);
            }
            UnsentReason::Expired => {
                self.finish(round, &flight, Status::Expired, Code::ExpiredBeforeSend, None, now);
            }
            UnsentReason::Encoding(code) => self.finish(round, &flight, Status::Failed, code, None, now),
        }
        round.changes.extend(claim_done.map(Change::ClaimDone));
    }

    /// A try that ended without being taken: again, elsewhere, or never.
    #[allow(clippy::too_many_arguments)]
    fn failed(
        &mut self,
        round: &mut Round,
        flight: &Flight,
        outcome: Outcome,
        tried: TryOutcome,
        code: Code,
        at: Timestamp,
        now: Timestamp,
    ) {
        round.changes.push(Change::Attempt(attempt_of(flight, outcome, code, Status::Queued, Some(at.millis()))));
        match self.with_case(flight, tried, code, now, retry::after_attempt) {
            Next::Again { relay, at } => {
                self.due(round, flight, flight.attempt.saturating_add(1), at, relay, DueKind::Send, now);
            }
            Next::Final { status, code } => self.finish(round, flight, status, code, None, at),
            Next::ExpireAt { code, .. } => self.finish(round, flight, Status::Expired, code, None, at),
        }
    }

    fn with_case(
        &mut self,
        flight: &Flight,
        outcome: TryOutcome,
        code: Code,
        now: Timestamp,
        decide: impl FnOnce(&Case<'_>) -> Next,
    ) -> Next {
        let mut history = flight.history.clone();
        history.push(Tried { relay: flight.relay, code, outcome });
        let booked = history.first().map_or(flight.relay, |tried| tried.relay);
        let relays = self.preference(flight, booked);
        let policy = self.shared.config.failover(flight.lane);
        let shared = self.shared.clone();
        let is_up =
            move |relay: u8| shared.relays.get(relay).is_some_and(|link| !link.is_down(now) && !link.is_open(now));
        decide(&Case {
            now,
            history: &history,
            relays: &relays,
            is_up: &is_up,
            policy: &policy,
            expires: Timestamp::from_millis(flight.expires),
            random: self.random(),
        })
    }

    /// The booked relay, then the others by weight as the store has them.
    fn preference(&self, flight: &Flight, booked: u8) -> Vec<u8> {
        self.shared.relays.preference(flight.account, flight.channel, booked)
    }

    fn random(&mut self) -> u64 {
        // SplitMix64: jitter needs to be spread, not secret.
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    #[allow(clippy::too_many_arguments)]
    fn due(
        &self,
        round: &mut Round,
        flight: &Flight,
        attempt: u8,
        at: Timestamp,
        relay: u8,
        kind: DueKind,
        now: Timestamp,
    ) {
        let at = match (kind, flight.lane) {
            (DueKind::Send, Lane::Ad) => self.shared.config.ad_hours.next_open(at),
            _ => at,
        };
        round.urgent |= at <= now;
        round.changes.push(Change::Due(Due {
            at: at.millis(),
            id: flight.id,
            attempt,
            kind,
            lane: flight.lane,
            account: flight.account,
            relay,
        }));
    }

    pub(crate) fn finish(
        &self,
        round: &mut Round,
        flight: &Flight,
        status: Status,
        code: Code,
        outcome: Option<Outcome>,
        at: Timestamp,
    ) {
        let keeps = matches!(status, Status::Delivered | Status::Read);
        let (unit, price) = flight.price;
        round.changes.push(Change::Final(Final {
            id: flight.id,
            attempt: flight.attempt,
            status,
            code,
            outcome,
            at: at.millis(),
            refund: (!keeps).then_some((flight.account, unit, price)),
        }));
        round.finished.push(Finished {
            since: flight.since,
            lane: flight.lane,
            channel: flight.channel,
            relay: flight.relay,
            status,
            at,
        });
    }

    async fn settle_note(&mut self, note: Note) {
        let mut round = Round::default();
        let now = self.shared.clock.now();
        match note {
            Note::Gone(id) => round.changes.push(Change::NotDue(id)),
            Note::Recovered => self.match_again().await,
            Note::Closed => self.closed = true,
            Note::Poison { id, attempt, reason } => {
                let landed = self.shared.flights.lock().land(id, attempt);
                if let Some((flight, claim_done)) = landed {
                    self.shared.unsettled.fetch_sub(1, Ordering::AcqRel);
                    let message_id = MessageId(id);
                    tracing::warn!(%message_id, attempt, reason, "a message cannot be processed and is parked");
                    round.changes.push(Change::Park {
                        id,
                        account: flight.account,
                        attempt,
                        lane: flight.lane,
                        at: now.millis(),
                        reason: reason.to_string(),
                    });
                    round.changes.extend(claim_done.map(Change::ClaimDone));
                }
            }
            Note::Expire(due) => self.expire_unknown(&mut round, due, now).await,
        }
        self.write(round).await;
    }

    async fn tick(&mut self) {
        let now = self.shared.clock.now();
        if now.since(self.ticked) < TICK {
            return;
        }
        self.ticked = now;
        if self.orphans.is_half_full() {
            self.orphans.forget_old(now);
        }
        let mut round = Round::default();
        let before = now.minus(self.shared.config.spill_receipts_after).millis();
        let stale = self.shared.flights.lock().stale(before, 20_000);
        for (flight, claim_done) in stale {
            self.spill(&mut round, &flight);
            round.changes.extend(claim_done.map(Change::ClaimDone));
            round.cut();
        }
        if self.shared.territory.sweeps() {
            self.expire_submitted(&mut round, now).await;
        }
        if !round.changes.is_empty() || !self.done.is_empty() {
            self.write(round).await;
        }
    }
}

/// An attempt as the store keeps it.
pub(crate) fn attempt_of(
    flight: &Flight,
    outcome: Outcome,
    code: Code,
    status: Status,
    result: Option<i64>,
) -> Attempt {
    Attempt {
        id: flight.id,
        attempt: flight.attempt,
        relay: flight.relay,
        relay_id: (!flight.parts.is_empty()).then(|| flight.lines()),
        outcome,
        code,
        status,
        claimed: flight.claimed,
        submitted: (flight.submitted > 0).then_some(flight.submitted),
        answered: (flight.answered > 0).then_some(flight.answered),
        result,
    }
}

/// A receipt as it arrived, for matching.
pub(crate) fn unmatched_of(receipt: RelayReceipt, recipient: i64) -> Unmatched {
    let (status, code) = bongsu_relay::receipt_code(receipt.state, receipt.err.as_deref());
    Unmatched {
        relay: receipt.relay,
        relay_id: receipt.relay_id,
        recipient,
        reference: receipt.reference,
        status,
        code,
        raw: receipt.raw,
        at: receipt.at,
        ack: Some(receipt.ack),
        stored: None,
    }
}
