//! One bound session: reads and writes in one loop, keeps the link alive, and settles what is open when it ends.

mod io;
mod read;
mod write;

use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::time::Timestamp;
use bongsu_wire::smpp::{CommandId, TlvBuf, encode_header_only, status};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until, timeout};

use self::io::{Io, Output};
use super::acks::Acks;
use super::bind::BIND_SEQUENCE;
use super::dial::Stream;
use super::hub::{Duty, Hub, Totals};
use super::multi::{Left, Multis};
use super::outstanding::Outstanding;
use crate::{Event, Outbound, PartAnswer, RelayConfig};

/// How long the relay may take to answer our unbind, and to take the last PDUs of a session that failed.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Unbound as wished.
    Left,
    /// Anything else.
    Lost(&'static str),
}

/// A request without a response.
struct Request {
    kind: Kind,
    at: Instant,
    wall: Timestamp,
}

enum Kind {
    /// `enquire_link` or `unbind`.
    Link(CommandId),
    /// A message of one part.
    Single(Outbound),
    /// A part of a message of several.
    Part { index: usize, part: u8 },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Begins no message; in-flight ones may be answered until then.
    Draining(Instant),
    /// Unbind is sent.
    Unbinding(Instant),
}

/// The state of one session.
pub(super) struct Session<'a> {
    hub: Arc<Hub>,
    index: usize,
    config: Arc<RelayConfig>,
    epoch: u64,
    version: u64,
    wake: &'a Notify,
    phase: Phase,
    acks: Arc<Acks>,
    inbuf: Vec<u8>,
    output: Output,
    /// Answers to the relay's own requests.
    replies: Vec<u8>,
    requests: Outstanding<Request>,
    multis: Multis,
    in_flight: u32,
    /// Whether an `enquire_link` is unanswered.
    is_probing: bool,
    events: Vec<Event>,
    /// Whether nobody took the events yet; then nothing is read.
    is_blocked: bool,
    /// When reading last went on after being blocked; response times count from then.
    unblocked_at: Instant,
    last_read: Instant,
    /// When writing is worth another try.
    write_at: Option<Instant>,
    /// Until when few PDUs wait for more.
    gather_until: Option<Instant>,
    tlvs: TlvBuf,
    spare: Vec<u32>,
}

