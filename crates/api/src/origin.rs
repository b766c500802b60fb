//! Cross-origin requests (CORS, Fetch Standard): listed origins may read answers, others get none.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue};

/// What pages of a listed origin may send and read.
const METHODS: &str = "GET, POST, PUT, PATCH, DELETE";
const REQUEST_HEADERS: &str =
    "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, X-Request-Id";
const ANSWER_HEADERS: &str = "ETag, Idempotency-Replayed, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, \
                              Retry-After, X-Request-Id";
/// Seconds that a browser may remember a preflight.
const MAX_AGE_S: u64 = 600;

/// Whose page a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Not from a browser's page, or from one of this server.
    Own,
    /// From a page of a listed origin.
    Listed(HeaderValue),
    /// From another page.
    Foreign,
}

impl Origin {
    /// The origin of a request.
    pub fn of(listed: &[String], headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(ORIGIN) else { return Self::Own };
        let text = value.to_str().unwrap_or_default();
        if listed.iter().any(|origin| origin == text) {
            return Self::Listed(value.clone());
        }
        let host = text.split_once("://").map(|(_, host)| host);
        let own = headers.get(HOST).and_then(|host| host.to_str().ok());
        match (host, own) {
            (Some(host), Some(own)) if host.eq_ignore_ascii_case(own) => Self::Own,
            _ => Self::Foreign,
        }
    }

    /// Lets a page of a listed origin read the answer.
    pub fn stamp(&self, headers: &mut HeaderMap) {
        let Self::Listed(origin) = self else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(ANSWER_HEADERS));
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }

    /// What a browser may send after the preflight.
    pub fn allow(headers: &mut HeaderMap) {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(REQUEST_HEADERS));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(MAX_AGE_S));
    }
}

/// Whether a request asks what it may send.
pub fn is_preflight(method: &http::Method, headers: &HeaderMap) -> bool {
    method == http::Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_listed_exactly_or_it_is_foreign() {
        let listed = ["https://console.example".to_owned()];
        let of = |origin: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("api.example:8080"));
            if !origin.is_empty() {
                headers.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            Origin::of(&listed, &headers)
        };
        assert_eq!(of(""), Origin::Own);
        assert_eq!(of("http://API.example:8080"), Origin::Own);
        assert_eq!(of("https://console.example"), Origin::Listed(HeaderValue::from_static("https://console.example")));
        for foreign in [
            "null",
            "https://console.example.evil",
            "https://evil.console.example",
            "http://console.example",
            "https://console.example:444",
            "http://api.example",
            "https://CONSOLE.example",
            "api.example:8080",
        ] {
            assert_eq!(of(foreign), Origin::Foreign, "{foreign}");
        }
    }
}
