//! Waits between connects: doubling with full jitter, from an injected seed.

use std::time::Duration;

/// The waits of one bind.
pub(super) struct Backoff {
    random: u64,
    base: Duration,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Backoff {
        Backoff { random: seed, base: Duration::ZERO }
    }

    /// Starts again from the shortest wait.
    pub(super) fn reset(&mut self) {
        self.base = Duration::ZERO;
    }

    /// The next wait: anything from zero to a base that doubles from `min` to `max`, so that binds cut together do not
    /// come back together.
    pub(super) fn next(&mut self, min: Duration, max: Duration) -> Duration {
        self.base = (self.base * 2).clamp(min, max.max(min));
        self.base.mul_f64(self.fraction())
    }

    /// SplitMix64, good enough to spread waits.
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(200);
    const MAX: Duration = Duration::from_secs(10);

    #[test]
    fn waits_stay_under_a_doubling_base() {
        let mut backoff = Backoff::new(7);
        let mut ceiling = MIN;
        let mut spread = Vec::new();
        for _ in 0..20 {
            let wait = backoff.next(MIN, MAX);
            assert!(wait <= ceiling);
            spread.push(wait);
            ceiling = (ceiling * 2).min(MAX);
        }
        spread.sort_unstable();
        spread.dedup();
        assert_eq!(spread.len(), 20);
        backoff.reset();
        assert!(backoff.next(MIN, MAX) <= MIN);
    }
}
