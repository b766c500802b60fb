//! Why a message went the way it went: what decided, by rules that have names.
//!
//! Exact are the credits and the relays of the first booking: its claim kept them ([`crate::note`]). The credits at the
//! message itself follow from those of its claim and the messages booked before it in the same claim. Recomputed from the
//! attempts are the rules of further tries: what a retry decision looks at is all in their codes. What the price table says
//! now stands beside the price that was frozen.

use bongsu_domain::retry::{Outcome as TryOutcome, Tried};
use bongsu_domain::{Code, Lane, MessageId, Price, Rule, Shares, Timestamp, rule};
use bongsu_store::rows::Outcome;
use bongsu_store::trace::Trace;
use bongsu_store::{Error, Kind, distributions};

use crate::accept::store_refusal;
use crate::note::Note;
use crate::service::{Service, account_of};
use crate::types::{MessageView, Refusal, Scope};
use crate::views;

/// A rule that applied.
#[derive(Debug, Clone)]
pub struct Reason {
    /// The rule.
    pub rule: Rule,
    /// The attempt that it led to, 0 for the message as a whole.
    pub attempt: u8,
    /// What of it concerns this message.
    pub detail: String,
}

/// How a relay was when the first attempt was booked.
#[derive(Debug, Clone)]
pub struct RelayThen {
    /// Its name.
    pub relay: String,
    /// Its share in percent.
    pub percent: u32,
    /// Hundredths of a part it was owed.
    pub owed: i64,
    /// Whether it was up.
    pub up: Option<bool>,
    /// Whether its breaker let everything through.
    pub closed: Option<bool>,
}

/// The first booking.
#[derive(Debug, Clone)]
pub struct Decision {
    /// When.
    pub at: Timestamp,
    /// For how long the account had waited for room.
    pub waited_ms: u32,
    /// The relays of the ratio at that moment.
    pub relays: Vec<RelayThen>,
    /// The relay that the ratio named.
    pub by_ratio: String,
    /// The relay it was booked on.
    pub chosen: String,
    /// Whether the credits are those of the moment; else a part count before it is not known any more.
    pub exact: bool,
}

/// Everything that decided about a message.
#[derive(Debug, Clone)]
pub struct Why {
    /// The message.
    pub message: MessageView,
    /// Its first booking; none before it, or when the note of it was not kept.
    pub decision: Option<Decision>,
    /// The rules that applied, in order.
    pub reasons: Vec<Reason>,
    /// What the price table says now.
    pub price_now: Price,
}

impl Service {
    /// What decided about a message.
    ///
    /// # Errors
    /// `NotFound`, also for a neighbour's.
    pub async fn why(&self, scope: Scope, id: MessageId) -> Result<Why, Refusal> {
        let trace = self.trace_of(scope, id).await?;
        let decision = self.decision(&trace).await.map_err(store_refusal)?;
        let price_now =
            self.settings.price(&self.shared.store, trace.found.row.channel).await.map_err(store_refusal)?;
        let (vault, relays) = (self.shared.store.vault(), &self.shared.relays);
        let tried = tried(&trace);
        let message = views::message(trace.found, vault, relays, self.ads_held());
        let reasons = self.reasons(&message, decision.as_ref(), &tried, price_now);
        Ok(Why { message, decision, reasons, price_now })
    }

    pub(crate) async fn trace_of(&self, scope: Scope, id: MessageId) -> Result<Trace, Refusal> {
        let found = self.shared.store.trace(account_of(scope), id.0).await.map_err(store_refusal)?;
        found.ok_or_else(|| Refusal::new(Code::NotFound, "there is no such message"))
    }

