//! Delivery receipts in the dialects message centres speak (SMPP 3.4 appendix B): optional parameters first, then text.

use std::fmt;

use bongsu_domain::time::Timestamp;

pub use super::date::DateDigits;
use super::{Tlvs, date, esm, tag};

/// The final or intermediate state of a message (section 5.2.28).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MessageState {
    /// On its way.
    Enroute = 1,
    /// Delivered to the handset.
    Delivered = 2,
    /// Its validity ended before delivery.
    Expired = 3,
    /// Deleted at the message centre.
    Deleted = 4,
    /// Cannot be delivered.
    Undeliverable = 5,
    /// Accepted by customer service on behalf of the handset.
    Accepted = 6,
    /// The message centre does not know, or the receipt does not say.
    Unknown = 7,
    /// Refused.
    Rejected = 8,
}

impl MessageState {
    /// The word in receipt texts.
    pub const fn as_str(self) -> &'static str {
        match self {
            MessageState::Enroute => "ENROUTE",
            MessageState::Delivered => "DELIVRD",
            MessageState::Expired => "EXPIRED",
            MessageState::Deleted => "DELETED",
            MessageState::Undeliverable => "UNDELIV",
            MessageState::Accepted => "ACCEPTD",
            MessageState::Unknown => "UNKNOWN",
            MessageState::Rejected => "REJECTD",
        }
    }

    /// The state with this number in `message_state`.
    pub const fn from_u8(number: u8) -> Option<Self> {
        Some(match number {
            1 => MessageState::Enroute,
            2 => MessageState::Delivered,
            3 => MessageState::Expired,
            4 => MessageState::Deleted,
            5 => MessageState::Undeliverable,
            6 => MessageState::Accepted,
            7 => MessageState::Unknown,
            8 => MessageState::Rejected,
            _ => return None,
        })
    }

    /// The state a receipt's word means, in any case, abbreviated as the specification does or spelled out.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word.to_ascii_uppercase().as_str() {
            "ENROUTE" | "SCHEDULED" | "BUFFERED" => MessageState::Enroute,
            "DELIVRD" | "DELIVERED" | "DELIVERD" => MessageState::Delivered,
            "EXPIRED" => MessageState::Expired,
            "DELETED" => MessageState::Deleted,
            "UNDELIV" | "UNDELIVERED" | "UNDELIVERABLE" | "UNDELIVRD" | "FAILED" => MessageState::Undeliverable,
            "ACCEPTD" | "ACCEPTED" => MessageState::Accepted,
            "UNKNOWN" => MessageState::Unknown,
            "REJECTD" | "REJECTED" => MessageState::Rejected,
            _ => return None,
        })
    }

    /// Whether nothing else is to be expected for the message.
    pub const fn is_final(self) -> bool {
        !matches!(self, MessageState::Enroute)
    }
}

/// What a receipt says about a message.
#[derive(Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The message centre's id, as written; compare after [`super::IdRule::receipt`].
    pub id: String,
    /// [`MessageState::Unknown`] when the receipt does not say.
    pub state: MessageState,
    /// Error number of the network or the message centre; from `network_error_code` three decimal digits at least.
    pub err: Option<String>,
    /// Messages submitted.
    pub sub: Option<u32>,
    /// Messages delivered.
    pub dlvrd: Option<u32>,
    /// When the message was submitted; minutes or seconds, written as Korean time.
    pub submit_date: Option<Timestamp>,
    /// When it reached its state; minutes or seconds, written as Korean time.
    pub done_date: Option<Timestamp>,
    /// The first octets of the message, in whatever coding: personal data.
    pub text: Option<Vec<u8>>,
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt")
            .field("id", &self.id)
            .field("state", &self.state)
            .field("err", &self.err)
            .field("done_date", &self.done_date)
            .field("text_octets", &self.text.as_ref().map(Vec::len))
            .finish_non_exhaustive()
    }
}

