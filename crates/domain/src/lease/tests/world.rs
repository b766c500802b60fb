//! Properties over rounds: processes that join, die, pause, drain, lose answers, while relays change.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

const LEASE: i64 = 3_000;
const EVERY: i64 = LEASE / 3;
const TICK: i64 = EVERY / 4;
/// What a relay still counts after the last write through a bind.
const WINDOW: i64 = 1_000;

#[derive(Debug, Clone, Copy)]
enum Event {
    Join { dispatch: bool, report: bool, slow: u8 },
    Die(usize),
    Pause(usize, u8),
    Drain(usize),
    LoseAnswer(usize),
    Binds(u8, u16),
    Gone(u8),
    Pass(u8),
}

fn any_event() -> impl Strategy<Value = Event> {
    let place = 0_usize..8;
    prop_oneof![
        4 => (prop::bool::weighted(0.8), any::<bool>(), 0_u8..6)
            .prop_map(|(dispatch, report, slow)| Event::Join { dispatch, report, slow }),
        1 => place.clone().prop_map(Event::Die),
        2 => (place.clone(), 1_u8..30).prop_map(|(index, ticks)| Event::Pause(index, ticks)),
        1 => place.clone().prop_map(Event::Drain),
        2 => place.prop_map(Event::LoseAnswer),
        2 => (0_u8..3, 0_u16..7).prop_map(|(no, binds)| Event::Binds(no, binds)),
        1 => (0_u8..3).prop_map(Event::Gone),
        8 => (1_u8..12).prop_map(Event::Pass),
    ]
}

/// A process as the runtime would be: uses what it was given until a margin before its own idea of the end.
#[derive(Debug)]
struct Process {
    me: Me,
    next: i64,
    loses_answer: bool,
    /// Ticks it needs to stop using a bind.
    slow: u8,
    until: i64,
    /// What it uses, with its `not_before`.
    uses: BTreeMap<LeaseName, i64>,
    /// What it is stopping, and when it will have stopped.
    stopping: BTreeMap<LeaseName, i64>,
    shares: Vec<Share>,
    /// Since the world went quiet: relays of which slots were given up or taken.
    gave: BTreeSet<u8>,
    took: BTreeSet<u8>,
}

impl Process {
    fn is_sure(&self, now: i64) -> bool {
        now < self.until - margin_ms(LEASE)
    }

    fn stopped(&self, now: i64) -> Vec<(LeaseName, i64)> {
        let is_over = |at: &&i64| **at <= now || !self.is_sure(now);
        self.stopping.iter().filter(|(_, at)| is_over(at)).map(|(&name, _)| (name, now + WINDOW)).collect()
    }

    fn follow(&mut self, now: i64, plan: &Plan, stopped: &[(LeaseName, i64)]) {
        self.until = now + LEASE;
        self.me.node = match plan.node {
            NodeStep::Keep(number) | NodeStep::Take(number) => Some(number),
            NodeStep::Lost | NodeStep::NoneFree | NodeStep::Left => None,
        };
        let over: BTreeSet<LeaseName> = stopped.iter().map(|&(name, _)| name).collect();
        self.stopping.retain(|name, _| plan.give_up.contains(name) && !over.contains(name));
        for &name in &plan.give_up {
            self.stopping.entry(name).or_insert(now + TICK * i64::from(self.slow));
        }
        self.uses = plan.renew.iter().chain(&plan.take).copied().collect();
        self.shares.clone_from(&plan.share);
        for name in &plan.give_up {
            self.gave.extend(relay_of(*name));
        }
        self.took.extend(plan.take.iter().filter_map(|&(name, _)| relay_of(name)));
    }
}

fn relay_of(name: LeaseName) -> Option<u8> {
    match name {
        LeaseName::Bind { relay, .. } => Some(relay),
        LeaseName::Node(_) | LeaseName::Task(_) => None,
    }
}

#[derive(Debug)]
struct World {
    now: i64,
    board: Vec<Lease>,
    relays: Vec<Relay>,
    processes: Vec<Process>,
    starts: i64,
}

impl World {
    fn new() -> World {
        let relays = vec![Relay { no: 0, binds: 3 }, Relay { no: 2, binds: 4 }];
        World { now: NOW, board: Vec::new(), relays, processes: Vec::new(), starts: 0 }
    }

