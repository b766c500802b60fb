//! The fixture of the laws: a store on a directory of its own with a clock by hand, which can be closed or crashed and opened again.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bongsu_domain::{AccountId, Channel, Clock, Code, Day, Lane, ManualClock, Status, Timestamp, Unit};
use bongsu_store::accept::{BatchCommit, IdempotencyKey, NewMessage, Refused, Slice, Stage, Staged};
use bongsu_store::audit::{self, Totals};
use bongsu_store::changes::{Attempt, Change, Final, Submit};
use bongsu_store::claims::{Claim, Claimed, Due, NO_RELAY, Taken};
use bongsu_store::lookup::{Known, UnknownRow, Wanted};
use bongsu_store::query::{Filter, Found};
use bongsu_store::rows::{Outcome, Run};
use bongsu_store::{Error, Options, Store, accounts, wallet};

use crate::ground::Ground;

/// One day in milliseconds.
pub const DAY_MS: i64 = 86_400_000;

/// A store and what it stands on.
pub struct House {
    pub store: Store,
    pub clock: Arc<ManualClock>,
    pub dir: tempfile::TempDir,
    pub ground: Ground,
}

pub fn house() -> House {
    house_of(None)
}

/// A house whose files may not grow beyond so many pages.
pub fn house_of(pages_max: Option<u32>) -> House {
    house_on(Ground::new(), pages_max)
}

pub fn house_on(ground: Ground, pages_max: Option<u32>) -> House {
    let clock = Arc::new(ManualClock::new(morning()));
    let dir = tempfile::tempdir().unwrap();
    let store = ground.open(dir.path(), &clock, pages_max).unwrap();
    House { store, clock, dir, ground }
}

/// When every house opens first.
pub fn morning() -> Timestamp {
    Timestamp::parse_rfc3339("2026-03-02T09:00:00+09:00").unwrap()
}

pub fn open(dir: &Path, clock: &Arc<ManualClock>, pages_max: Option<u32>) -> Result<Store, Error> {
    Store::open(Options { pages_max, ..Options::new(dir, clock.clone()) })
}

impl Ground {
    pub fn open(&self, dir: &Path, clock: &Arc<ManualClock>, pages_max: Option<u32>) -> Result<Store, Error> {
        Store::open(self.options(Options { pages_max, ..Options::new(dir, clock.clone()) }))
    }
}

/// What a kill leaves for the next start, with lengths and times. A log comes after its file: a checkpoint in between only
/// copies what the log still holds.
fn files_of(dir: &Path) -> Vec<(String, u64, std::time::SystemTime)> {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    let mut files: Vec<_> = entries
        .filter_map(|e| {
            let known = e.metadata().ok()?;
            Some((e.file_name().into_string().unwrap(), known.len(), known.modified().unwrap()))
        })
        .filter(|(name, ..)| name != "lock" && !name.ends_with("-shm"))
        .collect();
    files.sort();
    files
}

impl House {
    /// Closed properly and opened again.
    pub fn reopen(self) -> House {
        self.reopen_with(None)
    }

    pub fn reopen_with(self, pages_max: Option<u32>) -> House {
        self.store.close();
        let House { store, clock, dir, ground } = self;
        drop(store);
        let store = ground.open(dir.path(), &clock, pages_max).unwrap();
        House { store, clock, dir, ground }
    }

    /// Opened from what a `kill -9` leaves: the files and their logs as they are at this moment, nothing closed.
    pub fn crash(self) -> House {
        if self.ground.is_shared() {
            return self.abandon();
        }
        let dir = loop {
            let copy = tempfile::tempdir().unwrap();
            let before = files_of(self.dir.path());
            let copied = before
                .iter()
                .all(|(name, ..)| std::fs::copy(self.dir.path().join(name), copy.path().join(name)).is_ok());
            // Search keys may be on their way to the disk; a kill is one moment, so the copy must be one as well.
            if copied && files_of(self.dir.path()) == before {
                break copy;
            }
        };
        self.store.close();
        let store = open(dir.path(), &self.clock, None).unwrap();
        House { store, clock: self.clock, dir, ground: self.ground }
    }

