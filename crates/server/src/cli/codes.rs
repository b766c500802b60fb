//! `bongsu codes`: the closed table of result codes, for documents and for people.

use std::fmt::Write;

use bongsu_domain::{Action, Billing, Code};
use serde_json::{Value, json};

use crate::failure::Answer;

/// The table, as Markdown and as JSON.
pub(super) fn run() -> Answer {
    let mut text = String::from(
        "| code | name | title | 이름 | HTTP | retryable | billing | action | ims | kakao |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for code in Code::ALL {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            code.as_str(),
            code.name(),
            code.title_en(),
            code.title_ko(),
            code.http_status(),
            if code.retryable() { "yes" } else { "no" },
            billing(code.billing()),
            action(code.action()),
            code.ims().unwrap_or(""),
            code.kakao().iter().map(u16::to_string).collect::<Vec<_>>().join(" "),
        );
    }
    let rows: Vec<Value> = Code::ALL.iter().copied().map(row).collect();
    Answer::new(Value::Array(rows), text.trim_end())
}

fn row(code: Code) -> Value {
    json!({
        "code": code.as_str(),
        "name": code.name(),
        "titleEn": code.title_en(),
        "titleKo": code.title_ko(),
        "httpStatus": code.http_status(),
        "retryable": code.retryable(),
        "billing": billing(code.billing()),
        "action": action(code.action()),
        "ims": code.ims(),
        "kakao": code.kakao(),
    })
}

fn billing(billing: Billing) -> &'static str {
    match billing {
        Billing::Billable => "billable",
        Billing::Refundable => "refundable",
        Billing::ByContract => "by contract",
    }
}

fn action(action: Action) -> &'static str {
    match action {
        Action::None => "none",
        Action::No => "no",
        Action::Fix => "fix",
        Action::Same => "same",
        Action::Route => "route",
        Action::Next => "next",
        Action::Hold => "hold",
        Action::Ask => "ask",
    }
}
