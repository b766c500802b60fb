//! A directory that an earlier version wrote.

use bongsu_domain::id::id_day;
use bongsu_domain::{Channel, Day, Lane, Status};
use bongsu_store::distributions;
use rusqlite::Connection;

use crate::house::{House, delivered, failed, house, sms, submitted};

/// The first two steps, as they were shipped.
const STEPS: [&str; 2] = [
    include_str!("../../migrations/sqlite/live/0001_send.sql"),
    include_str!("../../migrations/sqlite/live/0002_admin.sql"),
];

/// The steps of a day before ids became the keys of its tables.
const DAY_STEPS: [&str; 3] = [
    include_str!("../../migrations/sqlite/day/0001_messages.sql"),
    include_str!("../../migrations/sqlite/day/0002_facts.sql"),
    include_str!("../../migrations/sqlite/day/0003_reading.sql"),
];

/// Puts the rows of a file of a closed directory into one of earlier steps.
fn as_of(house: &House, file: &str, steps: &[&str]) {
    let (path, new) = (house.dir.path().join(file), house.dir.path().join("new.db"));
    // Reading threads may still have the file open, and then its log stays beside it.
    Connection::open(&path).unwrap().execute("VACUUM INTO ?", [new.to_str().unwrap()]).unwrap();
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(house.dir.path().join(format!("{file}{end}")));
    }
    let old = Connection::open(&path).unwrap();
    old.execute_batch(
        "CREATE TABLE schema_steps (no INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum BIGINT NOT NULL)",
    )
    .unwrap();
    for step in steps {
        old.execute_batch(step).unwrap();
    }
    old.execute("ATTACH ? AS new", [new.to_str().unwrap()]).unwrap();
    let tables = "SELECT m.name, group_concat('\"' || c.name || '\"') FROM main.sqlite_schema AS m, pragma_table_info(m.name) AS c
                    WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' GROUP BY m.name";
    let tables: Vec<(String, String)> = old
        .prepare(tables)
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for (table, columns) in tables {
        let of_then = match table.as_str() {
            "schema_steps" => format!("WHERE no < {}", steps.len()),
            _ => String::new(),
        };
        old.execute(&format!("INSERT INTO main.{table} ({columns}) SELECT {columns} FROM new.{table} {of_then}"), [])
            .unwrap();
    }
    old.execute_batch("DETACH new").unwrap();
    drop(old);
    std::fs::remove_file(new).unwrap();
}

#[tokio::test]
async fn a_directory_of_the_second_step_opens_and_goes_on() {
    let house = house();
    let account = house.account(100).await;
    let run = house.accept_many(account, Lane::Bulk, 5).await;
    house.claim(&run, &[0; 2]).await;
    house.apply(vec![submitted(&house, run.first, 1, 0, "a"), delivered(&house, run.first, 1)]).await;
    let single = house.accept(account, Lane::Auth, sms(2)).await;
    let channel = Channel::Sms;
    house.store.write(move |tx| distributions::save_state(tx.live, account, channel, 0, &[7, 8])).await.unwrap();
    house.store.close();
    as_of(&house, "live.db", &STEPS);
    let mut house = house.reopen();
    for _ in 0..2 {
        assert_eq!(house.balance(account).await, 93);
        assert_eq!(house.status(run.first).await, Some(Status::Delivered));
        assert_eq!(house.status(run.first + 1).await, Some(Status::Sending));
        assert_eq!(house.status(single).await, Some(Status::Queued));
        let state = house.store.read(move |r| distributions::load_state(&r.live, account, channel, 0)).await.unwrap();
        assert_eq!(state, Some(vec![7, 8]));
        assert_eq!(bongsu_store::accounts::get(&house.store, account).await.unwrap().dedupe_s, 0);
        house.assert_sound(6).await;
        house = house.reopen();
    }
    let equal = bongsu_store::accept::NewMessage { dedupe: Some((5, 60_000)), ..sms(1) };
    house.accept(account, Lane::Bulk, equal).await;
    assert_eq!(house.apply(vec![failed(&house, run.first + 1, 1, account, 1)]).await, [true]);
    house.assert_sound(7).await;
}

/// What the file of a day is keyed by.
fn key_of_messages(house: &House, day: Day) -> String {
    let file = Connection::open(house.dir.path().join(format!("day-{day}.db"))).unwrap();
    let sql = "SELECT type FROM pragma_table_info('messages') WHERE name = 'id'";
    file.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_day_with_messages_keeps_how_they_lie_and_the_next_begins_anew() {
    let house = house();
    let account = house.account(100).await;
    let run = house.accept_many(account, Lane::Bulk, 4).await;
    house.claim(&run, &[0; 3]).await;
    house.apply(vec![submitted(&house, run.first, 1, 0, "a"), delivered(&house, run.first, 1)]).await;
    let day = id_day(run.first);
    house.store.close();
    as_of(&house, &format!("day-{day}.db"), &DAY_STEPS);
    let house = house.reopen();
    assert_eq!(house.status(run.first).await, Some(Status::Delivered));
    house.accept(account, Lane::Auth, sms(2)).await;
    let answers = vec![submitted(&house, run.first + 1, 1, 0, "b"), failed(&house, run.first + 1, 1, account, 1)];
    assert_eq!(house.apply(answers).await, [true]);
    house.store.cancel(Some(account), run.first + 3).await.unwrap();
    let next = house.next_day().await;
    house.accept(account, Lane::Auth, sms(2)).await;
    let types = [day, next].map(|day| key_of_messages(&house, day));
    assert_eq!(types, ["BIGINT", "INTEGER"]);
    let house = house.reopen();
    assert_eq!(key_of_messages(&house, day), "BIGINT");
    assert_eq!(house.balance(account).await, 100 - 2 - 2 - 2);
    house.assert_sound(6).await;
}
