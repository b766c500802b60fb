//! Tests that walk the whole code table.

use super::*;
use std::collections::HashSet;

#[test]
fn rows_ascend_and_every_code_finds_its_own() {
    assert!(ROWS.is_sorted_by(|one, other| one.code.number() < other.code.number()));
    for code in Code::ALL {
        assert_eq!(code.row().code, code);
        assert_eq!(Code::from_number(code.number()), Some(code));
        assert_eq!(code.as_str().parse(), Ok(code));
        assert_eq!(code.as_str(), format!("UM{:04}", code.number()));
    }
}

#[test]
fn names_and_titles_are_there_and_names_are_single() {
    let mut names = HashSet::new();
    for code in Code::ALL {
        assert!(names.insert(code.name()), "{code}");
        assert!(code.name().chars().all(|letter| letter.is_ascii_uppercase() || letter == '_'), "{code}");
        assert!(!code.title_en().is_empty() && !code.title_en().ends_with('.'), "{code}");
        assert!(code.title_ko().chars().any(|letter| ('가'..='힣').contains(&letter)), "{code}");
    }
}

#[test]
fn http_statuses_fit_the_classes() {
    for code in Code::ALL {
        let status = code.http_status();
        let expected = match code.number() / 1000 {
            0 => 200..300,
            1..=6 => 400..500,
            _ => 200..600,
        };
        assert!(expected.contains(&status), "{code} {status}");
        if matches!(status, 429 | 503) && code.number() < 9000 && code != Code::QuotaExceeded {
            assert!(code.retryable(), "{code}");
        }
    }
}

#[test]
fn the_fixed_answers_keep_their_status() {
    for (number, status) in [
        (3001, 402),
        (1005, 409),
        (1006, 422),
        (1008, 413),
        (3003, 429),
        (8004, 503),
        (8005, 503),
        (1001, 400),
        (1002, 401),
        (1003, 403),
        (1010, 409),
        (1011, 404),
        (1012, 409),
        (1013, 409),
        (1014, 405),
        (1015, 415),
        (1016, 413),
        (1017, 408),
        (1018, 409),
    ] {
        assert_eq!(Code::from_number(number).map(Code::http_status), Some(status), "UM{number}");
    }
}

#[test]
fn successes_are_billable_and_requests_that_were_refused_are_not() {
    for code in Code::ALL {
        match code.number() / 1000 {
            0 => assert_eq!((code.billing(), code.action()), (Billing::Billable, Action::None), "{code}"),
            1 | 3 | 6 | 8 => assert_eq!(code.billing(), Billing::Refundable, "{code}"),
            _ => {}
        }
    }
}

#[test]
fn the_codes_of_the_origins_are_found() {
    let ims: HashSet<_> = Code::ALL.iter().filter_map(|code| code.ims()).collect();
    for code in ["0000", "1100", "1400", "2010", "2020", "2030", "3018", "3027", "4001", "4002", "9998", "9999"] {
        assert!(ims.contains(code), "{code}");
    }
    assert_eq!(Code::NotChannelUser.kakao(), [3018, 3019]);
    assert_eq!(Code::ButtonMismatch.kakao(), [3027]);
    assert!(Code::ALL.iter().all(|code| code.kakao().iter().all(|number| *number <= 9999)));
}

#[test]
fn final_statuses_follow_the_code_and_whether_it_left() {
    for (code, not_left, left) in [
        (Code::OkDelivered, Status::Delivered, Status::Delivered),
        (Code::OkRead, Status::Read, Status::Read),
        (Code::Canceled, Status::Canceled, Status::Canceled),
        (Code::ExpiredBeforeSend, Status::Expired, Status::Expired),
        (Code::ResultTimeout, Status::Expired, Status::Expired),
        (Code::VendorTimeout, Status::Expired, Status::Expired),
        (Code::RecipientUnknown, Status::Undelivered, Status::Undelivered),
        (Code::PoweredOff, Status::Undelivered, Status::Undelivered),
        (Code::SpamFiltered, Status::Failed, Status::Undelivered),
        (Code::RouteDown, Status::Failed, Status::Undelivered),
    ] {
        assert_eq!((code.final_status(false), code.final_status(true)), (not_left, left), "{code}");
    }
    assert!(Code::ALL.iter().all(|code| code.final_status(true).is_final() && code.final_status(false).is_final()));
}

#[test]
fn other_texts_are_no_codes() {
    for text in ["", "UM", "UM1", "UM01001", "um1001", "1001", "UM9999", "UM+001", "UM１００１"] {
        assert_eq!(text.parse::<Code>(), Err(UnknownCode), "{text}");
    }
    assert_eq!(Code::from_number(9999), None);
}
