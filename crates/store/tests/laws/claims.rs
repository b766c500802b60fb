//! Intent before send: a message is claimed by one dispatcher, once.

use bongsu_domain::{Channel, Lane, Status};
use bongsu_store::changes::Change;
use bongsu_store::claims::{Claim, Claimed, NO_RELAY, Part, ShareState, Taken};
use bongsu_store::distributions;

use crate::house::{House, due_at, house, refused, sms};

#[tokio::test]
async fn a_claim_moves_a_run_exactly_once() {
    let house = house();
    let account = house.account(100).await;
    let run = house.accept_many(account, Lane::Bulk, 10).await;
    assert_eq!(house.claim(&run, &[0; 4]).await.1, Taken::Whole);
    assert_eq!(house.claim(&run, &[1; 4]).await.1, Taken::Stale, "the same range again");
    assert_eq!(house.claim(&run, &[1; 10]).await.1, Taken::Stale, "a longer range from the same place");
    let moved = house.run(run.first).await;
    assert_eq!((moved.next, moved.count), (4, 10));
    assert_eq!(house.status(run.first + 3).await, Some(Status::Sending));
    assert_eq!(house.status(run.first + 4).await, Some(Status::Queued));
    let house = house.crash();
    assert_eq!(house.claim(&run, &[1; 4]).await.1, Taken::Stale);
    assert_eq!(house.claim(&moved, &[0; 6]).await.1, Taken::Whole);
    assert_eq!(house.claim(&moved, &[0; 6]).await.1, Taken::Stale);
    assert_eq!(house.store.waiting_runs(Lane::Bulk, account, 0, 10).await.unwrap(), []);
    assert_eq!(house.waiting_accounts(10).await, []);
}

#[tokio::test]
async fn two_claims_of_one_commit_take_a_run_once_and_each_stands_for_itself() {
    let house = house();
    let account = house.account(100).await;
    let run = house.accept_many(account, Lane::Bulk, 10).await;
    let other = house.accept_many(account, Lane::Auth, 3).await;
    let claim = |run: &bongsu_store::rows::Run, count: usize| Claim {
        id: house.store.new_id().unwrap(),
        owner: 1,
        deadline: house.now() + 5_000,
        lane: run.lane,
        account,
        claimed: Claimed::Run { first: run.first, from: 0, generation: 0, count: run.count },
        relays: vec![0; count],
        note: Vec::new(),
    };
    let claims = vec![claim(&run, 10), claim(&run, 10), claim(&other, 3)];
    let state = ShareState { account, channel: Channel::Sms, seat: 0, state: vec![7, 8] };
    let taken = house.store.claim(true, claims, vec![state]).await.unwrap();
    assert_eq!(taken, [Taken::Whole, Taken::Stale, Taken::Whole]);
    let kept = house.store.read(move |r| distributions::load_state(&r.live, account, Channel::Sms, 0)).await.unwrap();
    assert_eq!(kept, Some(vec![7, 8]), "the shares are kept with the claims they led to");
}

#[tokio::test]
async fn a_claim_of_a_run_that_was_changed_meanwhile_is_stale() {
    let house = house();
    let account = house.account(100).await;
    let run = house.accept_many(account, Lane::Bulk, 10).await;
    house.store.cancel(Some(account), run.first + 7).await.unwrap();
    assert_eq!(house.claim(&run, &[0; 10]).await.1, Taken::Stale);
    let again = house.run(run.first).await;
    assert_eq!((again.next, again.generation), (0, run.generation + 1));
    let mut relays = [0; 10];
    relays[7] = NO_RELAY;
    assert_eq!(house.claim(&again, &relays).await.1, Taken::Whole);
    assert_eq!(house.status(run.first + 7).await, Some(Status::Canceled));
    assert_eq!(house.status(run.first + 8).await, Some(Status::Sending));
}

