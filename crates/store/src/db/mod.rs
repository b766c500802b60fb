//! One database connection, whichever engine: the same SQL text and the same order of binds (design D15).
//!
//! What differs is small and lives in [`dialect`](crate::db::dialect): statements over many rows, locks, and how an insert
//! may step over a row that is there.

pub(crate) mod dialect;
mod lite;
mod many;
#[cfg(feature = "mysql")]
pub(crate) mod mysql;
mod rows;
mod value;

pub use rows::{FromCell, Row, Rows};
pub use value::{Binds, ToValue, Value};
pub(crate) use value::{int, int_or_null, text_or_null};

use crate::error::{Error, Kind};

/// A connection. It belongs to one thread at a time.
pub struct Db(Engine);

enum Engine {
    Lite(rusqlite::Connection),
    #[cfg(feature = "mysql")]
    My(Box<mysql::Conn>),
}

impl From<rusqlite::Connection> for Db {
    fn from(connection: rusqlite::Connection) -> Self {
        Self(Engine::Lite(connection))
    }
}

#[cfg(feature = "mysql")]
impl From<mysql::Conn> for Db {
    fn from(connection: mysql::Conn) -> Self {
        Self(Engine::My(Box::new(connection)))
    }
}

impl Db {
    /// A statement that is prepared once and kept.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn prepare_cached(&self, sql: &str) -> Result<Statement<'_>, Error> {
        match &self.0 {
            Engine::Lite(db) => Ok(Statement::Lite(lite::Prepared::cached(db, sql)?)),
            #[cfg(feature = "mysql")]
            Engine::My(db) => Ok(Statement::My(db, dialect::locked(&dialect::mysql(sql), db.in_transaction()))),
        }
    }

    /// Runs one statement; answers the rows that it matched.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn execute(&self, sql: &str, binds: impl Binds) -> Result<usize, Error> {
        self.prepare_cached(sql)?.execute(binds)
    }

    /// The one row of a question.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub fn query_row<T>(
        &self,
        sql: &str,
        binds: impl Binds,
        read: impl FnOnce(&Row<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.prepare_cached(sql)?.query_row(binds, read)
    }

    /// Whether it speaks MySQL's protocol.
    pub fn is_mysql(&self) -> bool {
        !matches!(self.0, Engine::Lite(_))
    }

    /// The file's own connection, for what only SQLite has.
    pub(crate) fn lite(&self) -> Option<&rusqlite::Connection> {
        match &self.0 {
            Engine::Lite(db) => Some(db),
            #[cfg(feature = "mysql")]
            Engine::My(_) => None,
        }
    }

    /// The server's connection, for what only MySQL has.
    #[cfg(feature = "mysql")]
    pub(crate) fn my(&self) -> Option<&mysql::Conn> {
        match &self.0 {
            Engine::Lite(_) => None,
            Engine::My(db) => Some(db),
        }
    }

    /// Number of the row that the last insert made where the engine numbers them.
    pub(crate) fn last_insert_id(&self) -> i64 {
        match &self.0 {
            Engine::Lite(db) => db.last_insert_rowid(),
            #[cfg(feature = "mysql")]
            Engine::My(db) => db.last_insert_id(),
        }
    }
}

/// A prepared statement.
pub enum Statement<'a> {
    #[doc(hidden)]
    Lite(lite::Prepared<'a>),
    #[cfg(feature = "mysql")]
    #[doc(hidden)]
    My(&'a mysql::Conn, String),
}

impl Statement<'_> {
    /// Runs it; answers the rows that it matched.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn execute(&mut self, binds: impl Binds) -> Result<usize, Error> {
        match self {
            Statement::Lite(statement) => statement.execute(&binds),
            #[cfg(feature = "mysql")]
            Statement::My(db, sql) => db.execute(sql, &binds),
        }
    }

    /// Whether it has a row.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn exists(&mut self, binds: impl Binds) -> Result<bool, Error> {
        Ok(self.query(binds)?.next()?.is_some())
    }

    /// Its rows, one by one.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn query(&mut self, binds: impl Binds) -> Result<Rows<'_>, Error> {
        match self {
            Statement::Lite(statement) => Ok(Rows::Lite(statement.query(&binds)?)),
            #[cfg(feature = "mysql")]
            Statement::My(db, sql) => Ok(Rows::My(db.query(sql, &binds)?.into_iter())),
        }
    }

    /// The first row.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub fn query_row<T>(
        &mut self,
        binds: impl Binds,
        read: impl FnOnce(&Row<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut rows = self.query(binds)?;
        let row = rows.next()?.ok_or_else(|| Error::new(Kind::NotFound, "no such row"))?;
        read(&row)
    }

    /// Every row, read.
    ///
    /// # Errors
    /// Those of the engine; each item has its own.
    pub fn query_map<T>(
        &mut self,
        binds: impl Binds,
        mut read: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<std::vec::IntoIter<Result<T, Error>>, Error> {
        let mut rows = self.query(binds)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(read(&row));
        }
        Ok(all.into_iter())
    }
}

/// A row that may be missing.
pub trait OptionalExtension<T> {
    /// `None` instead of `NotFound`.
    ///
    /// # Errors
    /// All others.
    fn optional(self) -> Result<Option<T>, Error>;
}

impl<T> OptionalExtension<T> for Result<T, Error> {
    fn optional(self) -> Result<Option<T>, Error> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Binds of different types, in the order of the placeholders.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        [$($crate::db::ToValue::value(&$value)),*]
    };
}
pub(crate) use params;
