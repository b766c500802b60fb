//! Rows of a group come in: uploads that can go on after a break, slices that are staged, errors that are kept.

use std::sync::Arc;

use bongsu_domain::{AccountId, Code, Lane, Unit};

use super::{FINDINGS_MAX, GroupRow, ROWS_MAX, State, must};
use crate::accept::{self, NewMessage, Slice, Stage};
use crate::db::dialect::Kind::{Blob, Int, Text};
use crate::db::dialect::Many;
use crate::db::{Db, OptionalExtension, Value, int, text_or_null};
use crate::error::Error;
use crate::tx::Tx;

static SLICES: Many = Many::new(
    "INSERT INTO group_slices (first, request, count, lane, expires, amount, skip)
       VALUES {(v_first, v_request, v_count, v_lane, v_expires, v_amount, -1)}",
    &[("v_first", Int), ("v_request", Int), ("v_count", Int), ("v_lane", Int), ("v_expires", Int), ("v_amount", Int)],
);

static ERRORS: Many = Many::new(
    "INSERT OR REPLACE INTO group_errors (request, row_no, seq, code, field, detail, form, sealed, extra)
       VALUES {(v_request, v_row, v_seq, v_code, v_field, v_detail, v_form, v_sealed, v_extra)}",
    &[
        ("v_request", Int),
        ("v_row", Int),
        ("v_seq", Int),
        ("v_code", Int),
        ("v_field", Text),
        ("v_detail", Text),
        ("v_form", Int),
        ("v_sealed", Blob),
        ("v_extra", Text),
    ],
);

/// What is wrong with a row.
#[derive(Debug, Clone)]
pub struct RowError {
    /// Its number, from 1.
    pub row: u32,
    /// Code, field and a sentence without personal data, of each finding; the first ones are kept.
    pub findings: Vec<(Code, String, String)>,
    /// The recipient as written, sealed.
    pub sealed: Vec<u8>,
    /// The client reference as in a message's `extra`.
    pub extra: Option<String>,
}

/// Good rows of one lane.
#[derive(Debug, Clone)]
pub struct LaneRows {
    /// The lane.
    pub lane: Lane,
    /// Numbers of the rows, from 1.
    pub rows: Vec<u32>,
    /// Their messages.
    pub messages: Vec<NewMessage>,
}

/// Rows with consecutive numbers, at most [`accept::RUN_MAX`] of them.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The group.
    pub group: i64,
    /// Its account.
    pub account: AccountId,
    /// Number of the first row, from 1.
    pub from: u32,
    /// How many rows.
    pub count: u32,
    /// The good ones, by lane.
    pub lanes: Vec<LaneRows>,
    /// The others.
    pub errors: Vec<RowError>,
    /// Texts of the group, written with the first slice of each day.
    pub contents: Arc<Vec<Vec<u8>>>,
    /// Keyed hash of the upload it belongs to, 0 for none.
    pub upload: i64,
    /// Whether the rows come after all others, whichever those are: none of them can be there already.
    pub appends: bool,
    /// Keyed hash of the rows of its upload up to the last one of these, 0 when it is not known.
    pub hash: i64,
}

/// An upload that begins, or goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// Number of its first row.
    pub first: u32,
    /// So many of its rows are there and known by their hash.
    pub hashed: u32,
    /// That hash.
    pub hash: i64,
}

/// Why rows are not taken. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkRefused {
    /// The group takes no rows any more.
    State(State),
    /// An upload with another key is not complete.
    OtherUpload,
    /// Rows before these are missing; so many are there.
    Gap(u32),
    /// These were to be the next ones, and others came before them; so many are there.
    Overtaken(u32),
    /// More than [`ROWS_MAX`] rows.
    TooMany,
    /// The upload with this key was complete, with so many rows, and has more now.
    Longer(u32),
    /// The rows that came with this key say something else.
    OtherBody,
}

