//! What is wrong with a configuration: one line a problem, all of them at once.

use std::fmt;

use super::layers::Origin;

/// One wrong key or value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key with its sections (`send.unknown_wait_ms`), or the place in the file.
    pub path: String,
    /// A sentence that says what to do.
    pub message: String,
    /// Where the value came from, when it came from somewhere.
    pub origin: Option<Origin>,
}

impl Problem {
    pub(super) fn new(path: impl Into<String>, message: impl Into<String>, origin: Option<Origin>) -> Self {
        Self { path: path.into(), message: message.into(), origin }
    }

    /// The problem as JSON: `{path, message, origin}`.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "path": self.path,
            "message": self.message,
            "origin": self.origin.as_ref().map(ToString::to_string),
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)?;
        match &self.origin {
            Some(origin) => write!(f, " ({origin})"),
            None => Ok(()),
        }
    }
}
