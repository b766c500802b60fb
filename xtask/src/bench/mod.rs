//! `cargo xtask bench send`: how fast messages go from accept to a stored final receipt, and at what cost.
//!
//! Generator, server and simulated relays are three processes. Nothing is pinned to a core. The server's own numbers come
//! from its `/metrics`, CPU and memory from the kernel.

mod cluster;
mod field;
mod gates;
mod load;
mod metrics;
mod modes;
mod report;
mod search;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::loadgen::Sample;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// 10,000 messages per request.
    Batch,
    /// One message per request.
    Single,
    /// `auth` beside a backlog of another account, with slow relays.
    Lanes,
    /// One relay stops in the middle and comes back.
    RelayDown,
    /// Every relay is down while 10,000 and then 1,000,000 messages wait.
    AllDown,
    /// A steady rate for a long time, one message in ten of several parts.
    Long,
    /// Look-ups by recipient in the history.
    Search,
    /// First start, idle memory, recovery after a kill.
    Start,
}

/// What to measure and under which conditions.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// What is measured.
    #[arg(long, value_enum)]
    pub mode: Mode,
    /// Messages; the default depends on the mode.
    #[arg(long)]
    pub messages: Option<u64>,
    /// Rows of history that are there before the run.
    #[arg(long, default_value_t = 0)]
    pub history: u64,
    /// Data directory to use and keep, history included.
    #[arg(long, value_name = "DIR")]
    pub reuse: Option<PathBuf>,
    /// Messages offered a second; 0 is as fast as the server answers. The default depends on the mode.
    #[arg(long)]
    pub rate: Option<f64>,
    /// Seconds of load; the default depends on the mode.
    #[arg(long)]
    pub seconds: Option<f64>,
    /// Write the JSON here instead of to stdout.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Connections of the generator; the default depends on the mode.
    #[arg(long)]
    pub connections: Option<usize>,
    /// Messages per request of a batch.
    #[arg(long, default_value_t = 10_000)]
    pub rows: u64,
    /// Unanswered parts a bind.
    #[arg(long, default_value_t = 500)]
    pub window: u32,
    /// Binds a relay.
    #[arg(long, default_value_t = 4)]
    pub binds: u32,
    /// Milliseconds from a submit to its response at the simulated relays.
    #[arg(long, default_value_t = 0)]
    pub latency_ms: u32,
    /// Milliseconds from a submit to its receipt at the simulated relays.
    #[arg(long, default_value_t = 10)]
    pub delay_ms: u32,
    /// Texts of the messages; the default depends on the mode.
    #[arg(long, value_enum)]
    pub sample: Option<Sample>,
    /// One text with a variable per batch, instead of a text of its own per message.
    #[arg(long)]
    pub template: bool,
    /// Send an Idempotency-Key with each request.
    #[arg(long)]
    pub idempotency: bool,
    /// Over one api process and dispatch processes on MariaDB, instead of one process over files; with --mode batch.
    #[arg(long)]
    pub cluster: bool,
    /// With --cluster: dispatch processes; of several numbers, each is measured and compared with the first.
    #[arg(long, requires = "cluster", value_delimiter = ',', default_values_t = [1], value_parser = clap::value_parser!(u16).range(1..=9))]
    pub dispatchers: Vec<u16>,
    /// With --cluster: use the build of `cargo test`, to try the bench itself.
    #[arg(long, requires = "cluster")]
    pub dev: bool,
    /// Environment of the server, NAME=VALUE; repeat for more.
    #[arg(long = "server-env", value_name = "NAME=VALUE")]
    pub server_env: Vec<String>,
}

/// Measures, shows a table on stderr, gives the JSON.
pub async fn run(options: Options) -> Result<ExitCode> {
    let document = if options.cluster {
        let document = cluster::document(&cluster::measure(&options).await?);
        eprint!("{}", gates::ratios(&document));
        document
    } else {
        let document = modes::measure(&options).await?.document();
        eprintln!("\n{}", gates::table(&document));
        document
    };
    let text = format!("{document:#}\n");
    match &options.out {
        Some(file) => std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?,
        None => print!("{text}"),
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
impl Options {
    /// The defaults of a mode.
    fn of(mode: Mode) -> Self {
        Self {
            mode,
            messages: None,
            history: 0,
            reuse: None,
            rate: None,
            seconds: None,
            out: None,
            connections: None,
            rows: 10_000,
            window: 500,
            binds: 4,
            latency_ms: 0,
            delay_ms: 10,
            sample: None,
            template: false,
            idempotency: false,
            cluster: false,
            dispatchers: vec![1],
            dev: false,
            server_env: Vec::new(),
        }
    }
}
