//! Events and statistics as they are shown.

use std::collections::BTreeMap;

use bongsu_domain::{AccountId, Day, EventId, GroupId, MessageId, RequestId, Unit};
use bongsu_send::facts::{By, Money, StatsKey, Sums};
use bongsu_store::facts::{self, EventKind};
use serde::Serialize;

use super::{Shown, Time};

/// Something that happened.
#[derive(Debug, Serialize)]
pub struct Event {
    id: Shown<EventId>,
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: Time,
    account: Shown<AccountId>,
    data: EventData,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EventData {
    id: String,
    batch_id: Option<String>,
    status: &'static str,
    code: &'static str,
    code_name: &'static str,
    attempt: u8,
    relay: Option<String>,
    seq: u32,
}

impl Event {
    /// Shows an event; `relay` tells names of relays.
    pub fn new(event: &facts::Event, relay: &dyn Fn(u8) -> String) -> Self {
        let of_group = event.kind == EventKind::GroupFinished;
        let id = if of_group { GroupId(event.message).to_string() } else { MessageId(event.message).to_string() };
        Self {
            id: Shown(EventId(event.position)),
            kind: event.kind.as_str(),
            timestamp: Time(event.at),
            account: Shown(event.account),
            data: EventData {
                id,
                batch_id: (event.request != 0 && !of_group).then(|| RequestId(event.request).to_string()),
                status: event.status.as_str(),
                code: event.code.as_str(),
                code_name: event.code.name(),
                attempt: event.attempt,
                relay: event.relay.map(relay),
                seq: event.seq,
            },
        }
    }
}

/// Statistics.
#[derive(Debug, Serialize)]
pub struct Stats {
    from: String,
    to: String,
    by: Vec<&'static str>,
    items: Vec<StatsRow>,
    totals: StatsSums,
}

#[derive(Debug, Serialize)]
struct StatsRow {
    /// One member for each way of telling apart.
    #[serde(flatten)]
    key: BTreeMap<&'static str, Option<serde_json::Value>>,
    #[serde(flatten)]
    sums: StatsSums,
}

#[derive(Debug, Serialize)]
struct StatsSums {
    total: i64,
    success: i64,
    fail: i64,
    canceled: i64,
    open: i64,
    charged: BTreeMap<&'static str, i64>,
    refunded: BTreeMap<&'static str, i64>,
    net: BTreeMap<&'static str, i64>,
}

impl StatsSums {
    fn new(sums: &Sums) -> Self {
        let of = |part: fn(&Money) -> i64| -> BTreeMap<&'static str, i64> {
            sums.money.iter().map(|(unit, money): (&Unit, &Money)| (unit.as_str(), part(money))).collect()
        };
        Self {
            total: sums.total,
            success: sums.success,
            fail: sums.fail,
            canceled: sums.canceled,
            open: sums.open,
            charged: of(|money| money.charged),
            refunded: of(|money| money.refunded),
            net: of(|money| money.charged - money.refunded),
        }
    }
}

/// A day as it is written.
fn day(day: Day) -> String {
    let digits = day.0;
    format!("{:04}-{:02}-{:02}", digits / 10_000, digits / 100 % 100, digits % 100)
}

/// The word for messages that did not end yet.
const OPEN: &str = "open";

fn value(key: &StatsKey, by: By) -> Option<serde_json::Value> {
    let text = match by {
        By::Day => key.day.map(day),
        By::Account => key.account.map(|account| account.to_string()),
        By::Channel => key.channel.map(|channel| channel.as_str().to_owned()),
        By::Lane => key.lane.map(|lane| lane.as_str().to_owned()),
        By::Relay => key.relay.clone(),
        By::Label => {
            return key.label.as_ref().map(|(key, value)| serde_json::json!({"key": key, "value": value}));
        }
        By::Status => Some(key.status.map_or(OPEN, bongsu_domain::Status::as_str).to_owned()),
        By::BillCode => key.bill_code.clone(),
    };
    text.map(serde_json::Value::String)
}

impl Stats {
    /// Shows statistics of some days.
    pub fn new(from: Day, to: Day, by: &[By], stats: &bongsu_send::facts::Stats) -> Self {
        let row = |(key, sums): &(StatsKey, Sums)| StatsRow {
            key: by.iter().map(|by| (by.as_str(), value(key, *by))).collect(),
            sums: StatsSums::new(sums),
        };
        Self {
            from: day(from),
            to: day(to),
            by: by.iter().map(|by| by.as_str()).collect(),
            items: stats.rows.iter().map(row).collect(),
            totals: StatsSums::new(&stats.totals),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_about_events_has_every_kind() {
        let page = include_str!("../../../../docs/events.md");
        for kind in EventKind::ALL {
            let row = format!("| `{}` | {} |", kind.as_str(), kind.about());
            assert!(page.contains(&row), "{row}");
        }
        for by in By::ALL {
            assert!(page.contains(&format!("`{}`", by.as_str())), "{by:?}");
        }
    }
}
