//! Tells customers what became of their messages: signed calls to their endpoints (webhooks), by the log of events.
//!
//! An endpoint is one process's at a time, and one task's in it. It reads the log from where it stopped, stores what it
//! takes, calls, and stores what came of it: after a crash an event is told again with the same `webhook-id`, never lost.

mod body;
mod client;
mod endpoint;
mod metrics;
mod reports;
mod resolve;
mod trial;

pub use body::event_type;
pub use bongsu_domain::webhook::{Policy, Schedule, Target};
pub use client::{Client, ClientConfig, Connections, Message, Refused, Seen};
pub use endpoint::{Endpoint, Progress};
pub use reports::{Reports, Setup};
pub use trial::{Trial, tell_once};

use bongsu_wire::webhook::SigningSecret;

/// The text of a secret as a customer gets it; the bytes are those that the store made.
pub fn secret_text(bytes: &[u8]) -> String {
    SigningSecret::new(bytes.to_vec()).map(|secret| secret.expose()).unwrap_or_default()
}
