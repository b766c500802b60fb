//! Whose key it is that a request comes with: from memory, from what other processes read, or from the store.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use bongsu_domain::KeyId;

use super::text::{base32, is_well_formed, sha256};
use super::{KeyRow, SELECT, from_row, plain};
use crate::Store;
use crate::error::Error;

/// Keys that memory has.
const CACHED_MAX: usize = 10_000;

/// How a key is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Handle {
    Hash([u8; 32]),
    Id(KeyId),
}

/// Keys seen lately by their hash, so that a request costs no read. A generation number keeps a read that began before
/// a revocation from putting its stale row back afterwards.
#[derive(Debug, Default)]
pub struct Cache(RwLock<Cached>);

#[derive(Debug, Default)]
struct Cached {
    generation: u64,
    rows: HashMap<Handle, KeyRow>,
}

impl Cache {
    /// Drops everything; called after each change of a key or an account.
    pub(crate) fn forget(&self) {
        let mut cached = self.0.write().unwrap_or_else(PoisonError::into_inner);
        cached.generation += 1;
        cached.rows.clear();
    }

    fn find(&self, handle: &Handle) -> (u64, Option<KeyRow>) {
        let cached = self.0.read().unwrap_or_else(PoisonError::into_inner);
        (cached.generation, cached.rows.get(handle).cloned())
    }

    fn keep(&self, generation: u64, handle: Handle, row: KeyRow) {
        let mut cached = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if cached.generation != generation {
            return;
        }
        if cached.rows.len() >= CACHED_MAX {
            cached.rows.clear();
        }
        cached.rows.insert(handle, row);
    }
}

/// The key that a caller presents. `None` when it is malformed, unknown, revoked or switched off. A suspended account's
/// key is answered (`suspended` is true), so that the caller can be told apart from a stranger.
///
/// # Errors
/// Only those of the store.
pub async fn authenticate(store: &Store, presented: &str) -> Result<Option<KeyRow>, Error> {
    if !is_well_formed(presented) {
        return Ok(None);
    }
    look_up(store, Handle::Hash(sha256(presented))).await
}

/// The key that a signed request names, as [`authenticate`].
///
/// # Errors
/// Only those of the store.
pub async fn by_id(store: &Store, id: KeyId) -> Result<Option<KeyRow>, Error> {
    look_up(store, Handle::Id(id)).await
}

async fn look_up(store: &Store, handle: Handle) -> Result<Option<KeyRow>, Error> {
    let (generation, known) = store.admin_cache().find(&handle);
    if known.is_some() {
        return Ok(known);
    }
    // Boxed: nearly every request finds its key in memory.
    Box::pin(read_up(store, handle, generation)).await
}

async fn read_up(store: &Store, handle: Handle, generation: u64) -> Result<Option<KeyRow>, Error> {
    let read = store.read(move |reader| {
        let by = match handle {
            Handle::Hash(_) => "k.hash = ?",
            Handle::Id(_) => "k.id = ?",
        };
        let sql = format!("{SELECT} WHERE {by} AND k.revoked IS NULL AND k.active = 1");
        let mut statement = reader.live.prepare_cached(&sql)?;
        let mut rows = match &handle {
            Handle::Hash(hash) => statement.query([&hash[..]])?,
            Handle::Id(id) => statement.query([id.0])?,
        };
        rows.next()?.map(|row| from_row(&row)).transpose()
    });
    let what = match &handle {
        Handle::Hash(hash) => format!("key:{}", base32(hash)),
        Handle::Id(id) => format!("key:{id}"),
    };
    let row = store.by_way_of_beside(&what, plain::decode, plain::encode, read).await?;
    if let Some(row) = &row {
        store.admin_cache().keep(generation, handle, row.clone());
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use bongsu_domain::Timestamp;

    use super::*;
    use crate::keys::{KeyKind, Scopes, Signing};

    #[test]
    fn a_read_older_than_a_revocation_is_not_cached() {
        let row = KeyRow {
            id: KeyId(1),
            account: None,
            kind: KeyKind::Operator,
            name: String::new(),
            prefix: "bk_00000".into(),
            scopes: Scopes::OPERATOR,
            created: Timestamp(0),
            revoked: None,
            active: true,
            ip_allow: Vec::new(),
            signing: Signing::None,
            signing_sealed: None,
            suspended: false,
            rate_per_s: 0,
        };
        let (cache, handle) = (Cache::default(), Handle::Hash([1; 32]));
        let (before, _) = cache.find(&handle);
        cache.forget();
        cache.keep(before, handle, row.clone());
        assert_eq!(cache.find(&handle).1, None);
        let (now, _) = cache.find(&handle);
        cache.keep(now, handle, row.clone());
        assert_eq!(cache.find(&handle).1, Some(row));
    }
}
