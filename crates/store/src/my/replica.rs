//! History reads on a replica, never behind what their account wrote last.
//!
//! When an account's newest message was accepted and its money last moved are two looks into indexes of the primary; what
//! else it wrote is known to the process that wrote it. For a while after it, and until the replica has surely got it, reads
//! go to the primary. How far the replica is, its copy of the leases tells, which every process renews.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bongsu_domain::{AccountId, Timestamp};

use crate::db::{Db, OptionalExtension};
use crate::error::Error;
use crate::readers::{Reader, Readers};

/// How long after a write an account reads the primary; and how much later than a write the replica's newest renewal must
/// be, since a write has the time at which its transaction began.
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
    wrote: Mutex<Wrote>,
    reached: Mutex<Reached>,
}

/// What accounts wrote here beside messages, ms.
#[derive(Default)]
struct Wrote {
    by_account: HashMap<AccountId, i64>,
    /// Anybody may have written until then.
    forgotten: i64,
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
    pub(crate) fn wrote(&self, account: AccountId, now: Timestamp) {
        let mut wrote = self.wrote.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if wrote.by_account.len() >= ACCOUNTS_MAX {
            wrote.by_account.clear();
            wrote.forgotten = now.millis();
        }
        wrote.by_account.insert(account, now.millis());
    }

    fn wrote_here(&self, account: AccountId) -> i64 {
        let wrote = self.wrote.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        wrote.by_account.get(&account).copied().unwrap_or_default().max(wrote.forgotten)
    }

    /// Whether the replica shows the account everything it wrote, as far as the primary knows last then.
    pub(crate) async fn serves(&self, account: AccountId, last: Option<Timestamp>, now: Timestamp) -> bool {
        let last = self.wrote_here(account).max(last.map_or(0, Timestamp::millis));
        let settled = last + OWN_WRITES.as_millis() as i64;
        now.millis() >= settled && self.upto().await.is_some_and(|upto| settled < upto)
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

/// When an account's newest message was accepted, or its money last moved: the ids of a batch are older than its commit.
pub(crate) fn last_write(live: &Db, account: AccountId) -> Result<Option<Timestamp>, Error> {
    let newest: Option<i64> =
        live.query_row("SELECT MAX(first) FROM runs WHERE account = ?", [account.0], |row| row.get(0))?;
    let moved: Option<i64> = live
        .query_row("SELECT at FROM ledger WHERE account = ? ORDER BY seq DESC LIMIT 1", [account.0], |row| row.get(0))
        .optional()?;
    let accepted = newest.map(|id| Timestamp::from_millis(bongsu_domain::id::id_millis(id)));
    Ok(accepted.max(moved.map(Timestamp)))
}

/// When the newest renewal of a lease that the replica has was written.
fn newest(reader: &mut Reader, lease_ms: i64) -> Result<i64, Error> {
    let until: i64 = reader.live.query_row("SELECT COALESCE(MAX(until), 0) FROM leases", (), |row| row.get(0))?;
    Ok(until - lease_ms)
}
