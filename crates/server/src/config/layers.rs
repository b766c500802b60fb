//! The layers of the configuration, file below environment below flags, merged into one tree that remembers where each value is from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::problem::Problem;

/// Prefix of every variable that is configuration; the rest of its name is the key, levels divided by two underscores.
pub const VARIABLE_PREFIX: &str = "BONGSU__";

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Compiled in.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// What the layers are made from; everything that configuration can come from, so that tests need no real environment.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Path and text of the configuration file.
    pub file: Option<(PathBuf, String)>,
    /// The environment variables of the process.
    pub variables: Vec<(String, String)>,
    /// Flags as (flag, key, value).
    pub flags: Vec<(&'static str, &'static str, String)>,
}

/// One node of the merged tree.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Section(BTreeMap<String, Node>),
    Value(toml::Value, Origin),
}

/// Merges the sources, the later ones over the earlier ones.
pub(super) fn merge(sources: &Sources, problems: &mut Vec<Problem>) -> BTreeMap<String, Node> {
    let mut root = BTreeMap::new();
    if let Some((path, text)) = &sources.file {
        match text.parse::<toml::Table>() {
            Ok(table) => {
                for (key, value) in table {
                    root.insert(key, from_toml(value, &Origin::File(path.clone())));
                }
            }
            Err(error) => {
                let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
                problems.push(Problem::new(
                    format!("{}:{line}", path.display()),
                    format!("this is not TOML: {}", error.message().trim()),
                    None,
                ));
            }
        }
    }
    let mut variables: Vec<_> =
        sources.variables.iter().filter(|(name, _)| name.starts_with(VARIABLE_PREFIX)).collect();
    variables.sort();
    for (name, value) in variables {
        let path = name[VARIABLE_PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
        put(&mut root, &path, toml::Value::String(value.clone()), Origin::Variable(name.clone()));
    }
    for (flag, path, value) in &sources.flags {
        put(&mut root, path, toml::Value::String(value.clone()), Origin::Flag(flag));
    }
    root
}

fn from_toml(value: toml::Value, origin: &Origin) -> Node {
    match value {
        toml::Value::Table(table) => {
            Node::Section(table.into_iter().map(|(key, value)| (key, from_toml(value, origin))).collect())
        }
        value => Node::Value(value, origin.clone()),
    }
}

fn put(section: &mut BTreeMap<String, Node>, path: &str, value: toml::Value, origin: Origin) {
    let Some((head, rest)) = path.split_once('.') else {
        section.insert(path.to_owned(), Node::Value(value, origin));
        return;
    };
    let child = section.entry(head.to_owned()).or_insert_with(|| Node::Section(BTreeMap::new()));
    if let Node::Value(..) = child {
        *child = Node::Section(BTreeMap::new());
    }
    if let Node::Section(inner) = child {
        put(inner, rest, value, origin);
    }
}

/// Takes the node at `path` out of the tree.
pub(super) fn take(section: &mut BTreeMap<String, Node>, path: &str) -> Option<Node> {
    match path.split_once('.') {
        None => section.remove(path),
        Some((head, rest)) => match section.get_mut(head)? {
            Node::Section(inner) => take(inner, rest),
            Node::Value(..) => None,
        },
    }
}

/// Every value that is left, as (path, origin).
pub(super) fn leaves(section: &BTreeMap<String, Node>, prefix: &str, out: &mut Vec<(String, Origin)>) {
    for (key, node) in section {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match node {
            Node::Section(inner) => leaves(inner, &path, out),
            Node::Value(_, origin) => out.push((path, origin.clone())),
        }
    }
}
