//! The load on a cluster: two generators, one for single messages and one for batches, over all processes that take them.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::{Child, Command};

use crate::build::Programs;
use crate::loadgen::Report;
use crate::process::{self, Signal};
use crate::world::Member;

/// A caller gives a request up after 120 s, and the last one began when the load was asked to stop.
const END_LIMIT: Duration = Duration::from_secs(150);
/// Of ten messages this many go out one by one.
const SINGLE_OF_TEN: f64 = 7.0;
/// Messages of a batch.
const ROWS: u32 = 50;
/// Ordinals of the batches begin here.
const BATCHES_FROM: u64 = 50_000_000;

/// Who sends what, and where.
#[derive(Debug)]
pub struct Plan {
    pub programs: Programs,
    pub folder: PathBuf,
    /// `http://host:port` of every process that takes requests.
    pub urls: Vec<String>,
    pub member: Member,
    /// Messages a second, of both generators together.
    pub rate: f64,
    /// Begins every idempotency key.
    pub prefix: String,
}

/// The generators while they run.
#[derive(Debug)]
pub struct Load {
    children: Vec<(&'static str, Child)>,
}

/// A generator and what it counted.
pub type Named = (&'static str, Report);

impl Load {
    /// Starts both.
    pub fn start(plan: &Plan) -> Result<Self> {
        let single = plan.rate * SINGLE_OF_TEN / 10.0;
        let kinds = [
            ("single", "realtime", "mixed", single, 256, 0),
            ("batch", "bulk", "short", plan.rate - single, 32, BATCHES_FROM),
        ];
        let mut children = Vec::new();
        for (mode, lane, sample, rate, connections, first) in kinds {
            let log = std::fs::OpenOptions::new().create(true).append(true).open(plan.folder.join("loadgen.log"))?;
            let mut command = Command::new(&plan.programs.xtask);
            command
                .args(["loadgen", "--retry", "--mode", mode, "--lane", lane, "--sample", sample])
                .args(["--from", &plan.member.from, "--rate", &rate.to_string(), "--rows", &ROWS.to_string()])
                .args(["--connections", &connections.to_string(), "--first", &first.to_string()])
                .args(["--idempotency", &format!("{}-{mode}", plan.prefix)])
                .arg("--acked")
                .arg(acked(plan, mode));
            for url in &plan.urls {
                command.args(["--url", url]);
            }
            command.env("BONGSU_KEY", &plan.member.key).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
            let child = command.process_group(0).kill_on_drop(true).spawn().context("cannot start a load generator")?;
            children.push((mode, child));
        }
        Ok(Self { children })
    }

    /// Offers nothing more, and waits until everything offered is answered.
    pub async fn finish(self) -> Result<Vec<Named>> {
        for (_, child) in &self.children {
            process::send(child.id().context("a load generator ended by itself")?, Signal::Term).await?;
        }
        let mut reports = Vec::new();
        for (mode, child) in self.children {
            let output = tokio::time::timeout(END_LIMIT, child.wait_with_output());
            let output = output.await.context("the load does not end")??;
            let report = serde_json::from_slice(&output.stdout)
                .with_context(|| format!("the load generator ({mode}) ended with {}", output.status))?;
            reports.push((mode, report));
        }
        Ok(reports)
    }
}

/// The file of the ids that a generator was given.
fn acked(plan: &Plan, mode: &str) -> PathBuf {
    plan.folder.join(format!("acked-{mode}"))
}

/// The ids of all generators, one a line.
pub fn ids(plan: &Plan) -> Result<String> {
    let mut all = String::new();
    for mode in ["single", "batch"] {
        let path = acked(plan, mode);
        all.push_str(&std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    Ok(all)
}
