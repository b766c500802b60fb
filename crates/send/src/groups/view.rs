//! A group as it is shown, and counts of its messages that always add up.

use bongsu_domain::{AccountId, Code, GroupId, Status, Timestamp, Unit};
use bongsu_store::groups::{GroupRow, State};

/// A group.
#[derive(Debug, Clone)]
pub struct GroupView {
    /// Its id.
    pub id: GroupId,
    /// Whose.
    pub account: AccountId,
    /// What its owner calls it.
    pub name: Option<String>,
    /// `staging`, `waiting_approval`, `scheduled`, `sending`, `finished`, `canceled`, `expired`.
    pub state: &'static str,
    /// Another key has to approve it.
    pub approval: bool,
    /// Rows that came.
    pub rows: u32,
    /// Of them accepted.
    pub accepted: u32,
    /// Of them refused.
    pub rejected: u32,
    /// Unit of the charge.
    pub unit: Unit,
    /// What it costs, or cost when it was sent.
    pub amount: i64,
    /// When it is to be sent.
    pub send_at: Option<Timestamp>,
    /// When it was sent.
    pub sent_at: Option<Timestamp>,
    /// When the last message had its final result, or when it ended unsent.
    pub finished_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Messages that a cancel kept from leaving, and those that had left; of a canceled group only.
    pub canceled: Option<(u32, u32)>,
    /// An upload with an Idempotency-Key is not complete.
    pub is_uploading: bool,
    /// Messages by status, once it is sent.
    pub counts: Option<Counts>,
}

impl GroupView {
    pub(crate) fn new(row: &GroupRow, now: Timestamp, counts: Option<Counts>) -> Self {
        let time = |ms: i64| (ms > 0).then(|| Timestamp::from_millis(ms));
        Self {
            id: row.group(),
            account: row.account,
            name: row.name.clone(),
            state: row.state_at(now.millis()).as_str(),
            approval: row.approval,
            rows: row.received,
            accepted: row.accepted,
            rejected: row.rejected,
            unit: row.unit.unwrap_or(Unit::PointSms),
            amount: row.amount,
            send_at: time(row.send_at),
            sent_at: time(row.sent),
            finished_at: time(row.finished),
            created_at: row.group().time(),
            canceled: (row.state == State::Canceled).then(|| (row.canceled, row.accepted.saturating_sub(row.canceled))),
            is_uploading: row.upload != 0,
            counts,
        }
    }
}

/// How many messages of a request stand where. They add up to `total`, whenever they are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Messages of the request.
    pub total: u64,
    /// Those in each status, without those that wait for their turn.
    pub by_status: Vec<(Status, u64)>,
}

impl Counts {
    /// From what is recorded of a request.
    pub(crate) fn new(total: u64, recorded: Vec<(Status, u64)>) -> Self {
        let mut counts = Self { total, by_status: Vec::new() };
        let mut left = total;
        // Final ones first: where a reading caught a message on its way from one row to another, that is the truer one.
        let mut recorded = recorded;
        recorded.sort_by_key(|(status, _)| std::cmp::Reverse(*status));
        for (status, count) in recorded {
            let count = count.min(left);
            if count > 0 && !matches!(status, Status::Queued | Status::Held | Status::Scheduled) {
                left -= count;
                counts.by_status.push((status, count));
            }
        }
        counts.by_status.sort_by_key(|(status, _)| *status);
        counts
    }

    /// Messages that wait for their turn.
    pub fn waiting(&self) -> u64 {
        self.total - self.by_status.iter().map(|(_, count)| count).sum::<u64>()
    }

    /// Messages with a final result.
    pub fn ended(&self) -> u64 {
        self.by_status.iter().filter(|(status, _)| status.is_final()).map(|(_, count)| count).sum()
    }

    /// Whether every message has its final result.
    pub fn is_over(&self) -> bool {
        self.ended() == self.total
    }
}

/// What is wrong with a row.
#[derive(Debug, Clone)]
pub struct RowErrorView {
    /// Its number, from 1.
    pub row: u32,
    /// What kind of wrong.
    pub code: Code,
    /// The field.
    pub field: String,
    /// A sentence for people.
    pub detail: String,
    /// The row's client reference.
    pub client_ref: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_whatever_was_recorded() {
        let counts = Counts::new(10, vec![(Status::Submitted, 4), (Status::Delivered, 3), (Status::Queued, 9)]);
        assert_eq!((counts.waiting(), counts.ended(), counts.is_over()), (3, 3, false));
        // Read while messages moved on: some are counted in both rows.
        let torn = Counts::new(10, vec![(Status::Submitted, 4), (Status::Delivered, 9)]);
        assert_eq!(torn.by_status, [(Status::Submitted, 1), (Status::Delivered, 9)]);
        assert_eq!(torn.waiting(), 0);
        let over = Counts::new(2, vec![(Status::Delivered, 1), (Status::Failed, 1)]);
        assert!(over.is_over());
        assert!(Counts::new(0, Vec::new()).is_over());
    }
}