    /// Opened again after a process that did not say good-bye: its node goes when its lease has ended.
    fn abandon(self) -> House {
        let House { store, clock, dir, ground } = self;
        ground.abandon(&store);
        drop(store);
        let store = ground.open(dir.path(), &clock, None).unwrap();
        ground.end_leases_but(&store);
        House { store, clock, dir, ground }
    }

    /// Removes what processes that died left staged. The embedded store does it when it is opened; where others may be
    /// staging, the sweeper does it when nobody can be any more.
    pub async fn sweep(&self) {
        if self.ground.is_shared() {
            self.store.clean(Timestamp(0), self.clock.now().plus(Duration::from_secs(1))).await.unwrap();
        }
    }

    /// The next day begins, of which the periodic work knew before.
    pub async fn next_day(&self) -> Day {
        self.ground.changes_days();
        self.clock.advance(Duration::from_secs(86_400));
        self.store.prepare_days().await.unwrap();
        self.clock.now().kst_day()
    }

    pub fn now(&self) -> i64 {
        self.clock.now().millis()
    }

    pub fn pass(&self, ms: i64) {
        self.clock.advance(Duration::from_millis(ms.unsigned_abs()));
    }

    /// An account with so many points.
    pub async fn account(&self, points: i64) -> AccountId {
        let account = accounts::create(&self.store, "가게").await.unwrap().id;
        if points > 0 {
            wallet::top_up(&self.store, account, Unit::PointSms, points, "처음").await.unwrap();
        }
        account
    }

    pub async fn balance(&self, account: AccountId) -> i64 {
        let all = wallet::balances(&self.store, account).await.unwrap();
        all.iter().find(|(unit, _)| *unit == Unit::PointSms).map_or(0, |(_, amount)| *amount)
    }

    /// What the store knows of a receipt.
    pub async fn known(&self, relay: u8, relay_id: &str, recipient: i64, reference: Option<u16>) -> Known {
        self.known_at(relay, relay_id, (recipient, reference), self.clock.now()).await
    }

    /// The same of one that arrived at another time.
    pub async fn known_at(
        &self,
        relay: u8,
        relay_id: &str,
        (recipient, reference): (i64, Option<u16>),
        at: Timestamp,
    ) -> Known {
        let wanted = [Wanted { relay, relay_id: relay_id.to_owned(), recipient, reference, at }];
        self.store.look(move |look| look.known(&wanted)).await.unwrap().remove(0)
    }

    /// The spilled part that a receipt is of.
    pub async fn spilled(&self, relay: u8, relay_id: &str, recipient: i64) -> Option<Submit> {
        match self.known(relay, relay_id, recipient, None).await {
            Known::Submit(submit, row) if row.id == submit.id => Some(submit),
            Known::Nothing => None,
            other => panic!("{other:?}"),
        }
    }

    /// The unknown attempt that a receipt is of.
    pub async fn unknown(&self, relay: u8, recipient: i64, reference: Option<u16>) -> Option<UnknownRow> {
        match self.known(relay, "of nobody", recipient, reference).await {
            Known::Unknown { attempt, row, .. } if row.id == attempt.id => Some(attempt),
            Known::Nothing => None,
            other => panic!("{other:?}"),
        }
    }

    /// Accepts one message whose answer is its id.
    pub async fn try_accept(
        &self,
        account: AccountId,
        lane: Lane,
        message: NewMessage,
        key: Option<IdempotencyKey>,
    ) -> Result<Result<(i64, Vec<u8>), Refused>, Error> {
        let answer = Box::new(|id: i64| (202, id.to_string().into_bytes()));
        self.store.accept_one(account, lane, message, key, answer).await
    }

    pub async fn accept(&self, account: AccountId, lane: Lane, message: NewMessage) -> i64 {
        self.try_accept(account, lane, message, None).await.unwrap().unwrap().0
    }

    /// So many messages of one run.
    pub async fn accept_many(&self, account: AccountId, lane: Lane, count: usize) -> Run {
        let slice = self.batch(account, lane, vec![sms(1); count]).await;
        self.run(slice.first).await
    }

    pub async fn stage(&self, request: i64, account: AccountId, lane: Lane, messages: Vec<NewMessage>) -> Staged {
        self.try_stage(request, account, lane, messages).await.unwrap()
    }

