//! Runs that wait for their time: seen by readers, by no dispatcher; let go once; moved, taken apart and withdrawn.

use std::pin::Pin;
use std::time::Duration;

use bongsu_domain::{AccountId, Clock, Hours, Lane, Status, Timestamp};
use bongsu_store::Kind;
use bongsu_store::accept::NewMessage;
use bongsu_store::changes::Change;
use bongsu_store::claims::{Due, Part};
use bongsu_store::query::Filter;
use bongsu_store::waiting::{Target, Withdrawn};

use crate::house::{House, due_at, house, sms, submitted, together};

const HOUR: i64 = 3_600_000;

/// A message that leaves so much later and lives an hour from then on.
fn later(house: &House, ms: i64) -> NewMessage {
    NewMessage { send_at: house.now() + ms, expires_ms: ms + HOUR, ..sms(1) }
}

async fn release(house: &House) -> usize {
    house.store.release_due(house.clock.now(), Hours::default()).await.unwrap()
}

async fn waiting(house: &House, lane: Lane, account: AccountId) -> Vec<i64> {
    let runs = house.store.waiting_runs(lane, account, 0, 100).await.unwrap();
    runs.into_iter().map(|run| run.first).collect()
}

async fn move_to(house: &House, account: AccountId, target: Target, at: i64) -> Result<u64, Kind> {
    house.store.reschedule(Some(account), target, Timestamp::from_millis(at)).await.map_err(|error| error.kind())
}

async fn expiry(house: &House, id: i64) -> i64 {
    house.see(id).await.unwrap().row.expires
}

#[tokio::test]
async fn a_run_that_leaves_later_exists_and_is_offered_when_its_time_comes() {
    let house = house();
    let account = house.account(100).await;
    let at = house.now() + 10_000;
    let slice = house.batch(account, Lane::Bulk, vec![later(&house, 10_000); 3]).await;
    let single = house.accept(account, Lane::Bulk, later(&house, 10_000)).await;
    let now = house.accept(account, Lane::Bulk, sms(1)).await;
    assert_eq!(house.balance(account).await, 95, "charged at accept");
    assert_eq!(waiting(&house, Lane::Bulk, account).await, [now]);
    let found = house.see(slice.first).await.unwrap();
    assert_eq!((found.row.status, found.send_at, found.row.expires), (Status::Scheduled, at, at + HOUR));
    let scheduled = Filter { account: Some(account), status: Some(Status::Scheduled), ..Filter::default() };
    assert_eq!(house.ids(scheduled, 10).await, [single, slice.first + 2, slice.first + 1, slice.first]);
    house.pass(9_999);
    assert_eq!(release(&house).await, 0);
    let house = house.crash();
    house.pass(1);
    assert_eq!(release(&house).await, 2);
    assert_eq!(release(&house).await, 0, "once");
    let mut offered = waiting(&house, Lane::Bulk, account).await;
    offered.sort_unstable();
    assert_eq!(offered, [slice.first, single, now]);
    let found = house.see(slice.first).await.unwrap();
    assert_eq!((found.row.status, found.send_at), (Status::Queued, at));
    house.assert_sound(5).await;
}

#[tokio::test]
async fn singles_of_one_commit_share_a_run_only_with_those_of_their_time() {
    let house = house();
    let account = house.account(100).await;
    let times = [0, 10_000, 20_000, 10_000, 0, 10_000];
    let writes = times.map(|ms| -> Pin<Box<dyn Future<Output = i64>>> {
        let message = if ms == 0 { sms(1) } else { later(&house, ms) };
        Box::pin(house.accept(account, Lane::Bulk, message))
    });
    let ids = together(&house.store, writes).await;
    assert_eq!(waiting(&house, Lane::Bulk, account).await.len(), 1);
    house.pass(10_000);
    assert_eq!(release(&house).await, 1);
    let mut shown = Vec::new();
    for id in &ids {
        shown.push(house.status(*id).await.unwrap() == Status::Scheduled);
    }
    assert_eq!(shown, [false, false, true, false, false, false]);
    house.assert_sound(6).await;
}

