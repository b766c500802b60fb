//! Notes calls for the audit log: who, what, and how it ended; never what a body said.

use std::net::IpAddr;

use bongsu_domain::AccountId;
use bongsu_send::Scope;
use bongsu_store::audit_log::{Note, Outcome};
use bongsu_store::keys::{KeyKind, Role};
use serde_json::Value;

use crate::call::Caller;
use crate::problem::Problem;
use crate::query::Query;
use crate::reply::Reply;
use crate::route::Route;

/// Answers above this are not read for what they made: those of administration are small.
const READ_MAX: usize = 64 * 1024;

/// What is known of a call before it is handled.
pub fn note(
    route: &Route,
    caller: &Caller,
    query: &Query,
    parameter: &str,
    from: Option<IpAddr>,
    request: &str,
) -> Note {
    let account = match caller.scope {
        Scope::Account(own) => Some(own),
        Scope::Operator => query.text("account").and_then(|text| text.parse().ok()),
    };
    let role = match (caller.kind, Role::of(caller.scopes)) {
        (KeyKind::Live | KeyKind::Operator, Some(role)) => role.as_str(),
        (kind, _) => kind.as_str(),
    };
    Note {
        account: account.or_else(|| parameter.parse::<AccountId>().ok().filter(|_| caller.scope == Scope::Operator)),
        key: caller.key,
        role,
        ip: from,
        request_id: request.to_owned(),
        operation: route.id,
        target: parameter.to_owned(),
    }
}

/// How a call ended.
pub fn outcome(answer: &Result<Reply, Problem>) -> Outcome {
    match answer {
        Err(problem) => refusal(problem),
        Ok(reply) => {
            let made = reply.json_body().filter(|body| body.len() <= READ_MAX);
            let made: Value = made.and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default();
            let word = |name: &str| made[name].as_str();
            let account = word("account").and_then(|text| text.parse().ok());
            Outcome {
                account: account.or_else(|| word("id").and_then(|id| id.parse::<AccountId>().ok())),
                target: word("id").or_else(|| word("channel")).map(str::to_owned),
                status: reply.status(),
                code: 0,
            }
        }
    }
}

/// How a call ended that was refused.
pub fn refusal(problem: &Problem) -> Outcome {
    Outcome { status: problem.status.as_u16(), code: problem.code.number(), ..Outcome::default() }
}
