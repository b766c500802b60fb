//! Calls an endpoint: to a checked address, bounded in time and bytes, without following where it points.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use bongsu_domain::Timestamp;
use bongsu_domain::webhook::{Answer, BadTarget, Host, Policy, Scheme, Target};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig as TlsConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::resolve;

/// One call from the first question for an address to the head of the answer.
pub const CALL_MAX: Duration = Duration::from_secs(15);
/// One address of a host; then the next one is tried.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long the body of an answer is read; its status counts in any case.
const BODY_MAX: Duration = Duration::from_secs(2);
/// How much of it is read.
const BODY_BYTES: usize = 16 * 1024;
/// How much of it is kept.
const KEPT_BYTES: usize = 200;
/// Headers of an answer, all together.
const HEAD_BYTES: usize = 64 * 1024;
/// How long a connection serves: later a name may lead elsewhere.
const CONNECTION_MAX: Duration = Duration::from_secs(60);
/// Where operating systems keep the certificates they trust.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// What may be called, and whom TLS trusts.
#[derive(Debug, Clone, Default)]
pub struct ClientConfig {
    /// What is allowed beyond public addresses.
    pub policy: Policy,
    /// Certificates that are trusted besides the operating system's, as PEM.
    pub ca_pem: Option<String>,
}

/// Why there was no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The URL may not be called.
    #[error("the URL is refused")]
    Target(#[from] BadTarget),
    /// The host leads to an address inside.
    #[error("the host leads to an address that is not public")]
    Address,
    /// The host has no address.
    #[error("the host has no address")]
    NotFound,
    /// Nobody listens, or TLS failed.
    #[error("no connection")]
    Connect,
    /// TLS failed.
    #[error("no TLS connection: the certificate is not trusted, or not of this host")]
    Tls,
    /// No answer in time.
    #[error("no answer within 15 seconds")]
    Timeout,
    /// The connection ended, or what came is no HTTP.
    #[error("the connection ended without an answer")]
    Cut,
}

impl Refused {
    /// In words that are stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Target(_) => "the URL is refused",
            Self::Address => "the host leads to an address that is not public",
            Self::NotFound => "the host has no address",
            Self::Connect => "no connection",
            Self::Tls => "no TLS connection: the certificate is not trusted, or not of this host",
            Self::Timeout => "no answer within 15 seconds",
            Self::Cut => "the connection ended without an answer",
        }
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// HTTP status.
    pub status: u16,
    /// Its `Retry-After`.
    pub retry_after: Option<RetryAfter>,
    /// The beginning of its body: printable, at most 200 bytes.
    pub text: Vec<u8>,
}

impl Seen {
    /// As decisions take it at a moment.
    pub fn answer(&self, now: Timestamp) -> Answer {
        let retry_after = self.retry_after.map(|after| match after {
            RetryAfter::Wait(wait) => wait,
            RetryAfter::At(at) => at.since(now),
        });
        Answer::Status { status: self.status, retry_after }
    }
}

/// How long to wait, in either form of RFC 9110, 10.2.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// So long.
    Wait(Duration),
    /// Until then; a moment that is past asks for nothing.
    At(Timestamp),
}

impl RetryAfter {
    /// Reads a header's value: seconds, or a date in any form of RFC 9110, 5.6.7. None for anything else.
    pub fn parse(value: &str) -> Option<Self> {
        let value = value.trim();
        if let Ok(seconds) = value.parse() {
            return Some(Self::Wait(Duration::from_secs(seconds)));
        }
        let since = httpdate::parse_http_date(value).ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(Self::At(Timestamp::from_secs(i64::try_from(since.as_secs()).ok()?)))
    }
}

/// One call, ready to be sent.
#[derive(Debug, Clone)]
pub struct Message {
    /// Headers besides those that every call has.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// JSON.
    pub body: Bytes,
}

