//! A world: server, simulated relays, an operator, and an account that can send.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bongsu_domain::{Clock, MessageId, Status};
use bongsu_send::Service;
use bongsu_server::audit::{self, Counts};
use bongsu_server::books;
use bongsu_server::client::{Client, Peer};
use bongsu_server::config::{Config, Role};
use bongsu_sim::{Script, Sim};
use bongsu_store::Store;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::builder::Builder;
use crate::http::{Http, Reply};
use crate::process::Process;
use crate::server::Server;
use crate::setup::{self, Member};
use crate::wait::until;

/// How long a graceful stop may take.
const STOP: Duration = Duration::from_secs(10);
/// From so many messages on, results are read in pages rather than one by one.
const PAGES_FROM: usize = 20;

/// The application with everything around it. It ends when it is dropped.
pub struct World {
    /// The simulated relays.
    pub sim: Sim,
    /// The account that sends unless another one is named.
    pub main: Member,
    /// The operator's key.
    pub operator_key: String,
    /// The client that all calls go through.
    pub http: Http,
    pub(crate) server: Option<Server>,
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shares: Value,
    pub(crate) points: i64,
    pub(crate) members: Mutex<u32>,
    pub(crate) acked: Mutex<HashSet<MessageId>>,
    pub(crate) _directory: TempDir,
    // After everything that uses it.
    #[cfg(feature = "full")]
    pub(crate) _ground: Option<crate::ground::Ground>,
}

impl World {
    /// Three relays, shares 70, 20, 10, one account with a million points.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// A world with other settings.
    pub fn builder() -> Builder {
        Builder::default()
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("the world's server was stopped; start it again first")
    }

    /// The pipeline itself, for what HTTP does not tell.
    pub fn service(&self) -> &Service {
        self.server().service()
    }

    /// The store of the running server.
    pub fn store(&self) -> &Store {
        self.service().store()
    }

    /// Starts one more process over the world's database, with these roles; its keys of the configuration are the world's.
    ///
    /// # Panics
    /// It does not start, as on files, which belong to one process.
    pub async fn join(&self, roles: &[Role]) -> Process {
        let config = Config { roles: roles.to_vec(), ..self.config.clone() };
        Process::of(Server::start(&config, self.clock.clone()).await)
    }

    /// Where the API listens.
    pub fn address(&self) -> SocketAddr {
        self.http.address()
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.config.data
    }

    /// Calls with a key (empty for none) and a JSON body (null for none). Ids of accepted messages are remembered for
    /// the audit.
    ///
    /// # Errors
    /// Nobody answers, in words.
    pub async fn try_call(&self, key: &str, method: &str, path: &str, body: Value) -> Result<Reply, String> {
        let reply = self.http.call(key, method, path, &body).await?;
        if method == "POST" && path.starts_with("/v1/messages") && (200..300).contains(&reply.status) {
            let single = reply.body["id"].as_str().into_iter();
            let rows = reply.body["results"].as_array().into_iter().flatten().filter_map(|row| row["id"].as_str());
            let ids = single.chain(rows).filter_map(|id| id.parse::<MessageId>().ok());
            self.acked.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
        }
        Ok(reply)
    }

    /// As [`World::try_call`], of a server that must answer.
    pub async fn call(&self, key: &str, method: &str, path: &str, body: Value) -> Reply {
        self.try_call(key, method, path, body).await.unwrap_or_else(|why| panic!("{method} {path}: {why}"))
    }

    /// Calls as the operator.
    pub async fn operator(&self, method: &str, path: &str, body: Value) -> Reply {
        self.call(&self.operator_key, method, path, body).await
    }

    /// Reads as the main account.
    pub async fn get(&self, path: &str) -> Value {
        self.call(&self.main.key, "GET", path, Value::Null).await.good(200)
    }

    /// A further account, made like the main one.
    pub async fn member(&self, name: &str) -> Member {
        let number = {
            let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
            *members += 1;
            *members
        };
        let from = format!("02158800{number:02}");
        setup::member(&self.http, &self.operator_key, name, &from, self.points, &self.shares).await
    }

