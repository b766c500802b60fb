//! `cargo xtask services …`: real servers for tests by hand.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::set::Look;
use super::{Life, Set, Which, table};
use crate::process::{INTERRUPTED, interrupted};

/// Which set, and what to do with it.
#[derive(Debug, Args)]
pub struct Options {
    /// A set of its own in this folder, whatever the environment gives; otherwise the one below the build directory.
    #[arg(long, global = true, value_name = "DIR")]
    folder: Option<PathBuf>,
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Install what is missing, start, wait until all answer; prints a table and the variables for tests.
    Up {
        /// Those, and what they need; all when none is named.
        names: Vec<Which>,
    },
    /// Stop, and remove the data.
    Down {
        /// Leave the data for the next `up`.
        #[arg(long)]
        keep: bool,
        /// Those, and what needs them; all when none is named.
        names: Vec<Which>,
    },
    /// A table; fails unless all are up.
    Status,
    /// The variables alone: `eval "$(cargo xtask services env)"`; fails unless all are up.
    Env,
    /// Start one that was stopped or killed, on its port and its data.
    Start { name: Which },
    /// Stop one and leave its data.
    Stop { name: Which },
    /// Kill -9 one.
    Kill { name: Which },
    /// Freeze one (SIGSTOP).
    Pause { name: Which },
    /// Let one go on (SIGCONT).
    Resume { name: Which },
    /// Empty one; only redis knows how.
    Flush { name: Which },
}

/// Does it. What a Ctrl-C leaves half made, the next `up` makes anew.
pub async fn run(options: Options) -> Result<ExitCode> {
    tokio::select! {
        outcome = act(options) => outcome,
        asked = interrupted() => {
            asked?;
            eprintln!("interrupted");
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

async fn act(options: Options) -> Result<ExitCode> {
    let set = match &options.folder {
        Some(folder) => Set::at(folder)?,
        None => Set::usual()?,
    };
    match options.order {
        Order::Up { names } => return up(&set, &or_all(names)).await,
        Order::Down { keep, names } => set.down(&or_all(names), keep).await?,
        Order::Status => return Ok(show(&look(&set).await)),
        Order::Env => {
            let looks = look(&set).await;
            print!("{}", table::exports(&looks));
            return Ok(exit(&looks));
        }
        Order::Start { name } => set.start(name).await?,
        Order::Stop { name } => set.stop(name).await?,
        Order::Kill { name } => set.kill9(name).await?,
        Order::Pause { name } => set.pause(name).await?,
        Order::Resume { name } => set.resume(name).await?,
        Order::Flush { name } => set.flush(name).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn up(set: &Set, names: &[Which]) -> Result<ExitCode> {
    let running = set.up(names, Life::UntilDown).await?;
    let looks = look(&running.set).await;
    println!("{}", table::table(&looks));
    print!("{}", table::exports(&looks));
    running.check()?;
    Ok(ExitCode::SUCCESS)
}

fn show(looks: &[Look]) -> ExitCode {
    print!("{}", table::table(looks));
    exit(looks)
}

fn exit(looks: &[Look]) -> ExitCode {
    if looks.iter().all(table::is_up) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn look(set: &Set) -> Vec<Look> {
    let mut looks = Vec::new();
    for which in Which::ALL {
        looks.push(set.look(which).await);
    }
    looks
}

fn or_all(names: Vec<Which>) -> Vec<Which> {
    if names.is_empty() { Which::ALL.into() } else { names }
}
