//! The OpenAPI 3.1 document, made from the table of routes.

mod schemas;

use bongsu_store::keys::KeyScope;
use serde_json::{Map, Value, json};

use crate::route::{Access, ROUTES, Route, Takes, paths};
use crate::signing;

/// The document that `/openapi.json` answers.
pub fn openapi() -> Value {
    let mut items = Map::new();
    for path in paths() {
        let operations = ROUTES.iter().filter(|route| route.path == path);
        let item: Map<String, Value> =
            operations.map(|route| (route.method.as_str().to_ascii_lowercase(), operation(route))).collect();
        items.insert(path.to_owned(), Value::Object(item));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Bongsu",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Accept once, deliver, prove what happened. Times are RFC 3339, errors are RFC 9457 problems \
                            with a code of the table UM0000 to UM9999.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "paths": items,
        "components": {
            "securitySchemes": {"key": {
                "type": "http",
                "scheme": "bearer",
                "description": format!("An API key. Scopes: {}.", KeyScope::ALL.map(KeyScope::as_str).join(", ")),
            }, "signature": {
                "type": "http",
                "scheme": signing::SCHEME,
                "description": "For keys that sign: HMAC-SHA256 over method, path, time, nonce, Idempotency-Key and body; see docs/access.md.",
            }},
            "schemas": schemas::all(),
        },
        "security": [{"key": []}, {"signature": []}],
    })
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.summary,
        "tags": [route.path.trim_start_matches("/v1/").split('/').find(|word| !word.is_empty()).unwrap_or("v1")],
        "parameters": parameters(route),
        "responses": responses(route),
    });
    match route.access {
        Access::Public => operation["security"] = json!([]),
        Access::Key => {}
        Access::Scope(scope) => operation["x-scope"] = scope.as_str().into(),
        Access::Account(scope) => {
            operation["x-scope"] = scope.as_str().into();
            operation["x-account-only"] = true.into();
        }
        Access::Operator => operation["x-scope"] = KeyScope::Operator.as_str().into(),
    }
    if let Takes::Json(schema) | Takes::Optional(schema) = route.takes {
        operation["requestBody"] = json!({
            "required": matches!(route.takes, Takes::Json(_)),
            "content": {"application/json": {"schema": reference(schema)}},
        });
    }
    if route.takes == Takes::Rows {
        let text = json!({"schema": {"type": "string"}});
        operation["requestBody"] = json!({
            "required": true,
            "content": {
                "application/json": {"schema": reference("GroupRows")},
                "application/x-ndjson": text,
                "text/csv": text,
            },
        });
    }
    operation
}

fn parameters(route: &Route) -> Vec<Value> {
    let mut parameters = Vec::new();
    for name in route.parameter_names() {
        parameters.push(json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
    }
    for name in route.query {
        // Rows begin from a number, statistics from a day.
        let meant = if (route.id, *name) == ("read_stats", "from") { "fromDay" } else { name };
        let (schema, description) = schemas::query(meant);
        parameters.push(json!({"name": name, "in": "query", "schema": schema, "description": description}));
    }
    let keyed = route.id.starts_with("send_") && matches!(route.takes, Takes::Json(_));
    if keyed || matches!(route.id, "create_group" | "add_rows") {
        parameters.push(json!({
            "name": "Idempotency-Key",
            "in": "header",
            "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,255}$"},
            "description": "The same key with the same body within 24 hours gets the first answer again.",
        }));
    }
    parameters
}

fn responses(route: &Route) -> Value {
    let (status, schema) = route.gives;
    let mut good = json!({"description": route.summary});
    match schema {
        Some(schema) => good["content"] = json!({"application/json": {"schema": reference(schema)}}),
        None if route.path.ends_with(".csv") => {
            good["content"] = json!({"text/csv": {"schema": {"type": "string"}}});
        }
        None if route.path.ends_with("/events") && status == 200 => {
            good["content"] = json!({"text/event-stream": {"schema": {"type": "string"}}});
        }
        None if route.id == "docs_page" => good["content"] = json!({"text/html": {"schema": {"type": "string"}}}),
        None if status == 200 => good["content"] = json!({"text/plain": {"schema": {"type": "string"}}}),
        None => {}
    }
    let mut responses = Map::from_iter([(status.to_string(), good)]);
    let mut refuse = |status: u16, what: &str| {
        let body = json!({
            "description": what,
            "content": {"application/problem+json": {"schema": reference("Problem")}},
        });
        responses.insert(status.to_string(), body);
    };
    if route.access != Access::Public {
        refuse(401, "The API key is missing or wrong (UM1002)");
        refuse(403, "The API key may not do this (UM1003), or the account is suspended (UM3005)");
        refuse(429, "Too many requests (UM3003); Retry-After says when to come back");
        refuse(503, "The store cannot answer (UM8004) or is full (UM8005); nothing was changed");
    }
    // Every route refuses a parameter that it does not know.
    refuse(400, "The request cannot be read, or has a parameter that is unknown or wrong (UM1001)");
    if !route.query.is_empty() || route.takes != Takes::Nothing {
        refuse(422, "Fields cannot be accepted, or do not go together; all of them are listed");
    } else if route.changes() {
        refuse(422, "It cannot be done for what it is asked for; the code says why");
    }
    if route.parameter_names().next().is_some() || route.query.contains(&"account") || route.id == "create_key" {
        refuse(404, "There is no such thing, or it is another account's (UM1011)");
    }
    if route.changes() {
        refuse(409, "The present state does not allow it; the code says why");
    }
    if route.takes != Takes::Nothing {
        refuse(408, "The body took too long (UM1017)");
        refuse(413, "Too large (UM1016) or too many rows (UM1008)");
        refuse(415, "The body must be of a type that is named here, in UTF-8 (UM1015)");
    }
    if matches!(route.id, "send_message" | "send_batch" | "send_group" | "schedule_group" | "approve_group") {
        refuse(402, "The balance is not enough (UM3001)");
    }
    if route.is_tagged() {
        responses.insert("304".to_owned(), json!({"description": "Nothing changed since the ETag of If-None-Match"}));
    }
    if route.id == "ready" {
        responses.insert(
            "503".to_owned(),
            json!({
                "description": "Not ready",
                "content": {"application/json": {"schema": reference("Ready")}},
            }),
        );
    }
    Value::Object(responses)
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

#[cfg(test)]
mod tests;
