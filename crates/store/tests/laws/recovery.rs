//! What a start makes of the claims that an earlier life left.

use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::{Code, Lane, Status};
use bongsu_store::changes::Change;
use bongsu_store::claims::{Due, DueKind, ENDS_HERE, NO_RELAY};
use bongsu_store::recovery::Policy;
use bongsu_store::rows::{Outcome, Run};

use crate::house::{House, attempt_as, delivered, due_at, house, refused, submitted};

const WAIT_MS: i64 = 60_000;
const DEADLINE_MS: i64 = 3 * 86_400_000;
/// A relay that must not get an unknown message twice.
const CAREFUL: u8 = 9;

/// Settles everything, as a start does; so many claims were left.
pub async fn settle(house: &House) -> usize {
    let policy = Arc::new(Policy {
        after_unknown: Box::new(|lane, relay| match (lane, relay) {
            (_, CAREFUL) => (Duration::from_millis(WAIT_MS as u64), DueKind::Expire),
            (Lane::Auth, _) => (Duration::ZERO, DueKind::Send),
            _ => (Duration::from_millis(WAIT_MS as u64), DueKind::Send),
        }),
        receipt_deadline: Duration::from_millis(DEADLINE_MS as u64),
        plain_recipient: Box::new(|row| row.recipient + 1_000),
    });
    let mut sum = 0;
    loop {
        let left = house.store.settle_claims(policy.clone(), 1).await.unwrap();
        if left == 0 {
            return sum;
        }
        sum += left;
    }
}

/// A run of claimed messages.
async fn claimed(house: &House, lane: Lane, relays: &[u8]) -> (Run, i64) {
    let account = house.account(100).await;
    let run = house.accept_many(account, lane, relays.len()).await;
    let (claim, _) = house.claim(&run, relays).await;
    (run, claim)
}

fn brief(due: &Due) -> (i64, u8, DueKind, i64) {
    (due.id, due.attempt, due.kind, due.at)
}

async fn attempts(house: &House, id: i64) -> (Status, u8, Option<Outcome>) {
    let row = house.see(id).await.unwrap().row;
    (row.status, row.attempt.attempt, row.attempt.outcome)
}

#[tokio::test]
async fn unanswered_messages_are_unknown_and_become_due_by_lane_and_relay() {
    let house = house();
    let (auth, _) = claimed(&house, Lane::Auth, &[1]).await;
    let (bulk, _) = claimed(&house, Lane::Bulk, &[2, NO_RELAY, CAREFUL]).await;
    house.pass(500);
    let house = house.crash();
    assert_eq!(settle(&house).await, 2);
    assert_eq!(settle(&house).await, 0);
    let now = house.now();
    let due = house.due().await;
    let expected = [
        (auth.first, 2, DueKind::Send, now),
        (bulk.first, 2, DueKind::Send, now + WAIT_MS),
        (bulk.first + 2, 2, DueKind::Expire, now + WAIT_MS),
    ];
    assert_eq!(due.iter().map(brief).collect::<Vec<_>>(), expected);
    assert_eq!((due[0].lane, due[1].account), (Lane::Auth, bulk.account));
    let sending = |relay| (Status::Sending, 1, Some(relay));
    assert_eq!(attempts(&house, auth.first).await, sending(Outcome::Unknown));
    assert_eq!(house.see(bulk.first + 2).await.unwrap().row.attempt.relay, Some(CAREFUL));
    assert_eq!(attempts(&house, bulk.first + 1).await.1, 0, "a place without a relay was never to be sent");
    let unknown = house.store.unknown_attempts(None, (i64::MAX, 0), 10).await.unwrap();
    assert_eq!(unknown.len(), 3);
    let found = house.unknown(1, 1_001, None).await.unwrap();
    assert_eq!((found.id, found.relay, found.since), (auth.first, 1, now));
    house.assert_sound(4).await;
}

#[tokio::test]
async fn submitted_messages_wait_for_their_receipts_on_disk() {
    let house = house();
    let (run, _) = claimed(&house, Lane::Bulk, &[2, 2, 2]).await;
    let at = house.now();
    let uncertain =
        |id| attempt_as(&house, id, 1, 2, Some("u"), Outcome::Uncertain, Code::VendorUncertain, Status::Uncertain);
    house
        .apply(vec![
            submitted(&house, run.first, 1, 2, "p0\t2\np1"),
            uncertain(run.first + 1),
            submitted(&house, run.first + 2, 1, 2, "f"),
            delivered(&house, run.first + 2, 1),
        ])
        .await;
    house.pass(5_000);
    let house = house.crash();
    assert_eq!(settle(&house).await, 1);
    assert_eq!(house.due().await, [], "what a relay has is not sent again");
    let find = async |id: &'static str| house.spilled(2, id, 1_001).await;
    let part = find("p1").await.expect("the open part is spilled");
    assert_eq!((part.id, part.attempt, part.part, part.parts), (run.first, 1, 1, 2));
    assert_eq!((part.recipient, part.deadline), (1_001, at + DEADLINE_MS));
    assert_eq!(find("p0").await, None, "this part has its receipt");
    assert!(find("u").await.is_some(), "an uncertain message waits for a later receipt");
    assert_eq!(find("f").await, None, "a final message waits for nothing");
    assert_eq!(attempts(&house, run.first).await, (Status::Submitted, 1, Some(Outcome::Submitted)));
    assert_eq!(attempts(&house, run.first + 1).await.0, Status::Uncertain);
}

