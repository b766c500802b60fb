//! Everything that happened to one message, in order; and which messages an HTTP request or a batch made.

use std::time::Duration;

use bongsu_domain::id::first_id_at;
use bongsu_domain::{Code, GroupId, KeyId, MessageId, RequestId, Timestamp, TraceId};
use bongsu_store::query::Filter;
use bongsu_store::trace::{RequestRow, Trace};
use bongsu_store::webhooks::DeliveryRow;

use crate::accept::store_refusal;
use crate::service::{Service, account_of};
use crate::types::{Refusal, Scope};
use crate::views;

/// How long after its id was made a request may have accepted something: its body and its place take time.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(120);
/// How far back a request id of a caller's own is looked for, unless told otherwise.
const OWN_ID_RANGE: Duration = Duration::from_secs(86_400);
/// Looks of one question.
const LOOKS_MAX: u32 = 10;
/// Messages named of a request.
const NAMED_MAX: usize = 100;

/// One step of a message's way.
#[derive(Debug, Clone)]
pub struct Step {
    /// When; none where no time is kept.
    pub at: Option<Timestamp>,
    /// `request`, `ledger`, `run`, `claim`, `submit`, `response`, `receipt`, `unknown`, `due`, `final`, `webhook`.
    pub step: &'static str,
    /// The attempt it belongs to.
    pub attempt: Option<u8>,
    /// What there is to say, as names and values; no personal data.
    pub detail: Vec<(&'static str, String)>,
}

/// A message's way.
#[derive(Debug, Clone)]
pub struct TraceView {
    /// The message.
    pub message: crate::types::MessageView,
    /// `X-Request-Id` of the call that it came with.
    pub request_id: Option<String>,
    /// Every step in order.
    pub steps: Vec<Step>,
}

/// A request and what came of it.
#[derive(Debug, Clone)]
pub struct RequestTrace {
    /// `msg_…`, `bat_…` or `grp_…`.
    pub id: String,
    /// `single`, `batch` or `group`.
    pub kind: &'static str,
    /// `X-Request-Id` of the call.
    pub request_id: Option<String>,
    /// The API key.
    pub key: Option<KeyId>,
    /// Its account.
    pub account: bongsu_domain::AccountId,
    /// Rows given and accepted.
    pub rows: (u32, u32),
    /// Its first messages.
    pub messages: Vec<MessageId>,
}

/// What a question about an id found.
#[derive(Debug, Clone)]
pub struct Traced {
    /// The requests.
    pub requests: Vec<RequestTrace>,
    /// The way of the one message, where it is one.
    pub message: Option<Box<TraceView>>,
    /// Give it back as `until` to look further into the past.
    pub next: Option<Timestamp>,
}

impl Service {
    /// The way of one message.
    ///
    /// # Errors
    /// `NotFound`, also for a neighbour's.
    pub async fn trace(&self, scope: Scope, id: MessageId) -> Result<TraceView, Refusal> {
        let trace = self.trace_of(scope, id).await?;
        let steps = self.steps(&trace);
        let request_id = trace.request.as_ref().and_then(|request| request.trace.clone());
        let (vault, relays) = (self.shared.store.vault(), &self.shared.relays);
        let message = views::message(trace.found, vault, relays, self.ads_held());
        Ok(TraceView { message, request_id, steps })
    }

    /// What an id names: a message, a batch, a group, or an HTTP request. An id that a caller made up has no time in it, so
    /// it is looked for in a day, or in the range that is given, and no further than one question may cost.
    ///
    /// # Errors
    /// `NotFound` when nothing is there.
    pub async fn trace_any(
        &self,
        scope: Scope,
        id: &str,
        (since, until): (Option<Timestamp>, Option<Timestamp>),
    ) -> Result<Traced, Refusal> {
        let nothing = || Refusal::new(Code::NotFound, "nothing of this account has this id, or not in this time");
        if let Ok(message) = id.parse::<MessageId>() {
            let message = Box::new(self.trace(scope, message).await?);
            return Ok(Traced { requests: Vec::new(), message: Some(message), next: None });
        }
        let number = id.parse::<RequestId>().map(|id| id.0).or_else(|_| id.parse::<GroupId>().map(|id| id.0));
        let (rows, next) = match number {
            Ok(number) => {
                let row = self.shared.store.request(account_of(scope), number).await.map_err(store_refusal)?;
                (row.into_iter().collect(), None)
            }
            Err(_) => self.requests_of(scope, id, (since, until)).await?,
        };
        if rows.is_empty() && next.is_none() {
            return Err(nothing());
        }
        let mut requests = Vec::new();
        for row in &rows {
            requests.push(self.shown_request(row).await?);
        }
        let message = match &requests[..] {
            [one] if one.messages.len() == 1 => Some(Box::new(self.trace(scope, one.messages[0]).await?)),
            _ => None,
        };
        Ok(Traced { requests, message, next })
    }

