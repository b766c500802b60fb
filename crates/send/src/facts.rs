//! Events and statistics for callers, and the numberer of events on a shared database.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::{AccountId, Channel, Code, Day, Lane, Status, Trouble, Unit};
use bongsu_store::facts::{Cell, EventPage, StatsQuery, Tags};

use crate::accept::store_refusal;
use crate::dispatch::Shared;
use crate::service::{Service, account_of};
use crate::types::{Draft, Finding, Refusal, Scope};

/// How often events get their positions on a shared database.
const NUMBER_EVERY: Duration = Duration::from_millis(100);
/// Rows of one answer with statistics.
pub const STATS_ROWS_MAX: usize = 10_000;
/// Days of one answer with statistics.
pub const STATS_DAYS_MAX: i64 = 400;

/// billCode and labels of a draft, where it has any.
pub(crate) fn tags(draft: &Draft) -> Option<Arc<Tags>> {
    if draft.bill_code.is_none() && draft.labels.is_empty() {
        return None;
    }
    let labels: BTreeMap<String, String> = draft.labels.iter().cloned().collect();
    Some(Arc::new(Tags { bill_code: draft.bill_code.clone(), labels }))
}

/// Gives positions to events, where this process has the periodic work. Ends never.
pub(crate) async fn number(shared: Arc<Shared>) {
    let mut trouble = Trouble::default();
    loop {
        tokio::time::sleep(NUMBER_EVERY).await;
        if !shared.territory.is_shared() || !shared.territory.sweeps() {
            continue;
        }
        if let Some(error) = trouble.begins(shared.store.number_events().await.map(drop)) {
            tracing::warn!(%error, "events could not be numbered; it is tried again");
        }
    }
}

/// By what statistics can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// Day of accept, Asia/Seoul.
    Day,
    /// Account.
    Account,
    /// Channel.
    Channel,
    /// Lane.
    Lane,
    /// Relay of the last attempt.
    Relay,
    /// Each label; a message with several counts under each.
    Label,
    /// Result.
    Status,
    /// Department code.
    BillCode,
}

impl By {
    /// Every way.
    pub const ALL: [By; 8] =
        [By::Day, By::Account, By::Channel, By::Lane, By::Relay, By::Label, By::Status, By::BillCode];

    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            By::Day => "day",
            By::Account => "account",
            By::Channel => "channel",
            By::Lane => "lane",
            By::Relay => "relay",
            By::Label => "label",
            By::Status => "status",
            By::BillCode => "billCode",
        }
    }

    /// The way of a word.
    pub fn parse(word: &str) -> Option<By> {
        By::ALL.into_iter().find(|by| by.as_str() == word)
    }
}

/// What the messages of a row have in common; only what was asked for is there, and of it only what they have.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatsKey {
    /// Day of accept.
    pub day: Option<Day>,
    /// Account.
    pub account: Option<AccountId>,
    /// Channel.
    pub channel: Option<Channel>,
    /// Lane.
    pub lane: Option<Lane>,
    /// Name of the relay of the last attempt; of messages that are open, or were never tried, none.
    pub relay: Option<String>,
    /// Key and value of a label.
    pub label: Option<(String, String)>,
    /// How they ended, `None` for those that did not yet.
    pub status: Option<Status>,
    /// Department code.
    pub bill_code: Option<String>,
}

/// Messages added up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums {
    /// Accepted; the sum of the next four.
    pub total: i64,
    /// Delivered, or read.
    pub success: i64,
    /// Undelivered, expired or failed.
    pub fail: i64,
    /// Canceled.
    pub canceled: i64,
    /// Not ended yet.
    pub open: i64,
    /// Money taken and given back, by unit.
    pub money: BTreeMap<Unit, Money>,
}

/// Money of one unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Money {
    /// Taken.
    pub charged: i64,
    /// Given back.
    pub refunded: i64,
}

impl Sums {
    fn add(&mut self, cell: &Cell) {
        self.total += cell.messages;
        match cell.status {
            Some(Status::Delivered | Status::Read) => self.success += cell.messages,
            Some(Status::Canceled) => self.canceled += cell.messages,
            Some(_) => self.fail += cell.messages,
            None => self.open += cell.messages,
        }
        let money = self.money.entry(cell.unit).or_default();
        money.charged += cell.charged;
        money.refunded += cell.refunded;
    }
}

/// Statistics of some days.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rows in the order of their keys.
    pub rows: Vec<(StatsKey, Sums)>,
    /// All of them; with labels, each message once all the same.
    pub totals: Sums,
}

