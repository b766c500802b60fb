//! The reading side of a session: answers, receipts and the relay's own requests.

use std::mem;

use bongsu_domain::time::Timestamp;
use bongsu_wire::smpp::{
    Body, CommandId, DeliverSm, FRAME_MAX, Frame, decode, encode_deliver_resp, encode_header_only, status,
};
use tokio::time::Instant;

use super::{Kind, Phase, Request, Session};
use crate::smpp::hub::Totals;
use crate::smpp::receipt;
use crate::{Ack, Event, PartAnswer};

/// One chunk of input being read.
struct Chunk {
    now: Instant,
    at: Timestamp,
    /// Parts that left the window.
    answered: u32,
    accepted: u32,
}

impl Session<'_> {
    /// Reads every whole PDU of the input.
    pub(super) fn read_frames(&mut self) -> Result<(), &'static str> {
        let mut inbuf = mem::take(&mut self.inbuf);
        let mut chunk = Chunk { now: Instant::now(), at: self.hub.clock.now(), answered: 0, accepted: 0 };
        let mut consumed = 0;
        let outcome = loop {
            match decode(&inbuf[consumed..], FRAME_MAX) {
                Ok(Some((frame, octets))) => {
                    consumed += octets;
                    if let Err(end) = self.on_frame(&frame, &mut chunk) {
                        break Err(end);
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => {
                    self.nack(error.nack_status(), error.sequence.unwrap_or(0));
                    break Err("the relay sent what is no SMPP");
                }
            }
        };
        inbuf.drain(..consumed);
        self.inbuf = inbuf;
        if chunk.answered > 0 {
            self.in_flight -= chunk.answered;
            self.hub.on_answers(chunk.answered, chunk.accepted);
        }
        outcome
    }

    fn on_frame(&mut self, frame: &Frame<'_>, chunk: &mut Chunk) -> Result<(), &'static str> {
        match frame.id {
            CommandId::SUBMIT_SM_RESP => self.on_submit_response(frame, chunk),
            // A relay that does not know enquire_link is alive all the same.
            CommandId::GENERIC_NACK if self.take_link(frame.sequence, CommandId::ENQUIRE_LINK) => {}
            CommandId::GENERIC_NACK => self.on_refusal(frame, chunk),
            CommandId::ENQUIRE_LINK_RESP if self.take_link(frame.sequence, CommandId::ENQUIRE_LINK) => {}
            CommandId::UNBIND_RESP if self.take_link(frame.sequence, CommandId::UNBIND) => {
                if matches!(self.phase, Phase::Unbinding(_)) {
                    // The next look at the timers ends the session.
                    self.phase = Phase::Unbinding(chunk.now);
                }
            }
            _ => return self.on_request(frame, chunk),
        }
        Ok(())
    }

    fn on_request(&mut self, frame: &Frame<'_>, chunk: &Chunk) -> Result<(), &'static str> {
        match frame.parse() {
            Ok(Body::DeliverSm(pdu)) => self.on_deliver(frame.sequence, &pdu, chunk.at),
            Ok(Body::EnquireLink) => self.reply(CommandId::ENQUIRE_LINK_RESP, frame.sequence),
            Ok(Body::Unbind) => {
                self.reply(CommandId::UNBIND_RESP, frame.sequence);
                return Err("the relay unbound");
            }
            Ok(_) if frame.id.is_response() => Totals::add(&self.hub.totals.stray, 1),
            Ok(_) => self.nack(status::ESME_RINVCMDID, frame.sequence),
            Err(_) if frame.id.is_response() => Totals::add(&self.hub.totals.malformed, 1),
            Err(error) => self.nack(error.nack_status(), frame.sequence),
        }
        Ok(())
    }

    fn on_deliver(&mut self, sequence: u32, pdu: &DeliverSm<'_>, at: Timestamp) {
        let ack = Ack::new(self.acks.clone(), sequence);
        match receipt::read(&self.config, pdu, at, ack) {
            Ok(receipt) => {
                Totals::add(&self.hub.totals.receipts, 1);
                self.events.push(Event::Receipt(receipt));
            }
            Err(_unused) => {
                // Offered again it would be no more use, so it is confirmed.
                let is_receipt = pdu.is_receipt();
                let totals = &self.hub.totals;
                Totals::add(if is_receipt { &totals.malformed } else { &totals.mobile_originated }, 1);
                encode_deliver_resp(status::ESME_ROK, sequence, &mut self.replies);
            }
        }
    }

    fn on_submit_response(&mut self, frame: &Frame<'_>, chunk: &mut Chunk) {
        if frame.status != status::ESME_ROK {
            return self.on_refusal(frame, chunk);
        }
        let id = match frame.parse() {
            Ok(Body::SubmitSmResp(response)) => {
                self.config.id_rule.response(&String::from_utf8_lossy(response.message_id))
            }
            // The relay took the part; an unreadable id does not change that.
            _ => {
                Totals::add(&self.hub.totals.malformed, 1);
                String::new()
            }
        };
        if self.answer(frame.sequence, PartAnswer::Accepted(id), chunk) {
            chunk.accepted += 1;
        }
    }

    /// A response or `generic_nack` with an error.
    fn on_refusal(&mut self, frame: &Frame<'_>, chunk: &mut Chunk) {
        let is_throttle = matches!(frame.status, status::ESME_RTHROTTLED | status::ESME_RMSGQFUL);
        if !is_throttle {
            self.answer(frame.sequence, PartAnswer::Refused(frame.status), chunk);
            return;
        }
        let Some(request) = self.requests.take_if(frame.sequence, |request| !matches!(request.kind, Kind::Link(_)))
        else {
            return Totals::add(&self.hub.totals.stray, 1);
        };
        chunk.answered += 1;
        self.hub.on_throttled(request.at, chunk.now);
        match request.kind {
            Kind::Single(message) => self.hub.requeue(message),
            Kind::Part { index, part } => self.multis.give_back(index, part),
            Kind::Link(_) => {}
        }
    }

    /// Books an answer; false when nobody waited for it.
    fn answer(&mut self, sequence: u32, answer: PartAnswer, chunk: &mut Chunk) -> bool {
        let Some(request) = self.requests.take_if(sequence, |request| !matches!(request.kind, Kind::Link(_))) else {
            Totals::add(&self.hub.totals.stray, 1);
            return false;
        };
        chunk.answered += 1;
        match request.kind {
            Kind::Single(message) => self.events.push(Event::Answered {
                relay: self.config.no,
                id: message.id,
                attempt: message.attempt,
                written_at: request.wall,
                answered_at: chunk.at,
                parts: vec![answer],
            }),
            Kind::Part { index, part } => {
                self.events.extend(self.multis.answer(index, part, answer, self.config.no, chunk.at));
            }
            Kind::Link(_) => {}
        }
        true
    }

    /// Books the answer to a request without a body.
    fn take_link(&mut self, sequence: u32, id: CommandId) -> bool {
        let is_link = |request: &Request| matches!(request.kind, Kind::Link(asked) if asked == id);
        let taken = self.requests.take_if(sequence, is_link).is_some();
        self.is_probing &= !(taken && id == CommandId::ENQUIRE_LINK);
        taken
    }

    fn reply(&mut self, id: CommandId, sequence: u32) {
        encode_header_only(id, status::ESME_ROK, sequence, &mut self.replies);
    }

    fn nack(&mut self, command_status: u32, sequence: u32) {
        Totals::add(&self.hub.totals.malformed, 1);
        encode_header_only(CommandId::GENERIC_NACK, command_status, sequence, &mut self.replies);
    }
}
