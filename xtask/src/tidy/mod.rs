//! House rules that no compiler checks. Each rule returns one line for each thing that is wrong.

mod arrows;
mod invariants;
mod sources;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::build;

/// A text file of the workspace.
#[derive(Debug, Clone)]
pub struct Source {
    /// Path from the root of the workspace, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// The crate that the file belongs to: `domain`, `xtask`, `scenarios`; empty for files of the root.
    pub fn room(&self) -> &str {
        let mut parts = self.path.split('/');
        match (parts.next(), parts.next()) {
            (Some("crates"), Some(name)) => name,
            (Some("tests"), Some(_)) => "scenarios",
            (Some("xtask"), Some(_)) => "xtask",
            _ => "",
        }
    }

    /// True for Rust.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// True for a file that holds nothing but tests.
    pub fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || name == "tests.rs"
            || name.ends_with("_tests.rs")
    }

    /// The part of the text that ships: what stands before the first test module.
    pub fn shipped(&self) -> &str {
        if self.is_test() {
            return "";
        }
        let end = self.text.find("\n#[cfg(test)]").unwrap_or(self.text.len());
        &self.text[..end]
    }

    /// The part of the text that only tests use.
    pub fn tested(&self) -> &str {
        &self.text[self.shipped().len()..]
    }
}

/// `cargo xtask tidy`.
pub fn run() -> Result<ExitCode> {
    let problems = problems()?;
    for problem in &problems {
        eprintln!("tidy: {problem}");
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Everything that is wrong.
pub fn problems() -> Result<Vec<String>> {
    let sources = sources_of(&build::root())?;
    let mut problems = arrows::problems(&build::metadata()?)?;
    problems.extend(sources::problems(&sources));
    problems.extend(invariants::problems(&sources));
    Ok(problems)
}

/// All text files that git knows or would take, so that what is ignored is not read.
fn sources_of(root: &Path) -> Result<Vec<Source>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root)
        .output()
        .context("cannot run git")?;
    ensure!(output.status.success(), "git ls-files failed");
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut sources = Vec::new();
    for name in names.split('\0').filter(|name| !name.is_empty()) {
        let path: PathBuf = root.join(name);
        // What is no UTF-8 is no text; what is gone was removed and not yet committed.
        if let Ok(text) = std::fs::read_to_string(&path) {
            sources.push(Source { path: name.to_owned(), text });
        }
    }
    ensure!(!sources.is_empty(), "git ls-files names no files");
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source of a test.
    pub fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn rooms_and_test_parts() {
        let own = source("crates/send/src/a.rs", "//! A.\nfn a() {}\n\n#[cfg(test)]\nmod tests {}\n");
        assert_eq!(own.room(), "send");
        assert_eq!(own.shipped(), "//! A.\nfn a() {}\n");
        assert!(own.tested().contains("mod tests"));
        let scenario = source("tests/src/a.rs", "//! A.\n");
        assert_eq!((scenario.room(), scenario.shipped()), ("scenarios", ""));
        assert_eq!(source("README.md", "").room(), "");
    }
}
