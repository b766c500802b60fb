//! Health, metrics and the OpenAPI document: open to everybody, without anybody's data.

use std::sync::atomic::Ordering;

use bongsu_domain::Code;

use crate::app::App;
use crate::call::Call;
use crate::page;
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

/// Ready: 200 when everything works that this process needs, else 503; both name each thing, also those without which it is
/// only slower.
pub async fn ready(call: Call) -> Result<Reply, Problem> {
    let app = &call.app;
    let ready = view::Ready::new(app.service.ready().await, useful(app));
    Ok(Reply::json(if ready.is_ready() { 200 } else { 503 }, &ready))
}

/// Things that the process goes on without.
fn useful(app: &App) -> Vec<view::Checked> {
    let up = |up: bool, why: Option<String>| {
        if up { Ok(()) } else { Err(why.unwrap_or_else(|| "not connected yet".to_owned())) }
    };
    let (cache, bus) = (app.cache.health(), app.bus.health());
    let down: Vec<String> =
        app.service.links().into_iter().filter(|(_, health)| !health.up).map(|(name, _)| name).collect();
    let relays = if down.is_empty() { Ok(()) } else { Err(format!("down: {}", down.join(", "))) };
    let mut checks = vec![("relays", relays)];
    let store = app.service.store();
    if let Some(validity) = store.validity() {
        let late = "not renewed in time; nothing is sent until they are";
        checks.push(("leases", if validity.is_good() { Ok(()) } else { Err(late.to_owned()) }));
    }
    if let Some(answers) = store.replica_answers() {
        let away = "does not answer; history is read from the primary";
        checks.push(("replica", if answers { Ok(()) } else { Err(away.to_owned()) }));
    }
    checks.push(("cache", up(cache.up, cache.last_error)));
    checks.push(("bus", up(bus.up, bus.last_error)));
    checks
}

/// The page for people, in the language of `?lang=` or of the browser.
pub async fn docs_page(call: Call) -> Result<Reply, Problem> {
    let korean = match call.query.text("lang") {
        Some("ko") => true,
        Some("en") => false,
        Some(_) => return Err(Problem::at(Code::BadRequest, "lang", "must be ko or en")),
        None => call.prefers_korean,
    };
    Ok(Reply::page(call.app.docs[usize::from(korean)].clone()))
}

/// Metrics of the pipeline and of this room.
pub async fn metrics(call: Call) -> Result<Reply, Problem> {
    Ok(Reply::text("text/plain; version=0.0.4; charset=utf-8", metrics_text(&call.app).await))
}

/// The text of `/metrics`.
pub async fn metrics_text(app: &App) -> String {
    let mut text = app.service.metrics().await;
    let sockets = app.config.sockets.load(Ordering::Relaxed);
    page::gauge(
        &mut text,
        "bongsu_sockets",
        "Open client connections.",
        [("protocol=\"http\"".to_owned(), sockets as u64)],
    );
    page::processes(&mut text, &app.service);
    page::engines(&mut text, &*app.cache, &*app.bus);
    text
}
