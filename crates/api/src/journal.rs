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
                target: word("id").or_else(|| word("channel")).or_else(|| word("account")).map(str::to_owned),
                status: reply.status(),
                code: 0,
            }
        }
    }
}

/// The id of what a call made, or of what its path names; none where there is none.
pub fn target(route: &Route, path: &str, answer: &Result<Reply, Problem>) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Made<'a> {
        #[serde(borrow, alias = "batchId")]
        id: Option<std::borrow::Cow<'a, str>>,
    }
    let body = answer.as_ref().ok().filter(|_| route.changes()).and_then(|reply| reply.json_body());
    let made = body.and_then(|body| serde_json::from_slice::<Made<'_>>(body).ok()).and_then(|made| made.id);
    let made = made.map(std::borrow::Cow::into_owned).filter(|id| is_id(id));
    made.or_else(|| route.parameter(path).filter(|id| is_id(id)).map(str::to_owned))
}

/// Whether a text has the form of an id: what callers write in its place is nothing for a log.
fn is_id(text: &str) -> bool {
    let Some((prefix, digits)) = text.split_once('_') else { return false };
    let is_prefix = prefix.len() == 3 && prefix.bytes().all(|byte| byte.is_ascii_lowercase());
    is_prefix && digits.len() == 13 && digits.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// How a call ended that was refused.
pub fn refusal(problem: &Problem) -> Outcome {
    Outcome { status: problem.status.as_u16(), code: problem.code.number(), ..Outcome::default() }
}

#[cfg(test)]
mod tests {
    use bongsu_domain::Code;
    use serde_json::json;

    use super::*;
    use crate::route::ROUTES;

    #[test]
    fn a_line_names_what_a_call_made_or_was_about_and_nothing_else() {
        let of = |id: &str, path: &str, answer| {
            let route = ROUTES.iter().find(|route| route.id == id).expect("a route");
            target(route, path, &answer)
        };
        let refused = || Err(Problem::new(Code::Internal, "no"));
        let (message, batch) = ("msg_0abcdefghjkmn", "bat_0abcdefghjkmn");
        let made = |member: &str, id: &str| Ok(Reply::json(202, &json!({ member: id, "counts": {"rows": 1} })));
        assert_eq!(of("send_message", "/v1/messages", made("id", message)).as_deref(), Some(message));
        assert_eq!(of("send_batch", "/v1/messages/batch", made("batchId", batch)).as_deref(), Some(batch));
        assert_eq!(of("send_message", "/v1/messages", refused()), None);
        let path = format!("/v1/messages/{message}/cancel");
        assert_eq!(of("cancel_message", &path, refused()).as_deref(), Some(message));
        assert_eq!(of("cancel_message", "/v1/messages/01012345678/cancel", refused()), None);
        assert_eq!(of("create_relay", "/v1/relays", made("id", "010-1234-5678")), None);
    }
}
