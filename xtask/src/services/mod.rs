//! Real servers for tests: MariaDB with a replica, and Redis, installed and started on loopback in scratch folders.

pub mod command;
mod daemon;
mod install;
mod mariadb;
mod redis;
mod replica;
mod request;
mod set;
mod state;
mod table;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;

use daemon::Daemon;
use request::Request;

pub use install::Debian;
pub use set::{Life, Running, Set};
pub use state::{free_port, own_ports, port_is_free};

/// Which service. The order is the one they start in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Which {
    /// The primary.
    Mariadb,
    /// A copy of it that only reads.
    MariadbReplica,
    /// The cache.
    Redis,
}

impl Which {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Mariadb, Self::MariadbReplica, Self::Redis];

    /// What it is made of.
    fn service(self) -> &'static dyn Service {
        match self {
            Self::Mariadb => &mariadb::Mariadb,
            Self::MariadbReplica => &replica::Replica,
            Self::Redis => &redis::Redis,
        }
    }

    /// Its name on the command line, and that of its folder.
    pub fn name(self) -> &'static str {
        self.service().name()
    }

    /// The variable by which tests find it, and by which one that already runs is given.
    pub fn variable(self) -> &'static str {
        self.service().variable()
    }
}

/// One kind of server. All of it is words to be run, so that a new service is one file that needs no client library.
trait Service: Sync {
    /// Name on the command line and of the folder.
    fn name(&self) -> &'static str;
    /// The variable by which tests find it, and by which one that already runs is given.
    fn variable(&self) -> &'static str;
    /// Debian packages that bring the programs.
    fn packages(&self) -> &'static [&'static str];
    /// Programs that must be there; the first is the server.
    fn programs(&self) -> &'static [&'static str];
    /// The first port to try.
    fn port(&self) -> u16;
    /// A service that must run before.
    fn needs(&self) -> Option<Which> {
        None
    }
    /// True when the service has an account with a password.
    fn has_account(&self) -> bool {
        false
    }
    /// Makes the data folder, before the first start.
    fn make(&self, _: &Place) -> Vec<Request> {
        Vec::new()
    }
    /// The server and its arguments; one of them names the folder.
    fn command(&self, place: &Place) -> Vec<String>;
    /// Accounts and the like, after the first start. Each may be run again: it is repeated until the server takes it.
    fn set_up(&self, _: &Place) -> Vec<Request> {
        Vec::new()
    }
    /// A real request that only a server which is ready answers.
    fn ready(&self, place: &Place) -> Request;
    /// Forgets what it holds, where that is an operation of its own.
    fn flush(&self, _: &Place) -> Option<Request> {
        None
    }
    /// Where clients find it.
    fn url(&self, place: &Place) -> String;
}

/// Where a service lives.
#[derive(Clone, PartialEq, Eq)]
struct Place {
    /// Its scratch folder.
    folder: PathBuf,
    /// Its port on 127.0.0.1.
    port: u16,
    /// Password of the account.
    password: String,
    /// Port of the service that it needs.
    needed_port: Option<u16>,
    /// True when we are root, which some servers must be told.
    root: bool,
}

impl Place {
    /// A path inside the folder.
    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Where the data is.
    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
}

/// Brings services up for the time of a command: those that run already, or are given by environment, are taken; the
/// others are started, and stopped by [`release`] when no other command uses them. What could not be had is in
/// [`Running::missing`].
pub async fn up(wanted: &[Which]) -> Result<Running> {
    Set::usual()?.up(wanted, Life::Command).await
}

/// Stops what [`up`] has started, unless another command uses it. The [`Running`] must be gone.
pub async fn release() -> Result<()> {
    Set::usual()?.release().await
}

/// The server of this folder.
fn find(which: Which, folder: &Path) -> Option<Daemon> {
    Daemon::find(folder, which.service().programs()[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A place of a test.
    pub fn place(root: bool) -> Place {
        let folder = PathBuf::from("/scratch/services/one");
        Place { folder, port: 13_306, password: "0123abcd".into(), needed_port: Some(13_300), root }
    }

    #[test]
    fn each_service_has_a_name_and_a_variable_of_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for which in Which::ALL {
            let service = which.service();
            let value = which.to_possible_value().expect("not hidden");
            assert_eq!(value.get_name(), which.name());
            assert!(seen.insert(which.name()) && seen.insert(service.variable()));
            assert!(service.variable().starts_with("BONGSU_") && service.variable().ends_with("_URL"));
            assert!(!service.packages().is_empty());
        }
    }

    #[test]
    fn a_service_starts_after_the_one_it_needs() {
        for which in Which::ALL {
            assert!(which.service().needs().is_none_or(|needed| needed < which));
        }
    }

    #[test]
    fn a_server_is_known_by_its_command_line_and_passwords_are_not_in_it() {
        for which in Which::ALL {
            for place in [place(true), place(false)] {
                let service = which.service();
                let command = service.command(&place);
                assert_eq!(command[0], service.programs()[0]);
                assert!(command.iter().any(|word| word.contains("/scratch/services/one")), "{command:?}");
                assert!(command.iter().any(|word| word.contains("127.0.0.1")), "{command:?}");
                let mut requests = [service.make(&place), service.set_up(&place)].concat();
                requests.push(service.ready(&place));
                requests.extend(service.flush(&place));
                for words in requests.iter().map(|request| &request.arguments).chain([&command]) {
                    assert!(!words.iter().any(|word| word.contains("0123abcd")), "{words:?}");
                }
            }
        }
    }
}

#[cfg(test)]
mod real_tests;
