//! `bongsu demo`: sends to the recipients of a bundled CSV and shows what became of them.

use std::path::PathBuf;
use std::time::Duration;

use bongsu_domain::{Clock, Secret};
use clap::Args;
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::progress::Progress;
use super::report::{Facts, Report};
use super::{DEFAULT_URL, Json};
use crate::client::{Client, Peer, escape};
use crate::clock::SystemClock;
use crate::environment::Environment;
use crate::failure::{Answer, Failure};

/// 10,000 recipients: number, name, order. Only simulators ever see them.
const RECIPIENTS: &str = include_str!("../../assets/demo.csv");
/// What they get; with every name and order it fits one SMS (90 bytes in CP949).
const TEXT: &str = "[봉수] #{name}님, 주문 #{order} 상품이 오늘 도착합니다.";
/// Rows of one call (LIM-01).
const BATCH_ROWS: usize = 10_000;
/// Rows of one page.
const PAGE_ROWS: usize = 500;
/// Between two looks at the live counts.
const LOOK: Duration = Duration::from_millis(200);
/// After this long without a new result the messages themselves are looked at.
const QUIET: Duration = Duration::from_secs(2);
/// How long refunds may take to be booked after the last result.
const SETTLE: Duration = Duration::from_secs(10);

/// `bongsu demo …`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// Recipients; the bundled list has 10,000 and is continued beyond.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rows: u32,
    /// Let the simulated relays fail: unreachable phones, results that never come, throttling.
    #[arg(long)]
    failures: bool,
    /// Address of the server; BONGSU_URL, or the world that `cargo xtask run` started.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Key of an account; BONGSU_KEY, or the one of the world. Shows in process lists, so prefer the variable.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Control address of the simulators; the one of the world unless set.
    #[arg(long, value_name = "URL")]
    sim: Option<String>,
    /// Sender number; the account's first active one unless set.
    #[arg(long, value_name = "NUMBER")]
    from: Option<String>,
    /// What `cargo xtask run` wrote about its world.
    #[arg(long, default_value = "data/demo/demo.json", value_name = "FILE")]
    world: PathBuf,
    /// Seconds to wait for the last result.
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    wait: u64,
    #[command(flatten)]
    pub(super) json: Json,
}

/// What `cargo xtask run` writes for the commands that come after it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct World {
    url: Option<String>,
    key: Option<String>,
    control: Option<String>,
}

/// Runs the demo.
pub(super) async fn run(flags: &Flags, environment: &Environment) -> Result<Answer, Failure> {
    let demo = Demo::prepare(flags, environment).await?;
    demo.script(flags.failures).await?;
    let outcome = demo.play(flags).await;
    if flags.failures {
        // Whoever uses the simulators next expects them well.
        demo.script(false).await?;
    }
    let report = outcome?;
    let exit = u8::from(!report.is_complete());
    Ok(Answer { json: report.json(), text: report.text(), exit })
}

/// The places and facts that a run needs.
struct Demo {
    server: Client,
    control: Option<Client>,
    from: String,
    /// Relay and target share in percent.
    shares: Vec<(String, u64)>,
}

