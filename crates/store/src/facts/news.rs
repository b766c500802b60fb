//! What a transaction does, noted while it does it: the one recorder of all facts.

use bongsu_domain::{AccountId, Channel, Code, Lane, Status, Unit};

use super::event::EventKind;
use super::tally::Tally;
use crate::accept::Slice;

/// A message that stands elsewhere than before.
#[derive(Debug, Clone)]
pub(crate) struct Moved {
    pub(crate) id: i64,
    pub(crate) account: AccountId,
    /// Its batch or group, 0 for a single message.
    pub(crate) request: i64,
    pub(crate) lane: Lane,
    pub(crate) channel: Channel,
    pub(crate) unit: Unit,
    pub(crate) stat: u32,
    pub(crate) price: i64,
    pub(crate) was: Status,
    pub(crate) is: Status,
    /// What readers of events are told.
    pub(crate) kind: Option<EventKind>,
    pub(crate) code: Code,
    pub(crate) attempt: u8,
    /// 255 none.
    pub(crate) relay: u8,
    /// Unix milliseconds.
    pub(crate) at: i64,
    /// Money given back by it.
    pub(crate) refunded: i64,
}

/// One note.
#[derive(Debug)]
pub(super) enum Note {
    Accepted { account: AccountId, request: i64, slice: Slice, tallies: Vec<Tally> },
    Moved(Moved),
    GroupFinished { account: AccountId, group: i64, status: Status, code: Code },
}

/// The notes of one transaction, in the order in which things happened.
#[derive(Debug, Default)]
pub(crate) struct News(pub(super) Vec<Note>);

impl News {
    /// Messages of a slice came to exist.
    pub(crate) fn accepted(&mut self, account: AccountId, request: i64, slice: Slice, tallies: Vec<Tally>) {
        self.0.push(Note::Accepted { account, request, slice, tallies });
    }

    /// A message stands elsewhere than before.
    pub(crate) fn moved(&mut self, moved: Moved) {
        self.0.push(Note::Moved(moved));
    }

    /// The last message of a group ended.
    pub(crate) fn group_finished(&mut self, account: AccountId, group: i64, status: Status, code: Code) {
        self.0.push(Note::GroupFinished { account, group, status, code });
    }

    /// How much was noted so far.
    pub(crate) fn mark(&self) -> usize {
        self.0.len()
    }

    /// Forgets what was noted since a mark: it was undone.
    pub(crate) fn undo(&mut self, mark: usize) {
        self.0.truncate(mark);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
