//! Finding the attempt a receipt belongs to once memory has let go of it (design D2).

use bongsu_domain::id::reference;
use bongsu_domain::{AccountId, Code, Status, Timestamp};

use crate::changes::{Orphan, Submit};
use crate::db::{Db, Row};
use crate::error::Error;

/// Spilled parts with a relay's id, newest message first (relays use their ids again).
pub(crate) fn submits(live: &Db, relay: u8, relay_id: &str) -> Result<Vec<Submit>, Error> {
    let mut statement = live.prepare_cached(
        "SELECT relay, relay_id, id, attempt, part, parts, recipient, deadline FROM submits
           WHERE relay = ? AND relay_id = ? ORDER BY id DESC LIMIT 16",
    )?;
    let found = statement.query_map((relay, relay_id), read_submit)?.collect::<Result<_, _>>()?;
    Ok(found)
}

/// Spilled parts whose deadline has passed.
pub(crate) fn overdue(live: &Db, now_ms: i64, limit: u32) -> Result<Vec<Submit>, Error> {
    let mut statement = live.prepare_cached(
        "SELECT relay, relay_id, id, attempt, part, parts, recipient, deadline FROM submits WHERE deadline < ? ORDER BY deadline LIMIT ?",
    )?;
    let found = statement.query_map((now_ms, limit), read_submit)?.collect::<Result<_, _>>()?;
    Ok(found)
}

fn read_submit(row: &Row<'_>) -> Result<Submit, Error> {
    Ok(Submit {
        relay: row.get(0)?,
        relay_id: row.get(1)?,
        id: row.get(2)?,
        attempt: row.get(3)?,
        part: row.get(4)?,
        parts: row.get(5)?,
        recipient: row.get(6)?,
        deadline: row.get(7)?,
    })
}

/// An attempt that is or was unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownRow {
    /// The message.
    pub id: i64,
    /// Its attempt.
    pub attempt: u8,
    /// Number of the relay.
    pub relay: u8,
    /// Its account.
    pub account: AccountId,
    /// Unix milliseconds.
    pub since: i64,
    /// Unix milliseconds, 0 while open.
    pub resolved: i64,
    /// How.
    pub resolution: Option<String>,
}

const UNKNOWN: &str = "id, attempt, relay, account, since, resolved, resolution";

fn read_unknown(row: &Row<'_>) -> Result<UnknownRow, Error> {
    Ok(UnknownRow {
        id: row.get(0)?,
        attempt: row.get(1)?,
        relay: row.get(2)?,
        account: AccountId(row.get(3)?),
        since: row.get(4)?,
        resolved: row.get(5)?,
        resolution: row.get(6)?,
    })
}

/// The unknown attempt that a receipt without a known id belongs to: by relay, recipient and reference. Without an echoed
/// reference only when a single one fits.
pub(crate) fn unknown(live: &Db, relay: u8, recipient: i64, echoed: Option<u16>) -> Result<Option<UnknownRow>, Error> {
    let mut statement = live.prepare_cached(&format!(
        "SELECT {UNKNOWN} FROM unknown_attempts WHERE relay = ? AND recipient = ? ORDER BY resolved, id DESC LIMIT 256"
    ))?;
    let found: Vec<UnknownRow> = statement.query_map((relay, recipient), read_unknown)?.collect::<Result<_, _>>()?;
    Ok(match echoed {
        Some(echoed) => found.into_iter().find(|row| reference(row.id) == echoed),
        None => {
            let mut open = found.into_iter().filter(|row| row.resolved == 0);
            open.next().filter(|_| open.next().is_none())
        }
    })
}

/// Unknown attempts of an account (or of all), newest first, below the cursor `(id, attempt)`.
pub(crate) fn unknown_page(
    live: &Db,
    account: Option<AccountId>,
    below: (i64, u8),
    limit: u32,
) -> Result<Vec<UnknownRow>, Error> {
    let mut statement = live.prepare_cached(&format!(
        "SELECT {UNKNOWN} FROM unknown_attempts WHERE (id < ? OR (id = ? AND attempt < ?)) AND (? = 0 OR account = ?)
           ORDER BY id DESC, attempt DESC LIMIT ?"
    ))?;
    let account = account.map_or(0, |a| a.0);
    let found = statement
        .query_map((below.0, below.0, below.1, account, account, limit), read_unknown)?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

/// A stored orphan with its number.
pub type StoredOrphan = (i64, Orphan);

const ORPHAN: &str = "seq, relay, relay_id, recipient, reference, status, code, at, raw";

fn read_orphan(row: &Row<'_>) -> Result<StoredOrphan, Error> {
    Ok((
        row.get(0)?,
        Orphan {
            relay: row.get(1)?,
            relay_id: row.get(2)?,
            recipient: row.get(3)?,
            reference: u16::try_from(row.get::<i64>(4)?).ok(),
            status: Status::from_u8(row.get(5)?).unwrap_or(Status::Uncertain),
            code: Code::from_number(row.get(6)?).unwrap_or(Code::UnmappedVendorCode),
            at: Timestamp(row.get(7)?),
            raw: row.get(8)?,
        },
    ))
}

/// All orphans after a number, for the start.
pub(crate) fn orphans(live: &Db, after: i64, limit: u32) -> Result<Vec<StoredOrphan>, Error> {
    let mut statement =
        live.prepare_cached(&format!("SELECT {ORPHAN} FROM orphan_receipts WHERE seq > ? ORDER BY seq LIMIT ?"))?;
    let found = statement.query_map((after, limit), read_orphan)?.collect::<Result<_, _>>()?;
    Ok(found)
}

/// Orphans of a relay for one recipient.
pub(crate) fn orphans_for(live: &Db, relay: u8, recipient: i64) -> Result<Vec<StoredOrphan>, Error> {
    let mut statement = live.prepare_cached(&format!(
        "SELECT {ORPHAN} FROM orphan_receipts WHERE relay = ? AND recipient = ? ORDER BY seq DESC LIMIT 64"
    ))?;
    let found = statement.query_map((relay, recipient), read_orphan)?.collect::<Result<_, _>>()?;
    Ok(found)
}
