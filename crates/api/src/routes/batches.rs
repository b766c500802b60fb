//! `/v1/batches`: what is done with a whole batch after its accept.

use bongsu_domain::RequestId;

use super::messages::read_time;
use crate::call::Call;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::{reach, view};

/// Cancels what of a batch has not left.
pub async fn cancel_batch(call: Call) -> Result<Reply, Problem> {
    let id = call.id::<RequestId>()?;
    reach::check_batch(&call, id).await?;
    let done = call.app.service.cancel_batch(call.scope()?, id).await?;
    Ok(Reply::json(200, &view::CanceledBatch::new(id, done)))
}

/// Has what of a batch waits for its time leave at another one.
pub async fn reschedule_batch(call: Call) -> Result<Reply, Problem> {
    let at = read_time(&call)?;
    let id = call.id::<RequestId>()?;
    reach::check_batch(&call, id).await?;
    let (send_at, messages) = call.app.service.reschedule_batch(call.scope()?, id, at).await?;
    Ok(Reply::json(200, &view::MovedBatch::new(id, send_at, messages)))
}
