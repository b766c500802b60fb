//! A minimal HTTP/1.1 client: request bytes written by hand, one keep-alive connection, little CPU.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Largest answer that is read.
const MAX_ANSWER: usize = 64 << 20;
/// A call of the set-up or of a control interface is over by then.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// How the length of a body is told (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Fixed(usize),
    Chunked,
    UntilClose,
}

/// The parts of an answer's head that this client needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    status: u16,
    length: Length,
    /// Bytes of the head itself.
    size: usize,
    close: bool,
}

fn parse_head(bytes: &[u8]) -> Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..end]).context("head of an answer is not UTF-8")?;
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.split(' ').nth(1).and_then(|s| s.parse().ok()).with_context(|| format!("no status: {first}"))?;
    let mut head = Head { status, length: Length::UntilClose, size: end + 4, close: false };
    if status == 204 || status == 304 {
        head.length = Length::Fixed(0);
    }
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            head.length = Length::Fixed(value.parse().context("content-length")?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            head.length = Length::Chunked;
        } else if name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close") {
            head.close = true;
        }
    }
    Ok(Some(head))
}

/// Takes the next chunk: `Some((data range, bytes used))`, with an empty range for the last one; `None` when more is needed.
fn next_chunk(bytes: &[u8]) -> Result<Option<(std::ops::Range<usize>, usize)>> {
    let Some(line) = bytes.windows(2).position(|w| w == b"\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..line]).context("chunk size")?;
    let size = usize::from_str_radix(text.split(';').next().unwrap_or_default().trim(), 16).context("chunk size")?;
    ensure!(size <= MAX_ANSWER, "chunk of {size} bytes");
    let (start, end) = (line + 2, line + 2 + size);
    if bytes.len() < end + 2 {
        return Ok(None);
    }
    Ok(Some((start..end, end + 2)))
}

/// One keep-alive connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    body: Vec<u8>,
    closed: bool,
}

impl Connection {
    /// Connects to `host:port`.
    pub async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, input: Vec::with_capacity(8 << 10), body: Vec::new(), closed: false })
    }

    /// True when the server said that it closes the connection.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The body of the last answer.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Writes a whole request and reads its whole answer; returns the status.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<u16> {
        self.stream.write_all(request).await?;
        let head = loop {
            if let Some(head) = parse_head(&self.input)? {
                break head;
            }
            ensure!(self.fill().await? > 0, "connection closed before an answer");
        };
        self.input.drain(..head.size);
        self.body.clear();
        self.closed = head.close;
        match head.length {
            Length::Fixed(size) => {
                ensure!(size <= MAX_ANSWER, "answer of {size} bytes");
                while self.input.len() < size {
                    ensure!(self.fill().await? > 0, "connection closed inside an answer");
                }
                self.body.extend_from_slice(&self.input[..size]);
                self.input.drain(..size);
            }
            Length::Chunked => self.read_chunks().await?,
            Length::UntilClose => {
                while self.fill().await? > 0 {}
                self.body.append(&mut self.input);
                self.closed = true;
            }
        }
        Ok(head.status)
    }

    async fn read_chunks(&mut self) -> Result<()> {
        loop {
            match next_chunk(&self.input)? {
                Some((data, used)) => {
                    let last = data.is_empty();
                    self.body.extend_from_slice(&self.input[data]);
                    self.input.drain(..used);
                    if last {
                        return Ok(());
                    }
                }
                None => ensure!(self.fill().await? > 0, "connection closed inside a chunk"),
            }
        }
    }

    async fn fill(&mut self) -> Result<usize> {
        ensure!(self.input.len() <= MAX_ANSWER, "answer larger than {MAX_ANSWER} bytes");
        self.input.reserve(16 << 10);
        Ok(self.stream.read_buf(&mut self.input).await?)
    }
}

/// Writes the bytes of a request; an empty `key` leaves the authorization out.
pub fn write_request(out: &mut Vec<u8>, method: &str, path: &str, host: &str, key: &str, extra: &str, body: &[u8]) {
    use std::io::Write as _;
    out.clear();
    // Writing into a Vec cannot fail.
    let _ = write!(out, "{method} {path} HTTP/1.1\r\nhost: {host}\r\n");
    if !key.is_empty() {
        let _ = write!(out, "authorization: Bearer {key}\r\n");
    }
    out.extend_from_slice(extra.as_bytes());
    if !body.is_empty() || method != "GET" {
        let _ = write!(out, "content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
}

/// `host:port` of an `http://` address, or the text itself.
pub fn host_of(url: &str) -> &str {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    rest.split('/').next().unwrap_or(rest)
}

/// An HTTP interface with the key it is called by.
#[derive(Debug, Clone)]
pub struct Api {
    /// `host:port`.
    pub address: String,
    /// Bearer key; empty for none.
    pub key: String,
}

impl Api {
    /// Calls once on a connection of its own; returns status and body as text.
    pub async fn text(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, String)> {
        let call = async {
            let mut connection = Connection::open(&self.address).await?;
            let bytes = body.map(Value::to_string).unwrap_or_default();
            let mut request = Vec::new();
            let extra = "connection: close\r\n";
            write_request(&mut request, method, path, &self.address, &self.key, extra, bytes.as_bytes());
            let status = connection.exchange(&request).await?;
            Ok((status, String::from_utf8_lossy(connection.body()).into_owned()))
        };
        match tokio::time::timeout(CALL_TIMEOUT, call).await {
            Ok(answer) => answer,
            Err(_) => bail!("{method} {path}: no answer in {} s", CALL_TIMEOUT.as_secs()),
        }
    }

    /// Calls once; returns status and JSON body (null when there is none).
    pub async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let (status, text) = self.text(method, path, body).await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    /// Calls once and wants a 2xx; anything else is an error that shows the answer.
    pub async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let (status, text) = self.text(method, path, body).await?;
        ensure!((200..300).contains(&status), "{method} {path} answered {status}: {text}");
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let head = parse_head(b"HTTP/1.1 202 Accepted\r\nContent-Length: 12\r\nConnection: close\r\n\r\nabc");
        let want = Head { status: 202, length: Length::Fixed(12), size: 64, close: true };
        assert_eq!(head.expect("valid"), Some(want));
        assert_eq!(parse_head(b"HTTP/1.1 200 OK\r\nX: y\r\n").expect("incomplete"), None);
        let chunked = parse_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").expect("valid");
        assert_eq!(chunked.map(|h| h.length), Some(Length::Chunked));
        assert!(parse_head(b"nonsense\r\n\r\n").is_err());
    }

    #[test]
    fn chunks() {
        assert_eq!(next_chunk(b"3\r\nabc\r\n0\r\n\r\n").expect("valid"), Some((3..6, 8)));
        assert_eq!(next_chunk(b"0\r\n\r\n").expect("valid"), Some((3..3, 5)));
        assert_eq!(next_chunk(b"3\r\nab").expect("incomplete"), None);
        assert!(next_chunk(b"xyz\r\n").is_err());
    }

    #[test]
    fn hosts() {
        assert_eq!(host_of("http://127.0.0.1:8080/v1"), "127.0.0.1:8080");
        assert_eq!(host_of("127.0.0.1:8080"), "127.0.0.1:8080");
    }
}
