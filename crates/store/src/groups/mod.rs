//! Groups: rows that are staged over many calls, and come to exist together when the group is sent.
//!
//! A group takes the same way as a batch. Its rows are written in slices ([`rows`]); sending it is one small transaction
//! ([`send`]) that writes the request and the charge; then its slices become runs, some at a time ([`mover`]). A cancel stops
//! what has not been claimed and ends it, again some at a time ([`cancel`]). Every step can be repeated after a crash.

use bongsu_domain::{AccountId, GroupId, Unit};

use crate::db::{Db, OptionalExtension, Row};
use crate::error::{Error, Kind};

mod cancel;
mod failures;
mod mover;
mod rows;
mod send;
mod upkeep;

pub(crate) use cancel::{begin as cancel, end_stopped, stop};
pub use failures::{Form, Identity, RowFailure};
pub(crate) use failures::{errors, messages as failed_messages};
pub(crate) use mover::{finish, move_slice_of, moving, shift_and_move, watched};
pub use rows::{Begun, Chunk, ChunkDone, ChunkRefused, LaneRows, RowError};
pub(crate) use rows::{begin_upload, chunk, end_upload};
pub use send::NewGroup;
pub use send::{SendGroup, SendRefused};
pub(crate) use send::{create, schedule, send};
pub use upkeep::Step;
pub(crate) use upkeep::{discard_some, expire_idle, has_slice, holds, overdue, retire, run_to_be, unmoved};

/// Rows of a group.
pub const ROWS_MAX: u32 = 1_000_000;
/// Groups of an account that are not sent and not ended.
pub const STAGING_MAX: u32 = 1_000;
/// The kind of a request that is a group.
pub const KIND: u8 = 2;
/// Findings that are kept of one row.
pub const FINDINGS_MAX: usize = 5;

/// Where a group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// It takes rows.
    Staging = 0,
    /// It was sent by one key and waits for another.
    WaitingApproval = 1,
    /// It was sent for a later time.
    Scheduled = 2,
    /// It was sent.
    Sending = 3,
    /// Every message has its final result.
    Finished = 4,
    /// It was canceled; what had left keeps its results.
    Canceled = 5,
    /// Nobody sent it in time.
    Expired = 6,
}

impl State {
    /// The stored number.
    pub fn from_u8(number: u8) -> Option<Self> {
        use State::*;
        [Staging, WaitingApproval, Scheduled, Sending, Finished, Canceled, Expired]
            .into_iter()
            .find(|state| *state as u8 == number)
    }

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Staging => "staging",
            State::WaitingApproval => "waiting_approval",
            State::Scheduled => "scheduled",
            State::Sending => "sending",
            State::Finished => "finished",
            State::Canceled => "canceled",
            State::Expired => "expired",
        }
    }

    /// Whether it was sent, so that its messages exist.
    pub fn is_sent(self) -> bool {
        matches!(self, State::Scheduled | State::Sending | State::Finished)
    }
}

/// What periodic work has to do with a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Nothing, unless it idles too long.
    Staging = 0,
    /// Slices become runs.
    Move = 1,
    /// Every message may be final.
    Watch = 2,
    /// Staged rows are removed.
    Discard = 3,
    /// Runs are stopped.
    Stop = 4,
    /// Stopped messages are ended.
    End = 5,
    /// Nothing any more.
    Done = 9,
}

/// A group as stored. Times are Unix milliseconds, 0 for never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRow {
    /// Its id, and that of the request it becomes.
    pub id: i64,
    /// Whose.
    pub account: AccountId,
    /// Where it stands; one that is scheduled is sending once its time has come.
    pub state: State,
    pub(crate) phase: u8,
    /// What its owner calls it.
    pub name: Option<String>,
    /// Sealed JSON: what rows do not say.
    pub defaults: Vec<u8>,
    /// Another key has to approve it.
    pub approval: bool,
    /// When it is to be sent.
    pub send_at: i64,
    /// Rows that came.
    pub received: u32,
    /// Of them accepted.
    pub accepted: u32,
    /// Of them with errors.
    pub rejected: u32,
    /// Unit of all prices; none before the first accepted row.
    pub unit: Option<Unit>,
    /// Sum of all prices.
    pub amount: i64,
    /// Its first message.
    pub first: i64,
    /// Its last message.
    pub last: i64,
    /// The last call that changed it.
    pub touched: i64,
    /// Keyed hash of an upload that is not complete, 0 for none.
    pub upload: i64,
    /// When it was sent.
    pub sent: i64,
    /// By which key.
    pub sent_by: i64,
    /// Which key approved it.
    pub approved_by: i64,
    /// When every message had its final result.
    pub finished: i64,
    /// Messages of a canceled group that did not leave: those that its cancel kept, and those canceled alone before.
    pub canceled: u32,
    pub(crate) stopped_to: i64,
}

