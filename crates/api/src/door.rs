//! The door of every route: request id, key, scope, limit, body, handler, and a problem whatever goes wrong.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::response::Response;
use bongsu_domain::Code;
use bongsu_domain::rate::Quota;
use bongsu_engine::cache::Limit;
use bongsu_send::Scope;
use bongsu_store::audit_log::{self, Note};
use bongsu_store::keys::{KeyRow, Signing};
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::app::{App, kibibytes};
use crate::call::{Call, Caller, Rows};
use crate::context;
use crate::journal;
use crate::limit::{self, Bucket};
use crate::origin::{self, Origin};
use crate::peer;
use crate::problem::{Problem, prefers_korean};
use crate::query::Query;
use crate::reach;
use crate::remembered::Asked;
use crate::reply::Reply;
use crate::route::{Access, Route, Takes};
use crate::signing::{self, Announced};

/// Bodies up to this have room of their own, so that those announced as large keep only large ones waiting.
const SMALL_BODY: usize = 64 * 1024;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Handles one request of a route.
pub async fn enter(app: Arc<App>, route: &'static Route, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let request_id: Arc<str> = request_id(&app, &parts.headers).into();
    let origin = Origin::of(&app.config.cors_origins, &parts.headers);
    let mut quota = None;
    let work = async {
        let begun = Instant::now();
        let outcome = match origin {
            Origin::Foreign => Err(foreign()),
            _ => serve(&app, route, &parts, body, &request_id, &mut quota).await,
        };
        tell(route, parts.uri.path(), &outcome, begun);
        outcome
    };
    let mut response = match context::within(request_id.clone(), work).await {
        Ok(reply) if route.changes() => reply.response(),
        Ok(reply) => reply.response_to(&parts.headers),
        Err(problem) => problem.answer(&request_id, &parts.headers),
    };
    let headers = response.headers_mut();
    if let Some(quota) = quota
        && !headers.contains_key("ratelimit-limit")
    {
        crate::limit::write(&quota, headers);
    }
    origin.stamp(headers);
    stamp(headers, &request_id);
    response
}

/// The line of a request: a failure of ours is worth a look, a change worth knowing; the others, and those that messages
/// come with, are for whoever turns this target up.
fn tell(route: &Route, path: &str, outcome: &Result<Reply, Problem>, begun: Instant) {
    let (status, code) = match outcome {
        Ok(reply) => (reply.status(), None),
        Err(problem) => (problem.status.as_u16(), Some(problem.code.as_str())),
    };
    let ms = begun.elapsed().as_millis() as u64;
    // Which thing it was about; found only for a line that is written.
    let target = || journal::target(route, path, outcome);
    if status >= 500 && route.access != Access::Public {
        tracing::warn!(operation = route.id, target = target(), status, code, ms, "a request failed");
    } else if route.is_noted() {
        tracing::info!(operation = route.id, target = target(), status, code, ms, "request");
    } else {
        tracing::debug!(operation = route.id, target = target(), status, code, ms, "request");
    }
}

/// 404 for paths outside the table.
pub async fn no_such_path(app: Arc<App>, request: Request) -> Response {
    refuse(&app, request.headers(), Problem::new(Code::NotFound, "there is no such path"))
}

/// 405 for methods outside the table; the router adds `Allow`. A browser's question what a page may send is answered here.
pub async fn no_such_method(app: Arc<App>, request: Request) -> Response {
    if !origin::is_preflight(request.method(), request.headers()) {
        let problem = Problem::new(Code::MethodNotAllowed, "this path does not take this method");
        return refuse(&app, request.headers(), problem);
    }
    if !matches!(Origin::of(&app.config.cors_origins, request.headers()), Origin::Listed(_)) {
        return refuse(&app, request.headers(), foreign());
    }
    let mut response = Reply::empty(204).response();
    let headers = response.headers_mut();
    Origin::allow(headers);
    Origin::of(&app.config.cors_origins, request.headers()).stamp(headers);
    stamp(headers, &request_id(&app, request.headers()));
    response
}

