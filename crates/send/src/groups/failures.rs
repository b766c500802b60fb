//! What did not arrive of a group, line by line: rows that were refused, then messages that failed.

use bongsu_domain::{Code, GroupId, PhoneNumber};
use bongsu_store::groups::{Form, GroupRow, RowFailure};
use bongsu_store::rows::MessageRow;

use crate::accept::store_refusal;
use crate::prepare::Extra;
use crate::sealed;
use crate::service::Service;
use crate::types::{Refusal, Scope};

/// Findings read at once.
const ERRORS_AT_ONCE: u32 = 500;

/// Something that did not arrive.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Number of its row, from 1; absent when it is not known.
    pub row: Option<u32>,
    /// The recipient in full: as written for a refused row.
    pub to: Option<Recipient>,
    /// The row's client reference.
    pub client_ref: Option<String>,
    /// Why.
    pub code: Code,
    /// A sentence for people.
    pub reason: String,
}

/// A recipient that may be a number or not.
#[derive(Debug, Clone)]
pub enum Recipient {
    /// A number.
    Number(PhoneNumber),
    /// What was written where a number should be.
    Written(String),
}

impl Recipient {
    /// In full, or with the middle hidden.
    pub fn shown(&self, full: bool) -> String {
        match self {
            Recipient::Number(number) if full => number.national().to_owned(),
            Recipient::Number(number) => number.masked(),
            Recipient::Written(text) if full => text.clone(),
            Recipient::Written(text) => {
                let count = text.chars().count();
                let hide = |(at, c): (usize, char)| if at < 3 || at + 4 >= count.max(8) { c } else { '*' };
                text.chars().enumerate().map(hide).collect()
            }
        }
    }
}

/// Reads what did not arrive, some at a time.
pub struct FailureReader {
    service: Service,
    group: GroupRow,
    place: Place,
}

enum Place {
    /// After a finding.
    Errors((u32, u8)),
    /// After the first id of a run.
    Messages(i64),
    End,
}

impl Service {
    /// What did not arrive of a group.
    ///
    /// # Errors
    /// `NotFound`, also for a neighbour's.
    pub async fn group_failures(&self, scope: Scope, id: GroupId) -> Result<FailureReader, Refusal> {
        let group = self.group_row(scope, id).await?;
        Ok(FailureReader { service: self.clone(), group, place: Place::Errors((0, 0)) })
    }
}

impl FailureReader {
    /// Some further ones; empty at the end.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn next(&mut self) -> Result<Vec<Failure>, Refusal> {
        loop {
            let some = match self.place {
                Place::Errors(after) => self.errors(after).await?,
                Place::Messages(after) => self.messages(after).await?,
                Place::End => Vec::new(),
            };
            if !some.is_empty() || matches!(self.place, Place::End) {
                return Ok(some);
            }
        }
    }

    /// Refused rows: one line a row, with its first finding and all reasons.
    async fn errors(&mut self, after: (u32, u8)) -> Result<Vec<Failure>, Refusal> {
        let store = &self.service.shared.store;
        let mut page = store.group_errors(self.group.id, after, ERRORS_AT_ONCE).await.map_err(store_refusal)?;
        let whole = page.len() < ERRORS_AT_ONCE as usize;
        // The findings of the last row may go on in the next page.
        let last = page.last().map(|error| error.row);
        if !whole {
            page.retain(|error| Some(error.row) != last);
        }
        self.place = match page.last() {
            _ if whole => Place::Messages(0),
            Some(error) => Place::Errors((error.row, u8::MAX)),
            None => Place::Messages(0),
        };
        Ok(page.chunk_by(|a, b| a.row == b.row).map(|row| self.refused(row)).collect())
    }

    fn refused(&self, findings: &[RowFailure]) -> Failure {
        let first = &findings[0];
        let reasons: Vec<String> = findings.iter().map(|f| format!("{}: {}", f.field, f.detail)).collect();
        let vault = self.service.shared.store.vault();
        let plain = || vault.open(&first.identity.sealed).ok();
        let to = match first.identity.form {
            Form::Written => plain().and_then(|bytes| String::from_utf8(bytes).ok()).map(Recipient::Written),
            Form::Message => plain().and_then(|bytes| sealed::decode(&bytes)).map(|p| Recipient::Number(p.to)),
            Form::Nothing => None,
        };
        Failure {
            row: Some(first.row),
            to,
            client_ref: Extra::parse(first.identity.extra.as_deref()).r,
            code: first.code,
            reason: reasons.join("; "),
        }
    }

    async fn messages(&mut self, after: i64) -> Result<Vec<Failure>, Refusal> {
        if self.group.sent == 0 {
            self.place = Place::End;
            return Ok(Vec::new());
        }
        let store = &self.service.shared.store;
        let (rows, last) = store.group_failures(self.group.clone(), after).await.map_err(store_refusal)?;
        self.place = last.map_or(Place::End, Place::Messages);
        Ok(rows.iter().map(|row| self.failed(row)).collect())
    }

    fn failed(&self, row: &MessageRow) -> Failure {
        let vault = self.service.shared.store.vault();
        let payload = vault.open(&row.sealed).ok().and_then(|bytes| sealed::decode(&bytes));
        let extra = Extra::parse(row.extra.as_deref());
        let code = Code::from_number(row.attempt.code).unwrap_or(Code::UnmappedVendorCode);
        Failure {
            row: extra.n,
            to: payload.map(|payload| Recipient::Number(payload.to)),
            client_ref: extra.r,
            code,
            reason: code.title_en().to_owned(),
        }
    }
}
