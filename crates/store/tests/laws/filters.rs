//! Filters over keys that many messages share: paging over any of them equals a recount of everything, before and after a
//! start.

use bongsu_domain::{AccountId, Channel, Code, Lane, OriginStatus, Status};
use bongsu_store::accept::NewMessage;
use bongsu_store::index::{self, KeyKind, TagOf};
use bongsu_store::query::{Check, Filter, Found, TextCheck};
use bongsu_store::rows::MessageRow;
use proptest::prelude::*;

use crate::house::{House, delivered, house, sms, submitted};

const LABELS: [&str; 3] = ["가", "b=c", ""];

/// What a message is made from.
type Seed = (u8, u8, u8, u8);

fn message(account: AccountId, (sender, label, lane, kind): Seed) -> (Lane, NewMessage) {
    let labels = vec![("shop".to_owned(), LABELS[usize::from(label % 3)].to_owned())];
    let bill = (kind % 2 == 0).then_some("A-17");
    let labelled = if label % 4 == 3 { Vec::new() } else { labels };
    let extra = serde_json::json!({"b": bill, "l": labelled}).to_string();
    let new = NewMessage {
        channel: if kind % 3 == 0 { Channel::Lms } else { Channel::Sms },
        sender: index::sender_key(account, i64::from(sender % 2)),
        sealed: vec![sender % 2],
        tags: index::tags(account, bill, &labelled),
        extra: Some(extra),
        recipient: i64::from(kind % 2),
        ..sms(1)
    };
    (Lane::ALL[usize::from(lane % 4)], new)
}

fn has_extra(row: &MessageRow, name: &str, wanted: &serde_json::Value) -> bool {
    let extra: serde_json::Value = serde_json::from_str(row.extra.as_deref().unwrap_or("{}")).unwrap();
    match name {
        "b" => &extra["b"] == wanted,
        _ => extra["l"].as_array().is_some_and(|labels| labels.iter().any(|label| label[1] == *wanted)),
    }
}

type Means = Box<dyn Fn(&Found) -> bool>;

/// The filters of one account, each with what it means.
fn filters(account: AccountId) -> Vec<(Filter, Means)> {
    let base = || Filter { account: Some(account), ..Filter::default() };
    let sender = index::sender_key(account, 1);
    let by_sender = Check::new(|row: &MessageRow| row.sealed == [1]);
    let label = index::tag(account, TagOf::LabelValue("shop", "b=c"));
    let by_label = Check::new(|row: &MessageRow| has_extra(row, "l", &"b=c".into()));
    let bill = index::tag(account, TagOf::BillCode("A-17"));
    let by_bill = Check::new(|row: &MessageRow| has_extra(row, "b", &"A-17".into()));
    let both = by_bill.clone();
    vec![
        (
            Filter { key: Some((KeyKind::Sender, sender)), check: Some(by_sender.clone()), ..base() },
            Box::new(|found| found.row.sealed == [1]),
        ),
        (
            Filter { key: Some((KeyKind::Tag, label)), check: Some(by_label), ..base() },
            Box::new(|found| has_extra(&found.row, "l", &"b=c".into())),
        ),
        (
            Filter { key: Some((KeyKind::Tag, bill)), check: Some(both), lane: Some(Lane::Bulk), ..base() },
            Box::new(|found| found.row.lane == Lane::Bulk && has_extra(&found.row, "b", &"A-17".into())),
        ),
        (
            Filter { key: Some((KeyKind::Tag, bill)), check: Some(by_bill), channel: Some(Channel::Lms), ..base() },
            Box::new(|found| found.row.channel == Channel::Lms && has_extra(&found.row, "b", &"A-17".into())),
        ),
        (
            Filter { key: Some((KeyKind::Recipient, 1)), check: Some(by_sender), ..base() },
            Box::new(|found| found.row.recipient == 1 && found.row.sealed == [1]),
        ),
        (Filter { text: Some(text("글")), ..base() }, Box::new(|found| has_text(found, true))),
        (Filter { text: Some(text("말")), ..base() }, Box::new(|found| has_text(found, false))),
        (
            Filter { text: Some(text("말")), key: Some((KeyKind::Recipient, 1)), ..base() },
            Box::new(|found| found.row.recipient == 1 && has_text(found, false)),
        ),
        (Filter { code: Some(Code::OkAccepted), ..base() }, Box::new(|found| found.row.attempt.attempt == 0)),
        (Filter { code: Some(Code::OkDelivered), ..base() }, Box::new(|found| found.row.status == Status::Delivered)),
        (
            Filter { origin_status: Some(OriginStatus::Success), ..base() },
            Box::new(|found| found.row.status == Status::Delivered && found.row.attempt.attempt == 1),
        ),
        (
            Filter { origin_status: Some(OriginStatus::Pending), relay: Some(1), ..base() },
            Box::new(|found| !found.row.status.is_final() && found.row.attempt.relay == Some(1)),
        ),
        (Filter { status: Some(Status::Queued), ..base() }, Box::new(|found| found.row.status == Status::Queued)),
    ]
}

/// A search for something in the text that rows of a batch share; what a row has alone is `[1]` for it.
fn text(wanted: &'static str) -> TextCheck {
    TextCheck {
        shared: Check::new(move |sealed: &[u8]| String::from_utf8_lossy(sealed).contains(wanted)),
        own: Check::new(|row: &MessageRow| row.sealed == [1]),
    }
}

