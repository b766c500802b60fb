//! One run over a cluster: load, events, and the wait until everything is final.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::task::JoinHandle;

use super::load::{self, Load, Named};
use super::pairs::{self, Same};
use super::plan::{self, Event, Phase, Step};
use super::verdict::Counted;
use super::{Options, Redis, probe};
use crate::build::Programs;
use crate::cluster::{Cluster, Plan, Role, Shape, WorldOptions};
use crate::process::Signal;
use crate::services::{Set, Which, own_ports};
use crate::world::{Member, Relay, Setup};

const RELAYS: [&str; 4] = ["kt", "skt", "lgu", "mvno"];
const SHARES: [u32; 4] = [25; 4];
const BINDS: u32 = 4;
const WINDOW: u32 = 50;
/// Seconds in which the second account sends equal messages once.
const WINDOW_S: u32 = 3_600;
/// Rate of each relay as a part of the load: each gets a quarter, so that the limit bites when one catches up.
const RATE_OF_LOAD: f64 = 0.7;
/// Seconds that a lease lasts in these runs.
const LEASE_S: u32 = 5;
/// Ports of a run begin here or up to 900 above.
const FIRST_PORT: u16 = 20_000;
/// Everything is final by then: an unknown attempt waits 5 s and a result that never comes 60 s.
const FINAL_LIMIT: Duration = Duration::from_secs(240);
/// Between two looks at the books.
const LOOK: Duration = Duration::from_secs(3);
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// A process that was killed or frozen serves again by then.
const BACK_LIMIT: Duration = Duration::from_secs(60);

/// Everything between the first process and the last.
struct Run<'a> {
    options: &'a Options,
    programs: &'a Programs,
    directory: &'a Path,
    cluster: Cluster,
    prober: probe::Prober,
    probes: probe::Report,
    /// An account that sends equal messages once.
    once: Member,
    pairs: Vec<(&'static str, pairs::Report)>,
    /// When the load began.
    begin: Instant,
}

/// Plays the plan and counts.
pub async fn run(options: &Options, programs: &Programs, directory: &Path) -> Result<Counted> {
    let cluster = Cluster::start(world(options, programs, directory)?).await?;
    let _flushing = (options.redis == Redis::Flush).then(|| Flushing::start(cluster.services.set.clone()));
    let mut members = cluster.set_up(&setup(options, &cluster)).await?;
    let (once, member) = members.pop().zip(members.pop()).context("two accounts were asked for")?;
    let window = json!({ "dedupeS": WINDOW_S });
    cluster.operator()?.ask("PATCH", &format!("/v1/accounts/{}", once.account), Some(&window)).await?;
    let urls: Vec<String> = cluster.of(Role::Api).map(|node| node.address()).collect();
    let prefix = format!("kill-{}", options.seed);
    let mut run = Run {
        options,
        programs,
        directory,
        prober: probe::Prober {
            servers: urls.clone(),
            member: member.clone(),
            prefix: format!("{prefix}-probe"),
            count: 0,
        },
        cluster,
        probes: probe::Report::default(),
        once,
        pairs: Vec::new(),
        begin: Instant::now(),
    };
    let before = run.audit(None).await?.0["accepted"].as_u64().context("the audit tells what was accepted")?;
    let plan = load::Plan {
        programs: programs.clone(),
        folder: directory.to_path_buf(),
        urls: urls.iter().map(|address| format!("http://{address}")).collect(),
        member,
        rate: options.rate,
        prefix,
    };
    let load = Load::start(&plan)?;
    run.begin = Instant::now();
    run.play().await?;
    eprintln!("the load ends; its last requests are answered …");
    let loads = load.finish().await?;
    run.cluster.all_ready().await?;
    let acked = run.write_acked(&plan)?;
    run.finish(before, acked, loads).await
}

fn world(options: &Options, programs: &Programs, directory: &Path) -> Result<WorldOptions> {
    let script = directory.join("script.json");
    std::fs::write(&script, format!("{:#}\n", behaviour(relay_rate(options.rate))))?;
    let environment = [
        ("BONGSU__SEND__UNKNOWN_WAIT_MS", "5000"),
        ("BONGSU__SEND__RECEIPT_DEADLINE_MS", "60000"),
        ("BONGSU__SEND__CLAIM_DEADLINE_MS", "5000"),
    ];
    Ok(WorldOptions {
        programs: programs.clone(),
        folder: directory.to_path_buf(),
        plan: Plan::make(FIRST_PORT + own_ports(directory), Shape::USUAL, &RELAYS)?,
        seed: options.seed,
        script: Some(script),
        environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect(),
        lease_s: LEASE_S,
        without_redis: options.redis == Redis::Dead,
        has_replica: true,
    })
}

fn relay_rate(rate: f64) -> u32 {
    (rate * RATE_OF_LOAD).ceil().max(10.0) as u32
}

