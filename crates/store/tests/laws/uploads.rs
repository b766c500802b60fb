//! Rows of groups as they come: repeated, at once, broken off, with keys, and what is wrong with them.

use bongsu_domain::Code;
use bongsu_store::accept::NewMessage;
use bongsu_store::groups::{Begun, Chunk, ChunkDone, ChunkRefused, Form, RowError, SendRefused};

use crate::groups::{add, all_steps, good, group, row, runs, send};
use crate::house::{house, sms};
#[tokio::test]
async fn an_upload_may_be_repeated_from_any_row_on() {
    let house = house();
    let account = house.account(10).await;
    let id = group(&house, account, false).await;
    add(&house, good(id, account, 1, vec![sms(1); 4])).await.unwrap();
    let again = add(&house, good(id, account, 3, vec![sms(1); 4])).await.unwrap();
    assert_eq!(again, ChunkDone { received: 6, known: 2, accepted: 2, rejected: 0 });
    let known = add(&house, good(id, account, 1, vec![sms(1); 2])).await.unwrap();
    assert_eq!(known, ChunkDone { received: 6, known: 2, accepted: 0, rejected: 0 });
    assert_eq!(add(&house, good(id, account, 8, vec![sms(1)])).await, Err(ChunkRefused::Gap(6)));
    let over = good(id, account, 1_000_001, vec![sms(1)]);
    assert_eq!(add(&house, over).await, Err(ChunkRefused::Gap(6)));
    send(&house, id, account, 1).await.unwrap();
    all_steps(&house).await;
    house.assert_sound(6).await;
}

#[tokio::test]
async fn rows_that_come_at_once_are_all_there_or_refused() {
    let house = house();
    let account = house.account(100).await;
    let id = group(&house, account, false).await;
    let mut uploads = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let store = house.store.clone();
        uploads.spawn(async move {
            let mut from = 1;
            loop {
                let chunk = Chunk { appends: true, ..good(id, account, from, vec![sms(1); 3]) };
                match store.stage_rows(chunk).await.unwrap() {
                    Ok(done) => return done,
                    Err(ChunkRefused::Overtaken(there)) => from = there + 1,
                    Err(other) => panic!("{other:?}"),
                }
            }
        });
    }
    let uploads = uploads.join_all().await;
    assert!(uploads.iter().all(|done| (done.known, done.accepted) == (0, 3)), "{uploads:?}");
    assert_eq!(row(&house, id).await.received, 30);
    send(&house, id, account, 1).await.unwrap();
    all_steps(&house).await;
    house.assert_sound(30).await;
}

#[tokio::test]
async fn an_upload_with_a_key_goes_on_where_it_broke_and_keeps_others_out() {
    let house = house();
    let account = house.account(10).await;
    let id = group(&house, account, false).await;
    let begin =
        async |upload| house.store.begin_upload(account, id, upload).await.map(|begun| begun.map(|begun| begun.first));
    let keyed = |from, count: usize, upload| Chunk { upload, ..good(id, account, from, vec![sms(1); count]) };
    add(&house, good(id, account, 1, vec![sms(1)])).await.unwrap();
    assert_eq!(begin(5).await.unwrap(), Ok(2));
    add(&house, keyed(2, 2, 5)).await.unwrap();
    assert_eq!(begin(0).await.unwrap(), Err(ChunkRefused::OtherUpload));
    assert_eq!(begin(6).await.unwrap(), Err(ChunkRefused::OtherUpload));
    assert_eq!(add(&house, good(id, account, 4, vec![sms(1)])).await, Err(ChunkRefused::OtherUpload));
    assert_eq!(send(&house, id, account, 1).await, Err(SendRefused::Uploading));
    assert_eq!(begin(5).await.unwrap(), Ok(2));
    let again = add(&house, keyed(2, 3, 5)).await.unwrap();
    assert_eq!((again.known, again.accepted), (2, 1));
    house.store.end_upload(account, id, 5, 3, 0).await.unwrap().unwrap();
    assert_eq!(begin(6).await.unwrap(), Ok(5));
    add(&house, keyed(5, 1, 6)).await.unwrap();
    house.store.end_upload(account, id, 6, 1, 0).await.unwrap().unwrap();
    // The first one again: its rows are known, and it may not have more than it had.
    assert_eq!(begin(5).await.unwrap(), Ok(2));
    assert_eq!(add(&house, keyed(2, 3, 5)).await.unwrap().known, 3);
    assert_eq!(add(&house, keyed(5, 1, 5)).await, Err(ChunkRefused::Longer(3)));
    house.store.end_upload(account, id, 5, 3, 0).await.unwrap().unwrap();
    assert_eq!(house.store.end_upload(account, id, 5, 4, 0).await.unwrap(), Err(ChunkRefused::Longer(3)));
    send(&house, id, account, 1).await.unwrap();
    all_steps(&house).await;
    house.assert_sound(5).await;
}