    /// Sends a short message as the main account and gives its id.
    pub async fn send(&self, to: &str, text: &str) -> String {
        self.submit(json!({ "to": to, "text": text })).await
    }

    /// Sends a message as the main account; members left out are `channel` auto and the account's number. Gives its id.
    pub async fn submit(&self, body: Value) -> String {
        self.submit_as(&self.main, body).await
    }

    /// As [`World::submit`], as another account.
    pub async fn submit_as(&self, member: &Member, body: Value) -> String {
        let reply = self.call(&member.key, "POST", "/v1/messages", filled(member, body)).await;
        assert!((200..300).contains(&reply.status), "not accepted: {}", reply.text);
        id_of(&reply.body)
    }

    /// Sends a batch as the main account and gives the ids in order; every row must be accepted.
    pub async fn batch(&self, defaults: Value, messages: Vec<Value>) -> Vec<String> {
        self.batch_as(&self.main, defaults, messages).await
    }

    /// As [`World::batch`], as another account.
    pub async fn batch_as(&self, member: &Member, defaults: Value, messages: Vec<Value>) -> Vec<String> {
        let body = json!({ "defaults": filled(member, defaults), "messages": messages });
        let reply = self.call(&member.key, "POST", "/v1/messages/batch", body).await;
        assert_eq!(reply.status, 202, "{}", reply.text);
        reply.body["results"].as_array().expect("a row for each message").iter().map(id_of).collect()
    }

    /// A message as the operator sees it.
    pub async fn message(&self, id: &str) -> Value {
        self.operator("GET", &format!("/v1/messages/{id}"), Value::Null).await.good(200)
    }

    /// Waits until a message is as wished.
    pub async fn wait_message(&self, id: &str, what: &str, wish: impl Fn(&Value) -> bool) -> Value {
        until(&format!("{id} {what}"), || async { Some(self.message(id).await).filter(|message| wish(message)) }).await
    }

    /// Waits until messages have a final result and gives them in the order of `ids`.
    pub async fn wait_final(&self, ids: &[String]) -> Vec<Value> {
        let Some(last) = ids.last() else { return Vec::new() };
        if ids.len() < PAGES_FROM {
            let mut messages = Vec::new();
            for id in ids {
                messages.push(self.wait_message(id, "has a final result", is_final).await);
            }
            return messages;
        }
        self.wait_message(last, "has a final result", is_final).await;
        until("all messages have a final result", || async {
            let mut all: HashMap<String, Value> =
                self.messages("").await.into_iter().map(|message| (id_of(&message), message)).collect();
            ids.iter().map(|id| all.remove(id).filter(is_final)).collect()
        })
        .await
    }

    /// Every message that a filter of the list finds (`status=queued&relay=kt`), newest first, as the operator sees it.
    pub async fn messages(&self, filter: &str) -> Vec<Value> {
        self.pages(&format!("/v1/messages?limit=500&{filter}")).await
    }

