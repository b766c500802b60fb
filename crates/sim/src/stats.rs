//! What a relay counted.

use serde::Serialize;

use crate::seen::Duplicate;

/// Counters of one relay since the simulator started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayStats {
    /// Messages that arrived, whatever the answer: a long one counts with its first part.
    pub submits: u64,
    /// `submit_sm` that arrived, whatever the answer.
    pub parts: u64,
    /// `submit_sm` that were taken.
    pub taken: u64,
    /// `submit_sm` answered `ESME_RTHROTTLED`, or `ESME_RMSGQFUL` because too many receipts waited.
    pub throttled: u64,
    /// `submit_sm` refused with any other status.
    pub refused: u64,
    /// Taken and never answered, by script, silence or a cut.
    pub unanswered: u64,
    /// Receipts written, those sent again included.
    pub receipts: u64,
    /// Receipts acknowledged with `ESME_ROK`.
    pub receipts_acked: u64,
    /// Receipts that wait for their time, a client or an acknowledgement.
    pub receipts_waiting: u64,
    /// Receipts dropped because too many waited.
    pub receipts_dropped: u64,
    /// Binds accepted so far.
    pub binds: u64,
    /// Sessions bound now.
    pub bound: u64,
    /// The most sessions that one system id ever had at once.
    pub most_binds: u64,
    /// Binds refused so far.
    pub binds_refused: u64,
    /// PDUs that could not be read.
    pub malformed: u64,
    /// Submits that found the memory for duplicates full; 0 means that `duplicates` is complete.
    pub forgotten: u64,
    /// The most `submit_sm` that arrived in any second, over all sessions.
    pub max_in_any_second: u64,
    /// [`max_in_any_second`](Self::max_in_any_second) under its second name.
    pub most_in_a_second: u64,
    /// `submit_sm` whose arrival made a second hold more than `rateLimitPerS`.
    pub over_rate: u64,
    /// By how many `submit_sm` the fullest second was beyond `rateLimitPerS`.
    pub worst_excess: u64,
    /// Submits taken twice.
    pub duplicates: Vec<Duplicate>,
}
