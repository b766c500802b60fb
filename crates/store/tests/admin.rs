//! Accounts, keys, sender numbers, money, relays, distributions and prices on a real store.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::{
    AccountId, Channel, Clock, ManualClock, PhoneNumber, Price, RelayId, Secret, SenderId, Timestamp, Unit,
};
use bongsu_store::accounts::AccountPatch;
use bongsu_store::db::Db;
use bongsu_store::keys::{KeyKind, KeyScope, Scopes};
use bongsu_store::relays::{Coding, Long, NewRelay, RelayPatch, RelaySettings};
use bongsu_store::senders::{CODE_TRIES, IssuedCode, SenderState, Verified};
use bongsu_store::{Kind, Options, Store, accounts, distributions, keys, prices, relays, senders, wallet};
use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::json;

struct House {
    store: Store,
    clock: Arc<ManualClock>,
    dir: tempfile::TempDir,
}

fn house() -> House {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::parse_rfc3339("2026-03-02T09:00:00+09:00").unwrap()));
    let store = Store::open(Options::new(dir.path(), clock.clone())).unwrap();
    House { store, clock, dir }
}

async fn account(store: &Store) -> AccountId {
    accounts::create(store, "가게").await.unwrap().id
}

fn number(digits: &str) -> PhoneNumber {
    PhoneNumber::from_national(digits).unwrap()
}

fn relay(name: &str) -> NewRelay {
    NewRelay {
        name: name.into(),
        kind: "smpp".into(),
        address: "127.0.0.1:2775".into(),
        system_id: "bongsu".into(),
        password: Secret::new("s3cret!"),
        rate_per_s: 1000,
        window: 100,
        binds: 2,
        resend_unknown: true,
        settings: RelaySettings::default(),
    }
}

async fn code_for(house: &House, account: AccountId, id: SenderId) -> String {
    match senders::issue_code(&house.store, account, id).await.unwrap() {
        IssuedCode::Sent { code, .. } => code.expose().to_owned(),
        other => panic!("no code: {other:?}"),
    }
}

fn wrong(code: &str) -> String {
    let first = if code.starts_with('0') { '1' } else { '0' };
    format!("{first}{}", &code[1..])
}

