//! What is recorded about messages: events, counters and progress agree with the rows, whatever happens between.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use bongsu_domain::id::id_day;
use bongsu_domain::{AccountId, Code, Day, Lane, Status};
use bongsu_store::Store;
use bongsu_store::accept::NewMessage;
use bongsu_store::changes::Change;
use bongsu_store::facts::{Event, EventKind, StatsQuery, Tags};

use crate::house::{DAY_MS, House, delivered, failed, house, sms, submitted};

/// All events after a position, in pages of `limit`, with the position to go on after.
pub async fn follow(store: &Store, account: Option<AccountId>, mut after: i64, limit: u32) -> (Vec<Event>, i64) {
    let mut all = Vec::new();
    loop {
        let page = store.events(account, after, limit).await.unwrap();
        assert!(page.next >= after && page.events.len() <= limit as usize);
        after = page.next;
        if page.events.is_empty() {
            return (all, after);
        }
        all.extend(page.events);
    }
}

/// Gives positions to all that wait for theirs.
pub async fn number(store: &Store) {
    while store.number_events().await.unwrap() > 0 {}
}

/// Events that one account may see, from the beginning.
async fn events(house: &House, account: Option<AccountId>) -> Vec<Event> {
    number(&house.store).await;
    follow(&house.store, account, 0, 7).await.0
}

/// Asserts that events, statistics and money tell of the messages of some accounts what their rows tell.
pub async fn agree(house: &House, accounts: &[AccountId], requests: &[i64]) {
    let all = events(house, None).await;
    assert!(all.windows(2).all(|two| two[0].position < two[1].position), "positions ascend");
    let mut counted: BTreeMap<_, (i64, i64)> = BTreeMap::new();
    let mut charged = BTreeMap::new();
    for account in accounts {
        let own = events(house, Some(*account)).await;
        assert_eq!(own, all.iter().filter(|event| event.account == *account).copied().collect::<Vec<_>>());
        let mut told: BTreeMap<i64, Vec<Event>> = BTreeMap::new();
        own.into_iter().for_each(|event| told.entry(event.message).or_default().push(event));
        for id in house.all_ids(*account).await {
            let row = house.see(id).await.unwrap().row;
            let events = told.remove(&id).unwrap_or_default();
            agree_about(&events, row.status, row.request);
            let ended = row.status.is_final().then_some(row.status);
            let relay = ended.and(row.attempt.relay);
            let cell = (*account, id_day(id), row.channel, row.lane, row.unit, relay, ended);
            let sums = counted.entry(cell).or_default();
            (sums.0, sums.1) = (sums.0 + 1, sums.1 + row.price);
        }
        assert_eq!(told, BTreeMap::new(), "no event of a message that is not there");
        charged.insert(*account, (0, 0));
    }
    let query = StatsQuery { account: None, from: Day(0), to: Day(99_991_231) };
    let mut added: BTreeMap<_, (i64, i64)> = BTreeMap::new();
    for cell in house.store.stats(query).await.unwrap() {
        let sums = added
            .entry((cell.account, cell.day, cell.channel, cell.lane, cell.unit, cell.relay, cell.status))
            .or_default();
        (sums.0, sums.1) = (sums.0 + cell.messages, sums.1 + cell.charged);
        let money = charged.entry(cell.account).or_default();
        (money.0, money.1) = (money.0 + cell.charged, money.1 + cell.refunded);
    }
    assert_eq!(added, counted, "statistics equal a recount");
    for (account, (charged, refunded)) in charged {
        let entries = bongsu_store::wallet::entries(&house.store, account, None, 500, None).await.unwrap();
        let given: i64 = entries.iter().filter(|e| e.cause.starts_with("settle:")).map(|e| e.amount).sum();
        let taken: i64 = entries.iter().filter(|e| e.amount < 0).map(|e| -e.amount).sum();
        assert_eq!((charged, refunded), (taken, given), "money of {account}");
    }
    for request in requests {
        progress_agrees(house, *request).await;
    }
}