/// Calls endpoints. Cheap to clone.
#[derive(Clone, Default)]
pub struct Client(Arc<Inner>);

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("policy", &self.0.config.policy).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Inner {
    config: ClientConfig,
    tls: OnceLock<Option<TlsConnector>>,
}

/// Connections to one target that may be used again.
#[derive(Default)]
pub struct Connections(Mutex<Vec<Connection>>);

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    opened: Instant,
}

impl Client {
    /// A client of this kind.
    pub fn new(config: ClientConfig) -> Self {
        Self(Arc::new(Inner { config, tls: OnceLock::new() }))
    }

    /// Reads a URL as far as it can be told without a look-up.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn target(&self, url: &str) -> Result<Target, BadTarget> {
        Target::parse(url, self.0.config.policy)
    }

    /// Reads a URL and looks up where it leads; the same is checked before each call.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn check(&self, url: &str) -> Result<(), Refused> {
        let target = self.target(url)?;
        let found = timeout(CALL_MAX, resolve::addresses(&target, self.0.config.policy)).await;
        found.map_err(|_| Refused::NotFound)?.map(drop)
    }

    /// Calls once. Whatever the other side does, it ends within [`CALL_MAX`] and a little.
    ///
    /// # Errors
    /// Why there was no answer.
    pub async fn call(&self, url: &str, message: &Message, kept: &Connections) -> Result<Seen, Refused> {
        let target = self.target(url)?;
        let until = Instant::now() + CALL_MAX;
        let (answer, sender) = match timeout_at(until, self.send(&target, message, kept)).await {
            Ok(sent) => sent?,
            Err(_) => return Err(Refused::Timeout),
        };
        let (seen, whole) = read(answer).await;
        if whole {
            kept.put(sender);
        }
        Ok(seen)
    }

    async fn send(
        &self,
        target: &Target,
        message: &Message,
        kept: &Connections,
    ) -> Result<(Response<Incoming>, Connection), Refused> {
        if let Some(mut connection) = kept.take() {
            // The other side may have closed it meanwhile; then nothing was answered and a new one is opened.
            if let Ok(answer) = connection.sender.send_request(request(target, message)).await {
                return Ok((answer, connection));
            }
        }
        let mut connection = self.connect(target).await?;
        let answer = connection.sender.send_request(request(target, message)).await.map_err(|_| Refused::Cut)?;
        Ok((answer, connection))
    }

    async fn connect(&self, target: &Target) -> Result<Connection, Refused> {
        let mut found = Err(Refused::Connect);
        for address in resolve::addresses(target, self.0.config.policy).await? {
            // By address, never by name: what was checked is what is called.
            if let Ok(Ok(stream)) = timeout(CONNECT_MAX, TcpStream::connect(address)).await {
                found = Ok(stream);
                break;
            }
        }
        let stream = found?;
        // One write a call: waiting for more would only add to it.
        let _ = stream.set_nodelay(true);
        match target.scheme {
            Scheme::Http => handshake(stream).await,
            Scheme::Https => {
                let name = match &target.host {
                    Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| Refused::Tls)?,
                    Host::Address(address) => ServerName::IpAddress((*address).into()),
                };
                let tls = self.0.tls.get_or_init(|| connector(self.0.config.ca_pem.as_deref()));
                let stream = tls.as_ref().ok_or(Refused::Tls)?.connect(name, stream).await;
                handshake(stream.map_err(|_| Refused::Tls)?).await
            }
        }
    }
}

impl Connections {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Connection> {
        let mut kept = self.lock();
        kept.retain(|connection| !connection.sender.is_closed() && connection.opened.elapsed() < CONNECTION_MAX);
        let at = kept.iter().position(|connection| connection.sender.is_ready())?;
        Some(kept.swap_remove(at))
    }

    fn put(&self, connection: Connection) {
        self.lock().push(connection);
    }
}

