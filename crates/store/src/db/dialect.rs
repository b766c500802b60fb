//! What the two engines say differently: statements over many rows, and inserts that may meet a row.
//!
//! A [`Many`] is written once. Its values are called `v_name`; on SQLite it runs once a row with the values in place, on
//! MySQL once for many rows, with the values as a table `v` made of one JSON text or as a list of tuples. A question ends
//! with `/* lock */` where its rows must not change before the commit; SQLite has one writer and takes it as a comment.

#![cfg_attr(not(feature = "mysql"), allow(dead_code, reason = "the embedded store runs one row at a time"))]

use std::borrow::Cow;
use std::sync::OnceLock;

/// Type of a value of a [`Many`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    Text,
    Blob,
}

/// A statement over many rows.
///
/// | in the text | SQLite | MySQL |
/// | --- | --- | --- |
/// | `v_name` | `?N` | column of `v`, or `?` within a tuple |
/// | `{v, }` | nothing | `JSON_TABLE(?, …) AS v STRAIGHT_JOIN `: keys first, whatever the server guesses |
/// | `{from v}` | nothing | `FROM JSON_TABLE(?, …) AS v` |
/// | `{(v_a, 0)}` | `(?1, 0)` | `(?, 0), (?, 0), …`; every value once, in the order of `columns` |
/// | `{only mysql: x}` | nothing | `x` |
/// | `{only sqlite: x}` | `x` | nothing |
pub(crate) struct Many {
    pub(crate) columns: &'static [(&'static str, Kind)],
    pub(crate) sql: &'static str,
    lite: OnceLock<String>,
}

