//! What each mode does.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::field::{Field, Site as _};
use super::load::{Load, first_ordinal};
use super::report::Report;
use super::{Mode, Options, search};
use crate::http::Api;
use crate::loadgen::{self, Sample};
use crate::process;
use crate::world::Server;

/// Relays that do not limit anything.
pub const FAST: u32 = 100_000;
/// Rate of each relay in `lanes`.
const SLOW: u32 = 1_000;
/// Messages of another account in `lanes`, and those that wait in `all-down`.
const BACKLOG: u64 = 1_000_000;
const FEW_WAITING: u64 = 10_000;
/// Memory is looked at for this long after the last accept.
const SETTLE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);
/// A stopped relay is back in use by then.
const BACK_LIMIT: Duration = Duration::from_secs(60);
/// First starts that are measured; the slowest counts.
const STARTS: usize = 5;

/// Measures one mode.
pub async fn measure(options: &Options) -> Result<Report> {
    match options.mode {
        Mode::Batch | Mode::Single | Mode::Long => throughput(options).await,
        Mode::RelayDown => relay_down(options).await,
        Mode::Lanes => lanes(options).await,
        Mode::AllDown => all_down(options).await,
        Mode::Search => look_up(options).await,
        Mode::Start => start(options).await,
    }
}

/// The load of a mode, with the defaults that the options do not name.
pub fn load(options: &Options) -> Load {
    let (mode, messages, seconds, rate, connections, lane, sample) = match options.mode {
        Mode::Single => (loadgen::Mode::Single, 300_000, 0.0, 0.0, 256, "realtime", Sample::Short),
        Mode::Long => (loadgen::Mode::Single, 0, 600.0, 4_000.0, 256, "realtime", Sample::Mixed),
        Mode::Lanes => (loadgen::Mode::Single, 0, 60.0, 50.0, 16, "auth", Sample::Short),
        _ => (loadgen::Mode::Batch, 1_000_000, 0.0, 0.0, 4, "bulk", Sample::Short),
    };
    // Lanes and all-down use --messages for what waits.
    let own = if options.mode == Mode::Lanes { None } else { options.messages };
    let seconds = options.seconds.unwrap_or(if own.is_some() { 0.0 } else { seconds });
    Load {
        mode,
        lane,
        sample: options.sample.unwrap_or(sample),
        messages: own.unwrap_or(if options.seconds.is_some() { 0 } else { messages }),
        seconds,
        rate: options.rate.unwrap_or(rate),
        connections: options.connections.unwrap_or(connections),
        first: first_ordinal(),
    }
}

fn begin(options: &Options, field: &Field, relay_rate: u32) -> Report {
    let mut report = Report::new(options, relay_rate, &field.setup.ratio());
    report.start_ms = Some(field.server.started_in.as_millis() as u64);
    report.rss.idle = field.idle_mib;
    report.rss.start = field.rss();
    field.forget_peak();
    report
}

fn end(report: &mut Report, field: &Field) {
    report.rss.peak = field.peak();
    report.rss.end = field.rss();
}

async fn throughput(options: &Options) -> Result<Report> {
    let field = Field::prepare(options, FAST, &["bench"]).await?;
    let mut report = begin(options, &field, FAST);
    let outcome = load(options).play(&field, &field.members[0], options, async |_| Ok(())).await?;
    outcome.write_to(&mut report);
    end(&mut report, &field);
    field.finish().await?;
    Ok(report)
}

/// The largest relay stops after a third of the results and comes back after two thirds.
async fn relay_down(options: &Options) -> Result<Report> {
    let field = Field::prepare(options, FAST, &["bench"]).await?;
    let mut report = begin(options, &field, FAST);
    let load = load(options);
    ensure!(load.messages > 0, "relay-down needs a number of messages");
    let relay = field.setup.relays[0].0.clone();
    let (mut stopped, mut back, mut recovered) = (false, None, None);
    let outcome = load
        .play(&field, &field.members[0], options, async |finals| {
            if !stopped && finals >= load.messages / 3 {
                stopped = true;
                eprintln!("  {relay} stops");
                field.sim.order(&relay, "stop").await?;
            } else if stopped && back.is_none() && finals >= load.messages / 3 * 2 {
                let submits = field.sim.totals().await?[&relay].submits;
                field.sim.order(&relay, "start").await?;
                eprintln!("  {relay} is back");
                back = Some((Instant::now(), submits));
            } else if let (Some((since, submits)), None) = (back, recovered)
                && field.sim.totals().await?[&relay].submits > submits
            {
                recovered = Some(since.elapsed().as_millis() as u64);
            }
            Ok(())
        })
        .await?;
    outcome.write_to(&mut report);
    report.recovery_ms = recovered;
    end(&mut report, &field);
    field.finish().await?;
    Ok(report)
}

