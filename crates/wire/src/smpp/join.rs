//! Puts the parts of long messages together again, as a message centre does before it delivers.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use bongsu_domain::time::Timestamp;

use super::{ShortMessage, tag};

/// A whole message.
#[derive(Clone, PartialEq, Eq)]
pub struct Joined {
    /// The coding of its first part.
    pub data_coding: u8,
    /// The text without user data headers.
    pub bytes: Vec<u8>,
    /// How many PDUs carried it.
    pub parts: u8,
}

impl fmt::Debug for Joined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joined")
            .field("data_coding", &self.data_coding)
            .field("octets", &self.bytes.len())
            .field("parts", &self.parts)
            .finish()
    }
}

/// Collects parts by source, destination and reference; memory is bounded by `groups_max` messages of 255 parts.
pub struct Joiner {
    groups: HashMap<GroupKey, Group>,
    groups_max: usize,
    keep: Duration,
}

#[derive(PartialEq, Eq, Hash, Clone)]
struct GroupKey {
    source: Vec<u8>,
    dest: Vec<u8>,
    reference: u16,
    total: u8,
}

struct Group {
    since: Timestamp,
    data_coding: u8,
    parts: Vec<Option<Vec<u8>>>,
}

/// Where a part belongs.
struct Place {
    reference: u16,
    total: u8,
    number: u8,
}

impl Joiner {
    /// Holds at most `groups_max` incomplete messages (at least one), each for `keep`; the oldest gives way.
    pub fn new(groups_max: usize, keep: Duration) -> Self {
        Joiner { groups: HashMap::new(), groups_max: groups_max.max(1), keep }
    }

    /// Takes one PDU; `Some` when with it a message is whole.
    ///
    /// Understood are user data headers with 8 and 16 bit references, SAR parameters, `message_payload` and plain
    /// messages. A part that comes twice replaces itself. A header that makes no sense leaves the message as it is.
    pub fn accept(&mut self, message: &ShortMessage<'_>, now: Timestamp) -> Option<Joined> {
        let (place, text) = locate(message);
        let Some(place) = place.filter(|place| place.total > 1) else {
            return Some(Joined { data_coding: message.data_coding, bytes: text.to_vec(), parts: 1 });
        };
        let key = GroupKey {
            source: message.source.to_vec(),
            dest: message.dest.to_vec(),
            reference: place.reference,
            total: place.total,
        };
        self.make_room(&key, now);
        let group = self.groups.entry(key.clone()).or_insert_with(|| Group {
            since: now,
            data_coding: message.data_coding,
            parts: vec![None; usize::from(place.total)],
        });
        if let Some(slot) = group.parts.get_mut(usize::from(place.number) - 1) {
            *slot = Some(text.to_vec());
        }
        if group.parts.iter().any(Option::is_none) {
            return None;
        }
        let group = self.groups.remove(&key)?;
        let bytes = group.parts.into_iter().flatten().flatten().collect();
        Some(Joined { data_coding: group.data_coding, bytes, parts: place.total })
    }

    /// How many incomplete messages are held.
    pub fn waiting(&self) -> usize {
        self.groups.len()
    }

    fn make_room(&mut self, key: &GroupKey, now: Timestamp) {
        if self.groups.get(key).is_some_and(|group| now.since(group.since) > self.keep) {
            self.groups.remove(key);
        }
        if self.groups.contains_key(key) || self.groups.len() < self.groups_max {
            return;
        }
        let keep = self.keep;
        self.groups.retain(|_, group| now.since(group.since) <= keep);
        if self.groups.len() < self.groups_max {
            return;
        }
        let oldest = self.groups.iter().min_by_key(|(_, group)| group.since).map(|(key, _)| key.clone());
        if let Some(oldest) = oldest {
            self.groups.remove(&oldest);
        }
    }
}

/// Where the part belongs, if it is one, and its text without a header.
fn locate<'a>(message: &ShortMessage<'a>) -> (Option<Place>, &'a [u8]) {
    let payload = message.payload();
    if message.has_udh()
        && let Some((header, text)) =
            payload.split_first().and_then(|(length, rest)| rest.split_at_checked(usize::from(*length)))
    {
        return (place_in_header(header), text);
    }
    (place_in_sar(message), payload)
}

/// Walks over the elements of a user data header (3GPP TS 23.040 section 9.2.3.24).
fn place_in_header(mut header: &[u8]) -> Option<Place> {
    while let [kind, length, rest @ ..] = header {
        let (data, tail) = rest.split_at_checked(usize::from(*length))?;
        let place = match (kind, data) {
            (0x00, [reference, total, number]) => Some((u16::from(*reference), *total, *number)),
            (0x08, [high, low, total, number]) => Some((u16::from_be_bytes([*high, *low]), *total, *number)),
            _ => None,
        };
        if let Some((reference, total, number)) = place {
            return place_of(reference, total, number);
        }
        header = tail;
    }
    None
}

fn place_in_sar(message: &ShortMessage<'_>) -> Option<Place> {
    place_of(
        message.tlvs.get_u16(tag::SAR_MSG_REF_NUM)?,
        message.tlvs.get_u8(tag::SAR_TOTAL_SEGMENTS)?,
        message.tlvs.get_u8(tag::SAR_SEGMENT_SEQNUM)?,
    )
}

fn place_of(reference: u16, total: u8, number: u8) -> Option<Place> {
    (1..=total).contains(&number).then_some(Place { reference, total, number })
}
