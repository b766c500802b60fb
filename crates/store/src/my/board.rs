//! What this process holds of what several processes share: its node, binds of relays, periodic tasks (design section 4).
//!
//! A thread of its own looks at the board every third of a lease, decides by [`lease::plan`], and writes the outcome in one
//! short transaction. How long a lease is good is counted from before its renewal, on this machine's monotonic clock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bongsu_domain::lease::{self, Lease, LeaseName, Me, NodeStep, Relay, Share, Task, margin_ms};
use tokio::sync::watch;

use crate::db::dialect::Kind::{Int, Text};
use crate::db::dialect::Many;
use crate::db::{Db, Value, int};
use crate::error::{Error, Kind};
use crate::holdings::{Bind, Holdings, Roles, Validity};

/// The handle on the thread that keeps the leases.
pub struct Leases {
    owner: i64,
    node: u16,
    lease: Duration,
    holdings: watch::Receiver<Arc<Holdings>>,
    valid: Arc<Validity>,
    inbox: Arc<(Mutex<Asked>, Condvar)>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

#[derive(Default)]
struct Asked {
    roles: Roles,
    draining: bool,
    stopped: BTreeMap<LeaseName, i64>,
    look_now: bool,
    closed: bool,
    abandoned: bool,
}

impl Leases {
    /// This incarnation: unique for each start of a process, in the order of starts.
    pub fn owner(&self) -> i64 {
        self.owner
    }

    /// Its node number.
    pub fn node(&self) -> u16 {
        self.node
    }

    /// How long a lease lasts.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// What it holds, and every change of it.
    pub fn holdings(&self) -> watch::Receiver<Arc<Holdings>> {
        self.holdings.clone()
    }

    /// Whether its leases are good.
    pub fn validity(&self) -> Arc<Validity> {
        self.valid.clone()
    }

    fn ask(&self, change: impl FnOnce(&mut Asked)) {
        let mut asked = self.inbox.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut asked);
        asked.look_now = true;
        self.inbox.1.notify_all();
    }

    /// Says what this process does; it takes binds and tasks by that.
    pub fn play(&self, roles: Roles) {
        self.ask(|asked| asked.roles = roles);
    }

    /// Looks at the board now, rather than at the next third of a lease: relays changed.
    pub fn look(&self) {
        self.ask(|_| {});
    }

    /// Gives everything up: what is not used any more goes at once, the node with the end of the process.
    pub fn drain(&self) {
        self.ask(|asked| asked.draining = true);
    }

    /// Tells that binds are not used any more; others may write through them from `not_before` (ms, database clock).
    pub fn stopped(&self, binds: impl IntoIterator<Item = (Bind, i64)>) {
        let names = binds.into_iter().map(|((relay, slot), at)| (LeaseName::Bind { relay, slot }, at));
        self.ask(|asked| asked.stopped.extend(names));
    }

    /// Ends the thread without freeing anything.
    pub(crate) fn abandon(&self) {
        self.ask(|asked| (asked.closed, asked.abandoned) = (true, true));
        self.close();
    }

    /// Frees the node and ends the thread.
    pub(crate) fn close(&self) {
        self.ask(|asked| asked.closed = true);
        if let Some(thread) = self.thread.lock().ok().and_then(|mut thread| thread.take()) {
            // A thread that panicked has said so on stderr.
            let _ = thread.join();
        }
    }
}

/// The board's side: one connection, one look at a time.
pub(super) struct Board {
    db: Db,
    owner: i64,
    lease: Duration,
    node: Option<u16>,
    roles: Roles,
}

static WRITE: Many = Many::new(
    "INSERT INTO leases (name, owner, until, not_before, dispatch, report, commits)
       VALUES {(v_name, v_owner, v_until, v_not_before, v_dispatch, v_report, 0)}
       ON DUPLICATE KEY UPDATE owner = VALUES(owner), until = VALUES(until), not_before = VALUES(not_before),
         dispatch = VALUES(dispatch), report = VALUES(report)",
    &[
        ("v_name", Text),
        ("v_owner", Int),
        ("v_until", Int),
        ("v_not_before", Int),
        ("v_dispatch", Int),
        ("v_report", Int),
    ],
);

impl Board {
    pub(super) fn new(db: Db, owner: i64, lease: Duration) -> Self {
        Self { db, owner, lease, node: None, roles: Roles::default() }
    }

    fn lease_ms(&self) -> i64 {
        self.lease.as_millis() as i64
    }

    /// Takes a node number.
    ///
    /// # Errors
    /// `Unavailable` when all are taken.
    pub(super) fn join(&mut self) -> Result<u16, Error> {
        let (plan, _) = self.look(false, &BTreeMap::new())?;
        match plan.node {
            NodeStep::Take(node) | NodeStep::Keep(node) => {
                self.node = Some(node);
                Ok(node)
            }
            _ => Err(Error::new(Kind::Unavailable, "all node numbers are taken")),
        }
    }

