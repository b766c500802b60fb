//! API keys: what a caller proves itself with. Only their SHA-256 is stored, so nobody can read a key out of the store.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use aws_lc_rs::digest;
use bongsu_domain::{AccountId, KeyId, Secret, Timestamp};

use crate::accounts;
use crate::db::{Db, Row, params};
use crate::error::{Error, Kind};
use crate::vault;
use crate::{PAGE_MAX, Store};

mod plain;
mod scopes;

pub use scopes::{KeyKind, KeyScope, Scopes};

/// Keys that one account, or the operator, can have at a time.
pub const KEYS_MAX: u32 = 100;

/// What every key begins with; scanners for leaked secrets look for it together with the checksum at the end.
const LEAD: &str = "bk_";
const RANDOM_LEN: usize = 32;
/// 32 bytes in base 32.
const BODY_LEN: usize = 52;
/// 30 bits of SHA-256 over what precedes them.
const CHECK_LEN: usize = 6;
/// Characters of a key that are stored and shown, so that people can tell keys apart.
const PREFIX_LEN: usize = 8;
const CACHED_MAX: usize = 10_000;

/// One key as it is stored, with what a request needs to know of its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// Its id.
    pub id: KeyId,
    /// Its account; `None` for the operator.
    pub account: Option<AccountId>,
    /// What it is for.
    pub kind: KeyKind,
    /// Its first eight characters.
    pub prefix: String,
    /// What it allows.
    pub scopes: Scopes,
    /// When it was made.
    pub created: Timestamp,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
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
}

/// Keys seen lately by their hash, so that a request costs no read. A generation number keeps a read that began before
/// a revocation from putting its stale row back afterwards.
#[derive(Debug, Default)]
pub struct Cache(RwLock<Cached>);

#[derive(Debug, Default)]
struct Cached {
    generation: u64,
    rows: HashMap<[u8; 32], KeyRow>,
}

impl Cache {
    /// Drops everything; called after each change of a key or an account.
    pub(crate) fn forget(&self) {
        let mut cached = self.0.write().unwrap_or_else(PoisonError::into_inner);
        cached.generation += 1;
        cached.rows.clear();
    }

    fn find(&self, hash: &[u8; 32]) -> (u64, Option<KeyRow>) {
        let cached = self.0.read().unwrap_or_else(PoisonError::into_inner);
        (cached.generation, cached.rows.get(hash).cloned())
    }

    fn keep(&self, generation: u64, hash: [u8; 32], row: KeyRow) {
        let mut cached = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if cached.generation != generation {
            return;
        }
        if cached.rows.len() >= CACHED_MAX {
            cached.rows.clear();
        }
        cached.rows.insert(hash, row);
    }
}

const SELECT: &str = "SELECT k.id, k.account, k.kind, k.prefix, k.scopes, k.created, k.revoked, \
     COALESCE(a.suspended, 0), COALESCE(a.rate_per_s, 0) FROM api_keys k LEFT JOIN accounts a ON a.id = k.account";

/// Makes a key for an account, or with `None` for the operator.
///
/// # Errors
/// `NotFound` for an unknown account; `Invalid("scopes")` for no scope, or the operator's on an account's key;
/// `Conflict("keys")` beyond [`KEYS_MAX`].
pub async fn create(store: &Store, account: Option<AccountId>, scopes: Scopes) -> Result<NewKey, Error> {
    let is_operator = scopes.has(KeyScope::Operator);
    if scopes == Scopes::NONE || is_operator != account.is_none() {
        let why = "a key has at least one scope, and the scope operator belongs to keys without an account only";
        return Err(Error::new(Kind::Invalid("scopes"), why));
    }
    let key = generate();
    let prefix = key.expose()[..PREFIX_LEN].to_owned();
    let hash = sha256(key.expose());
    let row = store
        .write(move |tx| {
            let about = account.map(|id| accounts::must_exist(tx.live, id)).transpose()?;
            if count_unrevoked(tx.live, account)? >= KEYS_MAX {
                return Err(Error::new(Kind::Conflict("keys"), format!("there are {KEYS_MAX} keys: revoke one first")));
            }
            let row = KeyRow {
                id: KeyId(tx.new_id()?),
                account,
                kind: if account.is_none() { KeyKind::Operator } else { KeyKind::Live },
                prefix: prefix.clone(),
                scopes,
                created: tx.now,
                revoked: None,
                suspended: about.as_ref().is_some_and(|about| about.suspended),
                rate_per_s: about.map_or(0, |about| about.rate_per_s),
            };
            insert(tx.live, &row, &hash)?;
            Ok(row)
        })
        .await?;
    Ok(NewKey { row, key })
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
            if row.account.is_none() && count_unrevoked(tx.live, None)? <= 1 {
                let why = "this is the last operator key: make another one first";
                return Err(Error::new(Kind::Conflict("lastOperatorKey"), why));
            }
            row.revoked = Some(tx.now);
            tx.live.prepare_cached("UPDATE api_keys SET revoked = ? WHERE id = ?")?.execute(params![tx.now.0, id.0])?;
            Ok(row)
        })
        .await?;
    store.admin_cache().forget();
    Ok(row)
}

