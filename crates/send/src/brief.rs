//! What does not change of a message any more once it is accepted, for those who tell of many.

use std::collections::HashMap;

use bongsu_domain::{AccountId, Channel, Lane, PhoneNumber, Unit};
use bongsu_store::Error;

use crate::prepare::Extra;
use crate::sealed;
use crate::service::Service;

/// The lasting part of a message.
#[derive(Debug, Clone)]
pub struct Brief {
    /// The caller's own id.
    pub client_ref: Option<String>,
    /// Lane.
    pub lane: Lane,
    /// Channel after the automatic choice.
    pub channel: Channel,
    /// Recipient; absent when the sealed part cannot be opened.
    pub to: Option<PhoneNumber>,
    /// Sender number; absent as the recipient is.
    pub from: Option<String>,
    /// Unit and amount frozen at accept.
    pub price: (Unit, i64),
    /// Department code.
    pub bill_code: Option<String>,
    /// Labels.
    pub labels: Vec<(String, String)>,
}

impl Service {
    /// Messages of an account by their ids; those that are not there, or are a neighbour's, are left out.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn briefs(&self, account: AccountId, ids: Vec<i64>) -> Result<HashMap<i64, Brief>, Error> {
        let rows = self.shared.store.messages_by_id(account, ids).await?;
        let vault = self.shared.store.vault();
        let brief = |row: bongsu_store::rows::MessageRow| {
            let payload = vault.open(&row.sealed).ok().and_then(|bytes| sealed::decode(&bytes));
            let extra: Extra =
                row.extra.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            let brief = Brief {
                client_ref: extra.r,
                lane: row.lane,
                channel: row.channel,
                to: payload.as_ref().map(|payload| payload.to),
                from: payload.map(|payload| payload.from.national().to_owned()),
                price: (row.unit, row.price),
                bill_code: extra.b,
                labels: extra.l,
            };
            (row.id, brief)
        };
        Ok(rows.into_iter().map(brief).collect())
    }

    /// Adds a part to the page of metrics; set once.
    pub fn on_metrics(&self, write: impl Fn(&mut String) + Send + Sync + 'static) {
        // A second part would be a second reporter; the first one stays.
        let _ = self.shared.more_metrics.set(Box::new(write));
    }
}
