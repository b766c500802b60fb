//! The schemas of the OpenAPI document, by name.

mod facts;
mod webhooks;

use bongsu_domain::{Lane, OriginStatus, Status, Unit};
use bongsu_store::accounts::DEDUPE_MAX_S;
use bongsu_store::keys::{KeyKind, KeyScope, NAME_MAX, NETWORKS_MAX, Role, Signing};
use bongsu_store::team::TEAM_MAX;
use bongsu_store::webhooks::DeliveryState;
use serde_json::{Map, Value, json};

use crate::fields::MEMBERS_MAX;
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
            "Part of a text that a batch or group has for several messages, or of a title; never of what fills a text in, of \
             single messages or of the lane auth. At most 31 days, the last ones when nothing is said",
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
        sending(),
        group_schemas(),
        messages(),
        administration(),
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

fn sending() -> Value {
    let message = json!({
        "channel": {"enum": ["auto", "sms", "lms"], "default": "auto"},
        "lane": lane(),
        "to": {"type": "string", "examples": ["010-1234-5678"]},
        "from": {"type": "string", "description": "A sender number of the account", "examples": ["02-123-4567"]},
        "text": {"type": "string", "description": "With `#{name}` where a variable goes"},
        "subject": {"type": "string", "description": "At most 40 bytes in CP949; LMS only"},
        "variables": strings(MEMBERS_MAX),
        "clientRef": {"type": "string", "maxLength": 64, "description": "The caller's own id, once per account"},
        "billCode": {"type": "string", "maxLength": 32},
        "labels": strings(10),
        "expiresIn": {
            "oneOf": [{"type": "string", "examples": ["PT10M"]}, {"type": "integer", "minimum": 1, "maximum": 259_200}],
            "description": "How long the message may wait, counted from sendAt where that is given, and for an advertisement in the hours in which it may leave: ISO 8601 duration or seconds",
        },
        "sendAt": {
            "type": "string", "format": "date-time",
            "description": "When it leaves (예약), with an offset; at most a minute ago and 180 days ahead",
        },
        "maxCost": {
            "type": "integer", "minimum": 0,
            "description": "The most the message may cost, in the unit of its price; a dearer one is refused with UM3002",
        },
        "fallback": {
            "type": "array", "maxItems": 10,
            "description": "Further channels in their order (대체발송). Channels that are not available yet answer UM3006",
            "items": closed(&["channel"], json!({
                "channel": text(), "from": text(), "to": text(), "text": text(), "subject": text(), "content": text(),
                "on": {"type": "array", "items": {"enum": ["failed", "expired", "uncertain"]}},
                "waitFor": {"oneOf": [{"type": "string", "examples": ["PT3M"]}, {"type": "integer"}]},
            })),
        },
        "ad": {"type": "boolean", "description": "An advertisement (광고): the lane ad. With another lane, or false with that lane, it is refused"},
    });
    let price = object(&["unit", "amount"], json!({"unit": unit(), "amount": whole()}));
    json!({
        "MessageFields": closed(&[], message.clone()),
        "SendMessage": closed(&["to", "from", "text"], message),
        "SendBatch": closed(&["messages"], json!({
            "defaults": reference("MessageFields"),
            "messages": {"type": "array", "minItems": 1, "maxItems": ROWS_MAX, "items": reference("MessageFields")},
            "mode": {"enum": ["partial", "allOrNothing"], "default": "partial"},
        })),
        "Validate": {"oneOf": [reference("SendMessage"), reference("SendBatch")]},
        "Validation": object(&["valid", "counts", "results", "estimate", "balance", "findings", "routes"], json!({
            "valid": {"type": "boolean", "description": "All of it would be accepted"},
            "counts": object(&["rows", "accepted", "rejected"], json!({
                "rows": whole(), "accepted": whole(), "rejected": whole(),
            })),
            "results": {"type": "array", "items": object(&["index", "valid", "encoding", "findings"], json!({
                "index": whole(),
                "valid": {"type": "boolean"},
                "lane": or_null(lane()),
                "channel": or_null(text()),
                "type": or_null(text()),
                "encoding": object(&["charset", "bytes", "characters"], json!({
                    "charset": text(),
                    "bytes": or_null(whole()),
                    "characters": {"type": "array", "items": {"type": "object"}, "description":
                        "Characters that cannot be sent: field, index in the text as filled in, character, codePoint, suggestion"},
                })),
                "parts": or_null(whole()),
                "price": or_null(price.clone()),
                "relay": {"type": ["string", "null"], "description": "The relay that the ratio names, if the rows were sent now in this order"},
                "sendAt": or_null(time()),
                "holdReason": or_null(text()),
                "heldUntil": or_null(time()),
                "findings": {"type": "array", "items": {"type": "object"}},
            }))},
            "estimate": price.clone(),
            "balance": whole(),
            "findings": {"type": "array", "items": {"type": "object"}, "description": "What concerns all rows: the balance"},
            "routes": {"type": "array", "items": object(&["channel", "shares", "next"], json!({
                "channel": text(),
                "shares": {"type": "array", "items": object(&["relay", "percent", "owed"], json!({
                    "relay": text(), "percent": whole(), "owed": {"type": "number", "description": "Parts it is owed"},
                }))},
                "next": or_null(text()),
            }))},
        })),
        "LookAt": closed(&["minutes"], json!({
            "minutes": {"type": "integer", "minimum": 0, "maximum": 1440, "description": "0 ends it"},
        })),
        "LookedAt": object(&["account", "until"], json!({"account": text(), "until": or_null(time())})),
        "Why": object(&["id", "status", "code", "price", "decision", "rules", "attempts"], json!({
            "id": text(), "status": status(), "code": text(), "codeName": text(), "lane": lane(), "channel": text(),
            "holdReason": or_null(text()), "heldUntil": or_null(time()),
            "price": {"type": "object", "description": "The price frozen at accept, its source, and what the table says now"},
            "decision": {"type": ["object", "null"], "description":
                "The first booking: when, the relays with share, parts owed, up and breaker, the one that the ratio named and the one chosen"},
            "rules": {"type": "array", "items": object(&["rule", "says", "detail", "attempt"], json!({
                "rule": text(), "says": text(), "detail": text(), "attempt": or_null(whole()),
            }))},
            "attempts": {"type": "array", "items": {"type": "object"}},
        })),
        "Trace": object(&["message", "requestId", "steps"], json!({
            "message": reference("Message"),
            "requestId": or_null(text()),
            "steps": {"type": "array", "items": object(&["at", "step", "attempt", "detail"], json!({
                "at": or_null(time()), "step": text(), "attempt": or_null(whole()), "detail": {"type": "object"},
            }))},
        })),
        "Traced": object(&["requests", "message", "nextUntil"], json!({
            "requests": {"type": "array", "items": object(&["id", "kind", "account", "messages"], json!({
                "id": text(), "kind": {"enum": ["single", "batch", "group"]}, "requestId": or_null(text()), "key": or_null(text()),
                "account": text(), "rows": whole(), "accepted": whole(), "messages": {"type": "array", "items": text()},
            }))},
            "message": {"oneOf": [reference("Trace"), {"type": "null"}]},
            "nextUntil": {"type": ["string", "null"], "description": "Give it back as until to look further into the past"},
        })),
        "Accepted": object(&["id", "status", "channel", "price", "acceptedAt"], json!({
            "id": text(),
            "status": {"const": "accepted"},
            "lane": lane(),
            "channel": {"enum": ["sms", "lms"]},
            "clientRef": or_null(text()),
            "resolved": {"type": "object", "description": "The channel chosen, and the bytes of the text in CP949"},
            "price": price,
            "acceptedAt": time(),
            "sendAt": time(),
            "holdReason": {"const": "night"},
            "heldUntil": time(),
        })),
        "NewTime": closed(&["sendAt"], json!({
            "sendAt": {"type": "string", "format": "date-time", "description": "As for a message that is sent"},
        })),
        "CanceledBatch": object(&["batchId", "canceled", "left"], json!({
            "batchId": text(),
            "canceled": {"type": "integer", "description": "Messages canceled, now or before"},
            "left": {"type": "integer", "description": "Messages that have left, are leaving or ended otherwise"},
        })),
        "MovedBatch": object(&["batchId", "sendAt", "messages"], json!({
            "batchId": text(),
            "sendAt": time(),
            "messages": {"type": "integer", "description": "Messages that leave at that time now"},
        })),
        "AcceptedBatch": object(&["batchId", "counts", "results", "estimate"], json!({
            "batchId": text(),
            "status": {"const": "accepted"},
            "counts": object(&["rows", "accepted", "rejected"], json!({
                "rows": whole(), "accepted": whole(), "rejected": whole(),
            })),
            "results": {"type": "array", "items": object(&["index"], json!({
                "index": whole(), "id": text(), "error": {"type": "object"},
            }))},
            "estimate": price,
        })),
    })
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
    let key = json!({
        "id": text(),
        "account": or_null(text()),
        "kind": words(&KeyKind::ALL.map(KeyKind::as_str)),
        "name": text(),
        "prefix": text(),
        "role": or_null(words(&Role::ALL.map(Role::as_str))),
        "scopes": scopes(),
        "active": {"type": "boolean", "description": "False while it is switched off, and once it is revoked"},
        "ipAllow": networks(),
        "signing": words(&Signing::ALL.map(Signing::as_str)),
        "createdAt": time(),
        "revokedAt": or_null(time()),
    });
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
    let mut created = key.clone();
    created["key"] = json!({"type": "string", "description": "The secret; shown once"});
    created["signingSecret"] = json!({"type": "string", "description": "What signs requests; shown once"});
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
        "NewKey": closed(&[], json!({
            "account": text(),
            "role": {"enum": Role::ALL.map(Role::as_str), "description": "A named set of scopes, instead of scopes"},
            "scopes": scopes(),
            "kind": {
                "enum": KeyKind::ALL.map(KeyKind::as_str), "default": "live",
                "description": "team sends to the team numbers only, test to the test numbers only and for nothing",
            },
            "name": {"type": "string", "maxLength": NAME_MAX},
            "ipAllow": networks(),
            "signing": {
                "enum": Signing::ALL.map(Signing::as_str), "default": "none",
                "description": "Whether requests may or must be signed instead of carrying the key",
            },
        })),
        "KeyPatch": closed(&[], json!({
            "active": {"type": "boolean", "description": "False switches the key off within seconds, true on again"},
            "name": {"type": "string", "maxLength": NAME_MAX},
            "ipAllow": networks(),
        })),
        "TeamNumber": object(&["number", "createdAt"], json!({
            "number": {"type": "string", "description": "Masked without the scope for numbers"}, "createdAt": time(),
        })),
        "TeamNumbersPut": closed(&["numbers"], json!({
            "numbers": {"type": "array", "maxItems": TEAM_MAX, "items": {"type": "string", "examples": ["010-1234-5678"]}},
        })),
        "Audited": object(
            &["id", "at", "account", "key", "role", "ip", "requestId", "operation", "target", "status", "code"],
            json!({
                "id": text(),
                "at": time(),
                "account": or_null(text()),
                "key": text(),
                "role": {"type": "string", "description": "The key's role, or its kind where its scopes are no role's"},
                "ip": or_null(text()),
                "requestId": text(),
                "operation": {"type": "string", "description": "An operationId of this document"},
                "target": {"type": ["string", "null"], "description": "Id of what was changed or made"},
                "status": {"type": ["integer", "null"], "description": "HTTP status; null for a change whose answer never left"},
                "code": or_null(code()),
            }),
        ),
        "Key": object(&["id", "kind", "prefix", "scopes", "active", "createdAt"], key),
        "CreatedKey": object(&["id", "key", "kind", "prefix", "scopes", "createdAt"], created),
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
