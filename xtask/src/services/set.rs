//! A set of services in one folder: started, stopped, killed, frozen and removed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::daemon::{self, Daemon};
use super::install::{self, Debian, tell};
use super::request::Request;
use super::state::{self, State};
use super::{Place, Which};
use crate::build;

/// Making a data folder is over by then, also beside a build.
const MAKE_LIMIT: Duration = Duration::from_secs(180);
/// A start with recovery after a kill is over by then.
const READY_LIMIT: Duration = Duration::from_secs(120);
/// One question is answered by then.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// A stop that writes everything is over by then.
const STOP_LIMIT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

/// How long a service that is started shall live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Until `cargo xtask services down`.
    UntilDown,
    /// Until the last command that uses it ends.
    Command,
}

/// The services of one folder.
#[derive(Debug, Clone)]
pub struct Set {
    folder: PathBuf,
    /// True when those given by environment are taken instead of our own.
    takes_given: bool,
    /// How far above the usual ports this set looks for its own.
    above: u16,
}

/// What a service is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doing {
    /// Nothing was started: the environment names one.
    Given,
    /// It answers.
    Up,
    /// It answers, and ends with the command that started it.
    UpForCommand,
    /// It is frozen.
    Paused,
    /// It runs and does not answer, or does not follow its primary.
    Silent,
    /// It does not run; its data is there.
    Stopped,
    /// There is nothing.
    Absent,
}

/// A service as it is now.
#[derive(Debug, Clone)]
pub struct Look {
    /// Which one.
    pub which: Which,
    /// What it is doing.
    pub doing: Doing,
    /// Where clients find it; holds a password.
    pub url: Option<String>,
    /// Its process.
    pub daemon: Option<Daemon>,
    /// Its folder.
    pub folder: PathBuf,
}

impl Look {
    /// Host and port.
    pub fn address(&self) -> Option<String> {
        self.url.as_deref().map(|url| super::table::address(url).to_owned())
    }
}

/// Services in use by this command, until it is dropped. It holds passwords, so it is never printed.
pub struct Running {
    /// To stop, kill, freeze and start them again.
    pub set: Set,
    /// What could not be had, and why.
    pub missing: Vec<(Which, anyhow::Error)>,
    urls: BTreeMap<Which, String>,
    _used: File,
}

impl Running {
    /// Where clients find it; `None` when it is missing.
    pub fn url(&self, which: Which) -> Option<&str> {
        self.urls.get(&which).map(String::as_str)
    }

    /// An error that names everything that is missing.
    pub fn check(&self) -> Result<()> {
        let lines: Vec<String> =
            self.missing.iter().map(|(which, error)| format!("{} is missing: {error:#}", which.name())).collect();
        ensure!(lines.is_empty(), "{}", lines.join("\n"));
        Ok(())
    }
}

impl Set {
    /// The set that every command shares, below the build directory.
    pub fn usual() -> Result<Self> {
        Ok(Self { folder: build::target()?.join("services"), takes_given: true, above: 0 })
    }

    /// A set of its own, which takes nothing from the environment.
    pub fn at(folder: &Path) -> Result<Self> {
        let folder = std::path::absolute(folder).with_context(|| format!("no folder {}", folder.display()))?;
        let above = state::own_ports(&folder);
        Ok(Self { folder, takes_given: false, above })
    }

    /// Brings services up, with those that they need. One that cannot be had does not keep the others from it.
    pub async fn up(&self, wanted: &[Which], life: Life) -> Result<Running> {
        let _changing = state::lock(&self.folder).await?;
        let _used = state::use_them(&self.folder)?;
        let mut running = Running { set: self.clone(), missing: Vec::new(), urls: BTreeMap::new(), _used };
        let mut debian = Debian::default();
        for which in with_needed(wanted) {
            match self.bring_up(which, life, &mut debian).await {
                Ok(url) => drop(running.urls.insert(which, url)),
                Err(error) => running.missing.push((which, error)),
            }
        }
        Ok(running)
    }

