//! How decisions and traces are shown.

use bongsu_send::{Decision, Reason, RequestTrace, Step, TraceView, Traced, Why};
use serde_json::{Map, Value, json};

use super::message::Message;

/// What decided about a message.
pub fn why(why: &Why) -> Value {
    let message = &why.message;
    let (unit, amount) = message.price;
    json!({
        "id": message.id.to_string(),
        "status": message.status.as_str(),
        "code": message.code.as_str(),
        "codeName": message.code.name(),
        "lane": message.lane.as_str(),
        "channel": message.channel.as_str(),
        "holdReason": message.held.map(|held| held.reason),
        "heldUntil": message.held.map(|held| held.until.rfc3339()),
        "price": {
            "unit": unit.as_str(),
            "amount": amount,
            "source": "price table at accept",
            "now": {"unit": why.price_now.unit.as_str(), "amount": why.price_now.amount},
        },
        "decision": why.decision.as_ref().map(decision),
        "rules": why.reasons.iter().map(reason).collect::<Vec<_>>(),
        "attempts": message.attempts.iter().map(|attempt| json!({
            "n": attempt.n,
            "relay": attempt.relay,
            "outcome": attempt.outcome,
            "code": attempt.code.as_str(),
            "rules": why.reasons.iter().filter(|reason| reason.attempt == attempt.n).map(|r| r.rule.id()).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    })
}

fn decision(decision: &Decision) -> Value {
    let relays: Vec<Value> = decision
        .relays
        .iter()
        .map(|then| {
            json!({
                "relay": then.relay,
                "percent": then.percent,
                "owed": then.owed as f64 / 100.0,
                "up": then.up,
                "breakerClosed": then.closed,
            })
        })
        .collect();
    json!({
        "at": decision.at.rfc3339(),
        "waitedMs": decision.waited_ms,
        "byRatio": decision.by_ratio,
        "chosen": decision.chosen,
        "exact": decision.exact,
        "relays": relays,
    })
}

fn reason(reason: &Reason) -> Value {
    let attempt = (reason.attempt > 0).then_some(reason.attempt);
    json!({"rule": reason.rule.id(), "says": reason.rule.says(), "detail": reason.detail, "attempt": attempt})
}

/// Every step of a message.
pub fn trace(trace: &TraceView, sees_numbers: bool) -> Value {
    json!({
        "message": Message::new(&trace.message, sees_numbers),
        "requestId": trace.request_id,
        "steps": trace.steps.iter().map(step).collect::<Vec<_>>(),
    })
}

fn step(step: &Step) -> Value {
    let detail: Map<String, Value> =
        step.detail.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect();
    json!({"at": step.at.map(|at| at.rfc3339()), "step": step.step, "attempt": step.attempt, "detail": detail})
}

/// What an id led to.
pub fn traced(traced: &Traced, sees_numbers: bool) -> Value {
    json!({
        "requests": traced.requests.iter().map(request).collect::<Vec<_>>(),
        "message": traced.message.as_ref().map(|one| trace(one, sees_numbers)),
        "nextUntil": traced.next.map(|next| next.rfc3339()),
    })
}

fn request(request: &RequestTrace) -> Value {
    json!({
        "id": request.id,
        "kind": request.kind,
        "requestId": request.request_id,
        "key": request.key.map(|key| key.to_string()),
        "account": request.account.to_string(),
        "rows": request.rows.0,
        "accepted": request.rows.1,
        "messages": request.messages.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
