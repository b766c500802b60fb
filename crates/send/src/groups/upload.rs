//! Rows of a group on their way in: checked, priced, sealed, and staged in chunks that come one after the other.
//!
//! Memory holds a few chunks, whatever the size of the upload.

use std::collections::VecDeque;
use std::sync::Arc;

use bongsu_domain::{Code, GroupId, Lane};
use bongsu_store::accept::{NewMessage, RUN_MAX};
use bongsu_store::groups::{self as stored, Begun, Chunk, ChunkDone, ChunkRefused, LaneRows, RowError};
use bongsu_store::{Error, HashPurpose};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::steps::group_refusal;
use crate::accept::{not_registered, over_ceiling, store_refusal};
use crate::prepare::{self, Extra};
use crate::service::Service;
use crate::types::{Draft, Finding, Refusal, Scope, Sending};

/// Chunks that are being written while the next one is read.
const CHUNKS_OUT: usize = 3;
/// Bytes of texts in one chunk.
const CHUNK_BYTES: usize = 1024 * 1024;
/// Rows prepared before others have their turn.
const ROWS_AT_ONCE: u32 = 50;
/// Characters that are kept of a recipient that is none, and of a finding.
const KEPT_MAX: usize = 40;
const DETAIL_MAX: usize = 300;

/// Who a row is for, as far as it could be read: kept of a row that is refused.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// The recipient as written.
    pub to: Option<String>,
    /// The client reference.
    pub client_ref: Option<String>,
}

/// What became of an upload, or of a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UploadOutcome {
    /// Rows that were read.
    pub rows: u32,
    /// Of them, those that were there already.
    pub known: u32,
    /// Rows that were accepted now.
    pub accepted: u32,
    /// Rows that were refused now.
    pub rejected: u32,
    /// Rows of the group by now.
    pub received: u32,
}

/// Rows that come in.
pub struct Upload {
    service: Service,
    sending: Sending,
    group: i64,
    /// JSON of what rows do not say.
    defaults: String,
    upload: i64,
    /// How the upload with this key began, when its rows begin with its first one.
    begun: Option<Begun>,
    /// Keyed hash of all rows so far, each over those before it.
    hash: i64,
    /// Whether the rows are to come after all others.
    appends: bool,
    /// A chunk was refused: none of the later ones may come in without it.
    is_refused: bool,
    /// Number of the next row.
    next: u32,
    text: Option<Arc<str>>,
    contents: Arc<Vec<Vec<u8>>>,
    chunk: Chunk,
    bytes: usize,
    out: VecDeque<JoinHandle<Result<Result<ChunkDone, ChunkRefused>, Error>>>,
    outcome: UploadOutcome,
    _turn: OwnedSemaphorePermit,
}

impl Service {
    /// Begins an upload of rows, or goes on with one: from row `from` on (1 is the first; rows that are there are stepped
    /// over), or where the one with the same key began, or after the last row.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the group takes no rows, an upload with another key is not complete, or rows before
    /// `from` are missing.
    pub async fn begin_upload(
        &self,
        sending: Sending,
        id: GroupId,
        from: Option<u32>,
        key: Option<&str>,
    ) -> Result<Upload, Refusal> {
        let account = sending.account;
        let turn = self.uploads.clone().acquire_owned().await;
        let turn = turn.map_err(|_| Refusal::new(Code::Internal, "stopping"))?;
        let row = self.group_row(Scope::Account(account), id).await?;
        let defaults = self.group_terms(&row, sending)?;
        let vault = self.shared.store.vault();
        let hash = |key: &str| vault.hash_in(HashPurpose::ClientRef, format!("{id}\n{key}").as_bytes()) | 1;
        let upload = key.map_or(0, hash);
        let begun = self.shared.store.begin_upload(account, id.0, upload).await.map_err(group_refusal)?;
        let begun = begun.map_err(upload_refusal)?;
        let first = begun.first;
        // Only a number or a key says that rows may be there already.
        let appends = from.is_none() && key.is_none();
        let next = from.unwrap_or(first);
        if next == 0 || next > row.received.max(first) + 1 {
            return Err(upload_refusal(ChunkRefused::Gap(row.received)));
        }
        Ok(Upload {
            service: self.clone(),
            sending,
            group: id.0,
            defaults,
            upload,
            begun: (upload != 0 && next == first).then_some(begun),
            hash: 0,
            appends,
            is_refused: false,
            next,
            text: None,
            contents: Arc::default(),
            chunk: Chunk {
                group: id.0,
                account,
                from: next,
                count: 0,
                lanes: Vec::new(),
                errors: Vec::new(),
                contents: Arc::default(),
                upload,
                appends,
                hash: 0,
            },
            bytes: 0,
            out: VecDeque::new(),
            outcome: UploadOutcome { received: row.received, ..UploadOutcome::default() },
            _turn: turn,
        })
    }
}

impl Upload {
    /// JSON of what rows do not say.
    pub fn defaults(&self) -> &str {
        &self.defaults
    }

