//! Brings a database to the newest schema by numbered steps, one process at a time.

use crate::db::{Db, OptionalExtension};
use crate::error::{Error, Kind};
use crate::migrate::{Step, checksum};

macro_rules! steps {
    ($($name:literal),+) => {
        &[$(Step { name: $name, sql: include_str!(concat!("../../migrations/mysql/", $name, ".sql")), while_empty: None }),+]
    };
}

/// The schema.
pub(crate) const STEPS: &[Step] = steps!(
    "0001_send",
    "0002_admin",
    "0003_processes",
    "0004_api",
    "0005_facts",
    "0006_waiting",
    "0007_groups",
    "0008_webhooks",
    "0009_reading",
    "0010_access",
    "0011_claims",
    "0012_uploads"
);

/// How long a step waits for transactions that use a table it changes, in seconds; then it is tried again.
const METADATA_WAIT_S: u32 = 5;
/// How often a step is tried.
const TRIES: u32 = 20;

/// Runs `work` while no other process opens this database.
pub(super) fn alone<T>(db: &Db, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let got: Option<i64> = db.query_row("SELECT GET_LOCK(CONCAT('bongsu:', DATABASE()), 60)", (), |row| row.get(0))?;
    if got != Some(1) {
        return Err(Error::new(Kind::Unavailable, "another process has been opening this database for a minute"));
    }
    let done = work();
    let _ = db.query_row("SELECT RELEASE_LOCK(CONCAT('bongsu:', DATABASE()))", (), |_| Ok(()));
    done
}

/// Applies what is missing. A server commits each statement that changes a table by itself, so a step may be applied in
/// part after a crash: what is there already is stepped over.
///
/// # Errors
/// `Corrupt` when a step that was applied reads differently now, or the database is newer than this program.
pub(crate) fn migrate(db: &Db, steps: &[Step]) -> Result<(), Error> {
    db.execute(
        "CREATE TABLE IF NOT EXISTS schema_steps (no INT NOT NULL PRIMARY KEY, name VARCHAR(100) NOT NULL, checksum BIGINT NOT NULL)
           ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
        (),
    )?;
    let applied: Vec<(String, i64)> = db
        .prepare_cached("SELECT name, checksum FROM schema_steps ORDER BY no")?
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    if applied.len() > steps.len() {
        return Err(Error::new(Kind::Corrupt, "the database was written by a newer version of this program"));
    }
    for (no, step) in steps.iter().enumerate() {
        let checksum = checksum(step.sql);
        match applied.get(no) {
            Some((name, old)) if name == step.name && *old == checksum => {}
            Some((name, _)) => {
                let why = format!("schema step {name} differs from this program's {}", step.name);
                return Err(Error::new(Kind::Corrupt, why));
            }
            None => {
                for statement in statements(step.sql) {
                    change(db, &statement)?;
                }
                db.execute(
                    "INSERT INTO schema_steps (no, name, checksum) VALUES (?, ?, ?)",
                    (no as i64, step.name, checksum),
                )?;
            }
        }
    }
    Ok(())
}

/// The statements of a step, without comments.
pub(crate) fn statements(sql: &str) -> Vec<String> {
    let code: Vec<&str> = sql.lines().map(|line| line.split("--").next().unwrap_or("")).collect();
    code.join("\n").split(';').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()
}

/// Applies one change of the schema. It waits for running transactions only shortly and lets others through in between,
/// so that a busy table does not stand still behind it.
pub(super) fn change(db: &Db, statement: &str) -> Result<(), Error> {
    let Some(connection) = db.my() else { return Ok(()) };
    connection.batch(&format!("SET SESSION lock_wait_timeout = {METADATA_WAIT_S}"))?;
    let mut tries = 0;
    loop {
        tries += 1;
        match connection.batch(statement) {
            Ok(()) => return Ok(()),
            Err(error) if already(&error) => return Ok(()),
            Err(error) if error.kind() == Kind::Busy && tries < TRIES => {
                super::pause(std::time::Duration::from_millis(50));
            }
            Err(error) => return Err(error),
        }
    }
}

/// The table, column, key or partition is there already, or gone already: ER_TABLE_EXISTS_ERROR, ER_DUP_FIELDNAME,
/// ER_DUP_KEYNAME, ER_CANT_DROP_FIELD_OR_KEY, ER_SAME_NAME_PARTITION, ER_DROP_PARTITION_NON_EXISTENT.
fn already(error: &Error) -> bool {
    error.kind() == Kind::Conflict("schema")
}

/// The name of a fact that must be there once.
pub(super) fn fact(db: &Db, name: &str) -> Result<(), Error> {
    let there: Option<String> =
        db.query_row("SELECT name FROM facts WHERE name = ?", [name], |row| row.get(0)).optional()?;
    if there.is_none() {
        db.execute("INSERT OR IGNORE INTO facts (name, value) VALUES (?, '')", [name])?;
    }
    Ok(())
}
