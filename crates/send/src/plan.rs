//! A batch while it is put together: its rows, the texts they share, what is wrong with others, and what became of them.

use std::collections::HashMap;
use std::sync::Arc;

use bongsu_domain::{AccountId, Channel, Code, Lane, RequestId, Unit};
use bongsu_store::accept::{NewMessage, Slice};

use crate::accept::{duplicate_ref, not_registered, store_refusal};
use crate::answer;
use crate::prepare::Prepared;
use crate::service::Service;
use crate::types::{Draft, Finding, Refusal};

/// A row on its way through a batch.
pub(crate) struct PlanRow {
    /// Its place in the batch.
    index: u32,
    pub(crate) lane: Lane,
    channel: Channel,
    price: i64,
    /// Leaves to be staged.
    pub(crate) message: NewMessage,
    /// 0 until it is staged.
    id: i64,
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
}

impl Plan {
    pub(crate) fn new(request: i64) -> Self {
        Self {
            request,
            rows: Vec::new(),
            findings: Vec::new(),
            slices: Vec::new(),
            unit: Unit::PointSms,
            contents: Vec::new(),
            numbers: HashMap::new(),
        }
    }

    pub(crate) async fn add(
        &mut self,
        service: &Service,
        account: AccountId,
        index: u32,
        prepared: Prepared,
    ) -> Result<(), Refusal> {
        let store = &service.shared.store;
        if !service.settings.may_send_from(store, account, &prepared.from).await.map_err(store_refusal)? {
            self.reject(index, vec![not_registered()]);
            return Ok(());
        }
        let price = service.settings.price(store, prepared.channel).await.map_err(store_refusal)?;
        if self.rows.is_empty() {
            self.unit = price.unit;
        } else if self.unit != price.unit {
            let detail = "its price is in another unit than the first row's".to_string();
            self.reject(index, vec![Finding { field: "channel".into(), index: None, code: Code::BadRequest, detail }]);
            return Ok(());
        }
        let content = self.content(&prepared.draft.text);
        let message = service.new_message(account, &prepared, price, content);
        let (lane, channel) = (prepared.lane, prepared.channel);
        self.rows.push(PlanRow { index, lane, channel, price: price.amount, message, id: 0 });
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
            if duplicates.iter().any(|(place, _)| *place == at - from) {
                let finding = duplicate_ref(Some(self.rows[at].index));
                self.findings.push(finding);
            } else {
                self.rows[at].id = id;
                id += 1;
            }
        }
        self.slices.extend(slice);
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
