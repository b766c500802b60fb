//! Endpoints of customers: whose they are, who calls them, and that what was taken is told or still there after a crash.

use std::time::Duration;

use bongsu_domain::webhook::Schedule;
use bongsu_domain::{AccountId, Lane, Secret, Timestamp, WebhookId};
use bongsu_store::facts::Event;
use bongsu_store::webhooks::{
    self, Called, DeliveryState, Disabled, Standing, WEBHOOKS_MAX, WebhookRow, WebhookSettings,
};
use bongsu_store::{Kind, Store};

use crate::house::{House, house, sms};

pub fn settings() -> WebhookSettings {
    WebhookSettings {
        url: "https://example.com/hook".into(),
        events: Vec::new(),
        description: "가게".into(),
        include_pii: false,
        batch: 1,
        concurrency: 10,
        schedule: Schedule::default(),
        header: Some(("x-own".into(), Secret::new("kept"))),
    }
}

pub async fn make(house: &House, account: AccountId) -> WebhookRow {
    webhooks::create(&house.store, account, settings()).await.unwrap().row
}

/// Accepts so many messages and gives what happened.
pub async fn events(house: &House, account: AccountId, count: usize, after: i64) -> Vec<Event> {
    for _ in 0..count {
        house.accept(account, Lane::Realtime, sms(1)).await;
    }
    number(&house.store).await;
    house.store.events(Some(account), after, 100).await.unwrap().events
}

/// Gives what happened its places in the log.
pub async fn number(store: &Store) {
    #[cfg(feature = "mysql")]
    if store.is_shared() {
        while store.number_events().await.unwrap() > 0 {}
    }
    let _ = store;
}

/// A call of one event that ended.
pub fn called(event: &Event, id: i64, state: DeliveryState, due: Timestamp) -> Called {
    Called {
        id,
        positions: vec![event.position],
        is_batch: false,
        message: event.message,
        kind: event.kind,
        state,
        calls: 1,
        failures: u16::from(state != DeliveryState::Delivered),
        due,
        at: event.at,
        http: Some(200),
        took_ms: 7,
        reason: None,
        answer: b"ok".to_vec(),
    }
}

async fn version(house: &House, id: WebhookId) -> (WebhookId, i64) {
    (id, webhooks::get(&house.store, None, id).await.unwrap().version)
}

#[tokio::test]
async fn an_endpoint_is_kept_as_its_owner_decided() {
    let house = house();
    let (account, other) = (house.account(0).await, house.account(0).await);
    let new = webhooks::create(&house.store, account, settings()).await.unwrap();
    let id = new.row.id;
    assert_eq!((&new.row.settings, new.row.account, new.row.disabled), (&settings(), account, None));
    assert_eq!(webhooks::secrets(&house.store, Some(account), id).await.unwrap(), std::slice::from_ref(&new.secret));

    let change = |settings: &mut WebhookSettings| settings.header = None;
    let row = webhooks::update(&house.store, Some(account), id, change, Some(true)).await.unwrap();
    assert_eq!((row.settings.header, row.disabled), (None, Some(Disabled::Owner)));
    assert!(row.version > new.row.version, "whoever has it in memory has to read it again");
    assert_eq!(webhooks::enable(&house.store, Some(account), id).await.unwrap().disabled, None);

    let rotated = webhooks::rotate(&house.store, Some(account), id, Duration::from_secs(60)).await.unwrap();
    let both = [rotated.secret.clone(), new.secret];
    assert_eq!(webhooks::secrets(&house.store, Some(account), id).await.unwrap(), both);
    house.pass(60_000);
    assert_eq!(webhooks::secrets(&house.store, Some(account), id).await.unwrap(), [rotated.secret]);

    let stranger = Some(other);
    let kinds = [
        webhooks::get(&house.store, stranger, id).await.map(drop),
        webhooks::update(&house.store, stranger, id, |_| {}, None).await.map(drop),
        webhooks::enable(&house.store, stranger, id).await.map(drop),
        webhooks::rotate(&house.store, stranger, id, Duration::ZERO).await.map(drop),
        webhooks::secrets(&house.store, stranger, id).await.map(drop),
        webhooks::deliveries(&house.store, stranger, id, None, (10, None)).await.map(drop),
        webhooks::replay_since(&house.store, stranger, id, Timestamp(0)).await,
        webhooks::delete(&house.store, stranger, id).await,
    ]
    .map(|done| done.map_err(|error| error.kind()));
    assert!(kinds.iter().all(|kind| *kind == Err(Kind::NotFound)), "{kinds:?}");
    assert_eq!(webhooks::list(&house.store, stranger, 10, None).await.unwrap(), []);
    assert_eq!(webhooks::list(&house.store, Some(account), 10, None).await.unwrap().len(), 1);
    webhooks::delete(&house.store, Some(account), id).await.unwrap();
    assert_eq!(webhooks::list(&house.store, None, 10, None).await.unwrap(), []);
}

