//! Groups: rows that are staged over many calls, sent in one small transaction, moved and canceled some at a time.

use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::{AccountId, Clock, Code, Hours, Lane, Status, Timestamp};
use bongsu_store::Kind;
use bongsu_store::accept::NewMessage;
use bongsu_store::groups::{
    Chunk, ChunkDone, ChunkRefused, GroupRow, LaneRows, NewGroup, RowError, SendGroup, SendRefused, State, Step,
};
use bongsu_store::query::Filter;
use bongsu_store::rows::Run;
use bongsu_store::waiting::Target;

use crate::house::{House, house, key, sms};

type Sent<'a> =
    std::pin::Pin<Box<dyn Future<Output = Result<Result<GroupRow, SendRefused>, bongsu_store::Error>> + 'a>>;

pub async fn group(house: &House, account: AccountId, approval: bool) -> i64 {
    let new = NewGroup { account, name: Some("봄".into()), defaults: b"{}".to_vec(), approval, send_at: 0 };
    house.store.create_group(new, None, Box::new(|_| Vec::new())).await.unwrap().unwrap().0.id
}

pub fn good(group: i64, account: AccountId, from: u32, messages: Vec<NewMessage>) -> Chunk {
    let count = messages.len() as u32;
    let rows = (from..from + count).collect();
    let lanes = vec![LaneRows { lane: Lane::Bulk, rows, messages }];
    let contents = Arc::new(vec!["잠긴 글".as_bytes().to_vec()]);
    Chunk { group, account, from, count, lanes, errors: Vec::new(), contents, upload: 0, appends: false, hash: 0 }
}

pub async fn add(house: &House, chunk: Chunk) -> Result<ChunkDone, ChunkRefused> {
    house.store.stage_rows(chunk).await.unwrap()
}

/// Slices of one row each, so that few rows take many steps.
pub async fn fill(house: &House, group: i64, account: AccountId, rows: u32) {
    for row in 1..=rows {
        add(house, good(group, account, row, vec![sms(1)])).await.unwrap();
    }
}

pub async fn row(house: &House, group: i64) -> GroupRow {
    house.store.group(None, group).await.unwrap().unwrap()
}

pub async fn send(house: &House, group: i64, account: AccountId, key: i64) -> Result<GroupRow, SendRefused> {
    house
        .store
        .send_group(SendGroup { group, account, key, send_at: None, approves: false, trace: None })
        .await
        .unwrap()
}

pub async fn step(house: &House, group: i64, step: Step) -> bool {
    house.store.group_step(group, step, Hours::default()).await.unwrap()
}

pub async fn all_steps(house: &House) {
    loop {
        let work = house.store.group_work(10).await.unwrap();
        if work.is_empty() {
            return;
        }
        for (group, what) in work {
            step(house, group, what).await;
        }
    }
}

async fn of_group(house: &House, account: AccountId, group: i64) -> Vec<i64> {
    house.ids(Filter { account: Some(account), request: Some(group), ..Filter::default() }, 100).await
}

pub async fn runs(house: &House, account: AccountId) -> Vec<Run> {
    house.store.waiting_runs(Lane::Bulk, account, 0, 500).await.unwrap()
}