impl Demo {
    async fn prepare(flags: &Flags, environment: &Environment) -> Result<Self, Failure> {
        let world = match std::fs::read_to_string(&flags.world) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| {
                let sentence =
                    format!("{} is not what `cargo xtask run` writes: {error}; run it again", flags.world.display());
                Failure::configuration(sentence, Vec::new())
            })?,
            Err(_) => World::default(),
        };
        let url = flags.url.clone().or_else(|| environment.get("BONGSU_URL").map(str::to_owned)).or(world.url);
        let key = flags.key.clone().map(Secret::new).or_else(|| environment.secret("BONGSU_KEY"));
        let key = key.or_else(|| world.key.map(Secret::new));
        let server = Client::new(Peer::Server, url.as_deref().unwrap_or(DEFAULT_URL), key)?;
        let control = flags.sim.clone().or(world.control);
        let control = control.map(|control| Client::new(Peer::Simulator, &with_scheme(&control), None)).transpose()?;
        if flags.failures && control.is_none() {
            let sentence = "failures need the simulators; name their control address with --sim, or start them with `cargo xtask run`";
            return Err(Failure::configuration(sentence, Vec::new()));
        }
        let from = match &flags.from {
            Some(number) => number.clone(),
            None => first_sender(&server.get("/v1/senders").await?)?,
        };
        let shares = server.get("/v1/distributions/sms").await?;
        let shares = shares["shares"].as_object().into_iter().flatten();
        let shares = shares.map(|(relay, share)| (relay.clone(), share.as_u64().unwrap_or_default())).collect();
        Ok(Self { server, control, from, shares })
    }

    /// Tells the simulators how to behave: everything is delivered, or some of it fails.
    async fn script(&self, with_failures: bool) -> Result<(), Failure> {
        let Some(control) = &self.control else { return Ok(()) };
        let behaviour = if with_failures {
            json!({ "codes": { "DELIVRD": 0.95, "UNDELIV:001": 0.03, "EXPIRED": 0.02 }, "delayMs": [10, 300], "throttlePerS": 700,
                    "duplicateReceipts": 0.01, "earlyReceipts": 0.01 })
        } else {
            json!({ "codes": { "DELIVRD": 1.0 }, "delayMs": 10 })
        };
        let relays: serde_json::Map<String, Value> =
            self.shares.iter().map(|(relay, _)| (relay.clone(), behaviour.clone())).collect();
        control.call(Method::PUT, "/script", Some(&json!({ "seed": 20, "relays": relays }))).await?;
        Ok(())
    }

    async fn play(&self, flags: &Flags) -> Result<Report, Failure> {
        let run = base36(SystemClock.now().millis().unsigned_abs() / 1000);
        let recipients = recipients(flags.rows as usize, &run)?;
        let balances = self.balances().await?;
        let baseline = self.counts().await;
        let mut progress = Progress::new(u64::from(flags.rows));
        let start = Instant::now();
        let mut batches = Vec::new();
        let (mut accepted, mut rejected) = (0, 0);
        for rows in recipients.chunks(BATCH_ROWS) {
            let answer =
                self.server.call(Method::POST, "/v1/messages/batch?return=errors", Some(&self.batch(rows))).await?;
            accepted += answer["counts"]["accepted"].as_u64().unwrap_or_default();
            rejected += answer["counts"]["rejected"].as_u64().unwrap_or_default();
            batches.push(answer["batchId"].as_str().unwrap_or_default().to_owned());
            progress.show(0, &format!("accepted {accepted}"));
        }
        let accept_seconds = start.elapsed().as_secs_f64();
        let messages =
            self.follow(&batches, accepted, &baseline, start + Duration::from_secs(flags.wait), &mut progress).await;
        progress.end();
        let facts = Facts {
            with_failures: flags.failures,
            rows: u64::from(flags.rows),
            accepted,
            rejected,
            accept_seconds,
            seconds: start.elapsed().as_secs_f64(),
            shares: self.shares.clone(),
            balances,
        };
        self.settle(Report::of(facts, &messages?)).await
    }

    fn batch(&self, rows: &[[String; 3]]) -> Value {
        let messages: Vec<Value> = rows
            .iter()
            .map(|[number, name, order]| json!({ "to": number, "variables": { "name": name, "order": order } }))
            .collect();
        json!({
            "defaults": { "channel": "sms", "lane": "bulk", "from": self.from, "text": TEXT },
            "messages": messages,
            "mode": "partial",
        })
    }

    /// Shows live counts until every message is final or the time is over, and gives all messages.
    async fn follow(
        &self,
        batches: &[String],
        accepted: u64,
        baseline: &[(String, u64)],
        until: Instant,
        progress: &mut Progress,
    ) -> Result<Vec<Value>, Failure> {
        let (mut last, mut since) = (0, Instant::now());
        loop {
            let counts = subtract(self.counts().await, baseline);
            let done: u64 = counts.iter().map(|(_, count)| count).sum();
            let text: Vec<String> = counts.iter().map(|(status, count)| format!("{status} {count}")).collect();
            progress.show(done.min(accepted), &text.join("  "));
            if done != last {
                (last, since) = (done, Instant::now());
            }
            if done >= accepted || since.elapsed() >= QUIET || Instant::now() >= until {
                let messages = self.messages(batches).await?;
                let open = messages.iter().filter(|message| message["finalAt"].is_null()).count();
                if open == 0 || Instant::now() >= until {
                    progress.show(accepted.saturating_sub(open as u64), &text.join("  "));
                    return Ok(messages);
                }
                since = Instant::now();
            }
            sleep(LOOK).await;
        }
    }

    async fn messages(&self, batches: &[String]) -> Result<Vec<Value>, Failure> {
        let mut messages = Vec::new();
        for batch in batches {
            let mut cursor: Option<String> = None;
            loop {
                let after = cursor.map(|cursor| format!("&cursor={}", escape(&cursor))).unwrap_or_default();
                let path = format!("/v1/messages?batchId={}&limit={PAGE_ROWS}{after}", escape(batch));
                let mut page = self.server.get(&path).await?;
                if let Value::Array(items) = page["items"].take() {
                    messages.extend(items);
                }
                cursor = page["nextCursor"].as_str().map(str::to_owned);
                if cursor.is_none() {
                    break;
                }
            }
        }
        Ok(messages)
    }

    /// Finals by status since the server started; empty when the server shows no metrics.
    async fn counts(&self) -> Vec<(String, u64)> {
        match self.server.send(Method::GET, "/metrics", None).await {
            Ok(reply) if reply.status == 200 => finals(&reply.text),
            _ => Vec::new(),
        }
    }

    async fn balances(&self) -> Result<Value, Failure> {
        Ok(self.server.get("/v1/wallet").await?["balances"].take())
    }

    /// Waits until the refunds are booked, which is one commit after the results.
    async fn settle(&self, mut report: Report) -> Result<Report, Failure> {
        let until = Instant::now() + SETTLE;
        loop {
            report.close(self.balances().await?);
            if report.adds_up() || Instant::now() >= until {
                return Ok(report);
            }
            sleep(LOOK).await;
        }
    }
}

