//! What is known about one message afterwards: what it gave back, and who was told of it.

use bongsu_domain::{GroupId, KeyId, Lane, MessageId, RequestId};
use bongsu_store::accept::{BatchCommit, NewMessage, Single};
use bongsu_store::audit_log::{self, AuditFilter, Kinds, Note, Outcome};
use bongsu_store::facts::Event;
use bongsu_store::groups::SendGroup;
use bongsu_store::trace::Trace;
use bongsu_store::webhooks::{self, Called, DeliveryState};

use crate::groups::{fill, group};
use crate::house::{House, batch_commit, failed, house, sms};
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

#[tokio::test]
async fn the_audit_log_tells_of_sends_from_their_requests() {
    let house = house();
    let (account, other) = (house.account(10).await, house.account(10).await);
    let one = |key| NewMessage { key, ..sms(1) };
    let mut targets = Vec::new();
    let send = async |account, request: &str| {
        let answer = Box::new(|_| (202, Vec::new()));
        let sent = house.store.accept(Single::new(account, Lane::Bulk, one(7), None, Some(request.into()), answer));
        MessageId(sent.await.unwrap().unwrap().0).to_string()
    };
    targets.push(send(account, "a").await);
    house.accept(account, Lane::Bulk, one(0)).await;
    house.pass(1);
    let request = house.store.new_id().unwrap();
    let slice = house.stage(request, account, Lane::Bulk, vec![one(0), one(0)]).await.slice.unwrap();
    let commit = BatchCommit { key: 7, trace: Some("b".into()), ..batch_commit(request, account, vec![slice], 2) };
    house.store.commit_batch(commit).await.unwrap().unwrap();
    targets.push(RequestId(request).to_string());
    house.pass(1);
    noted(&house, Note { account: Some(account), ..note("c", "create_key", "key_1".to_owned()) }).await;
    targets.push("key_1".to_owned());
    house.pass(1);
    targets.push(send(account, "d").await);
    send(other, "e").await;
    targets.reverse();

    let all = AuditFilter { account: Some(account), limit: 3, kinds: Kinds::All, ..AuditFilter::default() };
    let first = audit_log::list(&house.store, all.clone()).await.unwrap();
    let rest = audit_log::list(&house.store, AuditFilter { after: first.next, ..all.clone() }).await.unwrap();
    assert_eq!((first.rows.len(), rest.rows.len(), rest.next), (3, 1, None));
    let rows: Vec<_> = first.rows.into_iter().chain(rest.rows).collect();
    assert_eq!(rows.iter().map(|row| row.target.clone()).collect::<Vec<_>>(), targets);
    let told: Vec<_> = rows.iter().map(|row| (row.operation.as_str(), row.key.0, row.request_id.as_str())).collect();
    let wanted = [("send_message", 7, "d"), ("create_key", 9, "c"), ("send_batch", 7, "b"), ("send_message", 7, "a")];
    assert_eq!(told, wanted);

    let of = async |filter: AuditFilter| {
        let page = audit_log::list(&house.store, AuditFilter { limit: 100, ..filter }).await.unwrap();
        page.rows.into_iter().map(|row| row.request_id).collect::<Vec<_>>()
    };
    assert_eq!(of(AuditFilter { kinds: Kinds::Changes, ..all.clone() }).await, ["c"]);
    assert_eq!(of(AuditFilter { kinds: Kinds::Sends, ..all.clone() }).await, ["d", "b", "a"]);
    assert_eq!(of(AuditFilter { key: Some(KeyId(9)), ..all.clone() }).await, ["c"]);
    assert_eq!(of(AuditFilter { operation: Some("send_batch".into()), ..all.clone() }).await, ["b"]);
    assert_eq!(of(AuditFilter { account: None, ..all }).await, ["e", "d", "c", "b", "a"]);
}
