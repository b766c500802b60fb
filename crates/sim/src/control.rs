//! The control interface: counters, inbox, list of submits, script, and the switches of the relays.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::core::Core;
use crate::script::Script;

/// Rows of `/seen` that are written at a time, so that the relay is not held up.
const SEEN_ROWS: usize = 4_096;
/// Longest script.
const SCRIPT_MAX: usize = 1024 * 1024;

pub(crate) fn router(core: Arc<Core>) -> Router {
    Router::new()
        .route("/stats", get(read_stats))
        .route("/inbox", get(read_inbox))
        .route("/seen", get(list_seen))
        .route("/script", put(replace_script))
        .route("/relays/{name}/{action}", post(switch_relay))
        .layer(DefaultBodyLimit::max(SCRIPT_MAX))
        .with_state(core)
}

async fn read_stats(State(core): State<Arc<Core>>) -> Response {
    Json(core.stats()).into_response()
}

#[derive(Deserialize)]
struct InboxQuery {
    to: String,
}

async fn read_inbox(State(core): State<Arc<Core>>, Query(query): Query<InboxQuery>) -> Response {
    Json(core.inbox(&query.to)).into_response()
}

async fn replace_script(State(core): State<Arc<Core>>, body: String) -> Response {
    match Script::parse(&body).and_then(|script| core.set_script(script)) {
        Ok(()) => Json(json!({ "relays": core.names() })).into_response(),
        Err(error) => {
            let problem = |p: &crate::script::Problem| json!({ "path": p.path, "what": p.what });
            let problems: Vec<Value> = error.0.iter().map(problem).collect();
            let body = json!({ "error": error.to_string(), "problems": problems });
            (StatusCode::BAD_REQUEST, Json(body)).into_response()
        }
    }
}

async fn switch_relay(State(core): State<Arc<Core>>, Path((name, action)): Path<(String, String)>) -> Response {
    let done = match action.as_str() {
        "stop" => core.stop_relay(&name).await,
        "start" => core.start_relay(&name).await,
        "silent" => core.silence(&name),
        _ => return problem(StatusCode::NOT_FOUND, "the actions are stop, start and silent"),
    };
    match done {
        Ok(()) => Json(json!({ "relay": name, "action": action })).into_response(),
        Err(error) if core.names().contains(&name) => problem(StatusCode::CONFLICT, &error.to_string()),
        Err(error) => problem(StatusCode::NOT_FOUND, &error.to_string()),
    }
}

fn problem(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({ "error": text }))).into_response()
}

#[derive(Serialize)]
struct SeenRow<'a> {
    to: String,
    from: String,
    reference: Option<u16>,
    relay: &'a str,
}

/// Every distinct submit that a relay took, one JSON object a line.
async fn list_seen(State(core): State<Arc<Core>>) -> Response {
    let rows = stream::unfold((core, 0, 0), |(core, relay, row)| async move {
        let (bytes, relay, row) = next_rows(&core, relay, row)?;
        Some((Ok::<_, std::convert::Infallible>(bytes), (core, relay, row)))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(rows)).into_response()
}

/// The next lines from that row of that relay on, and where to go on after them.
fn next_rows(core: &Core, mut index: usize, mut start: usize) -> Option<(Bytes, usize, usize)> {
    loop {
        let relay = core.relay_at(index)?;
        let state = relay.lock();
        let rows = state.seen.rows(start, SEEN_ROWS);
        if rows.is_empty() {
            (index, start) = (index + 1, 0);
            continue;
        }
        let mut lines = Vec::with_capacity(rows.len() * 80);
        for row in rows {
            let line = SeenRow {
                to: state.names.national(row.to),
                from: state.names.national(row.from),
                reference: row.reference,
                relay: &relay.name,
            };
            serde_json::to_writer(&mut lines, &line).expect("strings and numbers go into memory");
            lines.push(b'\n');
        }
        return Some((lines.into(), index, start + rows.len()));
    }
}