async fn lanes(options: &Options) -> Result<Report> {
    let field = Field::prepare(options, SLOW, &["bench", "bench-backlog"]).await?;
    let mut report = begin(options, &field, SLOW);
    let backlog = options.messages.unwrap_or(BACKLOG);
    let queued = queue(&field, options, backlog, first_ordinal() + BACKLOG).await?;
    let outcome = load(options).play(&field, &field.members[0], options, async |_| Ok(())).await?;
    outcome.write_to(&mut report);
    let bulk = field.finals(Some("bulk")).await?;
    report.conditions["backlog"] = json!({ "account": "another", "lane": "bulk", "accepted": queued.accepted });
    report.conditions["leftOver"] = json!(queued.accepted.saturating_sub(bulk));
    // The processes worked for the backlog too, so numbers per message of this lane would say nothing.
    (report.cpu, report.row_writes, report.wal_bytes, report.disk_bytes) = (None, None, None, None);
    end(&mut report, &field);
    field.finish().await?;
    Ok(report)
}

/// Queues messages of the last account as bulk and waits only for their accept.
async fn queue(field: &Field, options: &Options, messages: u64, first: u64) -> Result<loadgen::Report> {
    let member = field.members.last().context("there is an account")?;
    let load = Load {
        mode: loadgen::Mode::Batch,
        lane: "bulk",
        sample: Sample::Short,
        messages,
        seconds: 0.0,
        rate: 0.0,
        connections: 4,
        first,
    };
    let sent = super::load::finish(load.start(field, member, options)?).await?;
    eprintln!("  {} accepted and waiting ({:.0}/s)", sent.accepted, sent.accepted as f64 / sent.seconds);
    ensure!(sent.accepted == messages, "only {} of {messages} were accepted", sent.accepted);
    Ok(sent)
}

async fn all_down(options: &Options) -> Result<Report> {
    let field = Field::prepare(options, FAST, &["bench"]).await?;
    let mut report = begin(options, &field, FAST);
    let many = options.messages.unwrap_or(BACKLOG);
    field.sim.order_all("stop").await?;
    let before = field.look().await?;
    let first = first_ordinal();
    let few = queue(&field, options, FEW_WAITING, first).await?;
    tokio::time::sleep(SETTLE).await;
    report.rss.waiting10k = field.peak();
    field.forget_peak();
    let rest = queue(&field, options, many.saturating_sub(FEW_WAITING), first + FEW_WAITING).await?;
    tokio::time::sleep(SETTLE).await;
    report.rss.waiting1m = field.peak();

    let base = field.sim.totals().await?.values().map(|t| t.submits).sum::<u64>();
    field.sim.order_all("start").await?;
    let back = Instant::now();
    while field.sim.totals().await?.values().map(|t| t.submits).sum::<u64>() <= base && back.elapsed() < BACK_LIMIT {
        tokio::time::sleep(LOOK).await;
    }
    report.recovery_ms = (back.elapsed() < BACK_LIMIT).then(|| back.elapsed().as_millis() as u64);
    let accepted = few.accepted + rest.accepted;
    let outcome = wait_for_all(&field, before, few, rest, accepted, back).await?;
    outcome.write_to(&mut report);
    // Rates per second would divide by a time that was spent waiting on purpose.
    (report.offered_per_s, report.commits_per_s) = (None, None);
    end(&mut report, &field);
    field.finish().await?;
    Ok(report)
}

