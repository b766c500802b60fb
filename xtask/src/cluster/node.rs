//! One supervised process: started again whenever it ends, until it is asked to stop.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::plan::Seat;
use crate::process::{self, Launch, Process, Signal};

/// Exit code of a process whose node went to others; it is to be started again.
const LOST_NODE: i32 = 4;
/// What a process leaves that was killed.
const KILLED: i32 = 9;
/// One that ended before it was ready is not started again at once, or it would be started in a tight loop while what it
/// needs is away.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// A graceful stop is over by then.
const STOP_LIMIT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

/// How often a process ended, by cause.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ends {
    /// `kill -9`.
    pub killed: u32,
    /// Others took over, so it ended by itself.
    pub lost: u32,
    /// It could not start.
    pub unready: u32,
    /// Anything else, after it was ready.
    pub failed: Vec<String>,
}

/// What is known of a process.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// Process id, while it runs.
    pub pid: Option<u32>,
    /// Said that it serves.
    pub is_ready: bool,
    /// How often it was started.
    pub starts: u32,
    /// How often it ended.
    pub ends: Ends,
    /// The last start.
    pub since: Option<Instant>,
    /// The longest time from a start to the ready line.
    pub slowest_start: Duration,
}

/// A process and whoever starts it again; all of it ends when this is dropped.
#[derive(Debug)]
pub struct Node {
    /// Its name, role and port.
    pub seat: Seat,
    look: Arc<Mutex<Look>>,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<Result<()>>>,
}

impl Node {
    /// Starts it and watches over it.
    pub fn start(seat: Seat, launch: Launch) -> Self {
        let look = Arc::new(Mutex::new(Look::default()));
        let (stop, asked) = watch::channel(false);
        let task = tokio::spawn(supervise(launch, Arc::clone(&look), asked));
        Self { seat, look, stop, task: Some(task) }
    }

    /// `host:port` where it listens.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.seat.port)
    }

    /// How it is now.
    pub fn look(&self) -> Look {
        lock(&self.look).clone()
    }

    /// Waits until it serves.
    pub async fn ready(&self, limit: Duration) -> Result<()> {
        let until = Instant::now() + limit;
        while !lock(&self.look).is_ready {
            if Instant::now() > until || self.task.as_ref().is_none_or(JoinHandle::is_finished) {
                bail!("{} is not ready after {} s", self.seat.name, limit.as_secs());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Sends a signal to the process that runs now; true when there was one.
    pub async fn signal(&self, signal: Signal) -> bool {
        let Some(pid) = lock(&self.look).pid else { return false };
        process::send(pid, signal).await.is_ok()
    }

    /// Asks it to stop and waits; it must end well by itself.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.send_replace(true);
        match self.task.take() {
            Some(task) => task.await?,
            None => Ok(()),
        }
    }

    /// Its part of a report.
    pub fn document(&self) -> Value {
        let look = self.look();
        json!({
            "name": self.seat.name,
            "role": self.seat.role.name(),
            "starts": look.starts,
            "slowestStartMs": look.slowest_start.as_millis() as u64,
            "killed": look.ends.killed,
            "lostNode": look.ends.lost,
            "endedBeforeReady": look.ends.unready,
            "failed": look.ends.failed,
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

fn lock(look: &Mutex<Look>) -> MutexGuard<'_, Look> {
    look.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn supervise(launch: Launch, look: Arc<Mutex<Look>>, mut asked: watch::Receiver<bool>) -> Result<()> {
    loop {
        let (begin, told) = (Instant::now(), Arc::clone(&look));
        let mut process = Process::start_telling(&launch, move |line| {
            if is_ready_line(line) {
                let mut look = lock(&told);
                look.is_ready = true;
                look.slowest_start = look.slowest_start.max(begin.elapsed());
            }
        })?;
        {
            let mut look = lock(&look);
            (look.pid, look.is_ready, look.since) = (Some(process.pid()), false, Some(begin));
            look.starts += 1;
        }
        let status = tokio::select! {
            status = process.wait(Duration::MAX) => status?,
            () = until_asked(&mut asked) => {
                let status = process.stop(STOP_LIMIT).await?;
                lock(&look).pid = None;
                // Killed or out of its node just before it was asked.
                if !status.success() && !matches!(end_of(status), End::Killed | End::Lost) {
                    bail!("ended with {status} when asked to stop; see {}", launch.log.display());
                }
                return Ok(());
            }
        };
        let was_ready = {
            let mut look = lock(&look);
            let was_ready = look.is_ready;
            (look.pid, look.is_ready) = (None, false);
            match end_of(status) {
                End::Killed => look.ends.killed += 1,
                End::Lost => look.ends.lost += 1,
                End::Other if !was_ready => look.ends.unready += 1,
                End::Other => look.ends.failed.push(status.to_string()),
            }
            was_ready
        };
        if !was_ready {
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}

async fn until_asked(asked: &mut watch::Receiver<bool>) {
    // Without a sender nobody waits for the outcome; then it is aborted.
    if asked.wait_for(|asked| *asked).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Why a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Killed,
    Lost,
    Other,
}

fn end_of(status: std::process::ExitStatus) -> End {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(LOST_NODE), _) => End::Lost,
        (_, Some(KILLED)) => End::Killed,
        _ => End::Other,
    }
}

fn is_ready_line(line: &str) -> bool {
    serde_json::from_str::<Value>(line).is_ok_and(|line| line["event"] == "ready")
}

#[cfg(test)]
mod tests {
    use super::super::plan::Role;
    use super::*;

    fn node(script: &str) -> Node {
        let seat = Seat { name: "api-1".into(), role: Role::Api, port: 1 };
        let command = ["sh", "-c", script].map(str::to_owned).into();
        Node::start(seat, Launch { command, environment: Default::default(), log: "/dev/null".into() })
    }

    async fn until(node: &Node, wanted: impl Fn(&Look) -> bool) -> Look {
        loop {
            let look = node.look();
            if wanted(&look) {
                return look;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_killed_process_is_started_again() {
        let node = node("echo '{\"event\":\"ready\"}'; exec tail -f /dev/null");
        let first = until(&node, |look| look.is_ready).await;
        assert!(node.signal(Signal::Kill).await);
        let second = until(&node, |look| look.is_ready && look.starts == 2).await;
        assert_ne!(first.pid, second.pid);
        assert_eq!(second.ends, Ends { killed: 1, ..Ends::default() });
    }

    #[tokio::test]
    async fn the_causes_are_told_apart() {
        let lost = node("echo '{\"event\":\"ready\"}'; exit 4");
        assert!(until(&lost, |look| look.ends.lost > 0).await.ends.failed.is_empty());
        let unready = node("exit 1");
        assert!(until(&unready, |look| look.starts == 2).await.ends.unready == 1);
    }

    #[tokio::test]
    async fn a_stop_ends_it_for_good_and_says_how() {
        let good = node("trap 'kill $!; exit 0' TERM; tail -f /dev/null & echo '{\"event\":\"ready\"}'; wait");
        until(&good, |look| look.is_ready).await;
        assert!(good.stop().await.is_ok());
        let bad = node("trap 'kill $!; exit 1' TERM; tail -f /dev/null & echo '{\"event\":\"ready\"}'; wait");
        until(&bad, |look| look.is_ready).await;
        assert!(bad.stop().await.is_err());
    }
}
