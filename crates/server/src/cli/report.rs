//! What the demo shows at its end: relays against the ratio, statuses, rates, latency and points.

use std::collections::BTreeMap;

use bongsu_domain::{Billing, Code, Timestamp};
use serde_json::{Value, json};

use crate::table::table;

/// What the demo knows besides the messages.
pub(super) struct Facts {
    pub(super) with_failures: bool,
    pub(super) rows: u64,
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    /// From the first request to the last 202.
    pub(super) accept_seconds: f64,
    /// From the first request to the last result.
    pub(super) seconds: f64,
    /// Relay and target share in percent.
    pub(super) shares: Vec<(String, u64)>,
    /// Balances before, by unit.
    pub(super) balances: Value,
}

/// The counts of one run.
pub(super) struct Report {
    facts: Facts,
    finals: u64,
    open: u64,
    first_attempts: BTreeMap<String, u64>,
    statuses: BTreeMap<String, u64>,
    codes: BTreeMap<String, u64>,
    origin: BTreeMap<String, u64>,
    /// Milliseconds from accept to the final result, ascending.
    latencies: Vec<u64>,
    /// Seconds from the first accept to the last result, by the server's clock.
    final_seconds: f64,
    unit: String,
    used: i64,
    refunded: i64,
    /// Balance before and after.
    balance: (i64, i64),
}

impl Report {
    /// Counts the messages.
    pub(super) fn of(facts: Facts, messages: &[Value]) -> Self {
        let unit =
            messages.first().and_then(|message| message["price"]["unit"].as_str()).unwrap_or("point:sms").to_owned();
        let before = facts.balances[&unit].as_i64().unwrap_or_default();
        let mut report = Self {
            facts,
            finals: 0,
            open: 0,
            first_attempts: BTreeMap::new(),
            statuses: BTreeMap::new(),
            codes: BTreeMap::new(),
            origin: BTreeMap::new(),
            latencies: Vec::new(),
            final_seconds: 0.0,
            unit,
            used: 0,
            refunded: 0,
            balance: (before, before),
        };
        let (mut first, mut last) = (i64::MAX, i64::MIN);
        for message in messages {
            report.count(message);
            let time = |name: &str| message[name].as_str().and_then(Timestamp::parse_rfc3339).map(Timestamp::millis);
            if let (Some(accepted), Some(ended)) = (time("acceptedAt"), time("finalAt")) {
                report.latencies.push(u64::try_from(ended - accepted).unwrap_or_default());
                (first, last) = (first.min(accepted), last.max(ended));
            }
        }
        report.latencies.sort_unstable();
        report.final_seconds = if last > first { (last - first) as f64 / 1000.0 } else { 0.0 };
        report
    }

    fn count(&mut self, message: &Value) {
        let text = |name: &str| message[name].as_str().unwrap_or("–").to_owned();
        *self.statuses.entry(text("status")).or_default() += 1;
        *self.origin.entry(text("originStatus")).or_default() += 1;
        if let Some(relay) = message["attempts"][0]["relay"].as_str() {
            *self.first_attempts.entry(relay.to_owned()).or_default() += 1;
        }
        let amount = message["price"]["amount"].as_i64().unwrap_or_default();
        self.used += amount;
        if message["finalAt"].is_null() {
            self.open += 1;
            return;
        }
        self.finals += 1;
        *self.codes.entry(text("code")).or_default() += 1;
        let code = message["code"].as_str().and_then(|code| code.parse::<Code>().ok());
        // Without a word in the contract a code that it decides gives the charge back.
        if code.is_some_and(|code| code.billing() != Billing::Billable) {
            self.refunded += amount;
        }
    }

    /// Takes the balances after the run.
    pub(super) fn close(&mut self, balances: Value) {
        self.balance.1 = balances[&self.unit].as_i64().unwrap_or_default();
    }

    /// Whether the balance changed by exactly what was used and not refunded.
    pub(super) fn adds_up(&self) -> bool {
        self.balance.0 - self.balance.1 == self.used - self.refunded
    }

    /// Whether everything accepted is final and the points add up.
    pub(super) fn is_complete(&self) -> bool {
        self.open == 0 && self.finals == self.facts.accepted && self.adds_up()
    }

    fn relays(&self) -> Vec<(&str, u64, f64, u64, f64)> {
        let mut names: Vec<&str> = self.facts.shares.iter().map(|(relay, _)| relay.as_str()).collect();
        names.extend(
            self.first_attempts.keys().map(String::as_str).filter(|name| !names.contains(name)).collect::<Vec<_>>(),
        );
        let total: u64 = self.first_attempts.values().sum();
        let row = |name| {
            let count = self.first_attempts.get(name).copied().unwrap_or_default();
            let target = self.facts.shares.iter().find(|(relay, _)| relay == name).map_or(0, |(_, share)| *share);
            let share = if total == 0 { 0.0 } else { count as f64 * 100.0 / total as f64 };
            (name, count, share, target, count as f64 - total as f64 * target as f64 / 100.0)
        };
        let mut rows: Vec<_> = names.into_iter().map(row).collect();
        rows.sort_by_key(|(_, _, _, target, _)| std::cmp::Reverse(*target));
        rows
    }

    fn rate(count: u64, seconds: f64) -> f64 {
        if seconds > 0.0 { (count as f64 / seconds * 10.0).round() / 10.0 } else { 0.0 }
    }

    /// The value that `percent` of all are not above.
    fn percentile(&self, percent: usize) -> u64 {
        let rank = (self.latencies.len() * percent).div_ceil(100).max(1);
        self.latencies.get(rank - 1).copied().unwrap_or_default()
    }

