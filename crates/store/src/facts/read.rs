//! Reading facts: events by position, progress of a request; and the numberer of a database.

use bongsu_domain::id::id_day;
use bongsu_domain::{AccountId, Day, Status, Timestamp};

use super::SLICE_MAX;
use super::blob;
use super::board::{Where, number_at};
use super::event::{Event, EventPage};
use crate::db::{Db, OptionalExtension};
use crate::error::Error;
use crate::readers::Reader;

/// Slices that get their numbers in one transaction.
#[cfg(feature = "mysql")]
pub(crate) const NUMBERED_AT_ONCE: u32 = 2_000;
/// Slices read at once from a file.
const SLICES_AT_ONCE: u32 = 64;

/// A slice as it is stored.
struct Stored {
    no: i64,
    account: i64,
    at: i64,
    events: Vec<u8>,
}

/// Slices of a file in `[from, to]`, in order, at most [`SLICES_AT_ONCE`].
fn slices(db: &Db, account: Option<AccountId>, from: i64, to: i64) -> Result<Vec<Stored>, Error> {
    let read = |row: &crate::db::Row<'_>| {
        Ok(Stored { no: row.get(0)?, account: row.get(1)?, at: row.get(2)?, events: row.get(3)? })
    };
    let select = "SELECT no, account, at, events FROM event_slices WHERE";
    match account {
        Some(account) => db
            .prepare_cached(&format!("{select} account = ? AND no BETWEEN ? AND ? ORDER BY no LIMIT ?"))?
            .query_map((account.0, from, to, SLICES_AT_ONCE), read)?
            .collect(),
        None => db
            .prepare_cached(&format!("{select} no BETWEEN ? AND ? ORDER BY no LIMIT ?"))?
            .query_map((from, to, SLICES_AT_ONCE), read)?
            .collect(),
    }
}

/// Events after a position, of slices up to the number `shown`, which are in the given files.
pub(crate) fn page(
    reader: &mut Reader,
    files: &[Where],
    shown: i64,
    account: Option<AccountId>,
    after: i64,
    limit: u32,
) -> Result<EventPage, Error> {
    let width = i64::from(SLICE_MAX);
    let end = shown.saturating_mul(width).saturating_add(width - 1).max(after);
    let mut page = EventPage { events: Vec::new(), next: after };
    let mut from = after.max(0) / width;
    while from <= shown {
        let (found, upto) = gather(reader, files, account, from, shown)?;
        for slice in found {
            let about = (slice.no, slice.account, slice.at);
            let all = blob::read(about, &slice.events, after, &mut |event| {
                let room = page.events.len() < limit as usize;
                if room {
                    page.next = event.position;
                    page.events.push(event);
                }
                room
            })?;
            if !all {
                return Ok(page);
            }
        }
        from = upto + 1;
    }
    page.next = end;
    Ok(page)
}

/// An event of a message, and when its commit was (ms since the Unix epoch).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    pub(crate) event: Event,
    pub(crate) commit_ms: i64,
}

/// Pages of slices that are looked through after each moment for the events of one message.
const PAGES_OF_MOMENT: u32 = 4;

/// Events of a message in a file, as far as they were written soon after one of the moments (ms, ascending). Numbers of
/// slices may lie so far before the moment of their commit.
pub(crate) fn of_message(
    db: &Db,
    account: AccountId,
    message: i64,
    moments: &[i64],
    margin_ms: i64,
) -> Result<Vec<Told>, Error> {
    let mut told: Vec<Told> = Vec::new();
    let mut next = 0;
    for moment in moments {
        if told.iter().any(|told| told.event.at.millis() == *moment) {
            continue;
        }
        let mut from = next.max(number_at(Timestamp::from_millis(moment - margin_ms)));
        for _ in 0..PAGES_OF_MOMENT {
            let found = slices(db, Some(account), from, i64::MAX)?;
            let is_last = found.len() < SLICES_AT_ONCE as usize;
            let before = told.len();
            for slice in found {
                let commit_ms = slice.at;
                blob::read((slice.no, slice.account, slice.at), &slice.events, i64::MIN, &mut |event| {
                    if event.message == message {
                        told.push(Told { event, commit_ms });
                    }
                    true
                })?;
                from = slice.no + 1;
            }
            next = from;
            if is_last || told[before..].iter().any(|told| told.event.at.millis() >= *moment) {
                break;
            }
        }
    }
    Ok(told)
}

