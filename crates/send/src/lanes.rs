//! What waits, as far as memory holds it: a window of runs for each account of a lane, in turns.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use bongsu_domain::{AccountId, Lane};
use bongsu_engine::queue::Record;
use bongsu_store::claims::Due;
use bongsu_store::rows::Run;

use crate::outgoing::Ready;

/// Runs an account has in memory; the rest waits in the store.
pub const RUNS_MAX: usize = 24;
/// Accounts of a lane in memory.
pub const ACCOUNTS_MAX: usize = 2_000;

/// One account's turn in a lane.
#[derive(Default)]
pub struct Turn {
    /// Its oldest runs.
    pub runs: VecDeque<Run>,
    /// The store has more runs than fit.
    pub more: bool,
    /// Rows of the first run that were read and could not leave yet.
    pub ready: VecDeque<Ready>,
}

/// One lane.
#[derive(Default)]
pub struct LaneState {
    /// Accounts with something to send, in turns.
    ring: VecDeque<AccountId>,
    turns: HashMap<AccountId, Turn>,
    /// Runs of this lane that are in memory or being claimed, so that a refill does not take them twice.
    known: HashSet<i64>,
    /// Messages that fell due.
    pub due: VecDeque<Due>,
    /// The store has accounts that did not fit.
    pub more_accounts: bool,
}

impl LaneState {
    /// A run that was just accepted.
    pub fn offer(&mut self, record: &Record) {
        let run = Run {
            first: record.first,
            count: record.count,
            next: 0,
            generation: 0,
            lane: record.lane,
            account: record.account,
            request: 0,
            send_at: 0,
            held: false,
        };
        self.add(run);
    }

    /// A run that the store says is waiting.
    pub fn add(&mut self, run: Run) {
        if self.known.contains(&run.first) {
            return;
        }
        if !self.turns.contains_key(&run.account) {
            if self.turns.len() >= ACCOUNTS_MAX {
                self.more_accounts = true;
                return;
            }
            self.ring.push_back(run.account);
        }
        let turn = self.turns.entry(run.account).or_default();
        if turn.runs.len() >= RUNS_MAX {
            turn.more = true;
            return;
        }
        self.known.insert(run.first);
        turn.runs.push_back(run);
    }

    /// The account whose turn it is, and the next one's after it.
    pub fn rotate(&mut self) -> Option<AccountId> {
        let account = self.ring.pop_front()?;
        self.ring.push_back(account);
        Some(account)
    }

    /// Accounts in the ring.
    pub fn accounts(&self) -> usize {
        self.ring.len()
    }

    /// The turn of an account.
    pub fn turn(&mut self, account: AccountId) -> Option<&mut Turn> {
        self.turns.get_mut(&account)
    }

    /// The first run of an account is used up, or another reading is needed: it leaves memory.
    pub fn drop_run(&mut self, account: AccountId) {
        if let Some(turn) = self.turns.get_mut(&account) {
            turn.runs.pop_front();
            turn.ready.clear();
        }
    }

    /// A run is claimed to its end, or the claim failed: a refill may see it again.
    pub fn forget(&mut self, first: i64) {
        self.known.remove(&first);
    }

    /// Runs in memory or being claimed.
    pub fn known(&self) -> usize {
        self.known.len()
    }

    /// Puts an account out of the ring when it has nothing left.
    pub fn retire(&mut self, account: AccountId) {
        if self.turns.get(&account).is_some_and(|turn| turn.runs.is_empty() && !turn.more) {
            self.turns.remove(&account);
            self.ring.retain(|a| *a != account);
        }
    }

    /// Rows held in memory.
    pub fn ready(&self) -> usize {
        self.turns.values().map(|turn| turn.ready.len()).sum()
    }

    /// Lets go of rows that were read ahead; they are read again.
    pub fn drop_ready(&mut self) {
        for turn in self.turns.values_mut() {
            turn.ready.clear();
        }
    }

    /// Whether nothing is in memory.
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty() && self.due.is_empty()
    }
}

/// All lanes, the most urgent first.
#[derive(Default)]
pub struct Lanes {
    lanes: BTreeMap<Lane, LaneState>,
}

impl Lanes {
    /// One lane.
    pub fn get(&mut self, lane: Lane) -> &mut LaneState {
        self.lanes.entry(lane).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(account: i64, first: i64) -> Record {
        Record { lane: Lane::Bulk, account: AccountId(account), first, count: 1 }
    }

    #[test]
    fn accounts_take_turns() {
        let mut lane = LaneState::default();
        for (account, first) in [(1, 10), (2, 20), (1, 11), (3, 30)] {
            lane.offer(&record(account, first));
        }
        let order: Vec<i64> = (0..6).filter_map(|_| lane.rotate()).map(|a| a.0).collect();
        assert_eq!(order, [1, 2, 3, 1, 2, 3]);
    }

    #[test]
    fn what_does_not_fit_is_noted_and_nothing_is_taken_twice() {
        let mut lane = LaneState::default();
        for first in 0..RUNS_MAX as i64 + 3 {
            lane.offer(&record(1, first));
            lane.offer(&record(1, first));
        }
        let turn = lane.turn(AccountId(1)).unwrap();
        assert_eq!(turn.runs.len(), RUNS_MAX);
        assert!(turn.more);
    }
}
