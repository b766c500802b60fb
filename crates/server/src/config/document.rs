//! Writes `docs/configuration.md` from the same reading that the program does, so the page cannot drift.

use std::fmt::Write;

use super::layers::Sources;
use super::print::sections;
use super::reader::{Entry, Reader};

const HEAD: &str = "\
# Configuration

Bongsu starts without any configuration: everything embedded, the API on 127.0.0.1:8080, data in `./data`.

Four layers, each over the one before: defaults, a TOML file (`bongsu serve --config FILE`), environment variables and flags.
A variable is `BONGSU__` and the key in capitals, its sections divided by two underscores: `BONGSU__SEND__UNKNOWN_WAIT_MS=5000`.
`bongsu config check` says everything that is wrong at once; `bongsu config print` shows what is in force and where it is from, secrets masked.
Unknown keys are errors.
An engine that the build does not have is refused by name; `cargo build --release -p bongsu --features full` has all.
Every lane of `queue` takes the keys shown for `queue.auth`.
A program that refuses its configuration ends with exit code 2.

This page is written by the program (`bongsu config document`); a test compares them.
";

/// Kinds that bring keys of their own, as (section, kind).
const KINDS: &[(&str, &str)] = &[
    ("store", "mysql"),
    ("queue.auth", "kafka"),
    ("queue.auth", "rabbitmq"),
    ("queue.auth", "activemq"),
    ("log", "mysql"),
    ("log", "kafka"),
    ("timeline", "cassandra"),
    ("timeline", "dynamodb"),
    ("cache", "redis"),
    ("bus", "redis"),
    ("blobs", "s3"),
];

/// Keys that have no default and are read only when they are set, with a value that is legal.
const OPTIONAL: &[(&str, &str)] = &[
    ("probe.listen", "127.0.0.1:9090"),
    ("store.replica_url", "mysql://user:password@host:3306/database"),
    ("security.key_file", "keys"),
    ("blobs.path", "blobs"),
    ("failover.wait_ms", "3000"),
    ("webhooks.ca_file", "authorities.pem"),
];

/// The page, in Markdown.
pub fn document() -> String {
    let mut out = String::from(HEAD);
    let entries = read(None);
    for (section, keys) in sections(&entries) {
        let _ = writeln!(out, "\n## {}\n", if section.is_empty() { "Top level" } else { section });
        table(&mut out, &keys);
        for (_, kind) in KINDS.iter().filter(|(of, _)| *of == section) {
            let with = read(Some((section, kind)));
            let prefix = format!("{section}.");
            let known = |path: &str| entries.iter().any(|entry| entry.path == path);
            let more: Vec<(&str, &Entry)> = with
                .iter()
                .filter_map(|entry| entry.path.strip_prefix(&prefix).map(|key| (key, entry)))
                .filter(|(_, entry)| !known(&entry.path))
                .collect();
            let _ = writeln!(out, "\nWith `kind = \"{kind}\"`:\n");
            table(&mut out, &more);
        }
    }
    out
}

/// All keys with their defaults, those of a kind of one section among them.
fn read(kind: Option<(&str, &str)>) -> Vec<Entry> {
    let kind = kind.map(|(section, kind)| (format!("{section}.kind"), kind.to_owned()));
    let set = OPTIONAL.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).chain(kind);
    let variables =
        set.map(|(path, value)| (format!("BONGSU__{}", path.to_uppercase().replace('.', "__")), value)).collect();
    let mut reader = Reader::new(&Sources { variables, ..Sources::default() });
    super::read_all(&mut reader);
    for entry in reader.entries.iter_mut().filter(|entry| OPTIONAL.iter().any(|(path, _)| *path == entry.path)) {
        entry.value = serde_json::Value::Null;
    }
    reader.entries
}

fn table(out: &mut String, keys: &[(&str, &Entry)]) {
    out.push_str("| key | default | value | meaning |\n| --- | --- | --- | --- |\n");
    for (key, entry) in keys {
        let default = if entry.value.is_null() { "–".to_owned() } else { format!("`{}`", entry.value) };
        let _ = writeln!(out, "| `{key}` | {default} | {} | {} |", entry.shape, entry.about);
    }
}