/// Relays that hold their clients to rate and binds, and misbehave otherwise: bad results, lost responses, receipts twice, too
/// early and over any session.
fn behaviour(rate: u32) -> Value {
    let mut relays: BTreeMap<&str, Value> = BTreeMap::from([
        (
            "kt",
            json!({
                "codes": { "DELIVRD": 0.95, "UNDELIV:001": 0.03, "EXPIRED": 0.02 },
                "delayMs": [5, 200], "latencyMs": 2, "dropResponses": 0.001, "duplicateReceipts": 0.02, "earlyReceipts": 0.02,
                "receiptsAnywhere": 0.5
            }),
        ),
        (
            "skt",
            json!({
                "codes": { "DELIVRD": 0.97, "REJECTD": 0.03 }, "delayMs": [1, 50], "idStyle": "hex", "leadingZeros": 8,
                "duplicateReceipts": 0.02, "earlyReceipts": 0.05, "receiptsAnywhere": 0.3
            }),
        ),
        (
            "lgu",
            json!({
                "codes": { "DELIVRD": 0.98, "UNDELIV": 0.02 }, "delayMs": [20, 3000], "receiptForm": "text",
                "receiptDates": 12, "dropResponses": 0.001, "receiptsAnywhere": 1.0
            }),
        ),
        (
            "mvno",
            json!({ "codes": { "DELIVRD": 1.0 }, "delayMs": [5, 1000], "latencyMs": 10, "receiptsAnywhere": 0.1 }),
        ),
    ]);
    for relay in relays.values_mut() {
        relay["rateLimitPerS"] = json!(rate);
        relay["bindsMax"] = json!(BINDS);
    }
    json!({ "relays": relays })
}

fn setup(options: &Options, cluster: &Cluster) -> Setup {
    let relay = Relay { rate_per_s: relay_rate(options.rate), window: WINDOW, binds: BINDS };
    let mut setup = Setup::usual(&cluster.sim.relays, relay, "kill");
    setup.accounts.push("kill-once".to_owned());
    setup.shares = cluster.sim.relays.iter().map(|(name, _)| name.clone()).zip(SHARES).collect();
    setup.requests_per_s = Some(1_000_000);
    setup
}