    async fn requests_of(
        &self,
        scope: Scope,
        id: &str,
        (since, until): (Option<Timestamp>, Option<Timestamp>),
    ) -> Result<(Vec<RequestRow>, Option<Timestamp>), Refusal> {
        let (from, to) = match id.parse::<TraceId>() {
            Ok(own) => (own.time(), own.time().plus(REQUEST_TIME_MAX)),
            Err(_) => {
                let until = until.unwrap_or_else(|| self.shared.clock.now().plus(Duration::from_secs(1)));
                (since.unwrap_or_else(|| until.minus(OWN_ID_RANGE)), until)
            }
        };
        let (from, mut to) = (first_id_at(from), first_id_at(to).saturating_sub(1));
        // A group is older than the call that sent it, which the audit log has.
        let noted = self.shared.store.requests_noted(account_of(scope), id.to_owned(), (from, to)).await;
        let mut found = noted.map_err(store_refusal)?;
        for _ in 0..LOOKS_MAX {
            let look = self.shared.store.requests_of(account_of(scope), id.to_owned(), (from, to)).await;
            let (rows, next) = look.map_err(store_refusal)?;
            found.extend(
                rows.into_iter().filter(|row| found.iter().all(|known| known.id != row.id)).collect::<Vec<_>>(),
            );
            match next {
                Some(next) if found.len() < NAMED_MAX => to = next,
                _ => return Ok((found, None)),
            }
        }
        Ok((found, Some(MessageId(to).time())))
    }

    async fn shown_request(&self, row: &RequestRow) -> Result<RequestTrace, Refusal> {
        let (id, kind) = match row.kind {
            0 => (MessageId(row.id).to_string(), "single"),
            1 => (RequestId(row.id).to_string(), "batch"),
            _ => (GroupId(row.id).to_string(), "group"),
        };
        let messages = match row.kind {
            0 => vec![MessageId(row.id)],
            _ => {
                let account = Some(row.account);
                let filter =
                    Filter { account, request: Some(row.id), to: i64::MAX, limit: NAMED_MAX, ..Filter::default() };
                let page = self.shared.store.page(filter).await.map_err(store_refusal)?;
                page.rows.iter().map(|found| MessageId(found.row.id)).collect()
            }
        };
        Ok(RequestTrace {
            id,
            kind,
            request_id: row.trace.clone(),
            key: (row.key != 0).then_some(KeyId(row.key)),
            account: row.account,
            rows: (row.rows, row.accepted),
            messages,
        })
    }

