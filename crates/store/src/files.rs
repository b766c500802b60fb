//! Opens the database files of a data directory, with the settings they all need, and holds the directory's lock.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use bongsu_domain::Day;
use rusqlite::{Connection, OpenFlags};

use crate::error::{Error, Kind};
use crate::migrate::{self, Step};

/// First SQLite release with the repair of the WAL-reset race.
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// Page cache of a writing connection, KiB.
const WRITER_CACHE_KIB: i64 = 8 * 1024;
/// Page cache of a reading connection, KiB.
const READER_CACHE_KIB: i64 = 1024;

/// Where everything lies.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn live(&self) -> PathBuf {
        self.root.join("live.db")
    }

    pub(crate) fn day(&self, day: Day) -> PathBuf {
        self.root.join(format!("day-{day}.db"))
    }

    pub(crate) fn index(&self, day: Day) -> PathBuf {
        self.root.join(format!("index-{day}.db"))
    }

    /// Days that have a file, oldest first.
    pub(crate) fn days(&self) -> Result<Vec<Day>, Error> {
        let mut days = Vec::new();
        for entry in std::fs::read_dir(&self.root)? {
            let name = entry?.file_name();
            let day = name.to_str().and_then(|n| n.strip_prefix("day-")).and_then(|n| n.strip_suffix(".db"));
            days.extend(day.and_then(|d| d.parse().ok()).map(Day));
        }
        days.sort_unstable();
        Ok(days)
    }
}

/// Takes the directory for this process alone, until the file is dropped.
///
/// # Errors
/// `InUse` when another process has it.
pub(crate) fn lock(layout: &Layout) -> Result<File, Error> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(layout.root().join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::new(Kind::InUse, format!("another process uses the data directory {}", layout.root().display())))
        }
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Opens a file for writing and brings its schema up to date.
pub(crate) fn open_writer(path: &Path, steps: &[Step]) -> Result<Connection, Error> {
    if rusqlite::version_number() < SQLITE_VERSION_MIN {
        return Err(Error::new(Kind::Corrupt, format!("SQLite {} is too old", rusqlite::version())));
    }
    let db = Connection::open(path)?;
    db.execute_batch(&format!(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-{WRITER_CACHE_KIB};
         PRAGMA busy_timeout=5000; PRAGMA wal_autocheckpoint=0; PRAGMA temp_store=MEMORY;"
    ))?;
    db.set_prepared_statement_cache_capacity(128);
    migrate::migrate(&db, steps)?;
    Ok(db)
}

/// Completes a file that a kill left half made: it has a journal then, and who only reads may not take back what was half
/// written.
pub(crate) fn complete(path: &Path, steps: &[Step]) -> Result<(), Error> {
    if path.exists() && path.with_extension("db-journal").exists() {
        open_writer(path, steps)?;
    }
    Ok(())
}

/// Opens a file for reading.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, Error> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.execute_batch(&format!("PRAGMA cache_size=-{READER_CACHE_KIB}; PRAGMA busy_timeout=2000;"))?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}
