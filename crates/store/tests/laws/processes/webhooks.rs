//! Endpoints of customers over several processes: each is one's, and another's when that one is gone.

use bongsu_store::webhooks::{self, Standing};

use super::{beside, policy, two};
use crate::webhooks::{events, make};

#[tokio::test]
async fn an_endpoint_belongs_to_one_of_two_processes() {
    let (one, other) = two();
    let account = one.account(100).await;
    for _ in 0..10 {
        make(&one, account).await;
    }
    let owner = |house: &crate::house::House| house.store.leases().unwrap().owner();
    let (first, second) = (owner(&one), owner(&other));
    let looks = tokio::join!(webhooks::look(&one.store, first), webhooks::look(&other.store, second));
    let (ours, theirs) = (looks.0.unwrap(), looks.1.unwrap());
    assert_eq!(ours.len() + theirs.len(), 10);
    assert!(ours.iter().all(|mine| theirs.iter().all(|their| their.id != mine.id)));
    assert_eq!(
        webhooks::look(&one.store, first).await.unwrap().len(),
        ours.len(),
        "nobody takes what a living one has"
    );
}

#[tokio::test]
async fn an_endpoint_of_a_process_that_lost_its_node_is_anothers() {
    let (one, other) = two();
    let account = one.account(100).await;
    let id = make(&one, account).await.id;
    let owner = |house: &crate::house::House| house.store.leases().unwrap().owner();
    let (first, second) = (owner(&one), owner(&other));
    let mine = webhooks::look(&one.store, first).await.unwrap();
    let events = events(&one, account, 1, 0).await;
    one.ground.sql(&format!("UPDATE leases SET until = 0 WHERE owner = {first}"));
    assert_eq!(webhooks::look(&other.store, second).await.unwrap(), [], "nobody has ended its lease yet");
    other.store.settle_claims(policy(), 10).await.unwrap();
    assert_eq!(webhooks::look(&other.store, second).await.unwrap().len(), 1);
    let late = webhooks::fill(&one.store, first, (id, mine[0].version), events.clone(), events[0].position).await;
    assert!(!matches!(late, Ok(Standing::Same | Standing::Changed)), "{late:?}");
    let third = beside(&other);
    assert_eq!(webhooks::load(&third.store, second, id).await.unwrap().unwrap().events, []);
    webhooks::release(&other.store, second).await.unwrap();
    assert_eq!(webhooks::look(&third.store, owner(&third)).await.unwrap().len(), 1, "one that stops gives it up");
}
