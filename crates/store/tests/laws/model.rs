//! Random work against a simple model: what is accepted, how it ends and what it costs must be the same in both.

use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::{AccountId, Lane, Status};
use bongsu_store::Kind;
use bongsu_store::accept::{NewMessage, Refused};
use bongsu_store::audit::Totals;
use bongsu_store::claims::{DueKind, NO_RELAY, Taken};
use bongsu_store::recovery::Policy;
use proptest::prelude::*;

use crate::house::{House, batch_commit, delivered, failed, house, sms, submitted};

/// Something that is done to the store.
#[derive(Debug, Clone)]
enum Step {
    Accept { who: usize, lane: usize, price: i64, lives_ms: i64 },
    Batch { who: usize, lane: usize, price: i64, rows: usize, commit: bool },
    Claim { who: usize, lane: usize, many: usize },
    Submit { which: usize },
    Deliver { which: usize },
    Fail { which: usize },
    Cancel { which: usize },
    Expire { after_ms: i64 },
    Reopen,
    Crash,
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    let (who, lane, price, which) = (0..2_usize, 0..4_usize, 0..4_i64, any::<usize>());
    prop_oneof![
        4 => (who.clone(), lane.clone(), price.clone(), 1..3_000_i64)
            .prop_map(|(who, lane, price, lives_ms)| Step::Accept { who, lane, price, lives_ms }),
        2 => (who.clone(), lane.clone(), price, 1..6_usize, any::<bool>())
            .prop_map(|(who, lane, price, rows, commit)| Step::Batch { who, lane, price, rows, commit }),
        5 => (who, lane, 1..4_usize).prop_map(|(who, lane, many)| Step::Claim { who, lane, many }),
        3 => which.prop_map(|which| Step::Submit { which }),
        3 => which.prop_map(|which| Step::Deliver { which }),
        3 => which.prop_map(|which| Step::Fail { which }),
        3 => which.prop_map(|which| Step::Cancel { which }),
        2 => (1..1_500_i64).prop_map(|after_ms| Step::Expire { after_ms }),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
        1 => Just(Step::Settle),
    ]
}

/// A message as the model knows it.
#[derive(Debug)]
struct Known {
    id: i64,
    who: usize,
    price: i64,
    expires: i64,
    status: Status,
    unknown: bool,
}

struct World {
    house: House,
    accounts: [AccountId; 2],
    balances: [i64; 2],
    messages: Vec<Known>,
    requests: Vec<i64>,
}

impl World {
    async fn new() -> World {
        let house = house();
        let accounts = [house.account(40).await, house.account(15).await];
        World { house, accounts, balances: [40, 15], messages: Vec::new(), requests: Vec::new() }
    }

    fn know(&mut self, id: i64, who: usize, price: i64, lives_ms: i64) {
        let expires = bongsu_domain::id::id_millis(id) + lives_ms;
        self.messages.push(Known { id, who, price, expires, status: Status::Queued, unknown: false });
        self.balances[who] -= price;
    }

    /// A message that was claimed, whatever became of it.
    fn sent(&mut self, which: usize) -> Option<&mut Known> {
        use Status::{Canceled, Expired, Queued};
        let sent = |m: &&mut Known| ![Queued, Canceled, Expired].contains(&m.status);
        let mut all: Vec<_> = self.messages.iter_mut().filter(sent).collect();
        let at = which.checked_rem(all.len())?;
        Some(all.swap_remove(at))
    }

    fn end(&mut self, which: usize, status: Status) {
        let message = &mut self.messages[which];
        message.status = status;
        self.balances[message.who] += message.price;
    }

    async fn act(&mut self, step: Step) {
        match step {
            Step::Accept { who, lane, price, lives_ms } => self.accept(who, lane, price, lives_ms).await,
            Step::Batch { who, lane, price, rows, commit } => self.batch(who, lane, price, rows, commit).await,
            Step::Claim { who, lane, many } => self.claim(who, lane, many).await,
            Step::Submit { which } => {
                let Some(message) = self.sent(which) else { return };
                let id = message.id;
                if !message.status.is_final() {
                    message.status = Status::Submitted;
                }
                self.house.apply(vec![submitted(&self.house, id, 1, 0, "r")]).await;
            }
            Step::Deliver { which } => {
                let Some(message) = self.sent(which) else { return };
                let (id, first) = (message.id, !message.status.is_final());
                if first {
                    message.status = Status::Delivered;
                }
                assert_eq!(self.house.apply(vec![delivered(&self.house, id, 1)]).await, [first]);
            }
            Step::Fail { which } => {
                let Some(message) = self.sent(which) else { return };
                let (id, who, price, first) = (message.id, message.who, message.price, !message.status.is_final());
                let change = failed(&self.house, id, 1, self.accounts[who], price);
                assert_eq!(self.house.apply(vec![change]).await, [first]);
                if first {
                    let at = self.messages.iter().position(|m| m.id == id).unwrap();
                    self.end(at, Status::Undelivered);
                }
            }
            Step::Cancel { which } => self.cancel(which).await,
            Step::Expire { after_ms } => self.expire(after_ms).await,
            Step::Reopen | Step::Crash | Step::Settle => unreachable!("these need the house itself"),
        }
    }

