//! Staged rows and those who remove them: a batch has all its rows or does not exist.

use std::time::Duration;

use bongsu_domain::{Clock, Lane, Timestamp};
use bongsu_store::accept::Slice;

use super::{Write, two};
use crate::house::{House, at_once, batch_commit, sms};

async fn staged(house: &House, account: bongsu_domain::AccountId, count: usize) -> Vec<(i64, Vec<Slice>)> {
    let mut all = Vec::new();
    for _ in 0..count {
        let request = house.store.new_id().unwrap();
        let mut slices = Vec::new();
        for rows in [3, 2] {
            slices.push(house.stage(request, account, Lane::Bulk, vec![sms(1); rows]).await.slice.unwrap());
        }
        all.push((request, slices));
    }
    all
}

/// Every batch whose commit was answered has all its rows and its charge, every other one nothing.
async fn assert_whole(house: &House, account: bongsu_domain::AccountId, all: &[(i64, Vec<Slice>)], exists: &[bool]) {
    for ((_, slices), exists) in all.iter().zip(exists) {
        for slice in slices {
            assert_eq!(house.store.run(slice.first).await.unwrap().is_some(), *exists);
            let ids = (slice.first..slice.first + i64::from(slice.count)).collect();
            let rows = house.store.load_ids(ids).await.unwrap().rows.len();
            assert!(!exists || rows == slice.count as usize, "{rows} rows of {slice:?}");
        }
    }
    let count = exists.iter().filter(|exists| **exists).count() * 5;
    assert_eq!(house.balance(account).await, 1_000 - count as i64);
    house.assert_sound(count).await;
}

#[tokio::test]
async fn a_batch_that_is_committed_while_its_slices_are_discarded_is_whole_or_nothing() {
    let (one, other) = two();
    let account = one.account(1_000).await;
    let all = staged(&one, account, 40).await;
    let writes = all.iter().flat_map(|(request, slices)| -> [Write<'_, bool>; 2] {
        let commit = batch_commit(*request, account, slices.clone(), 5);
        let commit = async { one.store.commit_batch(commit).await.is_ok_and(|done| done.is_ok()) };
        let discard = async { other.store.discard(vec![slices[1]]).await.is_ok() };
        [Box::pin(commit), Box::pin(discard)]
    });
    let done = at_once(&[&one.store, &other.store], writes).await;
    let exists: Vec<bool> = done.chunks(2).map(|pair| pair[0]).collect();
    assert_whole(&one, account, &all, &exists).await;
}

#[tokio::test]
async fn a_batch_that_is_committed_while_the_sweeper_comes_by_is_whole_or_nothing() {
    let (one, other) = two();
    let account = one.account(1_000).await;
    let all = staged(&one, account, 30).await;
    one.pass(700_000);
    let commits = all.iter().map(|(request, slices)| -> Write<'_, bool> {
        let commit = batch_commit(*request, account, slices.clone(), 5);
        Box::pin(async { one.store.commit_batch(commit).await.is_ok_and(|done| done.is_ok()) })
    });
    let before = one.clock.now().minus(Duration::from_secs(600));
    let held = [&one.store];
    let (exists, swept) = tokio::join!(at_once(&held, commits), other.store.clean(Timestamp(0), before));
    let swept = swept.unwrap();
    assert_whole(&one, account, &all, &exists).await;
    let gone = exists.iter().filter(|exists| !**exists).count();
    assert!(swept >= gone, "a batch is refused only because rows of it are gone");
    other.store.clean(Timestamp(0), one.clock.now()).await.unwrap();
    assert_whole(&one, account, &all, &exists).await;
}

#[tokio::test]
async fn what_another_process_stages_is_left_to_it_until_it_is_old() {
    let (one, other) = two();
    let account = one.account(1_000).await;
    let all = staged(&one, account, 3).await;
    one.pass(60_000);
    let before = one.clock.now().minus(Duration::from_secs(600));
    assert_eq!(other.store.clean(Timestamp(0), before).await.unwrap(), 0);
    let third = super::beside(&one);
    assert_eq!(third.store.clean(Timestamp(0), before).await.unwrap(), 0, "an open removes nothing");
    for (request, slices) in &all {
        let commit = batch_commit(*request, account, slices.clone(), 5);
        one.store.commit_batch(commit).await.unwrap().unwrap();
    }
    assert_whole(&one, account, &all, &[true; 3]).await;
}
