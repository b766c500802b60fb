//! `cargo xtask bench group`: a table is streamed into a group by `bongsu send` and sent, the server is killed on the way,
//! twice; then everything has to be there once, within a small memory.

use std::collections::BTreeSet;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::{Outcome, SCRIPT, audit, server_options};
use crate::build::{self, Profile, Programs};
use crate::http::Api;
use crate::process::memory;
use crate::world::{Member, Relay, Server, ServerOptions, Setup, Sim, free_address, scratch, set_up};

/// One row in so many names no number.
const BAD_EVERY: u64 = 997;
/// Between two looks at the group.
const LOOK: Duration = Duration::from_millis(100);
/// How long the whole may take.
const LIMIT: Duration = Duration::from_secs(3600);

/// What is sent.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Rows of the table.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=1_000_000))]
    pub rows: u64,
    /// Most memory of the server, in MiB.
    #[arg(long, default_value_t = 300.0)]
    pub memory_mib: f64,
    /// Seed of the simulated relays.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Do not kill.
    #[arg(long)]
    pub gentle: bool,
    /// Use the build of `cargo test` instead of an optimised one.
    #[arg(long)]
    pub dev: bool,
    /// Keep the data directory.
    #[arg(long)]
    pub keep: bool,
}

/// Runs and prints.
pub async fn run(options: &Options) -> Result<ExitCode> {
    let outcome = play(options).await?;
    println!("{:#}", outcome.document);
    if outcome.clean && !options.keep {
        std::fs::remove_dir_all(&outcome.directory).context("cannot remove the scratch directory")?;
    } else {
        eprintln!("data and logs: {}", outcome.directory.display());
    }
    Ok(if outcome.clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds, sends, kills and counts.
pub async fn play(options: &Options) -> Result<Outcome> {
    let programs = build::programs(if options.dev { Profile::Dev } else { Profile::Release })?;
    let directory = scratch(&build::target()?, &format!("group-{}", options.rows))?;
    let played = play_in(options, &programs, &directory).await;
    played.with_context(|| format!("group run in {}", directory.display()))
}

async fn play_in(options: &Options, programs: &Programs, directory: &Path) -> Result<Outcome> {
    let begin = Instant::now();
    let script = directory.join("script.json");
    std::fs::write(&script, SCRIPT)?;
    let names = [("kt", None), ("skt", None), ("lgu", None)];
    let log = directory.join("sim.log");
    let mut sim = Sim::start(&programs.bongsu, &names, options.seed, Some(&script), &log).await?;
    let mut server_options = server_options(programs, directory);
    server_options.listen = free_address(None)?;
    std::fs::create_dir_all(&server_options.data)?;
    let relay = Relay { rate_per_s: 50_000, window: 200, binds: 2 };
    let first = Server::start(&server_options).await?;
    let setup = Setup::usual(&sim.relays, relay, "group");
    let member = set_up(&first.operator()?, &setup).await?.pop().context("one account was asked for")?;
    let table = directory.join("table.csv");
    let wrong = write_table(&table, options.rows)?;
    let mut field = Field {
        api: Api { address: server_options.listen.clone(), key: member.key.clone() },
        options: server_options,
        server: first,
        peak: 0.0,
        deadline: begin + LIMIT,
    };
    let mut sending = start_send(programs, &field, &member, &table, directory)?;
    let group = field.play(options, &mut sending, &table).await?;
    let sent_in = begin.elapsed();
    let found = field.judge(&group, options.rows, &wrong).await?;
    let acked = directory.join("acked");
    std::fs::write(&acked, "")?;
    let audit = audit(programs, &field.options.data, &acked, &sim)?;
    let stats = sim.stats().await?;
    let Field { server, peak, .. } = field;
    server.stop().await.context("the stop at the end")?;
    sim.process.kill().await?;
    let mut violations = found;
    if peak > options.memory_mib {
        violations.push(format!("the server had {peak:.0} MiB, at most {:.0} are allowed", options.memory_mib));
    }
    let seconds = |took: Duration| (took.as_secs_f64() * 10.0).round() / 10.0;
    let document = json!({
        "rows": options.rows,
        "kills": if options.gentle { 0 } else { 2 },
        "group": group,
        "peakMiB": peak.round(),
        "sentInSeconds": seconds(sent_in),
        "seconds": seconds(begin.elapsed()),
        "audit": audit.document,
        "sim": stats,
        "violations": violations,
    });
    let clean = audit.clean && violations.is_empty();
    Ok(Outcome { document, clean, directory: directory.to_path_buf() })
}

/// Writes the table; answers the numbers of the rows that are wrong.
fn write_table(path: &Path, rows: u64) -> Result<BTreeSet<u64>> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    let mut wrong = BTreeSet::new();
    writeln!(file, "to,name,clientRef,memo")?;
    for row in 1..=rows {
        if row.is_multiple_of(BAD_EVERY) {
            wrong.insert(row);
            writeln!(file, "0212345678,nobody,row-{row},")?;
        } else {
            writeln!(file, "010{:08},\"손님, {row}\",row-{row},x", 20_000_000 + row)?;
        }
    }
    file.flush()?;
    Ok(wrong)
}

fn start_send(programs: &Programs, field: &Field, member: &Member, table: &Path, directory: &Path) -> Result<Child> {
    let log = std::fs::File::create(directory.join("send.log"))?;
    Command::new(&programs.bongsu)
        .args(["send", "--json", "--patience", "120", "--text", "[봉수] #{name}님, 안내드립니다."])
        .args(["--url", &format!("http://{}", field.api.address), "--from", &member.from])
        .arg("--csv")
        .arg(table)
        .env("BONGSU_KEY", &member.key)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .context("cannot start bongsu send")
}

/// The server of a run, over its lives.
struct Field {
    api: Api,
    options: ServerOptions,
    server: Server,
    /// Largest memory of all lives, MiB.
    peak: f64,
    deadline: Instant,
}

impl Field {
    /// Lets the table be sent, and kills on the way: while rows come in, and while messages leave.
    async fn play(&mut self, options: &Options, sending: &mut Child, table: &Path) -> Result<Value> {
        let note = PathBuf::from(format!("{}.bongsu", table.display()));
        let mut kills = if options.gentle { 2 } else { 0 };
        let mut id = None;
        loop {
            tokio::time::sleep(LOOK).await;
            self.measure();
            if let Some(status) = sending.try_wait()? {
                ensure!(status.success(), "bongsu send ended with {status}; see send.log");
                break;
            }
            ensure!(Instant::now() < self.deadline, "the group is not finished after {} s", LIMIT.as_secs());
            let known = || {
                let note: Value = serde_json::from_str(&std::fs::read_to_string(&note).ok()?).ok()?;
                note["group"].as_str().map(str::to_owned)
            };
            id = id.or_else(known);
            let Some(id) = &id else { continue };
            if kills == 2 {
                continue;
            }
            let group = self.api.ask("GET", &format!("/v1/groups/{id}"), None).await?;
            let is_time = match kills {
                0 => group["rowsReceived"].as_u64() >= Some(options.rows / 3),
                _ => group["progress"]["ended"].as_u64() >= Some(options.rows / 3),
            };
            if is_time {
                kills += 1;
                eprintln!("kill {kills} at {} rows, {} ended", group["rowsReceived"], group["progress"]["ended"]);
                self.kill().await?;
            }
        }
        let Some(id) = id else { bail!("bongsu send left no note of its group") };
        ensure!(kills == 2, "it was over before the second kill");
        self.api.ask("GET", &format!("/v1/groups/{id}"), None).await
    }

    fn measure(&mut self) {
        let peak = memory(self.server.process.pid()).map_or(0.0, |memory| memory.peak);
        self.peak = self.peak.max(peak);
    }

    async fn kill(&mut self) -> Result<()> {
        self.measure();
        self.server.process.kill().await?;
        self.server = Server::start(&self.options).await.context("the start after a kill")?;
        Ok(())
    }

    /// What is not as it has to be.
    async fn judge(&self, group: &Value, rows: u64, wrong: &BTreeSet<u64>) -> Result<Vec<String>> {
        let mut violations = Vec::new();
        let mut expect = |what: &str, is: &Value, should: u64| {
            if is.as_u64() != Some(should) {
                violations.push(format!("{what} is {is}, not {should}"));
            }
        };
        let accepted = rows - wrong.len() as u64;
        expect("rowsReceived", &group["rowsReceived"], rows);
        expect("accepted", &group["counts"]["accepted"], accepted);
        expect("rejected", &group["counts"]["rejected"], wrong.len() as u64);
        expect("ended", &group["progress"]["ended"], accepted);
        let counts = group["progress"]["counts"].as_object();
        let failed: u64 = counts
            .into_iter()
            .flatten()
            .filter(|(word, _)| ["undelivered", "expired", "failed", "canceled"].contains(&word.as_str()))
            .filter_map(|(_, count)| count.as_u64())
            .sum();
        let path = format!("/v1/groups/{}/failures.csv", group["id"].as_str().unwrap_or_default());
        let (status, text) = self.api.text("GET", &path, None).await?;
        ensure!(status == 200, "{path} answered {status}");
        let mut lines = text.lines().skip(1);
        let row_of = |line: &str| line.split(',').next().and_then(|row| row.parse::<u64>().ok());
        let refused: BTreeSet<u64> = lines.by_ref().take(wrong.len()).filter_map(row_of).collect();
        let others: BTreeSet<u64> = lines.filter_map(row_of).collect();
        if refused != *wrong {
            violations.push(format!("failures.csv has {} refused rows, not those that are wrong", refused.len()));
        }
        if others.len() as u64 != failed || !others.is_disjoint(wrong) {
            violations.push(format!("failures.csv has {} failed messages, the group {failed}", others.len()));
        }
        Ok(violations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_its_rows_and_knows_the_wrong_ones() {
        let path = std::env::temp_dir().join(format!("bongsu-table-{}.csv", std::process::id()));
        let wrong = write_table(&path, 2_000).expect("room");
        let text = std::fs::read_to_string(&path).expect("there");
        std::fs::remove_file(&path).expect("there");
        assert_eq!(text.lines().count(), 2_001);
        assert_eq!(wrong, BTreeSet::from([997, 1_994]));
        assert!(text.lines().nth(997).is_some_and(|line| line.starts_with("0212345678,")));
    }
}
