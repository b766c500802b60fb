//! The machine's clock; every other room is given a [`Clock`] and never asks the machine.

use std::time::{SystemTime, UNIX_EPOCH};

use bongsu_domain::{Clock, Timestamp};

/// Wall time of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // The one place where the machine is asked.
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}
