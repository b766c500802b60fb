//! Single messages: durable, visible, charged once, and no trouble to their neighbours.

use std::sync::{Arc, Mutex};

use bongsu_domain::id::{id_millis, reference};
use bongsu_domain::{Lane, Status, Timestamp, Unit};
use bongsu_store::accept::{NewMessage, RUN_MAX, Refused};
use bongsu_store::query::Filter;
use bongsu_store::rows::Run;
use bongsu_store::{Kind, wallet};

use crate::house::{delivered, house, sms, submitted, together, waits};

#[tokio::test]
async fn an_accepted_message_is_there_after_close_and_after_a_crash() {
    let mut house = house();
    let account = house.account(10).await;
    let extra = Some(r#"{"billCode":"봄"}"#.to_string());
    let message = NewMessage { extra: extra.clone(), recipient: 77, sealed: vec![1, 2, 3], ..sms(3) };
    let id = house.accept(account, Lane::Realtime, message).await;
    assert_eq!(id_millis(id), house.now());
    for turn in 0..3 {
        let found = house.see(id).await.unwrap();
        let row = &found.row;
        assert_eq!((row.account, row.lane, row.status, row.price), (account, Lane::Realtime, Status::Queued, 3));
        assert_eq!((row.recipient, row.request, row.extra.clone()), (77, 0, extra.clone()));
        assert_eq!((row.sealed.as_slice(), row.attempt.attempt, row.late), ([1, 2, 3].as_slice(), 0, false));
        assert_eq!((row.expires, found.due, found.earlier.len()), (house.now() + crate::house::DAY_MS, None, 0));
        assert_eq!(house.all_ids(account).await, [id]);
        assert_eq!(house.balance(account).await, 7);
        house.assert_sound(1).await;
        house = if turn == 0 { house.crash() } else { house.reopen() };
    }
    let next = house.accept(account, Lane::Realtime, sms(0)).await;
    assert!(next > id, "ids go on after a start although the clock stands still");
}

#[tokio::test]
async fn ids_of_a_commit_are_sorted_by_lane_and_account_into_runs_of_at_most_500() {
    let house = house();
    let commits: Arc<Mutex<Vec<Vec<Run>>>> = Arc::default();
    let seen = commits.clone();
    house.store.on_runs(move |runs| seen.lock().unwrap().push(runs.to_vec()));
    let accounts = [house.account(10_000).await, house.account(10_000).await];
    let lanes = [Lane::Ad, Lane::Auth, Lane::Bulk, Lane::Realtime];
    let writes = (0..1_500).map(|n| -> std::pin::Pin<Box<dyn Future<Output = _>>> {
        // Most for one lane and account, so that a run gets full.
        let (lane, account) = if n % 3 == 0 { (lanes[n / 3 % 4], accounts[n % 2]) } else { (Lane::Bulk, accounts[1]) };
        let accept = house.accept(account, lane, sms(1));
        Box::pin(async move { (accept.await, lane, account) })
    });
    let done = together(&house.store, writes).await;
    let commits = commits.lock().unwrap().clone();
    for runs in &commits {
        assert!(runs.is_sorted_by_key(|run| (run.lane, run.account, run.first)), "{runs:?}");
        assert!(runs.iter().all(|run| run.count as usize <= RUN_MAX && run.next == 0));
        for pair in runs.windows(2) {
            let same = (pair[0].lane, pair[0].account) == (pair[1].lane, pair[1].account);
            assert!(!same || pair[0].count as usize == RUN_MAX, "one run for one lane and account: {pair:?}");
        }
    }
    let runs: Vec<Run> = commits.into_iter().flatten().collect();
    assert_eq!(runs.iter().map(|run| run.count as usize).sum::<usize>(), done.len());
    for (id, lane, account) in done {
        let run = runs.iter().find(|run| (run.first..=run.last()).contains(&id)).unwrap();
        assert_eq!((run.lane, run.account), (lane, account));
        assert_eq!(house.see(id).await.unwrap().row.account, account);
        assert_eq!(reference(id), (id & 0xFFFF) as u16);
    }
    house.assert_sound(1_500).await;
}

#[tokio::test]
async fn a_balance_for_100_accepts_exactly_100_of_1000_at_once() {
    let house = house();
    let account = house.account(200).await;
    let writes = (0..1_000).map(|n| -> std::pin::Pin<Box<dyn Future<Output = _>>> {
        Box::pin(house.try_accept(account, Lane::ALL[n % 4], sms(2), None))
    });
    let done = together(&house.store, writes).await;
    let accepted = done.iter().filter(|d| matches!(d, Ok(Ok(_)))).count();
    let refused = done.iter().filter(|d| matches!(d, Ok(Err(Refused::NoBalance)))).count();
    assert_eq!((accepted, refused), (100, 900));
    assert_eq!(house.balance(account).await, 0);
    assert_eq!(house.all_ids(account).await.len(), 100);
    let mut sum = 0;
    let mut before = None;
    loop {
        let page = wallet::entries(&house.store, account, Some(Unit::PointSms), 100, before).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.seq);
        sum += page.iter().map(|entry| entry.amount).sum::<i64>();
    }
    assert_eq!(sum, 0, "the entries sum up to the balance");
    house.assert_sound(100).await;
}

