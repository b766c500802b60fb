//! The configuration of the program: read once, from defaults, file, environment and flags, into rich types.

mod document;
mod engines;
mod layers;
mod print;
mod problem;
mod reader;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bongsu_domain::{Code, FailoverPolicy, Hours, Network, PhoneNumber, phone};

pub use document::document;
pub use engines::{Blobs, Bus, Cache, Log, Queue, Queues, Store, Timeline, place_of};
pub use layers::{Origin, Sources, VARIABLE_PREFIX};
pub use print::{print_json, print_toml};
pub use problem::Problem;
pub use reader::Entry;
use reader::Reader;

/// Everything the program was told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address of the HTTP API.
    pub listen: SocketAddr,
    /// Address of health and metrics alone; nowhere when it is not set.
    pub probe: Option<SocketAddr>,
    /// The data directory; one process at a time on the embedded store.
    pub data: PathBuf,
    /// Node number inside ids, 0 to 1023; over a shared database each process is given one instead.
    pub node: u16,
    /// Worker threads of the runtime; `None` means one a core.
    pub threads: Option<usize>,
    /// What this process does.
    pub roles: Vec<Role>,
    /// Which log lines are written, in the words of `tracing` (`info`, `bongsu_send=debug,warn`).
    pub log_level: String,
    /// The SQL truth.
    pub store: Store,
    /// Transport of each lane.
    pub queue: Queues,
    /// Order of chat rooms.
    pub log: Log,
    /// History of chat.
    pub timeline: Timeline,
    /// Values that may be lost.
    pub cache: Cache,
    /// Fan-out between processes.
    pub bus: Bus,
    /// Files of users.
    pub blobs: Blobs,
    /// Keys that protect data at rest.
    pub security: Security,
    /// This process among those that share a database.
    pub process: Process,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Who is believed on the HTTP side.
    pub http: Http,
    /// Limits of the HTTP side.
    pub limits: Limits,
    /// Times of the send pipeline.
    pub send: Send,
    /// What happens after a failed attempt.
    pub failover: Failover,
    /// Calls to customers.
    pub webhooks: Webhooks,
    /// How long a graceful stop may take before what is left is cut.
    pub stop: Duration,
}

/// What a process does (`--roles`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// HTTP API.
    Api,
    /// Claims, relays, receipts, retries.
    Dispatch,
    /// Callbacks to customers.
    Report,
    /// Messages that wait for their time.
    Schedule,
    /// Rooms and sockets.
    Chat,
    /// Booking.
    Festival,
}

impl Role {
    /// Every role, in the order they are shown.
    pub const ALL: [Self; 6] = [Self::Api, Self::Dispatch, Self::Report, Self::Schedule, Self::Chat, Self::Festival];

    /// Its word in configuration and in the ready line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Dispatch => "dispatch",
            Self::Report => "report",
            Self::Schedule => "schedule",
            Self::Chat => "chat",
            Self::Festival => "festival",
        }
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// Who is believed on the HTTP side.
#[derive(Debug, Clone)]
pub struct Http {
    /// Proxies whose `X-Forwarded-For` names the client.
    pub trusted_proxies: Vec<Network>,
    /// Origins whose pages may use the API.
    pub cors_origins: Vec<String>,
}

/// Keys that protect data at rest (design D11).
#[derive(Debug, Clone)]
pub struct Security {
    /// The key file; `keys` in the data directory unless named. Only the unnamed one is made at first start.
    pub key_file: Option<PathBuf>,
    /// Days that the audit log is kept; `None` keeps all.
    pub audit_days: Option<u32>,
}

/// Calls to customers.
#[derive(Debug, Clone)]
pub struct Webhooks {
    /// Loopback addresses may be called, also without TLS. For tests only.
    pub allow_loopback: bool,
    /// Certificates that are trusted besides the operating system's, as PEM.
    pub ca_file: Option<PathBuf>,
}

/// This process among those that share a database.
#[derive(Debug, Clone)]
pub struct Process {
    /// How long what it holds is its own without a renewal.
    pub lease: Duration,
    /// Whether its clock is compared with the database's at the start. No key: only scenarios have clocks of their own.
    pub check_clock: bool,
}

/// Limits of the HTTP side.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open HTTP connections; at the limit the longest idle ones make room.
    pub connections: u32,
    /// From accept to the first byte.
    pub first_byte: Duration,
    /// From the first byte of a request to the end of its headers.
    pub headers: Duration,
    /// From the end of the headers to the end of the body.
    pub body: Duration,
    /// Between two requests of one connection.
    pub idle: Duration,
    /// Bytes of a request body.
    pub body_bytes: u32,
    /// Bytes of all request bodies that are read or handled at once; further ones wait.
    pub bodies_bytes: u32,
    /// Requests a second of one account, all its keys together.
    pub requests_per_s: u32,
    /// Messages that an account may send at once before its own rate counts.
    pub messages_burst: u32,
}

