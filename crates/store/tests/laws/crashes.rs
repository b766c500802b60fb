//! Processes that die around a commit: the test starts itself again as the one that dies.

use std::process::Command;

use bongsu_domain::{Lane, Status};
use bongsu_store::accept::Seen;
use bongsu_store::faults;

use crate::house::{House, failed, house, key, morning, sms, submitted};

/// Names the directory to the process that is to die.
const CHILD: &str = "BONGSU_LAWS_CHILD";

/// The directory, in the process that is to die.
fn doomed() -> Option<House> {
    let dir = std::env::var(CHILD).ok()?;
    let clock = std::sync::Arc::new(bongsu_domain::ManualClock::new(morning()));
    let ground = crate::ground::Ground::of_parent();
    let store = ground.open(dir.as_ref(), &clock, None).unwrap();
    Some(House { store, clock, dir: tempfile::tempdir().unwrap(), ground })
}

/// Runs the test `law` as another process on the directory of a house, and opens the house again when it is dead.
async fn after_the_death_of(law: &str, house: House) -> House {
    house.store.close();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", law, "--nocapture", "--test-threads=1"])
        .env(CHILD, house.dir.path())
        .envs(house.ground.words())
        .output()
        .unwrap();
    assert!(!child.status.success(), "it should have died: {}", String::from_utf8_lossy(&child.stdout));
    house.clock.set(morning().plus(std::time::Duration::from_secs(60)));
    let house = house.reopen();
    house.ground.end_leases_but(&house.store);
    house.sweep().await;
    house
}

#[tokio::test]
async fn refunds_survive_a_crash_between_the_day_commit_and_the_live_commit() {
    if let Some(house) = doomed() {
        let account = house.account(100).await;
        let run = house.accept_many(account, Lane::Bulk, 20).await;
        house.claim(&run, &[0; 20]).await;
        house.apply((run.first..=run.last()).map(|id| submitted(&house, id, 1, 0, "a")).collect()).await;
        house.apply(vec![failed(&house, run.last(), 1, account, 1)]).await;
        faults::plan("between-day-and-live:1");
        house.apply((run.first..run.first + 5).map(|id| failed(&house, id, 1, account, 1)).collect()).await;
        unreachable!("the plan was to die");
    }
    let law = "crashes::refunds_survive_a_crash_between_the_day_commit_and_the_live_commit";
    let mut house = after_the_death_of(law, house()).await;
    let account = bongsu_store::accounts::list(&house.store, 10, None).await.unwrap()[0].id;
    let ids = house.all_ids(account).await;
    // Files of days are durable by then; one database has one commit for all.
    let ended = if house.ground.is_shared() { 1 } else { 6 };
    for turn in 0..3 {
        let mut lost = 0;
        for id in &ids {
            lost += usize::from(house.status(*id).await == Some(Status::Undelivered));
        }
        assert_eq!((ids.len(), lost), (20, ended));
        assert_eq!(house.balance(account).await, 80 + ended as i64, "booked once");
        house.assert_sound(20).await;
        let request = house.see(ids[0]).await.unwrap().row.request;
        crate::facts::agree(&house, &[account], &[request]).await;
        house = if turn == 0 { house.crash() } else { house.reopen() };
    }
    let again = ids.iter().map(|id| failed(&house, *id, 1, account, 1)).collect();
    assert_eq!(house.apply(again).await.into_iter().filter(|first| *first).count(), 20 - ended);
    assert_eq!(house.balance(account).await, 100);
    house.assert_sound(20).await;
}