    /// One look: reads the board, decides, writes. Answers the plan and the database's clock.
    fn look(&mut self, draining: bool, stopped: &BTreeMap<LeaseName, i64>) -> Result<(lease::Plan, i64), Error> {
        let done = self.transact(draining, stopped);
        if done.is_err()
            && let Some(connection) = self.db.my()
        {
            connection.rollback();
        }
        done
    }

    fn transact(&mut self, draining: bool, stopped: &BTreeMap<LeaseName, i64>) -> Result<(lease::Plan, i64), Error> {
        let connection = self.db.my().ok_or_else(|| Error::new(Kind::Unavailable, "not a database connection"))?;
        connection.begin()?;
        self.db.query_row("SELECT name FROM facts WHERE name = 'board' /* lock */", (), |_| Ok(()))?;
        let now_ms = now(&self.db)?;
        let board = read(&self.db)?;
        let relays: Vec<Relay> = self
            .db
            .prepare_cached("SELECT no, binds FROM relays WHERE deleted = 0 ORDER BY no")?
            .query_map((), |row| Ok(Relay { no: row.get(0)?, binds: row.get(1)? }))?
            .collect::<Result<_, _>>()?;
        let me = Me {
            owner: self.owner,
            node: self.node,
            dispatch: self.roles.dispatch,
            report: self.roles.report,
            schedule: self.roles.schedule,
            draining,
        };
        let stopped: Vec<(LeaseName, i64)> = stopped.iter().map(|(name, at)| (*name, *at)).collect();
        let plan = lease::plan(now_ms, self.lease_ms(), &board, &me, &relays, &stopped);
        write(&self.db, &plan)?;
        connection.commit()?;
        Ok((plan, now_ms))
    }

    /// Starts the thread.
    pub(super) fn start(self, began: Instant, fatal: watch::Sender<Option<String>>) -> Result<Leases, Error> {
        let inbox: Arc<(Mutex<Asked>, Condvar)> = Arc::default();
        let (publish, holdings) = watch::channel(Arc::new(Holdings::default()));
        let valid = Arc::new(Validity::new());
        valid.extend(good_for(self.lease, began.elapsed()));
        let (owner, lease, node) = (self.owner, self.lease, self.node.unwrap_or_default());
        let keeper =
            Keeper { board: self, inbox: inbox.clone(), publish, valid: valid.clone(), fatal, using: BTreeMap::new() };
        let thread = std::thread::Builder::new().name("store-leases".into()).spawn(move || keeper.run())?;
        Ok(Leases { owner, node, lease, holdings, valid, inbox, thread: Mutex::new(Some(thread)) })
    }
}

/// Milliseconds that a lease renewed so long ago is still good for its owner.
fn good_for(lease: Duration, ago: Duration) -> u64 {
    let margin = Duration::from_millis(margin_ms(lease.as_millis() as i64).unsigned_abs());
    lease.saturating_sub(margin).saturating_sub(ago).as_millis() as u64
}

/// The database's clock, in ms since the Unix epoch.
pub(super) fn now(db: &Db) -> Result<i64, Error> {
    db.query_row("SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)", (), |row| row.get(0))
}

fn read(db: &Db) -> Result<Vec<Lease>, Error> {
    let rows: Vec<Option<Lease>> = db
        .prepare_cached("SELECT name, owner, until, not_before, dispatch, report FROM leases ORDER BY name")?
        .query_map((), |row| {
            let name: String = row.get(0)?;
            // A name that this program does not know belongs to a newer one.
            let Ok(name) = name.parse() else { return Ok(None) };
            let (owner, until, not_before) = (row.get(1)?, row.get(2)?, row.get(3)?);
            Ok(Some(Lease { name, owner, until, not_before, dispatch: row.get(4)?, report: row.get(5)? }))
        })?
        .collect::<Result<_, _>>()?;
    let mut rows: Vec<Lease> = rows.into_iter().flatten().collect();
    rows.sort_by_key(|row| row.name);
    Ok(rows)
}

fn write(db: &Db, plan: &lease::Plan) -> Result<(), Error> {
    let names: Vec<String> = plan.writes().iter().map(|row| row.name.to_string()).collect();
    let rows = plan.writes().iter().zip(&names).map(|(row, name)| {
        [Value::Text(name), int(row.owner), int(row.until), int(row.not_before), int(row.dispatch), int(row.report)]
    });
    db.many(&WRITE, rows)?;
    for name in &plan.remove {
        db.execute("DELETE FROM leases WHERE name = ?", [name.to_string().as_str()])?;
    }
    Ok(())
}