impl<'a> Session<'a> {
    /// A session on a connection that is bound; `inbuf` holds what was read after the bind's answer.
    pub(super) fn new(
        hub: Arc<Hub>,
        index: usize,
        config: Arc<RelayConfig>,
        epoch: u64,
        wake: &'a Arc<Notify>,
        inbuf: Vec<u8>,
    ) -> Session<'a> {
        let now = Instant::now();
        Session {
            // Looks at its duty before anything else.
            version: u64::MAX,
            hub,
            index,
            config,
            epoch,
            wake,
            phase: Phase::Open,
            acks: Acks::new(Arc::clone(wake)),
            inbuf,
            output: Output::default(),
            replies: Vec::new(),
            requests: Outstanding::new(BIND_SEQUENCE + 1),
            multis: Multis::default(),
            in_flight: 0,
            is_probing: false,
            events: Vec::new(),
            is_blocked: false,
            unblocked_at: now,
            last_read: now,
            write_at: None,
            gather_until: None,
            tlvs: TlvBuf::new(),
            spare: Vec::new(),
        }
    }

    /// Runs until the session is left or lost; every message it took is answered or back in the queue then.
    pub(super) async fn run(mut self, mut stream: Box<dyn Stream>) -> End {
        let end = match self.work(&mut stream).await {
            Ok(()) => End::Left,
            Err(why) => End::Lost(why),
        };
        self.acks.close();
        self.take_back();
        self.settle();
        if !self.events.is_empty() && self.hub.events.send(std::mem::take(&mut self.events)).await.is_err() {
            tracing::debug!("nobody listens to this relay any more");
        }
        let farewell = async {
            // Nothing can follow half a PDU, and its other half may be too late.
            if !self.output.is_mid_submit() {
                stream.write_all(self.output.rest()).await?;
                stream.write_all(&self.replies).await?;
            }
            stream.shutdown().await
        };
        if !matches!(timeout(FAREWELL, farewell).await, Ok(Ok(()))) {
            tracing::debug!(relay.name = self.config.name, "the connection did not close cleanly");
        }
        end
    }

    async fn work(&mut self, stream: &mut Box<dyn Stream>) -> Result<(), &'static str> {
        let (hub, wake) = (Arc::clone(&self.hub), self.wake);
        let clock = Arc::clone(&hub.clock);
        let mut timer = std::pin::pin!(sleep_until(Instant::now()));
        let mut has_timer_fired = false;
        self.read_frames()?;
        loop {
            let now = Instant::now();
            self.observe(now);
            if self.check_timers(now, has_timer_fired)? {
                return Ok(());
            }
            has_timer_fired = false;
            if self.output.is_empty() {
                self.fill(now);
            }
            self.publish()?;
            let target = self.next_timer();
            if timer.deadline() != target {
                timer.as_mut().reset(target);
            }
            tokio::select! {
                biased;
                moved = io::step(stream, &mut self.inbuf, &mut self.output, !self.is_blocked, clock.as_ref()) => {
                    match moved.map_err(|_| "the connection broke")? {
                        Io::Moved { read: Some(0) } => return self.on_end_of_stream(),
                        Io::Moved { read: Some(_) } => {
                            self.last_read = Instant::now();
                            self.read_frames()?;
                        }
                        Io::Moved { read: None } => {}
                        Io::Stale => self.on_stale()?,
                    }
                }
                permit = hub.events.reserve(), if self.is_blocked => {
                    permit.map_err(|_| "nobody listens")?.send(std::mem::take(&mut self.events));
                    self.is_blocked = false;
                    self.unblocked_at = Instant::now();
                }
                () = wake.notified() => {}
                () = &mut timer => has_timer_fired = true,
            }
        }
    }

    fn on_end_of_stream(&self) -> Result<(), &'static str> {
        if matches!(self.phase, Phase::Unbinding(_)) { Ok(()) } else { Err("the relay closed the connection") }
    }

    /// Follows changes of configuration and phase.
    fn observe(&mut self, now: Instant) {
        let version = self.hub.version();
        if version == self.version {
            return;
        }
        self.version = version;
        let leave_by = match self.hub.duty(self.index) {
            Duty::Bind(config, epoch) if epoch == self.epoch => {
                self.config = config;
                return;
            }
            Duty::Bind(..) | Duty::Rest => now + self.config.timers.response,
            Duty::End(until) => until,
        };
        if !matches!(self.phase, Phase::Unbinding(_)) {
            self.phase = Phase::Draining(leave_by);
        }
    }

    /// Acts on what is due; true when the session is over. Nobody is accused of silence before the socket was found
    /// empty, so `is_idle` says whether it was.
    fn check_timers(&mut self, now: Instant, is_idle: bool) -> Result<bool, &'static str> {
        match self.phase {
            Phase::Unbinding(until) if now >= until => return Ok(true),
            Phase::Draining(until) => {
                let is_done = self.in_flight == 0 && !self.multis.is_open();
                if is_done || now >= until {
                    self.take_back();
                    self.settle();
                    self.phase = Phase::Unbinding(now + FAREWELL);
                    self.request(CommandId::UNBIND, now);
                }
            }
            Phase::Open | Phase::Unbinding(_) => {}
        }
        if !self.is_blocked
            && let Some(due) = self.response_due()
        {
            let patience = if is_idle { Duration::ZERO } else { self.config.timers.response };
            if now >= due + patience {
                return Err("no response in time");
            }
        }
        if !self.is_probing && now >= self.last_read + self.config.timers.enquire_link {
            self.is_probing = true;
            self.request(CommandId::ENQUIRE_LINK, now);
        }
        Ok(false)
    }

    /// Queues a request without a body.
    fn request(&mut self, id: CommandId, now: Instant) {
        let wall = self.hub.clock.now();
        // The PDUs in the output keep the newest numbers, so that they can be taken back.
        self.take_back();
        let sequence = self.requests.push(Request { kind: Kind::Link(id), at: now, wall });
        encode_header_only(id, status::ESME_ROK, sequence, &mut self.replies);
    }

    fn response_due(&self) -> Option<Instant> {
        let oldest = self.requests.oldest()?;
        Some(oldest.at.max(self.unblocked_at) + self.config.timers.response)
    }

    fn next_timer(&self) -> Instant {
        let phase = match self.phase {
            Phase::Open => None,
            Phase::Draining(until) | Phase::Unbinding(until) => Some(until),
        };
        let response = if self.is_blocked { None } else { self.response_due() };
        let write = if self.output.is_empty() { self.write_at } else { None };
        let probe = self.last_read + self.config.timers.enquire_link;
        let probe = if self.is_probing { None } else { Some(probe) };
        let far = self.last_read + Duration::from_secs(3600);
        [phase, response, write, probe].into_iter().flatten().min().unwrap_or(far)
    }

    /// Hands events over, or stops reading until somebody takes them.
    fn publish(&mut self) -> Result<(), &'static str> {
        if self.events.is_empty() || self.is_blocked {
            return Ok(());
        }
        match self.hub.events.try_send(std::mem::take(&mut self.events)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(events)) => {
                self.events = events;
                self.is_blocked = true;
                Ok(())
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err("nobody listens"),
        }
    }

    /// Written PDUs whose answers will not come are unknown; messages the relay has nothing of go back to the queue.
    fn settle(&mut self) {
        let now = self.hub.clock.now();
        let mut unknown = 0;
        for request in self.requests.drain() {
            match request.kind {
                Kind::Link(_) => continue,
                Kind::Part { .. } => {}
                Kind::Single(message) => self.events.push(Event::Answered {
                    relay: self.config.no,
                    id: message.id,
                    attempt: message.attempt,
                    written_at: request.wall,
                    answered_at: now,
                    parts: vec![PartAnswer::Unknown],
                }),
            }
            unknown += 1;
        }
        for left in self.multis.settle(self.config.no, now).into_iter().rev() {
            match left {
                Left::Unsent(message) => self.hub.requeue(message),
                Left::Answered(event) => self.events.push(event),
                Left::Open => {}
            }
        }
        Totals::add(&self.hub.totals.unknown, unknown);
        self.hub.sub_in_flight(self.in_flight);
        self.in_flight = 0;
    }
}
