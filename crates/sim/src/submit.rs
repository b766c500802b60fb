//! What a relay does with a `submit_sm`.

use std::io::Write;
use std::sync::PoisonError;

use bongsu_wire::smpp::{Joined, MessageState, SubmitSm, status, tag};
use serde::Serialize;

use crate::address::Address;
use crate::hash::Hash;
use crate::inbox::Message;
use crate::outcome::{Fixed, Plan, plan};
use crate::receipt::{Plans, Receipt, TEXT_MAX, response_id};
use crate::relay::State;
use crate::script::Outcome;
use crate::seen::{Mark, Row};
use crate::time::Moment;

/// Milliseconds between a receipt and its duplicate.
const DUPLICATE_AFTER_MS: u64 = 5;
/// How often the number that is throttled gets through at last.
const THROTTLES: u8 = 2;
/// Messages to that number that are remembered at one time.
const THROTTLED_MAX: usize = 100_000;
/// Subjects of incomplete messages that are kept at one time.
const SUBJECTS_MAX: usize = 10_000;

/// Who submits.
#[derive(Clone, Copy)]
pub(crate) struct Submitter {
    pub(crate) client: u32,
    pub(crate) session: u64,
    /// Whether receipts may go over the same session.
    pub(crate) receives: bool,
}

/// What the session has to write.
pub(crate) struct Verdict {
    pub(crate) status: u32,
    /// The id for the response; empty when refused.
    pub(crate) message_id: String,
    pub(crate) answer: Answer,
    /// Written before the response.
    pub(crate) first: Option<Receipt>,
    /// The session is to be cut once its window is full.
    pub(crate) cut: bool,
}

/// When the response is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Now,
    /// After an early receipt had the time to come over another session.
    Later,
    Never,
}

/// Which part of which message a submit is.
struct Segment<'a> {
    reference: u16,
    total: u8,
    part: u8,
    text: &'a [u8],
}

/// Keys of a submit.
struct Keys {
    mark: Mark,
    /// Shared by the parts of a message.
    message: u128,
    part: u128,
}

impl State {
    /// Decides about a submit and takes note of it.
    pub(crate) fn submit(&mut self, sm: &SubmitSm<'_>, by: Submitter, now: Moment) -> Verdict {
        let segment = segment(sm);
        self.arrivals.add(now.us, self.script.rate_limit_per_s);
        self.counters.parts += 1;
        self.counters.submits += u64::from(segment.part == 1);
        if let Some(status) = bad_address(sm) {
            self.counters.refused += 1;
            return self.refused(status);
        }
        let reference = sm.tlvs.get_u16(tag::USER_MESSAGE_REFERENCE);
        let row = Row { to: self.names.pack(sm.dest), from: self.names.pack(sm.source), reference };
        let keys = self.keys(sm, &segment, reference);
        let verdict = self.decide(sm, by, now, &segment, row, &keys);
        if self.log.is_some() {
            self.write_log(now, row, &segment, &keys.mark, &verdict);
        }
        verdict
    }

    fn decide(
        &mut self,
        sm: &SubmitSm<'_>,
        by: Submitter,
        now: Moment,
        segment: &Segment<'_>,
        row: Row,
        keys: &Keys,
    ) -> Verdict {
        if self.script.silent {
            self.seen.insert(row, keys.mark);
            self.counters.unanswered += 1;
            return Verdict { answer: Answer::Never, ..self.refused(status::ESME_ROK) };
        }
        let fixed = Fixed::of(&self.names.national(row.to));
        let throttled = if self.is_full() {
            Some(status::ESME_RMSGQFUL)
        } else {
            self.is_throttled(fixed, keys, now).then_some(status::ESME_RTHROTTLED)
        };
        if let Some(status) = throttled {
            self.counters.throttled += 1;
            return self.refused(status);
        }
        if let Some(status) = plan(&self.script, keys.message, keys.part, 1, fixed).refuse {
            self.counters.refused += 1;
            return self.refused(status);
        }
        let nth = self.seen.insert(row, keys.mark);
        let plan = plan(&self.script, keys.message, keys.part, nth, fixed);
        self.take(sm, by, now, segment, row, &plan)
    }

