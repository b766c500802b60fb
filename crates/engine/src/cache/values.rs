//! The values that one process keeps: bounded by count and bytes, those that end first go first.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bongsu_domain::Timestamp;

use super::{VALUES_BYTES_MAX, VALUES_MAX};

#[derive(Debug, Default)]
pub(super) struct Values {
    held: HashMap<String, Value>,
    /// Keys by the end of their values; the number tells those of one moment apart.
    ends: BTreeMap<(Timestamp, u64), String>,
    bytes: usize,
    last: u64,
    pub(super) evicted: u64,
}

#[derive(Debug)]
struct Value {
    bytes: Vec<u8>,
    put_at: Timestamp,
    end: (Timestamp, u64),
}

impl Values {
    /// A value within its time. A clock that shows less than when it was put was set back, and nobody knows its age.
    pub(super) fn get(&mut self, key: &str, now: Timestamp) -> Option<Vec<u8>> {
        let value = self.held.get(key)?;
        if now < value.put_at || now >= value.end.0 {
            self.remove(key);
            return None;
        }
        Some(value.bytes.clone())
    }

    pub(super) fn put(&mut self, key: &str, bytes: &[u8], ttl: Duration, now: Timestamp) {
        self.remove(key);
        let size = key.len() + bytes.len();
        while self.held.len() >= VALUES_MAX || self.bytes + size > VALUES_BYTES_MAX {
            let Some((&(end, _), first)) = self.ends.first_key_value() else { break };
            self.evicted += u64::from(end > now);
            let first = first.clone();
            self.remove(&first);
        }
        self.last += 1;
        let end = (now.plus(ttl), self.last);
        self.bytes += size;
        self.ends.insert(end, key.to_owned());
        self.held.insert(key.to_owned(), Value { bytes: bytes.to_vec(), put_at: now, end });
    }

    pub(super) fn remove(&mut self, key: &str) {
        if let Some(value) = self.held.remove(key) {
            self.ends.remove(&value.end);
            self.bytes -= key.len() + value.bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn what_ends_first_makes_room() {
        let mut values = Values::default();
        values.put("short", b"1", Duration::from_secs(1), NOW);
        for number in 1..VALUES_MAX {
            values.put(&number.to_string(), b"2", MINUTE, NOW);
        }
        assert_eq!(values.get("short", NOW), Some(b"1".to_vec()));
        values.put("one more", b"3", MINUTE, NOW);
        assert_eq!((values.held.len(), values.ends.len(), values.evicted), (VALUES_MAX, VALUES_MAX, 1));
        assert_eq!(values.get("short", NOW), None);
        assert_eq!(values.get("one more", NOW), Some(b"3".to_vec()));
    }

    #[test]
    fn bytes_are_bounded_and_counted_down() {
        let mut values = Values::default();
        let large = vec![0; super::super::VALUE_MAX];
        for number in 0..2 * VALUES_BYTES_MAX / large.len() {
            values.put(&number.to_string(), &large, MINUTE, NOW);
            assert!(values.bytes <= VALUES_BYTES_MAX);
        }
        let keys: Vec<String> = values.held.keys().cloned().collect();
        keys.iter().for_each(|key| values.remove(key));
        assert_eq!((values.bytes, values.ends.len()), (0, 0));
    }

    #[test]
    fn a_clock_set_back_ends_a_value() {
        let mut values = Values::default();
        values.put("a", b"1", MINUTE, NOW);
        assert_eq!(values.get("a", NOW.minus(MINUTE)), None);
        assert_eq!(values.get("a", NOW), None);
    }
}