#[tokio::test]
async fn what_is_due_is_claimed_once() {
    let house = house();
    let account = house.account(100).await;
    let run = house.accept_many(account, Lane::Bulk, 3).await;
    house.claim(&run, &[0; 3]).await;
    let now = house.now();
    let due: Vec<_> = (0..3).map(|n| due_at(now + n, run.first + n, 2, Lane::Bulk, account)).collect();
    for item in &due {
        house.apply(vec![refused(&house, item.id, 1, 0), Change::Due(*item)]).await;
    }
    let by_then = |at, part| house.store.due(bongsu_domain::Timestamp::from_millis(at), part, 10);
    assert_eq!(by_then(now + 1, Part::WHOLE).await.unwrap(), due[..2]);
    assert!(house.sees_due().await);
    assert_eq!(house.due().await, due);
    let part = |index, anybodys_before| Part { index, count: 2, anybodys_before };
    let (one, other) = (by_then(now + 2, part(0, 0)).await.unwrap(), by_then(now + 2, part(1, 0)).await.unwrap());
    assert_eq!(one.len() + other.len(), 3, "every message is of one part");
    assert!(one.iter().all(|due| part(0, 0).has(due.id)) && other.iter().all(|due| part(1, 0).has(due.id)));
    let late = [by_then(now + 2, part(0, now + 1)).await.unwrap(), by_then(now + 2, part(1, now + 1)).await.unwrap()];
    assert!(late.iter().all(|found| found.contains(&due[0])), "what waited too long is anybody's");
    assert_eq!(house.see(run.first).await.unwrap().due, None, "only a queued message shows when it is due");

    assert_eq!(house.claim_due(&due[..1], &[1]).await.1, Taken::Whole);
    assert_eq!(house.claim_due(&due[..1], &[1]).await.1, Taken::Stale);
    assert_eq!(house.claim_due(&due, &[1; 3]).await.1, Taken::Without(vec![0]));
    assert_eq!(house.due().await, []);
    assert!(!house.sees_due().await);
    let house = house.crash();
    assert_eq!(house.claim_due(&due, &[1; 3]).await.1, Taken::Stale);
}

/// Claims that nobody has said to be done.
async fn open_claims(house: &House) -> i64 {
    let sql = "SELECT COUNT(*) FROM claims";
    house.store.read(move |reader| reader.live.query_row(sql, (), |row| row.get(0))).await.unwrap()
}

#[tokio::test]
async fn a_claim_of_nothing_moves_on_and_leaves_nothing_behind() {
    let house = house();
    let account = house.account(100).await;
    let run = house.accept_many(account, Lane::Bulk, 4).await;
    for id in run.first..=run.last() {
        house.store.cancel(Some(account), id).await.unwrap();
    }
    let run = house.run(run.first).await;
    assert_eq!(house.claim(&run, &[NO_RELAY; 3]).await.1, Taken::Whole);
    assert_eq!(house.claim(&run, &[NO_RELAY; 3]).await.1, Taken::Stale);
    assert_eq!(house.run(run.first).await.next, 3);
    assert_eq!(house.claim(&house.run(run.first).await, &[NO_RELAY]).await.1, Taken::Whole);
    assert_eq!(house.waiting_accounts(10).await, []);

    let other = house.accept_many(account, Lane::Bulk, 2).await;
    let (claim, _) = house.claim(&other, &[0; 2]).await;
    let due = [0, 1].map(|n| due_at(house.now(), other.first + n, 2, Lane::Bulk, account));
    house.apply(due.map(Change::Due).to_vec()).await;
    house.apply(vec![Change::NotDue(due[1].id), Change::ClaimDone(claim)]).await;
    assert_eq!(house.claim_due(&due, &[NO_RELAY, 1]).await.1, Taken::Without(vec![1]));
    assert_eq!(house.due().await, []);
    assert_eq!(open_claims(&house).await, 0, "no claim is left of which nobody says that it is done");
}

#[tokio::test]
async fn waiting_runs_come_oldest_first_by_lane_and_account() {
    let house = house();
    let (one, two) = (house.account(100).await, house.account(100).await);
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(house.accept_many(one, Lane::Bulk, 2).await);
        house.accept(two, Lane::Bulk, sms(1)).await;
        house.accept(one, Lane::Ad, sms(1)).await;
        house.pass(10);
    }
    assert_eq!(house.store.waiting_runs(Lane::Bulk, one, 0, 10).await.unwrap(), runs);
    assert_eq!(house.store.waiting_runs(Lane::Bulk, one, runs[0].first, 1).await.unwrap(), runs[1..2]);
    assert_eq!(house.waiting_accounts(10).await, [(Lane::Bulk, one), (Lane::Bulk, two), (Lane::Ad, one)]);
    assert_eq!(house.waiting_accounts(1).await, [(Lane::Bulk, one), (Lane::Ad, one)]);
    let oldest = house.store.oldest_waiting().await.unwrap();
    assert_eq!(oldest.iter().map(|(lane, _)| *lane).collect::<Vec<_>>(), [Lane::Bulk, Lane::Ad]);
    assert!(oldest.iter().all(|(_, at)| *at == crate::house::morning()));
}
