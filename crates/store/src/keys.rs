//! API keys: what a caller proves itself with. Only their SHA-256 is stored, so nobody can read a key out of the store.

use bongsu_domain::{AccountId, KeyId, Network, Secret, Timestamp};

use crate::accounts;
use crate::db::{Db, Row, params};
use crate::error::{Error, Kind};
use crate::{PAGE_MAX, Store};

mod look_up;
mod nonces;
mod plain;
mod scopes;
mod text;

pub use look_up::{Cache, authenticate, by_id};
pub use nonces::{NONCE_LIFE, use_nonce};
pub use scopes::{KeyKind, KeyScope, Role, Scopes, Signing};

use text::{generate, generate_signing, sha256};

/// Keys that one account, or the operator, can have at a time.
pub const KEYS_MAX: u32 = 100;

/// Networks that the allow-list of one key can have.
pub const NETWORKS_MAX: usize = 20;
/// The longest name of a key, in characters.
pub const NAME_MAX: usize = 50;

/// Characters of a key that are stored and shown, so that people can tell keys apart.
const PREFIX_LEN: usize = 8;
/// One key as it is stored, with what a request needs to know of its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// Its id.
    pub id: KeyId,
    /// Its account; `None` for the operator.
    pub account: Option<AccountId>,
    /// What it is for.
    pub kind: KeyKind,
    /// What people call it; may be empty.
    pub name: String,
    /// Its first eight characters.
    pub prefix: String,
    /// What it allows.
    pub scopes: Scopes,
    /// When it was made.
    pub created: Timestamp,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
    /// False while it is switched off.
    pub active: bool,
    /// Where it may be used from; everywhere when there is none.
    pub ip_allow: Vec<Network>,
    /// Whether it signs its requests.
    pub signing: Signing,
    /// The sealed secret that it signs with.
    pub signing_sealed: Option<Vec<u8>>,
    /// True when its account is suspended.
    pub suspended: bool,
    /// Requests a second of its account.
    pub rate_per_s: u32,
}

/// A key just made. The secret is never shown again.
#[derive(Debug)]
pub struct NewKey {
    /// What was stored.
    pub row: KeyRow,
    /// The key itself.
    pub key: Secret,
    /// What it signs requests with, where it does.
    pub signing_secret: Option<Secret>,
}

/// What a new key is to be.
#[derive(Debug, Clone)]
pub struct KeySpec {
    /// Its account; `None` for the operator.
    pub account: Option<AccountId>,
    /// What it is for; of the kind operator exactly when it has no account.
    pub kind: KeyKind,
    /// What it allows.
    pub scopes: Scopes,
    /// What people call it.
    pub name: String,
    /// Where it may be used from; everywhere when there is none.
    pub ip_allow: Vec<Network>,
    /// Whether it signs its requests.
    pub signing: Signing,
}

/// What to change of a key; `None` leaves a value as it is.
#[derive(Debug, Clone, Default)]
pub struct KeyPatch {
    /// Switch it on or off.
    pub active: Option<bool>,
    /// Another name.
    pub name: Option<String>,
    /// Other networks.
    pub ip_allow: Option<Vec<Network>>,
}

const SELECT: &str = "SELECT k.id, k.account, k.kind, k.prefix, k.scopes, k.created, k.revoked, \
     k.name, k.active, k.ip_allow, k.signing, k.signing_sealed, \
     COALESCE(a.suspended, 0), COALESCE(a.rate_per_s, 0) FROM api_keys k LEFT JOIN accounts a ON a.id = k.account";

/// Makes a key for an account, or with `None` for the operator.
///
/// # Errors
/// As [`create_with`].
pub async fn create(store: &Store, account: Option<AccountId>, scopes: Scopes) -> Result<NewKey, Error> {
    let kind = if account.is_none() { KeyKind::Operator } else { KeyKind::Live };
    let spec =
        KeySpec { account, kind, scopes, name: String::new(), ip_allow: Vec::new(), signing: Signing::default() };
    create_with(store, spec).await
}