    fn take(
        &mut self,
        sm: &SubmitSm<'_>,
        by: Submitter,
        now: Moment,
        segment: &Segment<'_>,
        row: Row,
        plan: &Plan,
    ) -> Verdict {
        let id = self.next_id;
        self.next_id += 1;
        self.rate.add(now.us);
        self.counters.taken += 1;
        let message_id = response_id(id, &self.script);
        self.deliver(sm, now, segment, row, &message_id);
        let cut = self.script.disconnect_every.is_some_and(|every| self.counters.taken.is_multiple_of(every.into()));
        let mut verdict = Verdict { status: status::ESME_ROK, message_id, answer: Answer::Now, first: None, cut };
        if let Some(receipt) = receipt(sm, segment, row, id, plan, by, now) {
            self.send_receipt(receipt, plan, by, now, &mut verdict);
        }
        if plan.drop_response {
            verdict.answer = Answer::Never;
        }
        self.counters.unanswered += u64::from(verdict.answer == Answer::Never);
        verdict
    }

    fn send_receipt(&mut self, receipt: Receipt, plan: &Plan, by: Submitter, now: Moment, verdict: &mut Verdict) {
        let due = now.ms() + u64::from(plan.delay_ms);
        if plan.duplicate_receipt {
            self.schedule(due + DUPLICATE_AFTER_MS, receipt.clone());
        }
        if !plan.early_receipt {
            self.schedule(due, receipt);
        } else if by.receives && !(receipt.elsewhere && self.clients.has_other(by.client, by.session)) {
            verdict.first = Some(receipt);
        } else {
            self.schedule(now.ms(), receipt);
            verdict.answer = Answer::Later;
        }
    }

    fn refused(&self, status: u32) -> Verdict {
        Verdict { status, message_id: String::new(), answer: Answer::Now, first: None, cut: false }
    }

    fn is_throttled(&mut self, fixed: Option<Fixed>, keys: &Keys, now: Moment) -> bool {
        if fixed == Some(Fixed::ThrottledTwice) {
            if self.throttled.len() >= THROTTLED_MAX {
                self.throttled.clear();
            }
            let times = self.throttled.entry(keys.mark.key).or_default();
            if *times < THROTTLES {
                *times += 1;
                return true;
            }
        }
        self.script.throttle_per_s.is_some_and(|most| self.rate.count(now.us) >= most.into())
    }

    fn keys(&self, sm: &SubmitSm<'_>, segment: &Segment<'_>, reference: Option<u16>) -> Keys {
        let reference_word = reference.map_or(0, |reference| u64::from(reference) + 1);
        let head = |seed| Hash::new(seed).bytes(sm.dest).bytes(sm.source).number(reference_word);
        let key = head(0).bytes(segment.text).number(segment.part.into()).finish();
        let text_hash = Hash::new(0).bytes(segment.text).finish() as u64;
        let message = head(self.seed);
        let message = if segment.total == 1 {
            message.bytes(segment.text)
        } else {
            // Without a reference of its own, the message is known by that of its parts.
            message.number(reference.map_or_else(|| u64::from(segment.reference), |_| 0)).number(segment.total.into())
        };
        Keys {
            mark: Mark { key, text_hash, part: segment.part },
            message: message.finish(),
            part: head(self.seed).number(key as u64).number(segment.part.into()).finish(),
        }
    }

    fn deliver(&mut self, sm: &SubmitSm<'_>, now: Moment, segment: &Segment<'_>, row: Row, message_id: &str) {
        if self.inbox.is_none() {
            return;
        }
        let subject = sm.tlvs.get(tag::LMS_SUBJECT);
        let group = || Hash::new(0).bytes(sm.dest).bytes(sm.source).number(segment.reference.into()).finish();
        if let Some(subject) = subject.filter(|_| segment.total > 1)
            && self.subjects.len() < SUBJECTS_MAX
        {
            self.subjects.insert(group(), subject.to_vec());
        }
        let Some(Joined { data_coding, bytes, parts }) = self.joiner.accept(sm, now.wall) else { return };
        let kept = if segment.total > 1 { self.subjects.remove(&group()) } else { None };
        let message = Message {
            to: row.to,
            from: row.from,
            reference: row.reference,
            at: now.wall,
            message_id,
            data_coding,
            parts,
            text: &bytes,
            subject: kept.as_deref().or(subject),
        };
        if let Some(inbox) = &mut self.inbox {
            inbox.push(&message);
        }
    }

