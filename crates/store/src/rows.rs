//! The message row as it is stored, and how one is found: by id, by run, by slice.

use bongsu_domain::id::{id_day, id_millis};
use bongsu_domain::{AccountId, Channel, Lane, Status, Unit};

use crate::db::{Db, OptionalExtension, Row as SqlRow};
use crate::error::{Error, Kind};
use crate::tx::Tx;

/// What became of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// The relay took it.
    Submitted = 2,
    /// A receipt said delivered.
    Delivered = 3,
    /// A receipt said it will not be delivered.
    Undelivered = 4,
    /// The relay refused it.
    Refused = 5,
    /// Written, no answer.
    Unknown = 6,
    /// The relay was down; nothing was written.
    Unreachable = 7,
    /// No receipt by the deadline.
    Expired = 8,
    /// The relay says it cannot tell.
    Uncertain = 9,
}

impl Outcome {
    /// The stored number.
    pub fn from_u8(value: u8) -> Option<Self> {
        use Outcome::*;
        [Submitted, Delivered, Undelivered, Refused, Unknown, Unreachable, Expired, Uncertain]
            .into_iter()
            .find(|o| *o as u8 == value)
    }

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Submitted => "submitted",
            Outcome::Delivered => "delivered",
            Outcome::Undelivered => "undelivered",
            Outcome::Refused => "refused",
            Outcome::Unknown => "unknown",
            Outcome::Unreachable => "unreachable",
            Outcome::Expired => "expired",
            Outcome::Uncertain => "uncertain",
        }
    }
}

/// One attempt as stored. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRow {
    /// 1, 2, 3 …
    pub attempt: u8,
    /// Number of the relay.
    pub relay: Option<u8>,
    /// One line a part: the relay's id, then a tab and the code once it is known.
    pub relay_id: Option<String>,
    /// What became of it.
    pub outcome: Option<Outcome>,
    /// Number of the result code.
    pub code: u16,
    /// Claimed.
    pub claimed: Option<i64>,
    /// Written.
    pub submitted: Option<i64>,
    /// Answered by the relay.
    pub answered: Option<i64>,
    /// Result.
    pub result: Option<i64>,
}

/// A message as stored.
#[derive(Debug, Clone)]
pub struct MessageRow {
    /// The message.
    pub id: i64,
    /// Its account.
    pub account: AccountId,
    /// Its batch, 0 for a single message.
    pub request: i64,
    /// Lane.
    pub lane: Lane,
    /// Channel.
    pub channel: Channel,
    /// Unit of the price.
    pub unit: Unit,
    /// Price frozen at accept.
    pub price: i64,
    /// When it is worthless, Unix milliseconds.
    pub expires: i64,
    /// Keyed hash of account and recipient.
    pub recipient: i64,
    /// Number of its text in the request's contents, 0: in `sealed`.
    pub content: u32,
    /// Recipient, sender, variables or text.
    pub sealed: Vec<u8>,
    /// clientRef, billCode and labels as JSON.
    pub extra: Option<String>,
    /// Where it stands (a claim is not written here: see [`crate::runs`]).
    pub status: Status,
    /// A result came after the final one.
    pub late: bool,
    /// The current attempt; `attempt.attempt` is 0 before the first.
    pub attempt: AttemptRow,
}

pub(crate) const COLUMNS: &str = "id, account, request, lane, channel, unit, price, expires, recipient, content, sealed, extra, status, code, \
     late, attempt, relay, relay_id, outcome, t_claim, t_submit, t_answer, t_result";

pub(crate) fn read(row: &SqlRow<'_>) -> Result<MessageRow, Error> {
    let id: i64 = row.get(0)?;
    let accepted = id_millis(id);
    let time = |at: usize| -> Result<Option<i64>, Error> { Ok(row.get::<Option<i64>>(at)?.map(|t| t + accepted)) };
    let bad = |what: &str| Error::new(Kind::Corrupt, format!("message row with an unknown {what}"));
    Ok(MessageRow {
        id,
        account: AccountId(row.get(1)?),
        request: row.get(2)?,
        lane: Lane::from_u8(row.get(3)?).ok_or_else(|| bad("lane"))?,
        channel: Channel::from_u8(row.get(4)?).ok_or_else(|| bad("channel"))?,
        unit: Unit::from_u8(row.get(5)?).ok_or_else(|| bad("unit"))?,
        price: row.get(6)?,
        expires: accepted + row.get::<i64>(7)?,
        recipient: row.get(8)?,
        content: row.get(9)?,
        sealed: row.get(10)?,
        extra: row.get(11)?,
        status: Status::from_u8(row.get(12)?).ok_or_else(|| bad("status"))?,
        late: row.get::<i64>(14)? != 0,
        attempt: AttemptRow {
            attempt: row.get(15)?,
            relay: row.get(16)?,
            relay_id: row.get(17)?,
            outcome: row.get::<Option<u8>>(18)?.and_then(Outcome::from_u8),
            code: row.get(13)?,
            claimed: time(19)?,
            submitted: time(20)?,
            answered: time(21)?,
            result: time(22)?,
        },
    })
}

