//! `/v1/accounts`: the customers of an installation.

use bongsu_domain::{AccountId, Code};
use bongsu_send::{STEPS_MAX, Scope};
use bongsu_store::accounts::{self, AccountPatch, DEDUPE_MAX_S, RATE_MAX};

use crate::call::Call;
use crate::fields::Fields;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::view;

/// Writes the steps of an account's messages to the log of this process for so many minutes; 0 ends it.
pub async fn look_at_account(call: Call) -> Result<Reply, Problem> {
    let most = i64::try_from(STEPS_MAX.as_secs() / 60).unwrap_or(i64::MAX);
    let minutes = call.fields(|fields| Some(fields.required_whole("minutes", 0, most)))?;
    let account = accounts::get(call.app.service.store(), call.id()?).await?.id;
    let until = call.app.clock.now().plus(std::time::Duration::from_secs(minutes.unsigned_abs() * 60));
    call.app.service.look_at(account, until)?;
    let shown = (minutes > 0).then(|| until.rfc3339());
    Ok(Reply::json(200, &serde_json::json!({"account": account.to_string(), "until": shown})))
}

/// Creates an account.
pub async fn create_account(call: Call) -> Result<Reply, Problem> {
    let (name, window) = call.fields(|fields| {
        let name = fields.required_text("name").to_owned();
        Some((name, window(fields)))
    })?;
    let row = accounts::create_with(call.app.service.store(), &name, window.unwrap_or(0)).await?;
    Ok(Reply::json(201, &view::Account::new(&row)))
}

/// Lists accounts.
pub async fn list_accounts(mut call: Call) -> Result<Reply, Problem> {
    let (limit, after) = (call.query.limit(), call.query.cursor::<AccountId>());
    call.query.close()?;
    let rows = accounts::list(call.app.service.store(), limit, after).await?;
    let next = view::next_cursor(&rows, limit, |row| row.id);
    Ok(Reply::json(200, &view::Page { items: rows.iter().map(view::Account::new).collect(), next_cursor: next }))
}

/// Reads an account: any as an operator, else one's own.
pub async fn find_account(call: Call) -> Result<Reply, Problem> {
    let row = accounts::get(call.app.service.store(), own(&call)?).await?;
    Ok(Reply::json(200, &view::Account::new(&row)))
}

/// The account of the path, if the caller may name it.
fn own(call: &Call) -> Result<AccountId, Problem> {
    let id = call.id()?;
    match call.caller()?.scope {
        Scope::Account(own) if own != id => Err(Problem::not_found()),
        _ => Ok(id),
    }
}

/// Renames, suspends or limits an account, or sets its window against equal messages or what it says of itself in
/// advertisements; an account's own keys set the last alone.
pub async fn update_account(call: Call) -> Result<Reply, Problem> {
    let patch = call.fields(|fields| {
        Some(AccountPatch {
            ad_name: fields.text("adName").map(str::to_owned),
            opt_out: fields.text("optOutNumber").map(str::to_owned),
            name: fields.text("name").map(str::to_owned),
            suspended: fields.flag("suspended"),
            rate_per_s: fields.whole("ratePerS", 1, i64::from(RATE_MAX)).and_then(|rate| u32::try_from(rate).ok()),
            dedupe_s: window(fields),
        })
    })?;
    let id = own(&call)?;
    let is_operators =
        patch.name.is_some() || patch.suspended.is_some() || patch.rate_per_s.is_some() || patch.dedupe_s.is_some();
    if is_operators && call.caller()?.scope != Scope::Operator {
        return Err(Problem::new(Code::Forbidden, "an account's own key sets adName and optOutNumber only"));
    }
    let row = accounts::patch(call.app.service.store(), id, patch).await?;
    Ok(Reply::json(200, &view::Account::new(&row)))
}

fn window(fields: &mut Fields<'_, '_, '_>) -> Option<u32> {
    fields.whole("dedupeS", 0, i64::from(DEDUPE_MAX_S)).and_then(|seconds| u32::try_from(seconds).ok())
}
