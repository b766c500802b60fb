//! Sender numbers: verified by a code that was sent to them.

use std::time::Duration;

use bongsu_domain::{AccountId, Clock, PhoneNumber, SenderId};
use bongsu_store::senders::{CODE_TRIES, IssuedCode, SenderState, Verified};
use bongsu_store::{Kind, senders};

use super::{account, wrong};
use crate::house::{House, house};

fn number(digits: &str) -> PhoneNumber {
    PhoneNumber::from_national(digits).unwrap()
}

async fn code_for(house: &House, account: AccountId, id: SenderId) -> String {
    match senders::issue_code(&house.store, account, id).await.unwrap() {
        IssuedCode::Sent { code, .. } => code.expose().to_owned(),
        other => panic!("no code: {other:?}"),
    }
}

#[tokio::test]
async fn a_sender_number_sends_after_its_code_and_not_after_it_is_deleted() {
    let house = house();
    let store = &house.store;
    let (own, other) = (account(store).await, account(store).await);
    let phone = number("01023456789");
    let hash = senders::number_hash(store.vault(), &phone);
    let may_send = async |account| store.read(move |r| senders::active_number(&r.live, account, hash)).await.unwrap();

    let row = senders::register(store, own, phone, false).await.unwrap();
    assert_eq!(row.state, SenderState::Pending);
    assert!(!may_send(own).await);
    assert_eq!(senders::register(store, own, phone, false).await.unwrap_err().kind(), Kind::Conflict("number"));
    assert_eq!(senders::verify(store, own, row.id, "123456").await.unwrap(), Verified::Expired, "no code was issued");

    let code = code_for(&house, own, row.id).await;
    assert!(code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()));
    assert_eq!(senders::verify(store, own, row.id, &wrong(&code)).await.unwrap(), Verified::Wrong { left: 4 });
    let Verified::Active(active) = senders::verify(store, own, row.id, &code).await.unwrap() else {
        panic!("not active")
    };
    assert_eq!((active.state, active.number), (SenderState::Active, phone));
    assert!(active.verified.is_some());
    assert!(may_send(own).await && !may_send(other).await);
    assert!(matches!(senders::issue_code(store, own, row.id).await.unwrap(), IssuedCode::AlreadyActive));
    assert_eq!(senders::list(store, Some(own), 10, None).await.unwrap(), std::slice::from_ref(&active));
    assert_eq!(senders::list(store, Some(other), 10, None).await.unwrap(), []);
    assert_eq!(senders::list(store, None, 10, None).await.unwrap(), [active]);

    for refused in [
        senders::get(store, Some(other), row.id).await.map(drop),
        senders::issue_code(store, other, row.id).await.map(drop),
        senders::verify(store, other, row.id, &code).await.map(drop),
        senders::approve(store, Some(other), row.id).await.map(drop),
        senders::delete(store, Some(other), row.id).await,
    ] {
        assert_eq!(refused.unwrap_err().kind(), Kind::NotFound);
    }
    senders::delete(store, Some(own), row.id).await.unwrap();
    assert!(!may_send(own).await);
    assert_eq!(senders::get(store, Some(own), row.id).await.unwrap_err().kind(), Kind::NotFound);
    for _ in 0..2 {
        let again = senders::register(store, own, phone, false).await.unwrap();
        assert_eq!(again.state, SenderState::Pending, "a deleted number must be verified again");
        senders::delete(store, Some(own), again.id).await.unwrap();
    }
}

#[tokio::test]
async fn the_sixth_wrong_try_locks_a_code_and_old_codes_expire() {
    let house = house();
    let store = &house.store;
    let own = account(store).await;
    let id = senders::register(store, own, number("01023456789"), false).await.unwrap().id;
    let code = code_for(&house, own, id).await;
    for left in (0..CODE_TRIES).rev() {
        assert_eq!(senders::verify(store, own, id, &wrong(&code)).await.unwrap(), Verified::Wrong { left });
    }
    assert_eq!(senders::verify(store, own, id, &wrong(&code)).await.unwrap(), Verified::Locked);
    assert_eq!(senders::verify(store, own, id, &code).await.unwrap(), Verified::Locked, "even the right one");

    house.clock.advance(senders::CODE_PAUSE);
    let code = code_for(&house, own, id).await;
    house.clock.advance(senders::CODE_LIFE - Duration::from_millis(1));
    assert_eq!(senders::verify(store, own, id, &wrong(&code)).await.unwrap(), Verified::Wrong { left: 4 });
    house.clock.advance(Duration::from_millis(1));
    assert_eq!(senders::verify(store, own, id, &code).await.unwrap(), Verified::Expired);

    let newer = code_for(&house, own, id).await;
    assert!(matches!(senders::verify(store, own, id, &format!(" {newer} ")).await.unwrap(), Verified::Active(_)));
}

#[tokio::test]
async fn codes_for_one_number_are_limited_over_all_accounts() {
    let house = house();
    let store = &house.store;
    let phone = number("01023456789");
    let mut rows = Vec::new();
    for _ in 0..2 {
        let own = account(store).await;
        rows.push((own, senders::register(store, own, phone, false).await.unwrap().id));
    }
    let start = house.clock.now();
    for n in 0..5 {
        let (own, id) = rows[n % 2];
        code_for(&house, own, id).await;
        let (own, id) = rows[(n + 1) % 2];
        let waits = senders::issue_code(store, own, id).await.unwrap();
        assert!(matches!(waits, IssuedCode::Wait { .. }), "{waits:?}");
        house.clock.advance(senders::CODE_PAUSE);
    }
    let (own, id) = rows[0];
    let IssuedCode::Wait { until } = senders::issue_code(store, own, id).await.unwrap() else { panic!("a sixth code") };
    assert_eq!(until, start.plus(senders::CODE_SPAN));
    senders::delete(store, Some(own), id).await.unwrap();
    let id = senders::register(store, own, phone, false).await.unwrap().id;
    assert!(matches!(senders::issue_code(store, own, id).await.unwrap(), IssuedCode::Wait { .. }), "not a way around");
    house.clock.set(until);
    code_for(&house, own, id).await;
}

#[tokio::test]
async fn the_sign_up_number_stays_and_an_operator_may_approve() {
    let house = house();
    let store = house.store.clone();
    let own = account(&store).await;
    let row = senders::register(&store, own, number("15881588"), true).await.unwrap();
    let approved = senders::approve(&store, None, row.id).await.unwrap();
    assert_eq!((approved.state, approved.protected), (SenderState::Active, true));
    assert_eq!(senders::delete(&store, Some(own), row.id).await.unwrap_err().kind(), Kind::Conflict("protected"));
    assert_eq!(senders::delete(&store, None, row.id).await.unwrap_err().kind(), Kind::Conflict("protected"));

    let sealed: Vec<u8> =
        store.read(|r| r.live.query_row("SELECT number_sealed FROM senders", (), |row| row.get(0))).await.unwrap();
    assert!(!sealed.windows(4).any(|part| part == b"1588"), "numbers are sealed at rest");
    let nobody = senders::register(&store, AccountId(3), number("15881588"), false).await.unwrap_err();
    assert_eq!(nobody.kind(), Kind::NotFound);
}
