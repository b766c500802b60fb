//! A plain SMPP client over the codec, and a simulator with one relay, for the tests of this room.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::net::SocketAddr;
use std::time::Duration;

use bongsu_sim::{Script, Sim, SimConfig};
use bongsu_wire::smpp::{self, BindKind, BindRequest, Body, CommandId, Receipt, SubmitSm, TlvBuf, tag};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Nothing in these tests takes this long.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn sim(script: &str) -> Sim {
    Sim::start(SimConfig {
        relays: vec![("kt".into(), ([127, 0, 0, 1], 0).into()), ("skt".into(), ([127, 0, 0, 1], 0).into())],
        control: Some(([127, 0, 0, 1], 0).into()),
        seed: 7,
        script: Script::parse(script).unwrap(),
        ..SimConfig::default()
    })
    .unwrap()
}

/// A PDU from the simulator, owned.
#[derive(Debug)]
pub enum Pdu {
    Bound { status: u32 },
    Answer { sequence: u32, status: u32, id: String },
    Receipt { sequence: u32, receipt: Receipt, reference: Option<u16> },
    Other { id: CommandId, status: u32, sequence: u32 },
}

pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

pub struct Client {
    stream: Box<dyn Stream>,
    input: Vec<u8>,
    used: usize,
    /// Acknowledge receipts as they come.
    pub acks: bool,
}

impl Client {
    pub async fn connect(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).await.unwrap())
    }

    pub fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), input: Vec::new(), used: 0, acks: true }
    }

    pub async fn bound(addr: SocketAddr) -> Self {
        let mut client = Self::connect(addr).await;
        assert_eq!(client.bind(BindKind::Transceiver, "bongsu", "").await, 0);
        client
    }

    pub async fn bind(&mut self, kind: BindKind, system_id: &str, password: &str) -> u32 {
        let request = BindRequest {
            kind,
            system_id: system_id.as_bytes(),
            password: password.as_bytes(),
            ..BindRequest::default()
        };
        let mut out = Vec::new();
        smpp::encode_bind(&request, 1, &mut out).unwrap();
        self.send(&out).await;
        match self.next().await {
            Some(Pdu::Bound { status }) => status,
            other => panic!("{other:?}"),
        }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Without a panic when the other side is gone.
    pub async fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Says that nothing more comes and waits until the other side has read it all.
    pub async fn finish(mut self) {
        // The other side may have closed first.
        let _ = self.stream.shutdown().await;
        let rest = timeout(PATIENCE, self.stream.read_to_end(&mut self.input)).await;
        let _ = rest.expect("the simulator closes");
    }

    pub async fn submit(&mut self, sequence: u32, to: &str, reference: u16, text: &str) {
        let bytes = submit(sequence, to, reference, text);
        self.send(&bytes).await;
    }

    /// The next PDU; `None` when the connection ended.
    pub async fn next(&mut self) -> Option<Pdu> {
        timeout(PATIENCE, self.read()).await.expect("the simulator answers")
    }

    /// Whether nothing comes for a while.
    pub async fn is_quiet(&mut self, for_ms: u64) -> bool {
        timeout(Duration::from_millis(for_ms), self.read()).await.is_err()
    }

    async fn read(&mut self) -> Option<Pdu> {
        loop {
            let parsed = smpp::decode(&self.input[self.used..], smpp::FRAME_MAX).unwrap();
            if let Some((frame, length)) = parsed {
                let (pdu, ack) = own(&frame);
                self.used += length;
                if let Some(ack) = ack.filter(|_| self.acks) {
                    let mut out = Vec::new();
                    smpp::encode_deliver_resp(0, ack, &mut out);
                    let _ = self.stream.write_all(&out).await;
                }
                return Some(pdu);
            }
            self.input.drain(..self.used);
            self.used = 0;
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The answer to the only outstanding submit; receipts on the way are dropped.
    pub async fn answer(&mut self) -> (u32, String) {
        loop {
            match self.next().await {
                Some(Pdu::Answer { status, id, .. }) => return (status, id),
                Some(Pdu::Receipt { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next receipt; answers on the way are dropped.
    pub async fn receipt(&mut self) -> (Receipt, Option<u16>) {
        loop {
            match self.next().await {
                Some(Pdu::Receipt { receipt, reference, .. }) => return (receipt, reference),
                Some(Pdu::Answer { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

fn own(frame: &smpp::Frame<'_>) -> (Pdu, Option<u32>) {
    let (id, status, sequence) = (frame.id, frame.status, frame.sequence);
    match frame.parse().unwrap() {
        Body::BindResponse(_) => (Pdu::Bound { status }, None),
        Body::SubmitSmResp(answer) => {
            let id = String::from_utf8(answer.message_id.to_vec()).unwrap();
            (Pdu::Answer { sequence, status, id }, None)
        }
        Body::DeliverSm(sm) => {
            let receipt = smpp::parse_receipt(sm.esm_class, sm.payload(), sm.tlvs).unwrap();
            let reference = sm.tlvs.get_u16(tag::USER_MESSAGE_REFERENCE);
            (Pdu::Receipt { sequence, receipt, reference }, Some(sequence))
        }
        _ => (Pdu::Other { id, status, sequence }, None),
    }
}

/// A `submit_sm` that asks for a receipt.
pub fn submit(sequence: u32, to: &str, reference: u16, text: &str) -> Vec<u8> {
    submit_bytes(sequence, to, reference, text.as_bytes(), 0, 1)
}

pub fn submit_bytes(sequence: u32, to: &str, reference: u16, text: &[u8], esm_class: u8, coding: u8) -> Vec<u8> {
    let mut tlvs = TlvBuf::new();
    tlvs.push_u16(tag::USER_MESSAGE_REFERENCE, reference);
    if text.len() > smpp::SHORT_MESSAGE_MAX {
        tlvs.push(tag::MESSAGE_PAYLOAD, text);
    }
    let sm = SubmitSm {
        source: b"0212345678",
        dest: to.as_bytes(),
        esm_class,
        registered_delivery: 1,
        data_coding: coding,
        short_message: if text.len() > smpp::SHORT_MESSAGE_MAX { b"" } else { text },
        tlvs: tlvs.as_tlvs(),
        ..SubmitSm::default()
    };
    let mut out = Vec::new();
    smpp::encode_submit(&sm, sequence, &mut out).unwrap();
    out
}
