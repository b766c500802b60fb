//! The plan of a kill run: what happens in each cycle, from the seed alone.

use std::time::Duration;

use crate::random::Random;

/// Points of the server where a kill hurts most; the server aborts there when told to (`BONGSU_CRASH_AT`).
pub const POINTS: [&str; 5] = ["between-day-and-live", "after-live", "before-results", "before-ack", "after-claim"];
/// Lanes that cycles send in.
const LANES: [&str; 3] = ["auth", "realtime", "bulk"];
/// Of this many cycles one is aimed at a point, the others end at a random moment.
const AIMED_ONE_IN: u64 = 3;
/// A claim lasts 5 s in kill runs; a pause is longer.
const PAUSE_MS: (u64, u64) = (5_500, 7_000);

/// Which kind of run it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    /// Writes after the last fdatasync are forgotten.
    pub power_cut: bool,
    /// Freeze instead of kill.
    pub pause: bool,
}

impl Mode {
    /// The word in the JSON.
    pub fn name(self) -> &'static str {
        match (self.power_cut, self.pause) {
            (false, false) => "kill",
            (true, false) => "power-cut",
            (false, true) => "pause",
            (true, true) => "power-cut+pause",
        }
    }
}

/// How a cycle ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// `kill -9` at the end of the load.
    Kill,
    /// The server aborts at the n-th time it comes by a point; `kill -9` when it never does.
    Crash { point: &'static str, nth: u64 },
    /// Frozen in the middle of the load, then continued; killed under power cut, else asked to stop.
    Pause { frozen: Duration },
}

/// One cycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle {
    /// How long the load lasts.
    pub load: Duration,
    /// Messages per request; 1 is a single send.
    pub rows: u64,
    /// Messages a second.
    pub rate: u64,
    /// Lane of the load.
    pub lane: &'static str,
    /// How it ends.
    pub end: End,
}

/// The cycles of a run.
pub fn cycles(seed: u64, count: u32, mode: Mode) -> Vec<Cycle> {
    let mut random = Random::new(seed);
    (0..count).map(|_| cycle(&mut random, mode)).collect()
}

fn cycle(random: &mut Random, mode: Mode) -> Cycle {
    let load = Duration::from_millis(random.between(100, 3_000));
    let (rows, rate) = if random.between(0, 1) == 0 { (1, 2_000) } else { (random.between(2, 1_500), 4_000) };
    let lane = random.one_of(&LANES);
    let aimed = random.between(1, AIMED_ONE_IN) == 1;
    let (point, nth) = (random.one_of(&POINTS), random.between(1, 40));
    let frozen = Duration::from_millis(random.between(PAUSE_MS.0, PAUSE_MS.1));
    let end = match (mode.pause, aimed) {
        (true, _) => End::Pause { frozen },
        (false, true) => End::Crash { point, nth },
        (false, false) => End::Kill,
    };
    Cycle { load, rows, rate, lane, end }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KILL: Mode = Mode { power_cut: false, pause: false };

    #[test]
    fn a_seed_gives_one_plan() {
        assert_eq!(cycles(7, 50, KILL), cycles(7, 50, KILL));
        assert_ne!(cycles(7, 50, KILL), cycles(8, 50, KILL));
        assert_eq!(cycles(7, 50, KILL)[..10], cycles(7, 10, KILL), "a shorter run is the start of a longer one");
    }

    #[test]
    fn a_long_plan_has_everything() {
        let plan = cycles(1, 200, KILL);
        for point in POINTS {
            assert!(plan.iter().any(|c| matches!(&c.end, End::Crash { point: p, .. } if *p == point)), "{point}");
        }
        for lane in LANES {
            assert!(plan.iter().any(|c| c.lane == lane), "{lane}");
        }
        assert!(plan.iter().filter(|c| c.end == End::Kill).count() > 100);
        assert!(plan.iter().any(|c| c.rows == 1) && plan.iter().any(|c| c.rows > 500));
        assert!(plan.iter().all(|c| (100..=3_000).contains(&c.load.as_millis())));
    }

    #[test]
    fn a_pause_outlasts_the_claims() {
        let plan = cycles(1, 20, Mode { power_cut: false, pause: true });
        assert!(plan.iter().all(|c| matches!(c.end, End::Pause { frozen } if frozen > Duration::from_secs(5))));
    }
}