#[tokio::test]
async fn accounts_are_made_listed_and_changed() {
    let House { store, clock, dir: _dir } = house();
    let first = accounts::create(&store, "  첫째 ").await.unwrap();
    assert_eq!((first.name.as_str(), first.suspended, first.rate_per_s), ("첫째", false, accounts::DEFAULT_RATE_PER_S));
    clock.advance(Duration::from_secs(1));
    let second = accounts::create(&store, "둘째").await.unwrap();
    assert_eq!(accounts::list(&store, 10, None).await.unwrap(), [second.clone(), first.clone()]);
    assert_eq!(accounts::list(&store, 1, None).await.unwrap(), std::slice::from_ref(&second));
    assert_eq!(accounts::list(&store, 10, Some(second.id)).await.unwrap(), std::slice::from_ref(&first));

    let patch = AccountPatch { suspended: Some(true), rate_per_s: Some(7), ..Default::default() };
    let changed = accounts::patch(&store, first.id, patch).await.unwrap();
    assert_eq!((changed.name.as_str(), changed.suspended, changed.rate_per_s), ("첫째", true, 7));
    assert_eq!(accounts::get(&store, first.id).await.unwrap(), changed);

    for bad in ["", "  ", "a\nb", &"x".repeat(101)] {
        assert_eq!(accounts::create(&store, bad).await.unwrap_err().kind(), Kind::Invalid("name"));
    }
    let patch = AccountPatch { rate_per_s: Some(0), ..Default::default() };
    assert_eq!(accounts::patch(&store, first.id, patch).await.unwrap_err().kind(), Kind::Invalid("ratePerS"));
    assert_eq!(accounts::get(&store, AccountId(5)).await.unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test]
async fn a_key_works_until_it_is_revoked_and_only_its_hash_is_stored() {
    let House { store, .. } = house();
    let (own, other) = (account(&store).await, account(&store).await);
    let made = keys::create(&store, Some(own), Scopes::NONE.with(KeyScope::Send)).await.unwrap();
    let second = keys::create(&store, Some(own), Scopes::ALL_ACCOUNT).await.unwrap();
    let text = made.key.expose().to_owned();
    assert!(text.starts_with(&made.row.prefix) && made.row.prefix.len() == 8);
    assert!(!format!("{made:?}").contains(&text));

    for _ in 0..2 {
        let row = keys::authenticate(&store, &text).await.unwrap().unwrap();
        assert_eq!((row.id, row.account, row.kind), (made.row.id, Some(own), KeyKind::Live));
        assert!(row.scopes.has(KeyScope::Send) && !row.scopes.has(KeyScope::Read));
    }
    for bad in ["", "bk_x", &text[..60], &text.to_uppercase(), &wrong(&text)] {
        assert_eq!(keys::authenticate(&store, bad).await.unwrap(), None);
    }
    let stored: String = store
        .read(|reader| {
            Ok(reader.live.query_row(
                "SELECT group_concat(hex(hash)) || group_concat(prefix) FROM api_keys",
                (),
                |r| r.get::<String>(0),
            )?)
        })
        .await
        .unwrap();
    assert!(!stored.contains(&text[8..]));

    accounts::patch(&store, own, AccountPatch { suspended: Some(true), ..Default::default() }).await.unwrap();
    assert!(keys::authenticate(&store, &text).await.unwrap().unwrap().suspended);

    assert_eq!(keys::revoke(&store, Some(other), made.row.id).await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(keys::get(&store, Some(other), made.row.id).await.unwrap_err().kind(), Kind::NotFound);
    let revoked = keys::revoke(&store, Some(own), made.row.id).await.unwrap();
    assert!(revoked.revoked.is_some());
    assert_eq!(keys::revoke(&store, Some(own), made.row.id).await.unwrap(), revoked);
    assert_eq!(keys::authenticate(&store, &text).await.unwrap(), None);
    assert!(keys::authenticate(&store, second.key.expose()).await.unwrap().is_some());
    let listed: Vec<_> = keys::list(&store, Some(own), 10, None).await.unwrap().iter().map(|row| row.id).collect();
    assert_eq!(listed, [second.row.id, made.row.id]);
    assert_eq!(keys::list(&store, Some(other), 10, None).await.unwrap(), []);
}

#[tokio::test]
async fn the_first_operator_key_is_made_once_and_the_last_one_stays() {
    let House { store, .. } = house();
    let first = keys::ensure_operator(&store).await.unwrap().unwrap();
    assert!(keys::ensure_operator(&store).await.unwrap().is_none());
    let row = keys::authenticate(&store, first.expose()).await.unwrap().unwrap();
    assert!(row.account.is_none() && row.scopes.has(KeyScope::Operator) && row.scopes.has(KeyScope::Send));
    assert_eq!(keys::revoke(&store, None, row.id).await.unwrap_err().kind(), Kind::Conflict("lastOperatorKey"));
    let next = keys::create(&store, None, Scopes::OPERATOR).await.unwrap();
    keys::revoke(&store, None, row.id).await.unwrap();
    assert!(keys::authenticate(&store, first.expose()).await.unwrap().is_none());
    assert!(keys::ensure_operator(&store).await.unwrap().is_none(), "only an empty store gets one");
    assert_eq!(keys::list(&store, None, 10, None).await.unwrap()[0], next.row);

    let own = account(&store).await;
    for (account, scopes) in [(Some(own), Scopes::NONE), (Some(own), Scopes::OPERATOR), (None, Scopes::ALL_ACCOUNT)] {
        assert_eq!(keys::create(&store, account, scopes).await.unwrap_err().kind(), Kind::Invalid("scopes"));
    }
    let nobody = keys::create(&store, Some(AccountId(9)), Scopes::ALL_ACCOUNT).await.unwrap_err();
    assert_eq!(nobody.kind(), Kind::NotFound);
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
    let House { store, .. } = house();
    let own = account(&store).await;
    let row = senders::register(&store, own, number("15881588"), true).await.unwrap();
    let approved = senders::approve(&store, None, row.id).await.unwrap();
    assert_eq!((approved.state, approved.protected), (SenderState::Active, true));
    assert_eq!(senders::delete(&store, Some(own), row.id).await.unwrap_err().kind(), Kind::Conflict("protected"));
    assert_eq!(senders::delete(&store, None, row.id).await.unwrap_err().kind(), Kind::Conflict("protected"));

    let sealed: Vec<u8> =
        store.read(|r| Ok(r.live.query_row("SELECT number_sealed FROM senders", (), |row| row.get(0))?)).await.unwrap();
    assert!(!sealed.windows(4).any(|part| part == b"1588"), "numbers are sealed at rest");
    let nobody = senders::register(&store, AccountId(3), number("15881588"), false).await.unwrap_err();
    assert_eq!(nobody.kind(), Kind::NotFound);
}

#[tokio::test]
async fn credits_are_idempotent_by_cause_and_checked() {
    let House { store, .. } = house();
    let own = account(&store).await;
    let first = wallet::top_up(&store, own, Unit::PointSms, 500, "invoice 7").await.unwrap();
    assert_eq!((first.amount, first.balance, first.cause.as_str()), (500, 500, "credit:invoice 7"));
    assert_eq!(wallet::top_up(&store, own, Unit::PointSms, 500, "invoice 7").await.unwrap(), first);
    let other = wallet::top_up(&store, own, Unit::PointSms, 501, "invoice 7").await.unwrap_err();
    assert_eq!(other.kind(), Kind::Conflict("cause"));
    wallet::top_up(&store, own, Unit::Krw, 9, "invoice 7").await.unwrap();
    assert_eq!(wallet::balances(&store, own).await.unwrap(), [(Unit::PointSms, 500), (Unit::Krw, 9)]);
    for amount in [0, -1, i64::MIN, i64::MAX, wallet::MAX_AMOUNT + 1] {
        let refused = wallet::top_up(&store, own, Unit::PointSms, amount, "x").await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Invalid("amount"));
    }
    for cause in ["", " ", "a\tb", &"x".repeat(101)] {
        let refused = wallet::top_up(&store, own, Unit::PointSms, 1, cause).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Invalid("cause"));
    }
    let nobody = wallet::top_up(&store, AccountId(1), Unit::PointSms, 1, "x").await.unwrap_err();
    assert_eq!(nobody.kind(), Kind::NotFound);
}

