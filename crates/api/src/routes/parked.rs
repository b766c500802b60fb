//! `/v1/parked`: messages that could not be processed, for an operator to look at and replay.

use bongsu_domain::MessageId;

use crate::call::Call;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::view;

/// Lists parked messages.
pub async fn list_parked(mut call: Call) -> Result<Reply, Problem> {
    let scope = call.scope()?;
    let limit = call.query.limit();
    call.query.close()?;
    let cursor = call.query.text("cursor").map(str::to_owned);
    let page = call.app.service.parked(scope, limit, cursor).await?;
    let items = page.items.iter().map(view::Parked::new).collect();
    Ok(Reply::json(200, &view::Page { items, next_cursor: page.next_cursor }))
}

/// Puts a parked message back into its lane.
pub async fn replay_parked(call: Call) -> Result<Reply, Problem> {
    call.app.service.replay(call.scope()?, call.id::<MessageId>()?).await?;
    Ok(Reply::empty(202))
}
