//! A store in a temporary directory with the interface over it, called without sockets.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use bongsu_domain::{AccountId, Clock, ManualClock, Timestamp};
use bongsu_engine::{bus, cache};
use bongsu_send::SendConfig;
use bongsu_store::keys::{KeyScope, Scopes};
use bongsu_store::{Options, Store, accounts, keys};
use http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{ApiConfig, App, router};

/// An answer read to its end.
pub struct Seen {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Seen {
    /// Status and code of a problem.
    pub fn refusal(&self) -> (u16, &str) {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.body);
        for member in ["type", "title", "status", "code", "detail", "errors", "requestId", "retryable"] {
            assert!(self.body.get(member).is_some(), "{member} of {}", self.body);
        }
        assert_eq!(self.body["status"], self.status.as_u16());
        assert_eq!(self.body["requestId"].as_str(), self.headers["x-request-id"].to_str().ok());
        (self.status.as_u16(), self.body["code"].as_str().expect("a code"))
    }

    /// The body of an answer that went well.
    pub fn good(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }
}

/// The interface, an operator's key and the clock.
pub struct World {
    pub router: Router,
    pub app: Arc<App>,
    pub operator: String,
    pub clock: Arc<ManualClock>,
    _directory: tempfile::TempDir,
}

impl World {
    pub async fn new() -> Self {
        Self::with(ApiConfig::default()).await
    }

    pub async fn with(config: ApiConfig) -> Self {
        Self::over(SendConfig::default(), config).await
    }

    /// One whose pipeline has this configuration.
    pub async fn over(send: SendConfig, config: ApiConfig) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_795_132_800)));
        let as_clock: Arc<dyn Clock> = clock.clone();
        let store = Store::open(Options::new(directory.path(), as_clock.clone())).expect("a new store");
        let operator = keys::ensure_operator(&store).await.expect("a key").expect("the first");
        let service = bongsu_send::start(store, send, as_clock.clone()).await.expect("a pipeline");
        let app = App::new(
            service,
            cache::open_inprocess(as_clock.clone()),
            bus::open_inprocess(as_clock.clone()),
            as_clock,
            config,
        );
        Self { router: router(&app), app, operator: operator.expose().to_owned(), clock, _directory: directory }
    }

    /// An account that can send: a key with all scopes, 1,000 points, and the active sender number 021234567.
    pub async fn sending_account(&self, name: &str) -> (AccountId, String) {
        let all = [KeyScope::Send, KeyScope::Read, KeyScope::Numbers, KeyScope::Manage];
        let (account, key) = self.account(name, &all).await;
        let credit = json!({"account": account.to_string(), "unit": "point:sms", "amount": 1_000, "cause": "start"});
        self.call("POST", "/v1/wallet/credits", &self.operator, credit).await.good(201);
        let sender = self.call("POST", "/v1/senders", &key, json!({"number": "02-123-4567"})).await.good(201);
        let path = format!("/v1/senders/{}/approve", sender["id"].as_str().expect("an id"));
        self.call("POST", &path, &self.operator, Value::Null).await.good(200);
        (account, key)
    }

    /// An account with a key of these scopes.
    pub async fn account(&self, name: &str, scopes: &[KeyScope]) -> (AccountId, String) {
        let store = self.app.service.store();
        let account = accounts::create(store, name).await.expect("an account").id;
        (account, self.key(account, scopes).await)
    }

    /// A further key of an account.
    pub async fn key(&self, account: AccountId, scopes: &[KeyScope]) -> String {
        let scopes = scopes.iter().fold(Scopes::NONE, |all, scope| all.with(*scope));
        let created = keys::create(self.app.service.store(), Some(account), scopes).await.expect("a key");
        created.key.expose().to_owned()
    }

    /// Calls with a key and a JSON body; null is no body.
    pub async fn call(&self, method: &str, path: &str, key: &str, body: Value) -> Seen {
        let mut request = Request::builder().method(method).uri(path);
        if !key.is_empty() {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let body = match body {
            Value::Null => Body::empty(),
            body => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
        };
        self.send(request.body(body).expect("a request")).await
    }

    /// Sends a request as it is.
    pub async fn send(&self, request: Request<Body>) -> Seen {
        let (parts, body) = self.router.clone().oneshot(request).await.expect("never fails").into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.expect("a body in memory");
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Seen { status: parts.status, headers: parts.headers, body }
    }
}
