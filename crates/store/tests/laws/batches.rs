//! Batches: staged slices are nothing until their request commits, and then all of it at once.

use std::time::Duration;

use bongsu_domain::id::id_day;
use bongsu_domain::{Clock, Lane, Status, Timestamp};
use bongsu_store::accept::{NewMessage, RUN_MAX, Refused, Slice};
use bongsu_store::index::KeyKind;
use bongsu_store::query::Filter;

use crate::house::{House, batch_commit, house, sms};

/// Nothing of a slice can be seen in any way.
async fn assert_invisible(house: &House, account: bongsu_domain::AccountId, slice: Slice) {
    assert!(house.see(slice.first).await.is_none());
    assert_eq!(house.all_ids(account).await, Vec::<i64>::new());
    assert_eq!(
        house.ids(Filter { key: Some((KeyKind::Recipient, 1)), ..Filter::default() }, 10).await,
        Vec::<i64>::new()
    );
    assert_eq!(house.store.run(slice.first).await.unwrap(), None);
    assert_eq!(house.waiting_accounts(10).await, []);
    assert!(house.store.cancel(None, slice.first).await.is_err());
}

#[tokio::test]
async fn staged_slices_are_invisible_until_their_batch_commits() {
    let house = house();
    let account = house.account(2_000).await;
    let request = house.store.new_id().unwrap();
    let mut slices = Vec::new();
    for (lane, count) in [(Lane::Realtime, 500), (Lane::Bulk, 500), (Lane::Bulk, 7)] {
        let filled = NewMessage { content: 1, ..sms(1) };
        let slice = house.stage(request, account, lane, vec![filled; count]).await.slice.unwrap();
        assert_eq!((slice.count as usize, slice.lane), (count, lane));
        assert_invisible(&house, account, slice).await;
        slices.push(slice);
    }
    assert_eq!(house.balance(account).await, 2_000);
    house.store.commit_batch(batch_commit(request, account, slices.clone(), 1_007)).await.unwrap().unwrap();
    let mut expected: Vec<i64> = slices.iter().flat_map(|s| s.first..s.first + i64::from(s.count)).collect();
    expected.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(house.all_ids(account).await, expected);
    let of_request = Filter { account: Some(account), request: Some(request), ..Filter::default() };
    assert_eq!(house.ids(of_request, 100).await, expected);
    assert_eq!(house.balance(account).await, 993);
    let house = house.crash();
    assert_eq!(house.all_ids(account).await, expected);
    let run = house.run(slices[2].first).await;
    let loaded = house.store.load_run(run, 2, 3).await.unwrap();
    assert_eq!(loaded.rows.iter().map(|row| row.id - run.first).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(loaded.contents[&(request, 1)], "잠긴 글".as_bytes());
    house.assert_sound(1_007).await;
}

#[tokio::test]
async fn discarded_slices_are_gone() {
    let house = house();
    let account = house.account(10).await;
    let request = house.store.new_id().unwrap();
    let slice = house.stage(request, account, Lane::Bulk, vec![sms(1); 5]).await.slice.unwrap();
    house.store.discard(vec![slice]).await.unwrap();
    assert_invisible(&house, account, slice).await;
    let house = house.reopen();
    assert_invisible(&house, account, slice).await;
    assert!(house.store.load_ids(vec![slice.first]).await.unwrap().rows.is_empty());
    assert_eq!(house.balance(account).await, 10);
    house.assert_sound(0).await;
}

#[tokio::test]
async fn a_crash_before_the_commit_leaves_nothing_of_a_batch() {
    let house = house();
    let account = house.account(10).await;
    let request = house.store.new_id().unwrap();
    let slice = house.stage(request, account, Lane::Bulk, vec![sms(1); 5]).await.slice.unwrap();
    let house = house.crash();
    assert_invisible(&house, account, slice).await;
    house.sweep().await;
    assert_invisible(&house, account, slice).await;
    assert!(house.store.load_ids(vec![slice.first]).await.unwrap().rows.is_empty(), "the rows are removed");
    assert_eq!(house.balance(account).await, 10);
    let commit = batch_commit(request, account, vec![slice], 5);
    assert!(house.store.commit_batch(commit).await.is_err(), "what is gone cannot be committed");
    assert_eq!(house.balance(account).await, 10);
    house.assert_sound(0).await;
}

#[tokio::test]
async fn a_batch_that_the_balance_does_not_cover_charges_nothing() {
    let house = house();
    let account = house.account(4).await;
    let request = house.store.new_id().unwrap();
    let slice = house.stage(request, account, Lane::Bulk, vec![sms(1); 5]).await.slice.unwrap();
    let refused = house.store.commit_batch(batch_commit(request, account, vec![slice], 5)).await.unwrap();
    assert_eq!(refused, Err(Refused::NoBalance));
    assert_invisible(&house, account, slice).await;
    assert_eq!(house.balance(account).await, 4);
    house.store.discard(vec![slice]).await.unwrap();
    house.batch(account, Lane::Bulk, vec![sms(1); 4]).await;
    assert_eq!(house.balance(account).await, 0);
    house.assert_sound(4).await;
}

#[tokio::test]
async fn a_batch_commits_once() {
    let house = house();
    let account = house.account(100).await;
    let request = house.store.new_id().unwrap();
    let slice = house.stage(request, account, Lane::Bulk, vec![sms(1); 5]).await.slice.unwrap();
    let commit = || batch_commit(request, account, vec![slice], 5);
    house.store.commit_batch(commit()).await.unwrap().unwrap();
    assert!(house.store.commit_batch(commit()).await.is_err());
    assert_eq!(house.balance(account).await, 95);
    house.assert_sound(5).await;
}

#[tokio::test]
async fn a_committed_slice_cannot_be_discarded() {
    let house = house();
    let account = house.account(100).await;
    let slice = house.batch(account, Lane::Bulk, vec![sms(1); 5]).await;
    // The answer of a commit may get lost on its way; the caller then gives up on what is there.
    let _ = house.store.discard(vec![slice]).await;
    assert_eq!(house.status(slice.first).await, Some(Status::Queued));
    house.assert_sound(5).await;
}

#[tokio::test]
async fn staged_rows_of_a_request_that_never_came_are_cleaned_away() {
    let house = house();
    let account = house.account(100).await;
    let request = house.store.new_id().unwrap();
    let left = house.stage(request, account, Lane::Bulk, vec![sms(1); 5]).await.slice.unwrap();
    let kept = house.batch(account, Lane::Bulk, vec![sms(1); 3]).await;
    house.pass(5 * 60_000);
    let young = house.stage(request, account, Lane::Bulk, vec![sms(1); 4]).await.slice.unwrap();
    house.pass(6 * 60_000);
    let clean = async |house: &House| {
        let staged_before = house.clock.now().minus(Duration::from_secs(600));
        house.store.clean(Timestamp(0), staged_before).await.unwrap()
    };
    assert_eq!(clean(&house).await, 1);
    assert!(house.store.load_ids(vec![left.first]).await.unwrap().rows.is_empty());
    assert_eq!(house.store.load_ids(vec![young.first, kept.first]).await.unwrap().rows.len(), 2);
    assert_eq!(clean(&house).await, 0);
    let commit = batch_commit(request, account, vec![left, young], 9);
    assert!(house.store.commit_batch(commit).await.is_err(), "a batch of which a slice is gone never exists");
    assert_eq!(house.balance(account).await, 97);
    house.pass(6 * 60_000);
    assert_eq!(clean(&house).await, 1);
    house.assert_sound(3).await;
}

#[tokio::test]
async fn a_batch_over_midnight_lies_in_two_days_and_is_one_request() {
    let house = house();
    let account = house.account(100).await;
    house.clock.set(house.clock.now().kst_day().next().start().minus(Duration::from_millis(1)));
    let request = house.store.new_id().unwrap();
    let filled = vec![NewMessage { content: 1, ..sms(1) }; 3];
    let before = house.stage(request, account, Lane::Bulk, filled.clone()).await.slice.unwrap();
    house.pass(1);
    let after = house.stage(request, account, Lane::Bulk, filled).await.slice.unwrap();
    assert_eq!(id_day(before.first).next(), id_day(after.first));
    house.store.commit_batch(batch_commit(request, account, vec![before, after], 6)).await.unwrap().unwrap();
    let house = house.crash();
    let filter = Filter { account: Some(account), request: Some(request), ..Filter::default() };
    assert_eq!(house.ids(filter, 2).await.len(), 6);
    for slice in [before, after] {
        let loaded = house.store.load_run(house.run(slice.first).await, 0, RUN_MAX as u32).await.unwrap();
        assert_eq!((loaded.rows.len(), loaded.contents.len()), (3, 1));
    }
    house.assert_sound(6).await;
}
