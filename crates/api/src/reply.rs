//! Answers of handlers that went well.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Body;
use axum::response::Response;
use bongsu_domain::rate::Quota;
use bongsu_send::Answer;
use bytes::Bytes;
use futures_util::Stream;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

const HTML: &str = "text/html; charset=utf-8";
/// What a page may do: show itself.
const PAGE_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The entity tag of a body: the beginning of its SHA-256.
fn tag(body: &[u8]) -> String {
    let hash = digest(&SHA256, body);
    let mut text = String::from("\"");
    for byte in &hash.as_ref()[..12] {
        let _ = write!(text, "{byte:02x}");
    }
    text.push('"');
    text
}

/// What a handler answers.
#[derive(Debug)]
pub struct Reply {
    status: u16,
    content_type: &'static str,
    body: Vec<u8>,
    /// A body that is made while it is sent.
    stream: Option<Body>,
    replayed: bool,
    allowance: Option<Quota>,
}

impl Reply {
    fn new(status: u16, content_type: &'static str, body: Vec<u8>) -> Self {
        Self { status, content_type, body, stream: None, replayed: false, allowance: None }
    }

    /// JSON.
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        Self::raw(status, serde_json::to_vec(value).expect("views hold nothing that JSON cannot"))
    }

    /// JSON that is written already.
    pub fn raw(status: u16, json: Vec<u8>) -> Self {
        Self::new(status, "application/json", json)
    }

    /// No body.
    pub fn empty(status: u16) -> Self {
        Self::new(status, "", Vec::new())
    }

    /// Text of another type.
    pub fn text(content_type: &'static str, text: String) -> Self {
        Self::new(200, content_type, text.into_bytes())
    }

    /// A body of another type that is made while it is sent; an error in it breaks the answer off.
    pub fn stream<S, E>(content_type: &'static str, stream: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<axum::BoxError> + 'static,
    {
        Self { stream: Some(Body::from_stream(stream)), ..Self::new(200, content_type, Vec::new()) }
    }

    /// A page of HTML that holds everything it needs.
    pub fn page(html: Vec<u8>) -> Self {
        Self::new(200, HTML, html)
    }

    /// A stored answer, new or replayed.
    pub fn stored(answer: Answer) -> Self {
        let content_type = if answer.status < 400 { "application/json" } else { "application/problem+json" };
        Self { replayed: answer.replayed, ..Self::new(answer.status, content_type, answer.body) }
    }

    /// HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The body, if it is JSON.
    pub fn json_body(&self) -> Option<&[u8]> {
        (self.content_type == "application/json").then_some(&self.body)
    }

    /// With what is left of a narrower limit than the one on requests.
    pub fn within(self, quota: Quota) -> Self {
        Self { allowance: Some(quota), ..self }
    }

    /// The HTTP response to a read: 304 without a body for who has it already (RFC 9110, 13.1.2).
    pub fn response_to(self, asked: &HeaderMap) -> Response {
        if self.status != 200 || !["application/json", HTML].contains(&self.content_type) {
            return self.response();
        }
        let tag = tag(&self.body);
        let has_it = asked.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let has_it = has_it.flat_map(|value| value.split(',')).map(str::trim);
        let has_it = has_it.into_iter().any(|own| own == "*" || own.trim_start_matches("W/") == tag);
        let mut response = if has_it { Self::empty(304).response() } else { self.response() };
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            response.headers_mut().insert(ETAG, tag);
        }
        response
    }

    /// The HTTP response.
    pub fn response(self) -> Response {
        let is_stream = self.stream.is_some();
        let mut response = Response::new(self.stream.unwrap_or_else(|| self.body.into()));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        if !self.content_type.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        }
        if is_stream {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        if self.content_type == HTML {
            headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
        }
        if self.replayed {
            headers.insert(HeaderName::from_static("idempotency-replayed"), HeaderValue::from_static("true"));
        }
        if let Some(allowance) = self.allowance {
            crate::limit::write(&allowance, headers);
        }
        response
    }
}
