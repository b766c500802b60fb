//! One run of the load generator inside a measurement, followed until its last result is stored.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::process::{Child, Command};

use super::Options;
use super::field::{Look, Site};
use super::report::{CpuUs, Report};
use crate::loadgen::{self, Mode, Sample};
use crate::world::Member;

const LOOK: Duration = Duration::from_millis(100);
/// A line for the person who waits.
const PROGRESS: Duration = Duration::from_secs(5);
/// Without a new result for this long the rest counts as lost.
const QUIET_LIMIT: Duration = Duration::from_secs(60);
/// Digits of ordinals that one run may use: runs of a reused directory do not repeat texts.
const RUN_ORDINALS: u64 = 10_000_000;

/// What a generator is told.
#[derive(Debug, Clone)]
pub struct Load {
    pub mode: Mode,
    pub lane: &'static str,
    pub sample: Sample,
    pub messages: u64,
    pub seconds: f64,
    pub rate: f64,
    pub connections: usize,
    pub first: u64,
}

/// What came of a load.
#[derive(Debug)]
pub struct Outcome {
    pub sent: loadgen::Report,
    pub finals: u64,
    /// From the first request to the last result that was seen.
    pub seconds: f64,
    pub before: Look,
    pub after: Look,
}

impl Load {
    /// Starts the generator as a process of its own.
    pub fn start(&self, site: &impl Site, member: &Member, options: &Options) -> Result<Child> {
        let mode = if self.mode == Mode::Single { "single" } else { "batch" };
        let sample = match self.sample {
            Sample::Short => "short",
            Sample::Long => "long",
            Sample::Mixed => "mixed",
        };
        let log = std::fs::OpenOptions::new().create(true).append(true).open(site.directory().join("loadgen.log"))?;
        let mut command = Command::new(&site.programs().xtask);
        command
            .args(["loadgen", "--mode", mode, "--lane", self.lane, "--sample", sample])
            .args(["--url", &format!("http://{}", site.address()), "--from", &member.from])
            .args(["--rows", &options.rows.to_string(), "--rate", &self.rate.to_string()])
            .args(["--messages", &self.messages.to_string(), "--seconds", &self.seconds.to_string()])
            .args(["--connections", &self.connections.to_string(), "--first", &self.first.to_string()])
            .env("BONGSU_KEY", &member.key)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        if options.template {
            command.arg("--template");
        }
        if options.idempotency {
            command.args(["--idempotency", &format!("bench-{}-{}", std::process::id(), self.first)]);
        }
        command.spawn().context("cannot start the load generator")
    }

    /// Sends everything and waits until all of it has its result. `event` is called at every look with the results so
    /// far, to make things happen in the middle.
    pub async fn play(
        &self,
        site: &impl Site,
        member: &Member,
        options: &Options,
        mut event: impl AsyncFnMut(u64) -> Result<()>,
    ) -> Result<Outcome> {
        let before = site.look().await?;
        let base = site.finals(Some(self.lane)).await?;
        let begin = Instant::now();
        let mut child = Some(self.start(site, member, options)?);
        let mut sent = None;
        let (mut finals, mut last_new, mut last_line) = (0, begin, begin);
        loop {
            tokio::time::sleep(LOOK).await;
            if let Some(mut running) = child.take() {
                match running.try_wait()? {
                    Some(_) => {
                        sent = Some(finish(running).await?);
                        last_new = Instant::now();
                    }
                    None => child = Some(running),
                }
            }
            let now = site.finals(Some(self.lane)).await?.saturating_sub(base);
            if now > finals {
                (finals, last_new) = (now, Instant::now());
            }
            event(finals).await?;
            if last_line.elapsed() > PROGRESS {
                last_line = Instant::now();
                eprintln!("  {:>6.1} s  {finals} final", begin.elapsed().as_secs_f64());
            }
            if let Some(sent) = &sent
                && (finals >= sent.accepted || last_new.elapsed() > QUIET_LIMIT)
            {
                break;
            }
        }
        let seconds = last_new.duration_since(begin).as_secs_f64();
        let after = site.look().await?;
        let sent = sent.context("the generator reported nothing")?;
        Ok(Outcome { sent, finals, seconds, before, after })
    }
}

