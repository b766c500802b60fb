//! Messages that end while they wait: cancel and expiry, with their money back once.

use bongsu_domain::{Code, Lane, Status};
use bongsu_store::Kind;
use bongsu_store::accept::NewMessage;
use bongsu_store::changes::Change;
use bongsu_store::claims::{NO_RELAY, Taken};

use crate::house::{attempt_as, delivered, due_at, house, sms, submitted, together};
use bongsu_store::rows::Outcome;

#[tokio::test]
async fn a_cancel_refunds_once() {
    let house = house();
    let (account, stranger) = (house.account(10).await, house.account(0).await);
    let id = house.accept(account, Lane::Bulk, sms(4)).await;
    let neighbour = house.store.cancel(Some(stranger), id).await.unwrap_err();
    assert_eq!(neighbour.kind(), Kind::NotFound);
    assert_eq!(house.balance(account).await, 6);
    type Write<'a> = std::pin::Pin<Box<dyn Future<Output = Result<(), Kind>> + 'a>>;
    let cancel =
        || -> Write<'_> { Box::pin(async { house.store.cancel(Some(account), id).await.map_err(|e| e.kind()) }) };
    let done = together(&house.store, [cancel(), cancel(), cancel()]).await;
    assert_eq!(done, [Ok(()), Err(Kind::Conflict("sent")), Err(Kind::Conflict("sent"))]);
    assert_eq!(house.balance(account).await, 10);
    let house = house.crash();
    let found = house.see(id).await.unwrap();
    assert_eq!((found.row.status, found.row.attempt.code), (Status::Canceled, Code::Canceled.number()));
    assert_eq!(house.apply(vec![delivered(&house, id, 1)]).await, [false]);
    assert_eq!(house.status(id).await, Some(Status::Canceled));
    house.assert_sound(1).await;
}

#[tokio::test]
async fn refunds_of_two_lives_within_one_millisecond_are_both_booked() {
    let house = house();
    let account = house.account(10).await;
    let (first, second) =
        (house.accept(account, Lane::Bulk, sms(2)).await, house.accept(account, Lane::Bulk, sms(2)).await);
    let house = house.reopen();
    house.store.cancel(Some(account), first).await.unwrap();
    let house = house.reopen();
    house.store.cancel(Some(account), second).await.unwrap();
    assert_eq!(house.balance(account).await, 10);
    house.assert_sound(2).await;
}

#[tokio::test]
async fn a_cancel_after_the_claim_is_too_late() {
    let house = house();
    let account = house.account(10).await;
    let run = house.accept_many(account, Lane::Bulk, 3).await;
    house.claim(&run, &[0; 2]).await;
    let late = house.store.cancel(Some(account), run.first).await.unwrap_err();
    assert_eq!(late.kind(), Kind::Conflict("sent"));
    house.apply(vec![submitted(&house, run.first, 1, 0, "a")]).await;
    let late = house.store.cancel(Some(account), run.first).await.unwrap_err();
    assert_eq!(late.kind(), Kind::Conflict("sent"));
    house.store.cancel(Some(account), run.first + 2).await.unwrap();
    assert_eq!(house.store.cancel(None, run.first + 3).await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(house.balance(account).await, 8);
    house.assert_sound(3).await;
}

#[tokio::test]
async fn a_message_that_waits_for_its_next_attempt_can_be_canceled_unless_it_may_have_left() {
    let house = house();
    let account = house.account(10).await;
    let run = house.accept_many(account, Lane::Bulk, 2).await;
    house.claim(&run, &[0; 2]).await;
    let again = |id| Change::Due(due_at(house.now() + 1_000, id, 2, Lane::Bulk, account));
    let queued = |id| attempt_as(&house, id, 1, 0, None, Outcome::Refused, Code::RouteQueueFull, Status::Queued);
    let unknown = |id| attempt_as(&house, id, 1, 0, None, Outcome::Unknown, Code::VendorTimeout, Status::Sending);
    let (first, second) = (run.first, run.first + 1);
    house.apply(vec![queued(first), again(first), unknown(second), again(second)]).await;
    assert_eq!(house.see(first).await.unwrap().due, Some(house.now() + 1_000));
    house.store.cancel(None, first).await.unwrap();
    assert_eq!(house.store.cancel(None, second).await.unwrap_err().kind(), Kind::Conflict("sent"));
    let due = house.due().await;
    assert_eq!(due.iter().map(|d| d.id).collect::<Vec<_>>(), [second]);
    assert_eq!(house.balance(account).await, 9);
    house.assert_sound(2).await;
}

#[tokio::test]
async fn expiry_ends_what_waits_too_long_and_nothing_else() {
    let house = house();
    let account = house.account(100).await;
    let living = |ms| NewMessage { expires_ms: ms, ..sms(2) };
    let slice = house.batch(account, Lane::Bulk, [5, 1, 3, 1, 9].map(|s| living(s * 1_000)).to_vec()).await;
    let ids: Vec<i64> = (0..5).map(|n| slice.first + n).collect();
    house.claim(&house.run(slice.first).await, &[0; 2]).await;
    assert_eq!(house.store.expire_waiting(10).await.unwrap(), 0);
    let stale = house.run(slice.first).await;
    house.pass(3_000);
    assert_eq!(house.store.expire_waiting(10).await.unwrap(), 2, "the claimed one is not waiting");
    assert_eq!(house.store.expire_waiting(10).await.unwrap(), 0);
    assert_eq!(house.claim(&stale, &[0; 3]).await.1, Taken::Stale);
    let mut statuses = Vec::new();
    for id in &ids {
        statuses.push(house.status(*id).await.unwrap());
    }
    use Status::{Expired, Queued, Sending};
    assert_eq!(statuses, [Sending, Sending, Expired, Expired, Queued]);
    assert_eq!(house.see(ids[2]).await.unwrap().row.attempt.code, Code::ExpiredBeforeSend.number());
    assert_eq!(house.balance(account).await, 94);
    house.pass(6_000);
    assert_eq!(house.store.expire_waiting(10).await.unwrap(), 1);
    let left = house.run(slice.first).await;
    assert_eq!(house.claim(&left, &[NO_RELAY; 3]).await.1, Taken::Whole);
    assert_eq!(house.balance(account).await, 96);
    house.assert_sound(5).await;
}

#[tokio::test]
async fn singles_of_one_run_expire_each_at_its_own_time() {
    let house = house();
    let account = house.account(100).await;
    let writes = [1_000, 60_000].map(|expires_ms| -> std::pin::Pin<Box<dyn Future<Output = _>>> {
        Box::pin(house.accept(account, Lane::Auth, NewMessage { expires_ms, ..sms(1) }))
    });
    let ids = together(&house.store, writes).await;
    house.pass(999);
    assert_eq!(house.store.expire_waiting(10).await.unwrap(), 0);
    house.pass(1);
    assert_eq!(house.store.expire_waiting(10).await.unwrap(), 1);
    house.pass(59_000);
    assert_eq!(house.status(ids[1]).await, Some(Status::Queued));
    assert_eq!(house.store.expire_waiting(10).await.unwrap(), 1);
    assert_eq!(house.status(ids[1]).await, Some(Status::Expired));
    house.assert_sound(2).await;
}
