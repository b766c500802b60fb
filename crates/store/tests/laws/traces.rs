//! What is known about one message afterwards: what it gave back, and who was told of it.

use bongsu_domain::{GroupId, KeyId, Lane};
use bongsu_store::audit_log::{self, Note, Outcome};
use bongsu_store::facts::Event;
use bongsu_store::groups::SendGroup;
use bongsu_store::trace::Trace;
use bongsu_store::webhooks::{self, Called, DeliveryState};

use crate::groups::{fill, group};
use crate::house::{House, failed, house, sms};
use crate::webhooks::{called, events, make, number};

async fn trace(house: &House, id: i64) -> Trace {
    house.store.trace(None, id).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_message_knows_what_it_gave_back_and_who_was_told() {
    let house = house();
    let (account, other) = (house.account(100).await, house.account(100).await);
    let id = make(&house, account).await.id;
    let me = house.ground.owner(&house.store);
    webhooks::look(&house.store, me).await.unwrap();
    let accepted = events(&house, account, 3, 0).await;
    let ids: Vec<i64> = accepted.iter().map(|event| event.message).collect();
    let before = trace(&house, ids[0]).await;
    assert!(before.refund.is_none() && before.deliveries.is_empty(), "it is on its way");

    house.pass(60_000);
    let stranger = house.accept(other, Lane::Realtime, sms(1)).await;
    house.apply(vec![failed(&house, stranger, 0, other, 1)]).await;
    house.apply(vec![failed(&house, ids[0], 0, account, 1)]).await;
    house.pass(5);
    house.apply(vec![failed(&house, ids[1], 0, account, 1), failed(&house, ids[2], 0, account, 1)]).await;
    number(&house.store).await;
    let all = house.store.events(Some(account), 0, 100).await.unwrap().events;
    let ends: Vec<Event> = ids.iter().map(|id| *all.iter().rfind(|event| event.message == *id).unwrap()).collect();
    let key = (id, webhooks::get(&house.store, None, id).await.unwrap().version);
    webhooks::fill(&house.store, me, key, all.clone(), all[all.len() - 1].position).await.unwrap();
    let numbers = [house.store.new_id().unwrap(), house.store.new_id().unwrap()];
    let several = Called {
        positions: vec![ends[1].position, ends[2].position],
        is_batch: true,
        message: 0,
        ..called(&ends[1], numbers[1], DeliveryState::Delivered, ends[1].at)
    };
    let told = vec![called(&ends[0], numbers[0], DeliveryState::Delivered, ends[0].at), several];
    webhooks::settle(&house.store, me, key, told, false).await.unwrap();

    for (n, (moved, delivery)) in [(1, numbers[0]), (2, numbers[1]), (2, numbers[1])].into_iter().enumerate() {
        let seen = trace(&house, ids[n]).await;
        let refund = seen.refund.unwrap();
        let entry = refund.entry.unwrap();
        assert_eq!((refund.amount, entry.amount, entry.at / 1_000), (1, moved, ends[n].at.millis()), "message {n}");
        assert!(entry.cause.starts_with("settle:"), "{}", entry.cause);
        assert_eq!(seen.deliveries.iter().map(|row| row.id.0).collect::<Vec<_>>(), [delivery], "message {n}");
    }
    assert!(trace(&house, stranger).await.deliveries.is_empty());
}

fn note(request: &str, operation: &'static str, target: String) -> Note {
    let (account, key, role, ip) = (None, KeyId(9), "owner", None);
    Note { account, key, role, ip, request_id: request.to_owned(), operation, target }
}

/// A call without a change of its own, as the log has it.
async fn noted(house: &House, note: Note) {
    audit_log::during(&house.store, note, async {}, |()| Outcome { status: 200, ..Outcome::default() }).await;
}

#[tokio::test]
async fn a_group_is_found_by_the_calls_that_made_and_sent_it() {
    let house = house();
    let account = house.account(10).await;
    let id = group(&house, account, false).await;
    fill(&house, id, account, 2).await;
    house.pass(3_600_000);
    let before = house.store.new_id().unwrap();
    noted(&house, note("up-1", "add_rows", GroupId(id).to_string())).await;
    let trace = Some("go-1".into());
    let ask = SendGroup { group: id, account, key: 9, send_at: None, approves: false, trace };
    house.store.send_group(ask).await.unwrap().unwrap();
    noted(&house, note("go-1", "send_group", GroupId(id).to_string())).await;
    let range = (before, i64::MAX);
    for call in ["up-1", "go-1"] {
        let found = house.store.requests_noted(None, call.to_owned(), range).await.unwrap();
        assert_eq!(found.iter().map(|row| (row.id, row.trace.as_deref())).collect::<Vec<_>>(), [(id, Some("go-1"))]);
    }
    assert!(house.store.requests_noted(None, "no-1".to_owned(), range).await.unwrap().is_empty());
    assert!(
        house.store.requests_noted(Some(account), "go-1".to_owned(), range).await.unwrap().is_empty(),
        "not its own"
    );
}
