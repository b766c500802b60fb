//! What is written is read back, whatever the values; what is read never panics, whatever the octets.

use bongsu_wire::smpp::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

fn string(max: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(1u8..=255, 0..max)
}

#[derive(Debug, Clone)]
struct Owned {
    strings: [Vec<u8>; 5],
    octets: [u8; 11],
    text: Vec<u8>,
    tlvs: Vec<(u16, Vec<u8>)>,
}

impl Owned {
    fn tlvs(&self) -> TlvBuf {
        let mut buf = TlvBuf::new();
        for (tag, value) in &self.tlvs {
            assert!(buf.push(*tag, value));
        }
        buf
    }

    fn message<'a>(&'a self, tlvs: &'a TlvBuf) -> ShortMessage<'a> {
        let [service_type, source, dest, schedule, validity] = &self.strings;
        let octet = &self.octets;
        ShortMessage {
            service_type,
            source_ton: octet[0],
            source_npi: octet[1],
            source,
            dest_ton: octet[2],
            dest_npi: octet[3],
            dest,
            esm_class: octet[4],
            protocol_id: octet[5],
            priority: octet[6],
            schedule,
            validity,
            registered_delivery: octet[7],
            replace: octet[8],
            data_coding: octet[9],
            sm_default_msg_id: octet[10],
            short_message: &self.text,
            tlvs: tlvs.as_tlvs(),
        }
    }
}

fn message() -> impl Strategy<Value = Owned> {
    let strings =
        (string(6), string(21), string(21), string(17), string(17)).prop_map(|(a, b, c, d, e)| [a, b, c, d, e]);
    let text = proptest::collection::vec(any::<u8>(), 0..=SHORT_MESSAGE_MAX);
    let tlv = (any::<u16>(), proptest::collection::vec(any::<u8>(), 0..40));
    (strings, any::<[u8; 11]>(), text, proptest::collection::vec(tlv, 0..6))
        .prop_map(|(strings, octets, text, tlvs)| Owned { strings, octets, text, tlvs })
}

proptest! {
    #[test]
    fn messages_come_back(owned in message(), sequence in 1..=SEQUENCE_MAX, before in any::<[u8; 3]>()) {
        let tlvs = owned.tlvs();
        let message = owned.message(&tlvs);
        let mut out = before.to_vec();
        encode_submit(&message, sequence, &mut out).unwrap();
        let middle = out.len();
        encode_deliver(&message, sequence, &mut out).unwrap();
        let (submit, length) = decode(&out[3..], FRAME_MAX).unwrap().unwrap();
        prop_assert_eq!(length, middle - 3);
        prop_assert_eq!(submit.sequence, sequence);
        prop_assert_eq!(submit.parse().unwrap(), Body::SubmitSm(message));
        let (deliver, _) = decode(&out[middle..], FRAME_MAX).unwrap().unwrap();
        prop_assert_eq!(deliver.parse().unwrap(), Body::DeliverSm(message));
        let pairs: Vec<(u16, Vec<u8>)> = message.tlvs.iter().map(|(tag, value)| (tag, value.to_vec())).collect();
        prop_assert_eq!(pairs, owned.tlvs);
    }

    #[test]
    fn binds_come_back(
        kind in prop_oneof![Just(BindKind::Receiver), Just(BindKind::Transmitter), Just(BindKind::Transceiver)],
        strings in (string(16), string(9), string(13), string(41)),
        octets in any::<[u8; 3]>(),
    ) {
        let bind = BindRequest {
            kind,
            system_id: &strings.0,
            password: &strings.1,
            system_type: &strings.2,
            interface_version: octets[0],
            addr_ton: octets[1],
            addr_npi: octets[2],
            address_range: &strings.3,
        };
        let mut out = Vec::new();
        encode_bind(&bind, 1, &mut out).unwrap();
        let length = out.len();
        encode_bind_resp(kind, 0, 1, &strings.0, &mut out).unwrap();
        prop_assert_eq!(decode(&out, FRAME_MAX).unwrap().unwrap().0.parse().unwrap(), Body::BindRequest(bind));
        let Body::BindResponse(answer) = decode(&out[length..], FRAME_MAX).unwrap().unwrap().0.parse().unwrap() else {
            panic!("not a bind response");
        };
        prop_assert_eq!((answer.kind, answer.system_id), (kind, &strings.0[..]));
        prop_assert_eq!(answer.tlvs.get_u8(tag::SC_INTERFACE_VERSION), Some(0x34));
    }

    #[test]
    fn submit_answers_come_back(id in string(65), sequence in any::<u32>()) {
        let mut out = Vec::new();
        encode_submit_resp(0, sequence, &id, &mut out).unwrap();
        let frame = decode(&out, FRAME_MAX).unwrap().unwrap().0;
        prop_assert_eq!(frame.sequence, sequence);
        prop_assert_eq!(frame.parse().unwrap(), Body::SubmitSmResp(SubmitSmResp { message_id: &id }));
    }

    #[test]
    fn texts_come_back(text in any::<String>()) {
        for coding in [DataCoding::Gsm7, DataCoding::Ascii, DataCoding::Latin1, DataCoding::Ucs2, DataCoding::Ksc5601] {
            if let Some(octets) = encode_text(&text, coding) {
                prop_assert_eq!(decode_text(&octets, coding), text.clone(), "{:?}", coding);
            }
        }
        prop_assert!(encode_text(&text, DataCoding::Ucs2).is_some());
    }

    /// Every piece is text of its own: no character is cut.
    #[test]
    fn pieces_are_whole_characters(text in "[a-z^€]{0,400}|[가-힣a-z]{0,400}|[a-z🎉가]{0,400}", reference in any::<u16>()) {
        for coding in [DataCoding::Gsm7, DataCoding::Ucs2, DataCoding::Ksc5601] {
            let Some(octets) = encode_text(&text, coding) else { continue };
            let pieces = split_sar(&octets, coding).unwrap();
            prop_assert_eq!(pieces.len(), part_count(&octets, coding));
            prop_assert_eq!(pieces.concat(), octets.clone());
            let joined: String = pieces.iter().map(|piece| decode_text(piece, coding)).collect();
            prop_assert_eq!(&joined, &text);
            let limit = if pieces.len() == 1 { coding.single_max() } else { coding.part_max() };
            prop_assert!(pieces.iter().all(|piece| piece.len() <= limit));
            let parts = split_udh(&octets, coding, reference).unwrap();
            prop_assert_eq!(parts.len(), pieces.len());
        }
    }
}

