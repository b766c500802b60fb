//! Accepting in two processes at once: one message for one key, and never more than the balance.

use bongsu_domain::{AccountId, Lane};
use bongsu_store::accept::{BatchCommit, IdempotencyKey, NewMessage, Refused, Seen, SingleReply};

use super::{Write, shuffled, two};
use crate::house::{House, at_once, batch_commit, key, sms};

/// An accept that waits to be let go.
fn accept(
    house: &House,
    account: AccountId,
    message: NewMessage,
    key: Option<IdempotencyKey>,
) -> Write<'_, SingleReply> {
    Box::pin(house.try_accept(account, Lane::Bulk, message, key))
}

/// Fires the same `count` messages at two processes at once, each in an order of its own. Answers what each said, by number.
async fn pairs(
    one: &House,
    other: &House,
    count: i64,
    make: impl Fn(i64) -> (AccountId, NewMessage, Option<IdempotencyKey>),
) -> Vec<[Result<(i64, Vec<u8>), Refused>; 2]> {
    let orders = [shuffled(count, 1).collect::<Vec<_>>(), shuffled(count, 5).collect()];
    let writes = (0..count as usize).flat_map(|at| [(one, orders[0][at]), (other, orders[1][at])]).map(|(house, n)| {
        let (account, message, key) = make(n);
        accept(house, account, message, key)
    });
    let mut said = at_once(&[&one.store, &other.store], writes).await.into_iter();
    let mut pairs: Vec<[Option<_>; 2]> = (0..count).map(|_| [None, None]).collect();
    for at in 0..count as usize {
        for side in 0..2 {
            pairs[orders[side][at] as usize][side] = Some(said.next().unwrap().unwrap());
        }
    }
    pairs.into_iter().map(|pair| pair.map(Option::unwrap)).collect()
}

/// The one of a pair that was accepted, and what the other was told.
fn winner(pair: [Result<(i64, Vec<u8>), Refused>; 2]) -> ((i64, Vec<u8>), Refused) {
    match pair {
        [Ok(won), Err(lost)] | [Err(lost), Ok(won)] => (won, lost),
        other => panic!("one of two is accepted: {other:?}"),
    }
}

#[tokio::test]
async fn a_thousand_pairs_of_identical_requests_are_a_thousand_messages_with_the_same_answers() {
    let (one, other) = two();
    let account = one.account(2_000).await;
    for ((id, answer), told) in
        pairs(&one, &other, 1_000, |n| (account, sms(1), Some(key(n, 1)))).await.into_iter().map(winner)
    {
        assert_eq!(answer, id.to_string().into_bytes());
        assert_eq!(told, Refused::Seen(Seen::Answer(202, answer)));
    }
    assert_eq!(one.balance(account).await, 1_000);
    one.assert_sound(1_000).await;
}

#[tokio::test]
async fn a_key_whose_time_is_over_is_used_again_once() {
    let (one, other) = two();
    let account = one.account(1_000).await;
    let same = |n| (account, sms(1), Some(key(n, 1)));
    pairs(&one, &other, 200, same).await.into_iter().map(winner).for_each(drop);
    one.next_day().await;
    one.pass(1_000);
    for ((_, answer), told) in pairs(&one, &other, 200, same).await.into_iter().map(winner) {
        assert_eq!(told, Refused::Seen(Seen::Answer(202, answer)), "the answer of today");
    }
    one.assert_sound(400).await;
}

#[tokio::test]
async fn two_bodies_under_one_key_at_once_are_told_apart() {
    let (one, other) = two();
    let account = one.account(100).await;
    let bodies = std::cell::Cell::new(0);
    let pairs = pairs(&one, &other, 50, |n| {
        bodies.set(bodies.get() + 1);
        (account, sms(1), Some(key(n, bodies.get() % 2)))
    });
    for (_, told) in pairs.await.into_iter().map(winner) {
        assert_eq!(told, Refused::Seen(Seen::OtherBody));
    }
    one.assert_sound(50).await;
}

#[tokio::test]
async fn a_client_reference_used_in_two_processes_at_once_is_one_message() {
    let (one, other) = two();
    let account = one.account(1_000).await;
    let referenced = |n| (account, NewMessage { client_ref: Some(n), ..sms(1) }, None);
    for (_, told) in pairs(&one, &other, 300, referenced).await.into_iter().map(winner) {
        assert_eq!(told, Refused::DuplicateClientRef);
    }
    assert_eq!(one.balance(account).await, 700);
    one.assert_sound(300).await;
}

