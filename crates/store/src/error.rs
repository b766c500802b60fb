//! The store's one error: a kind to branch on, and a source to read.

/// What a caller may do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// There is no such row for this account.
    NotFound,
    /// The row exists already, or is used; the word names the rule.
    Conflict(&'static str),
    /// The balance does not cover the charge.
    NoBalance,
    /// A value is out of its range; the word names the field.
    Invalid(&'static str),
    /// The caller tried too often; the word names the rule.
    TooMany(&'static str),
    /// The store cannot answer now; try again.
    Unavailable,
    /// Reading or writing a file failed; an fsync that fails ends the process, since repeating it lies.
    Broken,
    /// The disk is full.
    Full,
    /// The data is damaged or its key is missing.
    Corrupt,
    /// The clock stepped back too far to give ids.
    ClockBehind,
    /// Another process uses the data directory.
    InUse,
    /// Another writer was in the way; the whole transaction can be run again.
    Busy,
    /// The connection to the database was lost; the transaction is gone, or, at its commit, nobody knows.
    Lost,
    /// This process lost its lease and may not write any more.
    Fenced,
}

/// An error of the store.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{detail}")]
pub struct Error {
    kind: Kind,
    detail: String,
}

impl Error {
    /// An error of a kind with a sentence for people.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// What a caller may do about it.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

impl Error {
    /// What a caller is told who can do nothing about connections and other writers but come again.
    pub(crate) fn for_callers(self) -> Self {
        match self.kind {
            Kind::Busy | Kind::Lost | Kind::Fenced => Self { kind: Kind::Unavailable, ..self },
            _ => self,
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as C;
        let kind = match error.sqlite_error_code() {
            Some(C::DiskFull) => Kind::Full,
            Some(C::SystemIoFailure) => Kind::Broken,
            Some(C::DatabaseCorrupt | C::NotADatabase) => Kind::Corrupt,
            Some(C::ConstraintViolation) => Kind::Conflict("constraint"),
            _ if matches!(error, rusqlite::Error::QueryReturnedNoRows) => Kind::NotFound,
            _ => Kind::Unavailable,
        };
        Self { kind, detail: error.to_string() }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        let kind = if error.kind() == std::io::ErrorKind::StorageFull { Kind::Full } else { Kind::Unavailable };
        Self { kind, detail: error.to_string() }
    }
}
