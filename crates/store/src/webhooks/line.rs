//! What waits for one endpoint, as its process stores it: events taken, deliveries made, and what came of calls.

use bongsu_domain::webhook::Delivery;
use bongsu_domain::{AccountId, Code, Status, Timestamp, WebhookId};

use super::deliveries::DeliveryState;
use super::{Disabled, OldSecret, WebhookRow, from_row, read_secrets, write_disabled};
use crate::Store;
use crate::db::dialect::Kind::{Blob, Int, Text};
use crate::db::dialect::Many;
use crate::db::{Db, OptionalExtension, Row, Value, int, int_or_null, text_or_null};
use crate::error::{Error, Kind};
use crate::facts::{Event, EventKind};
use crate::tx::Tx;

static TAKE: Many = Many::new(
    "INSERT OR IGNORE INTO webhook_due (webhook, position, kind, message, request, seq, status, code, attempt, relay, at, delivery)
       VALUES {(v_webhook, v_position, v_kind, v_message, v_request, v_seq, v_status, v_code, v_attempt, v_relay, v_at, v_delivery)}",
    &[
        ("v_webhook", Int),
        ("v_position", Int),
        ("v_kind", Int),
        ("v_message", Int),
        ("v_request", Int),
        ("v_seq", Int),
        ("v_status", Int),
        ("v_code", Int),
        ("v_attempt", Int),
        ("v_relay", Int),
        ("v_at", Int),
        ("v_delivery", Int),
    ],
);

static GROUP: Many = Many::new(
    "UPDATE {v, }webhook_due SET delivery = v_delivery WHERE webhook = v_webhook AND position = v_position",
    &[("v_webhook", Int), ("v_position", Int), ("v_delivery", Int)],
);

static DONE: Many = Many::new(
    "DELETE {only mysql: webhook_due }FROM {v, }webhook_due WHERE webhook = v_webhook AND position = v_position",
    &[("v_webhook", Int), ("v_position", Int)],
);

static RECORD: Many = Many::new(
    "INSERT OR REPLACE INTO webhook_deliveries (id, webhook, message, position, positions, kind, state, calls, failures, due, \
       at, http, took_ms, reason, answer_sealed)
       VALUES {(v_id, v_webhook, v_message, v_position, v_positions, v_kind, v_state, v_calls, v_failures, v_due, v_at, v_http, \
       v_took, v_reason, v_answer)}",
    &[
        ("v_id", Int),
        ("v_webhook", Int),
        ("v_message", Int),
        ("v_position", Int),
        ("v_positions", Blob),
        ("v_kind", Int),
        ("v_state", Int),
        ("v_calls", Int),
        ("v_failures", Int),
        ("v_due", Int),
        ("v_at", Int),
        ("v_http", Int),
        ("v_took", Int),
        ("v_reason", Text),
        ("v_answer", Blob),
    ],
);

/// A delivery under way, with what a row of it says besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDelivery {
    /// Its id.
    pub id: i64,
    /// Its events and tries.
    pub delivery: Delivery,
    /// Calls so far, also those before a replay.
    pub calls: u16,
    /// It is told as a list, also when that has one event.
    pub is_batch: bool,
}

/// Everything about one endpoint that its process keeps in memory.
pub struct Loaded {
    /// The endpoint.
    pub row: WebhookRow,
    /// The secret that signs.
    pub secret: Vec<u8>,
    /// The one before it, and until when it signs too.
    pub old_secret: OldSecret,
    /// Events that are neither delivered nor given up, by position.
    pub events: Vec<Event>,
    /// Deliveries made of some of them.
    pub deliveries: Vec<StoredDelivery>,
}

/// Whether what a process has in memory about an endpoint still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Same,
    /// Somebody changed it: read it again.
    Changed,
    /// It is another process's, or gone.
    Lost,
}

/// What came of one call.
#[derive(Debug, Clone)]
pub struct Called {
    /// The delivery.
    pub id: i64,
    /// Its events.
    pub positions: Vec<i64>,
    /// It is told as a list.
    pub is_batch: bool,
    /// The message, when all events are of it; else 0.
    pub message: i64,
    /// Kind of the first event.
    pub kind: EventKind,
    /// Where it stands now.
    pub state: DeliveryState,
    /// Calls so far.
    pub calls: u16,
    /// Failures that count for the schedule.
    pub failures: u16,
    /// When it is due again.
    pub due: Timestamp,
    /// When the call began.
    pub at: Timestamp,
    /// HTTP status of the answer.
    pub http: Option<u16>,
    /// How long the call took, ms.
    pub took_ms: u32,
    /// Why there was no answer.
    pub reason: Option<&'static str>,
    /// The beginning of the answer's body.
    pub answer: Vec<u8>,
}