/// Makes a key.
///
/// # Errors
/// `NotFound` for an unknown account; `Invalid("scopes")` for no scope, or the operator's on an account's key;
/// `Invalid("kind")` for an operator's key of an account or the reverse; `Invalid("name")`, `Invalid("ipAllow")`;
/// `Conflict("keys")` beyond [`KEYS_MAX`].
pub async fn create_with(store: &Store, spec: KeySpec) -> Result<NewKey, Error> {
    let is_operator = spec.scopes.has(KeyScope::Operator);
    if spec.scopes == Scopes::NONE || is_operator != spec.account.is_none() {
        let why = "a key has at least one scope, and the scope operator belongs to keys without an account only";
        return Err(Error::new(Kind::Invalid("scopes"), why));
    }
    if is_operator != (spec.kind == KeyKind::Operator) {
        return Err(Error::new(Kind::Invalid("kind"), "keys without an account are of the kind operator, others not"));
    }
    let name = check_name(&spec.name)?;
    check_networks(&spec.ip_allow)?;
    let key = generate();
    let signing_secret = (spec.signing != Signing::None).then(generate_signing);
    let signing_sealed = signing_secret.as_ref().map(|secret| store.vault().seal(secret.expose().as_bytes()));
    let prefix = key.expose()[..PREFIX_LEN].to_owned();
    let hash = sha256(key.expose());
    let row = store
        .write(move |tx| {
            let about = spec.account.map(|id| accounts::must_exist(tx.live, id)).transpose()?;
            if count_unrevoked(tx.live, spec.account)? >= KEYS_MAX {
                return Err(Error::new(Kind::Conflict("keys"), format!("there are {KEYS_MAX} keys: revoke one first")));
            }
            let row = KeyRow {
                id: KeyId(tx.new_id()?),
                account: spec.account,
                kind: spec.kind,
                name: name.clone(),
                prefix: prefix.clone(),
                scopes: spec.scopes,
                created: tx.now,
                revoked: None,
                active: true,
                ip_allow: spec.ip_allow.clone(),
                signing: spec.signing,
                signing_sealed: signing_sealed.clone(),
                suspended: about.as_ref().is_some_and(|about| about.suspended),
                rate_per_s: about.map_or(0, |about| about.rate_per_s),
            };
            insert(tx.live, &row, &hash)?;
            Ok(row)
        })
        .await?;
    Ok(NewKey { row, key, signing_secret })
}

fn check_name(name: &str) -> Result<String, Error> {
    let name = name.trim();
    if name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(Error::new(Kind::Invalid("name"), format!("a name has at most {NAME_MAX} characters in one line")));
    }
    Ok(name.to_owned())
}

fn check_networks(networks: &[Network]) -> Result<(), Error> {
    if networks.len() > NETWORKS_MAX {
        return Err(Error::new(Kind::Invalid("ipAllow"), format!("at most {NETWORKS_MAX} networks")));
    }
    Ok(())
}

/// Keys, newest first, revoked ones too: an account's, or with `None` everybody's. At most `limit` (and
/// [`PAGE_MAX`]) of them, older than `after`.
///
/// # Errors
/// Only those of the store.
pub async fn list(
    store: &Store,
    scope: Option<AccountId>,
    limit: u32,
    after: Option<KeyId>,
) -> Result<Vec<KeyRow>, Error> {
    store
        .read(move |reader| {
            let filter = if scope.is_some() { "k.account = ?" } else { "? IS NULL" };
            let mut statement = reader
                .live
                .prepare_cached(&format!("{SELECT} WHERE {filter} AND k.id < ? ORDER BY k.id DESC LIMIT ?"))?;
            let after = after.map_or(i64::MAX, |id| id.0);
            let mut rows = statement.query(params![scope.map(|id| id.0), after, limit.min(PAGE_MAX)])?;
            let mut page = Vec::new();
            while let Some(row) = rows.next()? {
                page.push(from_row(&row)?);
            }
            Ok(page)
        })
        .await
}

