//! Steps of the schema while processes work: nobody gets an error, and what the step makes is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bongsu_domain::{AccountId, Lane};
use bongsu_store::{Kind, my};

use crate::house::{House, delivered, house, key, sms, submitted};

/// What a step to come may look like.
const STEP: &str = "
-- A column, an index and a table.
ALTER TABLE messages ADD COLUMN colour SMALLINT NOT NULL DEFAULT 7;
ALTER TABLE messages ADD KEY messages_colour (colour, id);
CREATE TABLE colours (no SMALLINT NOT NULL PRIMARY KEY, name VARCHAR(20) NOT NULL);
INSERT INTO colours (no, name) VALUES (7, 'blue');
";

async fn accepts(house: Arc<House>, account: AccountId, number: i64, stop: Arc<AtomicBool>) -> usize {
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        done += 1;
        let key = key(number * 1_000_000 + done, 1);
        house.try_accept(account, Lane::Realtime, sms(1), Some(key)).await.unwrap().unwrap();
    }
    done as usize
}

/// Batches that are claimed, sent and delivered, and listed.
async fn sends(house: Arc<House>, account: AccountId, stop: Arc<AtomicBool>) -> usize {
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let run = house.accept_many(account, Lane::Bulk, 50).await;
        house.claim(&run, &[0; 50]).await;
        house.apply((run.first..=run.last()).map(|id| submitted(&house, id, 1, 0, "a")).collect()).await;
        let ends = house.apply((run.first..=run.last()).map(|id| delivered(&house, id, 1)).collect()).await;
        assert_eq!(ends, [true; 50]);
        assert!(house.see(run.first).await.unwrap().row.status.is_final());
        done += 50;
    }
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_is_applied_while_messages_are_accepted_claimed_and_delivered() {
    let house = house();
    let account = house.account(10_000_000).await;
    house.ground.changes_days();
    for _ in 0..10 {
        house.accept_many(account, Lane::Ad, 500).await;
    }
    let house = Arc::new(house);
    let stop = Arc::new(AtomicBool::new(false));
    let accepting: Vec<_> =
        (0..16).map(|number| tokio::spawn(accepts(house.clone(), account, number, stop.clone()))).collect();
    let sending = tokio::spawn(sends(house.clone(), account, stop.clone()));
    let commits = || house.store.metrics().commits.load(Ordering::Relaxed);
    let so_far = commits();
    crate::cuts::until(|| commits() > so_far + 30).await;
    let url = house.ground.url();
    let step = move || my::migrate_further(&url, "0099_colours", STEP);
    tokio::task::spawn_blocking(step).await.unwrap().unwrap();
    let so_far = commits();
    crate::cuts::until(|| commits() > so_far + 30).await;
    stop.store(true, Ordering::Relaxed);
    let mut accepted = 5_000 + sending.await.unwrap();
    for task in accepting {
        accepted += task.await.unwrap();
    }
    house.assert_sound(accepted).await;
    let sql = "SELECT COUNT(*) FROM messages JOIN colours ON colours.no = messages.colour WHERE colours.name = 'blue'";
    let blue: i64 = house.store.read(move |reader| reader.live.query_row(sql, (), |row| row.get(0))).await.unwrap();
    assert_eq!(blue as usize, accepted);

    // This program does not know the step, so it does not open the database any more.
    let house = Arc::into_inner(house).unwrap();
    house.store.close();
    let refused = house.ground.open(house.dir.path(), &house.clock, None).err().unwrap();
    assert_eq!(refused.kind(), Kind::Corrupt);
    assert!(refused.to_string().contains("newer"), "{refused}");
}

#[tokio::test]
async fn a_step_that_a_crash_left_half_applied_is_completed() {
    let house = house();
    house.ground.changes_days();
    house.ground.sql("ALTER TABLE messages ADD COLUMN colour SMALLINT NOT NULL DEFAULT 7");
    house.ground.sql("CREATE TABLE colours (no SMALLINT NOT NULL PRIMARY KEY, name VARCHAR(20) NOT NULL)");
    my::migrate_further(&house.ground.url(), "0099_colours", STEP).unwrap();
    my::migrate_further(&house.ground.url(), "0099_colours", STEP).unwrap();
    let edited = my::migrate_further(&house.ground.url(), "0099_colours", "DROP TABLE colours;").unwrap_err();
    assert_eq!(edited.kind(), Kind::Corrupt);
    let sql = "SELECT COUNT(*) FROM colours";
    let colours: i64 = house.store.read(move |reader| reader.live.query_row(sql, (), |row| row.get(0))).await.unwrap();
    assert_eq!(colours, 1, "applied once");
}
