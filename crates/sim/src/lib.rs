//! Simulated Korean relays (KT, SKT, LGU+): SMPP 3.4 servers with scripted and seeded behaviour and a control interface.
//!
//! Follow one submit: `session` reads a chunk, `submit` decides by `outcome`, `relay` has its receipt fall due,
//! `clients` finds the session for it, `session` writes it. What arrived is remembered by `seen` (every submit,
//! duplicates) and `inbox` (joined texts).

mod address;
mod clients;
mod control;
mod core;
mod hash;
mod inbox;
mod outcome;
mod port;
mod receipt;
mod relay;
pub mod script;
mod seen;
mod session;
mod stats;
mod submit;
mod time;
mod window;

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub use crate::inbox::Received;
pub use crate::script::{Script, ScriptError};
pub use crate::seen::Duplicate;
pub use crate::stats::RelayStats;

use crate::core::Core;
use crate::port::Port;
use crate::relay::{Log, Relay, Setup};
use crate::time::Time;

/// How often the log is written out at the latest.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// What a simulator is made of.
pub struct SimConfig {
    /// Name and address of each relay; port 0 takes any free one.
    pub relays: Vec<(String, SocketAddr)>,
    /// Where the control interface listens; `None` for none, port 0 for any.
    pub control: Option<SocketAddr>,
    /// Decides every draw; the script may replace it.
    pub seed: u64,
    /// Behaviour.
    pub script: Script,
    /// A file that gets one JSON line for each submit; replaced if it exists.
    pub log: Option<PathBuf>,
    /// Certificate and key; every relay then speaks TLS only.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Whether texts are kept for `/inbox`: the newest million of each relay. Benches switch it off.
    pub inbox: bool,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            relays: Vec::new(),
            control: None,
            seed: 1,
            script: Script::default(),
            log: None,
            tls: None,
            inbox: true,
        }
    }
}

/// A running simulator; it stops when it is dropped.
pub struct Sim {
    core: Arc<Core>,
    control: Option<SocketAddr>,
    tasks: Vec<JoinHandle<()>>,
}

impl Sim {
    /// Listens on every address and serves from then on. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// No relay or two of one name, a script that names another relay, an address in use, a log that cannot be made.
    pub fn start(config: SimConfig) -> anyhow::Result<Self> {
        let names: Vec<String> = config.relays.iter().map(|(name, _)| name.clone()).collect();
        anyhow::ensure!(!names.is_empty(), "a simulator needs at least one relay");
        for (index, name) in names.iter().enumerate() {
            anyhow::ensure!(!names[..index].contains(name), "relay {name} is named twice");
        }
        config.script.check_names(&names)?;
        let log = config.log.as_deref().map(open_log).transpose()?;
        let time = Time::start();
        let seed = config.script.seed.unwrap_or(config.seed);
        let acceptor = config.tls.map(TlsAcceptor::from);
        let mut relays = Vec::new();
        for (name, addr) in config.relays {
            let script = config.script.relays.get(&name).cloned().unwrap_or_default();
            let setup = Setup { name: name.clone(), seed, script, inbox: config.inbox, log: log.clone() };
            let relay = Arc::new(Relay::new(setup, time));
            let port = Port::open(relay.clone(), addr, acceptor.clone())
                .with_context(|| format!("relay {name} cannot listen on {addr}"))?;
            relays.push((relay, port));
        }
        let core = Arc::new(Core { relays, seed: config.seed, log });
        let mut sim = Self { core, control: None, tasks: Vec::new() };
        if let Some(addr) = config.control {
            sim.serve_control(addr)?;
        }
        sim.spawn_clockworks();
        Ok(sim)
    }

