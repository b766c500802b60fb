//! Everything that is kept about one message, for those who ask what happened to it and why.

mod after;

use bongsu_domain::id::id_day;
use bongsu_domain::{AccountId, Channel, GroupId, MessageId, RequestId, Unit};

use crate::db::{Db, OptionalExtension, params};
use crate::error::Error;
use crate::query::{self, Found};
use crate::readers::Reader;
use crate::rows::{self, Run};
use crate::vault::Vault;
use crate::webhooks::DeliveryRow;

pub use after::Refund;

/// Open claims that are looked through: more are never out.
const CLAIMS_MAX: u32 = 2_000;
/// Request rows that one look for a request id reads.
const LOOK_MAX: u32 = 50_000;

/// What a caller was promised.
#[derive(Debug, Clone)]
pub struct RequestRow {
    /// The request; a single message has the same id.
    pub id: i64,
    /// Its account.
    pub account: AccountId,
    /// 0 single, 1 batch, 2 group.
    pub kind: u8,
    /// Rows given.
    pub rows: u32,
    /// Rows accepted.
    pub accepted: u32,
    /// Unit of the charge.
    pub unit: Unit,
    /// The charge.
    pub amount: i64,
    /// Its messages lie from here.
    pub first: i64,
    /// To here.
    pub last: i64,
    /// The API key that it came with, 0 for none.
    pub key: i64,
    /// Id of the HTTP request that it came with.
    pub trace: Option<String>,
}

/// A receipt as it came. Times are Unix microseconds.
#[derive(Debug, Clone)]
pub struct ReceiptRow {
    /// The attempt it is of.
    pub attempt: u8,
    /// The part, from 0.
    pub part: u8,
    /// Arrival.
    pub at: i64,
    /// 0 decided, 1 repeated, 2 late, 3 part of several, 4 not final.
    pub verdict: u8,
    /// Its text, without that of the message.
    pub raw: Vec<u8>,
}

/// A line of the ledger. The time is Unix microseconds.
#[derive(Debug, Clone)]
pub struct LedgerRow {
    /// Place in the ledger.
    pub seq: i64,
    /// Amount, negative for a charge.
    pub amount: i64,
    /// Unit.
    pub unit: Unit,
    /// What it was for.
    pub cause: String,
    /// When.
    pub at: i64,
}

/// An open claim. Times are Unix milliseconds.
#[derive(Debug, Clone)]
pub struct ClaimRow {
    /// Its token.
    pub id: i64,
    /// The incarnation of the dispatcher.
    pub owner: i64,
    /// Nothing is written to a relay after it.
    pub deadline: i64,
}

/// An attempt of unknown fate. Times are Unix milliseconds.
#[derive(Debug, Clone)]
pub struct UnknownTry {
    /// The attempt.
    pub attempt: u8,
    /// Its relay.
    pub relay: u8,
    /// Since when.
    pub since: i64,
    /// Until when, 0 while it is.
    pub resolved: i64,
    /// How it ended.
    pub resolution: Option<String>,
}

/// One message with everything around it.
#[derive(Debug, Clone)]
pub struct Trace {
    /// The message.
    pub found: Found,
    /// Its run.
    pub run: Run,
    /// What the claims of its run knew.
    pub notes: Vec<u8>,
    /// What its caller was promised.
    pub request: Option<RequestRow>,
    /// The claim that holds it now.
    pub claims: Vec<ClaimRow>,
    /// Its receipts, in order.
    pub receipts: Vec<ReceiptRow>,
    /// Its attempts of unknown fate.
    pub unknown: Vec<UnknownTry>,
    /// What its request was charged.
    pub ledger: Vec<LedgerRow>,
    /// What it gave back.
    pub refund: Option<Refund>,
    /// Calls of webhooks that told of it: all that told of it alone, and of those that told of several the ones that came
    /// soon after it.
    pub deliveries: Vec<DeliveryRow>,
}

/// A message that was claimed before another of the same claim.
#[derive(Debug, Clone, Copy)]
pub struct Earlier {
    /// Its channel.
    pub channel: Channel,
    /// The relay of its first attempt.
    pub relay: Option<u8>,
    /// Its parts, as far as they are known.
    pub parts: u32,
}

