//! The tables as the migrations make them, for documents: read out of the steps themselves.

use crate::migrate::{DAY, INDEX, LIVE, Step};

/// One table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Which file holds it on the embedded store; a database has all in one.
    pub place: &'static str,
    /// Its name.
    pub name: String,
    /// What the migration says about it.
    pub about: String,
    /// Its columns in their order.
    pub columns: Vec<Column>,
    /// Its keys and indexes, as they are written.
    pub keys: Vec<String>,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Type and constraints.
    pub kind: String,
    /// What the migration says about it.
    pub about: String,
}

/// Every table of the embedded store. A database has the same ones, but `booked` and `settles`.
pub fn tables() -> Vec<Table> {
    let mut tables = Vec::new();
    for (place, steps) in [("live.db", LIVE), ("day-*.db", DAY), ("index files", INDEX)] {
        let mut here = Vec::new();
        for step in steps {
            read(place, step, &mut here);
        }
        tables.append(&mut here);
    }
    tables
}

fn read(place: &'static str, step: &Step, tables: &mut Vec<Table>) {
    let mut about: Vec<&str> = Vec::new();
    let mut open: Option<Table> = None;
    for line in step.sql.lines() {
        let line = line.trim();
        let (code, comment) = line.split_once("--").map_or((line, ""), |(code, comment)| (code.trim(), comment.trim()));
        if let Some(table) = &mut open {
            if code.starts_with(')') {
                tables.extend(open.take());
            } else {
                column(table, code, comment);
            }
            continue;
        }
        if code.is_empty() && !comment.is_empty() {
            about.push(comment);
            continue;
        }
        if let Some(rest) = code.strip_prefix("CREATE TABLE ") {
            let name = rest.split([' ', '(']).next().unwrap_or_default();
            open = Some(Table {
                place,
                name: name.to_owned(),
                about: about.join(" "),
                columns: Vec::new(),
                keys: Vec::new(),
            });
        } else if code.starts_with("CREATE ") && code.contains("INDEX ") {
            if let Some((_, on)) = code.trim_end_matches(';').split_once(" ON ") {
                let (name, columns) = on.split_once(' ').or_else(|| on.split_once('(')).unwrap_or((on, ""));
                let word = if code.contains("UNIQUE") { "UNIQUE" } else { "INDEX" };
                if let Some(table) = tables.iter_mut().find(|table| table.name == name) {
                    let columns = columns.trim().trim_matches(['(', ')']);
                    table.keys.push(format!("{word} ({columns})"));
                }
            }
        } else if let Some(gone) = code.strip_prefix("DROP TABLE ") {
            tables.retain(|table| table.name != gone.trim_end_matches(';'));
        } else if let Some((old, new)) =
            code.strip_prefix("ALTER TABLE ").and_then(|rest| rest.trim_end_matches(';').split_once(" RENAME TO "))
            && let Some(table) = tables.iter_mut().find(|table| table.name == old)
        {
            new.clone_into(&mut table.name);
        } else if let Some((name, added)) =
            code.strip_prefix("ALTER TABLE ").and_then(|rest| rest.trim_end_matches(';').split_once(" ADD COLUMN "))
            && let Some(table) = tables.iter_mut().find(|table| table.name == name)
        {
            let about = if comment.is_empty() { about.join(" ") } else { comment.to_owned() };
            column(table, added, &about);
        }
        about.clear();
    }
}

fn column(table: &mut Table, code: &str, comment: &str) {
    let code = code.trim_end_matches([',', ';']);
    let first = code.split_whitespace().next().unwrap_or_default();
    if code.is_empty() {
        // A comment that goes on belongs to the column above it.
        if let Some(last) = table.columns.last_mut().filter(|_| !comment.is_empty()) {
            last.about = format!("{} {comment}", last.about).trim().to_owned();
        }
    } else if ["PRIMARY", "UNIQUE", "KEY", "CHECK", "CONSTRAINT"].contains(&first.split('(').next().unwrap_or_default())
    {
        table.keys.push(code.split_whitespace().collect::<Vec<_>>().join(" "));
    } else {
        let kind: Vec<&str> = code.split_whitespace().skip(1).collect();
        table.columns.push(Column {
            name: first.trim_matches('`').to_owned(),
            kind: kind.join(" "),
            about: comment.to_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The columns as SQLite itself knows them.
    fn real(steps: &[Step]) -> Vec<(String, Vec<String>)> {
        let db = rusqlite::Connection::open_in_memory().unwrap();
        crate::migrate::migrate(&db, steps).unwrap();
        let sql = "SELECT m.name, c.name FROM sqlite_schema AS m, pragma_table_info(m.name) AS c
                     WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND m.name <> 'schema_steps' ORDER BY m.name, c.cid";
        let mut statement = db.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap();
        let mut found: Vec<(String, Vec<String>)> = Vec::new();
        for row in rows {
            let (table, column) = row.unwrap();
            match found.last_mut().filter(|(name, _)| *name == table) {
                Some((_, columns)) => columns.push(column),
                None => found.push((table, vec![column])),
            }
        }
        found
    }

    #[test]
    fn the_document_has_the_tables_and_columns_that_there_are() {
        for (place, steps) in [("live.db", LIVE), ("day-*.db", DAY), ("index files", INDEX)] {
            let mut told: Vec<(String, Vec<String>)> = tables()
                .into_iter()
                .filter(|table| table.place == place)
                .map(|table| (table.name, table.columns.into_iter().map(|column| column.name).collect()))
                .collect();
            told.sort();
            assert_eq!(told, real(steps), "{place}");
        }
    }
}
