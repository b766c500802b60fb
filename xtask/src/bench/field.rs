//! The world of a measurement: history, relays, server, accounts, and looks at all of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Options;
use super::metrics::Metrics;
use crate::build::{self, Profile, Programs};
use crate::http::Api;
use crate::process;
use crate::world::{Member, Relay, Server, ServerOptions, Setup, Sim, Totals, disk_bytes, scratch, set_up};

/// An idle server is looked at after this long.
const IDLE: Duration = Duration::from_secs(3);
const BIND_LIMIT: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(100);
/// Says in a data directory how many rows of history it has.
const HISTORY_MARK: &str = "bench-history";

/// Where a load goes, and who tells what became of it.
pub trait Site {
    /// The product and this task runner.
    fn programs(&self) -> &Programs;
    /// Where logs are written.
    fn directory(&self) -> &Path;
    /// `host:port` that takes the messages.
    fn address(&self) -> String;
    /// Messages with a final result so far, of one lane or of all.
    async fn finals(&self, lane: Option<&str>) -> Result<u64>;
    /// A look at all processes.
    async fn look(&self) -> Result<Look>;
}

/// Everything that a mode needs.
#[derive(Debug)]
pub struct Field {
    pub programs: Programs,
    pub directory: PathBuf,
    pub server_options: ServerOptions,
    pub sim: Sim,
    pub server: Server,
    pub operator: Api,
    pub members: Vec<Member>,
    pub setup: Setup,
    pub idle_mib: Option<f64>,
}

/// One look at all processes.
#[derive(Debug)]
pub struct Look {
    pub metrics: Metrics,
    pub server_cpu_us: u64,
    pub simulator_cpu_us: u64,
    pub disk: u64,
    pub relays: BTreeMap<String, Totals>,
}

impl Field {
    /// Builds, preloads, starts and sets up; `accounts` names who sends.
    pub async fn prepare(options: &Options, relay_rate: u32, accounts: &[&str]) -> Result<Self> {
        let programs = build::programs(Profile::Release)?;
        let directory = scratch(&build::target()?, "bench")?;
        let data = data_directory(options, &directory)?;
        preload(&programs, &data, options.history)?;
        let names = [("kt", None), ("skt", None), ("lgu", None)];
        let script = write_script(options, &directory, &names.map(|(name, _)| name))?;
        let sim = Sim::start(&programs.bongsu, &names, 1, Some(&script), &directory.join("sim.log")).await?;
        let server_options = server_options(options, &programs, data, &directory)?;
        let server = Server::start(&server_options).await?;
        eprintln!("started in {} ms; waiting for it to be idle …", server.started_in.as_millis());
        tokio::time::sleep(IDLE).await;
        let idle_mib = process::memory(server.process.pid()).map(|m| m.rss);
        let operator = server.operator()?;
        let relay = Relay { rate_per_s: relay_rate, window: options.window, binds: options.binds };
        let mut setup = Setup::usual(&sim.relays, relay, "bench");
        setup.requests_per_s = Some(1_000_000);
        setup.accounts = accounts.iter().map(|name| (*name).to_owned()).collect();
        let members = set_up(&operator, &setup).await?;
        let field = Self { programs, directory, server_options, sim, server, operator, members, setup, idle_mib };
        field.wait_for_binds().await?;
        Ok(field)
    }

