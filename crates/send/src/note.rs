//! What a claim knew, in few bytes: the credits of the ratio and how each relay was, before the first message of it was
//! booked. It is kept with the run, in the write that claims it.

use bongsu_domain::{AccountId, Channel, Distribution, Timestamp};

use crate::dispatch::Shared;
use crate::shares::Ratios;

/// Layout: length (2), this, offset (4), count (2), time in ms (8), blocked for ms (4), relays (1), each: number, state;
/// channels (1), each: channel, length, credits.
const VERSION: u8 = 1;

/// How a relay was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Number of the relay.
    pub relay: u8,
    /// Its links were up, or down for no longer than a reconnect takes.
    pub up: bool,
    /// Its breaker let everything through.
    pub closed: bool,
}

/// What one claim knew.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// Offset of its first message in the run.
    pub from: u32,
    /// How many messages it claimed.
    pub count: u16,
    /// When.
    pub at: Timestamp,
    /// For how long the account had waited for room.
    pub blocked_ms: u32,
    /// How the relays were.
    pub relays: Vec<Standing>,
    /// The credits by channel, before the first message.
    pub credits: Vec<(Channel, Distribution)>,
}

impl Note {
    /// What is known before a run's next messages are booked.
    pub fn before(
        shared: &Shared,
        ratios: &mut Ratios,
        account: AccountId,
        from: u32,
        now: Timestamp,
        blocked_ms: u32,
    ) -> Self {
        let standing = |link: &std::sync::Arc<crate::relays::Link>| Standing {
            relay: link.no,
            up: !link.is_down(now),
            closed: link.is_closed(now),
        };
        let relays = shared.relays.all().iter().map(standing).collect();
        let credits = |channel| Some((channel, ratios.get(account, channel)?.credits.clone()));
        let credits = Channel::ALL.into_iter().filter_map(credits).collect();
        Self { from, count: 0, at: now, blocked_ms, relays, credits }
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0, 0, VERSION];
        out.extend_from_slice(&self.from.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.at.millis().to_le_bytes());
        out.extend_from_slice(&self.blocked_ms.to_le_bytes());
        out.push(self.relays.len() as u8);
        for standing in &self.relays {
            out.extend_from_slice(&[standing.relay, u8::from(standing.up) | u8::from(standing.closed) << 1]);
        }
        out.push(self.credits.len() as u8);
        for (channel, credits) in &self.credits {
            let credits = credits.encode();
            out.push(*channel as u8);
            out.extend_from_slice(&(credits.len() as u16).to_le_bytes());
            out.extend_from_slice(&credits);
        }
        let length = (out.len() - 2) as u16;
        out[..2].copy_from_slice(&length.to_le_bytes());
        out
    }

    /// The note of a run that covers an offset; none when it was not kept.
    pub fn covering(mut notes: &[u8], offset: u32) -> Option<Self> {
        while let Some((length, rest)) = notes.split_at_checked(2) {
            let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
            let (one, after) = rest.split_at_checked(length)?;
            let note = Self::decode(one);
            if let Some(note) = note.filter(|note| (note.from..note.from + u32::from(note.count)).contains(&offset)) {
                return Some(note);
            }
            notes = after;
        }
        None
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&version, bytes) = bytes.split_first()?;
        if version != VERSION {
            return None;
        }
        let (from, bytes) = bytes.split_first_chunk::<4>()?;
        let (count, bytes) = bytes.split_first_chunk::<2>()?;
        let (at, bytes) = bytes.split_first_chunk::<8>()?;
        let (blocked, bytes) = bytes.split_first_chunk::<4>()?;
        let (&relays, bytes) = bytes.split_first()?;
        let (standings, bytes) = bytes.split_at_checked(usize::from(relays) * 2)?;
        let standing = |cell: &[u8]| Standing { relay: cell[0], up: cell[1] & 1 != 0, closed: cell[1] & 2 != 0 };
        let (&channels, mut bytes) = bytes.split_first()?;
        let mut credits = Vec::new();
        for _ in 0..channels {
            let (&channel, rest) = bytes.split_first()?;
            let (length, rest) = rest.split_first_chunk::<2>()?;
            let (one, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
            credits.push((Channel::from_u8(channel)?, Distribution::decode(one)?));
            bytes = rest;
        }
        Some(Self {
            from: u32::from_le_bytes(*from),
            count: u16::from_le_bytes(*count),
            at: Timestamp::from_millis(i64::from_le_bytes(*at)),
            blocked_ms: u32::from_le_bytes(*blocked),
            relays: standings.chunks_exact(2).map(standing).collect(),
            credits,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bongsu_domain::Shares;

    fn note(from: u32, count: u16) -> Note {
        let shares = Shares::new(vec![(1, 70), (2, 30)]).expect("a ratio");
        let mut credits = Distribution::default();
        credits.take(1, 3, &shares);
        Note {
            from,
            count,
            at: Timestamp::from_millis(1_795_132_800_123),
            blocked_ms: 250,
            relays: vec![
                Standing { relay: 1, up: true, closed: false },
                Standing { relay: 62, up: false, closed: true },
            ],
            credits: vec![(Channel::Sms, credits), (Channel::Lms, Distribution::default())],
        }
    }

    #[test]
    fn the_note_of_a_message_is_found_among_those_of_its_run() {
        let notes: Vec<Note> = vec![note(0, 16), note(16, 1), note(17, 483)];
        let kept: Vec<u8> = notes.iter().flat_map(Note::encode).collect();
        for (offset, of) in [(0, 0), (15, 0), (16, 1), (17, 2), (499, 2)] {
            assert_eq!(Note::covering(&kept, offset).as_ref(), Some(&notes[of]), "{offset}");
        }
        assert_eq!(Note::covering(&kept, 500), None);
        assert_eq!(Note::covering(&[], 0), None);
        assert!(notes[0].encode().len() < 80, "{}", notes[0].encode().len());
        for length in 0..kept.len() {
            // What a limit cut off is not there; nothing panics.
            let _ = Note::covering(&kept[..length], 499);
        }
    }
}
