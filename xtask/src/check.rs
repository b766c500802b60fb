//! `cargo xtask check`: format, house rules, lints, generated files.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::{build, generated, tidy};

/// Runs every part, also after one has failed, and says what is wrong.
pub async fn run() -> Result<ExitCode> {
    let problems = problems()?;
    for problem in &problems {
        eprintln!("check: {problem}");
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One line for each thing that is wrong; compilers write theirs to stderr.
pub fn problems() -> Result<Vec<String>> {
    let mut problems = tidy::problems().context("house rules")?;
    if !passes(build::cargo(&["fmt", "--all", "--check", "--quiet"]))? {
        problems.push("not formatted; run `cargo fmt --all`".into());
    }
    let clippy = ["clippy", "--quiet", "--workspace", "--all-targets"];
    if !passes(build::compile(&clippy, &["--deny", "warnings"]))? {
        problems.push("clippy has warnings".into());
    }
    match generated::drift() {
        Ok(lines) => problems.extend(lines),
        Err(error) => problems.push(format!("generated files: {error:#}")),
    }
    Ok(problems)
}

fn passes(mut command: Command) -> Result<bool> {
    Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).status().context("cannot run cargo")?.success())
}
