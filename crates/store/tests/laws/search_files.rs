//! Search keys in files: memory and sorted runs, merges, files that a crash left empty.

use std::time::Duration;

use bongsu_domain::{AccountId, Clock, Lane};
use bongsu_store::{Options, preload};

use crate::house::{House, house, open};
use crate::search::{recipient, to};

/// Closes the house, lets `rows` of history be written as one sorted run with recipients `from..`, and opens it again.
fn with_history(house: House, account: AccountId, rows: u64, from: i64) -> House {
    let House { store, clock, dir, ground } = house;
    store.close();
    drop(store);
    let options = Options::new(dir.path(), clock.clone());
    let make = |_: &bongsu_store::Vault, n: u64| preload::message(from + n as i64, n as i64 % 2, b"sealed".to_vec());
    let start = clock.now().minus(Duration::from_secs(600));
    preload::write(&options, account, rows, start, &make, &mut |_| {}).unwrap();
    let store = open(dir.path(), &clock, None).unwrap();
    House { store, clock, dir, ground }
}

#[tokio::test]
async fn memory_and_sorted_runs_are_searched_together_and_survive_the_merge() {
    let mut house = house();
    let account = house.account(100).await;
    for part in 0..66 {
        // Recipient 1,000 stands in every run, the others in one.
        house = with_history(house, account, 2, 1_000);
        house = if part % 16 == 0 { with_history(house, account, 2, 2_000 + part * 10) } else { house };
    }
    let fresh = house.accept(account, Lane::Bulk, to(1_000, 3)).await;
    for _ in 0..2 {
        let found = recipient(&house, 1_000).await;
        assert_eq!((found.len(), found[0]), (67, fresh));
        assert!(found.is_sorted_by(|a, b| a > b), "each once, newest first");
        for part in [0, 16, 32, 48, 64] {
            assert_eq!(recipient(&house, 2_000 + part * 10).await.len(), 1);
        }
        let runs = runs_of_the_day(&house, fresh);
        assert!(runs < 64, "the runs were merged: {runs}");
        house = house.crash();
    }
    house.assert_sound(66 * 2 + 5 * 2 + 1).await;
}

fn runs_of_the_day(house: &House, id: i64) -> i64 {
    let file = house.dir.path().join(format!("index-{}.db", bongsu_domain::id::id_day(id)));
    let db = rusqlite::Connection::open(file).unwrap();
    db.query_row("SELECT COUNT(*) FROM flushed", [], |row| row.get(0)).unwrap()
}

/// A file of which a kill left the first pages and their journal: what was written must be taken back by who may write.
fn half_made(path: &std::path::Path) {
    let elsewhere = tempfile::tempdir().unwrap();
    let made = elsewhere.path().join("made.db");
    let db = rusqlite::Connection::open(&made).unwrap();
    db.execute_batch("PRAGMA cache_size = 4; BEGIN; CREATE TABLE flushed (upto BIGINT);").unwrap();
    for n in 0..2_000 {
        db.execute("INSERT INTO flushed VALUES (?)", [n]).unwrap();
    }
    std::fs::copy(&made, path).unwrap();
    let journal = |path: &std::path::Path| path.with_extension("db-journal");
    std::fs::copy(journal(&made), journal(path)).unwrap();
    assert!(std::fs::metadata(path).unwrap().len() > 0);
}

#[tokio::test]
async fn a_file_whose_making_was_killed_is_made_again() {
    let mut house = house();
    let account = house.account(100).await;
    let today = house.clock.now().kst_day();
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.insert(0, house.accept(account, Lane::Bulk, to(7, 4)).await);
        house.next_day().await;
    }
    house.store.close();
    for day in [today, house.clock.now().kst_day().prev()] {
        half_made(&house.dir.path().join(format!("index-{day}.db")));
    }
    half_made(&house.dir.path().join(format!("day-{}.db", house.clock.now().kst_day())));
    for _ in 0..2 {
        house = house.reopen();
        assert_eq!(recipient(&house, 7).await, ids);
        ids.insert(0, house.accept(account, Lane::Bulk, to(7, 4)).await);
    }
    house.assert_sound(6).await;
}

#[tokio::test]
async fn files_that_a_crash_left_empty_are_filled_later() {
    let mut house = house();
    let account = house.account(100).await;
    let id = house.accept(account, Lane::Bulk, to(7, 4)).await;
    let today = house.clock.now().kst_day();
    for file in [format!("index-{today}.db"), format!("day-{}.db", today.next()), format!("day-{}.db", today.prev())] {
        std::fs::write(house.dir.path().join(file), b"").unwrap();
    }
    assert_eq!(recipient(&house, 7).await, [id]);
    house = house.crash();
    assert_eq!(recipient(&house, 7).await, [id]);
    house.pass(600_000);
    house = with_history(house, account, 1, 7);
    house.clock.advance(Duration::from_secs(86_400));
    house.accept(account, Lane::Bulk, to(7, 4)).await;
    house = house.crash();
    assert_eq!(recipient(&house, 7).await.len(), 3);
    house.assert_sound(3).await;
}
