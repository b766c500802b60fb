//! Days: what lies in each, results after midnight, and a day that goes with all its rows.

use bongsu_domain::{Lane, Status};
use bongsu_store::accept::NewMessage;
use bongsu_store::changes::{Change, Unknown};
use bongsu_store::index::KeyKind;
use bongsu_store::query::Filter;

use crate::house::{House, delivered, due_at, failed, house, morning, refused, sms, submitted};

/// A day of every kind of row: delivered, refunded, waiting, due, parked, unknown.
pub async fn a_full_day(house: &House, account: bongsu_domain::AccountId, client_ref: i64) -> Vec<i64> {
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

/// Nothing of the history of a day is left.
async fn assert_gone(house: &House, id: i64) {
    let day = bongsu_domain::id::id_day(id);
    let left = house.store.read(move |reader| {
        let Some(history) = reader.day(day)? else { return Ok(0) };
        let mut left: i64 = 0;
        for (table, key) in [("messages", "id"), ("attempts", "id"), ("receipts", "id"), ("slices", "first")] {
            let sql = format!("SELECT COUNT(*) FROM {table} WHERE {key} <= ?");
            left += history.query_row(&sql, [id + (1 << 22)], |row| row.get::<i64>(0))?;
        }
        Ok(left)
    });
    assert_eq!(left.await.unwrap(), 0);
}

#[tokio::test]
async fn retention_drops_a_day_with_all_its_rows_and_leaves_the_others() {
    let house = house();
    let account = house.account(10_000).await;
    let first = a_full_day(&house, account, 1).await;
    let second_day = house.next_day().await;
    let second = a_full_day(&house, account, 2).await;
    let third_day = house.next_day().await;
    let third = a_full_day(&house, account, 3).await;
    let balance = house.balance(account).await;
    house.assert_sound(first.len() + second.len() + third.len()).await;

    assert_eq!(house.store.retire_days(second_day).await.unwrap(), [morning().kst_day()]);
    assert_eq!(house.store.retire_days(second_day).await.unwrap(), []);
    assert_gone(&house, first[0]).await;
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

#[tokio::test]
async fn a_result_after_midnight_lands_on_the_day_of_its_message() {
    let house = house();
    let account = house.account(100).await;
    let ids = {
        let run = house.accept_many(account, Lane::Bulk, 2).await;
        house.claim(&run, &[0, 0]).await;
        [run.first, run.last()]
    };
    house.next_day().await;
    let fresh = house.accept_many(account, Lane::Bulk, 1).await;
    house.claim(&fresh, &[0]).await;
    let ends = vec![failed(&house, ids[0], 1, account, 1), failed(&house, fresh.first, 1, account, 1)];
    assert_eq!(house.apply(ends).await, [true, true]);
    assert_eq!(house.balance(account).await, 99);
    house.next_day().await;
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
        house.next_day().await;
    }
    let ends = ids.iter().map(|id| failed(&house, *id, 1, account, 1)).collect();
    assert_eq!(house.apply(ends).await, [true; 12]);
    let house = house.crash();
    assert_eq!(house.balance(account).await, 100);
    ids.reverse();
    assert_eq!(house.all_ids(account).await, ids);
    house.assert_sound(12).await;
}
