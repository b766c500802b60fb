//! Schedules, verdicts, targets and the line before an endpoint.

use proptest::prelude::*;

use super::*;

#[test]
fn the_usual_schedule_is_that_of_the_origin() {
    assert_eq!(Schedule::default().minutes(), [1, 3, 7, 13, 21, 31, 43, 57, 73, 91]);
}

#[test]
fn after_each_failure_comes_its_wait_and_then_nothing() {
    let schedule = Schedule::default();
    let mut now = Timestamp::from_secs(1_800_000_000);
    for (failures, minutes) in schedule.minutes().iter().enumerate() {
        let verdict = after_call(now, failures as u16, &schedule, Answer::Status { status: 500, retry_after: None });
        let at = now.plus(Duration::from_secs(u64::from(*minutes) * 60));
        assert_eq!(verdict, Verdict::Again { at, pause: false });
        now = at;
    }
    assert_eq!(after_call(now, 10, &schedule, Answer::None), Verdict::Exhausted);
    let never = Schedule::new(Vec::new()).expect("no waits are a schedule");
    assert_eq!(after_call(now, 0, &never, Answer::None), Verdict::Exhausted);
}

#[test]
fn schedules_are_bounded() {
    assert!(Schedule::new(vec![1; RETRIES_MAX]).is_some());
    assert!(Schedule::new(vec![1; RETRIES_MAX + 1]).is_none());
    assert!(Schedule::new(vec![0]).is_none());
    assert!(Schedule::new(vec![WAIT_MAX_MINUTES + 1]).is_none());
}

#[test]
fn answers_decide() {
    let now = Timestamp::from_secs(1_800_000_000);
    let after = |status, retry_after: Option<u64>| {
        let retry_after = retry_after.map(Duration::from_secs);
        after_call(now, 0, &Schedule::default(), Answer::Status { status, retry_after })
    };
    let again = |secs, pause| Verdict::Again { at: now.plus(Duration::from_secs(secs)), pause };
    for good in [200, 201, 202, 204, 299] {
        assert_eq!(after(good, None), Verdict::Delivered);
    }
    assert_eq!(after(410, None), Verdict::Gone);
    for bad in [100, 199, 300, 301, 302, 307, 308, 400, 404, 418, 500, 599] {
        assert_eq!(after(bad, Some(600)), again(60, false), "{bad}");
    }
    for asks in [429, 503] {
        assert_eq!(after(asks, None), again(60, false));
        assert_eq!(after(asks, Some(10)), again(60, true), "never before the schedule");
        assert_eq!(after(asks, Some(600)), again(600, true));
        assert_eq!(after(asks, Some(10_000_000)), again(24 * 3600, true), "bounded");
    }
}

#[test]
fn targets_are_read_in_one_form_only() {
    let strict = Policy::default();
    for (url, host, port, path) in [
        ("https://example.com", "example.com", 443, "/"),
        ("https://EXAMPLE.com:8443/a/b?c=d", "example.com", 8443, "/a/b?c=d"),
        ("https://xn--9i1b14lcmc51s.kr?x", "xn--9i1b14lcmc51s.kr", 443, "/?x"),
        ("https://93.184.215.14/hook", "93.184.215.14", 443, "/hook"),
        ("https://[2606:4700::1111]:4443/", "[2606:4700::1111]", 4443, "/"),
    ] {
        let target = Target::parse(url, strict).unwrap_or_else(|why| panic!("{url}: {why}"));
        assert_eq!((target.host.to_string().as_str(), target.port, target.path.as_str()), (host, port, path));
    }
    for (url, why) in [
        ("example.com", BadTarget::Form),
        ("https://example.com/#top", BadTarget::Form),
        ("https://example.com/a b", BadTarget::Form),
        ("https://example.com\\@evil.kr/", BadTarget::Form),
        ("https://예시.kr/", BadTarget::Form),
        ("https://example.com:/", BadTarget::Form),
        ("https://example.com:99999/", BadTarget::Form),
        ("http://example.com/", BadTarget::Scheme),
        ("http://127.0.0.1/", BadTarget::Scheme),
        ("ftp://example.com/", BadTarget::Scheme),
        ("https://user:secret@example.com/", BadTarget::User),
        ("https://example.com@127.0.0.1/", BadTarget::User),
        ("https:///path", BadTarget::Host),
        ("https://a..b/", BadTarget::Host),
        ("https://example.com./", BadTarget::Host),
        ("https://2130706433/", BadTarget::Host),
        ("https://0x7f000001/", BadTarget::Host),
        ("https://0x7f.0.0.1/", BadTarget::Host),
        ("https://0177.0.0.1/", BadTarget::Host),
        ("https://127.1/", BadTarget::Host),
        ("https://127.0.0.01/", BadTarget::Host),
        ("https://1.2.3.4.5/", BadTarget::Host),
        ("https://[::ffff:127.0.0.1/", BadTarget::Form),
        ("https://[fe80::1%25eth0]/", BadTarget::Host),
        ("https://127.0.0.1%2f@x/", BadTarget::User),
        ("https://127.0.0.1%00.kr/", BadTarget::Host),
        ("https://example.com:22/", BadTarget::Port),
        ("https://127.0.0.1/", BadTarget::Address),
        ("https://169.254.169.254/latest/meta-data/", BadTarget::Address),
        ("https://[::ffff:127.0.0.1]/", BadTarget::Address),
        ("https://[::1]/", BadTarget::Address),
    ] {
        assert_eq!(Target::parse(url, strict), Err(why), "{url}");
    }
    let long = format!("https://example.com/{}", "a".repeat(2_048));
    assert_eq!(Target::parse(&long, strict), Err(BadTarget::Form));
}