    fn serve_control(&mut self, addr: SocketAddr) -> anyhow::Result<()> {
        let listener =
            StdListener::bind(addr).with_context(|| format!("the control interface cannot listen on {addr}"))?;
        listener.set_nonblocking(true)?;
        self.control = Some(listener.local_addr()?);
        let listener = TcpListener::from_std(listener)?;
        let router = control::router(self.core.clone());
        self.tasks.push(tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the control interface ended");
            }
        }));
        Ok(())
    }

    fn spawn_clockworks(&mut self) {
        for (relay, _) in &self.core.relays {
            self.tasks.push(tokio::spawn(relay.clone().clockwork()));
        }
        if self.core.log.is_some() {
            let core = self.core.clone();
            self.tasks.push(tokio::spawn(async move {
                loop {
                    tokio::time::sleep(LOG_EVERY).await;
                    core.flush();
                }
            }));
        }
    }

    /// Where a relay listens, also while it is stopped.
    ///
    /// # Panics
    /// When there is no relay of that name.
    pub fn addr(&self, name: &str) -> SocketAddr {
        self.core.find(name).expect("the caller named this relay itself").1.addr()
    }

    /// Where the control interface listens.
    pub fn control_addr(&self) -> Option<SocketAddr> {
        self.control
    }

    /// Counters by relay name.
    pub fn stats(&self) -> BTreeMap<String, RelayStats> {
        self.core.stats()
    }

    /// Messages that a number got, in order of arrival.
    pub fn inbox(&self, to: &str) -> Vec<Received> {
        self.core.inbox(to)
    }

    /// Replaces the whole script; relays that it does not name behave as by default from then on.
    ///
    /// # Errors
    /// The script names a relay that does not exist.
    pub fn set_script(&self, script: Script) -> Result<(), ScriptError> {
        self.core.set_script(script)
    }

    /// Cuts the relay's sessions and refuses connections.
    ///
    /// # Errors
    /// There is no such relay.
    pub async fn stop_relay(&self, name: &str) -> anyhow::Result<()> {
        self.core.stop_relay(name).await
    }

    /// Listens again, and answers again if the relay was silent.
    ///
    /// # Errors
    /// There is no such relay, or its port was taken meanwhile.
    pub async fn start_relay(&self, name: &str) -> anyhow::Result<()> {
        self.core.start_relay(name).await
    }

    /// Swallows every submit from now on; sessions stay bound.
    ///
    /// # Errors
    /// There is no such relay.
    pub fn silence(&self, name: &str) -> anyhow::Result<()> {
        self.core.silence(name)
    }

    /// Stops everything and writes out the log.
    pub async fn shutdown(mut self) {
        for (_, port) in &self.core.relays {
            port.stop().await;
        }
        for task in self.tasks.drain(..) {
            task.abort();
            // Aborting is what ends it.
            let _ = task.await;
        }
        self.core.flush();
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.core.flush();
    }
}

fn open_log(path: &Path) -> anyhow::Result<Log> {
    let file = File::create(path).with_context(|| format!("cannot create the log {}", path.display()))?;
    Ok(relay::open_log(file))
}

/// Reads `kt=127.0.0.1:2775`.
///
/// # Errors
/// What is wrong with the text, in words.
pub fn parse_relay_arg(text: &str) -> Result<(String, SocketAddr), String> {
    let (name, addr) =
        text.split_once('=').ok_or_else(|| format!("{text}: write NAME=ADDRESS:PORT, as kt=127.0.0.1:2775"))?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || !name.chars().all(allowed) {
        return Err(format!("{text}: the name is of small letters, digits and -"));
    }
    let addr = addr.parse().map_err(|_| format!("{text}: {addr} is not an address with a port, as 127.0.0.1:2775"))?;
    Ok((name.to_owned(), addr))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relay_arguments() {
        let (name, addr) = parse_relay_arg("kt=127.0.0.1:2775").unwrap();
        assert_eq!((name.as_str(), addr.port()), ("kt", 2775));
        for bad in ["kt", "=127.0.0.1:1", "KT=127.0.0.1:1", "kt=2775", "kt=localhost"] {
            assert!(parse_relay_arg(bad).unwrap_err().starts_with(bad), "{bad}");
        }
    }
}
