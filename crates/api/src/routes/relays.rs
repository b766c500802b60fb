//! `/v1/relays`: relays (중계사) are rows; adding one is enough to receive traffic.

use bongsu_domain::{Code, RelayId, Secret};
use bongsu_store::relays::{self, BINDS_MAX, NewRelay, RATE_MAX, RelayPatch, RelayRow, RelaySettings, WINDOW_MAX};

use crate::call::Call;
use crate::fields::Fields;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::tree::Node;
use crate::view;

/// What a new relay gets when its maker says nothing: messages a second, window per bind, binds.
const RATE_PER_S: i64 = 1_000;
const WINDOW: i64 = 100;
const BINDS: i64 = 2;

/// Adds a relay.
pub async fn create_relay(call: Call) -> Result<Reply, Problem> {
    let (mut relay, settings) = call.fields(|fields| {
        let relay = NewRelay {
            name: fields.required_text("name").to_owned(),
            kind: fields.text("kind").unwrap_or("smpp").to_owned(),
            address: fields.required_text("address").to_owned(),
            system_id: fields.required_text("systemId").to_owned(),
            password: Secret::new(fields.required_text("password")),
            rate_per_s: number(rate(fields).unwrap_or(RATE_PER_S)),
            window: number(window(fields).unwrap_or(WINDOW)),
            binds: number(binds(fields).unwrap_or(BINDS)),
            resend_unknown: fields.flag("resendUnknown").unwrap_or(true),
            settings: RelaySettings::default(),
        };
        Some((relay, fields.node("settings").map(Node::to_value)))
    })?;
    if let Some(settings) = settings {
        relay.settings = relays::parse_settings(settings)?;
    }
    let relay = relays::create(call.app.service.store(), relay).await?;
    call.app.service.relays_changed().await;
    Ok(Reply::json(201, &show(&call, &relay)))
}

/// Changes a relay.
pub async fn update_relay(call: Call) -> Result<Reply, Problem> {
    let patch = call.fields(|fields| {
        Some(RelayPatch {
            address: fields.text("address").map(str::to_owned),
            system_id: fields.text("systemId").map(str::to_owned),
            password: fields.text("password").map(Secret::new),
            rate_per_s: rate(fields).map(number),
            window: window(fields).map(number),
            binds: binds(fields).map(number),
            resend_unknown: fields.flag("resendUnknown"),
            settings: settings(fields),
        })
    })?;
    let id = find(&call).await?.id;
    let relay = relays::patch(call.app.service.store(), id, patch).await?;
    call.app.service.relays_changed().await;
    Ok(Reply::json(200, &show(&call, &relay)))
}

/// Lists relays.
pub async fn list_relays(call: Call) -> Result<Reply, Problem> {
    let rows = relays::list(call.app.service.store()).await?;
    let items = rows.iter().map(|row| show(&call, row)).collect();
    Ok(Reply::json(200, &view::Page { items, next_cursor: None }))
}

/// Reads a relay.
pub async fn find_relay(call: Call) -> Result<Reply, Problem> {
    let relay = find(&call).await?;
    Ok(Reply::json(200, &show(&call, &relay)))
}

/// Deletes a relay.
pub async fn delete_relay(call: Call) -> Result<Reply, Problem> {
    let id = find(&call).await?.id;
    relays::delete(call.app.service.store(), id).await?;
    call.app.service.relays_changed().await;
    Ok(Reply::empty(204))
}

/// The relay of the path, by its name or its id: a name has no underscore, so it is never an id.
async fn find(call: &Call) -> Result<RelayRow, Problem> {
    let store = call.app.service.store();
    Ok(match call.parameter.parse::<RelayId>() {
        Ok(id) => relays::get(store, id).await?,
        Err(_) => relays::by_name(store, &call.parameter).await?,
    })
}

fn rate(fields: &mut Fields<'_, '_, '_>) -> Option<i64> {
    fields.whole("ratePerS", 1, i64::from(RATE_MAX))
}

fn window(fields: &mut Fields<'_, '_, '_>) -> Option<i64> {
    fields.whole("window", 1, i64::from(WINDOW_MAX))
}

fn binds(fields: &mut Fields<'_, '_, '_>) -> Option<i64> {
    fields.whole("binds", 1, i64::from(BINDS_MAX))
}

fn number<T: TryFrom<i64>>(checked: i64) -> T {
    T::try_from(checked).ok().expect("the field was checked against a limit of this type")
}

fn settings(fields: &mut Fields<'_, '_, '_>) -> Option<serde_json::Map<String, serde_json::Value>> {
    match fields.node("settings")?.to_value() {
        serde_json::Value::Object(settings) => Some(settings),
        _ => {
            fields.wrong("settings", Code::BadRequest, "must be an object");
            None
        }
    }
}

fn show<'a>(call: &Call, relay: &'a RelayRow) -> view::Relay<'a> {
    let health = call.app.service.relay_health(relay.no).map(|health| view::RelayHealth {
        up: health.up,
        since: view::Time(health.since),
        binds: health.binds,
        window: health.window,
        window_used: health.window_used,
        queued: health.queued,
        throttled: health.throttled,
    });
    view::Relay::new(relay, health)
}