/// One key of the account; `None` is the operator, who sees every key.
///
/// # Errors
/// `NotFound`, also for a key of another account.
pub async fn get(store: &Store, scope: Option<AccountId>, id: KeyId) -> Result<KeyRow, Error> {
    store.read(move |reader| must_exist(&reader.live, scope, id)).await
}

/// Of several processes, one at a time decides about operator keys.
fn one_at_a_time(live: &Db) -> Result<(), Error> {
    live.prepare_cached("SELECT name FROM facts WHERE name = 'board' /* lock */")?.query(()).map(drop)
}

/// Ends a key at once. Revoking it again changes nothing.
///
/// # Errors
/// `NotFound`, also for a key of another account; `Conflict("lastOperatorKey")`, since nobody could manage this
/// installation any more.
pub async fn revoke(store: &Store, scope: Option<AccountId>, id: KeyId) -> Result<KeyRow, Error> {
    let row = store
        .write(move |tx| {
            one_at_a_time(tx.live)?;
            let mut row = must_exist(tx.live, scope, id)?;
            if row.revoked.is_some() {
                return Ok(row);
            }
            must_leave_one(tx.live, &row)?;
            row.revoked = Some(tx.now);
            tx.live.prepare_cached("UPDATE api_keys SET revoked = ? WHERE id = ?")?.execute(params![tx.now.0, id.0])?;
            Ok(row)
        })
        .await?;
    store.admin_cache().forget();
    Ok(row)
}

/// Renames a key, switches it on or off, or names other networks. A key that is switched off is answered like a revoked one at
/// once, by other processes within seconds.
///
/// # Errors
/// `NotFound`, also for a key of another account; `Conflict("revoked")`; `Conflict("lastOperatorKey")` when nobody could
/// manage this installation any more; `Invalid("name")`, `Invalid("ipAllow")`.
pub async fn patch(store: &Store, scope: Option<AccountId>, id: KeyId, patch: KeyPatch) -> Result<KeyRow, Error> {
    let name = patch.name.as_deref().map(check_name).transpose()?;
    check_networks(patch.ip_allow.as_deref().unwrap_or_default())?;
    let row = store
        .write(move |tx| {
            one_at_a_time(tx.live)?;
            let mut row = must_exist(tx.live, scope, id)?;
            if row.revoked.is_some() {
                return Err(Error::new(Kind::Conflict("revoked"), "this key was revoked"));
            }
            let active = patch.active.unwrap_or(row.active);
            if row.active && !active {
                must_leave_one(tx.live, &row)?;
            }
            row.active = active;
            row.name = name.clone().unwrap_or(row.name);
            row.ip_allow = patch.ip_allow.clone().unwrap_or(row.ip_allow);
            tx.live
                .prepare_cached("UPDATE api_keys SET active = ?, name = ?, ip_allow = ? WHERE id = ?")?
                .execute(params![row.active, row.name, networks(&row.ip_allow), id.0])?;
            Ok(row)
        })
        .await?;
    store.admin_cache().forget();
    Ok(row)
}

/// Refuses to end the last key that could manage this installation.
fn must_leave_one(live: &Db, row: &KeyRow) -> Result<(), Error> {
    if row.account.is_some() || !row.active {
        return Ok(());
    }
    let others: u32 = live
        .prepare_cached(
            "SELECT COUNT(*) FROM api_keys WHERE account IS NULL AND revoked IS NULL AND active = 1 AND id <> ?",
        )?
        .query_row([row.id.0], |row| row.get(0))?;
    if others == 0 {
        let why = "this is the last operator key: make another one first";
        return Err(Error::new(Kind::Conflict("lastOperatorKey"), why));
    }
    Ok(())
}

fn networks(networks: &[Network]) -> String {
    networks.iter().map(Network::to_string).collect::<Vec<_>>().join(" ")
}