#[tokio::test]
async fn an_account_has_a_limited_number_of_endpoints() {
    let house = house();
    let account = house.account(0).await;
    for _ in 0..WEBHOOKS_MAX {
        make(&house, account).await;
    }
    let more = webhooks::create(&house.store, account, settings()).await.map(drop);
    assert_eq!(more.map_err(|error| error.kind()), Err(Kind::Conflict("webhooks")));
}

#[tokio::test]
async fn what_was_taken_is_told_or_still_there_after_a_crash() {
    let house = house();
    let account = house.account(100).await;
    let id = make(&house, account).await.id;
    let me = house.ground.owner(&house.store);
    assert_eq!(webhooks::look(&house.store, me).await.unwrap().len(), 1);
    let read_to = webhooks::get(&house.store, None, id).await.unwrap().read_to;
    let events = events(&house, account, 3, read_to).await;
    assert_eq!(events.len(), 3, "it is told what happens from when it was made");
    let last = events[2].position;
    let key = version(&house, id).await;
    assert_eq!(webhooks::fill(&house.store, me, key, events.clone(), last).await.unwrap(), Standing::Same);
    let later = house.clock_plus(60);
    let ids = [house.store.new_id().unwrap(), house.store.new_id().unwrap()];
    let told = vec![
        called(&events[0], ids[0], DeliveryState::Delivered, later),
        called(&events[1], ids[1], DeliveryState::Pending, later),
    ];
    assert_eq!(webhooks::settle(&house.store, me, key, told, false).await.unwrap(), Standing::Same);

    let house = house.crash();
    house.ground.bury_all_but(&house.store);
    let me = house.ground.owner(&house.store);
    assert_eq!(webhooks::look(&house.store, me).await.unwrap().len(), 1, "the next process has it");
    let loaded = webhooks::load(&house.store, me, id).await.unwrap().unwrap();
    assert_eq!(loaded.events, events[1..]);
    assert_eq!((loaded.row.read_to, loaded.deliveries.len()), (last, 1));
    let stored = &loaded.deliveries[0];
    assert_eq!((stored.id, stored.calls, stored.is_batch), (ids[1], 1, false));
    assert_eq!((stored.delivery.failures, stored.delivery.due), (1, later.millis()));
    assert_eq!(stored.delivery.positions, [events[1].position]);
    let (waiting, oldest) = webhooks::oldest(&house.store).await.unwrap();
    assert_eq!((waiting, oldest), (2, Some(events[1].at)));

    let rows = webhooks::deliveries(&house.store, Some(account), id, None, (10, None)).await.unwrap();
    let seen: Vec<_> = rows.iter().map(|row| (row.id.0, row.state, row.answer.clone())).collect();
    let wanted = [(ids[1], DeliveryState::Pending), (ids[0], DeliveryState::Delivered)];
    assert_eq!(seen, wanted.map(|(id, state)| (id, state, b"ok".to_vec())));
    let message = bongsu_domain::MessageId(events[0].message);
    let of_message = webhooks::deliveries_of_message(&house.store, account, message).await.unwrap();
    assert_eq!(of_message.iter().map(|row| row.id.0).collect::<Vec<_>>(), [ids[0]]);

    // Told once more, with the whole schedule before it.
    webhooks::replay(&house.store, Some(account), id, bongsu_domain::DeliveryId(ids[0])).await.unwrap();
    let loaded = webhooks::load(&house.store, me, id).await.unwrap().unwrap();
    assert_eq!(loaded.events, events);
    assert_eq!(loaded.deliveries.iter().map(|one| one.delivery.failures).collect::<Vec<_>>(), [0, 1]);
    webhooks::replay_since(&house.store, Some(account), id, house.clock_plus(-3_600)).await.unwrap();
    let row = webhooks::get(&house.store, None, id).await.unwrap();
    assert!(row.read_to < events[0].position, "it reads the log from there");
}

