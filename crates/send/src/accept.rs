//! Accepting: check, price, seal, write, answer. A 202 leaves only after everything is durable.

use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::{
    AccountId, Channel, ChannelChoice, Code, Lane, MessageId, PhoneNumber, Price, Secret, Timestamp, Unit, ad, phone,
};
use bongsu_store::accept::{
    BatchCommit, IdempotencyKey, NewMessage, RUN_MAX, Refused, Seen, Single, Slice, Stage, accepted_at,
};
use bongsu_store::{HashPurpose, Kind, Vault, index};
use futures_util::future::join_all;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use crate::answer;
use crate::facts;
use crate::gate::Entry;
use crate::plan::Plan;
use crate::prepare::{self, Prepared, Terms};
use crate::sealed::{self, ContentRef};
use crate::service::Service;
use crate::types::{Answer, Batch, Draft, Finding, Held, Idempotency, Refusal, Sending};

/// The account of Bongsu's own messages; it has no key and no wallet.
const OWN_ACCOUNT: AccountId = AccountId(1);
/// How long a refused batch with a key waits for another process that may be accepting it, and how often it looks.
const ELSEWHERE_MAX: Duration = Duration::from_secs(1);
const ELSEWHERE_LOOK: Duration = Duration::from_millis(50);
/// Slices of a batch that are staged at once.
const STAGING_MAX: usize = 4;

impl Service {
    /// Accepts one message.
    ///
    /// # Errors
    /// Everything that is wrong with it, or that the store cannot take it now; nothing was charged then.
    pub async fn send_one(
        &self,
        sending: impl Into<Sending>,
        draft: Box<Draft>,
        idem: Option<Idempotency>,
    ) -> Result<Answer, Refusal> {
        let sending = sending.into();
        let account = sending.account;
        let key = idem.as_ref().map(|idem| self.idempotency_key(account, idem));
        let _pass = match self.enter(&key).await? {
            Passage::Open(pass) => pass,
            Passage::Seen(answer) => return Ok(answer),
        };
        let known = self.settings.account(&self.shared.store, account).await.map_err(store_refusal)?;
        let terms = self.terms(draft.lane, &known.ads);
        let prepared =
            prepare::prepare(*draft, &terms).map_err(|findings| Refusal::fields(code_of(&findings), findings))?;
        self.check_sender(account, &prepared).await?;
        if let Some(finding) = self.out_of_reach(sending, &prepared.to).await? {
            return Err(Refusal::fields(finding.code, vec![finding]));
        }
        let price = self.price_for(sending, prepared.channel).await?;
        if let Some(finding) = over_ceiling(&prepared, price) {
            return Err(Refusal::fields(finding.code, vec![finding]));
        }
        let mut message = self.new_message(account, &prepared, price, 0);
        message.dedupe = known.window_ms.map(|window| (self.content_hash(account, &prepared), window));
        message.key = sending.key.map_or(0, |key| key.0);
        let (lane, channel) = (prepared.lane, prepared.channel);
        let held = Held::at(lane, terms.hours, prepared.send_at.unwrap_or(terms.now));
        let body = Box::new(move |id| (202, answer::single(id, &prepared, price, held)));
        let single = Single::new(account, lane, message, key, self.trace.clone(), body);
        let done = self.shared.store.accept(single).await;
        match done.map_err(store_refusal)? {
            Ok((id, body)) => {
                self.shared.metrics.accepted(channel, lane, 1);
                self.step_accepted(account, || MessageId(id).to_string(), 1);
                Ok(Answer { status: 202, body, replayed: false })
            }
            Err(refused) => refusal(refused),
        }
    }

    /// Accepts up to 10,000 messages.
    ///
    /// # Errors
    /// When no row can be accepted, or one of an all-or-nothing batch cannot; nothing was charged then.
    pub async fn send_batch(
        &self,
        sending: impl Into<Sending>,
        batch: Batch,
        idem: Option<Idempotency>,
    ) -> Result<Answer, Refusal> {
        let sending = sending.into();
        let account = sending.account;
        let key = idem.as_ref().map(|idem| self.idempotency_key(account, idem));
        let _pass = match self.enter(&key).await? {
            Passage::Open(pass) => pass,
            Passage::Seen(answer) => return Ok(answer),
        };
        let rows = batch.rows.len() as u32;
        let known = self.settings.account(&self.shared.store, account).await.map_err(store_refusal)?;
        let mut plan = Plan::new(self.shared.store.new_id().map_err(store_refusal)?, known.window_ms);
        plan.share_texts(&batch.rows);
        for (index, row) in batch.rows.into_iter().enumerate() {
            let prepared = row.and_then(|draft| {
                let terms = self.terms(draft.lane, &known.ads);
                prepare::prepare(draft, &terms)
            });
            match prepared {
                Ok(prepared) => plan.add(self, sending, index as u32, prepared).await?,
                Err(findings) => plan.reject(index as u32, findings),
            }
            if index % RUN_MAX == RUN_MAX - 1 {
                tokio::task::yield_now().await;
            }
        }
        if plan.rows.is_empty() || (batch.all_or_nothing && !plan.findings.is_empty()) {
            return Err(Refusal::fields(code_of(&plan.findings), plan.findings));
        }
        self.stage_and_commit(sending, plan, rows, (batch.all_or_nothing, batch.errors_only), key).await
    }