/// Times of the send pipeline.
#[derive(Debug, Clone)]
pub struct Send {
    /// How long a message whose attempt is unknown waits for a receipt before it is sent again; `auth` does not wait.
    pub unknown_wait: Duration,
    /// How long a submitted message waits for its receipt before it ends `expired`.
    pub receipt_deadline: Duration,
    /// How long a claim lasts; no byte is written after it.
    pub claim_deadline: Duration,
    /// How long `auth` and `realtime` wait for their relay's rate before they go over the next one.
    pub spill_after: Duration,
    /// Life of a message that names no `expiresIn`.
    pub default_expires: Duration,
    /// Life of an `auth` message that names no `expiresIn`.
    pub auth_expires: Duration,
    /// Days of messages that are kept, today not counted; `None` keeps all.
    pub retention_days: Option<u32>,
    /// How long memory keeps a submitted part before the store does.
    pub spill_receipts_after: Duration,
    /// How long the second of two requests with one Idempotency-Key waits for the answer of the first.
    pub idempotency_wait: Duration,
    /// The number that Bongsu's own messages come from (verification codes).
    pub own_number: PhoneNumber,
    /// When advertisements may leave.
    pub ad_hours: Hours,
}

/// What happens after a failed attempt: a preset, and what the operator changed of it.
#[derive(Debug, Clone)]
pub struct Failover {
    /// The preset.
    pub preset: Preset,
    /// Wait before the next attempt, when it is not the preset's.
    pub wait: Option<Duration>,
    /// Attempts on the first relay, when they are not the preset's.
    pub tries_on_first: Option<u8>,
}

impl Failover {
    /// The policy of the retry decision.
    pub fn policy(&self) -> FailoverPolicy {
        let preset = match self.preset {
            Preset::Default => FailoverPolicy::default(),
            Preset::Rns => FailoverPolicy::rns(),
        };
        FailoverPolicy {
            tries_on_first: self.tries_on_first.unwrap_or(preset.tries_on_first),
            wait: self.wait.unwrap_or(preset.wait),
            ..preset
        }
    }
}

/// Known failover presets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Twice on the first relay 3 s apart, then on at once to a relay that is up.
    Default,
    /// RNS's own values: 10 s, twice on the first relay, then every other one once.
    Rns,
}

impl Config {
    /// Reads the configuration, or everything that is wrong with it.
    ///
    /// # Errors
    /// All problems at once: unknown keys, bad values, missing keys and engines that this build has not.
    pub fn read(sources: &Sources) -> Result<(Self, Vec<Entry>), Vec<Problem>> {
        let mut reader = Reader::new(sources);
        let config = read_all(&mut reader);
        reader.finish();
        if reader.problems.is_empty() { Ok((config, reader.entries)) } else { Err(reader.problems) }
    }
}

fn read_all(r: &mut Reader) -> Config {
    let listen = r.parsed(
        "listen",
        DEFAULT_LISTEN,
        "text like \"127.0.0.1:8080\"",
        "Address of the HTTP API; port 0 takes a free one.",
    );
    let data = r.parsed(
        "data",
        "data",
        "path of a directory",
        "The data directory; one process at a time, unless the store is a database.",
    );
    Config {
        listen: listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
        probe: r.parsed_or_none(
            "probe.listen",
            "text like \"127.0.0.1:9090\"",
            "Address of /health and /metrics and nothing else, for processes without the role api; port 0 takes a free one.",
        ),
        data: data.unwrap_or_default(),
        node: r.number(
            "node",
            0,
            0..=1023,
            "Number of this process inside the ids it makes. Processes that share a database are given different ones by it, whatever stands here.",
        ),
        threads: threads(r),
        roles: roles(r),
        log_level: r
            .parsed::<Level>(
                "log.level",
                "info",
                "text like \"info\" or \"bongsu_send=debug,warn\"",
                "Which log lines are written to stderr.",
            )
            .map_or_else(|| "info".to_owned(), |level| level.0),
        stop: r.millis(
            "stop_ms",
            10_000,
            0..=600_000,
            "How long a graceful stop may take before what is left is cut, in milliseconds.",
        ),
        store: engines::store(r),
        queue: engines::queues(r),
        log: engines::log(r),
        timeline: engines::timeline(r),
        cache: engines::cache(r),
        bus: engines::bus(r),
        blobs: engines::blobs(r),
        security: Security {
            key_file: r.parsed_or_none(
                "security.key_file",
                "path of a file",
                "Keys that seal personal data at rest; `keys` in the data directory, made at first start, unless set.",
            ),
            audit_days: audit_days(r),
        },
        process: Process {
            lease: Duration::from_secs(u64::from(r.number::<u16>(
                "process.lease_s",
                15,
                2..=300,
                "How long what a process holds of a shared database (its node, binds of relays, periodic work) is its own without a renewal, in seconds; after that others take over. The same for all processes.",
            ))),
            check_clock: true,
        },
        log_format: log_format(r),
        http: http(r),
        limits: limits(r),
        send: send(r),
        failover: failover(r),
        webhooks: webhooks(r),
    }
}

