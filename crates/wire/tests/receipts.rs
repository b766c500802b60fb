//! Receipts in the dialects message centres are known to speak.

use bongsu_domain::time::Timestamp;
use bongsu_wire::smpp::*;

fn parse(text: &str) -> Option<Receipt> {
    parse_receipt(esm::RECEIPT, text.as_bytes(), Tlvs::default())
}

fn at(rfc3339: &str) -> Option<Timestamp> {
    Some(Timestamp::parse_rfc3339(rfc3339).expect("RFC 3339"))
}

#[test]
fn the_specifications_text() {
    let receipt = parse(
        "id:0123456789 sub:001 dlvrd:002 submit date:2611210901 done date:2611210902 stat:DELIVRD err:000 text:안녕 hello",
    )
    .unwrap();
    let expected = Receipt {
        id: "0123456789".to_owned(),
        state: MessageState::Delivered,
        err: Some("000".to_owned()),
        sub: Some(1),
        dlvrd: Some(2),
        submit_date: at("2026-11-21T09:01:00+09:00"),
        done_date: at("2026-11-21T09:02:00+09:00"),
        text: Some("안녕 hello".as_bytes().to_vec()),
    };
    assert_eq!(receipt, expected);
    assert!(!format!("{receipt:?}").contains("hello"));
}

#[test]
fn dates_have_ten_twelve_or_fourteen_digits() {
    let cases = [
        ("2611210902", at("2026-11-21T09:02:00+09:00")),
        ("261121090203", at("2026-11-21T09:02:03+09:00")),
        ("20261121090203", at("2026-11-21T09:02:03+09:00")),
        ("2402290000", at("2024-02-29T00:00:00+09:00")),
        ("2701010000", at("2026-12-31T15:00:00+00:00")),
        ("2502290000", None),
        ("2613010000", None),
        ("2611212400", None),
        ("26112109", None),
        ("26112109020", None),
        ("261121090A", None),
        ("261121090203004+", None),
    ];
    for (digits, expected) in cases {
        let receipt = parse(&format!("id:1 done date:{digits} stat:EXPIRED")).unwrap();
        assert_eq!((receipt.done_date, receipt.state), (expected, MessageState::Expired), "{digits}");
    }
}

#[test]
fn every_state_word_in_any_case() {
    let cases = [
        ("ENROUTE", MessageState::Enroute),
        ("DELIVRD", MessageState::Delivered),
        ("Delivered", MessageState::Delivered),
        ("EXPIRED", MessageState::Expired),
        ("DELETED", MessageState::Deleted),
        ("undeliv", MessageState::Undeliverable),
        ("UNDELIVERABLE", MessageState::Undeliverable),
        ("ACCEPTD", MessageState::Accepted),
        ("UNKNOWN", MessageState::Unknown),
        ("REJECTD", MessageState::Rejected),
        ("rejected", MessageState::Rejected),
        ("WHATEVER", MessageState::Unknown),
    ];
    for (word, state) in cases {
        assert_eq!(parse(&format!("id:1 stat:{word} err:000")).unwrap().state, state, "{word}");
        if state != MessageState::Unknown {
            assert_eq!(MessageState::from_u8(state as u8), Some(state));
            assert_eq!(MessageState::parse(state.as_str()), Some(state));
        }
    }
    assert_eq!((MessageState::from_u8(0), MessageState::from_u8(9)), (None, None));
    assert!(!MessageState::Enroute.is_final() && MessageState::Delivered.is_final());
}

