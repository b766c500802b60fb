//! The socket of a relay: opened, closed and opened again on the same port.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Mutex, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::relay::Relay;
use crate::session;

/// Connections that one relay serves at one time; more are closed at once.
const SESSIONS_MAX: usize = 1_000;
/// After an accept that failed, because descriptors ran out for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where a relay listens, now or when it is started again.
pub(crate) struct Port {
    relay: Arc<Relay>,
    tls: Option<TlsAcceptor>,
    addr: SocketAddr,
    running: Mutex<Option<Running>>,
}

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Port {
    /// Listens; a port of 0 becomes one that is free, and stays the same.
    pub(crate) fn open(relay: Arc<Relay>, addr: SocketAddr, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let listener = listen(addr)?;
        let addr = listener.local_addr()?;
        let running = Some(run(relay.clone(), listener, tls.clone()));
        Ok(Self { relay, tls, addr, running: Mutex::new(running) })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Refuses connections and cuts the ones that are open; no more bytes move when it returns.
    pub(crate) async fn stop(&self) {
        let mut running = self.running.lock().await;
        if let Some(Running { stop, task }) = running.take() {
            // The task is gone already if nobody listens here.
            let _ = stop.send(());
            let _ = task.await;
        }
    }

    /// Listens again; nothing changes for a relay that runs.
    pub(crate) async fn start(&self) -> io::Result<()> {
        let mut running = self.running.lock().await;
        if running.is_none() {
            let mut state = self.relay.lock();
            if state.script.restart_ids {
                state.next_id = 1;
            }
            drop(state);
            *running = Some(run(self.relay.clone(), listen(self.addr)?, self.tls.clone()));
        }
        Ok(())
    }
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let listener = StdListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn run(relay: Arc<Relay>, listener: TcpListener, tls: Option<TlsAcceptor>) -> Running {
    let (stop, stopped) = oneshot::channel();
    Running { stop, task: tokio::spawn(accept(relay, listener, tls, stopped)) }
}

async fn accept(
    relay: Arc<Relay>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            // Also when the simulator is dropped.
            _ = &mut stopped => break,
            Some(_) = sessions.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) if sessions.len() < SESSIONS_MAX => {
                    sessions.spawn(session::run(relay.clone(), socket, tls.clone()));
                }
                Ok(_) => tracing::warn!(relay = relay.name, "too many connections, one was closed"),
                Err(error) => {
                    tracing::warn!(relay = relay.name, %error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    sessions.shutdown().await;
}