#[tokio::test]
async fn refused_messages_whose_next_attempt_was_not_written_are_due_again() {
    let house = house();
    let (run, _) = claimed(&house, Lane::Bulk, &[2, 2]).await;
    let later = due_at(house.now() + 9_000, run.first + 1, 2, Lane::Bulk, run.account);
    let both = vec![refused(&house, run.first, 1, 2), refused(&house, run.first + 1, 1, 2), Change::Due(later)];
    house.apply(both).await;
    let house = house.crash();
    settle(&house).await;
    let expected = [(run.first, 2, DueKind::Send, house.now()), brief(&later)];
    assert_eq!(house.due().await.iter().map(brief).collect::<Vec<_>>(), expected);
    assert_eq!(house.totals().await.unknown_attempts, 0);
}

#[tokio::test]
async fn what_was_claimed_to_be_ended_is_decided_again() {
    let house = house();
    let (run, _) = claimed(&house, Lane::Bulk, &[ENDS_HERE, 2]).await;
    house.apply(vec![submitted(&house, run.first + 1, 1, 2, "a")]).await;
    let house = house.crash();
    settle(&house).await;
    assert_eq!(house.due().await, [due_at(house.now(), run.first, 1, Lane::Bulk, run.account)]);
    assert_eq!(attempts(&house, run.first).await.1, 0);
    assert_eq!(house.totals().await.unknown_attempts, 0);
}

#[tokio::test]
async fn a_message_that_was_put_back_unsent_is_due_once() {
    let house = house();
    let (run, _) = claimed(&house, Lane::Bulk, &[2, 2]).await;
    // The link went down before a byte was written: the same attempt is made again, while its claim stays open.
    let again = due_at(house.now() + 100, run.first, 1, Lane::Bulk, run.account);
    house.apply(vec![Change::Due(again), submitted(&house, run.first + 1, 1, 2, "a")]).await;
    let house = house.crash();
    settle(&house).await;
    assert_eq!(house.due().await, [again]);
    assert_eq!(house.totals().await.unknown_attempts, 0, "it never left, so it is not unknown");
}

#[tokio::test]
async fn a_message_in_two_claims_is_settled_by_its_newest_one() {
    let house = house();
    let (run, _) = claimed(&house, Lane::Bulk, &[2, 2, 2]).await;
    let due = [0, 1].map(|n| due_at(house.now(), run.first + n, 2, Lane::Bulk, run.account));
    let mut changes = vec![submitted(&house, run.first + 2, 1, 2, "waits")];
    for item in due {
        changes.extend([refused(&house, item.id, 1, 2), Change::Due(item)]);
    }
    house.apply(changes).await;
    house.pass(10);
    house.claim_due(&due, &[3, 3]).await;
    house.apply(vec![submitted(&house, run.first + 1, 2, 3, "second")]).await;
    let house = house.crash();
    assert_eq!(settle(&house).await, 2);
    let expected = [(run.first, 3, DueKind::Send, house.now() + WAIT_MS)];
    assert_eq!(house.due().await.iter().map(brief).collect::<Vec<_>>(), expected);
    assert_eq!(attempts(&house, run.first).await, (Status::Sending, 2, Some(Outcome::Unknown)));
    assert_eq!(attempts(&house, run.first + 1).await, (Status::Submitted, 2, Some(Outcome::Submitted)));
    assert_eq!(house.see(run.first).await.unwrap().earlier.len(), 1);
}

#[tokio::test]
async fn a_parked_message_stays_parked_and_a_replayed_one_is_due_once() {
    let house = house();
    let (run, _) = claimed(&house, Lane::Bulk, &[2, 2, 2]).await;
    let park = |id| {
        let (account, lane, at) = (run.account, Lane::Bulk, house.now());
        Change::Park { id, account, attempt: 1, lane, at, reason: "unreadable".into() }
    };
    house.apply(vec![park(run.first), park(run.first + 1), submitted(&house, run.first + 2, 1, 2, "a")]).await;
    house.store.replay(None, run.first + 1).await.unwrap();
    let house = house.crash();
    settle(&house).await;
    assert_eq!(house.status(run.first).await, Some(Status::Parked));
    assert_eq!(house.store.parked(None, i64::MAX, 10).await.unwrap().len(), 1);
    assert_eq!(house.due().await, [due_at(house.now(), run.first + 1, 1, Lane::Bulk, run.account)]);
    assert_eq!(house.totals().await.unknown_attempts, 0);
}

#[tokio::test]
async fn a_claim_that_is_done_is_not_settled() {
    let house = house();
    let (run, claim) = claimed(&house, Lane::Bulk, &[2]).await;
    house.apply(vec![submitted(&house, run.first, 1, 2, "a"), delivered(&house, run.first, 1)]).await;
    house.apply(vec![Change::ClaimDone(claim)]).await;
    let house = house.reopen();
    assert_eq!(settle(&house).await, 0);
}
