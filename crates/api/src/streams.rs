//! Streams that stay open: how many of an account there may be at once, and that none keeps a stop waiting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bongsu_domain::Code;
use bongsu_send::Scope;
use tokio::sync::watch;

use crate::call::Caller;
use crate::problem::Problem;

/// Open streams of one account, and of one operator's key.
pub const STREAMS_MAX: usize = 20;
/// Open streams of this process.
const ALL_MAX: usize = 2_000;

/// The streams that are open.
#[derive(Debug, Clone, Default)]
pub struct Streams {
    open: Arc<Mutex<HashMap<i64, usize>>>,
    over: Arc<watch::Sender<bool>>,
}

impl Streams {
    /// Ends all streams, and every later one after its first event: whoever watches opens another one elsewhere.
    pub fn end(&self) {
        self.over.send_replace(true);
    }

    /// Becomes true when streams have to end.
    pub fn over(&self) -> watch::Receiver<bool> {
        self.over.subscribe()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i64, usize>> {
        // The map is whole after every single operation.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more stream.
    ///
    /// # Errors
    /// 429 when the caller has too many open.
    pub fn take(&self, caller: Caller) -> Result<Seat, Problem> {
        let owner = match caller.scope {
            Scope::Account(account) => account.0,
            Scope::Operator => caller.key.0,
        };
        let mut open = self.lock();
        let own = open.get(&owner).copied().unwrap_or(0);
        if own >= STREAMS_MAX || open.values().sum::<usize>() >= ALL_MAX {
            let detail = format!("at most {STREAMS_MAX} streams may be open at once");
            return Err(Problem {
                retry_after: Some(Duration::from_secs(5)),
                ..Problem::new(Code::RateLimited, detail)
            });
        }
        open.insert(owner, own + 1);
        Ok(Seat { streams: self.clone(), owner })
    }
}

/// The place of one open stream; free again when it is dropped.
#[derive(Debug)]
pub struct Seat {
    streams: Streams,
    owner: i64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.streams.lock();
        match open.get_mut(&self.owner) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                open.remove(&self.owner);
            }
        }
    }
}