/// Everything about one message of an account (or of any).
pub(crate) fn of_message(
    reader: &mut Reader,
    vault: &Vault,
    account: Option<AccountId>,
    id: i64,
) -> Result<Option<Trace>, Error> {
    let Some((row, run)) = reader.message(id)? else { return Ok(None) };
    if account.is_some_and(|a| a != row.account) {
        return Ok(None);
    }
    let request = request(&reader.live, None, if row.request == 0 { id } else { row.request })?;
    let notes: Option<Vec<u8>> = reader
        .live
        .prepare_cached("SELECT note FROM runs WHERE first = ?")?
        .query_row([run.first], |row| row.get::<Option<Vec<u8>>>(0))
        .optional()?
        .flatten();
    let ledger = ledger(&reader.live, row.account, request.as_ref())?;
    let claims = claims(&reader.live, id)?;
    let unknown = unknown(&reader.live, id)?;
    let receipts = match reader.day(id_day(id))? {
        Some(day) => receipts(day, id)?,
        None => Vec::new(),
    };
    let found = query::complete(reader, row, &run)?;
    let moments = after::moments(&reader.live, &found, request.as_ref())?;
    let told = after::told(reader, &found.row, &moments)?;
    let refund = after::refund(&reader.live, &found.row, &told)?;
    let deliveries = after::deliveries(&reader.live, vault, &found.row, &told)?;
    let notes = notes.unwrap_or_default();
    Ok(Some(Trace { found, run, notes, request, claims, receipts, unknown, ledger, refund, deliveries }))
}

/// The messages of a run from an id on and before another.
pub(crate) fn between(reader: &mut Reader, from: i64, before: i64) -> Result<Vec<Earlier>, Error> {
    let Some(day) = reader.day(id_day(from))? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for row in rows::in_range(day, from, before - 1)? {
        let mut first = row.attempt.clone();
        if first.attempt > 1
            && let Some(earlier) = rows::earlier_attempts(day, row.id)?.into_iter().find(|attempt| attempt.attempt == 1)
        {
            first = earlier;
        }
        let parts = first.relay_id.as_deref().map_or(1, |lines| lines.lines().count().max(1) as u32);
        found.push(Earlier { channel: row.channel, relay: first.relay.filter(|_| first.attempt == 1), parts });
    }
    Ok(found)
}

const REQUEST: &str = "id, account, kind, rows_given, accepted, unit, amount, first_id, last_id, api_key, trace";

fn read_request(row: &crate::db::Row<'_>) -> Result<RequestRow, Error> {
    Ok(RequestRow {
        id: row.get(0)?,
        account: AccountId(row.get(1)?),
        kind: row.get(2)?,
        rows: row.get(3)?,
        accepted: row.get(4)?,
        unit: Unit::from_u8(row.get(5)?).unwrap_or(Unit::PointSms),
        amount: row.get(6)?,
        first: row.get(7)?,
        last: row.get(8)?,
        key: row.get(9)?,
        trace: row.get(10)?,
    })
}

/// One request of an account (or of any).
pub(crate) fn request(live: &Db, account: Option<AccountId>, id: i64) -> Result<Option<RequestRow>, Error> {
    let scope = account.map_or(0, |a| a.0);
    live.prepare_cached(&format!("SELECT {REQUEST} FROM requests WHERE id = ? AND (? = 0 OR account = ?)"))?
        .query_row((id, scope, scope), read_request)
        .optional()
}

/// Requests that came with an HTTP request, newest first below an id and down to another. Answers where to go on when
/// there was too much to look through.
pub(crate) fn by_trace(
    live: &Db,
    account: Option<AccountId>,
    trace: &str,
    (from, to): (i64, i64),
) -> Result<(Vec<RequestRow>, Option<i64>), Error> {
    let scope = account.map_or(0, |a| a.0);
    let mut statement = live.prepare_cached(&format!(
        "SELECT {REQUEST} FROM requests WHERE id BETWEEN ? AND ? AND (? = 0 OR account = ?) ORDER BY id DESC LIMIT ?"
    ))?;
    let mut rows = statement.query((from, to, scope, scope, LOOK_MAX))?;
    let (mut found, mut looked, mut last) = (Vec::new(), 0, to);
    while let Some(row) = rows.next()? {
        (looked, last) = (looked + 1, row.get(0)?);
        if row.get::<Option<String>>(10)?.as_deref() == Some(trace) {
            found.push(read_request(&row)?);
        }
    }
    Ok((found, (looked == LOOK_MAX).then_some(last - 1).filter(|next| *next >= from)))
}

