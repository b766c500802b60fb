//! Holds the server to its OpenAPI document: Schemathesis, by others, asks every operation all kinds of things with a fixed
//! seed; an answer of 500, or one that the document does not tell of, fails.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::build::{self, Profile};
use crate::world::{Relay, Server, ServerOptions, Setup, Sim, set_up};

const SEED: u32 = 5;
/// Generated examples of an operation, beside those that cover its limits.
const EXAMPLES: u32 = 12;
/// What is judged of every answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

/// Asks as an operator, and as the owner of an account that can send. `python` has Schemathesis.
pub async fn run(python: &Path) -> Result<()> {
    let programs = build::programs(Profile::Dev)?;
    let directory = build::target()?.join("contract");
    if directory.exists() {
        std::fs::remove_dir_all(&directory).with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let options = ServerOptions {
        bongsu: programs.bongsu.clone(),
        data: directory.join("data"),
        listen: "127.0.0.1:0".into(),
        environment: Default::default(),
        log: directory.join("server.log"),
    };
    let server = Server::start(&options).await?;
    let operator = server.operator()?;
    let log = directory.join("sim.log");
    let mut sim = Sim::start(&programs.bongsu, &[("kt", None)], SEED.into(), None, &log).await?;
    let setup = Setup::usual(&sim.relays, Relay { rate_per_s: 1_000, window: 100, binds: 1 }, "contract");
    let member = set_up(&operator, &Setup { shares: vec![("kt".into(), 100)], ..setup }).await?;
    let owner = member.first().context("the account was made")?.key.clone();
    for (who, key) in [("operator", operator.key.as_str()), ("owner", owner.as_str())] {
        ask(python, &directory, &server.address, who, key).await?;
    }
    server.stop().await?;
    sim.process.kill().await
}

async fn ask(python: &Path, directory: &Path, address: &str, who: &str, key: &str) -> Result<()> {
    let mut command = Command::new(python.with_file_name("st"));
    command
        .arg("run")
        .arg(format!("http://{address}/openapi.json"))
        .args(["--header", &format!("Authorization: Bearer {key}")])
        .args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--continue-on-failure"])
        .args(["--seed", &SEED.to_string(), "--max-examples", &EXAMPLES.to_string(), "--generation-database", "none"])
        .args(["--suppress-health-check", "all", "--warnings", "off", "--no-color"])
        .current_dir(directory)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await.context("cannot run Schemathesis")?;
    let told = String::from_utf8_lossy(&output.stdout);
    std::fs::write(directory.join(format!("{who}.txt")), told.as_bytes()).context("the report cannot be written")?;
    if !output.status.success() {
        print!("{told}{}", String::from_utf8_lossy(&output.stderr));
    }
    ensure!(output.status.success(), "answers to the {who} are not as the OpenAPI document says ({})", output.status);
    Ok(())
}