#[tokio::test]
async fn one_refused_unit_does_not_fail_its_neighbours() {
    let house = house();
    let (rich, poor) = (house.account(100).await, house.account(1).await);
    let sent = house.accept(rich, Lane::Bulk, sms(1)).await;
    house.claim(&house.run_of(rich, Lane::Bulk, sent).await, &[0]).await;
    type Write<'a> = std::pin::Pin<Box<dyn Future<Output = &'static str> + 'a>>;
    let (store, house) = (&house.store, &house);
    let (one, taken) =
        (|account, price| house.try_accept(account, Lane::Bulk, sms(price), None), submitted(house, sent, 1, 0, "a1"));
    let word = |ok: bool| if ok { "done" } else { "refused" };
    let writes: Vec<Write<'_>> = vec![
        Box::pin(async move { word(one(rich, 1).await.unwrap().is_ok()) }),
        Box::pin(async move { word(one(poor, 2).await.unwrap().is_ok()) }),
        Box::pin(async move { word(store.cancel(None, sent).await.is_ok()) }),
        Box::pin(async move { word(store.apply(vec![taken]).await.is_ok()) }),
        Box::pin(async move { word(wallet::top_up(store, rich, Unit::PointSms, 5, "처음").await.is_ok()) }),
        Box::pin(async move { word(store.replay(None, 12_345).await.is_ok()) }),
        Box::pin(async move { word(one(poor, 1).await.unwrap().is_ok()) }),
    ];
    let done = together(store, writes).await;
    assert_eq!(done, ["done", "refused", "refused", "done", "refused", "refused", "done"]);
    assert_eq!(house.status(sent).await, Some(Status::Submitted));
    assert_eq!((house.balance(rich).await, house.balance(poor).await), (98, 0));
    house.assert_sound(3).await;
}

#[tokio::test]
async fn a_clock_that_is_behind_refuses_accepts_and_nothing_else() {
    let house = house();
    let account = house.account(10).await;
    let id = house.accept(account, Lane::Bulk, sms(1)).await;
    house.claim(&house.run_of(account, Lane::Bulk, id).await, &[0]).await;
    house.clock.set(Timestamp::from_millis(house.now() - 2_000));
    type Write<'a> = std::pin::Pin<Box<dyn Future<Output = Option<Kind>> + 'a>>;
    let writes: Vec<Write<'_>> = vec![
        Box::pin(async { house.try_accept(account, Lane::Bulk, sms(1), None).await.err().map(|e| e.kind()) }),
        Box::pin(async { house.store.apply(vec![delivered(&house, id, 1)]).await.err().map(|e| e.kind()) }),
    ];
    assert_eq!(together(&house.store, writes).await, [Some(Kind::ClockBehind), None]);
    assert_eq!(house.status(id).await, Some(Status::Delivered));
    assert_eq!(house.balance(account).await, 9);
    house.clock.set(Timestamp::from_millis(house.now() + 2_001));
    house.accept(account, Lane::Bulk, sms(1)).await;
    house.assert_sound(2).await;
}

#[tokio::test]
async fn held_writes_wait_and_are_invisible_until_they_are_let_go() {
    let house = house();
    let account = house.account(5).await;
    house.store.hold_writes(true);
    let mut first = Box::pin(house.accept(account, Lane::Bulk, sms(1)));
    let mut second = Box::pin(house.accept(account, Lane::Auth, sms(1)));
    assert!(waits(&mut first).await && waits(&mut second).await);
    assert_eq!(house.all_ids(account).await, Vec::<i64>::new());
    assert_eq!(house.balance(account).await, 5);
    assert!(waits(&mut first).await && waits(&mut second).await);
    house.store.hold_writes(false);
    let (bulk, auth) = (first.await, second.await);
    assert!(auth < bulk, "auth enters the commit first");
    assert_eq!(house.balance(account).await, 3);
}

#[tokio::test]
async fn a_closed_store_refuses_instead_of_waiting() {
    let house = house();
    let account = house.account(5).await;
    house.store.close();
    let refused = house.try_accept(account, Lane::Bulk, sms(1), None).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Unavailable);
    let unread = house.store.page(Filter { to: i64::MAX, limit: 1, ..Filter::default() }).await.unwrap_err();
    assert_eq!(unread.kind(), Kind::Unavailable);
    let house = house.reopen();
    house.accept(account, Lane::Bulk, sms(1)).await;
}

#[tokio::test]
async fn a_free_message_moves_no_money_and_an_unknown_unit_has_no_balance() {
    let house = house();
    let account = house.account(5).await;
    house.accept(account, Lane::Bulk, sms(0)).await;
    let krw = NewMessage { unit: Unit::Krw, ..sms(1) };
    let refused = house.try_accept(account, Lane::Bulk, krw, None).await.unwrap();
    assert_eq!(refused, Err(Refused::NoBalance));
    assert_eq!(wallet::entries(&house.store, account, None, 10, None).await.unwrap().len(), 1);
    house.assert_sound(1).await;
}
