//! Tests of leases: each rule on a small board.

use super::*;
use crate::id::NODE_MAX;
use proptest::prelude::*;

mod world;

const NOW: i64 = 1_772_323_200_000;
const LEASE: i64 = 15_000;
const MARGIN: i64 = 3_000;
const RELAYS: [Relay; 2] = [Relay { no: 0, binds: 3 }, Relay { no: 1, binds: 4 }];

fn name(text: &str) -> LeaseName {
    text.parse().unwrap()
}

fn names(texts: &[&str]) -> Vec<LeaseName> {
    texts.iter().map(|text| name(text)).collect()
}

fn row(text: &str, owner: i64, until: i64) -> Lease {
    let name = name(text);
    let is_node = matches!(name, LeaseName::Node(_));
    Lease { name, owner, until, not_before: 0, dispatch: is_node && owner != 0, report: false }
}

/// Rows of `owner` that run for another ten seconds.
fn held(owner: i64, texts: &[&str]) -> Vec<Lease> {
    texts.iter().map(|text| row(text, owner, NOW + 10_000)).collect()
}

fn me(owner: i64, node: Option<u16>) -> Me {
    Me { owner, node, dispatch: true, report: false, schedule: false, draining: false }
}

fn only(list: &[(LeaseName, i64)]) -> Vec<LeaseName> {
    list.iter().map(|&(name, _)| name).collect()
}

fn plan_of(board: &[Lease], me: &Me) -> Plan {
    plan(NOW, LEASE, board, me, &RELAYS, &[])
}

#[test]
fn a_name_has_one_spelling() {
    for text in ["node:0", "node:1023", "bind:0:0", "bind:255:65535", "task:sweep", "task:recover"] {
        assert_eq!(name(text).to_string(), text);
    }
    let bad =
        ["", "node", "node:", "node:1024", "node:-1", "node:+1", "node:01", "node: 1", "Node:1", "bind:1", "task:"];
    for text in bad.into_iter().chain(["bind:256:0", "bind:1:65536", "bind:1:2:3", "task:Sweep", "task:other", "x:1"]) {
        assert_eq!(text.parse::<LeaseName>(), Err(BadLeaseName), "{text}");
    }
}

#[test]
fn the_first_process_takes_everything_at_once() {
    let plan = plan_of(&[], &me(7, None));
    assert_eq!(plan.node, NodeStep::Take(0));
    let all = ["bind:0:0", "bind:0:1", "bind:0:2", "bind:1:0", "bind:1:1", "bind:1:2", "bind:1:3"];
    let mut wanted = names(&all);
    wanted.splice(0..0, names(&["task:sweep", "task:recover"]));
    assert_eq!(only(&plan.take), wanted);
    assert!(plan.take.iter().all(|&(_, not_before)| not_before == 0));
    assert_eq!(plan.share, [Share { relay: 0, held: 3, of: 3 }, Share { relay: 1, held: 4, of: 4 }]);
    assert_eq!((plan.members, plan.dispatchers, plan.active), (1, 1, Some((0, 1))));
    assert!(plan.renew.is_empty() && plan.free.is_empty() && plan.give_up.is_empty() && plan.remove.is_empty());

    let board = plan.apply(&[]);
    assert_eq!(board, plan.writes());
    assert!(board.iter().all(|row| (row.owner, row.until) == (7, NOW + LEASE)));
    assert!(board.iter().all(|row| row.dispatch == matches!(row.name, LeaseName::Node(_)) && !row.report));
    let again = plan_of(&board, &me(7, Some(0)));
    assert_eq!((again.node, &again.renew, again.take.is_empty()), (NodeStep::Keep(0), &plan.take, true));
}

#[test]
fn the_node_is_the_lowest_free_number() {
    let live = held(1, &["node:0"]);
    for (second, taken) in [
        (row("node:1", 0, 0), 1),
        (row("node:1", 2, NOW - MARGIN), 1),
        (row("node:1", 2, NOW - MARGIN + 1), 2),
        (row("node:1", 2, NOW + 1), 2),
    ] {
        let plan = plan_of(&[live[0], second], &me(9, None));
        assert_eq!(plan.node, NodeStep::Take(taken), "{second:?}");
    }
    let full: Vec<Lease> = (0..=NODE_MAX).map(|n| Lease { name: LeaseName::Node(n), ..live[0] }).collect();
    let plan = plan_of(&full, &me(9, None));
    assert_eq!((plan.node, plan.writes(), plan.take.len()), (NodeStep::NoneFree, &[][..], 0));
}

