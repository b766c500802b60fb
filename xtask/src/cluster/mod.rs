//! `cargo xtask cluster up|down|status`: several processes of Bongsu over one MariaDB and one Redis on this machine.

mod node;
mod plan;
mod record;
mod table;
mod world;

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Args, Subcommand};

use crate::build::{self, Profile};
use crate::process::{self, INTERRUPTED, Signal, interrupted};
use crate::services::Which;
use crate::world::{Member, Relay, Setup};

pub use node::{Ends, Node};
pub use plan::{Plan, Role, Shape};
pub use record::Record;
pub use world::{Cluster, Options as WorldOptions, take_down};

/// Ports of `cluster up` begin here: 8081 and 8082 take requests, 8181 and 8182 send, 8281 reports, 8681 and on are relays.
const FIRST_PORT: u16 = 8080;
const RELAYS: [&str; 3] = ["kt", "skt", "lgu"];
/// Seconds that a lease lasts, as Bongsu has it by default.
const LEASE_S: u32 = 15;
const LOOK: Duration = Duration::from_secs(1);

/// `cargo xtask cluster …`.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Build and start MariaDB, Redis, relay simulators, two api, two dispatch and one report process on a new database, with
    /// a demo account; stays until Ctrl-C and starts again what ends.
    Up {
        /// Use the build of `cargo test` instead of an optimised one.
        #[arg(long)]
        dev: bool,
        /// Processes that take requests.
        #[arg(long, default_value_t = Shape::USUAL.api, value_parser = clap::value_parser!(u16).range(1..=9))]
        api: u16,
        /// Processes that send.
        #[arg(long, default_value_t = Shape::USUAL.dispatch, value_parser = clap::value_parser!(u16).range(1..=9))]
        dispatch: u16,
        /// Processes that report.
        #[arg(long, default_value_t = Shape::USUAL.report, value_parser = clap::value_parser!(u16).range(0..=9))]
        report: u16,
    },
    /// Stop the cluster that another terminal has up.
    Down,
    /// A table of it; fails unless all of it is up.
    Status,
}

/// Does it.
pub async fn run(options: Options) -> Result<ExitCode> {
    match options.order {
        Order::Up { dev, api, dispatch, report } => up(dev, Shape { api, dispatch, report }).await,
        Order::Down => down().await,
        Order::Status => status().await,
    }
}

fn folder() -> PathBuf {
    build::root().join("data/cluster")
}

async fn up(dev: bool, shape: Shape) -> Result<ExitCode> {
    let folder = folder();
    ensure!(Record::load(&folder).is_none_or(|record| !record.is_up()), "a cluster is up; `cargo xtask cluster down`");
    let programs = build::programs(if dev { Profile::Dev } else { Profile::Release })?;
    // A new database takes nothing from the files of an earlier one.
    take_down(&folder, false).await?;
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let options = WorldOptions {
        programs,
        folder: folder.clone(),
        plan: Plan::make(FIRST_PORT, shape, &RELAYS)?,
        seed: 20,
        script: None,
        environment: BTreeMap::new(),
        lease_s: LEASE_S,
        without_redis: false,
        has_replica: true,
    };
    let outcome = stay(options).await;
    // Whatever happened, the processes are gone and the services follow them.
    take_down(&folder, false).await?;
    Record::remove(&folder);
    outcome
}

/// Starts everything and shows it until somebody asks to stop.
async fn stay(options: WorldOptions) -> Result<ExitCode> {
    let cluster = tokio::select! {
        cluster = bring_up(options) => cluster?,
        asked = interrupted() => {
            eprintln!("\ninterrupted; stopping …");
            return asked.map(|()| ExitCode::from(INTERRUPTED));
        }
    };
    tokio::select! {
        outcome = watch(&cluster) => outcome?,
        asked = interrupted() => asked?,
    }
    eprintln!("\nstopping …");
    cluster.stop().await?;
    Ok(ExitCode::SUCCESS)
}

async fn bring_up(options: WorldOptions) -> Result<Cluster> {
    let (folder, bongsu) = (options.folder.clone(), options.programs.bongsu.clone());
    Record::starting(&folder)?;
    let cluster = Cluster::start(options).await?;
    let relay = Relay { rate_per_s: 5_000, window: 200, binds: 4 };
    let mut setup = Setup::usual(&cluster.sim.relays, relay, "demo");
    setup.points = 1_000_000;
    setup.requests_per_s = Some(20_000);
    let members = cluster.set_up(&setup).await?;
    Record::of(&cluster, &members[0])?.save(&folder)?;
    introduce(&cluster, &members[0], &bongsu.display().to_string());
    Ok(cluster)
}

fn introduce(cluster: &Cluster, member: &Member, bongsu: &str) {
    println!("The cluster is up.\n");
    for node in cluster.of(Role::Api) {
        println!("  API      http://{}", node.address());
    }
    println!("  control  http://{}/stats   (of the simulated relays)", cluster.sim.control.address);
    println!("  account  demo   sender {}   key {}", member.from, member.key);
    println!("  data     ./data/cluster (api-1/operator.key is the operator's key, NAME.log what a process says)\n");
    println!("Type next, in another terminal:\n");
    println!("  {bongsu} demo --world data/cluster/cluster.json\n");
    println!("or kill a process and see it come back:  kill -9 PID\n");
    println!("Ctrl-C stops everything.\n");
}

/// Draws the table again and again: in place on a terminal, elsewhere when something changed.
async fn watch(cluster: &Cluster) -> Result<()> {
    let on_terminal = std::io::stdout().is_terminal();
    let (mut lines, mut last) = (0, Vec::new());
    loop {
        let mut rows = table::rows(&cluster.nodes);
        let states: Vec<_> = rows.iter().map(|row| (row[3].clone(), row[6].clone())).collect();
        if on_terminal || states != last {
            for which in Which::ALL {
                let look = cluster.services.set.look(which).await;
                let (address, pid) = (look.address().unwrap_or_default(), look.daemon.map(|daemon| daemon.pid));
                rows.push(table::plain(which.name(), "service", &address, pid));
            }
            for (name, address) in &cluster.sim.relays {
                rows.push(table::plain(name, "relay (simulated)", address, Some(cluster.sim.process.pid())));
            }
            let text = table::table(&rows);
            if on_terminal && lines > 0 {
                print!("\x1b[{lines}A\x1b[J");
            }
            lines = text.lines().count();
            println!("{}", text.trim_end());
            std::io::stdout().flush()?;
            last = states;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn down() -> Result<ExitCode> {
    let Some(record) = Record::load(&folder()).filter(Record::is_up) else {
        // One that was killed itself may have left its services.
        take_down(&folder(), false).await?;
        eprintln!("no cluster is up");
        return Ok(ExitCode::SUCCESS);
    };
    process::send(record.pid, Signal::Term).await?;
    while record.is_up() {
        tokio::time::sleep(LOOK / 10).await;
    }
    Ok(ExitCode::SUCCESS)
}

async fn status() -> Result<ExitCode> {
    let Some(record) = Record::load(&folder()).filter(Record::is_up) else {
        println!("no cluster is up");
        return Ok(ExitCode::FAILURE);
    };
    let (text, all_up) = record.status().await;
    print!("{text}");
    Ok(if all_up { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
