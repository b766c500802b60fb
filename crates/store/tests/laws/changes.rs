//! What happens to attempts: one final result, one refund, and a history that keeps the rest.

use bongsu_domain::{Clock, Code, Lane, Status, Timestamp};
use bongsu_store::Kind;
use bongsu_store::changes::{Change, Orphan, Receipt, Submit, Unknown, Verdict};
use bongsu_store::lookup::Known;
use bongsu_store::rows::Outcome;

use crate::house::{House, delivered, due_at, failed, house, refused, submitted, together};

fn receipt(house: &House, id: i64, attempt: u8, verdict: Verdict) -> Change {
    Change::Receipt(Receipt { id, attempt, part: 0, at: house.clock.now(), verdict, raw: b"stat:DELIVRD".to_vec() })
}

async fn receipts(house: &House, id: i64) -> Vec<u8> {
    let read = move |reader: &mut bongsu_store::Reader| {
        let day = reader.day(bongsu_domain::id::id_day(id))?.unwrap();
        let mut all = day.prepare_cached("SELECT verdict FROM receipts WHERE id = ? ORDER BY at")?;
        all.query_map([id], |row| row.get(0))?.collect()
    };
    house.store.read(read).await.unwrap()
}

#[tokio::test]
async fn a_final_status_never_changes_and_is_refunded_once() {
    let house = house();
    let account = house.account(10).await;
    let run = house.accept_many(account, Lane::Bulk, 2).await;
    let (lost, kept) = (run.first, run.first + 1);
    house.claim(&run, &[0; 2]).await;
    house.apply(vec![submitted(&house, lost, 1, 0, "a"), submitted(&house, kept, 1, 0, "b")]).await;
    let ends = vec![failed(&house, lost, 1, account, 1), delivered(&house, kept, 1)];
    assert_eq!(house.apply(ends).await, [true, true]);
    assert_eq!(house.balance(account).await, 9);
    let house = house.crash();
    house.pass(1_000);
    let again = vec![
        delivered(&house, lost, 1),
        failed(&house, lost, 1, account, 1),
        failed(&house, kept, 1, account, 1),
        submitted(&house, lost, 1, 0, "c"),
        submitted(&house, lost, 2, 1, "d"),
    ];
    assert_eq!(house.apply(again).await, [false, false, false]);
    let found = house.see(lost).await.unwrap();
    assert_eq!((found.row.status, found.row.late), (Status::Undelivered, true));
    assert_eq!((found.row.attempt.code, found.row.attempt.attempt), (Code::RecipientUnknown.number(), 1));
    assert_eq!(found.row.attempt.outcome, Some(Outcome::Undelivered));
    assert_eq!(found.earlier.iter().map(|a| a.attempt).collect::<Vec<_>>(), [2], "what came later is kept");
    let found = house.see(kept).await.unwrap();
    assert_eq!((found.row.status, found.row.late), (Status::Delivered, true));
    assert_eq!(house.balance(account).await, 9);
    house.assert_sound(2).await;
}

/// An answer and its receipt often come in one round: what is stored of them does not depend on it.
#[tokio::test]
async fn an_attempt_and_its_result_are_the_same_together_and_apart() {
    let house = house();
    let account = house.account(100).await;
    type Life = fn(&House, i64, bongsu_domain::AccountId) -> Vec<Change>;
    let lives: [Life; 6] = [
        |house, id, _| {
            vec![submitted(house, id, 1, 0, "a"), receipt(house, id, 1, Verdict::Decided), delivered(house, id, 1)]
        },
        |house, id, account| vec![submitted(house, id, 1, 0, "a"), failed(house, id, 1, account, 1)],
        |house, id, account| vec![refused(house, id, 1, 0), failed(house, id, 1, account, 1)],
        // A result of the first attempt after the second began, and one after a result that names no attempt.
        |house, id, _| vec![submitted(house, id, 1, 0, "a"), submitted(house, id, 2, 1, "b"), delivered(house, id, 1)],
        |house, id, account| {
            vec![submitted(house, id, 1, 0, "a"), failed(house, id, 0, account, 1), delivered(house, id, 1)]
        },
        |house, id, account| {
            vec![submitted(house, id, 1, 0, "a"), delivered(house, id, 1), failed(house, id, 1, account, 1)]
        },
    ];
    let count = lives.len();
    let (together, apart) =
        (house.accept_many(account, Lane::Bulk, count).await, house.accept_many(account, Lane::Bulk, count).await);
    for run in [&together, &apart] {
        house.claim(run, &[0; 6]).await;
    }
    let ids = |run: &bongsu_store::rows::Run| run.first..run.first + i64::from(run.count);
    let mut both = Vec::new();
    for (life, (one, other)) in lives.iter().zip(ids(&together).zip(ids(&apart))) {
        let firsts = house.apply(life(&house, one, account)).await;
        let mut one_by_one = Vec::new();
        for change in life(&house, other, account) {
            one_by_one.extend(house.apply(vec![change]).await);
        }
        assert_eq!(firsts, one_by_one);
        both.push((one, other));
    }
    for (one, other) in both {
        let since = bongsu_domain::id::id_millis(one) - bongsu_domain::id::id_millis(other);
        let [one_row, other_row] = [house.see(one).await.unwrap(), house.see(other).await.unwrap()];
        assert_eq!((one_row.row.status, one_row.row.late), (other_row.row.status, other_row.row.late));
        assert_eq!((&one_row.row.attempt, &one_row.earlier, since), (&other_row.row.attempt, &other_row.earlier, 0));
        assert_eq!(receipts(&house, one).await, receipts(&house, other).await);
    }
    house.assert_sound(2 * count).await;
}

