//! Rules about the text of single files.

use super::Source;

/// Lines that a file may have before its tests.
const MAX_LINES: usize = 600;
/// Lines that a function may have.
const MAX_FUNCTION_LINES: usize = 80;

/// A library and the rooms that may name it; tests may name anything.
const LIBRARIES: [(&str, &[&str]); 10] = [
    ("rusqlite", &["store"]),
    ("sqlx", &["store"]),
    ("rdkafka", &["engine"]),
    ("lapin", &["engine"]),
    ("aws_sdk", &["engine"]),
    ("axum", &["api", "sim", "server"]),
    ("utoipa", &["api"]),
    ("encoding_rs", &["domain", "wire"]),
    ("clap", &["server", "xtask"]),
    ("aws_lc_rs", &["wire", "store", "api", "relay", "report", "server"]),
];

/// All rules over all files.
pub fn problems(sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for source in sources {
        foreign_places(source, &mut problems);
        if source.is_rust() {
            header(source, &mut problems);
            waits(source, &mut problems);
            left_overs(source, &mut problems);
            libraries(source, &mut problems);
            sizes(source, &mut problems);
        }
    }
    problems
}

fn header(source: &Source, problems: &mut Vec<String>) {
    let first = source.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    if !first.starts_with("//! ") {
        problems.push(format!("{}: opens without `//!` and one sentence what it is for", source.path));
    }
}

/// Paths of one machine and names of registries have no place in a repository.
fn foreign_places(source: &Source, problems: &mut Vec<String>) {
    // Put together here, or this file would break its own rule.
    let paths = ["work", "root", "home", "Users"].map(|top| format!("/{top}/"));
    let hosts = [
        ["registry.np", "mjs.org"],
        ["pypi.", "org"],
        ["files.pyth", "onhosted.org"],
        ["index.cra", "tes.io"],
        ["static.cra", "tes.io"],
        ["deb.deb", "ian.org"],
        ["proxy.gol", "ang.org"],
        ["repo.maven.apa", "che.org"],
    ]
    .map(|parts| parts.concat());
    for (number, line) in source.text.lines().enumerate() {
        let path = paths.iter().find(|path| starts_a_path(line, path));
        if let Some(found) = path.or_else(|| hosts.iter().find(|host| line.contains(host.as_str()))) {
            problems.push(format!("{}:{}: names {found}, which is not of this repository", source.path, number + 1));
        }
    }
}

/// True when the word stands where a path begins, so that `a/home/b` of a URL or a module is none.
fn starts_a_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|letter| !(letter.is_alphanumeric() || matches!(letter, '.' | '_' | '-' | '}' | '/' | '~')))
    })
}

/// Tests wait for what happens, not for time. Virtual time (`start_paused`) costs none.
fn waits(source: &Source, problems: &mut Vec<String>) {
    let tests = source.tested();
    let virtual_time = tests.contains("start_paused") || tests.contains("time::pause(");
    let skipped = source.text.len() - tests.len();
    let first_line = source.text[..skipped].lines().count();
    for (number, line) in tests.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        // In a string it is text about a sleep, as in the tests of this rule.
        let word =
            ["thread::sleep(", "time::sleep("].into_iter().find(|word| code.contains(word) && !code.contains('"'));
        if let Some(word) = word.filter(|word| !(virtual_time && *word == "time::sleep(")) {
            let line = first_line + number + 1;
            problems.push(format!("{}:{line}: {word}) in a test; wait for what happens", source.path));
        }
    }
}

fn left_overs(source: &Source, problems: &mut Vec<String>) {
    let words = ["TODO", "FIXME", "XXX"];
    for (number, line) in source.text.lines().enumerate() {
        let comment = line.split_once("//").map_or("", |(_, comment)| comment);
        if let Some(word) = words.iter().find(|word| comment.contains(**word)) {
            problems.push(format!("{}:{}: {word}; do it or open an issue", source.path, number + 1));
        }
        let line_start = line.trim_start();
        if line_start.starts_with("#[ignore") {
            problems.push(format!("{}:{}: an ignored test guards nothing", source.path, number + 1));
        }
    }
}

fn libraries(source: &Source, problems: &mut Vec<String>) {
    if matches!(source.room(), "testkit" | "scenarios" | "") {
        return;
    }
    for (library, rooms) in LIBRARIES {
        let marks = [format!("use {library}"), format!("{library}::")];
        let used = source.shipped().lines().any(|line| {
            let code = line.split("//").next().unwrap_or_default();
            !code.contains('"') && marks.iter().any(|mark| is_word(code, mark))
        });
        if used && !rooms.contains(&source.room()) {
            problems.push(format!("{}: names {library}, which belongs to {}", source.path, rooms.join(", ")));
        }
    }
}

