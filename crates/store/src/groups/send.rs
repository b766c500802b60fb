//! Making a group, and sending it: one small transaction writes its request and its charge.

use std::sync::Arc;

use bongsu_domain::{AccountId, GroupId, Unit};

use super::{GroupRow, KIND, Phase, STAGING_MAX, State, must};
use crate::accept::{self, IdempotencyKey, Request, Seen};
use crate::db::{Value, int, text_or_null};
use crate::error::{Error, Kind};
use crate::tx::Tx;
use crate::wallet;

/// A new group.
#[derive(Debug, Clone)]
pub struct NewGroup {
    /// Whose.
    pub account: AccountId,
    /// What its owner calls it.
    pub name: Option<String>,
    /// Sealed JSON: what rows do not say.
    pub defaults: Vec<u8>,
    /// Another key has to approve it.
    pub approval: bool,
    /// When it is to be sent, Unix milliseconds, 0 for as soon as it is asked for.
    pub send_at: i64,
}

/// Makes a group; the answer is stored under the key. A repeated one answers the same.
pub(crate) fn create(
    tx: &mut Tx<'_>,
    new: &NewGroup,
    key: Option<&IdempotencyKey>,
    answer: &dyn Fn(&GroupRow) -> Vec<u8>,
) -> Result<Result<(GroupRow, Vec<u8>), Seen>, Error> {
    let now = tx.now.millis();
    if let Some(key) = key
        && let Some(seen) = accept::seen(tx.live, key, now)?
    {
        return Ok(Err(seen));
    }
    let staging: i64 = tx
        .live
        .prepare_cached("SELECT COUNT(*) FROM send_groups WHERE account = ? AND state < ?")?
        .query_row((new.account.0, State::Scheduled as u8), |row| row.get(0))?;
    if staging >= i64::from(STAGING_MAX) {
        let detail = format!("at most {STAGING_MAX} groups of an account wait to be sent");
        return Err(Error::new(Kind::TooMany("groups"), detail));
    }
    let id = tx.new_id()?;
    let binds = [
        int(id),
        int(new.account.0),
        text_or_null(new.name.as_deref()),
        Value::Blob(&new.defaults),
        int(new.approval),
        int(new.send_at),
        int(now),
    ];
    tx.live
        .prepare_cached(
            "INSERT INTO send_groups (id, account, state, phase, name, defaults, approval, send_at, rows_received, accepted,
               rejected, unit, amount, first_id, last_id, touched, upload, sent, sent_by, approved_by, finished, canceled, stopped_to)
             VALUES (?, ?, 0, 0, ?, ?, ?, ?, 0, 0, 0, 255, 0, 0, 0, ?, 0, 0, 0, 0, 0, 0, 0)",
        )?
        .execute(binds)?;
    let row = must(tx.live, Some(new.account), id)?;
    let body = answer(&row);
    if let Some(key) = key {
        accept::remember(tx.live, key, 201, &body, now)?;
    }
    Ok(Ok((row, body)))
}

/// Sending a group.
#[derive(Debug, Clone)]
pub struct SendGroup {
    /// The group.
    pub group: i64,
    /// Its account.
    pub account: AccountId,
    /// The key that asks.
    pub key: i64,
    /// When to send it, Unix milliseconds; none: when it was made to be, or now.
    pub send_at: Option<i64>,
    /// Whether this is the approval.
    pub approves: bool,
    /// Id of the HTTP request.
    pub trace: Option<Arc<str>>,
}

/// Why a group is not sent. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendRefused {
    /// It is in another state.
    State(State),
    /// No row of it was accepted.
    Empty,
    /// An upload is not complete.
    Uploading,
    /// The key that sent it cannot approve it.
    SameKey,
    /// The balance does not cover it.
    NoBalance,
}

