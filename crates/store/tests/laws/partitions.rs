//! History lies in partitions of a day: made ahead, dropped whole, while everything goes on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bongsu_domain::{Clock, Day, Lane};

use crate::days::a_full_day;
use crate::house::{House, house, morning, sms};

/// Partitioned tables, with the ids their partitions are of.
const HISTORY: [&str; 5] = ["messages", "attempts", "receipts", "slices", "contents"];

/// Days for which a table has a partition.
async fn days(house: &House, table: &'static str) -> Vec<Day> {
    let names = house.store.read(move |reader| {
        let sql = "SELECT partition_name FROM information_schema.partitions
                     WHERE table_schema = DATABASE() AND table_name = ? AND partition_name LIKE 'd%' ORDER BY 1";
        let mut names = reader.live.prepare_cached(sql)?;
        names.query_map([table], |row| row.get::<String>(0))?.collect::<Result<Vec<_>, _>>()
    });
    names.await.unwrap().iter().map(|name| Day(name[1..].parse().unwrap())).collect()
}

/// Rows that lie in no day's partition.
async fn without_a_day(house: &House, table: &'static str) -> i64 {
    let sql = format!("SELECT COUNT(*) FROM {table} PARTITION (pmax)");
    house.store.read(move |reader| reader.live.query_row(&sql, (), |row| row.get(0))).await.unwrap()
}

#[tokio::test]
async fn partitions_are_made_before_their_day_begins() {
    let house = house();
    let today = morning().kst_day();
    for table in HISTORY {
        assert_eq!(days(&house, table).await, [today, today.next(), today.next().next(), today.next().next().next()]);
    }
    let tomorrow = house.next_day().await;
    for table in HISTORY {
        assert_eq!(days(&house, table).await.last(), Some(&tomorrow.next().next().next()));
    }
    house.store.prepare_days().await.unwrap();
    let account = house.account(10).await;
    house.accept_many(account, Lane::Bulk, 3).await;
    assert_eq!(without_a_day(&house, "messages").await, 0);
}

#[tokio::test]
async fn a_day_is_dropped_while_accepts_run() {
    let house = house();
    let account = house.account(100_000).await;
    let first = a_full_day(&house, account, 1).await;
    let second_day = house.next_day().await;
    let second = a_full_day(&house, account, 2).await;
    let stop = AtomicBool::new(false);
    let accepts = async {
        let mut ids = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            ids.push(house.accept(account, Lane::Realtime, sms(1)).await);
            assert!(house.see(ids[ids.len() - 1]).await.is_some());
        }
        ids
    };
    let drop = async {
        let gone = house.store.retire_days(second_day).await;
        house.store.prepare_days().await.unwrap();
        stop.store(true, Ordering::Relaxed);
        gone
    };
    let (accepted, gone) = tokio::join!(accepts, drop);
    assert_eq!(gone.unwrap(), [morning().kst_day()]);
    for table in HISTORY {
        // A text may be of a row that was staged after midnight, so it goes a day later.
        let oldest = if table == "contents" { morning().kst_day() } else { second_day };
        assert_eq!(days(&house, table).await[0], oldest, "{table}");
    }
    let mut left: Vec<i64> = second.iter().chain(&accepted).copied().collect();
    left.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(house.all_ids(account).await, left);
    assert!(house.see(first[0]).await.is_none());
    house.assert_sound(left.len()).await;
}

#[tokio::test]
async fn rows_of_days_that_nobody_prepared_are_moved_into_partitions() {
    let house = house();
    let account = house.account(1_000).await;
    house.ground.changes_days();
    let mut ids = Vec::new();
    for _ in 0..3 {
        house.clock.advance(Duration::from_secs(4 * 86_400));
        let run = house.accept_many(account, Lane::Bulk, 4).await;
        house.claim(&run, &[0; 4]).await;
        house.apply(vec![crate::house::failed(&house, run.first, 1, account, 1)]).await;
        ids.extend(run.first..=run.last());
    }
    assert_eq!(without_a_day(&house, "messages").await, 12);
    assert!(without_a_day(&house, "slices").await > 0);
    ids.reverse();
    let house = house.reopen();
    for table in HISTORY {
        assert_eq!(without_a_day(&house, table).await, 0, "{table}");
    }
    assert_eq!(house.all_ids(account).await, ids);
    house.assert_sound(12).await;
    let last = house.clock.now().kst_day();
    house.store.retire_days(last).await.unwrap();
    assert_eq!(house.all_ids(account).await, ids[..4]);
    house.assert_sound(4).await;
}

#[tokio::test]
async fn two_processes_prepare_and_drop_days_at_once() {
    let (one, other) = crate::processes::two();
    let account = one.account(100).await;
    let old = one.accept_many(account, Lane::Bulk, 2).await;
    one.ground.changes_days();
    one.clock.advance(Duration::from_secs(2 * 86_400));
    let (a, b) = tokio::join!(one.store.prepare_days(), other.store.prepare_days());
    a.and(b).unwrap();
    let today = one.clock.now().kst_day();
    let (a, b) = tokio::join!(one.store.retire_days(today), other.store.retire_days(today));
    assert!(a.is_ok() && b.is_ok());
    assert!(one.see(old.first).await.is_none());
    let kept = one.accept_many(account, Lane::Bulk, 2).await;
    assert_eq!(other.all_ids(account).await, [kept.last(), kept.first]);
    assert_eq!(days(&one, "messages").await[0], today);
    one.assert_sound(2).await;
}