    /// Names the text that most rows share, so that it is stored once: rows have it by the same pointer.
    pub fn share_text(&mut self, text: Option<&Arc<str>>) {
        let Some(text) = text else { return };
        self.text = Some(text.clone());
        self.contents = Arc::new(vec![self.service.shared.store.vault().seal(text.as_bytes())]);
        self.chunk.contents = self.contents.clone();
    }

    /// The number of the next row.
    pub fn next_row(&self) -> u32 {
        self.next
    }

    /// What became of the rows so far, as far as it is known.
    pub fn outcome(&self) -> UploadOutcome {
        self.outcome
    }

    /// Takes the next row: a draft, or what already failed while reading it.
    ///
    /// # Errors
    /// `TooManyRows`; when the group takes no more rows; those of the store. Rows before it may have been staged.
    pub async fn row(&mut self, read: Result<Draft, Vec<Finding>>, who: Identity) -> Result<(), Refusal> {
        if self.next > stored::ROWS_MAX {
            return Err(upload_refusal(ChunkRefused::TooMany));
        }
        self.hash_row(&read, &who)?;
        match read {
            Ok(draft) => self.draft(draft).await?,
            Err(findings) => self.refuse(&findings, &who),
        }
        self.next += 1;
        self.chunk.count += 1;
        self.outcome.rows += 1;
        if self.chunk.count as usize == RUN_MAX || self.bytes >= CHUNK_BYTES {
            self.flush().await?;
        } else if self.chunk.count.is_multiple_of(ROWS_AT_ONCE) {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Counts a row into the hash of an upload with a key, and sees whether the rows are those that came with it before.
    fn hash_row(&mut self, read: &Result<Draft, Vec<Finding>>, who: &Identity) -> Result<(), Refusal> {
        let Some(begun) = self.begun else { return Ok(()) };
        let said = match read {
            Ok(draft) => {
                let is_shared = self.text.as_ref().is_some_and(|text| Arc::ptr_eq(text, &draft.text));
                let text = (!is_shared).then_some(&draft.text);
                let what = (draft.channel, draft.lane, &draft.to, &draft.from, text, &draft.subject, &draft.variables);
                let more = (&draft.client_ref, &draft.bill_code, &draft.labels, draft.expires_in);
                format!("{:?}", (self.hash, what, more, draft.send_at, draft.ad, draft.max_cost))
            }
            Err(findings) => format!("{:?}", (self.hash, &who.to, &who.client_ref, findings)),
        };
        self.hash = self.service.shared.store.vault().hash_in(HashPurpose::ClientRef, said.as_bytes()) | 1;
        self.chunk.hash = self.hash;
        if self.outcome.rows + 1 == begun.hashed && self.hash != begun.hash {
            self.is_refused = true;
            return Err(upload_refusal(ChunkRefused::OtherBody));
        }
        Ok(())
    }

    async fn draft(&mut self, draft: Draft) -> Result<(), Refusal> {
        let who = Identity { to: Some(draft.to.clone()), client_ref: draft.client_ref.clone() };
        let is_shared = self.text.as_ref().is_some_and(|text| Arc::ptr_eq(text, &draft.text));
        if draft.send_at.is_some() {
            let detail = "is of the group as a whole, not of its rows";
            self.refuse(&[Finding::new("sendAt", Code::BadRequest, detail)], &who);
            return Ok(());
        }
        let (store, settings) = (&self.service.shared.store, &self.service.settings);
        let known = settings.account(store, self.sending.account).await.map_err(store_refusal)?;
        let terms = self.service.terms(draft.lane, &known.ads);
        let prepared = match prepare::prepare(draft, &terms) {
            Ok(prepared) => prepared,
            Err(findings) => {
                self.refuse(&findings, &who);
                return Ok(());
            }
        };
        let service = &self.service;
        if !settings.may_send_from(store, self.sending.account, &prepared.from).await.map_err(store_refusal)? {
            self.refuse(&[not_registered()], &who);
            return Ok(());
        }
        if let Some(finding) = service.out_of_reach(self.sending, &prepared.to).await? {
            self.refuse(&[finding], &who);
            return Ok(());
        }
        let price = service.price_for(self.sending, prepared.channel).await?;
        if let Some(finding) = over_ceiling(&prepared, price) {
            self.refuse(&[finding], &who);
            return Ok(());
        }
        let mut message = service.new_message(self.sending.account, &prepared, price, u32::from(is_shared));
        message.dedupe = known.window_ms.map(|window| (service.content_hash(self.sending.account, &prepared), window));
        message.extra = Extra { n: Some(self.next), ..Extra::of(&prepared.draft) }.text();
        self.bytes += message.sealed.len();
        self.put(prepared.lane, message);
        Ok(())
    }

    fn put(&mut self, lane: Lane, message: NewMessage) {
        let lanes = &mut self.chunk.lanes;
        let at = lanes.iter().position(|rows| rows.lane == lane).unwrap_or_else(|| {
            lanes.push(LaneRows { lane, rows: Vec::new(), messages: Vec::new() });
            lanes.len() - 1
        });
        lanes[at].rows.push(self.next);
        lanes[at].messages.push(message);
    }

    fn refuse(&mut self, findings: &[Finding], who: &Identity) {
        let vault = self.service.shared.store.vault();
        let cut = |text: &str, most: usize| text.chars().take(most).collect::<String>();
        let told = findings.iter().take(stored::FINDINGS_MAX);
        let findings: Vec<_> = told.map(|f| (f.code, cut(&f.field, 100), cut(&f.detail, DETAIL_MAX))).collect();
        let sealed = who.to.as_deref().map(|to| vault.seal(cut(to, KEPT_MAX).as_bytes())).unwrap_or_default();
        let client_ref = who.client_ref.as_deref().map(|text| cut(text, prepare::CLIENT_REF_MAX));
        let extra = client_ref.and_then(|r| Extra { r: Some(r), ..Extra::default() }.text());
        self.chunk.errors.push(RowError { row: self.next, findings, sealed, extra });
    }

    /// Hands over what was read, and waits while too much is being written.
    ///
    /// # Errors
    /// As for [`Upload::row`].
    pub async fn flush(&mut self) -> Result<(), Refusal> {
        if self.appends {
            // Of rows that another upload overtakes, none may come in behind those that are refused.
            while !self.out.is_empty() {
                self.settle().await?;
            }
        }
        if self.chunk.count > 0 && !self.is_refused {
            let next = Chunk {
                from: self.next,
                count: 0,
                lanes: Vec::new(),
                errors: Vec::new(),
                contents: self.contents.clone(),
                ..self.chunk
            };
            let chunk = std::mem::replace(&mut self.chunk, next);
            let store = self.service.shared.store.clone();
            self.bytes = 0;
            self.out.push_back(tokio::spawn(async move { store.stage_rows(chunk).await }));
        }
        while self.out.len() >= CHUNKS_OUT {
            self.settle().await?;
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), Refusal> {
        let Some(chunk) = self.out.pop_front() else { return Ok(()) };
        let ended = |_| Refusal::new(Code::Internal, "a part of the upload ended early");
        let done = chunk.await.map_err(ended).and_then(|done| done.map_err(group_refusal));
        let done = done.and_then(|done| done.map_err(|refused| self.told(refused)));
        self.is_refused |= done.is_err();
        let done = done?;
        self.outcome.known += done.known;
        self.outcome.accepted += done.accepted;
        self.outcome.rejected += done.rejected;
        self.outcome.received = done.received.max(self.outcome.received);
        Ok(())
    }

    fn told(&self, refused: ChunkRefused) -> Refusal {
        match refused {
            ChunkRefused::Overtaken(_) => {
                let there = self.outcome.accepted + self.outcome.rejected;
                let detail = format!(
                    "another upload brought rows at the same time; the first {there} rows of this one were taken: try again with the others"
                );
                Refusal::new(Code::Conflict, detail)
            }
            refused => upload_refusal(refused),
        }
    }

    /// Waits until every row that was read is staged.
    ///
    /// # Errors
    /// As for [`Upload::row`].
    pub async fn drain(&mut self) -> Result<UploadOutcome, Refusal> {
        self.flush().await?;
        while !self.out.is_empty() {
            self.settle().await?;
        }
        Ok(self.outcome)
    }

    /// The last row was read: waits until all are staged, and ends an upload that came with a key.
    ///
    /// # Errors
    /// As for [`Upload::row`].
    pub async fn finish(mut self) -> Result<UploadOutcome, Refusal> {
        let outcome = self.drain().await?;
        if self.upload != 0 {
            let store = &self.service.shared.store;
            let ended = store.end_upload(self.sending.account, self.group, self.upload, outcome.rows, self.hash).await;
            ended.map_err(group_refusal)?.map_err(upload_refusal)?;
        }
        Ok(outcome)
    }
}

fn upload_refusal(refused: ChunkRefused) -> Refusal {
    match refused {
        ChunkRefused::State(state) => {
            Refusal::new(Code::Conflict, format!("the group is {}; it takes no rows", state.as_str()))
        }
        ChunkRefused::OtherUpload => {
            Refusal::new(Code::Conflict, "an upload with another Idempotency-Key is not complete; end that one first")
        }
        ChunkRefused::Gap(received) => Refusal::new(
            Code::Conflict,
            format!("from: the group has {received} rows, so the next one is {}", received + 1),
        ),
        ChunkRefused::Overtaken(received) => {
            Refusal::new(Code::Conflict, format!("another upload brought rows at the same time; {received} are there"))
        }
        ChunkRefused::TooMany => {
            Refusal::new(Code::TooManyRows, format!("a group has at most {} rows", stored::ROWS_MAX))
        }
        ChunkRefused::OtherBody => {
            Refusal::new(Code::IdempotencyMismatch, "this Idempotency-Key was used with another body")
        }
        ChunkRefused::Longer(rows) => Refusal::new(
            Code::IdempotencyMismatch,
            format!("the upload with this Idempotency-Key had {rows} rows, it has another number now"),
        ),
    }
}
