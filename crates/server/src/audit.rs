//! Compares what callers were told, what the store holds and what the relays saw (design D1: "no loss" is a comparison, not a hope).

use std::collections::{HashMap, HashSet};

use bongsu_domain::{Code, MessageId, PhoneNumber, Status, id};
use serde::Serialize;

/// What the store counts by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages that the request rows promise.
    pub accepted: u64,
    /// Promised messages that have no row.
    pub missing: u64,
    /// Messages with more than one final result.
    pub double_final: u64,
    /// Charges or refunds that were booked more than once.
    pub double_charge: u64,
    /// Balances that are not the sum of their entries, and entries that are not what their messages cost.
    pub ledger_mismatch: u64,
    /// Attempts that are or were unknown.
    pub unknown_attempts: u64,
    /// Receipts that no attempt wants.
    pub orphan_receipts: u64,
}

/// One message as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its id.
    pub id: MessageId,
    /// Recipient, national digits.
    pub to: String,
    /// Where it stands.
    pub status: Status,
    /// Its result.
    pub code: Code,
    /// Whether one of its attempts is or was unknown, so that the API lists it.
    pub has_unknown: bool,
}

/// What a relay took: recipient (national digits) and `user_message_reference`.
pub type Taken = (String, Option<u16>);

/// What the simulator saw.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// How many different submits there were of each; a reference has 16 bits, so several messages may share one.
    pub taken: HashMap<Taken, u64>,
    /// How many relays took each.
    pub relays: HashMap<Taken, u64>,
    /// Every submit that came again to the same relay.
    pub duplicates: Vec<Taken>,
}

/// The answer of `bongsu audit` (names of the interface).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Ids that callers were given.
    pub acked: u64,
    /// Messages that the request rows promise.
    pub accepted: u64,
    /// Messages with a final result.
    #[serde(rename = "final")]
    pub finals: u64,
    /// Messages without one.
    pub open: u64,
    /// Promised or acknowledged, but not there.
    pub lost: u64,
    /// Final, never seen by the simulator, and without a reason not to be.
    pub never_sent: u64,
    /// Messages with more than one final result.
    pub double_final: u64,
    /// Charges or refunds booked more than once.
    pub double_charge: u64,
    /// Sums that do not agree.
    pub ledger_mismatch: u64,
    /// Attempts that are or were unknown.
    pub unknown_attempts: u64,
    /// Submits that the simulator saw again.
    pub duplicates_reported: u64,
    /// Those of them that belong to no unknown attempt.
    pub duplicates_unlisted: u64,
    /// Receipts that no attempt wants.
    pub orphan_receipts: u64,
}

impl Counts {
    /// Whether the promise is kept.
    pub fn is_clean(&self) -> bool {
        let wrong = [
            self.open,
            self.lost,
            self.never_sent,
            self.double_final,
            self.double_charge,
            self.ledger_mismatch,
            self.duplicates_unlisted,
        ];
        wrong.iter().all(|count| *count == 0)
    }
}

/// Judges the books. Without `seen` the counts that need a simulator stay 0.
pub fn judge(totals: Totals, lines: &[Line], acked: &HashSet<MessageId>, seen: Option<&Seen>) -> Counts {
    let present: HashSet<MessageId> = lines.iter().map(|line| line.id).collect();
    let unknown_to_us = acked.iter().filter(|id| !present.contains(id)).count() as u64;
    let finals = lines.iter().filter(|line| line.status.is_final()).count() as u64;
    let mut counts = Counts {
        acked: acked.len() as u64,
        accepted: totals.accepted,
        finals,
        open: lines.len() as u64 - finals,
        // An acknowledged id that is gone may belong to a request that misses it too: the union is at least the larger.
        lost: totals.missing.max(unknown_to_us),
        double_final: totals.double_final,
        double_charge: totals.double_charge,
        ledger_mismatch: totals.ledger_mismatch,
        unknown_attempts: totals.unknown_attempts,
        orphan_receipts: totals.orphan_receipts,
        ..Counts::default()
    };
    if let Some(seen) = seen {
        counts.never_sent = never_sent(lines, seen);
        let duplicates = duplicates(lines, seen);
        counts.duplicates_reported = duplicates.len() as u64;
        counts.duplicates_unlisted = unlisted(lines, &duplicates);
    }
    counts
}

/// Final, and not canceled, expired by its own `expiresIn`, refused, out of relays, or a test, which never leaves.
fn must_have_left(line: &Line) -> bool {
    if PhoneNumber::from_national(&line.to).is_some_and(|number| number.is_for_tests()) {
        return false;
    }
    let has_reason = matches!(line.status, Status::Canceled | Status::Failed) || line.code == Code::ExpiredBeforeSend;
    line.status.is_final() && !has_reason
}

/// Messages to one number with one reference, less the submits that relays took of them. A relay that does not echo
/// references still sees them: the low 16 bits of the id go out with every submit.
fn never_sent(lines: &[Line], seen: &Seen) -> u64 {
    let mut needed: HashMap<Taken, u64> = HashMap::new();
    for line in lines.iter().filter(|line| must_have_left(line)) {
        *needed.entry((line.to.clone(), Some(id::reference(line.id.0)))).or_default() += 1;
    }
    needed.iter().map(|(key, count)| count.saturating_sub(seen.taken.get(key).copied().unwrap_or(0))).sum()
}

