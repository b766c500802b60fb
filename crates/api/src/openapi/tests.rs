//! The document agrees with the table, and with itself.

use std::collections::BTreeSet;

use serde_json::Value;

use super::openapi;
use crate::route::{Access, ROUTES};

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("an item");
        item.iter().map(move |(method, operation)| (method.clone(), path.clone(), operation))
    });
    operations.collect()
}

fn references<'v>(value: &'v Value, found: &mut BTreeSet<&'v str>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                found.insert(reference.strip_prefix("#/components/schemas/").expect("a schema"));
            }
            members.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn every_route_is_in_the_document_and_the_reverse() {
    let document = openapi();
    let told: BTreeSet<_> =
        operations(&document).into_iter().map(|(method, path, _)| (method.to_uppercase(), path)).collect();
    let served: BTreeSet<_> =
        ROUTES.iter().map(|route| (route.method.as_str().to_owned(), route.path.to_owned())).collect();
    assert_eq!(told, served);
    assert_eq!(served.len(), ROUTES.len(), "a method of a path is in the table twice");
}

#[test]
fn operation_ids_are_unique() {
    let ids: BTreeSet<_> = ROUTES.iter().map(|route| route.id).collect();
    assert_eq!(ids.len(), ROUTES.len());
}

#[test]
fn every_schema_that_is_named_exists_and_is_used() {
    let document = openapi();
    let schemas: BTreeSet<_> =
        document["components"]["schemas"].as_object().expect("schemas").keys().map(String::as_str).collect();
    let mut used = BTreeSet::new();
    references(&document, &mut used);
    assert_eq!(used, schemas);
}

#[test]
fn only_public_operations_say_that_they_need_no_key() {
    let document = openapi();
    for (method, path, operation) in operations(&document) {
        assert!(METHODS.contains(&method.as_str()), "{method}");
        let route = ROUTES.iter().find(|route| route.path == path && route.method.as_str() == method.to_uppercase());
        let is_public = route.expect("in the table").access == Access::Public;
        assert_eq!(operation.get("security").is_some(), is_public, "{method} {path}");
        assert_eq!(operation["responses"].get("401").is_some(), !is_public, "{method} {path}");
    }
}

#[test]
fn every_query_parameter_is_described() {
    for route in ROUTES {
        for name in route.query {
            assert!(!super::schemas::query(name).1.is_empty(), "{name} of {}", route.id);
        }
    }
}

#[test]
fn a_path_parameter_is_found_in_a_path() {
    for (template, path, value) in [
        ("/v1/messages/{id}", "/v1/messages/msg_1", Some("msg_1")),
        ("/v1/messages/{id}/cancel", "/v1/messages/msg_1/cancel", Some("msg_1")),
        ("/v1/messages", "/v1/messages", None),
    ] {
        let route = ROUTES.iter().find(|route| route.path == template).expect("in the table");
        assert_eq!(route.parameter(path), value);
    }
}

#[test]
fn every_operation_tells_what_the_door_answers() {
    let document = openapi();
    for (method, path, operation) in operations(&document) {
        let has = |status: &str| operation["responses"].get(status).is_some();
        assert!(has("400"), "{method} {path} refuses parameters that it does not know");
        let good = &operation["responses"]["200"]["content"];
        let is_tagged =
            method == "get" && ["application/json", "text/html"].iter().any(|kind| good.get(kind).is_some());
        assert_eq!(has("304"), is_tagged, "{method} {path}");
    }
    assert!(document["paths"]["/v1/keys"]["post"]["responses"].get("404").is_some(), "another account's id");
}