/// Whether a message has it: never one of the lane auth, whatever it has.
fn has_text(found: &Found, is_shared: bool) -> bool {
    let row = &found.row;
    let own = (row.content == 0 || row.channel == Channel::Lms) && row.sealed == [1];
    row.lane != Lane::Auth && ((row.content == 1 && is_shared) || own)
}

async fn assert_recounted(house: &House, account: AccountId) {
    let all = house.store.page(Filter { account: Some(account), to: i64::MAX, limit: 10_000, ..Filter::default() });
    let all = all.await.unwrap().rows;
    for (at, (filter, means)) in filters(account).into_iter().enumerate() {
        let wanted: Vec<i64> = all.iter().filter(|found| means(found)).map(|found| found.row.id).collect();
        for limit in [1, 7] {
            assert_eq!(house.ids(filter.clone(), limit).await, wanted, "filter {at} in pages of {limit}");
        }
        let middle = wanted.get(wanted.len() / 2).copied().unwrap_or(0);
        let below: Vec<i64> = wanted.iter().copied().filter(|id| *id <= middle).collect();
        if middle > 0 {
            assert_eq!(
                house.ids(Filter { to: middle, ..filter.clone() }, 3).await,
                below,
                "filter {at} from the middle"
            );
            let above: Vec<i64> = wanted.iter().copied().filter(|id| *id >= middle).collect();
            assert_eq!(house.ids(Filter { from: middle, ..filter }, 3).await, above, "filter {at} down to the middle");
        }
    }
}

async fn check(seeds: &[Seed]) {
    let mut house = house();
    let (one, two) = (house.account(10_000).await, house.account(10_000).await);
    for (at, seed) in seeds.iter().enumerate() {
        for account in [one, two] {
            let (lane, new) = message(account, *seed);
            if at % 3 == 0 {
                house.accept(account, lane, new).await;
            } else {
                let new = NewMessage { content: u32::from(seed.3 % 3 != 1), ..new };
                let slice = house.batch(account, lane, vec![new; 1 + at % 4]).await;
                if at % 2 == 0 {
                    let relay = seed.3 % 2;
                    house.claim(&house.run(slice.first).await, &[relay]).await;
                    house.apply(vec![submitted(&house, slice.first, 1, relay, "a")]).await;
                    if at % 4 == 0 {
                        house.apply(vec![delivered(&house, slice.first, 1)]).await;
                    }
                }
            }
        }
        house.pass(i64::from(seed.2 % 3));
        if at == seeds.len() / 2 && seeds.len() > 8 {
            house.next_day().await;
        }
    }
    for turn in 0..2 {
        assert_recounted(&house, one).await;
        assert_recounted(&house, two).await;
        house = if turn == 0 { house.crash() } else { house };
    }
}

#[tokio::test]
async fn a_neighbours_keys_find_nothing() {
    let house = house();
    let (one, two) = (house.account(100).await, house.account(100).await);
    let (lane, new) = message(one, (1, 1, 0, 0));
    let id = house.accept(one, lane, new).await;
    for (filter, _) in filters(one).into_iter().take(4) {
        let stolen = Filter { account: Some(two), ..filter };
        assert_eq!(house.ids(stolen, 5).await, Vec::<i64>::new());
    }
    assert_eq!(house.ids(Filter { account: Some(two), id: Some(id), ..Filter::default() }, 5).await, Vec::<i64>::new());
    assert_eq!(house.ids(Filter { account: Some(one), id: Some(id), ..Filter::default() }, 5).await, [id]);
    assert!(house.store.trace(Some(two), id).await.unwrap().is_none());
    assert!(house.store.trace(Some(one), id).await.unwrap().is_some());
}

#[tokio::test]
async fn what_a_claim_noted_stays_with_its_run() {
    let house = house();
    let account = house.account(100).await;
    let run = house.accept_many(account, Lane::Bulk, 4).await;
    for (from, note) in [(0, &b"one"[..]), (2, &[0xFF, 0, 0xC3, 0x28][..])] {
        let claimed =
            bongsu_store::claims::Claimed::Run { first: run.first, from, generation: run.generation, count: 4 };
        let claim = bongsu_store::claims::Claim {
            id: house.store.new_id().unwrap(),
            owner: house.ground.owner(&house.store),
            deadline: house.now() + 5_000,
            lane: Lane::Bulk,
            account,
            claimed,
            relays: vec![0; 2],
            note: note.to_vec(),
        };
        house.store.claim(false, vec![claim], Vec::new()).await.unwrap();
    }
    let house = house.crash();
    let trace = house.store.trace(Some(account), run.first + 3).await.unwrap().unwrap();
    assert_eq!(trace.notes, [&b"one"[..], &[0xFF, 0, 0xC3, 0x28]].concat());
    assert_eq!(trace.request.map(|request| (request.kind, request.accepted)), Some((1, 4)));
    assert_eq!(trace.ledger.iter().map(|entry| entry.amount).collect::<Vec<_>>(), [-4]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn paging_over_any_filter_equals_a_recount(
        seeds in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>()), 1..14),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(&seeds));
    }
}
