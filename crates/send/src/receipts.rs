//! Receipts: matched by id, by what is known of unknown attempts, or kept until their message shows up.

use std::sync::Arc;

use bongsu_domain::id::reference;
use bongsu_domain::{Code, MessageId, PhoneNumber, Status, Timestamp};
use bongsu_relay::{Ack, RelayReceipt};
use bongsu_store::Error;
use bongsu_store::changes::{Change, Orphan, Receipt, Submit, Verdict};
use bongsu_store::claims::Due;
use bongsu_store::lookup::{Known, UnknownRow, Wanted};
use bongsu_store::rows::{MessageRow, Outcome};

use crate::flights::{self, Flight, Inner, Part, Place};
use crate::outgoing;
use crate::round::Round;
use crate::settle::{Settler, unmatched_of};

/// Orphans read at once at the start.
const ORPHAN_PAGE: u32 = 5_000;
/// Overdue parts ended in one round.
const OVERDUE_MAX: u32 = 2_000;

/// A receipt that memory could not match.
#[derive(Debug)]
pub struct Unmatched {
    /// Number of the relay.
    pub relay: u8,
    /// The relay's id.
    pub relay_id: String,
    /// Plain keyed hash of the recipient.
    pub recipient: i64,
    /// Echoed `user_message_reference`.
    pub reference: Option<u16>,
    /// What it means.
    pub status: Status,
    /// Its code.
    pub code: Code,
    /// As written.
    pub raw: Vec<u8>,
    /// Arrival.
    pub at: Timestamp,
    /// To confirm once it is kept.
    pub ack: Option<Ack>,
    /// Its number when it was kept before.
    pub stored: Option<i64>,
}

