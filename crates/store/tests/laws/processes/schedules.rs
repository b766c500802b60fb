//! Schedules in two processes at once: a run is let go once, and moves or leaves, never both.

use std::sync::Arc;

use bongsu_domain::{Clock, Hours, Lane, Timestamp};
use bongsu_store::Kind;
use bongsu_store::accept::NewMessage;
use bongsu_store::waiting::Target;

use super::{Write, two};
use crate::house::{House, at_once, sms};

fn later(house: &House, ms: i64) -> NewMessage {
    NewMessage { send_at: house.now() + ms, expires_ms: ms + 3_600_000, ..sms(1) }
}

#[tokio::test]
async fn what_two_processes_let_go_is_offered_once() {
    let (one, other) = two();
    let account = one.account(10_000).await;
    for n in 0..60 {
        one.batch(account, Lane::Bulk, vec![later(&one, 1_000 + n % 3); 3]).await;
    }
    one.pass(2_000);
    let now = one.clock.now();
    let told: Arc<std::sync::Mutex<Vec<i64>>> = Arc::default();
    for house in [&one, &other] {
        let told = told.clone();
        house.store.on_runs(move |runs| told.lock().unwrap().extend(runs.iter().map(|run| run.first)));
    }
    let release = |house: &House| {
        let store = house.store.clone();
        tokio::spawn(async move { store.release_due(now, Hours::default()).await })
    };
    let both = [release(&one), release(&other), release(&one), release(&other)];
    let mut went = 0;
    for done in both {
        went += done.await.unwrap().unwrap();
    }
    went += one.store.release_due(now, Hours::default()).await.unwrap();
    assert_eq!(went, 60);
    assert_eq!(one.store.waiting_runs(Lane::Bulk, account, 0, 100).await.unwrap().len(), 60);
    let mut told = told.lock().unwrap().clone();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), 60);
    one.assert_sound(180).await;
}

#[tokio::test]
async fn a_cancel_in_one_process_and_a_move_in_another_agree() {
    let (one, other) = two();
    let account = one.account(1_000).await;
    let slice = one.batch(account, Lane::Bulk, vec![later(&one, 60_000); 40]).await;
    let at = Timestamp::from_millis(one.now() + 90_000);
    let writes = (slice.first..slice.first + 40).flat_map(|id| -> [Write<'_, Result<(), Kind>>; 2] {
        let (one, other) = (&one, &other);
        [
            Box::pin(async move { one.store.cancel(Some(account), id).await.map_err(|e| e.kind()) }),
            Box::pin(async move {
                let moved = other.store.reschedule(Some(account), Target::Message(id), at).await;
                moved.map(|_| ()).map_err(|e| e.kind())
            }),
        ]
    });
    for pair in at_once(&[&one.store, &other.store], writes).await.chunks(2) {
        assert_eq!(pair[0], Ok(()), "a move does not keep a message from being canceled");
    }
    assert_eq!(one.balance(account).await, 1_000);
    one.pass(100_000);
    one.store.release_due(one.clock.now(), Hours::default()).await.unwrap();
    one.assert_sound(40).await;
}
