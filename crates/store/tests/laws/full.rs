//! A disk that fills up: whole or not at all, and everything works again once there is room.

use bongsu_domain::{AccountId, Lane, Status};
use bongsu_store::Kind;
use bongsu_store::accept::NewMessage;
use bongsu_store::changes::{Change, Receipt, Verdict};
use bongsu_store::rows::Run;

use crate::house::{House, batch_commit, delivered, failed, house, sms, submitted, together};

/// Pages of each file: enough for the schema and some hundreds of messages.
const PAGES: u32 = 120;

fn big(bytes: usize) -> NewMessage {
    NewMessage { sealed: vec![7; bytes], ..sms(1) }
}

/// A house with a claimed run, reopened on a small disk.
async fn small_house() -> (House, AccountId, Run) {
    let house = house();
    let account = house.account(100_000).await;
    let run = house.accept_many(account, Lane::Bulk, 20).await;
    house.claim(&run, &[0; 20]).await;
    (house.reopen_with(Some(PAGES)), account, run)
}

/// Fills the file of the day with batches that are thrown away, until nothing more goes in. Leaves the last ones there.
async fn fill_the_day(house: &House, account: AccountId) {
    for size in [40, 4, 1] {
        loop {
            let request = house.store.new_id().unwrap();
            match house.try_stage(request, account, Lane::Bulk, vec![big(3_000); size]).await {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Full);
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn accepts_on_a_full_disk_are_refused_whole_and_go_on_when_there_is_room() {
    let (house, account, run) = small_house().await;
    let mut ids: Vec<i64> = (run.first..=run.last()).collect();
    let before = house.balance(account).await;
    let refused = loop {
        match house.try_accept(account, Lane::Bulk, big(200), None).await {
            Ok(accepted) => ids.push(accepted.unwrap().0),
            Err(error) => break error,
        }
        assert!(ids.len() < 20_000, "the disk never fills");
    };
    assert_eq!(refused.kind(), Kind::Full);
    assert_eq!(house.try_accept(account, Lane::Auth, big(200), None).await.unwrap_err().kind(), Kind::Full);
    ids.reverse();
    assert_eq!(house.all_ids(account).await, ids);
    assert_eq!(house.balance(account).await, before - (ids.len() as i64 - 20));
    let count = ids.len();
    house.assert_sound(count).await;
    let house = house.crash();
    assert_eq!(house.all_ids(account).await, ids);
    house.accept_many(account, Lane::Bulk, 500).await;
    assert_eq!(house.apply(vec![failed(&house, run.first, 1, account, 1)]).await, [true]);
    house.assert_sound(count + 500).await;
}

#[tokio::test]
async fn a_batch_that_fills_the_disk_leaves_nothing_of_itself() {
    let (house, account, run) = small_house().await;
    let before = house.balance(account).await;
    let request = house.store.new_id().unwrap();
    let mut slices = Vec::new();
    let refused = loop {
        match house.try_stage(request, account, Lane::Bulk, vec![big(1_000); 50]).await {
            Ok(staged) => slices.push(staged.slice.unwrap()),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), Kind::Full);
    house.store.discard(slices).await.unwrap();
    assert_eq!(house.all_ids(account).await.len(), 20);
    assert_eq!(house.balance(account).await, before);
    // What was removed is room again.
    let staged = house.stage(request, account, Lane::Bulk, vec![big(1_000); 50]).await;
    house.store.commit_batch(batch_commit(request, account, vec![staged.slice.unwrap()], 50)).await.unwrap().unwrap();
    house.assert_sound(70).await;
    let house = house.reopen();
    let left = rows_of_the_day(&house, run.first);
    assert_eq!(left, 70, "no row stays without a slice");
    house.assert_sound(70).await;
}

fn rows_of_the_day(house: &House, id: i64) -> i64 {
    let file = house.dir.path().join(format!("day-{}.db", bongsu_domain::id::id_day(id)));
    let db = rusqlite::Connection::open(file).unwrap();
    db.query_row("SELECT COUNT(*) FROM messages", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn changes_of_one_call_stand_together_or_not_at_all() {
    let (house, account, run) = small_house().await;
    fill_the_day(&house, account).await;
    let before = house.balance(account).await;
    let raw = vec![b'x'; 200_000];
    let at = bongsu_domain::Clock::now(&*house.clock);
    let receipt = Receipt { id: run.first, attempt: 1, part: 0, at, verdict: Verdict::Decided, raw };
    let both = vec![failed(&house, run.first, 1, account, 1), Change::Receipt(receipt)];
    assert_eq!(house.store.apply(both).await.unwrap_err().kind(), Kind::Full);
    assert_eq!(house.status(run.first).await, Some(Status::Sending));
    assert_eq!(house.balance(account).await, before);
    house.assert_sound(20).await;
    let house = house.reopen();
    assert_eq!(house.apply(vec![failed(&house, run.first, 1, account, 1)]).await, [true]);
    assert_eq!(house.balance(account).await, before + 1);
    house.assert_sound(20).await;
}

#[tokio::test]
async fn a_unit_that_fills_the_disk_leaves_its_neighbours_whole() {
    let (house, account, run) = small_house().await;
    fill_the_day(&house, account).await;
    let before = house.balance(account).await;
    type Write<'a> = std::pin::Pin<Box<dyn Future<Output = Option<Kind>> + 'a>>;
    let end = |n: i64| -> Write<'_> {
        let change = failed(&house, run.first + n, 1, account, 1);
        Box::pin(async { house.store.apply(vec![change]).await.err().map(|e| e.kind()) })
    };
    let fill = || -> Write<'_> {
        let request = house.store.new_id().unwrap();
        let (house, rows) = (&house, vec![big(3_000); 30]);
        Box::pin(async move { house.try_stage(request, account, Lane::Bulk, rows).await.err().map(|e| e.kind()) })
    };
    let done = together(&house.store, [end(0), fill(), end(1), fill(), end(2)]).await;
    assert_eq!((done[1], done[3]), (Some(Kind::Full), Some(Kind::Full)));
    let mut refunded = 0;
    for (n, error) in [(0, done[0]), (1, done[2]), (2, done[4])] {
        let ended = house.status(run.first + n).await == Some(Status::Undelivered);
        assert_eq!(ended, error.is_none(), "an answer tells what is there: {done:?}");
        refunded += i64::from(ended);
    }
    assert_eq!(house.balance(account).await, before + refunded);
    house.assert_sound(20).await;
    let house = house.crash();
    assert_eq!(house.balance(account).await, before + refunded);
    let rest: Vec<Change> = (0..20).map(|n| failed(&house, run.first + n, 1, account, 1)).collect();
    let first = house.apply(rest).await.into_iter().filter(|first| *first).count() as i64;
    assert_eq!((first, house.balance(account).await), (20 - refunded, before + 20));
    house.assert_sound(20).await;
    assert_eq!(rows_of_the_day(&house, run.first), 20, "what was staged is removed by the start");
    assert_eq!(house.apply(vec![delivered(&house, run.first, 1)]).await, [false]);
}

#[tokio::test]
async fn what_was_undone_is_news_when_it_comes_again() {
    let (house, account, run) = small_house().await;
    let request = house.store.new_id().unwrap();
    let mut slices = Vec::new();
    while let Ok(staged) = house.try_stage(request, account, Lane::Bulk, vec![big(1_000); 50]).await {
        slices.push(staged.slice.unwrap());
    }
    let room = slices.split_off(slices.len() - 3);
    house.store.discard(room).await.unwrap();
    type Write<'a> = std::pin::Pin<Box<dyn Future<Output = Option<Kind>> + 'a>>;
    let answer = || -> Write<'_> {
        let change = submitted(&house, run.first, 1, 0, "a");
        Box::pin(async { house.store.apply(vec![change]).await.err().map(|e| e.kind()) })
    };
    let fill = || -> Write<'_> {
        let request = house.store.new_id().unwrap();
        let (house, rows) = (&house, vec![big(3_000); 300]);
        Box::pin(async move { house.try_stage(request, account, Lane::Bulk, rows).await.err().map(|e| e.kind()) })
    };
    let done = together(&house.store, [answer(), fill()]).await;
    assert_eq!(done, [Some(Kind::Full), Some(Kind::Full)], "the answer shared the commit of what filled the disk");
    assert_eq!(house.status(run.first).await, Some(Status::Sending));
    house.store.discard(slices).await.unwrap();
    house.apply(vec![submitted(&house, run.first, 1, 0, "a")]).await;
    crate::facts::agree(&house, &[account], &[]).await;
    assert_eq!(house.apply(vec![failed(&house, run.first, 1, account, 1)]).await, [true]);
    crate::facts::agree(&house, &[account], &[]).await;
    house.assert_sound(20).await;
}
