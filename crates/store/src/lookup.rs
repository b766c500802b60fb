//! Finding the attempt a receipt belongs to once memory has let go of it (design D2).

use std::collections::{BTreeMap, HashMap};

use bongsu_domain::id::{id_millis, reference};
use bongsu_domain::map::{IdMap, IdSet};
use bongsu_domain::{AccountId, Code, Status, Timestamp};

use crate::changes::{Orphan, Submit};
use crate::db::{Db, Row, Value, int};
use crate::error::Error;
use crate::query;
use crate::readers::Reader;
use crate::rows::MessageRow;

/// Keys of one statement.
const KEYS_MAX: usize = 256;
/// Rows that are read for each key, on average: relays may use one id for all, and a number may have many attempts.
const ROWS_MAX: usize = 64;

/// How far the clocks of processes may be apart, milliseconds: one takes the receipt, another one made the message's id.
const CLOCKS_APART_MS: i64 = 5_000;

/// What a receipt says of itself.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Number of the relay.
    pub relay: u8,
    /// The relay's id.
    pub relay_id: String,
    /// Plain keyed hash of the recipient's number.
    pub recipient: i64,
    /// `user_message_reference` when echoed.
    pub reference: Option<u16>,
    /// When it arrived.
    pub at: Timestamp,
}

/// What the store knows about a receipt.
#[derive(Debug)]
pub enum Known {
    /// It is of a spilled part of this message.
    Submit(Submit, MessageRow),
    /// It is of an attempt whose fate is or was unknown.
    Unknown {
        /// The attempt.
        attempt: UnknownRow,
        /// Its message.
        row: MessageRow,
        /// The message waits for its next attempt, which is not made yet.
        is_due: bool,
    },
    /// Nobody knows of it.
    Nothing,
}

/// What is known of many receipts, in their order, in few statements: after a crash there may be thousands.
pub(crate) fn known(reader: &mut Reader, wanted: &[Wanted]) -> Result<Vec<Known>, Error> {
    let mut found = Vec::new();
    for (relay, of_relay) in by_relay(wanted) {
        let keys: Vec<(&str, i64)> = of_relay.iter().map(|w| (w.relay_id.as_str(), w.recipient)).collect();
        found.extend(self::submits(&reader.live, relay, keys)?);
    }
    let mut newest: HashMap<(u8, &str, i64), &Submit> = HashMap::new();
    for submit in &found {
        newest.entry((submit.relay, &submit.relay_id, submit.recipient)).or_insert(submit);
    }
    let submits: Vec<Option<Submit>> = wanted
        .iter()
        .map(|w| newest.get(&(w.relay, w.relay_id.as_str(), w.recipient)).map(|submit| (*submit).clone()))
        .collect();
    let mut rows = rows_of(reader, submits.iter().flatten().map(|submit| submit.id))?;
    let left =
        wanted.iter().zip(&submits).filter(|(_, submit)| submit.as_ref().is_none_or(|s| !rows.contains_key(&s.id)));
    let mut unknown: HashMap<(u8, i64), Vec<UnknownRow>> = HashMap::new();
    for (relay, of_relay) in by_relay(left.map(|(wanted, _)| wanted)) {
        let recipients: Vec<i64> = of_relay.iter().map(|wanted| wanted.recipient).collect();
        for row in self::unknown(&reader.live, relay, recipients)? {
            unknown.entry((relay, row.recipient)).or_default().push(row);
        }
    }
    let unknown: Vec<Option<UnknownRow>> = wanted
        .iter()
        .map(|w| unknown.get(&(w.relay, w.recipient)).and_then(|rows| the_one(rows, w)).cloned())
        .collect();
    rows.extend(rows_of(reader, unknown.iter().flatten().map(|unknown| unknown.id))?);
    let due = due_of(&reader.live, unknown.iter().flatten().map(|unknown| unknown.id))?;
    let known = submits.into_iter().zip(unknown).map(|(submit, unknown)| {
        let of_submit = submit.and_then(|submit| rows.get(&submit.id).map(|row| Known::Submit(submit, row.clone())));
        let of_unknown = || {
            let attempt = unknown?;
            let (row, is_due) = (rows.get(&attempt.id)?.clone(), due.contains(&attempt.id));
            Some(Known::Unknown { attempt, row, is_due })
        };
        of_submit.or_else(of_unknown).unwrap_or(Known::Nothing)
    });
    Ok(known.collect())
}

fn by_relay<'a>(wanted: impl IntoIterator<Item = &'a Wanted>) -> BTreeMap<u8, Vec<&'a Wanted>> {
    let mut relays: BTreeMap<u8, Vec<&Wanted>> = BTreeMap::new();
    for wanted in wanted {
        relays.entry(wanted.relay).or_default().push(wanted);
    }
    relays
}

fn rows_of(reader: &mut Reader, ids: impl Iterator<Item = i64>) -> Result<IdMap<MessageRow>, Error> {
    let mut ids: Vec<i64> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    Ok(query::rows(reader, &ids)?.into_iter().map(|row| (row.id, row)).collect())
}

