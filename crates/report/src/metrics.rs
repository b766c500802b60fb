//! What the calls came to, in the words of the metrics page.

use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bongsu_domain::Timestamp;

/// Counters of one process; those of the line are of all.
#[derive(Debug, Default)]
pub struct Metrics {
    pub(crate) delivered: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) exhausted: AtomicU64,
    pub(crate) disabled: AtomicU64,
    pub(crate) endpoints: AtomicU64,
    pub(crate) waiting: AtomicU64,
    /// µs since the Unix epoch; 0: none.
    pub(crate) oldest: AtomicI64,
}

impl Metrics {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything as Prometheus text (exposition format 0.0.4).
    pub fn write(&self, out: &mut String, now: Timestamp) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let _ = writeln!(out, "# HELP bongsu_webhook_calls_total Calls to webhooks by outcome.");
        let _ = writeln!(out, "# TYPE bongsu_webhook_calls_total counter");
        for (outcome, count) in [("delivered", read(&self.delivered)), ("failed", read(&self.failed))] {
            let _ = writeln!(out, "bongsu_webhook_calls_total{{outcome=\"{outcome}\"}} {count}");
        }
        let oldest = self.oldest.load(Ordering::Relaxed);
        let age = if oldest > 0 { now.since(Timestamp(oldest)).as_secs() } else { 0 };
        for (name, kind, help, value) in [
            ("exhausted_total", "counter", "Deliveries of which every try failed.", read(&self.exhausted)),
            ("disabled_total", "counter", "Webhooks that answered 410 and get no more calls.", read(&self.disabled)),
            ("endpoints", "gauge", "Webhooks that this process calls.", read(&self.endpoints)),
            ("waiting", "gauge", "Events that wait at enabled webhooks, over all processes.", read(&self.waiting)),
            ("oldest_waiting_seconds", "gauge", "Age of the oldest of them.", age),
        ] {
            let _ = writeln!(out, "# HELP bongsu_webhook_{name} {help}\n# TYPE bongsu_webhook_{name} {kind}");
            let _ = writeln!(out, "bongsu_webhook_{name} {value}");
        }
    }
}