#[tokio::test]
async fn a_batch_keeps_its_events_over_a_crash() {
    let house = house();
    let account = house.account(100).await;
    let id = make(&house, account).await.id;
    let me = house.ground.owner(&house.store);
    webhooks::look(&house.store, me).await.unwrap();
    let events = events(&house, account, 4, 0).await;
    let key = version(&house, id).await;
    webhooks::fill(&house.store, me, key, events.clone(), events[3].position).await.unwrap();
    let batch = Called {
        id: house.store.new_id().unwrap(),
        positions: events[..3].iter().map(|event| event.position).collect(),
        is_batch: true,
        message: 0,
        calls: 0,
        failures: 0,
        ..called(&events[0], 0, DeliveryState::Pending, events[0].at)
    };
    assert_eq!(webhooks::form(&house.store, me, key, vec![batch.clone()]).await.unwrap(), Standing::Same);
    let house = house.crash();
    house.ground.bury_all_but(&house.store);
    let me = house.ground.owner(&house.store);
    webhooks::look(&house.store, me).await.unwrap();
    let loaded = webhooks::load(&house.store, me, id).await.unwrap().unwrap();
    assert_eq!(loaded.events, events);
    assert_eq!(loaded.deliveries.len(), 1);
    assert_eq!((loaded.deliveries[0].id, loaded.deliveries[0].is_batch), (batch.id, true));
    assert_eq!(loaded.deliveries[0].delivery.positions, batch.positions);

    let key = version(&house, id).await;
    let told = Called { state: DeliveryState::Delivered, calls: 1, ..batch.clone() };
    webhooks::settle(&house.store, me, key, vec![told], false).await.unwrap();
    let loaded = webhooks::load(&house.store, me, id).await.unwrap().unwrap();
    assert_eq!((loaded.events.as_slice(), loaded.deliveries.len()), (&events[3..], 0));
    let row = webhooks::delivery(&house.store, None, id, bongsu_domain::DeliveryId(batch.id)).await.unwrap();
    assert_eq!((row.positions, row.state), (batch.positions, DeliveryState::Delivered));
}

#[tokio::test]
async fn what_its_owner_changed_or_another_has_is_noticed_before_anything_is_written() {
    let house = house();
    let account = house.account(100).await;
    let id = make(&house, account).await.id;
    let me = house.ground.owner(&house.store);
    webhooks::look(&house.store, me).await.unwrap();
    let events = events(&house, account, 1, 0).await;
    let key = version(&house, id).await;
    webhooks::update(&house.store, None, id, |settings| settings.batch = 5, None).await.unwrap();
    let fill = |me, key| webhooks::fill(&house.store, me, key, events.clone(), events[0].position);
    assert_eq!(fill(me, key).await.unwrap(), Standing::Changed);
    let key = version(&house, id).await;
    assert_eq!(fill(me + 1, key).await.unwrap(), Standing::Lost);
    assert_eq!(webhooks::load(&house.store, me, id).await.unwrap().unwrap().events, []);
    assert_eq!(fill(me, key).await.unwrap(), Standing::Same);
    let gone = vec![called(&events[0], house.store.new_id().unwrap(), DeliveryState::Pending, events[0].at)];
    assert_eq!(webhooks::settle(&house.store, me, key, gone, true).await.unwrap(), Standing::Changed);
    let row = webhooks::get(&house.store, None, id).await.unwrap();
    assert_eq!(row.disabled, Some(Disabled::Gone));
    assert_eq!(webhooks::oldest(&house.store).await.unwrap(), (0, None), "nobody waits for a disabled one");
    webhooks::release(&house.store, me).await.unwrap();
    assert!(webhooks::load(&house.store, me, id).await.unwrap().is_none());
    webhooks::delete(&house.store, Some(account), id).await.unwrap();
    assert_eq!(fill(me, key).await.unwrap(), Standing::Lost);
}

#[tokio::test]
async fn deliveries_are_listed_for_a_while_only() {
    let house = house();
    let account = house.account(100).await;
    let id = make(&house, account).await.id;
    let me = house.ground.owner(&house.store);
    webhooks::look(&house.store, me).await.unwrap();
    let events = events(&house, account, 2, 0).await;
    let key = version(&house, id).await;
    webhooks::fill(&house.store, me, key, events.clone(), events[1].position).await.unwrap();
    let old = house.store.new_id().unwrap();
    house.pass(1_000);
    let new = house.store.new_id().unwrap();
    let told = vec![
        called(&events[0], old, DeliveryState::Exhausted, events[0].at),
        called(&events[1], new, DeliveryState::Delivered, events[1].at),
    ];
    webhooks::settle(&house.store, me, key, told, false).await.unwrap();
    let before = house.clock_plus(0);
    assert_eq!(webhooks::clean(&house.store, before).await.unwrap(), 1);
    let rows = webhooks::deliveries(&house.store, None, id, None, (10, None)).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.id.0).collect::<Vec<_>>(), [new]);
    let exhausted = Some(DeliveryState::Exhausted);
    assert_eq!(webhooks::deliveries(&house.store, None, id, exhausted, (10, None)).await.unwrap(), []);
}

impl House {
    fn clock_plus(&self, seconds: i64) -> Timestamp {
        Timestamp::from_millis(self.now() + seconds * 1_000)
    }
}