    /// Every row of a list with cursors, as the operator sees it.
    pub async fn pages(&self, path: &str) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut cursor = String::new();
        loop {
            let mut page = self.operator("GET", &format!("{path}{cursor}"), Value::Null).await.good(200);
            if let Value::Array(items) = page["items"].take() {
                rows.extend(items);
            }
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return rows,
            }
        }
    }

    /// Points that an account has.
    pub async fn points(&self, member: &Member) -> i64 {
        let wallet = self.call(&member.key, "GET", "/v1/wallet", Value::Null).await.good(200);
        wallet["balances"]["point:sms"].as_i64().unwrap_or_else(|| panic!("no points in {wallet}"))
    }

    /// Waits until an account has so many points: on files a result is seen before its refund, which is another file's.
    pub async fn wait_points(&self, member: &Member, points: i64) {
        until(&format!("{} has {points} points", member.account), || async {
            (self.points(member).await == points).then_some(())
        })
        .await;
    }

    /// Waits until every relay has a link.
    pub async fn linked(&self) {
        until("every relay is linked", || async {
            let relays = self.operator("GET", "/v1/relays", Value::Null).await.good(200);
            let relays = relays["items"].as_array().cloned().unwrap_or_default();
            relays.iter().all(|relay| relay["health"]["up"] == true).then_some(())
        })
        .await;
    }

    /// Waits until a relay is up or down, as the server sees it.
    pub async fn wait_relay(&self, name: &str, up: bool) {
        until(&format!("{name} is up: {up}"), || async {
            let relay = self.operator("GET", &format!("/v1/relays/{name}"), Value::Null).await.good(200);
            (relay["health"]["up"] == up).then_some(())
        })
        .await;
    }

    /// Replaces the simulator's script.
    pub fn script(&self, script: Value) {
        let script = Script::parse(&script.to_string()).unwrap_or_else(|error| panic!("the script: {error}"));
        self.sim.set_script(script).unwrap_or_else(|error| panic!("the script: {error}"));
    }

    /// Everything that one relay took, in order of arrival: recipient and reference.
    pub async fn seen(&self, relay: &str) -> Vec<(String, Option<u64>)> {
        let http = Http::new(self.sim.control_addr().expect("worlds have a control interface"));
        let reply = http.call("", "GET", "/seen", &Value::Null).await.expect("the simulator answers");
        let rows = reply.text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a row of JSON"));
        rows.filter(|row| row["relay"] == relay)
            .map(|row| (row["to"].as_str().expect("a recipient").to_owned(), row["reference"].as_u64()))
            .collect()
    }

    /// Makes every write wait, or lets them go: what callers see while the disk is stuck.
    pub fn hold_writes(&self, held: bool) {
        self.store().hold_writes(held);
    }

    /// Stops the server in order.
    pub async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop(STOP).await;
        }
    }

    /// Tears the server away: every task ends where it waits, nobody is told.
    pub async fn crash(&mut self) {
        if let Some(server) = self.server.take() {
            server.crash().await;
        }
    }

    /// Starts the server again over the same data and waits for the relays.
    pub async fn start_again(&mut self) {
        self.start_again_unlinked().await;
        self.linked().await;
    }

    /// As [`World::start_again`], but relays may still be down.
    pub async fn start_again_unlinked(&mut self) {
        assert!(self.server.is_none(), "the world's server runs");
        let server = Server::start(&self.config, self.clock.clone()).await;
        self.http = Http::new(server.address());
        self.server = Some(server);
    }

    /// Stops in order and starts again.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Waits until no message is open, then compares callers, books and simulator.
    ///
    /// # Panics
    /// Something is lost, never sent, doubled, or the money does not add up.
    pub async fn audit(&self) -> Counts {
        let counts = self.count().await;
        assert!(counts.is_clean(), "{counts:#?}");
        counts
    }

    /// As [`World::audit`], without the judgement.
    pub async fn count(&self) -> Counts {
        let (totals, lines) = until("no message is open", || async {
            let books = books::of_store(self.store()).await.expect("the books can be read");
            books.1.iter().all(|line| line.status.is_final()).then_some(books)
        })
        .await;
        let control = self.sim.control_addr().expect("worlds have a control interface");
        let client = Client::new(Peer::Simulator, &format!("http://{control}"), None);
        let client = client.unwrap_or_else(|failure| panic!("{}", failure.sentence));
        let seen = books::of_simulator(&client).await.unwrap_or_else(|failure| panic!("{}", failure.sentence));
        let acked = self.acked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        audit::judge(totals, &lines, &acked, Some(&seen))
    }
}

fn filled(member: &Member, mut body: Value) -> Value {
    for (name, value) in [("channel", "auto"), ("from", &member.from)] {
        if body.get(name).is_none() {
            body[name] = json!(value);
        }
    }
    body
}

fn id_of(value: &Value) -> String {
    value["id"].as_str().unwrap_or_else(|| panic!("no id in {value}")).to_owned()
}

fn is_final(message: &Value) -> bool {
    message["status"].as_str().and_then(Status::parse).is_some_and(Status::is_final)
}
