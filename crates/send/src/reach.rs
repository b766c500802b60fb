//! To whom a key may send, and what that costs: the kinds of keys.

use bongsu_domain::{Channel, Code, PhoneNumber, Price};
use bongsu_store::team;

use crate::accept::store_refusal;
use crate::service::Service;
use crate::types::{Finding, Reach, Refusal, Sending};

impl Service {
    /// What is wrong with a recipient for the kind of key, if something is. A live key's message would cost money and reach
    /// nobody at a test number; a test key's must reach nobody at all.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn out_of_reach(&self, sending: Sending, to: &PhoneNumber) -> Result<Option<Finding>, Refusal> {
        let why = match (sending.reach, to.is_for_tests()) {
            (Reach::Test, true) | (Reach::Live, false) => return Ok(None),
            (Reach::Test, false) => "a test key sends to the test numbers 010-0000-0001 to 010-0000-0008 only",
            (Reach::Live | Reach::Team, true) => "is a test number: only test keys send to it",
            (Reach::Team, false) => {
                let hash = team::number_hash(self.store().vault(), sending.account, to);
                if self.settings.in_team(self.store(), sending.account, hash).await.map_err(store_refusal)? {
                    return Ok(None);
                }
                "a team key sends to the team numbers of its account only"
            }
        };
        Ok(Some(Finding::new("to", Code::RecipientNotForKey, why)))
    }

    /// The price of a message now: nothing for a test.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn price_for(&self, sending: Sending, channel: Channel) -> Result<Price, Refusal> {
        let price = self.settings.price(&self.shared.store, channel).await.map_err(store_refusal)?;
        Ok(if sending.reach == Reach::Test { Price { amount: 0, ..price } } else { price })
    }
}