    async fn accept(&mut self, who: usize, lane: usize, price: i64, lives_ms: i64) {
        let message = NewMessage { expires_ms: lives_ms, ..sms(price) };
        let done = self.house.try_accept(self.accounts[who], Lane::ALL[lane], message, None).await.unwrap();
        match done {
            Ok((id, _)) => self.know(id, who, price, lives_ms),
            Err(refused) => {
                assert_eq!(refused, Refused::NoBalance);
                assert!(self.balances[who] < price);
            }
        }
        assert!(self.balances[who] >= 0);
    }

    async fn batch(&mut self, who: usize, lane: usize, price: i64, rows: usize, commit: bool) {
        let (account, request) = (self.accounts[who], self.house.store.new_id().unwrap());
        let slice = self.house.stage(request, account, Lane::ALL[lane], vec![sms(price); rows]).await.slice.unwrap();
        let amount = price * rows as i64;
        if commit {
            let commit = batch_commit(request, account, vec![slice], amount);
            let done = self.house.store.commit_batch(commit).await.unwrap();
            assert_eq!(done.is_ok(), self.balances[who] >= amount);
            if done.is_ok() {
                self.requests.push(request);
                return (0..rows as i64).for_each(|n| self.know(slice.first + n, who, price, crate::house::DAY_MS));
            }
        }
        self.house.store.discard(vec![slice]).await.unwrap();
    }

    async fn claim(&mut self, who: usize, lane: usize, many: usize) {
        let waiting = self.house.store.waiting_runs(Lane::ALL[lane], self.accounts[who], 0, 1).await.unwrap();
        let Some(run) = waiting.first() else { return };
        let from = run.first + i64::from(run.next);
        let many = many.min((run.count - run.next) as usize);
        let queued = |id: i64| self.messages.iter().any(|m| m.id == id && m.status == Status::Queued);
        let relays: Vec<u8> = (0..many as i64).map(|n| if queued(from + n) { 0 } else { NO_RELAY }).collect();
        assert_eq!(self.house.claim(run, &relays).await.1, Taken::Whole);
        assert_eq!(self.house.claim(run, &relays).await.1, Taken::Stale);
        for (n, relay) in (0..).zip(relays) {
            if let Some(message) = self.messages.iter_mut().find(|m| m.id == from + n && relay == 0) {
                message.status = Status::Sending;
            }
        }
    }

    async fn cancel(&mut self, which: usize) {
        let Some(at) = which.checked_rem(self.messages.len()) else { return };
        let done = self.house.store.cancel(Some(self.accounts[self.messages[at].who]), self.messages[at].id).await;
        if self.messages[at].status == Status::Queued {
            done.unwrap();
            self.end(at, Status::Canceled);
        } else {
            assert_eq!(done.unwrap_err().kind(), Kind::Conflict("sent"));
        }
    }

    async fn expire(&mut self, after_ms: i64) {
        self.house.pass(after_ms);
        let now = self.house.now();
        let over: Vec<usize> = (0..self.messages.len())
            .filter(|at| self.messages[*at].status == Status::Queued && self.messages[*at].expires <= now)
            .collect();
        assert_eq!(self.house.store.expire_waiting(1_000).await.unwrap() as usize, over.len());
        over.into_iter().for_each(|at| self.end(at, Status::Expired));
    }

    /// A start: what was claimed and not answered is unknown.
    async fn settle(mut self, again: impl FnOnce(House) -> House) -> World {
        self.house = again(self.house);
        let policy = Arc::new(Policy {
            after_unknown: Box::new(|_, _| (Duration::from_secs(60), DueKind::Send)),
            receipt_deadline: Duration::from_secs(3_600),
            plain_recipient: Box::new(|row| row.recipient),
        });
        while self.house.store.settle_claims(policy.clone(), 2).await.unwrap() > 0 {}
        for message in self.messages.iter_mut().filter(|m| m.status == Status::Sending) {
            message.unknown = true;
        }
        self
    }

    async fn compare(&self) {
        let mut unknown = 0;
        for message in &self.messages {
            let found = self.house.see(message.id).await.unwrap();
            assert_eq!(found.row.status, message.status, "{message:?}");
            assert_eq!(found.row.account, self.accounts[message.who]);
            unknown += u64::from(message.unknown);
        }
        for (who, account) in self.accounts.iter().enumerate() {
            assert_eq!(self.house.balance(*account).await, self.balances[who]);
            let mut ids: Vec<i64> = self.messages.iter().filter(|m| m.who == who).map(|m| m.id).collect();
            ids.sort_unstable_by(|a, b| b.cmp(a));
            assert_eq!(self.house.all_ids(*account).await, ids);
        }
        let accepted = self.messages.len() as u64;
        let totals = Totals { accepted, unknown_attempts: unknown, ..Totals::default() };
        assert_eq!(self.house.totals().await, totals);
        for due in self.house.due().await {
            let twice = self.house.due().await.iter().filter(|other| other.id == due.id).count();
            assert_eq!(twice, 1, "a message is due once");
        }
        crate::facts::agree(&self.house, &self.accounts, &self.requests).await;
    }
}

async fn run(steps: Vec<Step>) {
    let mut world = World::new().await;
    for step in steps {
        match step {
            Step::Reopen => world.house = world.house.reopen(),
            Step::Crash => world.house = world.house.crash(),
            Step::Settle => world = world.settle(House::crash).await,
            other => world.act(other).await,
        }
    }
    world.compare().await;
    world.settle(House::reopen).await.compare().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::ground::CASES, ..ProptestConfig::default() })]

    #[test]
    fn the_store_agrees_with_a_simple_model(steps in prop::collection::vec(step(), 1..60)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(steps));
    }
}
