//! `/v1/attempts?outcome=unknown`: attempts of which nobody can say whether they reached the relay.

use bongsu_domain::Code;

use crate::call::Call;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::view;

/// Lists unknown attempts, the resolved ones too: a duplicate at a relay is one of them.
pub async fn list_attempts(mut call: Call) -> Result<Reply, Problem> {
    let scope = call.scope()?;
    if call.query.text("outcome") != Some("unknown") {
        return Err(Problem::at(Code::BadRequest, "outcome", "must be unknown"));
    }
    let limit = call.query.limit();
    call.query.close()?;
    let cursor = call.query.text("cursor").map(str::to_owned);
    let page = call.app.service.unknown_attempts(scope, limit, cursor).await?;
    let items = page.items.iter().map(view::Unknown::new).collect();
    Ok(Reply::json(200, &view::Page { items, next_cursor: page.next_cursor }))
}
