//! Views: the JSON shapes of answers. A rename inside must not change them, so no room below knows of them.

mod access;
mod admin;
mod batch;
mod facts;
mod group;
mod message;
mod validation;
mod webhook;
mod why;

use std::fmt::Display;

use bongsu_domain::Timestamp;
use serde::{Serialize, Serializer};

pub use access::{Audited, TeamNumber, number, parse_number};
pub use admin::{
    Account, ChannelPrice, Checked, Coded, CreatedKey, Distribution, Entry, Key, Live, Ready, Relay, RelayHealth,
    Sender, Totals, Wallet,
};
pub use batch::{CanceledBatch, MovedBatch};
pub use facts::{Event, Stats};
pub use group::{Group, Progress, RowError, UploadCounts, Uploaded};
pub use message::{Message, Parked, Unknown};
pub use validation::Validation;
pub use webhook::{Delivery, SecretWebhook, Trial, Webhook};
pub use why::{trace, traced, why};

/// One page of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Give it back as `cursor`; null at the end.
    pub next_cursor: Option<String>,
}

/// Where the next page of a list goes on: after its last row, if the page is full.
pub fn next_cursor<R, C: Display>(rows: &[R], limit: u32, cursor: impl Fn(&R) -> C) -> Option<String> {
    let is_full = rows.len() >= limit as usize;
    rows.last().filter(|_| is_full).map(|row| cursor(row).to_string())
}

/// A time as RFC 3339 with the Korean offset.
#[derive(Debug, Clone, Copy)]
pub struct Time(pub Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.rfc3339())
    }
}

/// Anything that is shown as its words.
#[derive(Debug, Clone, Copy)]
pub struct Shown<T>(pub T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_page_has_a_next_one() {
        assert_eq!(next_cursor(&[1, 2], 2, |row| *row), Some("2".to_owned()));
        assert_eq!(next_cursor(&[1], 2, |row| *row), None);
        assert_eq!(next_cursor(&[] as &[i32], 2, |row| *row), None);
    }

    #[test]
    fn times_have_the_korean_offset() {
        let json = serde_json::to_string(&Time(Timestamp::from_millis(1_795_132_800_123))).expect("a string");
        assert_eq!(json, "\"2026-11-20T09:00:00.123+09:00\"");
    }
}
