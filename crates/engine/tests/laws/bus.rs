//! Laws of the bus.

use bongsu_engine::bus::{Heard, MESSAGE_MAX, RECEIVERS_MAX, Refused, TOPIC_MAX, WAITING_BYTES_MAX, WAITING_MAX};

use crate::house::{House, message, next, number_of, numbered};

pub async fn a_message_reaches_every_receiver_of_its_topic_and_no_other(house: impl House) {
    let [here, there] = house.buses();
    let mut receivers = vec![house.listen(&here, "rooms").await, house.listen(&there, "rooms").await];
    receivers.push(there.subscribe("rooms").unwrap());
    let mut other = house.listen(&there, "room").await;
    here.publish("rooms", b"from here");
    for receiver in &mut receivers {
        assert_eq!(message(receiver).await, b"from here");
    }
    there.publish("rooms", b"from there");
    for receiver in &mut receivers {
        assert_eq!(message(receiver).await, b"from there");
        assert_eq!(receiver.topic(), "rooms");
    }
    here.publish("nobody listens", b"lost");
    here.publish("room", b"for the other");
    assert_eq!(message(&mut other).await, b"for the other");
    assert!(receivers.iter_mut().all(|receiver| receiver.try_recv().is_none()));
}

pub async fn one_publisher_is_heard_in_its_order(house: impl House) {
    let buses = house.buses();
    let mut receivers = [house.listen(&buses[0], "a").await, house.listen(&buses[1], "a").await];
    let publishers = buses.map(|bus| {
        tokio::spawn(async move {
            for number in 0..WAITING_MAX as u64 / 2 {
                bus.publish("a", &numbered(number));
                tokio::task::yield_now().await;
            }
        })
    });
    for publisher in publishers {
        publisher.await.unwrap();
    }
    for receiver in &mut receivers {
        // Two interleaved rows of the same numbers: each number is the next of one of them.
        let mut rows = [0, 0];
        for _ in 0..WAITING_MAX {
            let number = number_of(&message(receiver).await);
            let row = rows.iter_mut().find(|row| **row == number);
            *row.unwrap_or_else(|| panic!("{number} is out of order")) += 1;
        }
        assert_eq!(rows, [WAITING_MAX as u64 / 2; 2]);
        assert_eq!(receiver.try_recv(), None, "and nothing twice");
    }
}

pub async fn a_slow_receiver_loses_the_oldest_and_is_told_how_many(house: impl House) {
    let [here, there] = house.buses();
    let mut own = house.listen(&here, "a").await;
    let mut other = house.listen(&there, "a").await;
    let published = WAITING_MAX as u64 + 5;
    (0..published).for_each(|number| here.publish("a", &numbered(number)));
    assert_eq!(next(&mut own).await, Heard::Lagged(5));
    for number in 5..published {
        assert_eq!(number_of(&message(&mut own).await), number);
    }
    assert!(here.metrics().lagged >= 5);

    // In another process they come in when they come in; nothing is lost without a word.
    let (mut lost, mut expected) = (0, 0);
    while lost + expected < published {
        match next(&mut other).await {
            Heard::Lagged(count) => lost += count,
            Heard::Message(message) => {
                assert_eq!(number_of(&message), lost + expected);
                expected += 1;
            }
            Heard::Gap => panic!("nothing was cut"),
        }
    }
}

pub async fn what_waits_for_a_receiver_is_bounded_in_bytes(house: impl House) {
    let [here, _] = house.buses();
    let mut own = house.listen(&here, "a").await;
    let fit = WAITING_BYTES_MAX / MESSAGE_MAX;
    let large = vec![1; MESSAGE_MAX];
    (0..fit + 3).for_each(|_| here.publish("a", &large));
    assert_eq!(next(&mut own).await, Heard::Lagged(3));
    for _ in 0..fit {
        assert_eq!(message(&mut own).await, large);
    }
    assert_eq!(own.try_recv(), None);
}

pub async fn any_bytes_are_a_message(house: impl House) {
    let [here, there] = house.buses();
    let topic = "한글 \r\n *?[] topic";
    let mut receivers = [house.listen(&here, topic).await, house.listen(&there, topic).await];
    let messages = [vec![], vec![0], vec![0, 255, b'\r', b'\n'], vec![9; MESSAGE_MAX]];
    for sent in &messages {
        here.publish(topic, sent);
        for receiver in &mut receivers {
            assert_eq!(message(receiver).await, *sent);
        }
    }
}

pub async fn what_is_over_a_limit_is_refused(house: impl House) {
    let [here, there] = house.buses();
    let (longest, too_long) = ("t".repeat(TOPIC_MAX), "t".repeat(TOPIC_MAX + 1));
    let mut receiver = house.listen(&there, &longest).await;
    assert_eq!(here.subscribe(&too_long).unwrap_err(), Refused::Topic);
    here.publish(&too_long, b"one");
    here.publish(&longest, &vec![1; MESSAGE_MAX + 1]);
    assert_eq!((here.metrics().refused, here.metrics().published), (3, 0));
    here.publish(&longest, b"two");
    assert_eq!(message(&mut receiver).await, b"two");
}

pub async fn receivers_are_bounded_and_leave(house: impl House) {
    let [here, _] = house.buses();
    let mut receivers: Vec<_> = (0..RECEIVERS_MAX).map(|_| here.subscribe("a").unwrap()).collect();
    assert_eq!(here.subscribe("b").unwrap_err(), Refused::Receivers);
    receivers.truncate(1);
    assert_eq!(here.metrics().receivers, 1);
    drop(receivers);
    assert_eq!(here.metrics().receivers, 0);
    let mut again = house.listen(&here, "a").await;
    here.publish("a", b"one");
    assert_eq!(message(&mut again).await, b"one");
}

pub async fn a_bus_that_is_gone_ends_its_receivers_after_what_waits(house: impl House) {
    let [here, there] = house.buses();
    let mut own = house.listen(&here, "a").await;
    here.publish("a", b"the last");
    drop((house, here, there));
    assert_eq!(message(&mut own).await, b"the last");
    assert_eq!(own.recv().await, None);
    assert_eq!(own.try_recv(), None);
}
