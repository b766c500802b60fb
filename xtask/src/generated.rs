//! Files that the product writes about itself: the OpenAPI document and the pages below `docs/reference`.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::build::{self, Profile};

/// Generated file and the words of the command whose output it is.
const FILES: [(&str, &[&str]); 9] = [
    ("docs/openapi.json", &["openapi"]),
    ("docs/rules.md", &["rules"]),
    ("docs/reference/codes.md", &["reference", "codes"]),
    ("docs/reference/limits.md", &["reference", "limits"]),
    ("docs/reference/events.md", &["reference", "events"]),
    ("docs/reference/tables.md", &["reference", "tables"]),
    ("docs/reference/queues.md", &["reference", "queues"]),
    ("docs/reference/metrics.md", &["reference", "metrics"]),
    ("docs/reference/routes.md", &["reference", "routes"]),
];

/// `cargo xtask gen`.
#[derive(Debug, Args)]
pub struct Options {
    /// Change nothing; fail when a file differs from what would be written.
    #[arg(long)]
    check: bool,
}

/// Writes the files, or compares them.
pub async fn run(options: &Options) -> Result<ExitCode> {
    if !options.check {
        for (path, text) in documents()? {
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            eprintln!("wrote {}", path.strip_prefix(build::root()).unwrap_or(&path).display());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let drift = drift()?;
    for line in &drift {
        eprintln!("{line}");
    }
    Ok(if drift.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One line for each file that is not up to date.
pub fn drift() -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for (path, text) in documents()? {
        if std::fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            let shown = path.strip_prefix(build::root()).unwrap_or(&path).display().to_string();
            lines.push(format!("{shown} is not up to date; run `cargo xtask gen` and commit it"));
        }
    }
    Ok(lines)
}

fn documents() -> Result<Vec<(PathBuf, String)>> {
    let bongsu = build::programs(Profile::Dev)?.bongsu;
    let mut documents = Vec::new();
    for (file, command) in FILES {
        let output = Command::new(&bongsu).args(command).stderr(Stdio::inherit()).output();
        let command = command.join(" ");
        let output = output.with_context(|| format!("cannot run bongsu {command}"))?;
        ensure!(output.status.success(), "bongsu {command} failed");
        let mut text = String::from_utf8(output.stdout).with_context(|| format!("bongsu {command} is not UTF-8"))?;
        if !text.ends_with('\n') {
            text.push('\n');
        }
        documents.push((build::root().join(file), text));
    }
    Ok(documents)
}
