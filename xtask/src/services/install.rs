//! Finds the programs of a service, and installs Debian packages where they are missing.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use super::request::last_lines;

/// Where servers are that a user's PATH may leave out.
const SYSTEM: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];
/// Another apt may be at work; it is waited for.
const APT_LOCK_S: u32 = 300;
/// How often a long step says that it still runs.
const TICK: Duration = Duration::from_secs(5);

/// The path of a program: in PATH, or where the system keeps its servers.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(SYSTEM.map(PathBuf::from));
    directories.map(|directory| directory.join(program)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|data| data.is_file() && data.mode() & 0o111 != 0)
}

/// True when we run as root.
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// The package manager of Debian; reads its lists once.
#[derive(Debug, Default)]
pub struct Debian {
    is_updated: bool,
}

impl Debian {
    /// Installs packages without asking anybody; the error says what to install by hand.
    pub async fn install(&mut self, packages: &[&str]) -> Result<()> {
        let by_hand = format!("install by hand: apt-get install --no-install-recommends {}", packages.join(" "));
        self.try_install(packages).await.context(by_hand)
    }

    async fn try_install(&mut self, packages: &[&str]) -> Result<()> {
        if find("apt-get").is_none() {
            bail!("there is no apt-get on this machine");
        }
        let root = is_root();
        if !root && !sudo_is_open().await {
            bail!("not root, and sudo wants a password or is missing");
        }
        if !self.is_updated {
            run("reading the package lists", apt(root, &["update", "-qq"])).await?;
            self.is_updated = true;
        }
        let lock = format!("DPkg::Lock::Timeout={APT_LOCK_S}");
        let options = ["-o", &lock, "install", "-qq", "--yes", "--no-install-recommends"];
        run(&format!("installing {}", packages.join(" ")), apt(root, &[&options[..], packages].concat())).await
    }
}

async fn sudo_is_open() -> bool {
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", "true"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    sudo.status().await.is_ok_and(|status| status.success())
}

fn apt(root: bool, arguments: &[&str]) -> Command {
    let words = apt_words(root, arguments);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// The whole command line. `env` stands after sudo, which clears the environment.
fn apt_words(root: bool, arguments: &[&str]) -> Vec<String> {
    let sudo: &[&str] = if root { &[] } else { &["sudo", "-n"] };
    let apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"];
    [sudo, &apt, arguments].concat().into_iter().map(str::to_owned).collect()
}

async fn run(what: &str, mut command: Command) -> Result<()> {
    // Out of reach of a Ctrl-C: half an installation is worse than one that ends after us.
    command.stdin(Stdio::null()).process_group(0);
    let output: Output = tell(what, command.output()).await.with_context(|| format!("{what}: cannot run it"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("{what} ended with {}:\n{}", output.status, last_lines(&String::from_utf8_lossy(&said), 8));
    }
    Ok(())
}

/// Waits for a long step: says that it begins, every few seconds that it still runs, and when it is done.
pub async fn tell<T, E>(what: &str, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let begin = Instant::now();
    eprintln!("{what} …");
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + TICK, TICK);
    let mut work = std::pin::pin!(work);
    let outcome = loop {
        tokio::select! {
            outcome = &mut work => break outcome,
            _ = tick.tick() => eprintln!("{what} … {} s", begin.elapsed().as_secs()),
        }
    };
    let end = if outcome.is_ok() { "done" } else { "FAILED" };
    eprintln!("{what}: {end} in {:.1} s", begin.elapsed().as_secs_f64());
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_name() {
        assert!(find("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(find("no-program-has-this-name"), None);
    }

    #[test]
    fn apt_runs_as_root_or_through_sudo_and_asks_nobody() {
        let words = apt_words(true, &["install", "redis-server"]);
        assert_eq!(words.join(" "), "env DEBIAN_FRONTEND=noninteractive apt-get install redis-server");
        let words = apt_words(false, &["update"]);
        assert_eq!(words.join(" "), "sudo -n env DEBIAN_FRONTEND=noninteractive apt-get update");
    }
}
