//! Messages that leave later: at their time, once, moved, withdrawn; and the night of advertisements.

mod batches;
mod night;
#[cfg(feature = "full")]
mod processes;
mod singles;

use std::sync::Arc;

use bongsu_domain::{Clock, Timestamp};
use bongsu_testkit::{Builder, ShiftedClock, World};
use serde_json::Value;

/// A day on which nothing is special, in the morning.
const MORNING: &str = "2026-03-02T10:00:00+09:00";

/// A world with a clock of its own.
fn at(time: &str) -> (Builder, Arc<ShiftedClock>) {
    let clock = Arc::new(ShiftedClock::at(time));
    (World::builder().clock(clock.clone()), clock)
}

/// So many milliseconds from now on, as callers write it.
fn ahead(clock: &ShiftedClock, millis: i64) -> String {
    Timestamp::from_millis(clock.now().millis() + millis).rfc3339()
}

/// A time of a view, in milliseconds.
fn millis(time: &Value) -> i64 {
    time.as_str().and_then(Timestamp::parse_rfc3339).unwrap_or_else(|| panic!("a time instead of {time}")).millis()
}

/// When a message was first written to a relay, after its time.
fn late_by(message: &Value) -> i64 {
    millis(&message["attempts"][0]["submittedAt"]) - millis(&message["sendAt"])
}

/// Left no sooner than it may, and not much later: a machine that stands still for a while is not the program's fault.
fn is_in_time(message: &Value) -> bool {
    (0..60_000).contains(&late_by(message))
}

/// How often a recipient's message reached a relay.
async fn arrivals(world: &World, to: &str) -> usize {
    let mut count = 0;
    for relay in ["kt", "skt", "lgu"] {
        count += world.seen(relay).await.iter().filter(|(seen, _)| seen == to).count();
    }
    count
}
