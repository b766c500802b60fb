//! Named places where a test may end the process, so that kills also hit between the commits of two files.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

static PLAN: OnceLock<Option<(String, u64)>> = OnceLock::new();
static SEEN: AtomicU64 = AtomicU64::new(0);

/// Says once, at start, where to abort: `POINT:N` ends the process when that point is passed for the N-th time.
pub fn plan(spec: &str) {
    let plan = spec.split_once(':').and_then(|(point, nth)| Some((point.to_string(), nth.parse().ok()?)));
    let _ = PLAN.set(plan);
}

/// Passes a named point; aborts the process when the plan says so.
pub fn point(name: &str) {
    if let Some(Some((planned, nth))) = PLAN.get()
        && planned == name
        && SEEN.fetch_add(1, Ordering::Relaxed) + 1 == *nth
    {
        std::process::abort();
    }
}
