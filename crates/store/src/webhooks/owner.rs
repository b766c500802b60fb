//! Which process calls which endpoint: one at a time, and none that lost its node.

use bongsu_domain::{AccountId, Timestamp, WebhookId};

use crate::Store;
use crate::error::Error;

/// Endpoints that one look takes: others may be looking for work at the same moment.
const TAKEN_MAX: usize = 32;

/// An endpoint that this process calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// The endpoint.
    pub id: WebhookId,
    /// Whose.
    pub account: AccountId,
    /// When it differs from what is in memory, that has to be read again.
    pub version: i64,
    /// Nothing is sent to it.
    pub is_disabled: bool,
}

struct Seen {
    owned: Owned,
    owner: i64,
    is_alive: bool,
}

/// Takes endpoints that no living process has, and answers all that `me` has now. The embedded store has one process,
/// which takes whatever an earlier life had. Over a database a process is alive as long as a node of the board is its own;
/// one that lost it cannot commit, so two never settle calls of one endpoint.
///
/// # Errors
/// Only those of the store.
pub async fn look(store: &Store, me: i64) -> Result<Vec<Owned>, Error> {
    let seen = store
        .read(move |reader| {
            let mut statement = reader.live.prepare_cached(
                "SELECT id, account, version, disabled, owner, \
                 (SELECT COUNT(*) FROM leases l WHERE l.owner = w.owner AND l.owner <> 0 AND l.name LIKE 'node:%') \
                 FROM webhooks w ORDER BY id",
            )?;
            let rows = statement.query_map((), |row| {
                let owned = Owned {
                    id: WebhookId(row.get(0)?),
                    account: AccountId(row.get(1)?),
                    version: row.get(2)?,
                    is_disabled: !row.get::<String>(3)?.is_empty(),
                };
                Ok(Seen { owned, owner: row.get(4)?, is_alive: row.get::<i64>(5)? > 0 })
            })?;
            rows.collect::<Result<Vec<_>, Error>>()
        })
        .await?;
    let free = seen.iter().filter(|row| row.owner != me && !row.is_alive).take(TAKEN_MAX);
    let free: Vec<(i64, i64)> = free.map(|row| (row.owned.id.0, row.owner)).collect();
    let mut mine: Vec<Owned> = seen.iter().filter(|row| row.owner == me).map(|row| row.owned).collect();
    if !free.is_empty() {
        let taken = store
            .write_as(false, move |tx| {
                let mut taken = Vec::new();
                let sql = "UPDATE webhooks SET owner = ?, version = version + 1 WHERE id = ? AND owner = ?";
                for (id, owner) in &free {
                    if tx.live.prepare_cached(sql)?.execute((me, *id, *owner))? > 0 {
                        taken.push(*id);
                    }
                }
                Ok(taken)
            })
            .await?;
        let now_mine = seen.into_iter().filter(|row| taken.contains(&row.owned.id.0));
        mine.extend(now_mine.map(|row| Owned { version: row.owned.version + 1, ..row.owned }));
    }
    Ok(mine)
}

/// Gives up everything that `me` has: another process takes it with its next look.
///
/// # Errors
/// Only those of the store.
pub async fn release(store: &Store, me: i64) -> Result<(), Error> {
    store
        .write_as(false, move |tx| tx.live.execute("UPDATE webhooks SET owner = 0 WHERE owner = ?", [me]).map(drop))
        .await
}

/// How many events wait at enabled endpoints, and when the oldest of them happened.
///
/// # Errors
/// Only those of the store.
pub async fn oldest(store: &Store) -> Result<(u64, Option<Timestamp>), Error> {
    store
        .read(|reader| {
            let sql = "SELECT COUNT(*), MIN(d.at) FROM webhook_due d JOIN webhooks w ON w.id = d.webhook WHERE w.disabled = ''";
            reader.live.prepare_cached(sql)?.query_row((), |row| {
                let (count, at): (i64, Option<i64>) = (row.get(0)?, row.get(1)?);
                Ok((count.unsigned_abs(), at.map(Timestamp)))
            })
        })
        .await
}
