//! What a run of `bongsu send` leaves beside its table, so that the next one goes on with the same group or says why not.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Bytes read at once.
const BLOCK: usize = 256 * 1024;

/// How far a run came.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// Rows are brought there.
    Staged,
    /// The group was sent.
    Sent,
}

/// What a run leaves for the next one.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Note {
    /// Under which the group is made, once.
    pub(super) key: String,
    pub(super) phase: Phase,
    pub(super) group: Option<String>,
    /// What the messages follow from.
    pub(super) asked: Asked,
}

/// SHA-256 of the table and of each flag that decides the messages, by name: texts and numbers are not told here.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Asked(BTreeMap<String, String>);

impl Asked {
    /// Adds what a flag says; nothing for one that is not there.
    pub(super) fn flag(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.0.insert(name.to_owned(), digest(value.as_bytes()).unwrap_or_default());
        }
        self
    }

    /// Adds what a table says.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn table(mut self, name: &str, table: impl Read) -> std::io::Result<Self> {
        self.0.insert(name.to_owned(), digest(table)?);
        Ok(self)
    }

    /// Names of what is not the same.
    pub(super) fn differs<'a>(&'a self, other: &'a Self) -> Vec<&'a str> {
        let names = self.0.keys().chain(other.0.keys().filter(|name| !self.0.contains_key(*name)));
        names.filter(|name| self.0.get(*name) != other.0.get(*name)).map(String::as_str).collect()
    }
}

fn digest(mut of: impl Read) -> std::io::Result<String> {
    let (mut context, mut block) = (Context::new(&SHA256), vec![0; BLOCK]);
    loop {
        match of.read(&mut block)? {
            0 => return Ok(context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()),
            length => context.update(&block[..length]),
        }
    }
}

/// The file of the note.
pub(super) struct Left(PathBuf);

impl Left {
    pub(super) fn beside(table: &Path) -> Self {
        let mut name = table.as_os_str().to_owned();
        name.push(".bongsu");
        Self(name.into())
    }

    /// Its name.
    pub(super) fn name(&self) -> String {
        self.0.display().to_string()
    }

    /// What the last run left.
    ///
    /// # Errors
    /// It cannot be read: whether there is a group to go on with cannot be told then.
    pub(super) fn read(&self) -> Result<Option<Note>, Failure> {
        let text = match fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::fault(format!("cannot read {}: {error}", self.name()))),
        };
        serde_json::from_str(&text).map(Some).map_err(|error| {
            let sentence = format!(
                "{} is not what a run of this version leaves ({error}); look whether its group was sent, and remove the file to begin anew",
                self.name()
            );
            Failure::fault(sentence)
        })
    }

    /// Writes it in one step, so that a run that dies leaves the old one or the new one.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn write(&self, note: &Note) -> Result<(), Failure> {
        let text = serde_json::to_string(note).unwrap_or_default();
        let mut new = self.0.as_os_str().to_owned();
        new.push(".new");
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &self.0));
        written.map_err(|error| Failure::fault(format!("cannot write {}: {error}", self.name())))
    }

    /// The next run begins anew.
    ///
    /// # Errors
    /// The file stays.
    pub(super) fn forget(&self) -> Result<(), Failure> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Failure::fault(format!("cannot remove {}: {error}", self.name())))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str, table: &str) -> Asked {
        Asked::default().flag("--text", Some(text)).flag("--at", None).table("t.csv", table.as_bytes()).expect("read")
    }

    #[test]
    fn what_differs_is_named_whatever_its_length() {
        let first = asked("가", "to\n1\n");
        assert!(first.differs(&asked("가", "to\n1\n")).is_empty());
        assert_eq!(first.differs(&asked("나", "to\n2\n")), ["--text", "t.csv"]);
        assert_eq!(first.differs(&asked("가", "to\n1\n").flag("--at", Some("x"))), ["--at"]);
        assert_eq!(asked("가", "to\n1\n").flag("--at", Some("x")).differs(&first), ["--at"]);
    }

    #[test]
    fn a_note_is_kept_until_it_is_forgotten() {
        let directory = tempfile::tempdir().expect("a directory");
        let left = Left::beside(&directory.path().join("a.csv"));
        assert_eq!(left.read().expect("none"), None);
        let note =
            Note { key: "k".into(), phase: Phase::Staged, group: Some("grp_1".into()), asked: asked("가", "to\n") };
        left.write(&note).expect("room");
        let sent = Note { phase: Phase::Sent, ..note };
        left.write(&sent).expect("room");
        assert_eq!(left.read().expect("a note"), Some(sent));
        let text = fs::read_to_string(directory.path().join("a.csv.bongsu")).expect("a note");
        assert!(!text.contains('가'), "{text}");
        left.forget().expect("removed");
        left.forget().expect("nothing to remove");
        assert_eq!(left.read().expect("none"), None);
        fs::write(directory.path().join("a.csv.bongsu"), r#"{"key":"k","bytes":5,"group":null}"#).expect("room");
        assert!(left.read().is_err());
    }
}
