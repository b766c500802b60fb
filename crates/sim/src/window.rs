//! Counts events in the last second, and the most that any second ever held.

use std::collections::VecDeque;

const SECOND_US: u64 = 1_000_000;

/// A true sliding window: (now − 1 s, now].
#[derive(Default)]
pub(crate) struct SlidingSecond {
    /// (microseconds, events); events of one microsecond share an entry.
    entries: VecDeque<(u64, u32)>,
    count: u64,
    most: u64,
}

impl SlidingSecond {
    /// Events in the second that ends at `now_us`.
    pub(crate) fn count(&mut self, now_us: u64) -> u64 {
        while let Some((at, events)) = self.entries.front().copied() {
            if at + SECOND_US > now_us {
                break;
            }
            self.entries.pop_front();
            self.count -= u64::from(events);
        }
        self.count
    }

    /// One event; time does not run backwards.
    pub(crate) fn add(&mut self, now_us: u64) {
        self.count(now_us);
        match self.entries.back_mut() {
            Some((at, events)) if *at == now_us => *events += 1,
            _ => self.entries.push_back((now_us, 1)),
        }
        self.count += 1;
        self.most = self.most.max(self.count);
    }

    /// The most events that any second held.
    pub(crate) fn most(&self) -> u64 {
        self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_that_straddles_two_calendar_seconds_is_seen() {
        let mut window = SlidingSecond::default();
        for at in [900_000, 950_000, 1_050_000, 1_899_999] {
            window.add(at);
        }
        assert_eq!(window.most(), 4);
        window.add(1_900_000);
        assert_eq!((window.most(), window.count(1_900_000)), (4, 4));
        assert_eq!(window.count(10_000_000), 0);
    }

    #[test]
    fn an_even_pace_is_counted_exactly() {
        let mut window = SlidingSecond::default();
        for n in 0..1_000 {
            window.add(n * 10_000);
        }
        assert_eq!(window.most(), 100);
    }
}
