//! Tests of telephone numbers; the rule ids are those of the domain notes.

use super::*;
use proptest::prelude::*;

#[test]
fn recipients_are_read_in_every_usual_spelling() {
    for text in [
        "01012345678",
        "010-1234-5678",
        "010.1234.5678",
        "010 1234 5678",
        "(010) 1234-5678",
        "+82-10-1234-5678",
        "+82 10 1234 5678",
        "+82 (0)10 1234 5678",
        "821012345678",
        "8201012345678",
        "+8201012345678",
        "82 010-1234-5678",
        "０１０１２３４５６７８",
        "０１０－１２３４－５６７８",
        "＋８２１０１２３４５６７８",
        "010–1234—5678",
        "1012345678",
        "\u{202A}010-1234-5678\u{202C}",
        "\u{FEFF}010\u{200B}12345678",
        " 010\u{A0}1234\u{3000}5678\t",
    ] {
        assert_eq!(
            parse_recipient(text).map(|number| number.national().to_owned()),
            Ok("01012345678".into()),
            "{text}"
        );
    }
}

#[test]
fn recipients_that_cannot_get_texts_are_refused() {
    for text in [
        "",
        "-",
        "+",
        "010",
        "0101234567",
        "010123456789",
        "0111234567",
        "01612345678",
        "0212345678",
        "07012345678",
        "050712345678",
        "15881588",
        "112",
        "010-1234-567a",
        "010/1234/5678",
        "1.01235E+09",
        "82",
        "+82",
        "++821012345678",
        "0+1012345678",
        "0082101234567890123",
        "010123456780101234567801012345678",
        "공일공12345678",
    ] {
        assert_eq!(parse_recipient(text), Err(Code::BadRecipientFormat), "{text}");
    }
    for text in ["+1 212 555 0100", "+8613800138000", "＋819012345678"] {
        assert_eq!(parse_recipient(text), Err(Code::CountryNotAllowed), "{text}");
    }
}

#[test]
fn senders_follow_the_numbering_plan() {
    for (text, national) in [
        ("010-2345-6789", "01023456789"),
        ("+82 10 9999 0000", "01099990000"),
        ("02-123-4567", "021234567"),
        ("02-1234-5678", "0212345678"),
        ("+82-2-1234-5678", "0212345678"),
        ("031-123-4567", "0311234567"),
        ("064-1234-5678", "06412345678"),
        ("070-2345-6789", "07023456789"),
        ("080-123-4567", "0801234567"),
        ("060-1234-5678", "06012345678"),
        ("030-1234-5678", "03012345678"),
        ("0303-1234-5678", "030312345678"),
        ("1588-1588", "15881588"),
        ("+82 1588-1588", "15881588"),
        ("1644 0000", "16440000"),
        ("1899-9999", "18999999"),
    ] {
        assert_eq!(parse_sender(text).map(|number| number.national().to_owned()), Ok(national.into()), "{text}");
    }
}

#[test]
fn senders_that_cannot_be_registered_are_refused() {
    for text in [
        "",
        "112",
        "1335",
        "010-0234-5678",
        "010-1234-5678",
        "070-0234-5678",
        "070-1234-5678",
        "010-2345-678",
        "011-234-5678",
        "050-7123-45678",
        "0507-1234-5678",
        "1588-15889",
        "1788-1588",
        "021234",
        "02123456789",
        "034-123-4567",
        "031-12-3456",
        "0301234567",
        "+1 212 555 0100",
        "BONGSU",
    ] {
        assert_eq!(parse_sender(text), Err(Code::SenderNotRegistered), "{text}");
    }
}

#[test]
fn a_number_has_three_forms() {
    for (national, with_country) in [
        ("01012345678", "821012345678"),
        ("0212345678", "82212345678"),
        ("15881588", "8215881588"),
        ("030312345678", "8230312345678"),
    ] {
        let number = PhoneNumber::from_national(national).unwrap();
        assert_eq!(number.national(), national);
        assert_eq!(number.with_country(), with_country);
        assert_eq!(number.e164(), format!("+{with_country}"));
        for address in [national.to_owned(), number.with_country(), number.e164()] {
            assert_eq!(PhoneNumber::from_address(&address), Some(number), "{address}");
        }
    }
    for address in ["", "+", "82", "BONGSU", "0101234567801234", "010-1234-5678"] {
        assert_eq!(PhoneNumber::from_address(address).filter(|number| number.national() != "0"), None, "{address}");
    }
}

#[test]
fn a_number_is_masked_when_printed() {
    for (national, masked) in [
        ("01012345678", "010****5678"),
        ("0212345678", "021***5678"),
        ("021234567", "*****4567"),
        ("15881588", "****1588"),
        ("1335", "****"),
    ] {
        let number = PhoneNumber::from_national(national).unwrap();
        assert_eq!(number.masked(), masked);
        assert_eq!(format!("{number:?}"), format!("PhoneNumber({masked})"));
        assert_eq!(number.last4(), &national[national.len() - 4..]);
    }
}

proptest! {
    #[test]
    fn every_mobile_number_survives_every_form(rest in "[0-9]{8}") {
        let number = PhoneNumber::from_national(&format!("010{rest}")).unwrap();
        for text in [number.national().to_owned(), number.with_country(), number.e164()] {
            prop_assert_eq!(parse_recipient(&text), Ok(number));
        }
    }

    #[test]
    fn readers_take_any_text_without_panic(text in "\\PC{0,40}") {
        let recipient = parse_recipient(&text);
        prop_assert!(recipient.is_err() || recipient.is_ok_and(|number| number.national().len() == 11));
        let _ = parse_sender(&text);
        let _ = PhoneNumber::from_address(&text);
    }
}

#[test]
fn eight_numbers_are_for_tests() {
    let of = |number: &str| parse_recipient(number).expect("a recipient").test_number();
    assert_eq!((of("010-0000-0001"), of("+82 10 0000 0008"), of("01000000005")), (Some(1), Some(8), Some(5)));
    for other in ["010-0000-0000", "010-0000-0009", "010-0000-0010", "010-1000-0001", "010-0000-0101"] {
        assert_eq!(of(other), None, "{other}");
    }
    assert!(parse_sender("010-0000-0001").is_err(), "nobody sends from one");
}
