//! The writing side of a session: what goes into the next write, and what is taken out of one that stalls.

use std::time::Duration;

use bongsu_domain::code::Code;
use bongsu_domain::lane::Lane;
use bongsu_domain::time::Timestamp;
use tokio::time::Instant;

use super::{Kind, Phase, Request, Session};
use crate::smpp::hub::{Ask, Grant, Totals, unsent};
use crate::smpp::lanes::is_ended;
use crate::smpp::multi::Left;
use crate::smpp::submit::{self, Carrier, Content};
use crate::{Outbound, UnsentReason};

/// One write is at most about this long.
const WRITE_MAX: usize = 64 * 1024;

/// How long a few PDUs wait for more when the window is nearly full.
const GATHER: Duration = Duration::from_millis(1);

impl Session<'_> {
    /// Puts the next write together: confirmations and replies first, then submits.
    pub(super) fn fill(&mut self, now: Instant) {
        self.acks.write(&mut self.spare, self.output.control());
        self.output.control().append(&mut self.replies);
        self.write_at = None;
        if matches!(self.phase, Phase::Unbinding(_)) {
            return;
        }
        let at = self.hub.clock.now();
        let before = self.in_flight;
        let mut may_gather = self.gather_until.is_none_or(|until| now < until);
        while self.output.len() < WRITE_MAX {
            self.end_current(at);
            let ask = Ask {
                now,
                at,
                in_flight: self.in_flight,
                open: self.multis.current().map(|(_, multi)| multi.message.lane),
                may_take: self.phase == Phase::Open,
                may_gather,
            };
            match self.hub.grant(&ask, &mut self.events) {
                Grant::Take(message) => self.begin(message, now, at),
                Grant::Continue => self.go_on(now, at),
                Grant::Later(then) => {
                    self.write_at = Some(then);
                    break;
                }
                Grant::Gather => {
                    self.write_at = Some(*self.gather_until.get_or_insert(now + GATHER));
                    break;
                }
                Grant::Nothing => break,
            }
            may_gather = false;
        }
        let written = self.in_flight - before;
        if written > 0 {
            self.gather_until = None;
            self.hub.add_in_flight(written);
            Totals::add(&self.hub.totals.written, written as usize);
        }
    }

    /// Gives up the message it is in the middle of if its time is over.
    fn end_current(&mut self, at: Timestamp) {
        while let Some((index, multi)) = self.multis.current() {
            if !is_ended(&multi.message, at) {
                return;
            }
            let why = if at >= multi.message.expires { UnsentReason::Expired } else { UnsentReason::Deadline };
            self.give_up(index, why, at);
        }
    }

    fn give_up(&mut self, index: usize, why: UnsentReason, at: Timestamp) {
        match self.multis.give_up(index, self.config.no, at) {
            Left::Unsent(message) => self.events.push(unsent(self.config.no, &message, why)),
            Left::Answered(event) => self.events.push(event),
            Left::Open => {}
        }
    }

    fn begin(&mut self, message: Outbound, now: Instant, at: Timestamp) {
        let written = match submit::content(&self.config, &message) {
            Ok(Content::Short(octets)) => self.write(&message, Carrier::Short(&octets), at),
            Ok(Content::Payload(octets)) => self.write(&message, Carrier::Payload(&octets), at),
            Ok(Content::Parts(parts)) => {
                let is_urgent = message.lane == Lane::Auth;
                self.multis.add(message, parts, is_urgent);
                return self.go_on(now, at);
            }
            Err(code) => Err(code),
        };
        match written {
            Ok(()) => self.expect(Kind::Single(message), now, at),
            Err(code) => self.events.push(unsent(self.config.no, &message, UnsentReason::Encoding(code))),
        }
    }

    /// Writes the next part of the message it is in the middle of.
    fn go_on(&mut self, now: Instant, at: Timestamp) {
        let Some((index, multi)) = self.multis.current() else {
            return;
        };
        let Some(part) = multi.next() else {
            return;
        };
        let message = multi.message.clone();
        let octets = std::mem::take(&mut multi.parts[usize::from(part)]);
        let written = self.write(&message, Carrier::Part { octets: &octets, first: part == 0 }, at);
        if let Some(multi) = self.multis.get(index) {
            // A part that is throttled or taken back is written again.
            multi.parts[usize::from(part)] = octets;
            if written.is_ok() {
                multi.on_written(at);
            }
        }
        match written {
            Ok(()) => self.expect(Kind::Part { index, part }, now, at),
            Err(code) => self.give_up(index, UnsentReason::Encoding(code), at),
        }
    }

    fn write(&mut self, message: &Outbound, carrier: Carrier<'_>, at: Timestamp) -> Result<(), Code> {
        let (start, sequence) = (self.output.len(), self.requests.next());
        submit::write(&self.config, message, carrier, at, sequence, &mut self.tlvs, self.output.submit())?;
        self.output.on_submit(start, message.deadline.min(message.expires));
        Ok(())
    }

    fn expect(&mut self, kind: Kind, now: Instant, wall: Timestamp) {
        self.requests.push(Request { kind, at: now, wall });
        self.in_flight += 1;
    }

    /// A deadline in the output passed while the relay did not read.
    pub(super) fn on_stale(&mut self) -> Result<(), &'static str> {
        self.take_back();
        // What is left is half a PDU; with its deadline passed it may not be completed.
        if self.output.is_stale(self.hub.clock.as_ref()) { Err("the relay stopped reading") } else { Ok(()) }
    }

    /// Takes every submit back of which nothing is written.
    pub(super) fn take_back(&mut self) {
        let count = self.output.cut_unwritten();
        let mut parts = 0;
        for request in (0..count).filter_map(|_| self.requests.take_back()) {
            match request.kind {
                Kind::Single(message) => self.hub.requeue(message),
                Kind::Part { index, part } => self.multis.give_back(index, part),
                Kind::Link(_) => continue,
            }
            parts += 1;
        }
        self.in_flight -= parts;
        self.hub.sub_in_flight(parts);
    }
}
