//! A message centre on the other end of a pipe, driven step by step, and the relay under test beside it.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bongsu_domain::channel::Channel;
use bongsu_domain::lane::Lane;
use bongsu_domain::phone::PhoneNumber;
use bongsu_domain::time::{Clock, Timestamp};
use bongsu_relay::smpp::{Dial, DialError, Stream, start_over};
use bongsu_relay::{Event, Outbound, PartAnswer, RelayConfig, RelayPort, UnsentReason};
use bongsu_wire::smpp::{
    BindKind, Body, CommandId, DeliverSm, FRAME_MAX, SubmitSm, TlvBuf, decode, encode_bind_resp, encode_deliver,
    encode_header_only, encode_submit_resp, esm, status,
};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};

/// Longer than anything a test waits for.
const PATIENCE: Duration = Duration::from_secs(120);

/// Shows tokio's time, which stands still while somebody works.
pub struct TokioClock(Instant);

impl TokioClock {
    pub const START: Timestamp = Timestamp::from_secs(1_772_323_200);

    pub fn new() -> TokioClock {
        TokioClock(Instant::now())
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        TokioClock::START.plus(self.0.elapsed())
    }
}

/// Hands every connection's other end to the test.
struct Pipes {
    ends: mpsc::UnboundedSender<(DuplexStream, RelayConfig)>,
    buffer: usize,
    refusals: AtomicUsize,
}

