//! The decision: what a process renews, takes, gives up, frees and removes.

use super::{Lease, LeaseName, Me, Relay, Task};
use crate::id::NODE_MAX;
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of the node number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeStep {
    /// It is renewed.
    Keep(u16),
    /// It is taken; no id may be made with it before the commit.
    Take(u16),
    /// Another has it, or freed it: everything has to stop. The process goes on only as a new incarnation.
    Lost,
    /// All numbers are in use; try again later.
    NoneFree,
    /// The process has drained and is no member any more.
    Left,
}

/// The slots of a relay that a process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The relay's number.
    pub relay: u8,
    /// Slots renewed and taken by the plan, without those to be given up. One that was just taken counts from its
    /// `not_before` on.
    pub held: u16,
    /// Slots over all processes, at least 1: the relay's binds, or more while it had more until just now. `held / of`
    /// is the part of the relay's rate and window that this process may use.
    pub of: u16,
}

/// What one process does now. Valid only if [`Plan::writes`] and `remove` commit on the very board it was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The node number.
    pub node: NodeStep,
    /// Binds and tasks that go on, with their `not_before`. After a commit whose answer was lost, these include some
    /// that the process does not know it has: it begins to use them as if taken now.
    pub renew: Vec<(LeaseName, i64)>,
    /// Binds and tasks that are new, with their `not_before`.
    pub take: Vec<(LeaseName, i64)>,
    /// What the process has stopped using and others may take now, with the `not_before` for them; the node last.
    pub free: Vec<(LeaseName, i64)>,
    /// What the process has to stop using and then to pass as `stopped`; renewed until then. Nothing new may be
    /// written through these binds. The node is among them when a draining process has nothing else left.
    pub give_up: Vec<LeaseName>,
    /// Rows to delete: slots that do not exist any more and that nobody has.
    pub remove: Vec<LeaseName>,
    /// One for each relay passed, in that order.
    pub share: Vec<Share>,
    /// Processes alive after this plan.
    pub members: u16,
    /// Those of them that dispatch, without draining ones.
    pub dispatchers: u16,
    /// The place, from 0, of this process among the active dispatchers, and how many of these there are. None for a
    /// process that does not dispatch or stands by.
    pub active: Option<(u16, u16)>,
    writes: Vec<Lease>,
}

impl Plan {
    /// The rows to insert or replace, by name in ascending order. Among them are free rows for slots that are new.
    pub fn writes(&self) -> &[Lease] {
        &self.writes
    }

    /// The board after this plan.
    pub fn apply(&self, board: &[Lease]) -> Vec<Lease> {
        let mut rows: BTreeMap<LeaseName, Lease> = board.iter().map(|row| (row.name, *row)).collect();
        rows.extend(self.writes.iter().map(|row| (row.name, *row)));
        rows.retain(|name, _| !self.remove.contains(name));
        rows.into_values().collect()
    }
}

/// Decides what `me` does at `now_ms`, the database's clock, with leases of `lease_ms`.
///
/// `board` is all rows, `relays` all relays that exist. `stopped` names what the process was asked to give up and does
/// not use at this moment, with the moment from which another may use it; repeating it until a plan with it has
/// committed is harmless. A node in it counts only once a draining process has nothing else.
///
/// - The node is the lowest number that is free; one that is another's, or was freed by others, is lost, and with it
///   everything.
/// - Of the members that dispatch, as many are active as the relay with the fewest binds has binds, in the order in
///   which they joined: one without a bind at every relay could not keep a customer's ratio. The rest stand by.
/// - Active members share the slots of each relay evenly. Each keeps its lowest ones, gives up what is too much and
///   takes free ones up to its share; so with members and relays unchanged, no slot is both taken and given up.
/// - A task stays with its owner while that is alive, and is taken by any member that dispatches or reports; that of
///   schedules by one that has their role.
pub fn plan(
    now_ms: i64,
    lease_ms: i64,
    board: &[Lease],
    me: &Me,
    relays: &[Relay],
    stopped: &[(LeaseName, i64)],
) -> Plan {
    let rows = board.iter().map(|row| (row.name, *row)).collect();
    let mut planner = Planner { now_ms, lease_ms, me, rows, written: BTreeSet::new(), plan: empty(NodeStep::Lost) };
    planner.plan.node = planner.node_step();
    match planner.plan.node {
        NodeStep::Keep(number) | NodeStep::Take(number) => planner.all(number, relays, stopped),
        NodeStep::Lost | NodeStep::NoneFree | NodeStep::Left => {
            planner.plan.share = relays.iter().map(|relay| planner.share(relay, 0)).collect();
        }
    }
    planner.finish()
}

fn empty(node: NodeStep) -> Plan {
    Plan {
        node,
        renew: Vec::new(),
        take: Vec::new(),
        free: Vec::new(),
        give_up: Vec::new(),
        remove: Vec::new(),
        share: Vec::new(),
        members: 0,
        dispatchers: 0,
        active: None,
        writes: Vec::new(),
    }
}