fn foreign() -> Problem {
    Problem::at(Code::Forbidden, "Origin", "pages of this origin may not use this interface")
}

fn refuse(app: &App, asked: &HeaderMap, problem: Problem) -> Response {
    let request_id = request_id(app, asked);
    let mut response = problem.answer(&request_id, asked);
    Origin::of(&app.config.cors_origins, asked).stamp(response.headers_mut());
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
    request_id: &Arc<str>,
    quota: &mut Option<Quota>,
) -> Result<Reply, Problem> {
    let from = peer::address(&app.config.trusted_proxies, parts);
    let (caller, announced) = match route.access {
        Access::Public => (None, None),
        _ => {
            let (row, announced) = authenticate(app, parts).await?;
            (Some((Caller::from(&row), row)), announced)
        }
    };
    let parameter = route.parameter(parts.uri.path()).unwrap_or_default();
    let query = Query::read(&parts.uri, route.query);
    let note = caller.as_ref().filter(|_| route.is_noted()).map(|(caller, _)| {
        let asked = query.as_ref().ok();
        Box::new(journal::note(route, caller, asked.unwrap_or(&Query::default()), parameter, from, request_id))
    });
    let admitted = async {
        if let Some((caller, row)) = &caller {
            admit(route, caller, row, from)?;
            *quota = Some(count(app, caller).await?);
        }
        let query = query?;
        let mut rows = None;
        let (body, room) = match route.takes {
            Takes::Nothing => read_nothing(app, parts, body).await?,
            Takes::Json(_) => read_body(app, &parts.headers, body).await?,
            Takes::Optional(_) => read_optional(app, &parts.headers, body).await?,
            Takes::Rows => {
                let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
                let content_type = content_type.map(str::to_owned);
                // What was signed is known to be what came only when all of it is here.
                let (body, signed, room) = match announced {
                    Some(_) => {
                        let (bytes, room) = read_bytes(app, &parts.headers, body).await?;
                        (Body::from(bytes.clone()), bytes, room)
                    }
                    None => (body, Bytes::new(), None),
                };
                rows = Some(Rows { content_type, body });
                (signed, room)
            }
        };
        if let Some(announced) = announced {
            announced.check(&body)?;
        }
        let call = Call {
            app: app.clone(),
            request_id: request_id.clone(),
            caller: caller.as_ref().map(|(caller, _)| *caller),
            parameter: parameter.to_owned(),
            second: route.second_parameter(parts.uri.path()).unwrap_or_default().to_owned(),
            query,
            prefers_korean: prefers_korean(&parts.headers),
            idempotency_key: parts.headers.get("idempotency-key").cloned(),
            body,
            rows: Mutex::new(rows),
        };
        if matches!(route.takes, Takes::Nothing) {
            call.no_fields()?;
        }
        Ok((call, room))
    };
    match admitted.await {
        Ok((call, room)) => {
            let reply = match call.caller.filter(|_| route.is_remembered()) {
                Some(caller) => Box::pin(remembered(app, route, call, &caller, parts)).await,
                None => run(route, call, note).await,
            };
            drop(room);
            reply
        }
        Err(problem) => Err(Box::pin(refused(app, problem, note)).await),
    }
}

/// Notes a call that was not let in. Those over a limit would fill the log, and a store that is away takes no note.
async fn refused(app: &App, problem: Problem, note: Option<Box<Note>>) -> Problem {
    let Some(note) = note.filter(|_| problem.status.is_client_error() && problem.code != Code::RateLimited) else {
        return problem;
    };
    let ended = |problem: &Problem| journal::refusal(problem);
    audit_log::during(app.service.store(), *note, std::future::ready(problem), ended).await
}

