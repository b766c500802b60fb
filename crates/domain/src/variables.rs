//! Filling `#{name}` variables of a text, once and not inside what was filled in.

use std::fmt;

/// The names that did not fit. A text with either is refused as UM6005.
#[derive(Debug, Clone, PartialEq, Eq, Default, thiserror::Error)]
pub struct VariableError {
    /// Names in the texts without a value, in order, each once.
    pub missing: Vec<String>,
    /// Values whose name is in none of the texts, in order.
    pub extra: Vec<String>,
}

impl fmt::Display for VariableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "missing: {}; not in the text: {}", self.missing.join(", "), self.extra.join(", "))
    }
}

/// Puts values in the place of their variables in texts that belong together, as text and title. Keys may be written `name` or `#{name}`; spaces around a name do not
/// count; a variable may stand several times. An empty or unclosed `#{` is ordinary text. Values are taken as they are:
/// a `#{…}` inside a value is not filled in.
///
/// # Errors
/// [`VariableError`] when a variable of one has no value, or a value has no variable in any.
pub fn fill<const N: usize>(templates: [&str; N], values: &[(String, String)]) -> Result<[String; N], VariableError> {
    let mut filling = Filling { values, is_used: vec![false; values.len()], missing: Vec::new() };
    let filled = templates.map(|template| filling.fill(template));
    let unused = values.iter().zip(filling.is_used).filter(|(_, is_used)| !is_used);
    let extra: Vec<String> = unused.map(|((key, _), _)| bare_name(key).to_owned()).collect();
    if filling.missing.is_empty() && extra.is_empty() {
        return Ok(filled);
    }
    Err(VariableError { missing: filling.missing, extra })
}

/// One of several texts that [`fill`] filled in together: values of the others do not matter. `None` when a variable has
/// no value.
pub fn fill_one(template: &str, values: &[(String, String)]) -> Option<String> {
    let mut filling = Filling { values, is_used: vec![false; values.len()], missing: Vec::new() };
    let filled = filling.fill(template);
    filling.missing.is_empty().then_some(filled)
}

/// Values, and what became of them.
struct Filling<'a> {
    values: &'a [(String, String)],
    is_used: Vec<bool>,
    missing: Vec<String>,
}

impl Filling<'_> {
    fn fill(&mut self, template: &str) -> String {
        let mut filled = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, name, after)) = next_variable(rest) {
            filled.push_str(before);
            match self.values.iter().position(|(key, _)| bare_name(key) == name) {
                Some(index) => {
                    self.is_used[index] = true;
                    filled.push_str(&self.values[index].1);
                }
                None if self.missing.iter().any(|missing| missing == name) => {}
                None => self.missing.push(name.to_owned()),
            }
            rest = after;
        }
        filled.push_str(rest);
        filled
    }
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
