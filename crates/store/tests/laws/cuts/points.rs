//! Breaks at any byte of a transaction, on the way there and on the way back.

use bongsu_domain::{AccountId, Lane, Status};
use bongsu_store::claims::Taken;

use super::house_by_way;
use super::proxy::Cut;
use crate::house::{House, batch_commit, failed, key, sms, submitted};

/// A day in the life of a store, which breaks at each of its transactions at a place of its own: accept, batch, claim,
/// results. Answers whether the last place was beyond the end of every transaction.
async fn work(house: &House, account: AccountId, round: i64, cut: impl Fn()) {
    cut();
    let (id, _) = house.try_accept(account, Lane::Bulk, sms(1), Some(key(round, 1))).await.unwrap().unwrap();
    let request = house.store.new_id().unwrap();
    cut();
    let slice = house.stage(request, account, Lane::Bulk, vec![sms(1); 4]).await.slice.unwrap();
    cut();
    house.store.commit_batch(batch_commit(request, account, vec![slice], 4)).await.unwrap().unwrap();
    cut();
    assert_eq!(house.claim(&house.run(slice.first).await, &[0; 4]).await.1, Taken::Whole);
    cut();
    house.apply((slice.first..slice.first + 4).map(|id| submitted(house, id, 1, 0, "a")).collect()).await;
    cut();
    let ends = (slice.first..slice.first + 4).map(|id| failed(house, id, 1, account, 1)).collect();
    assert_eq!(house.apply(ends).await, [true; 4]);
    assert_eq!(house.status(id).await, Some(Status::Queued));
    assert_eq!(house.status(slice.first).await, Some(Status::Undelivered));
    let rounds = round + 1;
    assert_eq!(house.balance(account).await, 10_000 - rounds);
    assert_eq!(house.all_ids(account).await.len() as i64, rounds * 5);
}

/// Breaks after `first`, `first + step` … bytes, until no transaction is that long.
async fn sweep(make: impl Fn(u64) -> Cut, step: u64, rounds: i64) {
    let (proxy, house) = house_by_way();
    let account = house.account(10_000).await;
    let mut broken = 0;
    for round in 0..rounds {
        // Not the same part of a packet in every round.
        let at = round as u64 * step + round as u64 % 7;
        work(&house, account, round, || {
            proxy.disarm();
            proxy.cut(make(at));
        })
        .await;
        proxy.disarm();
        broken = proxy.cuts();
    }
    assert!(broken > rounds as u64, "{broken} breaks in {rounds} rounds");
    house.assert_sound(rounds as usize * 5).await;
}

#[tokio::test]
async fn a_connection_that_breaks_on_the_way_to_the_server_leaves_nothing_half_done() {
    sweep(Cut::Sent, 131, 20).await;
}

#[tokio::test]
async fn a_connection_that_breaks_on_the_way_back_leaves_nothing_half_done() {
    sweep(Cut::Answered, 31, 20).await;
}

#[tokio::test]
async fn readers_and_writer_go_on_after_all_connections_broke() {
    let (proxy, house) = house_by_way();
    let account = house.account(100).await;
    for n in 0..10 {
        let id = house.accept(account, Lane::Bulk, sms(1)).await;
        proxy.down();
        proxy.up();
        assert_eq!(house.status(id).await, Some(Status::Queued));
        assert_eq!(house.balance(account).await, 99 - n);
        assert_eq!(house.all_ids(account).await[0], id);
    }
    house.assert_sound(10).await;
}
