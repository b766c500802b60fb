//! What was done with a whole batch, as it is shown.

use bongsu_domain::{RequestId, Timestamp};
use bongsu_send::Withdrawn;
use serde::Serialize;

use super::{Shown, Time};

/// A batch of which was canceled what had not left.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CanceledBatch {
    batch_id: Shown<RequestId>,
    canceled: u64,
    left: u64,
}

impl CanceledBatch {
    /// Shows what a cancel came to.
    pub fn new(id: RequestId, done: Withdrawn) -> Self {
        Self { batch_id: Shown(id), canceled: done.canceled, left: done.left }
    }
}

/// A batch that leaves at another time.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MovedBatch {
    batch_id: Shown<RequestId>,
    send_at: Time,
    messages: u64,
}

impl MovedBatch {
    /// Shows how many messages leave when.
    pub fn new(id: RequestId, send_at: Timestamp, messages: u64) -> Self {
        Self { batch_id: Shown(id), send_at: Time(send_at), messages }
    }
}
