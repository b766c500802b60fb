//! What the bus does when its server dies, hangs, cuts it, or lets strangers in.

use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::Secret;
use bongsu_engine::RedisConfig;
use bongsu_engine::bus::{Bus, BusReceiver, Heard, OUTGOING_MAX};
use redis::aio::MultiplexedConnection;
use redis::cmd;

use crate::house::{message, next, number_of, numbered, until};
use crate::server::{Server, bus_of, config, listen};

async fn is_up(bus: &Arc<dyn Bus>) {
    until("the server is reached", async || bus.health().up).await;
}

async fn is_down(bus: &Arc<dyn Bus>) {
    until("the server is missed", async || !bus.health().up).await;
}

/// Ends the connections of others.
async fn cut(raw: &mut MultiplexedConnection) {
    for kind in ["normal", "pubsub"] {
        let mut kill = cmd("CLIENT");
        kill.arg("KILL").arg("TYPE").arg(kind).arg("SKIPME").arg("yes");
        kill.query_async::<()>(raw).await.unwrap();
    }
}

/// A bus whose connection alone can be cut for as long as it takes: it is another user of the server.
fn guest(config: &RedisConfig) -> RedisConfig {
    let url = config.url.expose().replace("://", "://guest:word@");
    RedisConfig { url: Secret::new(url), ..config.clone() }
}

async fn let_guest_in(raw: &mut MultiplexedConnection) {
    let rules = ["on", ">word", "~*", "&*", "+@all"];
    cmd("ACL").arg("SETUSER").arg("guest").arg(&rules).query_async::<()>(raw).await.unwrap();
}

/// Also ends the connection.
async fn put_guest_out(raw: &mut MultiplexedConnection) {
    cmd("ACL").arg("DELUSER").arg("guest").query_async::<()>(raw).await.unwrap();
}

#[tokio::test]
async fn a_dead_server_is_a_gap_for_every_receiver_and_own_messages_go_on() {
    let Some(mut server) = Server::start().await else { return };
    let config = config(&server.url());
    let [here, there] = [bus_of(&config), bus_of(&config)];
    let mut receivers: Vec<BusReceiver> = Vec::new();
    for bus in [&here, &there] {
        receivers.push(listen(bus, "a").await);
        receivers.push(bus.subscribe("a").unwrap());
        receivers.push(listen(bus, "b").await);
    }
    server.kill();
    for bus in [&here, &there] {
        is_down(bus).await;
        assert!(bus.health().last_error.is_some());
    }
    let mut late = here.subscribe("c").unwrap();
    here.publish("a", b"own");
    for receiver in &mut receivers[..2] {
        assert_eq!(message(receiver).await, b"own");
    }
    assert_eq!(late.try_recv(), None);
    server.start_again().await;
    for receiver in receivers.iter_mut().chain([&mut late]) {
        until("a gap is told", async || next(receiver).await == Heard::Gap).await;
    }
    is_up(&here).await;
    is_up(&there).await;
    there.publish("a", b"over");
    there.publish("c", b"too");
    until("the message comes", async || message(&mut receivers[0]).await == b"over").await;
    assert_eq!(message(&mut late).await, b"too");
    here.publish("b", b"back");
    assert_eq!(message(&mut receivers[5]).await, b"back");
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_found_later() {
    let Some(mut server) = Server::start().await else { return };
    let config = config(&server.url());
    server.kill();
    let [here, there] = [bus_of(&config), bus_of(&config)];
    let mut receiver = there.subscribe("a").unwrap();
    until("the error shows", async || here.health().last_error.is_some()).await;
    assert!(!here.health().up);
    server.start_again().await;
    assert_eq!(next(&mut receiver).await, Heard::Gap);
    here.publish("a", b"one");
    assert_eq!(message(&mut receiver).await, b"one");
}

#[tokio::test]
async fn a_server_that_hangs_is_a_gap() {
    let Some(server) = Server::start().await else { return };
    let config = config(&server.url());
    let [here, there] = [bus_of(&config), bus_of(&config)];
    let mut receiver = listen(&there, "a").await;
    server.hang();
    is_down(&there).await;
    server.go_on();
    assert_eq!(next(&mut receiver).await, Heard::Gap);
    is_up(&here).await;
    here.publish("a", b"one");
    assert_eq!(message(&mut receiver).await, b"one");
}

/// In each round connections are cut in the middle of a stream. Whoever missed a number of a round is told of a gap, and
/// what comes, comes in order and once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_without_a_word() {
    let Some(server) = Server::start().await else { return };
    let config = config(&server.url());
    let [here, there] = [bus_of(&config), bus_of(&config)];
    let mut raw = server.raw().await;
    let mut receiver = listen(&there, "a").await;
    for round in 1..=8_u64 {
        let first = round * 1_000_000;
        for number in first..first + 400 {
            here.publish("a", &numbered(number));
            if number == first + round * 40 {
                cut(&mut raw).await;
            }
            tokio::task::yield_now().await;
        }
        let (mut heard, mut told, mut last) = (0, false, 0);
        // The end of a round is said until it is heard.
        let mut end = first + 500_000;
        let mut ticks = tokio::time::interval(Duration::from_millis(1));
        loop {
            ticks.tick().await;
            here.publish("a", &numbered(end));
            end += 1;
            let mut ended = false;
            while let Some(next) = receiver.try_recv() {
                match next {
                    Heard::Message(message) => {
                        let number = number_of(&message);
                        assert!(number > last, "{number} after {last}");
                        last = number;
                        heard += u64::from((first..first + 400).contains(&number));
                        ended |= number >= first + 500_000;
                    }
                    Heard::Gap | Heard::Lagged(_) => told = true,
                }
            }
            if ended {
                break;
            }
        }
        if heard < 400 && !told {
            until("a gap is told", async || matches!(next(&mut receiver).await, Heard::Gap | Heard::Lagged(_))).await;
        }
        is_up(&here).await;
        is_up(&there).await;
        // What is still under way belongs to this round.
        until("all is said", async || here.health().outgoing == 0).await;
        here.publish("a", &numbered(first + 900_000));
        loop {
            match next(&mut receiver).await {
                Heard::Message(message) if number_of(&message) == first + 900_000 => break,
                _ => {}
            }
        }
    }
    assert!(here.metrics().connects > 4);
    until("each message is accounted for", async || {
        let metrics = here.metrics();
        metrics.sent + metrics.dropped == metrics.published
    })
    .await;
}