    pub async fn try_stage(
        &self,
        request: i64,
        account: AccountId,
        lane: Lane,
        messages: Vec<NewMessage>,
    ) -> Result<Staged, Error> {
        let contents = Arc::new(vec!["잠긴 글".as_bytes().to_vec()]);
        self.store.stage(Stage { request, account, lane, contents, messages }).await
    }

    /// A whole batch of one slice.
    pub async fn batch(&self, account: AccountId, lane: Lane, messages: Vec<NewMessage>) -> Slice {
        let request = self.store.new_id().unwrap();
        let amount = messages.iter().map(|m| m.price).sum();
        let slice = self.stage(request, account, lane, messages).await.slice.unwrap();
        let commit = batch_commit(request, account, vec![slice], amount);
        self.store.commit_batch(commit).await.unwrap().unwrap();
        slice
    }

    pub async fn run(&self, first: i64) -> Run {
        self.store.run(first).await.unwrap().unwrap()
    }

    /// The run of a message that was accepted alone.
    pub async fn run_of(&self, account: AccountId, lane: Lane, id: i64) -> Run {
        let runs = self.store.waiting_runs(lane, account, 0, 100).await.unwrap();
        runs.into_iter().find(|run| (run.first..=run.last()).contains(&id)).unwrap()
    }

    /// Claims the next messages of a run as it was read.
    pub async fn claim(&self, run: &Run, relays: &[u8]) -> (i64, Taken) {
        let claimed = Claimed::Run { first: run.first, from: run.next, generation: run.generation, count: run.count };
        self.claim_as(run.lane, run.account, claimed, relays).await
    }

    pub async fn claim_due(&self, due: &[Due], relays: &[u8]) -> (i64, Taken) {
        self.claim_as(due[0].lane, due[0].account, Claimed::Due(due.to_vec()), relays).await
    }

    async fn claim_as(&self, lane: Lane, account: AccountId, claimed: Claimed, relays: &[u8]) -> (i64, Taken) {
        let id = self.store.new_id().unwrap();
        let deadline = self.now() + 5_000;
        let owner = self.ground.owner(&self.store);
        let claim = Claim { id, owner, deadline, lane, account, claimed, relays: relays.to_vec(), note: Vec::new() };
        (id, self.store.claim(false, vec![claim], Vec::new()).await.unwrap().remove(0))
    }

    pub async fn apply(&self, changes: Vec<Change>) -> Vec<bool> {
        self.store.apply(changes).await.unwrap()
    }

    pub async fn due(&self) -> Vec<Due> {
        self.store.due(Timestamp::MAX, bongsu_store::claims::Part::WHOLE, 1_000).await.unwrap()
    }

    pub async fn waiting_accounts(&self, limit: u32) -> Vec<(Lane, AccountId)> {
        self.store.waiting(Timestamp::from_millis(self.now()), limit).await.unwrap().accounts
    }

    /// Whether a look around says that something is due.
    pub async fn sees_due(&self) -> bool {
        self.store.waiting(Timestamp::from_millis(self.now()), 10).await.unwrap().is_due
    }

    pub async fn see(&self, id: i64) -> Option<Found> {
        self.store.message(None, id).await.unwrap()
    }

    pub async fn status(&self, id: i64) -> Option<Status> {
        self.see(id).await.map(|found| found.row.status)
    }

    /// Ids of all pages, newest first, read in pages of `limit`.
    pub async fn ids(&self, filter: Filter, limit: usize) -> Vec<i64> {
        let mut ids = Vec::new();
        let mut filter = Filter { limit, to: if filter.to == 0 { i64::MAX } else { filter.to }, ..filter };
        loop {
            let page = self.store.page(filter.clone()).await.unwrap();
            assert!(page.rows.len() <= limit);
            ids.extend(page.rows.iter().map(|found| found.row.id));
            match page.next {
                Some(next) => filter.to = next,
                None => return ids,
            }
        }
    }

    pub async fn all_ids(&self, account: AccountId) -> Vec<i64> {
        self.ids(Filter { account: Some(account), ..Filter::default() }, 100).await
    }

    pub async fn totals(&self) -> Totals {
        audit::totals(&self.store).await.unwrap()
    }

