//! Counts events in the last second, the most that any second ever held, and how often a rate was exceeded.

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

    /// One event; tells how many the second that ends with it holds. Sessions take the time before they wait for each
    /// other, so an event may be older than the one before it: it counts as of the same microsecond.
    pub(crate) fn add(&mut self, now_us: u64) -> u64 {
        let now_us = self.entries.back().map_or(now_us, |(last, _)| now_us.max(*last));
        self.count(now_us);
        match self.entries.back_mut() {
            Some((at, events)) if *at == now_us => *events += 1,
            _ => self.entries.push_back((now_us, 1)),
        }
        self.count += 1;
        self.most = self.most.max(self.count);
        self.count
    }

    /// The most events that any second held.
    pub(crate) fn most(&self) -> u64 {
        self.most
    }
}

/// Everything that arrives at a relay, over all its sessions, against the rate that it was promised.
#[derive(Default)]
pub(crate) struct Arrivals {
    window: SlidingSecond,
    /// Arrivals that made their second hold more than the limit.
    pub(crate) over: u64,
    /// By how many the fullest second was beyond the limit of its time.
    pub(crate) worst_excess: u64,
}

impl Arrivals {
    /// One arrival; without a limit nothing is over it.
    pub(crate) fn add(&mut self, now_us: u64, limit: Option<u32>) {
        let count = self.window.add(now_us);
        let excess = limit.map_or(0, |limit| count.saturating_sub(limit.into()));
        self.over += u64::from(excess > 0);
        self.worst_excess = self.worst_excess.max(excess);
    }

    /// The most arrivals that any second held.
    pub(crate) fn most(&self) -> u64 {
        self.window.most()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{Hash, draw};

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

    #[test]
    fn random_arrivals_are_counted_as_by_looking_at_every_second() {
        for seed in 0..20 {
            let draw = |n| draw(Hash::new(seed).number(n).finish(), 1);
            let mut at = 0;
            let times: Vec<u64> = (0..600)
                .map(|n| {
                    // Bursts, single steps of a microsecond, and pauses of up to a second and a half.
                    at += [0, 1, 2_000, 999_999, 1_000_000, (draw(n) * 1_500_000.0) as u64]
                        [(draw(n + 1_000) * 6.0) as usize];
                    at
                })
                .collect();
            let mut window = SlidingSecond::default();
            let mut most = 0;
            for (index, end) in times.iter().enumerate() {
                let expected = times[..=index].iter().filter(|at| *at + SECOND_US > *end).count() as u64;
                assert_eq!(window.add(*end), expected, "seed {seed}, arrival {index}");
                most = most.max(expected);
            }
            assert_eq!(window.most(), most);
        }
    }

    #[test]
    fn an_arrival_older_than_the_last_one_counts_with_it() {
        let mut window = SlidingSecond::default();
        assert_eq!([5_000_000, 4_999_000, 5_999_999, 6_000_000].map(|at| window.add(at)), [1, 2, 3, 2]);
    }

    #[test]
    fn what_is_over_a_rate() {
        let ms = |times: &[u64]| times.iter().map(|ms| ms * 1_000).collect::<Vec<_>>();
        let cases = [
            ("at the limit", Some(3), ms(&[0, 400, 800, 1_000, 1_400]), (3, 0, 0)),
            ("one more within the second", Some(3), ms(&[0, 400, 800, 999, 1_400]), (4, 1, 1)),
            ("a burst", Some(2), ms(&[0, 0, 0, 0, 0, 5_000]), (5, 3, 3)),
            ("two bursts, the second is smaller", Some(2), ms(&[0, 0, 0, 0, 2_000, 2_000, 2_000]), (4, 3, 2)),
            ("two calendar seconds", Some(2), ms(&[900, 950, 1_050, 1_100]), (4, 2, 2)),
            ("without a limit", None, ms(&[0, 0, 0]), (3, 0, 0)),
        ];
        for (what, limit, times, expected) in cases {
            let mut arrivals = Arrivals::default();
            for at in times {
                arrivals.add(at, limit);
            }
            assert_eq!((arrivals.most(), arrivals.over, arrivals.worst_excess), expected, "{what}");
        }
    }

    #[test]
    fn the_limit_of_the_moment_counts() {
        let mut arrivals = Arrivals::default();
        for limit in [Some(1), None, Some(2), Some(9)] {
            arrivals.add(7, limit);
        }
        assert_eq!((arrivals.most(), arrivals.over, arrivals.worst_excess), (4, 1, 1));
    }
}
