//! What the handsets hold: joined messages, kept compactly up to a limit.

use std::collections::VecDeque;

use bongsu_domain::time::Timestamp;
use bongsu_wire::smpp::{DataCoding, decode_text};
use serde::Serialize;

use crate::address::{Address, Names};

/// Messages that share one block of memory; the oldest block goes when the inbox is full.
const BLOCK: usize = 4_096;
/// Most messages one relay keeps.
const MESSAGES_MAX: usize = 1_000_000;

/// A message as a handset got it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Received {
    /// The relay that carried it.
    pub relay: String,
    /// Destination, national digits.
    pub to: String,
    /// Source, national digits.
    pub from: String,
    /// The text, joined from its parts.
    pub text: String,
    /// The subject of a long message (LMS).
    pub subject: Option<String>,
    /// How many parts carried it.
    pub parts: u8,
    /// When its last part arrived, RFC 3339.
    pub at: String,
    /// `user_message_reference`, if it had one.
    pub reference: Option<u16>,
    /// The relay's id of its last part, as in the response.
    pub message_id: String,
}

/// A joined message on its way into the inbox.
pub(crate) struct Message<'a> {
    pub(crate) to: Address,
    pub(crate) from: Address,
    pub(crate) reference: Option<u16>,
    pub(crate) at: Timestamp,
    pub(crate) message_id: &'a str,
    pub(crate) data_coding: u8,
    pub(crate) parts: u8,
    pub(crate) text: &'a [u8],
    /// CP949.
    pub(crate) subject: Option<&'a [u8]>,
}

struct Record {
    to: Address,
    from: Address,
    at: Timestamp,
    reference: Option<u16>,
    data_coding: u8,
    parts: u8,
    has_subject: bool,
    /// Where in the block's bytes: id, subject, text one after the other.
    start: u32,
    id_len: u8,
    subject_len: u16,
    text_len: u32,
}

#[derive(Default)]
struct Block {
    records: Vec<Record>,
    bytes: Vec<u8>,
}

#[derive(Default)]
pub(crate) struct Inbox {
    blocks: VecDeque<Block>,
}

impl Inbox {
    pub(crate) fn push(&mut self, message: &Message<'_>) {
        if self.blocks.back().is_none_or(|block| block.records.len() == BLOCK) {
            if self.blocks.len() == MESSAGES_MAX / BLOCK {
                self.blocks.pop_front();
            }
            self.blocks.push_back(Block { records: Vec::with_capacity(BLOCK), bytes: Vec::new() });
        }
        let Some(block) = self.blocks.back_mut() else { return };
        let subject = message.subject.unwrap_or_default();
        // A PDU is at most 64 KiB and a message at most 255 of them: 4,096 messages of ordinary length stay far
        // below 4 GiB, and a record that would not fit is left out.
        let lengths = (u8::try_from(message.message_id.len()), u16::try_from(subject.len()));
        let (Ok(id_len), Ok(subject_len)) = lengths else { return };
        let (Ok(start), Ok(text_len)) = (u32::try_from(block.bytes.len()), u32::try_from(message.text.len())) else {
            return;
        };
        block.bytes.extend_from_slice(message.message_id.as_bytes());
        block.bytes.extend_from_slice(subject);
        block.bytes.extend_from_slice(message.text);
        block.records.push(Record {
            to: message.to,
            from: message.from,
            at: message.at,
            reference: message.reference,
            data_coding: message.data_coding,
            parts: message.parts,
            has_subject: message.subject.is_some(),
            start,
            id_len,
            subject_len,
            text_len,
        });
    }

    /// Messages of one number in order of arrival, each with its time.
    pub(crate) fn find(&self, relay: &str, number: &str, names: &Names) -> Vec<(Timestamp, Received)> {
        let wanted = names.forms(number);
        let mut found = Vec::new();
        for block in &self.blocks {
            for record in &block.records {
                if wanted.contains(&record.to) {
                    found.push((record.at, view(relay, record, &block.bytes, names)));
                }
            }
        }
        found
    }
}

fn view(relay: &str, record: &Record, bytes: &[u8], names: &Names) -> Received {
    let rest = &bytes[record.start as usize..];
    let (id, rest) = rest.split_at(record.id_len.into());
    let (subject, rest) = rest.split_at(record.subject_len.into());
    let text = &rest[..record.text_len as usize];
    let coding = DataCoding::from_u8(record.data_coding).unwrap_or(DataCoding::Latin1);
    Received {
        relay: relay.to_owned(),
        to: names.national(record.to),
        from: names.national(record.from),
        text: decode_text(text, coding),
        subject: record.has_subject.then(|| decode_text(subject, DataCoding::Ksc5601)),
        parts: record.parts,
        at: record.at.rfc3339(),
        reference: record.reference,
        message_id: String::from_utf8_lossy(id).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_by_number_and_the_oldest_go_first() {
        let mut names = Names::default();
        let mut inbox = Inbox::default();
        let from = names.pack(b"0212345678");
        for n in 0..MESSAGES_MAX as i64 + 1 {
            let to = names.pack(if n == 0 { b"821011112222" } else { b"01033334444" });
            inbox.push(&Message {
                to,
                from,
                reference: Some(1),
                at: Timestamp::from_millis(n),
                message_id: "17",
                data_coding: 0x0E,
                parts: 1,
                text: &[0xB0, 0xA1],
                subject: (n == 0).then_some(b"s"),
            });
            if n == 0 {
                let found = inbox.find("kt", "+82 10-1111-2222", &names);
                assert_eq!(found.len(), 1);
                let (text, subject) = (found[0].1.text.as_str(), found[0].1.subject.as_deref());
                assert_eq!((text, subject, found[0].1.message_id.as_str()), ("가", Some("s"), "17"));
            }
        }
        assert!(inbox.find("kt", "01011112222", &names).is_empty());
    }
}