/// (text, id, state, err)
#[test]
fn dialects_of_the_text() {
    let cases = [
        ("id:42 stat:DELIVRD", "42", MessageState::Delivered, None),
        ("stat:UNDELIV err:0x45 id:42", "42", MessageState::Undeliverable, Some("0x45")),
        ("ID:42 SUB:1 DLVRD:1 SUBMIT DATE:2611210901 STAT:delivrd ERR:7", "42", MessageState::Delivered, Some("7")),
        ("id: 42 stat: DELIVRD err: 001", "42", MessageState::Delivered, Some("001")),
        ("id : 42 stat : DELIVRD", "42", MessageState::Delivered, None),
        ("id:42,stat:DELIVRD,err:001", "42", MessageState::Delivered, Some("001")),
        ("id:42;state:REJECTD;error:12", "42", MessageState::Rejected, Some("12")),
        ("id:42\r\nstatus:EXPIRED\r\n", "42", MessageState::Expired, None),
        ("message id:42 submitdate:2611210901 donedate:2611210901 stat:DELIVRD", "42", MessageState::Delivered, None),
        ("id:42 sub: dlvrd: stat:DELIVRD err: text:hi", "42", MessageState::Delivered, None),
        ("id:a3f-77-Z stat:DELIVRD err:000Text:err:999", "a3f-77-Z", MessageState::Delivered, Some("000")),
        ("  id:42 stat:DELIVRD\0", "42", MessageState::Delivered, None),
        ("id:42", "42", MessageState::Unknown, None),
        ("text:hello id:42 stat:DELIVRD err:003", "42", MessageState::Delivered, Some("003")),
    ];
    for (text, id, state, err) in cases {
        let receipt = parse(text).unwrap_or_else(|| panic!("no receipt in {text:?}"));
        assert_eq!((receipt.id.as_str(), receipt.state, receipt.err.as_deref()), (id, state, err), "{text:?}");
    }
}

#[test]
fn the_quoted_message_cannot_forge_a_field() {
    let behind = parse("id:42 err:005 text:id:99 stat:DELIVRD err:0").unwrap();
    assert_eq!((behind.id.as_str(), behind.state, behind.err.as_deref()), ("42", MessageState::Unknown, Some("005")));
    let before = parse("text:id:99 stat:DELIVRD id:42 stat:UNDELIV err:005").unwrap();
    assert_eq!((before.id.as_str(), before.state), ("42", MessageState::Undeliverable));
    assert_eq!(parse("text:hello there id:42 stat:DELIVRD").unwrap().text.unwrap(), b"hello there");
}

#[test]
fn only_esm_class_makes_a_receipt() {
    let text = b"id:42 stat:DELIVRD";
    for (esm_class, is_receipt) in
        [(0x00, false), (0x04, true), (0x84, true), (0x20, true), (0x08, false), (0x40, false)]
    {
        assert_eq!(parse_receipt(esm_class, text, Tlvs::default()).is_some(), is_receipt, "{esm_class:02x}");
    }
    assert_eq!(parse("stat:DELIVRD err:000"), None);
    assert_eq!(parse("hello"), None);
    assert_eq!(parse(""), None);
    let mut with_header = vec![0x05, 0x00, 0x03, 0x01, 0x01, 0x01];
    with_header.extend_from_slice(text);
    assert_eq!(parse_receipt(0x44, &with_header, Tlvs::default()).unwrap().id, "42");
}

#[test]
fn optional_parameters_win_over_the_text() {
    let mut tlvs = TlvBuf::new();
    tlvs.push_cstr(tag::RECEIPTED_MESSAGE_ID, b"77");
    tlvs.push_u8(tag::MESSAGE_STATE, 5);
    tlvs.push(tag::NETWORK_ERROR_CODE, &[3, 0, 21]);
    let bare = parse_receipt(esm::RECEIPT, b"", tlvs.as_tlvs()).unwrap();
    assert_eq!((bare.id.as_str(), bare.state, bare.err.as_deref()), ("77", MessageState::Undeliverable, Some("021")));
    let text = b"id:42 done date:2611210901 stat:DELIVRD err:000";
    let both = parse_receipt(esm::RECEIPT, text, tlvs.as_tlvs()).unwrap();
    assert_eq!((both.id.as_str(), both.state, both.err.as_deref()), ("77", MessageState::Undeliverable, Some("021")));
    assert_eq!(both.done_date, at("2026-11-21T09:01:00+09:00"));
}

#[test]
fn broken_optional_parameters_leave_the_text() {
    let mut tlvs = TlvBuf::new();
    tlvs.push(tag::RECEIPTED_MESSAGE_ID, b"77");
    tlvs.push_u8(tag::MESSAGE_STATE, 99);
    tlvs.push(tag::NETWORK_ERROR_CODE, &[3]);
    let receipt = parse_receipt(esm::RECEIPT, b"id:42 stat:EXPIRED err:9", tlvs.as_tlvs()).unwrap();
    assert_eq!((receipt.id.as_str(), receipt.state, receipt.err.as_deref()), ("77", MessageState::Expired, Some("9")));
    let mut empty = TlvBuf::new();
    empty.push_cstr(tag::RECEIPTED_MESSAGE_ID, b"");
    assert_eq!(parse_receipt(esm::RECEIPT, b"id:42", empty.as_tlvs()).unwrap().id, "42");
}

