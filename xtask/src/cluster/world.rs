//! The whole cluster on this machine: MariaDB with a replica, Redis, simulated relays, and several processes of Bongsu.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::node::Node;
use super::plan::{Plan, Role};
use crate::build::Programs;
use crate::http::Api;
use crate::process::{self, Launch};
use crate::services::{Life, Running, Set, Which};
use crate::world::{Member, Setup, Sim, set_up};

/// A first start makes all tables; beside a build it takes a while.
const READY_LIMIT: Duration = Duration::from_secs(120);
/// Relays are bound by then, also when the binds wait for the leases of an earlier process.
const BIND_LIMIT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);
/// The process that is started first makes the tables and the operator's key.
const FIRST: usize = 0;

/// What a cluster is made of.
#[derive(Debug, Clone)]
pub struct Options {
    pub programs: Programs,
    /// Everything that is written lies here.
    pub folder: PathBuf,
    pub plan: Plan,
    pub seed: u64,
    /// Behaviour of the relays.
    pub script: Option<PathBuf>,
    /// Environment of the processes on top of what the cluster needs.
    pub environment: BTreeMap<String, String>,
    /// Seconds that a lease lasts.
    pub lease_s: u32,
    /// Redis is killed before anything starts.
    pub without_redis: bool,
    /// A replica answers questions about history.
    pub has_replica: bool,
}

/// A running cluster; its processes end when it is dropped, its services when [`take_down`] is called after that.
pub struct Cluster {
    /// Database and cache.
    pub services: Running,
    /// The relays.
    pub sim: Sim,
    /// The processes, those that take requests first.
    pub nodes: Vec<Node>,
    /// Configuration that all processes share, without the directory.
    pub environment: BTreeMap<String, String>,
    options: Options,
}

/// The services of a cluster in this folder.
pub fn services(folder: &Path) -> Result<Set> {
    Set::at(&folder.join("services"))
}

/// Stops the services of a cluster that is gone; their data stays when it is to be looked at.
pub async fn take_down(folder: &Path, keep: bool) -> Result<()> {
    services(folder)?.down(&Which::ALL, keep).await
}

impl Cluster {
    /// Starts everything on a database that is made new; all processes serve when this returns.
    pub async fn start(options: Options) -> Result<Self> {
        take_down(&options.folder, false).await.context("taking down what an earlier cluster left")?;
        let wanted = Which::ALL.into_iter().filter(|which| options.has_replica || *which != Which::MariadbReplica);
        let wanted: Vec<Which> = wanted.collect();
        let services = services(&options.folder)?.up(&wanted, Life::Command).await?;
        services.check()?;
        if options.without_redis {
            services.set.kill9(Which::Redis).await?;
        }
        let wires: Vec<(&str, Option<u16>)> =
            options.plan.relays.iter().map(|(name, port)| (name.as_str(), Some(*port))).collect();
        let log = options.folder.join("sim.log");
        let sim = Sim::start(&options.programs.bongsu, &wires, options.seed, options.script.as_deref(), &log).await?;
        let environment = environment(&options, &services)?;
        let mut cluster = Self { services, sim, nodes: Vec::new(), environment, options };
        for seat in 0..cluster.options.plan.seats.len() {
            let node = cluster.start_node(seat)?;
            cluster.nodes.push(node);
            if seat == FIRST {
                cluster.nodes[FIRST].ready(READY_LIMIT).await?;
            }
        }
        cluster.all_ready().await?;
        Ok(cluster)
    }

    fn start_node(&self, seat: usize) -> Result<Node> {
        let seat = self.options.plan.seats[seat].clone();
        let data = self.data(&seat.name);
        std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
        let address = SocketAddr::from(([127, 0, 0, 1], seat.port)).to_string();
        let mut environment = self.environment.clone();
        let mut words = vec![
            self.options.programs.bongsu.display().to_string(),
            "serve".into(),
            "--roles".into(),
            seat.role.roles().into(),
            "--data".into(),
            data.display().to_string(),
        ];
        if seat.role == Role::Api {
            words.extend(["--listen".into(), address]);
        } else {
            // It takes no requests, but tells how it is.
            environment.insert("BONGSU__PROBE__LISTEN".into(), address);
        }
        let log = self.options.folder.join(format!("{}.log", seat.name));
        Ok(Node::start(seat, Launch { command: words, environment, log }))
    }

