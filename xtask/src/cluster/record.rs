//! What `cluster up` writes down for the commands of other terminals: where everything is, and a key.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{Cluster, Role};
use crate::http::Api;
use crate::world::Member;

const FILE: &str = "cluster.json";

/// The file; `bongsu demo --world` reads `url`, `key` and `control` of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Process that has the cluster up.
    pub pid: u32,
    /// First process that takes requests.
    url: String,
    /// All of them.
    urls: Vec<String>,
    control: String,
    account: String,
    key_id: String,
    key: String,
    from: String,
    processes: Vec<Place>,
}

/// A process and where it listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    name: String,
    role: String,
    address: String,
}

impl Record {
    /// Says that this process brings a cluster up.
    pub fn starting(folder: &Path) -> Result<()> {
        let none = String::new;
        let record = Self {
            pid: std::process::id(),
            url: none(),
            urls: Vec::new(),
            control: none(),
            account: none(),
            key_id: none(),
            key: none(),
            from: none(),
            processes: Vec::new(),
        };
        record.save(folder)
    }

    /// Of a cluster that is up.
    pub fn of(cluster: &Cluster, member: &Member) -> Result<Self> {
        let urls: Vec<String> = cluster.of(Role::Api).map(|node| format!("http://{}", node.address())).collect();
        let places = cluster.nodes.iter().map(|node| Place {
            name: node.seat.name.clone(),
            role: node.seat.role.name().to_owned(),
            address: node.address(),
        });
        Ok(Self {
            pid: std::process::id(),
            url: urls.first().context("nobody takes requests")?.clone(),
            urls,
            control: format!("http://{}", cluster.sim.control.address),
            account: member.account.clone(),
            key_id: member.key_id.clone(),
            key: member.key.clone(),
            from: member.from.clone(),
            processes: places.collect(),
        })
    }

    /// Writes it for its owner alone: it holds a key.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        let write = || -> Result<()> {
            let mut file =
                std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&path)?;
            Ok(file.write_all(format!("{}\n", serde_json::to_string_pretty(self)?).as_bytes())?)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    /// `None` when there is none that can be read.
    pub fn load(folder: &Path) -> Option<Self> {
        serde_json::from_str(&std::fs::read_to_string(folder.join(FILE)).ok()?).ok()
    }

    /// The cluster is gone.
    pub fn remove(folder: &Path) {
        // One that stays names a process that is gone, which says the same.
        let _ = std::fs::remove_file(folder.join(FILE));
    }

    /// Whether the process that wrote it runs.
    pub fn is_up(&self) -> bool {
        let line = std::fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        words.windows(2).any(|pair| pair == [b"cluster".as_slice(), b"up".as_slice()])
    }

    /// A line for each process, and whether all of them are ready.
    pub async fn status(&self) -> (String, bool) {
        let (mut text, mut all) = (String::new(), !self.processes.is_empty());
        for place in &self.processes {
            let api = Api { address: place.address.clone(), key: String::new() };
            let state = match api.text("GET", "/health/ready", None).await {
                Ok((200, _)) => "ready".to_owned(),
                Ok((status, answer)) => format!("not ready ({status}): {}", answer.trim()),
                Err(error) => format!("no answer: {error:#}"),
            };
            all &= state == "ready";
            text.push_str(&format!("{:<12} {:<9} {:<16} {state}\n", place.name, place.role, place.address));
        }
        if self.processes.is_empty() {
            text.push_str("the cluster is starting\n");
        }
        (text, all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_a_process_that_is_none_is_not_up() {
        let text =
            r#"{"pid":1,"url":"","urls":[],"control":"","account":"","keyId":"","key":"","from":"","processes":[]}"#;
        let record: Record = serde_json::from_str(text).expect("all fields");
        assert!(!record.is_up());
    }
}
