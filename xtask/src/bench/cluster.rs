//! `bench send --cluster`: batches over one api and some dispatch processes, on MariaDB with Redis.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use super::field::{Look, Site, write_script};
use super::load::Outcome;
use super::metrics::Metrics;
use super::report::{Report, rounded};
use super::{Mode, Options, modes};
use crate::build::{self, Profile, Programs};
use crate::cluster::{Cluster, Plan, Role, Shape, WorldOptions, take_down};
use crate::process::{self, interrupted};
use crate::services::{Which, own_ports};
use crate::world::{Member, Relay, Setup, disk_bytes, scratch};

const RELAYS: [&str; 3] = ["kt", "skt", "lgu"];
const FIRST_PORT: u16 = 22_000;
/// As Bongsu has it by default.
const LEASE_S: u32 = 15;
/// Metrics of the store that tell how much it talks.
const ROUND_TRIPS: &str = "bongsu_store_round_trips_total";
const AGAIN: &str = "bongsu_store_again_total";
/// Each submit of a process is one value of this histogram.
const SUBMITS: &str = "bongsu_accept_to_submit_seconds_count";
/// Both dispatch processes hold links by then.
const SPREAD_LIMIT: Duration = Duration::from_secs(60);
/// Each look at the metrics is a question to the database.
const LOOK: Duration = Duration::from_secs(1);

/// One look at one process.
#[derive(Debug, Clone)]
struct Part {
    role: Role,
    cpu_us: u64,
    metrics: Metrics,
}

/// The cluster while it is measured.
struct Field {
    cluster: Cluster,
    programs: Programs,
    directory: PathBuf,
}

impl Field {
    /// Every process by itself.
    async fn parts(&self) -> Result<BTreeMap<String, Part>> {
        let mut parts = BTreeMap::new();
        for node in &self.cluster.nodes {
            let pid = node.look().pid.with_context(|| format!("{} is gone", node.seat.name))?;
            let cpu_us = process::cpu_us(pid).with_context(|| format!("{} is gone", node.seat.name))?;
            let metrics = Metrics::parse(&self.cluster.metrics(node).await?);
            parts.insert(node.seat.name.clone(), Part { role: node.seat.role, cpu_us, metrics });
        }
        Ok(parts)
    }

    async fn services_cpu_us(&self) -> Vec<(Which, u64)> {
        let mut all = Vec::new();
        for which in Which::ALL {
            all.extend(self.cluster.service_cpu_us(which).await.map(|cpu| (which, cpu)));
        }
        all
    }

    /// Waits until each dispatch process has a link, or the first one would do the work of the others for a while.
    async fn wait_until_spread(&self) -> Result<()> {
        let until = Instant::now() + SPREAD_LIMIT;
        loop {
            let mut idle = Vec::new();
            for node in self.cluster.of(Role::Dispatch) {
                let metrics = Metrics::parse(&self.cluster.metrics(node).await?);
                if metrics.sum("bongsu_relay_up", &[]).unwrap_or(0.0) < RELAYS.len() as f64 {
                    idle.push(node.seat.name.clone());
                }
            }
            if idle.is_empty() {
                return Ok(());
            }
            ensure!(
                Instant::now() < until,
                "no link to every relay after {} s: {}",
                SPREAD_LIMIT.as_secs(),
                idle.join(", ")
            );
            tokio::time::sleep(LOOK).await;
        }
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
        self.cluster.nodes[0].address()
    }

    async fn finals(&self, lane: Option<&str>) -> Result<u64> {
        let wanted: Vec<(&str, &str)> = lane.iter().map(|lane| ("lane", *lane)).collect();
        let mut finals = 0.0;
        for node in &self.cluster.nodes {
            let metrics = Metrics::parse(&self.cluster.metrics(node).await?);
            finals += metrics.sum("bongsu_final_total", &wanted).unwrap_or(0.0);
        }
        Ok(finals as u64)
    }