#[tokio::test]
async fn rows_of_a_group_exist_from_the_commit_that_sends_it() {
    let house = house();
    let account = house.account(10).await;
    let id = group(&house, account, false).await;
    let filled = NewMessage { content: 1, ..sms(1) };
    let done = add(&house, good(id, account, 1, vec![filled; 3])).await.unwrap();
    assert_eq!(done, ChunkDone { received: 3, known: 0, accepted: 3, rejected: 0 });
    add(&house, good(id, account, 4, vec![sms(1); 2])).await.unwrap();
    let staged = row(&house, id).await;
    assert_eq!((staged.received, staged.accepted, staged.amount, staged.state), (5, 5, 5, State::Staging));
    assert!(house.see(staged.first).await.is_none());
    assert_eq!(house.all_ids(account).await, Vec::<i64>::new());
    assert_eq!(house.balance(account).await, 10);
    house.assert_sound(0).await;
    let house = house.crash();
    house.sweep().await;
    assert_eq!(row(&house, id).await, staged);
    let sent = send(&house, id, account, 7).await.unwrap();
    assert_eq!((sent.state, sent.sent_by, sent.sent), (State::Sending, 7, house.now()));
    assert_eq!(house.balance(account).await, 5);
    // They have no run yet, and exist all the same.
    assert_eq!(runs(&house, account).await, []);
    assert_eq!(house.status(staged.first).await, Some(Status::Queued));
    assert_eq!(house.status(staged.last).await, Some(Status::Queued));
    house.assert_sound(5).await;
    let house = house.crash();
    house.assert_sound(5).await;
    all_steps(&house).await;
    let moved: Vec<i64> = runs(&house, account).await.iter().flat_map(|run| run.first..=run.last()).collect();
    assert_eq!(moved.len(), 5);
    assert_eq!(of_group(&house, account, id).await.len(), 5);
    let loaded = house.store.load_run(house.run(staged.first).await, 0, 3).await.unwrap();
    assert_eq!(loaded.contents[&(id, 1)], "잠긴 글".as_bytes());
    house.assert_sound(5).await;
}

#[tokio::test]
async fn a_group_is_sent_once_and_charged_once() {
    let house = house();
    let account = house.account(10).await;
    let id = group(&house, account, false).await;
    fill(&house, id, account, 3).await;
    let asks = (0..4).map(|_| {
        let ask = SendGroup { group: id, account, key: 1, send_at: None, approves: false, trace: None };
        Box::pin(house.store.send_group(ask)) as Sent<'_>
    });
    for sent in crate::house::together(&house.store, asks).await {
        assert_eq!(sent.unwrap().unwrap().state, State::Sending);
    }
    all_steps(&house).await;
    assert_eq!(send(&house, id, account, 1).await.unwrap().state, State::Sending);
    assert_eq!(house.balance(account).await, 7);
    assert_eq!(add(&house, good(id, account, 4, vec![sms(1)])).await, Err(ChunkRefused::State(State::Sending)));
    house.assert_sound(3).await;
}

#[tokio::test]
async fn a_group_that_the_balance_does_not_cover_stays_staged() {
    let house = house();
    let account = house.account(2).await;
    let id = group(&house, account, false).await;
    assert_eq!(send(&house, id, account, 1).await, Err(SendRefused::Empty));
    fill(&house, id, account, 3).await;
    let before = row(&house, id).await;
    assert_eq!(send(&house, id, account, 1).await, Err(SendRefused::NoBalance));
    assert_eq!(row(&house, id).await, before);
    house.assert_sound(0).await;
    bongsu_store::wallet::top_up(&house.store, account, bongsu_domain::Unit::PointSms, 1, "더").await.unwrap();
    send(&house, id, account, 1).await.unwrap();
    assert_eq!(house.balance(account).await, 0);
    all_steps(&house).await;
    house.assert_sound(3).await;
}

