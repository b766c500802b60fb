//! One call that the owner of an endpoint asks for, to see whether it works.

use bongsu_domain::{AccountId, DeliveryId, WebhookId};
use bongsu_store::{Error, Store, webhooks};
use bytes::Bytes;
use serde_json::json;
use tokio::time::Instant;

use crate::body::TEST;
use crate::client::{Client, Connections, Message, Refused, Seen};
use crate::endpoint::headers;

/// How it went.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The id that the call had.
    pub id: DeliveryId,
    /// The answer, or why there was none.
    pub seen: Result<Seen, Refused>,
    /// How long it took, ms.
    pub took_ms: u32,
}

/// Calls an endpoint once with an event of the type `webhook.test`, signed like every other. It is not listed, and not tried
/// again; a disabled endpoint is called too.
///
/// # Errors
/// `NotFound`, also for an endpoint of another account.
pub async fn tell_once(
    store: &Store,
    client: &Client,
    scope: Option<AccountId>,
    webhook: WebhookId,
) -> Result<Trial, Error> {
    let row = webhooks::get(store, scope, webhook).await?;
    let secrets = webhooks::secrets(store, scope, webhook).await?;
    let id = DeliveryId(store.new_id()?);
    let now = store.clock().now();
    let body = json!({
        "type": TEST,
        "timestamp": now.rfc3339(),
        "data": { "webhookId": webhook.to_string(), "description": row.settings.description },
    });
    let body = Bytes::from(body.to_string());
    let headers = headers(&id.to_string(), now, &secrets, row.settings.header.as_ref(), &body);
    let began = Instant::now();
    let seen = client.call(&row.settings.url, &Message { headers, body }, &Connections::default()).await;
    Ok(Trial { id, seen, took_ms: u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX) })
}