    fn write_log(&mut self, now: Moment, row: Row, segment: &Segment<'_>, mark: &Mark, verdict: &Verdict) {
        let line = Line {
            at: now.wall.rfc3339(),
            relay: &self.name,
            to: self.names.national(row.to),
            from: self.names.national(row.from),
            reference: row.reference,
            part: segment.part,
            parts: segment.total,
            text_hash: format!("{:016x}", mark.text_hash),
            status: verdict.status,
            message_id: &verdict.message_id,
            answered: verdict.answer != Answer::Never,
        };
        let Some(log) = &self.log else { return };
        let mut file = log.lock().unwrap_or_else(PoisonError::into_inner);
        let written = serde_json::to_writer(&mut *file, &line).map_err(Into::into).and_then(|()| file.write_all(b"\n"));
        drop(file);
        if let Err(error) = written {
            tracing::error!(%error, "the log could not be written, it ends here");
            self.log = None;
        }
    }
}

/// One line of the log.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    at: String,
    relay: &'a str,
    to: String,
    from: String,
    reference: Option<u16>,
    part: u8,
    parts: u8,
    text_hash: String,
    status: u32,
    message_id: &'a str,
    answered: bool,
}

/// The status that refuses addresses no network could have; receipts could not carry them back.
fn bad_address(sm: &SubmitSm<'_>) -> Option<u32> {
    let number = sm.dest.strip_prefix(b"+").unwrap_or(sm.dest);
    if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
        return Some(status::ESME_RINVDSTADR);
    }
    let printable = sm.source.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    (!printable).then_some(status::ESME_RINVSRCADR)
}

/// Reads the SAR TLVs (SMPP 3.4 section 5.3.2.22) or the concatenation header (3GPP 23.040 section 9.2.3.24).
fn segment<'a>(sm: &SubmitSm<'a>) -> Segment<'a> {
    let payload = sm.payload();
    let whole = Segment { reference: 0, total: 1, part: 1, text: payload };
    let sar = (
        sm.tlvs.get_u16(tag::SAR_MSG_REF_NUM),
        sm.tlvs.get_u8(tag::SAR_TOTAL_SEGMENTS),
        sm.tlvs.get_u8(tag::SAR_SEGMENT_SEQNUM),
    );
    if let (Some(reference), Some(total), Some(part)) = sar {
        return if (1..=total).contains(&part) { Segment { reference, total, part, text: payload } } else { whole };
    }
    if !sm.has_udh() {
        return whole;
    }
    let Some((header, text)) = payload.split_first().and_then(|(length, rest)| rest.split_at_checked((*length).into()))
    else {
        return whole;
    };
    let (reference, total, part) = match header {
        [0, 3, reference, total, part] => (u16::from(*reference), *total, *part),
        [8, 4, high, low, total, part] => (u16::from_be_bytes([*high, *low]), *total, *part),
        _ => return Segment { text, ..whole },
    };
    if (1..=total).contains(&part) { Segment { reference, total, part, text } } else { whole }
}

fn receipt(
    sm: &SubmitSm<'_>,
    segment: &Segment<'_>,
    row: Row,
    id: u64,
    plan: &Plan,
    by: Submitter,
    now: Moment,
) -> Option<Receipt> {
    let Outcome::Final { state, error } = plan.outcome else { return None };
    // Section 5.2.17: 1 asks for every final receipt, 2 for failures only.
    let wanted = match sm.registered_delivery & 3 {
        1 => true,
        2 => state != MessageState::Delivered,
        _ => false,
    };
    let text_len = segment.text.len().min(TEXT_MAX);
    let mut text = [0; TEXT_MAX];
    // Other alphabets would make the text of a receipt unreadable.
    let text_len = if segment.text[..text_len].iter().all(|byte| (b' '..=b'~').contains(byte)) { text_len } else { 0 };
    text[..text_len].copy_from_slice(&segment.text[..text_len]);
    let done = now.wall.plus(std::time::Duration::from_millis(plan.delay_ms.into()));
    let plans =
        Plans { source_ton: sm.source_ton, source_npi: sm.source_npi, dest_ton: sm.dest_ton, dest_npi: sm.dest_npi };
    let (to, from): (Address, Address) = (row.to, row.from);
    let Submitter { client, session, .. } = by;
    let elsewhere = plan.receipt_elsewhere;
    let (reference, submitted, text_len) = (row.reference, now.wall, text_len as u8);
    wanted.then_some(Receipt {
        id,
        to,
        from,
        plans,
        reference,
        state,
        error,
        submitted,
        done,
        client,
        session,
        elsewhere,
        text,
        text_len,
    })
}
