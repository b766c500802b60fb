//! The task runner: `cargo xtask run | test | check | services | cluster | gen | kill | bench`.

mod bench;
mod build;
mod check;
mod cluster;
mod contract;
mod generated;
mod http;
mod kill;
mod loadgen;
mod peers;
mod percentile;
mod powercut;
mod process;
mod random;
mod run;
mod services;
mod test;
mod tidy;
mod world;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Work on Bongsu: check it, test it, run it, break it, measure it.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build and start Bongsu with three relay simulators and a demo account; stays until Ctrl-C.
    Run,
    /// Everything: check, all tests, peers written by others, a short kill run.
    Test(test::Options),
    /// Format, lints, house rules, generated files.
    Check,
    /// The house rules alone; a part of check that takes no compiler.
    Tidy,
    /// Install the SMPP programs that some scenarios talk to; prints the directory for BONGSU_PEERS.
    Peers,
    /// Hold a server to its OpenAPI document by Schemathesis.
    Contract,
    /// Real servers for tests: MariaDB with a replica, and Redis.
    Services(services::command::Options),
    /// Several processes over one MariaDB and one Redis, on this machine.
    Cluster(cluster::Options),
    /// Write the generated files (docs/openapi.json, docs/reference).
    Gen(generated::Options),
    /// Kill the server again and again under load, then count what is left.
    Kill(kill::Options),
    /// Measure; prints one JSON document.
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
    /// The load generator, started by kill and bench as its own process.
    #[command(hide = true)]
    Loadgen(loadgen::Options),
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Accept to stored final receipt.
    Send(bench::Options),
    /// A table of up to 1,000,000 rows as a group, with the server killed twice on the way.
    Group(kill::group::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let outcome = runtime.block_on(dispatch(arguments.task));
            // Not waiting for a step that a Ctrl-C has left behind.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(task: Task) -> anyhow::Result<ExitCode> {
    match task {
        Task::Run => run::run().await,
        Task::Test(options) => test::run(&options).await,
        Task::Check => check::run().await,
        Task::Tidy => tidy::run(),
        Task::Peers => {
            println!("{}", peers::install().await?.display());
            Ok(ExitCode::SUCCESS)
        }
        Task::Contract => {
            contract::run(&peers::install().await?.join("venv/bin/python")).await?;
            println!("every answer is as the OpenAPI document says");
            Ok(ExitCode::SUCCESS)
        }
        Task::Services(options) => services::command::run(options).await,
        Task::Cluster(options) => cluster::run(options).await,
        Task::Gen(options) => generated::run(&options).await,
        Task::Kill(options) => kill::run(options).await,
        Task::Bench { what: Bench::Send(options) } => bench::run(options).await,
        Task::Bench { what: Bench::Group(options) } => kill::group::run(&options).await,
        Task::Loadgen(options) => loadgen::run(options).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_commands_of_the_readme_parse() {
        for line in [
            "xtask run",
            "xtask test",
            "xtask check",
            "xtask services up",
            "xtask services down --keep",
            "xtask services status",
            "xtask services env",
            "xtask services kill mariadb",
            "xtask services pause mariadb-replica",
            "xtask services --folder scratch up redis",
            "xtask cluster up",
            "xtask cluster status",
            "xtask cluster down",
            "xtask gen --check",
            "xtask kill --cycles 200 --seed 7 --json",
            "xtask kill --cycles 20 --seed 7 --power-cut --json",
            "xtask kill --cycles 20 --seed 7 --pause --json",
            "xtask kill --cluster --cycles 100 --seed 7 --json",
            "xtask kill --cluster --pause --json",
            "xtask kill --cluster --engines",
            "xtask kill --cluster --short --seed 3",
            "xtask kill --cluster --redis dead",
            "xtask kill --cluster --pairs 1000",
            "xtask bench send --mode batch --messages 1000000 --history 10000000 --reuse data/history --out out.json",
            "xtask bench send --mode batch --cluster --dispatchers 1,2 --messages 1000000",
            "xtask bench send --mode lanes --rate 50 --seconds 60",
        ] {
            let parsed = Arguments::try_parse_from(line.split(' '));
            assert!(parsed.is_ok(), "{line}: {}", parsed.err().map(|e| e.to_string()).unwrap_or_default());
        }
    }
}
