//! The table a person reads: what was measured, and how it stands to the gates of the design.

use std::fmt::Write as _;

use serde_json::Value;

/// Which direction is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Good {
    High,
    Low,
}

/// A number that must be reached.
struct Gate {
    mode: &'static str,
    field: &'static str,
    unit: &'static str,
    gate: f64,
    goal: Option<f64>,
    good: Good,
}

const fn gate(
    mode: &'static str,
    field: &'static str,
    unit: &'static str,
    gate: f64,
    goal: Option<f64>,
    good: Good,
) -> Gate {
    Gate { mode, field, unit, gate, goal, good }
}

/// A mode of its own here: another store with gates of its own.
const CLUSTER: &str = "cluster";

const GATES: [Gate; 8] = [
    gate(CLUSTER, "/finalPerS", "messages/s", 5_000.0, None, Good::High),
    gate("batch", "/finalPerS", "messages/s", 20_000.0, Some(50_000.0), Good::High),
    gate("single", "/finalPerS", "messages/s", 8_000.0, Some(15_000.0), Good::High),
    gate("lanes", "/latencyMs/acceptToSubmit/auth/p99", "ms", 50.0, None, Good::Low),
    gate("search", "/search/p99", "ms", 20.0, None, Good::Low),
    gate("start", "/startMs", "ms", 1_000.0, None, Good::Low),
    gate("start", "/rssMib/idle", "MiB", 60_000_000.0 / 1_048_576.0, None, Good::Low),
    gate("any", "/lost", "messages", 0.0, None, Good::Low),
];
/// Two dispatch processes against one.
const RATIOS: [Gate; 3] = [
    gate(CLUSTER, "/finalPerS", "of the rate", 0.95, None, Good::High),
    gate(CLUSTER, "/cpuUsPerMessage", "of the CPU", 1.15, None, Good::Low),
    gate(CLUSTER, "/roundTripsPerMessage", "of the round trips", 1.15, None, Good::Low),
];
/// What each of two dispatch processes sends.
const SHARE: std::ops::RangeInclusive<f64> = 0.35..=0.65;
/// What a million waiting messages may need more than ten thousand, MiB.
const WAITING_MORE_MIB: f64 = 64.0;

/// Rows that every mode shows when it has them.
const SHOWN: [(&str, &str); 22] = [
    ("accepted", "/accepted"),
    ("final", "/final"),
    ("duplicates", "/duplicates"),
    ("accepted/s", "/acceptPerS"),
    ("final/s", "/finalPerS"),
    ("CPU µs/message: server", "/cpuUsPerMessage/server"),
    ("  generator", "/cpuUsPerMessage/generator"),
    ("  simulator", "/cpuUsPerMessage/simulator"),
    ("commits/s", "/commitsPerS"),
    ("row writes/message", "/rowWritesPerMessage"),
    ("WAL bytes/message", "/walBytesPerMessage"),
    ("disk bytes/message", "/diskBytesPerMessage"),
    ("accept p50 ms", "/latencyMs/accept/p50"),
    ("accept p99 ms", "/latencyMs/accept/p99"),
    ("accept→final p50 ms", "/latencyMs/acceptToFinal/p50"),
    ("accept→final p99 ms", "/latencyMs/acceptToFinal/p99"),
    ("memory idle MiB", "/rssMib/idle"),
    ("memory peak MiB", "/rssMib/peak"),
    ("memory end MiB", "/rssMib/end"),
    ("start ms", "/startMs"),
    ("recovery ms", "/recoveryMs"),
    ("measured s", "/measuredSeconds"),
];

/// The table.
pub fn table(document: &Value) -> String {
    let named = document["mode"].as_str().unwrap_or_default();
    let mut text = format!("bench send --mode {named} ({})\n", document["cpu"].as_str().unwrap_or_default());
    let mode = if document["cluster"].is_object() { CLUSTER } else { named };
    for (name, field) in SHOWN {
        if let Some(value) = document.pointer(field).and_then(Value::as_f64) {
            let _ = writeln!(text, "  {name:<26} {value:>14}");
        }
    }
    for gate in GATES.iter().filter(|g| g.mode == mode || g.mode == "any") {
        if let Some(value) = document.pointer(gate.field).and_then(Value::as_f64) {
            let _ = writeln!(text, "  {}", verdict(gate, value));
        }
    }
    text.push_str(&cluster(&document["cluster"]));
    let waiting = |field| document.pointer(field).and_then(Value::as_f64);
    if let (Some(few), Some(many)) = (waiting("/rssMib/waiting10k"), waiting("/rssMib/waiting1m")) {
        let gate = gate("all-down", "1,000,000 waiting − 10,000 waiting", "MiB", WAITING_MORE_MIB, None, Good::Low);
        let _ = writeln!(text, "  10,000 waiting {few} MiB, 1,000,000 waiting {many} MiB");
        let _ = writeln!(text, "  {}", verdict(&gate, many - few));
    }
    text
}