    /// Stops services, and what needs them; removes their data unless it is kept.
    pub async fn down(&self, wanted: &[Which], keep: bool) -> Result<()> {
        let _changing = state::lock(&self.folder).await?;
        ensure!(state::nobody_uses_them(&self.folder)?, "a test or another command uses the services; end it first");
        let mut outcome = Ok(());
        for which in with_needing(wanted) {
            // One that stays does not keep the others from going.
            outcome = outcome.and(self.take_down(which, keep).await);
        }
        outcome
    }

    /// Stops what was started for commands, when no command is left that uses it.
    pub async fn release(&self) -> Result<()> {
        let _changing = state::lock(&self.folder).await?;
        if !state::nobody_uses_them(&self.folder)? {
            eprintln!("services stay up: another command uses them");
            return Ok(());
        }
        let mut outcome = Ok(());
        for which in Which::ALL.into_iter().rev() {
            let Some(state) = State::load(&self.folder_of(which)).filter(|state| state.temporary) else { continue };
            outcome = outcome.and(self.take_down(which, state.kept).await);
        }
        outcome
    }

    /// Starts one that was stopped or killed, on the same port and the same data, and waits until it answers.
    pub async fn start(&self, which: Which) -> Result<()> {
        let _changing = state::lock(&self.folder).await?;
        let (place, mut state) = self.place(which)?;
        if self.daemon(which).is_none() {
            self.launch(which, &place, &mut state).await?;
        }
        Ok(())
    }

    /// Asks one to stop and waits; its data stays.
    pub async fn stop(&self, which: Which) -> Result<()> {
        self.running(which)?.stop(STOP_LIMIT).await
    }

    /// `kill -9`; its data stays as it is.
    pub async fn kill9(&self, which: Which) -> Result<()> {
        self.running(which)?.kill().await
    }

    /// Freezes it: it keeps its connections and answers nothing.
    pub async fn pause(&self, which: Which) -> Result<()> {
        self.running(which)?.pause().await
    }

    /// Lets it go on.
    pub async fn resume(&self, which: Which) -> Result<()> {
        self.running(which)?.resume().await
    }

    /// Makes it forget everything.
    pub async fn flush(&self, which: Which) -> Result<()> {
        let request = which.service().flush(&self.place(which)?.0);
        request.with_context(|| format!("{} cannot be flushed", which.name()))?.run(ANSWER_LIMIT).await
    }

    /// What a service is doing; asks it.
    pub async fn look(&self, which: Which) -> Look {
        let folder = self.folder_of(which);
        if let Some(url) = self.given(which) {
            return Look { which, doing: Doing::Given, url: Some(url), daemon: None, folder };
        }
        let (daemon, place) = (self.daemon(which), self.place(which).ok());
        let doing = match (&daemon, &place) {
            (None, None) => Doing::Absent,
            (None, Some(_)) => Doing::Stopped,
            (Some(daemon), _) if daemon.paused => Doing::Paused,
            (Some(_), None) => Doing::Silent,
            (Some(_), Some((place, state))) => match which.service().ready(place).run(ANSWER_LIMIT).await {
                Ok(()) if state.temporary => Doing::UpForCommand,
                Ok(()) => Doing::Up,
                Err(_) => Doing::Silent,
            },
        };
        let url = place.map(|(place, _)| which.service().url(&place));
        Look { which, doing, url, daemon, folder }
    }

    fn folder_of(&self, which: Which) -> PathBuf {
        self.folder.join(which.name())
    }

    /// Its address in the environment.
    fn given(&self, which: Which) -> Option<String> {
        let value = std::env::var(which.service().variable()).ok()?;
        (self.takes_given && !value.is_empty()).then_some(value)
    }

    fn daemon(&self, which: Which) -> Option<Daemon> {
        super::find(which, &self.folder_of(which))
    }