    /// Asserts that money and rows add up.
    pub async fn assert_sound(&self, accepted: usize) {
        let totals = self.totals().await;
        let Totals { unknown_attempts, orphan_receipts, .. } = totals;
        let sound = Totals { accepted: accepted as u64, unknown_attempts, orphan_receipts, ..Totals::default() };
        assert_eq!(totals, sound);
    }
}

/// An SMS of a price.
pub fn sms(price: i64) -> NewMessage {
    NewMessage {
        channel: Channel::Sms,
        unit: Unit::PointSms,
        price,
        send_at: 0,
        expires_ms: DAY_MS,
        recipient: 1,
        last4: 11,
        content: 0,
        sealed: b"sealed".to_vec(),
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

pub fn batch_commit(request: i64, account: AccountId, slices: Vec<Slice>, amount: i64) -> BatchCommit {
    let rows = slices.iter().map(|s| s.count).sum();
    BatchCommit { request, account, rows, slices, unit: Unit::PointSms, amount, key: 0, idempotency: None, trace: None }
}

pub fn key(key: i64, body: u8) -> IdempotencyKey {
    IdempotencyKey { key, body_hash: [body; 32] }
}

/// An attempt that a relay took.
pub fn submitted(house: &House, id: i64, attempt: u8, relay: u8, relay_id: &str) -> Change {
    attempt_as(house, id, attempt, relay, Some(relay_id), Outcome::Submitted, Code::OkSubmitted, Status::Submitted)
}

/// An attempt that a relay refused.
pub fn refused(house: &House, id: i64, attempt: u8, relay: u8) -> Change {
    attempt_as(house, id, attempt, relay, None, Outcome::Refused, Code::VendorError, Status::Sending)
}

#[allow(clippy::too_many_arguments)]
pub fn attempt_as(
    house: &House,
    id: i64,
    attempt: u8,
    relay: u8,
    relay_id: Option<&str>,
    outcome: Outcome,
    code: Code,
    status: Status,
) -> Change {
    let now = house.now();
    let relay_id = relay_id.map(str::to_string);
    let (submitted, result) = (relay_id.is_some().then_some(now), None);
    Change::Attempt(Attempt {
        id,
        attempt,
        relay,
        relay_id,
        outcome,
        code,
        status,
        claimed: now,
        submitted,
        answered: submitted,
        result,
    })
}

pub fn delivered(house: &House, id: i64, attempt: u8) -> Change {
    let (status, code, outcome) = (Status::Delivered, Code::OkDelivered, Some(Outcome::Delivered));
    Change::Final(Final { id, attempt, status, code, outcome, at: house.now(), refund: None })
}

pub fn failed(house: &House, id: i64, attempt: u8, account: AccountId, amount: i64) -> Change {
    let (status, code, outcome) = (Status::Undelivered, Code::RecipientUnknown, Some(Outcome::Undelivered));
    let refund = Some((account, Unit::PointSms, amount));
    Change::Final(Final { id, attempt, status, code, outcome, at: house.now(), refund })
}

/// A due item that sends again.
pub fn due_at(at: i64, id: i64, attempt: u8, lane: Lane, account: AccountId) -> Due {
    Due { at, id, attempt, kind: bongsu_store::claims::DueKind::Send, lane, account, relay: NO_RELAY }
}

/// Whether a future waits when it is polled once.
pub async fn waits<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> bool {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

/// Lets writes wait for each other, so that they meet in as few commits as the writer makes of them.
pub async fn together<T>(
    store: &Store,
    writes: impl IntoIterator<Item = Pin<Box<dyn Future<Output = T> + '_>>>,
) -> Vec<T> {
    at_once(&[store], writes).await
}

/// The same with writes of several stores, which are let go in one moment.
pub async fn at_once<T>(
    stores: &[&Store],
    writes: impl IntoIterator<Item = Pin<Box<dyn Future<Output = T> + '_>>>,
) -> Vec<T> {
    stores.iter().for_each(|store| store.hold_writes(true));
    let mut waiting: Vec<_> = writes.into_iter().collect();
    for write in &mut waiting {
        assert!(waits(write).await, "a held write must wait");
    }
    stores.iter().for_each(|store| store.hold_writes(false));
    let mut done = Vec::with_capacity(waiting.len());
    for write in waiting {
        done.push(write.await);
    }
    done
}