#[tokio::test]
async fn a_crash_in_the_middle_of_moving_loses_and_doubles_nothing() {
    let house = house();
    let account = house.account(200).await;
    let id = group(&house, account, false).await;
    fill(&house, id, account, 120).await;
    send(&house, id, account, 1).await.unwrap();
    let mut house = house;
    let mut moved = 0;
    loop {
        let more = step(&house, id, Step::Move).await;
        house.assert_sound(120).await;
        house = house.crash();
        house.sweep().await;
        house.assert_sound(120).await;
        let now = runs(&house, account).await.len();
        assert!(now > moved || !more, "{now}");
        moved = now;
        if !more {
            break;
        }
    }
    assert_eq!(moved, 120);
    assert_eq!(of_group(&house, account, id).await.len(), 120);
    assert!(house.store.group_work(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_group_canceled_while_it_moves_gives_back_exactly_what_did_not_leave() {
    let house = house();
    let account = house.account(200).await;
    let id = group(&house, account, false).await;
    fill(&house, id, account, 70).await;
    add(&house, good(id, account, 71, vec![sms(1); 10])).await.unwrap();
    send(&house, id, account, 1).await.unwrap();
    step(&house, id, Step::Move).await;
    let waiting = runs(&house, account).await;
    assert_eq!(waiting.len(), 50);
    // One has left, one came back and waits for its turn, one was canceled alone.
    house.claim(&waiting[0], &[1]).await;
    let (claim, _) = house.claim(&waiting[1], &[1]).await;
    let again = crate::house::due_at(house.now() + 1_000, waiting[1].first, 2, Lane::Bulk, account);
    house.apply(vec![bongsu_store::changes::Change::Due(again), bongsu_store::changes::Change::ClaimDone(claim)]).await;
    house.store.cancel(Some(account), waiting[2].first).await.unwrap();
    let canceled = house.store.cancel_group(account, id).await.unwrap().unwrap();
    assert_eq!((canceled.state, canceled.canceled), (State::Canceled, 79));
    assert_eq!(runs(&house, account).await, []);
    assert!(house.due().await.is_empty());
    // Nobody claims what was read before.
    assert_eq!(house.claim(&waiting[5], &[1]).await.1, bongsu_store::claims::Taken::Stale);
    let house = house.crash();
    house.assert_sound(80).await;
    all_steps(&house).await;
    house.assert_sound(80).await;
    assert_eq!(house.balance(account).await, 200 - 1);
    assert_eq!(house.status(waiting[1].first).await, Some(Status::Canceled));
    assert_eq!(house.status(waiting[0].first).await, Some(Status::Sending));
    let open = of_group(&house, account, id).await;
    assert_eq!(open.len(), 80);
    assert_eq!(house.store.cancel_group(account, id).await.unwrap().unwrap().canceled, 79);
    assert_eq!(send(&house, id, account, 1).await, Err(SendRefused::State(State::Canceled)));
}

#[tokio::test]
async fn a_cancel_that_a_crash_cut_short_goes_on() {
    let house = house();
    let account = house.account(100).await;
    let id = group(&house, account, false).await;
    fill(&house, id, account, 60).await;
    send(&house, id, account, 1).await.unwrap();
    step(&house, id, Step::Move).await;
    let mut cancel = Box::pin(house.store.cancel_group(account, id));
    // The first commit is there, nobody waits for the others.
    while !row(&house, id).await.is_stopping() {
        assert!(crate::house::waits(&mut cancel).await, "it has steps to go");
        tokio::task::yield_now().await;
    }
    drop(cancel);
    let house = house.crash();
    all_steps(&house).await;
    assert_eq!(row(&house, id).await.canceled, 60);
    assert_eq!(house.balance(account).await, 100);
    house.assert_sound(60).await;
}

#[tokio::test]
async fn a_group_canceled_before_it_moves_counts_each_message_once() {
    let house = house();
    let account = house.account(100).await;
    let id = group(&house, account, false).await;
    fill(&house, id, account, 3).await;
    send(&house, id, account, 1).await.unwrap();
    assert_eq!(house.store.cancel_group(account, id).await.unwrap().unwrap().canceled, 3);
    all_steps(&house).await;
    house.assert_sound(3).await;
    crate::facts::agree(&house, &[account], &[id]).await;
}

#[tokio::test]
async fn a_message_of_a_group_that_waits_to_be_moved_is_moved_and_canceled_alone() {
    let house = house();
    let (account, stranger) = (house.account(10).await, house.account(0).await);
    let id = group(&house, account, false).await;
    add(&house, good(id, account, 1, vec![sms(1); 3])).await.unwrap();
    add(&house, good(id, account, 4, vec![sms(1)])).await.unwrap();
    let at = house.now() + 3_600_000;
    let ask = SendGroup { group: id, account, key: 1, send_at: None, approves: false, trace: None };
    let first = row(&house, id).await.first;
    let later = Timestamp::from_millis(at + 60_000);
    let reschedule = async |account, id| {
        let done = house.store.reschedule_unmoved(Some(account), id, later, Hours::default()).await;
        done.map_err(|error| error.kind())
    };
    assert_eq!(reschedule(account, first).await, Err(Kind::NotFound), "it is not sent");
    house.store.schedule_group(ask, at).await.unwrap().unwrap();
    let usual = house.store.reschedule(Some(account), Target::Message(first + 1), later).await;
    assert_eq!(usual.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(reschedule(stranger, first + 1).await, Err(Kind::NotFound));
    assert_eq!(reschedule(account, first + 1).await, Ok(1));
    assert_eq!(reschedule(account, first + 1).await, Ok(1), "again, now that it has its run");
    house.store.cancel_unmoved(Some(account), first + 2, Hours::default()).await.unwrap();
    let house = house.crash();
    all_steps(&house).await;
    house.clock.set(Timestamp::from_millis(at));
    let release = || house.store.release_due(house.clock.now(), Hours::default());
    release().await.unwrap();
    let mut shown = Vec::new();
    for id in of_group(&house, account, id).await.into_iter().rev() {
        shown.push(house.status(id).await.unwrap());
    }
    assert_eq!(shown, [Status::Queued, Status::Scheduled, Status::Canceled, Status::Queued]);
    house.pass(60_000);
    assert_eq!(release().await.unwrap(), 1);
    assert_eq!(house.see(first + 1).await.unwrap().row.expires, later.millis() + crate::house::DAY_MS);
    assert_eq!(house.balance(account).await, 7);
    house.assert_sound(4).await;
    crate::facts::agree(&house, &[account], &[id]).await;
}

#[tokio::test]
async fn a_slice_that_is_moved_early_lives_from_the_time_of_sending_on() {
    let house = house();
    let account = house.account(10).await;
    let id = group(&house, account, false).await;
    let short = NewMessage { expires_ms: 60_000, ..sms(1) };
    add(&house, good(id, account, 1, vec![short; 2])).await.unwrap();
    house.pass(3_600_000);
    let sent = send(&house, id, account, 1).await.unwrap();
    house.store.cancel_unmoved(None, sent.last, Hours::default()).await.unwrap();
    assert_eq!(house.see(sent.first).await.unwrap().row.expires, sent.sent + 60_000);
    assert_eq!(runs(&house, account).await.len(), 1);
    all_steps(&house).await;
    assert_eq!(runs(&house, account).await.len(), 1);
    assert_eq!(house.status(sent.first).await, Some(Status::Queued));
    assert_eq!(house.balance(account).await, 9);
    house.assert_sound(2).await;
}

#[tokio::test]
async fn a_message_of_a_group_that_is_being_canceled_is_canceled_once() {
    let house = house();
    let account = house.account(100).await;
    let id = group(&house, account, false).await;
    fill(&house, id, account, 60).await;
    let last = send(&house, id, account, 1).await.unwrap().last;
    let mut cancel = Box::pin(house.store.cancel_group(account, id));
    // The first commit is there, and most of it is still to be stopped.
    while !row(&house, id).await.is_stopping() {
        assert!(crate::house::waits(&mut cancel).await, "it has steps to go");
        tokio::task::yield_now().await;
    }
    drop(cancel);
    house.store.cancel_unmoved(Some(account), last, Hours::default()).await.unwrap();
    all_steps(&house).await;
    assert_eq!(row(&house, id).await.canceled, 60);
    assert_eq!(house.balance(account).await, 100);
    house.assert_sound(60).await;
    crate::facts::agree(&house, &[account], &[id]).await;
}

#[tokio::test]
async fn the_sweeper_leaves_living_groups_alone_and_ends_idle_ones() {
    let house = house();
    let account = house.account(10).await;
    let idle = group(&house, account, false).await;
    let referred = NewMessage { client_ref: Some(3), ..sms(1) };
    add(&house, good(idle, account, 1, vec![referred.clone(); 1])).await.unwrap();
    house.pass(3_600_000);
    let alive = group(&house, account, false).await;
    fill(&house, alive, account, 2).await;
    let (now, day) = (house.clock.now(), Duration::from_secs(86_400));
    house.store.clean(Timestamp(0), now.plus(Duration::from_secs(1))).await.unwrap();
    assert_eq!(house.store.expire_groups(now.minus(day), 10).await.unwrap(), 0);
    let taken = add(&house, good(alive, account, 3, vec![referred.clone()])).await.unwrap();
    assert_eq!((taken.accepted, taken.rejected), (0, 1), "a staged row has its reference");
    house.pass(86_400_000 - 1_800_000);
    let idle_since = house.clock.now().minus(day);
    assert_eq!(house.store.expire_groups(idle_since, 10).await.unwrap(), 1);
    assert_eq!(row(&house, idle).await.state, State::Expired);
    all_steps(&house).await;
    let free = add(&house, good(alive, account, 4, vec![referred])).await.unwrap();
    assert_eq!((free.accepted, free.rejected), (1, 0), "an expired group has nothing");
    assert_eq!(send(&house, idle, account, 1).await, Err(SendRefused::State(State::Expired)));
    send(&house, alive, account, 1).await.unwrap();
    all_steps(&house).await;
    house.assert_sound(3).await;
}

#[tokio::test]
async fn another_key_approves_a_group() {
    let house = house();
    let account = house.account(10).await;
    let id = group(&house, account, true).await;
    fill(&house, id, account, 2).await;
    let approve = |key| SendGroup { group: id, account, key, send_at: None, approves: true, trace: None };
    let early = house.store.send_group(approve(2)).await.unwrap();
    assert_eq!(early, Err(SendRefused::State(State::Staging)));
    assert_eq!(send(&house, id, account, 1).await.unwrap().state, State::WaitingApproval);
    assert_eq!((house.balance(account).await, house.store.group_work(9).await.unwrap()), (10, Vec::new()));
    assert_eq!(add(&house, good(id, account, 3, vec![sms(1)])).await, Err(ChunkRefused::State(State::WaitingApproval)));
    assert_eq!(house.store.send_group(approve(1)).await.unwrap(), Err(SendRefused::SameKey));
    let sent = house.store.send_group(approve(2)).await.unwrap().unwrap();
    assert_eq!((sent.state, sent.sent_by, sent.approved_by), (State::Sending, 1, 2));
    assert_eq!(house.balance(account).await, 8);
    all_steps(&house).await;
    house.assert_sound(2).await;
}

#[tokio::test]
async fn messages_live_from_the_time_of_sending_on() {
    let house = house();
    let account = house.account(10).await;
    let id = group(&house, account, false).await;
    let short = NewMessage { expires_ms: 60_000, ..sms(1) };
    add(&house, good(id, account, 1, vec![short, sms(1)])).await.unwrap();
    house.pass(3_600_000);
    let staged_at = row(&house, id).await.touched;
    send(&house, id, account, 1).await.unwrap();
    all_steps(&house).await;
    let run = runs(&house, account).await.remove(0);
    let loaded = house.store.load_run(run, 0, 2).await.unwrap();
    let late = house.now() - staged_at;
    let expires: Vec<i64> = loaded.rows.iter().map(|row| row.expires - house.now()).collect();
    assert!(late >= 3_600_000 && (expires[0] - 60_000).abs() < 100, "{expires:?}");
    assert_eq!(expires[1] - expires[0], crate::house::DAY_MS - 60_000);
    assert_eq!(house.store.expire_waiting(10).await.unwrap(), 0);
    house.assert_sound(2).await;
}

#[tokio::test]
async fn a_scheduled_group_waits_can_be_moved_and_can_be_canceled() {
    let house = house();
    let account = house.account(10).await;
    let id = group(&house, account, false).await;
    fill(&house, id, account, 3).await;
    let at = house.now() + 3_600_000;
    let ask = SendGroup { group: id, account, key: 1, send_at: None, approves: false, trace: None };
    let scheduled = house.store.schedule_group(ask.clone(), at).await.unwrap().unwrap();
    assert_eq!((scheduled.state, scheduled.send_at), (State::Scheduled, at));
    assert_eq!(house.balance(account).await, 7, "it is charged when it is accepted");
    all_steps(&house).await;
    assert_eq!(runs(&house, account).await, []);
    assert_eq!(of_group(&house, account, id).await.len(), 3);
    house.store.schedule_group(ask.clone(), at + 60_000).await.unwrap().unwrap();
    house.pass(3_600_000);
    let release = || house.store.release_due(house.clock.now(), Hours::default());
    assert_eq!(release().await.unwrap(), 0);
    house.pass(60_000);
    assert_eq!(release().await.unwrap(), 3);
    assert_eq!(runs(&house, account).await.len(), 3);
    assert_eq!(row(&house, id).await.state_at(house.now()), State::Sending);
    let later = group(&house, account, false).await;
    fill(&house, later, account, 2).await;
    let ask = SendGroup { group: later, ..ask };
    house.store.schedule_group(ask, house.now() + 60_000).await.unwrap().unwrap();
    all_steps(&house).await;
    let canceled = house.store.cancel_group(account, later).await.unwrap().unwrap();
    assert_eq!(canceled.canceled, 2);
    all_steps(&house).await;
    house.pass(60_000);
    assert_eq!(release().await.unwrap(), 0);
    assert_eq!(house.balance(account).await, 7);
    house.assert_sound(5).await;
}

#[tokio::test]
async fn a_group_is_made_once_by_its_key_and_seen_by_its_owner_only() {
    let house = house();
    let (account, other) = (house.account(1).await, house.account(1).await);
    let new = NewGroup { account, name: None, defaults: b"{}".to_vec(), approval: false, send_at: 0 };
    let answer = || Box::new(|row: &GroupRow| row.id.to_string().into_bytes()) as bongsu_store::GroupAnswer;
    let first = house.store.create_group(new.clone(), Some(key(4, 1)), answer()).await.unwrap().unwrap();
    let again = house.store.create_group(new.clone(), Some(key(4, 1)), answer()).await.unwrap();
    assert_eq!(again, Err(bongsu_store::accept::Seen::Answer(201, first.1)));
    let id = first.0.id;
    assert!(house.store.group(Some(other), id).await.unwrap().is_none());
    assert!(house.store.stage_rows(good(id, other, 1, vec![sms(1)])).await.is_err());
    assert!(house.store.begin_upload(other, id, 1).await.is_err());
    assert!(house.store.cancel_group(other, id).await.is_err());
    let ask = SendGroup { group: id, account: other, key: 1, send_at: None, approves: false, trace: None };
    assert!(house.store.send_group(ask.clone()).await.is_err());
    assert!(house.store.schedule_group(ask, i64::MAX).await.is_err());
    assert_eq!(house.store.groups(Some(other), i64::MAX, 10).await.unwrap(), []);
    assert_eq!(house.store.groups(Some(account), i64::MAX, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_kept_of_a_group_goes_with_its_day() {
    let house = house();
    let account = house.account(10).await;
    let id = group(&house, account, false).await;
    let wrong = RowError {
        row: 1,
        findings: vec![(Code::EmptyBody, "text".into(), "empty".into())],
        sealed: Vec::new(),
        extra: None,
    };
    let chunk = Chunk { count: 1, lanes: Vec::new(), errors: vec![wrong], ..good(id, account, 1, Vec::new()) };
    add(&house, chunk).await.unwrap();
    add(&house, good(id, account, 2, vec![sms(1)])).await.unwrap();
    let today = house.next_day().await;
    assert_eq!(house.store.retire_days(today).await.unwrap(), [], "its rows are still staged");
    send(&house, id, account, 1).await.unwrap();
    all_steps(&house).await;
    assert_eq!(house.store.retire_days(today).await.unwrap().len(), 1);
    assert!(house.store.group(None, id).await.unwrap().is_none());
    assert!(house.store.group_errors(id, (0, 0), 10).await.unwrap().is_empty());
}
