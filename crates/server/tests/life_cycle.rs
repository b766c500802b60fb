//! A server process from its first start to its end: ready line, operator key, one process a directory, graceful stop.
#![allow(clippy::unwrap_used)] // Helpers of tests are tests, too.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A server that is ended with the test.
struct Server {
    process: Child,
    ready: String,
}

impl Server {
    /// Starts a server and waits for its ready line.
    fn start(data: &Path) -> Self {
        let mut process = serve(data).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
        Self { process, ready }
    }

    /// Asks it to stop; gives its exit code and what it wrote to stderr.
    fn stop(mut self, signal: Signal) -> (Option<i32>, String) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        let mut stderr = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (self.process.wait().unwrap().code(), stderr)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After a stop there is nobody left to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn serve(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bongsu"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
    command
}

#[test]
fn a_server_lives_from_its_first_start_to_a_signal() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let server = Server::start(&data);
    let pid = server.process.id();
    assert!(server.ready.starts_with("{\"event\":\"ready\",\"http\":\"127.0.0.1:"), "{}", server.ready);
    assert!(server.ready.ends_with(&format!(",\"pid\":{pid}}}\n")), "{}", server.ready);
    let ready: Value = serde_json::from_str(&server.ready).unwrap();
    assert_eq!(ready["roles"][0], "api");

    let key_file = data.join("operator.key");
    let key = std::fs::read_to_string(&key_file).unwrap();
    assert_eq!(std::fs::metadata(&key_file).unwrap().permissions().mode() & 0o777, 0o600);

    let second = serve(&data).output().unwrap();
    assert_eq!(second.status.code(), Some(3));
    let sentence = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(sentence.contains("another process uses the data directory"), "{sentence}");

    let (code, stderr) = server.stop(Signal::TERM);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("BONGSU"), "{stderr}");
    assert_eq!(stderr.matches(key.trim()).count(), 1, "shown once");

    let (code, stderr) = Server::start(&data).stop(Signal::INT);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(!stderr.contains("operator key"), "the second start makes none: {stderr}");
    assert_eq!(std::fs::read_to_string(&key_file).unwrap(), key);
}

#[test]
fn an_address_that_is_taken_ends_with_1_and_makes_no_data() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let address = taken.local_addr().unwrap().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bongsu"));
    let output = command.args(["serve", "--listen", &address, "--data"]).arg(&data).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot listen on"));
    assert!(!data.exists());
}
