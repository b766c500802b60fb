//! History in partitions of one day: made ahead of time, dropped whole.

use bongsu_domain::id::{first_id_at, id_day};
use bongsu_domain::{Day, Timestamp};

use super::migrate::change;
use crate::db::{Db, OptionalExtension};
use crate::error::{Error, Kind};
use crate::index::{KeyKind, bucket_of};
use crate::sweep::day_range;

/// Partitioned tables, each with the id its partitions are of.
const TABLES: &[&str] = &["messages", "attempts", "receipts", "slices", "contents", "event_slices", "tags"];
/// Days that have a partition before they begin.
const AHEAD: usize = 3;
/// Most partitions made at once.
const MADE_MAX: usize = 400;

/// Days that have a partition, oldest first.
pub(crate) fn days(db: &Db) -> Result<Vec<Day>, Error> {
    partitions(db, "messages")
}

fn partitions(db: &Db, table: &str) -> Result<Vec<Day>, Error> {
    let names: Vec<String> = db
        .prepare_cached(
            "SELECT partition_name FROM information_schema.partitions
               WHERE table_schema = DATABASE() AND table_name = ? AND partition_name LIKE 'd%' ORDER BY partition_name",
        )?
        .query_map([table], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(names.iter().filter_map(|name| name.strip_prefix('d')?.parse().ok()).map(Day).collect())
}

/// Makes the partitions of today and the next days, and of days whose rows lie in `pmax`. Only `pmax` is touched, which is
/// empty unless nobody made partitions for days.
pub(crate) fn keep_partitions(db: &Db, now: Timestamp) -> Result<(), Error> {
    let last = (0..AHEAD).fold(now.kst_day(), |day, _| day.next());
    for table in TABLES {
        let there = partitions(db, table)?;
        let mut day = match there.last() {
            Some(newest) => newest.next(),
            None => oldest(db, table)?.unwrap_or_else(|| now.kst_day()).min(now.kst_day()),
        };
        let mut made = Vec::new();
        while day <= last && made.len() < MADE_MAX {
            let end = first_id_at(day.next().start());
            made.push(format!("PARTITION d{} VALUES LESS THAN ({end})", day.0));
            day = day.next();
        }
        if !made.is_empty() {
            made.push("PARTITION pmax VALUES LESS THAN MAXVALUE".into());
            change(db, &format!("ALTER TABLE {table} REORGANIZE PARTITION pmax INTO ({})", made.join(", ")))?;
        }
    }
    Ok(())
}

fn oldest(db: &Db, table: &str) -> Result<Option<Day>, Error> {
    let key = match table {
        "slices" => "first",
        "tags" => "bucket",
        "contents" => "request",
        "event_slices" => "moment",
        _ => "id",
    };
    let id: Option<i64> =
        db.query_row(&format!("SELECT MIN({key}) FROM {table}"), (), |row| row.get(0)).optional()?.flatten();
    Ok(id.map(id_day))
}

/// Drops a day. Texts of a batch may be needed by rows of the day after it, so they go a day later.
pub(crate) fn drop_day(db: &Db, day: Day) -> Result<(), Error> {
    for table in TABLES {
        let gone = if *table == "contents" { day.prev() } else { day };
        for old in partitions(db, table)?.into_iter().filter(|old| *old <= gone) {
            change(db, &format!("ALTER TABLE {table} DROP PARTITION d{}", old.0))?;
        }
    }
    Ok(())
}

/// Drops days of events that were kept for their time. Answers how many days went.
pub(crate) fn drop_events(db: &Db, before: Timestamp) -> Result<usize, Error> {
    let mut gone = 0;
    for old in partitions(db, "event_slices")?.into_iter().filter(|old| *old < before.kst_day()) {
        change(db, &format!("ALTER TABLE event_slices DROP PARTITION d{}", old.0))?;
        gone += 1;
    }
    Ok(gone)
}

/// Slices staged in `[since, until)` that no request claims.
pub(crate) fn orphan_slices(db: &Db, since: Timestamp, until: Timestamp) -> Result<Vec<(i64, u32)>, Error> {
    db.prepare_cached(
        "SELECT slices.first, slices.count FROM slices LEFT JOIN runs ON runs.first = slices.first
           LEFT JOIN group_slices ON group_slices.first = slices.first
           WHERE slices.first >= ? AND slices.first < ? AND runs.first IS NULL AND group_slices.first IS NULL ORDER BY slices.first LIMIT 10000",
    )?
    .query_map((first_id_at(since), first_id_at(until)), |row| Ok((row.get(0)?, row.get(1)?)))?
    .collect()
}

/// Ids in `[from, to]` that have the key, newest first; of a tag the buckets of ids that overlap the range.
///
/// # Errors
/// `Invalid` when the range is empty.
pub(crate) fn search(db: &Db, kind: KeyKind, key: i64, from: i64, to: i64, limit: usize) -> Result<Vec<i64>, Error> {
    if from > to {
        return Err(Error::new(Kind::Invalid("since"), "the range is empty"));
    }
    let (table, column, id, from) = match kind {
        KeyKind::Recipient => ("messages", "recipient", "id", from),
        KeyKind::LastFour => ("messages", "last4", "id", from),
        KeyKind::Sender => ("messages", "sender", "id", from),
        KeyKind::Tag => ("tags", "tag", "bucket", bucket_of(from)),
    };
    let mut found = Vec::new();
    // Day by day, so that a page of new messages does not look into every partition.
    let mut days = days(db)?;
    days.retain(|day| (id_day(from)..=id_day(to)).contains(day));
    let mut ranges: Vec<(i64, i64)> = days.into_iter().rev().map(day_range).collect();
    let made = ranges.first().map_or(i64::MIN, |(_, last)| *last);
    ranges.insert(0, (made.saturating_add(1), i64::MAX));
    let below = ranges.last().map_or(i64::MIN, |(first, _)| *first);
    ranges.push((i64::MIN, below.saturating_sub(1)));
    for (first, last) in ranges {
        let (low, high) = (first.max(from), last.min(to));
        if low > high || found.len() >= limit {
            continue;
        }
        let rows = db
            .prepare_cached(&format!(
                "SELECT {id} FROM {table} WHERE {column} = ? AND {id} BETWEEN ? AND ? ORDER BY {id} DESC LIMIT ?"
            ))?
            .query_map((key, low, high, (limit - found.len()) as i64), |row| row.get::<i64>(0))?;
        for id in rows {
            found.push(id?);
        }
    }
    Ok(found)
}
