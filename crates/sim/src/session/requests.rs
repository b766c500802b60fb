//! What a session does with each PDU.

use bongsu_wire::smpp::{
    self, BindRequest, BindState, Body, CommandId, DecodeError, Frame, Peer, SubmitSm, encode_header_only, status,
};

use super::Session;
use crate::relay::State;
use crate::submit::{Answer, Submitter};
use crate::time::Moment;

/// Microseconds that a client's window has to fill before the session is cut.
const FILL_US: u64 = 100_000;
/// Microseconds that a response waits for an early receipt which comes over another session.
const EARLY_US: u64 = 50_000;

impl Session {
    pub(super) fn handle(&mut self, state: &mut State, frame: &Frame<'_>, now: Moment) {
        let body = match frame.parse() {
            Ok(Body::Unknown) if frame.id.is_response() => return,
            Ok(Body::Unknown) => return self.generic_nack(state, status::ESME_RINVCMDID, frame.sequence),
            Ok(body) => body,
            Err(error) => return self.nack(state, &error),
        };
        if !smpp::allowed(self.bind, Peer::Esme, frame.id) {
            return self.not_now(frame);
        }
        match body {
            Body::BindRequest(request) => self.bind(state, &request, frame.sequence),
            Body::SubmitSm(sm) => self.submit(state, &sm, frame.sequence, now),
            Body::DeliverSmResp | Body::GenericNack => self.acknowledged(state, frame, now),
            Body::EnquireLink => self.answer_bare(frame, status::ESME_ROK),
            Body::Unbind => {
                self.answer_bare(frame, status::ESME_ROK);
                self.leave(state);
                self.closing = true;
            }
            // Answers to what was never asked.
            _ => {}
        }
    }

    /// Reports a PDU that cannot be read.
    pub(super) fn nack(&mut self, state: &mut State, error: &DecodeError) {
        self.generic_nack(state, error.nack_status(), error.sequence.unwrap_or(0));
    }

    fn generic_nack(&mut self, state: &mut State, status: u32, sequence: u32) {
        state.counters.malformed += 1;
        encode_header_only(CommandId::GENERIC_NACK, status, sequence, &mut self.out);
    }

    fn answer_bare(&mut self, frame: &Frame<'_>, status: u32) {
        encode_header_only(frame.id.response(), status, frame.sequence, &mut self.out);
    }

    /// Answers a request that the state of the session forbids.
    fn not_now(&mut self, frame: &Frame<'_>) {
        if frame.id.is_response() {
            return;
        }
        let is_bind =
            matches!(frame.id, CommandId::BIND_RECEIVER | CommandId::BIND_TRANSMITTER | CommandId::BIND_TRANSCEIVER);
        self.answer_bare(frame, if is_bind { status::ESME_RALYBND } else { status::ESME_RINVBNDSTS });
    }

    fn bind(&mut self, state: &mut State, request: &BindRequest<'_>, sequence: u32) {
        let status = match state.bind(request) {
            Ok(client) => {
                self.client = client;
                self.bind = request.kind.state();
                if self.receives() {
                    state.clients.join(client, self.number, self.bell.clone());
                }
                status::ESME_ROK
            }
            Err(status) => {
                self.closing = true;
                status
            }
        };
        let system_id = state.name.to_uppercase();
        if smpp::encode_bind_resp(request.kind, status, sequence, system_id.as_bytes(), &mut self.out).is_err() {
            // The relay's name is longer than a system id may be.
            let _ = smpp::encode_bind_resp(request.kind, status, sequence, b"SMSC", &mut self.out);
        }
    }

    fn submit(&mut self, state: &mut State, sm: &SubmitSm<'_>, sequence: u32, now: Moment) {
        let by = Submitter { client: self.client, session: self.number, receives: self.receives() };
        let verdict = state.submit(sm, by, now);
        if self.cut_at.is_some() {
            // The window fills: nothing is answered any more, and early receipts wait like all others.
            state.counters.unanswered += u64::from(verdict.answer != Answer::Never);
            if let Some(receipt) = verdict.first {
                state.schedule(now.ms(), receipt);
            }
            return;
        }
        if let Some(receipt) = verdict.first {
            self.write_receipt(state, receipt);
        }
        if verdict.cut {
            self.cut_at = Some(now.us + FILL_US);
            state.counters.unanswered += u64::from(verdict.answer != Answer::Never);
            return;
        }
        let latency = u64::from(state.script.latency_ms) * 1_000;
        let out = match (verdict.answer, latency) {
            (Answer::Never, _) => return,
            (Answer::Now, 0) => &mut self.out,
            (Answer::Now, latency) => self.held.entry(now.us + latency).or_default(),
            (Answer::Later, latency) => self.held.entry(now.us + latency + EARLY_US).or_default(),
        };
        smpp::encode_submit_resp(verdict.status, sequence, verdict.message_id.as_bytes(), out)
            .expect("an id is at most 20 digits");
    }

    fn acknowledged(&mut self, state: &mut State, frame: &Frame<'_>, now: Moment) {
        let Some(receipt) = self.outstanding.take(frame.sequence) else { return };
        state.outstanding -= 1;
        let status = if frame.id == CommandId::GENERIC_NACK { status::ESME_RUNKNOWNERR } else { frame.status };
        state.acknowledged(receipt, status, now);
    }

    /// Ends the bind; receipts without an answer go to the client's other sessions or wait for its next.
    pub(super) fn leave(&mut self, state: &mut State) {
        self.bind = BindState::Closed;
        let unacked = self.outstanding.drain();
        state.outstanding -= unacked.len();
        state.counters.bound -= 1;
        state.clients.leave(self.client, self.number, unacked);
    }
}