impl Service {
    /// Events after a position, oldest first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn events(&self, scope: Scope, after: i64, limit: u32) -> Result<EventPage, Refusal> {
        self.shared.store.events(account_of(scope), after, limit).await.map_err(store_refusal)
    }

    /// Statistics of the messages that were accepted on some days.
    ///
    /// # Errors
    /// `BadRequest` when there are more rows than one answer has.
    pub async fn stats(&self, scope: Scope, from: Day, to: Day, by: &[By]) -> Result<Stats, Refusal> {
        let query = StatsQuery { account: account_of(scope), from, to };
        let cells = self.shared.store.stats(query).await.map_err(store_refusal)?;
        let mut sets = HashMap::new();
        if by.contains(&By::Label) || by.contains(&By::BillCode) {
            let mut numbers: Vec<u32> = cells.iter().map(|cell| cell.stat).filter(|stat| *stat != 0).collect();
            numbers.sort_unstable();
            numbers.dedup();
            sets = self.shared.store.stat_tags(numbers).await.map_err(store_refusal)?;
        }
        let name = |no| self.shared.relays.name(no);
        add_up(&cells, &sets, by, &name)
            .ok_or_else(|| too_many(format!("more than {STATS_ROWS_MAX} rows; ask for fewer days, or by less")))
    }
}

fn too_many(detail: String) -> Refusal {
    Refusal::fields(Code::BadRequest, vec![Finding::new("by", Code::BadRequest, detail)])
}

/// Rows of cells; none when they are too many.
fn add_up(cells: &[Cell], sets: &HashMap<u32, Tags>, by: &[By], relay_name: &dyn Fn(u8) -> String) -> Option<Stats> {
    let none = Tags::default();
    let has = |wanted: By| by.contains(&wanted);
    let mut rows: BTreeMap<StatsKey, Sums> = BTreeMap::new();
    let mut totals = Sums::default();
    for cell in cells {
        totals.add(cell);
        let tags = sets.get(&cell.stat).unwrap_or(&none);
        let key = StatsKey {
            day: has(By::Day).then_some(cell.day),
            account: has(By::Account).then_some(cell.account),
            channel: has(By::Channel).then_some(cell.channel),
            lane: has(By::Lane).then_some(cell.lane),
            relay: cell.relay.filter(|_| has(By::Relay)).map(relay_name),
            label: None,
            status: cell.status.filter(|_| has(By::Status)),
            bill_code: tags.bill_code.clone().filter(|_| has(By::BillCode)),
        };
        if has(By::Label) && !tags.labels.is_empty() {
            for (label, value) in &tags.labels {
                let key = StatsKey { label: Some((label.clone(), value.clone())), ..key.clone() };
                rows.entry(key).or_default().add(cell);
            }
        } else {
            rows.entry(key).or_default().add(cell);
        }
        if rows.len() > STATS_ROWS_MAX {
            return None;
        }
    }
    Some(Stats { rows: rows.into_iter().collect(), totals })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(relay: Option<u8>, status: Option<Status>, stat: u32, messages: i64) -> Cell {
        Cell {
            account: AccountId(1),
            day: Day(20_261_120),
            channel: Channel::Sms,
            lane: Lane::Bulk,
            unit: Unit::PointSms,
            relay,
            status,
            stat,
            messages,
            charged: messages * 2,
            refunded: if status == Some(Status::Failed) { messages * 2 } else { 0 },
        }
    }

    fn labelled(pairs: &[(&str, &str)]) -> Tags {
        let labels = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Tags { bill_code: Some("D1".into()), labels }
    }

    #[test]
    fn every_way_of_adding_up_has_the_same_totals() {
        let cells = [
            cell(Some(0), Some(Status::Delivered), 0, 5),
            cell(Some(1), Some(Status::Delivered), 7, 3),
            cell(Some(1), Some(Status::Failed), 7, 2),
            cell(None, Some(Status::Canceled), 0, 1),
            cell(None, None, 7, 4),
        ];
        let sets = HashMap::from([(7, labelled(&[("event", "spring"), ("shop", "a")]))]);
        let name = |no: u8| format!("r{no}");
        for by in By::ALL {
            let stats = add_up(&cells, &sets, &[by], &name).expect("few rows");
            let totals = &stats.totals;
            assert_eq!((totals.total, totals.success, totals.fail, totals.canceled, totals.open), (15, 8, 2, 1, 4));
            assert_eq!(totals.money[&Unit::PointSms], Money { charged: 30, refunded: 4 });
            let sum: i64 = stats.rows.iter().map(|(_, sums)| sums.total).sum();
            // Each message with two labels counts under both.
            assert_eq!(sum, if by == By::Label { 15 + 9 } else { 15 }, "{by:?}");
        }
        let by_relay = add_up(&cells, &sets, &[By::Relay], &name).expect("few rows").rows;
        let relays: Vec<_> = by_relay.iter().map(|(key, sums)| (key.relay.as_deref(), sums.total)).collect();
        assert_eq!(relays, [(None, 5), (Some("r0"), 5), (Some("r1"), 5)]);
        let none = add_up(&cells, &sets, &[], &name).expect("few rows").rows;
        assert_eq!(none.len(), 1);
    }

    #[test]
    fn words_come_back() {
        for by in By::ALL {
            assert_eq!(By::parse(by.as_str()), Some(by));
        }
        assert_eq!(By::parse("hour"), None);
    }
}
