//! Child processes: their start, their signals, and what the kernel says about their CPU and memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

/// Ticks of `/proc/PID/stat` in a second: fixed for user space on Linux (USER_HZ).
const TICKS_PER_S: u64 = 100;

/// A signal by the name `kill` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Asks to stop.
    Term,
    /// Stops at once, no clean-up.
    Kill,
    /// Freezes.
    Stop,
    /// Goes on.
    Continue,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Term => "-TERM",
            Self::Kill => "-KILL",
            Self::Stop => "-STOP",
            Self::Continue => "-CONT",
        }
    }
}

/// What to start.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment on top of our own.
    pub environment: BTreeMap<String, String>,
    /// Where its stderr is appended.
    pub log: PathBuf,
}

/// A running child; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: u32,
    name: String,
}

impl Process {
    /// Starts without waiting for anything; stdout goes to the log as well.
    pub fn start(launch: &Launch) -> Result<Self> {
        let log = open_log(&launch.log)?;
        let out = log.try_clone().context("cannot share the log")?;
        Self::spawn(launch, out.into(), log.into())
    }

    /// Starts and waits for the first line of its stdout that `wanted` takes; the rest of stdout is read and dropped.
    /// `Ok(Err(status))` when the process ended before.
    pub async fn start_until<T>(
        launch: &Launch,
        limit: Duration,
        wanted: impl Fn(&str) -> Option<T>,
    ) -> Result<Result<(Self, T), ExitStatus>> {
        let mut process = Self::spawn(launch, Stdio::piped(), open_log(&launch.log)?.into())?;
        let stdout = process.child.stdout.take().context("stdout was asked for")?;
        let mut lines = BufReader::new(stdout).lines();
        let until = Instant::now() + limit;
        loop {
            let line = tokio::time::timeout(until.saturating_duration_since(Instant::now()), lines.next_line());
            match line.await {
                Err(_) => bail!("{} said nothing in {} s; see {}", process.name, limit.as_secs(), launch.log.display()),
                Ok(Ok(Some(line))) => {
                    if let Some(found) = wanted(&line) {
                        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                        return Ok(Ok((process, found)));
                    }
                }
                Ok(_) => return Ok(Err(process.child.wait().await?)),
            }
        }
    }

    /// Starts without waiting for anything; `tell` gets every line of its stdout.
    pub fn start_telling(launch: &Launch, mut tell: impl FnMut(&str) + Send + 'static) -> Result<Self> {
        let mut process = Self::spawn(launch, Stdio::piped(), open_log(&launch.log)?.into())?;
        let mut lines = BufReader::new(process.child.stdout.take().context("stdout was asked for")?).lines();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                tell(&line);
            }
        });
        Ok(process)
    }

    fn spawn(launch: &Launch, stdout: Stdio, stderr: Stdio) -> Result<Self> {
        let (program, arguments) = launch.command.split_first().context("nothing to start")?;
        let mut command = Command::new(program);
        command.args(arguments).envs(&launch.environment).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        // A child of its own group: Ctrl-C reaches only us, and we stop the children in order.
        let child =
            command.process_group(0).kill_on_drop(true).spawn().with_context(|| format!("cannot start {program}"))?;
        let pid = child.id().context("a new child has a process id")?;
        let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { child, pid, name })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// True when it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal.
    pub async fn signal(&mut self, signal: Signal) -> Result<()> {
        if signal == Signal::Kill {
            return self.child.start_kill().context("cannot kill");
        }
        let sent = send(self.pid, signal).await;
        if sent.is_err() && !self.has_ended() {
            bail!("cannot send {} to {}", signal.name(), self.name);
        }
        Ok(())
    }

    /// Waits for its end.
    pub async fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => bail!("{} did not end in {} s", self.name, limit.as_secs()),
        }
    }

    /// Kills at once and waits for the end.
    pub async fn kill(&mut self) -> Result<()> {
        if !self.has_ended() {
            self.signal(Signal::Kill).await?;
        }
        self.wait(Duration::from_secs(30)).await.map(drop)
    }

    /// Asks to stop and waits; kills when it takes longer than the limit.
    pub async fn stop(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::Term).await?;
        match self.wait(limit).await {
            Ok(status) => Ok(status),
            Err(error) => {
                self.kill().await?;
                Err(error)
            }
        }
    }
}

