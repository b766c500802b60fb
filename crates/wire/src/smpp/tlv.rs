//! Optional parameters: tag, length, value (SMPP 3.4 section 5.3).

use std::fmt;

/// The tags this project reads or writes (section 5.3.2), and its own vendor tag.
pub mod tag {
    /// Message id of the message a receipt is about, C-string.
    pub const RECEIPTED_MESSAGE_ID: u16 = 0x001E;
    /// The sender's own number for a message, u16; comes back in receipts.
    pub const USER_MESSAGE_REFERENCE: u16 = 0x0204;
    /// Reference number shared by all segments of a message, u16.
    pub const SAR_MSG_REF_NUM: u16 = 0x020C;
    /// Number of segments, u8.
    pub const SAR_TOTAL_SEGMENTS: u16 = 0x020E;
    /// Number of this segment from 1, u8.
    pub const SAR_SEGMENT_SEQNUM: u16 = 0x020F;
    /// SMPP version the message centre speaks, u8.
    pub const SC_INTERFACE_VERSION: u16 = 0x0210;
    /// Network type (1 octet) and error number (u16).
    pub const NETWORK_ERROR_CODE: u16 = 0x0423;
    /// Message text instead of `short_message`, up to 64 KiB.
    pub const MESSAGE_PAYLOAD: u16 = 0x0424;
    /// Final state of a message, u8.
    pub const MESSAGE_STATE: u16 = 0x0427;
    /// Vendor range: subject (제목) of a long message as CP949 octets; a relay option.
    pub const LMS_SUBJECT: u16 = 0x1401;
}

/// The optional parameters of a received PDU, borrowed and already checked for whole lengths.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Tlvs<'a> {
    bytes: &'a [u8],
}

impl<'a> Tlvs<'a> {
    /// Checks the lengths once, so that iteration cannot fail; an error names the tag that runs past the end (0 when
    /// not even a tag and a length are left).
    pub(super) fn check(bytes: &'a [u8]) -> Result<Self, u16> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (tag, _, tail) = cut(rest)?;
            debug_assert!(tail.len() < rest.len(), "tag {tag:04x} takes at least four octets");
            rest = tail;
        }
        Ok(Tlvs { bytes })
    }

    /// All parameters in the order received, known or not.
    pub fn iter(self) -> TlvIter<'a> {
        TlvIter { rest: self.bytes }
    }

    /// The first value with this tag.
    pub fn get(self, tag: u16) -> Option<&'a [u8]> {
        self.iter().find(|(found, _)| *found == tag).map(|(_, value)| value)
    }

    /// The first value with this tag if it is one octet.
    pub fn get_u8(self, tag: u16) -> Option<u8> {
        self.get(tag).and_then(|value| <[u8; 1]>::try_from(value).ok()).map(|[octet]| octet)
    }

    /// The first value with this tag if it is two octets, big-endian.
    pub fn get_u16(self, tag: u16) -> Option<u16> {
        self.get(tag).and_then(|value| value.try_into().ok()).map(u16::from_be_bytes)
    }

    /// The first value with this tag if it is four octets, big-endian.
    pub fn get_u32(self, tag: u16) -> Option<u32> {
        self.get(tag).and_then(|value| value.try_into().ok()).map(u32::from_be_bytes)
    }

    /// The first value with this tag up to its NUL; peers that forget the NUL are understood.
    pub fn get_cstr(self, tag: u16) -> Option<&'a [u8]> {
        self.get(tag).map(|value| value.split(|octet| *octet == 0).next().unwrap_or_default())
    }

    /// The parameters as they stand on the wire.
    pub fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }
}

impl<'a> IntoIterator for Tlvs<'a> {
    type Item = (u16, &'a [u8]);
    type IntoIter = TlvIter<'a>;

    fn into_iter(self) -> TlvIter<'a> {
        self.iter()
    }
}

/// Tags and lengths only: values carry texts and numbers of people.
impl fmt::Debug for Tlvs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.iter().map(|(tag, value)| (format!("0x{tag:04x}"), format!("{} octets", value.len())));
        f.debug_map().entries(shown).finish()
    }
}

/// Walks over the parameters of a PDU.
#[derive(Clone)]
pub struct TlvIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for TlvIter<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (tag, value, rest) = cut(self.rest).ok()?;
        self.rest = rest;
        Some((tag, value))
    }
}

/// Cuts the first parameter off: tag, value, rest.
fn cut(bytes: &[u8]) -> Result<(u16, &[u8], &[u8]), u16> {
    let Some((&[tag_high, tag_low, length_high, length_low], rest)) = bytes.split_first_chunk::<4>() else {
        return Err(0);
    };
    let tag = u16::from_be_bytes([tag_high, tag_low]);
    let length = usize::from(u16::from_be_bytes([length_high, length_low]));
    let (value, rest) = rest.split_at_checked(length).ok_or(tag)?;
    Ok((tag, value, rest))
}

/// Optional parameters being put together; reuse one buffer with [`TlvBuf::clear`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TlvBuf {
    bytes: Vec<u8>,
}

impl TlvBuf {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all parameters and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Adds a parameter. A value over 65,535 octets does not fit the length field and is left out: `false`.
    pub fn push(&mut self, tag: u16, value: &[u8]) -> bool {
        let Ok(length) = u16::try_from(value.len()) else {
            return false;
        };
        self.bytes.extend_from_slice(&tag.to_be_bytes());
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(value);
        true
    }

    /// Adds a one-octet parameter.
    pub fn push_u8(&mut self, tag: u16, value: u8) {
        self.push(tag, &[value]);
    }

    /// Adds a two-octet parameter, big-endian.
    pub fn push_u16(&mut self, tag: u16, value: u16) {
        self.push(tag, &value.to_be_bytes());
    }

    /// Adds a C-string parameter and its NUL; `false` when it is too long.
    pub fn push_cstr(&mut self, tag: u16, value: &[u8]) -> bool {
        let start = self.bytes.len();
        let Some(length) = value.len().checked_add(1).and_then(|length| u16::try_from(length).ok()) else {
            return false;
        };
        self.bytes.reserve(usize::from(length) + 4);
        self.bytes.extend_from_slice(&tag.to_be_bytes());
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.push(0);
        debug_assert_eq!(self.bytes.len(), start + 4 + usize::from(length));
        true
    }

    /// Adds the three parameters that mark a segment (section 5.3.2.22 to 5.3.2.24); `segment` counts from 1.
    pub fn push_sar(&mut self, reference: u16, total: u8, segment: u8) {
        self.push_u16(tag::SAR_MSG_REF_NUM, reference);
        self.push_u8(tag::SAR_TOTAL_SEGMENTS, total);
        self.push_u8(tag::SAR_SEGMENT_SEQNUM, segment);
    }

    /// The parameters as a PDU carries them.
    pub fn as_tlvs(&self) -> Tlvs<'_> {
        Tlvs { bytes: &self.bytes }
    }
}

impl fmt::Debug for TlvBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_tlvs().fmt(f)
    }
}