/// Reads an endpoint of `me`; none when it is another's, or gone.
///
/// # Errors
/// Only those of the store.
pub async fn load(store: &Store, me: i64, id: WebhookId) -> Result<Option<Loaded>, Error> {
    let vault = store.vault().clone();
    store
        .read(move |reader| {
            let live = &reader.live;
            let sql = format!("{} WHERE id = ? AND owner = ?", super::SELECT);
            let row = live.prepare_cached(&sql)?.query_row((id.0, me), |row| from_row(row, &vault)).optional()?;
            let Some(row) = row else { return Ok(None) };
            let (secret, old_secret) = read_secrets(live, &vault, id)?;
            let (events, deliveries) = read_due(live, &row)?;
            Ok(Some(Loaded { row, secret, old_secret, events, deliveries }))
        })
        .await
}

fn read_due(live: &Db, row: &WebhookRow) -> Result<(Vec<Event>, Vec<StoredDelivery>), Error> {
    let mut statement = live.prepare_cached(
        "SELECT position, kind, message, request, seq, status, code, attempt, relay, at, delivery FROM webhook_due \
         WHERE webhook = ? ORDER BY position",
    )?;
    let mut events = Vec::new();
    let mut of_delivery: std::collections::BTreeMap<i64, Vec<i64>> = Default::default();
    let mut rows = statement.query([row.id.0])?;
    while let Some(found) = rows.next()? {
        let event = event_of(&found, row.account)?;
        let delivery: i64 = found.get(10)?;
        if delivery != 0 {
            of_delivery.entry(delivery).or_default().push(event.position);
        }
        events.push(event);
    }
    let ids: Vec<i64> = of_delivery.keys().copied().collect();
    let head = "SELECT id, failures, due, calls, positions IS NOT NULL FROM webhook_deliveries WHERE id";
    let deliveries = live.select_in(head, &ids, "", |found| {
        let id: i64 = found.get(0)?;
        let positions = of_delivery.get(&id).cloned().unwrap_or_default();
        let delivery = Delivery { positions, failures: found.get(1)?, due: found.get(2)? };
        Ok(StoredDelivery { id, delivery, calls: found.get(3)?, is_batch: found.get(4)? })
    })?;
    // MySQL is asked with padded keys.
    let mut deliveries = deliveries;
    deliveries.sort_by_key(|stored| stored.id);
    deliveries.dedup_by_key(|stored| stored.id);
    Ok((events, deliveries))
}

fn event_of(row: &Row<'_>, account: AccountId) -> Result<Event, Error> {
    let bad = |what: &str| Error::new(Kind::Corrupt, format!("a waiting event with an unknown {what}"));
    Ok(Event {
        position: row.get(0)?,
        account,
        kind: EventKind::from_u8(row.get(1)?).ok_or_else(|| bad("kind"))?,
        message: row.get(2)?,
        request: row.get(3)?,
        seq: row.get(4)?,
        status: Status::from_u8(row.get(5)?).ok_or_else(|| bad("status"))?,
        code: Code::from_number(row.get(6)?).ok_or_else(|| bad("code"))?,
        attempt: row.get(7)?,
        relay: row.get(8)?,
        at: Timestamp(row.get(9)?),
    })
}

/// How an endpoint stands for `me`, within this commit: nobody changes it before that.
fn standing(tx: &Tx<'_>, me: i64, id: WebhookId, version: i64) -> Result<Standing, Error> {
    let sql = "SELECT owner, version FROM webhooks WHERE id = ? /* lock */";
    let found = tx.live.prepare_cached(sql)?.query_row([id.0], |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?)));
    Ok(match found.optional()? {
        Some((owner, now)) if owner == me && now == version => Standing::Same,
        Some((owner, _)) if owner == me => Standing::Changed,
        _ => Standing::Lost,
    })
}