/// What only a cluster tells.
fn cluster(cluster: &Value) -> String {
    let mut text = String::new();
    let several = cluster["dispatchers"].as_u64().is_some_and(|count| count > 1);
    for (name, share) in cluster["sends"].as_object().into_iter().flatten() {
        let share = share.as_f64().unwrap_or(0.0);
        let word = if !several || SHARE.contains(&share) { "ok  " } else { "MISS" };
        let _ = writeln!(text, "  {word} {name} sends {:.0} %", share * 100.0);
    }
    for kind in ["processes", "services"] {
        for (name, us) in cluster["cpuUsPerMessage"][kind].as_object().into_iter().flatten() {
            let _ = writeln!(text, "  {:<26} {us:>14}", format!("CPU µs: {name}"));
        }
    }
    for (name, field) in [("round trips/message", "roundTripsPerMessage"), ("transactions again", "transactionsAgain")]
    {
        if let Some(value) = cluster[field].as_f64() {
            let _ = writeln!(text, "  {name:<26} {value:>14}");
        }
    }
    text
}

/// How several dispatch processes stand to one.
pub fn ratios(document: &Value) -> String {
    let mut text = String::new();
    for ratios in document["ratios"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "{} dispatch processes, against the first measurement", ratios["dispatchers"]);
        for gate in &RATIOS {
            if let Some(value) = ratios.pointer(gate.field).and_then(Value::as_f64) {
                let _ = writeln!(text, "  {}", verdict(gate, value));
            }
        }
    }
    text
}

fn verdict(gate: &Gate, value: f64) -> String {
    let reached = match gate.good {
        Good::High => value >= gate.gate,
        Good::Low => value <= gate.gate,
    };
    let word = if reached { "ok  " } else { "MISS" };
    let ratio = if gate.gate > 0.0 { format!(", {:.2} of it", value / gate.gate) } else { String::new() };
    let goal = gate.goal.map(|goal| format!(" (goal {goal}, {:.2} of it)", value / goal)).unwrap_or_default();
    let sign = if gate.good == Good::High { "≥" } else { "≤" };
    // Two decimals at most, and none that say nothing.
    let wanted = (gate.gate * 100.0).round() / 100.0;
    format!("{word} {} {value:.2} {}: gate {sign} {wanted}{ratio}{goal}", gate.field, gate.unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn gates_say_how_far_it_is() {
        let text = table(&json!({"mode": "batch", "finalPerS": 10_000.0, "lost": 0}));
        assert!(
            text.contains("MISS /finalPerS 10000.00 messages/s: gate ≥ 20000, 0.50 of it (goal 50000, 0.20 of it)"),
            "{text}"
        );
        assert!(text.contains("ok   /lost"), "{text}");
    }

    #[test]
    fn waiting_memory_is_a_difference() {
        let text = table(&json!({"mode": "all-down", "rssMib": {"waiting10k": 100.0, "waiting1m": 150.0}}));
        assert!(text.contains("ok   1,000,000 waiting − 10,000 waiting 50.00 MiB"), "{text}");
    }

    #[test]
    fn a_cluster_has_gates_of_its_own() {
        let sends = json!({"dispatch-1": 0.7, "dispatch-2": 0.3});
        let text =
            table(&json!({"mode": "batch", "finalPerS": 6_000.0, "cluster": {"dispatchers": 2, "sends": sends}}));
        assert!(text.contains("ok   /finalPerS 6000.00"), "{text}");
        assert!(text.contains("MISS dispatch-1 sends 70 %") && text.contains("MISS dispatch-2 sends 30 %"), "{text}");
        let text = ratios(&json!({"ratios": [{"dispatchers": 2, "finalPerS": 0.9, "cpuUsPerMessage": 1.1}]}));
        assert!(text.contains("MISS /finalPerS 0.90") && text.contains("ok   /cpuUsPerMessage 1.10"), "{text}");
    }

    #[test]
    fn other_modes_have_no_gate_of_batch() {
        assert!(!table(&json!({"mode": "long", "finalPerS": 1.0})).contains("MISS"));
    }
}
