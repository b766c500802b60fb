//! Numbers of processes: ids that never meet, and a process that lost its number cannot commit.

use std::collections::HashSet;

use bongsu_domain::Lane;
use bongsu_store::Kind;

use super::{beside, policy, two};
use crate::house::{House, sms};

fn node(house: &House) -> u16 {
    house.store.leases().unwrap().node()
}

/// The lease of a process ends although it lives: it was paused for too long.
fn end_lease(house: &House) {
    let owner = house.store.leases().unwrap().owner();
    house.ground.sql(&format!("UPDATE leases SET until = 0 WHERE owner = {owner}"));
}

#[tokio::test]
async fn processes_have_numbers_of_their_own_and_ids_that_never_meet() {
    let (one, other) = two();
    let third = beside(&one);
    let houses = [&one, &other, &third];
    assert_eq!(houses.iter().map(|house| node(house)).collect::<HashSet<_>>().len(), 3);
    // The clock stands still, so nothing but the number tells them apart.
    let ids: HashSet<i64> = (0..9_000).map(|n| houses[n % 3].store.new_id().unwrap()).collect();
    assert_eq!(ids.len(), 9_000);
}

#[tokio::test]
async fn a_number_that_was_left_is_given_again_and_its_ids_go_on() {
    let (one, other) = two();
    let number = node(&other);
    let account = one.account(10).await;
    let id = other.accept(account, Lane::Bulk, sms(1)).await;
    other.store.close();
    let third = beside(&one);
    assert_eq!(node(&third), number);
    assert!(third.accept(account, Lane::Bulk, sms(1)).await > id, "although the clock stands still");
    one.assert_sound(2).await;
}

/// It was fenced: its writes fail, it says that it has to end, and nothing of it is there.
async fn assert_fenced(house: &House, one: &House, account: bongsu_domain::AccountId) {
    let before = (one.balance(account).await, one.all_ids(account).await);
    let refused = house.try_accept(account, Lane::Bulk, sms(1), None).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Unavailable);
    let reason = house.store.failed().await;
    assert!(reason.contains("node"), "{reason}");
    let refused = house.store.write(|_| Ok(())).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Unavailable);
    assert_eq!((one.balance(account).await, one.all_ids(account).await), before);
}

#[tokio::test]
async fn a_process_whose_claims_were_settled_cannot_commit() {
    let (one, late) = two();
    let account = one.account(10).await;
    late.accept(account, Lane::Bulk, sms(1)).await;
    end_lease(&late);
    one.store.settle_claims(policy(), 10).await.unwrap();
    assert_fenced(&late, &one, account).await;
    one.assert_sound(1).await;
}

#[tokio::test]
async fn a_process_whose_number_was_given_to_another_cannot_commit() {
    let (one, late) = two();
    let account = one.account(10).await;
    end_lease(&late);
    let heir = beside(&one);
    assert_eq!(node(&heir), node(&late));
    let id = heir.accept(account, Lane::Bulk, sms(1)).await;
    assert_fenced(&late, &one, account).await;
    assert!(heir.accept(account, Lane::Bulk, sms(1)).await > id, "the heir goes on");
    heir.assert_sound(2).await;
}

#[tokio::test]
async fn claims_and_results_of_a_fenced_process_are_not_written() {
    let (one, late) = two();
    let account = one.account(10).await;
    let (kept, lost) = (one.accept_many(account, Lane::Bulk, 2).await, one.accept_many(account, Lane::Bulk, 2).await);
    late.claim(&kept, &[0; 2]).await;
    end_lease(&late);
    assert_eq!(one.store.settle_claims(policy(), 10).await.unwrap(), 1);
    let end = crate::house::failed(&late, kept.first, 1, account, 1);
    assert_eq!(late.store.apply(vec![end]).await.unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(one.balance(account).await, 6);
    assert_eq!(one.claim(&lost, &[0; 2]).await.1, bongsu_store::claims::Taken::Whole);
    late.store.failed().await;
}