#[tokio::test]
async fn two_results_of_one_commit_give_one_final_result() {
    let house = house();
    let account = house.account(10).await;
    let run = house.accept_many(account, Lane::Bulk, 1).await;
    house.claim(&run, &[0]).await;
    let writes = [0, 1, 2].map(|_| -> std::pin::Pin<Box<dyn Future<Output = _>>> {
        Box::pin(house.apply(vec![failed(&house, run.first, 1, account, 1)]))
    });
    let done: Vec<bool> = together(&house.store, writes).await.into_iter().flatten().collect();
    assert_eq!(done, [true, false, false]);
    assert_eq!(house.balance(account).await, 10);
    house.assert_sound(1).await;
}

#[tokio::test]
async fn a_retry_moves_the_attempt_into_the_history() {
    let house = house();
    let account = house.account(10).await;
    let run = house.accept_many(account, Lane::Bulk, 1).await;
    let id = run.first;
    house.claim(&run, &[0]).await;
    house.apply(vec![refused(&house, id, 1, 0), Change::Due(due_at(house.now(), id, 2, Lane::Bulk, account))]).await;
    house.pass(50);
    house.claim_due(&house.due().await, &[3]).await;
    house.apply(vec![submitted(&house, id, 2, 3, "x\ny")]).await;
    house.apply(vec![Change::Parts { id, attempt: 2, relay_id: "x\t2\ny".into() }]).await;
    house.apply(vec![Change::Parts { id, attempt: 1, relay_id: "late".into() }]).await;
    let house = house.crash();
    let found = house.see(id).await.unwrap();
    let now = &found.row.attempt;
    assert_eq!((now.attempt, now.relay, now.relay_id.as_deref()), (2, Some(3), Some("x\t2\ny")));
    assert_eq!((now.submitted, found.row.status), (Some(house.now()), Status::Submitted));
    let [first] = found.earlier.as_slice() else { panic!("one attempt before: {:?}", found.earlier) };
    assert_eq!((first.attempt, first.relay, first.outcome), (1, Some(0), Some(Outcome::Refused)));
    assert_eq!((first.code, first.claimed), (Code::VendorError.number(), Some(house.now() - 50)));
    assert_eq!(first.relay_id.as_deref(), Some("late"));
    assert_eq!(house.store.load_ids(vec![id]).await.unwrap().earlier[&id].len(), 1);
    assert_eq!(house.apply(vec![refused(&house, id, 1, 0), delivered(&house, id, 2)]).await, [true]);
    assert_eq!(house.see(id).await.unwrap().row.attempt.outcome, Some(Outcome::Delivered));
}

#[tokio::test]
async fn a_result_of_an_earlier_attempt_decides_and_names_it() {
    let house = house();
    let account = house.account(10).await;
    let run = house.accept_many(account, Lane::Bulk, 1).await;
    let id = run.first;
    house.claim(&run, &[0]).await;
    house.apply(vec![submitted(&house, id, 1, 0, "one"), submitted(&house, id, 2, 1, "two")]).await;
    assert_eq!(house.apply(vec![delivered(&house, id, 1)]).await, [true]);
    let found = house.see(id).await.unwrap();
    assert_eq!((found.row.status, found.row.attempt.outcome), (Status::Delivered, Some(Outcome::Submitted)));
    assert_eq!(found.earlier[0].outcome, Some(Outcome::Delivered));
    assert_eq!(house.apply(vec![delivered(&house, id, 2)]).await, [false]);
    let found = house.see(id).await.unwrap();
    assert!(found.row.late);
    assert_eq!(found.earlier.len(), 1);
}