impl Settler {
    /// Orphans of earlier lives: what a crash left unknown may have its receipt among them.
    pub(crate) async fn load_orphans(&mut self) -> Result<(), Error> {
        let mut after = 0;
        loop {
            let page = self.shared.store.orphans(after, ORPHAN_PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = *last;
            let mut round = Round { unmatched: page.into_iter().map(stored).collect(), ..Round::default() };
            let now = self.shared.clock.now();
            self.match_stored(&mut round, now).await;
            self.write(round).await;
        }
    }

    pub(crate) fn receipt(&mut self, flights: &mut Inner, round: &mut Round, receipt: RelayReceipt) {
        let number = PhoneNumber::from_address(&receipt.to);
        let recipient = number.map_or(0, |number| outgoing::plain_hash(self.shared.store.vault(), &number));
        let unmatched = unmatched_of(receipt, recipient);
        self.place(flights, round, unmatched);
    }

    /// Puts a receipt where memory says it belongs.
    fn place(&mut self, flights: &mut Inner, round: &mut Round, receipt: Unmatched) {
        match belongs(flights, &receipt) {
            Some((place, false)) => self.decide(flights, round, place, receipt),
            Some((place, true)) => {
                let verdict = if receipt.status.is_final() { Verdict::Repeated } else { Verdict::NotFinal };
                keep(round, place, &receipt, verdict);
                round.changes.extend(receipt.stored.map(Change::OrphanDone));
                round.acks.extend(receipt.ack);
            }
            None => round.unmatched.push(receipt),
        }
    }

    /// Puts a kept receipt where memory says it belongs, if it does.
    pub(crate) fn try_place(&mut self, flights: &mut Inner, round: &mut Round, receipt: Unmatched) -> bool {
        let ours = belongs(flights, &receipt).is_some();
        if ours {
            self.place(flights, round, receipt);
        }
        ours
    }

    /// A receipt for a part that waits.
    fn decide(&mut self, flights: &mut Inner, round: &mut Round, place: Place, mut receipt: Unmatched) {
        round.acks.extend(receipt.ack.take());
        round.changes.extend(receipt.stored.map(Change::OrphanDone));
        let Some(flight) = flights.get_mut(place.id, place.attempt) else {
            return keep(round, place, &receipt, Verdict::Late);
        };
        if !receipt.status.is_final() {
            keep(round, place, &receipt, Verdict::NotFinal);
            if receipt.status == Status::Uncertain {
                let attempt =
                    crate::settle::attempt_of(flight, Outcome::Uncertain, receipt.code, Status::Uncertain, None);
                round.changes.push(Change::Attempt(attempt));
            }
            return;
        }
        let many = flight.parts.len() > 1;
        let Some(part) = flight.parts.get_mut(usize::from(place.part)) else { return };
        if part.code.is_some() {
            return keep(round, place, &receipt, Verdict::Repeated);
        }
        part.code = Some(receipt.code);
        if many {
            round.changes.push(Change::Parts { id: place.id, attempt: place.attempt, relay_id: flight.lines() });
        }
        let open = flight.parts.iter().any(|part| part.code.is_none());
        keep(round, place, &receipt, if open { Verdict::Part } else { Verdict::Decided });
        if open {
            let stored = (flight.claim == 0).then(|| flight.parts.get(usize::from(place.part))).flatten();
            round.changes.extend(stored.map(|part| Change::Unspill {
                relay: receipt.relay,
                relay_id: part.relay_id.clone(),
                id: place.id,
            }));
            return;
        }
        let bad = flight.parts.iter().filter_map(|part| part.code).find(|code| *code != Code::OkDelivered);
        let Some((flight, claim_done)) = flights.land(place.id, place.attempt) else { return };
        self.unspill(round, &flight);
        match bad {
            None => {
                self.finish(round, &flight, Status::Delivered, Code::OkDelivered, Some(Outcome::Delivered), receipt.at)
            }
            Some(code) => {
                let (status, outcome) = match receipt.status {
                    Status::Expired if !many => (Status::Expired, Outcome::Expired),
                    _ => (Status::Undelivered, Outcome::Undelivered),
                };
                self.finish(round, &flight, status, code, Some(outcome), receipt.at);
            }
        }
        round.changes.extend(claim_done.map(Change::ClaimDone));
    }

    /// Receipts that came before the answer of a message to this recipient.
    pub(crate) fn adopt(&mut self, flights: &mut Inner, round: &mut Round, key: (u8, i64)) {
        for (seq, orphan) in self.orphans.take(key.0, key.1) {
            let receipt = stored((seq, orphan.clone()));
            if belongs(flights, &receipt).is_some_and(|(_, done)| !done) {
                self.place(flights, round, receipt);
            } else {
                self.orphans.keep(seq, orphan);
            }
        }
    }

    /// Asks the store about receipts that memory does not know; what nobody knows is kept.
    pub(crate) async fn match_stored(&mut self, round: &mut Round, now: Timestamp) {
        let mut unmatched = std::mem::take(&mut round.unmatched);
        // Within one round an answer may have followed its receipt.
        let shared = self.shared.clone();
        {
            let mut flights = shared.flights.lock();
            for receipt in std::mem::take(&mut unmatched) {
                match belongs(&flights, &receipt) {
                    Some(_) => {
                        self.place(&mut flights, round, receipt);
                        round.cut();
                    }
                    None => unmatched.push(receipt),
                }
            }
        }
        let wanted: Arc<[Wanted]> = unmatched.iter().map(wanted).collect();
        let known = loop {
            let wanted = wanted.clone();
            match self.shared.store.look(move |look| look.known(&wanted)).await {
                Ok(known) => break known,
                Err(error) => {
                    tracing::warn!(%error, "receipts could not be matched; they are matched again");
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                }
            }
        };
        for (receipt, known) in unmatched.into_iter().zip(known) {
            self.matched(round, receipt, known, now);
            round.cut();
        }
    }

    fn matched(&mut self, round: &mut Round, mut receipt: Unmatched, known: Known, now: Timestamp) {
        let shared = self.shared.clone();
        match known {
            Known::Nothing if receipt.stored.is_some() => {
                if let Some(seq) = receipt.stored {
                    self.orphans.keep(seq, as_orphan(&receipt));
                }
            }
            Known::Nothing => match shared.store.new_id() {
                Ok(seq) => {
                    round.acks.extend(receipt.ack.take());
                    let orphan = as_orphan(&receipt);
                    round.changes.push(Change::Orphan(seq, orphan.clone()));
                    self.orphans.keep(seq, orphan);
                }
                Err(error) => {
                    // Not confirmed: the relay offers it again.
                    let relay = shared.relays.name(receipt.relay);
                    tracing::warn!(%error, relay, relay_id = receipt.relay_id, "an unmatched receipt could not be numbered");
                }
            },
            Known::Submit(submit, row) => {
                let place = Place { id: submit.id, attempt: submit.attempt, part: submit.part };
                let mut flights = shared.flights.lock();
                flights.revive(revived(&row, submit.relay, submit.recipient));
                self.decide(&mut flights, round, place, receipt);
                // What still waits for other parts stays with the store.
                flights.forget_stored(place.id);
            }
            Known::Unknown { attempt, row, is_due } => {
                self.answer_unknown(round, receipt, (&attempt, is_due), &row, now);
            }
        }
    }

    /// A receipt tells the fate of an attempt that was unknown.
    fn answer_unknown(
        &mut self,
        round: &mut Round,
        mut receipt: Unmatched,
        (unknown, is_due): (&UnknownRow, bool),
        row: &MessageRow,
        now: Timestamp,
    ) {
        round.acks.extend(receipt.ack.take());
        round.changes.extend(receipt.stored.map(Change::OrphanDone));
        let place = Place { id: unknown.id, attempt: unknown.attempt, part: 0 };
        if !receipt.status.is_final() {
            return keep(round, place, &receipt, Verdict::NotFinal);
        }
        let mut flight = revived(row, unknown.relay, receipt.recipient);
        flight.attempt = unknown.attempt;
        // A failure of this attempt says nothing about a later one that is under way. The row tells of that one only when it
        // is answered; what is not due any more has left before.
        let decides = receipt.code == Code::OkDelivered || (is_due && row.attempt.attempt <= unknown.attempt);
        let verdict = match (row.status.is_final(), decides) {
            (true, _) => Verdict::Late,
            (false, true) => Verdict::Decided,
            (false, false) => Verdict::NotFinal,
        };
        keep(round, place, &receipt, verdict);
        if decides {
            let (status, outcome) = match receipt.status {
                Status::Delivered => (Status::Delivered, Outcome::Delivered),
                Status::Expired => (Status::Expired, Outcome::Expired),
                _ => (Status::Undelivered, Outcome::Undelivered),
            };
            self.finish(round, &flight, status, receipt.code, Some(outcome), receipt.at);
            round.changes.push(Change::NotDue(unknown.id));
        }
        round.changes.push(Change::Resolved {
            id: unknown.id,
            attempt: unknown.attempt,
            at: now.millis(),
            resolution: "receipt",
        });
    }

    /// A submitted message leaves memory; its receipts are found through the store from now on.
    pub(crate) fn spill(&self, round: &mut Round, flight: &Flight) {
        let deadline = flight.submitted + self.shared.config.receipt_deadline.as_millis() as i64;
        for (at, part) in flight.parts.iter().enumerate().filter(|(_, part)| part.code.is_none()) {
            round.changes.push(Change::Spill(Submit {
                relay: flight.relay,
                relay_id: part.relay_id.clone(),
                id: flight.id,
                attempt: flight.attempt,
                part: at as u8,
                parts: flight.parts.len() as u8,
                recipient: flight.recipient,
                deadline,
            }));
        }
    }

    /// A message that the store kept is done. Those of memory were never there.
    fn unspill(&self, round: &mut Round, flight: &Flight) {
        if flight.claim == 0 {
            round.changes.extend(flight.parts.iter().map(|part| Change::Unspill {
                relay: flight.relay,
                relay_id: part.relay_id.clone(),
                id: flight.id,
            }));
        }
    }

    /// Submitted messages whose receipt did not come in time.
    pub(crate) async fn expire_submitted(&mut self, round: &mut Round, now: Timestamp) {
        let overdue = self.shared.store.look(move |look| look.overdue(now, OVERDUE_MAX)).await;
        let overdue = match overdue {
            Ok(overdue) => overdue,
            Err(error) => return tracing::warn!(%error, "overdue messages could not be read"),
        };
        for (submit, row) in overdue {
            round.changes.push(Change::Unspill {
                relay: submit.relay,
                relay_id: submit.relay_id.clone(),
                id: submit.id,
            });
            let Some(row) = row.filter(|row| !row.status.is_final() && row.attempt.attempt == submit.attempt) else {
                continue;
            };
            let flight = revived(&row, submit.relay, submit.recipient);
            self.finish(round, &flight, Status::Expired, Code::ResultTimeout, Some(Outcome::Expired), now);
            round.cut();
        }
    }

    /// Unknown attempts that must not be sent again, after their wait.
    pub(crate) async fn expire_unknown(&mut self, round: &mut Round, due: Due, now: Timestamp) {
        let row = self.shared.store.look(move |look| look.row(due.id)).await;
        let attempt = due.attempt.saturating_sub(1);
        match row {
            Ok(Some(row)) if !row.status.is_final() => {
                let flight = revived(&row, row.attempt.relay.unwrap_or(0), 0);
                self.finish(round, &flight, Status::Expired, Code::VendorTimeout, Some(Outcome::Unknown), now);
            }
            Ok(_) => {}
            Err(error) => {
                let message_id = MessageId(due.id);
                return tracing::warn!(%error, %message_id, attempt, "an unknown attempt could not be read; it is read again");
            }
        }
        round.changes.push(Change::NotDue(due.id));
        round.changes.push(Change::Resolved { id: due.id, attempt, at: now.millis(), resolution: "expired" });
    }
}

/// Where memory says a receipt belongs, and whether that part is finished. A relay that uses its ids again may send the
/// receipt of a new message before its answer: an echoed reference then tells it from the finished one of the same id.
fn belongs(flights: &Inner, receipt: &Unmatched) -> Option<(Place, bool)> {
    let found = flights.find(receipt.relay, &receipt.relay_id, receipt.recipient)?;
    receipt.reference.is_none_or(|echoed| echoed == reference(found.0.id)).then_some(found)
}

fn keep(round: &mut Round, place: Place, receipt: &Unmatched, verdict: Verdict) {
    round.changes.push(Change::Receipt(Receipt {
        id: place.id,
        attempt: place.attempt,
        part: place.part,
        at: receipt.at,
        verdict,
        raw: receipt.raw.clone(),
    }));
}

pub(crate) fn stored((seq, orphan): (i64, Orphan)) -> Unmatched {
    Unmatched {
        relay: orphan.relay,
        relay_id: orphan.relay_id,
        recipient: orphan.recipient,
        reference: orphan.reference,
        status: orphan.status,
        code: orphan.code,
        raw: orphan.raw,
        at: orphan.at,
        ack: None,
        stored: Some(seq),
    }
}

fn wanted(receipt: &Unmatched) -> Wanted {
    let Unmatched { relay, recipient, reference, at, .. } = *receipt;
    Wanted { relay, relay_id: receipt.relay_id.clone(), recipient, reference, at }
}

fn as_orphan(receipt: &Unmatched) -> Orphan {
    Orphan {
        relay: receipt.relay,
        relay_id: receipt.relay_id.clone(),
        recipient: receipt.recipient,
        reference: receipt.reference,
        status: receipt.status,
        code: receipt.code,
        at: receipt.at,
        raw: receipt.raw.clone(),
    }
}

/// A message as memory would have it, from its row.
fn revived(row: &MessageRow, relay: u8, recipient: i64) -> Flight {
    Flight {
        id: row.id,
        attempt: row.attempt.attempt,
        relay,
        lane: row.lane,
        account: row.account,
        channel: row.channel,
        price: (row.unit, row.price),
        expires: row.expires,
        since: bongsu_domain::id::id_millis(row.id),
        claimed: row.attempt.claimed.unwrap_or(0),
        submitted: row.attempt.submitted.unwrap_or(0),
        answered: row.attempt.answered.unwrap_or(0),
        claim: 0,
        recipient,
        parts: row.attempt.relay_id.as_deref().map_or_else(Vec::<Part>::new, flights::parse_lines),
        history: Vec::new(),
    }
}
