//! One request at a time for an idempotency key: the second waits for the first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

/// Requests with a key that may run at once.
const RUNNING_MAX: usize = 100_000;

/// The keys in use.
#[derive(Debug, Default)]
pub struct Gate {
    running: Arc<Mutex<HashMap<i64, watch::Receiver<()>>>>,
}

/// Entry through the gate.
pub enum Entry {
    /// Nobody else has the key; it is free again when the pass is dropped.
    First(Pass),
    /// Another request has it; the receiver ends when that one is done.
    Busy(watch::Receiver<()>),
}

/// The right to run a request with a key.
pub struct Pass {
    key: i64,
    running: Arc<Mutex<HashMap<i64, watch::Receiver<()>>>>,
    /// Dropping it tells those who wait.
    _done: watch::Sender<()>,
}

impl Gate {
    /// Asks for a key.
    pub fn enter(&self, key: i64) -> Option<Entry> {
        let mut running = self.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(busy) = running.get(&key) {
            return Some(Entry::Busy(busy.clone()));
        }
        if running.len() >= RUNNING_MAX {
            return None;
        }
        let (sender, receiver) = watch::channel(());
        running.insert(key, receiver);
        Some(Entry::First(Pass { key, running: self.running.clone(), _done: sender }))
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_free_again_when_its_pass_is_dropped() {
        let gate = Gate::default();
        let Some(Entry::First(pass)) = gate.enter(1) else { panic!("the first one enters") };
        assert!(matches!(gate.enter(1), Some(Entry::Busy(_))));
        assert!(matches!(gate.enter(2), Some(Entry::First(_))));
        drop(pass);
        assert!(matches!(gate.enter(1), Some(Entry::First(_))));
    }
}