    fn running(&self, which: Which) -> Result<Daemon> {
        if self.given(which).is_some() {
            bail!("{} is given by environment, so it is not ours", which.name());
        }
        self.daemon(which).with_context(|| format!("{} does not run", which.name()))
    }

    /// Where a service with whole data lives, and what is remembered of it.
    fn place(&self, which: Which) -> Result<(Place, State)> {
        let state = State::load(&self.folder_of(which)).filter(|state| state.made);
        let state = state.with_context(|| format!("{} is not there; `cargo xtask services up`", which.name()))?;
        Ok((self.place_of(which, &state), state))
    }

    fn place_of(&self, which: Which, state: &State) -> Place {
        let needed = which.service().needs().and_then(|needed| State::load(&self.folder_of(needed)));
        Place {
            folder: self.folder_of(which),
            port: state.port,
            password: state.password.clone(),
            needed_port: needed.map(|needed| needed.port),
            root: install::is_root(),
        }
    }

    /// The address of a service that answers at the end.
    async fn bring_up(&self, which: Which, life: Life, debian: &mut Debian) -> Result<String> {
        let service = which.service();
        if let Some(url) = self.given(which) {
            return Ok(url);
        }
        if let Some(needed) = service.needs() {
            let given = needed.service().variable();
            ensure!(self.given(needed).is_none(), "{given} is given, so give {} as well", service.variable());
            ensure!(self.daemon(needed).is_some(), "{} is not up", needed.name());
        }
        if !service.programs().iter().all(|program| install::find(program).is_some()) {
            debian.install(service.packages()).await?;
        }
        let Ok((place, mut state)) = self.place(which) else { return self.make(which, life).await };
        match self.daemon(which) {
            Some(daemon) => {
                if daemon.paused {
                    eprintln!("{}: was paused, goes on", service.name());
                    daemon.resume().await?;
                }
                until_answered(&service.ready(&place), &daemon, &place, ANSWER_LIMIT).await?;
                eprintln!("{}: already up", service.name());
                if life == Life::UntilDown && state.temporary {
                    state.temporary = false;
                    state.save(&place.folder)?;
                }
            }
            None => {
                state.temporary = life == Life::Command;
                state.save(&place.folder)?;
                self.launch(which, &place, &mut state).await?;
            }
        }
        Ok(service.url(&place))
    }

    /// From nothing: what is left of an earlier try is removed, and so is what was built on it.
    async fn make(&self, which: Which, life: Life) -> Result<String> {
        let service = which.service();
        for old in with_needing(&[which]) {
            self.take_down(old, false).await?;
        }
        let folder = self.folder_of(which);
        for inner in ["data", "tmp"] {
            state::private_folder(&folder.join(inner))?;
        }
        // A port of the set is taken also while its service is down.
        let states = Which::ALL.into_iter().filter_map(|other| State::load(&self.folder_of(other)));
        let taken: Vec<u16> = states.map(|state| state.port).collect();
        // A copy has the accounts of what it copies.
        let password = match service.needs().and_then(|needed| State::load(&self.folder_of(needed))) {
            Some(needed) => needed.password,
            None if service.has_account() => state::new_password()?,
            None => String::new(),
        };
        let port = state::free_port(service.port() + self.above, &taken)?;
        let mut state = State { port, password, made: false, temporary: life == Life::Command, kept: false };
        state.save(&folder)?;
        let mut place = self.place_of(which, &state);
        let make = service.make(&place);
        if !make.is_empty() {
            let all = async {
                for request in make {
                    request.run(MAKE_LIMIT).await?;
                }
                anyhow::Ok(())
            };
            tell(&format!("{}: making its data folder", service.name()), all).await?;
        }
        while let Err(error) = self.launch(which, &place, &mut state).await {
            // Another program may have been quicker; the next port is as good.
            if self.daemon(which).is_some() || state::port_is_free(place.port) {
                return Err(error);
            }
            state.port = state::free_port(place.port + 1, &taken)?;
            state.save(&folder)?;
            place = self.place_of(which, &state);
        }
        Ok(service.url(&place))
    }

