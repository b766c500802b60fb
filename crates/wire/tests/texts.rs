//! Codings, splitting and joining at their limits.

use std::time::Duration;

use bongsu_domain::time::Timestamp;
use bongsu_wire::smpp::*;

#[test]
fn codings_against_known_octets() {
    let cases: [(&str, DataCoding, Option<&[u8]>); 15] = [
        ("가", DataCoding::Ksc5601, Some(&[0xB0, 0xA1])),
        ("뷁", DataCoding::Ksc5601, Some(&[0x94, 0xEE])),
        ("힣漢", DataCoding::Ksc5601, Some(&[0xC6, 0x52, 0xF9, 0xD3])),
        ("hi", DataCoding::Ksc5601, Some(b"hi")),
        ("가🎉", DataCoding::Ksc5601, None),
        ("₩", DataCoding::Ksc5601, None),
        ("@£^€", DataCoding::Gsm7, Some(&[0x00, 0x01, 0x1B, 0x14, 0x1B, 0x65])),
        ("[a]~", DataCoding::Gsm7, Some(&[0x1B, 0x3C, 0x61, 0x1B, 0x3E, 0x1B, 0x3D])),
        ("\u{A0}", DataCoding::Gsm7, None),
        ("가", DataCoding::Gsm7, None),
        ("é", DataCoding::Latin1, Some(&[0xE9])),
        ("€", DataCoding::Latin1, None),
        ("é", DataCoding::Ascii, None),
        ("가", DataCoding::Ucs2, Some(&[0xAC, 0x00])),
        ("🎉", DataCoding::Ucs2, Some(&[0xD8, 0x3C, 0xDF, 0x89])),
    ];
    for (text, coding, octets) in cases {
        assert_eq!(encode_text(text, coding).as_deref(), octets, "{text} {coding:?}");
        if let Some(octets) = octets {
            assert_eq!(decode_text(octets, coding), text);
        }
    }
    for number in 0..=255 {
        assert!(DataCoding::from_u8(number).is_none_or(|coding| coding.as_u8() == number));
    }
}

#[test]
fn unreadable_octets_become_replacement_characters() {
    assert_eq!(decode_text(&[0xB0], DataCoding::Ksc5601), "\u{FFFD}");
    assert_eq!(decode_text(&[0xD8, 0x3C, 0x00], DataCoding::Ucs2), "\u{FFFD}\u{FFFD}");
    assert_eq!(decode_text(&[0x80], DataCoding::Ascii), "\u{FFFD}");
    assert_eq!(decode_text(&[0x80, 0x41], DataCoding::Gsm7), "\u{FFFD}A");
    assert_eq!(decode_text(&[0x41, 0x1B, 0x41, 0x1B], DataCoding::Gsm7), "AA ");
}

/// (text, coding, parts, octets of the first part without header)
#[test]
fn parts_at_the_limits() {
    let cases = [
        ("".to_owned(), DataCoding::Ksc5601, 1, 0),
        ("a".repeat(160), DataCoding::Gsm7, 1, 160),
        ("a".repeat(161), DataCoding::Gsm7, 2, 153),
        ("a".repeat(306), DataCoding::Gsm7, 2, 153),
        ("a".repeat(307), DataCoding::Gsm7, 3, 153),
        // An escape pair would straddle septets 153 and 154.
        (format!("{}€{}", "a".repeat(152), "a".repeat(20)), DataCoding::Gsm7, 2, 152),
        ("가".repeat(70), DataCoding::Ucs2, 1, 140),
        ("가".repeat(71), DataCoding::Ucs2, 2, 134),
        ("가".repeat(134), DataCoding::Ucs2, 2, 134),
        ("가".repeat(135), DataCoding::Ucs2, 3, 134),
        // A surrogate pair would straddle units 67 and 68.
        (format!("{}🎉{}", "가".repeat(66), "가".repeat(20)), DataCoding::Ucs2, 2, 132),
        ("가".repeat(70), DataCoding::Ksc5601, 1, 140),
        ("가".repeat(71), DataCoding::Ksc5601, 2, 134),
        (format!("a{}", "가".repeat(70)), DataCoding::Ksc5601, 2, 133),
        ("a".repeat(2000), DataCoding::Ksc5601, 15, 134),
    ];
    for (text, coding, parts, first) in cases {
        let octets = encode_text(&text, coding).unwrap();
        let pieces = split_sar(&octets, coding).unwrap();
        let case = format!("{} characters in {coding:?}", text.chars().count());
        assert_eq!((pieces.len(), pieces[0].len()), (parts, first), "{case}");
        assert_eq!(part_count(&octets, coding), parts, "{case}");
        let headed = split_udh(&octets, coding, 0x12AB).unwrap();
        assert_eq!(headed.len(), parts, "{case}");
        for (number, (part, piece)) in (1..).zip(headed.iter().zip(&pieces)) {
            let header: &[u8] = if parts > 1 { &[5, 0, 3, 0xAB, parts as u8, number] } else { &[] };
            assert_eq!(part, &[header, piece].concat(), "{case}");
            assert!(part.len() <= coding.single_max(), "{case}");
        }
    }
    let most = vec![b'a'; 255 * 134];
    assert_eq!(split_udh(&most, DataCoding::Ascii, 1).unwrap().len(), PARTS_MAX);
    let over = vec![b'a'; 255 * 134 + 1];
    assert_eq!((split_udh(&over, DataCoding::Ascii, 1), split_sar(&over, DataCoding::Ascii)), (None, None));
}

