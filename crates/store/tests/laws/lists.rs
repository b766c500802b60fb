//! Listing: every matching message once, newest first, and never a neighbour's.

use std::time::Duration;

use bongsu_domain::{AccountId, Channel, Lane, Status};
use bongsu_store::Kind;
use bongsu_store::accept::NewMessage;
use bongsu_store::index::KeyKind;
use bongsu_store::query::{Filter, Found};
use proptest::prelude::*;

use crate::house::{House, batch_commit, delivered, house, sms, submitted};

/// Two accounts with single messages and batches over two days in many states. Answers one batch.
async fn filled(house: &House) -> (AccountId, i64) {
    let (one, two) = (house.account(10_000).await, house.account(10_000).await);
    let mut batch = 0;
    for round in 0..6_i64 {
        for lane in Lane::ALL {
            for account in [one, two] {
                let channel = if round % 2 == 0 { Channel::Sms } else { Channel::Lms };
                let message = NewMessage { channel, recipient: round % 3, last4: round % 2, ..sms(1) };
                let lonely = house.accept(account, lane, message.clone()).await;
                if round % 3 == 1 {
                    house.store.cancel(None, lonely).await.unwrap();
                }
                let request = house.store.new_id().unwrap();
                let rows = vec![message; 3 + round as usize];
                let slice = house.stage(request, account, lane, rows).await.slice.unwrap();
                let amount = 3 + round;
                let commit = batch_commit(request, account, vec![slice], amount);
                house.store.commit_batch(commit).await.unwrap().unwrap();
                batch = request;
                let relay = (round % 2) as u8;
                house.claim(&house.run(slice.first).await, &[relay; 3]).await;
                house.apply(vec![submitted(house, slice.first, 1, relay, "a"), delivered(house, slice.first, 1)]).await;
                house.apply(vec![submitted(house, slice.first + 1, 1, relay, "b")]).await;
            }
        }
        house.clock.advance(Duration::from_secs(if round == 2 { 86_400 } else { 1 }));
    }
    (one, batch)
}

/// What a filter should find, by looking at everything.
fn expected(all: &[Found], f: &Filter) -> Vec<i64> {
    let fits = |found: &&Found| {
        let row = &found.row;
        f.account.is_none_or(|a| a == row.account)
            && f.status.is_none_or(|s| s == row.status)
            && f.channel.is_none_or(|c| c == row.channel)
            && f.lane.is_none_or(|l| l == row.lane)
            && f.relay.is_none_or(|r| row.attempt.relay == Some(r))
            && f.request.is_none_or(|r| r == row.request)
            && f.key.is_none_or(|(kind, key)| kind == KeyKind::Recipient && key == row.recipient)
            && row.id >= f.from
            && (f.to == 0 || row.id <= f.to)
    };
    all.iter().filter(fits).map(|found| found.row.id).collect()
}

#[tokio::test]
async fn a_cursor_reads_every_match_once_in_order_under_all_filters() {
    let house = house();
    let (one, batch) = filled(&house).await;
    let all = house.store.page(Filter { to: i64::MAX, limit: 10_000, ..Filter::default() }).await.unwrap();
    assert_eq!((all.rows.len(), all.next), (2 * 4 * (6 + 3 + 4 + 5 + 6 + 7 + 8), None));
    assert!(all.rows.is_sorted_by(|a, b| a.row.id > b.row.id));
    let all = all.rows;
    let (young, old) = (all[30].row.id, all[all.len() - 30].row.id);
    let some = |f: &mut Filter, n: usize| match n {
        0 => {}
        1 => f.account = Some(one),
        2 => f.lane = Some(Lane::Bulk),
        3 => f.channel = Some(Channel::Lms),
        4 => f.status = Some(Status::Queued),
        5 => f.status = Some(Status::Sending),
        6 => f.status = Some(Status::Delivered),
        7 => f.status = Some(Status::Canceled),
        8 => f.relay = Some(1),
        9 => f.request = Some(batch),
        10 => (f.from, f.to) = (old, young),
        11 => f.key = Some((KeyKind::Recipient, 1)),
        _ => f.from = young,
    };
    let mut matched = 0;
    for (a, b, c) in (0..13).flat_map(|a| (0..=a).flat_map(move |b| (0..=b).map(move |c| (a, b, c)))) {
        let mut filter = Filter::default();
        for n in [a, b, c] {
            some(&mut filter, n);
        }
        let is = house.ids(filter.clone(), 7).await;
        assert_eq!(is, expected(&all, &filter), "{filter:?}");
        matched += is.len();
    }
    assert!(matched > 1_000);
    for limit in [1, 2, 3, 500] {
        assert_eq!(house.ids(Filter::default(), limit).await.len(), all.len(), "in pages of {limit}");
    }
}

