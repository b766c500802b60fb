//! Who changed what: one row for each call that changed something, or was refused to.
//!
//! A call is handled within [`during`]. Its first change of settings carries the row in the same transaction, so that no change
//! is without its row; the answer's status is added after it. A call that changed nothing by itself gets its row at the end.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bongsu_domain::id::{first_id_at, id_millis};
use bongsu_domain::{AccountId, Code, KeyId, MessageId, RequestId, Timestamp};

use crate::db::{Db, OptionalExtension, Row, params};
use crate::error::Error;
use crate::tx::Tx;
use crate::{PAGE_MAX, Store};

/// Rows that one cleaning removes.
const CLEAN_MAX: u32 = 500;
/// The longest target and request id that are kept, in bytes.
const TEXT_MAX: usize = 80;
/// Requests that one page looks at.
const SENDS_LOOK: u32 = 50_000;
/// The operations that requests tell of, by the kind of a request.
const SENDS: [&str; 2] = ["send_message", "send_batch"];

/// Who does what, as it is known before it is done.
#[derive(Debug, Clone)]
pub struct Note {
    /// The account that it is about, as far as is known.
    pub account: Option<AccountId>,
    /// With which key.
    pub key: KeyId,
    /// The role or the kind of the key.
    pub role: &'static str,
    /// From where.
    pub ip: Option<IpAddr>,
    /// The id of the request.
    pub request_id: String,
    /// The operation of the interface, such as `create_key`.
    pub operation: &'static str,
    /// The id that the path names; empty where it names none.
    pub target: String,
}

/// How it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The account that it was about, where the answer told it.
    pub account: Option<AccountId>,
    /// What was made, where something was.
    pub target: Option<String>,
    /// HTTP status.
    pub status: u16,
    /// Code of a refusal, else 0.
    pub code: u16,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number, in the order of time.
    pub id: i64,
    /// The account that it was about.
    pub account: Option<AccountId>,
    /// With which key.
    pub key: KeyId,
    /// The role or the kind of the key; empty for a request that sent messages.
    pub role: String,
    /// From where; empty when that is not known.
    pub ip: String,
    /// The id of the request.
    pub request_id: String,
    /// The operation of the interface.
    pub operation: String,
    /// What it was done to.
    pub target: String,
    /// HTTP status; 0 for a change whose answer never left.
    pub status: u16,
    /// Code of a refusal, none when it went well.
    pub code: Option<Code>,
}

impl AuditRow {
    /// When it was written.
    pub fn at(&self) -> Timestamp {
        Timestamp::from_millis(id_millis(self.id))
    }
}

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Whose; everybody's for an operator.
    pub account: Option<AccountId>,
    /// With which key.
    pub key: Option<KeyId>,
    /// Of which operation.
    pub operation: Option<String>,
    /// At or after.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Older than this row.
    pub after: Option<i64>,
    /// Rows.
    pub limit: u32,
    /// Of which kinds.
    pub kinds: Kinds,
}

/// What stands in the log, and what the requests tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kinds {
    /// Calls that have a row of their own.
    #[default]
    Changes,
    /// Calls that messages came with, as their requests tell of them.
    Sends,
    /// Both.
    All,
}

impl Kinds {
    /// Those of one operation: what the requests tell of is asked of them.
    pub fn of(operation: &str) -> Self {
        if SENDS.contains(&operation) { Self::Sends } else { Self::Changes }
    }
}

/// A page of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// The rows, newest first.
    pub rows: Vec<AuditRow>,
    /// Give it back as `after` to go on; none at the end.
    pub next: Option<i64>,
}

/// A note on its way, and the row that it became.
pub(crate) struct Noting {
    note: Note,
    row: AtomicI64,
}

tokio::task_local! {
    /// The note of the call that this task handles.
    static NOTING: Arc<Noting>;
}

/// The note of the running call, unless it has its row already.
pub(crate) fn open_note() -> Option<Arc<Noting>> {
    NOTING.try_with(Arc::clone).ok().filter(|noting| noting.row.load(Ordering::Acquire) == 0)
}

impl Noting {
    /// Writes the row with a change.
    pub(crate) fn write(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let id = tx.new_id()?;
        insert(tx.live, id, &self.note, &Outcome::default())?;
        self.row.store(id, Ordering::Release);
        Ok(())
    }
}

