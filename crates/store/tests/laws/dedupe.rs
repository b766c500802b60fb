//! Equal messages: within its account's window the same content is accepted once, and the others hear of the first.

use std::pin::Pin;
use std::time::Duration;

use bongsu_domain::{AccountId, Clock, Code, Lane, Status, Timestamp, Unit};
use bongsu_store::accept::{NewMessage, Refused};
use bongsu_store::accounts::{self, AccountPatch, DEDUPE_MAX_S};
use bongsu_store::changes::{Change, Final, Unknown};
use bongsu_store::rows::Outcome;
use bongsu_store::{Error, Kind};

use crate::house::{DAY_MS, House, attempt_as, batch_commit, delivered, failed, house, key, sms, submitted, together};

type Accepted = Result<Result<(i64, Vec<u8>), Refused>, Error>;

const WINDOW_MS: i64 = 60_000;

fn equal(content: i64) -> NewMessage {
    within(content, WINDOW_MS)
}

fn within(content: i64, window_ms: i64) -> NewMessage {
    NewMessage { dedupe: Some((content, window_ms)), ..sms(1) }
}

async fn again(house: &House, account: AccountId, message: NewMessage) -> Result<i64, Refused> {
    house.try_accept(account, Lane::Realtime, message, None).await.unwrap().map(|(id, _)| id)
}

#[tokio::test]
async fn equal_messages_within_the_window_are_accepted_once() {
    let mut house = house();
    let account = house.account(10).await;
    let first = house.accept(account, Lane::Bulk, equal(7)).await;
    for turn in 0..3 {
        let keyed = house.try_accept(account, Lane::Auth, equal(7), Some(key(5, 1))).await.unwrap();
        assert_eq!(keyed, Err(Refused::Duplicate(first)), "on every lane");
        assert_eq!(house.store.seen(key(5, 1)).await.unwrap(), None, "the key is not used up");
        house = if turn == 0 { house.crash() } else { house.reopen() };
    }
    again(&house, account, equal(8)).await.unwrap();
    house.accept(account, Lane::Bulk, sms(1)).await;
    house.accept(account, Lane::Bulk, sms(1)).await;
    assert_eq!(house.balance(account).await, 6, "the second one costs nothing");
    house.assert_sound(4).await;
}

#[tokio::test]
async fn the_window_counts_from_the_first_and_then_ends() {
    let house = house();
    let account = house.account(10).await;
    let first = house.accept(account, Lane::Bulk, equal(7)).await;
    house.pass(WINDOW_MS - 1);
    let sweep =
        async || house.store.clean(Timestamp(0), house.clock.now().minus(Duration::from_secs(600))).await.unwrap();
    sweep().await;
    assert_eq!(again(&house, account, equal(7)).await, Err(Refused::Duplicate(first)), "and is not made longer by it");
    house.pass(1);
    let second = again(&house, account, equal(7)).await.unwrap();
    assert_eq!(again(&house, account, equal(7)).await, Err(Refused::Duplicate(second)));
    house.pass(WINDOW_MS + 1_000);
    assert_eq!(sweep().await, 1, "the key goes with its time");
    again(&house, account, equal(7)).await.unwrap();
    house.assert_sound(3).await;
}

#[tokio::test]
async fn a_shorter_window_holds_at_once() {
    let house = house();
    let account = house.account(10).await;
    let first = house.accept(account, Lane::Bulk, within(7, DAY_MS)).await;
    house.pass(30_000);
    assert_eq!(again(&house, account, within(7, 31_000)).await, Err(Refused::Duplicate(first)));
    let second = again(&house, account, within(7, 30_000)).await.unwrap();
    house.pass(30_001);
    assert_eq!(
        again(&house, account, within(7, DAY_MS)).await.map(|id| id > second),
        Ok(true),
        "as it was promised then"
    );
    house.assert_sound(3).await;
}

