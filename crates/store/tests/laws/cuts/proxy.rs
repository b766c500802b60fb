//! A way to the server that breaks where a law wants it: at a byte, or around a commit.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

/// A packet's payload begins with it where it is a statement as text.
const COM_QUERY: u8 = 3;
/// The same of a statement that is prepared.
const COM_STMT_PREPARE: u8 = 0x16;

/// Where the next connection breaks, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// After so many bytes that a client sends from the beginning of its next transaction on.
    Sent(u64),
    /// After so many bytes that a client is answered from the beginning of its next transaction on.
    Answered(u64),
    /// A commit does not reach the server.
    BeforeCommit,
    /// A commit reaches the server, its answer does not come back.
    AfterCommit,
    /// A commit reaches the server only after [`Proxy::release`], when its client has long come back by another connection.
    LateCommit,
}

/// What all connections share.
struct Shared {
    cut: Mutex<Option<Cut>>,
    down: watch::Sender<bool>,
    /// Nobody gets through after the next cut.
    down_after: AtomicBool,
    cuts: AtomicU64,
    refused: AtomicU64,
    released: Notify,
    prepared: Mutex<BTreeSet<String>>,
}

/// The way.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Proxy {
    /// To the server of an address like `mysql://account@host:port/database`.
    pub fn to(url: &str) -> Proxy {
        let place = url.rsplit_once('@').unwrap().1.rsplit_once('/').unwrap().0;
        let server: SocketAddr = std::net::ToSocketAddrs::to_socket_addrs(place).unwrap().next().unwrap();
        let shared = Arc::new(Shared {
            cut: Mutex::default(),
            down: watch::channel(false).0,
            down_after: AtomicBool::new(false),
            cuts: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            released: Notify::new(),
            prepared: Mutex::default(),
        });
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (tell, port) = std::sync::mpsc::channel();
        let all = shared.clone();
        // A runtime of its own: the store is opened by calls that wait.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap().port()).unwrap();
                tokio::select! {
                    () = listen(listener, server, all) => {}
                    _ = stopped => {}
                }
            });
        });
        Proxy { port: port.recv().unwrap(), shared, stop: Some(stop), thread: Some(thread) }
    }

    /// Breaks the next connection there.
    pub fn cut(&self, cut: Cut) {
        *self.shared.cut.lock().unwrap() = Some(cut);
    }

    /// The same, and nobody gets through before [`Proxy::up`].
    pub fn cut_and_stay_down(&self, cut: Cut) {
        self.shared.down_after.store(true, Ordering::Relaxed);
        self.cut(cut);
    }

    /// Breaks all connections and takes none.
    pub fn down(&self) {
        self.shared.down.send_replace(true);
    }

    pub fn up(&self) {
        self.shared.down.send_replace(false);
    }

    /// Connections that broke where they had to.
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::Relaxed)
    }

    /// Connections that nobody took while it was down.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Every statement that was prepared so far.
    pub fn prepared(&self) -> BTreeSet<String> {
        self.shared.prepared.lock().unwrap().clone()
    }

    /// Lets a late commit through.
    pub fn release(&self) {
        self.shared.released.notify_one();
    }

    /// Waits for so many cuts.
    pub async fn has_cut(&self, cuts: u64) {
        crate::cuts::until(|| self.cuts() >= cuts).await;
    }

    /// Whether the cut still waits for its place; it does not any more.
    pub fn disarm(&self) -> bool {
        self.shared.cut.lock().unwrap().take().is_some()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn listen(listener: TcpListener, server: SocketAddr, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { return };
        if *shared.down.borrow() {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let shared = shared.clone();
        tokio::spawn(async move {
            let Ok(to) = TcpStream::connect(server).await else { return };
            let mut down = shared.down.subscribe();
            let _ = (client.set_nodelay(true), to.set_nodelay(true));
            let ((from_client, to_client), server) = (client.into_split(), to.into_split());
            let way = Way {
                shared,
                in_transaction: AtomicBool::new(false),
                sent: 0.into(),
                answered: 0.into(),
                to_client: Some(to_client).into(),
            };
            tokio::select! {
                _ = way.carry(from_client, server) => {}
                _ = down.wait_for(|down| *down) => {}
            }
        });
    }
}

/// One connection.
struct Way {
    shared: Arc<Shared>,
    /// The client began one since the cut was asked for.
    in_transaction: AtomicBool,
    sent: AtomicU64,
    answered: AtomicU64,
    to_client: tokio::sync::Mutex<Option<OwnedWriteHalf>>,
}

impl Way {
    /// Carries until one side ends or the way is cut.
    async fn carry(
        &self,
        mut from_client: OwnedReadHalf,
        (from_server, mut to_server): (OwnedReadHalf, OwnedWriteHalf),
    ) -> std::io::Result<()> {
        let back = self.answers(from_server);
        tokio::pin!(back);
        loop {
            let mut packet = vec![0; 4];
            tokio::select! {
                read = from_client.read_exact(&mut packet) => { read?; }
                ended = &mut back => return ended,
            }
            let length = usize::from(packet[0]) | usize::from(packet[1]) << 8 | usize::from(packet[2]) << 16;
            packet.resize(4 + length, 0);
            from_client.read_exact(&mut packet[4..]).await?;
            let said = packet.get(4).filter(|_| packet[3] == 0).map_or(&[][..], |_| &packet[5..]);
            self.note(packet.get(4).copied(), said);
            if let Some(part) = self.cut_within(&packet, said) {
                to_server.write_all(&packet[..part]).await?;
                if self.take(Cut::LateCommit) {
                    drop((from_client, self.to_client.lock().await.take()));
                    self.shared.released.notified().await;
                    to_server.write_all(&packet).await?;
                    // What the server says about it goes nowhere, but it must have been said.
                    return back.await;
                }
                if self.take(Cut::AfterCommit) {
                    return back.await;
                }
                return Err(ErrorKind::ConnectionReset.into());
            }
            let write = to_server.write_all(&packet);
            tokio::select! {
                written = write => written?,
                ended = &mut back => return ended,
            }
        }
    }

    fn note(&self, command: Option<u8>, said: &[u8]) {
        if command == Some(COM_QUERY) && said == b"START TRANSACTION" {
            self.in_transaction.store(true, Ordering::Relaxed);
            self.sent.store(0, Ordering::Relaxed);
            self.answered.store(0, Ordering::Relaxed);
        }
        if command == Some(COM_STMT_PREPARE) {
            self.shared.prepared.lock().unwrap().insert(String::from_utf8_lossy(said).into_owned());
        }
    }

    /// How much of this packet still reaches the server where the way is cut at it.
    fn cut_within(&self, packet: &[u8], said: &[u8]) -> Option<usize> {
        let cut = (*self.shared.cut.lock().unwrap())?;
        if !self.in_transaction.load(Ordering::Relaxed) {
            return None;
        }
        let is_commit = packet.get(4) == Some(&COM_QUERY) && said == b"COMMIT";
        match cut {
            Cut::Sent(upto) => {
                let before = self.sent.fetch_add(packet.len() as u64, Ordering::Relaxed);
                let part = upto.checked_sub(before).filter(|part| *part < packet.len() as u64)?;
                self.take(cut);
                Some(part as usize)
            }
            Cut::BeforeCommit if is_commit => {
                self.take(cut);
                Some(0)
            }
            Cut::AfterCommit if is_commit => Some(packet.len()),
            Cut::LateCommit if is_commit => Some(0),
            _ => None,
        }
    }

    /// Takes the cut as it is made.
    fn take(&self, cut: Cut) -> bool {
        let mut waiting = self.shared.cut.lock().unwrap();
        let taken = *waiting == Some(cut);
        if taken {
            if cut == Cut::AfterCommit || cut == Cut::LateCommit {
                // The answer is to be dropped: this is marked by a cut of nothing.
                self.answered.store(u64::MAX, Ordering::Relaxed);
            }
            *waiting = None;
            self.shared.cuts.fetch_add(1, Ordering::Relaxed);
            if self.shared.down_after.swap(false, Ordering::Relaxed) {
                self.shared.down.send_replace(true);
            }
        }
        taken
    }

    async fn answers(&self, mut from: OwnedReadHalf) -> std::io::Result<()> {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let read = from.read(&mut buffer).await?;
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if self.answered.load(Ordering::Relaxed) == u64::MAX {
                return Err(ErrorKind::ConnectionReset.into());
            }
            let mut to = self.to_client.lock().await;
            let Some(to) = to.as_mut() else { return Err(ErrorKind::ConnectionReset.into()) };
            let before = self.answered.fetch_add(read as u64, Ordering::Relaxed);
            let cut = *self.shared.cut.lock().unwrap();
            if let Some(cut @ Cut::Answered(upto)) = cut
                && self.in_transaction.load(Ordering::Relaxed)
                && upto < before + read as u64
            {
                self.take(cut);
                to.write_all(&buffer[..upto.saturating_sub(before) as usize]).await?;
                return Err(ErrorKind::ConnectionReset.into());
            }
            to.write_all(&buffer[..read]).await?;
        }
    }
}
