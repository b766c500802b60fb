//! Problems: the one shape of every answer that refuses (RFC 9457, `application/problem+json`).

use std::time::Duration;

use axum::response::Response;
use bongsu_domain::rate::Quota;
use bongsu_domain::{Action, Code};
use bongsu_send::{Finding, Refusal};
use bongsu_store::{Error, Kind};
use http::header::{ACCEPT_LANGUAGE, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;

/// Why a request was refused: a code, a sentence, and all that was found wrong with it.
#[derive(Debug)]
pub struct Problem {
    /// What kind of wrong.
    pub code: Code,
    /// HTTP status; the code's own unless fields of a readable body are at fault (422).
    pub status: StatusCode,
    /// A sentence for people.
    pub detail: String,
    /// Findings by field.
    pub errors: Vec<Finding>,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// What is left of the limit that refused.
    pub allowance: Option<Quota>,
    /// The connection cannot be used further, because part of the request was left unread.
    pub hang_up: bool,
}

impl Problem {
    /// A problem with a sentence.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self {
            code,
            status,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            allowance: None,
            hang_up: false,
        }
    }

    /// One field (or header, or parameter) is at fault.
    pub fn at(code: Code, field: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let finding = Finding::new(field, code, detail.clone());
        Self { errors: vec![finding], ..Self::new(code, format!("{field}: {detail}")) }
    }

    /// The body was understood, and these fields of it cannot be accepted: 422.
    pub fn fields(findings: Vec<Finding>) -> Self {
        Refusal::fields(shared_code(&findings), findings).into()
    }

    /// No such thing, or not this caller's: the answer does not tell which.
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "there is no such resource")
    }

    /// Closes the connection with the answer.
    pub fn hanging_up(self) -> Self {
        Self { hang_up: true, ..self }
    }

    /// The answer, in the language the caller prefers (title only; details are English).
    pub fn answer(self, request_id: &str, asked: &HeaderMap) -> Response {
        let body = Body {
            kind: format!("urn:bongsu:code:{}", self.code.as_str()),
            title: if prefers_korean(asked) { self.code.title_ko() } else { self.code.title_en() },
            status: self.status.as_u16(),
            code: self.code.as_str(),
            detail: &self.detail,
            errors: self.errors.iter().map(ErrorView::from).collect(),
            request_id,
            retryable: matches!(self.code.action(), Action::Same),
        };
        let json = serde_json::to_vec(&body).expect("a problem has no values that JSON cannot hold");
        let mut response = Response::new(json.into());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.hang_up {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(allowance) = self.allowance {
            crate::limit::write(&allowance, headers);
        }
        response
    }
}

/// Seconds for a header, rounded up so that a client that obeys is not early.
pub fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// The code that all findings share, or [`Code::BadRequest`].
pub fn shared_code(findings: &[Finding]) -> Code {
    match findings.split_first() {
        Some((first, rest)) if rest.iter().all(|finding| finding.code == first.code) => first.code,
        _ => Code::BadRequest,
    }
}

/// Whether a caller reads Korean rather than English.
pub fn prefers_korean(asked: &HeaderMap) -> bool {
    asked.get(ACCEPT_LANGUAGE).is_some_and(|value| value.as_bytes().starts_with(b"ko"))
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let mut problem = Self::new(refusal.code, refusal.detail);
        if problem.status == StatusCode::BAD_REQUEST && !refusal.findings.is_empty() {
            problem.status = StatusCode::UNPROCESSABLE_ENTITY;
        }
        problem.errors = refusal.findings;
        // A parameter that only a room further in can judge.
        if let Some((name @ ("cursor" | "from"), rest)) = problem.detail.split_once(": ")
            && problem.errors.is_empty()
        {
            problem.errors = vec![Finding::new(name, problem.code, rest)];
        }
        problem.retry_after = refusal.retry_after.or_else(|| default_wait(refusal.code));
        problem
    }
}

