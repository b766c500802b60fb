//! Events of several processes: readers follow them in one order, whoever commits and whoever numbers.

use bongsu_domain::Lane;

use super::two;
use crate::facts::{agree, follow_traffic};
use crate::house::{delivered, submitted};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_ten_thousand_commits_of_two_processes_miss_no_event_and_get_none_twice() {
    let (one, other) = two();
    let account = one.account(0).await;
    follow_traffic(&[&one.store, &other.store], account).await;
}

#[tokio::test]
async fn progress_and_statistics_add_up_over_processes() {
    let (one, other) = two();
    let account = one.account(100).await;
    let run = one.accept_many(account, Lane::Bulk, 20).await;
    one.claim(&run, &[0; 20]).await;
    let ids = || run.first..=run.last();
    one.apply(ids().map(|id| submitted(&one, id, 1, 0, "a")).collect()).await;
    // The receipts came to the other process.
    other.apply(ids().take(15).map(|id| delivered(&other, id, 1)).collect()).await;
    agree(&one, &[account], &[run.request]).await;
    agree(&other, &[account], &[run.request]).await;
}
