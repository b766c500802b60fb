//! What a call says: `{type, timestamp, data}`, without the text of the message and with its number masked.

use std::collections::{BTreeMap, HashMap};

use bongsu_domain::{EventId, GroupId, MessageId, RequestId, Timestamp};
use bongsu_send::Brief;
use bongsu_store::facts::{Event, EventKind};
use serde::Serialize;
use serde_json::{Value, json};

/// The type of a call with several events.
const BATCH: &str = "events.batch";
/// The type of a call that its owner asked for.
pub const TEST: &str = "webhook.test";

/// The word of an event's type.
pub fn event_type(kind: EventKind) -> &'static str {
    kind.as_str()
}

/// A message as a call tells it: what does not change, and where the event left it. So a repeated call says the same.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    id: String,
    batch_id: Option<String>,
    client_ref: Option<&'a str>,
    lane: Option<&'static str>,
    channel: Option<&'static str>,
    to: Option<String>,
    from: Option<&'a str>,
    status: &'static str,
    code: &'static str,
    code_name: &'static str,
    attempt: u8,
    relay: Option<&'a str>,
    seq: u32,
    price: Option<Value>,
    bill_code: Option<&'a str>,
    labels: BTreeMap<&'a str, &'a str>,
    accepted_at: String,
}

/// What one event says besides its type.
pub struct Telling<'a> {
    /// Messages by id; one that is beyond retention is told by its id alone.
    pub messages: &'a HashMap<i64, Brief>,
    /// Names of relays by number.
    pub relays: &'a HashMap<u8, String>,
    /// Whether numbers are told in full.
    pub include_pii: bool,
}

impl Telling<'_> {
    fn data(&self, event: &Event) -> Value {
        if event.kind == EventKind::GroupFinished {
            return json!({ "id": GroupId(event.message).to_string(), "status": event.status.as_str() });
        }
        let brief = self.messages.get(&event.message);
        let shown = |number: &bongsu_domain::PhoneNumber| {
            if self.include_pii { number.national().to_owned() } else { number.masked() }
        };
        let data = Data {
            id: MessageId(event.message).to_string(),
            batch_id: (event.request != 0).then(|| RequestId(event.request).to_string()),
            client_ref: brief.and_then(|brief| brief.client_ref.as_deref()),
            lane: brief.map(|brief| brief.lane.as_str()),
            channel: brief.map(|brief| brief.channel.as_str()),
            to: brief.and_then(|brief| brief.to.as_ref().map(shown)),
            from: brief.and_then(|brief| brief.from.as_deref()),
            status: event.status.as_str(),
            code: event.code.as_str(),
            code_name: event.code.name(),
            attempt: event.attempt,
            relay: event.relay.and_then(|no| self.relays.get(&no)).map(String::as_str),
            seq: event.seq,
            price: brief.map(|brief| json!({ "unit": brief.price.0.as_str(), "amount": brief.price.1 })),
            bill_code: brief.and_then(|brief| brief.bill_code.as_deref()),
            labels: brief.map(labels).unwrap_or_default(),
            accepted_at: MessageId(event.message).time().rfc3339(),
        };
        serde_json::to_value(&data).unwrap_or_default()
    }

    fn event(&self, event: &Event) -> Value {
        json!({ "type": event.kind.as_str(), "timestamp": event.at.rfc3339(), "data": self.data(event) })
    }

    /// The body of one event.
    pub fn one(&self, event: &Event) -> Vec<u8> {
        self.event(event).to_string().into_bytes()
    }

    /// The body of several events; each has an id of its own, which tells repetitions over calls.
    pub fn several(&self, events: &[Event], at: Timestamp) -> Vec<u8> {
        let list = events.iter().map(|event| {
            let mut told = self.event(event);
            told["id"] = EventId(event.position).to_string().into();
            told
        });
        json!({ "type": BATCH, "timestamp": at.rfc3339(), "data": list.collect::<Vec<_>>() }).to_string().into_bytes()
    }
}

fn labels(brief: &Brief) -> BTreeMap<&str, &str> {
    brief.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