/// Asserts what the events of one message say.
fn agree_about(events: &[Event], status: Status, request: i64) {
    assert_eq!(events.first().map(|event| event.kind), Some(EventKind::Accepted), "{events:?}");
    assert!(events.windows(2).all(|two| two[0].seq < two[1].seq), "events of a message ascend: {events:?}");
    assert!(events.iter().all(|event| event.request == request), "{events:?}");
    let ends: Vec<&Event> = events.iter().filter(|event| event.kind.is_end()).collect();
    let wanted = if status.is_final() { vec![status] } else { Vec::new() };
    assert_eq!(ends.iter().map(|event| event.status).collect::<Vec<_>>(), wanted, "{events:?}");
    if status == Status::Submitted {
        assert_eq!(events.last().map(|event| event.kind), Some(EventKind::Submitted), "{events:?}");
    }
}

async fn progress_agrees(house: &House, request: i64) {
    let mut rows: BTreeMap<Status, u64> = BTreeMap::new();
    let filter = bongsu_store::query::Filter { request: Some(request), ..Default::default() };
    for id in house.ids(filter, 100).await {
        let status = house.status(id).await.unwrap();
        *rows.entry(if status < Status::Submitted { Status::Queued } else { status }).or_default() += 1;
    }
    let progress: BTreeMap<Status, u64> = house.store.progress(request).await.unwrap().into_iter().collect();
    assert_eq!(progress, rows, "progress of {request}");
}

fn about(events: &[Event], message: i64) -> Vec<(EventKind, Code, u8, Option<u8>)> {
    events.iter().filter(|e| e.message == message).map(|e| (e.kind, e.code, e.attempt, e.relay)).collect()
}

#[tokio::test]
async fn events_tell_the_story_of_each_message_in_order() {
    let house = house();
    let account = house.account(100).await;
    let run = house.accept_many(account, Lane::Bulk, 3).await;
    let single = house.accept(account, Lane::Realtime, sms(1)).await;
    house.claim(&run, &[0, 1, 0]).await;
    let [first, second, third] = [run.first, run.first + 1, run.first + 2];
    house.apply(vec![submitted(&house, first, 1, 0, "a"), submitted(&house, second, 1, 1, "b")]).await;
    house.pass(5);
    // A second try takes the place of the first, and then the first one's receipt decides.
    house.apply(vec![submitted(&house, second, 2, 0, "c")]).await;
    house.apply(vec![delivered(&house, first, 1), failed(&house, second, 1, account, 1)]).await;
    // What comes late is no news.
    house.apply(vec![delivered(&house, second, 2), submitted(&house, first, 1, 0, "a")]).await;
    house.apply(vec![submitted(&house, third, 1, 0, "d"), delivered(&house, third, 1)]).await;
    house.store.cancel(Some(account), single).await.unwrap();
    let all = events(&house, Some(account)).await;
    let (accepted, sent) = (Code::OkAccepted, Code::OkSubmitted);
    assert_eq!(
        about(&all, second),
        [
            (EventKind::Accepted, accepted, 0, None),
            (EventKind::Submitted, sent, 1, Some(1)),
            (EventKind::Submitted, sent, 2, Some(0)),
            (EventKind::Undelivered, Code::RecipientUnknown, 1, Some(0)),
        ]
    );
    for (message, end) in [(first, EventKind::Delivered), (third, EventKind::Delivered)] {
        let kinds: Vec<EventKind> = about(&all, message).into_iter().map(|(kind, ..)| kind).collect();
        assert_eq!(kinds, [EventKind::Accepted, EventKind::Submitted, end]);
    }
    let canceled = (EventKind::Canceled, Code::Canceled, 0, None);
    assert_eq!(about(&all, single), [(EventKind::Accepted, accepted, 0, None), canceled]);
    agree(&house, &[account], &[run.request]).await;
}

#[tokio::test]
async fn a_parked_message_is_held_and_goes_on() {
    let house = house();
    let account = house.account(100).await;
    let run = house.accept_many(account, Lane::Bulk, 2).await;
    house.claim(&run, &[0, 0]).await;
    let park = |id| Change::Park {
        id,
        account,
        attempt: 1,
        lane: Lane::Bulk,
        at: house.now(),
        reason: "cannot be read".into(),
    };
    house.apply(vec![park(run.first)]).await;
    progress_agrees(&house, run.request).await;
    house.store.replay(None, run.first).await.unwrap();
    progress_agrees(&house, run.request).await;
    house.apply(vec![submitted(&house, run.first, 1, 0, "a"), delivered(&house, run.first, 1)]).await;
    let kinds: Vec<EventKind> =
        events(&house, None).await.iter().filter(|e| e.message == run.first).map(|e| e.kind).collect();
    assert_eq!(kinds, [EventKind::Accepted, EventKind::Held, EventKind::Submitted, EventKind::Delivered]);
    agree(&house, &[account], &[run.request]).await;
}

