//! What the messages of a slice count for, kept in a few bytes beside it until it comes to exist.

use bongsu_domain::{Channel, Unit};

use super::blob::{Bytes, put};
use crate::accept::NewMessage;
use crate::error::Error;

/// Messages that are counted alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) channel: Channel,
    pub(crate) unit: Unit,
    /// The set of billCode and labels, 0 none.
    pub(crate) stat: u32,
    pub(crate) messages: i64,
    pub(crate) charged: i64,
}

impl Tally {
    /// Counts messages; those of one slice differ little.
    pub(crate) fn of<'m>(messages: impl Iterator<Item = &'m NewMessage>) -> Vec<Tally> {
        let mut tallies: Vec<Tally> = Vec::new();
        for m in messages {
            let same = |t: &&mut Tally| (t.channel, t.unit, t.stat) == (m.channel, m.unit, m.stat);
            match tallies.iter_mut().rev().find(same) {
                Some(tally) => {
                    tally.messages += 1;
                    tally.charged += m.price;
                }
                None => tallies.push(Tally {
                    channel: m.channel,
                    unit: m.unit,
                    stat: m.stat,
                    messages: 1,
                    charged: m.price,
                }),
            }
        }
        tallies
    }

    pub(crate) fn encode(tallies: &[Tally]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(tallies.len() * 8);
        for t in tallies {
            bytes.extend([t.channel as u8, t.unit as u8]);
            put(&mut bytes, u64::from(t.stat));
            put(&mut bytes, t.messages.unsigned_abs());
            put(&mut bytes, t.charged.unsigned_abs());
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Tally>, Error> {
        let mut bytes = Bytes::new(bytes);
        let mut tallies = Vec::new();
        while !bytes.is_empty() {
            let channel = Channel::from_u8(bytes.byte()?).ok_or_else(Bytes::bad)?;
            let unit = Unit::from_u8(bytes.byte()?).ok_or_else(Bytes::bad)?;
            let stat = u32::try_from(bytes.number()?).map_err(|_| Bytes::bad())?;
            let (messages, charged) = (bytes.number()? as i64, bytes.number()? as i64);
            tallies.push(Tally { channel, unit, stat, messages, charged });
        }
        Ok(tallies)
    }
}
