//! Exactly once: idempotency keys and the callers' own references.

use std::time::Duration;

use bongsu_domain::{Clock, Lane, Timestamp};
use bongsu_store::accept::{BatchCommit, NewMessage, Refused, Seen};
use bongsu_store::query::Filter;

use crate::house::{batch_commit, house, key, sms, together};

fn with_ref(client_ref: i64) -> NewMessage {
    NewMessage { client_ref: Some(client_ref), ..sms(1) }
}

#[tokio::test]
async fn the_same_key_answers_the_same_and_another_body_is_told_apart() {
    let mut house = house();
    let account = house.account(10).await;
    assert_eq!(house.store.seen(key(5, 1)).await.unwrap(), None);
    let (id, body) = house.try_accept(account, Lane::Bulk, sms(1), Some(key(5, 1))).await.unwrap().unwrap();
    assert_eq!(body, id.to_string().into_bytes());
    for turn in 0..3 {
        let answer = Seen::Answer(202, body.clone());
        assert_eq!(house.store.seen(key(5, 1)).await.unwrap(), Some(answer.clone()));
        assert_eq!(house.store.seen(key(5, 2)).await.unwrap(), Some(Seen::OtherBody));
        let again = house.try_accept(account, Lane::Auth, sms(1), Some(key(5, 1))).await.unwrap();
        assert_eq!(again, Err(Refused::Seen(answer)));
        let other = house.try_accept(account, Lane::Bulk, sms(1), Some(key(5, 2))).await.unwrap();
        assert_eq!(other, Err(Refused::Seen(Seen::OtherBody)));
        assert_eq!(house.balance(account).await, 9);
        house = if turn == 0 { house.crash() } else { house.reopen() };
    }
    house.assert_sound(1).await;
}

#[tokio::test]
async fn a_batch_has_its_key_with_its_rows_or_not_at_all() {
    let house = house();
    let account = house.account(5).await;
    let commit = async |amount: i64| {
        let request = house.store.new_id().unwrap();
        let slice = house.stage(request, account, Lane::Bulk, vec![sms(1); 3]).await.slice.unwrap();
        let idempotency = Some((key(8, 1), 202, b"answer".to_vec()));
        let commit = BatchCommit { idempotency, ..batch_commit(request, account, vec![slice], amount) };
        let done = house.store.commit_batch(commit).await.unwrap();
        if done.is_err() {
            house.store.discard(vec![slice]).await.unwrap();
        }
        done
    };
    assert_eq!(commit(6).await, Err(Refused::NoBalance));
    assert_eq!(house.store.seen(key(8, 1)).await.unwrap(), None);
    assert_eq!(commit(3).await, Ok(()));
    assert_eq!(commit(3).await, Err(Refused::Seen(Seen::Answer(202, b"answer".to_vec()))));
    assert_eq!(house.balance(account).await, 2);
    house.assert_sound(3).await;
}