#[tokio::test]
async fn an_undone_unit_leaves_no_facts() {
    let house = house();
    let account = house.account(3).await;
    let request = house.store.new_id().unwrap();
    let slice = house.stage(request, account, Lane::Bulk, vec![sms(1); 5]).await.slice.unwrap();
    let refused = house.store.commit_batch(crate::house::batch_commit(request, account, vec![slice], 5)).await.unwrap();
    assert!(refused.is_err(), "the balance does not cover it");
    assert_eq!(events(&house, None).await, []);
    assert_eq!(house.store.progress(request).await.unwrap(), []);
    house.store.discard(vec![slice]).await.unwrap();
    house.accept(account, Lane::Bulk, sms(1)).await;
    agree(&house, &[account], &[]).await;
}

#[tokio::test]
async fn positions_survive_a_restart_and_are_never_used_again() {
    let mut house = house();
    let account = house.account(1_000).await;
    let mut seen = HashSet::new();
    let mut after = 0;
    for turn in 0..6 {
        house.accept_many(account, Lane::Bulk, 5).await;
        let single = house.accept(account, Lane::Auth, sms(1)).await;
        house.store.cancel(None, single).await.unwrap();
        number(&house.store).await;
        let (events, next) = follow(&house.store, None, after, 3).await;
        assert_eq!(events.len(), 7);
        assert!(events.iter().all(|event| event.position > after && seen.insert(event.position)));
        assert_eq!(next, house.store.newest_event().await.unwrap());
        after = next;
        house = if turn % 2 == 0 { house.reopen() } else { house.crash() };
        let (again, _) = follow(&house.store, None, 0, 500).await;
        assert_eq!(again.len(), 7 * (turn + 1));
    }
}

#[tokio::test]
async fn progress_adds_up_at_every_look() {
    let house = house();
    let account = house.account(10_000).await;
    let run = house.accept_many(account, Lane::Bulk, 300).await;
    house.claim(&run, &[0; 300]).await;
    let store = house.store.clone();
    let looks = tokio::spawn(async move {
        let (mut looks, mut ended) = (0, 0);
        while ended < 300 {
            let progress = store.progress(run.request).await.unwrap();
            assert_eq!(progress.iter().map(|(_, n)| n).sum::<u64>(), 300, "{progress:?}");
            let now = progress.iter().filter(|(status, _)| status.is_final()).map(|(_, n)| n).sum();
            assert!(now >= ended, "what ended stays ended");
            (looks, ended) = (looks + 1, now);
            tokio::task::yield_now().await;
        }
        looks
    });
    for from in (0..300).step_by(10) {
        let ids = (run.first + from)..(run.first + from + 10);
        house.apply(ids.clone().map(|id| submitted(&house, id, 1, 0, "a")).collect()).await;
        let end = |id| if id % 3 == 0 { failed(&house, id, 1, account, 1) } else { delivered(&house, id, 1) };
        house.apply(ids.map(end).collect()).await;
    }
    assert!(looks.await.unwrap() > 1);
    agree(&house, &[account], &[run.request]).await;
}

