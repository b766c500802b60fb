//! MariaDB and MySQL by sqlx, driven from a thread of our own: one connection, one transaction at a time.
//!
//! Every call is bounded in time. A connection that broke is made anew for the next transaction or question; within a
//! transaction it is an error, since what was written before is gone.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlRow};
use sqlx::{
    Arguments, AssertSqlSafe, Column, ConnectOptions, Connection, MySqlConnection, Row as _, TypeInfo, ValueRef,
};

use super::value::{Binds, Value};
use crate::error::{Error, Kind};

/// Prepared statements kept by a connection; every size of a statement over many rows is one.
const STATEMENTS_MAX: usize = 400;
/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Seconds that a connection for questions may be silent: it holds no lock.
const READER_IDLE_S: u32 = 600;
/// How long a statement of a transaction may take; longer than a wait for a lock.
const STATEMENT_MAX: Duration = Duration::from_secs(20);

/// How to reach a server.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) options: MySqlConnectOptions,
    /// Seconds after which the server ends a silent connection, so that a paused process holds no lock for long.
    pub(crate) idle_s: u32,
    /// Round trips of all connections.
    pub(crate) trips: Arc<AtomicU64>,
}

impl Address {
    /// Reads `mysql://user:password@host:port/database`.
    ///
    /// # Errors
    /// `Invalid("store.url")`; it does not repeat the password.
    pub(crate) fn parse(url: &str, idle_s: u32, trips: Arc<AtomicU64>) -> Result<Self, Error> {
        let options: MySqlConnectOptions = url.parse().map_err(|_| {
            Error::new(Kind::Invalid("store.url"), "not an address like mysql://user:password@host:3306/database")
        })?;
        if options.get_database().is_none_or(str::is_empty) {
            return Err(Error::new(Kind::Invalid("store.url"), "the address names no database"));
        }
        let options = options
            .charset("utf8mb4")
            .collation("utf8mb4_bin")
            .statement_cache_capacity(STATEMENTS_MAX)
            .disable_statement_logging();
        Ok(Self { options, idle_s, trips })
    }
}

/// One connection with the runtime that drives it.
pub struct Conn {
    runtime: tokio::runtime::Runtime,
    address: Address,
    open: RefCell<Option<MySqlConnection>>,
    used: Cell<Instant>,
    in_transaction: Cell<bool>,
    written: Cell<u64>,
    last_id: Cell<i64>,
    /// The longest that a question outside of a transaction may take.
    read_max: Option<Duration>,
}

