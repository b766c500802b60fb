//! Endpoints of customers: where an account is told what became of its messages, and how.

mod deliveries;
mod line;
mod owner;

use std::time::Duration;

use bongsu_domain::webhook::Schedule;
use bongsu_domain::{AccountId, Secret, Timestamp, WebhookId};

pub use deliveries::{
    DeliveryRow, DeliveryState, clean, deliveries, deliveries_of_message, delivery, replay, replay_since,
};
pub(crate) use deliveries::{of_event, of_message};
pub use line::{Called, Loaded, Standing, StoredDelivery, fill, form, load, settle};
pub use owner::{Owned, look, oldest, release};

use crate::accounts;
use crate::db::{Db, Row, params};
use crate::error::{Error, Kind};
use crate::vault::{self, Vault};
use crate::{PAGE_MAX, Store};

/// Endpoints that one account can have at a time.
pub const WEBHOOKS_MAX: u32 = 20;
/// Events of one call.
pub const BATCH_MAX: u16 = 500;
/// Calls to one endpoint at once.
pub const CONCURRENCY_MAX: u16 = 100;
/// The same unless its owner says.
pub const CONCURRENCY_DEFAULT: u16 = 10;
/// How long a replaced secret signs beside the new one, unless its owner says.
pub const OLD_SECRET_FOR: Duration = Duration::from_secs(24 * 3600);
/// Bytes of a secret.
const SECRET_BYTES: usize = 32;

/// What the owner of an endpoint decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSettings {
    /// Where it is called. Checked by whoever calls.
    pub url: String,
    /// Names of the types it is told of; none: all.
    pub events: Vec<String>,
    /// For people.
    pub description: String,
    /// Whether phone numbers are told in full.
    pub include_pii: bool,
    /// Most events of one call, 1 to [`BATCH_MAX`]; with more than one the body is a list.
    pub batch: u16,
    /// Most calls at once, 1 to [`CONCURRENCY_MAX`].
    pub concurrency: u16,
    /// Waits after failures.
    pub schedule: Schedule,
    /// A header that every call has besides: name and value.
    pub header: Option<(String, Secret)>,
}

/// Why nothing is sent to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disabled {
    /// Its owner says so.
    Owner,
    /// It answered 410.
    Gone,
}

impl Disabled {
    /// The word that stands for it in the API and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Gone => "gone",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Owner, Self::Gone].into_iter().find(|why| why.as_str() == word)
    }
}

/// An endpoint as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookRow {
    /// Its id.
    pub id: WebhookId,
    /// Whose.
    pub account: AccountId,
    /// What its owner decided.
    pub settings: WebhookSettings,
    /// Why nothing is sent; none: it is.
    pub disabled: Option<Disabled>,
    /// When it was made.
    pub created: Timestamp,
    /// Until when a replaced secret signs too.
    pub old_secret_until: Option<Timestamp>,
    /// Position of the last event that was taken.
    pub read_to: i64,
    /// Rises with every change of what its process keeps in memory.
    pub version: i64,
}

/// An endpoint just made, or its new secret.
pub struct NewSecret {
    /// What was stored.
    pub row: WebhookRow,
    /// Random bytes that are never shown again.
    pub secret: Vec<u8>,
}

const SELECT: &str = "SELECT id, account, url, events, description, include_pii, batch, concurrency, schedule, header_name, \
     header_sealed, disabled, created, old_until, read_to, version FROM webhooks";

/// Makes an endpoint; it is told what happens from now on.
///
/// # Errors
/// `NotFound` for an unknown account; `Conflict("webhooks")` beyond [`WEBHOOKS_MAX`].
pub async fn create(store: &Store, account: AccountId, settings: WebhookSettings) -> Result<NewSecret, Error> {
    let vault = store.vault().clone();
    let secret = new_secret();
    let read_to = store.newest_event().await?;
    let stored = secret.clone();
    let row = store
        .write(move |tx| {
            accounts::must_exist(tx.live, account)?;
            let all: u32 = tx
                .live
                .prepare_cached("SELECT COUNT(*) FROM webhooks WHERE account = ?")?
                .query_row([account.0], |row| row.get(0))?;
            if all >= WEBHOOKS_MAX {
                let why = format!("an account has at most {WEBHOOKS_MAX} webhooks");
                return Err(Error::new(Kind::Conflict("webhooks"), why));
            }
            let id = WebhookId(tx.new_id()?);
            tx.live
                .prepare_cached(
                    "INSERT INTO webhooks (id, account, url, events, description, include_pii, batch, concurrency, \
                     schedule, secret_sealed, old_until, disabled, created, read_to, owner, version) \
                     VALUES (?, ?, '', '', '', 0, 1, 1, '', ?, 0, '', ?, ?, 0, 0)",
                )?
                .execute(params![id.0, account.0, vault.seal(&stored), tx.now.0, read_to])?;
            write_settings(tx.live, &vault, id, &settings)?;
            must_exist(tx.live, &vault, Some(account), id)
        })
        .await?;
    Ok(NewSecret { row, secret })
}

