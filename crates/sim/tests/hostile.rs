//! Random and mutated PDUs: the simulator answers `generic_nack` or closes, and other sessions notice nothing.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use bongsu_wire::smpp::{self, BindKind, BindRequest, CommandId, TlvBuf, tag};
use common::{Client, Pdu, sim, submit, submit_bytes};

/// A wrong length costs the rest of its session, so sessions are short.
const PER_SESSION: usize = 4;

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
}

/// One PDU of every kind that a client may send.
fn samples() -> Vec<Vec<u8>> {
    let mut bind = Vec::new();
    smpp::encode_bind(&BindRequest { system_id: b"fuzz", ..BindRequest::default() }, 1, &mut bind).unwrap();
    let udh = [&[5, 0, 3, 9, 2, 1][..], b"part"].concat();
    let mut sar = TlvBuf::new();
    sar.push_u16(tag::SAR_MSG_REF_NUM, 3);
    sar.push_u8(tag::SAR_TOTAL_SEGMENTS, 2);
    sar.push_u8(tag::SAR_SEGMENT_SEQNUM, 1);
    let sm = smpp::SubmitSm { dest: b"01099998888", short_message: b"x", tlvs: sar.as_tlvs(), ..Default::default() };
    let mut with_sar = Vec::new();
    smpp::encode_submit(&sm, 6, &mut with_sar).unwrap();
    let mut ack = Vec::new();
    smpp::encode_deliver_resp(0, 1, &mut ack);
    let mut all = vec![
        bind,
        submit(2, "01099998888", 1, "plain"),
        submit_bytes(3, "01099998888", 2, &udh, smpp::esm::UDHI, 0),
        submit_bytes(4, "01099998888", 3, &[b'x'; 400], 0, 0),
        with_sar,
        ack,
    ];
    for id in [CommandId::ENQUIRE_LINK, CommandId::UNBIND, CommandId::QUERY_SM, CommandId(0x77)] {
        let mut bare = Vec::new();
        smpp::encode_header_only(id, 0, 5, &mut bare);
        all.push(bare);
    }
    all
}

fn mutate(pdu: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(pdu.len().max(1));
        match random.below(5) {
            0 if at < pdu.len() => pdu[at] = random.next() as u8,
            1 if at < pdu.len() => pdu[at] ^= 1 << random.below(8),
            2 => pdu.truncate(at.max(4)),
            3 => pdu.insert(at, random.next() as u8),
            _ => pdu.extend_from_slice(&random.next().to_be_bytes()),
        }
    }
    // Most keep a true length, so that the body is what is read.
    if random.below(16) > 0 && pdu.len() >= 4 {
        let length = (pdu.len() as u32).to_be_bytes();
        pdu[..4].copy_from_slice(&length);
    }
}

fn hostile(random: &mut Random, samples: &[Vec<u8>]) -> Vec<u8> {
    if random.below(10) == 0 {
        return (0..random.below(100) + 1).map(|_| random.next() as u8).collect();
    }
    let mut pdu = samples[random.below(samples.len())].clone();
    mutate(&mut pdu, random);
    pdu
}

#[tokio::test]
async fn ten_thousand_broken_pdus_harm_nobody() {
    let sim = sim(r#"{"relays": {"kt": {"delayMs": 0}}}"#);
    let mut honest = Client::bound(sim.addr("kt")).await;
    let samples = samples();
    let mut random = Random(20_261_121);
    let mut sent = 0;
    let mut sequence = 1;
    while sent < 10_000 {
        let mut broken = Client::connect(sim.addr("kt")).await;
        if random.below(4) > 0 {
            assert_eq!(broken.bind(BindKind::Transceiver, "fuzz", "").await, 0);
        }
        for _ in 0..PER_SESSION {
            sent += 1;
            if !broken.try_send(&hostile(&mut random, &samples)).await {
                break;
            }
        }
        broken.finish().await;
        sequence += 1;
        honest.submit(sequence, "01012345678", sequence as u16, "honest").await;
        assert_eq!(honest.answer().await.0, 0);
    }
    let stats = &sim.stats()["kt"];
    assert!(stats.malformed > 1_000, "{}", stats.malformed);
    assert_eq!(sim.inbox("01012345678").len() as u32, sequence - 1);
    sim.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_only_a_lost_stream_is_closed() {
    let sim = sim("{}");
    let mut client = Client::bound(sim.addr("kt")).await;
    let mut unknown = Vec::new();
    smpp::encode_header_only(CommandId(0x77), 0, 5, &mut unknown);
    client.send(&unknown).await;
    let nack = client.next().await;
    let expected = smpp::status::ESME_RINVCMDID;
    let is_nack = |pdu: &Option<Pdu>, of: u32| matches!(pdu, Some(Pdu::Other { id: CommandId::GENERIC_NACK, status, .. }) if *status == of);
    assert!(is_nack(&nack, expected), "{nack:?}");
    client.submit(6, "01012345678", 1, "still here").await;
    assert_eq!(client.answer().await.0, 0);
    let mut again = Vec::new();
    smpp::encode_bind(&BindRequest { system_id: b"x", ..BindRequest::default() }, 7, &mut again).unwrap();
    let mut client = Client::bound(sim.addr("kt")).await;
    client.send(&again).await;
    assert!(matches!(client.next().await, Some(Pdu::Bound { status: smpp::status::ESME_RALYBND })));
    client.submit(8, "nonsense", 1, "x").await;
    assert_eq!(client.answer().await.0, smpp::status::ESME_RINVDSTADR);
    client.send(&[0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 9]).await;
    let nack = client.next().await;
    assert!(is_nack(&nack, smpp::status::ESME_RINVCMDLEN), "{nack:?}");
    assert!(client.next().await.is_none());
    let mut unbound = Client::connect(sim.addr("kt")).await;
    unbound.submit(2, "01012345678", 1, "x").await;
    assert_eq!(unbound.answer().await.0, smpp::status::ESME_RINVBNDSTS);
    sim.shutdown().await;
}
