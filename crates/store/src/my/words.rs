//! Words that MariaDB knows and MySQL does not, or the other way round: no statement has one.

use super::migrate::{STEPS, statements};

/// Whole words, and sequences of them, that only one server knows or that mean another thing on the other.
const ONLY_ONE: &[&str] = &[
    "RETURNING",
    "SKIP LOCKED",
    "NOWAIT",
    "WAIT",
    "FOR SHARE",
    "FOR SYSTEM_TIME",
    "SYSTEM VERSIONING",
    "PERIOD FOR",
    "PORTION OF",
    "WITHOUT OVERLAPS",
    "SEQUENCE",
    "NEXTVAL",
    "NEXT VALUE",
    "UUID",
    "UUIDV7",
    "INET4",
    "INET6",
    "VECTOR",
    "PAGE_COMPRESSED",
    "ARIA",
    "ROCKSDB",
    "OR REPLACE TABLE",
    "OR REPLACE INDEX",
    "SET STATEMENT",
    "DELETE HISTORY",
    "ROWS EXAMINED",
    "EXECUTE IMMEDIATE",
    "NOT ATOMIC",
    "INTERSECT",
    "EXCEPT",
    "MINUS",
    "LATERAL",
    "VALUES ROW",
    "AS NEW",
    "MEMBER OF",
    "INVISIBLE",
    "IGNORED",
    "PERSISTENT",
    "NATURAL_SORT_KEY",
    "UTF8MB4_0900_AI_CI",
    "UTF8MB4_0900_BIN",
    "UTF8MB4_UCA1400_AI_CI",
];

/// Where a statement may ask whether something is there: both servers know it of whole tables and databases only.
const MAY_BE_ASKED: &[&str] = &["TABLE", "DATABASE"];

/// What is wrong with a statement, if something is.
fn wrong(sql: &str) -> Option<String> {
    let upper = sql.to_uppercase();
    let words: Vec<&str> =
        upper.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
    for only in ONLY_ONE {
        let only: Vec<&str> = only.split(' ').collect();
        if words.windows(only.len()).any(|part| part == only) {
            return Some(only.join(" "));
        }
    }
    for at in 0..words.len() {
        let rest = &words[at..];
        if (rest.starts_with(&["IF", "EXISTS"]) || rest.starts_with(&["IF", "NOT", "EXISTS"]))
            && !(at > 0 && MAY_BE_ASKED.contains(&words[at - 1]))
        {
            return Some("IF EXISTS of a part of a table".into());
        }
    }
    // The path operators of MySQL.
    ["->>'", "->'", "->>\"", "->\""].into_iter().find(|path| sql.contains(path)).map(str::to_owned)
}

/// Whether a string is a statement, or a part of one: parts are written in capitals.
fn is_sql(literal: &str) -> bool {
    const VERBS: [&str; 20] = [
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
        "REPLACE",
        "ALTER",
        "CREATE",
        "DROP",
        "FROM",
        "WHERE",
        "ORDER BY",
        "LIMIT",
        "VALUES",
        "SET",
        "JOIN",
        "FOR",
        "RETURNING",
        "LOCKED",
        "NOWAIT",
        "EXISTS",
    ];
    let words = |text: &str| -> Vec<String> { text.split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect() };
    let of_literal = words(literal);
    let whole = literal.trim_start().to_lowercase();
    if ["select ", "insert ", "delete from ", "alter table ", "create table "]
        .iter()
        .any(|verb| whole.starts_with(verb))
    {
        return true;
    }
    VERBS.iter().any(|verb| {
        let verb = words(verb);
        of_literal.windows(verb.len()).any(|part| part == verb)
    })
}