#[tokio::test]
async fn a_crash_between_the_day_commit_and_the_live_commit_leaves_nothing_of_an_accept() {
    if let Some(house) = doomed() {
        let account = house.account(100).await;
        house.accept(account, Lane::Bulk, sms(1)).await;
        faults::plan("between-day-and-live:1");
        let _ = house.try_accept(account, Lane::Bulk, sms(1), Some(key(5, 5))).await;
        unreachable!("the plan was to die");
    }
    let law = "crashes::a_crash_between_the_day_commit_and_the_live_commit_leaves_nothing_of_an_accept";
    let house = after_the_death_of(law, house()).await;
    let account = bongsu_store::accounts::list(&house.store, 10, None).await.unwrap()[0].id;
    assert_eq!(house.all_ids(account).await.len(), 1);
    assert_eq!(house.balance(account).await, 99);
    assert_eq!(house.store.seen(key(5, 5)).await.unwrap(), None);
    house.assert_sound(1).await;
    crate::facts::agree(&house, &[account], &[]).await;
    let next = house.accept(account, Lane::Bulk, sms(1)).await;
    assert_eq!(house.all_ids(account).await[0], next);
    house.assert_sound(2).await;
}

#[tokio::test]
async fn a_crash_after_the_live_commit_leaves_all_of_an_accept() {
    if let Some(house) = doomed() {
        let account = house.account(100).await;
        faults::plan("after-live:1");
        let _ = house.try_accept(account, Lane::Bulk, sms(1), Some(key(5, 5))).await;
        unreachable!("the plan was to die");
    }
    let law = "crashes::a_crash_after_the_live_commit_leaves_all_of_an_accept";
    let house = after_the_death_of(law, house()).await;
    let account = bongsu_store::accounts::list(&house.store, 10, None).await.unwrap()[0].id;
    let ids = house.all_ids(account).await;
    assert_eq!((ids.len(), house.balance(account).await), (1, 99));
    let answer = Seen::Answer(202, ids[0].to_string().into_bytes());
    assert_eq!(house.store.seen(key(5, 5)).await.unwrap(), Some(answer), "the repeat gets the answer that was lost");
    house.assert_sound(1).await;
}