/// Answers a read of settings from memory while no setting changed.
async fn remembered(app: &App, route: &Route, call: Call, caller: &Caller, parts: &Parts) -> Result<Reply, Problem> {
    let asked = Asked::new(caller, parts.uri.path_and_query().map_or("", |target| target.as_str()));
    // Before the read: a change in between makes the answer one of before it.
    let generation = app.service.store().generation();
    if let Some(body) = app.remembered.find(generation, &asked) {
        return Ok(Reply::raw(200, body.to_vec()));
    }
    let reply = run(route, call, None).await?;
    if let Some(body) = reply.json_body().filter(|_| reply.status() == 200) {
        app.remembered.keep(generation, asked, body);
    }
    Ok(reply)
}

/// Runs the handler; a panic in it is an internal error of this request and of no other.
pub async fn run(route: &Route, call: Call, note: Option<Box<Note>>) -> Result<Reply, Problem> {
    let (id, handler) = (route.id, route.handler);
    let panicked = || {
        tracing::error!(route = id, "a handler panicked");
        Problem::new(Code::Internal, "an internal error")
    };
    if !route.changes() {
        // The handler is called inside, so that a panic before its first await is caught, too.
        let handled = async move { handler(call).await };
        return AssertUnwindSafe(handled).catch_unwind().await.unwrap_or_else(|_| Err(panicked()));
    }
    let handled = async move {
        match note {
            Some(note) => {
                // Boxed: messages come without a note, and need not make room for one.
                let app = call.app.clone();
                let handled = async move { handler(call).await };
                let noted = audit_log::during(app.service.store(), *note, handled, journal::outcome);
                Box::pin(noted).await
            }
            None => handler(call).await,
        }
    };
    // A task of its own: a client that goes away must not stop a change half way.
    let task = match context::current_request() {
        Some(request) => tokio::spawn(context::within(request, handled)),
        None => tokio::spawn(handled),
    };
    task.await.unwrap_or_else(|_| Err(panicked()))
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

/// The key of a request, by the key itself or by its signature; then the body that was signed, too.
async fn authenticate(app: &App, parts: &Parts) -> Result<(KeyRow, Option<Announced>), Problem> {
    if let Some(presented) = signing::presented(&parts.headers) {
        let (row, announced) = Box::pin(signing::authenticate(app, parts, presented)).await?;
        return Ok((row, Some(announced)));
    }
    let key = bearer(&parts.headers)?;
    let Some(row) = bongsu_store::keys::authenticate(app.service.store(), key).await? else {
        return Err(Problem::at(Code::Unauthenticated, "Authorization", "this API key is unknown or revoked"));
    };
    if row.signing == Signing::Required {
        return Err(Problem::at(Code::Unauthenticated, "Authorization", "this API key takes signed requests only"));
    }
    Ok((row, None))
}

/// Whether a key may use a route from where it is used.
fn admit(route: &Route, caller: &Caller, row: &KeyRow, from: Option<IpAddr>) -> Result<(), Problem> {
    let is_allowed = |address| row.ip_allow.iter().any(|network| network.contains(address));
    if !row.ip_allow.is_empty() && !from.is_some_and(is_allowed) {
        return Err(Problem::new(Code::Forbidden, "this API key may not be used from this address"));
    }
    if row.suspended {
        return Err(Problem::new(Code::AccountSuspended, "the account is suspended"));
    }
    authorise(route.access, caller)?;
    reach::check_kind(route, caller)
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

/// The body where none is taken: what is asked for by one that nobody reads would silently not be done.
async fn read_nothing(app: &App, parts: &Parts, body: Body) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Problem> {
    if parts.method == http::Method::POST && !body.is_end_stream() {
        read_bytes(app, &parts.headers, body).await
    } else {
        Ok((Bytes::new(), None))
    }
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
    read_bytes(app, headers, body).await
}

/// A body of JSON, or none.
async fn read_optional(
    app: &App,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Problem> {
    if headers.contains_key(CONTENT_TYPE) {
        return read_body(app, headers, body).await;
    }
    let (bytes, room) = read_bytes(app, headers, body).await?;
    if bytes.is_empty() { Ok((bytes, room)) } else { read_body(app, headers, Body::from(bytes)).await }
}

/// A body within the limits, and its place among all bodies in memory.
async fn read_bytes(
    app: &App,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Problem> {
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
