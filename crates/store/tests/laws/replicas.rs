//! History on a replica: never less than the account wrote, and the primary where the replica does not answer.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bongsu_domain::{AccountId, Lane, ManualClock, Secret, Status, Timestamp};
use bongsu_store::my::{Mysql, run_on_server};
use bongsu_store::query::Filter;
use bongsu_store::{Options, Store};

use crate::ground::Ground;
use crate::house::{House, sms};

/// Lets one law at a time stop the replica.
static REPLICA: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The replica of the server, or none: loudly, and an error where all engines have to be there.
fn replica() -> Option<String> {
    // Without a server there is nothing to say about its replica.
    crate::ground::server();
    let url = std::env::var("BONGSU_MYSQL_REPLICA_URL").ok();
    if url.is_none() {
        let loud = b"\n*** NOT TESTED: BONGSU_MYSQL_REPLICA_URL is not set, so no law of replicas was tried ***\n\n";
        let _ = std::io::stderr().write_all(loud);
        assert!(std::env::var_os("CI").is_none(), "BONGSU_MYSQL_REPLICA_URL is not set");
    }
    url
}

fn server(url: &str) -> &str {
    url.rsplit_once('/').unwrap().0
}

/// The replica stands still until this goes.
struct Still<'a>(&'a str);

impl<'a> Still<'a> {
    fn stand(url: &'a str) -> Self {
        run_on_server(&format!("{}/information_schema", server(url)), "STOP SLAVE SQL_THREAD").unwrap();
        Self(url)
    }
}

impl Drop for Still<'_> {
    fn drop(&mut self) {
        let started = run_on_server(&format!("{}/information_schema", server(self.0)), "START SLAVE SQL_THREAD");
        assert!(started.is_ok() || std::thread::panicking(), "{started:?}");
    }
}

/// A house that reads history at an address, with the database's own time.
async fn house_with(replica: &str) -> House {
    let sql = "SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)";
    let other = crate::house::house();
    let now: i64 = other.store.read(move |reader| reader.live.query_row(sql, (), |row| row.get(0))).await.unwrap();
    let ground = Ground::fresh();
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(now)));
    let name = ground.url().rsplit_once('/').unwrap().1.to_owned();
    let database = Mysql { replica: Some(Secret::new(format!("{}/{name}", server(replica)))), ..ground.mysql() };
    let options = Options { database: Some(database), ..Options::new(dir.path(), clock.clone()) };
    let store = Store::open(options).unwrap();
    House { store, clock, dir, ground }
}

fn replica_reads(house: &House) -> u64 {
    house.store.metrics().replica_reads.load(Ordering::Relaxed)
}

/// As time does it: the leases are renewed now, by the clock of the house.
fn renew(house: &House) {
    let until = house.now() + house.store.leases().unwrap().lease().as_millis() as i64;
    house.ground.sql(&format!("UPDATE leases SET until = {until}"));
}

/// What the account is shown of a message.
async fn shown(house: &House, account: AccountId, id: i64) -> Option<Status> {
    let listed = house.store.page(Filter { account: Some(account), to: i64::MAX, limit: 10, ..Filter::default() });
    let listed = listed.await.unwrap().rows.iter().any(|found| found.row.id == id);
    let found = house.store.message(Some(account), id).await.unwrap();
    assert_eq!(listed, found.is_some());
    found.map(|found| found.row.status)
}

/// Reads until the replica answers; every answer shows the message as it is.
async fn until_the_replica_answers(house: &House, account: AccountId, id: i64, status: Status) {
    let before = replica_reads(house);
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    let began = Instant::now();
    while replica_reads(house) == before {
        assert_eq!(shown(house, account, id).await, Some(status));
        assert!(began.elapsed() < Duration::from_secs(60), "the replica never answered");
        looks.tick().await;
    }
}

#[tokio::test]
async fn an_account_sees_what_it_wrote_although_the_replica_stands_still() {
    let Some(replica) = replica() else { return };
    let _alone = REPLICA.lock().await;
    let house = house_with(&replica).await;
    let account = house.account(100).await;
    let old = house.accept(account, Lane::Bulk, sms(1)).await;
    assert_eq!(shown(&house, account, old).await, Some(Status::Queued));
    assert_eq!(replica_reads(&house), 0, "for a while after a write the primary answers");
    house.pass(30_000);
    renew(&house);
    until_the_replica_answers(&house, account, old, Status::Queued).await;

    let still = Still::stand(&replica);
    let new = house.accept(account, Lane::Bulk, sms(1)).await;
    let request = house.store.new_id().unwrap();
    let staged = house.stage(request, account, Lane::Bulk, vec![sms(1)]).await.slice.unwrap();
    let before = replica_reads(&house);
    assert_eq!(shown(&house, account, new).await, Some(Status::Queued));
    house.store.cancel(Some(account), old).await.unwrap();
    assert_eq!(shown(&house, account, old).await, Some(Status::Canceled));
    // A batch has ids that are older than its commit.
    house.pass(60_000);
    let commit = crate::house::batch_commit(request, account, vec![staged], 1);
    house.store.commit_batch(commit).await.unwrap().unwrap();
    for _ in 0..10 {
        house.pass(2_000);
        renew(&house);
        assert_eq!(shown(&house, account, new).await, Some(Status::Queued));
        assert_eq!(shown(&house, account, old).await, Some(Status::Canceled));
        assert_eq!(shown(&house, account, staged.first).await, Some(Status::Queued));
    }
    assert_eq!(replica_reads(&house), before, "what does not move answers nothing");
    drop(still);
    renew(&house);
    until_the_replica_answers(&house, account, new, Status::Queued).await;
    until_the_replica_answers(&house, account, old, Status::Canceled).await;
    until_the_replica_answers(&house, account, staged.first, Status::Queued).await;
    house.assert_sound(3).await;
}

#[tokio::test]
async fn a_replica_that_is_gone_or_says_nothing_is_not_waited_for() {
    let url = crate::ground::server();
    let account = url.rsplit_once('@').unwrap().0;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [silent.local_addr().unwrap(), gone] {
        let house = house_with(&format!("{account}@{address}/bongsu")).await;
        let account = house.account(10).await;
        let id = house.accept(account, Lane::Bulk, sms(1)).await;
        house.pass(30_000);
        renew(&house);
        let began = Instant::now();
        for _ in 0..20 {
            assert_eq!(shown(&house, account, id).await, Some(Status::Queued));
        }
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        assert_eq!(replica_reads(&house), 0);
    }
}