#[test]
fn a_receipt_in_ucs2_is_read() {
    let wide = encode_text("id:42 stat:DELIVRD err:000 text:비밀", DataCoding::Ucs2).unwrap();
    let receipt = parse_receipt(esm::RECEIPT, &wide, Tlvs::default()).unwrap();
    assert_eq!((receipt.id.as_str(), receipt.state), ("42", MessageState::Delivered));
    assert_eq!(without_text(&wide), b"");
}

#[test]
fn what_is_kept_of_a_receipt_has_no_message() {
    assert_eq!(without_text(b"id:42 stat:DELIVRD err:000 text:secret"), b"id:42 stat:DELIVRD err:000");
    assert_eq!(without_text(b"id:42 err:000Text: secret"), b"id:42 err:000");
    assert_eq!(without_text(b"text:secret id:42"), b"");
    assert_eq!(without_text(b"id:42 stat:DELIVRD"), b"id:42 stat:DELIVRD");
}

#[test]
fn ids_of_both_directions_meet() {
    let cases = [
        // (rule, response, receipt, canonical)
        (IdRule::default(), "0000123456", "123456", "123456"),
        (IdRule::default(), "A1B2-Ff", "a1b2-ff", "a1b2-ff"),
        (IdRule { response_hex: true, receipt_hex: false }, "001E240", "0000123456", "123456"),
        (IdRule { response_hex: true, receipt_hex: false }, "0x1e240", "123456", "123456"),
        (IdRule { response_hex: false, receipt_hex: true }, "123456", "1E240", "123456"),
        (IdRule { response_hex: true, receipt_hex: true }, "1E240", "0001e240", "123456"),
        (
            IdRule { response_hex: true, receipt_hex: false },
            "FFFFFFFFFFFFFFFF",
            "18446744073709551615",
            "18446744073709551615",
        ),
        (IdRule { response_hex: true, receipt_hex: true }, "not-hex", "NOT-HEX", "not-hex"),
        (IdRule::default(), "000", "0", "0"),
        (IdRule::default(), " 42\0", "42", "42"),
    ];
    for (rule, response, receipt, canonical) in cases {
        assert_eq!(rule.response(response), canonical, "{response}");
        assert_eq!(rule.receipt(receipt), canonical, "{receipt}");
    }
    assert_eq!(normalise_id("123456", IdStyle::DecimalToHex), "1e240");
    assert_eq!(normalise_id("+5", IdStyle::HexToDecimal), "+5");
    assert_eq!(normalise_id("", IdStyle::HexToDecimal), "");
}

#[test]
fn what_is_formatted_is_read_back() {
    let receipt = Receipt {
        id: "00beef".to_owned(),
        state: MessageState::Rejected,
        err: Some("123".to_owned()),
        sub: Some(1),
        dlvrd: Some(0),
        submit_date: at("2026-02-28T23:59:59+09:00"),
        done_date: at("2028-02-29T00:00:01+09:00"),
        text: Some(b"hi there".to_vec()),
    };
    for digits in [DateDigits::Twelve, DateDigits::Fourteen] {
        let text = format_receipt(&receipt, digits);
        assert_eq!(parse_receipt(esm::RECEIPT, &text, Tlvs::default()).unwrap(), receipt);
    }
    let text = format_receipt(&receipt, DateDigits::Ten);
    assert_eq!(
        String::from_utf8(text).unwrap(),
        "id:00beef sub:001 dlvrd:000 submit date:2602282359 done date:2802290000 stat:REJECTD err:123 text:hi there"
    );
    let bare = Receipt { err: None, sub: None, dlvrd: None, submit_date: None, done_date: None, text: None, ..receipt };
    assert_eq!(format_receipt(&bare, DateDigits::Ten), b"id:00beef stat:REJECTD");
}
