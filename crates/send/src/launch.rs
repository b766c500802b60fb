//! Launch: the intent is written, then the messages go to their relays.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bongsu_domain::{Lane, Timestamp};
use bongsu_relay::{Event, Outbound, UnsentReason};
use bongsu_store::claims::{Claim, ShareState, Taken};
use tokio::sync::mpsc;

use crate::booking::Booking;
use crate::dispatch::{Missed, Shared};
use crate::flights::Flight;
use crate::named;
use crate::outgoing::{self, Ready};
use crate::settle::Note;

/// A message of a claim.
pub struct Leaving {
    /// The message.
    pub ready: Ready,
    /// Where to.
    pub booking: Booking,
    /// The attempt this is.
    pub attempt: u8,
    /// When it was to leave, Unix milliseconds; 0: at once.
    pub send_at: i64,
}

/// A claim with its messages.
pub struct Launch {
    /// The claim.
    pub claim: Claim,
    /// Distribution states that it led to.
    pub states: Vec<ShareState>,
    /// Its messages, without the skipped ones.
    pub leaving: Vec<Leaving>,
    /// Nothing is written after it.
    pub deadline: Timestamp,
    /// What the dispatcher is told at the end.
    pub missed: Missed,
}

/// Writes the claim; if it holds, registers the flights and hands the messages over.
pub async fn launch(shared: Arc<Shared>, launch: Launch, done: mpsc::UnboundedSender<Missed>) {
    let Launch { claim, states, mut leaving, deadline, mut missed } = launch;
    let claim_id = claim.id;
    let lane = claim.lane;
    let written = shared.store.claim(lane == Lane::Auth, vec![claim], states).await;
    let taken = match written {
        Ok(mut taken) => taken.pop().unwrap_or(Taken::Stale),
        Err(error) => {
            let messages = named::messages(leaving.iter().map(|leaving| leaving.ready.row.id));
            tracing::warn!(%error, claim = claim_id, messages, "a claim could not be written; its messages wait");
            Taken::Stale
        }
    };
    missed.held = taken != Taken::Stale;
    let booked: Vec<Booking> = leaving.iter().map(|l| l.booking).collect();
    match &taken {
        Taken::Whole => {}
        Taken::Stale => leaving.clear(),
        Taken::Without(lost) => {
            let mut at = 0;
            leaving.retain(|_| {
                at += 1;
                !lost.contains(&(at - 1))
            });
        }
    }
    if !leaving.is_empty() {
        depart(&shared, claim_id, deadline, leaving).await;
    }
    give_back(&shared, booked);
    shared.claims_out.fetch_sub(1, Ordering::AcqRel);
    // The dispatcher may have stopped; then nobody plans on.
    let _ = done.send(missed);
    shared.wake.notify_one();
}

/// The room that bookings took is free again: their messages are with their relays by now, or stay.
pub(crate) fn give_back(shared: &Shared, bookings: impl IntoIterator<Item = Booking>) {
    for booking in bookings {
        if let Booking::Send { relay, parts } = booking {
            shared.pending.sub(relay, parts.into());
        }
    }
}

async fn depart(shared: &Shared, claim: i64, deadline: Timestamp, leaving: Vec<Leaving>) {
    let now = shared.clock.now();
    let mut flights = Vec::with_capacity(leaving.len());
    let mut outbound: BTreeMap<u8, Vec<Outbound>> = BTreeMap::new();
    let mut events = Vec::new();
    let mut notes = Vec::new();
    for Leaving { ready, booking, attempt, send_at } in leaving {
        let flight =
            Flight { since: since(shared, &ready, send_at), ..flight(shared, &ready, claim, attempt, booking, now) };
        let (id, relay) = (flight.id, flight.relay);
        match (booking, &ready.said) {
            (Booking::Send { relay, parts }, Ok(said)) => {
                outbound.entry(relay).or_default().push(said.outbound(&flight, deadline, parts));
            }
            (Booking::Unreachable { relay }, _) => {
                events.push(Event::Unsent { relay, id, attempt, why: UnsentReason::Down });
            }
            (Booking::Expired, _) => events.push(Event::Unsent { relay, id, attempt, why: UnsentReason::Expired }),
            (Booking::NoRoute, _) => {
                let why = UnsentReason::Encoding(bongsu_domain::Code::NoRoute);
                events.push(Event::Unsent { relay, id, attempt, why });
            }
            (Booking::Poison(reason), _) => notes.push(Note::Poison { id, attempt, reason }),
            (Booking::Send { .. }, Err(reason)) => notes.push(Note::Poison { id, attempt, reason }),
            (Booking::Skip | Booking::Wait, _) => continue,
        }
        flights.push(flight);
    }
    shared.unsettled.fetch_add(flights.len(), Ordering::AcqRel);
    shared.steps.departed(&flights, &shared.relays, now);
    shared.flights.lock().depart(claim, flights);
    for (relay, messages) in outbound {
        match shared.relays.get(relay).and_then(|link| link.port.clone()) {
            Some(port) => port.submit(messages),
            None => events.extend(messages.iter().map(|m| Event::Unsent {
                relay,
                id: m.id,
                attempt: m.attempt,
                why: UnsentReason::Down,
            })),
        }
    }
    if !events.is_empty() {
        shared.relays.report(events).await;
    }
    for note in notes {
        let _ = shared.notes.send(note).await;
    }
}

/// Since when a message could leave.
fn since(shared: &Shared, ready: &Ready, send_at: i64) -> i64 {
    let since = bongsu_domain::id::id_millis(ready.row.id).max(send_at);
    match ready.row.lane {
        Lane::Ad => shared.config.ad_hours.next_open(Timestamp::from_millis(since)).millis(),
        _ => since,
    }
}

fn flight(shared: &Shared, ready: &Ready, claim: i64, attempt: u8, booking: Booking, now: Timestamp) -> Flight {
    let row = &ready.row;
    let recipient = ready.said.as_ref().map_or(0, |said| outgoing::plain_hash(shared.store.vault(), &said.to));
    Flight {
        id: row.id,
        attempt,
        relay: booking.byte(),
        lane: row.lane,
        account: row.account,
        channel: row.channel,
        price: (row.unit, row.price),
        expires: row.expires,
        since: bongsu_domain::id::id_millis(row.id),
        claimed: now.millis(),
        submitted: 0,
        answered: 0,
        claim,
        recipient,
        parts: Vec::new(),
        history: ready.history.clone(),
    }
}
