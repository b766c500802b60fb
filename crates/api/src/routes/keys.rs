//! `/v1/keys`: API keys, shown once and stored hashed.

use bongsu_domain::{AccountId, Code, KeyId, Network};
use bongsu_send::{Finding, Scope};
use bongsu_store::keys::{self, KeyKind, KeyPatch, KeyScope, KeySpec, Role, Scopes, Signing};

use crate::call::Call;
use crate::fields::Fields;
use crate::problem::Problem;
use crate::reach::{self, Own};
use crate::reply::Reply;
use crate::view;

/// Creates a key. No key makes one that may do more, or reach further, than itself.
pub async fn create_key(call: Call) -> Result<Reply, Problem> {
    let caller = call.caller()?;
    let own = Own::of(&call).await?;
    let mut spec = call.fields(|fields| wanted(fields, &own))?;
    spec.account = match (caller.scope, spec.account) {
        (Scope::Account(own), Some(asked)) if asked != own => return Err(Problem::not_found()),
        (Scope::Account(own), _) => Some(own),
        (Scope::Operator, asked) => asked,
    };
    if spec.account.is_none() && spec.kind != KeyKind::Operator {
        let missing = Finding::new("account", Code::BadRequest, "is required unless the kind is operator");
        return Err(Problem::fields(vec![missing]));
    }
    let created = keys::create_with(call.app.service.store(), spec).await?;
    Ok(Reply::json(201, &view::CreatedKey::new(&created)))
}

fn wanted(fields: &mut Fields<'_, '_, '_>, own: &Own) -> Option<KeySpec> {
    let mut account: Option<AccountId> = None;
    if let Some(text) = fields.text("account") {
        account = text.parse().ok();
        if account.is_none() {
            fields.wrong("account", Code::BadRequest, "must be an account id");
        }
    }
    let role = role(fields);
    let mut scopes = scopes(fields);
    if let Some(role) = role {
        if scopes != Scopes::NONE {
            fields.wrong("scopes", Code::BadRequest, "cannot be given beside role, which names scopes");
        }
        scopes = role.scopes();
    }
    let name = fields.text("name").unwrap_or_default().to_owned();
    let ip_allow = networks(fields).unwrap_or_default();
    let signing = fields.choice("signing", &Signing::ALL.map(|signing| (signing.as_str(), signing)));
    let kind = kind(fields, role)?;
    if kind == KeyKind::Operator {
        if account.is_some() {
            fields.wrong("account", Code::BadRequest, "an operator key belongs to no account");
        }
        scopes = scopes.with(KeyScope::Operator);
    } else if scopes == Scopes::NONE {
        fields.wrong("scopes", Code::BadRequest, "must name at least one scope, unless role names them");
    } else if scopes.has(KeyScope::Operator) {
        fields.wrong("scopes", Code::BadRequest, "operator is for keys of the kind operator");
    }
    for beyond in own.beyond(scopes, kind, &ip_allow) {
        fields.wrong(&beyond.field, beyond.code, beyond.detail);
    }
    Some(KeySpec { account, kind, scopes, name, ip_allow, signing: signing.unwrap_or_default() })
}

fn role(fields: &mut Fields<'_, '_, '_>) -> Option<Role> {
    fields.choice("role", &Role::ALL.map(|role| (role.as_str(), role)))
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

/// The kind: of the role operator unless named, else live.
fn kind(fields: &mut Fields<'_, '_, '_>, role: Option<Role>) -> Option<KeyKind> {
    if fields.text("kind").is_none() {
        return Some(if role == Some(Role::Operator) { KeyKind::Operator } else { KeyKind::Live });
    }
    fields.choice("kind", &KeyKind::ALL.map(|kind| (kind.as_str(), kind)))
}

fn networks(fields: &mut Fields<'_, '_, '_>) -> Option<Vec<Network>> {
    let texts = fields.texts("ipAllow")?;
    let read: Result<Vec<Network>, _> = texts.iter().map(|text| text.parse::<Network>()).collect();
    match read {
        Ok(networks) => Some(networks),
        Err(error) => {
            fields.wrong("ipAllow", Code::BadRequest, format!("each {error}"));
            None
        }
    }
}

/// Switches a key on or off, renames it, or names the networks it may be used from.
pub async fn update_key(call: Call) -> Result<Reply, Problem> {
    let patch = call.fields(|fields| {
        Some(KeyPatch {
            active: fields.flag("active"),
            name: fields.text("name").map(str::to_owned),
            ip_allow: networks(fields),
        })
    })?;
    reach::check_change(&call, call.id()?, &patch).await?;
    let row = keys::patch(call.app.service.store(), call.account_or_all()?, call.id()?, patch).await?;
    Ok(Reply::json(200, &view::Key::new(&row)))
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
    reach::check_end(&call, call.id()?).await?;
    keys::revoke(call.app.service.store(), call.account_or_all()?, call.id()?).await?;
    Ok(Reply::empty(204))
}
