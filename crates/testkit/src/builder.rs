//! How a world is made: what its relays do, what the server is told, who may send.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bongsu_domain::Clock;
use bongsu_server::clock::SystemClock;
use bongsu_server::config::{Config, Sources, VARIABLE_PREFIX};
use bongsu_sim::{Script, Sim, SimConfig};
use serde_json::{Value, json};

use crate::certificate::Authority;
use crate::http::Http;
use crate::server::Server;
use crate::setup;
use crate::world::World;

/// Makes a [`World`].
pub struct Builder {
    names: Vec<String>,
    settings: Vec<(String, String)>,
    script: Value,
    every: Value,
    each: Vec<(String, Value)>,
    shares: Value,
    points: i64,
    clock: Arc<dyn Clock>,
    tls: Option<Authority>,
    is_own_clock: bool,
    on_database: bool,
    with_redis: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            names: ["kt", "skt", "lgu"].map(str::to_owned).to_vec(),
            settings: Vec::new(),
            script: json!({}),
            every: json!({}),
            each: Vec::new(),
            shares: json!({ "kt": 70, "skt": 20, "lgu": 10 }),
            points: 1_000_000,
            clock: Arc::new(SystemClock),
            tls: None,
            is_own_clock: false,
            with_redis: true,
            #[cfg(feature = "full")]
            on_database: crate::ground::is_usual(),
            #[cfg(not(feature = "full"))]
            on_database: false,
        }
    }
}

impl Builder {
    /// The simulated relays; kt, skt and lgu unless told otherwise.
    pub fn relays(mut self, names: &[&str]) -> Self {
        self.names = names.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// A key of the configuration, as `send.unknown_wait_ms`.
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.settings.push((key.to_owned(), value.to_string()));
        self
    }

    /// The simulator's script in its JSON form.
    pub fn script(mut self, script: Value) -> Self {
        self.script = script;
        self
    }

    /// Members of the body with which every relay is registered (`ratePerS`, `window`, `settings` …).
    pub fn every_relay(mut self, members: Value) -> Self {
        self.every = members;
        self
    }

    /// The same for one relay, over those of [`Builder::every_relay`]. A relay that is not simulated needs an `address`.
    pub fn relay(mut self, name: &str, members: Value) -> Self {
        self.each.push((name.to_owned(), members));
        self
    }

    /// The shares of every account; 70, 20, 10 unless told otherwise, null to set none.
    pub fn shares(mut self, shares: Value) -> Self {
        self.shares = shares;
        self
    }

    /// Points of each account.
    pub fn points(mut self, points: i64) -> Self {
        self.points = points;
        self
    }

    /// The server's clock instead of the machine's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self.is_own_clock = true;
        self
    }

    /// Relays speak TLS with a certificate of this authority, which the server is told to trust.
    pub fn tls(mut self, authority: Authority) -> Self {
        self.tls = Some(authority);
        self
    }

    /// On a database of its own, which further processes can join, and with Redis where the environment names one.
    #[cfg(feature = "full")]
    pub fn on_database(mut self) -> Self {
        self.on_database = true;
        self
    }

    /// Without Redis, also where the environment names one: each process has a cache and a bus of its own.
    pub fn without_redis(mut self) -> Self {
        self.with_redis = false;
        self
    }

    /// On files, also where worlds stand on databases otherwise: the scenario looks into them.
    pub fn on_files(mut self) -> Self {
        self.on_database = false;
        self
    }

    /// Starts everything and waits until every relay is linked.
    ///
    /// # Panics
    /// Something did not start.
    pub async fn start(self) -> World {
        let world = self.start_unlinked().await;
        world.linked().await;
        world
    }

    /// As [`Builder::start`], but relays may still be down.
    ///
    /// # Panics
    /// Something did not start.
    pub async fn start_unlinked(self) -> World {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let script = Script::parse(&self.script.to_string()).unwrap_or_else(|error| panic!("the script: {error}"));
        let sim = Sim::start(SimConfig {
            relays: self.names.iter().map(|name| (name.clone(), loopback)).collect(),
            control: Some(loopback),
            script,
            tls: self.tls.as_ref().map(|authority| authority.server.clone()),
            ..SimConfig::default()
        });
        let sim = sim.expect("a simulator on free ports");
        #[cfg(feature = "full")]
        let ground = self.on_database.then(crate::ground::Ground::new);
        #[cfg(feature = "full")]
        let of_ground = ground.as_ref().map(|ground| ground.settings(self.with_redis)).unwrap_or_default();
        #[cfg(not(feature = "full"))]
        let of_ground = Vec::new();
        let config = self.config(directory.path(), of_ground);
        let server = Server::start(&config, self.clock.clone()).await;
        let key = std::fs::read_to_string(config.data.join("operator.key")).expect("the first start's key");
        let http = Http::new(server.address());
        let operator = key.trim().to_owned();
        for body in self.relay_bodies(&sim) {
            setup::relay(&http, &operator, body).await;
        }
        let main = setup::member(&http, &operator, "main", "0215880000", self.points, &self.shares).await;
        World {
            sim,
            main,
            operator_key: operator,
            http,
            server: Some(server),
            config,
            clock: self.clock,
            shares: self.shares,
            points: self.points,
            members: Mutex::new(1),
            acked: Mutex::new(HashSet::new()),
            _directory: directory,
            #[cfg(feature = "full")]
            _ground: ground,
        }
    }

    fn config(&self, directory: &std::path::Path, of_ground: Vec<(String, String)>) -> Config {
        let usual = [
            ("listen", "127.0.0.1:0".to_owned()),
            ("data", directory.join("data").display().to_string()),
            ("limits.messages_burst", "1000000".to_owned()),
        ];
        let usual = usual.iter().map(|(key, value)| (*key, value.as_str()));
        let own = of_ground.iter().chain(&self.settings).map(|(key, value)| (key.as_str(), value.as_str()));
        let variable = |key: &str| format!("{VARIABLE_PREFIX}{}", key.to_uppercase().replace('.', "__"));
        let variables = usual.chain(own).map(|(key, value)| (variable(key), value.to_owned())).collect();
        match Config::read(&Sources { variables, ..Sources::default() }) {
            Ok((mut config, _)) => {
                // A clock that the scenario moves is not the database's.
                config.process.check_clock = !self.is_own_clock;
                config
            }
            Err(problems) => panic!("the configuration: {problems:?}"),
        }
    }

    fn relay_bodies(&self, sim: &Sim) -> Vec<Value> {
        let others = self.each.iter().map(|(name, _)| name).filter(|name| !self.names.contains(name));
        let names: Vec<&String> = self.names.iter().chain(others).collect();
        let body = |name: &String| {
            let mut body = json!({
                "name": name, "kind": "smpp", "systemId": "bongsu", "password": "secret",
                "ratePerS": 10_000, "window": 500, "binds": 2, "resendUnknown": true,
            });
            if self.names.contains(name) {
                body["address"] = json!(sim.addr(name).to_string());
            }
            if let Some(authority) = &self.tls {
                body["settings"] = json!({ "tlsCa": authority.pem, "tlsServerName": authority.name });
            }
            let own = self.each.iter().filter(|(other, _)| other == name).map(|(_, members)| members);
            for members in std::iter::once(&self.every).chain(own) {
                for (member, value) in members.as_object().into_iter().flatten() {
                    body[member] = value.clone();
                }
            }
            body
        };
        names.into_iter().map(body).collect()
    }
}