#[tokio::test]
async fn a_page_is_not_moved_by_what_is_accepted_meanwhile() {
    let house = house();
    let account = house.account(100).await;
    for _ in 0..10 {
        house.accept(account, Lane::Bulk, sms(1)).await;
    }
    let before = house.all_ids(account).await;
    let filter = Filter { account: Some(account), to: i64::MAX, limit: 4, ..Filter::default() };
    let page = house.store.page(filter.clone()).await.unwrap();
    house.accept_many(account, Lane::Auth, 5).await;
    let rest = house.ids(Filter { to: page.next.unwrap(), ..filter }, 4).await;
    let read: Vec<i64> = page.rows.iter().map(|f| f.row.id).chain(rest).collect();
    assert_eq!(read, before);
}

/// What one account has.
#[derive(Default)]
struct Own {
    ids: Vec<i64>,
    requests: Vec<i64>,
}

async fn neighbours(sends: Vec<(usize, u8, usize, i64)>) {
    let house = house();
    let accounts = [house.account(1_000).await, house.account(1_000).await, house.account(1_000).await];
    let mut own: [Own; 3] = Default::default();
    for (n, (who, lane, count, recipient)) in sends.into_iter().enumerate() {
        let lane = Lane::from_u8(lane).unwrap();
        // The same keyed hash on purpose: even then the account decides.
        let message = NewMessage { recipient, client_ref: (count == 0).then_some(n as i64), ..sms(1) };
        if count == 0 {
            own[who].ids.push(house.accept(accounts[who], lane, message).await);
        } else {
            let slice = house.batch(accounts[who], lane, vec![message; count]).await;
            own[who].ids.extend(slice.first..slice.first + count as i64);
            own[who].requests.push(house.run(slice.first).await.request);
        }
    }
    for (who, account) in accounts.into_iter().enumerate() {
        let mine = Filter { account: Some(account), ..Filter::default() };
        let listed = house.ids(mine.clone(), 3).await;
        let mut expected = own[who].ids.clone();
        expected.reverse();
        assert_eq!(listed, expected);
        let mut found = Vec::new();
        for recipient in 0..3 {
            let key = Filter { key: Some((KeyKind::Recipient, recipient)), ..mine.clone() };
            found.extend(house.ids(key, 3).await);
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(found, expected);
        for (other, theirs) in own.iter().enumerate().filter(|(other, _)| *other != who) {
            for request in &theirs.requests {
                assert_eq!(house.ids(Filter { request: Some(*request), ..mine.clone() }, 3).await, Vec::<i64>::new());
            }
            for id in &theirs.ids {
                assert!(house.store.message(Some(account), *id).await.unwrap().is_none());
                let refused = house.store.cancel(Some(account), *id).await.unwrap_err();
                assert_eq!(refused.kind(), Kind::NotFound, "{other}'s message");
            }
        }
        for n in 0..20 {
            let by_ref = house.ids(Filter { client_ref: Some(n), ..mine.clone() }, 3).await;
            assert!(by_ref.iter().all(|id| own[who].ids.contains(id)));
        }
        assert_eq!(house.balance(account).await, 1_000 - expected.len() as i64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::ground::CASES.min(12), ..ProptestConfig::default() })]

    #[test]
    fn an_account_never_sees_a_neighbours_rows(
        sends in prop::collection::vec((0..3_usize, 0..4_u8, 0..4_usize, 0..3_i64), 1..20),
    ) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(neighbours(sends));
    }
}
