//! Several processes over one database: what one promised holds for all, and who lost its place cannot write.

mod accepts;
mod administration;
mod claims;
mod facts;
mod nodes;
mod results;
mod schedules;
mod staging;
mod webhooks;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bongsu_store::claims::DueKind;
use bongsu_store::recovery::Policy;

use crate::house::House;

/// A write that waits to be let go.
pub type Write<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// One more process over the database of a house, on a machine of its own with the same key file.
pub fn beside(house: &House) -> House {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(house.dir.path().join("keys"), dir.path().join("keys")).unwrap();
    let (clock, ground) = (house.clock.clone(), house.ground.beside());
    let store = ground.open(dir.path(), &clock, None).unwrap();
    House { store, clock, dir, ground }
}

/// A house and one more process.
pub fn two() -> (House, House) {
    let one = crate::house::house();
    let other = beside(&one);
    (one, other)
}

/// The numbers below `count`, each once, in an order that is another one for every seed.
pub fn shuffled(count: i64, seed: i64) -> impl Iterator<Item = i64> {
    // 7919 is a prime that divides no count used here.
    (0..count).map(move |n| (n * 7_919 + seed * 131) % count)
}

/// Unanswered messages are sent again after a minute.
pub fn policy() -> Arc<Policy> {
    Arc::new(Policy {
        after_unknown: Box::new(|_, _| (Duration::from_secs(60), DueKind::Send)),
        receipt_deadline: Duration::from_secs(3_600),
        plain_recipient: Box::new(|row| row.recipient),
    })
}