impl Many {
    pub(crate) const fn new(sql: &'static str, columns: &'static [(&'static str, Kind)]) -> Self {
        Self { columns, sql, lite: OnceLock::new() }
    }

    /// The text for SQLite: one row.
    pub(crate) fn lite(&self) -> &str {
        self.lite.get_or_init(|| render(self.sql, self.columns, None))
    }

    /// Whether its values are a table made of one JSON text.
    pub(crate) fn is_table(&self) -> bool {
        self.sql.contains("{v, }") || self.sql.contains("{from v}")
    }

    /// The text for MySQL and so many rows.
    pub(crate) fn mysql(&self, rows: usize) -> String {
        mysql(&render(self.sql, self.columns, Some(rows))).into_owned()
    }
}

fn render(sql: &str, columns: &[(&str, Kind)], rows: Option<usize>) -> String {
    let mut text = String::with_capacity(sql.len() * 2);
    let mut rest = sql;
    while let Some(open) = rest.find('{') {
        let close = open + rest[open..].find('}').unwrap_or(rest.len() - open - 1);
        text.push_str(&values(&rest[..open], columns, rows, false));
        let inner = &rest[open + 1..close];
        match (inner, rows) {
            ("v, " | "from v", None) => {}
            ("from v", Some(_)) => text.push_str(&format!("FROM {} AS v", table(columns))),
            ("v, ", Some(_)) => text.push_str(&format!("{} AS v STRAIGHT_JOIN ", table(columns))),
            (only, rows) if only.starts_with("only sqlite: ") => {
                let only = &only["only sqlite: ".len()..];
                text.push_str(&if rows.is_some() { String::new() } else { values(only, columns, None, true) });
            }
            (only, rows) if only.starts_with("only mysql: ") => {
                text.push_str(if rows.is_some() { &only["only mysql: ".len()..] } else { "" });
            }
            (tuple, None) => text.push_str(&values(tuple, columns, None, true)),
            (tuple, Some(n)) => text.push_str(&vec![values(tuple, columns, Some(n), true); n].join(", ")),
        }
        rest = &rest[close + 1..];
    }
    text.push_str(&values(rest, columns, rows, false));
    text
}

/// Puts placeholders where values are named.
fn values(text: &str, columns: &[(&str, Kind)], rows: Option<usize>, tuple: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("v_") {
        let whole = at == 0 || !is_word(rest.as_bytes()[at - 1]);
        let end = at + rest[at..].bytes().position(|b| !is_word(b)).unwrap_or(rest.len() - at);
        out.push_str(&rest[..at]);
        let name = &rest[at..end];
        match columns.iter().position(|(column, _)| *column == name) {
            Some(no) if whole && rows.is_none() => out.push_str(&format!("?{}", no + 1)),
            Some(_) if whole && tuple => out.push('?'),
            // A JSON text has no bytes.
            Some(no) if whole && columns[no].1 == Kind::Blob => out.push_str(&format!("UNHEX({name})")),
            _ => out.push_str(name),
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The values as a table: measured twice as fast as a union of selects, and one text for any number of rows.
fn table(columns: &[(&str, Kind)]) -> String {
    let column = |(at, (name, kind)): (usize, &(&str, Kind))| match kind {
        Kind::Int => format!("{name} BIGINT PATH '$[{at}]'"),
        Kind::Text | Kind::Blob => format!("{name} TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PATH '$[{at}]'"),
    };
    let columns: Vec<String> = columns.iter().enumerate().map(column).collect();
    format!("JSON_TABLE(?, '$[*]' COLUMNS ({}))", columns.join(", "))
}

/// Rows as the JSON text of [`table`], bytes in hexadecimal.
#[cfg(feature = "mysql")]
pub(crate) fn json<B: super::Binds>(rows: &[B]) -> Result<String, crate::Error> {
    use std::fmt::Write;

    use super::Value;
    let mut text = String::from("[");
    for (at, row) in rows.iter().enumerate() {
        text.push_str(if at == 0 { "[" } else { ",[" });
        let mut first = true;
        row.each(&mut |value| {
            if !std::mem::take(&mut first) {
                text.push(',');
            }
            match value {
                Value::Null => text.push_str("null"),
                // Writing to a string cannot fail.
                Value::Int(number) => drop(write!(text, "{number}")),
                Value::Text(part) => text.push_str(&serde_json::Value::from(part).to_string()),
                Value::Blob(bytes) => {
                    text.push('"');
                    bytes.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap_or_default());
                    text.push('"');
                }
            }
            Ok(())
        })?;
        text.push(']');
    }
    text.push(']');
    Ok(text)
}

/// The same statement for MySQL.
pub(crate) fn mysql(sql: &str) -> Cow<'_, str> {
    if let Some(rest) = sql.strip_prefix("INSERT OR IGNORE ") {
        return Cow::Owned(format!("INSERT IGNORE {rest}"));
    }
    if let Some(rest) = sql.strip_prefix("INSERT OR REPLACE ") {
        return Cow::Owned(format!("REPLACE {rest}"));
    }
    Cow::Borrowed(sql)
}

/// A question that locks its rows until the commit where it says `/* lock */`; outside of a transaction it locks nothing.
pub(crate) fn locked(sql: &str, in_transaction: bool) -> String {
    sql.replace("/* lock */", if in_transaction { "FOR UPDATE" } else { "" })
}

/// Most rows of one statement that lists them.
pub(crate) const CHUNK_MAX: usize = 500;
/// Most keys, or rows of a table of values, of one statement.
pub(crate) const KEYS_MAX: usize = 2_000;

/// Sizes in which so many rows are written: few different ones, so that their statements stay prepared.
pub(crate) fn chunks(mut rows: usize) -> Vec<usize> {
    let mut sizes = Vec::new();
    while rows > 0 {
        let size = if rows >= CHUNK_MAX { CHUNK_MAX } else { 1 << rows.ilog2() };
        sizes.push(size);
        rows -= size;
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[(&str, Kind)] = &[("v_id", Kind::Int), ("v_name", Kind::Text)];

    #[test]
    fn sqlite_gets_one_row_in_place() {
        let update = Many::new("UPDATE {v, }t SET name = v_name WHERE id = v_id AND v_id > 0", COLUMNS);
        assert_eq!(update.lite(), "UPDATE t SET name = ?2 WHERE id = ?1 AND ?1 > 0");
        let insert = Many::new("INSERT OR IGNORE INTO t (id, name, x) VALUES {(v_id, v_name, 0)}", COLUMNS);
        assert_eq!(insert.lite(), "INSERT OR IGNORE INTO t (id, name, x) VALUES (?1, ?2, 0)");
        let delete = Many::new("DELETE {only mysql: t }FROM {v, }t WHERE id = v_id", &[("v_id", Kind::Int)]);
        assert_eq!(delete.lite(), "DELETE FROM t WHERE id = ?1");
    }

    #[test]
    fn mysql_gets_a_table_or_tuples() {
        let update = Many::new("UPDATE {v, }t SET name = v_name WHERE id = v_id", COLUMNS);
        assert_eq!(
            update.mysql(2),
            "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (v_id BIGINT PATH '$[0]', v_name TEXT CHARACTER SET utf8mb4 COLLATE \
             utf8mb4_bin PATH '$[1]')) AS v STRAIGHT_JOIN t SET name = v_name WHERE id = v_id"
        );
        let insert = Many::new("INSERT OR IGNORE INTO t (id, name, x) VALUES {(v_id, v_name, 0)}", COLUMNS);
        assert_eq!(insert.mysql(3), "INSERT IGNORE INTO t (id, name, x) VALUES (?, ?, 0), (?, ?, 0), (?, ?, 0)");
        let bytes = Many::new("INSERT INTO t (raw) SELECT v_raw {from v}", &[("v_raw", Kind::Blob)]);
        assert_eq!(bytes.lite(), "INSERT INTO t (raw) SELECT ?1 ");
        assert_eq!(
            bytes.mysql(0),
            "INSERT INTO t (raw) SELECT UNHEX(v_raw) FROM JSON_TABLE(?, '$[*]' COLUMNS (v_raw TEXT CHARACTER SET utf8mb4 \
             COLLATE utf8mb4_bin PATH '$[0]')) AS v"
        );
        let delete = Many::new("DELETE {only mysql: t }FROM {v, }t WHERE id = v_id", &[("v_id", Kind::Int)]);
        assert_eq!(
            delete.mysql(1),
            "DELETE t FROM JSON_TABLE(?, '$[*]' COLUMNS (v_id BIGINT PATH '$[0]')) AS v STRAIGHT_JOIN t WHERE id = v_id"
        );
    }

    #[test]
    fn rows_go_out_in_few_sizes() {
        assert_eq!(chunks(0), [0; 0]);
        assert_eq!(chunks(1), [1]);
        assert_eq!(chunks(500), [500]);
        assert_eq!(chunks(1300), [500, 500, 256, 32, 8, 4]);
        for rows in 0..2000 {
            assert_eq!(chunks(rows).iter().sum::<usize>(), rows);
        }
    }
}