/// Everything a reader of untrusted octets calls.
fn read_all(octets: &[u8]) {
    let mut at = 0;
    while let Ok(Some((frame, length))) = decode(&octets[at..], FRAME_MAX) {
        assert!(length >= HEADER_LEN && at + length <= octets.len());
        at += length;
        match frame.parse() {
            Ok(Body::SubmitSm(message) | Body::DeliverSm(message)) => {
                assert!(message.tlvs.iter().count() <= message.tlvs.as_bytes().len() / 4);
                if let Some(receipt) = parse_receipt(message.esm_class, message.payload(), message.tlvs) {
                    IdRule { response_hex: true, receipt_hex: true }.receipt(&receipt.id);
                }
                let mut joiner = Joiner::new(2, std::time::Duration::from_secs(60));
                joiner.accept(&message, bongsu_domain::time::Timestamp(0));
                if let Some(coding) = DataCoding::from_u8(message.data_coding) {
                    decode_text(message.payload(), coding);
                    split_udh(message.payload(), coding, 1);
                }
            }
            Ok(_) => {}
            Err(error) => assert!(!error.is_fatal() && error.nack_status() != 0),
        }
    }
    parse_receipt(esm::RECEIPT, octets, Tlvs::default());
    parse_receipt(esm::RECEIPT | esm::UDHI, octets, Tlvs::default());
    assert!(without_text(octets).len() <= octets.len());
}

/// SplitMix64: fast also in a debug build, and a fixed seed repeats a failure.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.roll() % limit as u64) as usize
    }

    fn octets(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.roll() as u8).collect()
    }
}

#[test]
fn ten_thousand_random_buffers_do_not_panic() {
    let mut dice = Dice(34);
    for round in 0..10_000 {
        let length = dice.below(400);
        let mut octets = dice.octets(length);
        // Three of four get a true length and a likely command, or hardly any would pass the header.
        if round % 4 != 0 && length >= HEADER_LEN {
            octets[..4].copy_from_slice(&(length as u32).to_be_bytes());
            let command = [dice.roll() as u8 & 0x80, 0, 0, dice.below(0x18) as u8];
            octets[4..8].copy_from_slice(&command);
        }
        read_all(&octets);
    }
}

#[test]
fn ten_thousand_mutated_pdus_do_not_panic() {
    let mut dice = Dice(35);
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[34; 32]));
    let strategy = message();
    let receipt =
        b"id:0000123 sub:001 dlvrd:001 submit date:2611210900 done date:261121090130 stat:DELIVRD err:000 text:hi";
    for round in 0..200 {
        let mut owned = strategy.new_tree(&mut runner).unwrap().current();
        if round % 2 == 0 {
            owned.text = receipt.to_vec();
            owned.octets[4] = esm::RECEIPT;
            owned.tlvs.push((tag::RECEIPTED_MESSAGE_ID, b"0000123\0".to_vec()));
        }
        let tlvs = owned.tlvs();
        let mut original = Vec::new();
        encode_deliver(&owned.message(&tlvs), 1, &mut original).unwrap();
        encode_submit_resp(0, 2, b"0000123", &mut original).unwrap();
        for _ in 0..50 {
            let mut octets = original.clone();
            for _ in 0..=dice.below(5) {
                let place = dice.below(octets.len());
                octets[place] = dice.roll() as u8;
            }
            if dice.below(3) == 0 {
                let length = dice.below(octets.len());
                octets.truncate(length);
            }
            read_all(&octets);
        }
    }
}