/// What others said while only this process was cut off is gone, and it is told so when it is back.
#[tokio::test]
async fn what_a_receiver_could_not_hear_is_a_gap() {
    let Some(server) = Server::start().await else { return };
    let mut raw = server.raw().await;
    let config = config(&server.url());
    let [here, there] = [bus_of(&config), bus_of(&guest(&config))];
    let_guest_in(&mut raw).await;
    let mut receiver = listen(&there, "a").await;
    is_up(&here).await;
    put_guest_out(&mut raw).await;
    is_down(&there).await;
    here.publish("a", b"missed");
    until("it is sent", async || here.metrics().sent == 1).await;
    let_guest_in(&mut raw).await;
    assert_eq!(next(&mut receiver).await, Heard::Gap);
    here.publish("a", b"heard");
    assert_eq!(next(&mut receiver).await, Heard::Message(b"heard"[..].into()));
    assert_eq!(here.metrics().connects, 1);
}

/// A process that had to drop something says so to the others, although their own connections were never cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_publisher_drops_is_bounded_and_a_gap_for_others() {
    let Some(server) = Server::start().await else { return };
    let mut raw = server.raw().await;
    let config = config(&server.url());
    let [here, there] = [bus_of(&guest(&config)), bus_of(&config)];
    let_guest_in(&mut raw).await;
    let mut receiver = listen(&there, "a").await;
    is_up(&here).await;
    put_guest_out(&mut raw).await;
    is_down(&here).await;
    let published = OUTGOING_MAX as u64 + 10;
    (0..published).for_each(|number| here.publish("a", &numbered(number)));
    assert_eq!((here.health().outgoing, here.metrics().dropped), (OUTGOING_MAX, 10));
    assert_eq!(receiver.try_recv(), None);
    let_guest_in(&mut raw).await;
    assert_eq!(next(&mut receiver).await, Heard::Gap);
    let mut expected = 10;
    while expected < published {
        match next(&mut receiver).await {
            Heard::Lagged(count) => expected += count,
            Heard::Message(message) => {
                assert_eq!(number_of(&message), expected);
                expected += 1;
            }
            Heard::Gap => panic!("one gap was enough"),
        }
    }
    until("all is said", async || here.metrics().sent == OUTGOING_MAX as u64).await;
    assert_eq!((there.metrics().connects, here.metrics().dropped), (1, 10));
}

