//! `bongsu reference PAGE`: what the code says about itself, as pages of Markdown below `docs/reference`.

use std::fmt::Write;
use std::sync::Arc;

use bongsu_domain::Lane;
use bongsu_engine::{bus, cache};
use bongsu_report::{Client, Reports, Setup};
use bongsu_send::SendConfig;
use bongsu_store::{Options, Store};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::codes;
use crate::clock::SystemClock;
use crate::failure::{Answer, Failure};
use crate::neighbours::TOPICS;

/// Which page.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    /// Result codes.
    Codes,
    /// Limits that callers meet.
    Limits,
    /// Types of events.
    Events,
    /// Tables of the store.
    Tables,
    /// Lanes of the queue and topics of the bus.
    Queues,
    /// Metrics.
    Metrics,
    /// Routes of the HTTP interface.
    Routes,
}

/// `bongsu reference`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// The page.
    page: Which,
}

/// Writes a page.
pub(super) async fn run(flags: &Flags) -> Result<Answer, Failure> {
    let (title, body) = match flags.page {
        Which::Codes => ("Result codes", codes::run().text),
        Which::Limits => ("Limits", limits()),
        Which::Events => ("Events", events()),
        Which::Tables => ("Tables", tables()),
        Which::Queues => ("Queues and topics", queues()),
        Which::Metrics => ("Metrics", metrics().await?),
        Which::Routes => ("Routes", routes()),
    };
    let text = format!("# {title}\n\nMade from the code by `cargo xtask gen`.\n\n{}", body.trim_end());
    Ok(Answer::new(json!({ "title": title, "text": text }), text))
}

fn limits() -> String {
    let mut text = String::from("| what | 항목 | limit | setting |\n| --- | --- | --- | --- |\n");
    for row in bongsu_api::reference::limits() {
        let key = row.key.map(|key| format!("`{key}`")).unwrap_or_default();
        let _ = writeln!(text, "| {} | {} | {} | {key} |", row.what, row.what_ko, row.value);
    }
    text
}

fn events() -> String {
    let mut text = String::from("| event | when | 때 |\n| --- | --- | --- |\n");
    for row in bongsu_api::reference::events() {
        let _ = writeln!(text, "| `{}` | {} | {} |", row.word, row.when, row.when_ko);
    }
    text
}

fn routes() -> String {
    let mut text = String::from("| method | path | operation | who | what |\n| --- | --- | --- | --- | --- |\n");
    for row in bongsu_api::reference::routes() {
        let _ = writeln!(text, "| {} | `{}` | `{}` | {} | {} |", row.method, row.path, row.id, row.access, row.summary);
    }
    text
}

fn tables() -> String {
    let mut text = String::from(
        "On the embedded store the tables lie in three kinds of files; a database has all of them, but `booked` and `settles`, in one place.\n",
    );
    for table in bongsu_store::schema::tables() {
        let _ = write!(text, "\n## {}\n\nIn {}.\n", table.name, table.place);
        if !table.about.is_empty() {
            let _ = writeln!(text, "{}", cell(&table.about));
        }
        text.push_str("\n| column | type | about |\n| --- | --- | --- |\n");
        for column in &table.columns {
            let _ = writeln!(text, "| `{}` | {} | {} |", column.name, cell(&column.kind), cell(&column.about));
        }
        for key in &table.keys {
            let _ = write!(text, "\n- `{key}`");
        }
        if !table.keys.is_empty() {
            text.push('\n');
        }
    }
    text
}

fn queues() -> String {
    let mut text = String::from(
        "A record of a queue names a run of messages; it may be lost, repeated or reordered, because the store is the truth.\n\n\
         | queue | configuration | what waits in it |\n| --- | --- | --- |\n",
    );
    for lane in Lane::ALL {
        let word = lane.as_str();
        let _ = writeln!(text, "| `{word}` | `queue.{word}.kind` | runs of the lane {word} |");
    }
    text.push_str("\nA topic of the bus tells other processes that something changed; who missed it finds out by itself.\n\n| topic | what it tells |\n| --- | --- |\n");
    for (topic, what) in TOPICS {
        let _ = writeln!(text, "| `{topic}` | {what} |");
    }
    text
}

/// The metrics of a server that did nothing yet.
async fn metrics() -> Result<String, Failure> {
    let directory = std::env::temp_dir().join(format!("bongsu-reference-{}", std::process::id()));
    let fault = |error: &dyn std::fmt::Display| Failure::fault(format!("the metrics cannot be read: {error}"));
    let clock: Arc<dyn bongsu_domain::Clock> = Arc::new(SystemClock);
    let store = Store::open(Options::new(&directory, clock.clone())).map_err(|error| fault(&error))?;
    let service = bongsu_send::start(store.clone(), SendConfig::default(), clock.clone()).await;
    let service = service.map_err(|error| fault(&error))?;
    let reports_clock = clock.clone();
    let app = bongsu_api::App::new(
        service.clone(),
        cache::open_inprocess(clock.clone()),
        bus::open_inprocess(clock.clone()),
        clock,
        bongsu_api::ApiConfig::default(),
    );
    // Whoever adds to the page of a running process has to be there.
    let setup = Setup { service: service.clone(), client: Client::default(), clock: reports_clock };
    let reports = Reports::start(setup).map_err(|error| fault(&error))?;
    let page = bongsu_api::metrics_text(&app).await;
    reports.stop().await;
    service.stop().await;
    store.close();
    // What stays behind is a directory of files without content, in the place for such.
    let _ = std::fs::remove_dir_all(&directory);
    let mut text = String::from("| metric | kind | what | only |\n| --- | --- | --- | --- |\n");
    let mut lines: Vec<String> =
        heads(&page).into_iter().map(|(name, kind, help)| row(&name, &kind, &help, "")).collect();
    lines
        .extend(bongsu_api::SHARED_METRICS.iter().map(|(name, kind, help)| row(name, kind, help, "several processes")));
    lines.sort();
    text.push_str(&lines.concat());
    Ok(text)
}

fn row(name: &str, kind: &str, help: &str, only: &str) -> String {
    format!("| `{name}` | {kind} | {help} | {only} |\n")
}

/// Name, kind and help of each metric of a page.
fn heads(page: &str) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    let mut help = "";
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            found.push((name.to_owned(), kind.to_owned(), help.to_owned()));
        }
    }
    found
}

/// A text that stands in a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn every_page_has_rows() {
        for page in Which::value_variants() {
            let answer = run(&Flags { page: *page }).await.unwrap_or_else(|failure| panic!("{failure}"));
            let rows = answer.text.lines().filter(|line| line.starts_with("| ")).count();
            assert!(rows >= 6, "{page:?}: {}", answer.text);
        }
    }
}