/// Handles a call under a note; `judge` says how it ended.
pub async fn during<T>(
    store: &Store,
    note: Note,
    work: impl Future<Output = T>,
    judge: impl FnOnce(&T) -> Outcome,
) -> T {
    let (operation, target) = (note.operation, note.target.clone());
    let noting = Arc::new(Noting { note, row: AtomicI64::new(0) });
    let done = NOTING.scope(noting.clone(), work).await;
    let outcome = judge(&done);
    let written = store.write_as(false, move |tx| {
        let row = noting.row.load(Ordering::Acquire);
        // A row that was written with a change that then failed is not there.
        if row == 0 || update(tx.live, row, &noting.note, &outcome)? == 0 {
            let id = tx.new_id()?;
            insert(tx.live, id, &noting.note, &outcome)?;
        }
        Ok(())
    });
    if let Err(error) = written.await {
        tracing::warn!(%error, operation, target, "how a call ended could not be written to the audit log");
    }
    done
}

fn insert(live: &Db, id: i64, note: &Note, outcome: &Outcome) -> Result<(), Error> {
    let account = outcome.account.or(note.account).map_or(0, |account| account.0);
    live.prepare_cached(
        "INSERT INTO audit_log (id, account, api_key, role, ip, request_id, operation, target, status, code)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        id,
        account,
        note.key.0,
        note.role,
        note.ip.map_or_else(String::new, |ip| ip.to_canonical().to_string()),
        cut(&note.request_id),
        note.operation,
        cut(outcome.target.as_deref().unwrap_or(&note.target)),
        i64::from(outcome.status),
        i64::from(outcome.code)
    ])?;
    Ok(())
}

fn update(live: &Db, id: i64, note: &Note, outcome: &Outcome) -> Result<usize, Error> {
    let account = outcome.account.or(note.account).map_or(0, |account| account.0);
    let target = cut(outcome.target.as_deref().unwrap_or(&note.target));
    live.prepare_cached("UPDATE audit_log SET account = ?, target = ?, status = ?, code = ? WHERE id = ?")?
        .execute(params![account, target, i64::from(outcome.status), i64::from(outcome.code), id])
}

