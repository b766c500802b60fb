//! How a dry run is shown.

use bongsu_send::{BadCharacter, Checked, CheckedRow, Finding, Resolved, RouteView};
use serde::Serialize;

use super::Time;
use super::message::Price;
use crate::problem::ErrorView;

/// A dry run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Validation<'a> {
    valid: bool,
    counts: Counts,
    results: Vec<Row<'a>>,
    estimate: Price,
    balance: i64,
    findings: Vec<ErrorView<'a>>,
    routes: Vec<Route<'a>>,
}

#[derive(Debug, Serialize)]
struct Counts {
    rows: usize,
    accepted: usize,
    rejected: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    index: u32,
    valid: bool,
    lane: Option<&'static str>,
    channel: Option<&'static str>,
    #[serde(rename = "type")]
    kind: Option<&'static str>,
    encoding: Encoding<'a>,
    parts: Option<u8>,
    price: Option<Price>,
    relay: Option<&'a str>,
    send_at: Option<Time>,
    hold_reason: Option<&'static str>,
    held_until: Option<Time>,
    findings: Vec<ErrorView<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Encoding<'a> {
    charset: &'static str,
    bytes: Option<u32>,
    characters: Vec<Character<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Character<'a> {
    field: &'a str,
    index: u32,
    character: char,
    code_point: String,
    suggestion: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Route<'a> {
    channel: &'static str,
    shares: Vec<Share<'a>>,
    next: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Share<'a> {
    relay: &'a str,
    percent: u32,
    /// Parts it is owed, negative when it carried more than its share.
    owed: f64,
}

impl<'a> Validation<'a> {
    /// Shows a dry run.
    pub fn new(checked: &'a Checked) -> Self {
        let accepted = checked.rows.iter().filter(|row| row.findings.is_empty()).count();
        let rows = checked.rows.len();
        Self {
            valid: accepted == rows && checked.findings.is_empty(),
            counts: Counts { rows, accepted, rejected: rows - accepted },
            results: checked.rows.iter().map(Row::new).collect(),
            estimate: Price::new(checked.estimate),
            balance: checked.balance,
            findings: errors(&checked.findings),
            routes: checked.routes.iter().map(Route::new).collect(),
        }
    }
}

fn errors(findings: &[Finding]) -> Vec<ErrorView<'_>> {
    findings.iter().map(ErrorView::from).collect()
}

impl<'a> Row<'a> {
    fn new(row: &'a CheckedRow) -> Self {
        let resolved: Option<&'a Resolved> = row.resolved.as_ref();
        let held = resolved.and_then(|resolved| resolved.held);
        Self {
            index: row.index,
            valid: row.findings.is_empty(),
            lane: resolved.map(|resolved| resolved.lane.as_str()),
            channel: resolved.map(|resolved| resolved.channel.as_str()),
            kind: resolved.map(|resolved| resolved.channel.as_str()),
            encoding: Encoding {
                charset: "CP949",
                bytes: resolved.map(|resolved| resolved.bytes),
                characters: row.characters.iter().map(Character::new).collect(),
            },
            parts: resolved.map(|resolved| resolved.parts),
            price: resolved.map(|resolved| Price::new((resolved.price.unit, resolved.price.amount))),
            relay: resolved.and_then(|resolved| resolved.relay.as_deref()),
            send_at: resolved.and_then(|resolved| resolved.send_at).map(Time),
            hold_reason: held.map(|held| held.reason),
            held_until: held.map(|held| Time(held.until)),
            findings: errors(&row.findings),
        }
    }
}

impl<'a> Character<'a> {
    fn new(bad: &'a BadCharacter) -> Self {
        Self {
            field: bad.field,
            index: bad.index,
            character: bad.ch,
            code_point: format!("U+{:04X}", u32::from(bad.ch)),
            suggestion: bad.suggestion,
        }
    }
}

impl<'a> Route<'a> {
    pub(super) fn new(route: &'a RouteView) -> Self {
        let share = |(relay, percent, owed): &'a (String, u32, i64)| Share {
            relay,
            percent: *percent,
            owed: *owed as f64 / 100.0,
        };
        Self {
            channel: route.channel.as_str(),
            shares: route.shares.iter().map(share).collect(),
            next: route.next.as_deref(),
        }
    }
}
