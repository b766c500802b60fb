//! One authorised call of a route: all that its handler may look at.

use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Body;
use bongsu_domain::rate::Quota;
use bongsu_domain::{AccountId, Code, KeyId};
use bongsu_engine::cache::Limit;
use bongsu_send::{Idempotency, Reach, Scope, Sending, Service};
use bongsu_store::keys::{KeyKind, KeyRow, KeyScope, Scopes};
use bytes::Bytes;
use http::HeaderValue;

use crate::app::App;
use crate::door::is_token;
use crate::fields::{Fields, Place};
use crate::limit::{self, Bucket};
use crate::problem::Problem;
use crate::query::Query;

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// What it may see.
    pub scope: Scope,
    /// The key it came with.
    pub key: KeyId,
    /// What it may do.
    pub scopes: Scopes,
    /// What its key is for.
    pub kind: KeyKind,
    /// Messages a second of its account; of no meaning for an operator.
    pub rate_per_s: u32,
}

impl From<&KeyRow> for Caller {
    fn from(key: &KeyRow) -> Self {
        let scope = key.account.map_or(Scope::Operator, Scope::Account);
        Self { scope, key: key.id, scopes: key.scopes, kind: key.kind, rate_per_s: key.rate_per_s }
    }
}

/// One call.
pub struct Call {
    pub app: Arc<App>,
    /// `X-Request-Id` of the answer.
    pub request_id: Arc<str>,
    /// Absent on public routes only.
    pub caller: Option<Caller>,
    /// The parameter of the path.
    pub parameter: String,
    /// The second one, where there are two.
    pub second: String,
    pub query: Query,
    /// Whether the caller reads Korean rather than English.
    pub prefers_korean: bool,
    /// The header `Idempotency-Key`.
    pub idempotency_key: Option<HeaderValue>,
    pub body: Bytes,
    /// A body that is read piece by piece, on routes that take rows.
    pub rows: Mutex<Option<Rows>>,
}

/// A body that is read piece by piece.
pub struct Rows {
    pub content_type: Option<String>,
    pub body: Body,
}

impl Call {
    /// The send room on behalf of this call: what it accepts keeps the request id.
    pub fn service(&self) -> Service {
        self.app.service.on_behalf(self.request_id.clone())
    }

