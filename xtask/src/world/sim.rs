//! The simulated relays as a child process, with their control interface.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::free_addresses;
use crate::http::Api;
use crate::process::{Launch, Process};

const READY_LIMIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// A running `bongsu sim`.
#[derive(Debug)]
pub struct Sim {
    /// Its process.
    pub process: Process,
    /// Its control interface.
    pub control: Api,
    /// Relay name and SMPP address, in the order they were asked for.
    pub relays: Vec<(String, String)>,
}

/// What one relay has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages.
    pub submits: u64,
    /// Messages taken more than once.
    pub duplicates: u64,
}

impl Sim {
    /// Starts the relays on their wanted ports, or on free ones, and waits until the control interface answers.
    pub async fn start(
        bongsu: &Path,
        names: &[(&str, Option<u16>)],
        seed: u64,
        script: Option<&Path>,
        log: &Path,
    ) -> Result<Self> {
        let wanted: Vec<_> = [None].into_iter().chain(names.iter().map(|(_, port)| *port)).collect();
        let mut addresses = free_addresses(&wanted)?.into_iter();
        let control = addresses.next().context("an address of the control interface")?;
        let mut command = vec![bongsu.display().to_string(), "sim".into()];
        let mut relays = Vec::new();
        for ((name, _), address) in names.iter().zip(addresses) {
            command.extend(["--relay".into(), format!("{name}={address}")]);
            relays.push(((*name).to_owned(), address));
        }
        command.extend(["--control".into(), control.clone(), "--seed".into(), seed.to_string()]);
        if let Some(script) = script {
            command.extend(["--script".into(), script.display().to_string()]);
        }
        let launch = Launch { command, environment: BTreeMap::new(), log: log.to_path_buf() };
        let mut process = Process::start(&launch)?;
        let control = Api { address: control, key: String::new() };
        let until = Instant::now() + READY_LIMIT;
        while control.ask("GET", "/stats", None).await.is_err() {
            if process.has_ended() || Instant::now() > until {
                bail!("the simulator did not start; see {}", log.display());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(Self { process, control, relays })
    }

    /// The whole `/stats` document.
    pub async fn stats(&self) -> Result<Value> {
        self.control.ask("GET", "/stats", None).await
    }

    /// What each relay has seen so far.
    pub async fn totals(&self) -> Result<BTreeMap<String, Totals>> {
        let stats = self.stats().await?;
        let totals = self.relays.iter().map(|(name, _)| Ok((name.clone(), totals_of(&stats, name)?)));
        totals.collect()
    }

    /// `stop`, `start` or `silent` for one relay.
    pub async fn order(&self, relay: &str, order: &str) -> Result<()> {
        self.control.ask("POST", &format!("/relays/{relay}/{order}"), None).await.map(drop)
    }

    /// The same order for every relay.
    pub async fn order_all(&self, order: &str) -> Result<()> {
        for (name, _) in &self.relays {
            self.order(name, order).await?;
        }
        Ok(())
    }
}

/// Reads one relay of `/stats`, whether the relays stand at the top or under `relays`.
fn totals_of(stats: &Value, relay: &str) -> Result<Totals> {
    let relays = stats.get("relays").unwrap_or(stats);
    let one = relays.get(relay).with_context(|| format!("the simulator's /stats does not name {relay}"))?;
    Ok(Totals {
        submits: one["submits"].as_u64().with_context(|| format!("{relay}.submits"))?,
        duplicates: one["duplicates"].as_array().map_or(0, |d| d.len() as u64),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn stats_with_and_without_an_envelope() {
        let relay = json!({"submits": 5, "parts": 7, "duplicates": [{}, {}]});
        let want = Totals { submits: 5, duplicates: 2 };
        assert_eq!(totals_of(&json!({"kt": relay}), "kt").expect("there"), want);
        assert_eq!(totals_of(&json!({"relays": {"kt": relay}}), "kt").expect("there"), want);
        assert!(totals_of(&json!({}), "kt").is_err());
    }
}
