//! The load generator: messages over HTTP in an open loop, at a rate or as fast as the server takes them.
//!
//! It runs as a process of its own so that its CPU time is not the server's, and it lives on when the server is killed, so
//! that every id it was given is on disk (`--acked`).

mod answer;
mod request;
mod stats;
mod worker;

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

pub use request::Sample;
pub use stats::Report;

/// How messages are put into requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// One message per request.
    Single,
    /// Many messages per request.
    Batch,
}

/// What to send, where, how fast and how long.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Server, `http://host:port`; of several, requests take turns.
    #[arg(long, required = true)]
    pub url: Vec<String>,
    /// API key, from BONGSU_KEY so that it stands in no process list.
    #[arg(skip)]
    pub key: String,
    /// Sender number.
    #[arg(long)]
    pub from: String,
    /// One message or many per request.
    #[arg(long, value_enum, default_value = "single")]
    pub mode: Mode,
    /// Messages per request of a batch.
    #[arg(long, default_value_t = 10_000)]
    pub rows: u64,
    /// Connections, each with one request at a time.
    #[arg(long, default_value_t = 64)]
    pub connections: usize,
    /// Messages per second; 0 is as fast as the server answers.
    #[arg(long, default_value_t = 0.0)]
    pub rate: f64,
    /// Messages to send; 0 is no limit.
    #[arg(long, default_value_t = 0)]
    pub messages: u64,
    /// Seconds to send; 0 is no limit.
    #[arg(long, default_value_t = 0.0)]
    pub seconds: f64,
    /// Lane.
    #[arg(long, default_value = "realtime")]
    pub lane: String,
    /// Text of a message.
    #[arg(long, value_enum, default_value = "short")]
    pub sample: Sample,
    /// Ordinal of the first message; each text holds its ordinal.
    #[arg(long, default_value_t = 0)]
    pub first: u64,
    /// One text with a variable per batch, instead of a text of its own per message.
    #[arg(long)]
    pub template: bool,
    /// Send an Idempotency-Key with each request, starting with this.
    #[arg(long)]
    pub idempotency: Option<String>,
    /// Append every acknowledged id to this file, one a line.
    #[arg(long)]
    pub acked: Option<PathBuf>,
    /// End when the server is gone instead of counting errors.
    #[arg(long)]
    pub until_cut: bool,
    /// Ask again, at the next server and with the same key, until there is an answer that is not to be repeated.
    #[arg(long, requires = "idempotency", conflicts_with = "until_cut")]
    pub retry: bool,
}

/// Sends and prints the report as JSON. SIGTERM ends it earlier: what was begun is answered, nothing new is offered.
pub async fn run(mut options: Options) -> Result<ExitCode> {
    options.key = std::env::var("BONGSU_KEY").context("BONGSU_KEY is not set")?;
    let report = send(options).await?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(ExitCode::SUCCESS)
}

async fn send(options: Options) -> Result<Report> {
    let acked = options.acked.as_ref().map(|path| {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        file.with_context(|| format!("cannot write {}", path.display()))
    });
    let started = Instant::now();
    let job = worker::Job {
        stop_at: (options.seconds > 0.0).then(|| started + Duration::from_secs_f64(options.seconds)),
        per_request: if options.mode == Mode::Batch { options.rows.max(1) } else { 1 },
        started,
        state: RefCell::new(worker::State::new(options.first, acked.transpose()?)),
        stopping: tokio::sync::Notify::new(),
        options,
    };
    let job = Rc::new(job);
    let workers = tokio::task::LocalSet::new();
    for _ in 0..job.options.connections.max(1) {
        workers.spawn_local(worker::work(Rc::clone(&job)));
    }
    let mut asked = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    tokio::pin!(workers);
    tokio::select! {
        () = &mut workers => {}
        _ = asked.recv() => {
            job.stop();
            workers.await;
        }
    }
    let job = Rc::try_unwrap(job).ok().context("a worker is still alive")?;
    job.state.into_inner().report(started.elapsed())
}