/// Sends a group, or hands it to whoever approves it. One that was sent already stays as it is.
pub(crate) fn send(tx: &mut Tx<'_>, ask: &SendGroup) -> Result<Result<GroupRow, SendRefused>, Error> {
    let row = must(tx.live, Some(ask.account), ask.group)?;
    let now = tx.now.millis();
    let send_at = ask.send_at.unwrap_or(row.send_at);
    match row.state {
        State::Canceled | State::Expired => return Ok(Err(SendRefused::State(row.state))),
        state if state.is_sent() => return Ok(Ok(row)),
        State::Staging if ask.approves => return Ok(Err(SendRefused::State(row.state))),
        State::WaitingApproval if !ask.approves => return Ok(Ok(row)),
        State::WaitingApproval if row.sent_by == ask.key => return Ok(Err(SendRefused::SameKey)),
        _ => {}
    }
    if row.upload != 0 {
        return Ok(Err(SendRefused::Uploading));
    }
    if row.accepted == 0 {
        return Ok(Err(SendRefused::Empty));
    }
    if row.approval && !ask.approves {
        tx.live.execute(
            "UPDATE send_groups SET state = ?, send_at = ?, sent_by = ?, touched = ? WHERE id = ?",
            (State::WaitingApproval as u8, send_at, ask.key, now, row.id),
        )?;
        return must(tx.live, Some(ask.account), ask.group).map(Ok);
    }
    let unit = row.unit.unwrap_or(Unit::PointSms);
    if wallet::balance(tx.live, row.account, unit)? < row.amount {
        return Ok(Err(SendRefused::NoBalance));
    }
    promise(tx, &row, unit, ask)?;
    let (sent_by, approved_by) = if ask.approves { (row.sent_by, ask.key) } else { (ask.key, 0) };
    let state = if send_at > now { State::Scheduled } else { State::Sending };
    tx.live
        .prepare_cached(
            "UPDATE send_groups SET state = ?, phase = ?, send_at = ?, sent = ?, sent_by = ?, approved_by = ?, touched = ? WHERE id = ?",
        )?
        .execute((state as u8, Phase::Move as u8, send_at, now, sent_by, approved_by, now, row.id))?;
    let sent = must(tx.live, Some(ask.account), ask.group)?;
    charge(tx, &row, unit)?;
    Ok(Ok(sent))
}

/// The request row: from here on the messages exist.
fn promise(tx: &mut Tx<'_>, row: &GroupRow, unit: Unit, ask: &SendGroup) -> Result<(), Error> {
    let request = Request {
        id: row.id,
        account: row.account,
        kind: KIND,
        rows: row.received,
        accepted: row.accepted,
        unit,
        amount: row.amount,
        first: row.first,
        last: row.last,
        key: ask.key,
        trace: ask.trace.as_deref(),
    };
    accept::insert_request(tx.live, &request)
}

fn charge(tx: &mut Tx<'_>, row: &GroupRow, unit: Unit) -> Result<(), Error> {
    let cause = format!("request:{}", GroupId(row.id));
    match wallet::charge(tx.live, row.account, unit, row.amount, &cause, tx.now) {
        // Another process took it since the look above; the next look sees that.
        Err(error) if error.kind() == Kind::NoBalance => Err(Error::new(Kind::Busy, "the balance changed meanwhile")),
        charged => charged,
    }
}

/// Sends a group at a time, or moves one that is scheduled to another time.
pub(crate) fn schedule(tx: &mut Tx<'_>, ask: &SendGroup, at: i64) -> Result<Result<GroupRow, SendRefused>, Error> {
    let row = must(tx.live, Some(ask.account), ask.group)?;
    match row.state {
        State::Scheduled if row.send_at > tx.now.millis() => {
            super::mover::reschedule(tx, &row, at)?;
            must(tx.live, Some(ask.account), ask.group).map(Ok)
        }
        State::WaitingApproval => {
            let now = tx.now.millis();
            let sql = "UPDATE send_groups SET send_at = ?, sent_by = ?, touched = ? WHERE id = ?";
            tx.live.execute(sql, (at, ask.key, now, row.id))?;
            must(tx.live, Some(ask.account), ask.group).map(Ok)
        }
        State::Staging => send(tx, &SendGroup { send_at: Some(at), approves: false, ..ask.clone() }),
        state => Ok(Err(SendRefused::State(state))),
    }
}
