//! Reading: what a search asks of the store, and what only an opened row can tell of it.

use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::id::first_id_at;
use bongsu_domain::{AccountId, Code, MessageId, PhoneNumber, text};
use bongsu_store::index::{self, KeyKind, TagOf};
use bongsu_store::query::{Check, Filter, TextCheck};
use bongsu_store::rows::MessageRow;
use bongsu_store::{HashPurpose, Vault};

use crate::accept::{search_hash, store_refusal};
use crate::prepare::Extra;
use crate::sealed::{self, Content, Payload};
use crate::service::{Service, account_of};
use crate::types::{Finding, ListQuery, MessageView, Page, Refusal, Scope};
use crate::views;

/// The longest range that texts are searched in: they are opened one by one.
const TEXT_RANGE_MAX: Duration = Duration::from_secs(31 * 86_400);
/// The shortest and the longest text that is searched for, in characters.
pub const SEARCH_TEXT: (usize, usize) = (2, 100);

impl Service {
    /// Messages, newest first. A page may be short, or empty, and still have a next one: no page looks further than it
    /// may cost.
    ///
    /// # Errors
    /// `BadRequest` for a cursor that is none, for a search by something hashed without an account, and for a search in
    /// texts over more than 31 days.
    pub async fn list(&self, scope: Scope, query: ListQuery) -> Result<Page<MessageView>, Refusal> {
        let Some(filter) = self.filter(scope, &query)? else {
            return Ok(Page { items: Vec::new(), next_cursor: None });
        };
        let page = self.shared.store.page(filter).await.map_err(store_refusal)?;
        let (vault, relays, held) = (self.shared.store.vault(), &self.shared.relays, self.ads_held());
        let items = page.rows.into_iter().map(|found| views::message(found, vault, relays, held)).collect();
        Ok(Page { items, next_cursor: page.next.map(|id| MessageId(id).to_string()) })
    }

    /// The store's filter; none when nothing can match.
    fn filter(&self, scope: Scope, query: &ListQuery) -> Result<Option<Filter>, Refusal> {
        let account = account_of(scope);
        let relay = match query.relay.as_deref().map(|name| self.shared.relays.number(name)) {
            Some(None) => return Ok(None),
            relay => relay.flatten(),
        };
        let cursor = query.cursor.as_deref().map(str::parse::<MessageId>).transpose();
        let cursor = cursor.map_err(|_| wrong("cursor", "not a cursor of this list"))?;
        let until = query.until.map_or(i64::MAX, |until| first_id_at(until).saturating_sub(1));
        let key = self.narrowest(account, query)?;
        let client_ref = query.client_ref.as_deref().map(|text| {
            let account = within(account, "clientRef")?;
            Ok(search_hash(self.shared.store.vault(), HashPurpose::ClientRef, account, text))
        });
        let mut filter = Filter {
            account,
            id: query.id.map(|id| id.0),
            key,
            client_ref: client_ref.transpose()?,
            from: query.since.map_or(0, first_id_at),
            to: cursor.map_or(until, |cursor| cursor.0.min(until)),
            status: query.status,
            origin_status: query.origin_status,
            code: query.code,
            channel: query.channel,
            relay,
            lane: query.lane,
            request: query.batch.map(|batch| batch.0),
            ads_held: self.ads_held().is_some(),
            text: None,
            check: Wanted::of(query).map(|wanted| wanted.check(self.shared.store.vault())),
            limit: query.limit.clamp(1, 500) as usize,
        };
        if let Some(wanted) = &query.text {
            self.search_text(&mut filter, query, wanted)?;
        }
        Ok(Some(filter))
    }

    /// The key that leads to the fewest messages.
    fn narrowest(&self, account: Option<AccountId>, query: &ListQuery) -> Result<Option<(KeyKind, i64)>, Refusal> {
        let vault = self.shared.store.vault();
        if let Some(number) = query.recipient {
            let account = within(account, "recipient")?;
            let hash = search_hash(vault, HashPurpose::Recipient, account, number.national());
            return Ok(Some((KeyKind::Recipient, hash)));
        }
        if let Some(last4) = &query.recipient_last4 {
            let account = within(account, "recipientLast4")?;
            return Ok(Some((KeyKind::LastFour, search_hash(vault, HashPurpose::LastFour, account, last4))));
        }
        if let Some((name, value)) = &query.label {
            let of = match value {
                Some(value) => TagOf::LabelValue(name, value),
                None => TagOf::Label(name),
            };
            return Ok(Some((KeyKind::Tag, index::tag(within(account, "label")?, of))));
        }
        if let Some(code) = &query.bill_code {
            return Ok(Some((KeyKind::Tag, index::tag(within(account, "billCode")?, TagOf::BillCode(code)))));
        }
        if let Some(number) = &query.sender {
            let account = within(account, "sender")?;
            return Ok(Some((KeyKind::Sender, self.settings.sender_key(vault, account, number))));
        }
        Ok(None)
    }

