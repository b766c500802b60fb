//! Step lines: what happens to the messages of one account, written to the log while an operator wants to see it. The hot
//! path writes no line a message; while nobody looks, each step costs one atomic load.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bongsu_domain::{AccountId, Clock, MessageId, Timestamp};
use bongsu_store::changes::Change;

use crate::flights::Flight;
use crate::relays::Relays;

/// The longest that steps of an account are written.
pub const STEPS_MAX: Duration = Duration::from_secs(24 * 3600);
/// Accounts at once.
const ACCOUNTS_MAX: usize = 100;
/// Messages on their way whose steps are written; of further ones only the first steps are.
const MESSAGES_MAX: usize = 100_000;

#[derive(Default)]
struct Looked {
    /// Until when.
    accounts: HashMap<AccountId, Timestamp>,
    /// Messages that were claimed meanwhile: results know their message only.
    messages: HashMap<i64, AccountId>,
}

/// Whose steps are written.
#[derive(Default)]
pub struct Steps {
    any: AtomicBool,
    looked: Mutex<Looked>,
}

impl Steps {
    fn looked(&self) -> MutexGuard<'_, Looked> {
        self.looked.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Writes steps of an account until then; a time that is past ends it. Answers whether there was room for it.
    pub fn look_at(&self, account: AccountId, until: Timestamp, now: Timestamp) -> bool {
        let mut looked = self.looked();
        looked.accounts.retain(|_, until| *until > now);
        looked.accounts.remove(&account);
        let room = looked.accounts.len() < ACCOUNTS_MAX;
        if room && until > now {
            looked.accounts.insert(account, until);
        }
        if looked.accounts.is_empty() {
            looked.messages.clear();
        }
        self.any.store(!looked.accounts.is_empty(), Ordering::Release);
        room
    }

    /// Whether somebody looks at any account.
    pub fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Whether steps of an account are written now.
    fn has(&self, account: AccountId, now: Timestamp) -> bool {
        let until = self.looked().accounts.get(&account).copied();
        let has = until.is_some_and(|until| until > now);
        if until.is_some() && !has {
            self.look_at(account, Timestamp(0), now);
        }
        has
    }

    /// A request was accepted.
    pub fn accepted(&self, account: AccountId, request: &str, messages: usize, trace: Option<&str>, clock: &dyn Clock) {
        if self.any() && self.has(account, clock.now()) {
            let request_id = trace.unwrap_or("-");
            tracing::info!(target: "bongsu::steps", step = "accept", %account, request, messages, request_id, "step");
        }
    }

    /// Messages were claimed and go to their relays.
    pub fn departed(&self, flights: &[Flight], relays: &Relays, now: Timestamp) {
        if !self.any() {
            return;
        }
        for flight in flights.iter().filter(|flight| self.has(flight.account, now)) {
            let mut looked = self.looked();
            if looked.messages.len() < MESSAGES_MAX {
                looked.messages.insert(flight.id, flight.account);
            }
            drop(looked);
            let (account, message_id, attempt) = (flight.account, MessageId(flight.id), flight.attempt);
            let relay = relays.name(flight.relay);
            tracing::info!(target: "bongsu::steps", step = "claim", %account, %message_id, attempt, relay, "step");
        }
    }

    /// Results are about to be written.
    pub fn changed(&self, changes: &[Change], relays: &Relays) {
        if !self.any() {
            return;
        }
        for change in changes {
            self.change(change, relays);
        }
    }

    fn change(&self, change: &Change, relays: &Relays) {
        let of = |id: i64| self.looked().messages.get(&id).copied();
        match change {
            Change::Attempt(done) => {
                let Some(account) = of(done.id) else { return };
                let (message_id, attempt) = (MessageId(done.id), done.attempt);
                let (relay, code) = (relays.name(done.relay), done.code.as_str());
                if done.submitted.is_some() {
                    tracing::info!(target: "bongsu::steps", step = "submit", %account, %message_id, attempt, relay, "step");
                }
                let outcome = done.outcome.as_str();
                tracing::info!(target: "bongsu::steps", step = "response", %account, %message_id, attempt, relay, code, outcome, "step");
            }
            Change::Receipt(receipt) => {
                let Some(account) = of(receipt.id) else { return };
                let (message_id, attempt, part) = (MessageId(receipt.id), receipt.attempt, receipt.part);
                tracing::info!(target: "bongsu::steps", step = "receipt", %account, %message_id, attempt, part, "step");
            }
            Change::Final(end) => {
                let Some(account) = of(end.id) else { return };
                self.looked().messages.remove(&end.id);
                let (message_id, attempt) = (MessageId(end.id), end.attempt);
                let (status, code) = (end.status.as_str(), end.code.as_str());
                tracing::info!(target: "bongsu::steps", step = "final", %account, %message_id, attempt, status, code, "step");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_looked_at_until_its_time_and_no_more_than_so_many() {
        let steps = Steps::default();
        let (one, now) = (AccountId(1), Timestamp::from_secs(1_000));
        let later = now.plus(Duration::from_secs(60));
        assert!(!steps.any() && !steps.has(one, now));
        assert!(steps.look_at(one, later, now));
        assert!(steps.any() && steps.has(one, now) && !steps.has(AccountId(2), now));
        assert!(!steps.has(one, later) && !steps.any(), "it ends by itself");
        for account in 0..ACCOUNTS_MAX as i64 {
            assert!(steps.look_at(AccountId(account), later, now));
        }
        assert!(!steps.look_at(AccountId(1_000), later, now));
        assert!(steps.look_at(AccountId(3), now, now) && !steps.has(AccountId(3), now), "taken off");
        assert!(steps.look_at(AccountId(1_000), later, now));
    }
}
