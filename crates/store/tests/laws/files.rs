//! The data directory: one process at a time, one file a day, and days that go.

use std::time::Duration;

use bongsu_domain::{Clock, Day, Lane, Status};
use bongsu_store::accept::NewMessage;
use bongsu_store::changes::{Change, Unknown};
use bongsu_store::index::KeyKind;
use bongsu_store::query::Filter;
use bongsu_store::{Kind, Options, Store};

use crate::house::{House, delivered, due_at, failed, house, morning, open, refused, sms, submitted};

#[tokio::test]
async fn a_directory_belongs_to_one_process() {
    let house = house();
    let account = house.account(5).await;
    for _ in 0..2 {
        let second = open(house.dir.path(), &house.clock, None).err().map(|e| e.kind());
        assert_eq!(second, Some(Kind::InUse));
    }
    house.accept(account, Lane::Bulk, sms(1)).await;
    house.store.close();
    open(house.dir.path(), &house.clock, None).unwrap().close();
}

#[tokio::test]
async fn a_reader_beside_the_process_sees_what_is_committed_and_writes_nothing() {
    let house = house();
    let options = || Options::new(house.dir.path(), house.clock.clone());
    let account = house.account(5).await;
    let reading = Store::open_reading(options()).unwrap();
    let id = house.accept(account, Lane::Bulk, sms(1)).await;
    assert_eq!(reading.message(Some(account), id).await.unwrap().unwrap().row.id, id);
    assert_eq!(bongsu_store::audit::totals(&reading).await.unwrap(), house.totals().await);
    assert_eq!(reading.cancel(None, id).await.unwrap_err().kind(), Kind::Unavailable);
    let empty = tempfile::tempdir().unwrap();
    let none = Store::open_reading(Options::new(empty.path(), house.clock.clone())).err().unwrap();
    assert_eq!(none.kind(), Kind::NotFound);
}