fn is_word(code: &str, mark: &str) -> bool {
    code.match_indices(mark).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        before.is_none_or(|letter| !letter.is_alphanumeric() && letter != '_')
    })
}

fn sizes(source: &Source, problems: &mut Vec<String>) {
    let shipped = source.shipped();
    let lines = shipped.lines().count();
    if lines > MAX_LINES {
        problems.push(format!("{}: {lines} lines; split it by noun (at most {MAX_LINES})", source.path));
    }
    for (name, line, length) in functions(shipped) {
        if length > MAX_FUNCTION_LINES {
            problems.push(format!("{}:{line}: {name} has {length} lines (at most {MAX_FUNCTION_LINES})", source.path));
        }
    }
}

/// Name, first line and length of each function, by the indentation that rustfmt gives.
fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = &line[..line.len() - line.trim_start().len()];
        let end = format!("{indent}}}");
        if let Some(more) = lines[at..].iter().position(|l| *l == end) {
            found.push((name.to_owned(), at + 1, more + 1));
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let mut words = line.trim_start();
    if words.ends_with(['}', ';']) {
        return None;
    }
    for prefix in ["pub ", "pub(crate) ", "pub(super) ", "const ", "async ", "unsafe "] {
        words = words.strip_prefix(prefix).unwrap_or(words);
    }
    let name = words.strip_prefix("fn ")?;
    name.split(['(', '<']).next()
}

#[cfg(test)]
mod tests {
    use super::super::tests::source;
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        problems(&[source(path, text)])
    }

    #[test]
    fn a_tidy_file_has_no_problems() {
        let text = "//! Does one thing.\n\nuse std::fmt;\n\npub fn f() {\n    let x = 1;\n}\n";
        assert_eq!(found("crates/send/src/a.rs", text), Vec::<String>::new());
    }

    #[test]
    fn each_rule_finds_its_case() {
        let cases = [
            ("crates/send/src/a.rs", "use std::fmt;\n".to_owned(), "opens without"),
            ("docs/a.md", format!("see {}work/main\n", '/'), "not of this repository"),
            ("README.md", format!("from pypi.{}\n", "org"), "not of this repository"),
            (
                "crates/send/src/a.rs",
                "//! A.\n\n#[cfg(test)]\nmod t { fn t() { std::thread::sleep(D); } }\n".into(),
                "in a test",
            ),
            ("tests/src/a.rs", "//! A.\nasync fn t() { tokio::time::sleep(D).await }\n".into(), "in a test"),
            ("crates/send/src/a.rs", format!("//! A.\n// {}DO: later\n", "TO"), "open an issue"),
            ("crates/send/src/a.rs", "//! A.\n    #[ignore]\n".into(), "guards nothing"),
            ("crates/send/src/a.rs", "//! A.\nuse rusqlite::Connection;\n".into(), "belongs to store"),
            ("crates/send/src/a.rs", format!("//! A.\n{}", "x\n".repeat(600)), "split it by noun"),
            ("crates/send/src/a.rs", format!("//! A.\npub fn f() {{\n{}}}\n", "    x();\n".repeat(90)), "has 92 lines"),
        ];
        for (path, text, want) in cases {
            let found = found(path, &text);
            assert!(found.len() == 1 && found[0].contains(want), "{want}: {found:?}");
        }
    }

    #[test]
    fn what_only_looks_like_it_is_let_through() {
        for (path, text) in [
            (
                "tests/src/a.rs",
                "//! A.\n#[tokio::test(start_paused = true)]\nasync fn t() { tokio::time::sleep(D).await }\n",
            ),
            ("crates/store/src/a.rs", "//! A.\nuse rusqlite::Connection;\n"),
            ("crates/send/src/a.rs", "//! A.\n\n#[cfg(test)]\nmod t { use rusqlite::Connection; }\n"),
            ("docs/a.md", "GET /v1/rooms/home/x and ./work/x and ~/home/\n"),
            ("crates/send/src/a.rs", "//! A.\nfn f() { tokio::time::sleep(D) }\n"),
        ] {
            assert_eq!(found(path, text), Vec::<String>::new(), "{path}: {text}");
        }
    }
}