    fn steps(&self, trace: &Trace) -> Vec<Step> {
        let row = &trace.found.row;
        let millis = |at: i64| Some(Timestamp::from_millis(at));
        let mut steps = Vec::new();
        let mut push = |at, step, attempt, detail| steps.push(Step { at, step, attempt, detail });
        let accepted = MessageId(row.id).time();
        if let Some(request) = &trace.request {
            let key = if request.key == 0 { String::new() } else { KeyId(request.key).to_string() };
            let request_id = request.trace.clone().unwrap_or_default();
            let rows = format!("{} of {}", request.accepted, request.rows);
            push(Some(accepted), "request", None, vec![("requestId", request_id), ("key", key), ("accepted", rows)]);
        }
        for entry in &trace.ledger {
            let amount = format!("{} {}", entry.amount, entry.unit.as_str());
            let detail = vec![("entry", entry.seq.to_string()), ("amount", amount), ("cause", entry.cause.clone())];
            push(Some(Timestamp(entry.at)), "ledger", None, detail);
        }
        let run = &trace.run;
        let place = format!("{} of {}", row.id - run.first + 1, run.count);
        let lane = run.lane.as_str().to_owned();
        push(Some(accepted), "run", None, vec![("lane", lane), ("place", place), ("claimed", run.next.to_string())]);
        for claim in &trace.claims {
            let detail =
                vec![("claim", claim.id.to_string()), ("deadline", Timestamp::from_millis(claim.deadline).rfc3339())];
            push(None, "claim", None, detail);
        }
        let mut tries: Vec<_> =
            trace.found.earlier.iter().chain((row.attempt.attempt > 0).then_some(&row.attempt)).collect();
        tries.sort_by_key(|attempt| attempt.attempt);
        tries.dedup_by_key(|attempt| attempt.attempt);
        for attempt in tries {
            let relay = || attempt.relay.map_or_else(String::new, |no| self.shared.relays.name(no));
            let n = Some(attempt.attempt);
            if let Some(at) = attempt.claimed {
                push(millis(at), "claim", n, vec![("relay", relay())]);
            }
            if let Some(at) = attempt.submitted {
                push(millis(at), "submit", n, vec![("relay", relay())]);
            }
            let code = Code::from_number(attempt.code).map_or("", Code::as_str).to_owned();
            let ids = attempt.relay_id.clone().unwrap_or_default().replace('\t', " ").replace('\n', ", ");
            if let Some(at) = attempt.answered {
                push(millis(at), "response", n, vec![("relay", relay()), ("relayId", ids), ("code", code)]);
            }
        }
        for receipt in &trace.receipts {
            const VERDICTS: [&str; 5] = ["decided", "repeated", "late", "part", "not final"];
            let verdict = VERDICTS.get(usize::from(receipt.verdict)).copied().unwrap_or("").to_owned();
            let raw = String::from_utf8_lossy(&receipt.raw).into_owned();
            let detail = vec![("part", receipt.part.to_string()), ("verdict", verdict), ("raw", raw)];
            push(Some(Timestamp(receipt.at)), "receipt", Some(receipt.attempt), detail);
        }
        for unknown in &trace.unknown {
            let relay = self.shared.relays.name(unknown.relay);
            push(millis(unknown.since), "unknown", Some(unknown.attempt), vec![("relay", relay.clone())]);
            if unknown.resolved != 0 {
                let how = unknown.resolution.clone().unwrap_or_default();
                let detail = vec![("relay", relay), ("resolution", how)];
                push(millis(unknown.resolved), "unknown", Some(unknown.attempt), detail);
            }
        }
        if let Some(due) = trace.found.due {
            push(millis(due), "due", None, Vec::new());
        }
        if row.status.is_final() {
            let code = Code::from_number(row.attempt.code).map_or("", Code::as_str).to_owned();
            let detail = vec![("status", row.status.as_str().to_owned()), ("code", code)];
            push(row.attempt.result.map(Timestamp::from_millis), "final", None, detail);
        }
        steps.extend(refund(trace));
        steps.extend(trace.deliveries.iter().map(webhook));
        // What has no time of its own stays where it was put; the order of one moment is that of the steps.
        steps.sort_by_key(|step: &Step| step.at.map_or(accepted.0, |at| at.0));
        steps
    }
}

/// What a message gave back, with the entry of the ledger that has it.
fn refund(trace: &Trace) -> Option<Step> {
    let refund = trace.refund.as_ref()?;
    let of_message = format!("{} {}", refund.amount, refund.unit.as_str());
    let (at, detail) = match &refund.entry {
        Some(entry) => {
            let amount = format!("{} {}", entry.amount, entry.unit.as_str());
            let detail = vec![
                ("entry", entry.seq.to_string()),
                ("amount", amount),
                ("cause", entry.cause.clone()),
                ("ofMessage", of_message),
            ];
            (Some(Timestamp(entry.at)), detail)
        }
        None => (trace.found.row.attempt.result.map(Timestamp::from_millis), vec![("ofMessage", of_message)]),
    };
    Some(Step { at, step: "ledger", attempt: None, detail })
}

/// What an endpoint was told, with its last call.
fn webhook(delivery: &DeliveryRow) -> Step {
    let told = match delivery.positions.len() {
        1 => delivery.kind.as_str().to_owned(),
        several => format!("{several} events"),
    };
    let mut detail = vec![
        ("webhook", delivery.webhook.to_string()),
        ("delivery", delivery.id.to_string()),
        ("told", told),
        ("state", delivery.state.as_str().to_owned()),
        ("calls", delivery.calls.to_string()),
    ];
    detail.extend(delivery.http.map(|status| ("http", status.to_string())));
    detail.extend(delivery.reason.clone().map(|reason| ("reason", reason)));
    detail.extend(delivery.due.map(|due| ("due", due.rfc3339())));
    let at = delivery.at.unwrap_or_else(|| delivery.id.time());
    Step { at: Some(at), step: "webhook", attempt: None, detail }
}
