//! Results in two processes at once: one final result and one refund for a message, and one answer to a dead process's claims.

use bongsu_domain::{Lane, Status};
use bongsu_store::Kind;
use bongsu_store::changes::{Change, Receipt, Verdict};

use super::{Write, beside, policy, two};
use crate::house::{House, at_once, delivered, due_at, failed, refused, submitted};

#[tokio::test]
async fn results_of_a_message_in_two_processes_are_one_final_result_and_one_refund() {
    let (one, other) = two();
    let account = one.account(1_000).await;
    let run = one.accept_many(account, Lane::Bulk, 240).await;
    one.claim(&run, &[0; 240]).await;
    one.apply((run.first..=run.last()).map(|id| submitted(&one, id, 1, 0, "a")).collect()).await;
    let ids: Vec<i64> = (run.first..=run.last()).collect();
    let mut backwards = ids.clone();
    backwards.reverse();
    let end = |house: &House, id: i64| match id % 3 {
        0 => vec![delivered(house, id, 1)],
        _ => {
            let raw = b"stat:UNDELIV".to_vec();
            let at = bongsu_domain::Clock::now(&*house.clock);
            let receipt = Receipt { id, attempt: 1, part: 0, at, verdict: Verdict::Decided, raw };
            vec![Change::Receipt(receipt), failed(house, id, 1, account, 1)]
        }
    };
    let parts: Vec<(&House, &[i64])> =
        ids.chunks(12).map(|part| (&one, part)).chain(backwards.chunks(7).map(|part| (&other, part))).collect();
    let writes = parts.iter().map(|(house, part)| -> Write<'_, Vec<bool>> {
        let changes = part.iter().flat_map(|id| end(house, *id)).collect();
        Box::pin(house.apply(changes))
    });
    let firsts = at_once(&[&one.store, &other.store], writes).await;
    let mut times = std::collections::HashMap::new();
    for ((_, part), firsts) in parts.iter().zip(firsts) {
        for (id, first) in part.iter().zip(firsts) {
            *times.entry(*id).or_insert(0) += usize::from(first);
        }
    }
    assert!(ids.iter().all(|id| times[id] == 1), "{times:?}");
    let refunded = ids.iter().filter(|id| *id % 3 != 0).count() as i64;
    assert_eq!(one.balance(account).await, 1_000 - 240 + refunded);
    for id in &ids {
        let expected = if id % 3 == 0 { Status::Delivered } else { Status::Undelivered };
        let found = one.see(*id).await.unwrap();
        assert_eq!((found.row.status, found.row.late), (expected, true), "the second one is late");
    }
    one.assert_sound(240).await;
}

#[tokio::test]
async fn a_cancel_in_two_processes_at_once_refunds_once() {
    let (one, other) = two();
    let account = one.account(1_000).await;
    let run = one.accept_many(account, Lane::Bulk, 60).await;
    let writes = (run.first..=run.last()).flat_map(|id| {
        [&one, &other].map(|house| -> Write<'_, Result<(), Kind>> {
            Box::pin(async move { house.store.cancel(Some(account), id).await.map_err(|e| e.kind()) })
        })
    });
    for pair in at_once(&[&one.store, &other.store], writes).await.chunks(2) {
        let late = Err(Kind::Conflict("sent"));
        assert!(pair == [Ok(()), late] || pair == [late, Ok(())], "{pair:?}");
    }
    assert_eq!(one.balance(account).await, 1_000);
    one.assert_sound(60).await;
}

#[tokio::test]
async fn only_claims_of_dead_processes_are_settled() {
    let (one, other) = two();
    let dead = beside(&one);
    let account = one.account(1_000).await;
    let mut firsts = Vec::new();
    for house in [&one, &other, &dead] {
        let run = one.accept_many(account, Lane::Bulk, 4).await;
        house.claim(&run, &[0; 4]).await;
        firsts.push(run.first);
    }
    assert_eq!(one.store.settle_claims(policy(), 10).await.unwrap(), 0, "all of them live");
    let owner = dead.store.leases().unwrap().owner();
    dead.ground.abandon(&dead.store);
    assert_eq!(one.store.settle_claims(policy(), 10).await.unwrap(), 0, "its lease has not ended");
    one.ground.sql(&format!("UPDATE leases SET until = 0 WHERE owner = {owner}"));
    assert_eq!(other.store.settle_claims(policy(), 10).await.unwrap(), 1);
    assert_eq!(one.store.settle_claims(policy(), 10).await.unwrap(), 0);
    let due: Vec<i64> = one.due().await.into_iter().map(|due| due.id).collect();
    assert_eq!(due, (firsts[2]..firsts[2] + 4).collect::<Vec<_>>());
    assert_eq!(one.store.unknown_open().await.unwrap(), 4);
    one.assert_sound(12).await;
}