#[tokio::test]
async fn an_upload_with_a_key_is_known_by_what_its_rows_say() {
    let house = house();
    let account = house.account(10).await;
    let id = group(&house, account, false).await;
    add(&house, good(id, account, 1, vec![sms(1)])).await.unwrap();
    let begun = house.store.begin_upload(account, id, 5).await.unwrap().unwrap();
    assert_eq!(begun, Begun { first: 2, hashed: 0, hash: 0 });
    let keyed = |from, count: usize, hash| Chunk { upload: 5, hash, ..good(id, account, from, vec![sms(1); count]) };
    add(&house, keyed(2, 2, 77)).await.unwrap();
    let house = house.crash();
    let begun = house.store.begin_upload(account, id, 5).await.unwrap().unwrap();
    assert_eq!(begun, Begun { first: 2, hashed: 2, hash: 77 });
    let end = async |rows, hash| house.store.end_upload(account, id, 5, rows, hash).await.unwrap();
    let keyed = |from, count: usize, hash| Chunk { upload: 5, hash, ..good(id, account, from, vec![sms(1); count]) };
    assert_eq!(end(1, 76).await, Err(ChunkRefused::OtherBody), "rows are there that it does not have");
    // It begins elsewhere than it broke, and goes on behind that.
    add(&house, keyed(3, 2, 78)).await.unwrap();
    assert_eq!(end(3, 79).await, Err(ChunkRefused::OtherBody));
    assert_eq!(end(3, 78).await, Ok(()));
    assert_eq!(end(3, 78).await, Ok(()));
    assert_eq!(end(3, 79).await, Err(ChunkRefused::OtherBody));
    assert_eq!(end(4, 80).await, Err(ChunkRefused::Longer(3)));
}

#[tokio::test]
async fn what_is_wrong_with_rows_is_kept_by_their_numbers() {
    let house = house();
    let account = house.account(10).await;
    let id = group(&house, account, false).await;
    let mut chunk = good(id, account, 1, vec![sms(1), NewMessage { client_ref: Some(9), ..sms(1) }]);
    chunk.lanes[0].rows = vec![1, 4];
    chunk.count = 4;
    let finding = |code, field: &str| (code, field.to_owned(), "so".to_owned());
    let wrong = |row, findings| RowError { row, findings, sealed: b"to".to_vec(), extra: Some("{}".into()) };
    chunk.errors = vec![
        wrong(2, vec![finding(Code::BadRecipientFormat, "to"), finding(Code::EmptyBody, "text")]),
        wrong(3, vec![finding(Code::EmptyBody, "text")]),
    ];
    assert_eq!(add(&house, chunk).await.unwrap(), ChunkDone { received: 4, known: 0, accepted: 2, rejected: 2 });
    let twin = NewMessage { client_ref: Some(9), ..sms(1) };
    let done = add(&house, good(id, account, 5, vec![sms(1), twin])).await.unwrap();
    assert_eq!((done.accepted, done.rejected), (1, 1));
    let seen = row(&house, id).await;
    assert_eq!((seen.received, seen.accepted, seen.rejected, seen.amount), (6, 3, 3, 3));
    let errors = house.store.group_errors(id, (0, 0), 100).await.unwrap();
    let told: Vec<_> = errors.iter().map(|e| (e.row, e.seq, e.code, e.identity.form)).collect();
    assert_eq!(
        told,
        [
            (2, 0, Code::BadRecipientFormat, Form::Written),
            (2, 1, Code::EmptyBody, Form::Nothing),
            (3, 0, Code::EmptyBody, Form::Written),
            (6, 0, Code::DuplicateClientRef, Form::Message),
        ]
    );
    assert_eq!(house.store.group_errors(id, (2, 0), 1).await.unwrap()[0].seq, 1);
    send(&house, id, account, 1).await.unwrap();
    all_steps(&house).await;
    let run = runs(&house, account).await.remove(0);
    house.claim(&run, &[1, 1]).await;
    house.apply(vec![crate::house::failed(&house, run.first, 1, account, 1)]).await;
    let group = row(&house, id).await;
    let (failed, last) = house.store.group_failures(group.clone(), 0).await.unwrap();
    assert_eq!(failed.iter().map(|row| row.id).collect::<Vec<_>>(), [run.first]);
    assert_eq!(house.store.group_failures(group, last.unwrap()).await.unwrap().1, None);
    house.assert_sound(3).await;
}