#[tokio::test]
async fn receipts_are_kept_as_they_came() {
    let house = house();
    let account = house.account(10).await;
    let run = house.accept_many(account, Lane::Bulk, 1).await;
    let id = run.first;
    house.claim(&run, &[0]).await;
    let decided = receipt(&house, id, 1, Verdict::Decided);
    house.apply(vec![submitted(&house, id, 1, 0, "a"), decided, delivered(&house, id, 1)]).await;
    // A second one that decides is one that only repeats.
    for verdict in [Verdict::Repeated, Verdict::Late, Verdict::Decided] {
        house.pass(1);
        house.apply(vec![receipt(&house, id, 1, verdict)]).await;
    }
    assert_eq!(receipts(&house, id).await, [0, 1, 2, 1]);
    house.assert_sound(1).await;
}

#[tokio::test]
async fn spilled_parts_are_found_by_their_relay_id_until_they_are_done() {
    let house = house();
    let account = house.account(10).await;
    let run = house.accept_many(account, Lane::Bulk, 2).await;
    let spill = |id: i64, part: u8, relay_id: &str, deadline: i64| {
        let relay_id = relay_id.to_string();
        Submit { relay: 2, relay_id, id, attempt: 1, part, parts: 2, recipient: 9, deadline }
    };
    let now = house.now();
    let all = [spill(run.first, 0, "77", now + 10), spill(run.first, 1, "78", now), spill(run.first + 1, 0, "77", now)];
    house.apply(all.iter().cloned().map(Change::Spill).collect()).await;
    let house = house.crash();
    assert_eq!(house.spilled(2, "77", 9).await.as_ref(), Some(&all[2]), "relays use ids again: the newest");
    assert_eq!((house.spilled(1, "77", 9).await, house.spilled(2, "7", 9).await), (None, None));
    assert_eq!(house.spilled(2, "77", 8).await, None, "another recipient's");
    let later = Timestamp::from_millis(now + 5);
    let overdue = house.store.look(move |l| l.overdue(later, 10)).await.unwrap();
    assert_eq!(overdue.len(), 2);
    house.apply(vec![Change::Unspill { relay: 2, relay_id: "77".into(), id: run.first + 1 }]).await;
    assert_eq!(house.spilled(2, "77", 9).await.as_ref(), Some(&all[0]));
}

#[tokio::test]
async fn a_relay_that_gives_every_message_the_same_id_is_told_apart_by_recipient() {
    let house = house();
    let account = house.account(1_000).await;
    let run = house.accept_many(account, Lane::Bulk, 300).await;
    let deadline = house.now();
    let spill = |n: i64| {
        let (id, relay_id) = (run.first + n, "OK".to_string());
        Change::Spill(Submit { relay: 2, relay_id, id, attempt: 1, part: 0, parts: 1, recipient: n, deadline })
    };
    house.apply((0..300).map(spill).collect()).await;
    for n in [0, 150, 299] {
        assert_eq!(house.spilled(2, "OK", n).await.map(|submit| submit.id), Some(run.first + n));
    }
    assert_eq!(house.spilled(2, "OK", 300).await, None);
}

