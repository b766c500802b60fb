//! Tests of moments, days and the clock.

use super::*;
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

#[test]
fn rfc3339_is_written_in_korean_time_with_milliseconds() {
    for (micros, text) in [
        (0, "1970-01-01T09:00:00.000+09:00"),
        (-1, "1970-01-01T08:59:59.999+09:00"),
        (1_704_034_800_000_000, "2024-01-01T00:00:00.000+09:00"),
        (1_709_218_799_999_999, "2024-02-29T23:59:59.999+09:00"),
        (951_826_154_123_456, "2000-02-29T21:09:14.123+09:00"),
    ] {
        assert_eq!(Timestamp(micros).rfc3339(), text);
    }
}

#[test]
fn rfc3339_is_read_with_any_offset_and_fraction() {
    let moment = Timestamp::from_millis(1_772_323_200_500);
    for text in [
        "2026-03-01T09:00:00.5+09:00",
        "2026-03-01T00:00:00.500Z",
        "2026-03-01t00:00:00.500000z",
        "2026-03-01T00:00:00.500000999Z",
        "2026-02-28T19:00:00.5-05:00",
        "2026-03-01T05:30:00.5+05:30",
    ] {
        assert_eq!(Timestamp::parse_rfc3339(text), Some(moment), "{text}");
    }
}

#[test]
fn other_texts_are_no_moments() {
    for text in [
        "",
        "2026-03-01",
        "2026-03-01T09:00:00",
        "2026-03-01 09:00:00Z",
        "2026-13-01T09:00:00Z",
        "2026-02-29T09:00:00Z",
        "2026-04-31T09:00:00Z",
        "2026-03-00T09:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T09:60:00Z",
        "2026-03-01T09:00:60Z",
        "2026-03-01T09:00:00.Z",
        "2026-03-01T09:00:00+0900",
        "2026-03-01T09:00:00+9:00",
        "2026-03-01T09:00:00+24:00",
        "2026-03-01T09:00:00+09:00 ",
        "2026-03-01T09:00:0ZZ",
        "+026-03-01T09:00:00Z",
        "２026-03-01T09:00:00Z",
    ] {
        assert_eq!(Timestamp::parse_rfc3339(text), None, "{text}");
    }
}

#[test]
fn the_day_turns_at_midnight_in_seoul() {
    assert_eq!(at("2026-02-28T14:59:59.999999Z").kst_day(), Day(20260228));
    assert_eq!(at("2026-02-28T15:00:00Z").kst_day(), Day(20260301));
    assert_eq!(Day(20260301).start(), at("2026-02-28T15:00:00Z"));
}

#[test]
fn days_follow_one_another_over_leap_years() {
    for (day, next) in [
        (20240228, 20240229),
        (20240229, 20240301),
        (20230228, 20230301),
        (21000228, 21000301),
        (20000228, 20000229),
        (20251231, 20260101),
    ] {
        assert_eq!(Day(day).next(), Day(next));
        assert_eq!(Day(next).prev(), Day(day));
    }
    assert_eq!(Day(20260301).to_string(), "20260301");
}

#[test]
fn arithmetic_saturates() {
    assert_eq!(Timestamp::MAX.plus(Duration::from_secs(1)), Timestamp::MAX);
    assert_eq!(Timestamp(i64::MIN).minus(Duration::MAX), Timestamp(i64::MIN));
    assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
    assert_eq!(Timestamp(9).since(Timestamp(5)), Duration::from_micros(4));
    assert_eq!(Timestamp(-1).millis(), -1);
}

#[test]
fn a_manual_clock_moves_only_by_hand() {
    let clock = ManualClock::new(Timestamp(7));
    assert_eq!(clock.now(), Timestamp(7));
    clock.advance(Duration::from_micros(3));
    assert_eq!(clock.now(), Timestamp(10));
    clock.set(Timestamp(1));
    assert_eq!(clock.now(), Timestamp(1));
}

proptest! {
    #[test]
    fn what_is_written_reads_back_to_the_millisecond(micros in 0_i64..253_000_000_000_000_000) {
        let moment = Timestamp(micros);
        prop_assert_eq!(Timestamp::parse_rfc3339(&moment.rfc3339()), Some(Timestamp::from_millis(moment.millis())));
    }

    #[test]
    fn a_day_holds_its_moments_and_no_other(micros in 0_i64..253_000_000_000_000_000) {
        let day = Timestamp(micros).kst_day();
        prop_assert!(day.start() <= Timestamp(micros) && Timestamp(micros) < day.next().start());
        prop_assert_eq!(day.next().prev(), day);
        prop_assert_eq!(day.start().kst_day(), day);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,40}") {
        let _ = Timestamp::parse_rfc3339(&text);
    }
}
