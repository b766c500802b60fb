//! Opens the store that the configuration names: files of a data directory, or a database that several processes share.

use std::sync::Arc;

use bongsu_domain::Clock;
use bongsu_store::{Error, Kind, Options, Store};

use crate::config::{self, Config};
use crate::failure::Failure;

/// Opens the store to write: the data directory for this process alone, a database as one more process.
///
/// # Errors
/// The directory is in use (exit 3), the address is none (exit 2), or it cannot be opened.
pub async fn open_store(config: &Config, clock: Arc<dyn Clock>) -> Result<Store, Failure> {
    open_by(config, clock, Store::open).await
}

/// Opens the store for reading, beside the servers that have it.
///
/// # Errors
/// It cannot be opened.
pub async fn open_beside(config: &Config, clock: Arc<dyn Clock>) -> Result<Store, Failure> {
    open_by(config, clock, Store::open_reading).await
}

async fn open_by(
    config: &Config,
    clock: Arc<dyn Clock>,
    open: fn(Options) -> Result<Store, Error>,
) -> Result<Store, Failure> {
    let options = options(config, clock)?;
    let opened = tokio::task::spawn_blocking(move || open(options)).await;
    let opened = opened.map_err(|error| Failure::fault(format!("opening the store: {error}")))?;
    opened.map_err(|error| store_fault(config, &error))
}

/// Writes what waits and gives the store free. It joins threads, so it has one of its own, for which nobody waits when this
/// is dropped.
pub async fn close_store(store: Store) {
    let (closed, done) = tokio::sync::oneshot::channel();
    let closing = std::thread::Builder::new().name("store-close".into()).spawn(move || {
        store.close();
        // Who waited may have gone.
        let _ = closed.send(());
    });
    match closing {
        Ok(_) if done.await.is_ok() => {}
        Ok(_) => tracing::error!("closing the store panicked"),
        Err(error) => tracing::error!(%error, "closing the store"),
    }
}

/// How the store is opened.
///
/// # Errors
/// This build has not the engine (exit 2).
pub fn options(config: &Config, clock: Arc<dyn Clock>) -> Result<Options, Failure> {
    let mut options = Options::new(&config.data, clock);
    options.key_file.clone_from(&config.security.key_file);
    options.node = config.node;
    match &config.store {
        config::Store::Sqlite { pages_max } => options.pages_max = *pages_max,
        #[cfg(feature = "mysql")]
        config::Store::Mysql { url, replica_url, readers } => {
            options.database = Some(bongsu_store::my::Mysql {
                url: url.clone(),
                replica: replica_url.clone(),
                readers: *readers,
                lease: config.process.lease,
                check_clock: config.process.check_clock,
            });
        }
        #[cfg(not(feature = "mysql"))]
        config::Store::Mysql { .. } => {
            return Err(Failure::configuration("store.kind: this build has no feature mysql", Vec::new()));
        }
    }
    Ok(options)
}

/// Whether several processes may have the store at once.
pub fn is_shared(config: &Config) -> bool {
    matches!(config.store, config::Store::Mysql { .. })
}

/// Where the store is, for people; without secrets.
pub fn place(config: &Config) -> String {
    match &config.store {
        config::Store::Sqlite { .. } => format!("the data directory {}", config.data.display()),
        config::Store::Mysql { url, .. } => format!("the database {}", config::place_of(url)),
    }
}

/// The failure for an error of the store.
pub fn store_fault(config: &Config, error: &Error) -> Failure {
    let place = place(config);
    match error.kind() {
        Kind::InUse => {
            Failure::in_use(format!("another process uses {place}; stop it, or name another one with --data"))
        }
        Kind::Invalid("store.url") => Failure::configuration(format!("store.url: {error}"), Vec::new()),
        Kind::Fenced => Failure::lost_node(format!("{place} belongs to others by now: {error}")),
        _ => Failure::fault(format!("cannot use {place}: {error}")),
    }
}
