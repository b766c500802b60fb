//! The life of a server process: start, say that it is ready, wait, stop in order.

use std::future::Future;
use std::io::{Write, stderr};
use std::net::SocketAddr;
use std::sync::Arc;

use bongsu_domain::Clock;
use serde::Serialize;

use crate::config::{Config, Role};
use crate::failure::Failure;
use crate::wiring::Running;

/// Shown at the start, on stderr.
pub const BANNER: &str = concat!(
    "\n",
    "  BONGSU  봉수(烽燧)  ",
    env!("CARGO_PKG_VERSION"),
    "\n  accept once, deliver over every channel, prove what happened\n"
);

/// The one line that a server prints to stdout when it serves (names and order of the interface).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ready {
    /// Always `ready`.
    pub event: &'static str,
    /// Where the API listens; null without the role `api`.
    pub http: Option<SocketAddr>,
    /// What this process does.
    pub roles: Vec<&'static str>,
    /// Its process id.
    pub pid: u32,
}

/// Runs until `stop` completes or a part fails. `ready` is told the one ready line of the interface.
///
/// The order of a stop: no new HTTP requests, requests in work end, relays drain, results are flushed, files close;
/// all of it within `config.stop`, after which what is left is cut (and found again by the next start).
///
/// # Errors
/// A part that cannot start, a data directory in use (exit 3), a part that died or storage that failed (exit 1), others
/// that took over what this process held of a shared database (exit 4).
pub async fn run(
    config: Config,
    clock: Arc<dyn Clock>,
    stop: impl Future<Output = ()>,
    ready: impl FnOnce(&Ready),
) -> Result<(), Failure> {
    let running = Running::start(&config, clock).await?;
    let roles = config.roles.iter().copied().map(Role::as_str).collect();
    ready(&Ready { event: "ready", http: running.http(), roles, pid: std::process::id() });
    let failed = tokio::select! {
        () = stop => None,
        why = running.failed() => Some(why),
    };
    match &failed {
        None => tracing::info!("stopping"),
        Some(failure) => tracing::error!(exit = failure.exit, "stopping: {}", failure.sentence),
    }
    running.stop(config.stop).await;
    match failed {
        None => Ok(()),
        Some(failure) => Err(failure),
    }
}

/// Completes when the process is asked to stop: SIGTERM or SIGINT.
///
/// # Errors
/// The signals cannot be listened to.
pub fn asked_to_stop() -> Result<impl Future<Output = ()>, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|error| Failure::fault(format!("cannot listen to signals: {error}")));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
    })
}

/// Lets the process open as many files as it may: each connection is one, and the usual soft limit of 1,024 is too few.
pub fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
    {
        tracing::warn!(%error, "raising the limit of open files");
    }
}

/// Writes the banner.
pub fn show_banner() {
    let _ = writeln!(stderr(), "{BANNER}");
}