fn webhooks(r: &mut Reader) -> Webhooks {
    Webhooks {
        allow_loopback: r.flag(
            "webhooks.allow_loopback",
            false,
            "For tests only: webhooks may lead to this machine itself (127.0.0.1, ::1), also by http. In production a customer could then reach whatever listens here.",
        ),
        ca_file: r.parsed_or_none(
            "webhooks.ca_file",
            "path of a file",
            "Certificates (PEM) that webhooks by https are trusted by, besides those of the operating system.",
        ),
    }
}

/// Where the API listens unless told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8080";

/// A filter that `tracing` accepts.
struct Level(String);

impl FromStr for Level {
    type Err = tracing_subscriber::filter::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        tracing_subscriber::filter::Targets::from_str(text).map(|_| Self(text.to_owned()))
    }
}

fn log_format(r: &mut Reader) -> LogFormat {
    let format = r.choice(
        "log.format",
        "text",
        &["text", "json"],
        "How log lines are written: text for people, json for collectors (one object a line).",
    );
    if format == Some("json") { LogFormat::Json } else { LogFormat::Text }
}

fn audit_days(r: &mut Reader) -> Option<u32> {
    let days: u32 = r.number("security.audit_days", 365, 0..=36_500, "Days that the audit log is kept; 0 keeps all.");
    (days > 0).then_some(days)
}

fn http(r: &mut Reader) -> Http {
    let proxies = r.list(
        "http.trusted_proxies",
        Some(&[]),
        "list of networks like \"10.0.0.0/8\"",
        "Proxies whose X-Forwarded-For names the client, for the allow-lists of keys and the audit log; the socket's address counts behind others.",
    );
    let mut trusted_proxies = Vec::new();
    for text in &proxies {
        match text.parse() {
            Ok(network) => trusted_proxies.push(network),
            Err(error) => r.refuse("http.trusted_proxies", format!("\"{text}\" {error}")),
        }
    }
    let cors_origins = r.list(
        "http.cors_origins",
        Some(&[]),
        "list of origins like \"https://console.example\"",
        "Origins whose pages may use the API from a browser, exactly as browsers write them; pages of others are refused.",
    );
    for origin in &cors_origins {
        if !is_origin(origin) {
            let wanted = "is no origin: scheme, host in lower case, and a port unless it is the usual one";
            r.refuse("http.cors_origins", format!("\"{origin}\" {wanted}"));
        }
    }
    Http { trusted_proxies, cors_origins }
}

/// Whether a browser would write it so (RFC 6454, 6.1): no path, no wildcard, no usual port.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let usual = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return false,
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-:[]".contains(c);
    !host.is_empty() && host.chars().all(plain) && !host.ends_with(usual)
}

fn threads(r: &mut Reader) -> Option<usize> {
    let threads: u16 = r.number("threads", 0, 0..=1024, "Worker threads; 0 means one a core.");
    (threads > 0).then_some(usize::from(threads))
}

fn roles(r: &mut Reader) -> Vec<Role> {
    let words = Role::ALL.map(Role::as_str);
    let given = r.list(
        "roles",
        Some(&words),
        "list of api, dispatch, report, schedule, chat, festival",
        "What this process does.",
    );
    let mut roles = Vec::new();
    for word in &given {
        match Role::ALL.into_iter().find(|role| role.as_str() == word) {
            Some(role) if roles.contains(&role) => r.refuse("roles", format!("\"{word}\" is named twice")),
            Some(role) => roles.push(role),
            None => r.refuse("roles", format!("there is no role \"{word}\"; known roles are {}", words.join(", "))),
        }
    }
    if given.is_empty() {
        r.refuse("roles", "a process needs at least one role");
    }
    roles
}

