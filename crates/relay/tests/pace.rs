//! Rates counted where they matter: at the message centre, in every sliding second.

mod smsc;

use std::time::Duration;

use bongsu_domain::lane::Lane;
use bongsu_relay::RelayConfig;
use smsc::{Lab, Smsc, config};
use tokio::time::Instant;

/// The most arrivals in any second.
fn most_in_a_second(arrivals: &[Instant]) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (last, at) in arrivals.iter().enumerate() {
        while *at - arrivals[first] >= Duration::from_secs(1) {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

/// Answers submits until `count` came, noting when.
async fn serve(lab: &mut Lab, smsc: &mut Smsc, count: usize, arrivals: &mut Vec<Instant>) {
    for _ in 0..count {
        let pdu = smsc.submitted().await;
        arrivals.push(Instant::now());
        smsc.accept(&pdu, "1").await;
        lab.answered().await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_second_exceeds_the_rate_over_a_reconnect() {
    for rate in [1, 7, 50, 300, 2000] {
        let timers = bongsu_relay::Timers {
            reconnect_min: Duration::from_millis(1),
            reconnect_max: Duration::from_millis(1),
            ..config().timers
        };
        let mut lab = Lab::new(RelayConfig { rate_per_s: f64::from(rate), timers, ..config() });
        let mut arrivals = Vec::new();
        let count = 3 * rate as usize;
        lab.submit(1..=3 * count as i64, Lane::Auth);
        for _ in 0..3 {
            let mut smsc = lab.bound().await;
            serve(&mut lab, &mut smsc, count - 1, &mut arrivals).await;
            let begun = arrivals[arrivals.len() - 1];
            drop(smsc);
            // What was on its way when the link was cut still counts as sent: leave it its place.
            assert!(begun.elapsed() < Duration::from_secs(2));
        }
        let most = most_in_a_second(&arrivals);
        assert!(most <= rate as usize, "{most} in a second at {rate}/s");
        let span = arrivals[arrivals.len() - 1] - arrivals[0];
        let least = arrivals.len() as f64 / f64::from(rate);
        assert!(span.as_secs_f64() < least * 1.08 + 3.1, "{rate}/s took {span:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_binds_share_one_rate() {
    let mut lab = Lab::new(RelayConfig { rate_per_s: 100.0, binds: 2, ..config() });
    let mut one = lab.bound().await;
    let mut two = lab.bound().await;
    lab.submit(1..=300, Lane::Auth);
    let mut arrivals = Vec::new();
    while arrivals.len() < 300 {
        let (first, pdu) = tokio::select! {
            pdu = one.submitted() => (true, pdu),
            pdu = two.submitted() => (false, pdu),
        };
        arrivals.push(Instant::now());
        if first { one.accept(&pdu, "1").await } else { two.accept(&pdu, "1").await }
    }
    assert!(most_in_a_second(&arrivals) <= 100);
}

#[tokio::test(start_paused = true)]
async fn bulk_leaves_a_fifth_of_the_rate_and_auth_takes_it_at_once() {
    let mut lab = Lab::new(RelayConfig { rate_per_s: 100.0, window: 1000, ..config() });
    let mut smsc = lab.bound().await;
    lab.submit(1..=400, Lane::Bulk);
    let mut arrivals = Vec::new();
    serve(&mut lab, &mut smsc, 160, &mut arrivals).await;
    assert!(most_in_a_second(&arrivals) <= 80);
    let asked = Instant::now();
    lab.submit([9999], Lane::Auth);
    while smsc.submitted().await.reference() != 9999 {}
    assert!(asked.elapsed() <= Duration::from_millis(12), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_new_rate_holds_at_once() {
    let mut lab = Lab::new(RelayConfig { rate_per_s: 10.0, ..config() });
    let mut smsc = lab.bound().await;
    lab.submit(1..=300, Lane::Auth);
    let mut arrivals = Vec::new();
    serve(&mut lab, &mut smsc, 10, &mut arrivals).await;
    lab.relay.reconfigure(RelayConfig { rate_per_s: 100.0, ..config() });
    let before = Instant::now();
    serve(&mut lab, &mut smsc, 100, &mut arrivals).await;
    assert!(before.elapsed() < Duration::from_millis(1200), "{:?}", before.elapsed());
    assert!(most_in_a_second(&arrivals) <= 100);
}
