//! Tests of texts; the vectors are rules ENC-04 to ENC-12 of the domain notes.

use super::*;
use proptest::prelude::*;
use unicode_normalization::{IsNormalized, is_nfc_quick};

#[test]
fn characters_have_the_bytes_that_were_measured() {
    for (text, bytes) in [
        ("가", 0xb0a1),
        ("뷁", 0x94ee),
        ("힣", 0xc652),
        ("漢", 0xf9d3),
        ("あ", 0xaaa2),
        ("·", 0xa1a4),
        ("…", 0xa1a6),
        ("―", 0xa1aa),
        ("“", 0xa1b0),
        ("～", 0xa2a6),
        ("∼", 0xa1ad),
        ("€", 0xa2e6),
        ("®", 0xa2e7),
        ("™", 0xa2e2),
        ("№", 0xa2e0),
        ("㈜", 0xa2df),
        ("☎", 0xa2cf),
        ("☏", 0xa2ce),
        ("♥", 0xa2be),
        ("♡", 0xa2bd),
        ("★", 0xa1da),
        ("※", 0xa1d8),
        ("→", 0xa1e6),
        ("℃", 0xa1c9),
        ("㎡", 0xa7b3),
        ("½", 0xa8f6),
        ("²", 0xa9f7),
        ("×", 0xa1bf),
        ("÷", 0xa1c0),
        ("①", 0xa8e7),
        ("⑮", 0xa8f5),
        ("￦", 0xa3dc),
        ("￡", 0xa1cc),
        ("￥", 0xa1cd),
        ("\u{3000}", 0xa1a1),
        ("\u{AD}", 0xa1a9),
    ] {
        assert_eq!(encode_cp949(text), Some(u16::to_be_bytes(bytes).to_vec()), "{text}");
        assert_eq!(measure(text), Ok(2), "{text}");
    }
}

#[test]
fn all_syllables_are_encodable_and_the_whole_set_has_the_measured_size() {
    assert!(('가'..='힣').all(|ch| is_encodable(ch) && width(ch).is_ok()));
    assert_eq!(('\u{80}'..='\u{FFFF}').filter(|ch| is_encodable(*ch)).count(), 17_048);
}

#[test]
fn characters_that_cannot_be_sent_are_named_with_their_place() {
    let bad = |text: &str| measure(text).unwrap_err().unencodable;
    for ch in "₩¥£©µéñ•–—〜・ー〒⑯❤🎉👍\u{A0}\u{200B}\u{FEFF}\u{2060}ﬁ".chars() {
        let text = format!("값 {ch}");
        assert_eq!(bad(&text).iter().map(|bad| (bad.index, bad.ch)).collect::<Vec<_>>(), [(2, ch)], "{ch:?}");
        assert_eq!(encode_cp949(&text), None, "{ch:?}");
    }
    let found = bad("₩1,000 🎉\u{200B}");
    let expected = [(0, '₩', Some("￦")), (7, '🎉', None), (8, '\u{200B}', Some(""))];
    assert_eq!(found.iter().map(|bad| (bad.index, bad.ch, bad.suggestion)).collect::<Vec<_>>(), expected);
}

#[test]
fn only_line_feed_and_tab_may_control() {
    assert_eq!(measure("가\n나\t다"), Ok(8));
    for ch in ('\0'..='\u{1F}').chain('\u{7F}'..='\u{9F}').filter(|ch| !matches!(ch, '\n' | '\t')) {
        let error = measure(&format!("a{ch}")).unwrap_err();
        assert_eq!(error.control, [BadChar { index: 1, ch, suggestion: None }]);
        assert_eq!(
            error.findings().map(|(code, bad)| (code, bad.index)).collect::<Vec<_>>(),
            [(Code::ControlCharacter, 1)]
        );
    }
    let codes: Vec<_> = measure("🎉\0").unwrap_err().findings().map(|(code, bad)| (code, bad.index)).collect();
    assert_eq!(codes, [(Code::ControlCharacter, 1), (Code::UnencodableCharacter, 0)]);
}

#[test]
fn a_hopeless_text_is_listed_in_part() {
    let error = measure(&"🎉".repeat(BAD_CHARS_MAX * 3)).unwrap_err();
    assert_eq!(error.unencodable.len(), BAD_CHARS_MAX);
}