#[test]
fn a_node_is_lost_a_margin_after_its_end_or_when_another_has_it() {
    let step = |node: Option<u16>, board: &[Lease]| plan_of(board, &me(5, node)).node;
    assert_eq!(step(Some(2), &[row("node:2", 5, NOW - MARGIN + 1)]), NodeStep::Keep(2));
    assert_eq!(step(Some(2), &[row("node:2", 5, NOW - MARGIN)]), NodeStep::Keep(2), "nobody acted on its end");
    assert_eq!(step(Some(2), &[row("node:2", 6, NOW + 1)]), NodeStep::Lost);
    assert_eq!(step(Some(2), &[row("node:2", 0, 0)]), NodeStep::Lost);
    assert_eq!(step(Some(2), &[]), NodeStep::Lost);
    assert_eq!(step(None, &[row("node:2", 5, NOW - MARGIN)]), NodeStep::Keep(2));

    let mut board = held(5, &["bind:0:0", "task:sweep"]);
    board.extend(held(6, &["node:2"]));
    let plan = plan_of(&board, &me(5, Some(2)));
    assert_eq!((plan.writes(), plan.renew.len(), plan.take.len(), plan.active), (&[][..], 0, 0, None));
    assert_eq!(plan.share[0], Share { relay: 0, held: 0, of: 3 });
    assert_eq!(
        (plan.members, plan.apply(&board)),
        (1, {
            board.sort_by_key(|row| row.name);
            board
        })
    );
}

#[test]
fn a_take_whose_answer_was_lost_is_found_again() {
    let first = plan_of(&[], &me(5, None));
    let again = plan_of(&first.apply(&[]), &me(5, None));
    assert_eq!((again.node, &again.renew), (NodeStep::Keep(0), &first.take));
}

#[test]
fn a_second_process_waits_for_what_the_first_gives_up() {
    let board = plan_of(&[], &me(1, None)).apply(&[]);
    let joined = plan_of(&board, &me(2, None));
    assert_eq!((joined.node, joined.active, joined.take.len()), (NodeStep::Take(1), Some((1, 2)), 0));

    let board = joined.apply(&board);
    let asked = plan_of(&board, &me(1, Some(0)));
    assert_eq!(asked.give_up, names(&["bind:0:2", "bind:1:3", "bind:1:2"]));
    assert_eq!(asked.share, [Share { relay: 0, held: 2, of: 3 }, Share { relay: 1, held: 2, of: 4 }]);
    let board = asked.apply(&board);
    assert_eq!(plan_of(&board, &me(2, Some(1))).take, []);

    let stopped = [(name("bind:0:2"), NOW + 40), (name("bind:1:2"), NOW + 50), (name("bind:0:9"), NOW)];
    let freed = plan(NOW, LEASE, &board, &me(1, Some(0)), &RELAYS, &stopped);
    assert_eq!(freed.free, stopped[..2]);
    assert_eq!(freed.give_up, names(&["bind:1:3"]));
    let taken = plan_of(&freed.apply(&board), &me(2, Some(1)));
    assert_eq!(taken.take, stopped[..2]);
    assert_eq!(taken.share, [Share { relay: 0, held: 1, of: 3 }, Share { relay: 1, held: 1, of: 4 }]);
}

#[test]
fn what_was_stopped_is_freed_before_it_is_taken_again() {
    let board = plan_of(&[], &me(1, None)).apply(&[]);
    let stopped = [(name("bind:0:1"), NOW + 40), (name("task:sweep"), 0)];
    let freed = plan(NOW, LEASE, &board, &me(1, Some(0)), &RELAYS, &stopped);
    assert_eq!((freed.free.len(), freed.take.len(), freed.share[0].held), (2, 0, 2));
    let taken = plan_of(&freed.apply(&board), &me(1, Some(0)));
    assert_eq!(taken.take, [(name("task:sweep"), 0), (name("bind:0:1"), NOW + 40)]);

    // A wait that has not passed yet is passed on.
    let waiting: Vec<Lease> = board.iter().map(|row| Lease { not_before: NOW + 500, ..*row }).collect();
    let freed = plan(NOW, LEASE, &waiting, &me(1, Some(0)), &RELAYS, &stopped[..1]);
    assert_eq!(freed.free, [(name("bind:0:1"), NOW + 500)]);
}

#[test]
fn a_dead_process_is_succeeded_a_margin_after_its_leases() {
    let dead = |until: i64| {
        let mut board = held(2, &["node:1", "bind:0:0", "bind:1:0", "bind:1:1"]);
        board.extend(["node:0", "task:sweep", "bind:0:1", "bind:0:2"].map(|text| row(text, 1, until)));
        plan_of(&board, &me(2, Some(1)))
    };
    // Still a member; then not, but nothing of it is taken.
    assert_eq!((dead(NOW + 1).members, dead(NOW + 1).active), (2, Some((1, 2))));
    let ended = dead(NOW - MARGIN + 1);
    assert_eq!((ended.members, ended.active), (1, Some((0, 1))));
    assert_eq!(only(&ended.take), names(&["task:recover", "bind:1:2", "bind:1:3"]));
    let over = dead(NOW - MARGIN);
    assert_eq!(only(&over.take)[..4], names(&["task:sweep", "task:recover", "bind:0:1", "bind:0:2"]));
}

