//! The table of invariants in ARCHITECTURE.md: each one names the test that guards it, and that test exists.

use super::Source;

const FILE: &str = "ARCHITECTURE.md";

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    number: String,
    tests: Vec<String>,
}

/// Rows without a test, and tests that are not there.
pub fn problems(sources: &[Source]) -> Vec<String> {
    let Some(page) = sources.iter().find(|s| s.path == FILE) else { return Vec::new() };
    let rows = rows(&page.text);
    let mut problems = Vec::new();
    if rows.is_empty() {
        problems.push(format!("{FILE}: no table of invariants (rows like `| I1 | … | send::name_of_a_test |`)"));
    }
    for row in rows {
        if row.tests.is_empty() {
            problems.push(format!("{FILE}: {} names no test", row.number));
        }
        for test in row.tests.iter().filter(|test| !exists(sources, test)) {
            problems.push(format!("{FILE}: {} names {test}, which is not there", row.number));
        }
    }
    problems
}

/// Rows whose first cell is `I` and a number. Tests stand in the last cell, `room::…::name`, divided by commas or spaces.
fn rows(text: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let (Some(number), Some(last)) = (cells.first(), cells.last()) else { continue };
        let is_number =
            number.strip_prefix('I').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        if !is_number || cells.len() < 2 {
            continue;
        }
        let words = last.split([',', ' ', '`', ';']).filter(|word| word.contains("::"));
        rows.push(Row { number: (*number).to_owned(), tests: words.map(str::to_owned).collect() });
    }
    rows
}

/// True when the room has a function of that name. Rooms are named by folder or by package.
fn exists(sources: &[Source], test: &str) -> bool {
    let (Some((room, _)), Some((_, name))) = (test.split_once("::"), test.rsplit_once("::")) else { return false };
    let room = room.trim_start_matches("bongsu_").trim_start_matches("bongsu-");
    let room = match room {
        "tests" => "scenarios",
        "bongsu" => "server",
        other => other,
    };
    let marks = [format!("fn {name}("), format!("fn {name}<")];
    sources.iter().filter(|s| s.is_rust() && s.room() == room).any(|s| marks.iter().any(|mark| s.text.contains(mark)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::source;
    use super::*;

    #[test]
    fn rows_of_the_table() {
        let page = "| no | what | test |\n|---|---|---|\n| I1 | nothing is lost | `send::kills`, scenarios::a::b |\n| I2 | x | none |\n";
        let rows = rows(page);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].tests, ["send::kills", "scenarios::a::b"]);
        assert!(rows[1].tests.is_empty());
    }

    #[test]
    fn a_test_must_be_where_it_is_named() {
        let sources = [
            source(
                FILE,
                "| I1 | a | send::kills |\n| I2 | b | tests::journey |\n| I3 | c | store::kills |\n| I4 | d | |\n",
            ),
            source("crates/send/src/lib.rs", "fn kills() {}"),
            source("tests/src/lib.rs", "async fn journey() {}"),
        ];
        let found = problems(&sources);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("I3 names store::kills"));
        assert!(found[1].contains("I4 names no test"));
    }

    #[test]
    fn no_page_yet_is_fine() {
        assert!(problems(&[source("README.md", "")]).is_empty());
    }
}
