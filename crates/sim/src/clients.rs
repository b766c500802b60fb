//! The clients of a relay: how many sessions each has, and which of them gets which receipt.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use tokio::sync::Notify;

use crate::receipt::Receipt;

/// Most system ids that one relay knows.
const CLIENTS_MAX: usize = 1_000;

/// A session that may receive.
struct Receiver {
    /// How to wake it.
    bell: Arc<Notify>,
    /// Receipts that go over this session as long as it is bound.
    ready: VecDeque<Receipt>,
}

/// Everyone who bound with one system id.
struct Client {
    system_id: Box<[u8]>,
    /// Sessions of any kind.
    bound: u32,
    /// Receipts for whoever comes first, because their own session is gone or does not receive.
    ready: VecDeque<Receipt>,
    receivers: BTreeMap<u64, Receiver>,
    /// The session that got the last receipt of another one.
    turn: u64,
}

impl Client {
    /// Where a receipt waits for its session.
    fn queue(&mut self, receipt: &Receipt) -> &mut VecDeque<Receipt> {
        let other = if receipt.elsewhere { self.other(receipt.session) } else { None };
        self.turn = other.unwrap_or(self.turn);
        match self.receivers.get_mut(&other.unwrap_or(receipt.session)) {
            Some(receiver) => &mut receiver.ready,
            None => &mut self.ready,
        }
    }

    /// The session whose turn it is among all but this one.
    fn other(&self, than: u64) -> Option<u64> {
        let after = self.receivers.range((Excluded(self.turn), Unbounded));
        after.chain(self.receivers.range(..=self.turn)).map(|(session, _)| *session).find(|session| *session != than)
    }
}

/// The clients of a relay and the receipts that are ready for them.
#[derive(Default)]
pub(crate) struct Clients {
    list: Vec<Client>,
    count: usize,
    /// The most sessions that one client ever had at once.
    most_bound: u32,
}

impl Clients {
    /// Receipts that are ready and not written.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The most sessions that one client ever had at once.
    pub(crate) fn most_bound(&self) -> u32 {
        self.most_bound
    }

    /// Takes in a session of any kind and tells the number of its client; `None` when the client has `most` of them
    /// already, or when there are too many clients.
    pub(crate) fn bind(&mut self, system_id: &[u8], most: Option<u32>) -> Option<u32> {
        let known = self.list.iter().position(|client| &*client.system_id == system_id);
        let index = match known {
            Some(index) => index,
            None if self.list.len() == CLIENTS_MAX => return None,
            None => {
                self.list.push(Client {
                    system_id: system_id.into(),
                    bound: 0,
                    ready: VecDeque::new(),
                    receivers: BTreeMap::new(),
                    turn: 0,
                });
                self.list.len() - 1
            }
        };
        let bound = &mut self.list[index].bound;
        if most.is_some_and(|most| *bound >= most) {
            return None;
        }
        *bound += 1;
        self.most_bound = self.most_bound.max(*bound);
        u32::try_from(index).ok()
    }

    /// Has a bound session receive.
    pub(crate) fn join(&mut self, client: u32, session: u64, bell: Arc<Notify>) {
        bell.notify_one();
        self.list[client as usize].receivers.insert(session, Receiver { bell, ready: VecDeque::new() });
    }

    /// Ends a bind; receipts that the session could not bring home go to others, before all that wait there.
    pub(crate) fn leave(&mut self, client: u32, session: u64, unacked: Vec<Receipt>) {
        self.count += unacked.len();
        let client = &mut self.list[client as usize];
        client.bound -= 1;
        let own = client.receivers.remove(&session).map(|receiver| receiver.ready).unwrap_or_default();
        for receipt in unacked.into_iter().chain(own).rev() {
            client.queue(&receipt).push_front(receipt);
        }
        self.ring();
    }

    /// Whether a receipt of this session could go over another one.
    pub(crate) fn has_other(&self, client: u32, session: u64) -> bool {
        self.list[client as usize].other(session).is_some()
    }

    /// Puts receipts at the end of their queues; [`ring`](Self::ring) wakes the sessions.
    pub(crate) fn ready(&mut self, receipts: Vec<Receipt>) {
        self.count += receipts.len();
        for receipt in receipts {
            self.list[receipt.client as usize].queue(&receipt).push_back(receipt);
        }
    }

    /// Wakes every session that has receipts to write.
    pub(crate) fn ring(&self) {
        for client in &self.list {
            for receiver in client.receivers.values() {
                if !client.ready.is_empty() || !receiver.ready.is_empty() {
                    receiver.bell.notify_one();
                }
            }
        }
    }