fn day_files(house: &House) -> Vec<String> {
    let names = std::fs::read_dir(house.dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut days: Vec<String> = names.filter(|n| n.starts_with("day-") || n.starts_with("index-")).collect();
    days.sort();
    days.retain(|n| n.ends_with(".db"));
    days
}

/// A day of every kind of row: delivered, refunded, waiting, due, parked, unknown.
async fn a_full_day(house: &House, account: bongsu_domain::AccountId, client_ref: i64) -> Vec<i64> {
    let run = house.accept_many(account, Lane::Bulk, 600.min(bongsu_store::accept::RUN_MAX)).await;
    house.claim(&run, &[0; 6]).await;
    let id = |n: i64| run.first + n;
    let at = house.now();
    house
        .apply(vec![
            submitted(house, id(0), 1, 0, "a"),
            delivered(house, id(0), 1),
            submitted(house, id(1), 1, 0, "b"),
            failed(house, id(1), 1, account, 1),
            refused(house, id(2), 1, 0),
            Change::Due(due_at(at, id(2), 2, Lane::Bulk, account)),
            Change::Park { id: id(3), account, attempt: 1, lane: Lane::Bulk, at, reason: "x".into() },
            Change::Unknown(Unknown { id: id(4), attempt: 1, relay: 0, account, recipient: 3, since: at }),
        ])
        .await;
    let referenced = NewMessage { client_ref: Some(client_ref), ..sms(1) };
    let single = house.accept(account, Lane::Ad, referenced).await;
    house.store.cancel(None, id(9)).await.unwrap();
    (run.first..=run.last()).chain([single]).collect()
}

fn next_day(house: &House) -> Day {
    house.clock.advance(Duration::from_secs(86_400));
    house.clock.now().kst_day()
}

#[tokio::test]
async fn retention_drops_a_day_with_all_its_rows_and_leaves_the_others() {
    let house = house();
    let account = house.account(10_000).await;
    let first = a_full_day(&house, account, 1).await;
    let second_day = next_day(&house);
    let second = a_full_day(&house, account, 2).await;
    let third_day = next_day(&house);
    let third = a_full_day(&house, account, 3).await;
    let balance = house.balance(account).await;
    house.assert_sound(first.len() + second.len() + third.len()).await;

    assert_eq!(house.store.retire_days(second_day).await.unwrap(), [morning().kst_day()]);
    assert_eq!(house.store.retire_days(second_day).await.unwrap(), []);
    assert_eq!(day_files(&house), [format!("day-{second_day}.db"), format!("day-{third_day}.db")]);
    let mut house = house;
    for turn in 0..3 {
        let mut left: Vec<i64> = second.iter().chain(&third).copied().collect();
        left.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(house.all_ids(account).await, left);
        let key = Filter { key: Some((KeyKind::Recipient, 1)), ..Filter::default() };
        assert_eq!(house.ids(key, 400).await, left);
        for id in [first[0], first[2], *first.last().unwrap()] {
            assert!(house.see(id).await.is_none());
        }
        assert_eq!(house.due().await.iter().map(|d| d.id).collect::<Vec<_>>(), [second[2], third[2]]);
        assert_eq!(house.store.parked(None, i64::MAX, 10).await.unwrap().len(), 2);
        assert_eq!(house.store.unknown_attempts(None, (i64::MAX, 0), 10).await.unwrap().len(), 2);
        assert_eq!(house.store.waiting_runs(Lane::Bulk, account, 0, 10).await.unwrap().len(), 2);
        assert_eq!(house.balance(account).await, balance, "money stays");
        house.assert_sound(left.len()).await;
        house = if turn == 0 { house.crash() } else { house.reopen() };
    }
    // The reference is free again with its message; a late result of a dropped message changes nothing.
    house.accept(account, Lane::Bulk, NewMessage { client_ref: Some(1), ..sms(0) }).await;
    assert_eq!(house.apply(vec![failed(&house, first[5], 1, account, 1)]).await, [false]);
    assert_eq!(house.balance(account).await, balance);
    house.store.retire_days(third_day).await.unwrap();
    house.assert_sound(third.len() + 1).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_dropped_day_gives_its_place_on_the_disk_back() {
    let house = house();
    let account = house.account(100).await;
    let id = house.accept(account, Lane::Bulk, sms(1)).await;
    let tomorrow = next_day(&house);
    house.accept(account, Lane::Bulk, sms(1)).await;
    assert!(house.see(id).await.is_some());
    house.store.load_ids(vec![id]).await.unwrap();
    house.store.retire_days(tomorrow).await.unwrap();
    // Both reading threads and the dispatcher's have to come by.
    let meet = std::sync::Arc::new(std::sync::Barrier::new(2));
    let wait = || {
        let meet = meet.clone();
        house.store.read(move |_| Ok(meet.wait().is_leader()))
    };
    let (one, two, hot) = tokio::join!(wait(), wait(), house.store.look(|_| Ok(())));
    assert!(one.unwrap() != two.unwrap() && hot.is_ok());
    let open = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|e| std::fs::read_link(e.unwrap().path()).ok());
    let here = house.dir.path().to_str().unwrap();
    let dead: Vec<_> =
        open.filter(|f| f.to_string_lossy().starts_with(here) && f.to_string_lossy().ends_with("(deleted)")).collect();
    assert!(dead.is_empty(), "{dead:?}");
}

#[tokio::test]
async fn a_result_after_midnight_lands_on_the_day_of_its_message() {
    let house = house();
    let account = house.account(100).await;
    let ids = {
        let run = house.accept_many(account, Lane::Bulk, 2).await;
        house.claim(&run, &[0, 0]).await;
        [run.first, run.last()]
    };
    next_day(&house);
    let fresh = house.accept_many(account, Lane::Bulk, 1).await;
    house.claim(&fresh, &[0]).await;
    let ends = vec![failed(&house, ids[0], 1, account, 1), failed(&house, fresh.first, 1, account, 1)];
    assert_eq!(house.apply(ends).await, [true, true]);
    assert_eq!(house.balance(account).await, 99);
    next_day(&house);
    assert_eq!(house.apply(vec![failed(&house, ids[1], 1, account, 1)]).await, [true]);
    let house = house.crash();
    assert_eq!(house.status(ids[1]).await, Some(Status::Undelivered));
    assert_eq!(house.balance(account).await, 100);
    house.assert_sound(3).await;
}

#[tokio::test]
async fn files_of_many_days_are_written_and_read_beside_each_other() {
    let house = house();
    let account = house.account(100).await;
    let mut ids = Vec::new();
    for _ in 0..12 {
        let run = house.accept_many(account, Lane::Bulk, 1).await;
        house.claim(&run, &[0]).await;
        ids.push(run.first);
        next_day(&house);
    }
    let ends = ids.iter().map(|id| failed(&house, *id, 1, account, 1)).collect();
    assert_eq!(house.apply(ends).await, [true; 12]);
    let house = house.crash();
    assert_eq!(house.balance(account).await, 100);
    ids.reverse();
    assert_eq!(house.all_ids(account).await, ids);
    house.assert_sound(12).await;
}
