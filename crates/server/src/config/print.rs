//! Shows the configuration in force, secrets masked.

use std::fmt::Write;

use super::layers::Origin;
use super::reader::Entry;

/// The entries as TOML; a value that is not the default says where it is from.
pub fn print_toml(entries: &[Entry]) -> String {
    let mut out = String::new();
    for (section, keys) in sections(entries) {
        if !section.is_empty() {
            let _ = writeln!(out, "\n[{section}]");
        }
        for (key, entry) in keys {
            let _ = write!(out, "{key} = {}", entry.value);
            match &entry.origin {
                Origin::Default => out.push('\n'),
                origin => {
                    let _ = writeln!(out, "  # {origin}");
                }
            }
        }
    }
    out
}

/// The entries as one JSON object.
pub fn print_json(entries: &[Entry]) -> serde_json::Value {
    let mut root = serde_json::Map::new();
    for entry in entries {
        let mut object = &mut root;
        let mut steps: Vec<&str> = entry.path.split('.').collect();
        let key = steps.pop().unwrap_or_default();
        for step in steps {
            let child = object.entry(step).or_insert_with(|| serde_json::Value::Object(serde_json::Map::new()));
            object = child.as_object_mut().expect("a section is never also a value: each path is read once");
        }
        object.insert(key.to_owned(), entry.value.clone());
    }
    serde_json::Value::Object(root)
}

/// The entries by section, in reading order, the keys without a section first.
pub(super) fn sections(entries: &[Entry]) -> Vec<(&str, Vec<(&str, &Entry)>)> {
    let mut sections: Vec<(&str, Vec<(&str, &Entry)>)> = vec![("", Vec::new())];
    for entry in entries {
        let (section, key) = entry.path.rsplit_once('.').unwrap_or(("", &entry.path));
        match sections.iter_mut().find(|(name, _)| *name == section) {
            Some((_, keys)) => keys.push((key, entry)),
            None => sections.push((section, vec![(key, entry)])),
        }
    }
    sections
}