#[tokio::test]
async fn a_refused_message_does_not_use_its_key_up() {
    let house = house();
    let account = house.account(1).await;
    let refused = house.try_accept(account, Lane::Bulk, sms(2), Some(key(1, 1))).await.unwrap();
    assert_eq!(refused, Err(Refused::NoBalance));
    house.try_accept(account, Lane::Bulk, sms(1), Some(key(1, 2))).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_same_key_twice_in_one_commit_is_accepted_once() {
    let house = house();
    let account = house.account(10).await;
    let writes = Lane::ALL.into_iter().chain(Lane::ALL).map(|lane| -> std::pin::Pin<Box<dyn Future<Output = _>>> {
        Box::pin(house.try_accept(account, lane, sms(1), Some(key(3, 1))))
    });
    let done = together(&house.store, writes).await;
    assert_eq!(done.iter().filter(|d| matches!(d, Ok(Ok(_)))).count(), 1);
    assert_eq!(done.iter().filter(|d| matches!(d, Ok(Err(Refused::Seen(_))))).count(), 7);
    house.assert_sound(1).await;
}

#[tokio::test]
async fn a_key_is_free_again_after_a_day() {
    let house = house();
    let account = house.account(10).await;
    house.try_accept(account, Lane::Bulk, sms(1), Some(key(3, 1))).await.unwrap().unwrap();
    house.pass(86_400_000 - 1_000);
    house.store.clean(Timestamp(0), Timestamp(0)).await.unwrap();
    assert!(house.store.seen(key(3, 1)).await.unwrap().is_some());
    house.pass(2_000);
    house.store.clean(Timestamp(0), house.clock.now().minus(Duration::from_secs(600))).await.unwrap();
    assert_eq!(house.store.seen(key(3, 1)).await.unwrap(), None);
    house.try_accept(account, Lane::Bulk, sms(1), Some(key(3, 2))).await.unwrap().unwrap();
}

#[tokio::test]
async fn one_cleaning_removes_all_keys_that_are_over() {
    let house = house();
    let account = house.account(2_000).await;
    let equal = |n: i64| NewMessage { dedupe: Some((n, 60_000)), ..sms(1) };
    let writes = (0..1_100).map(|n| -> std::pin::Pin<Box<dyn Future<Output = _>>> {
        Box::pin(house.try_accept(account, Lane::Bulk, equal(n), Some(key(n, 1))))
    });
    let done = together(&house.store, writes).await;
    assert!(done.iter().all(|done| matches!(done, Ok(Ok(_)))));
    house.pass(86_400_000 + 1_000);
    house.store.clean(Timestamp(0), Timestamp(0)).await.unwrap();
    let count = "SELECT (SELECT COUNT(*) FROM idempotency) + (SELECT COUNT(*) FROM dedupe)";
    let left: i64 = house.store.read(move |reader| reader.live.query_row(count, (), |row| row.get(0))).await.unwrap();
    assert_eq!(left, 0);
    house.assert_sound(1_100).await;
}

#[tokio::test]
async fn a_client_reference_is_taken_by_one_message() {
    let mut house = house();
    let account = house.account(50).await;
    let id = house.accept(account, Lane::Bulk, with_ref(4)).await;
    for turn in 0..3 {
        let again = house.try_accept(account, Lane::Auth, with_ref(4), None).await.unwrap();
        assert_eq!(again, Err(Refused::DuplicateClientRef));
        let request = house.store.new_id().unwrap();
        let staged = house.stage(request, account, Lane::Bulk, vec![with_ref(4), with_ref(90 + turn)]).await;
        assert_eq!((staged.duplicates.as_slice(), staged.slice.unwrap().count), ([(0, None)].as_slice(), 1));
        let filter = Filter { account: Some(account), client_ref: Some(4), ..Filter::default() };
        assert_eq!(house.ids(filter, 10).await, [id]);
        house = if turn == 0 { house.crash() } else { house.reopen() };
    }
    assert_eq!(house.balance(account).await, 49);
    house.assert_sound(1).await;
}

#[tokio::test]
async fn duplicates_in_one_batch_and_in_one_commit_are_refused() {
    let house = house();
    let account = house.account(50).await;
    let request = house.store.new_id().unwrap();
    let rows = vec![with_ref(1), sms(1), with_ref(2), with_ref(1), with_ref(3), with_ref(2)];
    let staged = house.stage(request, account, Lane::Bulk, rows).await;
    assert_eq!(staged.duplicates, [(3, None), (5, None)]);
    let later = house.stage(request, account, Lane::Bulk, vec![with_ref(3)]).await;
    assert_eq!((later.duplicates, later.slice), (vec![(0, None)], None));
    house.store.commit_batch(batch_commit(request, account, vec![staged.slice.unwrap()], 4)).await.unwrap().unwrap();

    let writes = (0..40).map(|n| -> std::pin::Pin<Box<dyn Future<Output = _>>> {
        Box::pin(house.try_accept(account, Lane::ALL[n % 4], with_ref(10 + n as i64 / 8), None))
    });
    let done = together(&house.store, writes).await;
    assert_eq!(done.iter().filter(|d| matches!(d, Ok(Ok(_)))).count(), 5);
    assert_eq!(done.iter().filter(|d| matches!(d, Ok(Err(Refused::DuplicateClientRef)))).count(), 35);
    house.assert_sound(9).await;
}

#[tokio::test]
async fn the_reference_of_a_discarded_slice_is_free_again() {
    let mut house = house();
    let account = house.account(50).await;
    let request = house.store.new_id().unwrap();
    let staged = house.stage(request, account, Lane::Bulk, vec![with_ref(1), with_ref(2)]).await;
    let filter = Filter { account: Some(account), client_ref: Some(1), ..Filter::default() };
    assert_eq!(house.ids(filter.clone(), 10).await, Vec::<i64>::new(), "a staged row is not found by its reference");
    house.store.discard(vec![staged.slice.unwrap()]).await.unwrap();
    let id = house.accept(account, Lane::Bulk, with_ref(1)).await;
    assert_eq!(house.ids(filter, 10).await, [id]);
    house.stage(request, account, Lane::Bulk, vec![with_ref(3)]).await;
    house = house.crash();
    house.sweep().await;
    house.accept(account, Lane::Bulk, with_ref(2)).await;
    house.accept(account, Lane::Bulk, with_ref(3)).await;
    house.assert_sound(3).await;
}
