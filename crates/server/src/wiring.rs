//! Puts the rooms together: store, pipeline and door are opened in this order and closed in the opposite one.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bongsu_api::{ApiConfig, App, Sockets};
use bongsu_domain::{Clock, Secret};
use bongsu_send::{SendConfig, Service};
use bongsu_store::{Store, keys};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::{Config, Role};
use crate::failure::Failure;
use crate::opening::{close_store, is_shared, open_store, store_fault};

/// Where the first operator key is kept for its owner, inside the data directory.
const OPERATOR_KEY: &str = "operator.key";

/// The parts of a process that runs.
pub struct Running {
    store: Store,
    is_shared: bool,
    service: Service,
    door: Option<Door>,
}

/// The HTTP side.
struct Door {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    /// Opens everything; it serves when this returns.
    ///
    /// # Errors
    /// The data directory is in use (exit 3), the store cannot be opened, the address is taken.
    pub async fn start(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        if !is_shared(config) && !config.roles.contains(&Role::Dispatch) {
            let sentence =
                "the embedded store belongs to one process, so that process needs the role dispatch; add it to --roles";
            return Err(Failure::configuration(sentence, Vec::new()));
        }
        // Before the store: an address that is taken must not leave a new data directory behind.
        let listener = if config.roles.contains(&Role::Api) { Some(listen(config.listen).await?) } else { None };
        let store = open_store(config, clock.clone()).await?;
        if let Some(key) = keys::ensure_operator(&store).await.map_err(|error| store_fault(config, &error))? {
            hand_over(&key, &config.data)?;
        }
        let service = bongsu_send::start(store.clone(), send_config(config, &*clock), clock.clone())
            .await
            .map_err(|error| store_fault(config, &error))?;
        let door = listener.map(|listener| open_door(config, listener, service.clone(), clock)).transpose()?;
        Ok(Self { store, is_shared: is_shared(config), service, door })
    }

    /// Where the API listens; nowhere without the role `api`.
    pub fn http(&self) -> Option<SocketAddr> {
        self.door.as_ref().map(|door| door.address)
    }

    /// The pipeline, for whoever runs the program inside a test.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Completes when the process has to stop because a part died, a file could not be synced, or others took over what it
    /// held of a shared database.
    pub async fn failed(&self) -> Failure {
        let door_ended = async {
            match &self.door {
                Some(door) => door.stop.closed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            why = self.store.failed() => self.store_failed(&why),
            why = self.service.failed() => {
                Failure::fault(format!("a part of the pipeline died ({why}); start again, nothing accepted is lost"))
            }
            () = door_ended => Failure::fault("the HTTP side died; start again, nothing accepted is lost"),
        }
    }

    /// Over a database nothing ends a store for good but that its node went to another process: it was stopped for longer than
    /// its lease, or the database was away from it alone.
    fn store_failed(&self, why: &str) -> Failure {
        if self.is_shared {
            return Failure::lost_node(format!("others took over ({why}); start again, nothing accepted is lost"));
        }
        Failure::fault(format!("the storage failed ({why}); repair it and start again, nothing accepted is lost"))
    }

    /// Stops in order, each step within what is left of `within`: no new requests, requests end, relays drain, files close.
    pub async fn stop(self, within: Duration) {
        let until = tokio::time::Instant::now() + within;
        if let Some(door) = self.door {
            door.stop.send_replace(true);
            if tokio::time::timeout_at(until, door.task).await.is_err() {
                tracing::warn!("requests did not end in time and are cut");
            }
        }
        if tokio::time::timeout_at(until, self.service.stop()).await.is_err() {
            tracing::warn!("relays did not drain in time and are cut; the next start settles what was under way");
        }
        close_store(self.store).await;
    }
}

/// Brings the store to the newest schema.
///
/// # Errors
/// The data directory is in use (exit 3), or the store cannot be opened.
pub async fn migrate(config: &Config, clock: Arc<dyn Clock>) -> Result<(), Failure> {
    close_store(open_store(config, clock).await?).await;
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::fault(format!(
            "cannot listen on {address}: {error}; free the address or name another one with --listen"
        ))
    })
}

/// Shows the first operator key once on stderr and keeps it for its owner only.
fn hand_over(key: &Secret, data: &Path) -> Result<(), Failure> {
    let path = data.join(OPERATOR_KEY);
    let _ = writeln!(std::io::stderr(), "operator key (shown once, kept in {}): {}", path.display(), key.expose());
    let write = || {
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        // The mode above counts only for a file that was not there.
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        writeln!(file, "{}", key.expose())?;
        file.sync_all()
    };
    write().map_err(|error| {
        Failure::fault(format!("cannot write {}: {error}; keep the key that was shown", path.display()))
    })
}

fn send_config(config: &Config, clock: &dyn Clock) -> SendConfig {
    SendConfig {
        unknown_wait: config.send.unknown_wait,
        receipt_deadline: config.send.receipt_deadline,
        claim_deadline: config.send.claim_deadline,
        spill_after: config.send.spill_after,
        default_expiry: config.send.default_expires,
        auth_expiry: config.send.auth_expires,
        failover: config.failover.policy(),
        retention_days: config.send.retention_days,
        spill_receipts_after: config.send.spill_receipts_after,
        idempotency_wait: config.send.idempotency_wait,
        drain: config.stop,
        own_number: config.send.own_number,
        roles: bongsu_store::Roles {
            dispatch: config.roles.contains(&Role::Dispatch),
            report: config.roles.contains(&Role::Report),
        },
        // Only jitter hangs on it: two processes that start at the same time must not move in step.
        seed: clock.now().micros().unsigned_abs() ^ u64::from(std::process::id()) << 32,
    }
}

fn open_door(config: &Config, listener: TcpListener, service: Service, clock: Arc<dyn Clock>) -> Result<Door, Failure> {
    let address = listener.local_addr().map_err(|error| Failure::fault(format!("listening: {error}")))?;
    let limits = &config.limits;
    let sockets = Sockets::default();
    let app = App::new(
        service,
        clock,
        ApiConfig {
            requests_per_s: limits.requests_per_s,
            messages_burst: limits.messages_burst,
            body_bytes_max: limits.body_bytes as usize,
            bodies_bytes_max: limits.bodies_bytes as usize,
            body_timeout: limits.body,
            sockets: sockets.clone(),
        },
    );
    let limits = bongsu_api::Limits {
        max_connections: limits.connections as usize,
        first_byte_timeout: limits.first_byte,
        header_timeout: limits.headers,
        idle_timeout: limits.idle,
        drain: config.stop,
        sockets,
    };
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(bongsu_api::serve(listener, bongsu_api::router(&app), limits, stopped));
    Ok(Door { address, stop, task })
}
