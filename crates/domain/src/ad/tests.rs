//! Texts of advertisements and what is wrong with them.

use super::*;

fn sender() -> Sender {
    Sender { name: Some("봉수가게".into()), opt_out: Some("0801234567".into()) }
}

#[test]
fn every_text_has_exactly_its_faults() {
    use Fault::*;
    for (text, faults) in [
        ("(광고)봉수가게 5월 할인 안내\n무료수신거부 0801234567", &[][..]),
        ("(광고) 봉수가게\n할인\n무료거부 080-123-4567", &[]),
        ("(광고)[봉수가게] 할인\n무료수신거부\n080-123-4567", &[]),
        ("(광고)봉수가게 할인 무료수신거부 0801234567", &[]),
        ("(광고)봉수가게\n무료수신거부:080-123-4567\n", &[]),
        ("(광고)봉수가게\n무료수신거부 080-123-4567(무료)", &[]),
        ("봉수가게 할인\n무료수신거부 0801234567", &[Label]),
        ("광고주 봉수가게\n무료수신거부 0801234567", &[Label]),
        ("광고회사 봉수가게\n무료수신거부 0801234567", &[Label]),
        ("할인 (광고)봉수가게\n무료수신거부 0801234567", &[Label]),
        (" (광고)봉수가게\n무료수신거부 0801234567", &[LabelForm]),
        ("(광 고)봉수가게\n무료수신거부 0801234567", &[LabelForm]),
        ("[광고]봉수가게\n무료수신거부 0801234567", &[LabelForm]),
        ("(광/고)봉수가게\n무료수신거부 0801234567", &[LabelForm]),
        ("(광.고)봉수가게\n무료수신거부 0801234567", &[LabelForm]),
        ("(\"광고\")봉수가게\n무료수신거부 0801234567", &[LabelForm]),
        ("( 광고 )봉수가게\n무료수신거부 0801234567", &[LabelForm]),
        ("（광고）봉수가게\n무료수신거부 0801234567", &[LabelForm]),
        ("<광고>봉수가게\n무료수신거부 0801234567", &[LabelForm]),
        ("광고) 봉수가게\n무료수신거부 0801234567", &[LabelForm]),
        ("(광고)다른가게\n무료수신거부 0801234567", &[Name]),
        ("(광고)할인\n무료수신거부 0801234567 봉수가게", &[Name]),
        ("(광고)봉수가게 할인", &[OptOut]),
        ("(광고)봉수가게\n수신거부 0801234567", &[OptOut]),
        ("(광고)봉수가게\n무료수신거부 0801234567\n감사\n합니다", &[OptOut]),
        ("(광고)봉수가게\n무료수신거부", &[Number]),
        ("(광고)봉수가게\n무료수신거부 0801234568", &[Number]),
        ("(광고)봉수가게\n무료수신거부 08012345678", &[Number]),
        ("(광고)봉수가게\n0801234567 무료수신거부", &[Number]),
        ("(광고)봉수가게\n무료수신거부 02-1588-0000", &[Number]),
        ("할인", &[Label, OptOut]),
    ] {
        assert_eq!(check(text, None, &sender()), faults, "{text}");
    }
}

#[test]
fn a_title_carries_the_label_too() {
    let text = "(광고)봉수가게 할인\n무료수신거부 0801234567";
    for (subject, faults) in [
        ("(광고)5월 할인", &[][..]),
        ("5월 할인", &[Fault::SubjectLabel]),
        ("[광고]5월 할인", &[Fault::SubjectLabelForm]),
        ("(광 고) 할인", &[Fault::SubjectLabelForm]),
    ] {
        assert_eq!(check(text, Some(subject), &sender()), faults, "{subject}");
    }
}

#[test]
fn an_account_that_says_nothing_of_itself_cannot_advertise() {
    let text = "(광고)봉수가게 할인\n무료수신거부 0801234567";
    assert_eq!(check(text, None, &Sender::default()), [Fault::NoName, Fault::NoNumber]);
    assert_eq!(check("할인", None, &Sender::default()), [Fault::Label, Fault::NoName, Fault::NoNumber]);
}

#[test]
fn numbers_for_refusals_are_080_and_7_or_8_digits() {
    for (text, read) in [
        ("0801234567", Some("0801234567")),
        ("080-123-4567", Some("0801234567")),
        (" 080-1234-5678 ", Some("08012345678")),
        ("080 123 4567", Some("0801234567")),
        ("080-12-3456", None),
        ("080-1234-56789", None),
        ("0215880000", None),
        ("+82801234567", None),
        ("080123456a", None),
        ("", None),
    ] {
        assert_eq!(parse_opt_out(text).as_deref(), read, "{text:?}");
    }
    assert_eq!(parse_name(" 봉수가게 ").as_deref(), Some("봉수가게"));
    for bad in ["", "  ", "두\n줄", &"가".repeat(NAME_MAX + 1)] {
        assert_eq!(parse_name(bad), None, "{bad:?}");
    }
}
