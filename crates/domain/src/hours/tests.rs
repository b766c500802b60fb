//! Boundaries of the night, to the millisecond.

use super::*;

fn at(text: &str) -> Timestamp {
    let text = if text.len() == 16 { format!("{text}:00+09:00") } else { format!("{text}+09:00") };
    Timestamp::parse_rfc3339(&text).expect("a time")
}

#[test]
fn the_night_begins_at_21_and_ends_at_8_in_seoul() {
    let law = Hours::default();
    for (time, open, next) in [
        ("2026-03-02T20:59:59.999", true, "2026-03-02T20:59:59.999"),
        ("2026-03-02T21:00:00.000", false, "2026-03-03T08:00"),
        ("2026-03-02T23:59:59.999", false, "2026-03-03T08:00"),
        ("2026-03-03T00:00:00.000", false, "2026-03-03T08:00"),
        ("2026-03-03T07:59:59.999", false, "2026-03-03T08:00"),
        ("2026-03-03T08:00:00.000", true, "2026-03-03T08:00"),
        ("2026-12-31T22:00:00.000", false, "2027-01-01T08:00"),
    ] {
        assert_eq!((law.is_open(at(time)), law.next_open(at(time))), (open, at(next)), "{time}");
    }
    assert_eq!(law.closes_at(at("2026-03-02T08:00")), at("2026-03-02T21:00"));
    assert_eq!(law.closes_at(at("2026-03-02T20:59:59.999")), at("2026-03-02T21:00"));
    assert_eq!(law.closes_at(at("2026-03-02T22:00")), at("2026-03-02T22:00"));
}

#[test]
fn hours_may_be_fewer_than_the_laws_and_never_more() {
    for (text, read) in [
        ("08:00-21:00", Ok(Hours::default())),
        ("09:30-20:50", Ok(Hours { opens: 570, closes: 1250 })),
        ("07:59-21:00", Err(BadHours)),
        ("08:00-21:01", Err(BadHours)),
        ("10:00-10:00", Err(BadHours)),
        ("12:00-11:00", Err(BadHours)),
        ("21:00-08:00", Err(BadHours)),
        ("8:00-21:00", Err(BadHours)),
        ("08:60-20:00", Err(BadHours)),
        ("08:00", Err(BadHours)),
        ("", Err(BadHours)),
    ] {
        assert_eq!(text.parse::<Hours>(), read, "{text:?}");
    }
}

#[test]
fn a_life_is_counted_in_open_hours() {
    let law = Hours::default();
    let hour = |n: u64| Duration::from_secs(n * 3_600);
    for (start, life, end) in [
        ("2026-03-02T10:00", hour(2), "2026-03-02T12:00"),
        ("2026-03-02T20:59:59.000", hour(1), "2026-03-03T08:59:59.000"),
        ("2026-03-02T21:00", hour(1), "2026-03-03T09:00"),
        ("2026-03-02T03:00", hour(13), "2026-03-02T21:00"),
        ("2026-03-02T14:00", hour(24), "2026-03-04T12:00"),
        ("2026-03-02T08:00", hour(72), "2026-03-07T15:00"),
    ] {
        assert_eq!(law.after(at(start), life), at(end), "{start} {life:?}");
        assert_eq!(law.between(at(start), at(end)), life, "{start} {life:?}");
    }
    assert_eq!(law.between(at("2026-03-02T21:00"), at("2026-03-03T08:00")), Duration::ZERO);
    assert_eq!(law.between(at("2026-03-03T10:00"), at("2026-03-02T10:00")), Duration::ZERO);
}

#[test]
fn whatever_is_counted_ends_in_open_hours_or_on_their_edge() {
    let hours: Hours = "09:10-20:50".parse().expect("hours");
    let mut seed = 7_u64;
    for _ in 0..2_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let start = at("2026-03-02T00:00").plus(Duration::from_millis(seed >> 34));
        let life = Duration::from_millis(1 + (seed >> 20) % (72 * 3_600_000));
        let end = hours.after(start, life);
        assert_eq!(hours.between(start, end), life);
        assert!(hours.is_open(end) || hours.is_open(end.minus(Duration::from_millis(1))));
        assert!(end >= start.plus(life));
    }
}