#[tokio::test]
async fn entries_page_newest_first() {
    let House { store, .. } = house();
    let (own, other) = (account(&store).await, account(&store).await);
    for n in 1..=5 {
        let unit = if n == 3 { Unit::Krw } else { Unit::PointSms };
        wallet::top_up(&store, own, unit, n, &format!("c{n}")).await.unwrap();
        wallet::top_up(&store, other, unit, n, &format!("c{n}")).await.unwrap();
    }
    let amounts = async |unit, limit, before| -> (Vec<i64>, Option<i64>) {
        let page = wallet::entries(&store, own, unit, limit, before).await.unwrap();
        (page.iter().map(|entry| entry.amount).collect(), page.last().map(|entry| entry.seq))
    };
    let (page, cursor) = amounts(None, 2, None).await;
    assert_eq!(page, [5, 4]);
    let (page, cursor) = amounts(None, 2, cursor).await;
    assert_eq!(page, [3, 2]);
    let (page, cursor) = amounts(None, 2, cursor).await;
    assert_eq!(page, [1]);
    assert!(amounts(None, 2, cursor).await.0.is_empty());
    assert_eq!(amounts(Some(Unit::PointSms), 9, None).await.0, [5, 4, 2, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_parallel_charges_on_a_balance_for_ten_let_ten_through() {
    let House { store, .. } = house();
    let own = account(&store).await;
    wallet::top_up(&store, own, Unit::PointSms, 30, "start").await.unwrap();
    let tasks: Vec<_> = (0..100)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let cause = format!("request:{n}");
                store.write(move |tx| wallet::charge(tx.live, own, Unit::PointSms, 3, &cause, tx.now)).await
            })
        })
        .collect();
    let mut through = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(()) => through += 1,
            Err(e) => assert_eq!(e.kind(), Kind::NoBalance),
        }
    }
    assert_eq!(through, 10);
    assert_eq!(wallet::balances(&store, own).await.unwrap(), [(Unit::PointSms, 0)]);
    assert_eq!(store.read(|reader| wallet::mismatches(&reader.live)).await.unwrap(), []);
}

fn bare() -> Db {
    let live = Connection::open_in_memory().unwrap();
    live.execute_batch(include_str!("../migrations/sqlite/live/0002_admin.sql")).unwrap();
    Db::from(live)
}

