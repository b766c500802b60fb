//! SQLite: statements of rusqlite, bound without a copy.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ToSql};

use super::value::{Binds, Value};
use crate::error::Error;

/// A cached statement.
pub struct Prepared<'a>(CachedStatement<'a>);

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Value::Null => ValueRef::Null,
            Value::Int(number) => ValueRef::Integer(number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl<'a> Prepared<'a> {
    pub(super) fn cached(db: &'a Connection, sql: &str) -> Result<Self, Error> {
        Ok(Self(db.prepare_cached(sql)?))
    }

    fn bind(&mut self, binds: &impl Binds) -> Result<(), Error> {
        let mut at = 0;
        binds.each(&mut |value| {
            at += 1;
            Ok(self.0.raw_bind_parameter(at, value)?)
        })
    }

    pub(super) fn execute(&mut self, binds: &impl Binds) -> Result<usize, Error> {
        self.bind(binds)?;
        Ok(self.0.raw_execute()?)
    }

    pub(super) fn query(&mut self, binds: &impl Binds) -> Result<rusqlite::Rows<'_>, Error> {
        self.bind(binds)?;
        Ok(self.0.raw_query())
    }
}
