//! `/v1/audit-log`: who changed what.

use bongsu_domain::KeyId;
use bongsu_store::audit_log::{self, AuditFilter, Kinds};

use crate::call::Call;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::view;

/// Lists calls that changed something or were refused to, newest first.
pub async fn list_audit_log(mut call: Call) -> Result<Reply, Problem> {
    let account = call.account_or_all()?;
    let key = call.query.parsed("key", "an id of an API key", |text| text.parse::<KeyId>().ok());
    let (since, until) = (call.query.time("since"), call.query.time("until"));
    let (limit, after) =
        (call.query.limit(), call.query.parsed("cursor", "a nextCursor of this list", view::parse_number));
    let operation = call.query.text("operation").map(str::to_owned);
    let kinds = call.query.parsed("kind", "changes, sends or all", |text| match text {
        "changes" => Some(Kinds::Changes),
        "sends" => Some(Kinds::Sends),
        "all" => Some(Kinds::All),
        _ => None,
    });
    call.query.close()?;
    let kinds = kinds.unwrap_or_else(|| operation.as_deref().map_or(Kinds::All, Kinds::of));
    let filter = AuditFilter { account, key, operation, since, until, after, limit, kinds };
    let page = audit_log::list(call.app.service.store(), filter).await?;
    let next_cursor = page.next.map(view::number);
    Ok(Reply::json(200, &view::Page { items: page.rows.iter().map(view::Audited::new).collect(), next_cursor }))
}
