//! How messages and their attempts are shown.

use std::collections::BTreeMap;

use bongsu_domain::status::origin_status;
use bongsu_domain::{AccountId, MessageId, RequestId, Unit};
use bongsu_send::{AttemptView, MessageView, ParkedView, PartView, UnknownView};
use serde::Serialize;

use super::{Shown, Time};

/// A message.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Message<'a> {
    id: Shown<MessageId>,
    account: Shown<AccountId>,
    batch_id: Option<Shown<RequestId>>,
    client_ref: Option<&'a str>,
    lane: &'static str,
    channel: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    to: Option<String>,
    from: Option<&'a str>,
    status: &'static str,
    origin_status: &'static str,
    code: &'static str,
    code_name: &'static str,
    late: bool,
    price: Price,
    bill_code: Option<&'a str>,
    labels: BTreeMap<&'a str, &'a str>,
    attempts: Vec<Attempt<'a>>,
    accepted_at: Time,
    send_at: Option<Time>,
    hold_reason: Option<&'static str>,
    held_until: Option<Time>,
    final_at: Option<Time>,
    retry_at: Option<Time>,
}

#[derive(Debug, Serialize)]
pub(super) struct Price {
    unit: &'static str,
    amount: i64,
}

impl Price {
    pub(super) fn new((unit, amount): (Unit, i64)) -> Self {
        Self { unit: unit.as_str(), amount }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Attempt<'a> {
    n: u8,
    relay: &'a str,
    channel: &'static str,
    parts: Vec<Part<'a>>,
    outcome: &'static str,
    code: &'static str,
    code_name: &'static str,
    reason: Option<&'a str>,
    late: bool,
    claimed_at: Option<Time>,
    submitted_at: Option<Time>,
    responded_at: Option<Time>,
    reported_at: Option<Time>,
    final_at: Option<Time>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    relay_id: Option<&'a str>,
    code: &'static str,
}

impl<'a> Message<'a> {
    /// Shows a message; the recipient in full only for callers who may see it.
    pub fn new(message: &'a MessageView, sees_numbers: bool) -> Self {
        let channel = message.channel.as_str();
        let tries = u32::try_from(message.attempts.len()).unwrap_or(u32::MAX);
        Self {
            id: Shown(message.id),
            account: Shown(message.account),
            batch_id: message.batch.map(Shown),
            client_ref: message.client_ref.as_deref(),
            lane: message.lane.as_str(),
            channel,
            kind: channel,
            to: message.to.map(|to| if sees_numbers { to.national().to_owned() } else { to.masked() }),
            from: message.from.as_deref(),
            status: message.status.as_str(),
            origin_status: origin_status(message.status, tries).as_str(),
            code: message.code.as_str(),
            code_name: message.code.name(),
            late: message.late,
            price: Price::new(message.price),
            bill_code: message.bill_code.as_deref(),
            labels: message.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            attempts: message.attempts.iter().map(|attempt| Attempt::new(attempt, channel)).collect(),
            accepted_at: Time(message.accepted_at),
            send_at: message.send_at.map(Time),
            hold_reason: message.held.map(|held| held.reason),
            held_until: message.held.map(|held| Time(held.until)),
            final_at: message.final_at.map(Time),
            retry_at: message.retry_at.map(Time),
        }
    }
}

impl<'a> Attempt<'a> {
    fn new(attempt: &'a AttemptView, channel: &'static str) -> Self {
        let part = |part: &'a PartView| Part { relay_id: part.relay_id.as_deref(), code: part.code.as_str() };
        Self {
            n: attempt.n,
            relay: &attempt.relay,
            channel,
            parts: attempt.parts.iter().map(part).collect(),
            outcome: attempt.outcome,
            code: attempt.code.as_str(),
            code_name: attempt.code.name(),
            reason: attempt.reason.as_deref(),
            late: attempt.late,
            claimed_at: attempt.claimed_at.map(Time),
            submitted_at: attempt.submitted_at.map(Time),
            responded_at: attempt.responded_at.map(Time),
            reported_at: attempt.reported_at.map(Time),
            final_at: attempt.final_at.map(Time),
        }
    }
}

/// An attempt of which nobody knows, or knew for a while, whether it reached the relay.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unknown<'a> {
    message_id: Shown<MessageId>,
    account: Shown<AccountId>,
    n: u8,
    relay: &'a str,
    since: Time,
    resolved_at: Option<Time>,
    resolution: Option<&'a str>,
}