#[tokio::test]
async fn all_topics_are_heard_again_after_a_cut() {
    let Some(server) = Server::start().await else { return };
    let config = config(&server.url());
    let [here, there] = [bus_of(&config), bus_of(&config)];
    let mut raw = server.raw().await;
    let names: Vec<String> = (0..1300).map(|number| format!("room {number}")).collect();
    let mut receivers: Vec<BusReceiver> = names.iter().map(|name| there.subscribe(name).unwrap()).collect();
    for cut_too in [true, false] {
        for receiver in &mut receivers {
            assert_eq!(next(receiver).await, Heard::Gap);
        }
        is_up(&here).await;
        names.iter().for_each(|name| here.publish(name, name.as_bytes()));
        for (receiver, name) in receivers.iter_mut().zip(&names) {
            assert_eq!(message(receiver).await, name.as_bytes());
        }
        if cut_too {
            cut(&mut raw).await;
        }
    }
    // The server is told of those that leave.
    receivers.truncate(3);
    until("three topics and the gaps are left", async || {
        let channels: Vec<String> = cmd("PUBSUB").arg("CHANNELS").query_async(&mut raw).await.unwrap();
        channels.len() == 4
    })
    .await;
    let mut back = listen(&there, "room 100").await;
    here.publish("room 100", b"again");
    assert_eq!(message(&mut back).await, b"again");
}

#[tokio::test]
async fn what_strangers_say_harms_nobody() {
    let Some(server) = Server::start().await else { return };
    let config = config(&server.url());
    let bus = bus_of(&config);
    let mut raw = server.raw().await;
    let mut receiver = listen(&bus, "a").await;
    let large = vec![0; 100_000];
    let short: [&[u8]; 4] = [b"", b"1234567", &large, b"\r\n"];
    for frame in short {
        for channel in ["t:a", "gaps"] {
            let mut publish = cmd("PUBLISH");
            publish.arg(format!("{}{channel}", config.prefix)).arg(frame);
            assert_eq!(publish.query_async::<u32>(&mut raw).await.unwrap(), 1);
        }
    }
    until("they are counted", async || bus.metrics().refused == 8).await;
    let mut publish = cmd("PUBLISH");
    publish.arg(format!("{}t:a", config.prefix)).arg(b"12345678one");
    publish.query_async::<()>(&mut raw).await.unwrap();
    assert_eq!(next(&mut receiver).await, Heard::Message(b"one"[..].into()));
    assert_eq!((bus.metrics().heard, bus.metrics().connects), (1, 1));
}

/// The server refuses to carry topics; when it does again, those that wait are told of a gap.
#[tokio::test]
async fn refused_topics_are_tried_again() {
    let Some(server) = Server::start().await else { return };
    let mut raw = server.raw().await;
    let config = config(&server.url());
    let bus = bus_of(&config);
    is_up(&bus).await;
    let mut acl = async |rules: &[&str]| {
        cmd("ACL").arg("SETUSER").arg("default").arg(rules).query_async::<()>(&mut raw).await.unwrap();
    };
    acl(&["-subscribe", "-publish"]).await;
    let mut receiver = bus.subscribe("a").unwrap();
    bus.publish("a", b"own");
    assert_eq!(message(&mut receiver).await, b"own");
    // The topic may be refused twice before the message is once.
    until("both are refused", async || bus.metrics().failures >= 2 && bus.metrics().dropped > 0).await;
    assert_eq!(bus.metrics().dropped, 1);
    acl(&["+subscribe", "+publish"]).await;
    assert_eq!(next(&mut receiver).await, Heard::Gap);
    bus.publish("a", b"own again");
    until("it is sent", async || bus.metrics().sent == 1).await;
    assert_eq!(message(&mut receiver).await, b"own again");
    assert!(bus.health().last_error.unwrap().contains("NOPERM"));
}