/// What came of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChunkDone {
    /// Rows of the group by now.
    pub received: u32,
    /// Rows of these that were there already.
    pub known: u32,
    /// Rows that were accepted now.
    pub accepted: u32,
    /// Rows that were refused now.
    pub rejected: u32,
}

/// Begins an upload, or goes on with one.
pub(crate) fn begin_upload(
    tx: &mut Tx<'_>,
    account: AccountId,
    group: i64,
    upload: i64,
) -> Result<Result<Begun, ChunkRefused>, Error> {
    let row = must(tx.live, Some(account), group)?;
    if row.state != State::Staging {
        return Ok(Err(ChunkRefused::State(row.state)));
    }
    if row.upload != 0 && row.upload != upload {
        return Ok(Err(ChunkRefused::OtherUpload));
    }
    let new = Begun { first: row.received + 1, hashed: 0, hash: 0 };
    if upload == 0 {
        return Ok(Ok(new));
    }
    let sql = "SELECT first_row, hashed, hash FROM group_uploads WHERE request = ? AND upload = ? /* lock */";
    let read = |row: &crate::db::Row<'_>| Ok(Begun { first: row.get(0)?, hashed: row.get(1)?, hash: row.get(2)? });
    if let Some(known) = tx.live.prepare_cached(sql)?.query_row((group, upload), read).optional()? {
        return Ok(Ok(known));
    }
    tx.live.execute(
        "INSERT INTO group_uploads (request, upload, first_row, row_count) VALUES (?, ?, ?, -1)",
        (group, upload, row.received + 1),
    )?;
    let now = tx.now.millis();
    tx.live.execute("UPDATE send_groups SET upload = ?, touched = ? WHERE id = ?", (upload, now, group))?;
    Ok(Ok(new))
}

/// An upload with a key has had its last row.
pub(crate) fn end_upload(
    tx: &mut Tx<'_>,
    account: AccountId,
    group: i64,
    upload: i64,
    rows: u32,
    hash: i64,
) -> Result<Result<(), ChunkRefused>, Error> {
    must(tx.live, Some(account), group)?;
    let sql = "SELECT row_count, hashed, hash FROM group_uploads WHERE request = ? AND upload = ? /* lock */";
    let read = |row: &crate::db::Row<'_>| Ok((row.get::<i32>(0)?, row.get::<u32>(1)?, row.get::<i64>(2)?));
    let known = tx.live.prepare_cached(sql)?.query_row((group, upload), read).optional()?;
    let (there, hashed, known) = known.unwrap_or((-1, 0, 0));
    if there >= 0 && there.unsigned_abs() != rows {
        return Ok(Err(ChunkRefused::Longer(there.unsigned_abs())));
    }
    if hashed > 0 && hash != 0 && (hashed, known) != (rows, hash) {
        return Ok(Err(ChunkRefused::OtherBody));
    }
    if there >= 0 {
        return Ok(Ok(()));
    }
    tx.live
        .execute("UPDATE group_uploads SET row_count = ? WHERE request = ? AND upload = ?", (rows, group, upload))?;
    tx.live.execute("UPDATE send_groups SET upload = 0 WHERE id = ? AND upload = ?", (group, upload))?;
    Ok(Ok(()))
}

