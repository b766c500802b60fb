//! Tests of rates.

use super::*;
use proptest::prelude::*;

const START: Timestamp = Timestamp(1_772_323_200_000_000);

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// The moments at which an eager sender gets through when it wakes `late` after it could.
fn grants(rate: f64, seconds: u64, mut late: impl FnMut() -> Duration) -> Vec<Timestamp> {
    let (mut pacer, mut now, mut grants) = (Pacer::new(rate), START, Vec::new());
    while now.since(START) < Duration::from_secs(seconds) {
        match pacer.try_at(now, 1) {
            Ok(()) => grants.push(now),
            Err(next) => {
                assert!(next > now, "an ask that is worth nothing");
                now = next.plus(late());
            }
        }
    }
    grants
}

fn most_in_any_second(grants: &[Timestamp]) -> usize {
    let until = |from: usize| grants[from..].partition_point(|at| at.since(grants[from]) < Duration::from_secs(1));
    (0..grants.len()).map(until).max().unwrap_or(0)
}

#[test]
fn sends_are_spaced_at_98_percent() {
    let grants = grants(100.0, 10, || Duration::ZERO);
    assert_eq!(grants.len(), 980);
    assert!(grants.windows(2).all(|pair| pair[1].since(pair[0]) >= Duration::from_micros(10_204)));
}

#[test]
fn idleness_earns_no_burst() {
    let mut pacer = Pacer::new(100.0);
    assert_eq!(pacer.try_at(START, 1), Ok(()));
    let later = START.plus(Duration::from_secs(3600));
    assert_eq!(pacer.try_at(later, 1), Ok(()));
    assert!(pacer.try_at(later, 1).is_err());
}

#[test]
fn a_cost_is_paid_after() {
    let mut pacer = Pacer::new(100.0);
    assert_eq!(pacer.try_at(START, 5), Ok(()));
    let next = pacer.try_at(START, 1).unwrap_err();
    assert_eq!(next.since(START), Duration::from_micros(51_021));
    assert_eq!(pacer.try_at(next, 1), Ok(()));
}

#[test]
fn a_clock_set_back_costs_one_interval_at_most() {
    let mut pacer = Pacer::new(10.0);
    assert_eq!(pacer.try_at(START, 1), Ok(()));
    let back = START.minus(Duration::from_secs(3600));
    let next = pacer.try_at(back, 1).unwrap_err();
    assert!(next.since(back) <= millis(103));
    assert_eq!(pacer.try_at(next, 1), Ok(()));
}

#[test]
fn a_new_rate_holds_from_the_next_send() {
    let mut pacer = Pacer::new(1.0);
    assert_eq!(pacer.try_at(START, 1), Ok(()));
    pacer.set_rate(1000.0);
    let next = pacer.try_at(START, 1).unwrap_err();
    assert!(next.since(START) > Duration::from_secs(1));
    assert_eq!(pacer.try_at(next, 1), Ok(()));
    assert!(pacer.try_at(next, 1).unwrap_err().since(next) < millis(2));
}

#[test]
fn a_bucket_empties_and_refills() {
    let mut bucket = Bucket::new(10, 20, START);
    let quota = bucket.take(START, 15).unwrap();
    assert_eq!(quota, Quota { limit: 20, remaining: 5, reset: millis(1500) });
    let limited = bucket.take(START, 6).unwrap_err();
    assert_eq!((limited.quota.remaining, limited.retry_after), (5, millis(100)));
    assert!(bucket.take(START.plus(millis(99)), 6).is_err());
    assert_eq!(bucket.take(START.plus(millis(100)), 6).map(|quota| quota.remaining), Ok(0));
    assert!(!bucket.is_full(START.plus(millis(2099))));
    assert!(bucket.is_full(START.plus(millis(2100))));
}

#[test]
fn an_ask_above_the_bucket_passes_when_it_is_full_and_leaves_a_debt() {
    let mut bucket = Bucket::new(10, 20, START);
    assert_eq!(bucket.take(START, 100).map(|quota| (quota.remaining, quota.reset)), Ok((0, Duration::from_secs(10))));
    let limited = bucket.take(START, 1).unwrap_err();
    assert_eq!(limited.retry_after, millis(8100));
    assert!(bucket.take(START.plus(limited.retry_after), 1).is_ok());
}

#[test]
fn a_bucket_survives_a_clock_set_back() {
    let mut bucket = Bucket::new(10, 10, START);
    assert!(bucket.take(START, 10).is_ok());
    let back = START.minus(Duration::from_secs(3600));
    assert!(bucket.take(back, 1).is_err());
    assert!(bucket.take(back.plus(millis(100)), 1).is_ok());
}

proptest! {
    #[test]
    fn the_rate_is_never_exceeded_in_any_second(rate in 1_u32..3000, late in prop::collection::vec(0_u64..20_000, 1..50)) {
        let mut late = late.into_iter().cycle();
        let grants = grants(f64::from(rate), 4, || Duration::from_micros(late.next().unwrap_or(0)));
        prop_assert!(most_in_any_second(&grants) <= rate as usize);
    }

    #[test]
    fn timers_that_wake_within_the_slack_lose_nothing(rate in 10_u32..180, late in prop::collection::vec(0_u64..5_000, 1..50)) {
        let mut late = late.into_iter().cycle();
        let grants = grants(f64::from(rate), 4, || Duration::from_micros(late.next().unwrap_or(0)));
        let expected = f64::from(rate) * USED_SHARE * 4.0;
        prop_assert!(grants.len() as f64 >= expected - 1.0, "{} of {}", grants.len(), expected);
    }

    #[test]
    fn a_bucket_never_gives_more_than_burst_and_rate(
        rate in 1_u32..1000,
        burst in 1_u32..1000,
        asks in prop::collection::vec((0_u64..500, 1_u32..50), 1..200),
    ) {
        let (mut bucket, mut now, mut given) = (Bucket::new(rate, burst, START), START, 0);
        for (pause, cost) in asks {
            now = now.plus(millis(pause));
            let cost = cost.min(burst);
            match bucket.take(now, cost) {
                Ok(quota) => {
                    given += u64::from(cost);
                    prop_assert!(quota.remaining <= quota.limit);
                }
                Err(limited) => prop_assert!(bucket.clone().take(now.plus(limited.retry_after), cost).is_ok()),
            }
            let earned = now.since(START).as_secs_f64() * f64::from(rate);
            prop_assert!(given as f64 <= f64::from(burst) + earned + 1e-6);
        }
    }
}
