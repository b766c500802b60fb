//! Schemas of events and statistics.

use bongsu_store::facts::EventKind;
use serde_json::{Value, json};

use super::{code, lane, object, or_null, status, text, time, whole};
use crate::routes::stats;

/// All of them.
pub fn all() -> Value {
    let money = json!({"type": "object", "additionalProperties": whole(), "description": "By unit"});
    let sums = json!({
        "total": {"type": "integer", "description": "The sum of the next four"},
        "success": {"type": "integer", "description": "Delivered"},
        "fail": {"type": "integer", "description": "Undelivered, expired or failed"},
        "canceled": whole(),
        "open": {"type": "integer", "description": "Not ended yet"},
        "charged": money,
        "refunded": money,
        "net": money,
    });
    let names: Vec<&str> = sums.as_object().map(|sums| sums.keys().map(String::as_str).collect()).unwrap_or_default();
    let mut row = json!({
        "day": {"type": "string", "format": "date", "description": "Day of accept, in Seoul"},
        "account": text(),
        "channel": {"enum": ["sms", "lms"]},
        "lane": lane(),
        "relay": or_null(json!({"type": "string", "description": "Of the last attempt"})),
        "label": or_null(object(&["key", "value"], json!({"key": text(), "value": text()}))),
        "status": {"type": "string", "description": "A final status, or open"},
        "billCode": or_null(text()),
    });
    if let (Some(row), Some(sums)) = (row.as_object_mut(), sums.as_object()) {
        row.extend(sums.clone());
    }
    json!({
        "Event": object(&["id", "type", "timestamp", "account", "data"], json!({
            "id": {"type": "string", "description": "Its position: ascending, unique, never used again"},
            "type": {"enum": EventKind::ALL.map(EventKind::as_str)},
            "timestamp": time(),
            "account": text(),
            "data": reference_data(),
        })),
        "EventPage": object(&["items", "nextCursor"], json!({
            "items": {"type": "array", "items": {"$ref": "#/components/schemas/Event"}},
            "nextCursor": {"type": "string", "description": "Give it back as `after`, also when there are no items"},
        })),
        "Stats": object(&["from", "to", "by", "items", "totals"], json!({
            "from": {"type": "string", "format": "date"},
            "to": {"type": "string", "format": "date"},
            "by": {"type": "array", "items": {"enum": stats::words()}},
            "items": {"type": "array", "items": object(&names, row)},
            "totals": object(&names, sums.clone()),
        })),
    })
}

fn reference_data() -> Value {
    object(
        &["id", "status", "code", "codeName", "attempt", "seq"],
        json!({
            "id": {"type": "string", "description": "The message; of group.finished, the group"},
            "batchId": or_null(text()),
            "status": status(),
            "code": code(),
            "codeName": text(),
            "attempt": {"type": "integer", "description": "0 for none"},
            "relay": or_null(text()),
            "seq": {"type": "integer", "description": "Ascends within the message, with gaps"},
        }),
    )
}