/// One message of a day file. Within a transaction its row stays as it is until the commit.
pub(crate) fn by_id(day: &Db, id: i64) -> Result<Option<MessageRow>, Error> {
    let mut statement = day.prepare_cached(&format!("SELECT {COLUMNS} FROM messages WHERE id = ? /* lock */"))?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(|row| read(&row)).transpose()
}

/// Messages by their ids, which ascend; those that are gone are missing. They stay as they are like that of [`by_id`].
pub(crate) fn by_ids(tx: &mut Tx<'_>, ids: &[i64]) -> Result<Vec<MessageRow>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM messages WHERE id");
    if tx.live.is_mysql() {
        return tx.live.select_in(&sql, ids, "ORDER BY id /* lock */", read);
    }
    let mut found = Vec::with_capacity(ids.len());
    for of_day in ids.chunk_by(|a, b| id_day(*a) == id_day(*b)) {
        found.extend(tx.day(id_day(of_day[0]))?.select_in(&sql, of_day, "", read)?);
    }
    Ok(found)
}

/// Messages of a day file in `[from, to]`, in the order of ids; they stay as they are like that of [`by_id`].
pub(crate) fn in_range(day: &Db, from: i64, to: i64) -> Result<Vec<MessageRow>, Error> {
    let mut statement =
        day.prepare_cached(&format!("SELECT {COLUMNS} FROM messages WHERE id BETWEEN ? AND ? ORDER BY id /* lock */"))?;
    let mut rows = statement.query((from, to))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(&row)?);
    }
    Ok(found)
}

/// Attempts before the current one, in order.
pub(crate) fn earlier_attempts(day: &Db, id: i64) -> Result<Vec<AttemptRow>, Error> {
    let accepted = id_millis(id);
    let mut statement = day.prepare_cached(
        "SELECT attempt, relay, relay_id, outcome, code, t_claim, t_submit, t_answer, t_result FROM attempts WHERE id = ? ORDER BY attempt",
    )?;
    let mut rows = statement.query([id])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let time = |at: usize| -> Result<Option<i64>, Error> { Ok(row.get::<Option<i64>>(at)?.map(|t| t + accepted)) };
        found.push(AttemptRow {
            attempt: row.get(0)?,
            relay: row.get(1)?,
            relay_id: row.get(2)?,
            outcome: row.get::<Option<u8>>(3)?.and_then(Outcome::from_u8),
            code: row.get(4)?,
            claimed: time(5)?,
            submitted: time(6)?,
            answered: time(7)?,
            result: time(8)?,
        });
    }
    Ok(found)
}

/// A run: what makes staged rows exist, and how far they are claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// First id.
    pub first: i64,
    /// Contiguous ids.
    pub count: u32,
    /// Offset of the first unclaimed message.
    pub next: u32,
    /// Raised when a waiting row changes.
    pub generation: i64,
    /// Lane of all of them.
    pub lane: Lane,
    /// Account of all of them.
    pub account: AccountId,
    /// Their batch, 0 for single messages.
    pub request: i64,
    /// When they leave or left, Unix milliseconds; 0: at once.
    pub send_at: i64,
    /// They wait for that time.
    pub held: bool,
}

impl Run {
    /// The last id.
    pub fn last(&self) -> i64 {
        self.first + i64::from(self.count) - 1
    }
}

pub(crate) const RUN_COLUMNS: &str =
    "runs.first, runs.count, runs.next, runs.gen, runs.lane, runs.account, runs.request, runs.send_at, runs.held";

pub(crate) fn read_run(row: &SqlRow<'_>) -> Result<Run, Error> {
    Ok(Run {
        first: row.get(0)?,
        count: row.get(1)?,
        next: row.get(2)?,
        generation: row.get(3)?,
        lane: Lane::from_u8(row.get(4)?).unwrap_or(Lane::Bulk),
        account: AccountId(row.get(5)?),
        request: row.get(6)?,
        send_at: row.get(7)?,
        held: row.get(8)?,
    })
}

/// The run that holds an id. Without one the message does not exist. Within a transaction nobody claims from it until the
/// commit.
pub(crate) fn run_of(live: &Db, id: i64) -> Result<Option<Run>, Error> {
    let sql = format!("SELECT {RUN_COLUMNS} FROM runs WHERE first <= ? ORDER BY first DESC LIMIT 1 /* lock */");
    let look = || live.prepare_cached(&sql)?.query_row([id], read_run).optional();
    let mut run = look()?;
    // Whoever waited for the lock of a run that was taken apart meanwhile finds its first piece; then there is a later one.
    while live.is_mysql()
        && let Some(Run { first, .. }) = run.filter(|run| id > run.last())
    {
        run = look()?;
        if run.is_some_and(|run| run.first == first) {
            break;
        }
    }
    Ok(run.filter(|run| id <= run.last()))
}
