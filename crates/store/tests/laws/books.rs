//! The books can be counted while business goes on.

use bongsu_domain::{AccountId, Lane};
use bongsu_store::audit::Totals;

use crate::house::{House, failed, house};

/// Rounds of traffic; the books are counted all the while.
const ROUNDS: usize = 40;

/// Accepted, claimed, undelivered, and what they cost given back.
async fn a_round(house: &House, account: AccountId) {
    let run = house.accept_many(account, Lane::Bulk, 3).await;
    house.claim(&run, &[0; 3]).await;
    house.apply((run.first..=run.last()).map(|id| failed(house, id, 1, account, 1)).collect()).await;
}

#[tokio::test]
async fn books_counted_beside_traffic_agree() {
    let house = house();
    let account = house.account(1_000).await;
    let mut counted = 0;
    let mut traffic = Box::pin(async {
        for _ in 0..ROUNDS {
            a_round(&house, account).await;
        }
    });
    let mut count = Box::pin(house.totals());
    loop {
        tokio::select! {
            () = &mut traffic => break,
            totals = &mut count => {
                let Totals { accepted, unknown_attempts, orphan_receipts, .. } = totals;
                assert_eq!(totals, Totals { accepted, unknown_attempts, orphan_receipts, ..Totals::default() });
                counted += 1;
                count = Box::pin(house.totals());
            }
        }
    }
    assert!(counted > 0, "the books were counted {counted} times beside the traffic");
    house.assert_sound(ROUNDS * 3).await;
}