    /// The one document of `--json`.
    pub(super) fn json(&self) -> Value {
        let relays: Vec<Value> = self
            .relays()
            .into_iter()
            .map(|(relay, count, share, target, deviation)| {
                json!({ "relay": relay, "firstAttempts": count, "share": share, "target": target, "deviation": deviation })
            })
            .collect();
        json!({
            "withFailures": self.facts.with_failures,
            "rows": self.facts.rows,
            "accepted": self.facts.accepted,
            "rejected": self.facts.rejected,
            "final": self.finals,
            "open": self.open,
            "relays": relays,
            "statuses": self.statuses,
            "originStatuses": self.origin,
            "codes": self.codes,
            "acceptPerS": Self::rate(self.facts.accepted, self.facts.accept_seconds),
            "finalPerS": Self::rate(self.finals, self.final_seconds),
            "acceptToFinalMs": { "p50": self.percentile(50), "p99": self.percentile(99), "max": self.percentile(100) },
            "points": {
                "unit": self.unit,
                "before": self.balance.0,
                "after": self.balance.1,
                "used": self.used,
                "refunded": self.refunded,
                "net": self.balance.0 - self.balance.1,
                "addUp": self.adds_up(),
            },
            "seconds": (self.facts.seconds * 1000.0).round() / 1000.0,
        })
    }

    /// The tables for people.
    pub(super) fn text(&self) -> String {
        let relays: Vec<Vec<String>> = self
            .relays()
            .into_iter()
            .map(|(relay, count, share, target, deviation)| {
                vec![
                    relay.to_owned(),
                    count.to_string(),
                    format!("{share:.2} %"),
                    format!("{target} %"),
                    format!("{deviation:+.1}"),
                ]
            })
            .collect();
        let count = |counts: &BTreeMap<String, u64>| -> Vec<Vec<String>> {
            counts.iter().map(|(name, count)| vec![name.clone(), count.to_string()]).collect()
        };
        let codes: Vec<Vec<String>> = self
            .codes
            .iter()
            .map(|(code, count)| {
                let known = code.parse::<Code>();
                vec![code.clone(), known.map_or("", |code| code.title_en()).to_owned(), count.to_string()]
            })
            .collect();
        let points = vec![vec![
            self.unit.clone(),
            self.balance.0.to_string(),
            self.used.to_string(),
            self.refunded.to_string(),
            (self.balance.0 - self.balance.1).to_string(),
            self.balance.1.to_string(),
            if self.adds_up() { "adds up" } else { "DOES NOT ADD UP" }.to_owned(),
        ]];
        [
            format!(
                "{} of {} final, {} rejected, in {:.1} s",
                self.finals, self.facts.accepted, self.facts.rejected, self.facts.seconds
            ),
            table(&["relay", "first attempts", "share", "target", "deviation"], &relays),
            table(&["status", "messages"], &count(&self.statuses)),
            table(&["origin status", "messages"], &count(&self.origin)),
            table(&["code", "meaning", "messages"], &codes),
            format!(
                "accepted {:.0}/s, final {:.0}/s, accept to final p50 {} ms, p99 {} ms",
                Self::rate(self.facts.accepted, self.facts.accept_seconds),
                Self::rate(self.finals, self.final_seconds),
                self.percentile(50),
                self.percentile(99),
            ),
            table(&["points", "before", "used", "refunded", "net", "after", ""], &points),
        ]
        .join("\n\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(relay: &str, code: &str, status: &str, millis: u32) -> Value {
        json!({
            "status": status, "originStatus": "SUCCESS", "code": code,
            "price": { "unit": "point:sms", "amount": 1 },
            "attempts": [{ "relay": relay }, { "relay": "lgu" }],
            "acceptedAt": "2025-03-01T09:00:00.000+09:00",
            "finalAt": format!("2025-03-01T09:00:00.{millis:03}+09:00"),
        })
    }

    fn facts() -> Facts {
        Facts {
            with_failures: true,
            rows: 4,
            accepted: 4,
            rejected: 0,
            accept_seconds: 0.5,
            seconds: 1.0,
            shares: vec![("kt".to_owned(), 75), ("skt".to_owned(), 25)],
            balances: json!({ "point:sms": 100 }),
        }
    }

    #[test]
    fn counts_first_attempts_refunds_and_latency() {
        let delivered = Code::OkDelivered.as_str();
        let unknown = Code::RecipientUnknown.as_str();
        let messages = [
            message("kt", delivered, "delivered", 10),
            message("kt", delivered, "delivered", 20),
            message("kt", unknown, "undelivered", 30),
            message("skt", delivered, "delivered", 400),
        ];
        let mut report = Report::of(facts(), &messages);
        report.close(json!({ "point:sms": 97 }));
        let json = report.json();
        assert!(report.is_complete(), "{json}");
        assert_eq!(
            json["relays"][0],
            json!({ "relay": "kt", "firstAttempts": 3, "share": 75.0, "target": 75, "deviation": 0.0 })
        );
        assert_eq!(json["points"]["refunded"], 1);
        assert_eq!(json["points"]["net"], 3);
        assert_eq!(json["acceptToFinalMs"], json!({ "p50": 20, "p99": 400, "max": 400 }));
        assert_eq!(json["finalPerS"], 10.0);
    }

    #[test]
    fn a_balance_that_changed_otherwise_does_not_add_up() {
        let mut report = Report::of(facts(), &[message("kt", Code::OkDelivered.as_str(), "delivered", 10)]);
        report.close(json!({ "point:sms": 98 }));
        assert!(!report.adds_up());
        assert!(report.text().contains("DOES NOT ADD UP"));
    }
}
