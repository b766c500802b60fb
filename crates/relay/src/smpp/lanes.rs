//! The queue of one relay: one line a lane, auth first, the others by turns of 12, 3 and 1.

use std::collections::VecDeque;

use bongsu_domain::lane::Lane;
use bongsu_domain::time::Timestamp;

use crate::Outbound;

/// Turns of realtime, bulk and ad while all of them wait.
const TURNS: [(Lane, i32); 3] = [(Lane::Realtime, 12), (Lane::Bulk, 3), (Lane::Ad, 1)];

/// Messages taken and not written, and how many parts they are.
pub(super) struct Lanes {
    lines: [VecDeque<Outbound>; 4],
    parts: [u32; 4],
    credit: [i32; 4],
    /// No queued message ends before this moment.
    earliest: Timestamp,
}

impl Lanes {
    pub(super) fn new() -> Lanes {
        Lanes { lines: Default::default(), parts: [0; 4], credit: [0; 4], earliest: Timestamp::MAX }
    }

    pub(super) fn push(&mut self, message: Outbound) {
        self.note(&message);
        self.lines[message.lane as usize].push_back(message);
    }

    /// Puts a message that was taken before back to where it was.
    pub(super) fn push_front(&mut self, message: Outbound) {
        self.note(&message);
        self.lines[message.lane as usize].push_front(message);
    }

    fn note(&mut self, message: &Outbound) {
        self.parts[message.lane as usize] += parts_of(message);
        self.earliest = self.earliest.min(message.deadline).min(message.expires);
    }

    /// Parts waiting in one lane.
    pub(super) fn parts(&self, lane: Lane) -> u32 {
        self.parts[lane as usize]
    }

    /// Parts waiting in all lanes.
    pub(super) fn parts_total(&self) -> u32 {
        self.parts.iter().sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.iter().all(VecDeque::is_empty)
    }

    pub(super) fn front(&self, lane: Lane) -> Option<&Outbound> {
        self.lines[lane as usize].front()
    }

    pub(super) fn pop(&mut self, lane: Lane) -> Option<Outbound> {
        let message = self.lines[lane as usize].pop_front()?;
        self.parts[lane as usize] -= parts_of(&message);
        if self.lines[lane as usize].is_empty() {
            self.credit[lane as usize] = 0;
        }
        Some(message)
    }

    /// The lane other than auth whose turn it is; [`Lanes::pop_turn`] takes from it.
    pub(super) fn turn(&self) -> Option<Lane> {
        self.waiting().max_by_key(|(lane, turns)| self.credit[*lane as usize] + turns).map(|(lane, _)| lane)
    }

    /// Takes from the lane that [`Lanes::turn`] named and counts the turn.
    pub(super) fn pop_turn(&mut self, lane: Lane) -> Option<Outbound> {
        for (other, turns) in TURNS {
            if !self.lines[other as usize].is_empty() {
                self.credit[other as usize] += turns;
                self.credit[lane as usize] -= turns;
            }
        }
        self.pop(lane)
    }

    /// Lanes other than auth that wait, least urgent first: the last of equals wins in [`Lanes::turn`].
    fn waiting(&self) -> impl Iterator<Item = (Lane, i32)> {
        TURNS.into_iter().rev().filter(|(lane, _)| !self.lines[*lane as usize].is_empty())
    }

    /// Takes every message out that must not be written any more at `now`.
    pub(super) fn take_ended(&mut self, now: Timestamp) -> Vec<Outbound> {
        if now < self.earliest {
            return Vec::new();
        }
        self.take_if(|message| is_ended(message, now))
    }

    /// Takes every message out that `chosen` points at.
    pub(super) fn take_if(&mut self, chosen: impl Fn(&Outbound) -> bool) -> Vec<Outbound> {
        let mut taken = Vec::new();
        self.earliest = Timestamp::MAX;
        for lane in Lane::ALL {
            let line = std::mem::take(&mut self.lines[lane as usize]);
            self.parts[lane as usize] = 0;
            for message in line {
                if chosen(&message) { taken.push(message) } else { self.push(message) }
            }
        }
        taken
    }
}

/// Whether not a byte of it may be written at `now`.
pub(super) fn is_ended(message: &Outbound, now: Timestamp) -> bool {
    now > message.deadline || now >= message.expires
}

/// What a message counts for in queues and windows.
pub(super) fn parts_of(message: &Outbound) -> u32 {
    u32::from(message.parts.max(1))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bongsu_domain::channel::Channel;
    use bongsu_domain::phone::PhoneNumber;

    use super::*;

    fn message(id: i64, lane: Lane, deadline: i64) -> Outbound {
        let number = PhoneNumber::from_national("01012345678").unwrap();
        Outbound {
            id,
            attempt: 1,
            lane,
            deadline: Timestamp(deadline),
            expires: Timestamp::MAX,
            to: number,
            from: number,
            channel: Channel::Sms,
            text: Arc::from("text"),
            subject: None,
            parts: 2,
        }
    }

    #[test]
    fn lanes_take_turns_of_12_3_1() {
        let mut lanes = Lanes::new();
        for id in 0..160 {
            for lane in [Lane::Realtime, Lane::Bulk, Lane::Ad] {
                lanes.push(message(id, lane, 10));
            }
        }
        let mut seen = [0; 4];
        for _ in 0..160 {
            let lane = lanes.turn().unwrap();
            lanes.pop_turn(lane).unwrap();
            seen[lane as usize] += 1;
        }
        assert_eq!(seen, [0, 120, 30, 10]);
    }

    #[test]
    fn a_lane_alone_has_every_turn_and_owes_nothing_later() {
        let mut lanes = Lanes::new();
        (0..50).for_each(|id| lanes.push(message(id, Lane::Ad, 10)));
        for _ in 0..49 {
            assert_eq!(lanes.turn(), Some(Lane::Ad));
            lanes.pop_turn(Lane::Ad).unwrap();
        }
        lanes.push(message(100, Lane::Bulk, 10));
        assert_eq!(lanes.turn(), Some(Lane::Bulk));
    }

    #[test]
    fn ended_messages_leave_and_parts_are_counted() {
        let mut lanes = Lanes::new();
        lanes.push(message(1, Lane::Auth, 5));
        lanes.push(message(2, Lane::Bulk, 50));
        lanes.push_front(message(3, Lane::Bulk, 7));
        assert_eq!((lanes.parts(Lane::Bulk), lanes.parts_total()), (4, 6));
        assert!(lanes.take_ended(Timestamp(5)).is_empty());
        let ended: Vec<i64> = lanes.take_ended(Timestamp(8)).iter().map(|message| message.id).collect();
        assert_eq!(ended, [1, 3]);
        assert_eq!(lanes.parts_total(), 2);
        assert_eq!(lanes.pop(Lane::Bulk).unwrap().id, 2);
        assert!(lanes.is_empty());
    }
}
