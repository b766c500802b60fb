//! Puts the rooms together: store, pipeline and door are opened in this order and closed in the opposite one.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bongsu_api::{ApiConfig, App, Router, Sockets};
use bongsu_domain::{Clock, Secret};
use bongsu_engine::bus::{self, BusConfig};
use bongsu_engine::cache::{self, CacheConfig};
use bongsu_engine::{OpenError, RedisConfig};
use bongsu_report::{Client, ClientConfig, Policy, Reports, Setup};
use bongsu_send::{SendConfig, Service};
use bongsu_store::{Store, keys};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::config::{self, Config, Role};
use crate::failure::Failure;
use crate::neighbours::{Engines, Neighbours};
use crate::opening::{close_store, is_shared, open_store, store_fault};

/// Where the first operator key is kept for its owner, inside the data directory.
const OPERATOR_KEY: &str = "operator.key";
/// How long a shared database has at least to take the last goodbye.
const CLOSING_MIN: Duration = Duration::from_secs(2);

/// The parts of a process that runs.
pub struct Running {
    store: Store,
    is_shared: bool,
    service: Service,
    neighbours: Neighbours,
    reports: Option<Reports>,
    door: Option<Door>,
    probe: Option<Door>,
}

/// One address of the HTTP side.
struct Door {
    address: SocketAddr,
    app: Arc<App>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    /// Opens everything; it serves when this returns.
    ///
    /// # Errors
    /// The data directory is in use (exit 3), the store cannot be opened, the address is taken.
    pub async fn start(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        let has = |role: Role| config.roles.contains(&role);
        if !is_shared(config) && !has(Role::Dispatch) {
            let sentence =
                "the embedded store belongs to one process, so that process needs the role dispatch; add it to --roles";
            return Err(Failure::configuration(sentence, Vec::new()));
        }
        // Before the store: an address that is taken must not leave a new data directory behind.
        let listener = if has(Role::Api) { Some(listen(config.listen).await?) } else { None };
        let probe = match config.probe {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let engines = open_engines(config, &clock)?;
        let store = open_store(config, clock.clone()).await?;
        let fault = |error| store_fault(config, &error);
        if let Some(key) = keys::ensure_operator(&store).await.map_err(fault)? {
            hand_over(&key, &config.data)?;
        }
        store.serve_api(has(Role::Api)).await.map_err(fault)?;
        let service =
            bongsu_send::start(store.clone(), send_config(config, &*clock), clock.clone()).await.map_err(fault)?;
        let neighbours = Neighbours::watch(&service, &engines, has(Role::Dispatch));
        let caller = caller(config)?;
        let reports = if has(Role::Report) {
            let setup = Setup { service: service.clone(), client: caller.clone(), clock: clock.clone() };
            Some(Reports::start(setup).map_err(fault)?)
        } else {
            None
        };
        let open = |listener, router: fn(&Arc<App>) -> Router| {
            open_door((config, caller.clone()), listener, router, service.clone(), &engines, clock.clone())
        };
        let door = listener.map(|listener| open(listener, bongsu_api::router)).transpose()?;
        let probe = probe.map(|listener| open(listener, bongsu_api::probes)).transpose()?;
        if let Some(probe) = &probe {
            tracing::info!(address = %probe.address, "health and metrics");
        }
        Ok(Self { store, is_shared: is_shared(config), service, neighbours, reports, door, probe })
    }

    /// Where the API listens; nowhere without the role `api`.
    pub fn http(&self) -> Option<SocketAddr> {
        self.door.as_ref().map(|door| door.address)
    }

    /// Where health and metrics are served alone.
    pub fn probe(&self) -> Option<SocketAddr> {
        self.probe.as_ref().map(|probe| probe.address)
    }

    /// The pipeline, for whoever runs the program inside a test.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Completes when the process has to stop because a part died, a file could not be synced, or others took over what it
    /// held of a shared database.
    pub async fn failed(&self) -> Failure {
        let reports_ended = async {
            match &self.reports {
                Some(reports) => reports.failed().await,
                None => std::future::pending().await,
            }
        };
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
            () = reports_ended => {
                Failure::fault("telling webhooks died; start again, nothing accepted is lost")
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

    /// Stops in order, each step within what is left of `within`: no new requests, requests end, relays drain and what is
    /// held of a shared database is given up, files close.
    pub async fn stop(self, within: Duration) {
        let until = Instant::now() + within;
        if let Some(door) = self.door {
            door.close(until).await;
        }
        if let Some(reports) = self.reports
            && timeout_at(until, reports.stop()).await.is_err()
        {
            tracing::warn!("calls to webhooks did not end in time; they are repeated");
        }
        if timeout_at(until, self.service.stop()).await.is_err() {
            tracing::warn!("relays did not drain in time and are cut; the next start settles what was under way");
        }
        drop(self.neighbours);
        if let Some(probe) = self.probe {
            probe.close(until).await;
        }
        let closing = close_store(self.store);
        if !self.is_shared {
            return closing.await;
        }
        // A database that is away must not keep the process; its leases end by themselves.
        if timeout_at(until.max(Instant::now() + CLOSING_MIN), closing).await.is_err() {
            tracing::warn!("the database did not answer in time; what this process held of it ends by itself");
        }
    }
}

impl Door {
    async fn close(self, until: Instant) {
        self.app.end_streams();
        self.stop.send_replace(true);
        if timeout_at(until, self.task).await.is_err() {
            tracing::warn!("requests did not end in time and are cut");
        }
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
        audit_days: config.security.audit_days,
        spill_receipts_after: config.send.spill_receipts_after,
        idempotency_wait: config.send.idempotency_wait,
        drain: config.stop,
        own_number: config.send.own_number,
        ad_hours: config.send.ad_hours,
        roles: bongsu_store::Roles {
            dispatch: config.roles.contains(&Role::Dispatch),
            report: config.roles.contains(&Role::Report),
            schedule: config.roles.contains(&Role::Schedule),
        },
        // Only jitter hangs on it: two processes that start at the same time must not move in step.
        seed: clock.now().micros().unsigned_abs() ^ u64::from(std::process::id()) << 32,
    }
}

fn open_engines(config: &Config, clock: &Arc<dyn Clock>) -> Result<Engines, Failure> {
    let refused = |section: &str, error: OpenError| Failure::configuration(format!("{section}: {error}"), Vec::new());
    let redis = |url: &Secret, prefix: &str| RedisConfig { prefix: prefix.to_owned(), ..RedisConfig::new(url.clone()) };
    let cache = match &config.cache {
        config::Cache::Inprocess => CacheConfig::Inprocess,
        config::Cache::Redis { url, prefix } => CacheConfig::Redis(redis(url, prefix)),
    };
    let bus = match &config.bus {
        config::Bus::Inprocess => BusConfig::Inprocess,
        config::Bus::Redis { url, prefix } => BusConfig::Redis(redis(url, prefix)),
    };
    Ok(Engines {
        is_cache_shared: matches!(cache, CacheConfig::Redis(_)),
        cache: cache::open(&cache, clock.clone()).map_err(|error| refused("cache.url", error))?,
        bus: bus::open(&bus, clock.clone()).map_err(|error| refused("bus.url", error))?,
    })
}

/// Who calls webhooks.
fn caller(config: &Config) -> Result<Client, Failure> {
    let read = |path: &std::path::PathBuf| {
        std::fs::read_to_string(path).map_err(|error| {
            let sentence = format!("cannot read {}: {error}; name the file in webhooks.ca_file", path.display());
            Failure::configuration(sentence, Vec::new())
        })
    };
    let ca_pem = config.webhooks.ca_file.as_ref().map(read).transpose()?;
    let policy = Policy { allow_loopback: config.webhooks.allow_loopback };
    if policy.allow_loopback {
        tracing::warn!("webhooks.allow_loopback is for tests: webhooks may lead to this machine");
    }
    Ok(Client::new(ClientConfig { policy, ca_pem }))
}

fn open_door(
    (config, webhooks): (&Config, Client),
    listener: TcpListener,
    router: fn(&Arc<App>) -> Router,
    service: Service,
    engines: &Engines,
    clock: Arc<dyn Clock>,
) -> Result<Door, Failure> {
    let address = listener.local_addr().map_err(|error| Failure::fault(format!("listening: {error}")))?;
    let limits = &config.limits;
    let sockets = Sockets::default();
    let app = App::new(
        service,
        engines.cache.clone(),
        engines.bus.clone(),
        clock,
        ApiConfig {
            requests_per_s: limits.requests_per_s,
            messages_burst: limits.messages_burst,
            body_bytes_max: limits.body_bytes as usize,
            bodies_bytes_max: limits.bodies_bytes as usize,
            body_timeout: limits.body,
            trusted_proxies: config.http.trusted_proxies.clone(),
            cors_origins: config.http.cors_origins.clone(),
            sockets: sockets.clone(),
            webhooks,
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
    let task = tokio::spawn(bongsu_api::serve(listener, router(&app), limits, stopped));
    Ok(Door { address, app, stop, task })
}
