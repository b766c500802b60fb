//! Filling `#{name}` variables of a text, once and not inside what was filled in.

use std::fmt;

/// The names that did not fit. A text with either is refused as UM6005.
#[derive(Debug, Clone, PartialEq, Eq, Default, thiserror::Error)]
pub struct VariableError {
    /// Names in the text without a value, in order, each once.
    pub missing: Vec<String>,
    /// Values whose name is not in the text, in order.
    pub extra: Vec<String>,
}

impl fmt::Display for VariableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "missing: {}; not in the text: {}", self.missing.join(", "), self.extra.join(", "))
    }
}

/// Puts values in the place of their variables. Keys may be written `name` or `#{name}`; spaces around a name do not
/// count; a variable may stand several times. An empty or unclosed `#{` is ordinary text. Values are taken as they are:
/// a `#{…}` inside a value is not filled in.
///
/// # Errors
/// [`VariableError`] when a variable has no value or a value no variable.
pub fn fill(template: &str, values: &[(String, String)]) -> Result<String, VariableError> {
    let mut filled = String::with_capacity(template.len());
    let mut error = VariableError::default();
    let mut is_used = vec![false; values.len()];
    let mut rest = template;
    while let Some((before, name, after)) = next_variable(rest) {
        filled.push_str(before);
        match values.iter().position(|(key, _)| bare_name(key) == name) {
            Some(index) => {
                is_used[index] = true;
                filled.push_str(&values[index].1);
            }
            None if error.missing.iter().any(|missing| missing == name) => {}
            None => error.missing.push(name.to_owned()),
        }
        rest = after;
    }
    filled.push_str(rest);
    let unused = values.iter().zip(is_used).filter(|(_, is_used)| !is_used);
    error.extra = unused.map(|((key, _), _)| bare_name(key).to_owned()).collect();
    if error.missing.is_empty() && error.extra.is_empty() { Ok(filled) } else { Err(error) }
}

/// The names of the variables in a text, in order, each once.
pub fn names(template: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = template;
    while let Some((_, name, after)) = next_variable(rest) {
        if !names.contains(&name) {
            names.push(name);
        }
        rest = after;
    }
    names
}

/// The text before the first variable, its name, and the text after it.
fn next_variable(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(length) = text[from..].find('}') {
        let close = from + length;
        // The innermost opening counts, so that a stray "#{" before a variable stays text.
        if let Some(open) = text[from..close].rfind("#{").map(|at| from + at) {
            let name = text[open + 2..close].trim();
            if !name.is_empty() {
                return Some((&text[..open], name, &text[close + 1..]));
            }
        }
        from = close + 1;
    }
    None
}

fn bare_name(key: &str) -> &str {
    let key = key.trim();
    key.strip_prefix("#{").and_then(|rest| rest.strip_suffix('}')).map_or(key, str::trim)
}

#[cfg(test)]
mod tests;
