//! `cargo xtask kill --cluster`: load on several processes over one database, while processes and engines are killed, frozen
//! and emptied; then the books, the callers and the relays must agree.

mod load;
mod pairs;
mod plan;
mod probe;
mod run;
mod verdict;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::Outcome;
use crate::build::{self, Profile, Programs};
use crate::cluster::take_down;
use crate::world::scratch;

pub use plan::Phase;

/// What Redis does during a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Redis {
    /// It serves.
    #[default]
    Up,
    /// It forgets everything, every second.
    Flush,
    /// It is killed before anything starts.
    Dead,
}

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// The same seed gives the same plan.
    pub seed: u64,
    /// Parts of the run, in order.
    pub phases: Vec<Phase>,
    /// Messages a second.
    pub rate: f64,
    /// What Redis does.
    pub redis: Redis,
    /// Use the build of `cargo test` instead of an optimised one.
    pub dev: bool,
    /// Keep the folder even when nothing is wrong.
    pub keep: bool,
}

/// The run of `cargo xtask test`, all in one world.
const SHORT: [Phase; 4] = [Phase::Kills(10), Phase::Pauses(1), Phase::Engines(1), Phase::Pairs(200)];
/// Messages a second of that run: what an unoptimised build on two cores takes beside everything else.
const SHORT_RATE: f64 = 200.0;

impl Options {
    /// Everything once, with the build of `cargo test`.
    pub fn short(seed: u64) -> Self {
        Self { seed, phases: SHORT.into(), rate: SHORT_RATE, redis: Redis::Up, dev: true, keep: false }
    }

    /// The word in the report and in the name of the folder.
    fn mode(&self) -> String {
        let phases = self.phases.iter().map(|phase| match phase {
            Phase::Kills(_) => "kill",
            Phase::Pauses(_) => "pause",
            Phase::Engines(_) => "engines",
            Phase::Pairs(_) => "pairs",
        });
        let redis = match self.redis {
            Redis::Up => None,
            Redis::Flush => Some("redis-flush"),
            Redis::Dead => Some("redis-dead"),
        };
        let words: Vec<&str> = std::iter::once("cluster").chain(phases).chain(redis).collect();
        words.join("+")
    }

    fn cycles(&self) -> u32 {
        let counts = self.phases.iter().map(|phase| match *phase {
            Phase::Kills(count) | Phase::Pauses(count) | Phase::Engines(count) | Phase::Pairs(count) => count,
        });
        counts.sum()
    }
}

/// Builds, runs, judges. The folder of a bad run stays, with the database in it.
pub async fn play(options: &Options) -> Result<Outcome> {
    if options.redis == Redis::Dead && options.phases.iter().any(|phase| matches!(phase, Phase::Engines(_))) {
        bail!("--engines kills Redis again and again, so it cannot be dead before");
    }
    let programs = build::programs(if options.dev { Profile::Dev } else { Profile::Release })?;
    let directory = scratch(&build::target()?, &format!("{}-{}", options.mode(), options.seed))?;
    let played = play_in(options, &programs, &directory).await;
    let clean = played.as_ref().is_ok_and(|outcome| outcome.clean);
    // The processes are gone; an audit by hand needs the data only.
    let down = take_down(&directory, !clean || options.keep).await;
    let outcome = played.with_context(|| format!("kill run in {}", directory.display()))?;
    down.context("taking the services down")?;
    Ok(outcome)
}

/// Takes down what a run of this process has left because it was interrupted.
pub async fn leave_nothing() -> Result<()> {
    let worlds = build::target()?.join("worlds");
    let own = format!("-{}", std::process::id());
    for entry in std::fs::read_dir(&worlds).into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        if name.to_string_lossy().ends_with(&own) && path.join("services").is_dir() {
            take_down(&path, false).await?;
            std::fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

async fn play_in(options: &Options, programs: &Programs, directory: &Path) -> Result<Outcome> {
    let begin = Instant::now();
    let counted = run::run(options, programs, directory).await?;
    let violations = counted.violations();
    for violation in &violations {
        eprintln!("VIOLATION: {violation}");
    }
    let cluster = json!({
        "ratePerS": options.rate,
        "processes": counted.nodes,
        "load": counted.loads.iter().map(|(name, load)| ((*name).to_owned(), json!(load))).collect::<serde_json::Map<_, _>>(),
        "outages": counted.probes,
        "pairs": counted.pairs.iter().map(|(same, pairs)| ((*same).to_owned(), json!(pairs))).collect::<serde_json::Map<_, _>>(),
        "finalAfterS": counted.final_after.as_secs_f64().round(),
    });
    let document: Value = json!({
        "cycles": options.cycles(),
        "seed": options.seed,
        "mode": options.mode(),
        "acked": counted.acked,
        "audit": counted.audit,
        "sim": counted.sim,
        "cluster": cluster,
        "violations": violations,
        "seconds": (begin.elapsed().as_secs_f64() * 10.0).round() / 10.0,
    });
    Ok(Outcome { document, clean: violations.is_empty(), directory: PathBuf::from(directory) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_names_its_parts() {
        let options = Options {
            seed: 1,
            phases: vec![Phase::Kills(10), Phase::Pairs(200)],
            rate: 100.0,
            redis: Redis::Flush,
            dev: true,
            keep: false,
        };
        assert_eq!(options.mode(), "cluster+kill+pairs+redis-flush");
        assert_eq!(options.cycles(), 210);
    }
}