fn limits(r: &mut Reader) -> Limits {
    Limits {
        connections: r.number(
            "limits.connections",
            20_000,
            1..=1_000_000,
            "Open HTTP connections; at the limit the longest idle ones make room.",
        ),
        first_byte: r.millis(
            "limits.first_byte_ms",
            10_000,
            10..=3_600_000,
            "From accept to the first byte, in milliseconds.",
        ),
        headers: r.millis(
            "limits.headers_ms",
            10_000,
            10..=3_600_000,
            "From the first byte of a request to the end of its headers, in milliseconds.",
        ),
        body: r.millis(
            "limits.body_ms",
            30_000,
            10..=3_600_000,
            "From the end of the headers to the end of the body, in milliseconds.",
        ),
        idle: r.millis(
            "limits.idle_ms",
            75_000,
            10..=3_600_000,
            "Between two requests of one connection, in milliseconds.",
        ),
        body_bytes: r.number("limits.body_bytes", 16 << 20, 1024..=1 << 30, "Bytes of a request body."),
        bodies_bytes: r.number(
            "limits.bodies_bytes",
            128 << 20,
            1024..=u32::MAX,
            "Bytes of all request bodies that are read or handled at once; further ones wait.",
        ),
        requests_per_s: r.number(
            "limits.requests_per_s",
            20_000,
            1..=1_000_000,
            "Requests a second of one account, all its keys together.",
        ),
        messages_burst: r.number(
            "limits.messages_burst",
            10_000,
            1..=1_000_000,
            "Messages that an account may send at once before its own rate counts.",
        ),
    }
}

/// Sender of Bongsu's own messages until the operator names a registered number.
const OWN_NUMBER: &str = "15880000";

/// A number that may stand as a sender.
struct SenderNumber(PhoneNumber);

impl FromStr for SenderNumber {
    type Err = Code;

    fn from_str(text: &str) -> Result<Self, Code> {
        phone::parse_sender(text).map(Self)
    }
}

fn send(r: &mut Reader) -> Send {
    let ad_hours = r.parsed::<Hours>(
        "send.ad_hours",
        "08:00-21:00",
        "text like \"08:00-20:50\", within 08:00 and 21:00",
        "When advertisements may leave, in Seoul: the law's hours or fewer. The same for all processes.",
    );
    let own_number = r.parsed::<SenderNumber>(
        "send.own_number",
        OWN_NUMBER,
        "a Korean sender number",
        "Sender of Bongsu's own messages (verification codes): one that the operator has registered with the relays.",
    );
    let fallback =
        || phone::parse_sender(OWN_NUMBER).expect("a test reads the default, which has the form of a sender number");
    let retention_days: u32 = r.number(
        "send.retention_days",
        0,
        0..=36_500,
        "Days of messages that are kept, today not counted; 0 keeps all.",
    );
    Send {
        own_number: own_number.map_or_else(fallback, |number| number.0),
        ad_hours: ad_hours.unwrap_or_default(),
        retention_days: (retention_days > 0).then_some(retention_days),
        spill_receipts_after: r.millis(
            "send.spill_receipts_after_ms",
            30_000,
            0..=86_400_000,
            "How long memory keeps a submitted part that waits for its receipt before the store does, in milliseconds.",
        ),
        idempotency_wait: r.millis(
            "send.idempotency_wait_ms",
            5_000,
            0..=60_000,
            "How long the second of two requests with one Idempotency-Key waits for the answer of the first, in milliseconds.",
        ),
        unknown_wait: r.millis("send.unknown_wait_ms", 60_000, 0..=86_400_000, "How long a message whose attempt is unknown waits for its receipt before it is sent again, in milliseconds; auth does not wait."),
        receipt_deadline: r.millis("send.receipt_deadline_ms", 90_000_000, 1_000..=1_209_600_000, "How long a submitted message waits for its receipt before it ends expired, in milliseconds."),
        claim_deadline: r.millis("send.claim_deadline_ms", 15_000, 1_000..=600_000, "How long a claim lasts, in milliseconds; nothing is written to a relay after it."),
        spill_after: r.millis("send.spill_after_ms", 200, 0..=60_000, "How long auth and realtime wait for their relay's rate before they go over the next one, in milliseconds."),
        default_expires: r.millis("send.default_expires_ms", 86_400_000, 1_000..=604_800_000, "Life of a message that names no expiresIn, in milliseconds."),
        auth_expires: r.millis("send.auth_expires_ms", 600_000, 1_000..=604_800_000, "Life of an auth message that names no expiresIn, in milliseconds."),
    }
}

fn failover(r: &mut Reader) -> Failover {
    let preset = r.choice("failover.preset", "default", &["default", "rns"], "Waits and tries after a failed attempt: default (twice on the first relay 3 s apart, then at once to another one that is up) or rns (10 s before every try, twice on the first relay, then each other one once).");
    let tries: u8 =
        r.number("failover.tries_on_first", 0, 0..=10, "Attempts on the first relay; 0 means the preset's.");
    Failover {
        preset: if preset == Some("rns") { Preset::Rns } else { Preset::Default },
        wait: r.millis_or_none(
            "failover.wait_ms",
            0..=3_600_000,
            "Wait before the next attempt, in milliseconds; the preset's unless set.",
        ),
        tries_on_first: (tries > 0).then_some(tries),
    }
}