#[tokio::test]
async fn equal_messages_at_once_are_one_and_hear_its_id() {
    let house = house();
    let account = house.account(50).await;
    let writes = (0..40).map(|n| -> Pin<Box<dyn Future<Output = Accepted>>> {
        Box::pin(house.try_accept(account, Lane::ALL[n % 4], equal(n as i64 / 8), None))
    });
    let done = together(&house.store, writes).await;
    for equals in done.chunks(8) {
        let ids: Vec<i64> = equals.iter().filter_map(|d| Some(d.as_ref().ok()?.as_ref().ok()?.0)).collect();
        assert_eq!(ids.len(), 1);
        let others = equals.iter().filter(|d| matches!(d, Ok(Err(Refused::Duplicate(first))) if *first == ids[0]));
        assert_eq!(others.count(), 7, "{equals:?}");
    }
    assert_eq!(house.balance(account).await, 45);
    house.assert_sound(5).await;
}

#[tokio::test]
async fn a_message_that_is_refused_for_another_reason_is_not_a_first_one() {
    let house = house();
    let account = house.account(1).await;
    let dear = NewMessage { price: 2, ..equal(7) };
    let writes = [dear.clone(), dear.clone(), equal(7)].map(|m| -> Pin<Box<dyn Future<Output = Accepted>>> {
        Box::pin(house.try_accept(account, Lane::Bulk, m, None))
    });
    let done = together(&house.store, writes).await;
    assert!(done[..2].iter().all(|d| matches!(d, Ok(Err(Refused::NoBalance)))), "{done:?}");
    assert!(matches!(done[2], Ok(Ok(_))), "{done:?}");
    house.assert_sound(1).await;
}

#[tokio::test]
async fn a_batch_is_held_against_single_messages_and_against_itself() {
    let house = house();
    let account = house.account(50).await;
    let first = house.accept(account, Lane::Auth, equal(1)).await;
    let request = house.store.new_id().unwrap();
    let rows = vec![equal(2), equal(1), sms(1), equal(2), equal(3)];
    let one = house.stage(request, account, Lane::Bulk, rows).await;
    assert_eq!(one.duplicates, [(1, Some(first)), (3, Some(0))]);
    let two = house.stage(request, account, Lane::Ad, vec![equal(3), equal(4)]).await;
    assert_eq!(two.duplicates, [(0, Some(0))], "a twin in another slice is only staged, too");
    assert_eq!(again(&house, account, equal(2)).await, Err(Refused::Duplicate(0)), "and has no name for others");
    let slices = vec![one.slice.unwrap(), two.slice.unwrap()];
    house.store.commit_batch(batch_commit(request, account, slices.clone(), 4)).await.unwrap().unwrap();
    assert_eq!(again(&house, account, equal(2)).await, Err(Refused::Duplicate(slices[0].first)));
    assert_eq!(again(&house, account, equal(4)).await, Err(Refused::Duplicate(slices[1].first)));
    house.assert_sound(5).await;
}

#[tokio::test]
async fn what_a_discarded_slice_held_is_free_again() {
    let mut house = house();
    let account = house.account(50).await;
    let request = house.store.new_id().unwrap();
    let staged = house.stage(request, account, Lane::Bulk, vec![equal(1), equal(2)]).await;
    house.store.discard(vec![staged.slice.unwrap()]).await.unwrap();
    let first = house.accept(account, Lane::Bulk, equal(1)).await;
    assert_eq!(again(&house, account, equal(1)).await, Err(Refused::Duplicate(first)));
    house.stage(request, account, Lane::Bulk, vec![equal(3)]).await;
    house = house.crash();
    house.sweep().await;
    again(&house, account, equal(2)).await.unwrap();
    again(&house, account, equal(3)).await.unwrap();
    house.assert_sound(3).await;
}

