//! Scenarios that need a process of its own: it is starved, filled up, cut from its disk, and searched for secrets.

mod commands;
mod connections;
mod full;
mod log_lines;
mod secrets;
mod send;
mod sync;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;

use bongsu_sim::{Sim, SimConfig};
use bongsu_testkit::{Http, Reply};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const BONGSU: &str = env!("CARGO_BIN_EXE_bongsu");

/// A server process. It is ended with the test.
struct Server {
    process: Child,
    stderr: Option<JoinHandle<String>>,
    http: Http,
    operator: String,
}

impl Server {
    /// Starts one over a data directory, with variables of its environment, and waits until it serves.
    fn start(data: &Path, variables: &[(&str, &str)]) -> Self {
        Self::try_start(data, variables).unwrap_or_else(|ended| panic!("it did not start: {ended:?}"))
    }

    /// As [`Server::start`]; the exit code and stderr of one that does not start.
    fn try_start(data: &Path, variables: &[(&str, &str)]) -> Result<Self, (Option<i32>, String)> {
        let mut command = Command::new(BONGSU);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("the program starts");
        let mut stderr = process.stderr.take().expect("stderr was asked for");
        // It is read while the process runs: a full pipe would stop the server.
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let mut ready = String::new();
        let stdout = process.stdout.as_mut().expect("stdout was asked for");
        BufReader::new(stdout).read_line(&mut ready).expect("a line or the end");
        let mut server =
            Self { process, stderr: Some(stderr), http: Http::new(([0, 0, 0, 0], 0).into()), operator: String::new() };
        let Ok(ready) = serde_json::from_str::<Value>(&ready) else { return Err(server.ended()) };
        let address: SocketAddr = ready["http"].as_str().and_then(|text| text.parse().ok()).expect("an address");
        server.http = Http::new(address);
        let key = std::fs::read_to_string(data.join("operator.key")).expect("the key of the first start");
        server.operator = key.trim().to_owned();
        Ok(server)
    }

    fn url(&self) -> String {
        format!("http://{}", self.http.address())
    }

    /// Calls with a key and a JSON body, null for none.
    async fn call(&self, key: &str, method: &str, path: &str, body: Value) -> Reply {
        self.http.call(key, method, path, &body).await.unwrap_or_else(|why| panic!("{method} {path}: {why}"))
    }

    async fn operator(&self, method: &str, path: &str, body: Value) -> Value {
        let reply = self.call(&self.operator, method, path, body).await;
        assert!((200..300).contains(&reply.status), "{method} {path}: {}", reply.text);
        reply.body
    }

    /// An account with points, a key and a sender number.
    async fn member(&self, points: i64) -> Member {
        let account = self.operator("POST", "/v1/accounts", json!({ "name": "main" })).await;
        let account = text(&account["id"]);
        let credit = json!({ "account": account, "unit": "point:sms", "amount": points, "cause": "set-up" });
        self.operator("POST", "/v1/wallet/credits", credit).await;
        let scopes = json!(["send", "read", "numbers", "manage"]);
        let key = self.operator("POST", "/v1/keys", json!({ "account": account, "scopes": scopes })).await;
        let from = "0215880000".to_owned();
        let path = format!("/v1/senders?account={account}");
        let sender = self.operator("POST", &path, json!({ "number": from })).await;
        self.operator("POST", &format!("/v1/senders/{}/approve", text(&sender["id"])), Value::Null).await;
        Member { key: text(&key["key"]), from }
    }

    /// Registers the relay of a simulator.
    async fn relay(&self, sim: &Sim) {
        let address = sim.addr("kt").to_string();
        let relay =
            json!({ "name": "kt", "address": address, "systemId": "bongsu", "password": "secret", "ratePerS": 10_000 });
        self.operator("POST", "/v1/relays", relay).await;
    }

    /// Asks it to stop; gives its exit code and what it wrote to stderr.
    fn stop(mut self) -> (Option<i32>, String) {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, Signal::TERM).expect("it runs");
        self.ended()
    }

    /// Waits for its end.
    fn ended(&mut self) -> (Option<i32>, String) {
        let stderr = self.stderr.take().map(|reading| reading.join().expect("no panic")).unwrap_or_default();
        (self.process.wait().expect("it ends").code(), stderr)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After a stop there is nobody left to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An account that can send.
struct Member {
    key: String,
    from: String,
}

impl Member {
    fn message(&self, to: &str, text: &str) -> Value {
        json!({ "to": to, "from": self.from, "text": text })
    }
}

/// One simulated relay, kt.
fn simulator() -> Sim {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let config =
        SimConfig { relays: vec![("kt".to_owned(), loopback)], control: Some(loopback), ..SimConfig::default() };
    Sim::start(config).expect("free ports")
}

/// Runs a command of the program to its end, away from the runtime's threads.
async fn bongsu(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(BONGSU);
    command.args(arguments).env_remove("BONGSU_URL").env_remove("BONGSU_KEY").stdin(Stdio::null());
    command.envs(variables.iter().copied());
    tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("the program runs")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text instead of {value}")).to_owned()
}

/// Audits a running server against what its callers were told and what the simulator saw; everything must agree.
async fn audit(server: &Server, acked: &[String], sim: &Sim, directory: &Path) -> Value {
    let file = directory.join("acked");
    std::fs::write(&file, acked.join("\n")).expect("a writable directory");
    let control = sim.control_addr().expect("a control interface").to_string();
    let url = server.url();
    let file = file.to_str().expect("a name in UTF-8");
    let arguments = ["audit", "--url", &url, "--acked", file, "--sim", &control, "--wait", "120", "--json"];
    let output = bongsu(&arguments, &[("BONGSU_KEY", &server.operator)]).await;
    let counts: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!(output.status.code(), Some(0), "not clean: {counts:#}");
    counts
}
