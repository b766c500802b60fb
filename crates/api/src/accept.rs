//! The accept loop: serves a router over HTTP/1.1 and keeps stalled clients from harming the others.
//!
//! `axum::serve` has no timers, no connection limit and no nodelay. Here one reaper looks at all
//! connections a few times per limit, so a request pays two atomic stores and no timer.

mod connection;

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tower::Service;

use self::connection::{Connection, Order, Phase, Watched};
use crate::peer::Peer;

/// The number of open connections, for the metric `bongsu_sockets`.
pub type Sockets = Arc<AtomicUsize>;

/// What a client may take before its connection is closed.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once. At the limit the longest idle ones make room for new ones.
    pub max_connections: usize,
    /// From accept to the first byte.
    pub first_byte_timeout: Duration,
    /// From the first byte of a request head to its last.
    pub header_timeout: Duration,
    /// From an answer (or its last written byte) to the next request.
    pub idle_timeout: Duration,
    /// How long requests that are being handled may take after a stop.
    pub drain: Duration,
    /// Counts the open connections.
    pub sockets: Sockets,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 20_000,
            first_byte_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            drain: Duration::from_secs(10),
            sockets: Sockets::default(),
        }
    }
}

/// Largest request head, and the size of one read: hyper answers 431 above it.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How long, and for how many bytes, a connection is read after its last answer.
const LINGER_MAX: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Serves until `stop` holds true (or its sender is gone), then drains: idle connections close at once,
/// others after the answer they are working on, all after [`Limits::drain`].
///
/// How long a body may take is the door's matter ([`crate::ApiConfig::body_timeout`]), because it answers 408.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, mut stop: watch::Receiver<bool>) {
    let house = Arc::new(House { start: Instant::now(), limits, open: Mutex::default(), left: Notify::new() });
    let mut reaper = JoinSet::new();
    reaper.spawn(house.clone().reap());
    let mut next = 0u64;
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            (stream, peer) = house.accept(&listener) => {
                next += 1;
                house.clone().spawn(next, stream, Peer(peer), router.clone());
            }
        }
    }
    drop(listener);
    house.drain().await;
}

impl Limits {
    /// How often the reaper looks: a limit is kept to within a quarter of the shortest.
    fn tick(&self) -> Duration {
        let shortest = self.first_byte_timeout.min(self.header_timeout).min(self.idle_timeout);
        (shortest / 4).clamp(Duration::from_millis(5), Duration::from_secs(1))
    }
}

/// Every open connection.
struct House {
    start: Instant,
    limits: Limits,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
    left: Notify,
}

impl House {
    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        // The map is valid after every single operation, so a panic elsewhere does not spoil it.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next connection, as soon as there is room for one.
    async fn accept(&self, listener: &TcpListener) -> (TcpStream, IpAddr) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    self.room().await;
                    return (stream, peer.ip());
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    // Out of file descriptors, mostly: idle connections are the ones to give back.
                    tracing::warn!(%error, "accepting a connection");
                    self.make_room();
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// Waits until one more connection may be served.
    async fn room(&self) {
        loop {
            let left = self.left.notified();
            if self.open().len() < self.limits.max_connections || self.make_room() {
                return;
            }
            // All are at work. Further connections stay in the kernel's backlog.
            left.await;
        }
    }

    /// Closes the longest idle hundredth of all connections. False when none is idle.
    fn make_room(&self) -> bool {
        let open = self.open();
        let mut idle: Vec<_> = open
            .values()
            .filter_map(|connection| match connection.phase() {
                (Phase::Fresh | Phase::Idle, since) if connection.order() == Order::Go => Some((since, connection)),
                _ => None,
            })
            .collect();
        let count = (open.len() / 100).max(1).min(idle.len());
        if count == 0 {
            return false;
        }
        idle.select_nth_unstable_by_key(count - 1, |(since, _)| *since);
        for (_, connection) in &idle[..count] {
            connection.tell(Order::Finish);
        }
        true
    }

