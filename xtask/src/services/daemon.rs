//! A server that outlives the command which started it: its start, its pid file, and the proof that it is ours.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use super::request::last_lines;
use crate::process::{self, Signal};

const PID_FILE: &str = "pid";
const LOG_FILE: &str = "log";
const LOOK: Duration = Duration::from_millis(10);
/// Ticks of `/proc/PID/stat` in a second (USER_HZ).
const TICKS_PER_S: u64 = 100;

/// A running server of one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// Process id.
    pub pid: u32,
    /// True when it was frozen.
    pub paused: bool,
    /// Tells it from a later process with the same id.
    started_ticks: u64,
    program: String,
    folder: PathBuf,
}

/// Where a server of this folder writes.
pub fn log_file(folder: &Path) -> PathBuf {
    folder.join(LOG_FILE)
}

/// The end of its log.
pub fn log_end(folder: &Path) -> String {
    let log = std::fs::read(log_file(folder)).unwrap_or_default();
    last_lines(&String::from_utf8_lossy(&log), 8)
}

impl Daemon {
    /// The server of this folder: its pid file names a process, and the command line of that process names the program
    /// and the folder. A pid that now belongs to something else is nobody's.
    pub fn find(folder: &Path, program: &str) -> Option<Self> {
        let pid: u32 = std::fs::read_to_string(folder.join(PID_FILE)).ok()?.trim().parse().ok()?;
        let stat = stat(pid)?;
        // That of a zombie is empty.
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let arguments: Vec<String> =
            line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let (program, folder) = (program.to_owned(), folder.to_path_buf());
        let (paused, started_ticks) = (stat.state == 'T', stat.started_ticks);
        is_ours(&arguments, &program, &folder).then_some(Self { pid, paused, started_ticks, program, folder })
    }