    fn step_accepted(&self, account: AccountId, request: impl FnOnce() -> String, messages: usize) {
        let steps = &self.shared.steps;
        if steps.any() {
            steps.accepted(account, &request(), messages, self.trace.as_deref(), &*self.shared.clock);
        }
    }

    /// Writes the steps of an account's messages to the log of this process until then; a time that is past ends it.
    ///
    /// # Errors
    /// `RateLimited` when so many are looked at already.
    pub fn look_at(&self, account: AccountId, until: Timestamp) -> Result<(), Refusal> {
        match self.shared.steps.look_at(account, until, self.shared.clock.now()) {
            true => Ok(()),
            false => Err(Refusal::new(Code::RateLimited, "too many accounts are looked at; end one first")),
        }
    }

    /// Waits for a batch's turn: few are read and prepared at once, since more of them need memory and no less time. Take
    /// it before the body is parsed, keep it until the answer is made.
    ///
    /// # Errors
    /// Only while the process ends.
    pub async fn batch_turn(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        self.batches.clone().acquire_owned().await.map_err(|_| Refusal::new(Code::Internal, "stopping"))
    }

    async fn stage_and_commit(
        &self,
        sending: Sending,
        mut plan: Plan,
        rows: u32,
        (all_or_nothing, errors_only): (bool, bool),
        key: Option<IdempotencyKey>,
    ) -> Result<Answer, Refusal> {
        let account = sending.account;
        let staged = self.stage(account, &mut plan).await;
        let refused = plan.tell_equals(all_or_nothing);
        if staged.is_err() || refused || plan.slices.is_empty() {
            let discarded = self.discard(std::mem::take(&mut plan.slices));
            staged?;
            joined(discarded).await?;
            if let Some(answer) = self.answered_elsewhere(key.as_ref()).await? {
                return Ok(answer);
            }
            return Err(Refusal::fields(code_of(&plan.findings), plan.findings));
        }
        let body = answer::batch(&plan.outcome(rows), errors_only);
        let unit = plan.unit;
        let commit = BatchCommit {
            request: plan.request,
            account,
            rows,
            slices: plan.slices.clone(),
            unit,
            amount: plan.amount(),
            key: sending.key.map_or(0, |key| key.0),
            idempotency: key.map(|key| (key, 202, body.clone())),
            trace: self.trace.clone(),
        };
        let done = self.shared.store.commit_batch(commit).await;
        match done {
            Ok(Ok(())) => {
                for ((channel, lane), count) in plan.counts() {
                    self.shared.metrics.accepted(channel, lane, count);
                }
                self.step_accepted(account, || bongsu_domain::RequestId(plan.request).to_string(), plan.rows.len());
                Ok(Answer { status: 202, body, replayed: false })
            }
            Ok(Err(refused)) => {
                joined(self.discard(plan.slices)).await?;
                refusal(refused)
            }
            Err(error) => {
                self.discard(plan.slices);
                Err(store_refusal(error))
            }
        }
    }

    /// The answer that another process gives to the same request in this moment: its staged rows had the references that
    /// these were refused for.
    async fn answered_elsewhere(&self, key: Option<&IdempotencyKey>) -> Result<Option<Answer>, Refusal> {
        let Some(key) = key.filter(|_| self.shared.territory.is_shared()) else { return Ok(None) };
        let until = tokio::time::Instant::now() + ELSEWHERE_MAX;
        loop {
            match self.shared.store.seen(key.clone()).await.map_err(store_refusal)? {
                Some(Seen::Answer(status, body)) => return Ok(Some(Answer { status, body, replayed: true })),
                Some(Seen::OtherBody) => return Err(mismatch()),
                None if tokio::time::Instant::now() >= until => return Ok(None),
                None => tokio::time::sleep(ELSEWHERE_LOOK).await,
            }
        }
    }

