//! The metrics page of this process (names in `docs/operations.md`).

use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bongsu_domain::{Lane, Timestamp};
use bongsu_relay::Health;
use bongsu_store::COMMIT_BOUNDS_US;

use crate::metrics::head;
use crate::service::Service;

/// How long what a database counted is told again.
const COUNTED_FOR: Duration = Duration::from_secs(1);

/// What the store counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counted {
    at: Option<Timestamp>,
    waiting: Vec<(Lane, Timestamp)>,
    unknown: u64,
}

impl Service {
    /// All metrics as Prometheus text.
    pub async fn metrics(&self) -> String {
        let mut out = String::with_capacity(16 * 1024);
        self.shared.metrics.write(&mut out, |no| if no < 64 { self.shared.relays.name(no) } else { "none".into() });
        self.relays_page(&mut out);
        self.store_page(&mut out);
        self.backlog_page(&mut out).await;
        if let Some(write) = self.shared.more_metrics.get() {
            write(&mut out);
        }
        out
    }

    /// The links that this process has now, with the names of their relays.
    pub fn links(&self) -> Vec<(String, Health)> {
        self.shared.relays.all().iter().filter_map(|link| Some((link.name.clone(), link.health()?))).collect()
    }

    /// The name of a relay.
    pub fn relay_name(&self, no: u8) -> String {
        self.shared.relays.name(no)
    }

    fn relays_page(&self, out: &mut String) {
        let health = self.links();
        head(out, "bongsu_relay_up", "gauge", "1 while a relay has a usable bind.");
        for (name, health) in &health {
            let _ = writeln!(out, "bongsu_relay_up{{relay=\"{name}\"}} {}", u8::from(health.up));
        }
        head(out, "bongsu_relay_window_used", "gauge", "Parts written to a relay and not answered.");
        for (name, health) in &health {
            let _ = writeln!(out, "bongsu_relay_window_used{{relay=\"{name}\"}} {}", health.window_used);
        }
        head(out, "bongsu_relay_queued", "gauge", "Parts taken for a relay and not written.");
        for (name, health) in &health {
            let _ = writeln!(out, "bongsu_relay_queued{{relay=\"{name}\"}} {}", health.queued);
        }
    }

    fn store_page(&self, out: &mut String) {
        let metrics = self.shared.store.metrics();
        for (name, help, value) in [
            ("bongsu_commits_total", "Group commits.", &metrics.commits),
            ("bongsu_commit_rows", "Units in them.", &metrics.units),
            ("bongsu_row_writes_total", "Rows written by the message path.", &metrics.row_writes),
            ("bongsu_wal_bytes_total", "Bytes written to the logs.", &metrics.wal_bytes),
            ("bongsu_sweeper_found_total", "Runs that the regular path had left.", &metrics.sweeper_found),
        ] {
            head(out, name, "counter", help);
            let _ = writeln!(out, "{name} {}", value.load(Ordering::Relaxed));
        }
        head(out, "bongsu_wal_bytes", "gauge", "Bytes written to the logs since the start.");
        let _ = writeln!(out, "bongsu_wal_bytes {}", metrics.wal_bytes.load(Ordering::Relaxed));
        head(out, "bongsu_commit_seconds", "histogram", "Time of a group commit.");
        let mut total = 0;
        for (at, bucket) in metrics.commit_buckets.iter().enumerate() {
            total += bucket.load(Ordering::Relaxed);
            let bound = COMMIT_BOUNDS_US.get(at).map_or("+Inf".into(), |us| format!("{}", *us as f64 / 1e6));
            let _ = writeln!(out, "bongsu_commit_seconds_bucket{{le=\"{bound}\"}} {total}");
        }
        let _ = writeln!(out, "bongsu_commit_seconds_sum {}", metrics.commit_us.load(Ordering::Relaxed) as f64 / 1e6);
        let _ = writeln!(out, "bongsu_commit_seconds_count {total}");
    }

    /// What only the store knows; over a database asked once a second, however often the page is read.
    async fn counted(&self, now: Timestamp) -> Counted {
        let mut kept = self.counted.lock().await;
        let is_old = kept.at.is_none_or(|at| now.since(at) >= COUNTED_FOR || at > now);
        if is_old || !self.shared.territory.is_shared() {
            let waiting = self.shared.store.oldest_waiting().await.unwrap_or_default();
            let unknown = self.shared.store.unknown_open().await.unwrap_or_default();
            *kept = Counted { at: Some(now), waiting, unknown };
        }
        kept.clone()
    }

    async fn backlog_page(&self, out: &mut String) {
        let now = self.shared.clock.now();
        let Counted { waiting, unknown, .. } = self.counted(now).await;
        head(
            out,
            "bongsu_oldest_queued_seconds",
            "gauge",
            "Age of the oldest waiting message of a lane, since it could leave.",
        );
        for lane in Lane::ALL {
            // A lane where nothing waits has a value, too: an absent one would look like a scrape that failed.
            let hours = self.shared.config.ad_hours;
            let since = waiting.iter().find(|(of, _)| *of == lane).map(|(_, since)| *since);
            let age = match since {
                // What the night holds does not wait for us.
                Some(since) if lane == Lane::Ad => hours.between(since, now).as_secs_f64(),
                since => since.map_or(0.0, |since| now.since(since).as_secs_f64()),
            };
            let _ = writeln!(out, "bongsu_oldest_queued_seconds{{lane=\"{}\"}} {age}", lane.as_str());
        }
        head(out, "bongsu_unknown_attempts", "gauge", "Attempts whose fate is unknown now.");
        let _ = writeln!(out, "bongsu_unknown_attempts {unknown}");
        head(out, "bongsu_in_flight", "gauge", "Messages between claim and result in memory.");
        let _ = writeln!(out, "bongsu_in_flight {}", self.shared.flights.lock().count());
    }
}
