//! Names of leases: what one process has at a time.

use crate::id::NODE_MAX;
use std::fmt;
use std::str::FromStr;

/// Periodic work that one process does for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Task {
    /// Removes what is over: staged rows without a request, expired keys, old slices.
    Sweep,
    /// Brings home what a dead process left: its claims and unclaimed runs.
    Recover,
    /// Lets what waits for its time go when that comes.
    Schedule,
}

impl Task {
    /// All of them.
    pub const ALL: [Task; 3] = [Task::Sweep, Task::Recover, Task::Schedule];

    /// Its word in names.
    pub const fn as_str(self) -> &'static str {
        match self {
            Task::Sweep => "sweep",
            Task::Recover => "recover",
            Task::Schedule => "schedule",
        }
    }

    /// The task of a word.
    pub fn parse(word: &str) -> Option<Task> {
        Task::ALL.into_iter().find(|task| task.as_str() == word)
    }
}

/// What a lease gives. The text form is the key of the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeaseName {
    /// `node:N`: the node number in every id that a process makes, 0 to [`NODE_MAX`]. Its lease is the process's
    /// membership.
    Node(u16),
    /// `bind:RELAY:SLOT`: one session with a relay, and with it one part of the relay's rate.
    Bind {
        /// The relay's number.
        relay: u8,
        /// Counted from 0 to the relay's binds − 1.
        slot: u16,
    },
    /// `task:NAME`: periodic work.
    Task(Task),
}

impl fmt::Display for LeaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LeaseName::Node(number) => write!(f, "node:{number}"),
            LeaseName::Bind { relay, slot } => write!(f, "bind:{relay}:{slot}"),
            LeaseName::Task(task) => write!(f, "task:{}", task.as_str()),
        }
    }
}

/// The text is not the name of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a lease")]
pub struct BadLeaseName;

impl FromStr for LeaseName {
    type Err = BadLeaseName;

    /// Reads exactly what [`fmt::Display`] writes, so that one lease has one row.
    fn from_str(text: &str) -> Result<LeaseName, BadLeaseName> {
        read(text).filter(|name| name.to_string() == text).ok_or(BadLeaseName)
    }
}

fn read(text: &str) -> Option<LeaseName> {
    let (kind, rest) = text.split_once(':')?;
    match kind {
        "node" => rest.parse().ok().filter(|&number| number <= NODE_MAX).map(LeaseName::Node),
        "bind" => {
            let (relay, slot) = rest.split_once(':')?;
            Some(LeaseName::Bind { relay: relay.parse().ok()?, slot: slot.parse().ok()? })
        }
        "task" => Task::parse(rest).map(LeaseName::Task),
        _ => None,
    }
}