impl Run<'_> {
    /// All events, and the quiet time after the last one.
    async fn play(&mut self) -> Result<()> {
        let lease = Duration::from_secs(u64::from(LEASE_S));
        let steps = plan::steps(self.options.seed, &self.options.phases, self.cluster.nodes.len(), lease);
        let mut last = 0;
        let mut due = Instant::now();
        for (number, step) in steps.iter().enumerate() {
            due += step.wait;
            tokio::time::sleep_until(due.into()).await;
            let begin = Instant::now();
            let what = self.happen(step).await.with_context(|| format!("event {} ({step:?})", number + 1))?;
            // What takes its time moves what follows; kills stay on their beat.
            if begin.elapsed() > step.wait.min(plan::AFTER_LAST) || !matches!(step.event, Event::Kill { .. }) {
                due = Instant::now();
            }
            let submits: u64 = self.cluster.sim.totals().await?.values().map(|totals| totals.submits).sum();
            eprintln!(
                "{:>4}/{} {:>6.1} s  {what:<44} submits {submits:>8} (+{})",
                number + 1,
                steps.len(),
                self.begin.elapsed().as_secs_f64(),
                submits - last
            );
            last = submits;
        }
        tokio::time::sleep(plan::AFTER_LAST).await;
        Ok(())
    }

    /// Makes it happen; returns what happened in words.
    async fn happen(&mut self, step: &Step) -> Result<String> {
        let set = self.cluster.services.set.clone();
        match step.event {
            Event::Kill { node } => {
                let node = &self.cluster.nodes[node];
                let was = if node.look().is_ready { "" } else { " while it starts" };
                let found = node.signal(Signal::Kill).await;
                Ok(format!("kill -9 {}{}", node.seat.name, if found { was } else { ": was down" }))
            }
            Event::Pause { node, frozen } => {
                let node = &self.cluster.nodes[node];
                node.ready(BACK_LIMIT).await?;
                let before = node.look().ends.lost;
                ensure!(node.signal(Signal::Stop).await, "{} is not there to be frozen", node.seat.name);
                tokio::time::sleep(frozen).await;
                ensure!(node.signal(Signal::Continue).await, "{} is not there to go on", node.seat.name);
                let until = Instant::now() + plan::AFTER_LAST;
                while node.look().ends.lost == before && Instant::now() < until {
                    tokio::time::sleep(FLUSH_EVERY / 20).await;
                }
                let then = if node.look().ends.lost > before { "it gave up its node" } else { "it went on" };
                Ok(format!("{} frozen {} s; {then}", node.seat.name, frozen.as_secs()))
            }
            Event::Database { away } => {
                set.kill9(Which::Mariadb).await?;
                self.prober.while_away(away, &mut self.probes).await;
                let since = Instant::now();
                set.start(Which::Mariadb).await?;
                self.prober.until_back(since, &mut self.probes).await?;
                Ok(format!("MariaDB killed, away {} ms", away.as_millis()))
            }
            Event::Cache { away } => {
                set.kill9(Which::Redis).await?;
                tokio::time::sleep(away).await;
                set.start(Which::Redis).await?;
                set.flush(Which::Redis).await?;
                Ok(format!("Redis killed, away {} ms, emptied", away.as_millis()))
            }
            Event::Pairs { count } => self.fire_pairs(count).await,
        }
    }

    async fn fire_pairs(&mut self, count: u32) -> Result<String> {
        let [one, two, ..] = self.prober.servers.as_slice() else { bail!("pairs need two servers") };
        let servers = [one.clone(), two.clone()];
        let mut said = Vec::new();
        let kinds = [("key", Same::Key, &self.prober.member), ("content", Same::Content, &self.once)];
        for (name, same, member) in kinds {
            let prefix = format!("kill-{}-pair-{name}", self.options.seed);
            let target = pairs::Target { servers: servers.clone(), member: member.clone(), prefix, same };
            let report = pairs::fire(&target, count).await?;
            said.push(format!("{count} pairs ({name}): {} messages", report.messages));
            self.pairs.push((name, report));
        }
        Ok(said.join(", "))
    }

    /// Writes the file of all ids that anybody was given, and counts them.
    fn write_acked(&self, plan: &load::Plan) -> Result<u64> {
        let mut ids: BTreeSet<String> = load::ids(plan)?.lines().map(str::to_owned).collect();
        ids.extend(self.probes.ids.iter().cloned());
        ids.extend(self.pairs.iter().flat_map(|(_, pairs)| pairs.ids.iter().cloned()));
        let text: String = ids.iter().map(|id| format!("{id}\n")).collect();
        std::fs::write(self.acked_file(), text)?;
        Ok(ids.len() as u64)
    }

    fn acked_file(&self) -> PathBuf {
        self.directory.join("acked")
    }

    /// Waits until everything is final, then closes the books and stops the processes.
    async fn finish(self, before: u64, acked: u64, loads: Vec<Named>) -> Result<Counted> {
        let since = Instant::now();
        let file = self.acked_file();
        let (audit, is_clean) = loop {
            let (audit, is_clean) = self.audit(Some(&file)).await?;
            let (open, finals) = (audit["open"].as_u64().unwrap_or(0), audit["final"].as_u64().unwrap_or(0));
            eprintln!("final {finals:>8} of {:>8}  {:>5.1} s", finals + open, since.elapsed().as_secs_f64());
            if open == 0 || since.elapsed() > FINAL_LIMIT {
                break (audit, is_clean);
            }
            tokio::time::sleep(LOOK).await;
        };
        let final_after = since.elapsed();
        let sim = self.cluster.sim.stats().await?;
        let ends = self.cluster.nodes.iter().map(|node| (node.seat.name.clone(), node.look().ends)).collect();
        let nodes = self.cluster.nodes.iter().map(crate::cluster::Node::document).collect();
        let had_outages = self.options.phases.iter().any(|phase| matches!(phase, Phase::Engines(_)));
        let (probes, pairs) = (self.probes, self.pairs);
        self.cluster.stop().await?;
        Ok(Counted {
            audit,
            is_clean,
            before,
            acked,
            sim,
            binds: u64::from(BINDS),
            loads,
            ends,
            had_outages,
            probes,
            pairs,
            nodes,
            final_after,
        })
    }

    /// `bongsu audit` beside the processes; what it printed, and whether it was content.
    async fn audit(&self, acked: Option<&Path>) -> Result<(Value, bool)> {
        let mut command = Command::new(&self.programs.bongsu);
        command.args(["audit", "--json", "--data"]).arg(self.cluster.first_data());
        command.envs(&self.cluster.environment).stdin(Stdio::null()).kill_on_drop(true);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.directory.join("audit.log"))?;
        command.stderr(log);
        if let Some(acked) = acked {
            command.arg("--acked").arg(acked).args(["--sim", &format!("http://{}", self.cluster.sim.control.address)]);
        }
        let output = command.output().await.context("cannot run bongsu audit")?;
        let document = serde_json::from_slice(&output.stdout).with_context(|| {
            format!("bongsu audit ({}) printed no JSON: {}", output.status, String::from_utf8_lossy(&output.stdout))
        })?;
        Ok((document, output.status.success()))
    }
}

/// Empties Redis every second until it is dropped.
struct Flushing(JoinHandle<()>);

impl Flushing {
    fn start(set: Set) -> Self {
        Self(tokio::spawn(async move {
            loop {
                tokio::time::sleep(FLUSH_EVERY).await;
                // While it is killed it has nothing to forget.
                let _ = set.flush(Which::Redis).await;
            }
        }))
    }
}

impl Drop for Flushing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relays_hold_their_clients_to_rate_and_binds() {
        let script = behaviour(relay_rate(1_000.0));
        for relay in RELAYS {
            assert_eq!(script["relays"][relay]["rateLimitPerS"], 700, "{relay}");
            assert_eq!(script["relays"][relay]["bindsMax"], BINDS, "{relay}");
            assert!(script["relays"][relay]["receiptsAnywhere"].as_f64().is_some_and(|share| share > 0.0), "{relay}");
        }
    }
}
