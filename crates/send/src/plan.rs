//! A batch while it is put together: its rows, the texts they share, what is wrong with others, and what became of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bongsu_domain::{Channel, Code, Lane, MessageId, RequestId, Unit};
use bongsu_store::accept::{NewMessage, Slice};

use crate::accept::{duplicate_ref, equal_to, not_registered, over_ceiling, store_refusal};
use crate::answer;
use crate::prepare::Prepared;
use crate::service::Service;
use crate::types::{Draft, Finding, Refusal, Sending};

/// Times to leave that a batch may have: each makes a run of its own.
const TIMES_MAX: usize = 100;

/// A row on its way through a batch.
pub(crate) struct PlanRow {
    /// Its place in the batch.
    index: u32,
    pub(crate) lane: Lane,
    /// When it leaves, Unix milliseconds; 0: at once.
    send_at: i64,
    channel: Channel,
    price: i64,
    /// Leaves to be staged.
    pub(crate) message: NewMessage,
    /// What it has in common with equal messages, where the account has a window against them.
    content: Option<i64>,
    /// 0 until it is staged.
    id: i64,
}

impl PlanRow {
    /// What rows of one slice have in common.
    pub(crate) fn kin(&self) -> (Lane, i64) {
        (self.lane, self.send_at)
    }
}

/// A batch while it is put together.
pub(crate) struct Plan {
    pub(crate) request: i64,
    pub(crate) rows: Vec<PlanRow>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) slices: Vec<Slice>,
    pub(crate) unit: Unit,
    contents: Vec<Arc<str>>,
    /// Numbers of shared texts, by where they lie in memory.
    numbers: HashMap<usize, u32>,
    /// The account's window against equal messages, in milliseconds.
    window: Option<i64>,
    /// The times at which its rows leave.
    times: HashSet<i64>,
    /// Rows that equal a message: their places in `rows`, and the message, 0 when it is only staged.
    equals: Vec<(usize, i64)>,
}

impl Plan {
    pub(crate) fn new(request: i64, window: Option<i64>) -> Self {
        Self {
            request,
            rows: Vec::new(),
            findings: Vec::new(),
            slices: Vec::new(),
            unit: Unit::PointSms,
            contents: Vec::new(),
            numbers: HashMap::new(),
            window,
            times: HashSet::new(),
            equals: Vec::new(),
        }
    }

    pub(crate) async fn add(
        &mut self,
        service: &Service,
        sending: Sending,
        index: u32,
        prepared: Prepared,
    ) -> Result<(), Refusal> {
        let account = sending.account;
        let store = &service.shared.store;
        if !service.settings.may_send_from(store, account, &prepared.from).await.map_err(store_refusal)? {
            self.reject(index, vec![not_registered()]);
            return Ok(());
        }
        if let Some(finding) = service.out_of_reach(sending, &prepared.to).await? {
            self.reject(index, vec![finding]);
            return Ok(());
        }
        let price = service.price_for(sending, prepared.channel).await?;
        if let Some(finding) = over_ceiling(&prepared, price) {
            self.reject(index, vec![finding]);
            return Ok(());
        }
        if self.rows.is_empty() {
            self.unit = price.unit;
        } else if self.unit != price.unit {
            let detail = "its price is in another unit than the first row's".to_string();
            self.reject(index, vec![Finding::new("channel", Code::BadRequest, detail)]);
            return Ok(());
        }
        let content = self.content(&prepared.draft.text);
        let mut message = service.new_message(account, &prepared, price, content);
        message.dedupe = self.window.map(|window| (service.content_hash(account, &prepared), window));
        let (lane, channel, content) = (prepared.lane, prepared.channel, message.dedupe.map(|(key, _)| key));
        let send_at = message.send_at;
        if send_at > 0 && self.times.len() >= TIMES_MAX && !self.times.contains(&send_at) {
            let detail = format!("a batch has at most {TIMES_MAX} times to leave");
            self.reject(index, vec![Finding::new("sendAt", Code::ScheduleOutOfRange, detail)]);
            return Ok(());
        }
        self.times.insert(send_at);
        self.rows.push(PlanRow { index, lane, send_at, channel, price: price.amount, message, content, id: 0 });
        Ok(())
    }

    /// Numbers the texts that rows share: those are stored once. Each is kept alive here, so its place is its own.
    pub(crate) fn share_texts(&mut self, rows: &[Result<Draft, Vec<Finding>>]) {
        let mut seen: HashMap<usize, u32> = HashMap::new();
        for draft in rows.iter().flatten() {
            let times = seen.entry(draft.text.as_ptr() as usize).or_default();
            *times += 1;
            if *times == 2 {
                self.contents.push(draft.text.clone());
                self.numbers.insert(draft.text.as_ptr() as usize, self.contents.len() as u32);
            }
        }
    }

    /// The number of a shared text; texts of their own stay with their row.
    fn content(&self, text: &Arc<str>) -> u32 {
        self.numbers.get(&(text.as_ptr() as usize)).copied().unwrap_or(0)
    }

    pub(crate) fn sealed_contents(&self, service: &Service) -> Vec<Vec<u8>> {
        self.contents.iter().map(|text| service.shared.store.vault().seal(text.as_bytes())).collect()
    }