    fn data(&self, name: &str) -> PathBuf {
        self.options.folder.join(name)
    }

    /// Waits until every process serves.
    pub async fn all_ready(&self) -> Result<()> {
        for node in &self.nodes {
            let log = self.options.folder.join(format!("{}.log", node.seat.name));
            node.ready(READY_LIMIT).await.with_context(|| format!("see {}", log.display()))?;
        }
        Ok(())
    }

    /// Processes of a role.
    pub fn of(&self, role: Role) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |node| node.seat.role == role)
    }

    /// What a process says about itself.
    pub async fn metrics(&self, node: &Node) -> Result<String> {
        let api = Api { address: node.address(), key: String::new() };
        let (status, text) = api.text("GET", "/metrics", None).await?;
        ensure!(status == 200, "/metrics of {} answered {status}", node.seat.name);
        Ok(text)
    }

    /// CPU time that a service has used, microseconds; `None` when it is down.
    pub async fn service_cpu_us(&self, which: Which) -> Option<u64> {
        let daemon = self.services.set.look(which).await.daemon?;
        process::cpu_us(daemon.pid)
    }

    /// A directory of a process, for a command that reads the configuration of the cluster.
    pub fn first_data(&self) -> PathBuf {
        self.data(&self.options.plan.seats[FIRST].name)
    }

    /// The operator at the first process.
    pub fn operator(&self) -> Result<Api> {
        let file = self.first_data().join("operator.key");
        let key = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Api { address: self.nodes[FIRST].address(), key: key.trim().to_owned() })
    }

    /// Relays, accounts, shares; returns when every relay has all its binds.
    pub async fn set_up(&self, setup: &Setup) -> Result<Vec<Member>> {
        let members = set_up(&self.operator()?, setup).await?;
        let until = Instant::now() + BIND_LIMIT;
        loop {
            let stats = self.sim.stats().await?;
            let relays = self.sim.relays.iter().map(|(name, _)| (name, stats[name]["bound"].as_u64().unwrap_or(0)));
            let missing: Vec<String> = relays
                .filter(|(_, bound)| *bound < u64::from(setup.relay.binds))
                .map(|(name, bound)| format!("{name} has {bound} of {}", setup.relay.binds))
                .collect();
            if missing.is_empty() {
                return Ok(members);
            }
            ensure!(Instant::now() < until, "not all binds are there: {}", missing.join(", "));
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Stops the processes, those that take requests first; each must end well by itself.
    pub async fn stop(mut self) -> Result<()> {
        for node in self.nodes.drain(..) {
            let name = node.seat.name.clone();
            node.stop().await.with_context(|| format!("the stop of {name}"))?;
        }
        self.sim.process.kill().await
    }
}

fn environment(options: &Options, services: &Running) -> Result<BTreeMap<String, String>> {
    let url =
        |which: Which| services.url(which).map(str::to_owned).with_context(|| format!("{} is missing", which.name()));
    let (database, redis) = (url(Which::Mariadb)?, url(Which::Redis)?);
    let replica = if options.has_replica { Some(url(Which::MariadbReplica)?) } else { None };
    let own = [
        ("BONGSU__STORE__KIND", "mysql".to_owned()),
        ("BONGSU__STORE__URL", database),
        ("BONGSU__CACHE__KIND", "redis".to_owned()),
        ("BONGSU__CACHE__URL", redis.clone()),
        ("BONGSU__BUS__KIND", "redis".to_owned()),
        ("BONGSU__BUS__URL", redis),
        ("BONGSU__SECURITY__KEY_FILE", options.folder.join("keys").display().to_string()),
        ("BONGSU__PROCESS__LEASE_S", options.lease_s.to_string()),
    ];
    let replica = replica.map(|replica| ("BONGSU__STORE__REPLICA_URL", replica));
    let own = own.into_iter().chain(replica).map(|(name, value)| (name.to_owned(), value));
    Ok(own.chain(options.environment.clone()).collect())
}
