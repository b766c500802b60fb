//! Health, metrics and the OpenAPI document: open to everybody, without anybody's data.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use crate::call::Call;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::view;

/// The document.
pub async fn openapi_document(call: Call) -> Result<Reply, Problem> {
    Ok(Reply::raw(200, call.app.openapi.clone()))
}

/// Alive: the process answers.
pub async fn live(_: Call) -> Result<Reply, Problem> {
    Ok(Reply::json(200, &view::Live { status: "live" }))
}

/// Ready: 200 when every dependency works, else 503; both name each of them.
pub async fn ready(call: Call) -> Result<Reply, Problem> {
    let ready = view::Ready::new(call.app.service.ready().await);
    Ok(Reply::json(if ready.is_ready() { 200 } else { 503 }, &ready))
}

/// Metrics of the pipeline and of this room.
pub async fn metrics(call: Call) -> Result<Reply, Problem> {
    let mut text = call.app.service.metrics().await;
    let sockets = call.app.config.sockets.load(Ordering::Relaxed);
    writeln!(text, "# HELP bongsu_sockets Open client connections.\n# TYPE bongsu_sockets gauge")
        .and_then(|()| writeln!(text, "bongsu_sockets{{protocol=\"http\"}} {sockets}"))
        .expect("a string takes all text");
    Ok(Reply::text("text/plain; version=0.0.4; charset=utf-8", text))
}
