//! `/v1/wallet`: balances and the ledger they are the sum of.

use bongsu_domain::{AccountId, Unit};
use bongsu_store::wallet::{self, MAX_AMOUNT};

use super::prices::unit;
use crate::call::Call;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::view;

/// Reads the balances.
pub async fn find_wallet(call: Call) -> Result<Reply, Problem> {
    let balances = wallet::balances(call.app.service.store(), call.account()?).await?;
    Ok(Reply::json(200, &view::Wallet::new(&balances)))
}

/// Lists ledger entries.
pub async fn list_entries(mut call: Call) -> Result<Reply, Problem> {
    let account = call.account()?;
    let query = &mut call.query;
    let unit = query.parsed("unit", "point:sms, point:kakao or krw", Unit::parse);
    let (limit, before) = (query.limit(), query.cursor::<i64>());
    query.close()?;
    let rows = wallet::entries(call.app.service.store(), account, unit, limit, before).await?;
    let next = view::next_cursor(&rows, limit, |row| row.seq);
    Ok(Reply::json(200, &view::Page { items: rows.iter().map(view::Entry::new).collect(), next_cursor: next }))
}

/// Credits an account. The same cause and amount again is the same credit.
pub async fn create_credit(call: Call) -> Result<Reply, Problem> {
    let (account, unit, amount, cause) = call.fields(|fields| {
        let account = fields.required("account", "an account id", |text| text.parse::<AccountId>().ok());
        let unit = unit(fields);
        let amount = fields.required_whole("amount", 1, MAX_AMOUNT);
        let cause = fields.required_text("cause").to_owned();
        Some((account?, unit?, amount, cause))
    })?;
    let entry = wallet::top_up(call.app.service.store(), account, unit, amount, &cause).await?;
    Ok(Reply::json(201, &view::Entry::new(&entry)))
}
