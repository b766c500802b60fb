//! Why a command did not do what it was asked: an exit code and one sentence that says what to do.

use std::fmt;

use serde_json::{Value, json};

/// Exit code of a fault.
pub const FAULT: u8 = 1;
/// Exit code of a bad configuration, script or command line.
pub const BAD_CONFIGURATION: u8 = 2;
/// Exit code when another process has the data directory.
pub const IN_USE: u8 = 3;

/// Exit code when this process lost what it held of a shared database to others, because it did not renew it in time; it is
/// to be started again.
pub const LOST_NODE: u8 = 4;

/// A failed command.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Exit code of the program.
    pub exit: u8,
    /// What happened and what to do, one sentence.
    pub sentence: String,
    /// Everything found, each with its path, as (line for people, JSON).
    pub findings: Vec<(String, Value)>,
}

impl Failure {
    /// A fault (exit 1).
    pub fn fault(sentence: impl Into<String>) -> Self {
        Self { exit: FAULT, sentence: sentence.into(), findings: Vec::new() }
    }

    /// A bad configuration (exit 2) with everything that is wrong with it.
    pub fn configuration(sentence: impl Into<String>, findings: Vec<(String, Value)>) -> Self {
        Self { exit: BAD_CONFIGURATION, sentence: sentence.into(), findings }
    }

    /// The data directory belongs to another process (exit 3).
    pub fn in_use(sentence: impl Into<String>) -> Self {
        Self { exit: IN_USE, sentence: sentence.into(), findings: Vec::new() }
    }

    /// Others took over what this process held (exit 4).
    pub fn lost_node(sentence: impl Into<String>) -> Self {
        Self { exit: LOST_NODE, sentence: sentence.into(), findings: Vec::new() }
    }

    /// What `--json` prints: `{error, findings}`.
    pub fn json(&self) -> Value {
        let findings: Vec<&Value> = self.findings.iter().map(|(_, json)| json).collect();
        json!({ "error": self.sentence, "findings": findings })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.sentence)?;
        self.findings.iter().try_for_each(|(line, _)| write!(f, "\n  {line}"))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::fault(format!("{error:#}"))
    }
}

/// What a command answers: one JSON document, and the same for people.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The document that `--json` prints.
    pub json: Value,
    /// What is printed otherwise; ends without a newline.
    pub text: String,
    /// Exit code: 0, or 1 when the answer is a no (an audit that is not clean).
    pub exit: u8,
}

impl Answer {
    /// A yes.
    pub fn new(json: Value, text: impl Into<String>) -> Self {
        Self { json, text: text.into(), exit: 0 }
    }
}
