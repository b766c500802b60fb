//! Counts of passed and failed tests, read from what `cargo test` prints.

use std::fmt::Write as _;
use std::time::Duration;

/// Passed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
}

/// One step of the whole test.
#[derive(Debug, Clone)]
pub struct Step {
    pub name: String,
    pub tally: Tally,
    pub took: Duration,
}

impl Tally {
    /// Adds a line like `test result: ok. 5 passed; 1 failed; 0 ignored; …`; other lines change nothing.
    pub fn read(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
            return;
        };
        for count in counts.split(';') {
            let mut words = count.split_whitespace();
            let number = words.next().and_then(|n| n.parse::<u64>().ok());
            match (number, words.next()) {
                (Some(number), Some("passed")) => self.passed += number,
                (Some(number), Some("failed")) => self.failed += number,
                _ => {}
            }
        }
    }
}

/// False for the lines that say that one of many tests is fine.
pub fn is_worth_showing(line: &str) -> bool {
    let fine = line.starts_with("test ") && line.ends_with("... ok");
    let empty = line.is_empty() || line.starts_with("running ");
    let nothing = line.starts_with("test result: ok. 0 passed; 0 failed");
    !fine && !empty && !nothing
}

/// The sum of all steps.
pub fn total(steps: &[Step]) -> Tally {
    let add = |sum: Tally, step: &Step| Tally {
        passed: sum.passed + step.tally.passed,
        failed: sum.failed + step.tally.failed,
    };
    steps.iter().fold(Tally::default(), add)
}

/// The table at the end.
pub fn table(steps: &[Step]) -> String {
    let mut text = format!("{:<28} {:>8} {:>8} {:>9}\n", "step", "passed", "failed", "seconds");
    for step in steps {
        let seconds = step.took.as_secs_f64();
        let _ = writeln!(text, "{:<28} {:>8} {:>8} {seconds:>9.1}", step.name, step.tally.passed, step.tally.failed);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_added_up() {
        let mut tally = Tally::default();
        tally.read("test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        tally.read("test result: FAILED. 2 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        tally.read("test a::b ... ok");
        assert_eq!(tally, Tally { passed: 7, failed: 3 });
    }

    #[test]
    fn only_news_is_shown() {
        assert!(!is_worth_showing("test a::b ... ok"));
        assert!(!is_worth_showing("running 5 tests"));
        assert!(is_worth_showing("test a::b ... FAILED"));
        assert!(is_worth_showing("test result: ok. 5 passed; 0 failed; 0 ignored"));
    }
}
