//! History reads on a replica, never behind what their account wrote last.
//!
//! An account's last accept is one look into an index of the primary; what else it wrote is known to the process that wrote
//! it. For a while after it, and until the replica has it, reads go to the primary. How far the replica is, its copy of the
//! leases tells, which every process renews.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bongsu_domain::{AccountId, Timestamp};

use crate::error::Error;
use crate::readers::{Reader, Readers};

/// How long after a write an account reads the primary.
const OWN_WRITES: Duration = Duration::from_secs(5);
/// How long an answer of the replica about how far it is holds.
const FRESH_FOR: Duration = Duration::from_millis(500);
/// How long a replica that did not answer is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(5);
/// Accounts remembered; older ones have not written for long.
const ACCOUNTS_MAX: usize = 100_000;

/// The replica of a store.
pub(crate) struct Replica {
    readers: Readers,
    lease_ms: i64,
    wrote: Mutex<HashMap<AccountId, Instant>>,
    reached: Mutex<Reached>,
}

#[derive(Default)]
struct Reached {
    asked: Option<Instant>,
    /// Everything committed before it is there, ms.
    upto: i64,
    away_until: Option<Instant>,
}

impl Replica {
    pub(super) fn new(readers: Readers, lease: Duration) -> Self {
        Self { readers, lease_ms: lease.as_millis() as i64, wrote: Mutex::default(), reached: Mutex::default() }
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.readers
    }

    /// The account wrote something that is not an accept.
    pub(crate) fn wrote(&self, account: AccountId) {
        let mut wrote = self.wrote.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if wrote.len() >= ACCOUNTS_MAX {
            wrote.retain(|_, at| at.elapsed() < OWN_WRITES);
        }
        wrote.insert(account, Instant::now());
    }

    fn wrote_lately(&self, account: AccountId) -> bool {
        let wrote = self.wrote.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        wrote.get(&account).is_some_and(|at| at.elapsed() < OWN_WRITES)
    }

    /// Whether the replica shows the account everything it wrote, whose last accept was then.
    pub(crate) async fn serves(&self, account: AccountId, last: Option<Timestamp>, now: Timestamp) -> bool {
        if self.wrote_lately(account) || last.is_some_and(|last| now.since(last) < OWN_WRITES) {
            return false;
        }
        let Some(upto) = self.upto().await else { return false };
        last.is_none_or(|last| last.millis() < upto)
    }

    /// Everything committed before this moment is on the replica; `None` while it does not answer.
    async fn upto(&self) -> Option<i64> {
        {
            let reached = self.reached.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if reached.away_until.is_some_and(|until| Instant::now() < until) {
                return None;
            }
            if reached.asked.is_some_and(|asked| asked.elapsed() < FRESH_FOR) {
                return Some(reached.upto);
            }
        }
        let lease_ms = self.lease_ms;
        let asked =
            tokio::time::timeout(Duration::from_millis(300), self.readers.read(move |reader| newest(reader, lease_ms)))
                .await;
        let mut reached = self.reached.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match asked {
            Ok(Ok(upto)) => {
                (reached.asked, reached.upto) = (Some(Instant::now()), upto);
                Some(upto)
            }
            _ => {
                reached.away_until = Some(Instant::now() + LEFT_ALONE);
                None
            }
        }
    }

    /// It did not answer a question.
    pub(crate) fn is_away(&self) {
        self.reached.lock().unwrap_or_else(std::sync::PoisonError::into_inner).away_until =
            Some(Instant::now() + LEFT_ALONE);
    }

    /// Whether it is left alone because it did not answer.
    pub(crate) fn is_left_alone(&self) -> bool {
        let reached = self.reached.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        reached.away_until.is_some_and(|until| Instant::now() < until)
    }

    pub(crate) fn close(&self) {
        self.readers.close();
    }
}

/// When the newest renewal of a lease that the replica has was written.
fn newest(reader: &mut Reader, lease_ms: i64) -> Result<i64, Error> {
    let until: i64 = reader.live.query_row("SELECT COALESCE(MAX(until), 0) FROM leases", (), |row| row.get(0))?;
    Ok(until - lease_ms)
}
