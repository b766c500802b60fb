//! Breaks around a commit: whether it happened is found out, never guessed.

use std::time::{Duration, Instant};

use bongsu_domain::Lane;
use bongsu_store::Kind;
use bongsu_store::accept::{Refused, Seen};
use bongsu_store::claims::Taken;

use super::proxy::Cut;
use super::{house_by_way, until};
use crate::house::{House, batch_commit, failed, key, sms, submitted, waits};

/// What every test of a break begins with: an account, and a claimed run of ten.
async fn begin(house: &House) -> (bongsu_domain::AccountId, bongsu_store::rows::Run) {
    let account = house.account(1_000).await;
    let run = house.accept_many(account, Lane::Bulk, 10).await;
    house.claim(&run, &[0; 10]).await;
    house.apply((run.first..=run.last()).map(|id| submitted(house, id, 1, 0, "a")).collect()).await;
    (account, run)
}

#[tokio::test]
async fn a_commit_that_did_not_reach_the_server_is_made_again_and_one_that_did_is_not() {
    let (proxy, house) = house_by_way();
    let (account, run) = begin(&house).await;
    for (n, cut) in (0..).zip([Cut::BeforeCommit, Cut::AfterCommit, Cut::BeforeCommit, Cut::AfterCommit]) {
        let done = 5 * n as u64;
        proxy.cut(cut);
        let accepted = house.try_accept(account, Lane::Bulk, sms(1), Some(key(n, 1))).await.unwrap().unwrap();
        proxy.has_cut(done + 1).await;
        assert_eq!(house.all_ids(account).await[0], accepted.0);

        let request = house.store.new_id().unwrap();
        proxy.cut(cut);
        let slice = house.stage(request, account, Lane::Bulk, vec![sms(1); 3]).await.slice.unwrap();
        proxy.has_cut(done + 2).await;
        proxy.cut(cut);
        let batch = batch_commit(request, account, vec![slice], 3);
        house.store.commit_batch(batch).await.unwrap().unwrap();
        proxy.has_cut(done + 3).await;
        proxy.cut(cut);
        assert_eq!(house.claim(&house.run(slice.first).await, &[0; 3]).await.1, Taken::Whole);
        proxy.has_cut(done + 4).await;
        proxy.cut(cut);
        assert_eq!(house.apply(vec![failed(&house, run.first + n, 1, account, 1)]).await, [true]);
        proxy.has_cut(done + 5).await;

        assert_eq!(house.balance(account).await, 990 - 3 * (n + 1));
        house.assert_sound(10 + 4 * (n as usize + 1)).await;
    }
}

/// Waits until the writer of a house waits to learn what became of its transaction.
async fn somebody_waits(house: &House) {
    let sql = "SELECT COUNT(*) FROM information_schema.processlist \
               WHERE db = DATABASE() AND command = 'Execute' AND info LIKE 'SELECT owner, commits FROM leases%'";
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    let began = Instant::now();
    let mut seen = 0;
    // A question that waits for nothing is not met several times running.
    while seen < 4 {
        let waiting: i64 =
            house.store.read(move |reader| reader.live.query_row(sql, (), |row| row.get(0))).await.unwrap();
        seen = if waiting > 0 { seen + 1 } else { 0 };
        assert!(began.elapsed() < Duration::from_secs(20), "nobody waits for the commit");
        looks.tick().await;
    }
}

#[tokio::test]
async fn a_commit_that_reaches_the_server_late_is_waited_for() {
    let (proxy, house) = house_by_way();
    let (account, run) = begin(&house).await;
    for n in 0..3 {
        proxy.cut(Cut::LateCommit);
        let mut accept = Box::pin(house.try_accept(account, Lane::Bulk, sms(1), None));
        assert!(waits(&mut accept).await);
        // The writer is back and asks whether its transaction is there, while the server still has it open.
        somebody_waits(&house).await;
        proxy.release();
        let (id, _) = accept.await.unwrap().unwrap();
        assert_eq!(house.all_ids(account).await[0], id);

        proxy.cut(Cut::LateCommit);
        let mut end = Box::pin(house.apply(vec![failed(&house, run.first + n, 1, account, 1)]));
        assert!(waits(&mut end).await);
        somebody_waits(&house).await;
        proxy.release();
        assert_eq!(end.await, [true]);
        assert_eq!(house.balance(account).await, 990);
        house.assert_sound(11 + n as usize).await;
    }
}

