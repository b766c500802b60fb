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

const GATES: [Gate; 7] = [
    gate("batch", "/finalPerS", "messages/s", 20_000.0, Some(50_000.0), Good::High),
    gate("single", "/finalPerS", "messages/s", 8_000.0, Some(15_000.0), Good::High),
    gate("lanes", "/latencyMs/acceptToSubmit/auth/p99", "ms", 50.0, None, Good::Low),
    gate("search", "/search/p99", "ms", 20.0, None, Good::Low),
    gate("start", "/startMs", "ms", 1_000.0, None, Good::Low),
    gate("start", "/rssMib/idle", "MiB", 60_000_000.0 / 1_048_576.0, None, Good::Low),
    gate("any", "/lost", "messages", 0.0, None, Good::Low),
];
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
    let mode = document["mode"].as_str().unwrap_or_default();
    let mut text = format!("bench send --mode {mode} ({})\n", document["cpu"].as_str().unwrap_or_default());
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
    let waiting = |field| document.pointer(field).and_then(Value::as_f64);
    if let (Some(few), Some(many)) = (waiting("/rssMib/waiting10k"), waiting("/rssMib/waiting1m")) {
        let gate = gate("all-down", "1,000,000 waiting − 10,000 waiting", "MiB", WAITING_MORE_MIB, None, Good::Low);
        let _ = writeln!(text, "  10,000 waiting {few} MiB, 1,000,000 waiting {many} MiB");
        let _ = writeln!(text, "  {}", verdict(&gate, many - few));
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
    format!("{word} {} {value:.2} {}: gate {sign} {:.1}{ratio}{goal}", gate.field, gate.unit, gate.gate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn gates_say_how_far_it_is() {
        let text = table(&json!({"mode": "batch", "finalPerS": 10_000.0, "lost": 0}));
        assert!(
            text.contains("MISS /finalPerS 10000.00 messages/s: gate ≥ 20000.0, 0.50 of it (goal 50000, 0.20 of it)"),
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
    fn other_modes_have_no_gate_of_batch() {
        assert!(!table(&json!({"mode": "long", "finalPerS": 1.0})).contains("MISS"));
    }
}
