//! The dry run: everything that accepting would find, say and charge, without accepting anything.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use bongsu_domain::{
    AccountId, Channel, Code, Distribution, Lane, PhoneNumber, Price, Shares, Timestamp, Unit, text, variables,
};
use bongsu_store::accept::NewMessage;
use bongsu_store::{HashPurpose, distributions, wallet};

use crate::accept::{duplicate_ref, empty, equal_to, not_registered, over_ceiling, search_hash, store_refusal};
use crate::prepare::{self, Prepared};
use crate::service::Service;
use crate::types::{Draft, Finding, Held, Refusal, Sending};

/// What a dry run found.
#[derive(Debug, Clone)]
pub struct Checked {
    /// One entry a row, in their order.
    pub rows: Vec<CheckedRow>,
    /// What the rows without findings cost together.
    pub estimate: (Unit, i64),
    /// What the account has of that unit.
    pub balance: i64,
    /// What concerns no single row: a balance that does not cover it all.
    pub findings: Vec<Finding>,
    /// The ratios that the rows go by.
    pub routes: Vec<RouteView>,
}

/// One message as it would be accepted.
#[derive(Debug, Clone)]
pub struct CheckedRow {
    /// Its place.
    pub index: u32,
    /// What is wrong with it; nothing: it would be accepted.
    pub findings: Vec<Finding>,
    /// The characters that cannot be sent.
    pub characters: Vec<BadCharacter>,
    /// What it would become; absent when its text or its numbers cannot be read.
    pub resolved: Option<Resolved>,
}

/// A character that cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadCharacter {
    /// `text` or `subject`.
    pub field: &'static str,
    /// Its place in the text as filled in, in characters from 0.
    pub index: u32,
    /// The character.
    pub ch: char,
    /// What could stand in its place; an empty text when it can just go.
    pub suggestion: Option<&'static str>,
}

/// What a message would become.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Its lane.
    pub lane: Lane,
    /// Its channel after the automatic choice.
    pub channel: Channel,
    /// Bytes of its text in CP949.
    pub bytes: u32,
    /// Parts it has on the relay that would be next.
    pub parts: u8,
    /// What it costs.
    pub price: Price,
    /// The relay that the ratio names for it, if the rows were accepted now and in this order.
    pub relay: Option<String>,
    /// When it is to leave.
    pub send_at: Option<Timestamp>,
    /// What would hold it.
    pub held: Option<Held>,
}

/// The ratio of a channel as it stands.
#[derive(Debug, Clone)]
pub struct RouteView {
    /// Of which channel.
    pub channel: Channel,
    /// Relay, percent, and how many hundredths of a part it is owed.
    pub shares: Vec<(String, u32, i64)>,
    /// The relay that the next message is booked on.
    pub next: Option<String>,
}

/// A ratio while it is played through.
struct Route {
    shares: Shares,
    credits: Distribution,
}

impl Service {
    /// Looks at messages as if they were sent, and changes nothing.
    ///
    /// # Errors
    /// Only that the store cannot answer; what is wrong with the messages is in the answer.
    pub async fn validate(
        &self,
        sending: impl Into<Sending>,
        rows: Vec<Result<Draft, Vec<Finding>>>,
    ) -> Result<Checked, Refusal> {
        let sending = sending.into();
        let known = self.settings.account(&self.shared.store, sending.account).await.map_err(store_refusal)?;
        let mut checked = Vec::with_capacity(rows.len());
        let mut looked_up: Vec<NewMessage> = Vec::with_capacity(rows.len());
        let mut routes = HashMap::new();
        let mut unit = None;
        for (row, index) in rows.into_iter().zip(0..) {
            let mut row_checked = CheckedRow { index, findings: Vec::new(), characters: Vec::new(), resolved: None };
            let mut look = empty();
            match row.and_then(|draft| {
                row_checked.characters = characters(&draft);
                let terms = self.terms(draft.lane, &known.ads);
                prepare::prepare(draft, &terms)
            }) {
                Err(findings) => row_checked.findings = findings,
                Ok(prepared) => {
                    let price = self.price_for(sending, prepared.channel).await?;
                    row_checked.findings = self.policy(sending, &prepared, price, &mut unit).await?;
                    let (vault, account) = (self.shared.store.vault(), sending.account);
                    let reference = prepared.draft.client_ref.as_deref();
                    look.client_ref = reference.map(|r| search_hash(vault, HashPurpose::ClientRef, account, r));
                    look.dedupe = known.window_ms.map(|window| (self.content_hash(account, &prepared), window));
                    row_checked.resolved = Some(self.resolve(account, &prepared, price, &mut routes).await?);
                }
            }
            row_checked.findings.iter_mut().for_each(|finding| finding.index = Some(index));
            looked_up.push(look);
            checked.push(row_checked);
        }
        self.keys(&mut checked, looked_up).await?;
        self.total(sending, checked, unit.unwrap_or(Unit::PointSms), routes).await
    }