/// Sends a signal to a process that need not be a child.
pub async fn send(pid: u32, signal: Signal) -> Result<()> {
    let kill = format!("kill {} {pid}", signal.name());
    let output = Command::new("sh").args(["-c", &kill]).stdin(Stdio::null()).output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// A process group that ends with its owner: the children of a child are reached as well.
#[derive(Debug)]
pub struct Group {
    leader: Option<u32>,
    signal: Signal,
}

impl Group {
    /// Of a child that was started with `process_group(0)`; gets the signal when this is dropped.
    pub fn of(child: &Child, signal: Signal) -> Self {
        Self { leader: child.id(), signal }
    }

    /// There is nothing left to end.
    pub fn has_ended(mut self) {
        self.leader = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(leader) = self.leader else { return };
        // Without a `--`, which not every shell takes here.
        let kill = format!("kill {} -{leader}", self.signal.name());
        // Best effort: it may have ended.
        let _ = std::process::Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status();
    }
}

/// What a shell answers for a program that Ctrl-C ended.
pub const INTERRUPTED: u8 = 130;

/// Ends when somebody asks us to.
pub async fn interrupted() -> Result<()> {
    let mut term = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    tokio::select! {
        asked = tokio::signal::ctrl_c() => asked.context("cannot wait for Ctrl-C"),
        _ = term.recv() => Ok(()),
    }
}

fn open_log(path: &Path) -> Result<std::fs::File> {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    file.with_context(|| format!("cannot write {}", path.display()))
}

/// CPU time that a process has used, in microseconds; `None` when it is gone.
pub fn cpu_us(pid: u32) -> Option<u64> {
    parse_cpu_us(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// User and system time of a `/proc/PID/stat` line. The name of the process may hold spaces and brackets, so fields are
/// counted after its closing one.
fn parse_cpu_us(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 2..)?.split(' ').collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(ticks * 1_000_000 / TICKS_PER_S)
}

/// Memory of a process in MiB.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Memory {
    /// Resident now.
    pub rss: f64,
    /// Largest since the start or since [`forget_peak`].
    pub peak: f64,
}

/// Memory of a process; `None` when it is gone.
pub fn memory(pid: u32) -> Option<Memory> {
    parse_memory(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// Starts a new peak from what is resident now.
pub fn forget_peak(pid: u32) {
    // Not every kernel allows it; then the peak counts from the start of the process, which is the stricter number.
    let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

fn parse_memory(status: &str) -> Option<Memory> {
    let mib = |name: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(name))?;
        let kib: f64 = line.trim().split(' ').next()?.parse().ok()?;
        Some(kib / 1024.0)
    };
    Some(Memory { rss: mib("VmRSS:")?, peak: mib("VmHWM:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_of_a_stat_line() {
        let line =
            "42 (a (b) c) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 3 0 12345 1000 200 18446744073709551615";
        assert_eq!(parse_cpu_us(line), Some(2_000_000));
        assert_eq!(parse_cpu_us("42 (x"), None);
    }

    #[test]
    fn memory_of_a_status_file() {
        let text = "Name:\tx\nVmPeak:\t  9999 kB\nVmHWM:\t    4096 kB\nVmRSS:\t    2048 kB\n";
        assert_eq!(parse_memory(text), Some(Memory { rss: 2.0, peak: 4.0 }));
        assert_eq!(parse_memory("Name:\tzombie\n"), None);
    }

    #[tokio::test]
    async fn a_group_ends_with_its_owner() {
        use std::os::unix::process::ExitStatusExt as _;
        // Two processes, of which the inner one never ends by itself.
        let mut command = Command::new("sh");
        command.args(["-c", "tail -f /dev/null; true"]).process_group(0).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("sh is everywhere");
        let mut stdout = child.stdout.take().expect("asked for");
        drop(Group::of(&child, Signal::Term));
        assert_eq!(child.wait().await.expect("ended").signal(), Some(15));
        // The inner one held the pipe open.
        tokio::io::AsyncReadExt::read_to_end(&mut stdout, &mut Vec::new()).await.expect("closed");
    }

    #[test]
    fn our_own_process_can_be_read() {
        let pid = std::process::id();
        assert!(cpu_us(pid).is_some());
        assert!(memory(pid).is_some_and(|m| m.peak >= m.rss && m.rss > 0.0));
    }
}