    /// Writes the rows in slices; ids come back with them.
    async fn stage(&self, account: AccountId, plan: &mut Plan) -> Result<(), Refusal> {
        let contents: Arc<Vec<Vec<u8>>> = Arc::new(plan.sealed_contents(self));
        plan.rows.sort_by_key(|row| row.kin());
        let mut waiting = Vec::new();
        let mut at = 0;
        let mut failed = None;
        while at < plan.rows.len() || !waiting.is_empty() {
            while at < plan.rows.len() && waiting.len() < STAGING_MAX && failed.is_none() {
                let kin = plan.rows[at].kin();
                let lane = plan.rows[at].lane;
                let end = (at..plan.rows.len()).take(RUN_MAX).take_while(|i| plan.rows[*i].kin() == kin).count() + at;
                let messages =
                    plan.rows[at..end].iter_mut().map(|row| std::mem::replace(&mut row.message, empty())).collect();
                let stage = Stage { request: plan.request, account, lane, contents: contents.clone(), messages };
                let store = self.shared.store.clone();
                waiting.push((at, end, tokio::spawn(async move { store.stage(stage).await })));
                at = end;
            }
            if waiting.is_empty() {
                break;
            }
            let (from, to, stage) = waiting.remove(0);
            match joined(stage).await.and_then(|staged| staged.map_err(store_refusal)) {
                Ok(staged) => plan.staged(from, to, staged.slice, &staged.duplicates),
                Err(refusal) => failed = Some(refusal),
            }
            if failed.is_some() && waiting.is_empty() {
                break;
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Removes staged slices, also when nobody waits for it. A refusal waits, so that what it refused is in nobody's way
    /// when the caller comes again; an answer that the store failed does not.
    fn discard(&self, slices: Vec<Slice>) -> JoinHandle<()> {
        let store = self.shared.store.clone();
        let request_id = self.trace.clone().unwrap_or_default();
        tokio::spawn(async move {
            let all = slices.into_iter().map(|slice| store.discard(vec![slice]));
            if let Some(error) = join_all(all).await.into_iter().find_map(Result::err) {
                tracing::warn!(%error, request_id = &*request_id, "staged rows are left to the sweeper");
            }
        })
    }

    pub(crate) fn idempotency_key(&self, account: AccountId, idem: &Idempotency) -> IdempotencyKey {
        let text = format!("{}\n{}\n{}", account, idem.route, idem.key);
        let key = self.shared.store.vault().hash_in(HashPurpose::ClientRef, text.as_bytes());
        IdempotencyKey { key, body_hash: idem.body_hash }
    }

    /// Lets the first request with a key through; the others get its answer.
    async fn enter(&self, key: &Option<IdempotencyKey>) -> Result<Passage, Refusal> {
        let Some(key) = key else { return Ok(Passage::Open(None)) };
        let in_progress = || Refusal {
            retry_after: Some(Duration::from_secs(1)),
            ..Refusal::new(Code::IdempotencyInProgress, "a request with this Idempotency-Key is still running")
        };
        let until = tokio::time::Instant::now() + self.shared.config.idempotency_wait;
        loop {
            match self.gate.enter(key.key) {
                None => return Err(Refusal::new(Code::StoreUnavailable, "too many requests with keys are running")),
                Some(Entry::First(pass)) => {
                    return match self.shared.store.seen(key.clone()).await.map_err(store_refusal)? {
                        None => Ok(Passage::Open(Some(pass))),
                        Some(Seen::Answer(status, body)) => Ok(Passage::Seen(Answer { status, body, replayed: true })),
                        Some(Seen::OtherBody) => Err(mismatch()),
                    };
                }
                Some(Entry::Busy(mut done)) => {
                    let waited = tokio::time::timeout_at(until, async { while done.changed().await.is_ok() {} }).await;
                    waited.map_err(|_| in_progress())?;
                }
            }
        }
    }

    /// Sends a verification code (인증번호) to a number, on the auth lane, from Bongsu's own number and at no charge. A
    /// number that no text can reach (a landline, a 15xx number) gets none: an operator approves it on its papers.
    ///
    /// # Errors
    /// Those of the store, and a number that cannot receive.
    pub async fn send_code(&self, to: &PhoneNumber, code: &Secret, expires: Timestamp) -> Result<(), Refusal> {
        if phone::parse_recipient(to.national()).is_err() {
            return Ok(());
        }
        let text = format!("[Bongsu 봉수] 인증번호 {} 를 5분 안에 입력하세요.", code.expose());
        let draft = Draft {
            channel: ChannelChoice::Sms,
            lane: Lane::Auth,
            to: to.national().to_string(),
            from: self.shared.config.own_number.national().to_string(),
            text: text.into(),
            subject: None,
            variables: Vec::new(),
            client_ref: None,
            bill_code: None,
            labels: Vec::new(),
            expires_in: Some(expires.since(self.shared.clock.now()).max(Duration::from_secs(1))),
            send_at: None,
            ad: None,
            max_cost: None,
        };
        let prepared = prepare::prepare(draft, &self.terms(Lane::Auth, &ad::Sender::default()))
            .map_err(|findings| Refusal::fields(code_of(&findings), findings))?;
        let free = Price { unit: Unit::PointSms, amount: 0 };
        let message = self.new_message(OWN_ACCOUNT, &prepared, free, 0);
        let no_answer = Box::new(|_| (202, Vec::new()));
        let done = self.shared.store.accept_one(OWN_ACCOUNT, Lane::Auth, message, None, no_answer).await;
        done.map_err(store_refusal)?.map_err(|_| Refusal::new(Code::Internal, "the code could not be sent"))?;
        self.shared.metrics.accepted(prepared.channel, Lane::Auth, 1);
        Ok(())
    }

    /// What the rules have to know beside a draft, now.
    pub(crate) fn terms<'a>(&self, lane: Lane, ads: &'a ad::Sender) -> Terms<'a> {
        let (now, config) = (self.shared.clock.now(), &self.shared.config);
        let latest = config.schedule_until(now);
        Terms { expiry: config.expiry(lane), now, latest, hours: config.ad_hours, ads }
    }

    async fn check_sender(&self, account: AccountId, prepared: &Prepared) -> Result<(), Refusal> {
        let may =
            self.settings.may_send_from(&self.shared.store, account, &prepared.from).await.map_err(store_refusal)?;
        if may { Ok(()) } else { Err(Refusal::fields(Code::SenderNotRegistered, vec![not_registered()])) }
    }

    /// A prepared message as the store takes it. `content` is the number of its text in the request, 0 for none.
    pub(crate) fn new_message(
        &self,
        account: AccountId,
        prepared: &Prepared,
        price: Price,
        content: u32,
    ) -> NewMessage {
        let vault = self.shared.store.vault();
        let said = match content {
            0 => ContentRef::Text(&prepared.text),
            _ => ContentRef::Variables(&prepared.draft.variables),
        };
        let plain = sealed::encode(prepared.to.national(), prepared.from.national(), prepared.subject.as_deref(), said);
        let hash = |purpose, text: &str| search_hash(vault, purpose, account, text);
        NewMessage {
            channel: prepared.channel,
            unit: price.unit,
            price: price.amount,
            send_at: prepared.send_at.map_or(0, Timestamp::millis),
            expires_ms: prepared.expires_in.as_millis() as i64,
            recipient: hash(HashPurpose::Recipient, prepared.to.national()),
            last4: self.settings.last4_key(vault, account, &prepared.to),
            content,
            sealed: vault.seal(&plain),
            extra: prepare::extra(&prepared.draft),
            counted: facts::tags(&prepared.draft),
            stat: 0,
            client_ref: prepared.draft.client_ref.as_deref().map(|r| hash(HashPurpose::ClientRef, r)),
            dedupe: None,
            key: 0,
            sender: self.settings.sender_key(vault, account, &prepared.from),
            tags: index::tags(account, prepared.draft.bill_code.as_deref(), &prepared.draft.labels),
        }
    }

    /// What two equal messages of an account have in common.
    pub(crate) fn content_hash(&self, account: AccountId, prepared: &Prepared) -> i64 {
        let mut bytes = keyed(account, "");
        bytes.extend_from_slice(&prepared.content());
        self.shared.store.vault().hash_in(HashPurpose::Content, &bytes)
    }
}

/// What a task of a batch came to.
async fn joined<T>(task: JoinHandle<T>) -> Result<T, Refusal> {
    task.await.map_err(|_| Refusal::new(Code::Internal, "a part of the batch ended early"))
}

/// The key under which a message of an account is found again by a recipient, its last four digits or a reference.
pub fn search_hash(vault: &Vault, purpose: HashPurpose, account: AccountId, text: &str) -> i64 {
    let hash = vault.hash_in(purpose, &keyed(account, text));
    if purpose == HashPurpose::LastFour { hash & 0xFFFF_FFFF } else { hash }
}

/// What is hashed for a look-up within one account.
fn keyed(account: AccountId, text: &str) -> Vec<u8> {
    let mut bytes = account.0.to_be_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

enum Passage {
    Open(Option<crate::gate::Pass>),
    Seen(Answer),
}

pub(crate) fn empty() -> NewMessage {
    NewMessage {
        channel: Channel::Sms,
        unit: Unit::PointSms,
        price: 0,
        send_at: 0,
        expires_ms: 0,
        recipient: 0,
        last4: 0,
        content: 0,
        sealed: Vec::new(),
        extra: None,
        counted: None,
        stat: 0,
        client_ref: None,
        dedupe: None,
        key: 0,
        sender: 0,
        tags: Vec::new(),
    }
}

pub(crate) fn not_registered() -> Finding {
    Finding::new("from", Code::SenderNotRegistered, "not a verified sender number of this account")
}

/// What is wrong with a message that costs more than its caller wants to pay (S03).
pub(crate) fn over_ceiling(prepared: &Prepared, price: Price) -> Option<Finding> {
    let most = prepared.draft.max_cost.filter(|most| price.amount > *most)?;
    let detail = format!("costs {} {}, more than {most}", price.amount, price.unit.as_str());
    Some(Finding::new("maxCost", Code::SpendLimit, detail))
}

fn mismatch() -> Refusal {
    Refusal::new(Code::IdempotencyMismatch, "this Idempotency-Key was used with another body")
}

fn refusal(refused: Refused) -> Result<Answer, Refusal> {
    match refused {
        Refused::NoBalance => {
            Err(Refusal::new(Code::NoBalance, "the balance does not cover the charge; nothing was sent"))
        }
        Refused::DuplicateClientRef => Err(Refusal::fields(Code::DuplicateClientRef, vec![duplicate_ref()])),
        Refused::Duplicate(first) => Err(Refusal::fields(Code::DuplicateContent, vec![equal_to(first)])),
        Refused::Seen(Seen::Answer(status, body)) => Ok(Answer { status, body, replayed: true }),
        Refused::Seen(Seen::OtherBody) => Err(mismatch()),
    }
}

pub(crate) fn duplicate_ref() -> Finding {
    Finding::new("clientRef", Code::DuplicateClientRef, "another message of this account has this clientRef")
}

/// An equal message was accepted before, or 0: it is being accepted in a batch that may yet be refused.
pub(crate) fn equal_to(first: i64) -> Finding {
    if first == 0 {
        let detail = "an equal message is being accepted in another batch; it was not sent if that batch is refused";
        return Finding::new("text", Code::DuplicateContent, detail);
    }
    let (id, at) = (MessageId(first), accepted_at(first).rfc3339());
    let detail = format!("equal to {id}, accepted at {at}, within the account's window");
    Finding { duplicate_of: Some(id), ..Finding::new("text", Code::DuplicateContent, detail) }
}

/// The code of a whole request from its findings: their own when they agree, else a bad request.
pub(crate) fn code_of(findings: &[Finding]) -> Code {
    match findings.split_first() {
        Some((first, rest)) if rest.iter().all(|finding| finding.code == first.code) => first.code,
        _ => Code::BadRequest,
    }
}

/// A store error as a caller sees it.
pub(crate) fn store_refusal(error: bongsu_store::Error) -> Refusal {
    let retry_after = Some(Duration::from_secs(1));
    match error.kind() {
        Kind::Full => {
            Refusal { retry_after, ..Refusal::new(Code::StorageFull, "the disk is full; nothing was accepted") }
        }
        Kind::Unavailable | Kind::ClockBehind | Kind::Broken | Kind::InUse | Kind::Busy | Kind::Lost | Kind::Fenced => {
            Refusal {
                retry_after,
                ..Refusal::new(
                    Code::StoreUnavailable,
                    "the store cannot answer now; send it again, with the same Idempotency-Key if it had one",
                )
            }
        }
        Kind::NotFound => Refusal::new(Code::NotFound, "there is no such thing in this account"),
        Kind::Invalid(field) => {
            Refusal::fields(Code::BadRequest, vec![Finding::new(field, Code::BadRequest, error.to_string())])
        }
        _ => {
            tracing::error!(%error, "the store answered in a way that no rule covers");
            Refusal::new(Code::Internal, "something went wrong inside; it was logged")
        }
    }
}