#[tokio::test]
async fn messages_are_counted_under_their_tags() {
    let house = house();
    let account = house.account(1_000).await;
    let tags = |code: &str, label: Option<&str>| {
        let labels = label.map(|value| ("event".to_owned(), value.to_owned())).into_iter().collect();
        Some(std::sync::Arc::new(Tags { bill_code: Some(code.to_owned()), labels }))
    };
    let kinds = [None, tags("D1", None), tags("D1", Some("spring")), tags("D2", Some("spring"))];
    let mut messages: Vec<NewMessage> = Vec::new();
    for (times, tags) in (1..).zip(&kinds) {
        messages.extend(vec![NewMessage { counted: tags.clone(), ..sms(2) }; times]);
    }
    let slice = house.batch(account, Lane::Bulk, messages).await;
    let run = house.run(slice.first).await;
    let single = NewMessage { counted: kinds[1].clone(), ..sms(2) };
    house.accept(account, Lane::Bulk, single).await;
    house.claim(&run, &[0; 10]).await;
    house.apply((run.first..=run.last()).map(|id| submitted(&house, id, 1, 0, "a")).collect()).await;
    house.apply((run.first..=run.last()).map(|id| delivered(&house, id, 1)).collect()).await;
    let house = house.reopen();
    let query = StatsQuery { account: Some(account), from: id_day(run.first), to: id_day(run.first) };
    let cells = house.store.stats(query).await.unwrap();
    let sets = house.store.stat_tags(cells.iter().map(|cell| cell.stat).collect()).await.unwrap();
    let mut counted: Vec<_> = cells
        .iter()
        .map(|cell| (cell.status, sets.get(&cell.stat).cloned().unwrap_or_default(), cell.messages, cell.charged))
        .collect();
    counted.sort();
    let wanted = |at: usize| kinds[at].as_deref().cloned().unwrap_or_default();
    let ended = Some(Status::Delivered);
    let mut all: Vec<_> = (0..4_usize).map(|at| (ended, wanted(at), at as i64 + 1, 2 * (at as i64 + 1))).collect();
    all.push((None, wanted(1), 1, 2));
    all.sort();
    assert_eq!(counted, all);
    agree(&house, &[account], &[run.request]).await;
}

#[tokio::test]
async fn events_are_kept_for_thirty_days() {
    let house = house();
    let account = house.account(100).await;
    house.accept(account, Lane::Bulk, sms(1)).await;
    let old = house.accept(account, Lane::Bulk, sms(1)).await;
    let kept_until = bongsu_store::facts::EVENTS_KEPT.as_millis() as i64;
    for _ in 0..20 {
        house.next_day().await;
    }
    house.store.cancel(None, old).await.unwrap();
    number(&house.store).await;
    house.store.clean(bongsu_domain::Timestamp(0), bongsu_domain::Timestamp(0)).await.unwrap();
    assert_eq!(events(&house, None).await.len(), 3, "nothing is over its time yet");
    for _ in 20..=kept_until / DAY_MS + 1 {
        house.next_day().await;
    }
    let newest = house.store.newest_event().await.unwrap();
    house.store.clean(bongsu_domain::Timestamp(0), bongsu_domain::Timestamp(0)).await.unwrap();
    let left: Vec<EventKind> = events(&house, None).await.iter().map(|event| event.kind).collect();
    assert_eq!(left, [EventKind::Canceled], "what was accepted is forgotten, what came later is not");
    for _ in 0..25 {
        house.next_day().await;
    }
    house.store.clean(bongsu_domain::Timestamp(0), bongsu_domain::Timestamp(0)).await.unwrap();
    assert_eq!(events(&house, None).await, []);
    let house = house.reopen();
    house.accept(account, Lane::Bulk, sms(1)).await;
    let next = events(&house, None).await;
    assert!(next[0].position > newest, "a position is not used again");
}

#[tokio::test]
async fn statistics_outlive_their_messages() {
    let house = house();
    let account = house.account(100).await;
    let run = house.accept_many(account, Lane::Bulk, 4).await;
    house.claim(&run, &[0; 4]).await;
    house.apply((run.first..=run.last()).map(|id| delivered(&house, id, 1)).collect()).await;
    let query = StatsQuery { account: Some(account), from: Day(0), to: Day(99_991_231) };
    let before = house.store.stats(query).await.unwrap();
    assert_eq!(
        before.iter().map(|cell| (cell.status, cell.messages)).collect::<Vec<_>>(),
        [(Some(Status::Delivered), 4)]
    );
    house.next_day().await;
    let today = house.next_day().await;
    house.store.retire_days(today).await.unwrap();
    assert_eq!(house.see(run.first).await.map(|found| found.row.id), None);
    assert_eq!(house.store.stats(query).await.unwrap(), before);
    assert_eq!(house.store.progress(run.request).await.unwrap(), []);
}