impl Dial for Pipes {
    fn dial<'a>(&'a self, config: &'a RelayConfig) -> BoxFuture<'a, Result<Box<dyn Stream>, DialError>> {
        Box::pin(async move {
            let (ours, theirs) = tokio::io::duplex(self.buffer);
            if self.refusals.load(Ordering::SeqCst) > 0 {
                self.refusals.fetch_sub(1, Ordering::SeqCst);
                return Err(DialError::Connect(io::ErrorKind::ConnectionRefused.into()));
            }
            self.ends.send((theirs, config.clone())).expect("the test listens");
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }
}

/// The relay under test, and what it says.
pub struct Lab {
    pub relay: Arc<dyn RelayPort>,
    pub clock: Arc<TokioClock>,
    pub room: Arc<Notify>,
    events: mpsc::Receiver<Vec<Event>>,
    seen: VecDeque<Event>,
    ends: mpsc::UnboundedReceiver<(DuplexStream, RelayConfig)>,
}

pub fn config() -> RelayConfig {
    RelayConfig {
        system_id: "bongsu".to_owned(),
        password: "secret".to_owned().into(),
        rate_per_s: 100_000.0,
        window: 100,
        ..RelayConfig::new(7, "one", "pipe:1")
    }
}

impl Lab {
    pub fn new(config: RelayConfig) -> Lab {
        Lab::with(config, 1024 * 1024, 0, 1024)
    }

    /// A lab whose pipes hold `buffer` octets a direction, whose first connects are refused, and whose event channel
    /// holds `depth` batches.
    pub fn with(config: RelayConfig, buffer: usize, refusals: usize, depth: usize) -> Lab {
        let (ends_in, ends) = mpsc::unbounded_channel();
        let (events_in, events) = mpsc::channel(depth);
        let (clock, room) = (Arc::new(TokioClock::new()), Arc::new(Notify::new()));
        let dial = Arc::new(Pipes { ends: ends_in, buffer, refusals: AtomicUsize::new(refusals) });
        let relay = start_over(dial, config, events_in, Arc::clone(&room), Arc::clone(&clock) as _, 42);
        Lab { relay, clock, room, events, seen: VecDeque::new(), ends }
    }

    /// The next connection, not yet bound.
    pub async fn connection(&mut self) -> Smsc {
        let (stream, config) = timeout(PATIENCE, self.ends.recv()).await.expect("it connects").expect("it lives");
        Smsc { stream, config, inbuf: Vec::new(), reads: 0 }
    }

    /// The next connection, bound.
    pub async fn bound(&mut self) -> Smsc {
        let mut smsc = self.connection().await;
        smsc.accept_bind().await;
        while !matches!(self.event().await, Event::Link { up: true, .. }) {}
        smsc
    }

    /// Whether no further connection was made.
    pub fn has_no_connection(&mut self) -> bool {
        self.ends.try_recv().is_err()
    }

    pub async fn event(&mut self) -> Event {
        while self.seen.is_empty() {
            let batch = timeout(PATIENCE, self.events.recv()).await.expect("something happens").expect("it lives");
            self.seen.extend(batch);
        }
        self.seen.pop_front().expect("just filled")
    }

    /// The next event that is not about links.
    pub async fn news(&mut self) -> Event {
        loop {
            let event = self.event().await;
            if !matches!(event, Event::Link { .. }) {
                return event;
            }
        }
    }

    /// The next answer: message and parts.
    pub async fn answered(&mut self) -> (i64, Vec<PartAnswer>) {
        match self.news().await {
            Event::Answered { relay: 7, id, parts, written_at, answered_at, .. } => {
                assert!(TokioClock::START <= written_at && written_at <= answered_at);
                (id, parts)
            }
            other => panic!("no answer: {other:?}"),
        }
    }

    pub async fn unsent(&mut self) -> (i64, UnsentReason) {
        match self.news().await {
            Event::Unsent { relay: 7, id, why, .. } => (id, why),
            other => panic!("not unsent: {other:?}"),
        }
    }

    pub fn submit(&self, ids: impl IntoIterator<Item = i64>, lane: Lane) {
        self.relay.submit(ids.into_iter().map(|id| self.message(id, lane)).collect());
    }

    pub fn message(&self, id: i64, lane: Lane) -> Outbound {
        Outbound {
            id,
            attempt: 1,
            lane,
            deadline: self.clock.now().plus(Duration::from_secs(60)),
            expires: self.clock.now().plus(Duration::from_secs(3600)),
            to: PhoneNumber::from_national("01012345678").expect("a number"),
            from: PhoneNumber::from_national("15881588").expect("a number"),
            channel: Channel::Sms,
            text: Arc::from("안녕하세요"),
            subject: None,
            parts: 1,
        }
    }

    /// A moment from now on.
    pub fn clock_in(&self, wait: Duration) -> Timestamp {
        self.clock.now().plus(wait)
    }

    pub fn elapsed(&self) -> Duration {
        self.clock.now().since(TokioClock::START)
    }
}

/// What the message centre received.
#[derive(Debug, Clone)]
pub struct Pdu {
    pub id: CommandId,
    pub status: u32,
    pub sequence: u32,
    bytes: Vec<u8>,
}

impl Pdu {
    pub fn submit<T>(&self, look: impl FnOnce(&SubmitSm<'_>) -> T) -> T {
        let (frame, _) = decode(&self.bytes, FRAME_MAX).expect("read before").expect("whole");
        match frame.parse() {
            Ok(Body::SubmitSm(pdu)) => look(&pdu),
            other => panic!("no submit_sm: {other:?}"),
        }
    }

    /// The low 16 bits of the message id.
    pub fn reference(&self) -> i64 {
        self.submit(|pdu| pdu.tlvs.get_u16(0x0204).map(i64::from)).expect("every part has a reference")
    }
}

/// One connection, from the message centre's side.
pub struct Smsc {
    pub stream: DuplexStream,
    pub config: RelayConfig,
    /// How many reads it took so far.
    pub reads: usize,
    inbuf: Vec<u8>,
}

impl Smsc {
    /// The next PDU, none when the connection ends.
    pub async fn next(&mut self) -> Option<Pdu> {
        loop {
            if let Some((frame, octets)) = decode(&self.inbuf, FRAME_MAX).expect("the client speaks SMPP") {
                let pdu = Pdu {
                    id: frame.id,
                    status: frame.status,
                    sequence: frame.sequence,
                    bytes: self.inbuf[..octets].to_vec(),
                };
                self.inbuf.drain(..octets);
                return Some(pdu);
            }
            self.inbuf.reserve(64 * 1024);
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.inbuf)).await.expect("something comes");
            self.reads += 1;
            if read.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    pub async fn expect(&mut self, id: CommandId) -> Pdu {
        let pdu = self.next().await.expect("the connection lasts");
        assert_eq!(pdu.id, id);
        pdu
    }

    /// The next submit; probes are answered on the way.
    pub async fn submitted(&mut self) -> Pdu {
        timeout(PATIENCE, self.next_submit()).await.expect("a submit comes")
    }

    async fn next_submit(&mut self) -> Pdu {
        loop {
            let pdu = self.next().await.expect("the connection lasts");
            match pdu.id {
                CommandId::SUBMIT_SM => return pdu,
                CommandId::ENQUIRE_LINK => self.header(CommandId::ENQUIRE_LINK_RESP, 0, pdu.sequence).await,
                other => panic!("no submit_sm: {other:?}"),
            }
        }
    }

    /// Whether nothing comes for so long.
    pub async fn is_silent(&mut self, wait: Duration) -> bool {
        timeout(wait, self.next()).await.is_err()
    }

    pub async fn accept_bind(&mut self) {
        let bind = self.expect(CommandId::BIND_TRANSCEIVER).await;
        let mut out = Vec::new();
        encode_bind_resp(BindKind::Transceiver, status::ESME_ROK, bind.sequence, b"smsc", &mut out).expect("fits");
        self.send(&out).await;
    }

    pub async fn refuse_bind(&mut self, command_status: u32) {
        let bind = self.expect(CommandId::BIND_TRANSCEIVER).await;
        self.header(CommandId::BIND_TRANSCEIVER_RESP, command_status, bind.sequence).await;
    }

    pub async fn accept(&mut self, pdu: &Pdu, id: &str) {
        let mut out = Vec::new();
        encode_submit_resp(status::ESME_ROK, pdu.sequence, id.as_bytes(), &mut out).expect("fits");
        self.send(&out).await;
    }

    pub async fn refuse(&mut self, pdu: &Pdu, command_status: u32) {
        self.header(CommandId::SUBMIT_SM_RESP, command_status, pdu.sequence).await;
    }

    /// Sends a receipt with this text for the usual numbers.
    pub async fn receipt(&mut self, text: &[u8], tlvs: &TlvBuf, sequence: u32) {
        self.deliver(esm::RECEIPT, text, tlvs, sequence).await;
    }

    pub async fn deliver(&mut self, esm_class: u8, text: &[u8], tlvs: &TlvBuf, sequence: u32) {
        let pdu = DeliverSm {
            esm_class,
            source: b"01012345678",
            dest: b"15881588",
            short_message: text,
            tlvs: tlvs.as_tlvs(),
            ..DeliverSm::default()
        };
        let mut out = Vec::new();
        encode_deliver(&pdu, sequence, &mut out).expect("fits");
        self.send(&out).await;
    }

    pub async fn header(&mut self, id: CommandId, command_status: u32, sequence: u32) {
        let mut out = Vec::new();
        encode_header_only(id, command_status, sequence, &mut out);
        self.send(&out).await;
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        // The client may have hung up already; what it does then is what the tests look at.
        let _hung_up = self.stream.write_all(bytes).await.is_err();
    }
}
