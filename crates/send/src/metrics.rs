//! Counters and histograms of the pipeline, in the words of the metrics page.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bongsu_domain::{Channel, Lane, Status, Timestamp};

use crate::flights::Flight;

/// Upper bounds of the latency histograms, in milliseconds.
pub const BOUNDS_MS: [u64; 24] = [
    1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000,
    300_000,
];

/// A histogram of milliseconds.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS_MS.len() + 1],
    sum_ms: AtomicU64,
}

impl Histogram {
    fn observe(&self, ms: i64) {
        let ms = ms.max(0).unsigned_abs();
        self.buckets[BOUNDS_MS.partition_point(|bound| *bound < ms)].fetch_add(1, Ordering::Relaxed);
        self.sum_ms.fetch_add(ms, Ordering::Relaxed);
    }

    fn write(&self, out: &mut String, name: &str, labels: &str) {
        let mut total = 0;
        let comma = if labels.is_empty() { "" } else { "," };
        for (at, bucket) in self.buckets.iter().enumerate() {
            total += bucket.load(Ordering::Relaxed);
            let bound = BOUNDS_MS.get(at).map_or("+Inf".to_string(), |ms| format!("{}", *ms as f64 / 1_000.0));
            let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {total}");
        }
        let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _ = writeln!(out, "{name}_sum{braces} {}", self.sum_ms.load(Ordering::Relaxed) as f64 / 1_000.0);
        let _ = writeln!(out, "{name}_count{braces} {total}");
    }
}

/// A message that became final.
#[derive(Debug, Clone, Copy)]
pub struct Finished {
    /// Since when it could leave, Unix milliseconds.
    pub since: i64,
    /// Its lane.
    pub lane: Lane,
    /// Its channel.
    pub channel: Channel,
    /// Number of the relay that decided it.
    pub relay: u8,
    /// How.
    pub status: Status,
    /// When.
    pub at: Timestamp,
}

/// What the pipeline counted.
#[derive(Debug, Default)]
pub struct SendMetrics {
    accepted: Mutex<BTreeMap<(Channel, Lane), u64>>,
    finals: Mutex<BTreeMap<(Channel, Lane, u8, Status), u64>>,
    to_submit: [Histogram; 4],
    to_final: Histogram,
    spilled: AtomicU64,
    late: AtomicU64,
}

impl SendMetrics {
    /// Messages were accepted.
    pub fn accepted(&self, channel: Channel, lane: Lane, count: u64) {
        *self.accepted.lock().unwrap_or_else(std::sync::PoisonError::into_inner).entry((channel, lane)).or_default() +=
            count;
    }

    pub(crate) fn submitted(&self, flight: &Flight, written: Timestamp) {
        if flight.attempt == 1 {
            self.to_submit[flight.lane as usize].observe(written.millis() - flight.since);
        }
    }

    pub(crate) fn finished(&self, finished: &Finished, first: bool) {
        if !first {
            self.late.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let key = (finished.channel, finished.lane, finished.relay, finished.status);
        *self.finals.lock().unwrap_or_else(std::sync::PoisonError::into_inner).entry(key).or_default() += 1;
        self.to_final.observe(finished.at.millis() - finished.since);
    }

    pub(crate) fn spilled(&self) {
        self.spilled.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything as Prometheus text (exposition format 0.0.4).
    pub fn write(&self, out: &mut String, relay_name: impl Fn(u8) -> String) {
        head(out, "bongsu_accepted_total", "counter", "Messages accepted.");
        for ((channel, lane), count) in self.accepted.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter() {
            let _ = writeln!(
                out,
                "bongsu_accepted_total{{channel=\"{}\",lane=\"{}\"}} {count}",
                channel.as_str(),
                lane.as_str()
            );
        }
        head(out, "bongsu_final_total", "counter", "Messages that became final.");
        for ((channel, lane, relay, status), count) in
            self.finals.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter()
        {
            let _ = writeln!(
                out,
                "bongsu_final_total{{channel=\"{}\",lane=\"{}\",relay=\"{}\",status=\"{}\"}} {count}",
                channel.as_str(),
                lane.as_str(),
                relay_name(*relay),
                status.as_str()
            );
        }
        head(
            out,
            "bongsu_accept_to_submit_seconds",
            "histogram",
            "From when a message could leave (accept, its time, the end of the night) to the first byte written to a relay.",
        );
        for lane in Lane::ALL {
            let labels = format!("lane=\"{}\"", lane.as_str());
            self.to_submit[lane as usize].write(out, "bongsu_accept_to_submit_seconds", &labels);
        }
        head(
            out,
            "bongsu_accept_to_final_seconds",
            "histogram",
            "From when a message could leave to the stored final result.",
        );
        self.to_final.write(out, "bongsu_accept_to_final_seconds", "");
        head(
            out,
            "bongsu_spilled_total",
            "counter",
            "Messages that took the next relay because theirs was at its limit.",
        );
        let _ = writeln!(out, "bongsu_spilled_total {}", self.spilled.load(Ordering::Relaxed));
        head(out, "bongsu_late_results_total", "counter", "Results that came after the final one.");
        let _ = writeln!(out, "bongsu_late_results_total {}", self.late.load(Ordering::Relaxed));
    }
}

/// The two comment lines before a metric.
pub fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}
