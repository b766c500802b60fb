//! Statistics: counters added up, with what is still open told apart.

use std::collections::{BTreeMap, HashMap};

use bongsu_domain::{AccountId, Channel, Day, Lane, Status, Unit};

use super::{NO_RELAY, Tags};
use crate::db::Db;
use crate::error::{Error, Kind};
use crate::readers::Reader;

/// What to add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatsQuery {
    /// Whose messages; absent for the operator.
    pub account: Option<AccountId>,
    /// First day of accept.
    pub from: Day,
    /// Last day of accept.
    pub to: Day,
}

/// Messages that are alike in everything that statistics tell apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Whose they are.
    pub account: AccountId,
    /// Day of accept.
    pub day: Day,
    /// Channel.
    pub channel: Channel,
    /// Lane.
    pub lane: Lane,
    /// What their prices are in.
    pub unit: Unit,
    /// Number of the relay of the last attempt; none for those that are open, or never had one.
    pub relay: Option<u8>,
    /// How they ended; none for those that did not yet.
    pub status: Option<Status>,
    /// The set of billCode and labels, 0 none.
    pub stat: u32,
    /// How many.
    pub messages: i64,
    /// Money taken for them, in the unit.
    pub charged: i64,
    /// Of it given back.
    pub refunded: i64,
}

/// Counter rows of one answer; more is refused.
const ROWS_MAX: usize = 400_000;

const SELECT: &str = "SELECT account, day, channel, lane, unit, relay, status, stat, CAST(SUM(messages) AS SIGNED),
  CAST(SUM(charged) AS SIGNED), CAST(SUM(refunded) AS SIGNED)
  FROM counters WHERE";
const GROUP: &str = "GROUP BY account, day, channel, lane, unit, relay, status, stat";

fn cells(db: &Db, query: &StatsQuery) -> Result<Vec<Cell>, Error> {
    let read = |row: &crate::db::Row<'_>| {
        let bad = || Error::new(Kind::Corrupt, "counter row with an unknown channel, lane, unit or status");
        let (relay, status): (u8, u8) = (row.get(5)?, row.get(6)?);
        let status = Status::from_u8(status).ok_or_else(bad)?;
        Ok(Cell {
            account: AccountId(row.get(0)?),
            day: Day(row.get(1)?),
            channel: Channel::from_u8(row.get(2)?).ok_or_else(bad)?,
            lane: Lane::from_u8(row.get(3)?).ok_or_else(bad)?,
            unit: Unit::from_u8(row.get(4)?).ok_or_else(bad)?,
            relay: Some(relay).filter(|relay| *relay != NO_RELAY),
            status: Some(status).filter(|status| status.is_final()),
            stat: row.get(7)?,
            messages: row.get(8)?,
            charged: row.get(9)?,
            refunded: row.get(10)?,
        })
    };
    match query.account {
        Some(account) => db
            .prepare_cached(&format!("{SELECT} account = ? AND day BETWEEN ? AND ? {GROUP}"))?
            .query_map((account.0, query.from.0, query.to.0), read)?
            .collect(),
        None => db
            .prepare_cached(&format!("{SELECT} day BETWEEN ? AND ? {GROUP}"))?
            .query_map((query.from.0, query.to.0), read)?
            .collect(),
    }
}

/// The cells of some days, none of them twice.
///
/// # Errors
/// `Invalid("from")` when there are too many.
pub(crate) fn read(reader: &mut Reader, query: &StatsQuery, files: &[Day]) -> Result<Vec<Cell>, Error> {
    // What ended is read before what was accepted, so that nothing ended that was not accepted.
    let mut ended = Vec::new();
    for day in files.iter().filter(|day| (query.from..=query.to).contains(day)) {
        if let Some(db) = reader.day(*day)? {
            ended.extend(cells(db, query)?);
        }
        too_many(ended.len())?;
    }
    let live = cells(&reader.live, query)?;
    too_many(ended.len() + live.len())?;
    let (accepted, of_gone): (Vec<Cell>, Vec<Cell>) = live.into_iter().partition(|cell| cell.status.is_none());
    // Of a day whose file is there the file tells.
    ended.extend(of_gone.into_iter().filter(|cell| !files.contains(&cell.day)));
    Ok(with_open(accepted, ended))
}

fn too_many(rows: usize) -> Result<(), Error> {
    if rows > ROWS_MAX {
        return Err(Error::new(Kind::Invalid("from"), "too much to add up at once; ask for fewer days"));
    }
    Ok(())
}

/// Takes what ended off what was accepted: the rest is open.
fn with_open(accepted: Vec<Cell>, mut ended: Vec<Cell>) -> Vec<Cell> {
    let key = |c: &Cell| (c.account, c.day, c.channel, c.lane, c.unit, c.stat);
    let mut open: BTreeMap<_, Cell> = accepted.into_iter().map(|cell| (key(&cell), cell)).collect();
    for cell in &ended {
        if let Some(open) = open.get_mut(&key(cell)) {
            open.messages -= cell.messages;
            open.charged -= cell.charged;
        }
    }
    ended.extend(open.into_values().filter(|cell| cell.messages > 0));
    ended
}

/// The sets that some cells are counted under.
pub(crate) fn tags(live: &Db, stats: &[u32]) -> Result<HashMap<u32, Tags>, Error> {
    let keys: Vec<i64> = stats.iter().map(|stat| i64::from(*stat)).collect();
    let sql = "SELECT id, bill_code, labels FROM stat_sets WHERE id";
    let rows = live.select_in(sql, &keys, "", |row| {
        let labels: String = row.get(2)?;
        let bad = |_| Error::new(Kind::Corrupt, "labels that cannot be read");
        Ok((row.get(0)?, Tags { bill_code: row.get(1)?, labels: serde_json::from_str(&labels).map_err(bad)? }))
    })?;
    Ok(rows.into_iter().collect())
}
