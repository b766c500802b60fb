//! `cargo xtask test`: everything that must hold, from one command, with a line for each step and a table at the end.

mod tally;

use std::io::Write as _;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::process::{Group, INTERRUPTED, Signal, interrupted};
use crate::services::{self, Running, Which};
use crate::{build, check, contract, kill, peers};
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

/// Runs all steps, also after one has failed; the last line is `N passed, M failed`. What was started for it is stopped
/// at the end, also after Ctrl-C.
pub async fn run(options: &Options) -> Result<ExitCode> {
    let steps = tokio::select! {
        steps = steps(options) => Some(steps),
        asked = interrupted() => {
            asked?;
            eprintln!("\ninterrupted; stopping …");
            kill::cluster::leave_nothing().await?;
            None
        }
    };
    // The steps are gone, and with them their hold on the services.
    let released = services::release().await;
    let Some(mut steps) = steps else {
        released?;
        return Ok(ExitCode::from(INTERRUPTED));
    };
    if let Err(error) = released {
        steps.push(end("services down", Duration::ZERO, Err(error)));
    }
    println!("\n{}", tally::table(&steps));
    let total = tally::total(&steps);
    // The line by which a run is judged from outside; nothing follows it.
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn steps(options: &Options) -> Vec<Step> {
    let mut steps = vec![timed("check", check_step()).await];
    let mut environment = Vec::new();
    steps.push(timed("peers", peers_step(&mut environment)).await);
    let peers = environment.iter().find(|(name, _)| *name == PEERS).and_then(|(_, directory)| directory.clone());
    steps.push(timed("contract", contract_step(peers)).await);
    let mut running = None;
    steps.push(timed("services", services_step(&mut environment, &mut running)).await);
    steps.push(timed("cargo test", cargo_test(environment)).await);
    if !options.no_kill {
        for (name, cycles, power_cut, pause) in KILLS {
            steps.push(kill_step(name, cycles, power_cut, pause).await);
        }
        steps.push(group_step().await);
        steps.push(cluster_step().await);
    }
    steps
}

async fn timed(name: &str, work: impl Future<Output = Result<Tally>>) -> Step {
    begin(name);
    let start = Instant::now();
    let outcome = work.await;
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

async fn check_step() -> Result<Tally> {
    // It waits for compilers; Ctrl-C must be heard meanwhile.
    let problems = tokio::task::spawn_blocking(check::problems).await??;
    for problem in &problems {
        println!("check: {problem}");
    }
    Ok(Tally { passed: u64::from(problems.is_empty()), failed: problems.len() as u64 })
}

/// A variable for the tests; without a value they must not find one.
type Variable = (&'static str, Option<String>);

/// In CI nothing may be left out, because the tests that need it would pass by doing nothing.
fn is_ci() -> bool {
    std::env::var_os("CI").is_some()
}

async fn peers_step(environment: &mut Vec<Variable>) -> Result<Tally> {
    match peers::install().await {
        Ok(directory) => {
            println!("peers in {}", directory.display());
            environment.push((PEERS, Some(directory.display().to_string())));
            Ok(Tally { passed: 1, failed: 0 })
        }
        Err(error) if is_ci() => Err(error),
        Err(error) => {
            println!("!!! peers are missing, interop is NOT tested: {error:#}");
            Ok(Tally::default())
        }
    }
}

/// The directory of peers, for tests.
const PEERS: &str = "BONGSU_PEERS";

/// The OpenAPI document held against the server by somebody else's program; without it this is said, as for other peers.
async fn contract_step(peers: Option<String>) -> Result<Tally> {
    match peers {
        Some(peers) => {
            contract::run(&std::path::Path::new(&peers).join("venv/bin/python")).await?;
            Ok(Tally { passed: 1, failed: 0 })
        }
        None => {
            println!("!!! Schemathesis is missing, the OpenAPI document is NOT tested");
            Ok(Tally::default())
        }
    }
}

/// One for each service; `running` holds them until the steps end.
async fn services_step(environment: &mut Vec<Variable>, running: &mut Option<Running>) -> Result<Tally> {
    let found = running.insert(services::up(&Which::ALL).await?);
    let mut tally = Tally::default();
    for which in Which::ALL {
        let url = found.url(which).map(str::to_owned);
        tally.passed += u64::from(url.is_some());
        environment.push((which.variable(), url));
    }
    for (which, error) in &found.missing {
        println!("!!! {} is missing, what needs it is NOT tested: {error:#}", which.name());
        tally.failed += u64::from(is_ci());
    }
    Ok(tally)
}

async fn cargo_test(environment: Vec<Variable>) -> Result<Tally> {
    let mut command = Command::from(build::compile(&["test", "--workspace", "--no-fail-fast"], &[]));
    for (name, value) in environment {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    let mut child = command.spawn().context("cannot run cargo test")?;
    // The tests must not outlive the services that they talk to.
    let group = Group::of(&child, Signal::Term);
    let mut tally = Tally::default();
    let mut lines = BufReader::new(child.stdout.take().context("stdout was asked for")?).lines();
    while let Some(line) = lines.next_line().await? {
        tally.read(&line);
        if tally::is_worth_showing(&line) {
            println!("{line}");
        }
    }
    let status = child.wait().await?;
    group.has_ended();
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
    let options = kill::Options {
        cycles: Some(cycles),
        seed: KILL_SEED,
        power_cut,
        pause,
        cluster: false,
        engines: false,
        pairs: None,
        redis: kill::cluster::Redis::Up,
        rate: 0.0,
        short: false,
        json: true,
        dev: true,
        script: None,
        keep: false,
    };
    let outcome = kill::play(&options).await.map(|outcome| judge(&outcome));
    end(&name, start.elapsed(), outcome)
}

async fn group_step() -> Step {
    let name = "kill: a group";
    begin(name);
    let start = Instant::now();
    let options = kill::group::Options {
        rows: 20_000,
        memory_mib: 300.0,
        seed: KILL_SEED,
        gentle: false,
        dev: true,
        keep: false,
    };
    let outcome = kill::group::play(&options).await;
    end(name, start.elapsed(), outcome.map(|outcome| judge(&outcome)))
}

async fn cluster_step() -> Step {
    let name = "kill: cluster";
    begin(name);
    let start = Instant::now();
    let outcome = kill::cluster::play(&kill::cluster::Options::short(KILL_SEED)).await;
    end(name, start.elapsed(), outcome.map(|outcome| judge(&outcome)))
}

fn judge(outcome: &kill::Outcome) -> Tally {
    println!("{}", outcome.document["audit"]);
    for violation in outcome.document["violations"].as_array().into_iter().flatten() {
        println!("{violation}");
    }
    if outcome.clean {
        // Best effort: what stays behind lies below the build directory.
        let _ = std::fs::remove_dir_all(&outcome.directory);
    } else {
        println!("not clean; data and logs: {}", outcome.directory.display());
    }
    Tally { passed: u64::from(outcome.clean), failed: u64::from(!outcome.clean) }
}
