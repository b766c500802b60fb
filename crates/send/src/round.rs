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

    /// The changes in units of about so many, cut only between events.
    pub(crate) fn chunks(&mut self, most: usize) -> Vec<Vec<Change>> {
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
