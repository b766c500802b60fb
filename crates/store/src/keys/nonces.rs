//! Nonces of signed requests: each is taken once by a key, by whichever process it comes to.

use std::time::Duration;

use aws_lc_rs::digest;
use bongsu_domain::KeyId;

use crate::Store;
use crate::db::params;
use crate::error::{Error, Kind};

/// How long a nonce is remembered: longer than a signature is good.
pub const NONCE_LIFE: Duration = Duration::from_secs(11 * 60);
/// Nonces over their time that go with each new one, so that they never become more.
const CLEAN_MAX: u32 = 4;

/// Takes a nonce. Answers whether this is its first use; it is durable then, so that no process takes it again.
///
/// # Errors
/// As for [`Store::write`].
pub async fn use_nonce(store: &Store, key: KeyId, nonce: &str) -> Result<bool, Error> {
    let hash = digest::digest(&digest::SHA256, nonce.as_bytes());
    let mut head = [0; 8];
    head.copy_from_slice(&hash.as_ref()[..8]);
    let nonce = i64::from_be_bytes(head);
    let taken = store.write_as(false, move |tx| {
        let now = tx.now.millis();
        let over: Vec<i64> = tx
            .live
            .prepare_cached("SELECT nonce FROM nonces WHERE expires < ? ORDER BY expires LIMIT ?")?
            .query_map((now, CLEAN_MAX), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        tx.live.delete_in(&format!("DELETE FROM nonces WHERE expires < {now} AND nonce"), &over)?;
        let expires = now + NONCE_LIFE.as_millis() as i64;
        tx.live
            .prepare_cached("INSERT INTO nonces (api_key, nonce, expires) VALUES (?, ?, ?)")?
            .execute(params![key.0, nonce, expires])
            .map(drop)
    });
    match taken.await {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), Kind::Conflict(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
