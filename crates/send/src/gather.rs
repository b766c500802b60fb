//! How long results gather before a round over a database, where each round costs round trips, whatever its size.

use std::time::Duration;

/// The longest with one dispatcher.
const ALONE: Duration = Duration::from_millis(20);
/// The longest with several.
const TOGETHER: Duration = Duration::from_millis(100);
/// The shortest, while little comes: a process that dies forgets what it has not stored.
const LEAST: Duration = Duration::from_millis(10);
/// For each result of the last round: above 2,500 results a second longer and longer, below shorter and shorter.
const FOR_EACH: Duration = Duration::from_micros(400);

/// The longer the more came in the last round, and longest with several dispatchers, of which each hears its part only, so that
/// a round costs the database as little as with one.
pub fn time(last: usize, dispatchers: u16) -> Duration {
    let most = (ALONE * (2 * u32::from(dispatchers)).saturating_sub(1)).clamp(LEAST, TOGETHER);
    (FOR_EACH * u32::try_from(last).unwrap_or(u32::MAX).min(1_000)).clamp(LEAST, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the time settles at so many results a second.
    fn settles(a_second: f64, dispatchers: u16) -> u128 {
        let mut last = 0;
        for _ in 0..100 {
            last = (a_second * time(last, dispatchers).as_secs_f64()) as usize;
        }
        time(last, dispatchers).as_millis()
    }

    #[test]
    fn results_are_stored_soon_while_few_come_and_together_when_many_do() {
        for (a_second, dispatchers, ms) in [
            (0.0, 1, 10),
            (2_000.0, 2, 10),
            (4_000.0, 1, 20),
            (20_000.0, 1, 20),
            (4_000.0, 2, 60),
            (20_000.0, 2, 60),
            (20_000.0, 9, 100),
            (1e9, 0, 10),
        ] {
            assert_eq!(settles(a_second, dispatchers), ms, "{a_second}/s, {dispatchers}");
        }
    }
}
