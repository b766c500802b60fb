//! `bongsu sim`: relays that speak the real protocol and behave as a script says.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bongsu_sim::{Script, ScriptError, Sim, SimConfig};
use clap::Args;
use serde_json::{Map, Value, json};

use super::serve::print_ready;
use crate::config::LogFormat;
use crate::failure::{Answer, Failure};
use crate::{log_lines, run};

/// `bongsu sim …`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// A relay as NAME=ADDRESS:PORT; repeat for more.
    #[arg(long = "relay", required = true, value_name = "NAME=ADDR", value_parser = bongsu_sim::parse_relay_arg)]
    relays: Vec<(String, SocketAddr)>,
    /// Address of the control interface.
    #[arg(long, value_name = "ADDR")]
    control: SocketAddr,
    /// Decides every draw; a script may replace it.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// How the relays behave (JSON).
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// A file that gets one JSON line for each submit.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

/// Runs the simulators until they are asked to stop. When they listen, stdout gets one line:
/// `{"event":"ready","control":…,"relays":{name: address},"pid":n}`.
pub(super) fn run(flags: Flags) -> Result<Answer, Failure> {
    let script = match &flags.script {
        Some(path) => read_script(path)?,
        None => Script::default(),
    };
    let names: Vec<String> = flags.relays.iter().map(|(name, _)| name.clone()).collect();
    script.check_names(&names).map_err(|error| bad_script(flags.script.as_deref(), &error))?;
    log_lines::to_stderr("info", LogFormat::Text);
    run::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("bongsu-sim").build();
    let runtime = runtime.map_err(|error| Failure::fault(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(async {
        let stop = run::asked_to_stop()?;
        let config = SimConfig {
            relays: flags.relays,
            control: Some(flags.control),
            seed: flags.seed,
            script,
            log: flags.log,
            ..SimConfig::default()
        };
        let sim = Sim::start(config)?;
        let relays: Map<String, Value> = names.iter().map(|name| (name.clone(), json!(sim.addr(name)))).collect();
        print_ready(
            &json!({ "event": "ready", "control": sim.control_addr(), "relays": relays, "pid": std::process::id() }),
        );
        stop.await;
        sim.shutdown().await;
        Ok(Answer::new(Value::Null, ""))
    })
}

fn read_script(path: &Path) -> Result<Script, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let sentence = format!("cannot read the script {}: {error}; name a file that can be read", path.display());
        Failure::configuration(sentence, Vec::new())
    })?;
    Script::parse(&text).map_err(|error| bad_script(Some(path), &error))
}

fn bad_script(path: Option<&Path>, error: &ScriptError) -> Failure {
    let problems = error.0.iter();
    let findings =
        problems.map(|p| (format!("{}: {}", p.path, p.what), json!({ "path": p.path, "message": p.what }))).collect();
    let place = path.map(|path| format!(" {}", path.display())).unwrap_or_default();
    Failure::configuration(format!("the script{place} is refused; correct what is listed:"), findings)
}