#[test]
fn a_mismatch_of_balance_and_entries_is_found() {
    let live = bare();
    for account in 1..=3 {
        wallet::credit(&live, AccountId(account), Unit::PointSms, 10, "x", Timestamp(1)).unwrap();
    }
    assert_eq!(wallet::mismatches(&live).unwrap(), []);
    live.execute("UPDATE balances SET amount = 11 WHERE account = 1", ()).unwrap();
    live.execute("DELETE FROM balances WHERE account = 2", ()).unwrap();
    live.execute("DELETE FROM ledger WHERE account = 3", ()).unwrap();
    let found = wallet::mismatches(&live).unwrap();
    let unit = Unit::PointSms;
    assert_eq!(found, [(AccountId(1), unit, 11, 10), (AccountId(2), unit, 0, 10), (AccountId(3), unit, 10, 0)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Any order of charges, credits and refunds, repeated causes included: balance = sum, never negative.
    #[test]
    fn a_balance_is_the_sum_of_its_entries(steps in prop::collection::vec((0u8..3, 1i64..40, 0u8..25, 0usize..3), 1..120)) {
        let live = bare();
        let mut moved = std::collections::HashMap::new();
        let mut expected = [0i64; 3];
        for (step, (what, amount, cause, unit)) in steps.into_iter().enumerate() {
            let now = Timestamp(step as i64);
            let sign = if what == 0 { -1 } else { 1 };
            let name = format!("{}:{cause}", ["charge", "credit", "refund"][usize::from(what)]);
            let key = (name.clone(), unit);
            let account = AccountId(7);
            let done = match what {
                0 => wallet::charge(&live, account, Unit::ALL[unit], amount, &name, now),
                _ => wallet::credit(&live, account, Unit::ALL[unit], amount, &name, now).map(drop),
            };
            match moved.get(&key) {
                Some(first) if *first == amount => prop_assert!(done.is_ok()),
                Some(_) => prop_assert_eq!(done.unwrap_err().kind(), Kind::Conflict("cause")),
                None if sign * amount + expected[unit] < 0 => prop_assert_eq!(done.unwrap_err().kind(), Kind::NoBalance),
                None => {
                    prop_assert!(done.is_ok());
                    moved.insert(key, amount);
                    expected[unit] += sign * amount;
                }
            }
            for (unit, expected) in Unit::ALL.into_iter().zip(expected) {
                prop_assert_eq!(wallet::balance(&live, account, unit).unwrap(), expected);
            }
        }
        prop_assert_eq!(wallet::mismatches(&live).unwrap(), vec![]);
        let last: i64 = live.query_row("SELECT COALESCE(MIN(balance), 0) FROM ledger", (), |row| row.get(0)).unwrap();
        prop_assert!(last >= 0);
    }
}

#[tokio::test]
async fn relays_are_rows_with_numbers_of_their_own() {
    let House { store, .. } = house();
    for (no, name) in ["kt", "skt", "lgu"].into_iter().enumerate() {
        assert_eq!(usize::from(relays::create(&store, relay(name)).await.unwrap().no), no);
    }
    assert_eq!(relays::create(&store, relay("kt")).await.unwrap_err().kind(), Kind::Conflict("name"));
    let row = relays::by_name(&store, "lgu").await.unwrap();
    assert_eq!(row.password.expose(), "s3cret!");
    assert!(!format!("{row:?}").contains("s3cret!"));
    let sealed: Vec<u8> = store
        .read(|r| Ok(r.live.query_row("SELECT password_sealed FROM relays", (), |row| row.get(0))?))
        .await
        .unwrap();
    assert!(!sealed.windows(7).any(|part| part == b"s3cret!"));

    let changes = json!({"coding": "ucs2", "long": "udh", "responseIdHex": true});
    let patch = RelayPatch {
        rate_per_s: Some(5),
        password: Some(Secret::new("other")),
        settings: changes.as_object().cloned(),
        ..Default::default()
    };
    let changed = relays::patch(&store, row.id, patch).await.unwrap();
    assert_eq!((changed.rate_per_s, changed.window, changed.password.expose()), (5, 100, "other"));
    assert_eq!((changed.settings.coding, changed.settings.long), (Coding::Ucs2, Long::Udh));
    assert_eq!(relays::get(&store, row.id).await.unwrap(), changed);
    let patch = RelayPatch { settings: json!({"coding": null}).as_object().cloned(), ..Default::default() };
    let changed = relays::patch(&store, row.id, patch).await.unwrap();
    assert_eq!((changed.settings.coding, changed.settings.response_id_hex), (Coding::Ksc5601, true));

    relays::delete(&store, row.id).await.unwrap();
    for gone in
        [relays::get(&store, row.id).await, relays::delete(&store, row.id).await, relays::by_name(&store, "lgu").await]
    {
        assert_eq!(gone.unwrap_err().kind(), Kind::NotFound);
    }
    let again = relays::create(&store, relay("lgu")).await.unwrap();
    assert_eq!(again.no, 3, "a number is never given again");
    let names: Vec<_> = relays::list(&store).await.unwrap().into_iter().map(|row| (row.no, row.name)).collect();
    assert_eq!(names, [(0, "kt".to_owned()), (1, "skt".to_owned()), (3, "lgu".to_owned())]);
    let vault = store.vault().clone();
    let all = store.read(move |reader| relays::load(&reader.live, &vault)).await.unwrap();
    assert_eq!(all.iter().filter(|row| row.deleted.is_some()).map(|row| row.no).collect::<Vec<_>>(), [2]);

    for no in 4..=relays::NO_MAX {
        assert_eq!(relays::create(&store, relay(&format!("r-{no}"))).await.unwrap().no, no);
    }
    assert_eq!(relays::create(&store, relay("one-more")).await.unwrap_err().kind(), Kind::Conflict("relays"));
    assert_eq!(relays::get(&store, RelayId(1)).await.unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test]
async fn a_relay_out_of_its_limits_is_refused_with_the_field() {
    let House { store, .. } = house();
    type Spoil = fn(&mut NewRelay);
    let cases: [(&'static str, Spoil); 19] = [
        ("name", |r| r.name = String::new()),
        ("name", |r| r.name = "KT".into()),
        ("name", |r| r.name = "a".repeat(21)),
        ("kind", |r| r.kind = "fax".into()),
        ("address", |r| r.address = "127.0.0.1".into()),
        ("address", |r| r.address = ":2775".into()),
        ("address", |r| r.address = "kt:0".into()),
        ("address", |r| r.address = "kt:70000".into()),
        ("address", |r| r.address = "http://kt:80".into()),
        ("systemId", |r| r.system_id = "x".repeat(16)),
        ("systemId", |r| r.system_id = String::new()),
        ("password", |r| r.password = Secret::new("비밀")),
        ("ratePerS", |r| r.rate_per_s = 0),
        ("window", |r| r.window = 0),
        ("window", |r| r.window = 10_001),
        ("binds", |r| r.binds = 33),
        ("settings", |r| r.settings.response_timeout_ms = 1),
        ("settings", |r| r.settings.enquire_link_ms = 1),
        ("settings", |r| r.settings.tls_ca = Some("-----BEGIN CERTIFICATE-----".into())),
    ];
    for (field, spoil) in cases {
        let mut new = relay("kt");
        spoil(&mut new);
        assert_eq!(relays::create(&store, new).await.unwrap_err().kind(), Kind::Invalid(field));
    }
    for bad in [json!({"colour": 1}), json!({"coding": "ebcdic"}), json!({"subjectTlv": 70000}), json!([])] {
        assert_eq!(relays::parse_settings(bad).unwrap_err().kind(), Kind::Invalid("settings"));
    }
    assert_eq!(relays::parse_settings(json!({})).unwrap(), RelaySettings::default());
    let row = relays::create(&store, relay("kt")).await.unwrap();
    for bad in [json!({"colour": null}), json!({"long": "very"}), json!({"enquireLinkMs": -1})] {
        let patch = RelayPatch { settings: bad.as_object().cloned(), ..Default::default() };
        assert_eq!(relays::patch(&store, row.id, patch).await.unwrap_err().kind(), Kind::Invalid("settings"));
    }
    for address in ["smsc.kt.example:2775", "[::1]:2775", "10.0.0.7:65535"] {
        relays::patch(&store, row.id, RelayPatch { address: Some(address.into()), ..Default::default() })
            .await
            .unwrap();
    }
    let patch = RelayPatch { binds: Some(0), ..Default::default() };
    assert_eq!(relays::patch(&store, row.id, patch).await.unwrap_err().kind(), Kind::Invalid("binds"));
}

#[tokio::test]
async fn shares_are_even_until_set_and_hold_their_relays() {
    let House { store, .. } = house();
    let own = account(&store).await;
    assert_eq!(distributions::get(&store, own, Channel::Sms).await.unwrap().shares, []);
    for name in ["kt", "skt", "lgu"] {
        relays::create(&store, relay(name)).await.unwrap();
    }
    let named = |shares: &[(&str, u32)]| shares.iter().map(|(n, s)| ((*n).to_owned(), *s)).collect::<Vec<_>>();
    let default = distributions::get(&store, own, Channel::Sms).await.unwrap();
    assert_eq!((default.shares, default.set), (named(&[("kt", 34), ("skt", 33), ("lgu", 33)]), false));

    let shares = [("lgu".to_owned(), 10), ("kt".to_owned(), 70), ("skt".to_owned(), 20)];
    let put = distributions::put(&store, own, Channel::Sms, &shares).await.unwrap();
    assert_eq!((put.shares.clone(), put.set), (named(&[("kt", 70), ("skt", 20), ("lgu", 10)]), true));
    assert_eq!(distributions::get(&store, own, Channel::Sms).await.unwrap(), put);
    let by_no = store.read(move |r| distributions::load(&r.live, own, Channel::Sms, 0)).await.unwrap();
    assert_eq!(by_no, [(0, 70), (1, 20), (2, 10)]);
    assert!(!distributions::get(&store, own, Channel::Lms).await.unwrap().set, "channels are apart");

    let bad = distributions::put(&store, own, Channel::Sms, &[("kt".to_owned(), 99)]).await.unwrap_err();
    assert_eq!(bad.kind(), Kind::Invalid("shares"));
    assert_eq!(distributions::get(&store, own, Channel::Sms).await.unwrap(), put, "a refusal changes nothing");

    let lgu = relays::by_name(&store, "lgu").await.unwrap();
    let used = relays::delete(&store, lgu.id).await.unwrap_err();
    assert_eq!(used.kind(), Kind::Conflict("distributions"));
    assert!(used.to_string().contains(&format!("{own} sms")), "{used}");
    distributions::put(&store, own, Channel::Sms, &[("kt".to_owned(), 100)]).await.unwrap();
    relays::delete(&store, lgu.id).await.unwrap();
    let gone = distributions::put(&store, own, Channel::Sms, &shares).await.unwrap_err();
    assert!(gone.to_string().contains("lgu"), "{gone}");
    let reset = distributions::reset(&store, own, Channel::Sms).await.unwrap();
    assert_eq!((reset.shares, reset.set), (named(&[("kt", 50), ("skt", 50)]), false));
    let nobody = distributions::put(&store, AccountId(1), Channel::Sms, &shares).await.unwrap_err();
    assert_eq!(nobody.kind(), Kind::NotFound);
}

#[tokio::test]
async fn the_state_of_a_distribution_is_kept() {
    let House { store, .. } = house();
    let own = AccountId(7);
    for state in [&[1u8, 2, 3][..], &[4]] {
        store.write(move |tx| distributions::save_state(tx.live, own, Channel::Sms, 0, state)).await.unwrap();
        let kept = store.read(move |r| distributions::load_state(&r.live, own, Channel::Sms, 0)).await.unwrap();
        assert_eq!(kept.as_deref(), Some(state));
    }
    assert_eq!(store.read(move |r| distributions::load_state(&r.live, own, Channel::Lms, 0)).await.unwrap(), None);
}

#[tokio::test]
async fn prices_have_defaults_and_can_be_set() {
    let House { store, .. } = house();
    let price = |unit, amount| Price { unit, amount };
    let listed = prices::list(&store).await.unwrap();
    assert_eq!(listed, [(Channel::Sms, price(Unit::PointSms, 1)), (Channel::Lms, price(Unit::PointSms, 3))]);
    prices::put(&store, Channel::Lms, price(Unit::Krw, 28_000)).await.unwrap();
    prices::put(&store, Channel::Lms, price(Unit::Krw, 27_500)).await.unwrap();
    let table = store.read(|r| prices::load(&r.live)).await.unwrap();
    assert_eq!(table.of(Channel::Sms), price(Unit::PointSms, 1));
    assert_eq!(table.of(Channel::Lms), price(Unit::Krw, 27_500));
    for amount in [-1, prices::MAX_PRICE + 1] {
        let refused = prices::put(&store, Channel::Sms, price(Unit::PointSms, amount)).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Invalid("amount"));
    }
}

#[tokio::test]
async fn a_store_without_its_key_file_does_not_open() {
    let House { store, clock, dir } = house();
    drop(store);
    let open = || Store::open(Options::new(dir.path(), clock.clone()));
    let (keys, kept) = (dir.path().join("keys"), dir.path().join("kept"));
    std::fs::rename(&keys, &kept).unwrap();
    assert_eq!(open().err().map(|e| e.kind()), Some(Kind::Corrupt));
    assert!(!keys.exists(), "no second key in silence");

    let other = house();
    std::fs::copy(other.dir.path().join("keys"), &keys).unwrap();
    assert_eq!(open().err().map(|e| e.kind()), Some(Kind::Corrupt));
    std::fs::rename(&kept, &keys).unwrap();
    open().unwrap();
}
