//! What writing costs, in commits and rows instead of time.

use std::sync::atomic::{AtomicU64, Ordering};

use bongsu_domain::Lane;

use crate::ground::ROWS_A_COMMIT;
use crate::house::{delivered, house, sms, submitted, together};

fn of(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[tokio::test]
async fn a_thousand_concurrent_messages_share_few_commits() {
    let house = house();
    let account = house.account(1_000).await;
    let metrics = house.store.metrics();
    let before = (of(&metrics.commits), of(&metrics.units), of(&metrics.row_writes), of(&metrics.wal_bytes));
    let writes = (0..1_000)
        .map(|_| -> std::pin::Pin<Box<dyn Future<Output = _>>> { Box::pin(house.accept(account, Lane::Bulk, sms(1))) });
    let ids = together(&house.store, writes).await;
    let commits = of(&metrics.commits) - before.0;
    assert!(commits <= 50, "{commits} commits for 1,000 messages");
    assert_eq!(of(&metrics.units) - before.1, 1_000);
    assert_eq!(metrics.commit_buckets.iter().map(of).sum::<u64>(), of(&metrics.commits));
    // Message, request and ledger entry each; balance, slice, run, backlog, counter and slice of events a run.
    let rows = of(&metrics.row_writes) - before.2 - commits * ROWS_A_COMMIT;
    assert!((3_000..=3_000 + 6 * (commits + 2)).contains(&rows), "{rows} rows written for 1,000 messages");
    let wal = of(&metrics.wal_bytes) - before.3;
    let has_log = !house.ground.is_shared();
    assert!(!has_log || (200_000..4_000_000).contains(&wal), "{wal} bytes of log for 1,000 messages");

    let before = of(&metrics.row_writes);
    house.apply(ids.iter().map(|id| submitted(&house, *id, 1, 0, "a")).collect()).await;
    house.apply(ids.iter().map(|id| delivered(&house, *id, 1)).collect()).await;
    assert_eq!(
        of(&metrics.row_writes) - before - 2 * ROWS_A_COMMIT,
        2_000 + 1 + 2,
        "one row for a submit, one for a final result; and once a slice of events, then one more with a counter"
    );
}

#[tokio::test]
async fn a_batch_costs_one_row_a_message_and_a_few_for_itself() {
    let house = house();
    let account = house.account(1_000).await;
    let before = of(&house.store.metrics().row_writes);
    house.batch(account, Lane::Bulk, vec![sms(1); 500]).await;
    // Content, slice, request, ledger entry, balance, run, backlog, counter and slice of events, in a commit that stages
    // and one that makes it exist.
    assert_eq!(of(&house.store.metrics().row_writes) - before, 509 + 2 * ROWS_A_COMMIT);
}

#[tokio::test]
async fn refunds_of_one_commit_are_one_entry() {
    let house = house();
    let account = house.account(1_000).await;
    let run = house.accept_many(account, Lane::Bulk, 400).await;
    house.claim(&run, &[0; 400]).await;
    let ends = (run.first..=run.last()).map(|id| crate::house::failed(&house, id, 1, account, 1)).collect();
    house.apply(ends).await;
    let entries = bongsu_store::wallet::entries(&house.store, account, None, 10, None).await.unwrap();
    let amounts: Vec<i64> = entries.iter().map(|entry| entry.amount).collect();
    assert_eq!(amounts, [400, -400, 1_000]);
    house.assert_sound(400).await;
}