    async fn wait_for_binds(&self) -> Result<()> {
        let until = Instant::now() + BIND_LIMIT;
        loop {
            let up = self.metrics().await?.sum("bongsu_relay_up", &[]).unwrap_or(0.0);
            if up >= self.setup.relays.len() as f64 {
                return Ok(());
            }
            ensure!(Instant::now() < until, "only {up} of {} relays are up", self.setup.relays.len());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The server's numbers now.
    pub async fn metrics(&self) -> Result<Metrics> {
        let (status, text) = self.operator.text("GET", "/metrics", None).await?;
        ensure!(status == 200, "/metrics answered {status}");
        Ok(Metrics::parse(&text))
    }

    /// Memory of the server now, MiB.
    pub fn rss(&self) -> Option<f64> {
        process::memory(self.server.process.pid()).map(|m| m.rss)
    }

    /// Largest memory of the server since [`Self::forget_peak`], MiB.
    pub fn peak(&self) -> Option<f64> {
        process::memory(self.server.process.pid()).map(|m| m.peak)
    }

    /// Starts a new peak.
    pub fn forget_peak(&self) {
        process::forget_peak(self.server.process.pid());
    }

    /// Stops everything. Keys of the run are revoked, since a reused directory would collect them.
    pub async fn finish(mut self) -> Result<()> {
        for member in &self.members {
            let path = format!("/v1/keys/{}", member.key_id);
            let (status, answer) = self.operator.call("DELETE", &path, None).await?;
            ensure!((200..300).contains(&status), "revoking the run's key answered {status}: {answer}");
        }
        self.server.stop().await?;
        self.sim.process.kill().await?;
        std::fs::remove_dir_all(&self.directory).context("cannot remove the scratch directory")
    }
}

impl Site for Field {
    fn programs(&self) -> &Programs {
        &self.programs
    }

    fn directory(&self) -> &Path {
        &self.directory
    }

    fn address(&self) -> String {
        self.server.address.clone()
    }

    async fn finals(&self, lane: Option<&str>) -> Result<u64> {
        let wanted: Vec<(&str, &str)> = lane.iter().map(|lane| ("lane", *lane)).collect();
        Ok(self.metrics().await?.sum("bongsu_final_total", &wanted).unwrap_or(0.0) as u64)
    }

    async fn look(&self) -> Result<Look> {
        let metrics = self.metrics().await?;
        Ok(Look {
            metrics,
            server_cpu_us: process::cpu_us(self.server.process.pid()).context("the server is gone")?,
            simulator_cpu_us: process::cpu_us(self.sim.process.pid()).context("the simulator is gone")?,
            disk: disk_bytes(&self.server_options.data),
            relays: self.sim.totals().await?,
        })
    }
}

fn data_directory(options: &Options, scratch: &Path) -> Result<PathBuf> {
    let data = options.reuse.clone().unwrap_or_else(|| scratch.join("data"));
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    Ok(data)
}

/// Fills an empty directory with rows of history; a reused one that has them is left as it is.
fn preload(programs: &Programs, data: &Path, rows: u64) -> Result<()> {
    let mark = data.join(HISTORY_MARK);
    let there = std::fs::read_to_string(&mark).ok().and_then(|t| t.trim().parse::<u64>().ok()).unwrap_or(0);
    if rows <= there {
        return Ok(());
    }
    eprintln!("preloading {} rows of history …", rows - there);
    let begin = Instant::now();
    let status = Command::new(&programs.bongsu)
        .args(["preload", "--rows", &(rows - there).to_string()])
        .arg("--data")
        .arg(data)
        .stdout(Stdio::null())
        .status()
        .context("cannot run bongsu preload")?;
    ensure!(status.success(), "bongsu preload ended with {status}");
    eprintln!("preloaded in {:.1} s", begin.elapsed().as_secs_f64());
    std::fs::write(&mark, rows.to_string()).with_context(|| format!("cannot write {}", mark.display()))
}

/// The behaviour of the relays: everything is delivered.
pub fn write_script(options: &Options, directory: &Path, relays: &[&str]) -> Result<PathBuf> {
    let behaviour =
        json!({ "codes": { "DELIVRD": 1.0 }, "delayMs": options.delay_ms, "latencyMs": options.latency_ms });
    let relays: serde_json::Map<_, _> = relays.iter().map(|name| ((*name).to_owned(), behaviour.clone())).collect();
    let path = directory.join("script.json");
    std::fs::write(&path, json!({ "relays": relays }).to_string())?;
    Ok(path)
}

fn server_options(options: &Options, programs: &Programs, data: PathBuf, directory: &Path) -> Result<ServerOptions> {
    let mut environment = BTreeMap::new();
    for pair in &options.server_env {
        let (name, value) = pair.split_once('=').with_context(|| format!("--server-env {pair}: write NAME=VALUE"))?;
        environment.insert(name.to_owned(), value.to_owned());
    }
    Ok(ServerOptions {
        bongsu: programs.bongsu.clone(),
        data,
        listen: "127.0.0.1:0".into(),
        environment,
        log: directory.join("server.log"),
    })
}
