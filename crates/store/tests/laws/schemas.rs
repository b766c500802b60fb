//! The two engines have the same tables and columns, but for what only files need.

use std::collections::BTreeMap;

use bongsu_domain::Clock;

use crate::ground::{MORE_TABLES, TABLES};
use crate::house::house;

/// Tables of files alone: what a live file books from the files of days, which a database has in one transaction.
const ONLY_FILES: [&str; 2] = ["booked", "settles"];
/// What processes share of a database. Files belong to one process, which neither reads nor writes it.
const ONLY_SHARED: &str = "leases";
/// Search keys, which files have in files of their own.
const ONLY_TABLES: &str = "tags";
/// What a database numbers after the commit, and so keeps otherwise than files.
const OTHERWISE: &str = "event_slices";

/// Columns of each table, by name, and whether they may be missing. Nothing reads them by their place.
type Schema = BTreeMap<String, Vec<(String, bool)>>;

fn of_file(path: &std::path::Path, schema: &mut Schema) {
    let db = rusqlite::Connection::open(path).unwrap();
    let mut columns = db
        .prepare(
            "SELECT m.name, c.name, c.\"notnull\", c.pk FROM sqlite_schema AS m, pragma_table_info(m.name) AS c
               WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' ORDER BY m.name, c.name",
        )
        .unwrap();
    let mut rows = columns.query([]).unwrap();
    let mut of_this = Schema::new();
    while let Some(row) = rows.next().unwrap() {
        let (table, column): (String, String) = (row.get(0).unwrap(), row.get(1).unwrap());
        let (not_null, key): (bool, i64) = (row.get(2).unwrap(), row.get(3).unwrap());
        of_this.entry(table).or_default().push((column, !not_null && key == 0));
    }
    schema.extend(of_this);
}

#[tokio::test]
async fn files_and_databases_have_the_same_tables_and_columns() {
    let house = house();
    let dir = tempfile::tempdir().unwrap();
    let files = bongsu_store::Store::open(bongsu_store::Options::new(dir.path(), house.clock.clone())).unwrap();
    let account = bongsu_store::accounts::create(&files, "가게").await.unwrap().id;
    let answer = Box::new(|_| (202, Vec::new()));
    // A free message makes the file of its day.
    files.accept_one(account, bongsu_domain::Lane::Bulk, crate::house::sms(0), None, answer).await.unwrap().unwrap();
    files.close();
    let mut of_files = Schema::new();
    of_file(&dir.path().join("live.db"), &mut of_files);
    of_file(&dir.path().join(format!("day-{}.db", house.clock.now().kst_day())), &mut of_files);
    let of_database = house.store.read(|reader| {
        let mut columns = reader.live.prepare_cached(
            "SELECT table_name, column_name, is_nullable FROM information_schema.columns
               WHERE table_schema = DATABASE() ORDER BY table_name, column_name",
        )?;
        let rows = columns.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get::<String>(2)? == "YES")))?;
        let mut schema = Schema::new();
        for row in rows {
            let (table, column, nullable): (String, String, bool) = row?;
            schema.entry(table).or_default().push((column, nullable));
        }
        Ok(schema)
    });
    let mut of_database = of_database.await.unwrap();
    let own: Vec<String> = of_database.keys().filter(|table| *table != "schema_steps").cloned().collect();
    let mut emptied: Vec<&str> = TABLES.iter().chain(&MORE_TABLES).copied().collect();
    emptied.sort_unstable();
    assert_eq!(own, emptied, "laws empty every table");
    for table in ONLY_FILES {
        assert!(of_files.remove(table).is_some(), "{table} is gone from the files");
    }
    of_files.remove(ONLY_SHARED);
    assert!(of_database.remove(ONLY_SHARED).is_some());
    assert!(of_database.remove(ONLY_TABLES).is_some());
    assert!(of_files.remove(OTHERWISE).is_some() && of_database.remove(OTHERWISE).is_some());
    for (table, columns) in &of_files {
        assert_eq!(of_database.get(table), Some(columns), "{table}");
    }
    assert_eq!(of_database.keys().collect::<Vec<_>>(), of_files.keys().collect::<Vec<_>>());
}
