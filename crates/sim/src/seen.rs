//! Remembers every submit that a relay took, in about forty bytes, and lists those that came twice.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use serde::Serialize;

use crate::address::{Address, Names};

/// Sets are split so that none of them ever stops the relay for long while it grows.
const SHARDS: usize = 256;
/// Rows of the list are kept in blocks that never move.
const BLOCK: usize = 65_536;
/// Most submits remembered by one relay; later ones are counted only.
const SEEN_MAX: usize = 50_000_000;
/// Most duplicates listed by one relay; later ones are counted only.
const DUPLICATES_MAX: usize = 1_000_000;

/// A submit that the relay took for the first time.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) to: Address,
    pub(crate) from: Address,
    pub(crate) reference: Option<u16>,
}

/// What makes two submits the same, beside the row.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    /// Hash of destination, source, reference, text and part.
    pub(crate) key: u128,
    pub(crate) text_hash: u64,
    pub(crate) part: u8,
}

/// A submit that a relay took more than once: same destination, source, reference, text and part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Duplicate {
    /// Destination, national digits.
    pub to: String,
    /// Source, national digits.
    pub from: String,
    /// `user_message_reference`, if the submit carried one.
    pub reference: Option<u16>,
    /// Hash of the text, 16 hex digits.
    pub text_hash: String,
    /// Which part of a long message, from 1.
    pub part: u8,
    /// How often it was taken, at least 2.
    pub count: u32,
}

#[derive(Default)]
pub(crate) struct Seen {
    sets: Vec<HashSet<u128, BuildHasherDefault<Identity>>>,
    blocks: Vec<Vec<Row>>,
    count: usize,
    duplicates: HashMap<u128, (Row, Mark, u32)>,
    /// Submits that found the lists full.
    pub(crate) forgotten: u64,
}

impl Seen {
    /// Takes note of a submit and tells how often it was taken by now.
    pub(crate) fn insert(&mut self, row: Row, mark: Mark) -> u32 {
        if self.sets.is_empty() {
            self.sets.resize_with(SHARDS, HashSet::default);
        }
        let shard = &mut self.sets[(mark.key >> 120) as usize];
        if shard.contains(&mark.key) {
            return self.again(row, mark);
        }
        if self.count == SEEN_MAX {
            self.forgotten += 1;
            return 1;
        }
        shard.insert(mark.key);
        self.count += 1;
        match self.blocks.last_mut() {
            Some(block) if block.len() < BLOCK => block.push(row),
            _ => {
                let mut block = Vec::with_capacity(BLOCK);
                block.push(row);
                self.blocks.push(block);
            }
        }
        1
    }

    fn again(&mut self, row: Row, mark: Mark) -> u32 {
        if let Some((_, _, count)) = self.duplicates.get_mut(&mark.key) {
            *count += 1;
            return *count;
        }
        if self.duplicates.len() == DUPLICATES_MAX {
            self.forgotten += 1;
            return 2;
        }
        self.duplicates.insert(mark.key, (row, mark, 2));
        2
    }

    /// Some rows of the list from the `start`-th on, in order of arrival, at most `most`; empty at the end.
    pub(crate) fn rows(&self, start: usize, most: usize) -> &[Row] {
        let block = self.blocks.get(start / BLOCK).and_then(|block| block.get(start % BLOCK..)).unwrap_or_default();
        &block[..block.len().min(most)]
    }

    /// Every duplicate, in a stable order.
    pub(crate) fn duplicates(&self, names: &Names) -> Vec<Duplicate> {
        let mut list: Vec<Duplicate> = self
            .duplicates
            .values()
            .map(|(row, mark, count)| Duplicate {
                to: names.national(row.to),
                from: names.national(row.from),
                reference: row.reference,
                text_hash: format!("{:016x}", mark.text_hash),
                part: mark.part,
                count: *count,
            })
            .collect();
        list.sort_by(|a, b| {
            (&a.to, a.reference, a.part, &a.text_hash).cmp(&(&b.to, b.reference, b.part, &b.text_hash))
        });
        list
    }
}

/// The keys are hashes already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut word = [0; 8];
        let length = bytes.len().min(8);
        word[..length].copy_from_slice(&bytes[..length]);
        self.0 ^= u64::from_le_bytes(word);
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_time_is_a_duplicate_and_the_list_holds_each_once() {
        let mut names = Names::default();
        let (to, from) = (names.pack(b"821011112222"), names.pack(b"0212345678"));
        let row = Row { to, from, reference: Some(9) };
        let mark = |key| Mark { key, text_hash: 0xAB, part: 1 };
        let mut seen = Seen::default();
        let key = 5_u128 << 120 | 7;
        assert_eq!([key, 7, key, key].map(|key| seen.insert(row, mark(key))), [1, 1, 2, 3]);
        assert_eq!([(0, 9), (0, 1), (1, 9), (2, 9)].map(|(start, most)| seen.rows(start, most).len()), [2, 1, 1, 0]);
        let duplicates = seen.duplicates(&names);
        assert_eq!(duplicates.len(), 1);
        assert_eq!((duplicates[0].to.as_str(), duplicates[0].count), ("01011112222", 3));
        assert_eq!(duplicates[0].text_hash, "00000000000000ab");
    }
}
