//! `/v1/webhooks`: endpoints that are told what became of an account's messages, and what they were told.

use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::webhook::{RETRIES_MAX, Schedule, WAIT_MAX_MINUTES};
use bongsu_domain::{Code, DeliveryId, Secret, WebhookId};
use bongsu_report::tell_once;
use bongsu_send::Finding;
use bongsu_store::facts::EventKind;
use bongsu_store::keys::KeyScope;
use bongsu_store::webhooks::{
    self, BATCH_MAX, CONCURRENCY_DEFAULT, CONCURRENCY_MAX, DeliveryState, OLD_SECRET_FOR, WebhookSettings,
};
use http::header::{CONNECTION, DATE, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};

use crate::call::Call;
use crate::fields::Fields;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::tree::Node;
use crate::view;

/// Longest description.
const DESCRIPTION_MAX: usize = 200;
/// Longest name and value of an own header.
const HEADER_NAME_MAX: usize = 64;
const HEADER_VALUE_MAX: usize = 1_024;
/// Longest time for which an old secret signs too, in seconds.
const OLD_SECRET_MAX_S: i64 = 7 * 86_400;

/// What a caller says about an endpoint; all of it may be left out of a change.
#[derive(Default)]
struct Wanted {
    url: Option<String>,
    events: Option<Vec<String>>,
    description: Option<String>,
    include_pii: Option<bool>,
    batch: Option<u16>,
    concurrency: Option<u16>,
    schedule: Option<Schedule>,
    header: Option<Option<(String, Secret)>>,
    disabled: Option<bool>,
}

/// Creates an endpoint; its secret is shown once.
pub async fn create_webhook(call: Call) -> Result<Reply, Problem> {
    let wanted = call.fields(|fields| {
        let wanted = read(fields)?;
        let is_missing = fields.node("url").is_none() || wanted.url.as_deref() == Some("");
        if is_missing {
            fields.wrong("url", Code::BadRequest, "is required");
        }
        Some(wanted)
    })?;
    let account = call.account()?;
    if wanted.include_pii == Some(true)
        && let Some(scope) = missing(&call)?
    {
        return Err(no_numbers(scope));
    }
    let url = wanted.url.clone().unwrap_or_default();
    check(&call, &url).await?;
    let mut settings = WebhookSettings {
        url,
        events: Vec::new(),
        description: String::new(),
        include_pii: false,
        batch: 1,
        concurrency: CONCURRENCY_DEFAULT,
        schedule: Schedule::default(),
        header: None,
    };
    let disabled = wanted.disabled;
    wanted.write(&mut settings);
    let store = call.app.service.store();
    let mut new = webhooks::create(store, account, settings).await?;
    if disabled == Some(true) {
        new.row = webhooks::update(store, Some(account), new.row.id, |_| {}, disabled).await?;
    }
    Ok(Reply::json(201, &view::SecretWebhook::new(&new)))
}

/// Lists endpoints.
pub async fn list_webhooks(mut call: Call) -> Result<Reply, Problem> {
    let account = call.account_or_all()?;
    let (limit, after) = (call.query.limit(), call.query.cursor::<WebhookId>());
    call.query.close()?;
    let rows = webhooks::list(call.app.service.store(), account, limit, after).await?;
    let next = view::next_cursor(&rows, limit, |row| row.id);
    Ok(Reply::json(200, &view::Page { items: rows.iter().map(view::Webhook::new).collect(), next_cursor: next }))
}

/// Reads an endpoint.
pub async fn find_webhook(call: Call) -> Result<Reply, Problem> {
    let row = webhooks::get(call.app.service.store(), call.account_or_all()?, call.id()?).await?;
    Ok(Reply::json(200, &view::Webhook::new(&row)))
}

/// Changes an endpoint.
pub async fn update_webhook(call: Call) -> Result<Reply, Problem> {
    let wanted = call.fields(read)?;
    let (account, id) = (call.account_or_all()?, call.id()?);
    let wanted = Arc::new(wanted);
    let missing = missing(&call)?;
    let refused = |settings: &WebhookSettings| missing.filter(|_| wanted.tells_numbers(settings)).map(no_numbers);
    let row = webhooks::get(call.app.service.store(), account, id).await?;
    refused(&row.settings).map_or(Ok(()), Err)?;
    if let Some(url) = &wanted.url {
        check(&call, url).await?;
    }
    // Asked once more of what is stored by then: somebody else may have switched numbers on since the read.
    let (new, may_tell) = (wanted.clone(), missing.is_none());
    let change = move |settings: &mut WebhookSettings| {
        if may_tell || !new.tells_numbers(settings) {
            new.write(settings);
        }
    };
    let row = webhooks::update(call.app.service.store(), account, id, change, wanted.disabled).await?;
    refused(&row.settings).map_or(Ok(()), Err)?;
    Ok(Reply::json(200, &view::Webhook::new(&row)))
}