/// Reads a receipt out of a `deliver_sm`; give it [`super::ShortMessage::payload`] as the text.
///
/// Optional parameters win over the text; the text's fields may be missing, in any order and any case. `None` when
/// `esm_class` does not mark a receipt (a handset could otherwise forge one by its text), or when there is no id.
pub fn parse_receipt(esm_class: u8, short_message: &[u8], tlvs: Tlvs<'_>) -> Option<Receipt> {
    if !matches!(esm_class & esm::TYPE_MASK, esm::RECEIPT | esm::INTERMEDIATE) {
        return None;
    }
    let narrowed = narrow(without_header(esm_class, short_message));
    let words = Words::read(&narrowed);
    let id = tlvs.get_cstr(tag::RECEIPTED_MESSAGE_ID).filter(|id| !id.is_empty()).or_else(|| words.get(Key::Id))?;
    let state = tlvs
        .get_u8(tag::MESSAGE_STATE)
        .and_then(MessageState::from_u8)
        .or_else(|| words.get(Key::Stat).and_then(|word| MessageState::parse(&String::from_utf8_lossy(word))));
    let network_error = tlvs
        .get(tag::NETWORK_ERROR_CODE)
        .and_then(|value| <[u8; 3]>::try_from(value).ok())
        .map(|[_network, high, low]| format!("{:03}", u16::from_be_bytes([high, low])));
    let count = |key| words.get(key).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    Some(Receipt {
        id: lossy(id),
        state: state.unwrap_or(MessageState::Unknown),
        err: network_error.or_else(|| words.get(Key::Err).map(lossy)),
        sub: count(Key::Sub),
        dlvrd: count(Key::Dlvrd),
        submit_date: words.get(Key::SubmitDate).and_then(date::parse),
        done_date: words.get(Key::DoneDate).and_then(date::parse),
        text: words.text.map(<[u8]>::to_vec),
    })
}

/// The text of a receipt up to its `text:` field, which repeats the message: this much may be kept. Empty for a
/// receipt written in UCS-2.
pub fn without_text(short_message: &[u8]) -> &[u8] {
    if short_message.first() == Some(&0) {
        return b"";
    }
    let end = (0..short_message.len()).find(|at| is_text(short_message, *at)).unwrap_or(short_message.len());
    short_message.get(..end).unwrap_or_default().trim_ascii_end()
}

/// Writes the text of a receipt in the specification's order; fields that are `None` are left out.
pub fn format_receipt(receipt: &Receipt, digits: DateDigits) -> Vec<u8> {
    let mut text = format!("id:{}", receipt.id);
    let mut field = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(name);
            text.push_str(&value);
        }
    };
    field(" sub:", receipt.sub.map(|count| format!("{count:03}")));
    field(" dlvrd:", receipt.dlvrd.map(|count| format!("{count:03}")));
    field(" submit date:", receipt.submit_date.map(|at| date::format(at, digits)));
    field(" done date:", receipt.done_date.map(|at| date::format(at, digits)));
    field(" stat:", Some(receipt.state.as_str().to_owned()));
    field(" err:", receipt.err.clone());
    let mut octets = text.into_bytes();
    if let Some(quoted) = &receipt.text {
        octets.extend_from_slice(b" text:");
        octets.extend_from_slice(quoted);
    }
    octets
}

fn lossy(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// The text behind a user data header if there is one.
fn without_header(esm_class: u8, octets: &[u8]) -> &[u8] {
    if esm_class & esm::UDHI == 0 {
        return octets;
    }
    octets.first().and_then(|length| octets.get(1 + usize::from(*length)..)).unwrap_or(octets)
}

/// Some message centres write receipts in UCS-2 as well; their ASCII is every second octet.
fn narrow(octets: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    if octets.first() == Some(&0) {
        return octets.iter().copied().skip(1).step_by(2).collect::<Vec<u8>>().into();
    }
    octets.into()
}

/// The fields of a receipt text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Id,
    Sub,
    Dlvrd,
    SubmitDate,
    DoneDate,
    Stat,
    Err,
    Text,
}

/// How often [`Key`] has a value of one word: all but the text, which comes last.
const WORD_KEYS: usize = Key::Text as usize;

