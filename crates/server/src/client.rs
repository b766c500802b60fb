//! A small HTTP client for the commands that talk to a running Bongsu or to a simulator's control interface.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bongsu_domain::Secret;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame};
use hyper::http::request::Builder;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::failure::Failure;

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take; a batch of 10,000 is the longest.
const ANSWER: Duration = Duration::from_secs(60);

/// Whom the client talks to; it only changes the sentence when nobody answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A Bongsu server.
    Server,
    /// The control interface of `bongsu sim`.
    Simulator,
}

/// Talks to one address.
#[derive(Debug, Clone)]
pub struct Client {
    peer: Peer,
    url: String,
    authority: String,
    key: Option<Secret>,
}

/// Bytes of a file read at once.
const BLOCK: usize = 64 * 1024;

/// A file from a place on, after a few bytes of one's own. It is read while it is sent.
pub struct FileBody {
    file: File,
    head: Option<Bytes>,
    from: Option<u64>,
}

impl FileBody {
    /// `head`, and then the file from a byte on.
    pub fn new(file: File, head: Bytes, from: u64) -> Self {
        Self { file, head: Some(head), from: Some(from) }
    }

    fn block(&mut self) -> std::io::Result<Option<Bytes>> {
        if let Some(from) = self.from.take() {
            self.file.seek(SeekFrom::Start(from))?;
        }
        let mut block = vec![0; BLOCK];
        let length = self.file.read(&mut block)?;
        block.truncate(length);
        Ok((length > 0).then(|| block.into()))
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let next = match self.head.take() {
            Some(head) => Ok(Some(head)),
            None => self.block(),
        };
        Poll::Ready(next.map(|bytes| bytes.map(Frame::data)).transpose())
    }
}

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The body as it came.
    pub text: String,
}

impl Reply {
    /// The body as JSON, null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }
}

impl Client {
    /// A client for `http://host[:port]`.
    ///
    /// # Errors
    /// An address that is not plain HTTP: the commands are for loopback and for networks one trusts.
    pub fn new(peer: Peer, url: &str, key: Option<Secret>) -> Result<Self, Failure> {
        let url = url.trim().trim_end_matches('/');
        let authority = url.strip_prefix("http://").filter(|rest| !rest.is_empty() && !rest.contains('/'));
        let Some(authority) = authority else {
            let sentence =
                format!("\"{url}\" is not an address this command can use; write it like http://127.0.0.1:8080");
            return Err(Failure::configuration(sentence, Vec::new()));
        };
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        Ok(Self { peer, url: url.to_owned(), authority, key })
    }

    /// GET, and the JSON of a success.
    ///
    /// # Errors
    /// Nobody answers, or the answer is a refusal.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::GET, path, None).await
    }

    /// Sends a request and gives the JSON of a success.
    ///
    /// # Errors
    /// Nobody answers, or the answer is a refusal.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let reply = self.send(method, path, body).await?;
        if (200..300).contains(&reply.status) { Ok(reply.json()) } else { Err(self.refusal(&reply)) }
    }

    /// Sends a request and gives the answer whatever its status.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Reply, Failure> {
        self.send_keyed(method, path, body, None).await
    }

    /// The same under an idempotency key.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn send_keyed(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Result<Reply, Failure> {
        let mut request = self.request(method, path);
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let exchange = self.exchange(request, Full::new(bytes));
        timeout(ANSWER, exchange).await.unwrap_or_else(|_| Err(self.away("no answer within 60 s")))
    }

    /// Sends a file, however long that takes, and gives the answer whatever its status.
    ///
    /// # Errors
    /// Nobody answers, or the connection broke.
    pub async fn upload(&self, path: &str, content_type: &str, body: FileBody) -> Result<Reply, Failure> {
        let request = self.request(Method::POST, path).header(header::CONTENT_TYPE, content_type);
        self.exchange(request, body).await
    }

    fn request(&self, method: Method, path: &str) -> Builder {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.authority)
            .header(header::ACCEPT, "application/json")
            .header(header::CONNECTION, "close");
        match &self.key {
            Some(key) => request.header(header::AUTHORIZATION, format!("Bearer {}", key.expose())),
            None => request,
        }
    }

    async fn exchange<B>(&self, request: Builder, body: B) -> Result<Reply, Failure>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let request = request.body(body).map_err(|_| {
            Failure::configuration("the key or an argument has characters that HTTP cannot carry", Vec::new())
        })?;
        let stream = match timeout(CONNECT, TcpStream::connect(&self.authority)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(self.away(&error.to_string())),
            Err(_) => return Err(self.away("no connection within 5 s")),
        };
        let exchange = async {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            let drive = tokio::spawn(async move { drop(connection.await) });
            let response = sender.send_request(request).await?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await?.to_bytes();
            drive.abort();
            Ok::<_, hyper::Error>(Reply { status, text: String::from_utf8_lossy(&body).into_owned() })
        };
        exchange.await.map_err(|error| self.away(&error.to_string()))
    }

    fn away(&self, why: &str) -> Failure {
        Failure::fault(match self.peer {
            Peer::Server => format!(
                "Bongsu does not answer at {} ({why}); start it with `bongsu serve`, or name its address with --url",
                self.url
            ),
            Peer::Simulator => format!(
                "the simulator's control interface does not answer at {} ({why}); start `bongsu sim`, or name its address with --sim",
                self.url
            ),
        })
    }

    /// The sentence for an answer that is no success (RFC 9457).
    pub fn refusal(&self, reply: &Reply) -> Failure {
        let problem = reply.json();
        let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
        let code = text("code");
        let detail = [text("detail"), text("error"), text("title"), format!("HTTP status {}", reply.status)]
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or_default();
        let label = if code.is_empty() { String::new() } else { format!(" ({code})") };
        let sentence = match reply.status {
            401 if self.key.is_none() => {
                "this needs a key; set BONGSU_KEY (the operator's is in DIR/operator.key)".to_owned()
            }
            401 => format!(
                "the key was refused{label}; set BONGSU_KEY to a valid key (the operator's is in DIR/operator.key)"
            ),
            403 => format!("this key may not do that{label}: {detail}; use a key with the scope, or the operator's"),
            _ => format!("{} refused{label}: {detail}", self.url),
        };
        // A problem document lists `errors`; the simulator lists the `problems` of a script.
        let findings = problem["errors"].as_array().or(problem["problems"].as_array()).cloned().unwrap_or_default();
        let findings = findings.into_iter().map(|finding| (finding_line(&finding), finding)).collect();
        Failure { findings, ..Failure::fault(sentence) }
    }
}

fn finding_line(finding: &Value) -> String {
    if let (Some(path), Some(what)) = (finding["path"].as_str(), finding["what"].as_str()) {
        return format!("{path}: {what}");
    }
    let index = finding["index"].as_u64().map(|index| format!("messages[{index}].")).unwrap_or_default();
    let text = |name: &str| finding[name].as_str().unwrap_or_default();
    format!("{index}{}: {} ({})", text("field"), text("detail"), text("code"))
}

/// `text` as part of a path or query (RFC 3986 section 2.1).
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
