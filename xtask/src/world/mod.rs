//! A world on this machine: simulated relays and a server, each a process of its own, set up through the HTTP API.

mod setup;
mod sim;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::http::Api;
use crate::process::{Launch, Process};
use crate::services::{free_port, port_is_free};

pub use setup::{Member, Relay, Setup, set_up};
pub use sim::{Sim, Totals};

/// A start over ten million rows with a recovery is over by then.
const READY_LIMIT: Duration = Duration::from_secs(120);
/// A graceful stop is over by then.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// Ports that nobody asked for by number begin here or up to 4000 above.
const FIRST_PORT: u16 = 15_000;

/// How a server is started.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The program.
    pub bongsu: PathBuf,
    /// Its data directory.
    pub data: PathBuf,
    /// Address; port 0 takes a free one.
    pub listen: String,
    /// Configuration and the like.
    pub environment: BTreeMap<String, String>,
    /// Where its stderr is appended.
    pub log: PathBuf,
}

/// A server that said it is ready.
#[derive(Debug)]
pub struct Server {
    /// Its process.
    pub process: Process,
    /// `host:port` of its API.
    pub address: String,
    /// From the start of the process to the ready line.
    pub started_in: Duration,
    data: PathBuf,
}

impl Server {
    /// Starts and waits for the ready line; `Ok(Err(status))` when it ended before.
    pub async fn try_start(options: &ServerOptions) -> Result<Result<Self, ExitStatus>> {
        let launch = Launch {
            command: vec![
                options.bongsu.display().to_string(),
                "serve".into(),
                "--data".into(),
                options.data.display().to_string(),
                "--listen".into(),
                options.listen.clone(),
            ],
            environment: options.environment.clone(),
            log: options.log.clone(),
        };
        let begin = Instant::now();
        let started = Process::start_until(&launch, READY_LIMIT, ready_address).await?;
        Ok(started.map(|(process, address)| Self {
            process,
            address,
            started_in: begin.elapsed(),
            data: options.data.clone(),
        }))
    }

    /// Starts; a server that ends before it is ready is an error.
    pub async fn start(options: &ServerOptions) -> Result<Self> {
        match Self::try_start(options).await? {
            Ok(server) => Ok(server),
            Err(status) => bail!("the server ended before it was ready ({status}); see {}", options.log.display()),
        }
    }

    /// The API with the operator's key, which the first start wrote into the data directory.
    pub fn operator(&self) -> Result<Api> {
        let file = self.data.join("operator.key");
        let key = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Api { address: self.address.clone(), key: key.trim().to_owned() })
    }

    /// Asks to stop; the server must end well by itself.
    pub async fn stop(mut self) -> Result<()> {
        let status = self.process.stop(STOP_LIMIT).await?;
        ensure!(status.success(), "the server ended with {status} when asked to stop");
        Ok(())
    }
}

/// The address in the line that a server prints when it serves.
fn ready_address(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line["event"] == "ready").then(|| line["http"].as_str().map(str::to_owned))?
}

/// A loopback address on a port that is free now; `wanted` when that one is.
pub fn free_address(wanted: Option<u16>) -> Result<String> {
    free_addresses(&[wanted])?.pop().context("one was asked for")
}

/// As [`free_address`], as many as are wanted and each another one. Ports that the kernel gives to outgoing connections are
/// left out: one of them could hold the port before its server listens.
pub fn free_addresses(wanted: &[Option<u16>]) -> Result<Vec<String>> {
    let first = FIRST_PORT + (std::process::id() % 400) as u16 * 10;
    let mut taken: Vec<u16> = Vec::new();
    for port in wanted {
        let port = match port {
            Some(port) if port_is_free(*port) && !taken.contains(port) => *port,
            _ => free_port(first, &taken)?,
        };
        taken.push(port);
    }
    Ok(taken.into_iter().map(|port| format!("127.0.0.1:{port}")).collect())
}

/// An empty directory below the build directory.
pub fn scratch(target: &Path, name: &str) -> Result<PathBuf> {
    let directory = target.join("worlds").join(format!("{name}-{}", std::process::id()));
    if directory.exists() {
        std::fs::remove_dir_all(&directory).with_context(|| format!("cannot empty {}", directory.display()))?;
    }
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    Ok(directory)
}

/// Bytes of all files below a directory.
pub fn disk_bytes(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => disk_bytes(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_ready_line() {
        let line = r#"{"event":"ready","http":"127.0.0.1:8080","roles":["api"],"pid":7}"#;
        assert_eq!(ready_address(line), Some("127.0.0.1:8080".to_owned()));
        assert_eq!(ready_address(r#"{"event":"other","http":"x"}"#), None);
        assert_eq!(ready_address("봉수"), None);
    }

    #[test]
    fn a_taken_port_is_replaced() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = taken.local_addr().expect("bound").port();
        let address = free_address(Some(port)).expect("another port");
        assert_ne!(address, format!("127.0.0.1:{port}"));
        let several = free_addresses(&[None, None, Some(port), None]).expect("ports");
        let ones: std::collections::BTreeSet<_> = several.iter().collect();
        assert_eq!(ones.len(), 4, "{several:?}");
    }
}