/// Endpoints, newest first: an account's, or with `None` everybody's. At most `limit` (and [`PAGE_MAX`]), older than `after`.
///
/// # Errors
/// Only those of the store.
pub async fn list(
    store: &Store,
    scope: Option<AccountId>,
    limit: u32,
    after: Option<WebhookId>,
) -> Result<Vec<WebhookRow>, Error> {
    let vault = store.vault().clone();
    store
        .read(move |reader| {
            let filter = if scope.is_some() { "account = ?" } else { "? IS NULL" };
            let sql = format!("{SELECT} WHERE {filter} AND id < ? ORDER BY id DESC LIMIT ?");
            let after = after.map_or(i64::MAX, |id| id.0);
            let mut statement = reader.live.prepare_cached(&sql)?;
            let mut rows = statement.query(params![scope.map(|id| id.0), after, limit.min(PAGE_MAX)])?;
            let mut page = Vec::new();
            while let Some(row) = rows.next()? {
                page.push(from_row(&row, &vault)?);
            }
            Ok(page)
        })
        .await
}

/// One endpoint of the account; `None` is the operator.
///
/// # Errors
/// `NotFound`, also for one of another account.
pub async fn get(store: &Store, scope: Option<AccountId>, id: WebhookId) -> Result<WebhookRow, Error> {
    let vault = store.vault().clone();
    store.read(move |reader| must_exist(&reader.live, &vault, scope, id)).await
}

/// Changes what the owner decides; `disable` is whether nothing is sent, where that changes too.
///
/// # Errors
/// `NotFound`, also for one of another account.
pub async fn update(
    store: &Store,
    scope: Option<AccountId>,
    id: WebhookId,
    change: impl Fn(&mut WebhookSettings) + Send + 'static,
    disable: Option<bool>,
) -> Result<WebhookRow, Error> {
    let vault = store.vault().clone();
    store
        .write(move |tx| {
            let mut row = must_exist(tx.live, &vault, scope, id)?;
            change(&mut row.settings);
            write_settings(tx.live, &vault, id, &row.settings)?;
            match disable {
                Some(true) if row.disabled.is_none() => write_disabled(tx.live, id, Some(Disabled::Owner))?,
                Some(false) => write_disabled(tx.live, id, None)?,
                _ => {}
            }
            must_exist(tx.live, &vault, scope, id)
        })
        .await
}

/// Sends again, whatever stopped it. What waits to be tried again is due now; what happened meanwhile is told.
///
/// # Errors
/// `NotFound`, also for one of another account.
pub async fn enable(store: &Store, scope: Option<AccountId>, id: WebhookId) -> Result<WebhookRow, Error> {
    let vault = store.vault().clone();
    store
        .write(move |tx| {
            must_exist(tx.live, &vault, scope, id)?;
            write_disabled(tx.live, id, None)?;
            let now = tx.now.millis();
            tx.live
                .prepare_cached("UPDATE webhook_deliveries SET due = ? WHERE webhook = ? AND state = 0 AND due > ?")?
                .execute((now, id.0, now))?;
            must_exist(tx.live, &vault, scope, id)
        })
        .await
}

/// Removes an endpoint with what waits for it; the list of its deliveries goes with their age.
///
/// # Errors
/// `NotFound`, also for one of another account.
pub async fn delete(store: &Store, scope: Option<AccountId>, id: WebhookId) -> Result<(), Error> {
    let vault = store.vault().clone();
    store
        .write(move |tx| {
            must_exist(tx.live, &vault, scope, id)?;
            tx.live.execute("DELETE FROM webhook_due WHERE webhook = ?", [id.0])?;
            tx.live.execute("DELETE FROM webhooks WHERE id = ?", [id.0]).map(drop)
        })
        .await
}

/// Gives a new secret; the one before signs beside it for a while.
///
/// # Errors
/// `NotFound`, also for one of another account.
pub async fn rotate(
    store: &Store,
    scope: Option<AccountId>,
    id: WebhookId,
    old_for: Duration,
) -> Result<NewSecret, Error> {
    let vault = store.vault().clone();
    let secret = new_secret();
    let stored = secret.clone();
    let row = store
        .write(move |tx| {
            must_exist(tx.live, &vault, scope, id)?;
            tx.live
                .prepare_cached(
                    "UPDATE webhooks SET old_secret_sealed = secret_sealed, version = version + 1 WHERE id = ?",
                )?
                .execute([id.0])?;
            tx.live
                .prepare_cached("UPDATE webhooks SET secret_sealed = ?, old_until = ? WHERE id = ?")?
                .execute(params![vault.seal(&stored), tx.now.plus(old_for).millis(), id.0])?;
            must_exist(tx.live, &vault, scope, id)
        })
        .await?;
    Ok(NewSecret { row, secret })
}