    async fn look(&self) -> Result<Look> {
        let parts = self.parts().await?;
        Ok(Look {
            server_cpu_us: parts.values().map(|part| part.cpu_us).sum(),
            metrics: Metrics::together(parts.into_values().map(|part| part.metrics)),
            simulator_cpu_us: process::cpu_us(self.cluster.sim.process.pid()).context("the simulator is gone")?,
            disk: disk_bytes(&self.directory.join("services").join(Which::Mariadb.name())),
            relays: self.cluster.sim.totals().await?,
        })
    }
}

/// Measures with each number of dispatch processes, one after the other, each on a new database.
pub async fn measure(options: &Options) -> Result<Vec<Report>> {
    ensure!(options.mode == Mode::Batch, "--cluster measures --mode batch");
    ensure!(options.history == 0 && options.reuse.is_none(), "--cluster begins with a new database");
    let mut reports = Vec::new();
    for dispatchers in &options.dispatchers {
        let directory = scratch(&build::target()?, &format!("bench-cluster-{dispatchers}"))?;
        let report = tokio::select! {
            report = measure_in(options, *dispatchers, &directory) => report,
            asked = interrupted() => Err(asked.err().unwrap_or_else(|| anyhow::anyhow!("interrupted"))),
        };
        take_down(&directory, false).await?;
        let report = report.with_context(|| format!("logs: {}", directory.display()))?;
        std::fs::remove_dir_all(&directory).context("cannot remove the scratch directory")?;
        eprintln!("\n{}", super::gates::table(&report.document()));
        reports.push(report);
    }
    Ok(reports)
}

async fn measure_in(options: &Options, dispatchers: u16, directory: &Path) -> Result<Report> {
    let programs = build::programs(if options.dev { Profile::Dev } else { Profile::Release })?;
    let shape = Shape { api: 1, dispatch: dispatchers, report: 0 };
    let mut environment = BTreeMap::new();
    for pair in &options.server_env {
        let (name, value) = pair.split_once('=').with_context(|| format!("--server-env {pair}: write NAME=VALUE"))?;
        environment.insert(name.to_owned(), value.to_owned());
    }
    let world = WorldOptions {
        programs: programs.clone(),
        folder: directory.to_path_buf(),
        plan: Plan::make(FIRST_PORT + own_ports(directory), shape, &RELAYS)?,
        seed: 1,
        script: Some(write_script(options, directory, &RELAYS)?),
        environment,
        lease_s: LEASE_S,
        without_redis: false,
        has_replica: false,
    };
    let cluster = Cluster::start(world).await?;
    let relay = Relay { rate_per_s: modes::FAST, window: options.window, binds: options.binds };
    let mut setup = Setup::usual(&cluster.sim.relays, relay, "bench");
    setup.requests_per_s = Some(1_000_000);
    let member = cluster.set_up(&setup).await?.pop().context("one account was asked for")?;
    let field = Field { cluster, programs, directory: directory.to_path_buf() };
    field.wait_until_spread().await?;
    let mut report = Report::new(options, modes::FAST, &setup.ratio());
    report.conditions["durability"] = json!("MariaDB, innodb_flush_log_at_trx_commit=1, sync_binlog=1, no replica");
    report.conditions["pinned"] = json!("nothing; all processes and the database share all cores");
    play(options, &field, &member, &mut report).await?;
    field.cluster.stop().await?;
    Ok(report)
}

async fn play(options: &Options, field: &Field, member: &Member, report: &mut Report) -> Result<()> {
    let (before, services) = (field.parts().await?, field.services_cpu_us().await);
    let outcome = modes::load(options).play(field, member, options, async |_| Ok(())).await?;
    let (after, services_after) = (field.parts().await?, field.services_cpu_us().await);
    outcome.write_to(report);
    // The log of the embedded store; a database has its own.
    report.wal_bytes = None;
    report.cluster = Some(extra(&outcome, &before, &after, &services, &services_after));
    Ok(())
}

