//! The data directory: one process at a time, one file a day, and days that go.

use bongsu_domain::Lane;
use bongsu_store::{Kind, Options, Store};

use crate::days::a_full_day;
use crate::house::{House, house, morning, open, sms};

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

#[tokio::test]
async fn every_day_has_files_of_its_own_until_it_is_dropped() {
    let house = house();
    let account = house.account(10_000).await;
    let first = a_full_day(&house, account, 1).await;
    let second_day = house.next_day().await;
    a_full_day(&house, account, 2).await;
    let file = |day| format!("day-{day}.db");
    let first_day = bongsu_domain::id::id_day(first[0]);
    assert_eq!(first_day, morning().kst_day());
    assert_eq!(day_files(&house), [file(first_day), file(second_day)]);
    house.store.retire_days(second_day).await.unwrap();
    assert_eq!(day_files(&house), [file(second_day)]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_dropped_day_gives_its_place_on_the_disk_back() {
    let house = house();
    let account = house.account(100).await;
    let id = house.accept(account, Lane::Bulk, sms(1)).await;
    let tomorrow = house.next_day().await;
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
