//! What did not arrive: rows that were refused, and messages of a group that failed.

use bongsu_domain::id::id_day;
use bongsu_domain::{AccountId, Code, Status};

use super::GroupRow;
use crate::db::Db;
use crate::error::Error;
use crate::readers::Reader;
use crate::rows::{self, MessageRow, Run};

/// Runs looked through in one read.
const RUNS_AT_ONCE: u32 = 20;

/// What the sealed bytes of a refused row hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The recipient as written.
    Written,
    /// A message, as in its row.
    Message,
    /// Nothing.
    Nothing,
}

/// Who a refused row was meant for.
#[derive(Debug, Clone)]
pub struct Identity {
    /// What is sealed.
    pub form: Form,
    /// The sealed bytes.
    pub sealed: Vec<u8>,
    /// The client reference as in a message's `extra`.
    pub extra: Option<String>,
}

/// One finding about a refused row.
#[derive(Debug, Clone)]
pub struct RowFailure {
    /// Its number, from 1.
    pub row: u32,
    /// Which finding of the row, from 0.
    pub seq: u8,
    /// What kind of wrong.
    pub code: Code,
    /// The field.
    pub field: String,
    /// A sentence for people.
    pub detail: String,
    /// Who it was meant for.
    pub identity: Identity,
}

/// Findings after one, in the order of rows.
pub(crate) fn errors(live: &Db, group: i64, after: (u32, u8), limit: u32) -> Result<Vec<RowFailure>, Error> {
    live.prepare_cached(
        "SELECT row_no, seq, code, field, detail, form, sealed, extra FROM group_errors
           WHERE request = ? AND (row_no > ? OR (row_no = ? AND seq > ?)) ORDER BY row_no, seq LIMIT ?",
    )?
    .query_map((group, after.0, after.0, after.1, limit), |row| {
        let form: u8 = row.get(5)?;
        Ok(RowFailure {
            row: row.get(0)?,
            seq: row.get(1)?,
            code: Code::from_number(row.get(2)?).unwrap_or(Code::BadRequest),
            field: row.get(3)?,
            detail: row.get(4)?,
            identity: Identity {
                form: match form {
                    0 => Form::Written,
                    1 => Form::Message,
                    _ => Form::Nothing,
                },
                sealed: row.get(6)?,
                extra: row.get(7)?,
            },
        })
    })?
    .collect()
}

/// Messages of some runs of a group that did not arrive, and the first id of the last run looked at; none at the end.
pub(crate) fn messages(
    reader: &mut Reader,
    group: &GroupRow,
    after: i64,
) -> Result<(Vec<MessageRow>, Option<i64>), Error> {
    let runs = runs_after(&reader.live, group.account, group, after)?;
    let mut failed = Vec::new();
    for run in &runs {
        let Some(day) = reader.day(id_day(run.first))? else { continue };
        let rows = rows::in_range(day, run.first, run.last())?;
        failed.extend(rows.into_iter().filter(|row| {
            matches!(row.status, Status::Undelivered | Status::Expired | Status::Failed | Status::Canceled)
        }));
    }
    Ok((failed, runs.last().map(|run| run.first)))
}

fn runs_after(live: &Db, account: AccountId, group: &GroupRow, after: i64) -> Result<Vec<Run>, Error> {
    let sql = format!(
        "SELECT {} FROM runs WHERE account = ? AND first > ? AND first >= ? AND first <= ? AND request = ? ORDER BY first LIMIT ?",
        rows::RUN_COLUMNS
    );
    live.prepare_cached(&sql)?
        .query_map((account.0, after, group.first, group.last, group.id, RUNS_AT_ONCE), rows::read_run)?
        .collect()
}