/// Stages rows; those that are there already are stepped over, so that an upload may be repeated from any row on.
pub(crate) fn chunk(tx: &mut Tx<'_>, chunk: &Chunk) -> Result<Result<ChunkDone, ChunkRefused>, Error> {
    let group = must(tx.live, Some(chunk.account), chunk.group)?;
    let known = match fits(tx, &group, chunk)? {
        Ok(known) => known,
        Err(refused) => return Ok(Err(refused)),
    };
    let mut done = ChunkDone { received: group.received, known, ..ChunkDone::default() };
    if known == chunk.count {
        return Ok(Ok(done));
    }
    let from = chunk.from + known;
    let mut errors: Vec<RowError> = chunk.errors.iter().filter(|error| error.row >= from).cloned().collect();
    let mut twins = Vec::new();
    let mut slices = Vec::new();
    let mut unit = group.unit;
    for lane in &chunk.lanes {
        let (rows, messages) = within(lane, from, &mut unit, &mut errors);
        if messages.is_empty() {
            continue;
        }
        let (group, account) = (chunk.group, chunk.account);
        let stage = Stage { request: group, account, lane: lane.lane, contents: chunk.contents.clone(), messages };
        let staged = accept::stage(tx, &stage)?;
        let mut amount: i64 = stage.messages.iter().map(|message| message.price).sum();
        for (at, first) in staged.duplicates {
            amount -= stage.messages[at].price;
            twins.push(Twin { row: rows[at], first, message: stage.messages[at].clone() });
        }
        slices.extend(staged.slice.map(|slice| (slice, amount)));
    }
    done.accepted = slices.iter().map(|(slice, _)| slice.count).sum();
    done.rejected = (errors.len() + twins.len()) as u32;
    done.received = chunk.from + chunk.count - 1;
    write_slices(tx.live, chunk.group, &slices)?;
    write_errors(tx.live, chunk.group, &errors)?;
    write_twins(tx.live, chunk.group, &twins)?;
    if chunk.upload != 0 && chunk.hash != 0 {
        let sql = "UPDATE group_uploads SET hashed = ? - first_row, hash = ? WHERE request = ? AND upload = ?";
        tx.live.execute(sql, (chunk.from + chunk.count, chunk.hash, chunk.group, chunk.upload))?;
    }
    count(tx, &group, &done, &slices, unit)?;
    Ok(Ok(done))
}

/// How many of the first rows are there already, if the others may come.
fn fits(tx: &Tx<'_>, group: &GroupRow, chunk: &Chunk) -> Result<Result<u32, ChunkRefused>, Error> {
    let last = chunk.from + chunk.count - 1;
    if group.state != State::Staging {
        return Ok(Err(ChunkRefused::State(group.state)));
    }
    if group.upload != 0 && group.upload != chunk.upload {
        return Ok(Err(ChunkRefused::OtherUpload));
    }
    if chunk.from > group.received + 1 {
        return Ok(Err(ChunkRefused::Gap(group.received)));
    }
    if chunk.appends && chunk.from <= group.received {
        return Ok(Err(ChunkRefused::Overtaken(group.received)));
    }
    if last > ROWS_MAX {
        return Ok(Err(ChunkRefused::TooMany));
    }
    if chunk.upload != 0 && group.upload == 0 {
        // The upload was complete: its rows may come again, others may not come under its key.
        let sql = "SELECT first_row, row_count FROM group_uploads WHERE request = ? AND upload = ?";
        let read = |row: &crate::db::Row<'_>| Ok((row.get::<u32>(0)?, row.get::<i32>(1)?));
        let known = tx.live.prepare_cached(sql)?.query_row((chunk.group, chunk.upload), read).optional()?;
        if let Some((first, rows @ 0..)) = known
            && last >= first + rows.unsigned_abs()
        {
            return Ok(Err(ChunkRefused::Longer(rows.unsigned_abs())));
        }
    }
    Ok(Ok((group.received + 1 - chunk.from).min(chunk.count)))
}

/// The rows of a lane from a number on, whose price is in the unit of the group.
fn within(
    lane: &LaneRows,
    from: u32,
    unit: &mut Option<Unit>,
    errors: &mut Vec<RowError>,
) -> (Vec<u32>, Vec<NewMessage>) {
    let (mut rows, mut messages) = (Vec::with_capacity(lane.rows.len()), Vec::with_capacity(lane.rows.len()));
    for (row, message) in lane.rows.iter().zip(&lane.messages).filter(|(row, _)| **row >= from) {
        if *unit.get_or_insert(message.unit) == message.unit {
            rows.push(*row);
            messages.push(message.clone());
        } else {
            let detail = "its price is in another unit than the first row's".to_owned();
            errors.push(RowError {
                row: *row,
                findings: vec![(Code::BadRequest, "channel".to_owned(), detail)],
                sealed: Vec::new(),
                extra: message.extra.clone(),
            });
        }
    }
    (rows, messages)
}

