//! How endpoints of customers and deliveries to them are shown.

use bongsu_domain::{AccountId, DeliveryId, EventId, MessageId, WebhookId};
use bongsu_report::secret_text;
use bongsu_store::webhooks::{DeliveryRow, Disabled, NewSecret, WebhookRow};
use serde::Serialize;

use super::{Shown, Time};

/// An endpoint without its secret.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Webhook<'a> {
    id: Shown<WebhookId>,
    account: Shown<AccountId>,
    url: &'a str,
    events: &'a [String],
    description: &'a str,
    include_pii: bool,
    batch: u16,
    concurrency: u16,
    schedule: &'a [u32],
    static_header: Option<Header<'a>>,
    disabled: bool,
    disabled_reason: Option<&'static str>,
    old_secret_until: Option<Time>,
    created_at: Time,
}

/// The name of an own header; its value is a secret of somebody.
#[derive(Debug, Serialize)]
struct Header<'a> {
    name: &'a str,
}

impl<'a> Webhook<'a> {
    /// Shows an endpoint.
    pub fn new(row: &'a WebhookRow) -> Self {
        let settings = &row.settings;
        Self {
            id: Shown(row.id),
            account: Shown(row.account),
            url: &settings.url,
            events: &settings.events,
            description: &settings.description,
            include_pii: settings.include_pii,
            batch: settings.batch,
            concurrency: settings.concurrency,
            schedule: settings.schedule.minutes(),
            static_header: settings.header.as_ref().map(|(name, _)| Header { name }),
            disabled: row.disabled.is_some(),
            disabled_reason: row.disabled.map(Disabled::as_str),
            old_secret_until: row.old_secret_until.map(Time),
            created_at: Time(row.created),
        }
    }
}

/// An endpoint with a secret that is shown once.
#[derive(Debug, Serialize)]
pub struct SecretWebhook<'a> {
    #[serde(flatten)]
    webhook: Webhook<'a>,
    secret: String,
}

impl<'a> SecretWebhook<'a> {
    /// Shows a new secret.
    pub fn new(new: &'a NewSecret) -> Self {
        Self { webhook: Webhook::new(&new.row), secret: secret_text(&new.secret) }
    }
}

/// What an endpoint was told, or is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery<'a> {
    id: Shown<DeliveryId>,
    event_id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    message_id: Option<Shown<MessageId>>,
    events: usize,
    status: &'static str,
    attempts: u16,
    next_at: Option<Time>,
    last_at: Option<Time>,
    http_status: Option<u16>,
    duration_ms: u32,
    reason: Option<&'a str>,
    answer: String,
}

impl<'a> Delivery<'a> {
    /// Shows a delivery.
    pub fn new(row: &'a DeliveryRow) -> Self {
        let event_id = match row.positions.first() {
            Some(position) if !row.is_batch => EventId(*position).to_string(),
            _ => row.id.to_string(),
        };
        Self {
            id: Shown(row.id),
            event_id,
            kind: bongsu_report::event_type(row.kind),
            message_id: row.message.map(Shown),
            events: row.positions.len(),
            status: row.state.as_str(),
            attempts: row.calls,
            next_at: row.due.map(Time),
            last_at: row.at.map(Time),
            http_status: row.http,
            duration_ms: row.took_ms,
            reason: row.reason.as_deref(),
            answer: String::from_utf8_lossy(&row.answer).into_owned(),
        }
    }
}

/// How a call went that somebody asked for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trial {
    event_id: Shown<DeliveryId>,
    delivered: bool,
    http_status: Option<u16>,
    duration_ms: u32,
    reason: Option<&'static str>,
    answer: String,
}

impl Trial {
    /// Shows such a call.
    pub fn new(trial: &bongsu_report::Trial) -> Self {
        let seen = trial.seen.as_ref();
        Self {
            event_id: Shown(trial.id),
            delivered: seen.is_ok_and(|seen| (200..300).contains(&seen.status)),
            http_status: seen.ok().map(|seen| seen.status),
            duration_ms: trial.took_ms,
            reason: seen.err().map(|refused| refused.as_str()),
            answer: seen.map(|seen| String::from_utf8_lossy(&seen.text).into_owned()).unwrap_or_default(),
        }
    }
}
