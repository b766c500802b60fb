//! `cargo xtask test`: everything that must hold, from one command, with a line for each step and a table at the end.

mod tally;

use std::io::{BufRead, BufReader, Write as _};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;

use crate::{build, check, kill, peers};
use tally::{Step, Tally};

/// What to leave out while working on something.
#[derive(Debug, Args)]
pub struct Options {
    /// Leave the kill runs out.
    #[arg(long)]
    no_kill: bool,
}

/// The kill runs of a test: cycles, power cut, pause.
const KILLS: [(&str, u32, bool, bool); 3] =
    [("kill -9", 10, false, false), ("power cut", 4, true, false), ("pause", 2, false, true)];
const KILL_SEED: u64 = 20;

/// Runs all steps, also after one has failed; the last line is `N passed, M failed`.
pub async fn run(options: &Options) -> Result<ExitCode> {
    let mut steps = vec![timed("check", check_step)];
    let peers = timed("peers", peers_step);
    let have_peers = peers.tally.failed == 0;
    steps.push(peers);
    steps.push(timed("cargo test", || cargo_test(have_peers)));
    if !options.no_kill {
        for (name, cycles, power_cut, pause) in KILLS {
            steps.push(kill_step(name, cycles, power_cut, pause).await);
        }
    }
    println!("\n{}", tally::table(&steps));
    let total = tally::total(&steps);
    // The line by which a run is judged from outside; nothing follows it.
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn timed(name: &str, work: impl FnOnce() -> Result<Tally>) -> Step {
    begin(name);
    let start = Instant::now();
    let outcome = work();
    end(name, start.elapsed(), outcome)
}

fn begin(name: &str) {
    println!("==> {name}");
    // Progress that is seen late is none.
    let _ = std::io::stdout().flush();
}

fn end(name: &str, took: Duration, outcome: Result<Tally>) -> Step {
    let tally = outcome.unwrap_or_else(|error| {
        println!("{name}: {error:#}");
        Tally { passed: 0, failed: 1 }
    });
    println!("<== {name}: {} passed, {} failed in {:.1} s", tally.passed, tally.failed, took.as_secs_f64());
    Step { name: name.to_owned(), tally, took }
}

fn check_step() -> Result<Tally> {
    let problems = check::problems()?;
    for problem in &problems {
        println!("check: {problem}");
    }
    Ok(Tally { passed: u64::from(problems.is_empty()), failed: problems.len() as u64 })
}

/// Without peers the scenarios that need them would pass by doing nothing, so in CI that is a failure.
fn peers_step() -> Result<Tally> {
    match peers::install() {
        Ok(directory) => {
            println!("peers in {}", directory.display());
            Ok(Tally { passed: 1, failed: 0 })
        }
        Err(error) if std::env::var_os("CI").is_some() => Err(error),
        Err(error) => {
            println!("!!! peers are missing, interop is NOT tested: {error:#}");
            Ok(Tally::default())
        }
    }
}

fn cargo_test(have_peers: bool) -> Result<Tally> {
    let mut command = build::cargo(&["test", "--workspace", "--no-fail-fast"]);
    if have_peers {
        command.env("BONGSU_PEERS", build::target()?.join("peers"));
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot run cargo test")?;
    let mut tally = Tally::default();
    let stdout = child.stdout.take().context("stdout was asked for")?;
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        tally.read(&line);
        if tally::is_worth_showing(&line) {
            println!("{line}");
        }
    }
    let status = child.wait()?;
    if !status.success() && tally.failed == 0 {
        // A test program that does not compile, or dies, reports no failure of its own.
        tally.failed += 1;
        println!("cargo test ended with {status}");
    }
    Ok(tally)
}

async fn kill_step(name: &str, cycles: u32, power_cut: bool, pause: bool) -> Step {
    let name = format!("kill: {cycles} × {name}");
    begin(&name);
    let start = Instant::now();
    let options =
        kill::Options { cycles, seed: KILL_SEED, power_cut, pause, json: true, dev: true, script: None, keep: false };
    let outcome = kill::play(&options).await.map(|outcome| {
        println!("{}", outcome.document["audit"]);
        if outcome.clean {
            // Best effort: what stays behind lies below the build directory.
            let _ = std::fs::remove_dir_all(&outcome.directory);
        } else {
            println!("audit not clean; data and logs: {}", outcome.directory.display());
        }
        Tally { passed: u64::from(outcome.clean), failed: u64::from(!outcome.clean) }
    });
    end(&name, start.elapsed(), outcome)
}
