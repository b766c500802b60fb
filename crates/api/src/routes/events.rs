//! `/v1/events`: what happened to messages, in one order, to be read on and on.

use bongsu_domain::EventId;
use bongsu_domain::id::first_id_at;

use crate::call::Call;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::view;

/// Lists events after a position, oldest first. Whoever goes on after `nextCursor` each time misses none.
pub async fn list_events(mut call: Call) -> Result<Reply, Problem> {
    let scope = call.scope()?;
    let limit = call.query.limit();
    let after = call.query.parsed("after", "an id of an event, or a nextCursor of this list", |text| {
        text.parse::<EventId>().ok().filter(|id| id.0 >= 0)
    });
    let since = call.query.time("since");
    if after.is_some() && since.is_some() {
        call.query.wrong("since", "cannot be given with after");
    }
    call.query.close()?;
    // Positions begin with the time, as ids do.
    let after = after.map_or_else(|| since.map_or(0, |since| first_id_at(since) - 1).max(0), |after| after.0);
    let service = &call.app.service;
    let page = service.events(scope, after, limit).await?;
    let relay = |no| service.relay_name(no);
    let items = page.events.iter().map(|event| view::Event::new(event, &relay)).collect();
    Ok(Reply::json(200, &view::Page { items, next_cursor: Some(EventId(page.next).to_string()) }))
}
