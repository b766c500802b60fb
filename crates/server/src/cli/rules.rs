//! `bongsu rules`: the rules that `GET /v1/messages/{id}/why` answers with, for documents and for people.

use std::fmt::Write;

use bongsu_domain::Rule;
use serde_json::{Value, json};

use crate::failure::Answer;

/// The list, as Markdown and as JSON.
pub(super) fn run() -> Answer {
    let mut text = String::from("| rule | what it says |\n| --- | --- |\n");
    for rule in Rule::ALL {
        let _ = writeln!(text, "| {} | {} |", rule.id(), rule.says());
    }
    let rows: Vec<Value> = Rule::ALL.iter().map(|rule| json!({"rule": rule.id(), "says": rule.says()})).collect();
    Answer::new(Value::Array(rows), text.trim_end())
}
