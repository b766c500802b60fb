//! What every route works with, and how large it may become.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bongsu_domain::{Clock, Network, TraceId, id};
use bongsu_engine::bus::Bus;
use bongsu_engine::cache::Cache;
use bongsu_report::Client;
use bongsu_send::Service;
use tokio::sync::Semaphore;

use crate::accept::Sockets;
use crate::remembered::Remembered;

/// Limits of the HTTP interface. The defaults are meant for a whole machine; an account's own rate of messages is a
/// value of the account (`ratePerS`).
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// Requests a second of one account, all its keys together; also the size of the bucket.
    pub requests_per_s: u32,
    /// Messages an account may send at once before its rate counts; never less than its rate.
    pub messages_burst: u32,
    /// Largest request body in bytes (LIM-01).
    pub body_bytes_max: usize,
    /// All bodies being read and handled at once, in bytes; further requests wait.
    pub bodies_bytes_max: usize,
    /// How long a body may take to arrive, and to find room.
    pub body_timeout: Duration,
    /// Networks of proxies whose `X-Forwarded-For` is believed; behind none of them the socket's address is the client's.
    pub trusted_proxies: Vec<Network>,
    /// Origins whose pages may use the interface, as browsers write them (`https://console.example`).
    pub cors_origins: Vec<String>,
    /// The count of open connections: the same as in [`crate::Limits`].
    pub sockets: Sockets,
    /// Calls webhooks that somebody tests, and says which URLs may be called.
    pub webhooks: Client,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            requests_per_s: 20_000,
            messages_burst: 10_000,
            body_bytes_max: 16 * 1024 * 1024,
            bodies_bytes_max: 128 * 1024 * 1024,
            body_timeout: Duration::from_secs(30),
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            sockets: Sockets::default(),
            webhooks: Client::default(),
        }
    }
}

/// The state of the HTTP interface.
pub struct App {
    /// What the routes call.
    pub service: Service,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: ApiConfig,
    /// Has the buckets of the limits.
    pub(crate) cache: Arc<dyn Cache>,
    /// What processes tell each other; here for its health alone.
    pub(crate) bus: Arc<dyn Bus>,
    /// Exports that may be read at once.
    pub(crate) exports: Arc<Semaphore>,
    /// Room for bodies, in KiB.
    pub(crate) bodies: Arc<Semaphore>,
    /// Room for small bodies, in KiB.
    pub(crate) small_bodies: Arc<Semaphore>,
    /// Streams that stay open.
    pub(crate) streams: crate::streams::Streams,
    request_number: AtomicU64,
    /// Built once: the document cannot change while the program runs.
    pub(crate) openapi: Vec<u8>,
    /// The page for people, in English and in Korean.
    pub(crate) docs: [Vec<u8>; 2],
    /// Answers that are right until a setting changes.
    pub(crate) remembered: Remembered,
}

/// Exports that are read at once; each keeps a reading thread busy.
const EXPORTS_AT_ONCE: usize = 4;
/// The part of the room for bodies that small ones have besides.
const SMALL_SHARE: usize = 8;

impl App {
    /// The interface over a running service.
    pub fn new(
        service: Service,
        cache: Arc<dyn Cache>,
        bus: Arc<dyn Bus>,
        clock: Arc<dyn Clock>,
        config: ApiConfig,
    ) -> Arc<Self> {
        let document = crate::openapi();
        let openapi = serde_json::to_vec(&document).expect("a JSON value is JSON");
        let docs = [false, true].map(|korean| crate::docs_page::page(&document, korean).into_bytes());
        Arc::new(Self {
            service,
            exports: Arc::new(Semaphore::new(EXPORTS_AT_ONCE)),
            cache,
            bus,
            small_bodies: Arc::new(Semaphore::new(kibibytes(config.bodies_bytes_max / SMALL_SHARE).max(64) as usize)),
            bodies: Arc::new(Semaphore::new(kibibytes(config.bodies_bytes_max.max(config.body_bytes_max)) as usize)),
            // Processes that started in different microseconds begin at different places of the millisecond.
            request_number: AtomicU64::new((clock.now().micros() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20),
            streams: Default::default(),
            clock,
            config,
            openapi,
            docs,
            remembered: Remembered::default(),
        })
    }

    /// Ends what stays open for as long as somebody watches: a stop waits for every answer to be complete.
    pub fn end_streams(&self) {
        self.streams.end();
    }

    /// The largest body that is read whole.
    pub(crate) fn body_bytes_max(&self) -> usize {
        self.config.body_bytes_max
    }

    /// How long a body may take to go on.
    pub(crate) fn body_timeout(&self) -> Duration {
        self.config.body_timeout
    }

    /// An id for a request that came without one; it tells the time, so what the request did is found without an index.
    pub(crate) fn request_id(&self) -> String {
        let within = self.request_number.fetch_add(1, Ordering::Relaxed) & ((1 << id::TIME_SHIFT) - 1);
        TraceId(id::first_id_at(self.clock.now()) | within as i64).to_string()
    }
}

/// Bytes in whole KiB, at least one.
pub(crate) fn kibibytes(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024).max(1)).unwrap_or(u32::MAX)
}
