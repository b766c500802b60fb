//! `/v1/keys`: API keys, shown once and stored hashed.

use bongsu_domain::{AccountId, Code, KeyId};
use bongsu_send::{Finding, Scope};
use bongsu_store::keys::{self, KeyKind, KeyScope, Scopes};

use crate::call::{Call, Caller};
use crate::fields::Fields;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::view;

/// What a caller wants of a new key.
struct Wanted {
    account: Option<AccountId>,
    scopes: Scopes,
    kind: KeyKind,
}

/// Creates a key. No key makes one that may do more than itself.
pub async fn create_key(call: Call) -> Result<Reply, Problem> {
    let caller = call.caller()?;
    let wanted = call.fields(|fields| wanted(fields, &caller))?;
    let account = match (caller.scope, wanted.account) {
        (Scope::Account(own), Some(asked)) if asked != own => return Err(Problem::not_found()),
        (Scope::Account(own), _) => Some(own),
        (Scope::Operator, asked) => asked,
    };
    if account.is_none() && wanted.kind != KeyKind::Operator {
        let missing = Finding::new("account", Code::BadRequest, "is required unless the kind is operator");
        return Err(Problem::fields(vec![missing]));
    }
    let created = keys::create(call.app.service.store(), account, wanted.scopes).await?;
    Ok(Reply::json(201, &view::CreatedKey::new(&created)))
}

fn wanted(fields: &mut Fields<'_, '_, '_>, caller: &Caller) -> Option<Wanted> {
    let mut account = None;
    if let Some(text) = fields.text("account") {
        account = text.parse().ok();
        if account.is_none() {
            fields.wrong("account", Code::BadRequest, "must be an account id");
        }
    }
    let mut scopes = scopes(fields);
    let kind = kind(fields)?;
    if kind == KeyKind::Operator {
        if account.is_some() {
            fields.wrong("account", Code::BadRequest, "an operator key belongs to no account");
        }
        scopes = scopes.with(KeyScope::Operator);
    } else if scopes == Scopes::NONE {
        fields.wrong("scopes", Code::BadRequest, "must name at least one scope");
    } else if scopes.has(KeyScope::Operator) {
        fields.wrong("scopes", Code::BadRequest, "operator is for keys of the kind operator");
    }
    for scope in KeyScope::ALL {
        if scopes.has(scope) && !caller.scopes.has(scope) {
            fields.wrong("scopes", Code::Forbidden, format!("your own key lacks {}", scope.as_str()));
        }
    }
    Some(Wanted { account, scopes, kind })
}

fn scopes(fields: &mut Fields<'_, '_, '_>) -> Scopes {
    let mut scopes = Scopes::NONE;
    for word in fields.texts("scopes").unwrap_or_default() {
        match KeyScope::parse(word) {
            Some(scope) => scopes = scopes.with(scope),
            None => {
                let all: Vec<_> = KeyScope::ALL.into_iter().map(KeyScope::as_str).collect();
                fields.wrong("scopes", Code::BadRequest, format!("each must be one of {}", all.join(", ")));
            }
        }
    }
    scopes
}

fn kind(fields: &mut Fields<'_, '_, '_>) -> Option<KeyKind> {
    let Some(word) = fields.text("kind") else { return Some(KeyKind::Live) };
    let kind = KeyKind::parse(word);
    match (kind, word) {
        (None, "test" | "team") => {
            fields.wrong("kind", Code::FeatureNotEnabled, format!("{word} is not available yet"))
        }
        (None, _) => fields.wrong("kind", Code::BadRequest, "must be live or operator"),
        _ => {}
    }
    kind
}

/// Lists keys; never the secret part.
pub async fn list_keys(mut call: Call) -> Result<Reply, Problem> {
    let account = call.account_or_all()?;
    let (limit, after) = (call.query.limit(), call.query.cursor::<KeyId>());
    call.query.close()?;
    let rows = keys::list(call.app.service.store(), account, limit, after).await?;
    let next = view::next_cursor(&rows, limit, |row| row.id);
    Ok(Reply::json(200, &view::Page { items: rows.iter().map(view::Key::new).collect(), next_cursor: next }))
}

/// Reads a key.
pub async fn find_key(call: Call) -> Result<Reply, Problem> {
    let row = keys::get(call.app.service.store(), call.account_or_all()?, call.id()?).await?;
    Ok(Reply::json(200, &view::Key::new(&row)))
}

/// Revokes a key.
pub async fn revoke_key(call: Call) -> Result<Reply, Problem> {
    keys::revoke(call.app.service.store(), call.account_or_all()?, call.id()?).await?;
    Ok(Reply::empty(204))
}
