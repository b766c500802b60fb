//! The door of every route: request id, key, scope, limit, body, handler, and a problem whatever goes wrong.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bongsu_domain::Code;
use bongsu_domain::rate::Quota;
use bongsu_engine::cache::Limit;
use bongsu_send::Scope;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use tokio::sync::OwnedSemaphorePermit;

use crate::app::{App, kibibytes};
use crate::call::{Call, Caller};
use crate::limit::{self, Bucket};
use crate::problem::Problem;
use crate::query::Query;
use crate::reply::Reply;
use crate::route::{Access, Route, Takes};

/// Bodies up to this have room of their own, so that those announced as large keep only large ones waiting.
const SMALL_BODY: usize = 64 * 1024;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Handles one request of a route.
pub async fn enter(app: Arc<App>, route: &'static Route, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let request_id = request_id(&app, &parts.headers);
    let mut quota = None;
    let outcome = serve(&app, route, &parts, body, &mut quota).await;
    let mut response = match outcome {
        Ok(reply) => reply.response(),
        Err(problem) => problem.answer(&request_id, &parts.headers),
    };
    let headers = response.headers_mut();
    if let Some(quota) = quota
        && !headers.contains_key("ratelimit-limit")
    {
        crate::limit::write(&quota, headers);
    }
    stamp(headers, &request_id);
    response
}

/// 404 for paths outside the table.
pub async fn no_such_path(app: Arc<App>, request: Request) -> Response {
    refuse(&app, request.headers(), Problem::new(Code::NotFound, "there is no such path"))
}

/// 405 for methods outside the table; the router adds `Allow`.
pub async fn no_such_method(app: Arc<App>, request: Request) -> Response {
    refuse(&app, request.headers(), Problem::new(Code::MethodNotAllowed, "this path does not take this method"))
}

fn refuse(app: &App, asked: &HeaderMap, problem: Problem) -> Response {
    let request_id = request_id(app, asked);
    let mut response = problem.answer(&request_id, asked);
    stamp(response.headers_mut(), &request_id);
    response
}

fn stamp(headers: &mut HeaderMap, request_id: &str) {
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(X_REQUEST_ID, value);
    }
}

/// The caller's own id when it is harmless (at most 64 of `A-Za-z0-9._-`), else a new one.
fn request_id(app: &App, headers: &HeaderMap) -> String {
    match headers.get(&X_REQUEST_ID).and_then(|value| value.to_str().ok()) {
        Some(given) if is_token(given, 64) => given.to_owned(),
        _ => app.request_id(),
    }
}

/// 1 to `most` characters of `A-Za-z0-9._-`.
pub fn is_token(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

async fn serve(
    app: &Arc<App>,
    route: &'static Route,
    parts: &Parts,
    body: Body,
    quota: &mut Option<Quota>,
) -> Result<Reply, Problem> {
    let caller = match route.access {
        Access::Public => None,
        access => {
            let caller = authenticate(app, &parts.headers).await?;
            authorise(access, &caller)?;
            *quota = Some(count(app, &caller).await?);
            Some(caller)
        }
    };
    let query = Query::read(&parts.uri, route.query)?;
    let (body, room) = match route.takes {
        Takes::Nothing => (Bytes::new(), None),
        Takes::Json(_) => read_body(app, &parts.headers, body).await?,
    };
    let call = Call {
        app: app.clone(),
        caller,
        parameter: route.parameter(parts.uri.path()).unwrap_or_default().to_owned(),
        query,
        idempotency_key: parts.headers.get("idempotency-key").cloned(),
        body,
    };
    let reply = run(route, call).await;
    drop(room);
    reply
}

/// Runs the handler; a panic in it is an internal error of this request and of no other.
pub async fn run(route: &Route, call: Call) -> Result<Reply, Problem> {
    let (id, handler) = (route.id, route.handler);
    let panicked = || {
        tracing::error!(route = id, "a handler panicked");
        Problem::new(Code::Internal, "an internal error")
    };
    // The handler is called inside, so that a panic before its first await is caught, too.
    let handled = async move { handler(call).await };
    if route.changes() {
        // A task of its own: a client that goes away must not stop a change half way.
        tokio::spawn(handled).await.unwrap_or_else(|_| Err(panicked()))
    } else {
        AssertUnwindSafe(handled).catch_unwind().await.unwrap_or_else(|_| Err(panicked()))
    }
}

/// The key of `Authorization: Bearer …` (RFC 6750, 2.1).
///
/// # Errors
/// 401 when there is none or it has another form.
fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Problem::at(
            Code::Unauthenticated,
            "Authorization",
            "must be given once, as Bearer and an API key",
        ));
    };
    let bearer = value.to_str().ok().and_then(|text| text.split_once(' '));
    match bearer {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") && !key.trim().is_empty() => Ok(key.trim()),
        _ => Err(Problem::at(Code::Unauthenticated, "Authorization", "must be Bearer and an API key")),
    }
}

async fn authenticate(app: &App, headers: &HeaderMap) -> Result<Caller, Problem> {
    let key = bearer(headers)?;
    let Some(row) = bongsu_store::keys::authenticate(app.service.store(), key).await? else {
        return Err(Problem::at(Code::Unauthenticated, "Authorization", "this API key is unknown or revoked"));
    };
    if row.suspended {
        return Err(Problem::new(Code::AccountSuspended, "the account is suspended"));
    }
    Ok(row.into())
}

