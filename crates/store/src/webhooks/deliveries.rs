//! What was told to an endpoint: listed, and told again.

use bongsu_domain::id::first_id_at;
use bongsu_domain::{AccountId, DeliveryId, MessageId, Timestamp, WebhookId};

use super::line::{put_due, read_positions};
use super::must_exist;
use crate::db::{Db, OptionalExtension, Row, params};
use crate::error::{Error, Kind};
use crate::facts::{Event, EventKind};
use crate::vault::Vault;
use crate::{PAGE_MAX, Store};

/// Rows that one step of cleaning removes.
const CLEAN_MAX: usize = 1_000;
/// Deliveries of an endpoint that are looked through for an event.
const EARLY_MAX: u32 = 500;

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum DeliveryState {
    /// It is called with, or will be again.
    Pending = 0,
    /// The endpoint took it.
    Delivered = 1,
    /// Every try failed.
    Exhausted = 2,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Exhausted];

    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Exhausted => "exhausted",
        }
    }
}

/// A delivery as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Its id.
    pub id: DeliveryId,
    /// To which endpoint.
    pub webhook: WebhookId,
    /// The message or group, when all events are of it.
    pub message: Option<MessageId>,
    /// Positions of its events.
    pub positions: Vec<i64>,
    /// It is told as a list.
    pub is_batch: bool,
    /// Kind of the first event.
    pub kind: EventKind,
    /// Where it stands.
    pub state: DeliveryState,
    /// Calls so far.
    pub calls: u16,
    /// When the next call is due.
    pub due: Option<Timestamp>,
    /// When the last call began.
    pub at: Option<Timestamp>,
    /// HTTP status of the last answer.
    pub http: Option<u16>,
    /// How long the last call took, ms.
    pub took_ms: u32,
    /// Why there was no answer.
    pub reason: Option<String>,
    /// The beginning of the last answer's body.
    pub answer: Vec<u8>,
}

const SELECT: &str = "SELECT id, webhook, message, position, positions, kind, state, calls, due, at, http, took_ms, reason, \
     answer_sealed FROM webhook_deliveries";

fn from_row(row: &Row<'_>, vault: &Vault) -> Result<DeliveryRow, Error> {
    let bad = |what: &str| Error::new(Kind::Corrupt, format!("delivery row with an unknown {what}"));
    let (message, position, at, http): (i64, i64, i64, u16) = (row.get(2)?, row.get(3)?, row.get(9)?, row.get(10)?);
    let several: Option<Vec<u8>> = row.get(4)?;
    let number: u8 = row.get(6)?;
    let state = DeliveryState::ALL.into_iter().find(|state| *state as u8 == number).ok_or_else(|| bad("state"))?;
    Ok(DeliveryRow {
        id: DeliveryId(row.get(0)?),
        webhook: WebhookId(row.get(1)?),
        message: (message != 0).then_some(MessageId(message)),
        is_batch: several.is_some(),
        positions: several.map_or_else(|| vec![position], |bytes| read_positions(&bytes)),
        kind: EventKind::from_u8(row.get(5)?).ok_or_else(|| bad("kind"))?,
        state,
        calls: row.get(7)?,
        due: (state == DeliveryState::Pending).then(|| row.get(8).map(Timestamp::from_millis)).transpose()?,
        at: (at > 0).then_some(Timestamp(at)),
        http: (http > 0).then_some(http),
        took_ms: row.get(11)?,
        reason: row.get(12)?,
        // An answer is for people; one that cannot be opened must not hide the delivery.
        answer: row.get::<Option<Vec<u8>>>(13)?.and_then(|sealed| vault.open(&sealed).ok()).unwrap_or_default(),
    })
}