/// Accepts messages from several tasks at once and cancels some; answers the accepted ones and the canceled ones.
async fn traffic(store: Store, account: AccountId, tasks: usize, each: usize) -> (BTreeSet<i64>, BTreeSet<i64>) {
    let work = (0..tasks).map(|task| {
        let store = store.clone();
        tokio::spawn(async move {
            let (mut accepted, mut canceled) = (Vec::new(), Vec::new());
            for n in 0..each {
                let lane = if n % 3 == 0 { Lane::Auth } else { Lane::Bulk };
                let answer = Box::new(|id: i64| (202, id.to_string().into_bytes()));
                let id = store.accept_one(account, lane, sms(0), None, answer).await.unwrap().unwrap().0;
                accepted.push(id);
                if (n + task) % 10 == 0 {
                    store.cancel(Some(account), id).await.unwrap();
                    canceled.push(id);
                }
            }
            (accepted, canceled)
        })
    });
    let work: Vec<_> = work.collect();
    let (mut accepted, mut canceled) = (BTreeSet::new(), BTreeSet::new());
    for one in work {
        let (some, ended) = one.await.unwrap();
        accepted.extend(some);
        canceled.extend(ended);
    }
    (accepted, canceled)
}

/// Follows the cursor while work goes on, and to its end. Answers what was seen, each event as often as it was.
async fn reader(store: Store, done: tokio::sync::watch::Receiver<bool>) -> Vec<Event> {
    let (mut seen, mut after) = (Vec::new(), 0);
    loop {
        let last = *done.borrow();
        let (some, next) = follow(&store, None, after, 100).await;
        seen.extend(some);
        after = next;
        if last {
            return seen;
        }
        tokio::task::yield_now().await;
    }
}

/// Asserts that a reader saw each event once, in order.
pub fn missed_none(seen: &[Event], accepted: &BTreeSet<i64>, canceled: &BTreeSet<i64>) {
    assert!(seen.windows(2).all(|two| two[0].position < two[1].position), "in order, none twice");
    let of = |kind| -> Vec<i64> { seen.iter().filter(|e| e.kind == kind).map(|e| e.message).collect() };
    let (told, ended) = (of(EventKind::Accepted), of(EventKind::Canceled));
    assert_eq!((told.len(), ended.len()), (accepted.len(), canceled.len()));
    assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), *accepted);
    assert_eq!(ended.into_iter().collect::<BTreeSet<_>>(), *canceled);
    let mut known = HashSet::new();
    for event in seen {
        assert_eq!(known.insert(event.message), event.kind == EventKind::Accepted, "first accepted, then canceled");
    }
}

/// Ten thousand accepts at once over some stores, with a reader and a numberer on each.
pub async fn follow_traffic(stores: &[&Store], account: AccountId) {
    let (tell, done) = tokio::sync::watch::channel(false);
    let (tell_all, all_done) = tokio::sync::watch::channel(false);
    let numberers: Vec<_> = stores
        .iter()
        .map(|store| {
            let (store, done) = ((*store).clone(), done.clone());
            tokio::spawn(async move {
                while !*done.borrow() {
                    store.number_events().await.unwrap();
                    tokio::task::yield_now().await;
                }
                number(&store).await;
            })
        })
        .collect();
    let readers: Vec<_> = stores.iter().map(|store| tokio::spawn(reader((*store).clone(), all_done.clone()))).collect();
    let each = 10_000 / stores.len() / 50;
    let work: Vec<_> = stores.iter().map(|store| tokio::spawn(traffic((*store).clone(), account, 50, each))).collect();
    let (mut accepted, mut canceled) = (BTreeSet::new(), BTreeSet::new());
    for one in work {
        let (some, ended) = one.await.unwrap();
        accepted.extend(some);
        canceled.extend(ended);
    }
    tell.send_replace(true);
    for one in numberers {
        one.await.unwrap();
    }
    tell_all.send_replace(true);
    assert_eq!(accepted.len(), 10_000);
    for one in readers {
        missed_none(&one.await.unwrap(), &accepted, &canceled);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_ten_thousand_commits_misses_no_event_and_gets_none_twice() {
    let house = house();
    let account = house.account(0).await;
    follow_traffic(&[&house.store], account).await;
}

#[tokio::test]
async fn who_waits_hears_of_new_facts() {
    let house = house();
    let account = house.account(10).await;
    let mut told = house.store.watch_facts();
    told.borrow_and_update();
    house.accept(account, Lane::Bulk, sms(1)).await;
    number(&house.store).await;
    tokio::time::timeout(Duration::from_secs(5), told.changed()).await.unwrap().unwrap();
    assert_eq!(follow(&house.store, None, 0, 10).await.0.len(), 1);
}