#[test]
fn only_as_many_are_active_as_the_fewest_binds() {
    let relays = [Relay { no: 0, binds: 5 }, Relay { no: 1, binds: 2 }, Relay { no: 2, binds: 0 }];
    let board = [row("node:4", 10, NOW + 1), row("node:3", 20, NOW + 1), row("node:2", 30, NOW + 1)];
    let mut api = row("node:5", 5, NOW + 1);
    api.dispatch = false;
    let board: Vec<Lease> = board.into_iter().chain([api]).collect();
    let active = |owner, node, relays: &[Relay]| plan(NOW, LEASE, &board, &me(owner, Some(node)), relays, &[]);
    for (owner, node, place) in [(10, 4, Some((0, 2))), (20, 3, Some((1, 2))), (30, 2, None)] {
        let plan = active(owner, node, &relays);
        assert_eq!((plan.active, plan.dispatchers, plan.members), (place, 3, 4));
        assert_eq!(plan.share[0].held, if place.is_some() { 2 + u16::from(owner == 10) } else { 0 });
    }
    assert_eq!(active(30, 2, &[]).active, Some((2, 3)));
    assert_eq!(active(30, 2, &relays[2..]).active, Some((2, 3)));

    // One that stands by gives up what it has.
    let mut board = board.clone();
    board.extend(held(30, &["bind:0:4", "bind:1:0"]));
    assert_eq!(plan(NOW, LEASE, &board, &me(30, Some(2)), &relays, &[]).give_up, names(&["bind:0:4", "bind:1:0"]));
}

#[test]
fn who_has_one_more_changes_from_relay_to_relay() {
    let relays: Vec<Relay> = (0..3).map(|no| Relay { no, binds: 4 }).collect();
    let board = [row("node:0", 1, NOW + 1), row("node:1", 2, NOW + 1), row("node:2", 3, NOW + 1)];
    let shares = [(1, 0), (2, 1), (3, 2)].map(|(owner, node)| {
        let plan = plan(NOW, LEASE, &board, &me(owner, Some(node)), &relays, &[]);
        plan.share.iter().map(|share| share.held).collect::<Vec<u16>>()
    });
    assert_eq!(shares, [[2, 1, 1], [1, 1, 2], [1, 2, 1]]);
}

#[test]
fn a_process_without_roles_takes_a_node_and_nothing_else() {
    let api = Me { dispatch: false, ..me(3, None) };
    let plan = plan_of(&[row("bind:9:0", 0, 0)], &api);
    assert_eq!((plan.node, plan.writes().len(), plan.members, plan.dispatchers), (NodeStep::Take(0), 1, 1, 0));
    let reporter = plan_of(&[], &Me { report: true, ..api });
    assert_eq!(only(&reporter.take), names(&["task:sweep", "task:recover"]));
    assert!(reporter.writes().iter().any(|row| row.report && !row.dispatch));
    let scheduler = plan_of(&[], &Me { schedule: true, ..api });
    assert_eq!(only(&scheduler.take), names(&["task:schedule"]));
}

#[test]
fn a_draining_process_frees_what_it_has_stopped_and_its_node_last() {
    let (all, draining) = (&RELAYS[..1], Me { draining: true, ..me(1, Some(0)) });
    let board = plan(NOW, LEASE, &[], &me(1, None), all, &[]).apply(&[]);
    let asked = plan(NOW, LEASE, &board, &draining, all, &[]);
    assert_eq!(asked.give_up, names(&["task:sweep", "task:recover", "bind:0:2", "bind:0:1", "bind:0:0"]));
    assert_eq!((asked.members, asked.dispatchers, asked.share[0].held), (1, 0, 0));
    assert!(asked.writes().iter().all(|row| row.owner == 1 && !row.dispatch));

    let node = (name("node:0"), NOW + 5);
    let mut stopped: Vec<(LeaseName, i64)> = asked.give_up[1..].iter().map(|&name| (name, NOW + 9)).collect();
    stopped.push(node);
    let board = asked.apply(&board);
    let waiting = plan(NOW, LEASE, &board, &draining, all, &stopped);
    assert_eq!((waiting.node, waiting.give_up), (NodeStep::Keep(0), names(&["task:sweep"])));
    stopped.push((name("task:sweep"), 0));
    let gone = plan(NOW, LEASE, &board, &draining, all, &stopped);
    assert_eq!((gone.node, gone.free.last(), gone.free.len()), (NodeStep::Left, Some(&node), 6));
    assert_eq!((gone.members, gone.apply(&board).iter().all(|row| row.owner == 0)), (0, true));

    let bare = plan(NOW, LEASE, &held(1, &["node:0"]), &draining, all, &[]);
    assert_eq!((bare.node, bare.give_up), (NodeStep::Keep(0), names(&["node:0"])));
    assert_eq!(plan(NOW, LEASE, &[], &Me { node: None, ..draining }, all, &[]).node, NodeStep::Left);
}

