//! `cargo xtask kill`: load, kill, restart, again and again; then the audit says whether anything was lost.

pub mod cluster;
mod cycle;
pub mod group;
mod plan;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::build::{self, Profile, Programs};
use crate::powercut;
use crate::process::{INTERRUPTED, interrupted};
use crate::world::{Relay, Server, ServerOptions, Setup, Sim, scratch, set_up};
use cycle::Field;
use plan::Mode;

/// How long the audit waits for the last result.
const AUDIT_WAIT_S: u32 = 300;
/// Relays of a kill run behave badly on purpose: bad results, lost responses, receipts twice and too early.
const SCRIPT: &str = include_str!("script.json");

/// What to break and how often.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Kills; 10, and over a cluster 100 kills, 20 pauses or 5 restarts of each engine.
    #[arg(long)]
    pub cycles: Option<u32>,
    /// The same seed gives the same plan.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// A kill forgets every write since the last fdatasync.
    #[arg(long)]
    pub power_cut: bool,
    /// Freeze the server past its claims' deadline instead of killing it.
    #[arg(long)]
    pub pause: bool,
    /// Five processes over one MariaDB and one Redis, under load at a rate, instead of one process over files.
    #[arg(long, conflicts_with_all = ["power_cut", "script"])]
    pub cluster: bool,
    /// With --cluster: kill and start MariaDB, and kill, start and empty Redis, instead of processes.
    #[arg(long, requires = "cluster", conflicts_with = "pause")]
    pub engines: bool,
    /// With --cluster: this many pairs of identical requests at two servers at once; no kills unless --cycles asks for them.
    #[arg(long, requires = "cluster", value_name = "COUNT")]
    pub pairs: Option<u32>,
    /// With --cluster: the run of `cargo xtask test`: ten kills, a pause, a restart of each engine and 200 pairs in one world.
    #[arg(long, requires = "cluster", conflicts_with_all = ["cycles", "pause", "engines", "pairs", "redis", "rate"])]
    pub short: bool,
    /// With --cluster: what Redis does meanwhile.
    #[arg(long, requires = "cluster", value_enum, default_value = "up")]
    pub redis: cluster::Redis,
    /// With --cluster: messages a second.
    #[arg(long, requires = "cluster", default_value_t = 1_000.0)]
    pub rate: f64,
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
    /// Use the build of `cargo test` instead of an optimised one.
    #[arg(long)]
    pub dev: bool,
    /// Behaviour of the simulated relays, instead of the built-in one.
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// Keep the data directory even when the audit is clean.
    #[arg(long)]
    pub keep: bool,
}

/// Kills when no number is named.
const CYCLES: u32 = 10;

impl Options {
    fn mode(&self) -> Mode {
        Mode { power_cut: self.power_cut, pause: self.pause }
    }

    /// What a run over a cluster does.
    fn cluster(&self) -> cluster::Options {
        if self.short {
            return cluster::Options { keep: self.keep, ..cluster::Options::short(self.seed) };
        }
        let mut phases = Vec::new();
        if self.engines {
            phases.push(cluster::Phase::Engines(self.cycles.unwrap_or(5)));
        } else if self.pause {
            phases.push(cluster::Phase::Pauses(self.cycles.unwrap_or(20)));
        } else if self.pairs.is_none() || self.cycles.is_some() {
            phases.push(cluster::Phase::Kills(self.cycles.unwrap_or(100)));
        }
        phases.extend(self.pairs.map(cluster::Phase::Pairs));
        let (seed, rate, redis, dev, keep) = (self.seed, self.rate, self.redis, self.dev, self.keep);
        cluster::Options { seed, phases, rate, redis, dev, keep }
    }
}

/// What a run found.
#[derive(Debug)]
pub struct Outcome {
    /// The document of `interfaces.md`.
    pub document: Value,
    /// True when the audit is clean.
    pub clean: bool,
    /// Where data and logs are.
    pub directory: PathBuf,
}