    pub(crate) fn reject(&mut self, index: u32, findings: Vec<Finding>) {
        self.findings.extend(findings.into_iter().map(|finding| Finding { index: Some(index), ..finding }));
    }

    pub(crate) fn staged(&mut self, from: usize, to: usize, slice: Option<Slice>, duplicates: &[(usize, Option<i64>)]) {
        let mut id = slice.map_or(0, |slice| slice.first);
        for at in from..to {
            match duplicates.iter().find(|(place, _)| *place == at - from) {
                Some((_, None)) => self.reject(self.rows[at].index, vec![duplicate_ref()]),
                Some((_, Some(first))) => self.equals.push((at, *first)),
                None => {
                    self.rows[at].id = id;
                    id += 1;
                }
            }
        }
        self.slices.extend(slice);
    }

    /// Tells the rows that equal a message, once all are staged; a twin in this batch is named by its row, and by its id
    /// unless the batch is refused with it. Answers whether it is.
    pub(crate) fn tell_equals(&mut self, all_or_nothing: bool) -> bool {
        let refused = all_or_nothing && !(self.findings.is_empty() && self.equals.is_empty());
        let equals = std::mem::take(&mut self.equals);
        let twins: HashMap<i64, (u32, i64)> = match equals.is_empty() {
            true => HashMap::new(),
            false => self.accepted().filter_map(|row| Some((row.content?, (row.index, row.id)))).collect(),
        };
        for (at, first) in equals {
            let row = &self.rows[at];
            let finding = match row.content.and_then(|key| twins.get(&key)) {
                Some((index, id)) => Finding {
                    duplicate_of: (!refused).then_some(MessageId(*id)),
                    ..Finding::new("text", Code::DuplicateContent, format!("equal to row {index} of this batch"))
                },
                None => equal_to(first),
            };
            self.reject(row.index, vec![finding]);
        }
        self.findings.sort_by_key(|finding| finding.index);
        refused
    }

    fn accepted(&self) -> impl Iterator<Item = &PlanRow> {
        self.rows.iter().filter(|row| row.id != 0)
    }

    pub(crate) fn amount(&self) -> i64 {
        self.accepted().map(|row| row.price).sum()
    }

    pub(crate) fn counts(&self) -> HashMap<(Channel, Lane), u64> {
        let mut counts = HashMap::new();
        for row in self.accepted() {
            *counts.entry((row.channel, row.lane)).or_default() += 1;
        }
        counts
    }

    pub(crate) fn outcome(&self, rows: u32) -> answer::BatchOutcome<'_> {
        let mut accepted: Vec<(u32, i64)> = self.accepted().map(|row| (row.index, row.id)).collect();
        accepted.sort_unstable();
        answer::BatchOutcome {
            id: RequestId(self.request),
            rows,
            accepted,
            findings: &self.findings,
            unit: self.unit,
            amount: self.amount(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bongsu_domain::Timestamp;
    use bongsu_domain::id::first_id_at;

    use super::*;

    /// A plan of rows with these contents; some equal a message, the others got ids from 100 on.
    fn plan(contents: &[i64], equals: &[(usize, i64)]) -> Plan {
        let mut plan = Plan::new(1, Some(60_000));
        for (index, content) in contents.iter().enumerate() {
            let (lane, channel, message) = (Lane::Bulk, Channel::Sms, crate::accept::empty());
            let content = Some(*content);
            plan.rows.push(PlanRow {
                index: index as u32,
                lane,
                send_at: 0,
                channel,
                price: 1,
                message,
                content,
                id: 0,
            });
        }
        let count = (contents.len() - equals.len()) as u32;
        let slice = Slice { first: 100, count, lane: Lane::Bulk, expires: 0, send_at: 0 };
        let equals: Vec<_> = equals.iter().map(|(at, first)| (*at, Some(*first))).collect();
        plan.staged(0, contents.len(), Some(slice), &equals);
        plan
    }

    #[test]
    fn a_row_hears_what_it_equals() {
        let before = first_id_at(Timestamp::parse_rfc3339("2026-03-02T09:00:00+09:00").expect("a time"));
        let mut told = plan(&[7, 8, 7, 9, 6], &[(2, 0), (3, before), (4, 0)]);
        assert!(!told.tell_equals(false));
        let heard: Vec<_> = told.findings.iter().map(|f| (f.index, f.duplicate_of.map(|id| id.0))).collect();
        assert_eq!(heard, [(Some(2), Some(100)), (Some(3), Some(before)), (Some(4), None)]);
        assert_eq!(told.findings[0].detail, "equal to row 0 of this batch");
        assert!(told.findings[1].detail.contains("accepted at 2026-03-02T09:00:00"), "{}", told.findings[1].detail);
        assert!(told.findings.iter().all(|f| (f.code, &*f.field) == (Code::DuplicateContent, "text")));
        assert_eq!((told.amount(), told.accepted().count()), (2, 2));
    }

    #[test]
    fn a_batch_of_all_or_nothing_names_no_message_of_its_own() {
        let mut told = plan(&[7, 7, 8], &[(1, 0), (2, 500)]);
        assert!(told.tell_equals(true));
        let heard: Vec<_> = told.findings.iter().map(|f| f.duplicate_of.map(|id| id.0)).collect();
        assert_eq!(heard, [None, Some(500)]);
        assert!(!plan(&[1, 2], &[]).tell_equals(true));
    }
}