/// The first ordinal of this run: the minute of the day keeps runs on one directory apart.
pub fn first_ordinal() -> u64 {
    u64::from(std::process::id() % 1_000) * RUN_ORDINALS
}

/// Reads the report of a generator that has ended.
pub async fn finish(child: Child) -> Result<loadgen::Report> {
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        bail!("the load generator ended with {}", output.status);
    }
    let report: loadgen::Report =
        serde_json::from_slice(&output.stdout).context("the load generator printed no JSON")?;
    if let Some(error) = &report.first_error {
        eprintln!("  {} requests were refused or failed; the first: {error}", report.errors);
    }
    Ok(report)
}

impl Outcome {
    /// Fills in what a load tells about.
    pub fn write_to(&self, report: &mut Report) {
        let (before, after) = (&self.before, &self.after);
        let per_s = |count: f64| (self.seconds > 0.0).then(|| count / self.seconds);
        let messages = self.finals.max(1) as f64;
        let grown = |name| Some(after.metrics.sum(name, &[])? - before.metrics.sum(name, &[]).unwrap_or(0.0));
        report.offered_per_s = Some(self.sent.offered as f64 / self.sent.seconds.max(0.001));
        report.accept_per_s = Some(self.sent.accepted as f64 / self.sent.seconds.max(0.001));
        report.accepted = Some(self.sent.accepted);
        report.finals = Some(self.finals);
        report.lost = Some(self.sent.accepted as i64 - self.finals.min(self.sent.accepted) as i64);
        report.final_per_s = per_s(self.finals as f64);
        report.commits_per_s = grown("bongsu_commits_total").and_then(per_s);
        report.row_writes = grown("bongsu_row_writes_total").map(|n| n / messages);
        report.wal_bytes = grown("bongsu_wal_bytes_total").map(|n| n / messages);
        report.disk_bytes = Some(after.disk.saturating_sub(before.disk) as f64 / messages);
        report.measured_seconds = Some(self.seconds);
        report.cpu = Some(CpuUs {
            server: after.server_cpu_us.saturating_sub(before.server_cpu_us) as f64 / messages,
            generator: self.sent.cpu_us as f64 / messages,
            simulator: after.simulator_cpu_us.saturating_sub(before.simulator_cpu_us) as f64 / messages,
        });
        report.errors = (self.sent.errors > 0).then(
            || json!({ "requests": self.sent.errors, "statuses": self.sent.statuses, "first": self.sent.first_error }),
        );
        self.write_latency(report);
        self.write_relays(report);
    }

    fn write_latency(&self, report: &mut Report) {
        let between = |name, wanted: &[(&str, &str)]| {
            let after = self.after.metrics.histogram(name, wanted);
            after.since(&self.before.metrics.histogram(name, wanted)).latency()
        };
        report.latency.accept = self.sent.accept;
        for lane in ["auth", "realtime", "bulk", "ad"] {
            let latency = between("bongsu_accept_to_submit_seconds", &[("lane", lane)]);
            report.latency.accept_to_submit.insert(lane, latency);
        }
        report.latency.accept_to_final = between("bongsu_accept_to_final_seconds", &[]);
    }

    fn write_relays(&self, report: &mut Report) {
        let submits = |look: &Look, name: &str| look.relays.get(name).copied().unwrap_or_default();
        let grown: Vec<(String, u64, u64)> = self
            .after
            .relays
            .iter()
            .map(|(name, now)| {
                let then = submits(&self.before, name);
                (name.clone(), now.submits - then.submits, now.duplicates - then.duplicates)
            })
            .collect();
        let total: u64 = grown.iter().map(|(_, submits, _)| submits).sum();
        report.duplicates = Some(grown.iter().map(|(_, _, duplicates)| duplicates).sum());
        if total > 0 {
            let share = |submits: u64| (submits as f64 / total as f64 * 1e6).round() / 1e6;
            report.shares = grown.into_iter().map(|(name, submits, _)| (name, share(submits))).collect();
        }
    }
}
