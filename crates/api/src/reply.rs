//! Answers of handlers that went well.

use axum::body::Body;
use axum::response::Response;
use bongsu_domain::rate::Quota;
use bongsu_send::Answer;
use bytes::Bytes;
use futures_util::Stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

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
        if self.replayed {
            headers.insert(HeaderName::from_static("idempotency-replayed"), HeaderValue::from_static("true"));
        }
        if let Some(allowance) = self.allowance {
            crate::limit::write(&allowance, headers);
        }
        response
    }
}
