//! What work costs in round trips, which is what a database on another machine makes everything wait for.
//!
//! The first use of a statement costs one more, to prepare it; that is not counted here.

use bongsu_domain::{Lane, Timestamp};
use bongsu_store::accept::{RUN_MAX, Slice};
use bongsu_store::changes::{Change, Receipt, Submit, Unknown, Verdict};
use bongsu_store::claims::Taken;
use bongsu_store::lookup::{Known, Wanted};

use crate::house::{House, batch_commit, delivered, house, key, sms, submitted, together};
use crate::processes::Write;

/// Begin, the row by which the process is fenced, commit.
const TRANSACTION: u64 = 3;

/// Round trips of some work.
async fn trips<T>(house: &House, work: impl Future<Output = T>) -> (u64, T) {
    let before = house.store.round_trips();
    let done = work.await;
    (house.store.round_trips() - before, done)
}

#[tokio::test]
async fn ten_thousand_rows_of_a_batch_cost_few_round_trips() {
    let house = house();
    let account = house.account(1_000_000).await;
    for _ in 0..2 {
        let request = house.store.new_id().unwrap();
        let filled = bongsu_store::accept::NewMessage { content: 1, ..sms(1) };
        let stages = (0..20).map(|_| -> Write<'_, Slice> {
            let stage = house.stage(request, account, Lane::Bulk, vec![filled.clone(); RUN_MAX]);
            Box::pin(async { stage.await.slice.unwrap() })
        });
        let (staged, slices) = trips(&house, together(&house.store, stages)).await;
        let commit = batch_commit(request, account, slices, 10_000);
        let (committed, done) = trips(&house, house.store.commit_batch(commit)).await;
        done.unwrap().unwrap();
        // Two transactions, since twelve slices are one at most. A slice: is its text there, messages, the slice. The text.
        assert!(staged <= 2 * TRANSACTION + 20 * 3 + 1, "{staged}");
        // A look at the balance, the slices that must still be there, the request, runs and backlog in two sizes each, then
        // the balance locked, the ledger, the balance; counters, and slices of events in two sizes.
        assert!(committed <= TRANSACTION + 3 + 2 * 2 + 3 + 3, "{committed}");
    }
    house.assert_sound(20_000).await;
}

#[tokio::test]
async fn five_hundred_singles_of_one_commit_cost_few_round_trips() {
    let house = house();
    let account = house.account(1_000_000).await;
    for turn in 0..2 {
        let writes = (0..500).map(|n| -> Write<'_, _> {
            let message = bongsu_store::accept::NewMessage {
                client_ref: Some(turn * 1_000 + n),
                dedupe: Some((turn * 1_000 + n, 60_000)),
                ..sms(1)
            };
            Box::pin(house.try_accept(account, Lane::Bulk, message, Some(key(turn * 1_000 + n, 1))))
        });
        let (accepted, said) = trips(&house, together(&house.store, writes)).await;
        assert!(said.iter().all(|said| matches!(said, Ok(Ok(_)))));
        let writes = (0..500).map(|_| -> Write<'_, _> { Box::pin(house.accept(account, Lane::Bulk, sms(1))) });
        let (plain, _) = trips(&house, together(&house.store, writes)).await;
        let (alone, _) = trips(&house, house.accept(account, Lane::Bulk, sms(1))).await;
        // A look at the balance; messages, slices, requests, runs, backlog; the balance locked, the ledger, the balance;
        // counters and events.
        assert!(plain <= TRANSACTION + 1 + 5 + 3 + 2, "{plain}");
        assert!(alone <= TRANSACTION + 1 + 5 + 3 + 2, "{alone}");
        // A look and a write for each kind of key.
        assert!(accepted <= TRANSACTION + 1 + 5 + 3 + 2 + 3 * 2, "{accepted}");
    }
}