/// A row that repeats another: its client reference is taken, or an equal message is there.
struct Twin {
    row: u32,
    first: Option<i64>,
    message: NewMessage,
}

impl Twin {
    fn told(&self) -> (Code, &'static str, String) {
        match self.first {
            None => {
                let detail = "another message of this account has this clientRef";
                (Code::DuplicateClientRef, "clientRef", detail.to_owned())
            }
            Some(0) => {
                let detail = "an equal message is in this group, or is being accepted in another request";
                (Code::DuplicateContent, "text", detail.to_owned())
            }
            Some(first) => {
                let detail =
                    format!("equal to {}, accepted within the account's window", bongsu_domain::MessageId(first));
                (Code::DuplicateContent, "text", detail)
            }
        }
    }
}

fn write_slices(live: &Db, group: i64, slices: &[(Slice, i64)]) -> Result<(), Error> {
    let bind = |(s, amount): &(Slice, i64)| [s.first, group, i64::from(s.count), s.lane as i64, s.expires, *amount];
    live.many(&SLICES, slices.iter().map(bind)).map(drop)
}

fn write_errors(live: &Db, group: i64, errors: &[RowError]) -> Result<(), Error> {
    let findings = errors.iter().flat_map(|error| {
        error.findings.iter().take(FINDINGS_MAX).enumerate().map(move |(seq, finding)| (error, seq, finding))
    });
    let binds = findings.map(|(error, seq, (code, field, detail))| {
        // Who it was meant for stands with the first finding.
        let (form, sealed): (u8, &[u8]) =
            if seq == 0 && !error.sealed.is_empty() { (0, &error.sealed) } else { (2, &[]) };
        [
            int(group),
            int(error.row),
            int(seq as u32),
            int(code.number()),
            Value::Text(field),
            Value::Text(detail),
            int(form),
            Value::Blob(sealed),
            text_or_null(error.extra.as_deref()),
        ]
    });
    live.many(&ERRORS, binds).map(drop)
}

fn write_twins(live: &Db, group: i64, twins: &[Twin]) -> Result<(), Error> {
    let told: Vec<_> = twins.iter().map(|twin| (twin, twin.told())).collect();
    let binds = told.iter().map(|(twin, (code, field, detail))| {
        [
            int(group),
            int(twin.row),
            int(0),
            int(code.number()),
            Value::Text(field),
            Value::Text(detail),
            int(1),
            Value::Blob(&twin.message.sealed),
            text_or_null(twin.message.extra.as_deref()),
        ]
    });
    live.many(&ERRORS, binds).map(drop)
}

fn count(
    tx: &Tx<'_>,
    group: &GroupRow,
    done: &ChunkDone,
    slices: &[(Slice, i64)],
    unit: Option<Unit>,
) -> Result<(), Error> {
    let firsts = slices.iter().map(|(slice, _)| slice.first);
    let lasts = slices.iter().map(|(slice, _)| slice.first + i64::from(slice.count) - 1);
    let first = firsts.chain((group.first != 0).then_some(group.first)).min().unwrap_or(0);
    let last = lasts.chain([group.last]).max().unwrap_or(0);
    tx.live
        .prepare_cached(
            "UPDATE send_groups SET rows_received = ?, accepted = ?, rejected = ?, amount = ?, unit = ?, first_id = ?, last_id = ?,
               touched = ? WHERE id = ?",
        )?
        .execute([
            int(done.received),
            int(group.accepted + done.accepted),
            int(group.rejected + done.rejected),
            int(group.amount + slices.iter().map(|(_, amount)| amount).sum::<i64>()),
            int(unit.map_or(255, |unit| unit as u8)),
            int(first),
            int(last),
            int(tx.now.millis()),
            int(group.id),
        ])?;
    Ok(())
}