/// What one relay took again, or another one as well.
fn duplicates<'a>(lines: &[Line], seen: &'a Seen) -> Vec<&'a Taken> {
    let mut messages: HashMap<(&str, u16), u64> = HashMap::new();
    for line in lines {
        *messages.entry((&line.to, id::reference(line.id.0))).or_default() += 1;
    }
    // Several messages to one number may share a reference; so many relays may have taken one each.
    let elsewhere = seen.relays.iter().filter(|(_, relays)| **relays > 1).flat_map(|(taken, relays)| {
        let messages = taken.1.and_then(|reference| messages.get(&(taken.0.as_str(), reference)).copied());
        std::iter::repeat_n(taken, relays.saturating_sub(messages.unwrap_or(1)) as usize)
    });
    seen.duplicates.iter().chain(elsewhere).collect()
}

fn unlisted(lines: &[Line], duplicates: &[&Taken]) -> u64 {
    let mut listed: HashMap<(&str, u16), bool> = HashMap::new();
    for line in lines {
        *listed.entry((&line.to, id::reference(line.id.0))).or_default() |= line.has_unknown;
    }
    let is_listed = |(to, reference): &Taken| {
        reference.is_some_and(|reference| listed.get(&(to.as_str(), reference)).copied().unwrap_or(false))
    };
    duplicates.iter().filter(|taken| !is_listed(taken)).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: i64, status: Status, code: Code) -> Line {
        Line { id: MessageId(id), to: "01012345678".to_owned(), status, code, has_unknown: false }
    }

    fn taken(id: i64) -> Taken {
        ("01012345678".to_owned(), Some(id::reference(id)))
    }

    #[test]
    fn a_test_need_not_have_left() {
        let test = Line { to: "01000000001".to_owned(), ..line(1, Status::Delivered, Code::OkDelivered) };
        let other = Line { to: "01000000009".to_owned(), ..test.clone() };
        let judged =
            |line| judge(Totals { accepted: 1, ..Totals::default() }, &[line], &HashSet::new(), Some(&Seen::default()));
        assert_eq!((judged(test).never_sent, judged(other).never_sent), (0, 1));
    }

    #[test]
    fn books_that_agree_are_clean() {
        let lines = [line(1, Status::Delivered, Code::OkDelivered), line(2, Status::Failed, Code::NoRoute)];
        let acked = HashSet::from([MessageId(1), MessageId(2)]);
        let seen = Seen { taken: HashMap::from([(taken(1), 1)]), ..Seen::default() };
        let counts = judge(Totals { accepted: 2, ..Totals::default() }, &lines, &acked, Some(&seen));
        assert!(counts.is_clean(), "{counts:?}");
        assert_eq!((counts.finals, counts.open, counts.acked), (2, 0, 2));
    }

    #[test]
    fn an_acknowledged_id_that_is_gone_is_lost() {
        let counts = judge(Totals::default(), &[], &HashSet::from([MessageId(7)]), None);
        assert_eq!(counts.lost, 1);
        assert!(!counts.is_clean());
    }

    #[test]
    fn delivered_without_a_submit_was_never_sent() {
        let lines = [
            line(1, Status::Delivered, Code::OkDelivered),
            line(2, Status::Expired, Code::ResultTimeout),
            line(3, Status::Expired, Code::ExpiredBeforeSend),
            line(4, Status::Canceled, Code::Canceled),
            line(5, Status::Queued, Code::OkAccepted),
        ];
        let counts = judge(Totals::default(), &lines, &HashSet::new(), Some(&Seen::default()));
        assert_eq!((counts.never_sent, counts.open), (2, 1));
    }

    #[test]
    fn one_submit_does_not_stand_for_two_messages_with_the_same_reference() {
        let lines = [1, 1 + (1 << 16)].map(|id| line(id, Status::Delivered, Code::OkDelivered));
        let seen = Seen { taken: HashMap::from([(taken(1), 1)]), ..Seen::default() };
        assert_eq!(judge(Totals::default(), &lines, &HashSet::new(), Some(&seen)).never_sent, 1);
    }

    #[test]
    fn a_duplicate_needs_an_unknown_attempt() {
        let mut lines = [line(1, Status::Delivered, Code::OkDelivered), line(2, Status::Delivered, Code::OkDelivered)];
        lines[0].has_unknown = true;
        let seen = Seen {
            taken: HashMap::from([(taken(1), 1), (taken(2), 1)]),
            duplicates: vec![taken(1), taken(2), ("01099999999".to_owned(), None)],
            ..Seen::default()
        };
        let counts = judge(Totals::default(), &lines, &HashSet::new(), Some(&seen));
        assert_eq!((counts.duplicates_reported, counts.duplicates_unlisted), (3, 2));
    }
    #[test]
    fn what_two_relays_took_is_a_duplicate_unless_it_is_of_two_messages() {
        let mut lines = [1, 2, 3, 3 + (1 << 16)].map(|id| line(id, Status::Delivered, Code::OkDelivered));
        lines[0].has_unknown = true;
        let relays = HashMap::from([(taken(1), 2), (taken(2), 3), (taken(3), 2)]);
        let seen = Seen { taken: relays.clone(), relays, ..Seen::default() };
        let counts = judge(Totals::default(), &lines, &HashSet::new(), Some(&seen));
        assert_eq!((counts.duplicates_reported, counts.duplicates_unlisted), (3, 2));
    }
}
