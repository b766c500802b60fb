//! The command line: what can be typed, and how an answer or a failure leaves the program.

mod admin;
mod audit;
mod codes;
mod configure;
mod demo;
mod preload;
mod progress;
mod reference;
mod report;
mod rules;
mod send;
mod serve;
mod sim;
mod table;
mod trace;

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use serde_json::Value;

use crate::client::{Client, Peer};
use crate::environment::Environment;
use crate::failure::{Answer, Failure};

/// Where commands look for a server unless told otherwise.
const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// Bongsu (봉수): accept once, deliver over every channel, prove what happened.
#[derive(Debug, Parser)]
#[command(name = "bongsu", version, about, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the server until it is asked to stop (SIGTERM, SIGINT).
    Serve(serve::Flags),
    /// Checks or shows the configuration.
    Config(configure::Flags),
    /// Brings the store to the newest schema and ends.
    Migrate(serve::MigrateFlags),
    /// Looks after accounts, keys, senders, relays, distributions, prices and wallets of a running server.
    Admin(admin::Flags),
    /// Sends to 10,000 recipients and shows what became of them.
    Demo(demo::Flags),
    /// Sends a CSV to up to 1,000,000 recipients, and goes on where a broken connection stopped it.
    Send(send::Flags),
    /// Counts whether anything was lost, sent twice or charged twice.
    Audit(audit::Flags),
    /// Shows everything that happened to a message, batch or request, in order.
    Trace(trace::Flags),
    /// Simulates relays (중계사) that speak SMPP 3.4.
    Sim(sim::Flags),
    /// Prints the OpenAPI document of the HTTP API.
    Openapi,
    /// Prints the table of result codes in Markdown.
    Codes(Json),
    /// Prints a page of docs/reference in Markdown.
    Reference(reference::Flags),
    /// Prints the rules that explain a message in Markdown.
    Rules(Json),
    /// Writes history for benchmarks.
    #[command(hide = true)]
    Preload(preload::Flags),
}

/// `--json`, for every command that answers.
#[derive(Debug, Clone, Copy, Args)]
struct Json {
    /// Print exactly one JSON document.
    #[arg(long)]
    json: bool,
}

/// The server a command talks to.
#[derive(Debug, Clone, Args)]
struct Target {
    /// Address of the server; BONGSU_URL, or http://127.0.0.1:8080.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

impl Target {
    /// A client with the key of `BONGSU_KEY`.
    fn client(&self, environment: &Environment) -> Result<Client, Failure> {
        Client::new(Peer::Server, &self.url(environment), environment.secret("BONGSU_KEY"))
    }

    /// The address of the server.
    fn url(&self, environment: &Environment) -> String {
        self.url.as_deref().or(environment.get("BONGSU_URL")).unwrap_or(DEFAULT_URL).to_owned()
    }
}

/// Reads the command line, does what it says and gives the exit code (0 fine, 1 fault, 2 bad configuration, 3 data in use,
/// 4 others took over).
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let environment = Environment::of_process();
    match cli.command {
        Command::Serve(flags) => leave(serve::serve(&flags, &environment), false),
        Command::Migrate(flags) => leave(serve::migrate(&flags, &environment), flags.json.json),
        Command::Config(flags) => configure::run(&flags, &environment, leave),
        Command::Admin(flags) => leave(block_on(admin::run(&flags, &environment)), flags.json.json),
        Command::Demo(flags) => leave(block_on(demo::run(&flags, &environment)), flags.json.json),
        Command::Send(flags) => leave(block_on(send::run(&flags, &environment)), flags.json.json),
        Command::Audit(flags) => leave(block_on(audit::run(&flags, &environment)), flags.json.json),
        Command::Trace(flags) => leave(block_on(trace::run(&flags, &environment)), flags.json.json),
        Command::Sim(flags) => leave(sim::run(flags), false),
        Command::Openapi => leave(Ok(openapi()), true),
        Command::Codes(json) => leave(Ok(codes::run()), json.json),
        Command::Reference(flags) => leave(several_threads(reference::run(&flags)), false),
        Command::Rules(json) => leave(Ok(rules::run()), json.json),
        Command::Preload(flags) => leave(block_on(preload::run(&flags, &environment)), flags.json.json),
    }
}

fn openapi() -> Answer {
    Answer::new(bongsu_api::openapi(), "")
}

/// Runs a command that only talks to others; one thread is enough.
fn block_on(work: impl Future<Output = Result<Answer, Failure>>) -> Result<Answer, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::fault(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(work)
}

/// Runs a command that opens a store of its own, whose parts wait for each other.
fn several_threads(work: impl Future<Output = Result<Answer, Failure>>) -> Result<Answer, Failure> {
    let runtime = tokio::runtime::Runtime::new();
    runtime.map_err(|error| Failure::fault(format!("cannot start the runtime: {error}")))?.block_on(work)
}

/// Prints the one answer to stdout or the one sentence to stderr; with `--json` a failure is a document too.
fn leave(result: Result<Answer, Failure>, json: bool) -> ExitCode {
    match result {
        Ok(answer) => {
            print_line(&if json { pretty(&answer.json) } else { answer.text });
            ExitCode::from(answer.exit)
        }
        Err(failure) => {
            if json {
                print_line(&pretty(&failure.json()));
            }
            let _ = writeln!(std::io::stderr(), "bongsu: {failure}");
            ExitCode::from(failure.exit)
        }
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// A closed pipe (`bongsu … | head`) is not a fault.
fn print_line(text: &str) {
    if !text.is_empty() {
        let _ = writeln!(std::io::stdout(), "{text}");
    }
}