    /// Closes whoever is past a limit, for ever.
    async fn reap(self: Arc<Self>) {
        let mut tick = tokio::time::interval(self.limits.tick());
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let now = self.start.elapsed();
            for connection in self.open().values() {
                let (phase, since) = connection.phase();
                let limit = match phase {
                    Phase::Fresh => self.limits.first_byte_timeout,
                    Phase::Head => self.limits.header_timeout,
                    Phase::Idle => self.limits.idle_timeout,
                    Phase::Busy => continue,
                };
                if now.saturating_sub(since) >= limit {
                    connection.tell(Order::Cut);
                }
            }
        }
    }

    fn spawn(self: Arc<Self>, number: u64, stream: TcpStream, peer: Peer, router: Router) {
        // Without nodelay, pipelined answers wait for the client's delayed ACK (40 ms).
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "setting TCP_NODELAY");
        }
        let connection = Arc::new(Connection::new(self.start));
        self.open().insert(number, connection.clone());
        self.limits.sockets.fetch_add(1, Ordering::Relaxed);
        let seat = Seat { house: self, number };
        tokio::spawn(async move {
            let _seat = seat;
            converse(stream, peer, connection, router).await;
        });
    }

    async fn drain(&self) {
        for connection in self.open().values() {
            connection.tell(Order::Finish);
        }
        if tokio::time::timeout(self.limits.drain, self.empty()).await.is_err() {
            for connection in self.open().values() {
                connection.tell(Order::Cut);
            }
            self.empty().await;
        }
    }

    async fn empty(&self) {
        loop {
            let left = self.left.notified();
            if self.open().is_empty() {
                return;
            }
            left.await;
        }
    }
}

/// A connection's place in the house; given back when its task ends, however it ends.
struct Seat {
    house: Arc<House>,
    number: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.house.open().remove(&self.number);
        self.house.limits.sockets.fetch_sub(1, Ordering::Relaxed);
        self.house.left.notify_waiters();
    }
}

/// Errors of `accept` that say something about one client, not about us.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as K;
    matches!(error.kind(), K::ConnectionAborted | K::ConnectionReset | K::ConnectionRefused | K::Interrupted)
}

/// Serves one connection until it ends or is told to.
async fn converse(stream: TcpStream, peer: Peer, connection: Arc<Connection>, router: Router) {
    let io = TokioIo::new(Watched { stream, connection: connection.clone() });
    let watched = connection.clone();
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        watched.enter(Phase::Busy);
        request.extensions_mut().insert(peer);
        let watched = watched.clone();
        let answer = router.clone().call(request.map(Body::new));
        Box::pin(async move {
            let answer = answer.await;
            watched.enter(Phase::Idle);
            answer
        })
    });
    let mut conversation = http1::Builder::new()
        .pipeline_flush(true)
        .header_read_timeout(None) // It also runs while a connection is idle; the reaper knows the difference.
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(io, service);
    loop {
        tokio::select! {
            biased;
            ended = poll_fn(|cx| conversation.poll_without_shutdown(cx)) => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "serving a connection");
                }
                break;
            }
            order = connection.told() => match order {
                Order::Cut => return,
                Order::Finish if matches!(connection.phase().0, Phase::Fresh | Phase::Head) => return,
                // An answer may still be on its way out, so hyper decides when it is done.
                Order::Finish => Pin::new(&mut conversation).graceful_shutdown(),
                Order::Go => {}
            }
        }
    }
    if connection.order() == Order::Go {
        linger(conversation.into_parts().io.into_inner().stream).await;
    }
}

/// Reads on for a while after the last answer. A socket that is closed with bytes unread is reset, and a client that is
/// still sending its too large body would find the reset instead of its 413.
async fn linger(mut stream: TcpStream) {
    let reading = async {
        let mut unread = vec![0; 16 * 1024];
        let mut left = LINGER_BYTES_MAX;
        // The answer is complete; the client sees its end. An error here is the client's having gone.
        let _ = stream.shutdown().await;
        while let Ok(count @ 1..) = stream.read(&mut unread).await {
            left = left.saturating_sub(count);
            if left == 0 {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(LINGER_MAX, reading).await;
}

#[cfg(test)]
mod tests;
