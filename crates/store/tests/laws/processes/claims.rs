//! Claiming in two processes at once: every message is claimed by one, and never canceled as well.

use bongsu_domain::{Lane, Status};
use bongsu_store::Kind;
use bongsu_store::changes::Change;
use bongsu_store::claims::{Due, Taken};

use super::{Write, two};
use crate::house::{House, at_once, due_at, house, refused};

/// What one process did to a message, or why not.
#[derive(Debug, PartialEq)]
enum Did {
    Claimed(Taken),
    Ended(Result<(), Kind>),
}

#[tokio::test]
async fn a_run_is_claimed_by_one_of_two_processes() {
    let (one, other) = two();
    let account = one.account(1_000).await;
    let mut runs = Vec::new();
    for _ in 0..60 {
        runs.push(one.accept_many(account, Lane::Bulk, 5).await);
    }
    let writes = runs.iter().flat_map(|run| {
        [&one, &other].map(|house| -> Write<'_, Taken> { Box::pin(async { house.claim(run, &[0; 5]).await.1 }) })
    });
    let taken = at_once(&[&one.store, &other.store], writes).await;
    for pair in taken.chunks(2) {
        assert!(matches!(pair, [Taken::Whole, Taken::Stale] | [Taken::Stale, Taken::Whole]), "{pair:?}");
    }
    assert_eq!(one.store.waiting_runs(Lane::Bulk, account, 0, 100).await.unwrap(), []);
}

#[tokio::test]
async fn a_message_is_claimed_or_canceled_but_never_both() {
    let (one, other) = two();
    let account = one.account(1_000).await;
    let mut runs = Vec::new();
    for _ in 0..60 {
        runs.push(one.accept_many(account, Lane::Bulk, 3).await);
    }
    let writes = runs.iter().flat_map(|run| -> [Write<'_, Did>; 2] {
        let claim = async { Did::Claimed(one.claim(run, &[0; 3]).await.1) };
        let cancel = async { Did::Ended(other.store.cancel(Some(account), run.first + 1).await.map_err(|e| e.kind())) };
        [Box::pin(claim), Box::pin(cancel)]
    });
    let did = at_once(&[&one.store, &other.store], writes).await;
    let mut canceled = 0;
    for (pair, run) in did.chunks(2).zip(&runs) {
        let status = one.status(run.first + 1).await.unwrap();
        match pair {
            [Did::Claimed(Taken::Whole), Did::Ended(Err(Kind::Conflict("sent")))] => {
                assert_eq!(status, Status::Sending)
            }
            [Did::Claimed(Taken::Stale), Did::Ended(Ok(()))] => assert_eq!(status, Status::Canceled),
            both => panic!("{both:?}"),
        }
        canceled += i64::from(status == Status::Canceled);
    }
    assert_eq!(one.balance(account).await, 1_000 - 180 + canceled);
    one.assert_sound(180).await;
}

#[tokio::test]
async fn a_message_is_claimed_or_expires_but_never_both() {
    let (one, other) = two();
    let account = one.account(1_000).await;
    let mut runs = Vec::new();
    for _ in 0..40 {
        let dies = bongsu_store::accept::NewMessage { expires_ms: 1_000, ..crate::house::sms(1) };
        let slice = one.batch(account, Lane::Bulk, vec![dies; 3]).await;
        runs.push(one.run(slice.first).await);
    }
    one.pass(2_000);
    // It looks for them beside the writer, so it is not held: it begins when the claims do.
    let claims = runs.iter().map(|run| -> Write<'_, Taken> { Box::pin(async { one.claim(run, &[0; 3]).await.1 }) });
    let held = [&one.store];
    let (taken, ended) = tokio::join!(at_once(&held, claims), other.store.expire_waiting(100));
    let claimed = taken.iter().filter(|taken| **taken == Taken::Whole).count();
    assert_eq!(ended.unwrap() as usize, (40 - claimed) * 3);
    for (taken, run) in taken.iter().zip(&runs) {
        let expected = if *taken == Taken::Whole { Status::Sending } else { Status::Expired };
        assert_eq!(one.status(run.first).await, Some(expected), "{taken:?}");
    }
    one.assert_sound(120).await;
}

async fn due_of(house: &House, count: usize) -> Vec<Due> {
    let account = house.account(1_000).await;
    let run = house.accept_many(account, Lane::Bulk, count).await;
    house.claim(&run, &vec![0; count]).await;
    let due: Vec<Due> = (run.first..=run.last()).map(|id| due_at(house.now(), id, 2, Lane::Bulk, account)).collect();
    house.apply(due.iter().map(|due| refused(house, due.id, 1, 0)).collect()).await;
    house.apply(due.iter().copied().map(Change::Due).collect()).await;
    due
}

#[tokio::test]
async fn what_is_due_is_claimed_by_one_of_two_processes() {
    let (one, other) = two();
    let due = due_of(&one, 300).await;
    let mut backwards = due.clone();
    backwards.reverse();
    let (one, other) = (&one, &other);
    // Overlapping parts, taken from both ends.
    let parts = due.chunks(50).map(|part| (one, part)).chain(backwards.chunks(70).map(|part| (other, part)));
    let parts: Vec<_> = parts.collect();
    let writes = parts.iter().map(|(house, part)| -> Write<'_, Taken> {
        Box::pin(async { house.claim_due(part, &vec![1; part.len()]).await.1 })
    });
    let taken = at_once(&[&one.store, &other.store], writes).await;
    let mut times = std::collections::HashMap::new();
    for ((_, part), taken) in parts.iter().zip(&taken) {
        for (at, due) in part.iter().enumerate() {
            let got = match taken {
                Taken::Whole => true,
                Taken::Stale => false,
                Taken::Without(missing) => !missing.contains(&at),
            };
            *times.entry(due.id).or_insert(0) += usize::from(got);
        }
    }
    assert!(due.iter().all(|due| times[&due.id] == 1), "{times:?}");
    assert_eq!(one.due().await, []);
}

#[tokio::test]
async fn a_retry_is_claimed_or_canceled_but_never_both() {
    let (one, other) = two();
    let due = due_of(&one, 60).await;
    let queued = |due: &Due| {
        let (code, status) = (bongsu_domain::Code::RouteQueueFull, Status::Queued);
        crate::house::attempt_as(&one, due.id, 1, 0, None, bongsu_store::rows::Outcome::Refused, code, status)
    };
    one.apply(due.iter().map(queued).collect()).await;
    let writes = due.iter().flat_map(|due| -> [Write<'_, Did>; 2] {
        let claim = async { Did::Claimed(one.claim_due(&[*due], &[1]).await.1) };
        let cancel = async { Did::Ended(other.store.cancel(None, due.id).await.map_err(|e| e.kind())) };
        [Box::pin(claim), Box::pin(cancel)]
    });
    for pair in at_once(&[&one.store, &other.store], writes).await.chunks(2) {
        let whole = pair[0] == Did::Claimed(Taken::Whole);
        assert_eq!(pair[1], Did::Ended(if whole { Err(Kind::Conflict("sent")) } else { Ok(()) }), "{pair:?}");
    }
    one.assert_sound(60).await;
}

#[tokio::test]
async fn two_claims_of_every_run_in_opposite_orders_end() {
    let one = house();
    let other = super::beside(&one);
    let account = one.account(1_000).await;
    let mut runs = Vec::new();
    for _ in 0..24 {
        runs.push(one.accept_many(account, Lane::Bulk, 2).await);
    }
    let forth = runs.iter().map(|run| (&one, run));
    let back = runs.iter().rev().map(|run| (&other, run));
    let writes = forth
        .chain(back)
        .map(|(house, run)| -> Write<'_, Taken> { Box::pin(async { house.claim(run, &[0; 2]).await.1 }) });
    let taken = at_once(&[&one.store, &other.store], writes).await;
    assert_eq!(taken.iter().filter(|taken| **taken == Taken::Whole).count(), 24);
}