/// What only a cluster tells.
fn extra(
    outcome: &Outcome,
    before: &BTreeMap<String, Part>,
    after: &BTreeMap<String, Part>,
    services: &[(Which, u64)],
    services_after: &[(Which, u64)],
) -> Value {
    let messages = outcome.finals.max(1) as f64;
    let grown = |name: &str, metric: &str| {
        let now = after[name].metrics.sum(metric, &[])?;
        Some(now - before.get(name).and_then(|part| part.metrics.sum(metric, &[])).unwrap_or(0.0))
    };
    // Small numbers: four places.
    let fine = |n: f64| (n * 10_000.0).round() / 10_000.0;
    let trips: BTreeMap<&String, f64> =
        after.keys().filter_map(|name| Some((name, grown(name, ROUND_TRIPS)? / messages))).collect();
    let all_trips = (!trips.is_empty()).then(|| fine(trips.values().sum()));
    let trips: Map<String, Value> = trips.into_iter().map(|(name, n)| (name.clone(), json!(fine(n)))).collect();
    let cpu = |name: &String| after[name].cpu_us.saturating_sub(before.get(name).map_or(0, |part| part.cpu_us));
    let dispatch: Vec<&String> = after.keys().filter(|name| after[*name].role == Role::Dispatch).collect();
    let submits: Vec<f64> = dispatch.iter().map(|name| grown(name, SUBMITS).unwrap_or(0.0)).collect();
    let total: f64 = submits.iter().sum();
    let shares = dispatch.iter().zip(&submits);
    let shares: Map<String, Value> =
        shares.map(|(name, own)| ((*name).clone(), json!(rounded(Some(own / total.max(1.0)))))).collect();
    let by_service = services_after.iter().map(|(which, now)| {
        let then = services.iter().find(|(other, _)| other == which).map_or(0, |(_, cpu)| *cpu);
        (which.name().to_owned(), json!(rounded(Some(now.saturating_sub(then) as f64 / messages))))
    });
    json!({
        "dispatchers": dispatch.len(),
        "sends": shares,
        "cpuUsPerMessage": {
            "processes": after.keys().map(|name| (name.clone(), json!(rounded(Some(cpu(name) as f64 / messages))))).collect::<Map<_, _>>(),
            "services": by_service.collect::<Map<_, _>>(),
        },
        "roundTripsPerMessage": all_trips,
        "roundTripsOf": trips,
        "transactionsAgain": after.keys().filter_map(|name| grown(name, AGAIN)).sum::<f64>(),
    })
}

/// One document for one measurement; for several, all of them and how each stands to the first.
pub fn document(reports: &[Report]) -> Value {
    let all: Vec<Value> = reports.iter().map(Report::document).collect();
    let [first, rest @ ..] = all.as_slice() else { return Value::Null };
    if rest.is_empty() {
        return first.clone();
    }
    let ratios: Vec<Value> = rest.iter().map(|other| compare(first, other)).collect();
    json!({ "bench": "send", "mode": "batch", "runs": all, "ratios": ratios })
}

fn compare(one: &Value, other: &Value) -> Value {
    let ratio = |path: &str| {
        let (one, other) = (one.pointer(path)?.as_f64()?, other.pointer(path)?.as_f64()?);
        rounded((one > 0.0).then(|| other / one))
    };
    json!({
        "dispatchers": other["cluster"]["dispatchers"],
        "finalPerS": ratio("/finalPerS"),
        "cpuUsPerMessage": ratio("/cpuUsPerMessage/server"),
        "databaseCpuUsPerMessage": ratio("/cluster/cpuUsPerMessage/services/mariadb"),
        "roundTripsPerMessage": ratio("/cluster/roundTripsPerMessage"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_measurements_are_compared() {
        let run = |dispatchers: u64, rate: f64, trips: f64| {
            json!({
                "finalPerS": rate, "cpuUsPerMessage": {"server": 100.0},
                "cluster": {"dispatchers": dispatchers, "roundTripsPerMessage": trips, "cpuUsPerMessage": {"services": {"mariadb": 50.0}}}
            })
        };
        let ratios = compare(&run(1, 5_000.0, 0.2), &run(2, 4_900.0, 0.21));
        assert_eq!(
            ratios,
            json!({
                "dispatchers": 2, "finalPerS": 0.98, "cpuUsPerMessage": 1.0, "databaseCpuUsPerMessage": 1.0,
                "roundTripsPerMessage": 1.05
            })
        );
    }
}