    fn join(&mut self, dispatch: bool, report: bool, slow: u8) {
        self.starts += 1;
        self.processes.push(Process {
            me: Me { owner: self.starts, node: None, dispatch, report, schedule: dispatch || report, draining: false },
            next: self.now,
            loses_answer: false,
            slow,
            until: self.now,
            uses: BTreeMap::new(),
            stopping: BTreeMap::new(),
            shares: Vec::new(),
            gave: BTreeSet::new(),
            took: BTreeSet::new(),
        });
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Join { dispatch, report, slow } if self.processes.len() < 6 => self.join(dispatch, report, slow),
            Event::Join { .. } => {}
            Event::Die(index) if index < self.processes.len() => drop(self.processes.remove(index)),
            Event::Binds(no, binds) => {
                self.relays.retain(|relay| relay.no != no);
                self.relays.push(Relay { no, binds });
            }
            Event::Gone(no) => self.relays.retain(|relay| relay.no != no),
            Event::Pass(ticks) => (0..ticks).for_each(|_| self.tick()),
            Event::Die(index) | Event::Pause(index, _) | Event::Drain(index) | Event::LoseAnswer(index) => {
                let Some(process) = self.processes.get_mut(index) else { return };
                match event {
                    Event::Pause(_, ticks) => process.next += TICK * i64::from(ticks),
                    Event::Drain(_) => process.me.draining = true,
                    _ => process.loses_answer = true,
                }
            }
        }
    }

    fn tick(&mut self) {
        self.now += TICK;
        for index in 0..self.processes.len() {
            if self.processes[index].next <= self.now {
                self.step(index);
                self.check();
            }
        }
        self.processes.retain(|process| process.next != i64::MAX);
        self.check();
    }

    fn step(&mut self, index: usize) {
        let (now, process) = (self.now, &mut self.processes[index]);
        process.next = now + EVERY;
        let stopped = process.stopped(now);
        let plan = plan(now, LEASE, &self.board, &process.me, &self.relays, &stopped);
        check_plan(now, &self.board, &process.me, &self.relays, &plan);
        self.board = plan.apply(&self.board);
        if std::mem::take(&mut process.loses_answer) {
            return;
        }
        process.follow(now, &plan, &stopped);
        match plan.node {
            NodeStep::Left => process.next = i64::MAX,
            NodeStep::Lost if process.me.draining => process.next = i64::MAX,
            NodeStep::Lost => {
                let (me, slow) = (process.me, process.slow);
                self.join(me.dispatch, me.report, slow);
                self.processes.swap_remove(index);
            }
            NodeStep::Keep(_) | NodeStep::Take(_) | NodeStep::NoneFree => {}
        }
    }

    /// No lease is used twice, and no relay gets more than its rate.
    fn check(&self) {
        let mut users = BTreeMap::new();
        let mut rates: BTreeMap<u8, f64> = BTreeMap::new();
        for process in self.processes.iter().filter(|process| process.is_sure(self.now)) {
            let node = process.me.node.map(LeaseName::Node).filter(|name| !process.stopping.contains_key(name));
            let stopping = process.stopping.iter().filter(|(_, at)| **at > self.now).map(|(name, _)| name);
            for name in process.uses.keys().chain(stopping).copied().chain(node).collect::<BTreeSet<_>>() {
                let other = users.insert(name, process.me.owner);
                assert_eq!(other, None, "{name} is used by {} too: {self:#?}", process.me.owner);
            }
            for share in &process.shares {
                let is_used =
                    |(name, at): &(&LeaseName, &i64)| relay_of(**name) == Some(share.relay) && **at <= self.now;
                let used = process.uses.iter().filter(is_used).count();
                assert!(used <= share.held.into());
                *rates.entry(share.relay).or_default() += used as f64 / f64::from(share.of);
            }
        }
        assert!(rates.values().all(|&rate| rate < 1.000_001), "over the rate: {rates:?} {self:#?}");
    }

    /// Everybody alive and awake long enough for all to be settled.
    fn settle(&mut self) {
        (0..120).for_each(|_| self.tick());
        for process in &mut self.processes {
            (process.gave, process.took) = (BTreeSet::new(), BTreeSet::new());
        }
    }

    fn held(&self, owner: i64, relay: u8) -> usize {
        let is_held = |row: &&Lease| row.owner == owner && relay_of(row.name) == Some(relay);
        self.board.iter().filter(is_held).count()
    }

    /// All slots are held, evenly, by the active; all tasks by somebody; no row is left over.
    fn check_settled(&self) {
        let mut owners: Vec<i64> = self.processes.iter().filter(|p| p.me.dispatch).map(|p| p.me.owner).collect();
        owners.sort_unstable();
        let fewest = self.relays.iter().map(|relay| relay.binds).filter(|&binds| binds > 0).min();
        owners.truncate(fewest.map_or(owners.len(), usize::from));
        if !owners.is_empty() {
            for relay in &self.relays {
                let held: Vec<usize> = owners.iter().map(|&owner| self.held(owner, relay.no)).collect();
                assert_eq!(held.iter().sum::<usize>(), usize::from(relay.binds), "{self:#?}");
                assert!(held.iter().max().unwrap() - held.iter().min().unwrap() <= 1, "{self:#?}");
            }
            let slots: usize = self.relays.iter().map(|relay| usize::from(relay.binds)).sum();
            assert_eq!(self.board.iter().filter(|row| relay_of(row.name).is_some()).count(), slots, "{self:#?}");
        }
        let alive: BTreeSet<i64> = self.processes.iter().map(|process| process.me.owner).collect();
        let works = self.processes.iter().any(|process| process.me.dispatch || process.me.report);
        for name in Task::ALL.map(LeaseName::Task) {
            let is_held = self.board.iter().any(|row| row.name == name && alive.contains(&row.owner));
            assert_eq!(is_held, works, "{name} {self:#?}");
        }
        assert!(self.processes.iter().all(|process| process.me.node.is_some()));
    }
}

