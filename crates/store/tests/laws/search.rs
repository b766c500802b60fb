//! Search by recipient and by last four digits, before and after a start.

use bongsu_domain::Lane;
use bongsu_store::Kind;
use bongsu_store::accept::NewMessage;
use bongsu_store::index::KeyKind;
use bongsu_store::query::Filter;

use crate::house::{House, house, sms};

pub fn to(recipient: i64, last4: i64) -> NewMessage {
    NewMessage { recipient, last4, ..sms(1) }
}

fn by(kind: KeyKind, key: i64) -> Filter {
    Filter { key: Some((kind, key)), ..Filter::default() }
}

pub async fn recipient(house: &House, key: i64) -> Vec<i64> {
    house.ids(by(KeyKind::Recipient, key), 3).await
}

#[tokio::test]
async fn a_recipient_is_found_newest_first_before_and_after_a_start() {
    let mut house = house();
    let account = house.account(100).await;
    let mut mine = Vec::new();
    for n in 0..10 {
        let id = house.accept(account, Lane::Bulk, to(7 + n % 2, 4)).await;
        if n % 2 == 0 {
            mine.insert(0, id);
        }
        house.pass(1);
    }
    for turn in 0..3 {
        assert_eq!(recipient(&house, 7).await, mine);
        assert_eq!(recipient(&house, 9).await, Vec::<i64>::new());
        assert_eq!(house.ids(by(KeyKind::LastFour, 4), 4).await.len(), 10);
        assert_eq!(house.ids(by(KeyKind::LastFour, 7), 4).await, Vec::<i64>::new(), "a key of the other kind");
        let narrow = Filter { from: mine[3], to: mine[1], ..by(KeyKind::Recipient, 7) };
        assert_eq!(house.ids(narrow, 2).await, mine[1..=3]);
        house = if turn == 0 { house.crash() } else { house.reopen() };
    }
    let empty = Filter { from: 9, to: 8, limit: 1, ..by(KeyKind::Recipient, 7) };
    assert_eq!(house.store.page(empty).await.unwrap_err().kind(), Kind::Invalid("since"));
}

#[tokio::test]
async fn messages_of_older_days_are_found_after_a_start() {
    let mut house = house();
    let account = house.account(100).await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.insert(0, house.accept(account, Lane::Bulk, to(7, 4)).await);
        house.next_day().await;
    }
    for turn in 0..4 {
        assert_eq!(recipient(&house, 7).await, ids, "after {turn} starts");
        house = if turn == 0 { house.crash() } else { house.reopen() };
    }
}

#[tokio::test]
async fn what_was_staged_and_discarded_is_not_found() {
    let house = house();
    let account = house.account(100).await;
    let request = house.store.new_id().unwrap();
    let slice = house.stage(request, account, Lane::Bulk, vec![to(7, 4); 3]).await.slice.unwrap();
    assert_eq!(recipient(&house, 7).await, Vec::<i64>::new());
    house.store.discard(vec![slice]).await.unwrap();
    let id = house.accept(account, Lane::Bulk, to(7, 4)).await;
    assert_eq!(recipient(&house, 7).await, [id]);
    let house = house.crash();
    assert_eq!(recipient(&house, 7).await, [id]);
}
