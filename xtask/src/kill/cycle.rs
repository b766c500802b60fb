//! One cycle of a kill run.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};

use super::plan::{Cycle, End};
use crate::build::Programs;
use crate::loadgen::Report;
use crate::process::Signal;
use crate::world::{Member, Server, ServerOptions};

/// Load goes on for this long after a pause, so that the woken server meets new work.
const AFTER_PAUSE: Duration = Duration::from_millis(500);
/// A crash that is aimed at a point gets this long after the load.
const CRASH_GRACE: Duration = Duration::from_secs(2);
/// The load generator ends soon after the server is gone.
const LOAD_END_LIMIT: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(10);
/// What `abort` leaves.
const ABORTED: i32 = 6;

/// What stays from cycle to cycle.
#[derive(Debug)]
pub struct Field {
    pub programs: Programs,
    pub options: ServerOptions,
    pub member: Member,
    pub acked: PathBuf,
    pub log: PathBuf,
    pub ordinal: u64,
    pub seed: u64,
}

impl Field {
    /// Starts, loads, breaks; returns a line that says what happened.
    pub async fn play(&mut self, cycle: &Cycle) -> Result<String> {
        let mut options = self.options.clone();
        if let End::Crash { point, nth } = &cycle.end {
            options.environment.insert("BONGSU_CRASH_AT".into(), format!("{point}:{nth}"));
        }
        let server = match Server::try_start(&options).await? {
            Ok(server) => server,
            Err(status) => {
                if matches!(cycle.end, End::Crash { .. }) && is_abort(status) {
                    return Ok(format!("{} during the start", describe(&cycle.end)));
                }
                bail!("the server did not start again ({status}); see {}", options.log.display());
            }
        };
        let load = self.start_load(&server, cycle)?;
        let happened = break_it(server, cycle, &options).await?;
        let report = finish_load(load).await?;
        self.ordinal = report.next_ordinal;
        Ok(format!(
            "{happened:<34} {:>5} ms {:<8} rows {:>4}  accepted {:>6} of {:>6}",
            cycle.load.as_millis(),
            cycle.lane,
            cycle.rows,
            report.accepted,
            report.offered,
        ))
    }

    fn start_load(&self, server: &Server, cycle: &Cycle) -> Result<Child> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log)?;
        let (mode, connections) = if cycle.rows == 1 { ("single", 64) } else { ("batch", 4) };
        // The load outlives the server: the cut ends it, not the clock.
        let seconds = cycle.load + CRASH_GRACE + AFTER_PAUSE + Duration::from_secs(10);
        Command::new(&self.programs.xtask)
            .args(["loadgen", "--until-cut", "--mode", mode, "--lane", cycle.lane, "--sample", "mixed"])
            .args(["--url", &format!("http://{}", server.address), "--from", &self.member.from])
            .args(["--rows", &cycle.rows.to_string(), "--rate", &cycle.rate.to_string()])
            .args(["--connections", &connections.to_string(), "--first", &self.ordinal.to_string()])
            .args(["--seconds", &seconds.as_secs_f64().to_string()])
            .args(["--idempotency", &format!("kill-{}", self.seed)])
            .arg("--acked")
            .arg(&self.acked)
            .env("BONGSU_KEY", &self.member.key)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the load generator")
    }
}

/// Lets the load run and ends the server as the cycle says; returns what happened.
async fn break_it(mut server: Server, cycle: &Cycle, options: &ServerOptions) -> Result<String> {
    match &cycle.end {
        End::Kill => {
            tokio::time::sleep(cycle.load).await;
            server.process.kill().await?;
            Ok(describe(&cycle.end))
        }
        End::Crash { .. } => crash(server, cycle).await,
        End::Pause { frozen } => {
            tokio::time::sleep(cycle.load).await;
            server.process.signal(Signal::Stop).await?;
            tokio::time::sleep(*frozen).await;
            server.process.signal(Signal::Continue).await?;
            tokio::time::sleep(AFTER_PAUSE).await;
            if options.environment.contains_key("POWERCUT_DIR") {
                server.process.kill().await?;
            } else {
                server.stop().await.context("the stop after a pause")?;
            }
            Ok(describe(&cycle.end))
        }
    }
}

/// Waits for the abort at the point; kills when it does not come.
async fn crash(mut server: Server, cycle: &Cycle) -> Result<String> {
    let limit = cycle.load + CRASH_GRACE;
    let ended = tokio::time::timeout(limit, async {
        while !server.process.has_ended() {
            tokio::time::sleep(LOOK).await;
        }
    });
    if ended.await.is_err() {
        server.process.kill().await?;
        return Ok(format!("{} not reached, kill -9", describe(&cycle.end)));
    }
    let status = server.process.wait(CRASH_GRACE).await?;
    if !is_abort(status) {
        bail!("the server ended with {status} by itself");
    }
    Ok(describe(&cycle.end))
}

async fn finish_load(load: Child) -> Result<Report> {
    let output =
        tokio::time::timeout(LOAD_END_LIMIT, load.wait_with_output()).await.context("the load does not end")??;
    serde_json::from_slice(&output.stdout).with_context(|| format!("the load generator ended with {}", output.status))
}

fn is_abort(status: std::process::ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    status.signal() == Some(ABORTED)
}

fn describe(end: &End) -> String {
    match end {
        End::Kill => "kill -9".into(),
        End::Crash { point, nth } => format!("{point}:{nth}"),
        End::Pause { frozen } => format!("paused {} ms", frozen.as_millis()),
    }
}
