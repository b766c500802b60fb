//! `cargo xtask check`: format, house rules, lints, generated files.

use std::process::{ExitCode, Stdio};

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
    if !passes(&["fmt", "--all", "--check", "--quiet"])? {
        problems.push("not formatted; run `cargo fmt --all`".into());
    }
    if !passes(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"])? {
        problems.push("clippy has warnings".into());
    }
    match generated::drift() {
        Ok(lines) => problems.extend(lines),
        Err(error) => problems.push(format!("generated files: {error:#}")),
    }
    Ok(problems)
}

fn passes(arguments: &[&str]) -> Result<bool> {
    let status = build::cargo(arguments).stdin(Stdio::null()).stdout(Stdio::null()).status();
    Ok(status.with_context(|| format!("cannot run cargo {}", arguments[0]))?.success())
}
