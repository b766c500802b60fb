//! The relays of this installation: rows of the store turned into running links, with a breaker each.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use bongsu_domain::breaker::State;
use bongsu_domain::{AccountId, Allow, Breaker, Channel, Clock, Lane, Shares, Timestamp};
use bongsu_relay::{
    DataCoding, Event, Health, IdRule, Long, RelayConfig, RelayPort, Timers, TlsConfig, simulated, smpp,
};
use bongsu_store::relays::{Coding, Long as StoredLong, RelayRow};
use bongsu_store::{Error, Store, relays};
use tokio::sync::{Notify, mpsc};

use crate::territory::Territory;

/// A relay that is down for less than this is waited for: a link that comes back at once is no outage.
const DOWN_GRACE: Duration = Duration::from_secs(2);
/// How long answers are waited for by sessions whose binds may be another's soon.
const LET_GO_DRAIN: Duration = Duration::from_millis(300);
/// Ratios that are remembered; over it they are remembered anew.
const SHARES_MAX: usize = 50_000;

/// The sessions of a relay, while it has any.
type Running = Option<Arc<dyn RelayPort>>;

/// One relay.
pub struct Link {
    /// Its small number.
    pub no: u8,
    /// Its name.
    pub name: String,
    /// Whether a message of unknown fate may be sent again.
    pub resend_unknown: bool,
    /// The running sessions; absent once the relay was deleted.
    pub port: Option<Arc<dyn RelayPort>>,
    /// Whether it was deleted.
    deleted: bool,
    /// Parts a second over one bind; kept also while this process holds none.
    bind_per_s: f64,
    breaker: Mutex<Breaker>,
    started: Timestamp,
}

impl Link {
    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Down for longer than a reconnect takes.
    pub fn is_down(&self, now: Timestamp) -> bool {
        let Some(health) = self.port.as_ref().map(|port| port.health()) else { return true };
        !health.up && now.since(health.since.max(self.started)) >= DOWN_GRACE
    }

    /// Linked, and not taken out by its breaker.
    pub fn is_healthy(&self, now: Timestamp) -> bool {
        self.port.as_ref().is_some_and(|port| port.health().up) && matches!(self.breaker().state(now), State::Closed)
    }

    /// What the breaker lets through; asking may use up the probe.
    pub fn allows(&self, now: Timestamp) -> Allow {
        self.breaker().allows(now)
    }

    /// Taken out by its breaker, without asking for a probe.
    pub fn is_open(&self, now: Timestamp) -> bool {
        matches!(self.breaker().state(now), State::Open { .. })
    }

    /// Whether the breaker is closed.
    pub fn is_closed(&self, now: Timestamp) -> bool {
        matches!(self.breaker().state(now), State::Closed)
    }

    /// A message was answered, or failed because of the relay.
    pub fn result(&self, now: Timestamp, ok: bool) {
        if self.no == simulated::NUMBER {
            // What a test number answers is fixed, and says nothing about a relay.
            return;
        }
        if ok { self.breaker().on_ok(now) } else { self.breaker().on_fail(now) }
    }

    /// Parts it takes now in a lane.
    pub fn room(&self, lane: Lane) -> u32 {
        self.port.as_ref().map_or(0, |port| port.room(lane))
    }

    /// How long after its last part another process may write one, ms.
    pub fn spacing_ms(&self) -> i64 {
        (1_000.0 / self.bind_per_s.max(0.001)).ceil() as i64
    }

    /// How it is.
    pub fn health(&self) -> Option<Health> {
        self.port.as_ref().map(|port| port.health())
    }
}

/// All relays, by number.
pub struct Relays {
    links: RwLock<BTreeMap<u8, Arc<Link>>>,
    /// Where messages to the test numbers go. It is no row, has no share, and is in no list of relays.
    simulated: Arc<Link>,
    shares: Mutex<HashMap<(AccountId, Channel), Shares>>,
    events: mpsc::Sender<Vec<Event>>,
    wake: Arc<Notify>,
    clock: Arc<dyn Clock>,
    seed: u64,
}

