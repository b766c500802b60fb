//! Commits of which one file stands and the next one refused: what stands is told and booked.

use bongsu_domain::id::id_day;
use bongsu_domain::{Lane, Status};
use bongsu_store::Kind;
use bongsu_store::facts::EventKind;

use crate::facts::{agree, follow};
use crate::house::{House, failed, house, sms};

/// Pages of each file: enough for what these laws write.
const PAGES: u32 = 400;

/// A file that is full at the moment when a row comes into one of its tables, as when the last page before it was the
/// last of the disk.
struct Full(rusqlite::Connection);

impl Full {
    fn at(house: &House, file: &str, table: &str) -> Full {
        let db = rusqlite::Connection::open(house.dir.path().join(file)).unwrap();
        db.execute_batch(&format!(
            "CREATE TABLE filler (bytes BLOB);
             CREATE TRIGGER fills AFTER INSERT ON {table} BEGIN INSERT INTO filler VALUES (zeroblob(4000000)); END;"
        ))
        .unwrap();
        Full(db)
    }

    /// There is room again.
    fn ends(self) {
        self.0.execute_batch("DROP TRIGGER fills; DROP TABLE filler;").unwrap();
    }
}

#[tokio::test]
async fn what_stands_in_one_day_is_told_once_although_the_next_day_refused() {
    let house = house();
    let account = house.account(100).await;
    let first = house.accept_many(account, Lane::Bulk, 2).await;
    house.claim(&first, &[0; 2]).await;
    house.next_day().await;
    let second = house.accept_many(account, Lane::Bulk, 2).await;
    house.claim(&second, &[0; 2]).await;
    let house = house.reopen_with(Some(PAGES));
    let (mut told, mut after) = follow(&house.store, None, 0, 10).await;
    let full = Full::at(&house, &format!("day-{}.db", id_day(second.first)), "settles");
    let ends = || vec![failed(&house, first.first, 1, account, 1), failed(&house, second.first, 1, account, 1)];
    assert_eq!(house.store.apply(ends()).await.unwrap_err().kind(), Kind::Full);
    assert_eq!(house.status(first.first).await, Some(Status::Undelivered), "its day stands");
    assert_eq!(house.status(second.first).await, Some(Status::Sending));
    house.accept(account, Lane::Bulk, sms(1)).await;
    let (some, next) = follow(&house.store, None, after, 10).await;
    (told, after) = ([told, some].concat(), next);
    full.ends();
    assert_eq!(house.apply(ends()).await, [false, true]);
    told.extend(follow(&house.store, None, after, 10).await.0);
    let ended: Vec<i64> = told.iter().filter(|e| e.kind == EventKind::Undelivered).map(|e| e.message).collect();
    assert_eq!(ended, [first.first, second.first]);
    assert_eq!(house.balance(account).await, 97);
    agree(&house, &[account], &[]).await;
    house.assert_sound(5).await;
}
