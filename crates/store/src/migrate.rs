//! Brings a database file to the newest schema by numbered steps that are never edited once shipped.

use rusqlite::Connection;

use crate::error::{Error, Kind};

/// One numbered step of a schema.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
    /// It only changes how the rows of this table lie. A file that has some keeps its layout: both are read and written
    /// alike, and a start must not take as long as copying the history does.
    pub(crate) while_empty: Option<&'static str>,
}

macro_rules! steps {
    ($folder:literal: $($name:literal),+ $(; while $table:literal is empty: $last:literal)?) => {
        &[
            $(steps!(one $folder, $name, None)),+
            $(, steps!(one $folder, $last, Some($table)))?
        ]
    };
    (one $folder:literal, $name:literal, $while_empty:expr) => {
        Step {
            name: $name,
            sql: include_str!(concat!("../migrations/sqlite/", $folder, "/", $name, ".sql")),
            while_empty: $while_empty,
        }
    };
}

/// The file that lives as long as the installation.
pub(crate) const LIVE: &[Step] = steps!("live": "0001_send", "0002_admin", "0003_processes", "0004_facts", "0005_waiting", "0006_groups", "0007_webhooks", "0008_reading", "0009_access", "0010_claims", "0011_rowids", "0012_uploads");
/// One file a day of accept.
pub(crate) const DAY: &[Step] =
    steps!("day": "0001_messages", "0002_facts", "0003_reading"; while "messages" is empty: "0004_rowids");
/// The search keys of one day.
pub(crate) const INDEX: &[Step] = steps!("index": "0001_runs");

/// Applies what is missing, each step in a transaction of its own.
///
/// # Errors
/// `Corrupt` when a step that was applied reads differently now, or the file is newer than this program.
pub(crate) fn migrate(db: &Connection, steps: &[Step]) -> Result<(), Error> {
    db.execute_batch("CREATE TABLE IF NOT EXISTS schema_steps (no INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum BIGINT NOT NULL)")?;
    let applied: Vec<(String, i64)> = db
        .prepare("SELECT name, checksum FROM schema_steps ORDER BY no")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    if applied.len() > steps.len() {
        return Err(Error::new(Kind::Corrupt, "the data directory was written by a newer version of this program"));
    }
    for (no, step) in steps.iter().enumerate() {
        let checksum = checksum(step.sql);
        match applied.get(no) {
            Some((name, old)) if name == step.name && *old == checksum => {}
            Some((name, _)) => {
                return Err(Error::new(
                    Kind::Corrupt,
                    format!("schema step {name} differs from this program's {}", step.name),
                ));
            }
            None => {
                let sql = if keeps_layout(db, step)? { "" } else { step.sql };
                db.execute_batch("BEGIN IMMEDIATE")?;
                let done = db.execute_batch(sql).and_then(|()| {
                    db.execute(
                        "INSERT INTO schema_steps VALUES (?, ?, ?)",
                        rusqlite::params![no as i64, step.name, checksum],
                    )
                });
                db.execute_batch(if done.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
                done?;
            }
        }
    }
    Ok(())
}

fn keeps_layout(db: &Connection, step: &Step) -> Result<bool, Error> {
    let Some(table) = step.while_empty else { return Ok(false) };
    Ok(db.query_row(&format!("SELECT EXISTS (SELECT 1 FROM {table})"), [], |row| row.get(0))?)
}

/// FNV-1a: notices an edited step; it guards against mistakes, not against attackers.
pub(crate) fn checksum(sql: &str) -> i64 {
    let hash = sql
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    (hash >> 1) as i64
}