/// Runs and prints.
pub async fn run(options: Options) -> Result<ExitCode> {
    let outcome = if options.cluster {
        ensure!(options.rate > 0.0, "--rate is above 0");
        let asked_for = options.cluster();
        tokio::select! {
            outcome = cluster::play(&asked_for) => outcome?,
            asked = interrupted() => {
                asked?;
                eprintln!("\ninterrupted; stopping …");
                cluster::leave_nothing().await?;
                return Ok(ExitCode::from(INTERRUPTED));
            }
        }
    } else {
        play(&options).await?
    };
    if options.json {
        println!("{}", outcome.document);
    } else {
        println!("{:#}", outcome.document);
    }
    eprintln!("{}", if outcome.clean { "audit clean" } else { "NOT CLEAN" });
    if outcome.clean && !options.keep {
        std::fs::remove_dir_all(&outcome.directory).context("cannot remove the scratch directory")?;
    } else {
        eprintln!("data and logs: {}", outcome.directory.display());
    }
    Ok(if outcome.clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds, runs all cycles and audits.
pub async fn play(options: &Options) -> Result<Outcome> {
    let programs = build::programs(if options.dev { Profile::Dev } else { Profile::Release })?;
    let target = build::target()?;
    let directory = scratch(&target, &format!("kill-{}-{}", options.mode().name(), options.seed))?;
    let played = play_in(options, &programs, &target, &directory).await;
    played.with_context(|| format!("kill run in {}", directory.display()))
}

async fn play_in(options: &Options, programs: &Programs, target: &Path, directory: &Path) -> Result<Outcome> {
    let begin = Instant::now();
    let script = directory.join("script.json");
    match &options.script {
        Some(file) => {
            std::fs::copy(file, &script).map(drop).with_context(|| format!("cannot read {}", file.display()))?
        }
        None => std::fs::write(&script, SCRIPT)?,
    }
    let names = [("kt", None), ("skt", None), ("lgu", None)];
    let log = directory.join("sim.log");
    let mut sim = Sim::start(&programs.bongsu, &names, options.seed, Some(&script), &log).await?;
    let plain = server_options(programs, directory);
    std::fs::create_dir_all(&plain.data)?;

    let relay = Relay { rate_per_s: 50_000, window: 200, binds: 2 };
    let mut setup = Setup::usual(&sim.relays, relay, "kill");
    setup.requests_per_s = Some(1_000_000);
    let first = Server::start(&plain).await?;
    let mut members = set_up(&first.operator()?, &setup).await?;
    first.stop().await.context("the stop after the set-up")?;

    let mut broken = plain.clone();
    if options.power_cut {
        let library = powercut::library(&target.join("powercut"))?;
        broken.environment.insert("LD_PRELOAD".into(), library.display().to_string());
        broken.environment.insert("POWERCUT_DIR".into(), plain.data.display().to_string());
    }
    let mut field = Field {
        programs: programs.clone(),
        options: broken,
        member: members.pop().context("one account was asked for")?,
        acked: directory.join("acked"),
        log: directory.join("loadgen.log"),
        ordinal: 0,
        seed: options.seed,
    };
    std::fs::write(&field.acked, "")?;
    let cycles = options.cycles.unwrap_or(CYCLES);
    for (number, cycle) in plan::cycles(options.seed, cycles, options.mode()).iter().enumerate() {
        let line = field.play(cycle).await.with_context(|| format!("cycle {} ({cycle:?})", number + 1))?;
        eprintln!("cycle {:>3}/{cycles} {line}", number + 1);
    }

    let last = Server::start(&plain).await.context("the start before the audit")?;
    let audit = audit(programs, &plain.data, &field.acked, &sim)?;
    let stats = sim.stats().await?;
    last.stop().await.context("the stop after the audit")?;
    sim.process.kill().await?;
    let acked = std::fs::read_to_string(&field.acked)?.lines().count();
    let document = json!({
        "cycles": cycles,
        "seed": options.seed,
        "mode": options.mode().name(),
        "acked": acked,
        "audit": audit.document,
        "sim": stats,
        "seconds": (begin.elapsed().as_secs_f64() * 10.0).round() / 10.0,
    });
    // A run that never accepted anything has shown nothing.
    Ok(Outcome { document, clean: audit.clean && acked > 0, directory: directory.to_path_buf() })
}

fn server_options(programs: &Programs, directory: &Path) -> ServerOptions {
    let environment = [
        ("BONGSU__SEND__UNKNOWN_WAIT_MS", "5000"),
        ("BONGSU__SEND__RECEIPT_DEADLINE_MS", "60000"),
        ("BONGSU__SEND__CLAIM_DEADLINE_MS", "5000"),
    ];
    ServerOptions {
        bongsu: programs.bongsu.clone(),
        data: directory.join("data"),
        listen: "127.0.0.1:0".into(),
        environment: environment
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
        log: directory.join("server.log"),
    }
}

struct Audit {
    document: Value,
    clean: bool,
}

fn audit(programs: &Programs, data: &Path, acked: &Path, sim: &Sim) -> Result<Audit> {
    let output = Command::new(&programs.bongsu)
        .args(["audit", "--json", "--wait", &AUDIT_WAIT_S.to_string()])
        .arg("--data")
        .arg(data)
        .arg("--acked")
        .arg(acked)
        .args(["--sim", &format!("http://{}", sim.control.address)])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run bongsu audit")?;
    let document = serde_json::from_slice(&output.stdout).with_context(|| {
        format!("bongsu audit ({}) printed no JSON: {}", output.status, String::from_utf8_lossy(&output.stdout))
    })?;
    Ok(Audit { document, clean: output.status.success() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_script_names_the_three_relays() {
        let script: Value = serde_json::from_str(SCRIPT).expect("valid JSON");
        for relay in ["kt", "skt", "lgu"] {
            assert!(script["relays"][relay]["delayMs"].is_array(), "{relay}");
        }
    }
}
