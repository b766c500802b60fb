//! Administration in two processes at once: each rule that one process keeps, two keep as well.

use bongsu_domain::{PhoneNumber, Unit};
use bongsu_store::{Kind, keys, relays, senders, wallet};

use super::{Write, two};
use crate::admin::relays::relay;
use crate::house::at_once;

#[tokio::test]
async fn the_first_credits_of_an_account_all_count_and_a_cause_counts_once() {
    let (one, other) = two();
    let mut accounts = Vec::new();
    for _ in 0..10 {
        accounts.push(one.account(0).await);
    }
    let writes = accounts.iter().flat_map(|account| {
        [(&one, "a"), (&other, "b"), (&one, "same"), (&other, "same")].map(|(house, cause)| -> Write<'_, i64> {
            let credit = wallet::top_up(&house.store, *account, Unit::PointSms, 10, cause);
            Box::pin(async move { credit.await.unwrap().amount })
        })
    });
    at_once(&[&one.store, &other.store], writes).await;
    for account in &accounts {
        assert_eq!(one.balance(*account).await, 30);
    }
    one.assert_sound(0).await;
}

#[tokio::test]
async fn relays_made_at_once_have_names_and_numbers_of_their_own() {
    let (one, other) = two();
    let names = (0..12).flat_map(|n| [(&one, format!("kt-{n}")), (&other, format!("kt-{}", n / 2 * 2))]);
    let made: Vec<_> = names.map(|(house, name)| (house, relay(&name))).collect();
    let writes = made.into_iter().map(|(house, new)| -> Write<'_, Result<u8, Kind>> {
        Box::pin(async { relays::create(&house.store, new).await.map(|row| row.no).map_err(|e| e.kind()) })
    });
    let said = at_once(&[&one.store, &other.store], writes).await;
    assert!(said.iter().all(|said| !said.is_err_and(|kind| kind != Kind::Conflict("name"))), "{said:?}");
    let all = relays::list(&one.store).await.unwrap();
    assert_eq!(all.len(), 12);
    let mut numbers: Vec<u8> = said.into_iter().flatten().collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..12).collect::<Vec<u8>>());
}

#[tokio::test]
async fn two_first_starts_at_once_make_one_operator_key() {
    let (one, other) = two();
    let writes = [&one, &other, &one, &other].map(|house| -> Write<'_, bool> {
        Box::pin(async { keys::ensure_operator(&house.store).await.unwrap().is_some() })
    });
    let made = at_once(&[&one.store, &other.store], writes).await;
    assert_eq!(made.iter().filter(|made| **made).count(), 1);
    let first = keys::list(&one.store, None, 10, None).await.unwrap().remove(0);
    let second = keys::create(&one.store, None, keys::Scopes::OPERATOR).await.unwrap().row;
    let writes = [(&one, first.id), (&other, second.id)].map(|(house, id)| -> Write<'_, bool> {
        Box::pin(async move { keys::revoke(&house.store, None, id).await.is_ok() })
    });
    let revoked = at_once(&[&one.store, &other.store], writes).await;
    assert_eq!(revoked.iter().filter(|revoked| **revoked).count(), 1, "the last one stays");
}

#[tokio::test]
async fn a_number_is_registered_once_and_its_wrong_tries_are_counted_over_both() {
    let (one, other) = two();
    let account = one.account(0).await;
    let number = PhoneNumber::from_national("01023456789").unwrap();
    let writes = [&one, &other].map(|house| -> Write<'_, Result<_, Kind>> {
        let register = senders::register(&house.store, account, number, false);
        Box::pin(async { register.await.map(|row| row.id).map_err(|e| e.kind()) })
    });
    let said = at_once(&[&one.store, &other.store], writes).await;
    let id = *said.iter().flatten().next().unwrap();
    assert!(said.contains(&Err(Kind::Conflict("number"))), "{said:?}");

    let writes = [&one, &other].map(|house| -> Write<'_, bool> {
        let issue = senders::issue_code(&house.store, account, id);
        Box::pin(async { matches!(issue.await.unwrap(), senders::IssuedCode::Sent { .. }) })
    });
    let sent = at_once(&[&one.store, &other.store], writes).await;
    assert_eq!(sent.iter().filter(|sent| **sent).count(), 1, "one code a pause");
    let writes = (0..2 * senders::CODE_TRIES).map(|n| -> Write<'_, senders::Verified> {
        let house = if n % 2 == 0 { &one } else { &other };
        Box::pin(async { senders::verify(&house.store, account, id, "no code").await.unwrap() })
    });
    let said = at_once(&[&one.store, &other.store], writes).await;
    let wrong = said.iter().filter(|said| matches!(said, senders::Verified::Wrong { .. })).count();
    assert_eq!(wrong, usize::from(senders::CODE_TRIES));
}