async fn handshake(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Connection, Refused> {
    let builder = {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES);
        builder
    };
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|_| Refused::Cut)?;
    tokio::spawn(async move {
        // How it ended is told by the call.
        let _ = connection.await;
    });
    Ok(Connection { sender, opened: Instant::now() })
}

fn request(target: &Target, message: &Message) -> Request<Full<Bytes>> {
    let mut request = Request::post(&target.path)
        .header(HOST, target.authority())
        .header(USER_AGENT, concat!("Bongsu/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/json");
    for (name, value) in &message.headers {
        request = request.header(name, value);
    }
    request.body(Full::new(message.body.clone())).expect("the target was read and the headers are headers")
}

/// Reads an answer, and whether it came to its end: one that goes on is cut.
async fn read(answer: Response<Incoming>) -> (Seen, bool) {
    let status = answer.status().as_u16();
    let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| RetryAfter::parse(value.to_str().ok()?));
    let mut body = answer.into_body();
    let mut bytes = Vec::new();
    let whole = timeout(BODY_MAX, async {
        loop {
            match body.frame().await {
                None => return true,
                Some(Err(_)) => return false,
                Some(Ok(frame)) => {
                    bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
                    if bytes.len() > BODY_BYTES {
                        return false;
                    }
                }
            }
        }
    });
    let whole = whole.await.unwrap_or(false);
    (Seen { status, retry_after, text: printable(&bytes) }, whole)
}

/// The beginning of a body as text without control characters, cut at a character.
fn printable(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(KEPT_BYTES)]);
    let mut kept = String::with_capacity(text.len());
    for letter in text.chars() {
        let letter = if letter.is_control() || letter == char::REPLACEMENT_CHARACTER { ' ' } else { letter };
        if kept.len() + letter.len_utf8() > KEPT_BYTES {
            break;
        }
        kept.push(letter);
    }
    kept.trim().as_bytes().to_vec()
}

fn connector(ca_pem: Option<&str>) -> Option<TlsConnector> {
    let mut roots = RootCertStore::empty();
    for path in SYSTEM_ROOTS {
        if let (true, Ok(certificates)) = (roots.is_empty(), CertificateDer::pem_file_iter(path)) {
            // A system's bundle may hold certificates this library does not know; the others still serve.
            roots.add_parsable_certificates(certificates.flatten());
        }
    }
    let own = ca_pem.map(|pem| CertificateDer::pem_slice_iter(pem.as_bytes()).flatten());
    roots.add_parsable_certificates(own.into_iter().flatten());
    if roots.is_empty() {
        tracing::warn!(
            "no certificate to trust: webhooks by HTTPS fail; install the system's, or name some in webhooks.ca_file"
        );
        return None;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = TlsConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    Some(TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_comes_in_seconds_or_as_a_date() {
        let now = Timestamp::parse_rfc3339("1994-11-06T08:49:00Z").unwrap();
        let wait = |value: &str| {
            let seen = Seen { status: 429, retry_after: RetryAfter::parse(value), text: Vec::new() };
            match seen.answer(now) {
                Answer::Status { retry_after, .. } => retry_after.map(|wait| wait.as_secs()),
                Answer::None => panic!("it answered"),
            }
        };
        for date in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(wait(date), Some(37), "{date}");
        }
        assert_eq!((wait("120"), wait(" 0 ")), (Some(120), Some(0)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:48:37 GMT"), Some(0), "it is past");
        for none in ["", "-1", "1.5", "soon", "Sun, 31 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37Z"] {
            assert_eq!(wait(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_kept_of_an_answer_is_short_and_printable() {
        assert_eq!(printable(b""), b"");
        assert_eq!(printable(b" a\x1b[31m\r\n\0b\xff "), b"a [31m   b");
        let long = "봉".repeat(100);
        let kept = printable(long.as_bytes());
        assert!(kept.len() <= KEPT_BYTES && std::str::from_utf8(&kept).is_ok());
        assert_eq!(printable(&vec![b'x'; 100_000]).len(), KEPT_BYTES);
    }
}
