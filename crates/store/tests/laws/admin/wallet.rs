//! Money: a balance is the sum of its entries, whatever happens at once.

use bongsu_domain::{AccountId, Timestamp, Unit};
use bongsu_store::db::Db;
use bongsu_store::{Error, Kind, wallet};
use proptest::prelude::*;

use super::account;
use crate::house::house;

#[tokio::test]
async fn credits_are_idempotent_by_cause_and_checked() {
    let house = house();
    let store = house.store.clone();
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
    let house = house();
    let store = house.store.clone();
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
    let house = house();
    let store = house.store.clone();
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

#[tokio::test]
async fn a_mismatch_of_balance_and_entries_is_found() {
    let house = house();
    let store = &house.store;
    let credited = store.write(|tx| {
        for account in 1..=3 {
            wallet::credit(tx.live, AccountId(account), Unit::PointSms, 10, "x", tx.now)?;
        }
        wallet::mismatches(tx.live)
    });
    assert_eq!(credited.await.unwrap(), []);
    let spoiled = store.write(|tx| {
        tx.live.execute("UPDATE balances SET amount = 11 WHERE account = 1", ())?;
        tx.live.execute("DELETE FROM balances WHERE account = 2", ())?;
        tx.live.execute("DELETE FROM ledger WHERE account = 3", ())?;
        wallet::mismatches(tx.live)
    });
    let unit = Unit::PointSms;
    let expected = [(AccountId(1), unit, 11, 10), (AccountId(2), unit, 0, 10), (AccountId(3), unit, 10, 0)];
    assert_eq!(spoiled.await.unwrap(), expected);
}

/// What is done to a balance: charge, credit or refund, an amount, the number of its cause, a unit.
type Step = (u8, i64, u8, usize);

/// What a step came to, and the balances after it.
type Outcome = (Option<Kind>, [i64; 3]);

/// What each step came to.
fn run(live: &Db, steps: &[Step]) -> Result<Vec<Outcome>, Error> {
    let account = AccountId(7);
    let mut outcomes = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let (name, now, unit) = (cause(*step), Timestamp(at as i64), Unit::ALL[step.3]);
        let done = match step.0 {
            0 => wallet::charge(live, account, unit, step.1, &name, now),
            _ => wallet::credit(live, account, unit, step.1, &name, now).map(drop),
        };
        let mut balances = [0; 3];
        for (unit, balance) in Unit::ALL.into_iter().zip(&mut balances) {
            *balance = wallet::balance(live, account, unit)?;
        }
        outcomes.push((done.err().map(|e| e.kind()), balances));
    }
    Ok(outcomes)
}

fn cause((what, _, cause, _): Step) -> String {
    format!("{}:{cause}", ["charge", "credit", "refund"][usize::from(what)])
}

/// What it should come to.
fn expected(steps: &[Step]) -> Vec<Outcome> {
    let mut moved = std::collections::HashMap::new();
    let mut balances = [0i64; 3];
    let mut outcomes = Vec::new();
    for step in steps {
        let (_, amount, _, unit) = *step;
        let sign = if step.0 == 0 { -1 } else { 1 };
        let key = (cause(*step), unit);
        let outcome = match moved.get(&key) {
            Some(first) if *first == amount => None,
            Some(_) => Some(Kind::Conflict("cause")),
            None if sign * amount + balances[unit] < 0 => Some(Kind::NoBalance),
            None => {
                moved.insert(key, amount);
                balances[unit] += sign * amount;
                None
            }
        };
        outcomes.push((outcome, balances));
    }
    outcomes
}

async fn any_order(steps: Vec<Step>) {
    let house = house();
    let work = steps.clone();
    let outcomes = house.store.write(move |tx| run(tx.live, &work)).await.unwrap();
    assert_eq!(outcomes, expected(&steps));
    assert_eq!(house.store.read(|reader| wallet::mismatches(&reader.live)).await.unwrap(), []);
    let lowest = "SELECT COALESCE(MIN(balance), 0) FROM ledger";
    let last: i64 = house.store.read(move |r| r.live.query_row(lowest, (), |row| row.get(0))).await.unwrap();
    assert!(last >= 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::ground::CASES, ..ProptestConfig::default() })]

    /// Any order of charges, credits and refunds, repeated causes included: balance = sum, never negative.
    #[test]
    fn a_balance_is_the_sum_of_its_entries(
        steps in prop::collection::vec((0u8..3, 1i64..40, 0u8..25, 0usize..3), 1..120)
    ) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(any_order(steps));
    }
}