#[tokio::test]
async fn a_message_that_never_reached_its_recipient_may_be_repeated() {
    let house = house();
    let account = house.account(50).await;
    let claimed = async |content: i64| {
        let id = house.accept(account, Lane::Bulk, equal(content)).await;
        let run = house.run_of(account, Lane::Bulk, id).await;
        house.claim(&run, &[0]).await;
        id
    };
    let end = |id, status, code| {
        let refund = Some((account, Unit::PointSms, 1));
        Change::Final(Final { id, attempt: 1, status, code, outcome: None, at: house.now(), refund })
    };
    let unknown = |id| Change::Unknown(Unknown { id, attempt: 1, relay: 0, account, recipient: 1, since: house.now() });
    let no_answer = |id| attempt_as(&house, id, 1, 0, None, Outcome::Unknown, Code::VendorTimeout, Status::Sending);

    let canceled = house.accept(account, Lane::Bulk, equal(1)).await;
    house.store.cancel(Some(account), canceled).await.unwrap();
    let ids = [claimed(2).await, claimed(3).await, claimed(4).await];
    house.apply(vec![end(ids[0], Status::Failed, Code::RouteDown)]).await;
    house.apply(vec![end(ids[1], Status::Expired, Code::ExpiredBeforeSend)]).await;
    house.apply(vec![submitted(&house, ids[2], 1, 0, "a"), failed(&house, ids[2], 1, account, 1)]).await;
    for content in 1..=4 {
        let second = again(&house, account, equal(content)).await.unwrap();
        assert_eq!(again(&house, account, equal(content)).await, Err(Refused::Duplicate(second)), "{content}");
    }

    let ids = [claimed(5).await, claimed(6).await, claimed(7).await, claimed(8).await];
    house.apply(vec![submitted(&house, ids[0], 1, 0, "b")]).await;
    house.apply(vec![submitted(&house, ids[1], 1, 0, "c"), delivered(&house, ids[1], 1)]).await;
    let no_result = end(ids[2], Status::Expired, Code::ResultTimeout);
    house.apply(vec![submitted(&house, ids[2], 1, 0, "d"), no_result]).await;
    // The first relay may have sent it; that the others refused it says nothing about that.
    house.apply(vec![no_answer(ids[3]), unknown(ids[3])]).await;
    house.apply(vec![end(ids[3], Status::Failed, Code::NoRoute)]).await;
    for (content, id) in (5..).zip(ids) {
        assert_eq!(again(&house, account, equal(content)).await, Err(Refused::Duplicate(id)), "{content}");
    }
    house.assert_sound(12).await;
}

#[tokio::test]
async fn an_accounts_window_is_kept_and_has_a_limit() {
    let house = house();
    let account = house.account(0).await;
    assert_eq!(accounts::get(&house.store, account).await.unwrap().dedupe_s, 0, "off at first");
    let to = async |dedupe_s| {
        accounts::patch(&house.store, account, AccountPatch { dedupe_s: Some(dedupe_s), ..AccountPatch::default() })
            .await
    };
    assert_eq!(to(DEDUPE_MAX_S).await.unwrap().dedupe_s, DEDUPE_MAX_S);
    assert_eq!(to(DEDUPE_MAX_S + 1).await.unwrap_err().kind(), Kind::Invalid("dedupeS"));
    let house = house.reopen();
    let rename = AccountPatch { name: Some("다른".into()), ..AccountPatch::default() };
    assert_eq!(accounts::patch(&house.store, account, rename).await.unwrap().dedupe_s, DEDUPE_MAX_S);
    assert_eq!(accounts::create_with(&house.store, "새", 30).await.unwrap().dedupe_s, 30);
    let wide = accounts::create_with(&house.store, "새", DEDUPE_MAX_S + 1).await.unwrap_err();
    assert_eq!(wide.kind(), Kind::Invalid("dedupeS"));
    assert_eq!(accounts::list(&house.store, 2, None).await.unwrap()[0].dedupe_s, 30);
}