/// A wait that fits the code, where the refusing room named none.
fn default_wait(code: Code) -> Option<Duration> {
    match code {
        Code::StoreUnavailable | Code::IdempotencyInProgress | Code::RateLimited => Some(Duration::from_secs(1)),
        Code::StorageFull => Some(Duration::from_secs(30)),
        _ => None,
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        let hidden = |code: Code, detail: &'static str| {
            // The cause may name files and statements: it is for the operator's log, not for the caller.
            tracing::error!(%error, code = code.as_str(), "answering a request");
            Problem { retry_after: default_wait(code), ..Problem::new(code, detail) }
        };
        match error.kind() {
            Kind::NotFound => Self { detail, ..Self::not_found() },
            Kind::Conflict(rule) => Self::at(Code::Conflict, rule, detail),
            Kind::Invalid(field) => {
                Self { status: StatusCode::UNPROCESSABLE_ENTITY, ..Self::at(Code::BadRequest, field, detail) }
            }
            Kind::NoBalance => Self::new(Code::NoBalance, detail),
            Kind::TooMany(rule) => {
                Self { retry_after: default_wait(Code::RateLimited), ..Self::at(Code::RateLimited, rule, detail) }
            }
            Kind::Full => hidden(Code::StorageFull, "the storage is full; nothing was changed"),
            Kind::Corrupt => hidden(Code::Internal, "stored data could not be read"),
            Kind::Unavailable
            | Kind::ClockBehind
            | Kind::InUse
            | Kind::Broken
            | Kind::Busy
            | Kind::Lost
            | Kind::Fenced => hidden(Code::StoreUnavailable, "the store cannot answer now; nothing was changed"),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    errors: Vec<ErrorView<'a>>,
    request_id: &'a str,
    retryable: bool,
}

/// One finding as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorView<'a> {
    field: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    code: &'a str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate_of: Option<String>,
}

impl<'a> From<&'a Finding> for ErrorView<'a> {
    fn from(finding: &'a Finding) -> Self {
        Self {
            field: &finding.field,
            index: finding.index,
            code: finding.code.as_str(),
            detail: &finding.detail,
            duplicate_of: finding.duplicate_of.map(|id| id.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(problem: Problem, headers: &HeaderMap) -> (StatusCode, HeaderMap, serde_json::Value) {
        let response = problem.answer("r-1", headers);
        let (parts, body) = response.into_parts();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let bytes = runtime.block_on(axum::body::to_bytes(body, usize::MAX)).expect("a body in memory");
        (parts.status, parts.headers, serde_json::from_slice(&bytes).expect("JSON"))
    }

    #[test]
    fn has_every_member_of_the_shape() {
        let finding = Finding { index: Some(7), ..Finding::new("to", Code::BadRecipientFormat, "no") };
        let (status, headers, body) = shown(Problem::fields(vec![finding]), &HeaderMap::new());
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(headers[CONTENT_TYPE], "application/problem+json");
        assert_eq!(
            body,
            serde_json::json!({
                "type": "urn:bongsu:code:UM1020",
                "title": Code::BadRecipientFormat.title_en(),
                "status": 422,
                "code": "UM1020",
                "detail": "to: no",
                "errors": [{"field": "to", "index": 7, "code": "UM1020", "detail": "no"}],
                "requestId": "r-1",
                "retryable": false,
            })
        );
    }

    #[test]
    fn findings_of_several_kinds_are_a_bad_request_with_422() {
        let finding = |code| Finding::new("x", code, "");
        let problem = Problem::fields(vec![finding(Code::BadRecipientFormat), finding(Code::EmptyBody)]);
        assert_eq!((problem.code, problem.status.as_u16()), (Code::BadRequest, 422));
    }

    #[test]
    fn store_errors_become_their_codes_and_hide_internals() {
        let table = [
            (Kind::NotFound, 404, "UM1011", None),
            (Kind::Conflict("name"), 409, "UM1013", None),
            (Kind::Invalid("name"), 422, "UM1001", None),
            (Kind::NoBalance, 402, "UM3001", None),
            (Kind::TooMany("codes"), 429, "UM3003", Some("1")),
            (Kind::Unavailable, 503, "UM8004", Some("1")),
            (Kind::ClockBehind, 503, "UM8004", Some("1")),
            (Kind::Full, 503, "UM8005", Some("30")),
            (Kind::Corrupt, 500, "UM8001", None),
        ];
        for (kind, status, code, retry) in table {
            let (seen, headers, body) = shown(Error::new(kind, "/secret/path").into(), &HeaderMap::new());
            assert_eq!((seen.as_u16(), body["code"].as_str()), (status, Some(code)), "{kind:?}");
            assert_eq!(headers.get(RETRY_AFTER).map(|v| v.to_str().expect("ascii")), retry, "{kind:?}");
            if status >= 500 {
                assert!(!body.to_string().contains("/secret/path"), "{kind:?}");
            }
        }
    }

    #[test]
    fn the_title_follows_the_language() {
        let mut asked = HeaderMap::new();
        asked.insert(ACCEPT_LANGUAGE, HeaderValue::from_static("ko-KR,ko;q=0.9"));
        let (_, headers, body) = shown(Problem::new(Code::Unauthenticated, "x"), &asked);
        assert_eq!(body["title"], Code::Unauthenticated.title_ko());
        assert_eq!(headers[WWW_AUTHENTICATE], "Bearer");
    }

    #[test]
    fn waits_are_rounded_up() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(2)), 2);
    }
}