/// Stores events that were taken, and up to where the log was read. Nothing is stored unless all is as it was.
///
/// # Errors
/// Only those of the store.
pub async fn fill(
    store: &Store,
    me: i64,
    (id, version): (WebhookId, i64),
    events: Vec<Event>,
    read_to: i64,
) -> Result<Standing, Error> {
    store
        .write_as(false, move |tx| {
            let standing = standing(tx, me, id, version)?;
            if standing == Standing::Same {
                put_due(tx.live, id, &events, 0)?;
                tx.live.prepare_cached("UPDATE webhooks SET read_to = ? WHERE id = ?")?.execute((read_to, id.0))?;
            }
            Ok(standing)
        })
        .await
}

/// Writes events that wait.
pub(super) fn put_due(live: &Db, id: WebhookId, events: &[Event], delivery: i64) -> Result<usize, Error> {
    let rows = events.iter().map(|event| {
        [
            int(id.0),
            int(event.position),
            int(event.kind as u8),
            int(event.message),
            int(event.request),
            int(event.seq),
            int(event.status as u8),
            int(event.code.number()),
            int(event.attempt),
            int_or_null(event.relay),
            int(event.at.0),
            int(delivery),
        ]
    });
    live.many(&TAKE, rows)
}

/// Stores deliveries before they are called with for the first time: a batch must have the same events in every call.
///
/// # Errors
/// Only those of the store.
pub async fn form(
    store: &Store,
    me: i64,
    (id, version): (WebhookId, i64),
    new: Vec<Called>,
) -> Result<Standing, Error> {
    store
        .write_as(false, move |tx| {
            let standing = standing(tx, me, id, version)?;
            if standing == Standing::Same {
                record(tx.live, id, &new, |_| Vec::new())?;
            }
            Ok(standing)
        })
        .await
}

/// Stores what came of calls; with `gone` the endpoint is disabled.
///
/// # Errors
/// Only those of the store.
pub async fn settle(
    store: &Store,
    me: i64,
    (id, version): (WebhookId, i64),
    called: Vec<Called>,
    gone: bool,
) -> Result<Standing, Error> {
    let vault = store.vault().clone();
    store
        .write_as(false, move |tx| {
            let mut standing = standing(tx, me, id, version)?;
            if standing == Standing::Lost {
                return Ok(standing);
            }
            // Events that a replay took out of the line meanwhile were told all the same; their rows are written anew.
            record(tx.live, id, &called, |answer| vault.seal(answer))?;
            if gone {
                write_disabled(tx.live, id, Some(Disabled::Gone))?;
                standing = Standing::Changed;
            }
            Ok(standing)
        })
        .await
}

fn record(live: &Db, id: WebhookId, called: &[Called], seal: impl Fn(&[u8]) -> Vec<u8>) -> Result<(), Error> {
    let is_over = |one: &&Called| one.state != DeliveryState::Pending;
    let pairs = |one: &Called| one.positions.clone().into_iter().map(|position| (position, one.id)).collect::<Vec<_>>();
    let over = called.iter().filter(is_over).flat_map(pairs);
    live.many(&DONE, over.map(|(position, _)| [int(id.0), int(position)]))?;
    let open = called.iter().filter(|one| !is_over(one)).flat_map(pairs);
    live.many(&GROUP, open.map(|(position, delivery)| [int(id.0), int(position), int(delivery)]))?;
    let bytes = |one: &Called| {
        let several = one.is_batch.then(|| positions(&one.positions));
        (several, (!one.answer.is_empty()).then(|| seal(&one.answer)))
    };
    let sealed: Vec<_> = called.iter().map(bytes).collect();
    let rows = called.iter().zip(&sealed).map(|(one, (several, answer))| {
        [
            int(one.id),
            int(id.0),
            int(one.message),
            int(one.positions.first().copied().unwrap_or_default()),
            several.as_deref().map_or(Value::Null, Value::Blob),
            int(one.kind as u8),
            int(one.state as u8),
            int(one.calls),
            int(one.failures),
            int(one.due.millis()),
            int(one.at.0),
            int(one.http.unwrap_or_default()),
            int(one.took_ms),
            text_or_null(one.reason),
            answer.as_deref().map_or(Value::Null, Value::Blob),
        ]
    });
    live.many(&RECORD, rows)?;
    Ok(())
}

/// Positions as they are stored: 8 bytes each, the lowest first.
pub(super) fn positions(all: &[i64]) -> Vec<u8> {
    all.iter().flat_map(|position| position.to_le_bytes()).collect()
}

/// The same read back.
pub(super) fn read_positions(bytes: &[u8]) -> Vec<i64> {
    let (chunks, _) = bytes.as_chunks::<8>();
    chunks.iter().map(|chunk| i64::from_le_bytes(*chunk)).collect()
}
