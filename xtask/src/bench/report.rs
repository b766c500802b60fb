//! The JSON of a measurement.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Mode, Options};
use crate::build;
use crate::percentile::Latency;

/// CPU time per message of the three processes, microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CpuUs {
    pub server: f64,
    pub generator: f64,
    pub simulator: f64,
}

/// Memory of the server, MiB.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RssMib {
    pub idle: Option<f64>,
    pub start: Option<f64>,
    pub peak: Option<f64>,
    pub end: Option<f64>,
    pub waiting10k: Option<f64>,
    pub waiting1m: Option<f64>,
}

/// What the server says about time, milliseconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Latencies {
    pub accept: Option<Latency>,
    pub accept_to_submit: BTreeMap<&'static str, Option<Latency>>,
    pub accept_to_final: Option<Latency>,
}

/// A measurement; what its mode cannot fill stays empty and becomes null.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub mode: Mode,
    pub conditions: Value,
    pub offered_per_s: Option<f64>,
    pub accepted: Option<u64>,
    pub finals: Option<u64>,
    pub lost: Option<i64>,
    pub duplicates: Option<u64>,
    pub final_per_s: Option<f64>,
    pub accept_per_s: Option<f64>,
    pub cpu: Option<CpuUs>,
    pub commits_per_s: Option<f64>,
    pub row_writes: Option<f64>,
    pub wal_bytes: Option<f64>,
    pub disk_bytes: Option<f64>,
    pub latency: Latencies,
    pub search: Option<Value>,
    pub rss: RssMib,
    pub start_ms: Option<u64>,
    pub recovery_ms: Option<u64>,
    pub measured_seconds: Option<f64>,
    pub shares: BTreeMap<String, f64>,
    pub errors: Option<Value>,
    /// What only a cluster tells.
    pub cluster: Option<Value>,
}

impl Report {
    /// Nothing measured yet.
    pub fn new(options: &Options, relay_rate: u32, ratio: &Value) -> Self {
        Self {
            mode: options.mode,
            conditions: json!({
                "history": options.history,
                "durability": "SQLite WAL, synchronous=FULL",
                "relays": ratio.as_object().map_or(0, Map::len),
                "window": options.window,
                "latencyMs": options.latency_ms,
                "ratio": ratio,
                "leftOver": 0,
                "binds": options.binds,
                "relayRatePerS": relay_rate,
                "receiptDelayMs": options.delay_ms,
                "rowsPerRequest": options.rows,
                "template": options.template,
                "idempotency": options.idempotency,
                "pinned": "nothing; the three processes share all cores",
            }),
            offered_per_s: None,
            accepted: None,
            finals: None,
            lost: None,
            duplicates: None,
            final_per_s: None,
            accept_per_s: None,
            cpu: None,
            commits_per_s: None,
            row_writes: None,
            wal_bytes: None,
            disk_bytes: None,
            latency: Latencies::default(),
            search: None,
            rss: RssMib::default(),
            start_ms: None,
            recovery_ms: None,
            measured_seconds: None,
            shares: BTreeMap::new(),
            errors: None,
            cluster: None,
        }
    }

    /// The document of `interfaces.md`.
    pub fn document(&self) -> Value {
        let lanes = ["auth", "realtime", "bulk", "ad"]
            .map(|lane| (lane.to_owned(), json!(self.latency.accept_to_submit.get(lane).copied().flatten())));
        json!({
            "bench": "send",
            "mode": self.mode,
            "commit": build::commit(),
            "cpu": cpu_model(),
            "conditions": self.conditions,
            "offeredPerS": rounded(self.offered_per_s),
            "accepted": self.accepted,
            "final": self.finals,
            "lost": self.lost,
            "duplicates": self.duplicates,
            "finalPerS": rounded(self.final_per_s),
            "acceptPerS": rounded(self.accept_per_s),
            "cpuUsPerMessage": self.cpu.map(|cpu| json!({
                "server": rounded(Some(cpu.server)),
                "generator": rounded(Some(cpu.generator)),
                "simulator": rounded(Some(cpu.simulator)),
            })),
            "commitsPerS": rounded(self.commits_per_s),
            "rowWritesPerMessage": rounded(self.row_writes),
            "walBytesPerMessage": rounded(self.wal_bytes),
            "diskBytesPerMessage": rounded(self.disk_bytes),
            "latencyMs": {
                "accept": self.latency.accept,
                "acceptToSubmit": Map::from_iter(lanes),
                "acceptToFinal": self.latency.accept_to_final,
            },
            "search": self.search,
            "rssMib": {
                "idle": rounded(self.rss.idle),
                "start": rounded(self.rss.start),
                "peak": rounded(self.rss.peak),
                "end": rounded(self.rss.end),
                "waiting10k": rounded(self.rss.waiting10k),
                "waiting1m": rounded(self.rss.waiting1m),
            },
            "startMs": self.start_ms,
            "recoveryMs": self.recovery_ms,
            "measuredSeconds": rounded(self.measured_seconds),
            "shares": if self.shares.is_empty() { Value::Null } else { json!(self.shares) },
            "errors": self.errors,
            "cluster": self.cluster,
        })
    }
}

/// Two decimals are more than any of these numbers deserves.
pub fn rounded(value: Option<f64>) -> Option<f64> {
    value.filter(|v| v.is_finite()).map(|v| (v * 100.0).round() / 100.0)
}

/// Model and number of the cores.
fn cpu_model() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        info.lines().find_map(|l| l.strip_prefix("model name")).map_or("unknown", |m| m.trim_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{model}, {cores} cores")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every field of `interfaces.md`, by path.
    const FIELDS: [&str; 35] = [
        "/bench",
        "/mode",
        "/commit",
        "/cpu",
        "/conditions/history",
        "/conditions/durability",
        "/conditions/relays",
        "/conditions/window",
        "/conditions/latencyMs",
        "/conditions/ratio",
        "/conditions/leftOver",
        "/offeredPerS",
        "/accepted",
        "/final",
        "/lost",
        "/duplicates",
        "/finalPerS",
        "/acceptPerS",
        "/cpuUsPerMessage",
        "/commitsPerS",
        "/rowWritesPerMessage",
        "/walBytesPerMessage",
        "/diskBytesPerMessage",
        "/latencyMs/accept",
        "/latencyMs/acceptToSubmit/auth",
        "/latencyMs/acceptToSubmit/ad",
        "/latencyMs/acceptToFinal",
        "/search",
        "/rssMib/idle",
        "/rssMib/waiting10k",
        "/rssMib/waiting1m",
        "/startMs",
        "/recoveryMs",
        "/measuredSeconds",
        "/shares",
    ];

    #[test]
    fn every_field_is_there_even_when_it_is_null() {
        let report = Report::new(&Options::of(Mode::AllDown), 1000, &json!({"kt": 70, "skt": 20, "lgu": 10}));
        let document = report.document();
        for field in FIELDS {
            assert!(document.pointer(field).is_some(), "{field}");
        }
        assert_eq!(document["mode"], "all-down");
        assert_eq!(document["conditions"]["relays"], 3);
        assert_eq!(document["finalPerS"], Value::Null);
    }

    #[test]
    fn numbers_are_rounded() {
        assert_eq!(rounded(Some(1.2345)), Some(1.23));
        assert_eq!(rounded(Some(f64::NAN)), None);
    }
}