    /// The first booking, from what its claim kept.
    async fn decision(&self, trace: &Trace) -> Result<Option<Decision>, Error> {
        let row = &trace.found.row;
        let offset = u32::try_from(row.id - trace.run.first).unwrap_or(u32::MAX);
        let Some(note) = Note::covering(&trace.notes, offset) else { return Ok(None) };
        let credits = note.credits.iter().find(|(channel, _)| *channel == row.channel);
        let Some((_, credits)) = credits else { return Ok(None) };
        let mut credits = credits.clone();
        let (account, channel) = (row.account, row.channel);
        let stored = self.shared.store.read(move |reader| distributions::load(&reader.live, account, channel)).await?;
        // The ratio of that moment is in the credits, unless they were level still.
        let weights = credits.weights();
        let shares = Shares::new(if weights.is_empty() { stored } else { weights });
        let shares = shares.map_err(|error| Error::new(Kind::Corrupt, error.to_string()))?;
        let earlier = self.shared.store.between(trace.run.first + i64::from(note.from), row.id).await?;
        let mut exact = true;
        for before in earlier.iter().filter(|before| before.channel == row.channel) {
            match before.relay {
                Some(relay) => credits.take(relay, before.parts, &shares),
                // It was canceled, or has not been answered yet.
                None => exact = false,
            }
        }
        let name = |no: u8| self.shared.relays.name(no);
        let owed: std::collections::HashMap<u8, i64> = credits.owed().collect();
        let then = |(no, percent): &(u8, u32)| {
            let standing = note.relays.iter().find(|standing| standing.relay == *no);
            RelayThen {
                relay: name(*no),
                percent: *percent,
                owed: owed.get(no).copied().unwrap_or(0),
                up: standing.map(|standing| standing.up),
                closed: standing.map(|standing| standing.closed),
            }
        };
        let first = trace.found.earlier.iter().find(|attempt| attempt.attempt == 1).unwrap_or(&row.attempt);
        let by_ratio = credits.peek(&shares);
        let chosen = first.relay.filter(|_| first.attempt == 1);
        Ok(Some(Decision {
            at: note.at,
            waited_ms: note.blocked_ms,
            relays: shares.as_slice().iter().map(then).collect(),
            by_ratio: name(by_ratio),
            chosen: chosen.map_or_else(String::new, name),
            exact: exact && chosen.is_some(),
        }))
    }

    fn reasons(
        &self,
        message: &MessageView,
        decision: Option<&Decision>,
        tried: &[Tried],
        price_now: Price,
    ) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let mut push = |rule, attempt, detail: String| reasons.push(Reason { rule, attempt, detail });
        let (unit, amount) = message.price;
        let changed =
            if (unit, amount) == (price_now.unit, price_now.amount) { "as it is now" } else { "changed since" };
        push(Rule::PriceFrozen, 0, format!("{amount} {} from the price table, {changed}", unit.as_str()));
        if let Some(at) = message.send_at {
            push(Rule::Schedule, 0, format!("until {}", at.rfc3339()));
        }
        match message.held {
            Some(held) => push(Rule::Night, 0, format!("until {}", held.until.rfc3339())),
            None if message.lane == Lane::Ad => {
                push(Rule::Night, 0, "checked at accept, at dispatch and at every retry".into())
            }
            None => {}
        }
        if message.attempts.is_empty() && !message.status.is_final() && message.held.is_none() {
            push(Rule::Turn, 0, format!("lane {}", message.lane.as_str()));
        }
        if let Some(first) = message.attempts.first() {
            let (rule, detail) = first_rule(decision, first.outcome, &first.relay);
            push(rule, first.n, detail);
        }
        for (at, pair) in tried.windows(2).enumerate() {
            let rule = rule::of_retry(&pair[0], tried[0].relay, pair[1].relay);
            let code = pair[0].code;
            push(rule, at as u8 + 2, format!("after {} {}", code.as_str(), code.name()));
        }
        let unknown = tried.iter().any(|tried| tried.outcome == TryOutcome::Unknown);
        if let Some(rule) = rule::of_end(message.status, message.code, tried.len(), unknown) {
            push(rule, 0, format!("{} {}", message.code.as_str(), message.code.name()));
        }
        reasons
    }
}

fn first_rule(decision: Option<&Decision>, outcome: &str, relay: &str) -> (Rule, String) {
    match decision {
        _ if relay.is_empty() => (Rule::NoRoute, "no relay was there".into()),
        _ if outcome == "unreachable" => (Rule::Down, format!("{relay} was not to be reached")),
        Some(decision) if decision.exact && decision.by_ratio != relay => {
            (Rule::Spill, format!("{} had no room for {} ms", decision.by_ratio, decision.waited_ms))
        }
        _ => (Rule::Share, format!("{relay} was next by the ratio")),
    }
}

/// The tries as a retry decision sees them.
fn tried(trace: &Trace) -> Vec<Tried> {
    let row = &trace.found.row;
    let mut tries: Vec<_> =
        trace.found.earlier.iter().chain((row.attempt.attempt > 0).then_some(&row.attempt)).collect();
    tries.sort_by_key(|attempt| attempt.attempt);
    tries.dedup_by_key(|attempt| attempt.attempt);
    let of = |attempt: &&bongsu_store::rows::AttemptRow| {
        let outcome = match attempt.outcome {
            Some(Outcome::Refused) => TryOutcome::Refused,
            Some(Outcome::Unreachable) => TryOutcome::Unsent,
            Some(Outcome::Unknown) => TryOutcome::Unknown,
            _ => TryOutcome::Undelivered,
        };
        let code = Code::from_number(attempt.code).unwrap_or(Code::UnmappedVendorCode);
        Tried { relay: attempt.relay.unwrap_or(u8::MAX), code, outcome }
    };
    tries.iter().map(of).collect()
}