#[tokio::test]
async fn what_the_living_claimed_anew_is_not_settled_for_the_dead() {
    let (one, other) = two();
    let dead = beside(&one);
    let account = one.account(1_000).await;
    let run = one.accept_many(account, Lane::Bulk, 4).await;
    dead.claim(&run, &[0; 4]).await;
    let id = |at: i64| run.first + at;
    // Two come back unsent, one is refused and tried again, one nobody knows about.
    let due = |id, attempt| due_at(one.now(), id, attempt, Lane::Bulk, account);
    let due = [due(id(0), 1), due(id(1), 1), due(id(2), 2)];
    dead.apply(vec![refused(&dead, id(2), 1, 0)]).await;
    dead.apply(due.iter().copied().map(Change::Due).collect()).await;
    other.claim_due(&[due[0], due[2]], &[1, 1]).await;
    let owner = dead.store.leases().unwrap().owner();
    dead.ground.abandon(&dead.store);
    one.ground.sql(&format!("UPDATE leases SET until = 0 WHERE owner = {owner}"));
    assert_eq!(one.store.settle_claims(policy(), 10).await.unwrap(), 1);
    let mut left: Vec<i64> = one.due().await.into_iter().map(|due| due.id).collect();
    left.sort_unstable();
    assert_eq!(left, [id(1), id(3)], "the living process has the others");
    assert_eq!(one.store.unknown_open().await.unwrap(), 1);
    one.assert_sound(4).await;
}

#[tokio::test]
async fn two_processes_that_settle_the_same_claims_make_each_message_due_once() {
    let (one, other) = two();
    let dead = beside(&one);
    let account = one.account(1_000).await;
    for _ in 0..12 {
        let run = one.accept_many(account, Lane::Bulk, 4).await;
        dead.claim(&run, &[0; 4]).await;
    }
    dead.ground.abandon(&dead.store);
    let alive = [&one, &other].map(|house| house.store.leases().unwrap().owner().to_string()).join(", ");
    one.ground.sql(&format!("UPDATE leases SET until = 0 WHERE owner NOT IN ({alive})"));
    let settle = |house: &House, n: u64| {
        // What is due is written with the moment it was decided, which is another one in another process.
        house.pass(n as i64);
        let store = house.store.clone();
        async move { store.settle_claims(policy(), 3).await.unwrap() }
    };
    let writes = (0..16).map(|n| -> Write<'_, usize> { Box::pin(settle(if n % 2 == 0 { &one } else { &other }, n)) });
    let settled: usize = at_once(&[&one.store, &other.store], writes).await.iter().sum();
    assert_eq!(settled, 12);
    let mut due: Vec<i64> = one.due().await.into_iter().map(|due| due.id).collect();
    due.sort_unstable();
    let before = due.len();
    due.dedup();
    assert_eq!((before, due.len()), (48, 48));
    one.assert_sound(48).await;
}

#[tokio::test]
async fn a_parked_message_is_replayed_once() {
    let (one, other) = two();
    let account = one.account(100).await;
    let run = one.accept_many(account, Lane::Bulk, 20).await;
    one.claim(&run, &[0; 20]).await;
    let at = one.now();
    let park = |id| Change::Park { id, account, attempt: 1, lane: Lane::Bulk, at, reason: "unreadable".into() };
    one.apply((run.first..=run.last()).map(park).collect()).await;
    let writes = (run.first..=run.last()).flat_map(|id| {
        [&one, &other]
            .map(|house| -> Write<'_, bool> { Box::pin(async move { house.store.replay(None, id).await.is_ok() }) })
    });
    let done = at_once(&[&one.store, &other.store], writes).await;
    assert!(done.chunks(2).all(|pair| pair[0] != pair[1]), "{done:?}");
    assert_eq!(one.due().await.len(), 20);
}