    /// How many of the receipts for whoever comes first one session should take now, so that all sessions get some.
    pub(crate) fn fair_share(&self, client: u32) -> usize {
        let client = &self.list[client as usize];
        client.ready.len().div_ceil(client.receivers.len().max(1))
    }

    /// The next receipt for a session: first its share of those for whoever comes first, then its own.
    pub(crate) fn take(&mut self, client: u32, session: u64, share: &mut usize) -> Option<Receipt> {
        let client = &mut self.list[client as usize];
        let receipt = if *share > 0 {
            *share -= 1;
            client.ready.pop_front()
        } else {
            client.receivers.get_mut(&session)?.ready.pop_front()
        }?;
        self.count -= 1;
        Some(receipt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sessions 1, 2 and 3 of one client, all of which receive.
    fn three() -> Clients {
        let mut clients = Clients::default();
        for session in 1..=3 {
            assert_eq!(clients.bind(b"bongsu", None), Some(0));
            clients.join(0, session, Arc::default());
        }
        clients
    }

    fn receipts(ids: std::ops::RangeInclusive<u64>, session: u64, elsewhere: bool) -> Vec<Receipt> {
        ids.map(|id| Receipt { session, elsewhere, ..Receipt::sample(id) }).collect()
    }

    /// All that a session gets now.
    fn drain(clients: &mut Clients, session: u64) -> Vec<u64> {
        let mut share = clients.fair_share(0);
        std::iter::from_fn(|| clients.take(0, session, &mut share)).map(|receipt| receipt.id).collect()
    }

    #[test]
    fn who_gets_the_receipts() {
        let cases: [(&str, u64, bool, [&[u64]; 3]); 4] = [
            ("their own session", 2, false, [&[], &[1, 2, 3, 4], &[]]),
            ("the others in turn", 2, true, [&[1, 3], &[], &[2, 4]]),
            ("all, as theirs is not among them", 9, false, [&[1, 2], &[3], &[4]]),
            ("all in turn", 9, true, [&[1, 4], &[2], &[3]]),
        ];
        for (what, session, elsewhere, expected) in cases {
            let mut clients = three();
            clients.ready(receipts(1..=4, session, elsewhere));
            assert_eq!(clients.len(), 4);
            assert_eq!([1, 2, 3].map(|session| drain(&mut clients, session)), expected, "{what}");
            assert_eq!(clients.len(), 0);
        }
    }

    #[test]
    fn the_only_session_gets_what_should_go_elsewhere() {
        let mut clients = Clients::default();
        let client = clients.bind(b"bongsu", None).unwrap();
        clients.join(client, 1, Arc::default());
        assert!(!clients.has_other(client, 1) && clients.has_other(client, 2));
        clients.ready(receipts(1..=2, 1, true));
        assert_eq!(drain(&mut clients, 1), [1, 2]);
    }

    #[test]
    fn receipts_of_a_session_that_left_go_first_at_the_others() {
        let mut clients = three();
        clients.ready(receipts(3..=4, 1, false));
        clients.ready(receipts(9..=9, 2, false));
        clients.leave(0, 3, Vec::new());
        clients.leave(0, 1, receipts(1..=2, 1, false));
        assert_eq!((drain(&mut clients, 1), clients.len()), (vec![1, 2, 3, 4], 1));
        assert_eq!((drain(&mut clients, 2), clients.len()), (vec![9], 0));
    }

    #[test]
    fn sessions_are_counted_by_client() {
        let mut clients = Clients::default();
        let mut bind = |id: &[u8], most| clients.bind(id, most);
        assert_eq!([bind(b"a", Some(2)), bind(b"a", Some(2)), bind(b"a", Some(2))], [Some(0), Some(0), None]);
        assert_eq!([bind(b"b", Some(2)), bind(b"b", Some(1)), bind(b"b", None)], [Some(1), None, Some(1)]);
        clients.leave(0, 1, Vec::new());
        assert_eq!(
            (clients.bind(b"a", Some(2)), clients.bind(b"a", Some(2)), clients.most_bound()),
            (Some(0), None, 2)
        );
    }

    #[test]
    fn without_a_session_receipts_wait_for_the_next() {
        let mut clients = Clients::default();
        assert_eq!([b"a".as_slice(), b"b", b"a"].map(|id| clients.bind(id, None)), [Some(0), Some(1), Some(0)]);
        clients.ready(receipts(1..=3, 1, true));
        clients.join(0, 7, Arc::default());
        assert_eq!((drain(&mut clients, 7), clients.len()), (vec![1, 2, 3], 0));
    }
}
