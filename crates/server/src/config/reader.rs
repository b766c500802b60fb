//! Takes typed values out of the merged tree, key by key, and remembers what it gave, so that one pass checks, prints and documents.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use bongsu_domain::Secret;

use super::layers::{self, Node, Origin, Sources};
use super::problem::Problem;

/// One key that was read.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key with its sections.
    pub path: String,
    /// The value in force; `"***"` for a secret.
    pub value: serde_json::Value,
    /// Where it came from.
    pub origin: Origin,
    /// What it may be, for people.
    pub shape: String,
    /// What it does, one sentence.
    pub about: &'static str,
}

/// Reads keys by their dotted path. A bad value is noted and its default goes on, so that everything is found in one pass.
pub(super) struct Reader {
    root: BTreeMap<String, Node>,
    pub(super) problems: Vec<Problem>,
    pub(super) entries: Vec<Entry>,
}

impl Reader {
    pub(super) fn new(sources: &Sources) -> Self {
        let mut problems = Vec::new();
        let root = layers::merge(sources, &mut problems);
        Self { root, problems, entries: Vec::new() }
    }

    /// An integer within a range.
    pub(super) fn number<T>(&mut self, path: &str, default: T, range: RangeInclusive<T>, about: &'static str) -> T
    where
        T: Copy + Into<i64> + TryFrom<i64>,
    {
        let (low, high): (i64, i64) = ((*range.start()).into(), (*range.end()).into());
        let shape = format!("integer, {low} to {high}");
        let read = |value: &toml::Value, lenient: bool| {
            let number = match value {
                toml::Value::Integer(number) => Some(*number),
                toml::Value::String(text) if lenient => i64::from_str(text.trim()).ok(),
                _ => None,
            };
            number.filter(|number| (low..=high).contains(number))
        };
        let number = self.value(path, &shape, about, Some(default.into()), read, |number| (*number).into());
        number.and_then(|number| T::try_from(number).ok()).unwrap_or(default)
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, path: &str, default: bool, about: &'static str) -> bool {
        let read = |value: &toml::Value, lenient: bool| match value {
            toml::Value::Boolean(flag) => Some(*flag),
            toml::Value::String(text) if lenient => text.trim().parse().ok(),
            _ => None,
        };
        self.value(path, "true or false", about, Some(default), read, |flag| (*flag).into()).unwrap_or(default)
    }

    /// A duration, written in milliseconds.
    pub(super) fn millis(
        &mut self,
        path: &str,
        default: u32,
        range: RangeInclusive<u32>,
        about: &'static str,
    ) -> Duration {
        Duration::from_millis(u64::from(self.number(path, default, range, about)))
    }

    /// A duration, written in milliseconds, that may be left out.
    pub(super) fn millis_or_none(
        &mut self,
        path: &str,
        range: RangeInclusive<u32>,
        about: &'static str,
    ) -> Option<Duration> {
        self.is_set(path).then(|| self.millis(path, *range.start(), range, about))
    }

    /// A text that is parsed into `T`; `shape` tells people what is accepted.
    pub(super) fn parsed<T: FromStr>(
        &mut self,
        path: &str,
        default: &str,
        shape: &str,
        about: &'static str,
    ) -> Option<T> {
        let read =
            |value: &toml::Value, _: bool| value.as_str().filter(|text| T::from_str(text).is_ok()).map(str::to_owned);
        let text = self.value(path, shape, about, Some(default.to_owned()), read, |text| text.as_str().into())?;
        T::from_str(&text).ok()
    }

    /// A text that is parsed into `T` and has no default, but may be left out.
    pub(super) fn parsed_or_none<T: FromStr>(&mut self, path: &str, shape: &str, about: &'static str) -> Option<T> {
        if self.is_set(path) { self.parsed(path, "", shape, about) } else { None }
    }

    /// A text that must be there.
    pub(super) fn required(&mut self, path: &str, shape: &str, about: &'static str) -> String {
        self.value(path, shape, about, None, read_text, |text| text.as_str().into()).unwrap_or_default()
    }

    /// A text that must be there and is never shown.
    pub(super) fn secret(&mut self, path: &str, shape: &str, about: &'static str) -> Secret {
        let text = self.value(path, shape, about, None, read_text, |_| "***".into());
        Secret::new(text.unwrap_or_default())
    }

    /// A text that may be left out and is never shown.
    pub(super) fn secret_or_none(&mut self, path: &str, shape: &str, about: &'static str) -> Option<Secret> {
        self.is_set(path).then(|| self.secret(path, shape, about))
    }

    /// One word of a closed set.
    pub(super) fn choice<'w>(
        &mut self,
        path: &str,
        default: &'w str,
        words: &[&'w str],
        about: &'static str,
    ) -> Option<&'w str> {
        let shape = words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ");
        let read = |value: &toml::Value, _: bool| {
            let text = value.as_str()?;
            words.iter().copied().find(|word| *word == text)
        };
        self.value(path, &shape, about, Some(default), read, |word| (*word).into())
    }

