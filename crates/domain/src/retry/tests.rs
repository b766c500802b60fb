//! Tests of what follows a try.

use super::*;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_772_323_200_000_000);

fn failed(relay: u8, code: Code) -> Tried {
    let outcome = if code == Code::RouteDown { Outcome::Unsent } else { Outcome::Refused };
    Tried { relay, code, outcome }
}

fn unknown(relay: u8) -> Tried {
    Tried { relay, code: Code::VendorTimeout, outcome: Outcome::Unknown }
}

/// A case over relays 1, 2 and 3 that expires in an hour, with these relays up.
fn decide<T>(history: &[Tried], up: &[u8], policy: &FailoverPolicy, decision: impl Fn(&Case<'_>) -> T) -> T {
    let is_up = |relay: u8| up.contains(&relay);
    let expires = NOW.plus(Duration::from_secs(3600));
    decision(&Case { now: NOW, history, relays: &[1, 2, 3], is_up: &is_up, policy, expires, random: 12_345 })
}

/// The path of a message whose every try ends as `answer` says, with the wait before each try in seconds.
fn path(up: &[u8], policy: &FailoverPolicy, answer: impl Fn(u8) -> Code) -> (Vec<(u8, u64)>, Next) {
    let (mut history, mut tries, mut relay, mut wait) = (Vec::new(), Vec::new(), 1, 0);
    loop {
        history.push(failed(relay, answer(relay)));
        tries.push((relay, wait));
        match decide(&history, up, policy, after_attempt) {
            Next::Again { relay: next, at } => (relay, wait) = (next, at.since(NOW).as_secs()),
            end => return (tries, end),
        }
    }
}

fn ends(status: Status, code: Code) -> Next {
    Next::Final { status, code }
}

#[test]
fn the_default_path_waits_for_the_same_relay_and_for_those_that_are_down() {
    let policy = FailoverPolicy::default();
    let down = ends(Status::Failed, Code::RouteDown);
    assert_eq!(path(&[2, 3], &policy, |_| Code::RouteDown), (vec![(1, 0), (1, 3), (2, 0), (3, 0)], down));
    assert_eq!(path(&[], &policy, |_| Code::RouteDown), (vec![(1, 0), (1, 3), (2, 3), (3, 3)], down));
}

#[test]
fn the_rns_path_waits_ten_seconds_before_every_try() {
    let (tries, end) = path(&[2, 3], &FailoverPolicy::rns(), |_| Code::RouteDown);
    assert_eq!(tries, [(1, 0), (1, 10), (2, 10), (3, 10)]);
    assert_eq!(end, ends(Status::Failed, Code::RouteDown));
}

#[test]
fn a_failed_message_has_the_code_of_the_first_relay() {
    let answer = |relay| if relay == 1 { Code::RouteAuthFailed } else { Code::RouteDown };
    let (_, end) = path(&[1, 2, 3], &FailoverPolicy::default(), answer);
    assert_eq!(end, ends(Status::Failed, Code::RouteAuthFailed));
}

#[test]
fn a_refusal_for_good_ends_at_once() {
    let policy = FailoverPolicy::default();
    for (code, status) in [
        (Code::BadRecipientFormat, Status::Failed),
        (Code::SenderBlocked, Status::Failed),
        (Code::SpamFiltered, Status::Failed),
        (Code::RecipientUnknown, Status::Undelivered),
        (Code::RecipientRefused, Status::Undelivered),
        (Code::PoweredOff, Status::Undelivered),
        (Code::ExpiredBeforeSend, Status::Expired),
    ] {
        assert_eq!(decide(&[failed(1, code)], &[1, 2, 3], &policy, after_attempt), ends(status, code), "{code}");
    }
    let spam = Tried { relay: 1, code: Code::SpamFiltered, outcome: Outcome::Undelivered };
    let end = ends(Status::Undelivered, Code::SpamFiltered);
    assert_eq!(decide(&[spam], &[1, 2, 3], &policy, after_attempt), end);
}

#[test]
fn an_unmapped_refusal_goes_to_another_relay_and_an_unmapped_receipt_ends() {
    let policy = FailoverPolicy { tries_on_first: 1, ..FailoverPolicy::default() };
    let refused = failed(1, Code::UnmappedVendorCode);
    assert_eq!(decide(&[refused], &[2], &policy, after_attempt), Next::Again { relay: 2, at: NOW });
    let receipt = Tried { outcome: Outcome::Undelivered, ..refused };
    let end = ends(Status::Undelivered, Code::UnmappedVendorCode);
    assert_eq!(decide(&[receipt], &[2], &policy, after_attempt), end);
}

#[test]
fn passing_failures_stay_on_the_relay_with_growing_waits() {
    let policy = FailoverPolicy::default();
    let mut history = vec![failed(2, Code::DeviceBusy)];
    for wait in SAME_WAITS {
        let Next::Again { relay, at } = decide(&history, &[1, 2, 3], &policy, after_attempt) else { panic!("ended") };
        assert_eq!(relay, 2);
        assert!(at > NOW && at <= NOW.plus(wait));
        history.push(failed(2, Code::DeviceBusy));
    }
    let end = ends(Status::Undelivered, Code::DeviceBusy);
    assert_eq!(decide(&history, &[1, 2, 3], &policy, after_attempt), end);
}

#[test]
fn throttles_cost_no_try_and_still_end() {
    let policy = FailoverPolicy::default();
    let mut history = vec![failed(1, Code::RouteThrottled); THROTTLES_MAX];
    assert!(matches!(decide(&history, &[1], &policy, after_attempt), Next::Again { relay: 1, .. }));
    history.push(failed(1, Code::RouteDown));
    let again = Next::Again { relay: 1, at: NOW.plus(policy.wait) };
    assert_eq!(decide(&history, &[1], &policy, after_attempt), again);
    history.push(failed(1, Code::RouteQueueFull));
    let end = ends(Status::Failed, Code::RouteQueueFull);
    assert_eq!(decide(&history, &[1], &policy, after_attempt), end);
}

#[test]
fn no_try_begins_at_or_after_the_expiry() {
    let policy = FailoverPolicy::default();
    let case = Case {
        now: NOW,
        history: &[failed(1, Code::RouteDown)],
        relays: &[1, 2],
        is_up: &|_| true,
        policy: &policy,
        expires: NOW.plus(policy.wait),
        random: 0,
    };
    assert_eq!(after_attempt(&case), ends(Status::Expired, Code::ExpiredBeforeSend));
    let later = Case { expires: case.expires.plus(Duration::from_micros(1)), ..case };
    assert_eq!(after_attempt(&later), Next::Again { relay: 1, at: case.expires });
}

#[test]
fn a_message_without_relays_has_no_route() {
    let end = ends(Status::Failed, Code::NoRoute);
    assert_eq!(decide(&[], &[], &FailoverPolicy::default(), after_attempt), end);
}

#[test]
fn an_unknown_auth_message_goes_out_at_once_by_another_relay() {
    let after = |history: &[Tried], up: &[u8]| {
        decide(history, up, &FailoverPolicy::default(), |case| {
            after_unknown(case, Lane::Auth, true, Duration::from_secs(60))
        })
    };
    assert_eq!(after(&[unknown(1)], &[1, 2, 3]), Next::Again { relay: 2, at: NOW });
    assert_eq!(after(&[unknown(1)], &[1, 3]), Next::Again { relay: 3, at: NOW });
    assert_eq!(after(&[unknown(1)], &[1]), Next::Again { relay: 1, at: NOW });
    assert_eq!(after(&[unknown(1), unknown(2)], &[1, 2, 3]), Next::Again { relay: 3, at: NOW });
    assert_eq!(after(&[unknown(1), unknown(2), unknown(3)], &[1, 2, 3]), Next::Again { relay: 1, at: NOW });
}

#[test]
fn other_unknown_messages_wait_for_the_receipt_first() {
    let wait = Duration::from_secs(60);
    for lane in [Lane::Realtime, Lane::Bulk, Lane::Ad] {
        let next =
            decide(&[unknown(1)], &[1, 2, 3], &FailoverPolicy::default(), |case| after_unknown(case, lane, true, wait));
        assert_eq!(next, Next::Again { relay: 2, at: NOW.plus(wait) });
    }
}

#[test]
fn a_relay_that_must_not_get_it_twice_ends_it_after_the_wait() {
    for lane in Lane::ALL {
        let next = |wait| {
            decide(&[unknown(1)], &[1, 2, 3], &FailoverPolicy::default(), |case| {
                after_unknown(case, lane, false, Duration::from_secs(wait))
            })
        };
        let at = NOW.plus(Duration::from_secs(60));
        assert_eq!(next(60), Next::ExpireAt { at, code: Code::VendorTimeout });
        let at = NOW.plus(Duration::from_secs(3600));
        assert_eq!(next(7200), Next::ExpireAt { at, code: Code::VendorTimeout });
    }
}

#[test]
fn resends_of_unknown_tries_end() {
    let after = |tries: usize| {
        decide(&vec![unknown(1); tries], &[1, 2, 3], &FailoverPolicy::default(), |case| {
            after_unknown(case, Lane::Auth, true, Duration::from_secs(60))
        })
    };
    assert!(matches!(after(RESENDS_MAX), Next::Again { .. }));
    let at = NOW.plus(Duration::from_secs(3600));
    assert_eq!(after(RESENDS_MAX + 1), Next::ExpireAt { at, code: Code::VendorTimeout });
}

fn any_code() -> impl Strategy<Value = Code> {
    let failures = Code::ALL.into_iter().filter(|code| code.action() != Action::None).collect::<Vec<_>>();
    prop_oneof![prop::sample::select(failures), Just(Code::RouteDown), Just(Code::VendorTimeout)]
}

#[derive(Debug, Clone)]
struct Story {
    relays: u8,
    up: u64,
    answers: Vec<Code>,
    tries_on_first: u8,
    wait_secs: u64,
    wait_between_relays: bool,
    life_secs: u64,
    lane: Lane,
}

fn any_story() -> impl Strategy<Value = Story> {
    let answers = prop::collection::vec(any_code(), 1..200);
    let lane = prop::sample::select(Lane::ALL.to_vec());
    (1_u8..8, any::<u64>(), answers, 0_u8..5, 0_u64..20, any::<bool>(), 0_u64..100_000, lane).prop_map(
        |(relays, up, answers, tries_on_first, wait_secs, wait_between_relays, life_secs, lane)| Story {
            relays,
            up,
            answers,
            tries_on_first,
            wait_secs,
            wait_between_relays,
            life_secs,
            lane,
        },
    )
}

/// Plays a story to its end: every try, and the end. Time goes on to each try.
fn play(story: &Story) -> (Vec<Tried>, Next) {
    let relays: Vec<u8> = (0..story.relays).collect();
    let is_up = |relay: u8| story.up >> relay & 1 == 1;
    let wait = Duration::from_secs(story.wait_secs);
    let (tries_on_first, wait_between_relays) = (story.tries_on_first, story.wait_between_relays);
    let policy = FailoverPolicy { tries_on_first, wait, wait_between_relays };
    let expires = NOW.plus(Duration::from_secs(story.life_secs));
    let (mut now, mut relay, mut history) = (NOW, 0, Vec::new());
    for answer in story.answers.iter().cycle() {
        let is_unknown = *answer == Code::VendorTimeout;
        history.push(if is_unknown { unknown(relay) } else { failed(relay, *answer) });
        let case =
            Case { now, history: &history, relays: &relays, is_up: &is_up, policy: &policy, expires, random: story.up };
        let next = match is_unknown {
            true => after_unknown(&case, story.lane, true, Duration::from_secs(60)),
            false => after_attempt(&case),
        };
        match next {
            Next::Again { relay: again, at } => {
                assert!(at >= now && at < expires, "a try outside the life of the message");
                (relay, now) = (again, at);
            }
            end => return (history, end),
        }
    }
    unreachable!("answers go round")
}

proptest! {
    #[test]
    fn every_story_ends_within_the_policy(story in any_story()) {
        let (history, end) = play(&story);
        let policy = FailoverPolicy { tries_on_first: story.tries_on_first, ..FailoverPolicy::default() };
        let throttled = history.iter().filter(|tried| is_throttle(tried.code)).count();
        prop_assert!(history.len() - throttled <= policy.tries_max(usize::from(story.relays)));
        prop_assert!(throttled <= THROTTLES_MAX + 1);
        if let Next::Final { status, .. } = end {
            prop_assert!(status.is_final());
        }
    }

    #[test]
    fn a_message_failed_by_dead_relays_names_every_relay(story in any_story()) {
        let (history, end) = play(&Story { answers: vec![Code::RouteDown], life_secs: 1_000_000, ..story.clone() });
        prop_assert_eq!(end, ends(Status::Failed, Code::RouteDown));
        let on_first = usize::from(story.tries_on_first.max(1));
        prop_assert_eq!(history.len(), on_first + usize::from(story.relays) - 1);
        for relay in 0..story.relays {
            prop_assert!(history.iter().any(|tried| tried.relay == relay));
        }
    }

    #[test]
    fn a_short_life_ends_as_expired_or_by_its_answer(story in any_story()) {
        let (history, end) = play(&Story { life_secs: 0, ..story });
        prop_assert!(history.len() == 1);
        let last = history[0].code;
        let is_end = match end {
            Next::Final { status: Status::Expired, code: Code::ExpiredBeforeSend } => true,
            Next::Final { code, .. } => code == last,
            Next::ExpireAt { at, .. } => at == NOW,
            Next::Again { .. } => false,
        };
        prop_assert!(is_end);
    }
}