#[tokio::test]
async fn a_message_that_moves_leaves_its_run_and_takes_its_life_with_it() {
    let house = house();
    let account = house.account(100).await;
    let slice = house.batch(account, Lane::Bulk, vec![later(&house, 10_000); 5]).await;
    let at = house.now();
    let id = |n: i64| slice.first + n;
    for (n, ms) in [(2, 50_000), (0, 5_000), (4, 30_000)] {
        assert_eq!(move_to(&house, account, Target::Message(id(n)), at + ms).await, Ok(1));
        assert_eq!(house.see(id(n)).await.unwrap().send_at, at + ms);
    }
    assert_eq!(move_to(&house, account, Target::Message(id(2)), at + 60_000).await, Ok(1), "and again");
    assert_eq!(house.all_ids(account).await.len(), 5);
    for (ms, runs, offered) in [(5_000, 1, 1), (10_000, 2, 3), (30_000, 1, 4), (60_000, 1, 5)] {
        house.pass(at + ms - house.now());
        assert_eq!(release(&house).await, runs, "{ms}");
        let lanes = house.store.waiting_runs(Lane::Bulk, account, 0, 100).await.unwrap();
        assert_eq!(lanes.iter().map(|run| run.count).sum::<u32>(), offered, "{ms}");
    }
    for (n, ms) in [(0, 5_000), (1, 10_000), (2, 60_000), (3, 10_000), (4, 30_000)] {
        assert_eq!(expiry(&house, id(n)).await, at + ms + HOUR, "{n}");
    }
    assert_eq!(move_to(&house, account, Target::Message(id(2)), at + HOUR).await, Err(Kind::Conflict("left")));
    let stranger = house.account(0).await;
    assert_eq!(move_to(&house, stranger, Target::Message(id(2)), at + HOUR).await, Err(Kind::NotFound));
    house.assert_sound(5).await;
}

#[tokio::test]
async fn a_batch_moves_as_far_as_it_waits() {
    let house = house();
    let account = house.account(100).await;
    let request = house.store.new_id().unwrap();
    let at = house.now();
    let mut slices = Vec::new();
    for ms in [1_000, 10_000, 20_000] {
        slices.push(house.stage(request, account, Lane::Bulk, vec![later(&house, ms); 2]).await.slice.unwrap());
    }
    let commit = crate::house::batch_commit(request, account, slices.clone(), 6);
    house.store.commit_batch(commit).await.unwrap().unwrap();
    house.pass(1_000);
    // What is due is leaving, although nobody let it go yet.
    assert_eq!(move_to(&house, account, Target::Batch(request), at + 15_000).await, Ok(4));
    assert_eq!(release(&house).await, 1);
    house.pass(14_000);
    assert_eq!(release(&house).await, 2);
    for (slice, ms) in slices.iter().zip([1_000, 15_000, 15_000]) {
        assert_eq!(expiry(&house, slice.first).await, at + ms + HOUR);
    }
    assert_eq!(move_to(&house, account, Target::Batch(request), at + HOUR).await, Err(Kind::Conflict("left")));
    assert_eq!(move_to(&house, account, Target::Batch(request + 1), at).await, Err(Kind::NotFound));
    house.assert_sound(6).await;
}

#[tokio::test]
async fn the_life_of_an_advertisement_moves_in_open_hours() {
    let house = house();
    let account = house.account(100).await;
    let time = |text: &str| Timestamp::parse_rfc3339(text).unwrap().millis();
    // From 20:30 on, 30 minutes of this evening and 30 of the next morning.
    let (first, expires) = (time("2026-03-02T20:30:00+09:00"), time("2026-03-03T08:30:00+09:00"));
    let message = NewMessage { send_at: first, expires_ms: expires - house.now(), ..sms(1) };
    let id = house.batch(account, Lane::Ad, vec![message]).await.first;
    assert_eq!(expiry(&house, id).await, expires);
    let noon = time("2026-03-03T12:00:00+09:00");
    assert_eq!(move_to(&house, account, Target::Message(id), noon).await, Ok(1));
    house.clock.set(Timestamp::from_millis(noon));
    assert_eq!(release(&house).await, 1);
    assert_eq!(expiry(&house, id).await, noon + HOUR);
}

