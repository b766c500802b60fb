//! Accounts and their keys.

use std::time::Duration;

use bongsu_domain::AccountId;
use bongsu_store::accounts::AccountPatch;
use bongsu_store::keys::{KeyKind, KeyScope, Scopes};
use bongsu_store::{Kind, accounts, keys};

use super::{account, wrong};
use crate::house::house;

#[tokio::test]
async fn accounts_are_made_listed_and_changed() {
    let house = house();
    let (store, clock) = (house.store.clone(), house.clock.clone());
    let first = accounts::create(&store, "  첫째 ").await.unwrap();
    assert_eq!((first.name.as_str(), first.suspended, first.rate_per_s), ("첫째", false, accounts::DEFAULT_RATE_PER_S));
    clock.advance(Duration::from_secs(1));
    let second = accounts::create(&store, "둘째").await.unwrap();
    assert_eq!(accounts::list(&store, 10, None).await.unwrap(), [second.clone(), first.clone()]);
    assert_eq!(accounts::list(&store, 1, None).await.unwrap(), std::slice::from_ref(&second));
    assert_eq!(accounts::list(&store, 10, Some(second.id)).await.unwrap(), std::slice::from_ref(&first));

    let patch = AccountPatch { suspended: Some(true), rate_per_s: Some(7), ..Default::default() };
    let changed = accounts::patch(&store, first.id, patch).await.unwrap();
    assert_eq!((changed.name.as_str(), changed.suspended, changed.rate_per_s), ("첫째", true, 7));
    assert_eq!(accounts::get(&store, first.id).await.unwrap(), changed);

    for bad in ["", "  ", "a\nb", &"x".repeat(101)] {
        assert_eq!(accounts::create(&store, bad).await.unwrap_err().kind(), Kind::Invalid("name"));
    }
    let patch = AccountPatch { rate_per_s: Some(0), ..Default::default() };
    assert_eq!(accounts::patch(&store, first.id, patch).await.unwrap_err().kind(), Kind::Invalid("ratePerS"));
    assert_eq!(accounts::get(&store, AccountId(5)).await.unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test]
async fn a_key_works_until_it_is_revoked_and_only_its_hash_is_stored() {
    let house = house();
    let store = house.store.clone();
    let (own, other) = (account(&store).await, account(&store).await);
    let made = keys::create(&store, Some(own), Scopes::NONE.with(KeyScope::Send)).await.unwrap();
    let second = keys::create(&store, Some(own), Scopes::ALL_ACCOUNT).await.unwrap();
    let text = made.key.expose().to_owned();
    assert!(text.starts_with(&made.row.prefix) && made.row.prefix.len() == 8);
    assert!(!format!("{made:?}").contains(&text));

    for _ in 0..2 {
        let row = keys::authenticate(&store, &text).await.unwrap().unwrap();
        assert_eq!((row.id, row.account, row.kind), (made.row.id, Some(own), KeyKind::Live));
        assert!(row.scopes.has(KeyScope::Send) && !row.scopes.has(KeyScope::Read));
    }
    for bad in ["", "bk_x", &text[..60], &text.to_uppercase(), &wrong(&text)] {
        assert_eq!(keys::authenticate(&store, bad).await.unwrap(), None);
    }
    let stored = store.read(|reader| {
        let mut all = reader.live.prepare_cached("SELECT hash, prefix FROM api_keys")?;
        let rows = all.query_map((), |row| Ok((row.get::<Vec<u8>>(0)?, row.get::<String>(1)?)))?;
        rows.collect::<Result<Vec<_>, _>>()
    });
    for (hash, prefix) in stored.await.unwrap() {
        assert!(hash.len() == 32 && prefix.len() == 8 && !text[8..].contains(&prefix));
    }

    accounts::patch(&store, own, AccountPatch { suspended: Some(true), ..Default::default() }).await.unwrap();
    assert!(keys::authenticate(&store, &text).await.unwrap().unwrap().suspended);

    assert_eq!(keys::revoke(&store, Some(other), made.row.id).await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(keys::get(&store, Some(other), made.row.id).await.unwrap_err().kind(), Kind::NotFound);
    let revoked = keys::revoke(&store, Some(own), made.row.id).await.unwrap();
    assert!(revoked.revoked.is_some());
    assert_eq!(keys::revoke(&store, Some(own), made.row.id).await.unwrap(), revoked);
    assert_eq!(keys::authenticate(&store, &text).await.unwrap(), None);
    assert!(keys::authenticate(&store, second.key.expose()).await.unwrap().is_some());
    let listed: Vec<_> = keys::list(&store, Some(own), 10, None).await.unwrap().iter().map(|row| row.id).collect();
    assert_eq!(listed, [second.row.id, made.row.id]);
    assert_eq!(keys::list(&store, Some(other), 10, None).await.unwrap(), []);
}

#[tokio::test]
async fn the_first_operator_key_is_made_once_and_the_last_one_stays() {
    let house = house();
    let store = house.store.clone();
    let first = keys::ensure_operator(&store).await.unwrap().unwrap();
    assert!(keys::ensure_operator(&store).await.unwrap().is_none());
    let row = keys::authenticate(&store, first.expose()).await.unwrap().unwrap();
    assert!(row.account.is_none() && row.scopes.has(KeyScope::Operator) && row.scopes.has(KeyScope::Send));
    assert_eq!(keys::revoke(&store, None, row.id).await.unwrap_err().kind(), Kind::Conflict("lastOperatorKey"));
    let next = keys::create(&store, None, Scopes::OPERATOR).await.unwrap();
    keys::revoke(&store, None, row.id).await.unwrap();
    assert!(keys::authenticate(&store, first.expose()).await.unwrap().is_none());
    assert!(keys::ensure_operator(&store).await.unwrap().is_none(), "only an empty store gets one");
    assert_eq!(keys::list(&store, None, 10, None).await.unwrap()[0], next.row);

    let own = account(&store).await;
    for (account, scopes) in [(Some(own), Scopes::NONE), (Some(own), Scopes::OPERATOR), (None, Scopes::ALL_ACCOUNT)] {
        assert_eq!(keys::create(&store, account, scopes).await.unwrap_err().kind(), Kind::Invalid("scopes"));
    }
    let nobody = keys::create(&store, Some(AccountId(9)), Scopes::ALL_ACCOUNT).await.unwrap_err();
    assert_eq!(nobody.kind(), Kind::NotFound);
}