#[tokio::test]
async fn claims_and_results_of_a_run_cost_few_round_trips() {
    let house = house();
    let account = house.account(1_000_000).await;
    for _ in 0..2 {
        let run = house.accept_many(account, Lane::Bulk, 500).await;
        let (loaded, _) = trips(&house, house.store.load_run(run, 0, 500)).await;
        let (claimed, (claim, taken)) = trips(&house, house.claim(&run, &[0; 500])).await;
        assert_eq!(taken, Taken::Whole);
        let ids = || run.first..=run.last();
        let all: Vec<Change> = ids().map(|id| submitted(&house, id, 1, 0, "a")).collect();
        let (sent, _) = trips(&house, house.apply(all)).await;
        let at = bongsu_domain::Clock::now(&*house.clock);
        let receipt =
            |id| Receipt { id, attempt: 1, part: 0, at, verdict: Verdict::Decided, raw: b"stat:DELIVRD".to_vec() };
        let ends = ids().flat_map(|id| [Change::Receipt(receipt(id)), delivered(&house, id, 1)]);
        let ends = ends.chain([Change::ClaimDone(claim)]).collect();
        let (ended, firsts) = trips(&house, house.apply(ends)).await;
        assert_eq!(firsts, [true; 500]);
        let next = house.accept_many(account, Lane::Bulk, 500).await;
        house.claim(&next, &[0; 500]).await;
        let fails = (next.first..=next.last()).map(|id| crate::house::failed(&house, id, 1, account, 1)).collect();
        let (refunded, _) = trips(&house, house.apply(fails)).await;
        assert!(loaded <= 1, "{loaded}");
        // The run, its place in the backlog, the claim.
        assert!(claimed <= TRANSACTION + 3, "{claimed}");
        // The rows locked and written; progress and events.
        assert!(sent <= TRANSACTION + 2 + 2, "{sent}");
        // The rows locked, the receipts, the rows, the claim; counters, progress and events.
        assert!(ended <= TRANSACTION + 4 + 3, "{ended}");
        // The rows locked and written, attempts that are history, then the balance locked, the ledger, the balance;
        // counters, progress and events.
        assert!(refunded <= TRANSACTION + 3 + 3 + 3, "{refunded}");
    }
}

#[tokio::test]
async fn claims_of_the_dead_cost_few_round_trips_however_much_they_hold() {
    let mut house = house();
    let account = house.account(1_000_000).await;
    let policy = std::sync::Arc::new(bongsu_store::recovery::Policy {
        after_unknown: Box::new(|_, _| (std::time::Duration::from_secs(60), bongsu_store::claims::DueKind::Send)),
        receipt_deadline: std::time::Duration::from_secs(3_600),
        plain_recipient: Box::new(|row| row.recipient),
    });
    let mut unknown = 0;
    for _ in 0..2 {
        // A third of it was answered, the others are unknown.
        let run = house.accept_many(account, Lane::Bulk, 384).await;
        house.claim(&run, &[0; 384]).await;
        house.apply((run.first..run.first + 128).map(|id| submitted(&house, id, 1, 0, "a")).collect()).await;
        house = house.crash();
        let (settled, claims) = trips(&house, house.store.settle_claims(policy.clone(), 4)).await;
        assert_eq!(claims.unwrap(), 1);
        // Who is alive, and the nodes of the dead; the claim, its messages, what is due, claims since; the rows locked and
        // written, events; what is spilled, unknown and due, and the claim.
        assert!(settled <= TRANSACTION + 2 + 4 + 3 + 4, "{settled}");
        unknown += 256;
        assert_eq!(house.totals().await.unknown_attempts, unknown);
    }
    house.assert_sound(768).await;
}

#[tokio::test]
async fn what_is_known_of_many_receipts_costs_few_round_trips() {
    let house = house();
    let account = house.account(10_000).await;
    let run = house.accept_many(account, Lane::Bulk, 500).await;
    let spill = |n: i64| {
        let (id, relay_id) = (run.first + n, format!("s{n}"));
        Submit { relay: n as u8 % 2, relay_id, id, attempt: 1, part: 0, parts: 1, recipient: n, deadline: house.now() }
    };
    let unknown =
        |n| Unknown { id: run.first + n, attempt: 1, relay: n as u8 % 2, account, recipient: n, since: house.now() };
    let changes = (0..200).map(|n| Change::Spill(spill(n))).chain((200..400).map(|n| Change::Unknown(unknown(n))));
    house.apply(changes.collect()).await;
    // A third each: of spilled parts, of unknown attempts, of nobody.
    let wanted: Vec<Wanted> = (0..600)
        .map(|n: i64| Wanted {
            relay: n as u8 % 2,
            relay_id: format!("s{n}"),
            recipient: n,
            reference: None,
            at: Timestamp::MAX,
        })
        .collect();
    let (asked, known) = trips(&house, house.store.look(move |look| look.known(&wanted))).await;
    for (n, known) in (0..).zip(known.unwrap()) {
        let whose = match known {
            Known::Submit(submit, row) => (0, submit.id, row.id),
            Known::Unknown { attempt, row, .. } => (1, attempt.id, row.id),
            Known::Nothing => (2, 0, 0),
        };
        let id = run.first + n;
        assert_eq!(whose, if n < 400 { (n / 200, id, id) } else { (2, 0, 0) });
    }
    // Two relays in two portions each, twice, and rows twice.
    assert!(asked <= 2 * 2 * 2 + 2, "{asked}");
}