    /// The rows of the call, once.
    ///
    /// # Errors
    /// 500 on a route that takes none; no handler of such a route asks.
    pub fn rows(&self) -> Result<Rows, Problem> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner).take();
        rows.ok_or_else(|| Problem::new(Code::Internal, "an internal error"))
    }

    /// The caller.
    ///
    /// # Errors
    /// 401 on a public route, where there is none; no handler of a public route asks.
    pub fn caller(&self) -> Result<Caller, Problem> {
        self.caller.ok_or_else(|| Problem::new(Code::Unauthenticated, "an API key is needed"))
    }

    /// What the call may see; an operator may narrow it by `?account=`.
    ///
    /// # Errors
    /// 404 for an account that is not the caller's.
    pub fn scope(&self) -> Result<Scope, Problem> {
        let caller = self.caller()?;
        let Some(asked) = self.query.text("account") else { return Ok(caller.scope) };
        let asked = AccountId::from_str(asked).map_err(|_| Problem::not_found())?;
        match caller.scope {
            Scope::Operator => Ok(Scope::Account(asked)),
            Scope::Account(own) if own == asked => Ok(caller.scope),
            Scope::Account(_) => Err(Problem::not_found()),
        }
    }

    /// The same as the store takes it: none is every account.
    ///
    /// # Errors
    /// As [`Call::scope`].
    pub fn account_or_all(&self) -> Result<Option<AccountId>, Problem> {
        Ok(match self.scope()? {
            Scope::Account(account) => Some(account),
            Scope::Operator => None,
        })
    }

    /// The one account the call is about.
    ///
    /// # Errors
    /// 400 when an operator does not name it, else as [`Call::scope`].
    pub fn account(&self) -> Result<AccountId, Problem> {
        self.account_or_all()?
            .ok_or_else(|| Problem::at(Code::BadRequest, "account", "is required when an operator calls"))
    }

    /// Who sends, and to whom its key may.
    ///
    /// # Errors
    /// As [`Call::account`].
    pub fn sending(&self) -> Result<Sending, Problem> {
        let caller = self.caller()?;
        let reach = match caller.kind {
            KeyKind::Live | KeyKind::Operator => Reach::Live,
            KeyKind::Team => Reach::Team,
            KeyKind::Test => Reach::Test,
        };
        Ok(Sending { account: self.account()?, key: Some(caller.key), reach })
    }

    /// Whether phone numbers are shown in full.
    ///
    /// # Errors
    /// As [`Call::caller`].
    pub fn sees_numbers(&self) -> Result<bool, Problem> {
        Ok(self.caller()?.scopes.has(KeyScope::Numbers))
    }

    /// The path's parameter as an id.
    ///
    /// # Errors
    /// 404: what is no id names nothing.
    pub fn id<T: FromStr>(&self) -> Result<T, Problem> {
        self.parameter.parse().map_err(|_| Problem::not_found())
    }

    /// Reads a JSON object by its fields; `read` answers none only when it has reported why.
    ///
    /// # Errors
    /// 400 when it is no JSON, 422 with all findings of `read` and all unknown fields.
    pub fn fields<T>(&self, read: impl FnOnce(&mut Fields<'_, '_, '_>) -> Option<T>) -> Result<T, Problem> {
        let node = crate::send::json(crate::send::utf8(&self.body)?)?;
        let mut found = Vec::new();
        let value = Fields::open(&node, Place::default(), &mut found).and_then(|mut fields| {
            let value = read(&mut fields);
            fields.close();
            value
        });
        match value {
            Some(value) if found.is_empty() => Ok(value),
            _ => Err(Problem::fields(found)),
        }
    }

    /// Checks that the body asks for nothing: there is none, or an object without fields.
    ///
    /// # Errors
    /// 400 when it is no JSON, 422 with all its fields.
    pub fn no_fields(&self) -> Result<(), Problem> {
        if self.body.trim_ascii().is_empty() { Ok(()) } else { self.fields(|_| Some(())) }
    }

    /// The idempotency key of the call.
    ///
    /// # Errors
    /// 400 when the key is not 1 to 255 characters of `A-Za-z0-9._-` (IDM-01).
    pub fn idempotency_text(&self) -> Result<Option<String>, Problem> {
        let Some(value) = &self.idempotency_key else { return Ok(None) };
        let Some(key) = value.to_str().ok().filter(|key| is_token(key, 255)) else {
            let detail = "must be 1 to 255 characters of A-Za-z0-9._-";
            return Err(Problem::at(Code::BadRequest, "Idempotency-Key", detail));
        };
        Ok(Some(key.to_owned()))
    }

    /// The idempotency key of the call, bound to its body.
    ///
    /// # Errors
    /// As [`Call::idempotency_text`].
    pub fn idempotency(&self, route: &'static str) -> Result<Option<Idempotency>, Problem> {
        let Some(key) = self.idempotency_text()? else { return Ok(None) };
        let mut body_hash = [0; 32];
        body_hash.copy_from_slice(digest(&SHA256, &self.body).as_ref());
        Ok(Some(Idempotency { key, body_hash, route }))
    }

    /// Takes messages from what the account may send a second.
    ///
    /// # Errors
    /// 429 when they are too many for now.
    pub async fn count_messages(&self, count: usize) -> Result<Quota, Problem> {
        let (account, rate) = (self.account()?, self.caller()?.rate_per_s);
        let limit = Limit { rate_per_s: rate, burst: self.app.config.messages_burst.max(rate) };
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        limit::take(&*self.app.cache, Bucket::Messages(account), limit, count, self.app.clock.now()).await
    }
}