#[tokio::test]
async fn what_is_canceled_before_its_time_is_refunded_and_never_offered() {
    let house = house();
    let account = house.account(100).await;
    let slice = house.batch(account, Lane::Bulk, vec![later(&house, 10_000); 2]).await;
    let single = house.accept(account, Lane::Bulk, later(&house, 10_000)).await;
    for id in [slice.first, single] {
        house.store.cancel(Some(account), id).await.unwrap();
    }
    assert_eq!(house.balance(account).await, 99);
    let house = house.reopen();
    house.pass(10_000);
    assert_eq!(release(&house).await, 1, "of the single nothing is left");
    assert_eq!(waiting(&house, Lane::Bulk, account).await, [slice.first]);
    assert_eq!(house.status(slice.first).await, Some(Status::Canceled));
    house.assert_sound(3).await;
}

#[tokio::test]
async fn a_batch_is_withdrawn_as_far_as_it_has_not_left_and_a_repeat_answers_the_same() {
    let house = house();
    let (account, stranger) = (house.account(100).await, house.account(0).await);
    let request = house.store.new_id().unwrap();
    let mut slices = Vec::new();
    for ms in [0, 10_000] {
        let message = if ms == 0 { sms(1) } else { later(&house, ms) };
        slices.push(house.stage(request, account, Lane::Bulk, vec![message; 5]).await.slice.unwrap());
    }
    let commit = crate::house::batch_commit(request, account, slices.clone(), 10);
    house.store.commit_batch(commit).await.unwrap().unwrap();
    let run = house.run(slices[0].first).await;
    house.claim(&run, &[0; 3]).await;
    // One is with its relay, one is being sent, one waits for its next try.
    let again = due_at(house.now() + 1_000, run.first + 2, 2, Lane::Bulk, account);
    house.apply(vec![submitted(&house, run.first, 1, 0, "a"), Change::Due(again)]).await;
    let unknown = house.store.cancel_batch(Some(stranger), request).await.unwrap_err();
    assert_eq!(unknown.kind(), Kind::NotFound);
    for _ in 0..2 {
        let done = house.store.cancel_batch(Some(account), request).await.unwrap();
        assert_eq!(done, Withdrawn { canceled: 8, left: 2 });
    }
    assert_eq!(house.balance(account).await, 98);
    house.pass(10_000);
    assert_eq!(release(&house).await, 0);
    assert_eq!(waiting(&house, Lane::Bulk, account).await, Vec::<i64>::new());
    assert!(house.due().await.is_empty());
    house.assert_sound(10).await;
}

#[tokio::test]
async fn what_is_due_at_night_is_put_off_unless_somebody_took_it() {
    let house = house();
    let account = house.account(100).await;
    let run = house.accept_many(account, Lane::Ad, 2).await;
    house.claim(&run, &[0; 2]).await;
    let due: Vec<Due> = (0..2).map(|n| due_at(house.now(), run.first + n, 2, Lane::Ad, account)).collect();
    house.apply(due.iter().map(|due| Change::Due(*due)).collect()).await;
    house.claim_due(&due[..1], &[0]).await;
    let morning = house.clock.now().plus(Duration::from_secs(3_600));
    house.store.postpone(due, morning).await.unwrap();
    let left = house.store.due(house.clock.now(), Part::WHOLE, 10).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(
        house.due().await.iter().map(|due| (due.id, due.at)).collect::<Vec<_>>(),
        [(run.first + 1, morning.millis())]
    );
}

#[tokio::test]
async fn a_day_stays_while_something_of_it_waits() {
    let house = house();
    let account = house.account(100).await;
    let first = house.clock.now().kst_day();
    let id = house.accept(account, Lane::Bulk, later(&house, 3 * 86_400_000)).await;
    for _ in 0..3 {
        house.next_day().await;
    }
    let today = house.clock.now().kst_day();
    assert_eq!(house.store.retire_days(today).await.unwrap(), []);
    assert_eq!(house.status(id).await, Some(Status::Scheduled));
    assert_eq!(release(&house).await, 1);
    assert!(house.store.retire_days(today).await.unwrap().contains(&first));
}
