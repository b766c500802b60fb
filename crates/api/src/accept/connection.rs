//! What the accept loop knows of one connection: its phase, since when, and the orders it gets.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Where a connection stands between two requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Accepted, not one byte read.
    Fresh = 0,
    /// Bytes of a request head came, the head is not complete.
    Head = 1,
    /// A handler has the request, body included.
    Busy = 2,
    /// Answered; nothing of a next request came.
    Idle = 3,
}

/// What the loop wants of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Nothing.
    Go = 0,
    /// End as soon as no accepted request is unanswered.
    Finish = 1,
    /// End now.
    Cut = 2,
}

/// Shared by the connection's task and the reaper. A request costs it two atomic stores.
#[derive(Debug)]
pub(super) struct Connection {
    start: Instant,
    /// Milliseconds since `start` of the loop, shifted left by two, with the phase below.
    state: AtomicU64,
    order: AtomicU8,
    ordered: Notify,
}

impl Connection {
    pub(super) fn new(start: Instant) -> Self {
        let connection = Self { start, state: AtomicU64::new(0), order: AtomicU8::new(0), ordered: Notify::new() };
        connection.enter(Phase::Fresh);
        connection
    }

    /// Moves to a phase that begins now.
    pub(super) fn enter(&self, phase: Phase) {
        let ms = self.start.elapsed().as_millis() as u64;
        self.state.store(ms << 2 | phase as u64, Ordering::Relaxed);
    }

    /// The phase, and the milliseconds since the loop's start at which it began.
    pub(super) fn phase(&self) -> (Phase, Duration) {
        let state = self.state.load(Ordering::Relaxed);
        let phase = match state & 3 {
            0 => Phase::Fresh,
            1 => Phase::Head,
            2 => Phase::Busy,
            _ => Phase::Idle,
        };
        (phase, Duration::from_millis(state >> 2))
    }

    /// Gives an order; orders only become stronger.
    pub(super) fn tell(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::AcqRel);
        self.ordered.notify_one();
    }

    /// Waits for the next order.
    pub(super) async fn told(&self) -> Order {
        self.ordered.notified().await;
        self.order()
    }

    /// The strongest order so far.
    pub(super) fn order(&self) -> Order {
        match self.order.load(Ordering::Acquire) {
            0 => Order::Go,
            1 => Order::Finish,
            _ => Order::Cut,
        }
    }
}

/// A socket that notes when a request head begins and when an answer makes progress.
pub(super) struct Watched {
    pub(super) stream: TcpStream,
    pub(super) connection: Arc<Connection>,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before && matches!(self.connection.phase().0, Phase::Fresh | Phase::Idle) {
            self.connection.enter(Phase::Head);
        }
        polled
    }
}

impl Watched {
    /// A slow reader that still takes bytes is not idle.
    fn progressed(&self, polled: &Poll<std::io::Result<usize>>) {
        if matches!(polled, Poll::Ready(Ok(1..))) && self.connection.phase().0 == Phase::Idle {
            self.connection.enter(Phase::Idle);
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.progressed(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.progressed(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
