//! Commits of which one file stands and the next one refused: what stands is told, booked, and not undone by what was
//! read before.

use bongsu_domain::id::id_day;
use bongsu_domain::{AccountId, Code, Lane, Status};
use bongsu_store::Kind;
use bongsu_store::changes::Change;
use bongsu_store::claims::{NO_RELAY, Taken};
use bongsu_store::facts::EventKind;
use bongsu_store::rows::{Outcome, Run};

use crate::facts::{agree, follow};
use crate::house::{House, attempt_as, due_at, failed, house, sms};

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

/// Something is canceled while the ledger has no room for its money: the day has it, and the caller is told to come again.
async fn cancel_by_half(house: &House, account: AccountId, id: i64, request: Option<i64>) {
    let full = Full::at(house, "live.db", "ledger");
    let refused = match request {
        Some(request) => house.store.cancel_batch(Some(account), request).await.map(drop),
        None => house.store.cancel(Some(account), id).await,
    };
    assert_eq!(refused.unwrap_err().kind(), Kind::Full);
    assert_eq!(house.status(id).await, Some(Status::Canceled), "its day stands");
    full.ends();
}

/// A house with small files, a run, and a message that waits for its next attempt.
async fn waiting_house() -> (House, AccountId, Run, Change) {
    let house = house();
    let account = house.account(100).await;
    let run = house.accept_many(account, Lane::Bulk, 3).await;
    let tried = house.accept_many(account, Lane::Bulk, 1).await;
    house.claim(&tried, &[0]).await;
    let due = Change::Due(due_at(house.now(), tried.first, 2, Lane::Bulk, account));
    let queued = attempt_as(&house, tried.first, 1, 0, None, Outcome::Refused, Code::RouteQueueFull, Status::Queued);
    house.apply(vec![queued, due.clone()]).await;
    (house.reopen_with(Some(PAGES)), account, run, due)
}

#[tokio::test]
async fn what_was_canceled_by_half_is_not_claimed_as_it_was_read_before() {
    let (house, account, ..) = waiting_house().await;
    let runs = house.store.waiting_runs(Lane::Bulk, account, 0, 10).await.unwrap();
    let run = runs[0];
    cancel_by_half(&house, account, run.first + 1, None).await;
    assert_eq!(house.claim(&run, &[0; 3]).await.1, Taken::Stale);
    let again = house.run(run.first).await;
    assert_eq!(house.claim(&again, &[0, NO_RELAY]).await.1, Taken::Whole);

    let rest = house.run(run.first).await;
    cancel_by_half(&house, account, run.first + 2, Some(run.request)).await;
    assert_eq!(house.claim(&rest, &[0]).await.1, Taken::Stale);
    assert_eq!(house.claim(&house.run(run.first).await, &[NO_RELAY]).await.1, Taken::Whole);
    assert_eq!(house.waiting_accounts(10).await, []);

    let due = house.due().await;
    cancel_by_half(&house, account, due[0].id, None).await;
    assert_eq!(house.claim_due(&due, &[0]).await.1, Taken::Stale);
    let again = house.due().await;
    assert_eq!((again.len(), again[0].id), (1, due[0].id), "whoever reads it now sees that it ended");
    assert_eq!(house.claim_due(&again, &[NO_RELAY]).await.1, Taken::Whole);
    assert_eq!(house.due().await, []);

    assert_eq!(house.balance(account).await, 99);
    agree(&house, &[account], &[]).await;
    house.assert_sound(4).await;
}

#[tokio::test]
async fn a_commit_that_stands_whole_leaves_what_was_read_before_as_it_was() {
    let (house, account, run, due) = waiting_house().await;
    let read = house.run(run.first).await;
    assert_eq!(read, run, "a start changes nothing");
    let Change::Due(due) = due else { unreachable!() };
    let other = house.accept(account, Lane::Auth, sms(1)).await;
    house.store.cancel(None, other).await.unwrap();
    assert_eq!(house.claim(&read, &[0; 3]).await.1, Taken::Whole);
    assert_eq!(house.claim_due(&[due], &[0]).await.1, Taken::Whole);
    house.assert_sound(5).await;
}
