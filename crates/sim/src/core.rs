//! The relays of a simulator and everything that can be asked of them, shared by the library and the control interface.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;

use crate::inbox::Received;
use crate::port::Port;
use crate::relay::{Log, Relay, flush_log, relay_seed};
use crate::script::{Script, ScriptError};
use crate::stats::RelayStats;

/// Relays in the order in which they were named.
pub(crate) struct Core {
    pub(crate) relays: Vec<(Arc<Relay>, Port)>,
    pub(crate) seed: u64,
    pub(crate) log: Option<Log>,
}

impl Core {
    pub(crate) fn names(&self) -> Vec<String> {
        self.relays.iter().map(|(relay, _)| relay.name.clone()).collect()
    }

    pub(crate) fn relay_at(&self, index: usize) -> Option<&Relay> {
        self.relays.get(index).map(|(relay, _)| &**relay)
    }

    pub(crate) fn find(&self, name: &str) -> anyhow::Result<&(Arc<Relay>, Port)> {
        let found = self.relays.iter().find(|(relay, _)| relay.name == name);
        found.with_context(|| format!("no relay {name}; there are {}", self.names().join(", ")))
    }

    pub(crate) fn stats(&self) -> BTreeMap<String, RelayStats> {
        self.relays.iter().map(|(relay, _)| (relay.name.clone(), relay.stats())).collect()
    }

    pub(crate) fn inbox(&self, to: &str) -> Vec<Received> {
        let mut found = Vec::new();
        for (relay, _) in &self.relays {
            let state = relay.lock();
            if let Some(inbox) = &state.inbox {
                found.extend(inbox.find(&relay.name, to, &state.names));
            }
        }
        found.sort_by_key(|(at, _)| *at);
        found.into_iter().map(|(_, message)| message).collect()
    }

    pub(crate) fn set_script(&self, script: Script) -> Result<(), ScriptError> {
        script.check_names(&self.names())?;
        let seed = script.seed.unwrap_or(self.seed);
        for (relay, _) in &self.relays {
            let mut state = relay.lock();
            state.script = script.relays.get(&relay.name).cloned().unwrap_or_default();
            state.seed = relay_seed(seed, &relay.name);
        }
        Ok(())
    }

    pub(crate) async fn stop_relay(&self, name: &str) -> anyhow::Result<()> {
        self.find(name)?.1.stop().await;
        Ok(())
    }

    pub(crate) async fn start_relay(&self, name: &str) -> anyhow::Result<()> {
        let (relay, port) = self.find(name)?;
        relay.lock().script.silent = false;
        port.start().await.with_context(|| format!("relay {name} cannot listen on {}", port.addr()))
    }

    pub(crate) fn silence(&self, name: &str) -> anyhow::Result<()> {
        self.find(name)?.0.lock().script.silent = true;
        Ok(())
    }

    pub(crate) fn flush(&self) {
        if let Some(log) = &self.log {
            flush_log(log);
        }
    }
}