    /// Starts it in a process group of its own, so that the Ctrl-C for a command does not reach it.
    pub async fn start(command: &[String], path: &Path, folder: &Path) -> Result<Self> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log_file(folder));
        let log = log.with_context(|| format!("cannot write {}", log_file(folder).display()))?;
        let program = command.first().context("nothing to start")?.clone();
        let mut start = Command::new(path);
        start.args(&command[1..]).current_dir(folder).process_group(0);
        start.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // Dropped without a wait: tokio reaps it if it ends while we still run.
        let child = start.spawn().with_context(|| format!("cannot start {program}"))?;
        let pid = child.id().context("a new child has a process id")?;
        write_pid(folder, pid)?;
        let started_ticks = stat(pid).map_or(0, |stat| stat.started_ticks);
        let own = Self { pid, paused: false, started_ticks, program, folder: folder.to_path_buf() };
        // Just after the exec its command line is empty for a moment.
        own.until("start", Duration::from_secs(30), || own.is_alive() || own.has_ended()).await?;
        Ok(own)
    }

    /// True while it runs and is known as ours.
    fn is_alive(&self) -> bool {
        Self::find(&self.folder, &self.program).is_some_and(|found| found.pid == self.pid)
    }

    /// Sends a signal, after another look at whose process it is.
    async fn signal(&self, signal: Signal) -> Result<()> {
        if !self.is_alive() {
            bail!("{} {} is gone", self.program, self.pid);
        }
        process::send(self.pid, signal).await.with_context(|| format!("cannot signal {} {}", self.program, self.pid))
    }

    /// Asks it to stop and waits; a frozen one is woken, or it would not hear.
    pub async fn stop(&self, limit: Duration) -> Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        self.signal(Signal::Term).await?;
        if self.paused {
            // It may have gone by itself in between.
            let _ = self.signal(Signal::Continue).await;
        }
        self.gone(limit).await
    }

    /// Kills it at once and waits until it is gone.
    pub async fn kill(&self) -> Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        self.signal(Signal::Kill).await?;
        self.gone(Duration::from_secs(30)).await
    }

    /// Freezes it and waits until each of its threads stands still.
    pub async fn pause(&self) -> Result<()> {
        self.signal(Signal::Stop).await?;
        let is_frozen = || threads(self.pid).iter().all(|stat| matches!(stat.state, 'T' | 'Z' | 'X'));
        self.until("stand still", Duration::from_secs(30), is_frozen).await
    }

    /// Lets it go on and waits until it does.
    pub async fn resume(&self) -> Result<()> {
        self.signal(Signal::Continue).await?;
        let goes_on = || threads(self.pid).iter().all(|stat| stat.state != 'T');
        self.until("go on", Duration::from_secs(30), goes_on).await
    }

    async fn gone(&self, limit: Duration) -> Result<()> {
        self.until("end", limit, || self.has_ended()).await
    }

    /// Its port and its files are free only when the last thread is gone, which is after its command line is.
    pub fn has_ended(&self) -> bool {
        let own = stat(self.pid).filter(|stat| stat.started_ticks == self.started_ticks);
        own.is_none() || threads(self.pid).iter().all(|stat| matches!(stat.state, 'Z' | 'X'))
    }

    async fn until(&self, what: &str, limit: Duration, is_so: impl Fn() -> bool) -> Result<()> {
        let until = Instant::now() + limit;
        while !is_so() {
            if Instant::now() > until {
                bail!("{} {} did not {what} in {} s", self.program, self.pid, limit.as_secs());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// True when it is this process that listens there, and not another that was quicker.
    pub fn listens_on(&self, port: u16) -> bool {
        let tables =
            ["tcp", "tcp6"].map(|name| std::fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default());
        let sockets: Vec<String> =
            tables.iter().flat_map(|table| listeners(table, port)).map(|inode| format!("socket:[{inode}]")).collect();
        let Ok(files) = std::fs::read_dir(format!("/proc/{}/fd", self.pid)) else { return false };
        let mut targets = files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
        targets.any(|target| sockets.iter().any(|socket| target.as_os_str() == socket.as_str()))
    }

    /// Resident memory in MiB.
    pub fn memory_mib(&self) -> Option<f64> {
        process::memory(self.pid).map(|memory| memory.rss)
    }

    /// Since its start.
    pub fn uptime(&self) -> Option<Duration> {
        let stat = stat(self.pid)?;
        let machine = std::fs::read_to_string("/proc/uptime").ok()?;
        let machine: f64 = machine.split_whitespace().next()?.parse().ok()?;
        let started = stat.started_ticks as f64 / TICKS_PER_S as f64;
        Duration::try_from_secs_f64(machine - started).ok()
    }
}

/// As a whole, so that nobody reads half of it. The servers write theirs elsewhere: one file has one writer.
fn write_pid(folder: &Path, pid: u32) -> Result<()> {
    let part = folder.join("pid.part");
    let written =
        std::fs::write(&part, format!("{pid}\n")).and_then(|()| std::fs::rename(&part, folder.join(PID_FILE)));
    written.context("cannot write the pid file")
}

/// True when the command line runs this program on this folder.
fn is_ours(arguments: &[String], program: &str, folder: &Path) -> bool {
    let Some((first, rest)) = arguments.split_first() else { return false };
    let is_program = Path::new(first).file_name().is_some_and(|name| name == program);
    let is_inside = |word: &str| Path::new(word).starts_with(folder);
    is_program && rest.iter().any(|word| is_inside(word) || word.split_once('=').is_some_and(|(_, v)| is_inside(v)))
}

/// Inodes of the sockets that listen on a port, from `/proc/net/tcp`.
fn listeners(table: &str, port: u16) -> Vec<&str> {
    let (local, listening) = (format!(":{port:04X}"), "0A");
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let own = rows.filter(|row| row.len() > 9 && row[1].ends_with(&local) && row[3] == listening);
    own.map(|row| row[9]).collect()
}

struct Stat {
    state: char,
    started_ticks: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// One for each thread; those that end meanwhile are left out.
fn threads(pid: u32) -> Vec<Stat> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let texts = entries.flatten().filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    texts.filter_map(|text| parse_stat(&text)).collect()
}

/// Fields 3 and 22 of `/proc/PID/stat`, counted after the name, which may hold spaces and brackets.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.get(text.rfind(')')? + 2..)?.split_whitespace().collect();
    Some(Stat { state: fields.first()?.chars().next()?, started_ticks: fields.get(19)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_process_is_ours_when_it_runs_our_program_on_our_folder() {
        let folder = Path::new("/scratch/services/mariadb");
        for line in
            ["/usr/sbin/mariadbd --datadir=/scratch/services/mariadb/data", "mariadbd /scratch/services/mariadb"]
        {
            assert!(is_ours(&words(line), "mariadbd", folder), "{line}");
        }
        for line in [
            "/usr/sbin/mariadbd --datadir=/var/lib/mysql",
            "/usr/sbin/mariadbd --datadir=/scratch/services/mariadb-replica/data",
            "tail -f /scratch/services/mariadb/log",
            "/scratch/services/mariadb/data",
            "",
        ] {
            assert!(!is_ours(&words(line), "mariadbd", folder), "{line}");
        }
        assert!(!is_ours(&[], "mariadbd", folder));
    }

    #[test]
    fn state_and_start_of_a_stat_line() {
        let line = "42 (a (b) c) T 1 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 3 0 12345 1000 200";
        let stat = parse_stat(line).expect("whole");
        assert_eq!((stat.state, stat.started_ticks), ('T', 12_345));
        assert!(parse_stat("42 (x").is_none());
    }

    #[test]
    fn listeners_of_a_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:33FA 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 771 1 0 100 0 0 10 0
   1: 0100007F:33FA 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 772 1 0 100 0 0 10 0
   2: 0100007F:C001 0100007F:33FA 0A 00000000:00000000 00:00000000 00000000     0        0 773 1 0 100 0 0 10 0
";
        assert_eq!(listeners(table, 13_306), ["771"]);
        assert!(listeners(table, 80).is_empty() && listeners("", 80).is_empty());
    }

    #[test]
    fn our_own_listener_is_known() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let daemon =
            |pid| Daemon { pid, paused: false, started_ticks: 0, program: String::new(), folder: PathBuf::new() };
        assert!(daemon(std::process::id()).listens_on(port));
        assert!(!daemon(std::os::unix::process::parent_id()).listens_on(port));
    }

    #[tokio::test]
    async fn a_server_is_found_frozen_woken_and_killed() {
        let folder = std::env::temp_dir().join(format!("bongsu-daemon-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(log_file(&folder), "").expect("a log");
        // It waits for its own log to grow: a server that never ends.
        let command = ["tail", "-f", &log_file(&folder).display().to_string()].map(str::to_owned);
        let path = super::super::install::find("tail").expect("tail is everywhere");
        let daemon = Daemon::start(&command, &path, &folder).await.expect("started");
        let found = || Daemon::find(&folder, "tail");
        assert_eq!(found().as_ref(), Some(&daemon));
        assert!(daemon.uptime().is_some() && daemon.memory_mib().is_some());
        daemon.pause().await.expect("frozen");
        assert!(found().is_some_and(|daemon| daemon.paused));
        daemon.resume().await.expect("woken");
        assert!(found().is_some_and(|daemon| !daemon.paused));
        daemon.pause().await.expect("frozen again");
        let frozen = found().expect("it is there");
        frozen.stop(Duration::from_secs(30)).await.expect("woken and stopped");
        assert!(!daemon.is_alive() && found().is_none());
        daemon.kill().await.expect("gone is killed");
        daemon.signal(Signal::Term).await.expect_err("nobody is there");
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