fn with_scheme(address: &str) -> String {
    if address.contains("://") { address.to_owned() } else { format!("http://{address}") }
}

fn first_sender(senders: &Value) -> Result<String, Failure> {
    let items = senders["items"].as_array().into_iter().flatten();
    let number = items.filter(|sender| sender["state"] == "active").find_map(|sender| sender["number"].as_str());
    number.map(str::to_owned).ok_or_else(|| {
        Failure::fault("the account has no active sender number; register one with `bongsu admin sender add`, or name one with --from")
    })
}

/// The bundled recipients, continued with further numbers when more are asked for. `run` goes into every order, so that no
/// text of this run is one of an earlier run: the simulators would call it a duplicate.
fn recipients(rows: usize, run: &str) -> Result<Vec<[String; 3]>, Failure> {
    let bundled: Vec<Vec<&str>> = RECIPIENTS.lines().skip(1).map(|line| line.split(',').collect()).collect();
    (0..rows)
        .map(|row| match bundled[row % bundled.len()].as_slice() {
            [number, name, order] => {
                let number = if row < bundled.len() { (*number).to_owned() } else { format!("0101{:07}", row + 1) };
                Ok([number, (*name).to_owned(), format!("{order}-{run}")])
            }
            _ => Err(Failure::fault("the bundled recipients are damaged; this build is broken")),
        })
        .collect()
}

/// A short name for a number: digits and small letters.
fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    while number > 0 || digits.is_empty() {
        digits.push(char::from_digit((number % 36) as u32, 36).unwrap_or('0'));
        number /= 36;
    }
    digits.iter().rev().collect()
}

/// `bongsu_final_total{…,status="delivered"} 12` summed by status (Prometheus text format 0.0.4).
fn finals(metrics: &str) -> Vec<(String, u64)> {
    let mut counts: Vec<(String, u64)> = Vec::new();
    for line in metrics.lines().filter(|line| line.starts_with("bongsu_final_total{")) {
        let status = line.split_once("status=\"").and_then(|(_, rest)| rest.split_once('"')).map(|(status, _)| status);
        let count = line.rsplit_once(' ').and_then(|(_, count)| count.parse::<f64>().ok());
        let (Some(status), Some(count)) = (status, count) else { continue };
        let count = count as u64;
        match counts.iter_mut().find(|(known, _)| known == status) {
            Some((_, sum)) => *sum += count,
            None => counts.push((status.to_owned(), count)),
        }
    }
    counts
}

fn subtract(now: Vec<(String, u64)>, baseline: &[(String, u64)]) -> Vec<(String, u64)> {
    let before = |status: &str| baseline.iter().find(|(known, _)| known == status).map_or(0, |(_, count)| *count);
    let since = now.into_iter().map(|(status, count)| (before(&status), status, count));
    since.filter(|(before, _, count)| count > before).map(|(before, status, count)| (status, count - before)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_list_has_ten_thousand_distinct_recipients_and_goes_on() {
        let rows = recipients(10_500, "s44we8").unwrap();
        let numbers: std::collections::HashSet<&str> = rows.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(numbers.len(), 10_500);
        assert_eq!(RECIPIENTS.lines().count(), 10_001);
        assert!(numbers.iter().all(|number| number.len() == 11 && number.starts_with("0101")));
    }

    #[test]
    fn every_filled_text_fits_one_sms() {
        for [_, name, order] in recipients(10_000, "s44we8").unwrap() {
            let text = TEXT.replace("#{name}", &name).replace("#{order}", &order);
            // Two bytes a Hangul syllable, one an ASCII character (CP949).
            let bytes: usize = text.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
            assert!(bytes <= 90, "{bytes} bytes");
        }
    }

    #[test]
    fn live_counts_are_what_came_since_the_start() {
        let metrics = "# TYPE bongsu_final_total counter\n\
            bongsu_final_total{channel=\"sms\",lane=\"bulk\",relay=\"kt\",status=\"delivered\"} 7\n\
            bongsu_final_total{channel=\"sms\",lane=\"bulk\",relay=\"skt\",status=\"delivered\"} 3\n\
            bongsu_final_total{channel=\"sms\",lane=\"bulk\",relay=\"skt\",status=\"expired\"} 2\n";
        let counts = subtract(finals(metrics), &[("delivered".to_owned(), 4), ("expired".to_owned(), 2)]);
        assert_eq!(counts, [("delivered".to_owned(), 6)]);
    }
}
