//! A message centre and clients that speak rubbish: nothing panics, and everybody else is served as before.

use bongsu_testkit::{World, until};
use bongsu_wire::smpp::{self, BindRequest, CommandId, FRAME_MAX, SubmitSm, decode, esm};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::messages;
use crate::smsc::{delivered, receipt, respond};

const RUBBISH: usize = 10_000;
/// PDUs of one session; a wrong length costs the rest of it.
const PER_SESSION: usize = 500;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() % most as u64) as usize
    }

    /// A sample with some bytes turned, dropped or added, or bytes of no meaning at all. One in a hundred lies about
    /// its length.
    fn rubbish(&mut self, samples: &[Vec<u8>]) -> Vec<u8> {
        let mut pdu = match self.below(10) {
            0 => (0..16 + self.below(80)).map(|_| self.next() as u8).collect(),
            _ => samples[self.below(samples.len())].clone(),
        };
        for _ in 0..=self.below(4) {
            let at = 4 + self.below(pdu.len() - 4);
            match self.below(4) {
                0 => pdu[at] = self.next() as u8,
                1 => pdu[at] ^= 1 << self.below(8),
                2 => pdu.truncate(at.max(16)),
                _ => pdu.insert(at, self.next() as u8),
            }
        }
        if self.below(100) > 0 {
            let length = (pdu.len() as u32).to_be_bytes();
            pdu[..4].copy_from_slice(&length);
        }
        pdu
    }
}

/// What a message centre sends to its clients.
fn from_centre() -> Vec<Vec<u8>> {
    let submit = SubmitSm { dest: b"01020000001", source: b"0215880000", ..SubmitSm::default() };
    let mut all = vec![receipt(&submit, "17", delivered(), 1)];
    let incoming = SubmitSm { source: b"01020000001", dest: b"0215880000", short_message: b"hello", ..submit };
    all.push(pdu(|out| smpp::encode_deliver(&incoming, 2, out).expect("a short text")));
    all.push(pdu(|out| smpp::encode_submit_resp(0, 3, b"17", out).expect("a short id")));
    for id in [CommandId::ENQUIRE_LINK, CommandId::ENQUIRE_LINK_RESP, CommandId::GENERIC_NACK, CommandId(0x77)] {
        all.push(pdu(|out| smpp::encode_header_only(id, 0, 5, out)));
    }
    all
}

/// What a client sends to its message centre.
fn from_client() -> Vec<Vec<u8>> {
    let submit = SubmitSm { dest: b"01099998888", source: b"0215880000", short_message: b"x", ..SubmitSm::default() };
    let part = SubmitSm { esm_class: esm::UDHI, short_message: &[5, 0, 3, 9, 2, 1, b'x'], ..submit };
    vec![
        pdu(|out| {
            smpp::encode_bind(&BindRequest { system_id: b"rubbish", ..BindRequest::default() }, 1, out).expect("short")
        }),
        pdu(|out| smpp::encode_submit(&submit, 2, out).expect("a short text")),
        pdu(|out| smpp::encode_submit(&part, 3, out).expect("a short text")),
        pdu(|out| smpp::encode_deliver_resp(0, 4, out)),
        pdu(|out| smpp::encode_header_only(CommandId::ENQUIRE_LINK, 0, 5, out)),
    ]
}

fn pdu(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}

/// Lets every client in, then sends it rubbish until it goes.
async fn speak_rubbish(listener: TcpListener, sent: Arc<AtomicUsize>) {
    let samples = from_centre();
    let mut random = Random(20_261_121);
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut input = Vec::new();
        let bind = loop {
            if !matches!(stream.read_buf(&mut input).await, Ok(1..)) {
                break None;
            }
            if let Ok(Some((frame, _))) = decode(&input, FRAME_MAX) {
                break Some((frame.id, frame.sequence));
            }
        };
        let Some((id, sequence)) = bind else { continue };
        let mut out = Vec::new();
        respond(id, sequence, &mut out);
        let count = if random.below(20) == 0 {
            out.clear();
            1
        } else {
            PER_SESSION
        };
        for _ in 0..count {
            out.extend(random.rubbish(&samples));
        }
        sent.fetch_add(count, Ordering::Relaxed);
        let (mut read, mut write) = stream.split();
        // What comes back is read, so that nobody waits for anybody.
        let mut sink = tokio::io::sink();
        let _ = tokio::join!(write.write_all(&out), tokio::io::copy(&mut read, &mut sink));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_centre_that_speaks_rubbish_harms_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let sent = Arc::new(AtomicUsize::new(0));
    let world = World::builder().relay("rubbish", json!({ "address": address, "binds": 8 })).start_unlinked().await;
    let task = tokio::spawn(speak_rubbish(listener, sent.clone()));
    let mut ids = Vec::new();
    while sent.load(Ordering::Relaxed) < RUBBISH {
        ids.extend(world.batch(json!({}), messages(ids.len(), 50)).await);
        let now = sent.load(Ordering::Relaxed);
        until("more rubbish was sent", || async { (sent.load(Ordering::Relaxed) > now).then_some(()) }).await;
    }
    let messages = world.wait_final(&ids).await;
    assert!(messages.iter().all(|message| message["status"] == "delivered"));
    assert_eq!(world.operator("GET", "/health/ready", json!(null)).await.status, 200);
    world.audit().await;
    task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_the_simulator_that_speak_rubbish_harm_nobody() {
    let world = World::start().await;
    let ids = world.batch(json!({}), messages(0, 1_000)).await;
    let samples = from_client();
    let mut random = Random(20_261_122);
    for _ in 0..RUBBISH / 50 {
        let mut stream = TcpStream::connect(world.sim.addr("kt")).await.expect("the simulator listens");
        let mut out = samples[0].clone();
        for _ in 0..50 {
            out.extend(random.rubbish(&samples));
        }
        let (mut read, mut write) = stream.split();
        let writing = async {
            let _ = write.write_all(&out).await;
            let _ = write.shutdown().await;
        };
        let mut sink = tokio::io::sink();
        let _ = tokio::join!(writing, tokio::io::copy(&mut read, &mut sink));
    }
    assert!(world.sim.stats()["kt"].malformed > 100);
    assert!(world.wait_final(&ids).await.iter().all(|message| message["status"] == "delivered"));
    // Some rubbish was a well-formed submit twice; that is the rubbish's own duplicate.
    let counts = world.count().await;
    assert_eq!((counts.lost, counts.never_sent, counts.double_final, counts.ledger_mismatch), (0, 0, 0, 0));
}
