//! Tests of distribution.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

fn shares(list: &[(u8, u32)]) -> Shares {
    Shares::new(list.to_vec()).unwrap()
}

fn book(distribution: &mut Distribution, shares: &Shares) -> u8 {
    let relay = distribution.peek(shares);
    distribution.take(relay, 1, shares);
    relay
}

fn any_shares() -> impl Strategy<Value = Shares> {
    prop::collection::vec(0_u32..=100, 0..12).prop_map(|mut cuts| {
        cuts.extend([0, 100]);
        cuts.sort_unstable();
        let weights = cuts.windows(2).map(|pair| pair[1] - pair[0]);
        Shares::new((0..).zip(weights).collect()).unwrap()
    })
}

#[test]
fn shares_sum_to_a_hundred_and_name_a_relay_once() {
    assert_eq!(Shares::new(vec![]), Err(ShareError::Sum(0)));
    assert_eq!(Shares::new(vec![(1, 99)]), Err(ShareError::Sum(99)));
    assert_eq!(Shares::new(vec![(1, u32::MAX), (2, u32::MAX)]), Err(ShareError::Sum(2 * u64::from(u32::MAX))));
    assert_eq!(Shares::new(vec![(1, 50), (1, 50)]), Err(ShareError::Twice(1)));
    assert_eq!(Shares::new((0..64).map(|relay| (relay, 0)).collect()), Err(ShareError::TooMany));
    assert_eq!(shares(&[(1, 100), (2, 0)]).as_slice(), [(1, 100), (2, 0)]);
}

#[test]
fn others_are_tried_by_weight() {
    let shares = shares(&[(1, 10), (2, 70), (3, 10), (4, 10), (5, 0)]);
    assert_eq!(shares.preference(3), [3, 2, 1, 4, 5]);
    assert_eq!(shares.preference(2), [2, 1, 3, 4, 5]);
    assert_eq!(shares.preference(9), [9, 2, 1, 3, 4, 5]);
}

#[test]
fn seventy_twenty_ten_is_mixed_and_exact() {
    let (shares, mut distribution) = (shares(&[(1, 70), (2, 20), (3, 10)]), Distribution::default());
    let booked: Vec<u8> = (0..20).map(|_| book(&mut distribution, &shares)).collect();
    assert_eq!(booked, [1, 1, 1, 2, 1, 1, 2, 1, 1, 3, 1, 1, 1, 2, 1, 1, 2, 1, 1, 3]);
}

#[test]
fn a_single_send_at_a_time_keeps_the_ratio_over_restarts() {
    let (shares, mut distribution) = (shares(&[(1, 70), (2, 20), (3, 10)]), Distribution::default());
    let mut counts = HashMap::new();
    for _ in 0..10_000 {
        let mut restarted = Distribution::decode(&distribution.encode()).unwrap();
        *counts.entry(book(&mut restarted, &shares)).or_insert(0) += 1;
        distribution = restarted;
    }
    assert_eq!(counts, HashMap::from([(1, 7000), (2, 2000), (3, 1000)]));
}

#[test]
fn a_new_ratio_is_counted_from_its_first_message() {
    let (old, new) = (shares(&[(1, 100), (2, 0)]), shares(&[(1, 50), (2, 50)]));
    let mut distribution = Distribution::default();
    distribution.take(2, 1000, &old);
    let booked: Vec<u8> = (0..4).map(|_| book(&mut distribution, &new)).collect();
    assert_eq!(booked, [1, 2, 1, 2]);
}

#[test]
fn a_spill_is_repaid() {
    let (shares, mut distribution) = (shares(&[(1, 50), (2, 50)]), Distribution::default());
    for _ in 0..10 {
        distribution.take(2, 1, &shares);
    }
    let booked: Vec<u8> = (0..12).map(|_| book(&mut distribution, &shares)).collect();
    assert_eq!(booked, [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2]);
}

#[test]
fn parts_weigh_as_many_messages() {
    let (shares, mut distribution) = (shares(&[(1, 50), (2, 50)]), Distribution::default());
    distribution.take(1, 3, &shares);
    let booked: Vec<u8> = (0..4).map(|_| book(&mut distribution, &shares)).collect();
    assert_eq!(booked, [2, 2, 2, 1]);
    assert_eq!(distribution.owed().map(|(_, owed)| owed).sum::<i64>(), 0);
}

#[test]
fn a_standby_is_booked_nothing_even_after_spills_to_it() {
    let (shares, mut distribution) = (shares(&[(1, 60), (2, 40), (3, 0)]), Distribution::default());
    distribution.take(3, 50, &shares);
    let mut counts = [0; 4];
    for _ in 0..100 {
        counts[usize::from(book(&mut distribution, &shares))] += 1;
    }
    assert_eq!(counts, [0, 60, 40, 0]);
}

#[test]
fn other_bytes_are_no_state() {
    for bytes in [&[][..], &[0], &[2], &[1, 0], &[1, 0, 101, 0, 0, 0, 0, 0, 0, 0, 0]] {
        assert_eq!(Distribution::decode(bytes), None);
    }
    assert_eq!(Distribution::decode(&[1]), Some(Distribution::default()));
}

proptest! {
    #[test]
    fn every_count_is_within_one_of_the_ratio_at_every_moment(shares in any_shares(), takes in 1_usize..1000) {
        let mut distribution = Distribution::default();
        let mut counts = HashMap::<u8, i64>::new();
        for total in 1..=takes as i64 {
            *counts.entry(book(&mut distribution, &shares)).or_default() += 1;
            for (relay, weight) in shares.as_slice() {
                let count = counts.get(relay).copied().unwrap_or(0);
                prop_assert!((count * 100 - total * i64::from(*weight)).abs() <= 100, "relay {} has {}", relay, count);
            }
        }
    }

    #[test]
    fn spills_are_repaid_and_the_state_survives_its_bytes(
        shares in any_shares(),
        spills in prop::collection::vec((0_u8..12, 1_u32..9), 0..60),
    ) {
        let relays = shares.as_slice();
        // A standby cannot be repaid to, so spills go to relays with a share here.
        let sharing: Vec<u8> = relays.iter().filter(|share| share.1 > 0).map(|share| share.0).collect();
        let (mut distribution, mut counts, mut total) = (Distribution::default(), HashMap::<u8, i64>::new(), 0);
        for (relay, parts) in spills {
            let relay = sharing[usize::from(relay) % sharing.len()];
            distribution.take(relay, parts, &shares);
            *counts.entry(relay).or_default() += i64::from(parts);
            total += i64::from(parts);
        }
        prop_assert_eq!(Distribution::decode(&distribution.encode()), Some(distribution.clone()));
        for _ in 0..total * 100 {
            *counts.entry(book(&mut distribution, &shares)).or_default() += 1;
        }
        for (relay, weight) in relays {
            let count = counts.get(relay).copied().unwrap_or(0);
            let away = count * 100 - total * 101 * i64::from(*weight);
            prop_assert!(away.abs() <= 100, "relay {} is {} hundredths away", relay, away);
        }
    }

    #[test]
    fn any_state_books_some_relay_with_a_share(shares in any_shares(), owed in prop::collection::vec(any::<i64>(), 13)) {
        let credits = shares.as_slice().iter().zip(owed);
        let credits = credits.map(|(&(relay, weight), owed)| Credit { relay, weight, owed }).collect();
        let mut distribution = Distribution { credits };
        let relay = book(&mut distribution, &shares);
        prop_assert!(shares.as_slice().iter().any(|share| share.0 == relay && share.1 > 0));
    }
}
