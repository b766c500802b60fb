//! The HTTP door of Bongsu: routes, JSON shapes, keys and scopes, problems, limits, OpenAPI, and the accept loop.
//!
//! `route.rs` holds the one table of routes; the router, the authorisation and the OpenAPI document come from it.
//! A request goes through `accept.rs`, `door.rs`, and a handler under `routes/`.

mod accept;
mod app;
mod call;
mod context;
mod csv;
mod docs_page;
mod door;
mod fields;
mod journal;
mod limit;
mod openapi;
mod origin;
mod page;
mod peer;
mod problem;
mod query;
mod reach;
pub mod reference;
mod remembered;
mod reply;
mod route;
mod routes;
mod rows;
mod send;
mod signing;
mod streams;
mod tree;
mod view;

pub use accept::{Limits, Sockets, serve};
pub use app::{ApiConfig, App};
pub use axum::Router;
pub use context::current_request;
pub use openapi::openapi;
pub use page::SHARED_METRICS;
pub use route::{probes, router};
pub use routes::health::metrics_text;

#[cfg(test)]
mod tests;
