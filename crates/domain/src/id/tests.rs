//! Tests of ids and their generator.

use super::*;
use proptest::prelude::*;
use std::time::Duration;

fn start() -> Timestamp {
    Timestamp::parse_rfc3339("2026-03-01T09:00:00+09:00").unwrap()
}

#[test]
fn ids_have_their_prefix_and_thirteen_characters() {
    assert_eq!(MessageId(0).to_string(), "msg_0000000000000");
    assert_eq!(RequestId(31).to_string(), "bat_000000000000z");
    assert_eq!(AccountId(i64::MAX).to_string(), "acc_7zzzzzzzzzzzz");
    assert_eq!(KeyId(32).to_string(), "key_0000000000010");
    assert_eq!(SenderId(1).to_string(), "snd_0000000000001");
    assert_eq!(RelayId(1).to_string(), "rly_0000000000001");
    assert_eq!(EntryId(1).to_string(), "led_0000000000001");
}

#[test]
fn one_id_has_one_spelling() {
    for text in [
        "",
        "msg_",
        "msg_000000000000",
        "msg_00000000000000",
        "bat_0000000000000",
        "msg_000000000000I",
        "msg_000000000000i",
        "msg_000000000000l",
        "msg_000000000000o",
        "msg_000000000000u",
        "msg_000000000000Z",
        "msg_8000000000000",
        "msg_zzzzzzzzzzzzz",
        "MSG_0000000000000",
        "0000000000000",
        "msg_00000000000가",
    ] {
        assert_eq!(text.parse::<MessageId>(), Err(BadId), "{text}");
    }
}

#[test]
fn an_id_tells_its_time_day_and_reference() {
    let id = IdGen::new(1023).block(start(), 1).unwrap();
    assert_eq!(MessageId(id).time(), start());
    assert_eq!(id_millis(id), start().millis());
    assert_eq!(id_day(id), Day(20260301));
    assert_eq!(reference(id) & 0xF000, 0xF000);
    assert_eq!(i64::from(reference(id)), id & 0xFFFF);
    assert!(first_id_at(start()) <= id && id < first_id_at(start().plus(Duration::from_millis(1))));
    assert_eq!(first_id_at(Timestamp(0)), 0);
    assert!(first_id_at(Timestamp::MAX) > 0);
}

#[test]
fn a_block_lies_in_one_millisecond_and_steps_on_when_it_is_used_up() {
    let mut ids = IdGen::new(1);
    let first = ids.block(start(), 2000).unwrap();
    let second = ids.block(start(), 40).unwrap();
    assert_eq!(second, first + 2000);
    let third = ids.block(start(), 4000).unwrap();
    assert_eq!(id_millis(third), start().millis() + 1);
    let whole = ids.block(start(), BLOCK_MAX).unwrap();
    assert_eq!(id_millis(whole), start().millis() + 2);
    assert_eq!(id_millis(whole + i64::from(BLOCK_MAX) - 1), start().millis() + 2);
}

#[test]
fn references_of_single_ids_are_spread() {
    let mut ids = IdGen::new(1);
    let spread: std::collections::HashSet<u16> =
        (0..200).map(|ms| reference(ids.block(start().plus(Duration::from_millis(ms)), 1).unwrap())).collect();
    assert!(spread.len() > 150, "{}", spread.len());
}

#[test]
fn a_clock_that_steps_back_a_second_goes_on_and_further_is_refused() {
    let mut ids = IdGen::new(1);
    let first = ids.block(start(), 1).unwrap();
    assert_eq!(ids.block(start().minus(Duration::from_millis(1000)), 1), Ok(first + 1));
    assert_eq!(ids.block(start().minus(Duration::from_millis(1001)), 1), Err(ClockBehind { by_ms: 1001 }));
    assert_eq!(ids.block(start(), 1), Ok(first + 2));
}

#[test]
fn ids_go_on_above_every_observed_one() {
    for other in [0, 5, 1023] {
        let seen = IdGen::new(other).block(start(), 7).unwrap() + 6;
        let mut ids = IdGen::new(5);
        ids.observe(seen);
        ids.observe(0);
        assert!(ids.block(start(), 1).unwrap() > seen, "node {other}");
    }
    let mut ids = IdGen::new(1);
    let last = IdGen::new(1).block(start(), BLOCK_MAX).unwrap() + i64::from(BLOCK_MAX) - 1;
    ids.observe(last);
    assert!(ids.block(start(), 1).unwrap() > last);
}

proptest! {
    #[test]
    fn every_id_reads_back(number in 0_i64..) {
        prop_assert_eq!(MessageId(number).to_string().parse(), Ok(MessageId(number)));
    }

    #[test]
    fn texts_sort_as_their_ids(one in 0_i64.., other in 0_i64..) {
        prop_assert_eq!(MessageId(one).to_string().cmp(&MessageId(other).to_string()), one.cmp(&other));
    }

    #[test]
    fn ids_ascend_whatever_the_clock_does(steps in prop::collection::vec((-1500_i64..1500, 1_u32..5000), 1..100)) {
        let mut ids = IdGen::new(77);
        let (mut clock, mut last) = (start().millis(), -1);
        for (step, count) in steps {
            clock += step;
            let Ok(first) = ids.block(Timestamp::from_millis(clock), count) else { continue };
            let end = first + i64::from(count.min(BLOCK_MAX)) - 1;
            prop_assert!(first > last);
            prop_assert_eq!(id_millis(first), id_millis(end));
            prop_assert_eq!(first >> 12 & 1023, 77);
            prop_assert_eq!(end >> 12 & 1023, 77);
            last = end;
        }
    }
}