/// Frees the nodes whose leases ended, so that their processes cannot commit any more, and answers the incarnations that
/// are alive.
pub(crate) fn fence_dead(db: &Db, lease: Duration) -> Result<Vec<i64>, Error> {
    let now_ms = now(db)?;
    let lease_ms = lease.as_millis() as i64;
    let mut alive = Vec::new();
    for row in read(db)?.into_iter().filter(|row| matches!(row.name, LeaseName::Node(_)) && row.owner != 0) {
        if row.is_free(now_ms, lease_ms) {
            let sql = "UPDATE leases SET owner = 0 WHERE name = ? AND owner = ? AND until = ?";
            if db.execute(sql, (row.name.to_string(), row.owner, row.until))? > 0 {
                continue;
            }
        }
        alive.push(row.owner);
    }
    Ok(alive)
}

fn bind_of(name: &LeaseName) -> Option<Bind> {
    match name {
        LeaseName::Bind { relay, slot } => Some((*relay, *slot)),
        _ => None,
    }
}

/// The thread.
struct Keeper {
    board: Board,
    inbox: Arc<(Mutex<Asked>, Condvar)>,
    publish: watch::Sender<Arc<Holdings>>,
    valid: Arc<Validity>,
    fatal: watch::Sender<Option<String>>,
    /// Binds in use or asked to be given up.
    using: BTreeMap<LeaseName, i64>,
}

impl Keeper {
    fn run(mut self) {
        let failing = AtomicBool::new(false);
        loop {
            let (roles, draining, mut stopped, closed) = self.wait();
            self.board.roles = roles;
            if closed && self.is_abandoned() {
                return;
            }
            if closed {
                // The whole process ends: nothing of it is in use any more. What was reported keeps its moment.
                let node = self.board.node.map(LeaseName::Node);
                for name in self.using.keys().copied().chain(node).chain(Task::ALL.map(LeaseName::Task)) {
                    stopped.entry(name).or_insert(0);
                }
                for _ in 0..3 {
                    match self.board.look(true, &stopped) {
                        Ok((plan, _)) if plan.node != NodeStep::Left => {}
                        _ => break,
                    }
                }
                return;
            }
            let began = Instant::now();
            match self.board.look(draining, &stopped) {
                Ok((plan, now_ms)) => {
                    failing.store(false, Ordering::Relaxed);
                    if plan.node == NodeStep::Lost {
                        let _ = self.fatal.send(Some("its lease ended and its node belongs to another process".into()));
                        return;
                    }
                    self.took(&plan, now_ms, began, &stopped);
                }
                Err(error) if !failing.swap(true, Ordering::Relaxed) => {
                    tracing::warn!(%error, "leases cannot be renewed; tried again until they end");
                }
                Err(_) => {}
            }
        }
    }

    fn took(&mut self, plan: &lease::Plan, now_ms: i64, began: Instant, stopped: &BTreeMap<LeaseName, i64>) {
        self.valid.extend(good_for(self.board.lease, began.elapsed()));
        {
            let mut asked = self.inbox.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            asked.stopped.retain(|name, _| !stopped.contains_key(name));
        }
        let held = || plan.renew.iter().chain(&plan.take);
        let binds: BTreeMap<Bind, i64> = held().filter_map(|(name, at)| Some((bind_of(name)?, *at))).collect();
        self.using = held().map(|(name, at)| (*name, *at)).chain(plan.give_up.iter().map(|name| (*name, 0))).collect();
        let has = |task: Task| held().any(|(name, _)| *name == LeaseName::Task(task));
        let holdings = Holdings {
            binds,
            giving_up: plan.give_up.iter().filter_map(bind_of).collect(),
            slots: plan.share.iter().map(|Share { relay, of, .. }| (*relay, *of)).collect(),
            sweep: has(Task::Sweep),
            recover: has(Task::Recover),
            schedule: has(Task::Schedule),
            members: plan.members,
            active: plan.active,
            now_ms,
        };
        let same = {
            let old = self.publish.borrow();
            Holdings { now_ms, ..(**old).clone() } == holdings
        };
        if !same {
            let _ = self.publish.send(Arc::new(holdings));
        }
    }

    fn is_abandoned(&self) -> bool {
        self.inbox.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).abandoned
    }

    /// Waits for the next look.
    fn wait(&self) -> (Roles, bool, BTreeMap<LeaseName, i64>, bool) {
        let (lock, asked_for) = &*self.inbox;
        let until = Instant::now() + self.board.lease / 3;
        let mut asked = lock.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        while !asked.look_now && !asked.closed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let (back, _) = asked_for.wait_timeout(asked, left).unwrap_or_else(std::sync::PoisonError::into_inner);
            asked = back;
        }
        asked.look_now = false;
        (asked.roles, asked.draining, asked.stopped.clone(), asked.closed)
    }
}
