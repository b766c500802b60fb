//! `/v1/messages/{id}/why`, `/v1/messages/{id}/trace` and `/v1/traces/{id}`: what happened to a message, and why.

use bongsu_domain::MessageId;

use crate::call::Call;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::view;

/// What decided about a message.
pub async fn explain_message(call: Call) -> Result<Reply, Problem> {
    let why = call.app.service.why(call.scope()?, call.id::<MessageId>()?).await?;
    Ok(Reply::json(200, &view::why(&why)))
}

/// Every step of a message.
pub async fn trace_message(call: Call) -> Result<Reply, Problem> {
    let trace = call.app.service.trace(call.scope()?, call.id::<MessageId>()?).await?;
    Ok(Reply::json(200, &view::trace(&trace, call.sees_numbers()?)))
}

/// What a message, batch, group or request id leads to.
pub async fn find_trace(mut call: Call) -> Result<Reply, Problem> {
    let range = (call.query.time("since"), call.query.time("until"));
    call.query.close()?;
    let traced = call.app.service.trace_any(call.scope()?, &call.parameter, range).await?;
    Ok(Reply::json(200, &view::traced(&traced, call.sees_numbers()?)))
}