#[tokio::test]
async fn who_sends_is_told_when_nobody_can_know_and_may_repeat_it() {
    for (n, cut) in (0..).zip([Cut::BeforeCommit, Cut::AfterCommit]) {
        let (proxy, house) = house_by_way();
        let account = house.account(1_000).await;
        proxy.cut_and_stay_down(cut);
        let began = Instant::now();
        let mut accept = Box::pin(house.try_accept(account, Lane::Bulk, sms(1), Some(key(n, 1))));
        assert!(waits(&mut accept).await);
        proxy.has_cut(1).await;
        let behind = house.try_accept(account, Lane::Bulk, sms(1), None);
        let (first, second) = tokio::join!(accept, behind);
        assert_eq!(first.unwrap_err().kind(), Kind::Unavailable);
        assert_eq!(second.unwrap_err().kind(), Kind::Unavailable);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        proxy.up();
        let again = loop {
            // The writer may not have noticed yet.
            match house.try_accept(account, Lane::Bulk, sms(1), Some(key(n, 1))).await {
                Ok(said) => break said,
                Err(error) => assert_eq!(error.kind(), Kind::Unavailable),
            }
        };
        match cut {
            // Nothing was there, and nothing was written after its caller had been told.
            Cut::BeforeCommit => assert_eq!(again.unwrap().0, house.all_ids(account).await[0]),
            _ => {
                let id = house.all_ids(account).await[0];
                assert_eq!(again, Err(Refused::Seen(Seen::Answer(202, id.to_string().into_bytes()))));
            }
        }
        assert_eq!(house.balance(account).await, 999, "what was told to come again is not there twice");
        house.assert_sound(1).await;
    }
}

#[tokio::test]
async fn claims_and_results_wait_for_the_truth_however_long_it_takes() {
    for cut in [Cut::BeforeCommit, Cut::AfterCommit] {
        let (proxy, house) = house_by_way();
        let (account, run) = begin(&house).await;
        let next = house.accept_many(account, Lane::Bulk, 4).await;
        for n in 0..2 {
            let mut work: std::pin::Pin<Box<dyn Future<Output = bool>>> = match n {
                0 => Box::pin(async { house.claim(&next, &[0; 4]).await.1 == Taken::Whole }),
                _ => Box::pin(async { house.apply(vec![failed(&house, run.first, 1, account, 1)]).await == [true] }),
            };
            proxy.cut_and_stay_down(cut);
            assert!(waits(&mut work).await);
            proxy.has_cut(n + 1).await;
            // A message that waits behind it is given up; that takes longer than the first tries to find out.
            let behind = house.try_accept(account, Lane::Bulk, sms(1), None).await.unwrap_err();
            assert_eq!(behind.kind(), Kind::Unavailable);
            assert!(waits(&mut work).await, "a claim or a result is not answered by a guess");
            proxy.up();
            assert!(work.await);
        }
        assert_eq!(house.balance(account).await, 1_000 - 14 + 1);
        house.assert_sound(14).await;
    }
}

#[tokio::test]
async fn a_commit_of_which_the_answer_is_lost_while_the_store_closes_is_not_made_again() {
    let (proxy, house) = house_by_way();
    let account = house.account(1_000).await;
    proxy.cut_and_stay_down(Cut::AfterCommit);
    let mut accept = Box::pin(house.try_accept(account, Lane::Bulk, sms(1), None));
    assert!(waits(&mut accept).await);
    proxy.has_cut(1).await;
    let store = house.store.clone();
    let closing = std::thread::spawn(move || store.close());
    let is_open = async || waits(&mut Box::pin(house.store.write(|_| Ok(())))).await;
    while is_open().await {
        tokio::task::yield_now().await;
    }
    // By the fourth time that nobody lets it in, the writer has stopped to ask and begins its transaction anew.
    let refused = proxy.refused();
    until(|| proxy.refused() >= refused + 4 || closing.is_finished()).await;
    proxy.up();
    let accepted = accept.await;
    closing.join().unwrap();
    let house = house.reopen();
    let ids = house.all_ids(account).await;
    assert_eq!((ids.len(), house.balance(account).await), (1, 999));
    // Who was told that it is accepted was told the truth.
    if let Ok(accepted) = accepted {
        assert_eq!(accepted.unwrap().0, ids[0]);
    }
    house.assert_sound(1).await;
}
