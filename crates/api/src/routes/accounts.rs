//! `/v1/accounts`: the customers of an installation.

use bongsu_domain::AccountId;
use bongsu_store::accounts::{self, AccountPatch, DEDUPE_MAX_S, RATE_MAX};

use crate::call::Call;
use crate::fields::Fields;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::view;

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

/// Reads an account.
pub async fn find_account(call: Call) -> Result<Reply, Problem> {
    let row = accounts::get(call.app.service.store(), call.id()?).await?;
    Ok(Reply::json(200, &view::Account::new(&row)))
}

/// Renames, suspends or limits an account, or sets its window against equal messages.
pub async fn update_account(call: Call) -> Result<Reply, Problem> {
    let patch = call.fields(|fields| {
        Some(AccountPatch {
            name: fields.text("name").map(str::to_owned),
            suspended: fields.flag("suspended"),
            rate_per_s: fields.whole("ratePerS", 1, i64::from(RATE_MAX)).and_then(|rate| u32::try_from(rate).ok()),
            dedupe_s: window(fields),
        })
    })?;
    let row = accounts::patch(call.app.service.store(), call.id()?, patch).await?;
    Ok(Reply::json(200, &view::Account::new(&row)))
}

fn window(fields: &mut Fields<'_, '_, '_>) -> Option<u32> {
    fields.whole("dedupeS", 0, i64::from(DEDUPE_MAX_S)).and_then(|seconds| u32::try_from(seconds).ok())
}