/// Deletes an endpoint; what waits for it is not told.
pub async fn delete_webhook(call: Call) -> Result<Reply, Problem> {
    webhooks::delete(call.app.service.store(), call.account_or_all()?, call.id()?).await?;
    Ok(Reply::empty(204))
}

/// Gives a new secret; the old one signs beside it for a while.
pub async fn rotate_webhook(call: Call) -> Result<Reply, Problem> {
    let usual = OLD_SECRET_FOR.as_secs().cast_signed();
    let seconds = match call.body.is_empty() {
        true => usual,
        false => call.fields(|fields| Some(fields.whole("oldForS", 0, OLD_SECRET_MAX_S).unwrap_or(usual)))?,
    };
    let (account, id) = (call.account_or_all()?, call.id()?);
    let old_for = Duration::from_secs(seconds.unsigned_abs());
    let new = webhooks::rotate(call.app.service.store(), account, id, old_for).await?;
    Ok(Reply::json(200, &view::SecretWebhook::new(&new)))
}

/// Sends again, whatever stopped it.
pub async fn enable_webhook(call: Call) -> Result<Reply, Problem> {
    let row = webhooks::enable(call.app.service.store(), call.account_or_all()?, call.id()?).await?;
    Ok(Reply::json(200, &view::Webhook::new(&row)))
}

/// Calls an endpoint once and tells how that went.
pub async fn test_webhook(call: Call) -> Result<Reply, Problem> {
    let (account, id) = (call.account_or_all()?, call.id()?);
    let trial = tell_once(call.app.service.store(), &call.app.config.webhooks, account, id).await?;
    Ok(Reply::json(200, &view::Trial::new(&trial)))
}

/// Lists what an endpoint was told, newest first.
pub async fn list_deliveries(mut call: Call) -> Result<Reply, Problem> {
    let (account, id) = (call.account_or_all()?, call.id()?);
    let words = DeliveryState::ALL.map(DeliveryState::as_str).join(", ");
    let state = call.query.parsed("deliveryStatus", &format!("one of {words}"), |text| {
        DeliveryState::ALL.into_iter().find(|state| state.as_str() == text)
    });
    let page = (call.query.limit(), call.query.cursor::<DeliveryId>());
    call.query.close()?;
    let rows = webhooks::deliveries(call.app.service.store(), account, id, state, page).await?;
    let next = view::next_cursor(&rows, page.0, |row| row.id);
    Ok(Reply::json(200, &view::Page { items: rows.iter().map(view::Delivery::new).collect(), next_cursor: next }))
}

/// Tells one delivery again.
pub async fn replay_delivery(call: Call) -> Result<Reply, Problem> {
    let (account, id) = (call.account_or_all()?, call.id()?);
    let delivery: DeliveryId = call.second.parse().map_err(|_| Problem::not_found())?;
    let row = webhooks::replay(call.app.service.store(), account, id, delivery).await?;
    Ok(Reply::json(202, &view::Delivery::new(&row)))
}

/// Tells everything again since a moment.
pub async fn replay_webhook(call: Call) -> Result<Reply, Problem> {
    let since = call.fields(|fields| {
        let wanted = "a time such as 2026-11-20T09:00:00+09:00";
        fields.required("since", wanted, bongsu_domain::Timestamp::parse_rfc3339)
    })?;
    let (account, id) = (call.account_or_all()?, call.id()?);
    webhooks::replay_since(call.app.service.store(), account, id, since).await?;
    Ok(Reply::empty(202))
}

/// The scope that a caller lacks to have phone numbers told in full: whoever makes a webhook chooses who reads them.
fn missing(call: &Call) -> Result<Option<KeyScope>, Problem> {
    let scopes = call.caller()?.scopes;
    Ok([KeyScope::Read, KeyScope::Numbers].into_iter().find(|scope| !scopes.has(*scope)))
}

fn no_numbers(missing: KeyScope) -> Problem {
    let detail = format!("needs the scope {}, which the API key lacks", missing.as_str());
    Problem::at(Code::Forbidden, "includePii", detail)
}

/// Whether a URL may be called, as far as it can be told now; it is checked again before each call.
async fn check(call: &Call, url: &str) -> Result<(), Problem> {
    let refused = |why: bongsu_report::Refused| {
        let detail = match why {
            bongsu_report::Refused::Target(why) => why.to_string(),
            other => other.to_string(),
        };
        Problem::fields(vec![Finding::new("url", Code::BadRequest, detail)])
    };
    call.app.config.webhooks.check(url).await.map_err(refused)
}

fn read(fields: &mut Fields<'_, '_, '_>) -> Option<Wanted> {
    Some(Wanted {
        url: fields.text("url").map(str::to_owned),
        events: events(fields),
        description: description(fields),
        include_pii: fields.flag("includePii"),
        batch: number(fields.whole("batch", 1, i64::from(BATCH_MAX))),
        concurrency: number(fields.whole("concurrency", 1, i64::from(CONCURRENCY_MAX))),
        schedule: schedule(fields),
        header: header(fields),
        disabled: fields.flag("disabled"),
    })
}