    /// Lets a filter search in texts: within one account and 31 days, since nothing but the texts themselves can tell.
    fn search_text(&self, filter: &mut Filter, query: &ListQuery, wanted: &str) -> Result<(), Refusal> {
        within(filter.account, "q")?;
        let until = query.until.unwrap_or_else(|| self.shared.clock.now());
        let since = query.since.unwrap_or_else(|| until.minus(TEXT_RANGE_MAX));
        if until.since(since) > TEXT_RANGE_MAX {
            return Err(wrong("since", "texts are searched in at most 31 days: narrow since and until"));
        }
        let wanted = folded(wanted);
        let length = wanted.chars().count();
        if !(SEARCH_TEXT.0..=SEARCH_TEXT.1).contains(&length) {
            return Err(wrong("q", &format!("must have {} to {} characters", SEARCH_TEXT.0, SEARCH_TEXT.1)));
        }
        filter.from = filter.from.max(first_id_at(since));
        let wanted: Arc<str> = wanted.into();
        let (in_own, vault) = (wanted.clone(), self.shared.store.vault().clone());
        let of_rows = vault.clone();
        filter.text = Some(TextCheck {
            shared: Check::new(move |sealed: &[u8]| {
                let text = vault.open(sealed).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                text.is_some_and(|text| has(&text, &wanted))
            }),
            own: Check::new(move |row: &MessageRow| {
                let Some(Payload { subject, content, .. }) = open(&of_rows, row) else { return false };
                let in_text = matches!(&content, Content::Text(text) if has(text, &in_own));
                in_text || subject.is_some_and(|title| has(&title, &in_own))
            }),
        });
        Ok(())
    }
}

/// As texts are compared: composed, and without regard to case.
fn folded(wanted: &str) -> String {
    text::normalise(wanted).to_lowercase()
}

/// Whether a text has in it what is wanted, which is folded already.
fn has(text: &str, wanted: &str) -> bool {
    folded(text).contains(wanted)
}

fn wrong(field: &str, detail: &str) -> Refusal {
    Refusal::fields(Code::BadRequest, vec![Finding::new(field, Code::BadRequest, detail)])
}

/// Hashes and texts belong to an account.
fn within(account: Option<AccountId>, field: &str) -> Result<AccountId, Refusal> {
    account.ok_or_else(|| wrong(field, "name the account to search by this"))
}

fn open(vault: &Vault, row: &MessageRow) -> Option<Payload> {
    sealed::decode(&vault.open(&row.sealed).ok()?)
}

/// What a row must have in its sealed or extra part. The hashes that led to it are short, and two searches may meet.
#[derive(Default, Clone)]
struct Wanted {
    recipient: Option<PhoneNumber>,
    last4: Option<String>,
    sender: Option<PhoneNumber>,
    label: Option<(String, Option<String>)>,
    bill_code: Option<String>,
    client_ref: Option<String>,
}

impl Wanted {
    /// None when a row's own columns tell everything.
    fn of(query: &ListQuery) -> Option<Self> {
        let wanted = Self {
            recipient: query.recipient,
            last4: query.recipient_last4.clone(),
            sender: query.sender,
            label: query.label.clone(),
            bill_code: query.bill_code.clone(),
            client_ref: query.client_ref.clone(),
        };
        (wanted.is_sealed() || wanted.is_extra()).then_some(wanted)
    }

    fn is_sealed(&self) -> bool {
        self.recipient.is_some() || self.last4.is_some() || self.sender.is_some()
    }

    fn is_extra(&self) -> bool {
        self.label.is_some() || self.bill_code.is_some() || self.client_ref.is_some()
    }

    fn check(self, vault: &Arc<Vault>) -> Check<MessageRow> {
        let vault = vault.clone();
        Check::new(move |row: &MessageRow| {
            (!self.is_extra() || self.fits_extra(row)) && (!self.is_sealed() || self.fits_sealed(&vault, row))
        })
    }

    fn fits_extra(&self, row: &MessageRow) -> bool {
        let extra = row.extra.as_deref().and_then(|text| serde_json::from_str::<Extra>(text).ok());
        let Some(extra) = extra else { return false };
        let labelled = |(name, value): &(String, Option<String>)| {
            extra.l.iter().any(|(own, has)| own == name && value.as_ref().is_none_or(|value| value == has))
        };
        self.label.as_ref().is_none_or(labelled)
            && self.bill_code.as_ref().is_none_or(|code| extra.b.as_ref() == Some(code))
            && self.client_ref.as_ref().is_none_or(|own| extra.r.as_ref() == Some(own))
    }

    fn fits_sealed(&self, vault: &Vault, row: &MessageRow) -> bool {
        let Some(payload) = open(vault, row) else { return false };
        self.recipient.is_none_or(|to| to == payload.to)
            && self.last4.as_deref().is_none_or(|last4| last4 == payload.to.last4())
            && self.sender.is_none_or(|from| from == payload.from)
    }
}
