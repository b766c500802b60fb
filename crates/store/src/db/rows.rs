//! Rows of an answer, and the types that a column is read as.

use crate::error::{Error, Kind};

/// Rows, one by one.
pub enum Rows<'a> {
    #[doc(hidden)]
    Lite(rusqlite::Rows<'a>),
    #[cfg(feature = "mysql")]
    #[doc(hidden)]
    My(std::vec::IntoIter<sqlx::mysql::MySqlRow>),
}

impl Rows<'_> {
    /// The next row.
    ///
    /// # Errors
    /// Those of the engine.
    #[allow(clippy::should_implement_trait, reason = "a row borrows from its rows")]
    pub fn next(&mut self) -> Result<Option<Row<'_>>, Error> {
        match self {
            Rows::Lite(rows) => Ok(rows.next()?.map(Row::Lite)),
            #[cfg(feature = "mysql")]
            Rows::My(rows) => Ok(rows.next().map(|row| Row::My(Box::new(row)))),
        }
    }
}

/// One row.
pub enum Row<'a> {
    #[doc(hidden)]
    Lite(&'a rusqlite::Row<'a>),
    #[cfg(feature = "mysql")]
    #[doc(hidden)]
    My(Box<sqlx::mysql::MySqlRow>),
}

impl Row<'_> {
    /// A column by position, from 0.
    ///
    /// # Errors
    /// `Corrupt` when it has another type.
    pub fn get<T: FromCell>(&self, at: usize) -> Result<T, Error> {
        T::from_cell(self, at)
    }

    fn int(&self, at: usize) -> Result<Option<i64>, Error> {
        match self {
            Row::Lite(row) => Ok(row.get(at)?),
            #[cfg(feature = "mysql")]
            Row::My(row) => super::mysql::int(row, at),
        }
    }

    fn text(&self, at: usize) -> Result<Option<String>, Error> {
        match self {
            Row::Lite(row) => Ok(row.get(at)?),
            #[cfg(feature = "mysql")]
            Row::My(row) => super::mysql::text(row, at),
        }
    }

    fn blob(&self, at: usize) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Row::Lite(row) => Ok(row.get(at)?),
            #[cfg(feature = "mysql")]
            Row::My(row) => super::mysql::blob(row, at),
        }
    }
}

/// A type that a column is read as.
pub trait FromCell: Sized {
    /// Reads a column.
    ///
    /// # Errors
    /// `Corrupt` when it has another type, or is NULL where that may not be.
    fn from_cell(row: &Row<'_>, at: usize) -> Result<Self, Error>;
}

fn missing(at: usize) -> Error {
    Error::new(Kind::Corrupt, format!("column {at} is NULL"))
}

macro_rules! integers {
    ($($kind:ty),*) => {$(
        impl FromCell for Option<$kind> {
            fn from_cell(row: &Row<'_>, at: usize) -> Result<Self, Error> {
                let number = row.int(at)?;
                number.map(|n| <$kind>::try_from(n).map_err(|_| Error::new(Kind::Corrupt, format!("column {at} does not fit")))).transpose()
            }
        }
        impl FromCell for $kind {
            fn from_cell(row: &Row<'_>, at: usize) -> Result<Self, Error> {
                <Option<$kind>>::from_cell(row, at)?.ok_or_else(|| missing(at))
            }
        }
    )*};
}
integers!(i64, i32, i16, u8, u16, u32, u64);

macro_rules! cells {
    ($($kind:ty => $read:ident),*) => {$(
        impl FromCell for Option<$kind> {
            fn from_cell(row: &Row<'_>, at: usize) -> Result<Self, Error> {
                row.$read(at)
            }
        }
        impl FromCell for $kind {
            fn from_cell(row: &Row<'_>, at: usize) -> Result<Self, Error> {
                row.$read(at)?.ok_or_else(|| missing(at))
            }
        }
    )*};
}
cells!(String => text, Vec<u8> => blob);

impl FromCell for bool {
    fn from_cell(row: &Row<'_>, at: usize) -> Result<Self, Error> {
        Ok(i64::from_cell(row, at)? != 0)
    }
}
