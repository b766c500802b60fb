//! Receipts that were written and wait for their `deliver_sm_resp`, by sequence number.

use std::collections::VecDeque;

use bongsu_wire::smpp::SEQUENCE_MAX;

use crate::receipt::Receipt;

/// Sequence numbers are given in order, so a queue with gaps is a map.
#[derive(Default)]
pub(super) struct Outstanding {
    first: u32,
    queue: VecDeque<Option<Receipt>>,
}

impl Outstanding {
    pub(super) fn len(&self) -> usize {
        // Gaps count, so that one answer that never comes cannot make the queue grow without limit.
        self.queue.len()
    }

    /// Sequence numbers must come without gaps.
    pub(super) fn push(&mut self, sequence: u32, receipt: Receipt) {
        if self.queue.is_empty() {
            self.first = sequence;
        }
        self.queue.push_back(Some(receipt));
    }

    /// The receipt that a response belongs to.
    pub(super) fn take(&mut self, sequence: u32) -> Option<Receipt> {
        if !(1..=SEQUENCE_MAX).contains(&sequence) {
            return None;
        }
        // Numbers run from 1 to the maximum and then from 1 again.
        let ahead = (u64::from(sequence) + u64::from(SEQUENCE_MAX) - u64::from(self.first)) % u64::from(SEQUENCE_MAX);
        let receipt = self.queue.get_mut(usize::try_from(ahead).ok()?)?.take()?;
        while self.queue.front().is_some_and(Option::is_none) {
            self.queue.pop_front();
            self.first = self.first % SEQUENCE_MAX + 1;
        }
        Some(receipt)
    }

    /// Everything without an answer, oldest first.
    pub(super) fn drain(&mut self) -> Vec<Receipt> {
        std::mem::take(&mut self.queue).into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_find_their_receipts_in_any_order_and_across_the_wrap() {
        let mut outstanding = Outstanding::default();
        for (id, sequence) in [SEQUENCE_MAX - 1, SEQUENCE_MAX, 1, 2].into_iter().enumerate() {
            outstanding.push(sequence, Receipt::sample(id as u64));
        }
        let mut take = |sequence| outstanding.take(sequence).map(|receipt| receipt.id);
        assert_eq!(take(1), Some(2));
        assert_eq!(take(1), None);
        assert_eq!(take(SEQUENCE_MAX - 1), Some(0));
        assert_eq!((take(3), take(0), take(SEQUENCE_MAX - 1)), (None, None, None));
        assert_eq!(take(SEQUENCE_MAX), Some(1));
        assert_eq!(outstanding.len(), 1);
        assert_eq!(outstanding.drain().iter().map(|receipt| receipt.id).collect::<Vec<_>>(), [3]);
        assert_eq!(outstanding.len(), 0);
    }
}