/// The strings of a source, without comments and characters.
fn literals(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '\'', '/', 'r']) {
        let (before, from) = rest.split_at(at);
        let in_word = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let hashes = from[1..].len() - from[1..].trim_start_matches('#').len();
        rest = if from.starts_with("//") {
            from.split_once('\n').map_or("", |(_, rest)| rest)
        } else if from.starts_with("/*") {
            from.split_once("*/").map_or("", |(_, rest)| rest)
        } else if from.starts_with('r') && !in_word && from[1 + hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let (raw, rest) = from[2 + hashes..].split_once(&end).unwrap_or((&from[2 + hashes..], ""));
            found.push(raw.to_owned());
            rest
        } else if let Some(text) = from.strip_prefix('"') {
            let (text, rest) = text.split_at(end_of_string(text));
            found.push(text.replace("\\\n", " ").replace("\\\"", "\""));
            rest.get(1..).unwrap_or_default()
        } else if let Some(escaped) = from.strip_prefix("'\\") {
            escaped.split_once('\'').map_or("", |(_, rest)| rest)
        } else if from.starts_with('\'') && from.chars().nth(2) == Some('\'') {
            &from[1 + from[1..].chars().next().map_or(0, char::len_utf8) + 1..]
        } else {
            &from[1..]
        };
    }
    found
}

/// Where the quote that ends a string stands.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    text.find(|c: char| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })
    .unwrap_or(text.len())
}

#[test]
fn the_schema_uses_no_word_that_only_one_server_knows() {
    for step in STEPS {
        for statement in statements(step.sql) {
            assert_eq!(wrong(&statement), None, "{}: {statement}", step.name);
        }
    }
}

#[test]
fn no_statement_uses_a_word_that_only_one_server_knows() {
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut looked = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name() != Some("words.rs".as_ref()) {
                for literal in literals(&std::fs::read_to_string(&path).unwrap()).iter().filter(|text| is_sql(text)) {
                    looked += 1;
                    assert_eq!(wrong(literal), None, "{}: {literal}", path.display());
                }
            }
        }
    }
    assert!(looked > 250, "only {looked} statements were found");
}

#[test]
fn words_of_one_server_are_noticed_however_they_are_written() {
    for (source, word) in [
        (r#"db.execute("INSERT INTO t (a) VALUES (?) RETURNING id", ())"#, "RETURNING"),
        (r#"let s = "select a from t for update skip locked"; // '"' "#, "SKIP LOCKED"),
        (r##"let q = '"'; f(r#"DELETE FROM t RETURNING "a""#)"##, "RETURNING"),
        ("let lock = \"FOR UPDATE\n  SKIP\n  LOCKED\";", "SKIP LOCKED"),
        (r#"format!("{head} FOR UPDATE NOWAIT")"#, "NOWAIT"),
        (r#"/* it's "odd" */ push_str(" SKIP LOCKED")"#, "SKIP LOCKED"),
        (
            r#"fn f<'a>(x: &'a str) { g("ALTER TABLE t ADD COLUMN IF NOT EXISTS a INT") }"#,
            "IF EXISTS of a part of a table",
        ),
        (r#"g("CREATE INDEX IF NOT EXISTS i ON t (a)")"#, "IF EXISTS of a part of a table"),
        (r#"g("ALTER TABLE t DROP PARTITION IF EXISTS d1")"#, "IF EXISTS of a part of a table"),
        (r#"g("CREATE OR REPLACE TABLE t (a INT)")"#, "OR REPLACE TABLE"),
        (r#"g("INSERT INTO t VALUES (1) AS new ON DUPLICATE KEY UPDATE a = new.a")"#, "AS NEW"),
        (r#"g("SELECT a->'$.b' FROM t")"#, "->'"),
    ] {
        let found: Vec<_> = literals(source).iter().filter_map(|text| wrong(text)).collect();
        assert_eq!(found, [word], "{source}");
    }
    for good in [
        r#"g("CREATE TABLE IF NOT EXISTS t (a INT)")"#,
        r#"g("DROP DATABASE IF EXISTS d")"#,
        r#"g("SELECT 1 FROM t WHERE EXISTS (SELECT 1 FROM u) ORDER BY variance, exception")"#,
        r#"// "SELECT 1 RETURNING 2""#,
        r#"g("INSERT INTO t (a) SELECT b FROM u ON DUPLICATE KEY UPDATE a = VALUES(a)")"#,
    ] {
        assert!(literals(good).iter().all(|text| wrong(text).is_none()), "{good}");
    }
    assert!(is_sql("SELECT 1") && is_sql(" SKIP LOCKED") && is_sql("FOR UPDATE") && !is_sql("the wait is over"));
    assert!(is_sql("select a from t") && is_sql("  delete from t"));
}
