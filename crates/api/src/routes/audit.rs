//! `/v1/audit`: what the store counts by itself, for `bongsu audit --url`.

use crate::call::Call;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::view;

/// Counts what was promised against what is there. It reads every run: for an operator, not for a dashboard.
pub async fn count_totals(call: Call) -> Result<Reply, Problem> {
    let totals = bongsu_store::audit::totals(call.app.service.store()).await?;
    Ok(Reply::json(200, &view::Totals::new(&totals)))
}
