//! What the load generator counted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::percentile::Latency;

/// The JSON that `xtask loadgen` prints.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Messages that were offered.
    pub offered: u64,
    /// Messages that a 2xx acknowledged.
    pub accepted: u64,
    /// Requests that were not answered 2xx, or not at all.
    pub errors: u64,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Answers that were no 2xx, by status and code: `503 UM8004`.
    pub codes: BTreeMap<String, u64>,
    /// Connections that could not be made or broke before the answer.
    pub cuts: u64,
    /// Requests without an answer in time.
    pub silences: u64,
    /// Requests that were asked again, once or often.
    pub repeated: u64,
    /// Requests that were refused for good.
    pub refused: u64,
    /// Requests that were asked again until there was no sense in it.
    pub given_up: u64,
    /// The first answer or failure that was no 2xx.
    pub first_error: Option<String>,
    /// Time from the moment a request was due to its 2xx, milliseconds.
    pub accept: Option<Latency>,
    /// Seconds from the first request to the last answer.
    pub seconds: f64,
    /// CPU time of the generator, microseconds.
    pub cpu_us: u64,
    /// Ordinal that the next run may start with.
    pub next_ordinal: u64,
    /// True when the server went away.
    pub cut: bool,
}