/// What holds for every single plan.
fn check_plan(now: i64, board: &[Lease], me: &Me, relays: &[Relay], plan: &Plan) {
    let find = |name: LeaseName| board.iter().find(|row| row.name == name);
    for row in plan.writes() {
        let before = find(row.name);
        assert!(before.is_none_or(|old| old.owner == me.owner || old.is_free(now, LEASE)), "{row:?} {before:?}");
        assert!(row.owner == me.owner || row.owner == 0);
        assert!(before.is_none_or(|old| old.not_before <= row.not_before), "{row:?} {before:?}");
    }
    for name in &plan.remove {
        assert!(find(*name).is_some_and(|old| old.is_free(now, LEASE)));
    }
    let lists = [only(&plan.renew), only(&plan.take), only(&plan.free), plan.give_up.clone(), plan.remove.clone()];
    let all: Vec<LeaseName> = lists.concat();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "a name twice in {plan:?}");
    for (share, relay) in plan.share.iter().zip(relays) {
        let held = plan.renew.iter().chain(&plan.take).filter(|(name, _)| relay_of(*name) == Some(relay.no)).count();
        assert_eq!((share.relay, usize::from(share.held)), (relay.no, held));
        let most = plan.active.map_or(0, |(_, count)| relay.binds.div_ceil(count));
        assert!(share.held <= most && share.of >= relay.binds.max(1));
    }
    let is_moved = |no: u8, list: &[LeaseName]| list.iter().any(|&name| relay_of(name) == Some(no));
    let (mine, given) = (only(&plan.take), &plan.give_up);
    for relay in relays {
        let existing: Vec<LeaseName> = given
            .iter()
            .copied()
            .filter(|name| matches!(name, LeaseName::Bind { slot, .. } if *slot < relay.binds))
            .collect();
        assert!(!(is_moved(relay.no, &mine) && is_moved(relay.no, &existing)), "takes while it gives up: {plan:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_held_twice_and_all_is_shared_in_the_end(events in prop::collection::vec(any_event(), 1..60)) {
        let mut world = World::new();
        events.into_iter().for_each(|event| world.happen(event));
        world.settle();
        world.check_settled();
        // Nothing moves any more.
        (0..12).for_each(|_| world.tick());
        prop_assert!(world.processes.iter().all(|process| process.gave.is_empty() && process.took.is_empty()));
    }

    #[test]
    fn after_a_change_each_moves_one_way_only(
        counts in (1_usize..5, 0_usize..3), binds in (1_u16..9, 1_u16..9), slow in 0_u8..6,
    ) {
        let mut world = World::new();
        world.relays = vec![Relay { no: 0, binds: binds.0 }, Relay { no: 1, binds: binds.1 }];
        (0..counts.0).for_each(|_| world.join(true, false, slow));
        world.settle();
        // Between two plans of one process all of them have joined.
        (0..counts.1).for_each(|_| world.join(true, false, slow));
        (0..60).for_each(|_| world.tick());
        world.check_settled();
        for process in &world.processes {
            prop_assert!(process.gave.is_disjoint(&process.took), "{process:?}");
        }
    }
}
