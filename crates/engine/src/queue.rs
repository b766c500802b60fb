//! The queue port and its in-process engine: it carries the names of runs, the truth stays in the store (design D1).

use std::collections::VecDeque;
use std::sync::Mutex;

use bongsu_domain::{AccountId, Lane};

/// Names one run that has waiting messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Lane of the run.
    pub lane: Lane,
    /// Its account.
    pub account: AccountId,
    /// Its first id.
    pub first: i64,
    /// Messages in it.
    pub count: u32,
}

/// Transport of run names between those who accept and those who dispatch.
///
/// Laws: a pulled record was published before; records of a lane come in the order they were published as far as they
/// come at all. A record may be lost, repeated or late: whoever pulls checks it against the store, and asks the store
/// when a lane has been silent.
pub trait Queue: Send + Sync {
    /// Offers records. Never blocks; what does not fit is dropped.
    fn publish(&self, records: &[Record]);

    /// Takes up to `max` records of a lane. Empty means nothing is there; it does not wait.
    fn pull(&self, lane: Lane, max: usize) -> Vec<Record>;
}

/// Records a lane holds; what is over it waits in the store.
pub const IN_PROCESS_MAX: usize = 10_000;

/// The queue of one process: a bounded window over the store.
#[derive(Debug, Default)]
pub struct InProcess {
    lanes: [Mutex<VecDeque<Record>>; 4],
}

impl InProcess {
    fn lane(&self, lane: Lane) -> std::sync::MutexGuard<'_, VecDeque<Record>> {
        self.lanes[lane as usize].lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Queue for InProcess {
    fn publish(&self, records: &[Record]) {
        for record in records {
            let mut lane = self.lane(record.lane);
            if lane.len() < IN_PROCESS_MAX {
                lane.push_back(*record);
            }
        }
    }

    fn pull(&self, lane: Lane, max: usize) -> Vec<Record> {
        let mut waiting = self.lane(lane);
        let count = waiting.len().min(max);
        waiting.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(lane: Lane, first: i64) -> Record {
        Record { lane, account: AccountId(1), first, count: 1 }
    }

    #[test]
    fn records_come_in_order_within_a_lane() {
        let queue = InProcess::default();
        queue.publish(&[record(Lane::Bulk, 1), record(Lane::Auth, 2), record(Lane::Bulk, 3)]);
        let firsts: Vec<i64> = queue.pull(Lane::Bulk, 10).iter().map(|r| r.first).collect();
        assert_eq!(firsts, [1, 3]);
        assert_eq!(queue.pull(Lane::Auth, 10).len(), 1);
        assert!(queue.pull(Lane::Auth, 10).is_empty());
    }

    #[test]
    fn a_full_lane_drops_and_leaves_the_others_alone() {
        let queue = InProcess::default();
        let many: Vec<Record> = (0..IN_PROCESS_MAX as i64 + 5).map(|first| record(Lane::Ad, first)).collect();
        queue.publish(&many);
        queue.publish(&[record(Lane::Auth, 7)]);
        assert_eq!(queue.pull(Lane::Ad, usize::MAX).len(), IN_PROCESS_MAX);
        assert_eq!(queue.pull(Lane::Auth, 1).len(), 1);
    }
}
