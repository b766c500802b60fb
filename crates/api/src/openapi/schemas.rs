//! The schemas of the OpenAPI document, by name.

mod access;
mod facts;
mod sending;
mod webhooks;

use bongsu_domain::{Lane, OriginStatus, Status, Unit};
use bongsu_store::accounts::DEDUPE_MAX_S;
use bongsu_store::keys::{KeyScope, NETWORKS_MAX};
use bongsu_store::webhooks::DeliveryState;
use serde_json::{Map, Value, json};

use crate::query::{LIMIT_DEFAULT, LIMIT_MAX};
use crate::routes::groups;
use crate::send::ROWS_MAX;

/// Schema and description of a query parameter.
pub fn query(name: &str) -> (Value, &'static str) {
    match name {
        "account" => (text(), "An operator acts for this account; an account may name itself only"),
        "limit" => {
            (json!({"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}), "Rows a page")
        }
        "cursor" => (text(), "`nextCursor` of the page before"),
        "recipient" => (text(), "Recipient in full, in any usual form"),
        "recipientLast4" => (json!({"type": "string", "pattern": "^[0-9]{4}$"}), "Last four digits of the recipient"),
        "messageId" => (text(), "The message itself, if the other filters let it through"),
        "sender" => (text(), "Sender number, in any usual form"),
        "label" => (text(), "Name of a label, or `name=value`"),
        "billCode" => (text(), "Department code"),
        "q" => (
            json!({"type": "string", "minLength": 2, "maxLength": 100}),
            "Part of a text or title; never of what fills in a text that messages of a batch or group share, or of the lane \
             auth. At most 31 days, the last ones when nothing is said",
        ),
        "originStatus" => {
            (json!({"enum": ["PENDING", "SUCCESS", "RESEND", "FAIL"]}), "The word of the origin's screen")
        }
        "code" => (json!({"type": "string", "pattern": "^UM[0-9]{4}$"}), "Result code"),
        "type" => (json!({"enum": ["sms", "lms"]}), "Type; the same as the channel where a channel has one type"),
        "since" => (time(), "Accepted at or after"),
        "until" => (time(), "Accepted before"),
        "status" => (status(), "Status"),
        "channel" => (json!({"enum": ["sms", "lms"]}), "Channel"),
        "relay" => (text(), "Name of the relay of the last attempt"),
        "lane" => (lane(), "Lane"),
        "batchId" => (text(), "Batch"),
        "clientRef" => (text(), "The caller's own id"),
        "unit" => (unit(), "Unit"),
        "return" => (json!({"enum": ["errors"]}), "Answer only with the rows that failed"),
        "key" => (text(), "With this API key"),
        "operation" => (text(), "Of this operation, an operationId of this document"),
        "kind" => (
            json!({"enum": ["changes", "sends", "all"], "default": "all"}),
            "Calls with a row of their own, sends of messages and batches as their requests tell of them, or both",
        ),
        "after" => {
            (text(), "Events after this one: an event's `id`, or the last `nextCursor`; without it from the oldest on")
        }
        "fromDay" => {
            (json!({"type": "string", "format": "date"}), "First day of accept, in Seoul; without it the last one")
        }
        "to" => (json!({"type": "string", "format": "date"}), "Last day of accept, in Seoul; without it today"),
        "by" => (
            json!({"type": "string", "pattern": format!("^({0})(,({0}))*$", crate::routes::stats::words().join("|"))}),
            "What rows tell apart",
        ),
        "deliveryStatus" => (json!({"enum": DeliveryState::ALL.map(DeliveryState::as_str)}), "Where deliveries stand"),
        "from" => (
            json!({"type": "integer", "minimum": 1}),
            "Number of the first row of this body, from 1; rows that are there are stepped over",
        ),
        "lang" => (json!({"enum": ["en", "ko"]}), "Language; the browser's unless given"),
        "outcome" => (json!({"enum": ["unknown"]}), "Which attempts"),
        _ => (text(), ""),
    }
}

/// Every schema.
pub fn all() -> Value {
    let mut schemas = Map::new();
    for group in [
        sending::all(),
        group_schemas(),
        messages(),
        administration(),
        access::all(),
        relays(),
        money(),
        operation(),
        facts::all(),
        webhooks::all(),
    ] {
        let Value::Object(group) = group else { continue };
        schemas.extend(group);
    }
    for (page, item) in [
        ("MessagePage", "Message"),
        ("SenderPage", "Sender"),
        ("RelayPage", "Relay"),
        ("PricePage", "Price"),
        ("EntryPage", "Entry"),
        ("AccountPage", "Account"),
        ("KeyPage", "Key"),
        ("UnknownPage", "UnknownAttempt"),
        ("ParkedPage", "Parked"),
        ("GroupPage", "Group"),
        ("RowErrorPage", "RowError"),
        ("TeamNumbers", "TeamNumber"),
        ("AuditPage", "Audited"),
        ("WebhookPage", "Webhook"),
        ("DeliveryPage", "Delivery"),
    ] {
        let page_schema = object(
            &["items", "nextCursor"],
            json!({
                "items": {"type": "array", "items": reference(item)},
                "nextCursor": or_null(text()),
            }),
        );
        schemas.insert(page.to_owned(), page_schema);
    }
    Value::Object(schemas)
}

fn group_schemas() -> Value {
    let counts = object(
        &["rows", "accepted", "rejected"],
        json!({
            "rows": whole(), "accepted": whole(), "rejected": whole(),
        }),
    );
    let states =
        json!({"enum": ["staging", "waiting_approval", "scheduled", "sending", "finished", "canceled", "expired"]});
    json!({
        "NewGroup": closed(&[], json!({
            "name": {"type": "string", "minLength": 1, "maxLength": groups::NAME_MAX},
            "defaults": reference("MessageFields"),
            "approval": {"type": "boolean", "default": false, "description": "Another key has to approve it before it leaves"},
            "sendAt": time(),
        })),
        "GroupRows": closed(&["messages"], json!({
            "messages": {"type": "array", "maxItems": ROWS_MAX, "items": reference("MessageFields")},
        })),
        "Progress": object(&["total", "ended", "counts"], json!({
            "state": states,
            "total": whole(),
            "ended": whole(),
            "counts": {
                "type": "object",
                "additionalProperties": whole(),
                "description": "Messages by status; they add up to the total",
            },
        })),
        "Group": object(&["id", "state", "rowsReceived", "counts", "estimate", "createdAt"], json!({
            "id": text(),
            "account": text(),
            "name": or_null(text()),
            "state": states,
            "approval": {"type": "boolean"},
            "rowsReceived": whole(),
            "uploading": {"type": "boolean", "description": "An upload with an Idempotency-Key is not complete"},
            "counts": counts,
            "estimate": object(&["unit", "amount"], json!({"unit": unit(), "amount": whole()})),
            "progress": or_null(reference("Progress")),
            "cancel": or_null(object(&["canceled", "escaped"], json!({"canceled": whole(), "escaped": whole()}))),
            "sendAt": or_null(time()),
            "createdAt": time(),
            "sentAt": or_null(time()),
            "finishedAt": or_null(time()),
        })),
        "Uploaded": object(&["id", "counts", "rowsReceived"], json!({
            "id": text(),
            "counts": object(&["rows", "accepted", "rejected", "known"], json!({
                "rows": whole(), "accepted": whole(), "rejected": whole(), "known": whole(),
            })),
            "rowsReceived": whole(),
        })),
        "RowError": object(&["row", "field", "code", "codeName", "detail"], json!({
            "row": whole(),
            "field": text(),
            "code": text(),
            "codeName": text(),
            "detail": text(),
            "clientRef": or_null(text()),
        })),
    })
}

fn messages() -> Value {
    let price = object(&["unit", "amount"], json!({"unit": unit(), "amount": whole()}));
    json!({
        "Message": object(&["id", "lane", "channel", "to", "from", "status", "code", "attempts", "acceptedAt"], json!({
            "id": text(),
            "account": text(),
            "batchId": or_null(text()),
            "clientRef": or_null(text()),
            "lane": lane(),
            "channel": {"enum": ["sms", "lms"]},
            "type": {"enum": ["sms", "lms"]},
            "to": {"type": "string", "description": "Masked without the scope for numbers"},
            "from": text(),
            "status": status(),
            "originStatus": words(&[
                OriginStatus::Pending.as_str(),
                OriginStatus::Success.as_str(),
                OriginStatus::Resend.as_str(),
                OriginStatus::Fail.as_str(),
            ]),
            "code": code(),
            "codeName": text(),
            "late": flag(),
            "price": price,
            "billCode": or_null(text()),
            "labels": strings(10),
            "attempts": {"type": "array", "items": reference("Attempt")},
            "acceptedAt": time(),
            "sendAt": or_null(json!({"type": "string", "format": "date-time", "description": "When it is or was to leave"})),
            "holdReason": or_null(json!({"const": "night", "description": "Why it is held: an advertisement at night"})),
            "heldUntil": or_null(time()),
            "finalAt": or_null(time()),
            "retryAt": or_null(time()),
        })),
        "Attempt": object(&["n", "relay", "channel", "parts", "outcome"], json!({
            "n": whole(),
            "relay": text(),
            "channel": {"enum": ["sms", "lms"]},
            "parts": {"type": "array", "items": object(&["relayId", "code"], json!({
                "relayId": or_null(text()), "code": code(),
            }))},
            "outcome": text(),
            "code": code(),
            "codeName": text(),
            "reason": or_null(text()),
            "late": flag(),
            "claimedAt": or_null(time()),
            "submittedAt": or_null(time()),
            "respondedAt": or_null(time()),
            "reportedAt": or_null(time()),
            "finalAt": or_null(time()),
        })),
    })
}

fn administration() -> Value {
    let sender = json!({
        "id": text(),
        "account": text(),
        "number": text(),
        "state": {"enum": ["pending", "active"]},
        "protected": flag(),
        "createdAt": time(),
        "verifiedAt": or_null(time()),
    });
    let mut coded = sender.clone();
    coded["codeSent"] = flag();
    coded["codeExpiresAt"] = or_null(time());
    json!({
        "NewSender": closed(&["number"], json!({"number": text(), "protected": flag()})),
        "VerifySender": closed(&["code"], json!({"code": {"type": "string", "pattern": "^[0-9]{6}$"}})),
        "Sender": object(&["id", "account", "number", "state"], sender),
        "CodedSender": object(&["id", "account", "number", "state", "codeSent"], coded),
        "NewAccount": closed(&["name"], json!({
            "name": {"type": "string", "minLength": 1, "maxLength": 100}, "dedupeS": window(),
        })),
        "AccountPatch": closed(&[], json!({
            "name": {"type": "string", "minLength": 1, "maxLength": 100},
            "suspended": flag(),
            "ratePerS": {"type": "integer", "minimum": 1, "description": "Messages a second"},
            "dedupeS": window(),
            "adName": {"type": "string", "maxLength": 40, "description": "The sender name of advertisements (광고); empty takes it away"},
            "optOutNumber": {"type": "string", "description": "The free number (080) for refusals (무료수신거부); empty takes it away"},
        })),
        "Account": object(&["id", "name", "suspended", "ratePerS", "dedupeS", "createdAt"], json!({
            "id": text(), "name": text(), "suspended": flag(), "ratePerS": whole(), "dedupeS": window(),
            "adName": or_null(text()), "optOutNumber": or_null(text()), "createdAt": time(),
        })),
    })
}

fn relays() -> Value {
    let relay = json!({
        "address": {"type": "string", "description": "host:port"},
        "systemId": {"type": "string", "maxLength": 15},
        "ratePerS": {"type": "integer", "minimum": 1, "description": "Parts a second"},
        "window": {"type": "integer", "minimum": 1, "description": "Parts outstanding per bind"},
        "binds": {"type": "integer", "minimum": 1},
        "resendUnknown": {"type": "boolean", "description": "False: a message of unknown fate ends expired"},
        "settings": {"type": "object", "description": "Dialect of the relay: coding, long messages, ids, TLS, timers"},
    });
    let with = |more: Value| {
        let mut all = relay.clone();
        if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
            all.extend(more);
        }
        all
    };
    json!({
        "NewRelay": closed(&["name", "address", "systemId", "password"], with(json!({
            "name": {"type": "string", "pattern": "^[a-z0-9-]{1,20}$"},
            "kind": {"enum": ["smpp"], "default": "smpp"},
            "password": {"type": "string", "writeOnly": true},
        }))),
        "RelayPatch": closed(&[], with(json!({"password": {"type": "string", "writeOnly": true}}))),
        "Relay": object(&["id", "name", "kind", "address", "systemId"], with(json!({
            "id": text(),
            "name": text(),
            "kind": text(),
            "createdAt": time(),
            "health": or_null(reference("RelayHealth")),
        }))),
        "RelayHealth": object(&["up", "since"], json!({
            "up": flag(), "since": time(), "binds": whole(), "window": whole(), "windowUsed": whole(),
            "queued": whole(), "throttled": flag(),
        })),
        "Shares": closed(&["shares"], json!({"shares": shares()})),
        "Distribution": object(&["account", "channel", "shares", "set"], json!({
            "account": text(),
            "channel": {"enum": ["sms", "lms"]},
            "shares": shares(),
            "set": {"type": "boolean", "description": "False while the even default is used"},
            "updatedAt": or_null(time()),
        })),
    })
}

fn money() -> Value {
    json!({
        "Price": closed(&["channel", "unit", "amount"], json!({
            "channel": {"enum": ["sms", "lms"]}, "unit": unit(), "amount": {"type": "integer", "minimum": 0},
        })),
        "Wallet": object(&["balances"], json!({
            "balances": {"type": "object", "additionalProperties": whole()},
        })),
        "NewCredit": closed(&["account", "unit", "amount", "cause"], json!({
            "account": text(),
            "unit": unit(),
            "amount": {"type": "integer", "minimum": 1},
            "cause": {"type": "string", "minLength": 1, "maxLength": 100, "description": "Once per account and unit"},
        })),
        "Entry": object(&["seq", "account", "unit", "amount", "balance", "cause", "at"], json!({
            "seq": whole(), "account": text(), "unit": unit(), "amount": whole(), "balance": whole(),
            "cause": text(), "at": time(),
        })),
    })
}

fn operation() -> Value {
    json!({
        "UnknownAttempt": object(&["messageId", "n", "relay", "since"], json!({
            "messageId": text(), "account": text(), "n": whole(), "relay": text(), "since": time(),
            "resolvedAt": or_null(time()), "resolution": or_null(text()),
        })),
        "Parked": object(&["messageId", "parkedAt", "reason"], json!({
            "messageId": text(), "account": text(), "parkedAt": time(), "reason": text(),
        })),
        "Totals": object(
            &["accepted", "missing", "doubleFinal", "doubleCharge", "ledgerMismatch", "unknownAttempts", "orphanReceipts"],
            json!({
                "accepted": counted("Messages that were promised"),
                "missing": counted("Promised messages that are not there"),
                "doubleFinal": counted("Messages that more than one receipt made final"),
                "doubleCharge": counted("Units charged or refunded beyond what is due"),
                "ledgerMismatch": counted("Balances that are not the sum of their entries, and money that the entries lack"),
                "unknownAttempts": counted("Attempts that are or were unknown"),
                "orphanReceipts": counted("Receipts that no attempt wants"),
            }),
        ),
        "Live": object(&["status"], json!({"status": {"const": "live"}})),
        "Ready": object(&["status", "checks"], json!({
            "status": {"enum": ["ready", "not ready"]},
            "checks": {"type": "array", "items": object(&["name", "ok", "needed"], json!({
                "name": text(), "ok": flag(), "needed": flag(), "detail": text(),
            }))},
        })),
        "OpenApi": {"type": "object"},
        "Problem": object(&["type", "title", "status", "code", "detail", "errors", "requestId", "retryable"], json!({
            "type": {"type": "string", "pattern": "^urn:bongsu:code:UM[0-9]{4}$"},
            "title": text(),
            "status": whole(),
            "code": code(),
            "detail": text(),
            "errors": {"type": "array", "items": object(&["field", "code", "detail"], json!({
                "field": text(), "index": whole(), "code": code(), "detail": text(), "duplicateOf": duplicate_of(),
            }))},
            "requestId": text(),
            "retryable": flag(),
        })),
    })
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "required": required, "properties": properties})
}