/// How many of a relay's slots the member at `index` of `count` should have. Who gets one more changes from relay to
/// relay.
fn fair(relay: &Relay, (index, count): (u16, u16)) -> u16 {
    let place = (u32::from(index) + u32::from(relay.no)) % u32::from(count);
    relay.binds / count + u16::from(place < u32::from(relay.binds % count))
}

/// A plan in the making.
struct Planner<'a> {
    now_ms: i64,
    lease_ms: i64,
    me: &'a Me,
    /// The board as it becomes.
    rows: BTreeMap<LeaseName, Lease>,
    /// The rows that changed.
    written: BTreeSet<LeaseName>,
    plan: Plan,
}

impl Planner<'_> {
    fn node_step(&self) -> NodeStep {
        let owned = |row: &&Lease| row.owner == self.me.owner && matches!(row.name, LeaseName::Node(_));
        match (self.me.node, self.rows.values().find(owned)) {
            // Known or not: the answer to the commit that took it may have been lost. Run out or not: as long as nobody
            // took it or fenced it, nobody acted on its end, and after a while without the database all go on.
            (known, Some(&Lease { name: LeaseName::Node(number), .. }))
                if known.is_none_or(|known| known == number) =>
            {
                NodeStep::Keep(number)
            }
            (None, None) if self.me.draining => NodeStep::Left,
            (None, None) => (0..=NODE_MAX)
                .find(|&number| self.is_free(LeaseName::Node(number)))
                .map_or(NodeStep::NoneFree, NodeStep::Take),
            _ => NodeStep::Lost,
        }
    }

    fn all(&mut self, node: u16, relays: &[Relay], stopped: &[(LeaseName, i64)]) {
        let node = LeaseName::Node(node);
        self.own(node);
        for &(name, not_before) in stopped.iter().filter(|(name, _)| !matches!(name, LeaseName::Node(_))) {
            self.free(name, not_before);
        }
        let stopped_names: BTreeSet<LeaseName> = stopped.iter().map(|&(name, _)| name).collect();
        self.tasks(&stopped_names);
        self.plan.active = self.active(relays);
        self.vanished(relays);
        for relay in relays {
            self.binds(relay, &stopped_names);
        }
        if self.me.draining && !self.rows.keys().any(|&name| name != node && self.is_mine(name)) {
            match stopped.iter().find(|&&(name, _)| name == node) {
                Some(&(_, not_before)) => {
                    self.free(node, not_before);
                    self.plan.node = NodeStep::Left;
                }
                None => self.plan.give_up.push(node),
            }
        }
    }

    fn tasks(&mut self, stopped: &BTreeSet<LeaseName>) {
        for task in Task::ALL {
            let has_role = match task {
                Task::Sweep | Task::Recover => self.me.dispatch || self.me.report,
                Task::Schedule => self.me.schedule,
            };
            let (may_work, name) = (has_role && !self.me.draining, LeaseName::Task(task));
            if self.is_mine(name) {
                if may_work { self.renew(name) } else { self.give_up(name) }
            } else if may_work && self.is_free(name) && !stopped.contains(&name) {
                self.take(name);
            }
        }
    }

    /// Who dispatches, in the order of joining.
    fn dispatchers(&self) -> Vec<i64> {
        let mut owners: Vec<i64> = self.members().filter(|node| node.dispatch).map(|node| node.owner).collect();
        owners.sort_unstable();
        owners
    }

    fn members(&self) -> impl Iterator<Item = &Lease> {
        let is_member = |row: &&Lease| matches!(row.name, LeaseName::Node(_)) && row.owner != 0;
        self.rows.values().filter(is_member).filter(|row| row.until > self.now_ms)
    }

    fn active(&self, relays: &[Relay]) -> Option<(u16, u16)> {
        let dispatchers = self.dispatchers();
        let fewest = relays.iter().map(|relay| relay.binds).filter(|&binds| binds > 0).min();
        let count = fewest.map_or(dispatchers.len(), |binds| dispatchers.len().min(binds.into()));
        let index = dispatchers[..count].iter().position(|&owner| owner == self.me.owner)?;
        Some((number(index), number(count)))
    }

    /// Slots of relays that are gone, and slots that a relay does not grant any more.
    fn vanished(&mut self, relays: &[Relay]) {
        let exists = |no: u8, slot: u16| relays.iter().any(|relay| relay.no == no && slot < relay.binds);
        let gone = |name: &&LeaseName| matches!(**name, LeaseName::Bind { relay, slot } if !exists(relay, slot));
        let names: Vec<LeaseName> = self.rows.keys().rev().filter(gone).copied().collect();
        for name in names {
            if self.is_mine(name) {
                self.give_up(name);
            } else if self.is_dispatching() && self.is_free(name) && !self.written.contains(&name) {
                // A slot that comes again must not come without the wait it was freed with.
                if self.rows.get(&name).is_some_and(|row| row.not_before <= self.now_ms) {
                    self.rows.remove(&name);
                    self.plan.remove.push(name);
                }
            }
        }
    }

    fn binds(&mut self, relay: &Relay, stopped: &BTreeSet<LeaseName>) {
        let target = self.plan.active.map_or(0, |place| fair(relay, place));
        let (if_taken, if_left) = self.waits(relay.no);
        let slots = (0..relay.binds).map(|slot| LeaseName::Bind { relay: relay.no, slot });
        let (mine, others): (Vec<_>, Vec<_>) = slots.partition(|&name| self.is_mine(name));
        let (kept, excess) = mine.split_at(mine.len().min(target.into()));
        kept.iter().for_each(|&name| self.renew(name));
        excess.iter().rev().for_each(|&name| self.give_up(name));
        let mut held = number(kept.len());
        for name in others {
            let is_new = !self.rows.contains_key(&name);
            if held < target && self.is_free(name) && !stopped.contains(&name) {
                if is_new {
                    self.put_free(name, if_taken);
                }
                self.take(name);
                held += 1;
            } else if is_new && self.is_dispatching() {
                self.put_free(name, if_left);
            }
        }
        let share = self.share(relay, held);
        self.plan.share.push(share);
    }

    /// The `not_before` of new slots of a relay, if this process takes them and if it leaves them to others. A process
    /// that counts without them does so for a lease at most; then it has planned again or has lost its own slots. This
    /// process is such a one too if the answer to the commit is lost, but then it does not use what it has taken.
    fn waits(&self, relay: u8) -> (i64, i64) {
        let wait = |is_counted: bool| if is_counted { self.now_ms.saturating_add(self.lease_ms) } else { 0 };
        let held = || self.slots(relay).filter(|row| !self.is_free(row.name));
        (wait(held().any(|row| row.owner != self.me.owner)), wait(held().next().is_some()))
    }

    fn share(&self, relay: &Relay, held: u16) -> Share {
        let slots = self.slots(relay.no).map(|row| match row.name {
            LeaseName::Bind { slot, .. } => slot.saturating_add(1),
            LeaseName::Node(_) | LeaseName::Task(_) => 0,
        });
        Share { relay: relay.no, held, of: slots.max().unwrap_or(0).max(relay.binds).max(1) }
    }

    fn slots(&self, relay: u8) -> impl Iterator<Item = &Lease> {
        let ends = LeaseName::Bind { relay, slot: 0 }..=LeaseName::Bind { relay, slot: u16::MAX };
        self.rows.range(ends).map(|(_, row)| row)
    }

    fn is_dispatching(&self) -> bool {
        self.me.dispatch && !self.me.draining
    }

    fn is_mine(&self, name: LeaseName) -> bool {
        self.rows.get(&name).is_some_and(|row| row.owner == self.me.owner && !row.is_free(self.now_ms, self.lease_ms))
    }

    fn is_free(&self, name: LeaseName) -> bool {
        self.rows.get(&name).is_none_or(|row| row.is_free(self.now_ms, self.lease_ms))
    }

    fn renew(&mut self, name: LeaseName) {
        let not_before = self.own(name);
        self.plan.renew.push((name, not_before));
    }

    fn take(&mut self, name: LeaseName) {
        let not_before = self.own(name);
        self.plan.take.push((name, not_before));
    }

    fn give_up(&mut self, name: LeaseName) {
        self.own(name);
        self.plan.give_up.push(name);
    }

    /// Makes it this process's for a lease from now; answers its `not_before`.
    fn own(&mut self, name: LeaseName) -> i64 {
        let has_roles = matches!(name, LeaseName::Node(_)) && !self.me.draining;
        let not_before = self.rows.get(&name).map_or(0, |row| row.not_before);
        self.put(Lease {
            name,
            owner: self.me.owner,
            until: self.now_ms.saturating_add(self.lease_ms),
            not_before,
            dispatch: has_roles && self.me.dispatch,
            report: has_roles && self.me.report,
        });
        not_before
    }

    /// Frees it if it is this process's, run out or not.
    fn free(&mut self, name: LeaseName, not_before: i64) {
        let Some(row) = self.rows.get(&name).filter(|row| row.owner == self.me.owner) else { return };
        let not_before = not_before.max(row.not_before);
        self.put_free(name, not_before);
        self.plan.free.push((name, not_before));
    }

    fn put_free(&mut self, name: LeaseName, not_before: i64) {
        self.put(Lease { name, owner: 0, until: 0, not_before, dispatch: false, report: false });
    }

    fn put(&mut self, row: Lease) {
        self.rows.insert(row.name, row);
        self.written.insert(row.name);
    }

    fn finish(mut self) -> Plan {
        self.plan.members = number(self.members().count());
        self.plan.dispatchers = number(self.dispatchers().len());
        self.plan.writes = self.written.iter().filter_map(|name| self.rows.get(name).copied()).collect();
        self.plan
    }
}

/// Counts of nodes and slots fit: there are 1,024 and 65,535 at most.
fn number(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}
