//! Booking: which relay a message goes to now, or why it does not go.

use std::time::Duration;

use bongsu_domain::{Allow, Lane, Status, Timestamp};
use bongsu_relay::simulated;
use bongsu_store::claims::{Due, ENDS_HERE, NO_RELAY};

use crate::dispatch::Shared;
use crate::outgoing::Ready;
use crate::shares::{Ratio, Ratios};

/// What is to happen with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Booking {
    /// It goes to a relay, as so many parts.
    Send {
        /// Number of the relay.
        relay: u8,
        /// Parts.
        parts: u8,
    },
    /// It is booked on a relay that is down: the try counts, nothing is written.
    Unreachable {
        /// Number of the relay.
        relay: u8,
    },
    /// There is no relay to book it on.
    NoRoute,
    /// It is worthless by now.
    Expired,
    /// It cannot be processed.
    Poison(&'static str),
    /// It is not waiting any more.
    Skip,
    /// Its relay has no room now.
    Wait,
}

impl Booking {
    /// The byte of the claim.
    pub fn byte(self) -> u8 {
        match self {
            Booking::Send { relay, .. } | Booking::Unreachable { relay } => relay,
            Booking::NoRoute | Booking::Expired | Booking::Poison(_) => ENDS_HERE,
            Booking::Skip | Booking::Wait => NO_RELAY,
        }
    }
}

/// Parts that all relays together take now in a lane.
pub fn total_room(shared: &Shared, lane: Lane) -> u32 {
    shared.relays.all().iter().map(|link| link.room(lane).saturating_sub(shared.pending.of(link.no))).sum()
}

/// Messages of one part that can be booked by the ratio before a relay of it has no room; relays that are down or probed
/// stop nothing.
pub fn room_in_ratio(shared: &Shared, ratio: &Ratio, lane: Lane, now: Timestamp) -> u32 {
    let room = |(relay, share): &(u8, u32)| {
        let link = shared.relays.get(*relay).filter(|link| *share > 0 && link.is_closed(now) && !link.is_down(now))?;
        Some(link.room(lane).saturating_sub(shared.pending.of(*relay)).saturating_mul(100) / share)
    };
    ratio.shares.as_slice().iter().filter_map(room).min().unwrap_or(u32::MAX)
}

/// Books the first attempt of a message: by the customer's ratio, exactly.
pub fn book(shared: &Shared, ratios: &mut Ratios, ready: &Ready, now: Timestamp, blocked_for: Duration) -> Booking {
    let row = &ready.row;
    if row.status != Status::Queued {
        return Booking::Skip;
    }
    if let Some(early) = unfit(ready, now) {
        return early;
    }
    if is_test(ready) {
        return book_test(shared, ready, now);
    }
    let Some(ratio) = ratios.get(row.account, row.channel) else { return Booking::NoRoute };
    let first = ratio.credits.peek(&ratio.shares);
    let others = ratio.shares.preference(first);
    let booking = match try_relay(shared, ready, first, now) {
        Booking::Wait if row.lane <= Lane::Realtime && blocked_for >= shared.config.spill_after => {
            let spilled = others.iter().skip(1).map(|relay| try_relay(shared, ready, *relay, now));
            let spilled = spilled.into_iter().find(|b| matches!(b, Booking::Send { .. })).unwrap_or(Booking::Wait);
            if spilled != Booking::Wait {
                shared.metrics.spilled();
            }
            spilled
        }
        booking => booking,
    };
    match booking {
        Booking::Send { relay, parts } => {
            ratios.take(row.account, row.channel, relay, parts.into());
            shared.pending.add(relay, parts.into());
        }
        Booking::Unreachable { relay } => ratios.take(row.account, row.channel, relay, 1),
        _ => {}
    }
    booking
}

/// Books a further attempt: on the relay that the retry decision chose.
pub fn book_due(shared: &Shared, ratios: &mut Ratios, ready: &Ready, due: &Due, now: Timestamp) -> Booking {
    if !ready.waits() {
        return Booking::Skip;
    }
    if let Some(early) = unfit(ready, now) {
        return early;
    }
    if is_test(ready) {
        return book_test(shared, ready, now);
    }
    let relay = match due.relay {
        NO_RELAY => {
            let Some(ratio) = ratios.get(ready.row.account, ready.row.channel) else { return Booking::NoRoute };
            let last = ready.row.attempt.relay;
            let order = ratio.shares.preference(last.unwrap_or_else(|| ratio.credits.peek(&ratio.shares)));
            let healthy = |relay: &&u8| shared.relays.get(**relay).is_some_and(|link| link.is_healthy(now));
            let other = order.iter().filter(|relay| Some(**relay) != last).find(healthy);
            other.or_else(|| order.first()).copied().unwrap_or(NO_RELAY)
        }
        relay => relay,
    };
    let booking = try_relay(shared, ready, relay, now);
    if let Booking::Send { relay, parts } = booking {
        shared.pending.add(relay, parts.into());
    }
    booking
}

/// Whether a message goes to a test number. The recipient alone decides: what is written for one never reaches a relay.
fn is_test(ready: &Ready) -> bool {
    ready.said.as_ref().is_ok_and(|said| said.to.is_for_tests())
}

/// Books a test where nothing leaves; no customer's ratio counts it.
fn book_test(shared: &Shared, ready: &Ready, now: Timestamp) -> Booking {
    let booking = try_relay(shared, ready, simulated::NUMBER, now);
    if let Booking::Send { relay, parts } = booking {
        shared.pending.add(relay, parts.into());
    }
    booking
}

fn unfit(ready: &Ready, now: Timestamp) -> Option<Booking> {
    match &ready.said {
        Err(reason) => Some(Booking::Poison(reason)),
        Ok(_) if ready.row.expires <= now.millis() => Some(Booking::Expired),
        Ok(_) => None,
    }
}

fn try_relay(shared: &Shared, ready: &Ready, relay: u8, now: Timestamp) -> Booking {
    let (Some(link), Ok(said)) = (shared.relays.get(relay), &ready.said) else {
        return Booking::Unreachable { relay };
    };
    if link.is_down(now) || link.is_open(now) {
        return Booking::Unreachable { relay };
    }
    let parts = link.port.as_ref().map_or(1, |port| port.parts(ready.row.channel, &said.text));
    let room = link.room(ready.row.lane).saturating_sub(shared.pending.of(relay));
    if room < u32::from(parts) && !(room > 0 && u32::from(parts) > room_ever(&link)) {
        // A relay that is being probed answers with its probes; the rest does not wait for them.
        return if link.is_closed(now) { Booking::Wait } else { Booking::Unreachable { relay } };
    }
    match link.allows(now) {
        Allow::All | Allow::Probe => Booking::Send { relay, parts },
        Allow::None => Booking::Unreachable { relay },
    }
}

/// The most parts a relay could ever take at once: a message with more of them goes when there is any room.
fn room_ever(link: &crate::relays::Link) -> u32 {
    link.health().map_or(0, |health| health.window)
}