impl Conn {
    /// A connection that is made when it is first needed.
    pub(crate) fn new(address: Address, read_max: Option<Duration>) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self {
            runtime,
            address,
            open: RefCell::new(None),
            used: Cell::new(Instant::now()),
            in_transaction: Cell::new(false),
            written: Cell::new(0),
            last_id: Cell::new(0),
            read_max,
        })
    }

    /// Rows matched by writes since the connection was made.
    pub(crate) fn written(&self) -> u64 {
        self.written.get()
    }

    pub(crate) fn last_insert_id(&self) -> i64 {
        self.last_id.get()
    }

    /// Whether a transaction is open.
    pub(crate) fn in_transaction(&self) -> bool {
        self.in_transaction.get()
    }

    /// Opens a transaction; on a new connection when the old one broke or was silent for so long that the server may have
    /// ended it.
    pub(crate) fn begin(&self) -> Result<(), Error> {
        let stale = self.used.get().elapsed().as_secs_f64() * 2.0 > f64::from(self.address.idle_s);
        if stale {
            self.drop_connection();
        }
        self.in_transaction.set(false);
        self.batch("START TRANSACTION")?;
        self.in_transaction.set(true);
        Ok(())
    }

    /// Makes it durable. After an error nobody knows whether it is.
    pub(crate) fn commit(&self) -> Result<(), Error> {
        let done = self.batch("COMMIT");
        self.in_transaction.set(false);
        done
    }

    /// Undoes it.
    pub(crate) fn rollback(&self) {
        if self.in_transaction.replace(false) && self.batch("ROLLBACK").is_err() {
            // The server undoes what a lost connection leaves.
            self.drop_connection();
        }
    }

    /// Ends the connection.
    pub(crate) fn drop_connection(&self) {
        self.in_transaction.set(false);
        if let Some(connection) = self.open.borrow_mut().take() {
            let _guard = self.runtime.enter();
            drop(connection);
        }
    }

    /// Statements without binds.
    pub(crate) fn batch(&self, sql: &str) -> Result<(), Error> {
        self.call(|connection| {
            let sql = AssertSqlSafe(sql.to_owned());
            Box::pin(async move { sqlx::raw_sql(sql).execute(connection).await.map(|_| ()) })
        })
    }

    pub(crate) fn execute(&self, sql: &str, binds: &impl Binds) -> Result<usize, Error> {
        let arguments = arguments(binds)?;
        self.execute_with(sql, arguments)
    }

    pub(crate) fn execute_with(&self, sql: &str, arguments: MySqlArguments) -> Result<usize, Error> {
        let done = self.call(|connection| {
            let (sql, arguments) = (AssertSqlSafe(sql.to_owned()), arguments.clone());
            Box::pin(async move { sqlx::query_with(sql, arguments).execute(connection).await })
        })?;
        self.written.set(self.written.get() + done.rows_affected());
        self.last_id.set(done.last_insert_id() as i64);
        Ok(done.rows_affected() as usize)
    }

    pub(crate) fn query(&self, sql: &str, binds: &impl Binds) -> Result<Vec<MySqlRow>, Error> {
        let arguments = arguments(binds)?;
        self.query_with(sql, arguments)
    }

    pub(crate) fn query_with(&self, sql: &str, arguments: MySqlArguments) -> Result<Vec<MySqlRow>, Error> {
        self.call(|connection| {
            let (sql, arguments) = (AssertSqlSafe(sql.to_owned()), arguments.clone());
            Box::pin(async move { sqlx::query_with(sql, arguments).fetch_all(connection).await })
        })
    }

    /// Runs a statement on the connection. Outside of a transaction a broken connection is replaced once.
    fn call<T>(
        &self,
        run: impl for<'c> Fn(&'c mut MySqlConnection) -> std::pin::Pin<Box<dyn Future<Output = sqlx::Result<T>> + 'c>>,
    ) -> Result<T, Error> {
        let limit = if self.in_transaction.get() { STATEMENT_MAX } else { self.read_max.unwrap_or(STATEMENT_MAX) };
        let mut again = !self.in_transaction.get() && self.open.borrow().is_some();
        loop {
            let mut slot = self.open.borrow_mut();
            if slot.is_none() {
                if self.in_transaction.get() {
                    return Err(Error::new(Kind::Lost, "the connection to the database was lost"));
                }
                *slot = Some(self.connect()?);
            }
            let Some(connection) = slot.as_mut() else { continue };
            self.address.trips.fetch_add(1, Ordering::Relaxed);
            let answer = self.runtime.block_on(async { tokio::time::timeout(limit, run(connection)).await });
            self.used.set(Instant::now());
            let error = match answer {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => Error::from(error),
                Err(_) => Error::new(Kind::Lost, "the database took too long to answer"),
            };
            if error.kind() == Kind::Lost {
                let gone = slot.take();
                let _guard = self.runtime.enter();
                drop(gone);
                if std::mem::take(&mut again) {
                    continue;
                }
            }
            return Err(error);
        }
    }

    fn connect(&self) -> Result<MySqlConnection, Error> {
        let made = self.runtime.block_on(async {
            let made = tokio::time::timeout(CONNECT_MAX, async {
                let mut connection = MySqlConnection::connect_with(&self.address.options).await?;
                sqlx::raw_sql("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
                    .execute(&mut connection)
                    .await?;
                sqlx::raw_sql(AssertSqlSafe(format!(
                    "SET SESSION wait_timeout = {}, innodb_lock_wait_timeout = {}",
                    if self.read_max.is_some() { READER_IDLE_S } else { self.address.idle_s.max(1) },
                    (self.address.idle_s * 2).clamp(2, 10)
                )))
                .execute(&mut connection)
                .await?;
                Ok::<_, sqlx::Error>(connection)
            });
            made.await
        });
        match made {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(unreachable(&error)),
            Err(_) => Err(Error::new(Kind::Lost, "the database does not answer")),
        }
    }
}

