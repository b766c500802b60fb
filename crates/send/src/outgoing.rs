//! A stored message made ready to leave: opened, filled in, checked.

use std::sync::Arc;

use bongsu_domain::{PhoneNumber, Status, Timestamp};
use bongsu_relay::Outbound;
use bongsu_store::query::Loaded;
use bongsu_store::rows::{MessageRow, Outcome};
use bongsu_store::{HashPurpose, Vault};

use bongsu_domain::retry::Outcome as TryOutcome;
use bongsu_domain::{Code, Tried};

use crate::flights::Flight;
use crate::prepare;
use crate::sealed::{self, Content};

/// A message that can leave, or the reason why not.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The row.
    pub row: MessageRow,
    /// What it says; an error names why it cannot be processed.
    pub said: Result<Said, &'static str>,
    /// Tries before.
    pub history: Vec<Tried>,
}

/// What a message says and to whom.
#[derive(Debug, Clone)]
pub struct Said {
    /// Recipient.
    pub to: PhoneNumber,
    /// Sender number.
    pub from: PhoneNumber,
    /// The text.
    pub text: Arc<str>,
    /// The title of an LMS.
    pub subject: Option<Arc<str>>,
}

/// Opens what was loaded.
pub fn open(vault: &Vault, loaded: Loaded) -> Vec<Ready> {
    let mut templates = std::collections::HashMap::new();
    for (key, sealed) in &loaded.contents {
        let text = vault.open(sealed).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        templates.insert(*key, text);
    }
    loaded
        .rows
        .into_iter()
        .map(|row| {
            let template = templates.get(&(row.request, row.content)).and_then(Option::as_deref);
            let said = open_row(vault, &row, template);
            let history = history(loaded.earlier.get(&row.id).map_or(&[], Vec::as_slice), &row);
            Ready { row, said, history }
        })
        .collect()
}

fn open_row(vault: &Vault, row: &MessageRow, template: Option<&str>) -> Result<Said, &'static str> {
    let bytes = vault.open(&row.sealed).map_err(|_| "the sealed part cannot be opened")?;
    let payload = sealed::decode(&bytes).ok_or("the sealed part cannot be read")?;
    let text = match payload.content {
        Content::Text(text) => text,
        Content::Variables(values) => {
            let template = template.ok_or("the text of the request is missing")?;
            prepare::render(template, &values).ok_or("the variables do not fit the text")?
        }
    };
    Ok(Said { to: payload.to, from: payload.from, text: text.into(), subject: payload.subject.map(Into::into) })
}

fn history(earlier: &[bongsu_store::rows::AttemptRow], row: &MessageRow) -> Vec<Tried> {
    earlier
        .iter()
        .chain((row.attempt.attempt > 0).then_some(&row.attempt))
        .filter_map(|attempt| {
            let outcome = match attempt.outcome? {
                Outcome::Refused => TryOutcome::Refused,
                Outcome::Unreachable => TryOutcome::Unsent,
                Outcome::Unknown => TryOutcome::Unknown,
                _ => TryOutcome::Undelivered,
            };
            Some(Tried { relay: attempt.relay?, code: Code::from_number(attempt.code)?, outcome })
        })
        .collect()
}

/// The hash by which a receipt names the recipient: it does not know the account.
pub fn plain_hash(vault: &Vault, number: &PhoneNumber) -> i64 {
    vault.hash_in(HashPurpose::Recipient, number.national().as_bytes())
}

impl Ready {
    /// Whether it still has to leave.
    pub fn waits(&self) -> bool {
        matches!(self.row.status, Status::Queued | Status::Sending)
    }
}

impl Said {
    /// The message as the relay gets it.
    pub fn outbound(&self, flight: &Flight, deadline: Timestamp, parts: u8) -> Outbound {
        Outbound {
            id: flight.id,
            attempt: flight.attempt,
            lane: flight.lane,
            deadline,
            expires: Timestamp::from_millis(flight.expires),
            to: self.to,
            from: self.from,
            channel: flight.channel,
            text: self.text.clone(),
            subject: self.subject.clone(),
            parts,
        }
    }
}
