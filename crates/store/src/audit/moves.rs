//! The ledger added up.

use std::collections::HashMap;

use bongsu_domain::id::id_day;
use bongsu_domain::{GroupId, MessageId, RequestId};

use super::ROWS_AT_ONCE;
use crate::db::Db;
use crate::error::Error;
use crate::store::Store;

/// Where what retention left begins. The ledger outlives what it drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    /// Id of the oldest request, 0 when there is none.
    request: i64,
    /// First id of the oldest run, 0 when there is none.
    run: i64,
}

impl Kept {
    pub(super) async fn of(store: &Store) -> Result<Self, Error> {
        let oldest = |live: &Db, sql: &str| live.query_row(sql, (), |row| row.get(0));
        store
            .read(move |reader| {
                let live = &reader.live;
                let request = oldest(live, "SELECT COALESCE(MIN(id), 0) FROM requests")?;
                let run = oldest(live, "SELECT COALESCE(MIN(first), 0) FROM runs")?;
                Ok(Self { request, run })
            })
            .await
    }

    /// The smallest causes of charges and refunds that count. Causes sort by time, as ids and days do.
    fn floors(self) -> Floors {
        Floors {
            charges: [
                format!("request:{}", RequestId(self.request)),
                format!("request:{}", GroupId(self.request)),
                format!("request:{}", MessageId(self.request)),
            ],
            refunds: format!("settle:{}:", id_day(self.run)),
        }
    }
}

struct Floors {
    charges: [String; 3],
    refunds: String,
}

/// As long as what tells a batch's, a group's and a message's cause apart, and an operator's credit from them.
const KIND_CHARS: usize = "request:bat_".len();

impl Floors {
    fn is_charge(&self, cause: &str) -> bool {
        self.charges.iter().any(|floor| cause.get(..KIND_CHARS) == floor.get(..KIND_CHARS) && cause >= floor.as_str())
    }

    fn is_refund(&self, cause: &str) -> bool {
        cause.starts_with("settle:") && cause >= self.refunds.as_str()
    }
}

/// What the ledger says.
#[derive(Default)]
pub(super) struct Moves {
    /// Taken for requests that are left.
    pub(super) charged: i64,
    /// Given back for runs that are left.
    pub(super) refunded: i64,
    /// Each account and unit: the sum of its entries, and the last of them.
    sums: HashMap<(i64, u8), (i64, i64)>,
}

impl Moves {
    /// Adds the ledger up, some entries at a time.
    pub(super) async fn read(store: &Store, kept: &Kept) -> Result<Self, Error> {
        let floors = kept.floors();
        let mut sum = Self::default();
        let mut after = i64::MIN;
        loop {
            let rows: Vec<(i64, i64, u8, i64, String)> = store
                .read(move |reader| {
                    let sql = "SELECT seq, account, unit, amount, cause FROM ledger WHERE seq > ? ORDER BY seq LIMIT ?";
                    let mut page = reader.live.prepare_cached(sql)?;
                    let rows = page.query_map((after, ROWS_AT_ONCE), |row| {
                        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
                    })?;
                    rows.collect::<Result<_, _>>()
                })
                .await?;
            let Some((last, ..)) = rows.last() else { return Ok(sum) };
            after = *last;
            for (seq, account, unit, amount, cause) in rows {
                let (entries, last) = sum.sums.entry((account, unit)).or_default();
                (*entries, *last) = (*entries + amount, seq);
                if floors.is_refund(&cause) {
                    sum.refunded += amount;
                } else if floors.is_charge(&cause) {
                    sum.charged -= amount;
                }
            }
        }
    }

    /// Balances that are not the sum of their entries, or lack one of the two.
    pub(super) fn mismatches(&self, live: &Db) -> Result<u64, Error> {
        let mut statement = live.prepare_cached("SELECT account, unit, amount FROM balances")?;
        let kept: HashMap<(i64, u8), i64> =
            statement.query_map((), |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?.collect::<Result<_, _>>()?;
        let mut wrong = 0;
        for (key, amount) in &kept {
            let (sum, last) = self.sums.get(key).copied().unwrap_or((0, i64::MIN));
            // Its entries may have gone on meanwhile; they take their numbers while the balance is locked.
            wrong += u64::from(sum != *amount && !agrees(live, *key, sum, last)?);
        }
        let lacking = self.sums.iter().filter(|(key, (sum, _))| *sum != 0 && !kept.contains_key(key)).count();
        Ok(wrong + lacking as u64)
    }
}

/// Whether a balance is a sum and the entries that came after the last one of it, in one look.
fn agrees(live: &Db, (account, unit): (i64, u8), sum: i64, last: i64) -> Result<bool, Error> {
    let sql = "SELECT amount, (SELECT CAST(COALESCE(SUM(amount), 0) AS SIGNED) FROM ledger
                 WHERE account = ? AND unit = ? AND seq > ?) FROM balances WHERE account = ? AND unit = ?";
    let (balance, more): (i64, i64) = live
        .prepare_cached(sql)?
        .query_row((account, unit, last, account, unit), |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(balance == sum + more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_counts_from_what_is_left_on() {
        let (old, new) = (1_000 << 22, 2_000 << 22);
        let floors = Kept { request: new, run: new }.floors();
        for id in [old, new] {
            let is_left = id == new;
            assert_eq!(floors.is_charge(&format!("request:{}", RequestId(id))), is_left);
            assert_eq!(floors.is_charge(&format!("request:{}", GroupId(id))), is_left);
            assert_eq!(floors.is_charge(&format!("request:{}", MessageId(id))), is_left);
        }
        assert!(floors.is_refund(&format!("settle:{}:1.1", id_day(new))));
        assert!(!floors.is_refund("settle:19000101:1.1"));
        for other in ["credit:request:", "credit:zzz", "request:", "zzz"] {
            assert!(!floors.is_charge(other) && !floors.is_refund(other), "{other}");
        }
    }
}
