//! Schemas of keys, of the numbers of team keys, and of the audit log.

use bongsu_store::keys::{KeyKind, NAME_MAX, Role, Signing};
use bongsu_store::team::TEAM_MAX;
use serde_json::{Map, Value, json};

use super::{closed, code, networks, object, or_null, scopes, text, time, words};

/// Every schema of this file.
pub fn all() -> Value {
    let groups = [keys(), records()];
    Value::Object(groups.into_iter().filter_map(|group| group.as_object().cloned()).flatten().collect::<Map<_, _>>())
}

fn keys() -> Value {
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
    let mut created = key.clone();
    created["key"] = json!({"type": "string", "description": "The secret; shown once"});
    created["signingSecret"] = json!({"type": "string", "description": "What signs requests; shown once"});
    json!({
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
        "Key": object(&["id", "kind", "prefix", "scopes", "active", "createdAt"], key),
        "CreatedKey": object(&["id", "key", "kind", "prefix", "scopes", "createdAt"], created),
    })
}

fn records() -> Value {
    json!({
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
                "role": {
                    "type": ["string", "null"],
                    "description": "The key's role, or its kind where its scopes are no role's; null for a send",
                },
                "ip": or_null(text()),
                "requestId": text(),
                "operation": {"type": "string", "description": "An operationId of this document"},
                "target": {"type": ["string", "null"], "description": "Id of what was changed or made"},
                "status": {"type": ["integer", "null"], "description": "HTTP status; null for a change whose answer never left"},
                "code": or_null(code()),
            }),
        ),
    })
}