impl<'a> Unknown<'a> {
    /// Shows an unknown attempt.
    pub fn new(unknown: &'a UnknownView) -> Self {
        Self {
            message_id: Shown(unknown.id),
            account: Shown(unknown.account),
            n: unknown.n,
            relay: &unknown.relay,
            since: Time(unknown.since),
            resolved_at: unknown.resolved_at.map(Time),
            resolution: unknown.resolution.as_deref(),
        }
    }
}

/// A message that could not be processed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Parked<'a> {
    message_id: Shown<MessageId>,
    account: Shown<AccountId>,
    parked_at: Time,
    reason: &'a str,
}

impl<'a> Parked<'a> {
    /// Shows a parked message.
    pub fn new(parked: &'a ParkedView) -> Self {
        Self {
            message_id: Shown(parked.id),
            account: Shown(parked.account),
            parked_at: Time(parked.at),
            reason: &parked.reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use bongsu_domain::{Channel, Code, Lane, PhoneNumber, Status, Timestamp};

    use super::*;

    fn message() -> MessageView {
        let time = Timestamp::from_millis(1_795_132_800_123);
        let attempt = |n: u8, relay: &str, outcome, code| AttemptView {
            n,
            relay: relay.to_owned(),
            parts: vec![PartView { relay_id: Some("17".to_owned()), code }],
            outcome,
            code,
            reason: None,
            late: false,
            claimed_at: Some(time),
            submitted_at: Some(time),
            responded_at: Some(time),
            reported_at: None,
            final_at: None,
        };
        MessageView {
            id: MessageId(1 << 22),
            account: AccountId(2 << 22),
            batch: None,
            client_ref: Some("order-17".to_owned()),
            lane: Lane::Realtime,
            channel: Channel::Sms,
            to: Some(PhoneNumber::from_national("01012345678").expect("a number")),
            from: Some("0212345678".to_owned()),
            status: Status::Delivered,
            code: Code::OkDelivered,
            late: false,
            price: (Unit::PointSms, 1),
            bill_code: None,
            labels: vec![("k".to_owned(), "v".to_owned())],
            attempts: vec![
                attempt(1, "kt", "refused", Code::RouteThrottled),
                attempt(2, "skt", "delivered", Code::OkDelivered),
            ],
            accepted_at: time,
            final_at: Some(time),
            retry_at: None,
            send_at: None,
            held: None,
        }
    }

    #[test]
    fn has_every_member_of_the_shape() {
        let json = serde_json::to_value(Message::new(&message(), false)).expect("JSON");
        let names: Vec<_> = json.as_object().expect("an object").keys().map(String::as_str).collect();
        for name in [
            "id",
            "batchId",
            "clientRef",
            "lane",
            "channel",
            "type",
            "to",
            "from",
            "status",
            "originStatus",
            "code",
            "codeName",
            "late",
            "price",
            "attempts",
            "acceptedAt",
            "finalAt",
        ] {
            assert!(names.contains(&name), "{name} of {names:?}");
        }
        assert_eq!(json["price"], serde_json::json!({"unit": "point:sms", "amount": 1}));
        assert_eq!((json["code"].as_str(), json["codeName"].as_str()), (Some("UM0002"), Some("OK_DELIVERED")));
        assert_eq!((json["status"].as_str(), json["originStatus"].as_str()), (Some("delivered"), Some("RESEND")));
        assert_eq!(json["acceptedAt"], "2026-11-20T09:00:00.123+09:00");
        let attempt = &json["attempts"][0];
        for name in ["n", "relay", "channel", "parts", "outcome", "reason", "claimedAt", "submittedAt", "finalAt"] {
            assert!(attempt.get(name).is_some(), "attempts[].{name}");
        }
        assert_eq!(attempt["parts"], serde_json::json!([{"relayId": "17", "code": "UM7002"}]));
    }

    #[test]
    fn the_recipient_is_masked_without_the_scope() {
        let message = message();
        let shown = |full| serde_json::to_value(Message::new(&message, full)).expect("JSON")["to"].clone();
        assert_eq!(shown(false), "010****5678");
        assert_eq!(shown(true), "01012345678");
    }
}