impl Relays {
    /// No relays yet; [`Relays::reload`] starts them.
    pub fn new(events: mpsc::Sender<Vec<Event>>, wake: Arc<Notify>, clock: Arc<dyn Clock>, seed: u64) -> Self {
        let simulated = Arc::new(Link {
            no: simulated::NUMBER,
            name: simulated::NAME.to_owned(),
            resend_unknown: true,
            port: Some(simulated::start(events.clone(), clock.clone())),
            deleted: false,
            bind_per_s: 1_000.0,
            breaker: Mutex::new(Breaker::new()),
            started: clock.now(),
        });
        Self { links: RwLock::new(BTreeMap::new()), simulated, shares: Mutex::default(), events, wake, clock, seed }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<u8, Arc<Link>>> {
        self.links.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A relay by number.
    pub fn get(&self, no: u8) -> Option<Arc<Link>> {
        if no == simulated::NUMBER {
            return Some(self.simulated.clone());
        }
        self.read().get(&no).cloned()
    }

    /// The name of a relay, also of one that was deleted.
    pub fn name(&self, no: u8) -> String {
        self.get(no).map_or_else(|| format!("relay-{no}"), |link| link.name.clone())
    }

    /// Remembers the ratio a customer uses, for what follows a failed try.
    pub fn remember(&self, account: AccountId, channel: Channel, shares: Shares) {
        let mut kept = self.shares.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if kept.len() >= SHARES_MAX {
            kept.clear();
        }
        kept.insert((account, channel), shares);
    }

    /// The relay a message is booked on, then the others by the customer's weights.
    pub fn preference(&self, account: AccountId, channel: Channel, booked: u8) -> Vec<u8> {
        if booked == simulated::NUMBER {
            // A test must not reach a relay, whatever becomes of it.
            return vec![booked];
        }
        let kept = self.shares.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match kept.get(&(account, channel)) {
            Some(shares) => shares.preference(booked),
            None => {
                let others = self.all().into_iter().filter(|link| link.port.is_some() && link.no != booked);
                std::iter::once(booked).chain(others.map(|link| link.no)).collect()
            }
        }
    }

    /// The number of a relay by its name.
    pub fn number(&self, name: &str) -> Option<u8> {
        if name == simulated::NAME {
            return Some(simulated::NUMBER);
        }
        self.read().values().find(|link| link.name == name).map(|link| link.no)
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Link>> {
        self.read().values().cloned().collect()
    }

    /// Hands an event to the settling side as if a relay had sent it.
    pub async fn report(&self, events: Vec<Event>) {
        // The receiver lives as long as the pipeline; at its end nobody needs the event.
        let _ = self.events.send(events).await;
    }

    /// Brings the running links in line with the rows.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn reload(&self, store: &Store, territory: &Territory) -> Result<(), Error> {
        let vault = store.vault().clone();
        let rows = store.read(move |reader| relays::load(&reader.live, &vault)).await?;
        let mut stopped = Vec::new();
        {
            let mut links = self.links.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            for row in rows {
                let old = links.get(&row.no).cloned();
                let (held, of) =
                    territory.binds(row.no, self.clock.now()).unwrap_or((row.binds.into(), row.binds.into()));
                let rate_per_s = f64::from(row.rate_per_s) * f64::from(held) / f64::from(of.max(1));
                let wanted = row.deleted.is_none() && territory.roles().dispatch && held > 0;
                let config = wanted.then(|| RelayConfig {
                    binds: held.min(u8::MAX.into()) as u8,
                    rate_per_s,
                    gate: territory.gate(),
                    ..relay_config(&row)
                });
                let (port, gone) = self.port(row.no, config, old.as_deref());
                stopped.extend(gone);
                let (breaker, started) = old
                    .as_ref()
                    .map_or_else(|| (Breaker::new(), self.clock.now()), |link| (link.breaker().clone(), link.started));
                links.insert(
                    row.no,
                    Arc::new(Link {
                        no: row.no,
                        name: row.name,
                        resend_unknown: row.resend_unknown,
                        port,
                        deleted: row.deleted.is_some(),
                        bind_per_s: f64::from(row.rate_per_s) / f64::from(of.max(1)),
                        breaker: Mutex::new(breaker),
                        started,
                    }),
                );
            }
        }
        for port in stopped {
            port.stop(Duration::from_secs(3)).await;
        }
        self.wake.notify_one();
        Ok(())
    }

    /// The port for a configuration, none without one; and a port that has to stop.
    fn port(&self, no: u8, config: Option<RelayConfig>, old: Option<&Link>) -> (Running, Running) {
        let running = old.and_then(|link| link.port.clone());
        let Some(config) = config else { return (None, running) };
        match running {
            Some(port) => {
                port.reconfigure(config);
                (Some(port), None)
            }
            None => {
                let seed = self.seed ^ u64::from(no);
                let port = smpp::start(config, self.events.clone(), self.wake.clone(), self.clock.clone(), seed);
                (Some(port), None)
            }
        }
    }

    /// Whether every relay has a link here: without one the ratio of a customer could not be kept.
    pub fn is_manned(&self) -> bool {
        self.read().values().all(|link| link.deleted || link.port.is_some())
    }

    /// Closes all sessions, since their binds may be another's soon. It needs no store; [`Relays::reload`] opens them again.
    pub fn let_go(&self) {
        let mut links = self.links.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        for link in links.values_mut() {
            let Some(port) = link.port.clone() else { continue };
            let breaker = link.breaker().clone();
            *link = Arc::new(Link {
                no: link.no,
                name: link.name.clone(),
                resend_unknown: link.resend_unknown,
                port: None,
                deleted: link.deleted,
                bind_per_s: link.bind_per_s,
                breaker: Mutex::new(breaker),
                started: link.started,
            });
            tokio::spawn(port.stop(LET_GO_DRAIN));
        }
    }

    /// Stops every link: queued messages come back, those in flight have `drain`.
    pub async fn stop(&self, drain: Duration) {
        let ports: Vec<_> = self.all().iter().filter_map(|link| link.port.clone()).collect();
        let stops: Vec<_> = ports.iter().map(|port| tokio::spawn(port.stop(drain))).collect();
        for stop in stops {
            // A link that panicked while stopping is stopped.
            let _ = stop.await;
        }
    }
}

fn relay_config(row: &RelayRow) -> RelayConfig {
    let settings = &row.settings;
    RelayConfig {
        system_id: row.system_id.clone(),
        password: row.password.clone(),
        window: row.window,
        resend_unknown: row.resend_unknown,
        coding: match settings.coding {
            Coding::Ksc5601 => DataCoding::Ksc5601,
            Coding::Ucs2 => DataCoding::Ucs2,
            Coding::Gsm7 => DataCoding::Gsm7,
            Coding::Ascii => DataCoding::Ascii,
        },
        long: match settings.long {
            StoredLong::Payload => Long::Payload,
            StoredLong::Udh => Long::Udh,
        },
        id_rule: IdRule { response_hex: settings.response_id_hex, receipt_hex: settings.receipt_id_hex },
        tls: settings
            .tls_server_name
            .clone()
            .map(|server_name| TlsConfig { ca_pem: settings.tls_ca.clone(), server_name }),
        timers: Timers {
            response: Duration::from_millis(settings.response_timeout_ms.into()),
            enquire_link: Duration::from_millis(settings.enquire_link_ms.into()),
            ..Timers::default()
        },
        address_with_country: settings.with_country,
        subject_tlv: Some(settings.subject_tlv),
        ..RelayConfig::new(row.no, &row.name, &row.address)
    }
}
