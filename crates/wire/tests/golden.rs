//! PDUs against octets that were not made by this codec: the specification's example and hand-assembled ones.

use bongsu_wire::smpp::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal")).collect()
}

fn body(octets: &[u8]) -> Body<'_> {
    let (frame, length) = decode(octets, FRAME_MAX).expect("a length").expect("a whole PDU");
    assert_eq!(length, octets.len());
    frame.parse().expect("a body")
}

/// SMPP 3.4 section 3.2.2 prints this PDU.
#[test]
fn the_specifications_bind_transmitter() {
    let octets = hex("0000002F 00000002 00000000 00000001
                      53 4D 50 50 33 54 45 53 54 00 73 65 63 72 65 74 30 38 00
                      53 55 42 4D 49 54 31 00 00 01 01 00");
    let bind = BindRequest {
        kind: BindKind::Transmitter,
        system_id: b"SMPP3TEST",
        password: b"secret08",
        system_type: b"SUBMIT1",
        interface_version: 0,
        addr_ton: 1,
        addr_npi: 1,
        address_range: b"",
    };
    assert_eq!(body(&octets), Body::BindRequest(bind));
    let mut out = Vec::new();
    encode_bind(&bind, 1, &mut out).unwrap();
    assert_eq!(out, octets);
}

/// 가나 in KS C 5601 with a reference TLV and one of an unknown vendor.
#[test]
fn a_korean_submit_sm() {
    let octets = hex("0000005A 00000004 00000000 0000002A
                      00 05 00 31 35 38 38 31 32 33 34 00 01 01 38 32 31 30 31 32 33 34 35 36 37 38 00
                      00 00 01 00 30 30 30 30 30 30 30 30 30 31 30 30 30 30 30 52 00
                      01 00 0E 00 04 B0 A1 B3 AA
                      02 04 00 02 BE EF 14 FF 00 03 01 02 03 03 0B 00 00");
    let mut tlvs = TlvBuf::new();
    tlvs.push_u16(tag::USER_MESSAGE_REFERENCE, 0xBEEF);
    tlvs.push(0x14FF, &[1, 2, 3]);
    tlvs.push(0x030B, &[]);
    let submit = SubmitSm {
        source_ton: 5,
        source: b"15881234",
        dest_ton: 1,
        dest_npi: 1,
        dest: b"821012345678",
        priority: 1,
        validity: b"000000000100000R",
        registered_delivery: 1,
        data_coding: DataCoding::Ksc5601.as_u8(),
        short_message: &[0xB0, 0xA1, 0xB3, 0xAA],
        tlvs: tlvs.as_tlvs(),
        ..SubmitSm::default()
    };
    assert_eq!(body(&octets), Body::SubmitSm(submit));
    assert_eq!(submit.tlvs.get_u16(tag::USER_MESSAGE_REFERENCE), Some(0xBEEF));
    assert_eq!(submit.tlvs.get(0x14FF), Some(&[1u8, 2, 3][..]));
    assert_eq!(submit.tlvs.get(0x0001), None);
    let mut out = Vec::new();
    encode_submit(&submit, 42, &mut out).unwrap();
    assert_eq!(out, octets);
}

#[test]
fn responses_with_and_without_a_body() {
    let accepted = hex("00000016 80000004 00000000 0000002A 31 32 33 34 35 00");
    assert_eq!(body(&accepted), Body::SubmitSmResp(SubmitSmResp { message_id: b"12345" }));
    let refused = hex("00000010 80000004 00000058 0000002A");
    assert_eq!(body(&refused), Body::SubmitSmResp(SubmitSmResp { message_id: b"" }));
    let empty = hex("00000011 80000004 00000058 0000002A 00");
    assert_eq!(body(&empty), Body::SubmitSmResp(SubmitSmResp { message_id: b"" }));

    let mut out = Vec::new();
    encode_submit_resp(0, 42, b"12345", &mut out).unwrap();
    encode_submit_resp(status::ESME_RTHROTTLED, 42, b"not sent", &mut out).unwrap();
    encode_deliver_resp(0, 7, &mut out);
    encode_bind_resp(BindKind::Transceiver, 0, 1, b"KT", &mut out).unwrap();
    encode_bind_resp(BindKind::Receiver, status::ESME_RINVPASWD, 1, b"KT", &mut out).unwrap();
    encode_header_only(CommandId::ENQUIRE_LINK, 0, 9, &mut out);
    encode_header_only(CommandId::GENERIC_NACK, status::ESME_RINVCMDID, 0, &mut out);
    let expected = hex("00000016 80000004 00000000 0000002A 31 32 33 34 35 00
                        00000010 80000004 00000058 0000002A
                        00000011 80000005 00000000 00000007 00
                        00000018 80000009 00000000 00000001 4B 54 00 02 10 00 01 34
                        00000010 80000001 0000000E 00000001
                        00000010 00000015 00000000 00000009
                        00000010 80000000 00000003 00000000");
    assert_eq!(out, expected);
}

#[test]
fn frames_arrive_in_pieces() {
    let mut stream = Vec::new();
    encode_submit_resp(0, 1, b"first", &mut stream).unwrap();
    encode_header_only(CommandId::UNBIND, 0, 2, &mut stream);
    let (_, first) = decode(&stream, FRAME_MAX).unwrap().unwrap();
    for length in 0..first {
        assert_eq!(decode(&stream[..length], FRAME_MAX).unwrap(), None, "{length} octets");
    }
    let (frame, _) = decode(&stream[first..], FRAME_MAX).unwrap().unwrap();
    assert_eq!((frame.id, frame.sequence), (CommandId::UNBIND, 2));
}

#[test]
fn impossible_lengths_are_fatal() {
    for length in [0u32, 15, 65_537, u32::MAX] {
        let mut octets = length.to_be_bytes().to_vec();
        let early = decode(&octets, FRAME_MAX).unwrap_err();
        assert_eq!((early.kind, early.command_id, early.sequence), (DecodeErrorKind::Length(length), None, None));
        octets.extend_from_slice(&hex("00000004 00000000 00000063"));
        let late = decode(&octets, FRAME_MAX).unwrap_err();
        assert_eq!((late.command_id, late.sequence), (Some(4), Some(0x63)));
        assert!(late.is_fatal());
        assert_eq!(late.nack_status(), status::ESME_RINVCMDLEN);
    }
}

#[test]
fn a_bad_body_names_its_field_and_keeps_the_stream() {
    let cases: [(&str, DecodeErrorKind, u32); 7] = [
        ("00000010 00000015 00000000 00000000", DecodeErrorKind::Sequence(0), status::ESME_RSYSERR),
        ("00000010 00000015 00000000 80000000", DecodeErrorKind::Sequence(0x8000_0000), status::ESME_RSYSERR),
        ("00000010 00000004 00000000 00000001", DecodeErrorKind::Truncated("service_type"), status::ESME_RINVCMDLEN),
        (
            "00000017 00000004 00000000 00000001 41 42 43 44 45 46 47",
            DecodeErrorKind::Unterminated("service_type"),
            status::ESME_RINVPARLEN,
        ),
        (
            "00000021 00000004 00000000 00000001 00 0000 00 0000 00 000000 00 00 00 00 00 00 05",
            DecodeErrorKind::ShortMessageLength(5),
            status::ESME_RINVMSGLEN,
        ),
        (
            "00000026 00000004 00000000 00000001 00 0000 00 0000 00 000000 00 00 00 00 00 00 00 0424 0005 41",
            DecodeErrorKind::Tlv(0x0424),
            status::ESME_RINVOPTPARSTREAM,
        ),
        (
            "00000023 00000005 00000000 00000001 00 0000 00 0000 00 000000 00 00 00 00 00 00 00 0424",
            DecodeErrorKind::Tlv(0),
            status::ESME_RINVOPTPARSTREAM,
        ),
    ];
    for (octets, kind, answer) in cases {
        let octets = hex(octets);
        let (frame, length) = decode(&octets, FRAME_MAX).unwrap().unwrap();
        assert_eq!(length, octets.len());
        let error = frame.parse().unwrap_err();
        assert_eq!(error.kind, kind);
        assert_eq!((error.command_id, error.sequence), (Some(frame.id.0), Some(frame.sequence)));
        assert!(!error.is_fatal());
        assert_eq!(error.nack_status(), answer);
    }
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_no_trace() {
    let mut out = b"before".to_vec();
    let long = [b'1'; 300];
    let cases = [
        (SubmitSm { source: &long[..21], ..SubmitSm::default() }, "source_addr"),
        (SubmitSm { dest: b"12\x0034", ..SubmitSm::default() }, "destination_addr"),
        (SubmitSm { short_message: &long[..255], ..SubmitSm::default() }, "short_message"),
    ];
    for (message, field) in cases {
        assert_eq!(encode_submit(&message, 1, &mut out), Err(EncodeError { field }));
        assert_eq!(encode_deliver(&message, 1, &mut out), Err(EncodeError { field }));
    }
    let bind = BindRequest { password: b"nineoctet", ..BindRequest::default() };
    assert_eq!(encode_bind(&bind, 1, &mut out), Err(EncodeError { field: "password" }));
    assert_eq!(encode_submit_resp(0, 1, &long[..65], &mut out), Err(EncodeError { field: "message_id" }));
    let mut tlvs = TlvBuf::new();
    assert!(tlvs.push(tag::MESSAGE_PAYLOAD, &vec![0; 65_535]));
    assert!(!tlvs.push(tag::MESSAGE_PAYLOAD, &vec![0; 65_536]));
    let huge = SubmitSm { tlvs: tlvs.as_tlvs(), ..SubmitSm::default() };
    assert_eq!(encode_submit(&huge, 1, &mut out), Err(EncodeError { field: "command_length" }));
    assert_eq!(out, b"before");
}

#[test]
fn commands_and_states_have_their_names() {
    assert_eq!(CommandId::SUBMIT_SM.response(), CommandId::SUBMIT_SM_RESP);
    assert_eq!(CommandId::SUBMIT_SM_RESP.request(), CommandId::SUBMIT_SM);
    assert!(CommandId::GENERIC_NACK.is_response());
    assert_eq!(format!("{:?}", CommandId(0x77)), "unknown(0x00000077)");
    assert_eq!(status_name(0x58), "ESME_RTHROTTLED");
    assert_eq!(status_name(0x14), "ESME_RMSGQFUL");
    assert_eq!(status_name(0x0400), "ESME_UNKNOWN");
}

#[test]
fn debug_shows_no_numbers_texts_or_passwords() {
    let mut tlvs = TlvBuf::new();
    tlvs.push(tag::MESSAGE_PAYLOAD, b"hello");
    let message = SubmitSm {
        source: b"15881234",
        dest: b"01012345678",
        short_message: b"hello",
        tlvs: tlvs.as_tlvs(),
        ..SubmitSm::default()
    };
    let bind = BindRequest { system_id: b"bongsu", password: b"secret08", ..BindRequest::default() };
    let mut octets = Vec::new();
    encode_submit(&message, 1, &mut octets).unwrap();
    let (frame, _) = decode(&octets, FRAME_MAX).unwrap().unwrap();
    let shown = format!("{message:?} {bind:?} {frame:?} {tlvs:?}");
    for private in ["15881234", "01012345678", "hello", "104, 101", "secret08", "115, 101"] {
        assert!(!shown.contains(private), "{private} in {shown}");
    }
}
