//! How the server carries statements out: what grows with the installation is reached by a key.
//!
//! The statements are those that went by, so none is forgotten that the work below makes.

use std::time::Duration;

use bongsu_domain::{AccountId, Clock, Lane, Timestamp};
use bongsu_store::accept::NewMessage;
use bongsu_store::changes::{Change, Orphan, Receipt, Submit, Unknown, Verdict};
use bongsu_store::index::KeyKind;
use bongsu_store::query::Filter;

use super::house_by_way;
use crate::house::{House, attempt_as, batch_commit, delivered, due_at, failed, key, refused, sms, submitted};
use crate::processes::policy;

/// Tables that grow with messages or accounts.
const GROW: [&str; 15] = [
    "messages",
    "attempts",
    "receipts",
    "slices",
    "contents",
    "requests",
    "runs",
    "due",
    "submits",
    "unknown_attempts",
    "idempotency",
    "client_refs",
    "dedupe",
    "ledger",
    "balances",
];

/// Beginnings of statements that look at all of a table, and why they may.
const MAY_SCAN: &[(&str, &str)] = &[("SELECT account, unit, CAST(SUM(balance)", "the audit adds everything up")];

/// Messages, results and looks of every kind.
async fn everything(house: &House, account: AccountId) {
    let referenced = |n| NewMessage { client_ref: Some(n), dedupe: Some((n, 1_000)), expires_ms: 5_000, ..sms(1) };
    for n in 0..3 {
        house.try_accept(account, Lane::Ad, referenced(n), Some(key(n, 1))).await.unwrap().unwrap();
        house.try_accept(account, Lane::Ad, referenced(n), Some(key(n, 2))).await.unwrap().unwrap_err();
    }
    let run = house.accept_many(account, Lane::Bulk, 8).await;
    house.store.cancel(Some(account), run.last()).await.unwrap();
    let run = house.run(run.first).await;
    house.claim(&run, &[0; 7]).await;
    let (id, at, now) = (|n: i64| run.first + n, house.now(), house.clock.now());
    let receipt = Receipt { id: id(0), attempt: 1, part: 0, at: now, verdict: Verdict::Decided, raw: vec![1] };
    let spill =
        Submit { relay: 0, relay_id: "s".into(), id: id(1), attempt: 1, part: 0, parts: 1, recipient: 1, deadline: at };
    let (status, code) = (bongsu_domain::Status::Delivered, bongsu_domain::Code::OkDelivered);
    let orphan =
        Orphan { relay: 0, relay_id: "o".into(), recipient: 1, reference: None, status, code, at: now, raw: vec![1] };
    house
        .apply(vec![
            submitted(house, id(0), 1, 0, "a"),
            Change::Parts { id: id(0), attempt: 1, relay_id: "b".into() },
            Change::Receipt(receipt),
            delivered(house, id(0), 1),
            submitted(house, id(1), 1, 0, "s"),
            submitted(house, id(1), 2, 0, "t"),
            Change::Parts { id: id(1), attempt: 1, relay_id: "u".into() },
            Change::Spill(spill),
            failed(house, id(1), 1, account, 1),
            delivered(house, id(1), 1),
            refused(house, id(2), 1, 0),
            Change::Due(due_at(at, id(2), 2, Lane::Bulk, account)),
            Change::Due(due_at(at, id(3), 2, Lane::Bulk, account)),
            Change::NotDue(id(3)),
            Change::Unknown(Unknown { id: id(4), attempt: 1, relay: 0, account, recipient: 1, since: at }),
            Change::Resolved { id: id(4), attempt: 1, at, resolution: "delivered" },
            Change::Park { id: id(5), account, attempt: 1, lane: Lane::Bulk, at, reason: "x".into() },
            Change::Orphan(7, orphan),
            Change::OrphanDone(8),
            Change::Unspill { relay: 0, relay_id: "s".into(), id: id(1) },
        ])
        .await;
    let code = bongsu_domain::Code::RouteQueueFull;
    let outcome = bongsu_store::rows::Outcome::Unreachable;
    house.apply(vec![attempt_as(house, id(6), 1, 0, None, outcome, code, bongsu_domain::Status::Queued)]).await;
    house.claim_due(&house.due().await, &[1]).await;
    house.store.replay(Some(account), id(5)).await.unwrap();
    house.pass(10_000);
    house.store.expire_waiting(10).await.unwrap();
    house.store.settle_claims(policy(), 10).await.unwrap();
    let request = house.store.new_id().unwrap();
    let slice = house.stage(request, account, Lane::Bulk, vec![referenced(90)]).await.slice.unwrap();
    house.store.discard(vec![slice]).await.unwrap();
    house.store.clean(house.clock.now(), house.clock.now()).await.unwrap();
    looks(house, account, id(0)).await;
}