#[tokio::test]
async fn a_message_that_was_parked_by_half_is_listed_and_goes_on_and_is_told_once() {
    use bongsu_store::changes::Change;
    use bongsu_store::facts::EventKind;
    if let Some(house) = doomed() {
        let account = house.account(10).await;
        let run = house.accept_many(account, Lane::Bulk, 1).await;
        let (claim, _) = house.claim(&run, &[0]).await;
        faults::plan("between-day-and-live:1");
        let (id, lane, at) = (run.first, run.lane, house.now());
        let park = Change::Park { id, account, attempt: 1, lane, at, reason: "unreadable".into() };
        house.apply(vec![park, Change::ClaimDone(claim)]).await;
        unreachable!("the plan was to die");
    }
    let law = "crashes::a_message_that_was_parked_by_half_is_listed_and_goes_on_and_is_told_once";
    let house = after_the_death_of(law, house()).await;
    let account = bongsu_store::accounts::list(&house.store, 10, None).await.unwrap()[0].id;
    let id = house.all_ids(account).await[0];
    assert_eq!(crate::recovery::settle(&house).await, 1);
    let parked = house.store.parked(Some(account), i64::MAX, 10).await.unwrap();
    crate::facts::number(&house.store).await;
    let told = crate::facts::follow(&house.store, Some(account), 0, 10).await.0;
    let held = told.iter().filter(|event| event.kind == EventKind::Held).count();
    // One database has one commit for all, so there it was never parked, and its attempt is unknown.
    let stands = usize::from(!house.ground.is_shared());
    assert_eq!((parked.len(), held), (stands, stands));
    if let Some(parked) = parked.first() {
        assert_eq!((parked.id, parked.account), (id, account));
        house.store.replay(Some(account), id).await.unwrap();
        assert_eq!(house.status(id).await, Some(Status::Queued));
    }
    let due: Vec<i64> = house.due().await.iter().map(|due| due.id).collect();
    assert_eq!(due, [id]);
    crate::facts::agree(&house, &[account], &[]).await;
    house.assert_sound(1).await;
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_batch_leaves_nothing_of_it() {
    if let Some(house) = doomed() {
        let account = house.account(100).await;
        let request = house.store.new_id().unwrap();
        house.stage(request, account, Lane::Bulk, vec![sms(1); 50]).await;
        faults::plan("between-day-and-live:1");
        house.stage(request, account, Lane::Bulk, vec![sms(1); 50]).await;
        unreachable!("the plan was to die");
    }
    let house = after_the_death_of("crashes::a_crash_in_the_middle_of_a_batch_leaves_nothing_of_it", house()).await;
    let account = bongsu_store::accounts::list(&house.store, 10, None).await.unwrap()[0].id;
    assert_eq!((house.all_ids(account).await, house.balance(account).await), (vec![], 100));
    house.assert_sound(0).await;
}

#[tokio::test]
async fn a_life_is_counted_anew_once_although_its_day_commits_before_the_rest() {
    use bongsu_domain::{Clock, Hours};
    use bongsu_store::waiting::Target;
    let later = |house: &House| bongsu_store::accept::NewMessage {
        send_at: house.now() + 20_000,
        expires_ms: 3_600_000,
        ..sms(1)
    };
    if let Some(house) = doomed() {
        let account = house.account(10).await;
        let slice = house.batch(account, Lane::Bulk, vec![later(&house); 2]).await;
        let at = house.clock.now().plus(std::time::Duration::from_secs(30));
        house.store.reschedule(None, Target::Message(slice.first), at).await.unwrap();
        house.pass(30_000);
        faults::plan("between-day-and-live:1");
        house.store.release_due(house.clock.now(), Hours::default()).await.unwrap();
        unreachable!("the plan was to die");
    }
    let law = "crashes::a_life_is_counted_anew_once_although_its_day_commits_before_the_rest";
    let house = after_the_death_of(law, house()).await;
    let account = bongsu_store::accounts::list(&house.store, 10, None).await.unwrap()[0].id;
    house.store.release_due(house.clock.now(), Hours::default()).await.unwrap();
    let ids = house.all_ids(account).await;
    let begin = morning().millis();
    let mut expiries = Vec::new();
    for id in ids.iter().rev() {
        let found = house.see(*id).await.unwrap();
        assert_eq!(found.row.status, Status::Queued);
        expiries.push(found.row.expires - begin);
    }
    assert_eq!(expiries, [3_610_000, 3_600_000]);
    house.assert_sound(2).await;
}

#[tokio::test]
async fn the_life_of_a_group_that_waited_is_counted_anew_once_although_its_day_commits_before_the_rest() {
    use bongsu_domain::{Clock, Hours};
    use bongsu_store::groups::{SendGroup, Step};
    if let Some(house) = doomed() {
        let account = house.account(10).await;
        let group = crate::groups::group(&house, account, false).await;
        let short = bongsu_store::accept::NewMessage { expires_ms: 60_000, ..sms(1) };
        crate::groups::add(&house, crate::groups::good(group, account, 1, vec![short, sms(1)])).await.unwrap();
        let ask = SendGroup { group, account, key: 1, send_at: None, approves: false, trace: None };
        house.store.schedule_group(ask, house.now() + 20_000).await.unwrap().unwrap();
        crate::groups::step(&house, group, Step::Move).await;
        house.pass(20_000);
        faults::plan("between-day-and-live:1");
        house.store.release_due(house.clock.now(), Hours::default()).await.unwrap();
        unreachable!("the plan was to die");
    }
    let law = "crashes::the_life_of_a_group_that_waited_is_counted_anew_once_although_its_day_commits_before_the_rest";
    let house = after_the_death_of(law, house()).await;
    let account = bongsu_store::accounts::list(&house.store, 10, None).await.unwrap()[0].id;
    assert_eq!(house.store.release_due(house.clock.now(), Hours::default()).await.unwrap(), 1);
    let mut lives = Vec::new();
    for id in house.all_ids(account).await.iter().rev() {
        let found = house.see(*id).await.unwrap();
        assert_eq!(found.row.status, Status::Queued);
        lives.push(found.row.expires - morning().millis() - 20_000);
    }
    assert_eq!(lives, [60_000, crate::house::DAY_MS]);
    house.assert_sound(2).await;
}