/// The next slices of several files in one order, complete up to the number that is answered as well.
fn gather(
    reader: &mut Reader,
    files: &[Where],
    account: Option<AccountId>,
    from: i64,
    shown: i64,
) -> Result<(Vec<Stored>, i64), Error> {
    let mut found = Vec::new();
    let mut upto = shown;
    for at in files {
        let db = match at {
            None => Some(&reader.live),
            Some(day) => reader.day(*day)?,
        };
        // A day whose file went away is beyond retention.
        let Some(db) = db else { continue };
        let some = slices(db, account, from, upto)?;
        if some.len() >= SLICES_AT_ONCE as usize {
            upto = some.last().map_or(upto, |slice| slice.no);
        }
        found.extend(some);
    }
    found.retain(|slice| slice.no <= upto);
    found.sort_by_key(|slice| slice.no);
    Ok((found, upto))
}

/// How many messages of a request stand where; those that wait are `queued`. Empty when there is no such request.
///
/// Each file is read in one moment, and in none do the counts exceed the messages that it has, so they always add up.
pub(crate) fn progress(reader: &mut Reader, request: i64) -> Result<Vec<(Status, u64)>, Error> {
    let promised: Option<(i64, i64, i64)> = reader
        .live
        .prepare_cached("SELECT accepted, first_id, last_id FROM requests WHERE id = ?")?
        .query_row([request], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((total, first, last)) = promised else { return Ok(Vec::new()) };
    let mut counts = std::collections::BTreeMap::new();
    let sql = "SELECT status, CAST(SUM(messages) AS SIGNED) FROM progress WHERE request = ? GROUP BY status";
    for day in days(reader, first, last) {
        let Some(db) = reader.day(day)? else { continue };
        for row in db.prepare_cached(sql)?.query_map([request], |row| Ok((row.get::<u8>(0)?, row.get::<i64>(1)?)))? {
            let (status, messages) = row?;
            if let Some(status) = Status::from_u8(status).filter(|_| messages > 0) {
                *counts.entry(status).or_default() += messages.unsigned_abs();
            }
        }
    }
    let waiting = total.unsigned_abs().saturating_sub(counts.values().sum());
    if waiting > 0 || counts.is_empty() {
        counts.insert(Status::Queued, waiting);
    }
    Ok(counts.into_iter().collect())
}

/// The days whose files have messages between two ids; any one where there is one database.
fn days(reader: &Reader, first: i64, last: i64) -> Vec<Day> {
    let mut days = vec![id_day(first)];
    while !reader.live.is_mysql() && days[days.len() - 1] < id_day(last) {
        days.push(days[days.len() - 1].next());
    }
    days
}

/// The last number given on a database: it comes with the slices that have it.
pub(crate) fn shown_number(live: &Db) -> Result<i64, Error> {
    let sql = "SELECT value FROM facts WHERE name = 'events' /* lock */";
    let last: Option<String> = live.query_row(sql, (), |row| row.get(0)).optional()?;
    Ok(last.and_then(|last| last.parse().ok()).unwrap_or(0))
}

/// Gives numbers to committed slices that have none, in the order in which they were written. Answers how many.
///
/// The last number is a locked row, so that numbers come to be seen in their order even where two numberers are at work.
/// What happened to one message was written one after the other, by then in this order.
#[cfg(feature = "mysql")]
pub(crate) fn number(reader: &mut Reader, now: Timestamp, limit: u32) -> Result<usize, Error> {
    let db = &reader.live;
    let Some(connection) = db.my() else { return Ok(0) };
    // A look without a transaction: most of the time there is nothing.
    let waits = "SELECT id FROM event_slices WHERE no IS NULL LIMIT 1";
    if !db.prepare_cached(waits)?.exists(())? {
        return Ok(0);
    }
    connection.begin()?;
    let done = number_within(db, now, limit);
    match &done {
        Ok(_) => connection.commit()?,
        Err(_) => connection.rollback(),
    }
    done
}

#[cfg(feature = "mysql")]
fn number_within(db: &Db, now: Timestamp, limit: u32) -> Result<usize, Error> {
    use super::board::number_after;
    use crate::db::dialect::Kind::Int;
    use crate::db::dialect::Many;
    static NUMBER: Many = Many::new(
        "UPDATE {v, }event_slices SET no = v_no WHERE id = v_id AND moment = v_moment",
        &[("v_no", Int), ("v_id", Int), ("v_moment", Int)],
    );
    let mut last = shown_number(db)?;
    let slices: Vec<(i64, i64)> = db
        .prepare_cached("SELECT id, moment FROM event_slices WHERE no IS NULL ORDER BY id LIMIT ?")?
        .query_map([limit], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let numbered: Vec<[i64; 3]> = slices
        .into_iter()
        .map(|(id, moment)| {
            last = number_after(last, now);
            [last, id, moment]
        })
        .collect();
    db.many(&NUMBER, numbered.iter().copied())?;
    db.execute("UPDATE facts SET value = ? WHERE name = 'events'", [last.to_string().as_str()])?;
    Ok(numbered.len())
}
