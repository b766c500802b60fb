//! One connection: reads a chunk, decides about all of it under one lock, answers with one write.

mod outstanding;
mod requests;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bongsu_wire::smpp::{self, BindState, Sequence};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;

use self::outstanding::Outstanding;
use crate::relay::Relay;

/// A client has this long to bind (SMPP 3.4 section 7.2, session_init_timer).
const SESSION_INIT: Duration = Duration::from_secs(10);
/// Free room before each read.
const READ_MIN: usize = 64 * 1024;
/// A session that has this much to write reads nothing more.
const WRITE_MAX: usize = 1024 * 1024;
/// Receipts are added to a write up to this size.
const WRITE_BATCH: usize = 64 * 1024;

/// Serves one connection to its end.
pub(crate) async fn run(relay: Arc<Relay>, socket: TcpStream, tls: Option<TlsAcceptor>) {
    // A socket that cannot be told to send at once still works.
    let _ = socket.set_nodelay(true);
    let mut session = Session::new(relay);
    let end = match tls {
        None => {
            let (reader, writer) = socket.into_split();
            session.serve(reader, writer).await
        }
        Some(acceptor) => match timeout(SESSION_INIT, acceptor.accept(socket)).await {
            Ok(Ok(stream)) => {
                let (reader, writer) = tokio::io::split(stream);
                session.serve(reader, writer).await
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        },
    };
    if let Err(error) = end {
        tracing::debug!(relay = session.relay.name, number = session.number, %error, "a session broke");
    }
}

/// Writes some of `bytes`, or flushes when there are none: TLS keeps what the socket did not take. Loses nothing when
/// it is dropped half way.
async fn push(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        return writer.flush().await.map(|()| 0);
    }
    match writer.write(bytes).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        written => Ok(written),
    }
}

struct Session {
    relay: Arc<Relay>,
    number: u64,
    bind: BindState,
    client: u32,
    /// Rung when receipts are ready.
    bell: Arc<Notify>,
    sequence: Sequence,
    outstanding: Outstanding,
    /// As the script said when receipts were last written.
    receipt_window: usize,
    out: Vec<u8>,
    /// How much of `out` is written.
    written: usize,
    /// Responses that are not due, by microsecond.
    held: BTreeMap<u64, Vec<u8>>,
    /// The session answers nothing more and is cut at this microsecond.
    cut_at: Option<u64>,
    /// The session ends when everything is written.
    closing: bool,
}

impl Session {
    fn new(relay: Arc<Relay>) -> Self {
        Self {
            number: relay.session_number(),
            relay,
            bind: BindState::Open,
            client: 0,
            bell: Arc::new(Notify::new()),
            sequence: Sequence::new(),
            outstanding: Outstanding::default(),
            receipt_window: 1,
            out: Vec::new(),
            written: 0,
            held: BTreeMap::new(),
            cut_at: None,
            closing: false,
        }
    }

    async fn serve(
        &mut self,
        mut reader: impl AsyncRead + Unpin,
        mut writer: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let init_until = Instant::now() + SESSION_INIT;
        let mut input = Vec::with_capacity(2 * READ_MIN);
        let mut flushed = true;
        loop {
            self.release_held();
            self.write_receipts();
            let waiting = self.out.len() - self.written;
            if self.closing && waiting == 0 && flushed {
                return writer.shutdown().await;
            }
            if self.is_cut() {
                return Ok(());
            }
            input.reserve(READ_MIN);
            let wake = self.wake(init_until);
            let bell = self.bell.clone();
            tokio::select! {
                read = reader.read_buf(&mut input), if !self.closing && waiting < WRITE_MAX => {
                    if read? == 0 {
                        return Ok(());
                    }
                    let used = self.take_input(&input);
                    input.drain(..used);
                }
                written = push(&mut writer, &self.out[self.written..]), if waiting > 0 || !flushed => {
                    flushed = waiting == 0;
                    self.advance(written?);
                }
                () = bell.notified(), if self.has_window() => {}
                () = tokio::time::sleep_until(wake.unwrap_or(init_until)), if wake.is_some() => {
                    if self.bind == BindState::Open && Instant::now() >= init_until {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
            }
        }
    }

    fn advance(&mut self, written: usize) {
        self.written += written;
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
        }
    }

    /// When the session has to look again without being called.
    fn wake(&self, init_until: Instant) -> Option<Instant> {
        let held = self.held.keys().next().filter(|_| self.cut_at.is_none()).copied();
        let due = [held, self.cut_at].into_iter().flatten().min().map(|us| self.relay.time.instant(us.div_ceil(1_000)));
        let init = (self.bind == BindState::Open).then_some(init_until);
        [due, init].into_iter().flatten().min()
    }

    fn is_cut(&self) -> bool {
        self.cut_at.is_some_and(|at| self.relay.time.now().us >= at)
    }

    fn receives(&self) -> bool {
        matches!(self.bind, BindState::BoundReceiver | BindState::BoundTransceiver)
    }

    fn has_window(&self) -> bool {
        self.receives() && !self.closing && self.cut_at.is_none() && self.outstanding.len() < self.receipt_window
    }

    fn release_held(&mut self) {
        if self.held.is_empty() || self.cut_at.is_some() {
            return;
        }
        let now = self.relay.time.now().us;
        while let Some(entry) = self.held.first_entry().filter(|entry| *entry.key() <= now) {
            self.out.append(&mut entry.remove());
        }
    }

    fn write_receipts(&mut self) {
        if !self.has_window() || self.out.len() >= WRITE_BATCH {
            return;
        }
        let relay = self.relay.clone();
        let mut state = relay.lock();
        self.receipt_window = state.script.receipt_window as usize;
        let mut share = state.clients.fair_share(self.client);
        while self.outstanding.len() < self.receipt_window && self.out.len() < WRITE_BATCH {
            let Some(receipt) = state.clients.take(self.client, self.number, &mut share) else { break };
            self.write_receipt(&mut state, receipt);
        }
    }

    fn write_receipt(&mut self, state: &mut crate::relay::State, receipt: crate::receipt::Receipt) {
        let sequence = self.sequence.next();
        receipt.encode(&state.script, &state.names, sequence, &mut self.out);
        state.counters.receipts += 1;
        state.outstanding += 1;
        self.outstanding.push(sequence, receipt);
    }

    /// Handles the whole PDUs of the input and tells how many bytes they are.
    fn take_input(&mut self, input: &[u8]) -> usize {
        let relay = self.relay.clone();
        // The moment of the read, not that after waiting for other sessions.
        let now = relay.time.now();
        let mut state = relay.lock();
        let mut used = 0;
        while !self.closing {
            match smpp::decode(&input[used..], smpp::FRAME_MAX) {
                Ok(Some((frame, length))) => {
                    used += length;
                    self.handle(&mut state, &frame, now);
                }
                Ok(None) => break,
                Err(error) => {
                    self.nack(&mut state, &error);
                    self.closing = true;
                }
            }
        }
        relay.wake_if_sooner(&mut state);
        used
    }
}

impl Drop for Session {
    /// However the session ends, its receipts go to the next one.
    fn drop(&mut self) {
        let relay = self.relay.clone();
        let mut state = relay.lock();
        if !self.bind.is_bound() {
            return;
        }
        self.leave(&mut state);
    }
}