/// The beginning of a text from outside.
fn cut(text: &str) -> &str {
    let end = (0..=text.len().min(TEXT_MAX)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

/// A page of rows, newest first.
///
/// Sends have their rows among the requests, where no index knows accounts and keys: one page looks at so many of them, and
/// goes on from there with the next one.
///
/// # Errors
/// Only those of the store.
pub async fn list(store: &Store, filter: AuditFilter) -> Result<AuditPage, Error> {
    store.read(move |reader| page(&reader.live, &filter)).await
}

fn page(live: &Db, filter: &AuditFilter) -> Result<AuditPage, Error> {
    let from = filter.since.map_or(0, first_id_at);
    let until = filter.until.map_or(i64::MAX, first_id_at);
    let range = (from, filter.after.unwrap_or(i64::MAX).min(until));
    let limit = filter.limit.min(PAGE_MAX) as usize;
    let (mut rows, mut looked_to) = (Vec::new(), None);
    if filter.kinds != Kinds::Changes {
        (rows, looked_to) = sends(live, filter, range)?;
    }
    if filter.kinds != Kinds::Sends {
        let noted = changes(live, filter, (range.0.max(looked_to.unwrap_or(0)), range.1))?;
        rows.extend(noted);
        rows.sort_by_key(|row| std::cmp::Reverse(row.id));
        rows.truncate(limit);
    }
    let next = if rows.len() == limit { rows.last().map(|row| row.id) } else { looked_to };
    Ok(AuditPage { rows, next })
}

fn changes(live: &Db, filter: &AuditFilter, (from, before): (i64, i64)) -> Result<Vec<AuditRow>, Error> {
    let mut sql = "SELECT id, account, api_key, role, ip, request_id, operation, target, status, code \
                   FROM audit_log WHERE id >= ? AND id < ?"
        .to_owned();
    let mut binds: Vec<crate::db::Value<'_>> = vec![crate::db::int(from), crate::db::int(before)];
    if let Some(account) = filter.account {
        sql.push_str(" AND account = ?");
        binds.push(crate::db::int(account.0));
    }
    if let Some(key) = filter.key {
        sql.push_str(" AND api_key = ?");
        binds.push(crate::db::int(key.0));
    }
    if let Some(operation) = &filter.operation {
        sql.push_str(" AND operation = ?");
        binds.push(crate::db::Value::Text(operation));
    }
    sql.push_str(" ORDER BY id DESC LIMIT ?");
    binds.push(crate::db::int(filter.limit.min(PAGE_MAX)));
    let mut statement = live.prepare_cached(&sql)?;
    statement.query_map(&binds[..], from_row)?.collect()
}

/// Requests as rows, and the lowest id that was looked at when there may be more below it.
fn sends(live: &Db, filter: &AuditFilter, (from, before): (i64, i64)) -> Result<(Vec<AuditRow>, Option<i64>), Error> {
    // Those of groups stand in the log itself.
    let kind = match filter.operation.as_deref() {
        None => -1,
        Some(operation) => match SENDS.iter().position(|known| *known == operation) {
            Some(kind) => kind as i64,
            None => return Ok((Vec::new(), None)),
        },
    };
    let lowest: Option<i64> = live
        .prepare_cached("SELECT id FROM requests WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1 OFFSET ?")?
        .query_row((from, before, SENDS_LOOK - 1), |row| row.get(0))
        .optional()?;
    let (account, key) = (filter.account.map_or(0, |account| account.0), filter.key.map_or(0, |key| key.0));
    let rows: Vec<AuditRow> = live
        .prepare_cached(
            "SELECT id, account, kind, api_key, trace FROM requests WHERE id >= ? AND id < ? AND kind < 2 AND api_key <> 0 \
             AND (? = 0 OR account = ?) AND (? = 0 OR api_key = ?) AND (? < 0 OR kind = ?) ORDER BY id DESC LIMIT ?",
        )?
        .query_map(
            params![
                from.max(lowest.unwrap_or(0)),
                before,
                account,
                account,
                key,
                key,
                kind,
                kind,
                filter.limit.min(PAGE_MAX)
            ],
            from_request,
        )?
        .collect::<Result<_, _>>()?;
    // Below a full page there is more in any case, and nothing below it was looked at.
    let is_full = rows.len() == filter.limit.min(PAGE_MAX) as usize;
    let looked_to = if is_full { rows.last().map(|row| row.id) } else { lowest };
    Ok((rows, looked_to))
}

fn from_request(row: &Row<'_>) -> Result<AuditRow, Error> {
    let (id, kind): (i64, u8) = (row.get(0)?, row.get(2)?);
    let is_batch = kind == 1;
    Ok(AuditRow {
        id,
        account: Some(AccountId(row.get(1)?)),
        key: KeyId(row.get(3)?),
        role: String::new(),
        ip: String::new(),
        request_id: row.get::<Option<String>>(4)?.unwrap_or_default(),
        operation: SENDS[usize::from(is_batch)].to_owned(),
        target: if is_batch { RequestId(id).to_string() } else { MessageId(id).to_string() },
        status: 202,
        code: None,
    })
}

fn from_row(row: &Row<'_>) -> Result<AuditRow, Error> {
    let account: i64 = row.get(1)?;
    let code: u16 = row.get(9)?;
    Ok(AuditRow {
        id: row.get(0)?,
        account: (account != 0).then_some(AccountId(account)),
        key: KeyId(row.get(2)?),
        role: row.get(3)?,
        ip: row.get(4)?,
        request_id: row.get(5)?,
        operation: row.get(6)?,
        target: row.get(7)?,
        status: row.get(8)?,
        code: (code != 0).then(|| Code::from_number(code)).flatten(),
    })
}

/// Removes rows of before a moment, some at a time. Answers how many went.
///
/// # Errors
/// As for [`Store::write`].
pub async fn clean(store: &Store, before: Timestamp) -> Result<usize, Error> {
    let before = first_id_at(before);
    let work = move |tx: &mut Tx<'_>| {
        let over: Vec<i64> = tx
            .live
            .prepare_cached("SELECT id FROM audit_log WHERE id < ? ORDER BY id LIMIT ?")?
            .query_map((before, CLEAN_MAX), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        tx.live.delete_in("DELETE FROM audit_log WHERE id", &over)
    };
    store.write_as(false, work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_from_outside_are_cut_between_characters() {
        assert_eq!(cut("key_1"), "key_1");
        let long = "가".repeat(40);
        assert_eq!(cut(&long), "가".repeat(26));
    }
}