    /// What the rules that need a look-up find.
    async fn policy(
        &self,
        sending: Sending,
        prepared: &Prepared,
        price: Price,
        unit: &mut Option<Unit>,
    ) -> Result<Vec<Finding>, Refusal> {
        let mut findings = Vec::new();
        if !self.may_send(sending.account, &prepared.from).await? {
            findings.push(not_registered());
        }
        findings.extend(self.out_of_reach(sending, &prepared.to).await?);
        findings.extend(over_ceiling(prepared, price));
        if *unit.get_or_insert(price.unit) != price.unit {
            let detail = "its price is in another unit than the first row's";
            findings.push(Finding::new("channel", Code::BadRequest, detail));
        }
        Ok(findings)
    }

    async fn may_send(&self, account: AccountId, from: &PhoneNumber) -> Result<bool, Refusal> {
        self.settings.may_send_from(&self.shared.store, account, from).await.map_err(store_refusal)
    }

    async fn resolve(
        &self,
        account: AccountId,
        prepared: &Prepared,
        price: Price,
        routes: &mut HashMap<Channel, Option<Route>>,
    ) -> Result<Resolved, Refusal> {
        let channel = prepared.channel;
        let route = match routes.entry(channel) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(self.route(account, channel).await?),
        };
        let route = route.as_mut();
        let relay = route.as_ref().map(|route| route.credits.peek(&route.shares));
        let port = relay.and_then(|no| self.shared.relays.get(no)).and_then(|link| link.port.clone());
        let parts = port.map_or(1, |port| port.parts(channel, &prepared.text));
        if let (Some(route), Some(relay)) = (route, relay) {
            route.credits.take(relay, parts.into(), &route.shares);
        }
        let leaves = prepared.send_at.unwrap_or_else(|| self.shared.clock.now());
        Ok(Resolved {
            lane: prepared.lane,
            channel,
            bytes: prepared.bytes,
            parts,
            price,
            relay: relay.map(|no| self.shared.relays.name(no)),
            send_at: prepared.send_at,
            held: Held::at(prepared.lane, self.shared.config.ad_hours, leaves),
        })
    }

    /// The ratio of an account with what its relays are owed, as the last claim left it.
    async fn route(&self, account: AccountId, channel: Channel) -> Result<Option<Route>, Refusal> {
        let seat = self.shared.territory.seat();
        let read = self.shared.store.read(move |reader| {
            let shares = distributions::load(&reader.live, account, channel)?;
            Ok((shares, distributions::load_state(&reader.live, account, channel, seat)?))
        });
        let (shares, state) = read.await.map_err(store_refusal)?;
        let credits = state.and_then(|bytes| Distribution::decode(&bytes)).unwrap_or_default();
        Ok(Shares::new(shares).ok().map(|shares| Route { shares, credits }))
    }

    /// What the keys of the rows meet: earlier messages, and each other.
    async fn keys(&self, rows: &mut [CheckedRow], looked_up: Vec<NewMessage>) -> Result<(), Refusal> {
        if looked_up.iter().all(|m| m.client_ref.is_none() && m.dedupe.is_none()) {
            return Ok(());
        }
        let (mut refs, mut contents) = (HashSet::new(), HashMap::new());
        let own: Vec<_> = looked_up.iter().map(|m| (m.client_ref, m.dedupe.map(|(key, _)| key))).collect();
        let before = self.shared.store.before(looked_up).await.map_err(store_refusal)?;
        for ((row, before), (client_ref, content)) in rows.iter_mut().zip(before).zip(own) {
            let mut found = Vec::new();
            if before.client_ref || client_ref.is_some_and(|key| refs.contains(&key)) {
                found.push(duplicate_ref());
            }
            match (before.equal, content.and_then(|key| contents.get(&key))) {
                (Some(first), _) => found.push(equal_to(first)),
                (None, Some(twin)) => {
                    found.push(Finding::new(
                        "text",
                        Code::DuplicateContent,
                        format!("equal to row {twin} of this batch"),
                    ));
                }
                (None, None) => {}
            }
            row.findings.extend(found.into_iter().map(|finding| Finding { index: Some(row.index), ..finding }));
            if row.findings.is_empty() {
                refs.extend(client_ref);
                contents.extend(content.map(|key| (key, row.index)));
            }
        }
        Ok(())
    }

    async fn total(
        &self,
        sending: Sending,
        rows: Vec<CheckedRow>,
        unit: Unit,
        routes: HashMap<Channel, Option<Route>>,
    ) -> Result<Checked, Refusal> {
        let fit = rows.iter().filter(|row| row.findings.is_empty());
        let amount: i64 = fit.filter_map(|row| row.resolved.as_ref()).map(|resolved| resolved.price.amount).sum();
        let balances = wallet::balances(&self.shared.store, sending.account).await.map_err(store_refusal)?;
        let balance = balances.iter().find(|(of, _)| *of == unit).map_or(0, |(_, amount)| *amount);
        let detail = format!("the balance of {balance} {} does not cover {amount}", unit.as_str());
        let short = (balance < amount).then(|| Finding::new("balance", Code::NoBalance, detail));
        let mut shown = Vec::new();
        for channel in Channel::ALL.into_iter().filter(|channel| routes.contains_key(channel)) {
            // Read again: the rows above were played through it.
            let route = self.route(sending.account, channel).await?;
            shown.push(self.show(channel, route));
        }
        Ok(Checked { rows, estimate: (unit, amount), balance, findings: short.into_iter().collect(), routes: shown })
    }

    fn show(&self, channel: Channel, route: Option<Route>) -> RouteView {
        let name = |no: u8| self.shared.relays.name(no);
        let Some(Route { shares, credits }) = route else {
            return RouteView { channel, shares: Vec::new(), next: None };
        };
        let owed: HashMap<u8, i64> = credits.owed().collect();
        let share = |(no, percent): &(u8, u32)| (name(*no), *percent, owed.get(no).copied().unwrap_or(0));
        let next = Some(name(credits.peek(&shares)));
        RouteView { channel, shares: shares.as_slice().iter().map(share).collect(), next }
    }
}

/// The characters of text and title that cannot be sent, each with its place.
fn characters(draft: &Draft) -> Vec<BadCharacter> {
    let title = draft.subject.as_deref().unwrap_or_default();
    let filled = variables::fill([&draft.text, title], &draft.variables);
    let said = filled.unwrap_or_else(|_| [String::new(), title.to_owned()]);
    let mut bad = Vec::new();
    for (field, said) in ["text", "subject"].into_iter().zip(&said) {
        if let Err(error) = text::measure(&text::normalise(said)) {
            let of = |(_, bad): (Code, text::BadChar)| BadCharacter {
                field,
                index: bad.index,
                ch: bad.ch,
                suggestion: bad.suggestion,
            };
            bad.extend(error.findings().map(of));
        }
    }
    bad
}