const KEEP: Duration = Duration::from_secs(60);
const START: Timestamp = Timestamp(0);

fn sms<'a>(esm_class: u8, short_message: &'a [u8], tlvs: Tlvs<'a>) -> ShortMessage<'a> {
    ShortMessage {
        source: b"1588",
        dest: b"0101",
        esm_class,
        data_coding: 0x0E,
        short_message,
        tlvs,
        ..ShortMessage::default()
    }
}

#[test]
fn headed_parts_join_in_any_order() {
    let text = "가나다라".repeat(60);
    let octets = encode_text(&text, DataCoding::Ksc5601).unwrap();
    let parts = split_udh(&octets, DataCoding::Ksc5601, 7).unwrap();
    assert_eq!(parts.len(), 4);
    let mut joiner = Joiner::new(8, KEEP);
    for at in [2, 0, 0, 3] {
        assert_eq!(joiner.accept(&sms(esm::UDHI, &parts[at], Tlvs::default()), START), None);
    }
    let whole = joiner.accept(&sms(esm::UDHI, &parts[1], Tlvs::default()), START).unwrap();
    assert_eq!((whole.parts, whole.data_coding), (4, 0x0E));
    assert_eq!(whole.bytes, octets);
    assert!(!format!("{whole:?}").contains("176, 161"));
    assert_eq!(joiner.waiting(), 0);
}

#[test]
fn sixteen_bit_references_and_other_elements_join() {
    let mut joiner = Joiner::new(8, KEEP);
    let first = [9, 0x24, 1, 0, 8, 4, 1, 2, 2, 1, b'a'];
    let second = [6, 8, 4, 1, 2, 2, 2, b'b'];
    assert_eq!(joiner.accept(&sms(esm::UDHI, &first, Tlvs::default()), START), None);
    assert_eq!(joiner.accept(&sms(esm::UDHI, &second, Tlvs::default()), START).unwrap().bytes, b"ab");
}

#[test]
fn sar_segments_and_payloads_join() {
    let mut joiner = Joiner::new(8, KEEP);
    for (number, piece) in [(1, b"ab"), (2, b"cd")] {
        let mut tlvs = TlvBuf::new();
        tlvs.push_sar(0xFFFF, 2, number);
        let whole = joiner.accept(&sms(0, piece, tlvs.as_tlvs()), START);
        assert_eq!(whole.map(|whole| whole.bytes), (number == 2).then(|| b"abcd".to_vec()));
    }
    let mut tlvs = TlvBuf::new();
    tlvs.push(tag::MESSAGE_PAYLOAD, &[b'x'; 2000]);
    let whole = joiner.accept(&sms(0, b"", tlvs.as_tlvs()), START).unwrap();
    assert_eq!((whole.bytes.len(), whole.parts), (2000, 1));
    assert_eq!(joiner.accept(&sms(0, b"", Tlvs::default()), START).unwrap().bytes, b"");
}

#[test]
fn senseless_headers_leave_the_message_as_it_is() {
    let mut joiner = Joiner::new(8, KEEP);
    let cases: [(&[u8], &[u8]); 5] = [
        (&[5, 0, 3, 1, 2, 3, b'a'], b"a"),
        (&[5, 0, 3, 1, 0, 0, b'a'], b"a"),
        (&[5, 0, 9, 1, 2, 1, b'a'], b"a"),
        (&[200, b'a'], &[200, b'a']),
        (&[], &[]),
    ];
    for (octets, text) in cases {
        let whole = joiner.accept(&sms(esm::UDHI, octets, Tlvs::default()), START).unwrap();
        assert_eq!((whole.bytes.as_slice(), whole.parts), (text, 1), "{octets:?}");
    }
    assert_eq!(joiner.waiting(), 0);
}

#[test]
fn incomplete_messages_give_way() {
    let part = |reference, number| [5, 0, 3, reference, 2, number, b'a'];
    let mut joiner = Joiner::new(2, KEEP);
    for (reference, second) in [(1, 0), (2, 1), (3, 2)] {
        let at = START.plus(Duration::from_secs(second));
        assert_eq!(joiner.accept(&sms(esm::UDHI, &part(reference, 1), Tlvs::default()), at), None);
    }
    assert_eq!(joiner.waiting(), 2);
    let late = START.plus(Duration::from_secs(2)).plus(KEEP);
    // Reference 2 is a second too old by now, so its second part starts anew; 3 is just in time.
    assert_eq!(joiner.accept(&sms(esm::UDHI, &part(2, 2), Tlvs::default()), late), None);
    assert!(joiner.accept(&sms(esm::UDHI, &part(3, 2), Tlvs::default()), late).is_some());
}