/// Makes the first operator key. `None` when there ever was one.
///
/// # Errors
/// Only those of the store.
pub async fn ensure_operator(store: &Store) -> Result<Option<Secret>, Error> {
    let key = generate();
    let prefix = key.expose()[..PREFIX_LEN].to_owned();
    let hash = sha256(key.expose());
    let is_first = store
        .write(move |tx| {
            one_at_a_time(tx.live)?;
            let ever: i64 =
                tx.live.query_row("SELECT COUNT(*) FROM api_keys WHERE account IS NULL", (), |row| row.get(0))?;
            if ever > 0 {
                return Ok(false);
            }
            let row = KeyRow {
                id: KeyId(tx.new_id()?),
                account: None,
                kind: KeyKind::Operator,
                name: String::new(),
                prefix: prefix.clone(),
                scopes: Scopes::OPERATOR,
                created: tx.now,
                revoked: None,
                active: true,
                ip_allow: Vec::new(),
                signing: Signing::None,
                signing_sealed: None,
                suspended: false,
                rate_per_s: 0,
            };
            insert(tx.live, &row, &hash)?;
            Ok(true)
        })
        .await?;
    Ok(is_first.then_some(key))
}

fn insert(live: &Db, row: &KeyRow, hash: &[u8; 32]) -> Result<(), Error> {
    live.prepare_cached(
        "INSERT INTO api_keys (id, account, kind, hash, prefix, scopes, created, name, active, ip_allow, signing, signing_sealed)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        row.id.0,
        row.account.map(|id| id.0),
        row.kind.as_str(),
        &hash[..],
        row.prefix,
        row.scopes.names().join(" "),
        row.created.0,
        row.name,
        row.active,
        networks(&row.ip_allow),
        row.signing.as_str(),
        row.signing_sealed,
    ])?;
    Ok(())
}

fn count_unrevoked(live: &Db, account: Option<AccountId>) -> Result<u32, Error> {
    let sql = match account {
        Some(_) => "SELECT COUNT(*) FROM api_keys WHERE account = ? AND revoked IS NULL",
        None => "SELECT COUNT(*) FROM api_keys WHERE ? IS NULL AND account IS NULL AND revoked IS NULL",
    };
    live.prepare_cached(sql)?.query_row([account.map(|id| id.0)], |row| row.get(0))
}

fn must_exist(live: &Db, scope: Option<AccountId>, id: KeyId) -> Result<KeyRow, Error> {
    let mut statement = live.prepare_cached(&format!("{SELECT} WHERE k.id = ?"))?;
    let mut rows = statement.query([id.0])?;
    let row = rows.next()?.map(|row| from_row(&row)).transpose()?;
    row.filter(|row| scope.is_none() || row.account == scope)
        .ok_or_else(|| Error::new(Kind::NotFound, "there is no such key"))
}

fn from_row(row: &Row<'_>) -> Result<KeyRow, Error> {
    let kind: String = row.get(2)?;
    let scopes: String = row.get(4)?;
    let corrupt = |what: &str| Error::new(Kind::Corrupt, format!("a key with an unknown {what}"));
    let ip_allow: String = row.get(9)?;
    let ip_allow = ip_allow.split_whitespace().map(str::parse).collect::<Result<_, _>>();
    let signing: String = row.get(10)?;
    Ok(KeyRow {
        id: KeyId(row.get(0)?),
        account: row.get::<Option<i64>>(1)?.map(AccountId),
        kind: KeyKind::parse(&kind).ok_or_else(|| corrupt("kind"))?,
        name: row.get(7)?,
        prefix: row.get(3)?,
        scopes: Scopes::parse(&scopes.split_whitespace().collect::<Vec<_>>())?,
        created: Timestamp(row.get(5)?),
        revoked: row.get::<Option<i64>>(6)?.map(Timestamp),
        active: row.get(8)?,
        ip_allow: ip_allow.map_err(|_| corrupt("network"))?,
        signing: Signing::parse(&signing).ok_or_else(|| corrupt("way of signing"))?,
        signing_sealed: row.get(11)?,
        suspended: row.get(12)?,
        rate_per_s: row.get(13)?,
    })
}