#[test]
fn loopback_is_allowed_only_where_it_was_asked_for() {
    let tests = Policy { allow_loopback: true };
    assert!(Target::parse("http://127.0.0.1:1/x", tests).is_ok());
    assert!(Target::parse("http://localhost:80/x", tests).is_ok());
    assert_eq!(Target::parse("http://93.184.215.14/", tests), Err(BadTarget::Address), "in the clear to loopback only");
    let loopback: std::net::IpAddr = [127, 0, 0, 1].into();
    let private: std::net::IpAddr = [10, 0, 0, 1].into();
    assert!(tests.allows(Scheme::Http, loopback) && !tests.allows(Scheme::Https, private));
    assert!(!Policy::default().allows(Scheme::Https, loopback));
}

#[test]
fn addresses_inside_are_not_public() {
    let inside = [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:10::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ];
    for text in inside {
        assert!(!is_public(text.parse().expect("an address")), "{text}");
    }
    for text in ["1.1.1.1", "93.184.215.14", "100.63.0.1", "172.32.0.1", "2606:4700::1111", "2400:cb00::1"] {
        assert!(is_public(text.parse().expect("an address")), "{text}");
    }
}

#[test]
fn an_event_waits_for_an_earlier_one_of_its_message_and_others_go_on() {
    let mut line = Line::default();
    for (position, message) in [(1, 7), (2, 8), (3, 7), (4, 9)] {
        line.push(position, message);
    }
    assert_eq!(line.take(0, 1), Some(Take::New(vec![1])));
    line.form(100, vec![1]);
    assert_eq!(line.take(0, 1), Some(Take::New(vec![2])));
    line.form(101, vec![2]);
    line.again(100, 60_000);
    assert_eq!(line.take(0, 1), Some(Take::New(vec![4])), "3 waits for 1");
    line.form(102, vec![4]);
    line.done(101);
    line.done(102);
    assert_eq!(line.take(59_999, 1), None);
    assert_eq!(line.next_due(), Some(60_000));
    assert_eq!(line.take(60_000, 1), Some(Take::Again(100)));
    line.done(100);
    assert_eq!(line.take(60_000, 1), Some(Take::New(vec![3])));
    line.form(103, vec![3]);
    line.done(103);
    assert!(line.is_empty());
}

#[test]
fn a_batch_takes_events_of_free_messages_in_order() {
    let mut line = Line::default();
    for (position, message) in [(1, 7), (2, 8), (3, 7), (4, 9), (5, 8)] {
        line.push(position, message);
    }
    assert_eq!(line.take(0, 3), Some(Take::New(vec![1, 2, 3])));
    line.form(100, vec![1, 2, 3]);
    line.again(100, 60_000);
    assert_eq!(line.take(0, 500), Some(Take::New(vec![4])), "5 waits for 2");
    line.form(101, vec![4]);
    assert_eq!(line.hurry(10), [100]);
    assert_eq!(line.take(10, 500), Some(Take::Again(100)));
    line.pause(99);
    line.done(100);
    assert_eq!(line.take(98, 500), None, "paused");
    assert_eq!(line.take(99, 500), Some(Take::New(vec![5])));
}

#[test]
fn a_stored_line_comes_back() {
    let mut line = Line::default();
    line.restore(100, Delivery { positions: vec![1, 2], failures: 2, due: 50 }, vec![7, 8]);
    line.push(3, 8);
    line.push(4, 9);
    assert_eq!((line.len(), line.oldest()), (4, Some(1)));
    assert_eq!(line.take(0, 500), Some(Take::New(vec![4])));
    line.form(101, vec![4]);
    assert_eq!(line.take(50, 500), Some(Take::Again(100)));
    assert_eq!(line.get(100).map(|delivery| delivery.failures), Some(2));
}

proptest! {
    /// Whatever fails and however events mix, each message's events arrive in order, none is lost, and the line ends empty.
    #[test]
    fn events_of_a_message_arrive_in_order(
        messages in prop::collection::vec(0i64..6, 1..60),
        fails in prop::collection::vec(any::<bool>(), 200),
        batch in 1usize..8,
    ) {
        let mut line = Line::default();
        for (position, message) in messages.iter().enumerate() {
            line.push(position as i64, *message);
        }
        let mut seen: Vec<i64> = Vec::new();
        let (mut now, mut id) = (0, 1_000);
        let mut fails = fails.into_iter();
        while !line.is_empty() {
            let mut out = Vec::new();
            while let Some(take) = line.take(now, batch) {
                out.push(match take {
                    Take::Again(id) => id,
                    Take::New(positions) => { id += 1; line.form(id, positions); id }
                });
            }
            for id in out.into_iter().rev() {
                if fails.next().unwrap_or(false) {
                    line.again(id, now + 5);
                } else {
                    seen.extend(line.get(id).expect("under way").positions.clone());
                    line.done(id);
                }
            }
            now += 1;
        }
        prop_assert_eq!(seen.len(), messages.len());
        for message in 0..6 {
            let order: Vec<i64> = seen.iter().copied().filter(|p| messages[*p as usize] == message).collect();
            prop_assert!(order.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", order);
        }
    }
}
