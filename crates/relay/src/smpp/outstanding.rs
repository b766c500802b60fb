//! Requests of one session that have no response yet, found by sequence number without hashing.

use std::collections::VecDeque;

use bongsu_wire::smpp::SEQUENCE_MAX;

/// A window of consecutive sequence numbers; answered ones are holes until everything older is answered.
pub(super) struct Outstanding<T> {
    base: u32,
    slots: VecDeque<Option<T>>,
}

impl<T> Outstanding<T> {
    /// The first request gets the number `first`, which is 1..=0x7FFFFFFF.
    pub(super) fn new(first: u32) -> Outstanding<T> {
        Outstanding { base: first, slots: VecDeque::new() }
    }

    /// The number the next [`Outstanding::push`] gives.
    pub(super) fn next(&self) -> u32 {
        let steps = u32::try_from(self.slots.len()).expect("far fewer than 2^31 requests are open");
        (self.base - 1 + steps) % SEQUENCE_MAX + 1
    }

    pub(super) fn push(&mut self, request: T) -> u32 {
        let sequence = self.next();
        self.slots.push_back(Some(request));
        sequence
    }

    /// The open request with this number, if `fits`.
    pub(super) fn take_if(&mut self, sequence: u32, fits: impl Fn(&T) -> bool) -> Option<T> {
        if !(1..=SEQUENCE_MAX).contains(&sequence) {
            return None;
        }
        let index = (sequence + SEQUENCE_MAX - self.base) % SEQUENCE_MAX;
        let request = self.slots.get_mut(usize::try_from(index).ok()?)?.take_if(|request| fits(request))?;
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.base = self.base % SEQUENCE_MAX + 1;
        }
        Some(request)
    }

    pub(super) fn oldest(&self) -> Option<&T> {
        self.slots.front().and_then(Option::as_ref)
    }

    /// Forgets the newest request, whose number is given again; None when it was answered already.
    pub(super) fn take_back(&mut self) -> Option<T> {
        self.slots.pop_back().flatten()
    }

    /// Every open request, oldest first.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.base = self.next();
        self.slots.drain(..).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_any_order() {
        let mut open = Outstanding::new(2);
        let sequences: Vec<u32> = (0..4).map(|n| open.push(n)).collect();
        assert_eq!(sequences, [2, 3, 4, 5]);
        assert_eq!(open.take_if(4, |_| true), Some(2));
        assert_eq!(open.take_if(4, |_| true), None);
        assert_eq!(open.oldest(), Some(&0));
        assert_eq!(open.take_if(2, |_| false), None);
        assert_eq!(open.take_if(2, |_| true), Some(0));
        assert_eq!(open.oldest(), Some(&1));
        assert_eq!(open.take_if(3, |_| true), Some(1));
        assert_eq!(open.oldest(), Some(&3));
        assert_eq!(open.take_if(0, |_| true), None);
        assert_eq!(open.take_if(0x8000_0001, |_| true), None);
        assert_eq!(open.take_if(6, |_| true), None);
    }

    #[test]
    fn numbers_wrap_to_one() {
        let mut open = Outstanding::new(SEQUENCE_MAX - 1);
        let sequences: Vec<u32> = (0..4).map(|n| open.push(n)).collect();
        assert_eq!(sequences, [SEQUENCE_MAX - 1, SEQUENCE_MAX, 1, 2]);
        assert_eq!(open.take_if(1, |_| true), Some(2));
        assert_eq!(open.take_if(SEQUENCE_MAX - 1, |_| true), Some(0));
        assert_eq!(open.take_if(SEQUENCE_MAX, |_| true), Some(1));
        assert_eq!(open.oldest(), Some(&3));
        assert_eq!(open.next(), 3);
    }

    #[test]
    fn the_newest_can_be_taken_back() {
        let mut open = Outstanding::new(1);
        open.push('a');
        open.push('b');
        assert_eq!(open.take_back(), Some('b'));
        assert_eq!(open.push('c'), 2);
        assert_eq!(open.drain().collect::<Vec<_>>(), ['a', 'c']);
        assert_eq!(open.push('d'), 3);
    }
}
