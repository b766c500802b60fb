//! Redis for the laws: the shared server that the environment names, and servers of a test's own that it may kill.

use std::hash::{BuildHasher, RandomState};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bongsu_domain::{Secret, Timestamp};
use bongsu_engine::RedisConfig;
use bongsu_engine::bus::{self, Bus, BusReceiver, Heard};
use bongsu_engine::cache::{self, Cache};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisResult, cmd};

use crate::house::{House, by_hand, next, until};

/// What tests wait for an answer: a busy machine must not look like a server that is down.
const PATIENCE: Duration = Duration::from_secs(20);

/// The server that `BONGSU_REDIS_URL` names, with keys that no other test has.
pub struct Redis {
    caches: [Arc<dyn Cache>; 2],
    buses: [Arc<dyn Bus>; 2],
    raw: MultiplexedConnection,
}

impl Redis {
    /// `None` when there is none, which was said.
    pub async fn open() -> Option<Redis> {
        let Ok(url) = std::env::var("BONGSU_REDIS_URL") else {
            absent("BONGSU_REDIS_URL names no server");
            return None;
        };
        let config = config(&url);
        let open = || cache_of(&config);
        let (caches, buses) = ([open(), open()], [bus_of(&config), bus_of(&config)]);
        for (cache, bus) in caches.iter().zip(&buses) {
            until("the server is reached", async || cache.health().up && bus.health().up).await;
        }
        Some(Redis { caches, buses, raw: raw(&url).await.expect("BONGSU_REDIS_URL leads to a server") })
    }
}

impl House for Redis {
    fn caches(&self) -> [Arc<dyn Cache>; 2] {
        self.caches.clone()
    }

    fn buses(&self) -> [Arc<dyn Bus>; 2] {
        self.buses.clone()
    }

    async fn now(&self) -> Timestamp {
        server_time(&self.raw).await
    }

    async fn pass(&self, time: Duration) {
        // The server ends what it keeps by whole milliseconds, after them.
        let end = self.now().await.plus(time + Duration::from_millis(2));
        until("time passes", async || self.now().await >= end).await;
    }

    async fn listen(&self, bus: &Arc<dyn Bus>, topic: &str) -> BusReceiver {
        listen(bus, topic).await
    }
}

/// The first receiver of a topic in a process, when it hears other processes.
pub async fn listen(bus: &Arc<dyn Bus>, topic: &str) -> BusReceiver {
    let mut receiver = bus.subscribe(topic).unwrap();
    assert_eq!(next(&mut receiver).await, Heard::Gap);
    receiver
}

/// Keys and channels that no other test has, also none of a run before.
pub fn config(url: &str) -> RedisConfig {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let (run, count) = (RandomState::new().hash_one(0_u8), COUNT.fetch_add(1, Ordering::Relaxed));
    RedisConfig {
        prefix: format!("laws*:{run:x}:{count}:"),
        answer_within: PATIENCE,
        ..RedisConfig::new(Secret::new(url))
    }
}

pub fn cache_of(config: &RedisConfig) -> Arc<dyn Cache> {
    cache::open_redis(config, by_hand()).unwrap()
}

pub fn bus_of(config: &RedisConfig) -> Arc<dyn Bus> {
    bus::open_redis(config, by_hand()).unwrap()
}

/// A connection without anything of ours between.
pub async fn raw(url: &str) -> RedisResult<MultiplexedConnection> {
    let options = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
    Client::open(url)?.get_multiplexed_async_connection_with_config(&options).await
}

pub async fn server_time(raw: &MultiplexedConnection) -> Timestamp {
    let (secs, micros): (i64, i64) = cmd("TIME").query_async(&mut raw.clone()).await.unwrap();
    Timestamp(secs * 1_000_000 + micros)
}

/// Says past the test runner, which hides what tests print, that something is not tested. Where everything must be tested
/// that is a failure.
fn absent(what: &str) {
    let line = "!".repeat(80);
    let name = std::thread::current().name().unwrap_or("a law").to_owned();
    let _ = writeln!(std::io::stderr(), "\n{line}\n!! NOT TESTED on Redis, {what}: {name}\n{line}");
    assert!(std::env::var_os("CI").is_none(), "{what}");
}

/// A server of a test's own, which forgets everything when it dies.
pub struct Server {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Server {
    /// `None` when this machine has none, which was said.
    pub async fn start() -> Option<Server> {
        // Another test may take the port between the look and the start; then this one looks again.
        for _ in 0..20 {
            let dir = tempfile::tempdir().unwrap();
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let Ok(child) = run(port, dir.path()) else {
                absent("there is no redis-server");
                return None;
            };
            let mut server = Server { child, port, dir };
            if server.answers().await {
                return Some(server);
            }
        }
        panic!("no server stays up");
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub async fn raw(&self) -> MultiplexedConnection {
        raw(&self.url()).await.unwrap()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The same address, an empty memory.
    pub async fn start_again(&mut self) {
        self.child = run(self.port, self.dir.path()).unwrap();
        assert!(self.answers().await, "the server comes back");
    }

    /// It neither answers nor dies.
    pub fn hang(&self) {
        self.signal("-STOP");
    }

    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Whether it lives until it answers, and is the one that was started.
    async fn answers(&mut self) -> bool {
        let mut own = false;
        until("a server answers or dies", async || {
            if self.child.try_wait().unwrap().is_some() {
                return true;
            }
            let Ok(mut raw) = raw(&self.url()).await else { return false };
            let info: String = cmd("INFO").arg("server").query_async(&mut raw).await.unwrap_or_default();
            own = info.contains(&format!("process_id:{}\r\n", self.child.id()));
            true
        })
        .await;
        own
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn run(port: u16, dir: &Path) -> std::io::Result<Child> {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no", "--dir"])
        .arg(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}