impl GroupRow {
    /// The state at a moment.
    pub fn state_at(&self, now_ms: i64) -> State {
        if self.state == State::Scheduled && self.send_at <= now_ms { State::Sending } else { self.state }
    }

    /// Whether a cancel still stops or ends messages.
    pub fn is_stopping(&self) -> bool {
        self.phase == Phase::Stop as u8
    }

    /// Its id as shown.
    pub fn group(&self) -> GroupId {
        GroupId(self.id)
    }
}

pub(crate) const COLUMNS: &str = "id, account, state, phase, name, defaults, approval, send_at, rows_received, accepted, rejected, unit, \
     amount, first_id, last_id, touched, upload, sent, sent_by, approved_by, finished, canceled, stopped_to";

pub(crate) fn read(row: &Row<'_>) -> Result<GroupRow, Error> {
    let state: u8 = row.get(2)?;
    Ok(GroupRow {
        id: row.get(0)?,
        account: AccountId(row.get(1)?),
        state: State::from_u8(state).ok_or_else(|| Error::new(Kind::Corrupt, format!("group in state {state}")))?,
        phase: row.get(3)?,
        name: row.get(4)?,
        defaults: row.get(5)?,
        approval: row.get::<u8>(6)? != 0,
        send_at: row.get(7)?,
        received: row.get(8)?,
        accepted: row.get(9)?,
        rejected: row.get(10)?,
        unit: Unit::from_u8(row.get(11)?),
        amount: row.get(12)?,
        first: row.get(13)?,
        last: row.get(14)?,
        touched: row.get(15)?,
        upload: row.get(16)?,
        sent: row.get(17)?,
        sent_by: row.get(18)?,
        approved_by: row.get(19)?,
        finished: row.get(20)?,
        canceled: row.get(21)?,
        stopped_to: row.get(22)?,
    })
}

/// A group of an account (or of any); within a transaction nobody else changes it until the commit.
pub(crate) fn load(live: &Db, account: Option<AccountId>, id: i64) -> Result<Option<GroupRow>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM send_groups WHERE id = ? /* lock */");
    let row = live.prepare_cached(&sql)?.query_row([id], read).optional()?;
    Ok(row.filter(|row| account.is_none_or(|account| account == row.account)))
}

pub(crate) fn must(live: &Db, account: Option<AccountId>, id: i64) -> Result<GroupRow, Error> {
    load(live, account, id)?.ok_or_else(|| Error::new(Kind::NotFound, "there is no such group"))
}

/// Groups below an id, newest first.
pub(crate) fn page(live: &Db, account: Option<AccountId>, below: i64, limit: u32) -> Result<Vec<GroupRow>, Error> {
    let limit = limit.min(crate::PAGE_MAX);
    let rows = match account {
        Some(account) => live
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM send_groups WHERE account = ? AND id < ? ORDER BY id DESC LIMIT ?"
            ))?
            .query_map((account.0, below, limit), read)?,
        None => live
            .prepare_cached(&format!("SELECT {COLUMNS} FROM send_groups WHERE id < ? ORDER BY id DESC LIMIT ?"))?
            .query_map((below, limit), read)?,
    };
    rows.collect()
}

/// What was promised by a request: its account, its messages, and whether it is a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// Whose.
    pub account: AccountId,
    /// Messages that it promised.
    pub accepted: u32,
    /// Whether it is a group.
    pub is_group: bool,
}

/// A request that exists.
pub(crate) fn promise(live: &Db, account: Option<AccountId>, request: i64) -> Result<Option<Promise>, Error> {
    let sql = "SELECT account, accepted, kind FROM requests WHERE id = ?";
    let read = |row: &Row<'_>| {
        let kind: u8 = row.get(2)?;
        Ok(Promise { account: AccountId(row.get(0)?), accepted: row.get(1)?, is_group: kind == KIND })
    };
    let found = live.prepare_cached(sql)?.query_row([request], read).optional()?;
    Ok(found.filter(|promise| account.is_none_or(|account| account == promise.account)))
}
