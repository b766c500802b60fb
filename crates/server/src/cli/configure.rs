//! `bongsu config check | print | document`, and the sources of configuration that `serve` shares with them.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::Json;
use crate::config::{self, Config, Entry, Sources};
use crate::environment::Environment;
use crate::failure::{Answer, Failure};

/// Flags that are configuration.
#[derive(Debug, Clone, Args)]
pub(super) struct Layers {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Address of the HTTP API, like 127.0.0.1:8080.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// What this process does: api,dispatch,report,schedule,chat,festival.
    #[arg(long, value_name = "ROLES")]
    roles: Option<String>,
}

impl Layers {
    /// Reads the configuration from file, environment and these flags.
    pub(super) fn read(&self, environment: &Environment) -> Result<(Config, Vec<Entry>), Failure> {
        let file = match &self.config {
            None => None,
            Some(path) => Some((path.clone(), read_file(path)?)),
        };
        let flags = [("data", &self.data), ("listen", &self.listen), ("roles", &self.roles)];
        let flags = flags.into_iter().filter_map(|(name, value)| Some((name, name, value.clone()?))).collect();
        read(file, environment, flags)
    }
}

/// Reads the configuration from its layers; all problems are one failure.
pub(super) fn read(
    file: Option<(PathBuf, String)>,
    environment: &Environment,
    flags: Vec<(&'static str, &'static str, String)>,
) -> Result<(Config, Vec<Entry>), Failure> {
    Config::read(&Sources { file, variables: environment.all().to_vec(), flags }).map_err(|problems| {
        let count = problems.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        let findings = problems.iter().map(|problem| (problem.to_string(), problem.json())).collect();
        Failure::configuration(format!("the configuration has {count} {noun}; correct what is listed:"), findings)
    })
}

pub(super) fn read_file(path: &PathBuf) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        let sentence =
            format!("cannot read the configuration file {}: {error}; name a file that can be read", path.display());
        Failure::configuration(sentence, Vec::new())
    })
}

/// `bongsu config …`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Says whether the configuration is right, or everything that is wrong with it.
    Check(With),
    /// Shows the configuration in force and where it is from; secrets are masked.
    Print(With),
    /// Prints the page of all keys in Markdown.
    Document,
}

#[derive(Debug, Args)]
struct With {
    #[command(flatten)]
    layers: Layers,
    #[command(flatten)]
    json: Json,
}

/// Runs the verb; `leave` prints.
pub(super) fn run(
    flags: &Flags,
    environment: &Environment,
    leave: impl FnOnce(Result<Answer, Failure>, bool) -> ExitCode,
) -> ExitCode {
    match &flags.verb {
        Verb::Check(with) => {
            let answer = with.layers.read(environment).map(|(_, entries)| {
                Answer::new(json!({ "ok": true, "keys": entries.len() }), "the configuration is fine")
            });
            leave(answer, with.json.json)
        }
        Verb::Print(with) => {
            let answer = with
                .layers
                .read(environment)
                .map(|(_, entries)| Answer::new(config::print_json(&entries), config::print_toml(&entries).trim_end()));
            leave(answer, with.json.json)
        }
        Verb::Document => leave(Ok(Answer::new(json!(config::document()), config::document().trim_end())), false),
    }
}