/// A connection that could not be made; its reason, without the address.
fn unreachable(error: &sqlx::Error) -> Error {
    Error::new(Kind::Lost, format!("no connection to the database: {error}"))
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.drop_connection();
    }
}

/// Binds as sqlx takes them.
pub(crate) fn arguments(binds: &impl Binds) -> Result<MySqlArguments, Error> {
    let mut arguments = MySqlArguments::default();
    add(&mut arguments, binds)?;
    Ok(arguments)
}

/// Adds the binds of one more row.
pub(crate) fn add(arguments: &mut MySqlArguments, binds: &impl Binds) -> Result<(), Error> {
    binds.each(&mut |value| {
        let added = match value {
            Value::Null => arguments.add(None::<i64>),
            Value::Int(number) => arguments.add(number),
            Value::Text(text) => arguments.add(text),
            Value::Blob(bytes) => arguments.add(bytes),
        };
        added.map_err(|error| Error::new(Kind::Corrupt, format!("a value could not be bound: {error}")))
    })
}

fn bad(at: usize, what: &str) -> Error {
    Error::new(Kind::Corrupt, format!("column {at} is not {what}"))
}

/// A number; sums and shifts come as other types than columns.
pub(crate) fn int(row: &MySqlRow, at: usize) -> Result<Option<i64>, Error> {
    if row.try_get_raw(at).map_err(|_| bad(at, "there"))?.is_null() {
        return Ok(None);
    }
    let unsigned = row.columns().get(at).is_some_and(|column| column.type_info().name().contains("UNSIGNED"));
    if unsigned {
        return row.try_get::<u64, _>(at).map(|n| Some(n as i64)).map_err(|_| bad(at, "a number"));
    }
    row.try_get::<i64, _>(at).map(Some).map_err(|_| bad(at, "a number"))
}

pub(crate) fn text(row: &MySqlRow, at: usize) -> Result<Option<String>, Error> {
    row.try_get_unchecked::<Option<String>, _>(at).map_err(|_| bad(at, "text"))
}

pub(crate) fn blob(row: &MySqlRow, at: usize) -> Result<Option<Vec<u8>>, Error> {
    row.try_get_unchecked::<Option<Vec<u8>>, _>(at).map_err(|_| bad(at, "bytes"))
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let detail = error.to_string();
        let kind = match &error {
            sqlx::Error::Database(said) => {
                match said.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().map(|said| said.number()) {
                    // ER_DUP_ENTRY, ER_CONSTRAINT_FAILED (MariaDB), ER_CHECK_CONSTRAINT_VIOLATED (MySQL)
                    Some(1062 | 4025 | 3819) => Kind::Conflict("constraint"),
                    // ER_TABLE_EXISTS_ERROR, ER_DUP_FIELDNAME, ER_DUP_KEYNAME, ER_CANT_DROP_FIELD_OR_KEY,
                    // ER_SAME_NAME_PARTITION, ER_DROP_PARTITION_NON_EXISTENT
                    Some(1050 | 1060 | 1061 | 1091 | 1517 | 1507) => Kind::Conflict("schema"),
                    // ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK, ER_CHECKREAD (the row changed meanwhile)
                    Some(1205 | 1213 | 1020) => Kind::Busy,
                    // ER_DISK_FULL, ER_RECORD_FILE_FULL
                    Some(1021 | 1114) => Kind::Full,
                    // ER_CON_COUNT, ER_SERVER_SHUTDOWN, ER_NEW_ABORTING_CONNECTION, ER_CONNECTION_KILLED,
                    // ER_QUERY_INTERRUPTED, ER_OPTION_PREVENTS_STATEMENT (read only while it starts)
                    Some(1040 | 1053 | 1184 | 1927 | 1317 | 1290 | 4031) => Kind::Lost,
                    _ => Kind::Unavailable,
                }
            }
            sqlx::Error::RowNotFound => Kind::NotFound,
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) | sqlx::Error::WorkerCrashed => {
                Kind::Lost
            }
            _ => Kind::Unavailable,
        };
        Error::new(kind, detail)
    }
}
