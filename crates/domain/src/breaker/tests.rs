//! Tests of the breaker.

use super::*;
use proptest::prelude::*;

const START: Timestamp = Timestamp(1_772_323_200_000_000);

fn at(millis: u64) -> Timestamp {
    START.plus(Duration::from_millis(millis))
}

fn opened() -> Breaker {
    let mut breaker = Breaker::new();
    (0..FAILURES_IN_A_ROW).for_each(|_| breaker.on_fail(START));
    breaker
}

#[test]
fn five_failures_in_a_row_open_it_and_an_answer_between_does_not() {
    let mut breaker = Breaker::new();
    for _ in 0..3 {
        (0..4).for_each(|_| breaker.on_fail(START));
        breaker.on_ok(START);
    }
    assert_eq!(breaker.allows(START), Allow::All);
    assert_eq!(opened().allows(START), Allow::None);
    assert_eq!(opened().state(START), State::Open { until: at(1000) });
}

#[test]
fn more_than_half_of_twenty_in_ten_seconds_opens_it() {
    let results = |failures: usize, oks: usize, from: u64| {
        let mut breaker = Breaker::new();
        for index in 0..failures.max(oks) {
            if index < oks {
                breaker.on_ok(at(from));
            }
            if index < failures {
                breaker.on_fail(at(from));
            }
        }
        breaker
    };
    assert_eq!(results(10, 9, 0).allows(START), Allow::All);
    assert_eq!(results(10, 10, 0).allows(START), Allow::All);
    assert_eq!(results(11, 10, 0).allows(START), Allow::None);

    let mut old = results(10, 10, 0);
    old.on_fail(at(11_000));
    assert_eq!(old.allows(at(11_000)), Allow::All);
    let mut recent = results(10, 10, 0);
    recent.on_fail(at(9_000));
    assert_eq!(recent.allows(at(9_000)), Allow::None);
}

#[test]
fn after_a_second_one_probe_a_second_goes_out_and_three_answers_close_it() {
    let mut breaker = opened();
    assert_eq!(breaker.allows(at(999)), Allow::None);
    for probe in 1..=3 {
        let now = at(probe * 1000);
        assert_eq!(breaker.allows(now), Allow::Probe);
        assert_eq!(breaker.allows(now), Allow::None);
        breaker.on_ok(now.plus(Duration::from_millis(10)));
        if probe < 3 {
            assert_eq!(breaker.allows(now.plus(Duration::from_millis(999))), Allow::None);
        }
    }
    assert_eq!(breaker.allows(at(3011)), Allow::All);
}

#[test]
fn a_failed_probe_opens_it_again() {
    let mut breaker = opened();
    assert_eq!(breaker.allows(at(1000)), Allow::Probe);
    breaker.on_ok(at(1001));
    assert_eq!(breaker.allows(at(2000)), Allow::Probe);
    breaker.on_fail(at(2500));
    assert_eq!(breaker.state(at(2500)), State::Open { until: at(3500) });
    for probe in 0..3 {
        assert_ne!(breaker.allows(at(3500 + probe * 1000)), Allow::All);
        breaker.on_ok(at(3501 + probe * 1000));
    }
    assert_eq!(breaker.allows(at(6000)), Allow::All);
}

#[test]
fn one_probe_is_out_at_a_time_and_a_lost_one_does_not_block_for_ever() {
    let mut breaker = opened();
    assert_eq!(breaker.allows(at(1000)), Allow::Probe);
    assert_eq!(breaker.allows(at(5999)), Allow::None);
    assert_eq!(breaker.allows(at(6000)), Allow::Probe);
}

#[test]
fn a_relay_without_sessions_is_out_until_one_is_bound_and_then_probed_at_once() {
    let mut breaker = Breaker::new();
    breaker.on_down(START);
    assert_eq!(breaker.allows(at(3_600_000)), Allow::None);
    breaker.on_up(at(3_600_000));
    assert_eq!(breaker.allows(at(3_600_000)), Allow::Probe);
}

#[test]
fn a_second_session_of_a_healthy_relay_changes_nothing() {
    let mut breaker = Breaker::new();
    breaker.on_up(START);
    assert_eq!(breaker.allows(START), Allow::All);
    let mut open = opened();
    open.on_up(START);
    assert_eq!(open.state(START), State::Open { until: at(1000) });
}

#[test]
fn answers_to_earlier_messages_do_not_close_it() {
    let mut breaker = opened();
    (0..10).for_each(|_| breaker.on_ok(at(500)));
    assert_eq!(breaker.allows(at(500)), Allow::None);
    breaker.on_fail(at(900));
    assert_eq!(breaker.state(at(900)), State::Open { until: at(1000) });
}

proptest! {
    #[test]
    fn a_breaker_that_is_not_closed_lets_one_pass_a_second(
        events in prop::collection::vec((0_u64..400, 0_u8..5), 1..400),
    ) {
        let (mut breaker, mut now, mut last_probe) = (Breaker::new(), START, None::<Timestamp>);
        for (pause, event) in events {
            now = now.plus(Duration::from_millis(pause));
            match event {
                0 => breaker.on_ok(now),
                1 => breaker.on_fail(now),
                2 => breaker.on_down(now),
                3 => breaker.on_up(now),
                _ => {}
            }
            let state = breaker.state(now);
            match breaker.allows(now) {
                Allow::All => prop_assert_eq!(state, State::Closed),
                Allow::None => prop_assert_ne!(state, State::Closed),
                Allow::Probe => {
                    prop_assert_eq!(state, State::HalfOpen);
                    prop_assert_eq!(breaker.allows(now), Allow::None);
                    prop_assert!(event == 2 || event == 3 || last_probe.is_none_or(|last| now.since(last) >= PROBE_EVERY));
                    last_probe = (event != 2).then_some(now);
                }
            }
            if matches!(breaker.state(now), State::Open { .. }) {
                last_probe = None;
            }
        }
    }

    #[test]
    fn every_breaker_with_a_bound_session_closes_when_its_relay_answers(
        events in prop::collection::vec((0_u64..3000, 0_u8..4), 0..100),
    ) {
        let (mut breaker, mut now) = (Breaker::new(), START);
        for (pause, event) in events {
            now = now.plus(Duration::from_millis(pause));
            match event {
                0 => breaker.on_ok(now),
                1 => breaker.on_fail(now),
                2 => breaker.on_down(now),
                _ => drop(breaker.allows(now)),
            }
        }
        breaker.on_up(now);
        for _ in 0..10 {
            now = now.plus(Duration::from_secs(1));
            if breaker.allows(now) == Allow::Probe {
                breaker.on_ok(now);
            }
        }
        prop_assert_eq!(breaker.allows(now), Allow::All);
    }
}
