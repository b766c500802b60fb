//! `bongsu serve` and `bongsu migrate`.

use std::io::Write;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::Json;
use super::configure::Layers;
use crate::clock::SystemClock;
use crate::config::{Config, LogFormat};
use crate::environment::Environment;
use crate::failure::{Answer, Failure};
use crate::{log_lines, opening, run, wiring};

/// `POINT:N` ends the process at a named point, for tests of what a crash there leaves.
const CRASH_AT: &str = "BONGSU_CRASH_AT";

/// `bongsu serve …`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    #[command(flatten)]
    layers: Layers,
}

/// `bongsu migrate …`.
#[derive(Debug, Args)]
pub(super) struct MigrateFlags {
    #[command(flatten)]
    layers: Layers,
    #[command(flatten)]
    pub(super) json: Json,
}

/// Runs the server; the ready line is the only thing it prints to stdout.
pub(super) fn serve(flags: &Flags, environment: &Environment) -> Result<Answer, Failure> {
    let (config, _) = flags.layers.read(environment)?;
    if config.log_format == LogFormat::Text {
        run::show_banner();
    }
    log_lines::to_stderr(&config.log_level, config.log_format);
    run::raise_file_limit();
    if let Some(point) = environment.get(CRASH_AT) {
        bongsu_store::faults::plan(point);
    }
    runtime(&config)?.block_on(async {
        let stop = run::asked_to_stop()?;
        run::run(config, Arc::new(SystemClock), stop, print_ready).await
    })?;
    Ok(Answer::new(Value::Null, ""))
}

/// Brings the store to the newest schema.
pub(super) fn migrate(flags: &MigrateFlags, environment: &Environment) -> Result<Answer, Failure> {
    let (config, _) = flags.layers.read(environment)?;
    log_lines::to_stderr(&config.log_level, config.log_format);
    runtime(&config)?.block_on(wiring::migrate(&config, Arc::new(SystemClock)))?;
    let data = config.data.display().to_string();
    let text = format!("{} has the newest schema", opening::place(&config));
    Ok(Answer::new(json!({ "data": data, "migrated": true }), text))
}

fn runtime(config: &Config) -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = config.threads {
        builder.worker_threads(threads);
    }
    let runtime = builder.enable_all().thread_name("bongsu").build();
    runtime.map_err(|error| Failure::fault(format!("cannot start the runtime: {error}")))
}

/// The one line that tells whoever started the program that it serves.
pub(super) fn print_ready(ready: &impl Serialize) {
    let line = serde_json::to_string(ready).unwrap_or_default();
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
