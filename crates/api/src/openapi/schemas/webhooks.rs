//! Schemas of webhooks and what they are told.

use bongsu_domain::webhook::{RETRIES_MAX, Schedule, WAIT_MAX_MINUTES};
use bongsu_store::facts::EventKind;
use bongsu_store::webhooks::{BATCH_MAX, CONCURRENCY_DEFAULT, CONCURRENCY_MAX, DeliveryState};
use serde_json::{Value, json};

use super::{closed, flag, object, or_null, text, time, whole};

/// All of them.
pub fn all() -> Value {
    json!({
        "NewWebhook": closed(&["url"], settings(true)),
        "WebhookPatch": closed(&[], settings(false)),
        "Webhook": object(&["id", "account", "url", "events", "disabled", "createdAt"], shown()),
        "SecretWebhook": object(&["id", "account", "url", "events", "disabled", "createdAt", "secret"], {
            let mut with_secret = shown();
            with_secret["secret"] = json!({
                "type": "string", "pattern": "^whsec_",
                "description": "Signs the calls (Standard Webhooks 1.0, v1); shown once",
            });
            with_secret
        }),
        "RotateWebhook": closed(&[], json!({
            "oldForS": {
                "type": "integer", "minimum": 0, "maximum": 604_800, "default": 86_400,
                "description": "Seconds for which the old secret signs beside the new one",
            },
        })),
        "ReplayWebhook": closed(&["since"], json!({"since": time()})),
        "WebhookTrial": object(&["eventId", "delivered", "durationMs"], json!({
            "eventId": {"type": "string", "description": "The header webhook-id of the call"},
            "delivered": {"type": "boolean", "description": "It answered 2xx"},
            "httpStatus": or_null(whole()),
            "durationMs": whole(),
            "reason": or_null(text()),
            "answer": {"type": "string", "description": "The first 200 bytes of the answer, printable"},
        })),
        "Delivery": object(&["id", "eventId", "type", "events", "status", "attempts"], json!({
            "id": text(),
            "eventId": {"type": "string", "description": "The header webhook-id, the same in every attempt"},
            "type": types(),
            "messageId": or_null(text()),
            "events": {"type": "integer", "minimum": 1, "description": "How many events it tells"},
            "status": {"enum": DeliveryState::ALL.map(DeliveryState::as_str)},
            "attempts": whole(),
            "nextAt": or_null(time()),
            "lastAt": or_null(time()),
            "httpStatus": or_null(whole()),
            "durationMs": whole(),
            "reason": or_null(json!({"type": "string", "description": "Why there was no answer"})),
            "answer": {"type": "string", "description": "The first 200 bytes of the last answer, printable"},
        })),
    })
}

fn types() -> Value {
    json!({"enum": EventKind::ALL.map(EventKind::as_str)})
}

fn settings(with_defaults: bool) -> Value {
    let minutes = json!({
        "type": "array", "maxItems": RETRIES_MAX,
        "items": {"type": "integer", "minimum": 1, "maximum": WAIT_MAX_MINUTES},
        "description": "Minutes from a failed attempt to the next one; after the last of them it stops",
    });
    let mut settings = json!({
        "url": {"type": "string", "maxLength": 2048, "description": "https, port 443 or from 1024 on, a public address"},
        "events": {"type": "array", "items": types(), "description": "Types to tell; none: all"},
        "description": {"type": "string", "maxLength": 200},
        "includePii": {"type": "boolean", "description": "Tell phone numbers in full; needs the scopes read and numbers beside manage"},
        "batch": {
            "type": "integer", "minimum": 1, "maximum": BATCH_MAX,
            "description": "Most events of a call; with more than one, data is a list",
        },
        "concurrency": {"type": "integer", "minimum": 1, "maximum": CONCURRENCY_MAX, "description": "Most calls at once"},
        "schedule": minutes,
        "staticHeader": {
            "type": "object",
            "additionalProperties": false,
            "properties": {"name": text(), "value": {"type": "string", "writeOnly": true}},
            "description": "A header that every call has besides; an empty object takes it away",
        },
        "disabled": {"type": "boolean", "description": "Nothing is sent; what happens meanwhile waits in the log"},
    });
    if with_defaults {
        settings["batch"]["default"] = 1.into();
        settings["concurrency"]["default"] = CONCURRENCY_DEFAULT.into();
        settings["schedule"]["default"] = Schedule::default().minutes().into();
    }
    settings
}

fn shown() -> Value {
    json!({
        "id": text(),
        "account": text(),
        "url": text(),
        "events": {"type": "array", "items": types()},
        "description": text(),
        "includePii": flag(),
        "batch": whole(),
        "concurrency": whole(),
        "schedule": {"type": "array", "items": whole()},
        "staticHeader": or_null(object(&["name"], json!({"name": text()}))),
        "disabled": flag(),
        "disabledReason": or_null(json!({"enum": ["owner", "gone"]})),
        "oldSecretUntil": or_null(time()),
        "createdAt": time(),
    })
}