#[tokio::test]
async fn unknown_attempts_are_found_by_recipient_and_reference_and_listed_to_their_owner() {
    let house = house();
    let (account, stranger) = (house.account(10).await, house.account(10).await);
    let run = house.accept_many(account, Lane::Bulk, 2).await;
    let unknown = |id| Change::Unknown(Unknown { id, attempt: 1, relay: 2, account, recipient: 9, since: house.now() });
    house.apply(vec![unknown(run.first), unknown(run.first + 1)]).await;
    assert_eq!(house.store.unknown_open().await.unwrap(), 2);
    let (one, two) = (run.first, run.last());
    let find = async |echoed: Option<u16>| house.unknown(2, 9, echoed).await.map(|row| (row.id, row.resolution));
    assert_eq!(find(Some(bongsu_domain::id::reference(one))).await, Some((one, None)));
    assert_eq!(find(None).await, None, "two fit, so none does");
    let resolved = Change::Resolved { id: two, attempt: 1, at: house.now(), resolution: "delivered" };
    house.apply(vec![resolved]).await;
    assert_eq!(find(None).await, Some((one, None)));
    assert_eq!(find(Some(bongsu_domain::id::reference(two))).await, Some((two, Some("delivered".into()))));
    let early = house.known_at(2, "of nobody", (9, None), Timestamp::from_millis(house.now() - 60_000)).await;
    assert!(matches!(early, Known::Nothing), "a receipt that was there before the message is not its: {early:?}");
    let waits = async || match house.known_at(2, "of nobody", (9, None), house.clock.now()).await {
        Known::Unknown { is_due, .. } => is_due,
        other => panic!("{other:?}"),
    };
    assert!(!waits().await);
    house.apply(vec![Change::Due(due_at(house.now(), one, 2, Lane::Bulk, account))]).await;
    assert!(waits().await, "its next attempt is not made yet");
    let list = async |who, below| {
        let rows = house.store.unknown_attempts(who, below, 1).await.unwrap();
        rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(list(Some(account), (i64::MAX, 0)).await, [two]);
    assert_eq!(list(None, (two, 1)).await, [one]);
    assert_eq!(list(Some(stranger), (i64::MAX, 0)).await, Vec::<i64>::new());
    assert_eq!((house.store.unknown_open().await.unwrap(), house.totals().await.unknown_attempts), (1, 2));
}

#[tokio::test]
async fn orphans_wait_for_their_message_and_go_when_their_time_is_over() {
    let house = house();
    let clock = house.clock.clone();
    let orphan = |relay_id: &str, recipient, reference| Orphan {
        relay: 1,
        relay_id: relay_id.into(),
        recipient,
        reference,
        status: Status::Delivered,
        code: Code::OkDelivered,
        at: clock.now(),
        raw: b"raw".to_vec(),
    };
    let all = vec![
        Change::Orphan(1, orphan("a", 5, Some(65_535))),
        Change::Orphan(2, orphan("b", 5, None)),
        Change::Orphan(3, orphan("c", 6, None)),
    ];
    house.apply(all).await;
    let house = house.crash();
    let found = house.store.orphans(0, 2).await.unwrap();
    assert_eq!(found.iter().map(|(seq, o)| (*seq, o.reference)).collect::<Vec<_>>(), [(1, Some(65_535)), (2, None)]);
    assert_eq!(house.store.orphans(1, 10).await.unwrap().len(), 2);
    house.apply(vec![Change::OrphanDone(2)]).await;
    assert_eq!(house.totals().await.orphan_receipts, 2);
    house.pass(1_000);
    house.apply(vec![Change::Orphan(4, orphan("d", 7, None))]).await;
    assert_eq!(house.store.clean(house.clock.now(), Timestamp(0)).await.unwrap(), 2);
    assert_eq!(house.totals().await.orphan_receipts, 1);
}

#[tokio::test]
async fn a_parked_message_waits_for_an_operator_and_goes_on_once() {
    let house = house();
    let (account, stranger) = (house.account(10).await, house.account(0).await);
    let run = house.accept_many(account, Lane::Bulk, 1).await;
    let id = run.first;
    house.claim(&run, &[0]).await;
    let reason = "cannot be read".to_string();
    house.apply(vec![Change::Park { id, account, attempt: 1, lane: Lane::Bulk, at: house.now(), reason }]).await;
    let house = house.crash();
    assert_eq!(house.status(id).await, Some(Status::Parked));
    assert_eq!(house.store.parked(Some(stranger), i64::MAX, 10).await.unwrap().len(), 0);
    let parked = house.store.parked(Some(account), i64::MAX, 10).await.unwrap();
    assert_eq!((parked[0].id, parked[0].reason.as_str()), (id, "cannot be read"));
    assert_eq!(house.store.cancel(None, id).await.unwrap_err().kind(), Kind::Conflict("sent"));
    assert_eq!(house.store.replay(Some(stranger), id).await.unwrap_err().kind(), Kind::NotFound);
    house.store.replay(Some(account), id).await.unwrap();
    assert_eq!(house.store.replay(Some(account), id).await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(house.status(id).await, Some(Status::Queued));
    assert_eq!(house.due().await, [due_at(house.now(), id, 1, Lane::Bulk, account)]);
}