    /// Starts the server, sets it up when that was not done, and waits until it answers.
    async fn launch(&self, which: Which, place: &Place, state: &mut State) -> Result<()> {
        let service = which.service();
        if !state::port_is_free(place.port) {
            bail!("port {} of {} is taken by another program", place.port, service.name());
        }
        let command = service.command(place);
        let path = install::find(&command[0]).with_context(|| format!("{} is not installed", command[0]))?;
        let begin = async {
            let daemon = Daemon::start(&command, &path, &place.folder).await?;
            if !state.made {
                for request in service.set_up(place) {
                    until_answered(&request, &daemon, place, READY_LIMIT).await?;
                }
            }
            until_answered(&service.ready(place), &daemon, place, READY_LIMIT).await?;
            state.made = true;
            state.save(&place.folder)
        };
        tell(&format!("{}: starting on port {}", service.name(), place.port), begin).await
    }

    async fn take_down(&self, which: Which, keep: bool) -> Result<()> {
        let folder = self.folder_of(which);
        if let Some(daemon) = self.daemon(which) {
            if let Err(error) = daemon.stop(STOP_LIMIT).await {
                eprintln!("{}: {error:#}; killing it", which.name());
                daemon.kill().await?;
            }
            eprintln!("{}: stopped", which.name());
        }
        if keep {
            if let Some(state) = State::load(&folder) {
                State { kept: true, temporary: false, ..state }.save(&folder)?;
            }
            return Ok(());
        }
        remove(&folder).await.with_context(|| format!("cannot remove {}", folder.display()))
    }
}

/// Asks again and again until the answer counts; a server that ends meanwhile is an error with the end of its log.
pub async fn until_answered(request: &Request, daemon: &Daemon, place: &Place, limit: Duration) -> Result<()> {
    let until = Instant::now() + limit;
    let log = daemon::log_file(&place.folder);
    loop {
        let error = match daemon.listens_on(place.port) {
            true => request.run(ANSWER_LIMIT).await.err(),
            false => Some(anyhow!("nothing of it listens on port {}", place.port)),
        };
        let Some(error) = error else { return Ok(()) };
        ensure!(!daemon.has_ended(), "it ended; see {}:\n{}", log.display(), daemon::log_end(&place.folder));
        if Instant::now() > until {
            return Err(error.context(format!("no answer in {} s; see {}", limit.as_secs(), log.display())));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A program that was just killed may write a last file; then it is done again.
async fn remove(folder: &Path) -> std::io::Result<()> {
    let until = Instant::now() + ANSWER_LIMIT;
    loop {
        match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound && !folder.exists() => return Ok(()),
            Err(error) if Instant::now() > until => return Err(error),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {}
            outcome => return outcome,
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What was asked for and what that needs, in the order of starts.
fn with_needed(wanted: &[Which]) -> Vec<Which> {
    let needed = |which: Which| wanted.iter().any(|other| other.service().needs() == Some(which));
    Which::ALL.into_iter().filter(|which| wanted.contains(which) || needed(*which)).collect()
}

/// What was asked for and what needs that, in the order of stops.
fn with_needing(wanted: &[Which]) -> Vec<Which> {
    let needing = |which: Which| which.service().needs().is_some_and(|needed| wanted.contains(&needed));
    Which::ALL.into_iter().rev().filter(|which| wanted.contains(which) || needing(*which)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primary_comes_before_the_replica_and_goes_after_it() {
        assert_eq!(with_needed(&[Which::MariadbReplica]), [Which::Mariadb, Which::MariadbReplica]);
        assert_eq!(with_needing(&[Which::Mariadb]), [Which::MariadbReplica, Which::Mariadb]);
        assert_eq!(with_needed(&[Which::Redis]), [Which::Redis]);
        assert_eq!(with_needing(&[Which::MariadbReplica]), [Which::MariadbReplica]);
    }
}
