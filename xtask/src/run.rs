//! `cargo xtask run`: Bongsu with three simulated relays and an account that can send, until Ctrl-C.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::build::{self, Profile, Programs};
use crate::http::Api;
use crate::world::{Member, Relay, Server, ServerOptions, Setup, Sim, free_address, set_up};

/// SMPP ports of the demo's relays; others are taken when they are in use.
const PORTS: [(&str, Option<u16>); 3] = [("kt", Some(2775)), ("skt", Some(2776)), ("lgu", Some(2777))];
const HTTP_PORT: u16 = 8080;

/// Builds, starts, sets up, and stays until Ctrl-C.
pub async fn run() -> Result<ExitCode> {
    let programs = build::programs(Profile::Release)?;
    let data = build::root().join("data/demo");
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let mut sim = Sim::start(&programs.bongsu, &PORTS, 20, None, &data.join("sim.log")).await?;
    let options = ServerOptions {
        bongsu: programs.bongsu.clone(),
        data: data.clone(),
        listen: free_address(Some(HTTP_PORT))?,
        environment: BTreeMap::new(),
        log: data.join("server.log"),
    };
    let mut server = Server::start(&options).await?;
    let member = demo_member(&server, &sim, &data).await?;
    show(&programs, &server, &sim, &member)?;
    let outcome = tokio::select! {
        asked = tokio::signal::ctrl_c() => asked.context("cannot wait for Ctrl-C"),
        ended = server.process.wait(std::time::Duration::MAX) => match ended {
            Ok(status) => bail!("the server ended by itself ({status}); see {}", options.log.display()),
            Err(error) => Err(error),
        },
    };
    outcome?;
    eprintln!("stopping …");
    server.stop().await?;
    sim.process.kill().await?;
    Ok(ExitCode::SUCCESS)
}

/// The demo account: the one of the last run when its key still works, else a new key.
async fn demo_member(server: &Server, sim: &Sim, data: &Path) -> Result<Member> {
    let operator = server.operator()?;
    let relay = Relay { rate_per_s: 5_000, window: 200, binds: 2 };
    let mut setup = Setup::usual(&sim.relays, relay, "demo");
    setup.points = 1_000_000;
    // One demo after another sends 10,000 at once each.
    setup.requests_per_s = Some(20_000);
    let file = data.join("demo.json");
    let member = match last_member(&file, &operator).await {
        Some(member) => {
            setup.accounts.clear();
            set_up(&operator, &setup).await?;
            member
        }
        None => set_up(&operator, &setup).await?.pop().context("one account was asked for")?,
    };
    let world = json!({
        "url": format!("http://{}", server.address),
        "control": format!("http://{}", sim.control.address),
        "account": member.account,
        "keyId": member.key_id,
        "key": member.key,
        "from": member.from,
    });
    write_private(&file, &format!("{world:#}\n"))?;
    Ok(member)
}

async fn last_member(file: &Path, operator: &Api) -> Option<Member> {
    let world: Value = serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
    let text = |name: &str| world[name].as_str().map(str::to_owned);
    let member = Member { account: text("account")?, key_id: text("keyId")?, key: text("key")?, from: text("from")? };
    let own = Api { address: operator.address.clone(), key: member.key.clone() };
    own.ask("GET", "/v1/wallet", None).await.ok()?;
    Some(member)
}

/// Writes a file that only its owner can read: it holds a key.
fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
    let mut file = file.with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

fn show(programs: &Programs, server: &Server, sim: &Sim, member: &Member) -> Result<()> {
    let here = std::env::current_dir()?;
    let bongsu = programs.bongsu.strip_prefix(&here).map_or(programs.bongsu.clone(), |p| Path::new(".").join(p));
    let relays: Vec<String> = sim.relays.iter().map(|(name, address)| format!("{name} {address}")).collect();
    println!("Bongsu is up (started in {} ms).\n", server.started_in.as_millis());
    println!("  API      http://{}   its document: http://{}/openapi.json", server.address, server.address);
    println!("  relays   {}   (simulated; 70 : 20 : 10)", relays.join(", "));
    println!("  control  http://{}/stats", sim.control.address);
    println!("  account  demo   sender {}   key {}", member.from, member.key);
    println!("  data     ./data/demo (operator.key is the operator's key)\n");
    println!("Type next, in another terminal:\n");
    println!("  {} demo\n", bongsu.display());
    println!("or send one message:\n");
    println!("  curl -s http://{}/v1/messages \\", server.address);
    println!("    -H 'Authorization: Bearer {}' -H 'Content-Type: application/json' \\", member.key);
    let message = json!({ "channel": "sms", "lane": "realtime", "to": "010-1234-5678", "from": member.from, "text": "봉수 첫 소식" });
    println!("    -d '{message}'\n");
    println!("Ctrl-C stops everything.");
    Ok(())
}