#[test]
fn suggestions_are_for_unencodable_characters_and_are_encodable() {
    for ch in '\u{80}'..=char::MAX {
        let Some(replacement) = suggestion(ch) else { continue };
        assert!(!is_encodable(ch), "{ch:?} needs no replacement");
        assert!(measure(replacement).is_ok(), "{ch:?}");
    }
}

#[test]
fn line_ends_and_composition_have_one_form() {
    for (text, normal) in [
        ("a\r\nb\rc\n", "a\nb\nc\n"),
        ("\r\r\n\r", "\n\n\n"),
        ("\u{1112}\u{1161}\u{11AB}", "한"),
        ("하\u{11AB}글", "한글"),
        ("\u{2126}", "Ω"),
        ("\u{F900}", "豈"),
        ("e\u{301}\r\n", "é\n"),
    ] {
        assert_eq!(normalise(text), normal, "{text:?}");
    }
    for text in ["", "plain\ttext\n", "안녕하세요 ㈜봉수입니다. ①②③ 「한글」 漢字 ｶﾅ ★", "👍"]
    {
        assert!(matches!(normalise(text), Cow::Borrowed(_)), "{text:?}");
    }
}

#[test]
fn settled_characters_are_those_that_normalisation_leaves_alone() {
    for ch in '\0'..=char::MAX {
        if is_settled(ch) {
            assert_eq!(is_nfc_quick(std::iter::once(ch)), IsNormalized::Yes, "{ch:?}");
            assert_eq!(unicode_normalization::char::canonical_combining_class(ch), 0, "{ch:?}");
        }
    }
}

#[test]
fn the_type_follows_the_bytes_and_the_subject() {
    use ChannelChoice::{Auto, Lms, Sms};
    for (choice, bytes, has_subject, expected) in [
        (Auto, 0, false, Err(Code::EmptyBody)),
        (Sms, 0, false, Err(Code::EmptyBody)),
        (Lms, 0, true, Err(Code::EmptyBody)),
        (Auto, 1, false, Ok(Channel::Sms)),
        (Auto, 90, false, Ok(Channel::Sms)),
        (Auto, 91, false, Ok(Channel::Lms)),
        (Auto, 1, true, Ok(Channel::Lms)),
        (Auto, 2000, false, Ok(Channel::Lms)),
        (Auto, 2001, true, Err(Code::BodyTooLong)),
        (Sms, 90, false, Ok(Channel::Sms)),
        (Sms, 91, false, Err(Code::BodyTooLong)),
        (Sms, 10, true, Err(Code::SubjectTooLong)),
        (Lms, 1, false, Ok(Channel::Lms)),
        (Lms, 2000, true, Ok(Channel::Lms)),
        (Lms, 2001, false, Err(Code::BodyTooLong)),
    ] {
        assert_eq!(choose(choice, bytes, has_subject), expected, "{choice:?} {bytes} {has_subject}");
    }
    assert_eq!(measure(&"가".repeat(45)), Ok(SMS_BYTES));
    assert_eq!(measure(&format!("{}a", "가".repeat(45))), Ok(SMS_BYTES + 1));
}

proptest! {
    #[test]
    fn what_is_measured_is_what_is_encoded(text in "[ -~가-힣ㄱ-ㅎ①-⑳★-☏\n\té漢字🎉]{0,120}") {
        match (measure(&text), encode_cp949(&text)) {
            (Ok(bytes), Some(encoded)) => prop_assert_eq!(bytes as usize, encoded.len()),
            (Err(error), None) => prop_assert!(!error.unencodable.is_empty()),
            (measured, encoded) => prop_assert!(false, "{:?} against {:?}", measured, encoded),
        }
    }

    #[test]
    fn normalising_twice_changes_nothing_and_agrees_with_the_slow_way(text in any::<String>()) {
        let once = normalise(&text);
        prop_assert_eq!(normalise(&once), &*once);
        let slow: String = text.replace("\r\n", "\n").replace('\r', "\n").nfc().collect();
        prop_assert_eq!(&*once, slow);
    }

    #[test]
    fn any_text_is_measured_or_refused_with_places(text in any::<String>()) {
        if let Err(error) = measure(&text) {
            for (_, bad) in error.findings() {
                prop_assert_eq!(text.chars().nth(bad.index as usize), Some(bad.ch));
            }
        }
    }
}
