//! The program over a database: what it says when there is none, several processes, and one that lost its node.
#![cfg(feature = "mysql")]
#![allow(clippy::unwrap_used)] // Helpers of tests are tests, too.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The lease of all processes here, in seconds.
const LEASE_S: &str = "2";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A database of the server that `BONGSU_MYSQL_URL` names, for one test.
struct Database {
    url: String,
    name: String,
}

impl Database {
    /// None where no server is named, which is said loudly, and is a failure in CI.
    fn new() -> Option<Self> {
        if !bongsu_testkit::has_database() {
            return None;
        }
        let server = std::env::var("BONGSU_MYSQL_URL").unwrap();
        let name = format!("bongsu_program_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        bongsu_store::my::run_on_server(&server, &format!("DROP DATABASE IF EXISTS {name}")).unwrap();
        bongsu_store::my::run_on_server(&server, &format!("CREATE DATABASE {name}")).unwrap();
        Some(Self { url: format!("{}/{name}", server.rsplit_once('/').unwrap().0), name })
    }

    /// Whether nobody holds that: while somebody does, a fact that is there already is put in again, which is refused.
    fn is_free(&self, name: &str) -> bool {
        let held = format!("SELECT 'board', '' FROM leases WHERE name = '{name}' AND owner <> 0");
        bongsu_store::my::run_on_server(&self.url, &format!("INSERT INTO facts (name, value) {held}")).is_ok()
    }

    fn bongsu(&self, arguments: &[&str], data: &Path) -> Command {
        let mut command = bongsu(arguments, &self.url);
        command.arg("--data").arg(data);
        command
    }

    /// Starts a server with these roles and waits for its ready line.
    fn serve(&self, roles: &str, data: &Path) -> Server {
        let mut command = self.bongsu(&["serve", "--listen", "127.0.0.1:0", "--roles", roles], data);
        command.env("BONGSU__PROBE__LISTEN", "127.0.0.1:0");
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
        Server { process, ready: serde_json::from_str(&ready).unwrap_or_default() }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let gone = bongsu_store::my::run_on_server(&self.url, &format!("DROP DATABASE {}", self.name));
            gone.unwrap_or_else(|error| eprintln!("the database {} stays: {error}", self.name));
        }
    }
}

fn bongsu(arguments: &[&str], url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bongsu"));
    command.args(arguments).env_remove("BONGSU_URL").env_remove("BONGSU_KEY");
    command.env("BONGSU__STORE__KIND", "mysql").env("BONGSU__STORE__URL", url);
    command.env("BONGSU__PROCESS__LEASE_S", LEASE_S);
    command
}

/// A server that is ended with the test.
struct Server {
    process: Child,
    ready: Value,
}

impl Server {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap(), signal).unwrap();
    }

    /// Its exit code and what it wrote to stderr, once it has ended.
    fn ended(mut self) -> (Option<i32>, String) {
        wait_until("the process ends", || self.process.try_wait().unwrap().is_some());
        let mut text = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        (self.process.wait().unwrap().code(), text)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After a stop there is nobody left to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < until, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A port where nobody listens: the listener that had it is gone.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_database_that_is_away_ends_with_1_and_shows_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let port = closed_port();
    let url = format!("mysql://user:pass-word@127.0.0.1:{port}/bongsu");
    for arguments in [["serve", "--listen", "127.0.0.1:0"].as_slice(), &["migrate"], &["audit"]] {
        let output = bongsu(arguments, &url).arg("--data").arg(directory.path()).output().unwrap();
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {text}");
        assert!(text.contains(&format!("cannot use the database 127.0.0.1:{port}/bongsu: ")), "{text}");
        assert!(!text.contains("pass-word") && !text.contains("user:"), "{text}");
    }
}

#[test]
fn a_wrong_address_ends_with_2_and_shows_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    for url in ["mysql://user:pass-word@db:3306", "postgres://user:pass-word@db/bongsu", "pass-word"] {
        let output = bongsu(&["serve"], url).arg("--data").arg(directory.path()).output().unwrap();
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{url}: {text}");
        assert!(text.contains("store.url: this must be text like mysql://"), "{text}");
        assert!(!text.contains("pass-word"), "{text}");
    }
}

#[cfg(feature = "redis")]
#[test]
fn a_wrong_address_of_redis_ends_with_2_and_shows_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    for section in ["CACHE", "BUS"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bongsu"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(directory.path());
        command.env(format!("BONGSU__{section}__KIND"), "redis");
        command.env(format!("BONGSU__{section}__URL"), "http://user:pass-word@cache");
        let output = command.output().unwrap();
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(&format!("{}.url: ", section.to_lowercase())), "{text}");
        assert!(!text.contains("pass-word"), "{text}");
    }
}

#[test]
fn processes_of_any_roles_serve_and_an_audit_reads_beside_them() {
    let Some(database) = Database::new() else { return };
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let migrated = database.bongsu(&["migrate", "--json"], data).output().unwrap();
    assert_eq!(migrated.status.code(), Some(0), "{}", stderr(&migrated));
    let servers = ["api", "dispatch", "report", "api,dispatch"].map(|roles| (roles, database.serve(roles, data)));
    for (roles, server) in &servers {
        assert_eq!(server.ready["event"], "ready", "{roles}");
        assert_eq!(server.ready["http"].is_string(), roles.contains("api"), "{roles}");
    }
    let audit = database.bongsu(&["audit", "--json"], data).output().unwrap();
    assert_eq!(audit.status.code(), Some(0), "{}", stderr(&audit));
    let counts: Value = serde_json::from_slice(&audit.stdout).unwrap();
    assert_eq!(counts["lost"], 0);
    for (roles, server) in servers {
        server.signal(Signal::TERM);
        let (code, text) = server.ended();
        assert_eq!(code, Some(0), "{roles}: {text}");
        let keys = usize::from(roles == "api");
        assert_eq!(text.matches("operator key").count(), keys, "one process makes the operator key: {text}");
    }
}

#[test]
fn another_key_file_does_not_start() {
    let Some(database) = Database::new() else { return };
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_eq!(database.bongsu(&["migrate"], first.path()).output().unwrap().status.code(), Some(0));
    let output = database.bongsu(&["migrate"], second.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "a key file that is not there is not made anew");
    assert!(stderr(&output).contains("key"), "{}", stderr(&output));
}

#[test]
fn a_process_paused_beyond_its_lease_ends_with_4_when_others_took_over() {
    let Some(database) = Database::new() else { return };
    let directory = tempfile::tempdir().unwrap();
    let paused = database.serve("dispatch,report", directory.path());
    let other = database.serve("dispatch,report", directory.path());
    paused.signal(Signal::STOP);
    // The other one settles what it left, and for that takes its node away.
    wait_until("somebody took over", || database.is_free("node:0"));
    paused.signal(Signal::CONT);
    let (code, text) = paused.ended();
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("others took over"), "{text}");
    other.signal(Signal::TERM);
    assert_eq!(other.ended().0, Some(0));
}
