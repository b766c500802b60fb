//! Stored messages as they are shown.

use bongsu_domain::{Code, Lane, MessageId, RequestId, Status, Timestamp};
use bongsu_store::Vault;
use bongsu_store::query::Found;
use bongsu_store::rows::{AttemptRow, Outcome};

use crate::flights;
use crate::prepare::Extra;
use crate::relays::Relays;
use crate::sealed;
use crate::types::{AttemptView, Held, MessageView, PartView};

/// A message as it is shown, with what holds advertisements now. One whose sealed part is damaged is shown without its numbers: it must not hide the others.
pub fn message(found: Found, vault: &Vault, relays: &Relays, ads_held: Option<Held>) -> MessageView {
    let Found { mut row, earlier, due, send_at } = found;
    let held = ads_held.filter(|_| row.lane == Lane::Ad && matches!(row.status, Status::Queued | Status::Held));
    if held.is_some() {
        row.status = Status::Held;
    }
    let payload = vault.open(&row.sealed).ok().and_then(|bytes| sealed::decode(&bytes));
    let extra: Extra = row.extra.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let accepted = MessageId(row.id).time().millis();
    let mut attempts: Vec<AttemptView> =
        earlier.iter().map(|attempt| attempt_view(attempt, relays, row.late, accepted)).collect();
    if row.attempt.attempt > 0 {
        let mut current = attempt_view(&row.attempt, relays, row.late && attempts.is_empty(), accepted);
        if row.status.is_final() && row.attempt.result.is_some() {
            current.final_at = row.attempt.result.map(Timestamp::from_millis);
        }
        attempts.push(current);
    }
    attempts.sort_by_key(|attempt| attempt.n);
    attempts.dedup_by_key(|attempt| attempt.n);
    let is_final = row.status.is_final();
    if row.status == Status::Failed {
        let path = path(&attempts);
        if let Some(last) = attempts.last_mut() {
            last.reason = Some(format!("{path}: {}", last.reason.as_deref().unwrap_or("failed")));
        }
    }
    MessageView {
        id: MessageId(row.id),
        account: row.account,
        batch: (row.request != 0).then_some(RequestId(row.request)),
        client_ref: extra.r,
        lane: row.lane,
        channel: row.channel,
        to: payload.as_ref().map(|payload| payload.to),
        from: payload.map(|payload| payload.from.national().to_string()),
        status: row.status,
        code: if row.attempt.attempt == 0 && !is_final { Code::OkAccepted } else { code(row.attempt.code) },
        late: row.late,
        price: (row.unit, row.price),
        bill_code: extra.b,
        labels: extra.l,
        attempts,
        accepted_at: MessageId(row.id).time(),
        final_at: if is_final { row.attempt.result.map(Timestamp::from_millis) } else { None },
        retry_at: due.map(Timestamp::from_millis),
        send_at: (send_at > 0).then(|| Timestamp::from_millis(send_at)),
        held,
    }
}

fn code(number: u16) -> Code {
    Code::from_number(number).unwrap_or(Code::UnmappedVendorCode)
}

fn attempt_view(attempt: &AttemptRow, relays: &Relays, late: bool, accepted: i64) -> AttemptView {
    let result = code(attempt.code);
    let parts = attempt.relay_id.as_deref().map_or_else(Vec::new, flights::parse_lines);
    let parts = parts
        .into_iter()
        .map(|part| PartView {
            relay_id: (!part.relay_id.is_empty()).then_some(part.relay_id),
            code: part.code.unwrap_or(result),
        })
        .collect();
    let mut times = Times(accepted);
    let claimed_at = times.next(attempt.claimed);
    let submitted_at = times.next(attempt.submitted);
    let responded_at = times.next(attempt.answered);
    let reported_at = times.next(attempt.result.filter(|_| attempt.outcome.is_some_and(is_reported)));
    AttemptView {
        n: attempt.attempt,
        relay: attempt.relay.map_or_else(String::new, |no| relays.name(no)),
        parts,
        outcome: attempt.outcome.map_or("sending", Outcome::as_str),
        code: result,
        reason: reason(attempt.outcome, result),
        late,
        claimed_at,
        submitted_at,
        responded_at,
        reported_at,
        final_at: attempt.result.map(Timestamp::from_millis),
    }
}

/// Times of one attempt in the order of its steps (E13). They come from several clocks and a receipt may overtake the
/// answer it belongs to; what is shown never goes back.
struct Times(i64);

impl Times {
    fn next(&mut self, at: Option<i64>) -> Option<Timestamp> {
        self.0 = at?.max(self.0);
        Some(Timestamp::from_millis(self.0))
    }
}

/// Whether a receipt said so.
fn is_reported(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Delivered | Outcome::Undelivered | Outcome::Uncertain)
}

fn reason(outcome: Option<Outcome>, code: Code) -> Option<String> {
    match outcome? {
        Outcome::Submitted | Outcome::Delivered => None,
        Outcome::Unknown => Some("written to the relay, no answer: it may have left, or may never have left".into()),
        Outcome::Unreachable => Some("the relay was down; nothing was written".into()),
        Outcome::Refused | Outcome::Undelivered | Outcome::Expired | Outcome::Uncertain => Some(code.title_en().into()),
    }
}

/// The path of a failed message: every relay that was tried, in order, the one it was booked on first (R15).
fn path(attempts: &[AttemptView]) -> String {
    attempts.iter().map(|attempt| attempt.relay.as_str()).collect::<Vec<_>>().join(" -> ")
}
