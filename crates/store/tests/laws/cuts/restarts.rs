//! A server that is killed and started again in the middle of everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bongsu_domain::{AccountId, Lane};
use bongsu_store::Kind;
use bongsu_store::accept::{Refused, Seen};
use bongsu_store::claims::Taken;

use super::server::Server;
use crate::ground::Ground;
use crate::house::{House, failed, house_on, key, sms};

/// What callers were promised.
#[derive(Default)]
struct Promised {
    accepted: Vec<i64>,
    refunded: usize,
    refused: usize,
    longest: Duration,
}

/// Sends messages until it is told to stop, each until it is accepted.
async fn accepts(house: &House, account: AccountId, lane: Lane, stop: &AtomicBool) -> Promised {
    let mut promised = Promised::default();
    let mut number = lane as i64 * 1_000_000;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        loop {
            let began = Instant::now();
            let said = house.try_accept(account, lane, sms(1), Some(key(number, 1))).await;
            promised.longest = promised.longest.max(began.elapsed());
            match said {
                Ok(Ok((id, _))) => break promised.accepted.push(id),
                Ok(Err(Refused::Seen(Seen::Answer(_, id)))) => {
                    break promised.accepted.push(String::from_utf8(id).unwrap().parse().unwrap());
                }
                Ok(other) => panic!("{other:?}"),
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
                    promised.refused += 1;
                }
            }
        }
    }
    promised
}

/// Claims and ends what waits in a lane, as a dispatcher does: what fails is done again.
async fn ends(house: &House, account: AccountId, lane: Lane, stop: &AtomicBool) -> usize {
    let mut ended = 0;
    while !stop.load(Ordering::Relaxed) {
        let Ok(runs) = house.store.waiting_runs(lane, account, 0, 4).await else { continue };
        for run in runs {
            let Ok(taken) = claim(house, &run).await else { continue };
            assert_eq!(taken, Taken::Whole, "nobody else claims, and a claim is never guessed");
            let ids = run.first + i64::from(run.next)..=run.last();
            loop {
                let all = ids.clone().map(|id| failed(house, id, 1, account, 1)).collect();
                match house.store.apply(all).await {
                    Ok(firsts) => break ended += firsts.into_iter().filter(|first| *first).count(),
                    Err(error) => assert_eq!(error.kind(), Kind::Unavailable, "{error}"),
                }
            }
        }
        tokio::task::yield_now().await;
    }
    ended
}

async fn claim(house: &House, run: &bongsu_store::rows::Run) -> Result<Taken, bongsu_store::Error> {
    use bongsu_store::claims::{Claim, Claimed};
    let claimed = Claimed::Run { first: run.first, from: run.next, generation: run.generation, count: run.count };
    let relays = vec![0; (run.count - run.next) as usize];
    let (id, owner) = (house.store.new_id()?, house.ground.owner(&house.store));
    let claim = Claim {
        id,
        owner,
        deadline: i64::MAX,
        lane: run.lane,
        account: run.account,
        claimed,
        relays,
        note: Vec::new(),
    };
    Ok(house.store.claim(false, vec![claim], Vec::new()).await?.remove(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_outlives_a_server_that_is_killed_and_started_again() {
    let mut server = Server::start();
    let house = Arc::new(house_on(Ground::on(&server.url("mysql")), None));
    let account = house.account(1_000_000).await;
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = Lane::ALL
        .into_iter()
        .map(|lane| {
            let (house, stop) = (house.clone(), stop.clone());
            tokio::spawn(async move { accepts(&house, account, lane, &stop).await })
        })
        .collect();
    let dispatchers: Vec<_> = [Lane::Auth, Lane::Bulk]
        .into_iter()
        .map(|lane| {
            let (house, stop) = (house.clone(), stop.clone());
            tokio::spawn(async move { ends(&house, account, lane, &stop).await })
        })
        .collect();
    for _ in 0..3 {
        let committed = house.store.metrics().commits.load(Ordering::Relaxed) + 40;
        crate::cuts::until(|| house.store.metrics().commits.load(Ordering::Relaxed) > committed).await;
        server.kill();
        // Somebody is told before it is back.
        let refused = house.store.write(|_| Ok(())).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Unavailable);
        server = tokio::task::spawn_blocking(move || {
            server.start_again();
            server
        })
        .await
        .unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let mut promised = Promised::default();
    for sender in senders {
        let of = sender.await.unwrap();
        promised.accepted.extend(of.accepted);
        promised.refused += of.refused;
        promised.longest = promised.longest.max(of.longest);
    }
    for dispatcher in dispatchers {
        promised.refunded += dispatcher.await.unwrap();
    }
    let house = Arc::into_inner(house).unwrap().reopen();
    promised.accepted.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(house.all_ids(account).await, promised.accepted, "what was accepted, and nothing else");
    assert!(promised.refused > 0 && promised.longest < Duration::from_secs(10), "{:?}", promised.longest);
    let balance = 1_000_000 - promised.accepted.len() as i64 + promised.refunded as i64;
    assert_eq!(house.balance(account).await, balance);
    house.assert_sound(promised.accepted.len()).await;
    drop(house);
    drop(server);
}
