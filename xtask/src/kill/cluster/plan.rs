//! The plan of a run over a cluster: what breaks when, from the seed alone.

use std::time::Duration;

use crate::random::Random;

/// From one kill to the next.
const KILL_EVERY: Duration = Duration::from_secs(2);
/// After a pause, so that the others give back what they took over and the woken one starts again.
const AFTER_PAUSE: Duration = Duration::from_secs(3);
/// How long an engine is away: shorter and longer than a lease.
const AWAY_MS: (u64, u64) = (500, 7_000);
/// After an engine is back.
const AFTER_ENGINE: Duration = Duration::from_secs(4);
/// The load runs undisturbed before the first and after the last event.
const QUIET: Duration = Duration::from_secs(3);

/// A part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// One of the processes is killed every 2 s.
    Kills(u32),
    /// One of the processes is frozen for twice its lease.
    Pauses(u32),
    /// The database is killed and started, then the cache is killed, started and emptied.
    Engines(u32),
    /// Identical requests at two servers at once.
    Pairs(u32),
}

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// `kill -9` of this process.
    Kill { node: usize },
    /// SIGSTOP, and SIGCONT after this time.
    Pause { node: usize, frozen: Duration },
    /// The database is killed and started after this time.
    Database { away: Duration },
    /// The cache is killed, started after this time, and emptied.
    Cache { away: Duration },
    /// This many pairs.
    Pairs { count: u32 },
}

/// An event and the time that passes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub wait: Duration,
    pub event: Event,
}

/// All steps of a run over `nodes` processes with this lease.
pub fn steps(seed: u64, phases: &[Phase], nodes: usize, lease: Duration) -> Vec<Step> {
    let mut random = Random::new(seed);
    let mut steps = Vec::new();
    for phase in phases {
        let mut wait = QUIET;
        match *phase {
            Phase::Kills(count) => {
                for _ in 0..count {
                    steps.push(Step { wait, event: Event::Kill { node: one_of(&mut random, nodes) } });
                    wait = KILL_EVERY;
                }
            }
            Phase::Pauses(count) => {
                for _ in 0..count {
                    let event = Event::Pause { node: one_of(&mut random, nodes), frozen: lease * 2 };
                    steps.push(Step { wait, event });
                    wait = AFTER_PAUSE;
                }
            }
            Phase::Engines(count) => {
                for _ in 0..count {
                    steps.push(Step { wait, event: Event::Database { away: away(&mut random) } });
                    wait = AFTER_ENGINE;
                    steps.push(Step { wait, event: Event::Cache { away: away(&mut random) } });
                }
            }
            Phase::Pairs(count) => steps.push(Step { wait, event: Event::Pairs { count } }),
        }
    }
    steps
}

/// How long the load lasts beyond the last event.
pub const AFTER_LAST: Duration = QUIET;

fn one_of(random: &mut Random, nodes: usize) -> usize {
    random.between(1, nodes.max(1) as u64) as usize - 1
}

fn away(random: &mut Random) -> Duration {
    Duration::from_millis(random.between(AWAY_MS.0, AWAY_MS.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(5);

    #[test]
    fn a_seed_gives_one_plan_and_reaches_every_process() {
        let plan = steps(7, &[Phase::Kills(100)], 5, LEASE);
        assert_eq!(plan, steps(7, &[Phase::Kills(100)], 5, LEASE));
        assert_ne!(plan, steps(8, &[Phase::Kills(100)], 5, LEASE));
        assert_eq!(plan.len(), 100);
        for node in 0..5 {
            assert!(plan.iter().any(|step| step.event == Event::Kill { node }), "{node}");
        }
        assert!(plan[1..].iter().all(|step| step.wait == Duration::from_secs(2)));
    }

    #[test]
    fn a_pause_is_twice_the_lease() {
        let plan = steps(1, &[Phase::Pauses(20)], 5, LEASE);
        assert!(plan.iter().all(|step| matches!(step.event, Event::Pause { frozen, .. } if frozen == LEASE * 2)));
    }

    #[test]
    fn engines_are_away_for_less_and_for_more_than_a_lease() {
        let away: Vec<Duration> = steps(1, &[Phase::Engines(20)], 5, LEASE)
            .iter()
            .filter_map(|step| match step.event {
                Event::Database { away } => Some(away),
                _ => None,
            })
            .collect();
        assert_eq!(away.len(), 20);
        assert!(away.iter().any(|away| *away < LEASE) && away.iter().any(|away| *away > LEASE));
    }

    #[test]
    fn phases_follow_each_other() {
        let plan = steps(1, &[Phase::Kills(2), Phase::Pairs(9), Phase::Engines(1)], 5, LEASE);
        assert_eq!(plan.len(), 5);
        assert_eq!(plan[2].event, Event::Pairs { count: 9 });
        assert!(matches!(plan[4].event, Event::Cache { .. }));
    }
}