/// The key that a caller presents. `None` when it is malformed, unknown or revoked. A suspended account's key is
/// answered (`suspended` is true), so that the caller can be told apart from a stranger.
///
/// # Errors
/// Only those of the store.
pub async fn authenticate(store: &Store, presented: &str) -> Result<Option<KeyRow>, Error> {
    if !is_well_formed(presented) {
        return Ok(None);
    }
    let hash = sha256(presented);
    let (generation, known) = store.admin_cache().find(&hash);
    if known.is_some() {
        return Ok(known);
    }
    let read = store.read(move |reader| {
        let mut statement = reader.live.prepare_cached(&format!("{SELECT} WHERE k.hash = ? AND k.revoked IS NULL"))?;
        let mut rows = statement.query([&hash[..]])?;
        rows.next()?.map(|row| from_row(&row)).transpose()
    });
    let what = format!("key:{}", base32(&hash));
    let row = store.by_way_of_beside(&what, plain::decode, plain::encode, read).await?;
    if let Some(row) = &row {
        store.admin_cache().keep(generation, hash, row.clone());
    }
    Ok(row)
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
                prefix: prefix.clone(),
                scopes: Scopes::OPERATOR,
                created: tx.now,
                revoked: None,
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
        "INSERT INTO api_keys (id, account, kind, hash, prefix, scopes, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        row.id.0,
        row.account.map(|id| id.0),
        row.kind.as_str(),
        &hash[..],
        row.prefix,
        row.scopes.names().join(" "),
        row.created.0
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
    Ok(KeyRow {
        id: KeyId(row.get(0)?),
        account: row.get::<Option<i64>>(1)?.map(AccountId),
        kind: KeyKind::parse(&kind).ok_or_else(|| Error::new(Kind::Corrupt, format!("unknown key kind {kind:?}")))?,
        prefix: row.get(3)?,
        scopes: Scopes::parse(&scopes.split_whitespace().collect::<Vec<_>>())?,
        created: Timestamp(row.get(5)?),
        revoked: row.get::<Option<i64>>(6)?.map(Timestamp),
        suspended: row.get(7)?,
        rate_per_s: row.get(8)?,
    })
}

fn generate() -> Secret {
    let mut bytes = [0u8; RANDOM_LEN];
    vault::random(&mut bytes);
    let mut key = format!("{LEAD}{}", base32(&bytes));
    let check = checksum(&key);
    key.push_str(&check);
    Secret::new(key)
}

/// Refuses mistyped keys without a look into the store.
fn is_well_formed(presented: &str) -> bool {
    presented.len() == LEAD.len() + BODY_LEN + CHECK_LEN
        && presented.is_ascii()
        && presented.starts_with(LEAD)
        && checksum(&presented[..LEAD.len() + BODY_LEN]) == presented[LEAD.len() + BODY_LEN..]
}

fn checksum(text: &str) -> String {
    let mut check = base32(&sha256(text)[..4]);
    check.truncate(CHECK_LEN);
    check
}

fn sha256(text: &str) -> [u8; 32] {
    let mut hash = [0u8; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    hash
}

/// Crockford's base 32 in lower case: no i, l, o or u to misread.
fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut out = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in bytes {
        bits = (bits << 8) | u32::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            out.push(char::from(ALPHABET[((bits >> held) & 31) as usize]));
        }
    }
    if held > 0 {
        out.push(char::from(ALPHABET[((bits << (5 - held)) & 31) as usize]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_carries_its_own_checksum() {
        let key = generate();
        let key = key.expose();
        assert_eq!(key.len(), 61);
        assert!(is_well_formed(key));
        for at in 0..key.len() {
            let mut bad = key.as_bytes().to_vec();
            bad[at] = if bad[at] == b'0' { b'1' } else { b'0' };
            assert!(!is_well_formed(&String::from_utf8(bad).unwrap()), "position {at}");
        }
        for bad in ["", "bk_", &key[1..], &format!("{key}0"), &key.replace("bk_", "봉")] {
            assert!(!is_well_formed(bad));
        }
        assert_ne!(generate().expose(), key);
    }

    #[test]
    fn base32_matches_known_values() {
        assert_eq!(base32(b""), "");
        assert_eq!(base32(b"f"), "cr");
        assert_eq!(base32(b"foobar"), "csqpyrk1e8");
    }

    #[test]
    fn a_read_older_than_a_revocation_is_not_cached() {
        let row = KeyRow {
            id: KeyId(1),
            account: None,
            kind: KeyKind::Operator,
            prefix: "bk_00000".into(),
            scopes: Scopes::OPERATOR,
            created: Timestamp(0),
            revoked: None,
            suspended: false,
            rate_per_s: 0,
        };
        let cache = Cache::default();
        let (before, _) = cache.find(&[1; 32]);
        cache.forget();
        cache.keep(before, [1; 32], row.clone());
        assert_eq!(cache.find(&[1; 32]).1, None);
        let (now, _) = cache.find(&[1; 32]);
        cache.keep(now, [1; 32], row.clone());
        assert_eq!(cache.find(&[1; 32]).1, Some(row));
    }
}
