//! Settings (keys, accounts, senders, prices, shares, relays) change seldom and are asked for all the time, so processes
//! remember them. Where several share a database, every change of any of them marks it, and each looks at the mark.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

use crate::db::Db;
use crate::error::Error;
use crate::store::Store;
use crate::tx::Tx;

/// A memory that several processes share. It may lose anything at any time; nothing in it is believed without a seal.
pub trait Beside: Send + Sync {
    /// The value of a key, if it is there at once.
    fn get<'a>(&'a self, key: &'a str) -> Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send + 'a>>;

    /// Keeps a value for some minutes, if it can.
    fn put<'a>(&'a self, key: &'a str, value: &'a [u8]) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}

/// Which settings this process knows.
#[derive(Default)]
pub(crate) struct Settings {
    /// Raised by every change that this process knows of.
    generation: AtomicU64,
    /// The newest mark of the database that this process knows of; 0 before the first look.
    mark: Mutex<i64>,
    /// Told after each change by this process.
    written: Notify,
    beside: OnceLock<Arc<dyn Beside>>,
}

/// What other processes of a shared database did, at a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbours {
    /// They changed settings since the last look; what was remembered is forgotten.
    pub changed: bool,
    /// Processes alive that serve the API, this one among them.
    pub serving: u32,
}

impl Settings {
    fn mark(&self) -> MutexGuard<'_, i64> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// This process changed settings, or tried to.
    pub(crate) fn wrote(&self, raised: Option<i64>) {
        {
            let mut mark = self.mark();
            *mark = raised.unwrap_or(*mark);
            self.generation.fetch_add(1, Ordering::Relaxed);
        }
        self.written.notify_one();
    }
}

/// Rows written so far on the connection of a shared database.
pub(crate) fn written(live: &Db) -> u64 {
    #[cfg(feature = "mysql")]
    return live.my().map_or(0, crate::db::mysql::Conn::written);
    #[cfg(not(feature = "mysql"))]
    {
        let _ = live;
        0
    }
}

/// Marks a shared database when rows were written since `before`. Answers the mark.
pub(crate) fn raise(tx: &mut Tx<'_>, before: u64) -> Result<Option<i64>, Error> {
    if written(tx.live) == before {
        return Ok(None);
    }
    let mark = tx.new_id()?;
    tx.live.execute("UPDATE facts SET value = ? WHERE name = 'generation'", [mark.to_string().as_str()])?;
    Ok(Some(mark))
}

impl Store {
    /// Raised by every change of settings that this process knows of, so that what is remembered of them can be checked
    /// for cheap.
    pub fn generation(&self) -> u64 {
        self.settings().generation()
    }

    /// Completes after a change of settings by this process, for telling others of it. Several changes may be told once.
    pub async fn settings_written(&self) {
        self.settings().written.notified().await;
    }

    /// Has look-ups of settings go by way of a shared memory; set once.
    pub fn remember_beside(&self, beside: Arc<dyn Beside>) {
        // A second memory would hold half of everything; the first one stays.
        let _ = self.settings().beside.set(beside);
    }

    /// Looks at what other processes of a shared database did; `None` where there are no others.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn look_at_neighbours(&self) -> Result<Option<Neighbours>, Error> {
        if !self.is_shared() {
            return Ok(None);
        }
        loop {
            let generation = self.generation();
            let (now, serving) = self.read(|reader| look(&reader.live)).await?;
            let mut mark = self.settings().mark();
            if self.generation() != generation {
                // A change of this process came in between, which may be newer than what was read.
                continue;
            }
            let changed = *mark != now;
            if changed {
                *mark = now;
                self.settings().generation.fetch_add(1, Ordering::Relaxed);
                self.admin_cache().forget();
            }
            return Ok(Some(Neighbours { changed, serving: serving.max(1) }));
        }
    }

    /// Says whether this process serves the API, so that limits per process can be shares of the whole.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn serve_api(&self, serves: bool) -> Result<(), Error> {
        #[cfg(feature = "mysql")]
        if let Some((node, owner)) = self.leases().map(|leases| (format!("node:{}", leases.node()), leases.owner())) {
            let sql = "UPDATE leases SET api = ? WHERE name = ? AND owner = ?";
            let row = move |tx: &mut Tx<'_>| tx.live.execute(sql, (serves, node.as_str(), owner));
            self.write_as(false, row).await?;
        }
        let _ = serves;
        Ok(())
    }

    /// Reads a setting, by way of the shared memory where there is one. A value is kept under the mark that was known
    /// before it was read: whoever knows that mark may use it, and whoever knows a newer one asks under that.
    pub(crate) async fn by_way_of_beside<T: Send>(
        &self,
        what: &str,
        decode: fn(&[u8]) -> Option<T>,
        encode: fn(&T) -> Vec<u8>,
        read: impl Future<Output = Result<Option<T>, Error>> + Send,
    ) -> Result<Option<T>, Error> {
        let mark = *self.settings().mark();
        let Some(beside) = self.settings().beside.get().filter(|_| mark != 0) else { return read.await };
        let key = format!("{what}:{mark}");
        let told = beside.get(&key).await.and_then(|sealed| {
            let plain = self.vault().open(&sealed).ok()?;
            decode(plain.strip_prefix(key.as_bytes())?)
        });
        if told.is_some() {
            return Ok(told);
        }
        let value = read.await?;
        if let Some(value) = &value {
            let mut plain = key.clone().into_bytes();
            plain.extend(encode(value));
            beside.put(&key, &self.vault().seal(&plain)).await;
        }
        Ok(value)
    }
}

/// The mark, and how many live processes serve the API.
fn look(live: &Db) -> Result<(i64, u32), Error> {
    let sql = "SELECT (SELECT value FROM facts WHERE name = 'generation'), \
         (SELECT COUNT(*) FROM leases WHERE name LIKE 'node:%' AND api = 1 AND owner <> 0 \
            AND until > CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED))";
    live.query_row(sql, (), |row| Ok((row.get::<String>(0)?.parse().unwrap_or(0), row.get(1)?)))
}