/// The spellings seen that begin with a letter, in lower case.
const fn spellings(first: u8) -> &'static [(&'static [u8], Key)] {
    match first {
        b'd' => &[
            (b"dlvrd", Key::Dlvrd),
            (b"done date", Key::DoneDate),
            (b"done_date", Key::DoneDate),
            (b"donedate", Key::DoneDate),
            (b"dlvr", Key::Dlvrd),
        ],
        b'e' => &[(b"err", Key::Err), (b"error", Key::Err)],
        b'i' => &[(b"id", Key::Id)],
        b'm' => &[(b"message id", Key::Id)],
        b's' => &[
            (b"stat", Key::Stat),
            (b"sub", Key::Sub),
            (b"submit date", Key::SubmitDate),
            (b"submit_date", Key::SubmitDate),
            (b"submitdate", Key::SubmitDate),
            (b"status", Key::Stat),
            (b"state", Key::Stat),
        ],
        b't' => &[(b"text", Key::Text)],
        _ => &[],
    }
}

/// The fields found in one text.
struct Words<'a> {
    values: [Option<&'a [u8]>; WORD_KEYS],
    text: Option<&'a [u8]>,
}

impl<'a> Words<'a> {
    /// Before `text:` the first of a field counts. What follows it is the quoted message and no field, unless the id
    /// has not been seen: then `text:` stands early, and the last of a field counts, so that the quoted message
    /// cannot stand in for the fields behind it.
    fn read(octets: &'a [u8]) -> Self {
        let mut words = Words { values: [None; WORD_KEYS], text: None };
        let mut text_from = None;
        let mut text_to = octets.len();
        let mut at = 0;
        while at < octets.len() {
            let Some((key, after)) = key_at(octets, at) else {
                at += 1;
                continue;
            };
            if key == Key::Text {
                text_from = text_from.or(Some(after));
                if words.get(Key::Id).is_some() {
                    break;
                }
                at = after;
                continue;
            }
            if text_from.is_some() {
                text_to = text_to.min(at);
            }
            let start = skip_spaces(octets, after);
            let end = (start..octets.len()).find(|place| ends_word(octets, *place)).unwrap_or(octets.len());
            let is_empty = key_at(octets, start).is_some();
            if !is_empty {
                words.set(key, octets.get(start..end).unwrap_or_default(), text_from.is_some());
            }
            at = if is_empty { start } else { end };
        }
        words.text = text_from.and_then(|from| octets.get(from..text_to)).map(<[u8]>::trim_ascii_end);
        words
    }

    fn get(&self, key: Key) -> Option<&'a [u8]> {
        self.values.get(key as usize).copied().flatten().filter(|value| !value.is_empty())
    }

    fn set(&mut self, key: Key, value: &'a [u8], replaces: bool) {
        if let Some(slot) = self.values.get_mut(key as usize)
            && (replaces || slot.is_none())
        {
            *slot = Some(value);
        }
    }
}

/// The field name at this place and where its value may begin. A name starts after a separator, but `text:` also right
/// behind a value, because what follows it must never be taken for one.
fn key_at(octets: &[u8], at: usize) -> Option<(Key, usize)> {
    let first = octets.get(at)?.to_ascii_lowercase();
    let spellings = spellings(first);
    // Most places are told apart here.
    if spellings.is_empty() {
        return None;
    }
    let is_start = at == 0 || octets.get(at - 1).is_some_and(|before| separates(*before) || *before == b':');
    if !is_start && first != b't' {
        return None;
    }
    let rest = octets.get(at..)?;
    spellings.iter().find_map(|(name, key)| {
        if !rest.get(..name.len())?.eq_ignore_ascii_case(name) {
            return None;
        }
        let colon = skip_spaces(octets, at + name.len());
        (octets.get(colon) == Some(&b':')).then_some((*key, colon + 1))
    })
}

/// Whether `text:` stands here. Most octets are no `t`, which is quicker to tell.
fn is_text(octets: &[u8], at: usize) -> bool {
    matches!(octets.get(at), Some(b't' | b'T')) && matches!(key_at(octets, at), Some((Key::Text, _)))
}

fn separates(octet: u8) -> bool {
    octet.is_ascii_whitespace() || matches!(octet, b',' | b';' | b'|' | 0)
}

fn ends_word(octets: &[u8], at: usize) -> bool {
    octets.get(at).is_some_and(|octet| separates(*octet)) || is_text(octets, at)
}

fn skip_spaces(octets: &[u8], from: usize) -> usize {
    (from..octets.len()).find(|at| octets.get(*at) != Some(&b' ')).unwrap_or(octets.len())
}