/// Deliveries to an endpoint, newest first, at most `limit` (and [`PAGE_MAX`]), older than `after`.
///
/// # Errors
/// `NotFound` for an endpoint of another account.
pub async fn deliveries(
    store: &Store,
    scope: Option<AccountId>,
    webhook: WebhookId,
    state: Option<DeliveryState>,
    (limit, after): (u32, Option<DeliveryId>),
) -> Result<Vec<DeliveryRow>, Error> {
    let vault = store.vault().clone();
    store
        .read(move |reader| {
            must_exist(&reader.live, &vault, scope, webhook)?;
            let filter = if state.is_some() { "state = ?" } else { "? IS NULL" };
            let sql = format!("{SELECT} WHERE webhook = ? AND {filter} AND id < ? ORDER BY id DESC LIMIT ?");
            let after = after.map_or(i64::MAX, |id| id.0);
            let mut statement = reader.live.prepare_cached(&sql)?;
            let state = state.map(|state| state as u8);
            let mut rows = statement.query(params![webhook.0, state, after, limit.min(PAGE_MAX)])?;
            let mut page = Vec::new();
            while let Some(row) = rows.next()? {
                page.push(from_row(&row, &vault)?);
            }
            Ok(page)
        })
        .await
}

/// Deliveries of a message to its account's endpoints, oldest first; those that told of several messages are not among them.
///
/// # Errors
/// Only those of the store.
pub async fn deliveries_of_message(
    store: &Store,
    account: AccountId,
    message: MessageId,
) -> Result<Vec<DeliveryRow>, Error> {
    let vault = store.vault().clone();
    store.read(move |reader| of_message(&reader.live, &vault, account, message.0)).await
}

/// The same on a connection.
pub(crate) fn of_message(
    live: &Db,
    vault: &Vault,
    account: AccountId,
    message: i64,
) -> Result<Vec<DeliveryRow>, Error> {
    let sql = format!(
        "{SELECT} WHERE message = ? AND webhook IN (SELECT id FROM webhooks WHERE account = ?) ORDER BY id LIMIT ?"
    );
    let mut statement = live.prepare_cached(&sql)?;
    let mut rows = statement.query((message, account.0, PAGE_MAX))?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(from_row(&row, vault)?);
    }
    Ok(all)
}

