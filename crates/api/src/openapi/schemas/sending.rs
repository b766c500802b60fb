//! Schemas of sending, of trying out, and of what explains a message.

use serde_json::{Map, Value, json};

use super::{closed, lane, object, or_null, reference, status, strings, text, time, unit, whole};
use crate::fields::MEMBERS_MAX;
use crate::send::ROWS_MAX;

/// Every schema of this file.
pub fn all() -> Value {
    let groups = [bodies(), validation(), explanations(), answers()];
    Value::Object(groups.into_iter().filter_map(|group| group.as_object().cloned()).flatten().collect::<Map<_, _>>())
}

fn price() -> Value {
    object(&["unit", "amount"], json!({"unit": unit(), "amount": whole()}))
}

/// What a message may say.
fn fields() -> Value {
    json!({
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
    })
}

fn bodies() -> Value {
    let message = fields();
    json!({
        "MessageFields": closed(&[], message.clone()),
        "SendMessage": closed(&["to", "from", "text"], message),
        "SendBatch": closed(&["messages"], json!({
            "defaults": reference("MessageFields"),
            "messages": {"type": "array", "minItems": 1, "maxItems": ROWS_MAX, "items": reference("MessageFields")},
            "mode": {"enum": ["partial", "allOrNothing"], "default": "partial"},
        })),
    })
}

fn validation() -> Value {
    json!({
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
                "price": or_null(price()),
                "relay": {"type": ["string", "null"], "description": "The relay that the ratio names, if the rows were sent now in this order"},
                "sendAt": or_null(time()),
                "holdReason": or_null(text()),
                "heldUntil": or_null(time()),
                "findings": {"type": "array", "items": {"type": "object"}},
            }))},
            "estimate": price(),
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
    })
}

fn explanations() -> Value {
    json!({
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
    })
}

fn answers() -> Value {
    let price = price();
    json!({
        "Accepted": object(&["id", "status", "channel", "price", "acceptedAt"], json!({
            "id": text(),
            "status": {"const": "accepted"},
            "lane": lane(),
            "channel": {"enum": ["sms", "lms"]},
            "clientRef": or_null(text()),
            "resolved": {"type": "object", "description": "The channel chosen, and the bytes of the text in CP949"},
            "price": price.clone(),
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
