//! Receipts that overtook their answer: memory keeps them for a while, the store for longer.

use std::collections::HashMap;
use std::time::Duration;

use bongsu_domain::Timestamp;
use bongsu_domain::id::id_millis;
use bongsu_store::changes::Orphan;

/// Receipts that memory keeps to meet the answer they overtook.
const MOST: usize = 100_000;
/// How long it keeps them: longer than any relay may take to answer.
const KEPT_FOR: Duration = Duration::from_secs(120);

/// Receipts by relay and recipient, with the number each is stored under.
#[derive(Default)]
pub(crate) struct Orphans {
    kept: HashMap<(u8, i64), Vec<(i64, Orphan)>>,
    count: usize,
}

impl Orphans {
    /// Keeps a receipt where the answer it overtook will look for it, as long as there is room.
    pub(crate) fn keep(&mut self, seq: i64, orphan: Orphan) {
        if self.count >= MOST {
            return;
        }
        let same = self.kept.entry((orphan.relay, orphan.recipient)).or_default();
        if same.iter().all(|(other, _)| *other != seq) {
            self.count += 1;
            same.push((seq, orphan));
        }
    }

    /// Gives out what is kept for a recipient of a relay.
    pub(crate) fn take(&mut self, relay: u8, recipient: i64) -> Vec<(i64, Orphan)> {
        let taken = self.kept.remove(&(relay, recipient)).unwrap_or_default();
        self.count -= taken.len();
        taken
    }

    /// Whether nothing is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether it is time to let go of old ones: strangers' receipts would fill it up in the end.
    pub(crate) fn is_half_full(&self) -> bool {
        self.count >= MOST / 2
    }

    /// Lets go of what no answer will look for any more. The store still has it.
    pub(crate) fn forget_old(&mut self, now: Timestamp) {
        let before = now.minus(KEPT_FOR).millis();
        self.kept.retain(|_, same| {
            same.retain(|(seq, _)| id_millis(*seq) >= before);
            !same.is_empty()
        });
        self.count = self.kept.values().map(Vec::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use bongsu_domain::id::first_id_at;
    use bongsu_domain::{Code, Status};

    use super::*;

    fn orphan(recipient: i64) -> Orphan {
        Orphan {
            relay: 1,
            relay_id: "7".to_owned(),
            recipient,
            reference: None,
            status: Status::Delivered,
            code: Code::OkDelivered,
            at: Timestamp(0),
            raw: Vec::new(),
        }
    }

    #[test]
    fn each_is_kept_once_and_given_out_once() {
        let mut orphans = Orphans::default();
        for seq in [1, 2, 1] {
            orphans.keep(seq, orphan(5));
        }
        assert_eq!((orphans.take(1, 6).len(), orphans.take(2, 5).len()), (0, 0));
        assert_eq!(orphans.take(1, 5).iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [1, 2]);
        assert!(orphans.is_empty() && orphans.take(1, 5).is_empty());
    }

    #[test]
    fn strangers_leave_room_for_the_next() {
        let begin = Timestamp::from_millis(1_800_000_000_000);
        let mut orphans = Orphans::default();
        for n in 0..MOST as i64 + 10 {
            orphans.keep(first_id_at(begin) + n, orphan(n));
        }
        let later = begin.plus(KEPT_FOR + Duration::from_secs(60));
        orphans.keep(first_id_at(later), orphan(-1));
        assert!(orphans.is_half_full() && orphans.take(1, -1).is_empty(), "there is no room");
        orphans.forget_old(later);
        assert!(orphans.is_empty());
        orphans.keep(first_id_at(later), orphan(-1));
        assert_eq!(orphans.take(1, -1).len(), 1);
    }
}