/// The secrets that sign now, the newest first.
///
/// # Errors
/// `NotFound`, also for an endpoint of another account.
pub async fn secrets(store: &Store, scope: Option<AccountId>, id: WebhookId) -> Result<Vec<Vec<u8>>, Error> {
    let vault = store.vault().clone();
    let now = store.clock().now();
    store
        .read(move |reader| {
            must_exist(&reader.live, &vault, scope, id)?;
            let (secret, old) = read_secrets(&reader.live, &vault, id)?;
            Ok([Some(secret), old.filter(|(_, until)| now < *until).map(|(old, _)| old)]
                .into_iter()
                .flatten()
                .collect())
        })
        .await
}

/// A secret that still signs, and until when.
type OldSecret = Option<(Vec<u8>, Timestamp)>;

fn read_secrets(live: &Db, vault: &Vault, id: WebhookId) -> Result<(Vec<u8>, OldSecret), Error> {
    let sql = "SELECT secret_sealed, old_secret_sealed, old_until FROM webhooks WHERE id = ?";
    let (secret, old, until): (Vec<u8>, Option<Vec<u8>>, i64) =
        live.prepare_cached(sql)?.query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let old = old.map(|old| vault.open(&old)).transpose()?;
    Ok((vault.open(&secret)?, old.map(|old| (old, Timestamp::from_millis(until)))))
}

fn write_settings(live: &Db, vault: &Vault, id: WebhookId, settings: &WebhookSettings) -> Result<(), Error> {
    let minutes: Vec<String> = settings.schedule.minutes().iter().map(u32::to_string).collect();
    let header = settings.header.as_ref();
    live.prepare_cached(
        "UPDATE webhooks SET url = ?, events = ?, description = ?, include_pii = ?, batch = ?, concurrency = ?, schedule = ?, \
         header_name = ?, header_sealed = ?, version = version + 1 WHERE id = ?",
    )?
    .execute(params![
        settings.url,
        settings.events.join(" "),
        settings.description,
        settings.include_pii,
        settings.batch,
        settings.concurrency,
        minutes.join(" "),
        header.map(|(name, _)| name),
        header.map(|(_, value)| vault.seal(value.expose().as_bytes())),
        id.0
    ])?;
    Ok(())
}

fn write_disabled(live: &Db, id: WebhookId, why: Option<Disabled>) -> Result<(), Error> {
    live.prepare_cached("UPDATE webhooks SET disabled = ?, version = version + 1 WHERE id = ?")?
        .execute(params![why.map_or("", Disabled::as_str), id.0])?;
    Ok(())
}

fn must_exist(live: &Db, vault: &Vault, scope: Option<AccountId>, id: WebhookId) -> Result<WebhookRow, Error> {
    let mut statement = live.prepare_cached(&format!("{SELECT} WHERE id = ? /* lock */"))?;
    let mut rows = statement.query([id.0])?;
    let row = rows.next()?.map(|row| from_row(&row, vault)).transpose()?;
    row.filter(|row| scope.is_none_or(|account| account == row.account))
        .ok_or_else(|| Error::new(Kind::NotFound, "there is no such webhook"))
}

fn from_row(row: &Row<'_>, vault: &Vault) -> Result<WebhookRow, Error> {
    let bad = |what: &str| Error::new(Kind::Corrupt, format!("webhook row with an unknown {what}"));
    let words = |at: usize| -> Result<Vec<String>, Error> {
        Ok(row.get::<String>(at)?.split_whitespace().map(str::to_owned).collect())
    };
    let minutes: Option<Vec<u32>> = words(8)?.iter().map(|word| word.parse().ok()).collect();
    let header = match (row.get::<Option<String>>(9)?, row.get::<Option<Vec<u8>>>(10)?) {
        (Some(name), Some(sealed)) => {
            let value = String::from_utf8(vault.open(&sealed)?).map_err(|_| bad("header"))?;
            Some((name, Secret::new(value)))
        }
        _ => None,
    };
    let disabled: String = row.get(11)?;
    let old_until: i64 = row.get(13)?;
    Ok(WebhookRow {
        id: WebhookId(row.get(0)?),
        account: AccountId(row.get(1)?),
        settings: WebhookSettings {
            url: row.get(2)?,
            events: words(3)?,
            description: row.get(4)?,
            include_pii: row.get(5)?,
            batch: row.get(6)?,
            concurrency: row.get(7)?,
            schedule: minutes.and_then(Schedule::new).ok_or_else(|| bad("schedule"))?,
            header,
        },
        disabled: match disabled.as_str() {
            "" => None,
            word => Some(Disabled::parse(word).ok_or_else(|| bad("state"))?),
        },
        created: Timestamp(row.get(12)?),
        old_secret_until: (old_until > 0).then(|| Timestamp::from_millis(old_until)),
        read_to: row.get(14)?,
        version: row.get(15)?,
    })
}

fn new_secret() -> Vec<u8> {
    let mut bytes = vec![0; SECRET_BYTES];
    vault::random(&mut bytes);
    bytes
}
