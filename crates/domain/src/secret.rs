//! Texts that must not reach a log: they hide themselves when printed.

use std::fmt;

/// A password, key or one-time code.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

/// What somebody writes to somebody.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Body(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Body {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Body {
        Body(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The text itself, without a copy.
    pub fn into_inner(self) -> String {
        self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret(text)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Body {
        Body(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body(***)")
    }
}

#[cfg(test)]
mod tests;