    /// A list of texts: a TOML array, or one text divided by commas.
    pub(super) fn list(
        &mut self,
        path: &str,
        default: Option<&[&str]>,
        shape: &str,
        about: &'static str,
    ) -> Vec<String> {
        let read = |value: &toml::Value, _: bool| match value {
            toml::Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            toml::Value::String(text) => Some(
                text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect::<Vec<_>>(),
            ),
            _ => None,
        };
        let is_needed = default.is_none();
        let read = |value: &toml::Value, lenient: bool| {
            read(value, lenient).filter(|items: &Vec<String>| !(is_needed && items.is_empty()))
        };
        let default = default.map(|items| items.iter().map(|item| (*item).to_owned()).collect());
        self.value(path, shape, about, default, read, |items| serde_json::json!(items)).unwrap_or_default()
    }

    /// Notes a problem with a key that was read.
    pub(super) fn refuse(&mut self, path: &str, message: impl Into<String>) {
        let origin = self.entries.iter().rev().find(|entry| entry.path == path).map(|entry| entry.origin.clone());
        self.problems.push(Problem::new(path, message, origin));
    }

    /// Forgets what is left of a section whose keys cannot be judged, because the kind that would name them is wrong.
    pub(super) fn skip_section(&mut self, path: &str) {
        layers::take(&mut self.root, path);
    }

    /// Whatever nobody read is unknown.
    pub(super) fn finish(&mut self) {
        let mut left = Vec::new();
        layers::leaves(&self.root, "", &mut left);
        for (path, origin) in left {
            let section = format!("{path}.");
            let message = if self.entries.iter().any(|entry| entry.path.starts_with(&section)) {
                "this is a section; set the keys in it".to_owned()
            } else {
                match self.nearest(&path) {
                    Some(near) => format!("there is no such key; did you mean {near}?"),
                    None => "there is no such key; `bongsu config print` lists all keys".to_owned(),
                }
            };
            self.problems.push(Problem::new(path, message, Some(origin)));
        }
    }

    fn is_set(&self, path: &str) -> bool {
        let mut section = &self.root;
        let mut steps = path.split('.').peekable();
        while let Some(step) = steps.next() {
            match (section.get(step), steps.peek()) {
                (Some(_), None) => return true,
                (Some(Node::Section(inner)), Some(_)) => section = inner,
                _ => return false,
            }
        }
        false
    }

    fn value<T>(
        &mut self,
        path: &str,
        shape: &str,
        about: &'static str,
        default: Option<T>,
        read: impl Fn(&toml::Value, bool) -> Option<T>,
        show: impl Fn(&T) -> serde_json::Value,
    ) -> Option<T> {
        let (value, origin) = match layers::take(&mut self.root, path) {
            None if default.is_none() => {
                self.problems.push(Problem::new(path, format!("this is needed here: {shape}"), None));
                (None, Origin::Default)
            }
            None => (default, Origin::Default),
            Some(Node::Section(_)) => {
                self.problems.push(Problem::new(path, format!("this is a value, not a section: {shape}"), None));
                (default, Origin::Default)
            }
            Some(Node::Value(value, origin)) => {
                let lenient = !matches!(origin, Origin::File(_));
                let given = read(&value, lenient);
                if given.is_none() {
                    self.problems.push(Problem::new(path, format!("this must be {shape}"), Some(origin.clone())));
                }
                (given.or(default), origin)
            }
        };
        let shown = value.as_ref().map_or(serde_json::Value::Null, show);
        self.entries.push(Entry { path: path.to_owned(), value: shown, origin, shape: shape.to_owned(), about });
        value
    }

    fn nearest(&self, path: &str) -> Option<&str> {
        let allowed = 2 + path.len() / 8;
        self.entries
            .iter()
            .map(|entry| (distance(path, &entry.path), entry.path.as_str()))
            .filter(|(distance, _)| *distance <= allowed)
            .min()
            .map(|(_, path)| path)
    }
}

fn read_text(value: &toml::Value, _: bool) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Levenshtein distance in bytes; keys are ASCII and short.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.bytes().enumerate() {
            let cost = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
