//! One round of settling: what it writes, in which pieces, and what follows once it is written.

use bongsu_relay::Ack;
use bongsu_store::changes::Change;

use crate::metrics::Finished;
use crate::receipts::Unmatched;

/// What a round of settling produced.
#[derive(Default)]
pub struct Round {
    /// To be written, in order.
    pub changes: Vec<Change>,
    /// Where the changes of one event end: those of one are never parted, so that a crash leaves all or none of them.
    pub(crate) cuts: Vec<usize>,
    /// To be confirmed after the commit.
    pub acks: Vec<Ack>,
    /// Who finished, one for each [`Change::Final`], in order.
    pub finished: Vec<Finished>,
    /// Receipts that memory does not know.
    pub unmatched: Vec<Unmatched>,
    /// Relays and recipients of attempts that became unknown: kept receipts are matched again once this round is written.
    pub again: Vec<(u8, i64)>,
    /// Something is due at once.
    pub urgent: bool,
}

impl Round {
    /// The changes so far belong together.
    pub fn cut(&mut self) {
        if self.cuts.last().copied().unwrap_or(0) < self.changes.len() {
            self.cuts.push(self.changes.len());
        }
    }

    /// The changes in units of about so many, cut only between events, and what may only be written once all units are.
    ///
    /// Each unit stands or falls for itself: one may be refused while another is written. A claim that is done must not be
    /// gone while results of its messages are not there yet: after a crash nobody would look for them.
    pub(crate) fn units(&mut self, most: usize) -> (Vec<Vec<Change>>, Vec<Change>) {
        let mut units = self.parted(most);
        if units.len() < 2 {
            return (units, Vec::new());
        }
        let is_done = |change: &mut Change| matches!(change, Change::ClaimDone(_));
        let done = units.iter_mut().flat_map(|unit| unit.extract_if(.., is_done).collect::<Vec<_>>()).collect();
        (units, done)
    }

    fn parted(&mut self, most: usize) -> Vec<Vec<Change>> {
        self.cut();
        let mut chunks: Vec<Vec<Change>> = Vec::new();
        let mut changes = std::mem::take(&mut self.changes).into_iter();
        let mut from = 0;
        for to in std::mem::take(&mut self.cuts) {
            let event = changes.by_ref().take(to - from);
            match chunks.last_mut() {
                Some(chunk) if chunk.len() + (to - from) <= most => chunk.extend(event),
                _ => chunks.push(event.collect()),
            }
            from = to;
        }
        chunks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events of two changes each; every third ends a claim as well.
    fn round(events: i64) -> Round {
        let mut round = Round::default();
        for event in 0..events {
            round.changes.extend([Change::NotDue(event), Change::OrphanDone(event)]);
            round.changes.extend((event % 3 == 2).then_some(Change::ClaimDone(event)));
            round.cut();
        }
        round
    }

    #[test]
    fn a_claim_is_done_with_its_results_or_after_them() {
        let (units, then) = round(6).units(100);
        assert_eq!((units.len(), units[0].len(), then.len()), (1, 14, 0), "one unit is written whole or not at all");
        let (units, then) = round(6).units(5);
        let written: Vec<&Change> = units.iter().flatten().collect();
        assert!(units.len() > 1 && written.len() == 12);
        assert!(written.iter().all(|change| !matches!(change, Change::ClaimDone(_))), "{units:?}");
        assert!(matches!(then[..], [Change::ClaimDone(2), Change::ClaimDone(5)]), "{then:?}");
        assert!(round(0).units(5).0.is_empty());
    }

    #[test]
    fn the_changes_of_an_event_are_never_parted() {
        let (units, _) = round(50).units(5);
        for unit in &units {
            assert!(matches!(unit.first(), Some(Change::NotDue(_))), "{unit:?}");
            assert!(matches!(unit.last(), Some(Change::OrphanDone(_))), "{unit:?}");
        }
    }
}
