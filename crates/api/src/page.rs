//! The part of the metrics page that is about processes and the engines they share.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use bongsu_engine::bus::Bus;
use bongsu_engine::cache::Cache;
use bongsu_send::Service;

/// A value that goes up and down, with its labels.
pub fn gauge(out: &mut String, name: &str, help: &str, values: impl IntoIterator<Item = (String, u64)>) {
    metric(out, name, "gauge", help, values);
}

fn counter(out: &mut String, name: &str, help: &str, value: u64) {
    metric(out, name, "counter", help, [(String::new(), value)]);
}

fn one(value: u64) -> [(String, u64); 1] {
    [(String::new(), value)]
}

/// Exposition format 0.0.4 of Prometheus.
fn metric(out: &mut String, name: &str, kind: &str, help: &str, values: impl IntoIterator<Item = (String, u64)>) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (labels, value) in values {
        let _ = match labels.as_str() {
            "" => writeln!(out, "{name} {value}"),
            labels => writeln!(out, "{name}{{{labels}}} {value}"),
        };
    }
}

/// The metrics that only processes over a shared database have.
pub const SHARED_METRICS: [(&str, &str, &str); 8] = [
    ("bongsu_store_round_trips_total", "counter", "Round trips to the database."),
    ("bongsu_store_again_total", "counter", "Transactions that were run again because another process was in the way."),
    ("bongsu_store_replica_reads_total", "counter", "Questions about history that the replica answered."),
    ("bongsu_processes", "gauge", "Processes alive."),
    ("bongsu_leases_good", "gauge", "1 while what this process holds is its own."),
    ("bongsu_binds_held", "gauge", "Binds of a relay that this process holds."),
    ("bongsu_binds", "gauge", "Binds of a relay over all processes."),
    ("bongsu_task_held", "gauge", "1 while this process does that periodic work for all."),
];

/// One of them, with its values.
fn shared(out: &mut String, name: &str, values: impl IntoIterator<Item = (String, u64)>) {
    let found = SHARED_METRICS.iter().find(|(own, ..)| *own == name);
    let (_, kind, help) = found.expect("every metric here is in the list");
    metric(out, name, kind, help, values);
}

/// What this process holds of a shared database, and what it costs; nothing on the embedded store.
pub fn processes(out: &mut String, service: &Service) {
    let store = service.store();
    if !store.is_shared() {
        return;
    }
    let metrics = store.metrics();
    shared(out, "bongsu_store_round_trips_total", one(store.round_trips()));
    shared(out, "bongsu_store_again_total", one(metrics.again.load(Ordering::Relaxed)));
    shared(out, "bongsu_store_replica_reads_total", one(metrics.replica_reads.load(Ordering::Relaxed)));
    let Some(holdings) = store.holdings() else { return };
    let holdings = holdings.borrow().clone();
    shared(out, "bongsu_processes", one(holdings.members.into()));
    let good = store.validity().is_some_and(|validity| validity.is_good());
    shared(out, "bongsu_leases_good", one(good.into()));
    let of = |no: &u8| format!("relay=\"{}\"", service.relay_name(*no));
    let held = |no: &u8| holdings.binds.keys().filter(|(relay, _)| relay == no).count() as u64;
    shared(out, "bongsu_binds_held", holdings.slots.keys().map(|no| (of(no), held(no))));
    shared(out, "bongsu_binds", holdings.slots.iter().map(|(no, slots)| (of(no), u64::from(*slots))));
    let tasks = [("sweep", holdings.sweep), ("recover", holdings.recover), ("schedule", holdings.schedule)];
    shared(out, "bongsu_task_held", tasks.map(|(task, held)| (format!("task=\"{task}\""), u64::from(held))));
}

/// The engines that processes may share.
pub fn engines(out: &mut String, cache: &dyn Cache, bus: &dyn Bus) {
    gauge(out, "bongsu_cache_up", "1 while the cache answers.", one(cache.health().up.into()));
    let counted = cache.metrics();
    for (name, help, value) in [
        ("bongsu_cache_takes_total", "Limits that were asked.", counted.takes),
        ("bongsu_cache_limited_total", "Of these, those that refused.", counted.limited),
        ("bongsu_cache_fallbacks_total", "Of these, those decided by this process's share.", counted.fallbacks),
        ("bongsu_cache_hits_total", "Look-ups that found something.", counted.hits),
        ("bongsu_cache_misses_total", "Look-ups that found nothing.", counted.misses),
        ("bongsu_cache_failures_total", "Calls that were not answered, or with an error.", counted.failures),
    ] {
        counter(out, name, help, value);
    }
    gauge(out, "bongsu_bus_up", "1 while other processes are heard.", one(bus.health().up.into()));
    let counted = bus.metrics();
    for (name, help, value) in [
        ("bongsu_bus_published_total", "Messages to other processes.", counted.published),
        ("bongsu_bus_dropped_total", "Of these, those that perhaps never left.", counted.dropped),
        ("bongsu_bus_heard_total", "Messages of other processes.", counted.heard),
        ("bongsu_bus_lagged_total", "Messages that came too fast for their receivers.", counted.lagged),
        ("bongsu_bus_gaps_total", "Times that messages may have been missed.", counted.gaps),
    ] {
        counter(out, name, help, value);
    }
}