/// Whether a caller may use a route at all; what it sees there is the handler's matter.
///
/// # Errors
/// 403 with the scope that is missing.
fn authorise(access: Access, caller: &Caller) -> Result<(), Problem> {
    let refused = |detail: String| Err(Problem::new(Code::Forbidden, detail));
    match access {
        Access::Public | Access::Key => Ok(()),
        Access::Operator if caller.scope == Scope::Operator => Ok(()),
        Access::Operator => refused("only an operator key may do this".to_owned()),
        Access::Account(_) if caller.scope == Scope::Operator => {
            refused("this needs the key of an account, not an operator's".to_owned())
        }
        Access::Account(scope) | Access::Scope(scope) if caller.scopes.has(scope) => Ok(()),
        Access::Account(scope) | Access::Scope(scope) => {
            refused(format!("the API key lacks the scope {}", scope.as_str()))
        }
    }
}

async fn count(app: &App, caller: &Caller) -> Result<Quota, Problem> {
    let bucket = match caller.scope {
        Scope::Account(account) => Bucket::Requests(account),
        Scope::Operator => Bucket::OperatorRequests(caller.key),
    };
    let rate = app.config.requests_per_s;
    limit::take(&*app.cache, bucket, Limit { rate_per_s: rate, burst: rate }, 1, app.clock.now()).await
}

/// A body of JSON within the limits, and its place among all bodies in memory.
async fn read_body(
    app: &App,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Problem> {
    if !is_json(headers) {
        let detail = "must be application/json";
        return Err(Problem::at(Code::UnsupportedMediaType, "Content-Type", detail).hanging_up());
    }
    let most = app.config.body_bytes_max;
    let told = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    let expected: usize = told.unwrap_or(most);
    if expected > most {
        return Err(too_large(most));
    }
    let late = |_| Problem::new(Code::RequestTimeout, "the request body took too long").hanging_up();
    let reading = async {
        if expected <= SMALL_BODY {
            // Room is taken for what has arrived: a body that stalls must not keep small ones waiting.
            let bytes = collect(body, expected, most).await?;
            let room = app.small_bodies.clone().acquire_many_owned(kibibytes(bytes.len())).await;
            return Ok((bytes, room.ok()));
        }
        let room = app.bodies.clone().acquire_many_owned(kibibytes(expected)).await;
        collect(body, expected, most).await.map(|bytes| (bytes, room.ok()))
    };
    tokio::time::timeout(app.config.body_timeout, reading).await.map_err(late)?
}

async fn collect(mut body: Body, expected: usize, most: usize) -> Result<Bytes, Problem> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let cut = |_| Problem::at(Code::BadRequest, "body", "ended before its length").hanging_up();
        let Ok(data) = frame.map_err(cut)?.into_data() else { continue };
        if whole.is_empty() && data.len() == expected {
            // Small bodies come in one piece and need no copy.
            return Ok(data);
        }
        if whole.len() + data.len() > most {
            return Err(too_large(most));
        }
        if whole.is_empty() {
            whole.reserve(expected.min(1024 * 1024));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

fn too_large(most: usize) -> Problem {
    Problem::at(Code::BodyTooLarge, "body", format!("must have at most {most} bytes")).hanging_up()
}

/// `application/json`, with parameters or without.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(CONTENT_TYPE).map(|value| value.to_str()) else { return false };
    let essence = value.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use bongsu_domain::{AccountId, KeyId};
    use bongsu_store::keys::{KeyKind, KeyScope, Scopes};

    use super::*;

    fn with(name: HeaderName, values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_key_is_read_from_one_bearer_header() {
        for value in ["Bearer bk_x", "bearer bk_x", "BEARER  bk_x "] {
            assert_eq!(bearer(&with(AUTHORIZATION, &[value])).expect(value), "bk_x");
        }
        for values in [&[][..], &["bk_x"], &["Basic bk_x"], &["Bearer"], &["Bearer "], &["Bearer a", "Bearer b"]] {
            let problem = bearer(&with(AUTHORIZATION, values)).expect_err("no key");
            assert_eq!((problem.code, problem.status.as_u16()), (Code::Unauthenticated, 401), "{values:?}");
        }
    }

    #[test]
    fn json_is_asked_for() {
        for value in ["application/json", "Application/JSON; charset=utf-8"] {
            assert!(is_json(&with(CONTENT_TYPE, &[value])), "{value}");
        }
        for values in [&[][..], &["text/plain"], &["application/json5"], &["application/x-www-form-urlencoded"]] {
            assert!(!is_json(&with(CONTENT_TYPE, values)), "{values:?}");
        }
    }

    #[test]
    fn a_caller_needs_the_scope_of_the_route() {
        let account = Caller {
            scope: Scope::Account(AccountId(1)),
            key: KeyId(1),
            scopes: Scopes::NONE.with(KeyScope::Read),
            kind: KeyKind::Live,
            rate_per_s: 1,
        };
        let operator = Caller { scope: Scope::Operator, scopes: Scopes::OPERATOR, ..account };
        let table = [
            (Access::Key, true, true),
            (Access::Scope(KeyScope::Read), true, true),
            (Access::Scope(KeyScope::Manage), false, true),
            (Access::Account(KeyScope::Read), true, false),
            (Access::Account(KeyScope::Send), false, false),
            (Access::Operator, false, true),
        ];
        for (access, by_account, by_operator) in table {
            assert_eq!(authorise(access, &account).is_ok(), by_account, "{access:?}");
            assert_eq!(authorise(access, &operator).is_ok(), by_operator, "{access:?}");
        }
    }

    #[test]
    fn request_ids_are_harmless() {
        assert!(is_token("a-1._Z", 64));
        for bad in ["", "a b", "가", "a\"", &"a".repeat(65)] {
            assert!(!is_token(bad, 64), "{bad}");
        }
    }
}