#[tokio::test]
async fn the_same_content_in_two_processes_at_once_is_one_message() {
    let (one, other) = two();
    let account = one.account(1_000).await;
    let equal = |n| (account, NewMessage { dedupe: Some((n, 60_000)), ..sms(1) }, None);
    for ((id, _), told) in pairs(&one, &other, 300, equal).await.into_iter().map(winner) {
        assert_eq!(told, Refused::Duplicate(id), "it names the first");
    }
    one.assert_sound(300).await;
    one.pass(60_001);
    for (_, told) in pairs(&one, &other, 20, equal).await.into_iter().map(winner) {
        assert!(matches!(told, Refused::Duplicate(_)), "after the window the key is used again, once");
    }
    one.assert_sound(320).await;
}

#[tokio::test]
async fn a_balance_for_100_accepts_exactly_100_of_two_times_500() {
    let (one, other) = two();
    let account = one.account(100).await;
    let writes = (0..1_000).map(|n| accept(if n % 2 == 0 { &one } else { &other }, account, sms(1), None));
    let said = at_once(&[&one.store, &other.store], writes).await;
    assert_eq!(said.iter().filter(|said| matches!(said, Ok(Ok(_)))).count(), 100);
    assert_eq!(said.iter().filter(|said| matches!(said, Ok(Err(Refused::NoBalance)))).count(), 900);
    assert_eq!(one.balance(account).await, 0);
    one.assert_sound(100).await;
}

#[tokio::test]
async fn batches_and_singles_of_two_processes_never_take_more_than_the_balance() {
    let (one, other) = two();
    let account = one.account(1_000).await;
    let mut staged = Vec::new();
    for n in 0..12 {
        let house = if n % 2 == 0 { &one } else { &other };
        let request = house.store.new_id().unwrap();
        let slice = house.stage(request, account, Lane::Bulk, vec![sms(1); 150]).await.slice.unwrap();
        staged.push((house, request, slice));
    }
    let batches = staged.iter().map(|(house, request, slice)| -> Write<'_, Option<u32>> {
        let commit = batch_commit(*request, account, vec![*slice], 150);
        Box::pin(async move { house.store.commit_batch(commit).await.unwrap().ok().map(|()| 150) })
    });
    let singles = (0..400).map(|n| -> Write<'_, Option<u32>> {
        let accept = accept(if n % 2 == 0 { &one } else { &other }, account, sms(1), None);
        Box::pin(async move { accept.await.unwrap().ok().map(|_| 1) })
    });
    let said = at_once(&[&one.store, &other.store], batches.chain(singles)).await;
    let taken: u32 = said.iter().flatten().sum();
    assert!((851..=1_000).contains(&taken), "{taken} of 1,000");
    assert_eq!(one.balance(account).await, 1_000 - i64::from(taken));
    one.assert_sound(taken as usize).await;
}

#[tokio::test]
async fn a_batch_sent_to_two_processes_at_once_exists_once() {
    let (one, other) = two();
    let account = one.account(10_000).await;
    let mut staged = Vec::new();
    for n in 0..40 {
        for house in [&one, &other] {
            let request = house.store.new_id().unwrap();
            let slice = house.stage(request, account, Lane::Bulk, vec![sms(1); 5]).await.slice.unwrap();
            let answer = request.to_string().into_bytes();
            let commit = BatchCommit {
                idempotency: Some((key(n, 1), 202, answer.clone())),
                ..batch_commit(request, account, vec![slice], 5)
            };
            staged.push((house, commit, answer));
        }
    }
    let answers: Vec<Vec<u8>> = staged.iter().map(|(.., answer)| answer.clone()).collect();
    let writes = staged.into_iter().map(|(house, commit, _)| -> Write<'_, _> {
        Box::pin(async move { house.store.commit_batch(commit).await.unwrap() })
    });
    let said = at_once(&[&one.store, &other.store], writes).await;
    for (pair, answers) in said.chunks(2).zip(answers.chunks(2)) {
        let won = usize::from(pair[0].is_err());
        let told = Refused::Seen(Seen::Answer(202, answers[won].clone()));
        assert_eq!((&pair[won], &pair[1 - won]), (&Ok(()), &Err(told)));
    }
    assert_eq!(one.balance(account).await, 9_800);
    one.assert_sound(200).await;
}
