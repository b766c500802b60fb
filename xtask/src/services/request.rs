//! One run of a client program: what is said to it, and which answer counts.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::install;
use crate::process::{Group, Signal};

/// What is asked of a service through a client of its own, so that nothing of this workspace speaks for it.
/// Its environment may hold a password, so a request is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Program, found by name.
    pub program: &'static str,
    /// Its arguments; every user of the machine can read them, so they hold no password.
    pub arguments: Vec<String>,
    /// Environment on top of our own.
    pub environment: Vec<(&'static str, String)>,
    /// Where it runs.
    pub directory: PathBuf,
    /// What it reads from its stdin.
    pub input: String,
    /// What its stdout must contain, each of them.
    pub wanted: Vec<&'static str>,
}

impl Request {
    /// A request without environment and input, that counts when the program ends well.
    pub fn new(program: &'static str, arguments: Vec<String>, directory: &Path) -> Self {
        let directory = directory.to_path_buf();
        Self { program, arguments, environment: Vec::new(), directory, input: String::new(), wanted: Vec::new() }
    }

    /// Runs it once; an answer that does not count, or comes too late, is an error with what the program said.
    pub async fn run(&self, limit: Duration) -> Result<()> {
        let program = install::find(self.program).with_context(|| format!("{} is not installed", self.program))?;
        let mut command = Command::new(program);
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(&self.directory).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot run {}", self.program))?;
        // A script that we give up must not write on through its children.
        let group = Group::of(&child, Signal::Kill);
        let mut stdin = child.stdin.take().context("stdin was asked for")?;
        let answer = async {
            // A program that ends without reading says why on its stderr.
            let _ = stdin.write_all(self.input.as_bytes()).await;
            drop(stdin);
            child.wait_with_output().await
        };
        let Ok(output) = tokio::time::timeout(limit, answer).await else {
            bail!("{} got no answer in {} s", self.program, limit.as_secs());
        };
        group.has_ended();
        let output = output?;
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "{} ended with {}: {}", self.program, output.status, last_lines(&stderr, 3));
        if let Some(wanted) = self.missing(&stdout) {
            bail!("{} did not answer `{wanted}`", self.program);
        }
        Ok(())
    }

    fn missing(&self, answer: &str) -> Option<&'static str> {
        self.wanted.iter().find(|wanted| !answer.contains(**wanted)).copied()
    }
}

/// The end of what a program said.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Request {
        Request::new("sh", vec!["-c".into(), script.into()], Path::new("/"))
    }

    #[tokio::test]
    async fn an_answer_counts_when_it_has_what_is_wanted() {
        let limit = Duration::from_secs(30);
        let mut request = sh("read line; echo \"$NAME $line\"");
        request.input = "two\n".into();
        request.environment = vec![("NAME", "one".into())];
        request.wanted = vec!["one", "two"];
        request.run(limit).await.expect("it answers");
        request.wanted = vec!["three"];
        let error = request.run(limit).await.expect_err("another answer");
        assert_eq!(error.to_string(), "sh did not answer `three`");
        let error = sh("echo why >&2; exit 3").run(limit).await.expect_err("it fails");
        assert!(error.to_string().ends_with("exit status: 3: why"), "{error}");
    }

    #[tokio::test]
    async fn no_answer_is_an_error() {
        let error = sh("kill -STOP $$").run(Duration::from_millis(50)).await.expect_err("it is frozen");
        assert_eq!(error.to_string(), "sh got no answer in 0 s");
    }

    #[test]
    fn the_last_lines() {
        assert_eq!(last_lines("a\n\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("", 2), "");
    }
}