/// Requests that calls of the audit log were about which came with an HTTP request: those that made, filled, sent or canceled
/// them. Calls in a range of ids are looked through, the newest ones if there are many.
pub(crate) fn by_note(
    reader: &mut Reader,
    account: Option<AccountId>,
    trace: &str,
    (from, to): (i64, i64),
) -> Result<Vec<RequestRow>, Error> {
    let scope = account.map_or(0, |a| a.0);
    let targets: Vec<String> = reader
        .live
        .prepare_cached(
            "SELECT DISTINCT target FROM (SELECT account, request_id, target FROM audit_log WHERE id BETWEEN ? AND ? \
             ORDER BY id DESC LIMIT ?) AS newest WHERE request_id = ? AND (? = 0 OR account = ?)",
        )?
        .query_map(params![from, to, LOOK_MAX, trace, scope, scope], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut found = Vec::new();
    for target in targets {
        let id = match (target.parse::<GroupId>(), target.parse::<RequestId>(), target.parse::<MessageId>()) {
            (Ok(group), ..) => group.0,
            (_, Ok(batch), _) => batch.0,
            (.., Ok(message)) => match reader.message(message.0)? {
                Some((row, _)) if row.request != 0 => row.request,
                _ => message.0,
            },
            _ => continue,
        };
        found.extend(request(&reader.live, account, id)?);
    }
    Ok(found)
}

fn ledger(live: &Db, account: AccountId, request: Option<&RequestRow>) -> Result<Vec<LedgerRow>, Error> {
    let Some(request) = request else { return Ok(Vec::new()) };
    let name = match request.kind {
        0 => MessageId(request.id).to_string(),
        1 => RequestId(request.id).to_string(),
        _ => GroupId(request.id).to_string(),
    };
    let unit = request.unit;
    live.prepare_cached("SELECT seq, amount, cause, at FROM ledger WHERE account = ? AND unit = ? AND cause = ?")?
        .query_map((account.0, unit as u8, format!("request:{name}")), |row| {
            Ok(LedgerRow { seq: row.get(0)?, amount: row.get(1)?, unit, cause: row.get(2)?, at: row.get(3)? })
        })?
        .collect()
}

fn claims(live: &Db, id: i64) -> Result<Vec<ClaimRow>, Error> {
    let mut statement =
        live.prepare_cached("SELECT id, owner, deadline, first, relays, ids FROM claims ORDER BY id DESC LIMIT ?")?;
    let mut rows = statement.query([CLAIMS_MAX])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (first, relays, ids): (i64, Vec<u8>, Option<Vec<u8>>) = (row.get(3)?, row.get(4)?, row.get(5)?);
        let holds = match ids {
            None => (first..first + relays.len() as i64).contains(&id),
            Some(ids) => ids.chunks_exact(9).any(|cell| cell[..8] == id.to_be_bytes()),
        };
        if holds {
            found.push(ClaimRow { id: row.get(0)?, owner: row.get(1)?, deadline: row.get(2)? });
        }
    }
    Ok(found)
}

fn unknown(live: &Db, id: i64) -> Result<Vec<UnknownTry>, Error> {
    live.prepare_cached(
        "SELECT attempt, relay, since, resolved, resolution FROM unknown_attempts WHERE id = ? ORDER BY attempt",
    )?
    .query_map([id], |row| {
        Ok(UnknownTry {
            attempt: row.get(0)?,
            relay: row.get(1)?,
            since: row.get(2)?,
            resolved: row.get(3)?,
            resolution: row.get(4)?,
        })
    })?
    .collect()
}

fn receipts(day: &Db, id: i64) -> Result<Vec<ReceiptRow>, Error> {
    day.prepare_cached("SELECT attempt, part, at, verdict, raw FROM receipts WHERE id = ? ORDER BY at, attempt, part")?
        .query_map([id], |row| {
            Ok(ReceiptRow {
                attempt: row.get(0)?,
                part: row.get(1)?,
                at: row.get(2)?,
                verdict: row.get(3)?,
                raw: row.get(4)?,
            })
        })?
        .collect()
}
