//! The bodies of accept answers: built once, stored with the idempotency key, and sent again as they are.

use std::fmt::Write;

use bongsu_domain::id::id_millis;
use bongsu_domain::{MessageId, Price, RequestId, Timestamp, Unit};
use serde_json::json;

use crate::prepare::Prepared;
use crate::types::{Finding, Held};

/// The answer to one accepted message. It never says "sent": that is not known yet. It says when the message leaves where
/// that is not at once.
pub fn single(id: i64, prepared: &Prepared, price: Price, held: Option<Held>) -> Vec<u8> {
    let mut body = json!({
        "id": MessageId(id).to_string(),
        "status": "accepted",
        "lane": prepared.lane.as_str(),
        "channel": prepared.channel.as_str(),
        "clientRef": prepared.draft.client_ref,
        "resolved": {"channel": prepared.channel.as_str(), "bytes": prepared.bytes},
        "price": {"unit": price.unit.as_str(), "amount": price.amount},
        "acceptedAt": Timestamp::from_millis(id_millis(id)).rfc3339(),
    });
    if let Some(at) = prepared.send_at {
        body["sendAt"] = at.rfc3339().into();
    }
    if let Some(held) = held {
        body["holdReason"] = held.reason.into();
        body["heldUntil"] = held.until.rfc3339().into();
    }
    body.to_string().into_bytes()
}

/// What became of a batch.
pub struct BatchOutcome<'a> {
    /// The batch.
    pub id: RequestId,
    /// Rows given.
    pub rows: u32,
    /// Row and id of every accepted message, in the order of rows.
    pub accepted: Vec<(u32, i64)>,
    /// What is wrong with the others, in the order of rows.
    pub findings: &'a [Finding],
    /// Unit of the charge.
    pub unit: Unit,
    /// The charge.
    pub amount: i64,
}

/// The answer to a batch: one result a row, in the order of rows; only the errors when so asked.
pub fn batch(outcome: &BatchOutcome<'_>, errors_only: bool) -> Vec<u8> {
    let accepted = outcome.accepted.len() as u32;
    let mut out = String::with_capacity(64 + outcome.accepted.len() * 48);
    let _ = write!(
        out,
        "{{\"batchId\":\"{}\",\"status\":\"accepted\",\"counts\":{{\"rows\":{},\"accepted\":{accepted},\"rejected\":{}}},\"results\":[",
        outcome.id,
        outcome.rows,
        outcome.rows - accepted
    );
    let mut ids = outcome.accepted.iter().filter(|_| !errors_only).peekable();
    let mut errors = outcome.findings.chunk_by(|a, b| a.index == b.index).peekable();
    let mut separator = "";
    while ids.peek().is_some() || errors.peek().is_some() {
        let next_id = ids.peek().map(|(index, _)| *index);
        let next_error = errors.peek().and_then(|findings| findings[0].index);
        out.push_str(separator);
        separator = ",";
        if next_error.is_none() || next_id.is_some_and(|id| Some(id) < next_error) {
            if let Some((index, id)) = ids.next() {
                let _ = write!(out, "{{\"index\":{index},\"id\":\"{}\"}}", MessageId(*id));
            }
        } else if let Some(findings) = errors.next() {
            out.push_str(&row_error(findings));
        }
    }
    let unit = outcome.unit.as_str();
    let _ = write!(out, "],\"estimate\":{{\"unit\":\"{unit}\",\"amount\":{}}}}}", outcome.amount);
    out.into_bytes()
}

fn row_error(findings: &[Finding]) -> String {
    let first = &findings[0];
    let shown = |f: &Finding| {
        let mut error = json!({"field": f.field, "code": f.code.as_str(), "detail": f.detail});
        if let Some(id) = f.duplicate_of {
            error["duplicateOf"] = id.to_string().into();
        }
        error
    };
    let mut errors: Vec<_> = findings.iter().map(shown).collect();
    errors.iter_mut().for_each(|error| error["index"] = first.index.into());
    let mut error = shown(first);
    error["codeName"] = first.code.name().into();
    error["errors"] = errors.into();
    json!({"index": first.index, "error": error}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bongsu_domain::Code;

    fn finding(index: u32) -> Finding {
        Finding { index: Some(index), ..Finding::new("to", Code::BadRecipientFormat, "x") }
    }

    #[test]
    fn results_keep_the_order_of_rows() {
        let findings = [finding(0), finding(2), finding(2)];
        let outcome = BatchOutcome {
            id: RequestId(5),
            rows: 4,
            accepted: vec![(1, 10), (3, 11)],
            findings: &findings,
            unit: Unit::PointSms,
            amount: 2,
        };
        let body: serde_json::Value = serde_json::from_slice(&batch(&outcome, false)).unwrap();
        let order: Vec<u64> =
            body["results"].as_array().unwrap().iter().map(|r| r["index"].as_u64().unwrap()).collect();
        assert_eq!(order, [0, 1, 2, 3]);
        assert_eq!(body["results"][2]["error"]["errors"].as_array().unwrap().len(), 2);
        assert_eq!(body["counts"]["rejected"], 2);
        let errors: serde_json::Value = serde_json::from_slice(&batch(&outcome, true)).unwrap();
        assert_eq!(errors["results"].as_array().unwrap().len(), 2);
    }
}