fn number(checked: Option<i64>) -> Option<u16> {
    checked.map(|number| u16::try_from(number).expect("the field was checked against a limit of this type"))
}

fn events(fields: &mut Fields<'_, '_, '_>) -> Option<Vec<String>> {
    let mut events: Vec<String> = Vec::new();
    for word in fields.texts("events")? {
        if EventKind::parse(word).is_none() {
            let all = EventKind::ALL.map(EventKind::as_str).join(", ");
            fields.wrong("events", Code::BadRequest, format!("each must be one of {all}"));
        } else if !events.iter().any(|known| known == word) {
            events.push(word.to_owned());
        }
    }
    Some(events)
}

fn description(fields: &mut Fields<'_, '_, '_>) -> Option<String> {
    let text = fields.text("description")?;
    if text.chars().count() > DESCRIPTION_MAX {
        fields.wrong("description", Code::BadRequest, format!("must have at most {DESCRIPTION_MAX} characters"));
    }
    Some(text.to_owned())
}

fn schedule(fields: &mut Fields<'_, '_, '_>) -> Option<Schedule> {
    let items = fields.list("schedule")?;
    let minutes: Option<Vec<u32>> = items
        .iter()
        .map(|item| match item {
            Node::Whole(minutes) => u32::try_from(*minutes).ok(),
            _ => None,
        })
        .collect();
    let schedule = minutes.and_then(Schedule::new);
    if schedule.is_none() {
        let detail = format!("must be at most {RETRIES_MAX} waits in minutes, each from 1 to {WAIT_MAX_MINUTES}");
        fields.wrong("schedule", Code::BadRequest, detail);
    }
    schedule
}

/// An own header; an empty object takes it away.
fn header(fields: &mut Fields<'_, '_, '_>) -> Option<Option<(String, Secret)>> {
    let members = fields.members("staticHeader", "a string", |node| match node {
        Node::Text(text) => Some(text.as_ref()),
        _ => None,
    })?;
    if members.is_empty() {
        return Some(None);
    }
    let value_of = |name: &str| members.iter().find(|(member, _)| *member == name).map(|(_, value)| *value);
    let (Some(name), Some(value), 2) = (value_of("name"), value_of("value"), members.len()) else {
        fields.wrong("staticHeader", Code::BadRequest, "must have name and value, and nothing else");
        return None;
    };
    let parsed: Option<HeaderName> = name.parse().ok().filter(|_| name.len() <= HEADER_NAME_MAX);
    if !parsed.as_ref().is_some_and(is_free) {
        fields.wrong(
            "staticHeader.name",
            Code::BadRequest,
            "must be the name of a header that calls do not have already",
        );
    }
    if value.is_empty() || value.len() > HEADER_VALUE_MAX || HeaderValue::from_str(value).is_err() {
        let detail = format!("must have 1 to {HEADER_VALUE_MAX} printable characters");
        fields.wrong("staticHeader.value", Code::BadRequest, detail);
    }
    parsed.map(|name| Some((name.as_str().to_owned(), Secret::new(value))))
}

/// Whether a caller may give a header: not those that carry the call itself.
fn is_free(name: &HeaderName) -> bool {
    let taken = [
        HOST,
        CONTENT_TYPE,
        CONTENT_LENGTH,
        CONTENT_ENCODING,
        TRANSFER_ENCODING,
        CONNECTION,
        UPGRADE,
        TE,
        TRAILER,
        EXPECT,
        DATE,
        USER_AGENT,
    ];
    let hop = ["keep-alive", "proxy-connection", "proxy-authorization"];
    !taken.contains(name) && !hop.contains(&name.as_str()) && !name.as_str().starts_with("webhook-")
}

impl Wanted {
    /// Whether the endpoint tells numbers in full after the change; one that only stops or describes it changes nothing of
    /// who is told what.
    fn tells_numbers(&self, settings: &WebhookSettings) -> bool {
        let is_harmless =
            self.url.is_none() && self.events.is_none() && self.header.is_none() && self.include_pii.is_none();
        !is_harmless && self.include_pii.unwrap_or(settings.include_pii)
    }

    fn write(&self, settings: &mut WebhookSettings) {
        fn put<T: Clone>(new: &Option<T>, place: &mut T) {
            if let Some(new) = new {
                place.clone_from(new);
            }
        }
        put(&self.url, &mut settings.url);
        put(&self.events, &mut settings.events);
        put(&self.description, &mut settings.description);
        put(&self.include_pii, &mut settings.include_pii);
        put(&self.batch, &mut settings.batch);
        put(&self.concurrency, &mut settings.concurrency);
        put(&self.schedule, &mut settings.schedule);
        put(&self.header, &mut settings.header);
    }
}