/// Reads what belongs to a relay and to many keys: each column has one of its values.
fn of_relay<T, const N: usize>(
    live: &Db,
    select: &str,
    (columns, order): ([&str; N], &str),
    relay: u8,
    keys: &[[Value<'_>; N]],
    read: impl Fn(&Row<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let mut found = Vec::new();
    for part in keys.chunks(KEYS_MAX) {
        // Few sizes, so that their statements stay prepared; the last key fills up.
        let size = part.len().next_power_of_two();
        let places = vec!["?"; size].join(", ");
        let among: String = columns.iter().map(|column| format!(" AND {column} IN ({places})")).collect();
        let mut binds = vec![int(relay)];
        let filled = || (0..size).map(|at| part[at.min(part.len() - 1)]);
        binds.extend((0..N).flat_map(|column| filled().map(move |key| key[column])));
        let limit = ROWS_MAX * KEYS_MAX;
        let sql = format!("{select} WHERE relay = ?{among} ORDER BY {order} LIMIT {limit}");
        let mut statement = live.prepare_cached(&sql)?;
        let mut rows = statement.query(binds.as_slice())?;
        while let Some(row) = rows.next()? {
            found.push(read(&row)?);
        }
    }
    Ok(found)
}

/// Spilled parts with one of a relay's ids to one of these recipients, the newest messages first: relays use their ids again.
fn submits(live: &Db, relay: u8, mut keys: Vec<(&str, i64)>) -> Result<Vec<Submit>, Error> {
    keys.sort_unstable();
    keys.dedup();
    let keys: Vec<[Value<'_>; 2]> = keys.into_iter().map(|(id, to)| [Value::Text(id), int(to)]).collect();
    let select = "SELECT relay, relay_id, id, attempt, part, parts, recipient, deadline FROM submits";
    of_relay(live, select, (["relay_id", "recipient"], "id DESC"), relay, &keys, read_submit)
}

/// Spilled parts whose deadline has passed, with their messages.
pub(crate) fn overdue(
    reader: &mut Reader,
    now_ms: i64,
    limit: u32,
) -> Result<Vec<(Submit, Option<MessageRow>)>, Error> {
    let mut statement = reader.live.prepare_cached(
        "SELECT relay, relay_id, id, attempt, part, parts, recipient, deadline FROM submits WHERE deadline < ? ORDER BY deadline LIMIT ?",
    )?;
    let found: Vec<Submit> = statement.query_map((now_ms, limit), read_submit)?.collect::<Result<_, _>>()?;
    drop(statement);
    let rows = rows_of(reader, found.iter().map(|submit| submit.id))?;
    let with_row = |submit: Submit| {
        let row = rows.get(&submit.id).cloned();
        (submit, row)
    };
    Ok(found.into_iter().map(with_row).collect())
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
    /// Plain keyed hash of the recipient's number.
    pub recipient: i64,
    /// Unix milliseconds.
    pub since: i64,
    /// Unix milliseconds, 0 while open.
    pub resolved: i64,
    /// How.
    pub resolution: Option<String>,
}

const UNKNOWN: &str = "id, attempt, relay, account, recipient, since, resolved, resolution";

fn read_unknown(row: &Row<'_>) -> Result<UnknownRow, Error> {
    Ok(UnknownRow {
        id: row.get(0)?,
        attempt: row.get(1)?,
        relay: row.get(2)?,
        account: AccountId(row.get(3)?),
        recipient: row.get(4)?,
        since: row.get(5)?,
        resolved: row.get(6)?,
        resolution: row.get(7)?,
    })
}

/// Unknown attempts over a relay to some recipients, open ones first, then the newest.
fn unknown(live: &Db, relay: u8, mut recipients: Vec<i64>) -> Result<Vec<UnknownRow>, Error> {
    recipients.sort_unstable();
    recipients.dedup();
    let keys: Vec<[Value<'_>; 1]> = recipients.into_iter().map(|to| [int(to)]).collect();
    let select = format!("SELECT {UNKNOWN} FROM unknown_attempts");
    of_relay(live, &select, (["recipient"], "resolved, id DESC"), relay, &keys, read_unknown)
}

/// The unknown attempt that a receipt without a known id belongs to, of those to its recipient: by reference. Without an
/// echoed reference only when a single one is open.
///
/// A receipt that was there before the message is another one's: a relay may offer that of an earlier message to the same
/// number once more.
fn the_one<'a>(found: &'a [UnknownRow], receipt: &Wanted) -> Option<&'a UnknownRow> {
    let latest = receipt.at.millis() + CLOCKS_APART_MS;
    let mut earlier = found.iter().filter(|row| id_millis(row.id) <= latest);
    match receipt.reference {
        Some(echoed) => earlier.find(|row| reference(row.id) == echoed),
        None => {
            let mut open = earlier.filter(|row| row.resolved == 0);
            open.next().filter(|_| open.next().is_none())
        }
    }
}

/// Those of some messages that wait for their next attempt.
fn due_of(live: &Db, ids: impl Iterator<Item = i64>) -> Result<IdSet, Error> {
    let mut ids: Vec<i64> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(IdSet::default());
    }
    Ok(live.select_in("SELECT id FROM due WHERE id", &ids, "", |row| row.get(0))?.into_iter().collect())
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