/// An object that takes no other fields.
fn closed(required: &[&str], properties: Value) -> Value {
    let mut schema = object(required, properties);
    schema["additionalProperties"] = false.into();
    schema
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn or_null(schema: Value) -> Value {
    json!({"anyOf": [schema, {"type": "null"}]})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn whole() -> Value {
    json!({"type": "integer"})
}

fn counted(description: &str) -> Value {
    json!({"type": "integer", "minimum": 0, "description": description})
}

fn window() -> Value {
    json!({
        "type": "integer", "minimum": 0, "maximum": DEDUPE_MAX_S, "default": 0,
        "description": "Seconds in which an equal message (sender, recipient, channel, subject, text) is refused; 0: never",
    })
}

fn duplicate_of() -> Value {
    json!({"type": "string", "description": "UM1018: the message that was accepted with the same content"})
}

fn flag() -> Value {
    json!({"type": "boolean"})
}

fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

fn code() -> Value {
    json!({"type": "string", "pattern": "^UM[0-9]{4}$"})
}

fn words(words: &[&str]) -> Value {
    json!({"enum": words})
}

fn lane() -> Value {
    words(&Lane::ALL.map(Lane::as_str))
}

fn status() -> Value {
    words(&Status::ALL.map(Status::as_str))
}

fn unit() -> Value {
    words(&Unit::ALL.map(Unit::as_str))
}

fn scopes() -> Value {
    json!({"type": "array", "items": words(&KeyScope::ALL.map(KeyScope::as_str))})
}

fn networks() -> Value {
    json!({
        "type": "array", "maxItems": NETWORKS_MAX, "items": {"type": "string", "examples": ["203.0.113.0/24"]},
        "description": "Addresses and networks from which the key may be used; none means everywhere",
    })
}

fn shares() -> Value {
    json!({
        "type": "object",
        "additionalProperties": {"type": "integer", "minimum": 0, "maximum": 100},
        "description": "Relay names and their shares, which add up to 100",
    })
}

fn strings(most: usize) -> Value {
    json!({"type": "object", "maxProperties": most, "additionalProperties": {"type": "string"}})
}
