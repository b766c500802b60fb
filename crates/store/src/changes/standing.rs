//! What is known of messages before they change.

use bongsu_domain::id::id_day;
use bongsu_domain::map::IdMap;
use bongsu_domain::{AccountId, Channel, Code, Lane, Status, Unit};

use crate::error::{Error, Kind};
use crate::facts::{EventKind, Moved, NO_RELAY};
use crate::tx::Tx;

/// Messages that are remembered between changes: what a table of 65,536 places holds, about 3 MiB.
const KEPT_MAX: usize = 57_344;

/// A message as it stands before a change.
#[derive(Debug, Clone)]
pub(super) struct Stands {
    pub(super) attempt: u8,
    pub(super) status: Status,
    account: AccountId,
    request: i64,
    lane: Lane,
    channel: Channel,
    unit: Unit,
    price: i64,
    stat: u32,
    pub(super) relay: u8,
}

const STANDS: &str =
    "SELECT id, attempt, status, account, request, lane, channel, unit, price, stat, relay FROM messages WHERE id";

impl Stands {
    fn read(row: &crate::db::Row<'_>) -> Result<(i64, Self), Error> {
        let bad = || Error::new(Kind::Corrupt, "message row with an unknown status, lane, channel or unit");
        let stands = Self {
            attempt: row.get(1)?,
            status: Status::from_u8(row.get(2)?).ok_or_else(bad)?,
            account: AccountId(row.get(3)?),
            request: row.get(4)?,
            lane: Lane::from_u8(row.get(5)?).ok_or_else(bad)?,
            channel: Channel::from_u8(row.get(6)?).ok_or_else(bad)?,
            unit: Unit::from_u8(row.get(7)?).ok_or_else(bad)?,
            price: row.get(8)?,
            stat: row.get(9)?,
            relay: row.get::<Option<u8>>(10)?.unwrap_or(NO_RELAY),
        };
        Ok((row.get(0)?, stands))
    }

    pub(super) fn is_open(&self) -> bool {
        !self.status.is_final()
    }

    /// The message stands so from now on.
    pub(super) fn moves(
        &mut self,
        id: i64,
        is: Status,
        kind: Option<EventKind>,
        code: Code,
        at: i64,
        refunded: i64,
    ) -> Moved {
        let was = std::mem::replace(&mut self.status, is);
        let Stands { account, request, lane, channel, unit, price, stat, relay, attempt, .. } = *self;
        Moved {
            id,
            account,
            request,
            lane,
            channel,
            unit,
            stat,
            price,
            was,
            is,
            kind,
            code,
            attempt,
            relay,
            at,
            refunded,
        }
    }
}

/// What stands in the rows that will change. Where several processes write, they are locked, in the order of ids, so that
/// two writers never wait for each other in a circle. Where one thread is the only writer it remembers, from one change of
/// a message to the next, what it wrote itself.
#[derive(Default)]
pub(crate) struct Standing {
    rows: IdMap<Stands>,
    /// Those that this transaction asked for.
    locked: Vec<i64>,
}

impl Standing {
    pub(super) fn lock(tx: &mut Tx<'_>, ids: impl Iterator<Item = i64>) -> Result<Self, Error> {
        let mut ids: Vec<i64> = ids.collect();
        ids.sort_unstable();
        ids.dedup();
        if tx.live.is_mysql() {
            let rows = tx.live.select_in(STANDS, &ids, "ORDER BY id /* lock */", Stands::read)?;
            return Ok(Self { rows: rows.into_iter().collect(), locked: Vec::new() });
        }
        let mut rows = tx.remembered().map(|kept| std::mem::take(&mut kept.rows)).unwrap_or_default();
        let unknown: Vec<i64> = ids.iter().copied().filter(|id| !rows.contains_key(id)).collect();
        for of_day in unknown.chunk_by(|a, b| id_day(*a) == id_day(*b)) {
            rows.extend(tx.day(id_day(of_day[0]))?.select_in(STANDS, of_day, "", Stands::read)?);
        }
        Ok(Self { rows, locked: ids })
    }

    /// Remembers those that wait for a result, for the only writer.
    pub(super) fn keep(mut self, tx: &mut Tx<'_>) {
        let Some(kept) = tx.remembered() else { return };
        let is_full = self.rows.len() > KEPT_MAX;
        for id in &self.locked {
            if is_full || self.rows.get(id).is_some_and(|stands| stands.status != Status::Submitted) {
                self.rows.remove(id);
            }
        }
        kept.rows = self.rows;
    }

    /// Nothing is known any more: what was written may have been undone.
    pub(crate) fn forget(&mut self) {
        self.rows = IdMap::default();
    }

    pub(super) fn get(&self, id: i64) -> Option<&Stands> {
        self.rows.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: i64) -> Option<&mut Stands> {
        self.rows.get_mut(&id)
    }

    pub(super) fn is_open(&self, id: i64) -> bool {
        self.get(id).is_some_and(Stands::is_open)
    }
}