/// Deliveries that told of an event together with those of other messages, among the first that each endpoint of the account
/// got after an id.
pub(crate) fn of_event(
    live: &Db,
    vault: &Vault,
    account: AccountId,
    position: i64,
    from: i64,
) -> Result<Vec<DeliveryRow>, Error> {
    let endpoints: Vec<i64> = live
        .prepare_cached("SELECT id FROM webhooks WHERE account = ? ORDER BY id")?
        .query_map([account.0], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let sql = format!(
        "{SELECT} WHERE webhook = ? AND id IN (SELECT id FROM (SELECT id FROM webhook_deliveries WHERE webhook = ? AND id >= ? \
         ORDER BY id LIMIT ?) AS early) AND message = 0 AND position <= ?"
    );
    let mut statement = live.prepare_cached(&sql)?;
    let mut all = Vec::new();
    for endpoint in endpoints {
        let mut rows = statement.query((endpoint, endpoint, from, EARLY_MAX, position))?;
        while let Some(row) = rows.next()? {
            let delivery = from_row(&row, vault)?;
            if delivery.positions.contains(&position) {
                all.push(delivery);
            }
        }
    }
    Ok(all)
}

/// One delivery.
///
/// # Errors
/// `NotFound`, also for one of another endpoint or account.
pub async fn delivery(
    store: &Store,
    scope: Option<AccountId>,
    webhook: WebhookId,
    id: DeliveryId,
) -> Result<DeliveryRow, Error> {
    let vault = store.vault().clone();
    store
        .read(move |reader| {
            must_exist(&reader.live, &vault, scope, webhook)?;
            one(&reader.live, &vault, webhook, id)
        })
        .await
}

fn one(live: &Db, vault: &Vault, webhook: WebhookId, id: DeliveryId) -> Result<DeliveryRow, Error> {
    let sql = format!("{SELECT} WHERE id = ? AND webhook = ?");
    let found = live.prepare_cached(&sql)?.query_row((id.0, webhook.0), |row| from_row(row, vault)).optional()?;
    found.ok_or_else(|| Error::new(Kind::NotFound, "there is no such delivery"))
}

/// Tells the events of a delivery again, with the same `webhook-id` and the whole schedule before it.
///
/// # Errors
/// `NotFound`, also for one of another endpoint or account; `Conflict("events")` when its events are older than those kept.
pub async fn replay(
    store: &Store,
    scope: Option<AccountId>,
    webhook: WebhookId,
    id: DeliveryId,
) -> Result<DeliveryRow, Error> {
    let account = super::get(store, scope, webhook).await?.account;
    let row = delivery(store, scope, webhook, id).await?;
    let events = events_at(store, account, &row.positions).await?;
    if events.len() != row.positions.len() {
        return Err(Error::new(Kind::Conflict("events"), "its events are older than those that are kept"));
    }
    let vault = store.vault().clone();
    store
        .write(move |tx| {
            must_exist(tx.live, &vault, scope, webhook)?;
            one(tx.live, &vault, webhook, id)?;
            put_due(tx.live, webhook, &events, id.0)?;
            tx.live
                .prepare_cached("UPDATE webhook_deliveries SET state = 0, failures = 0, due = ? WHERE id = ?")?
                .execute((tx.now.millis(), id.0))?;
            changed(tx.live, webhook)?;
            one(tx.live, &vault, webhook, id)
        })
        .await
}

async fn events_at(store: &Store, account: AccountId, positions: &[i64]) -> Result<Vec<Event>, Error> {
    let mut found: Vec<Event> = Vec::with_capacity(positions.len());
    let mut at = 0;
    while let Some(first) = positions.get(at) {
        let page = store.events(Some(account), first - 1, PAGE_MAX).await?;
        let wanted = page.events.into_iter().filter(|event| positions[at..].binary_search(&event.position).is_ok());
        let before = found.len();
        found.extend(wanted);
        if found.len() == before {
            break;
        }
        at = found.len();
    }
    Ok(found)
}

/// Tells everything again that happened since a moment: the endpoint reads the log anew from there, each event with its old
/// `webhook-id`. What waits to be tried again stays as it is.
///
/// # Errors
/// `NotFound`, also for an endpoint of another account.
pub async fn replay_since(
    store: &Store,
    scope: Option<AccountId>,
    webhook: WebhookId,
    since: Timestamp,
) -> Result<(), Error> {
    let vault = store.vault().clone();
    // Positions are in time order: none of an event lies below the first id of its moment.
    let from = first_id_at(since) - 1;
    store
        .write(move |tx| {
            let row = must_exist(tx.live, &vault, scope, webhook)?;
            if from < row.read_to {
                tx.live.prepare_cached("UPDATE webhooks SET read_to = ? WHERE id = ?")?.execute((from, webhook.0))?;
                changed(tx.live, webhook)?;
            }
            Ok(())
        })
        .await
}

fn changed(live: &Db, webhook: WebhookId) -> Result<(), Error> {
    live.prepare_cached("UPDATE webhooks SET version = version + 1 WHERE id = ?")?.execute([webhook.0]).map(drop)
}

/// Removes deliveries made before a moment, at most a thousand. Answers how many went.
///
/// # Errors
/// Only those of the store.
pub async fn clean(store: &Store, before: Timestamp) -> Result<usize, Error> {
    store
        .write_as(false, move |tx| {
            let over: Vec<i64> = tx
                .live
                .prepare_cached("SELECT id FROM webhook_deliveries WHERE id < ? ORDER BY id LIMIT ?")?
                .query_map(params![first_id_at(before), CLEAN_MAX as u32], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            tx.live.delete_in("DELETE FROM webhook_deliveries WHERE id", &over)
        })
        .await
}
