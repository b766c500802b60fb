//! Where the workspace is and how its programs are built.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Cargo features of everything that is compiled here, as `package/feature`. Lints, tests and programs take the same
/// ones, or each would undo what another has built.
const FEATURES: [&str; 2] = [PRODUCT, "scenarios/full"];
/// Those of the product, the only ones of its programs: cargo refuses features of packages that are not asked for. The
/// other ones are of tests, so the programs are the same.
const PRODUCT: &str = "bongsu/full";

/// Optimised or quick to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// For runs that a person waits for and for measurements.
    Release,
    /// Shares what `cargo test` has built.
    Dev,
}

/// The programs that a world is made of.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The product.
    pub bongsu: PathBuf,
    /// This task runner, for its load generator.
    pub xtask: PathBuf,
}

/// Root of the workspace: cargo tells it when it starts us, and told it when it compiled us. The first is right where a
/// target folder serves several checkouts.
pub fn root() -> PathBuf {
    let told = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let own = told.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf());
    own.parent().unwrap_or(&own).to_path_buf()
}

/// A cargo command in the workspace.
pub fn cargo(arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// A cargo command that compiles the workspace: its arguments up to a `--`, and what the compiled program or tool takes after it.
pub fn compile(arguments: &[&str], after: &[&str]) -> Command {
    let mut command = cargo(arguments);
    command.args(features(&FEATURES));
    if !after.is_empty() {
        command.arg("--").args(after);
    }
    command
}

fn features(names: &[&str]) -> Vec<String> {
    if names.is_empty() { Vec::new() } else { vec!["--features".into(), names.join(",")] }
}

/// What `cargo metadata --no-deps` says about the workspace.
pub fn metadata() -> Result<Value> {
    let output = cargo(&["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed");
    serde_json::from_slice(&output.stdout).context("cargo metadata is not JSON")
}

/// The build directory, wherever cargo was told to put it.
pub fn target() -> Result<PathBuf> {
    let metadata = metadata()?;
    let directory = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
    Ok(PathBuf::from(directory))
}

/// Builds the product and this task runner; messages of cargo go to stderr.
pub fn programs(profile: Profile) -> Result<Programs> {
    let mut arguments = vec!["build", "--quiet", "--package", "bongsu", "--package", "xtask", "--bins"];
    if profile == Profile::Release {
        arguments.push("--release");
        eprintln!("building (release; the first time takes minutes) …");
    }
    let mut command = cargo(&arguments);
    command.args(features(&[PRODUCT]));
    let status = command.stdout(Stdio::null()).status().context("cannot run cargo build")?;
    ensure!(status.success(), "cargo build failed");
    let directory = target()?.join(if profile == Profile::Release { "release" } else { "debug" });
    Ok(Programs { bongsu: directory.join("bongsu"), xtask: directory.join("xtask") })
}

/// Short commit, with `-dirty` when files differ from it.
pub fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(root()).stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    match git(&["status", "--porcelain"]) {
        Some(changes) if !changes.is_empty() => format!("{commit}-dirty"),
        _ => commit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_stand_before_the_arguments_of_a_tool() {
        assert_eq!(features(&["a/b", "c/d"]), ["--features", "a/b,c/d"]);
        let command = compile(&["clippy"], &["--deny", "warnings"]);
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        assert_eq!(
            words,
            [vec!["clippy".into()], features(&FEATURES), vec!["--".into(), "--deny".into(), "warnings".into()]]
                .concat()
        );
    }
}