#[test]
fn slots_that_are_gone_are_given_up_and_then_removed() {
    let board = held(1, &["node:0", "bind:0:0", "bind:0:1", "bind:0:2", "bind:8:0"]);
    let relays = [Relay { no: 0, binds: 2 }];
    let lowered = plan(NOW, LEASE, &board, &me(1, Some(0)), &relays, &[]);
    assert_eq!((lowered.give_up, lowered.remove), (names(&["bind:8:0", "bind:0:2"]), vec![]));
    // Others may have counted with three, and what was written through the third still counts.
    assert_eq!(lowered.share, [Share { relay: 0, held: 2, of: 3 }]);

    let stopped = [(name("bind:0:2"), NOW + 50), (name("bind:8:0"), 0)];
    let freed = plan(NOW, LEASE, &board, &me(1, Some(0)), &relays, &stopped);
    assert_eq!((only(&freed.free), &freed.remove), (stopped.map(|(name, _)| name).to_vec(), &vec![]));
    let board = freed.apply(&board);
    let removed = |now| plan(now, LEASE, &board, &me(1, Some(0)), &relays, &[]);
    assert_eq!(removed(NOW + 49).remove, names(&["bind:8:0"]));
    assert_eq!(removed(NOW + 50).remove, names(&["bind:8:0", "bind:0:2"]));
    assert_eq!(removed(NOW + 50).share, [Share { relay: 0, held: 2, of: 2 }]);
    assert!(removed(NOW + 50).apply(&board).iter().all(|row| !names(&["bind:8:0", "bind:0:2"]).contains(&row.name)));
}

#[test]
fn new_slots_wait_until_everybody_counts_them() {
    let mut board = held(1, &["node:0", "bind:0:0"]);
    board.extend(held(2, &["node:1", "bind:0:1"]));
    let relays = [Relay { no: 0, binds: 4 }];
    let raised = plan(NOW, LEASE, &board, &me(1, Some(0)), &relays, &[]);
    assert!(raised.take.contains(&(name("bind:0:2"), NOW + LEASE)));
    assert_eq!(raised.share, [Share { relay: 0, held: 2, of: 4 }]);
    // The row for the other one is there already, with the same wait; who counts with two now sees four.
    let board = raised.apply(&board);
    let other = plan(NOW + 5, LEASE, &board, &me(2, Some(1)), &[Relay { no: 0, binds: 2 }], &[]);
    assert_eq!(other.remove, []);
    assert_eq!(other.share, [Share { relay: 0, held: 1, of: 4 }]);
    let other = plan(NOW + 5, LEASE, &board, &me(2, Some(1)), &relays, &[]);
    assert!(other.take.contains(&(name("bind:0:3"), NOW + LEASE)));

    // Nobody has a slot of a new relay, so nobody counts with fewer.
    let new = plan(NOW, LEASE, &board, &me(1, Some(0)), &[Relay { no: 3, binds: 4 }], &[]);
    assert_eq!(new.take, [(name("bind:3:0"), 0), (name("bind:3:1"), 0)]);
    assert!(new.writes().contains(&row("bind:3:3", 0, 0)));

    // Alone, a process begins with what it takes at once. What it leaves waits: it may not learn that it committed.
    let board = held(1, &["node:0", "bind:0:0"]);
    let alone = plan(NOW, LEASE, &board, &me(1, Some(0)), &relays, &[]);
    assert_eq!(alone.take.iter().map(|&(_, not_before)| not_before).collect::<Vec<_>>(), [0; 5]);
    let board: Vec<Lease> = board.into_iter().chain(held(2, &["node:1"])).collect();
    let shared = plan(NOW, LEASE, &board, &me(1, Some(0)), &relays, &[]);
    assert!(shared.take.contains(&(name("bind:0:1"), 0)));
    assert!(shared.writes().contains(&Lease { not_before: NOW + LEASE, ..row("bind:0:3", 0, 0) }));
}