async fn looks(house: &House, account: AccountId, id: i64) {
    let of = |filter: Filter| Filter { account: Some(account), to: i64::MAX, limit: 10, ..filter };
    for filter in [
        Filter::default(),
        Filter { client_ref: Some(1), ..Filter::default() },
        Filter { key: Some((KeyKind::Recipient, 1)), ..Filter::default() },
        Filter { key: Some((KeyKind::LastFour, 11)), ..Filter::default() },
        Filter { request: Some(id), ..Filter::default() },
    ] {
        house.store.page(of(filter.clone())).await.unwrap();
        house.store.page(Filter { account: None, ..of(filter) }).await.unwrap();
    }
    house.store.message(Some(account), id).await.unwrap();
    let run = house.run(id).await;
    house.store.load_run(run, 0, 5).await.unwrap();
    house.store.load_ids(vec![id, id + 1]).await.unwrap();
    house.store.waiting_runs(Lane::Bulk, account, 0, 10).await.unwrap();
    house.store.unknown_attempts(Some(account), (i64::MAX, 0), 10).await.unwrap();
    house.store.look(|look| look.overdue(Timestamp::MAX, 10)).await.unwrap();
    house.known(0, "s", 1, None).await;
    house.known(0, "of nobody", 1, None).await;
    bongsu_store::wallet::entries(&house.store, account, None, 10, None).await.unwrap();
}

/// Rows enough that the server has a reason to use keys.
async fn fill(house: &House) {
    for _ in 0..20 {
        let account = house.account(1_000).await;
        for lane in [Lane::Bulk, Lane::Ad] {
            let request = house.store.new_id().unwrap();
            let filled = NewMessage { content: 1, recipient: account.0, ..sms(1) };
            let slice = house.stage(request, account, lane, vec![filled; 100]).await.slice.unwrap();
            house.store.commit_batch(batch_commit(request, account, vec![slice], 100)).await.unwrap().unwrap();
        }
        for _ in 0..5 {
            house.accept(account, Lane::Realtime, sms(1)).await;
        }
    }
    for sql in [
        "INSERT IGNORE INTO due SELECT id, id, 1, 0, lane, account, 255 FROM messages",
        "INSERT IGNORE INTO submits SELECT 0, id, id, 1, 0, 1, id, id FROM messages",
        "INSERT IGNORE INTO unknown_attempts SELECT id, 1, 0, account, id, 0, 0, NULL FROM messages",
        "INSERT IGNORE INTO attempts (id, attempt, relay, outcome, code, t_claim, t_submit, t_result)
           SELECT id, 1, 0, 5, 0, 0, 0, 0 FROM messages",
        "INSERT IGNORE INTO receipts SELECT id, 1, 0, 0, 0, '' FROM messages",
        "INSERT IGNORE INTO client_refs SELECT id, id FROM messages",
        "INSERT IGNORE INTO dedupe SELECT id, id, id FROM messages",
        "INSERT IGNORE INTO idempotency SELECT id, '', 202, '', id FROM messages",
    ] {
        house.ground.sql(sql);
    }
}

/// Values in the place of placeholders: a table of values is one JSON text.
fn with_values(sql: &str) -> String {
    sql.replace("JSON_TABLE(?", "JSON_TABLE('[[1,1,1,1,1,1,1,1,1,1,1]]'").replace('?', "1")
}

#[tokio::test]
async fn what_grows_is_reached_by_a_key() {
    let (proxy, house) = house_by_way();
    let account = house.account(1_000).await;
    everything(&house, account).await;
    let statements = proxy.prepared();
    fill(&house).await;
    for table in GROW {
        house.ground.sql(&format!("ANALYZE TABLE {table}"));
    }
    house.pass(Duration::from_secs(1).as_millis() as i64);
    let mut looked = 0;
    let mut wrong = Vec::new();
    for sql in statements {
        let verb = ["SELECT ", "UPDATE ", "DELETE "].iter().any(|verb| sql.starts_with(verb));
        if !verb || sql.contains("_LOCK(") || MAY_SCAN.iter().any(|(beginning, _)| sql.starts_with(beginning)) {
            continue;
        }
        looked += 1;
        let explain = format!("EXPLAIN {}", with_values(&sql));
        let plan = house.store.read(move |reader| {
            let mut rows = reader.live.prepare_cached(&explain)?;
            // Table and way: MariaDB's columns.
            let plan = rows.query_map((), |row| Ok((row.get(2)?, row.get(3)?)))?;
            plan.collect::<Result<Vec<(Option<String>, Option<String>)>, _>>()
        });
        for (table, way) in plan.await.unwrap_or_else(|error| panic!("{error}: {sql}")) {
            let (table, way) = (table.unwrap_or_default(), way.unwrap_or_default());
            if GROW.contains(&table.as_str()) && (way == "ALL" || way == "index") {
                wrong.push(format!("{table} by {way}: {sql}"));
            }
        }
    }
    assert!(looked > 60, "only {looked} statements went by");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
