//! What must hold at the end of a run over a cluster, decided from what was counted.

use std::time::Duration;

use serde_json::Value;

use super::{load, pairs, probe};
use crate::cluster::Ends;

/// Answers that a caller may get, and then asks again.
const PASSING: [&str; 2] = ["503 UM8004", "409 UM1005"];

/// Everything that was counted.
#[derive(Debug)]
pub struct Counted {
    /// What `bongsu audit` printed.
    pub audit: Value,
    /// It said that the books agree.
    pub is_clean: bool,
    /// Messages that were accepted before the load.
    pub before: u64,
    /// Different ids that were handed out.
    pub acked: u64,
    /// `/stats` of the simulators.
    pub sim: Value,
    /// Binds that each relay allows.
    pub binds: u64,
    /// The generators.
    pub loads: Vec<load::Named>,
    /// How the processes ended, by name.
    pub ends: Vec<(String, Ends)>,
    /// The database was away in between, so that a process may not be able to start.
    pub had_outages: bool,
    /// What the harness was told while the database was away.
    pub probes: probe::Report,
    /// Identical requests at two servers, by what makes them the same.
    pub pairs: Vec<(&'static str, pairs::Report)>,
    /// The processes, for the report.
    pub nodes: Vec<Value>,
    /// From the last answer to the last result.
    pub final_after: Duration,
}

impl Counted {
    /// One line for each thing that must not be.
    pub fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        books(self, &mut found);
        relays(self, &mut found);
        callers(self, &mut found);
        for (name, ends) in &self.ends {
            found.extend(ends.failed.iter().map(|how| format!("{name} ended by itself: {how}")));
            if ends.unready > 0 && !self.had_outages {
                found.push(format!("{name} could not start {} times", ends.unready));
            }
        }
        found.extend(self.probes.violations());
        for (same, pairs) in &self.pairs {
            if pairs.wrong > 0 {
                let first = pairs.first.as_deref().unwrap_or_default();
                found.push(format!("{} pairs ({same}) have wrong answers, the first: {first}", pairs.wrong));
            }
            if pairs.messages != pairs.pairs {
                found.push(format!("{} pairs ({same}) made {} messages", pairs.pairs, pairs.messages));
            }
        }
        found
    }
}

fn books(facts: &Counted, found: &mut Vec<String>) {
    if !facts.is_clean {
        found.push("the audit is not clean".to_owned());
    }
    if facts.acked == 0 {
        // A run that never accepted anything has shown nothing.
        found.push("nothing was accepted".to_owned());
    }
    let accepted = facts.audit["accepted"].as_u64().unwrap_or(0).saturating_sub(facts.before);
    let given_up: u64 = facts.loads.iter().map(|(_, load)| load.given_up).sum();
    // Each request was asked until its answer came, so that every message is known to its caller.
    if given_up == 0 && accepted != facts.acked {
        found.push(format!("{accepted} messages were accepted, but callers know of {}", facts.acked));
    }
}

fn relays(facts: &Counted, found: &mut Vec<String>) {
    for (name, relay) in facts.sim.as_object().into_iter().flatten() {
        let count = |field: &str| relay[field].as_u64();
        let mut must = |field: &str, most: u64, what: &str| match count(field) {
            Some(seen) if seen <= most => {}
            Some(seen) => found.push(format!("relay {name}: {what}: {seen}")),
            None => found.push(format!("relay {name}: the simulator does not tell {field}")),
        };
        must("overRate", 0, "submits above the rate");
        must("mostBinds", facts.binds, "binds at once");
        must("malformed", 0, "PDUs that could not be read");
        must("forgotten", 0, "submits that could not be compared");
    }
}

fn callers(facts: &Counted, found: &mut Vec<String>) {
    for (name, load) in &facts.loads {
        for (code, count) in load.codes.iter().filter(|(code, _)| !PASSING.contains(&code.as_str())) {
            found.push(format!("{count} requests ({name}) were answered {code}"));
        }
        if load.given_up > 0 {
            found.push(format!("{} requests ({name}) had no answer at all", load.given_up));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::loadgen::Report;
    use serde_json::json;

    fn load(codes: &[(&str, u64)], given_up: u64) -> Report {
        let codes: BTreeMap<String, u64> = codes.iter().map(|(code, count)| ((*code).to_owned(), *count)).collect();
        Report {
            offered: 10,
            accepted: 10,
            errors: 0,
            statuses: BTreeMap::new(),
            codes,
            cuts: 3,
            silences: 0,
            repeated: 3,
            refused: 0,
            given_up,
            first_error: None,
            accept: None,
            seconds: 1.0,
            cpu_us: 1,
            next_ordinal: 10,
            cut: false,
        }
    }

    fn judge(change: impl FnOnce(&mut Counted)) -> Vec<String> {
        let relay = json!({"overRate": 0, "mostBinds": 4, "malformed": 0, "forgotten": 0});
        let mut counted = Counted {
            audit: json!({"accepted": 12}),
            is_clean: true,
            before: 2,
            acked: 10,
            sim: json!({"kt": relay}),
            binds: 4,
            loads: vec![("single", load(&[("503 UM8004", 4), ("409 UM1005", 1)], 0))],
            ends: vec![("api-1".to_owned(), Ends { killed: 3, lost: 1, ..Ends::default() })],
            had_outages: false,
            probes: probe::Report::default(),
            pairs: Vec::new(),
            nodes: Vec::new(),
            final_after: Duration::ZERO,
        };
        change(&mut counted);
        counted.violations()
    }

    #[test]
    fn a_good_run_has_none() {
        assert_eq!(judge(|_| {}), Vec::<String>::new());
    }

    #[test]
    fn each_promise_is_looked_at() {
        let fast = json!({"kt": {"overRate": 1, "mostBinds": 5, "malformed": 0, "forgotten": 0}});
        assert_eq!(judge(|counted| counted.sim = fast).len(), 2);
        assert_eq!(judge(|counted| counted.is_clean = false).len(), 1);
        assert!(judge(|counted| counted.acked = 9)[0].contains("10 messages were accepted"));
        assert!(judge(|counted| counted.loads = vec![("single", load(&[("500", 1)], 0))])[0].contains("500"));
        let silent = judge(|counted| (counted.loads, counted.acked) = (vec![("single", load(&[], 2))], 8));
        assert!(silent[0].contains("no answer at all") && silent.len() == 1, "{silent:?}");
        let died = vec![("api-1".to_owned(), Ends { failed: vec!["exit 1".into()], unready: 1, ..Ends::default() })];
        assert_eq!(judge(|counted| counted.ends = died.clone()).len(), 2);
        assert_eq!(judge(|counted| (counted.ends, counted.had_outages) = (died, true)).len(), 1);
    }

    #[test]
    fn a_pair_is_one_message_with_one_answer() {
        let good = pairs::Report { pairs: 5, messages: 5, ..pairs::Report::default() };
        assert!(judge(|counted| counted.pairs = vec![("key", good)]).is_empty());
        let bad = pairs::Report { pairs: 5, messages: 6, wrong: 1, ..pairs::Report::default() };
        assert_eq!(judge(|counted| counted.pairs = vec![("key", bad)]).len(), 2);
    }
}
