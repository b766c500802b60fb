//! What a relay row says: address, credentials, limits, dialect.

use std::time::Duration;

use bongsu_domain::secret::Secret;

use crate::{DataCoding, IdRule};

/// How a text that does not fit one `short_message` travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Long {
    /// One `submit_sm` with `message_payload` (SMPP 3.4, 5.3.2.32).
    Payload,
    /// Several `submit_sm`, each with a user data header (3GPP TS 23.040, 9.2.3.24.1).
    Udh,
}

/// TLS towards a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificates that are trusted, in PEM; the relay's certificate must chain to one of them.
    pub ca_pem: Option<String>,
    /// The name the relay's certificate must carry.
    pub server_name: String,
}

/// The four timers of SMPP 3.4, 7.2, and the waits between connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// From the connect to the bind response.
    pub session_init: Duration,
    /// Silence after which the link is probed with `enquire_link`.
    pub enquire_link: Duration,
    /// The longest wait for any response; then the link is given up.
    pub response: Duration,
    /// Base of the first wait before a new connect.
    pub reconnect_min: Duration,
    /// Base of the longest wait before a new connect.
    pub reconnect_max: Duration,
}

impl Default for Timers {
    fn default() -> Timers {
        Timers {
            session_init: Duration::from_secs(10),
            enquire_link: Duration::from_secs(30),
            response: Duration::from_secs(3),
            reconnect_min: Duration::from_millis(200),
            reconnect_max: Duration::from_secs(10),
        }
    }
}

/// The vendor TLV that carries an LMS subject in CP949 unless a relay names another.
pub const SUBJECT_TLV: u16 = 0x1401;

/// Says whether anything may be written now. A process that cannot renew its leases may not: its binds and its part of the
/// rate may be another's by then.
#[derive(Clone, Default)]
pub struct Gate(Option<std::sync::Arc<dyn Fn() -> bool + Send + Sync>>);

impl Gate {
    /// Open as long as `is_open` says so.
    pub fn new(is_open: impl Fn() -> bool + Send + Sync + 'static) -> Gate {
        Gate(Some(std::sync::Arc::new(is_open)))
    }

    /// Whether it is open now.
    pub fn is_open(&self) -> bool {
        self.0.as_ref().is_none_or(|is_open| is_open())
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Gate").field(&self.is_open()).finish()
    }
}

/// Everything an SMPP relay needs to know.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// The small stable number of the relay row.
    pub no: u8,
    /// Its name, for logs.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// At most 15 octets (SMPP 3.4, 4.1.1).
    pub system_id: String,
    /// At most 8 octets (SMPP 3.4, 4.1.1).
    pub password: Secret,
    /// Parts a second over all binds; sends are spaced at 98 % of it. Above 0; a part of the
    /// relay's whole rate where other processes have the rest.
    pub rate_per_s: f64,
    /// Parts outstanding a bind. At least 1.
    pub window: u16,
    /// Connections.
    pub binds: u8,
    /// What may stop all writing.
    pub gate: Gate,
    /// Whether a message whose answer was lost may be sent again; carried for the dispatcher.
    pub resend_unknown: bool,
    /// The coding of every text.
    pub coding: DataCoding,
    /// How long texts travel.
    pub long: Long,
    /// How the relay writes its ids.
    pub id_rule: IdRule,
    /// TLS, if the link has it.
    pub tls: Option<TlsConfig>,
    /// Timers.
    pub timers: Timers,
    /// Whether addresses travel as `8210…` (international) rather than `010…` (national).
    pub address_with_country: bool,
    /// The TLV for the subject of an LMS; none drops the subject.
    pub subject_tlv: Option<u16>,
}

impl RelayConfig {
    /// A relay at `address` with the usual options: KS C 5601, long texts as payload, one bind, a window of 100.
    pub fn new(no: u8, name: &str, address: &str) -> RelayConfig {
        RelayConfig {
            no,
            name: name.to_owned(),
            address: address.to_owned(),
            system_id: String::new(),
            password: Secret::new(String::new()),
            rate_per_s: 1_000.0,
            gate: Gate::default(),
            window: 100,
            binds: 1,
            resend_unknown: true,
            coding: DataCoding::Ksc5601,
            long: Long::Payload,
            id_rule: IdRule::default(),
            tls: None,
            timers: Timers::default(),
            address_with_country: false,
            subject_tlv: Some(SUBJECT_TLV),
        }
    }

    /// Whether links made with `self` can go on under `other`.
    pub(crate) fn same_link(&self, other: &RelayConfig) -> bool {
        self.address == other.address
            && self.system_id == other.system_id
            && self.password.expose() == other.password.expose()
            && self.tls == other.tls
    }
}
