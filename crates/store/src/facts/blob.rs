//! Events of a slice in a few bytes each: numbers in as many bytes as they need, ids as steps from the one before.

use bongsu_domain::id::id_millis;
use bongsu_domain::{AccountId, Code, Status, Timestamp};

use super::event::{Event, EventKind};
use super::{NO_RELAY, SLICE_MAX};
use crate::error::{Error, Kind};

/// Appends a number in groups of seven bits, the lowest first.
pub(super) fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Appends a number that may be negative: small ones of either sign stay short.
fn put_step(bytes: &mut Vec<u8>, step: i64) {
    put(bytes, ((step << 1) ^ (step >> 63)) as u64);
}

/// Bytes that are read from the front.
pub(super) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn bad() -> Error {
        Error::new(Kind::Corrupt, "recorded facts cannot be read")
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> Result<u8, Error> {
        let (first, rest) = self.0.split_first().ok_or_else(Self::bad)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn number(&mut self) -> Result<u64, Error> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Self::bad())
    }

    fn step(&mut self) -> Result<i64, Error> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }
}

/// An event to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) kind: EventKind,
    pub(super) message: i64,
    pub(super) request: i64,
    pub(super) status: Status,
    pub(super) code: Code,
    pub(super) attempt: u8,
    pub(super) relay: u8,
    pub(super) at: i64,
}

/// The slices of one account and commit.
pub(super) struct Slices {
    at: i64,
    full: Vec<Vec<u8>>,
    bytes: Vec<u8>,
    count: u32,
    message: i64,
    request: i64,
}

impl Slices {
    /// For a commit at a moment (ms).
    pub(super) fn new(at: i64) -> Self {
        Self { at, full: Vec::new(), bytes: Vec::new(), count: 0, message: 0, request: 0 }
    }

    fn room(&mut self, events: u32) {
        if self.count + events > SLICE_MAX {
            self.full.push(std::mem::take(&mut self.bytes));
            (self.count, self.message, self.request) = (0, 0, 0);
        }
        self.count += events;
    }

    fn ids(&mut self, message: i64, request: i64) {
        put_step(&mut self.bytes, message - self.message);
        put_step(&mut self.bytes, request - self.request);
        (self.message, self.request) = (message, request);
    }

    /// Messages with contiguous ids were accepted.
    pub(super) fn accepted(&mut self, first: i64, count: u32, request: i64) {
        let mut done = 0;
        while done < count {
            let part = (count - done).min(SLICE_MAX);
            self.room(part);
            self.bytes.push(EventKind::Accepted as u8);
            self.ids(first + i64::from(done), request);
            put(&mut self.bytes, u64::from(part));
            done += part;
        }
    }

    pub(super) fn push(&mut self, entry: &Entry) {
        self.room(1);
        self.bytes.push(entry.kind as u8);
        self.ids(entry.message, entry.request);
        self.bytes.push(entry.status as u8);
        put(&mut self.bytes, u64::from(entry.code.number()));
        self.bytes.extend([entry.attempt, entry.relay]);
        put_step(&mut self.bytes, entry.at - self.at);
    }

    /// The slices as they are stored.
    pub(super) fn finish(mut self) -> Vec<Vec<u8>> {
        if self.count > 0 {
            self.full.push(self.bytes);
        }
        self.full
    }
}

/// The events of a stored slice after a position, in order, until `take` has enough. Answers whether it took all of them.
pub(super) fn read(
    (no, account, at): (i64, i64, i64),
    bytes: &[u8],
    after: i64,
    take: &mut dyn FnMut(Event) -> bool,
) -> Result<bool, Error> {
    let mut bytes = Bytes::new(bytes);
    let mut position = no * i64::from(SLICE_MAX);
    let (mut message, mut request) = (0, 0);
    while !bytes.is_empty() {
        let kind = EventKind::from_u8(bytes.byte()?).ok_or_else(Bytes::bad)?;
        message += bytes.step()?;
        request += bytes.step()?;
        let mut event = Event {
            position,
            account: AccountId(account),
            kind,
            message,
            request,
            seq: 0,
            status: Status::Queued,
            code: Code::OkAccepted,
            attempt: 0,
            relay: None,
            at: Timestamp::from_millis(at),
        };
        let mut count = 1;
        if kind == EventKind::Accepted {
            count = bytes.number()?;
        } else {
            event.status = Status::from_u8(bytes.byte()?).ok_or_else(Bytes::bad)?;
            let code = u16::try_from(bytes.number()?).ok().and_then(Code::from_number);
            event.code = code.ok_or_else(Bytes::bad)?;
            event.attempt = bytes.byte()?;
            event.relay = Some(bytes.byte()?).filter(|relay| *relay != NO_RELAY);
            event.at = Timestamp::from_millis(at + bytes.step()?);
            event.seq = kind.seq(event.attempt);
        }
        for n in 0..count as i64 {
            let mut event = Event { position, message: message + n, ..event };
            if kind == EventKind::Accepted {
                event.at = Timestamp::from_millis(id_millis(event.message));
            }
            position += 1;
            if event.position > after && !take(event) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            assert_eq!(Bytes::new(&bytes).number().ok(), Some(number));
        }
        for step in [0, 1, -1, 63, -64, i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            put_step(&mut bytes, step);
            assert_eq!(Bytes::new(&bytes).step().ok(), Some(step));
        }
        assert!(Bytes::new(&[0x80]).number().is_err());
        assert!(Bytes::new(&[0xFF; 11]).number().is_err());
    }

    #[test]
    fn slices_are_cut_at_their_size_and_keep_order_and_positions() {
        let mut slices = Slices::new(1_000);
        slices.accepted(500, 4_000, 7);
        slices.accepted(10_000, 500, 7);
        let entry = Entry {
            kind: EventKind::Delivered,
            message: 400,
            request: 0,
            status: Status::Delivered,
            code: Code::OkDelivered,
            attempt: 2,
            relay: 3,
            at: 900,
        };
        slices.push(&entry);
        let stored = slices.finish();
        assert_eq!(stored.len(), 2);
        let mut events = Vec::new();
        for (no, bytes) in (5..).zip(&stored) {
            let all = read((no, 9, 1_000), bytes, i64::MIN, &mut |event| {
                events.push(event);
                true
            });
            assert!(all.is_ok_and(|all| all));
        }
        assert_eq!(events.len(), 4_501);
        assert_eq!((events[3_999].message, events[3_999].position), (4_499, 5 * 4_096 + 3_999));
        assert_eq!((events[4_000].message, events[4_000].position), (10_000, 6 * 4_096));
        let last = events[4_500];
        assert_eq!((last.message, last.request, last.attempt, last.relay), (400, 0, 2, Some(3)));
        assert_eq!((last.at.millis(), last.seq, last.position), (900, 1_024, 6 * 4_096 + 500));
        let mut seen = 0;
        let all = read((6, 9, 1_000), &stored[1], 6 * 4_096 + 498, &mut |_| {
            seen += 1;
            false
        });
        assert!(all.is_ok_and(|all| !all));
        assert_eq!(seen, 1);
    }
}