/// Waits until the relays have taken what waited.
async fn wait_for_all(
    field: &Field,
    before: super::field::Look,
    few: loadgen::Report,
    mut rest: loadgen::Report,
    accepted: u64,
    back: Instant,
) -> Result<super::load::Outcome> {
    let base = before.metrics.sum("bongsu_final_total", &[("lane", "bulk")]).unwrap_or(0.0) as u64;
    let (mut finals, mut last_new) = (0, Instant::now());
    while finals < accepted && last_new.elapsed() < BACK_LIMIT {
        tokio::time::sleep(LOOK * 5).await;
        let now = field.finals(Some("bulk")).await?.saturating_sub(base);
        if now > finals {
            (finals, last_new) = (now, Instant::now());
        }
    }
    rest.accepted = accepted;
    rest.offered += few.offered;
    rest.seconds += few.seconds;
    rest.cpu_us += few.cpu_us;
    rest.errors += few.errors;
    let seconds = last_new.duration_since(back).as_secs_f64();
    Ok(super::load::Outcome { sent: rest, finals, seconds, before, after: field.look().await? })
}

async fn look_up(options: &Options) -> Result<Report> {
    let field = Field::prepare(options, FAST, &["bench"]).await?;
    let mut report = begin(options, &field, FAST);
    report.search = Some(search::measure(&field.operator).await?);
    end(&mut report, &field);
    field.finish().await?;
    Ok(report)
}

/// First starts on empty directories; then a kill with work in flight, and the start after it.
async fn start(options: &Options) -> Result<Report> {
    let field = Field::prepare(options, FAST, &["bench"]).await?;
    let mut report = begin(options, &field, FAST);
    let (mut slowest, mut idle) = (Duration::ZERO, 0.0_f64);
    for number in 0..STARTS {
        let mut fresh = field.server_options.clone();
        fresh.data = field.directory.join(format!("fresh-{number}"));
        let server = Server::start(&fresh).await?;
        slowest = slowest.max(server.started_in);
        tokio::time::sleep(Duration::from_secs(1)).await;
        idle = idle.max(process::memory(server.process.pid()).map_or(0.0, |m| m.rss));
        server.stop().await?;
    }
    report.start_ms = Some(slowest.as_millis() as u64);
    report.rss.idle = Some(idle);
    report.conditions["startOverHistoryMs"] = json!(field.server.started_in.as_millis() as u64);

    field.sim.order_all("stop").await?;
    queue(&field, options, options.messages.unwrap_or(100_000), first_ordinal()).await?;
    let Field { mut server, server_options, sim, members, setup, .. } = field;
    server.process.kill().await?;
    sim.order_all("start").await?;
    let again = Server::start(&server_options).await.context("the start after the kill")?;
    report.recovery_ms = Some(again.started_in.as_millis() as u64);
    report.rss.end = process::memory(again.process.pid()).map(|m| m.rss);
    revoke(&again.operator()?, &members).await?;
    again.stop().await?;
    drop((sim, setup));
    Ok(report)
}

async fn revoke(operator: &Api, members: &[crate::world::Member]) -> Result<()> {
    for member in members {
        operator.call("DELETE", &format!("/v1/keys/{}", member.key_id), None).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_follow_the_mode() {
        let batch = load(&Options::of(Mode::Batch));
        assert_eq!((batch.mode, batch.messages, batch.rate), (loadgen::Mode::Batch, 1_000_000, 0.0));
        let lanes = load(&Options::of(Mode::Lanes));
        assert_eq!((lanes.lane, lanes.rate, lanes.seconds, lanes.messages), ("auth", 50.0, 60.0, 0));
    }

    #[test]
    fn what_is_asked_for_replaces_the_defaults() {
        let mut options = Options::of(Mode::Single);
        options.seconds = Some(10.0);
        options.rate = Some(500.0);
        let single = load(&options);
        assert_eq!(
            (single.messages, single.seconds, single.rate),
            (0, 10.0, 500.0),
            "seconds end the load, not a number"
        );
        let mut options = Options::of(Mode::Long);
        options.messages = Some(5);
        assert_eq!((load(&options).messages, load(&options).seconds), (5, 0.0));
        let mut options = Options::of(Mode::Lanes);
        options.messages = Some(1_000);
        assert_eq!(load(&options).messages, 0, "in lanes it is the size of the backlog");
    }
}
