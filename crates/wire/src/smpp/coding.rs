//! Texts to octets and back for each `data_coding` (SMPP 3.4 section 5.2.19).

use encoding_rs::EUC_KR;

use super::gsm7;

/// The alphabets this project sends and reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum DataCoding {
    /// The message centre's default alphabet, here GSM 7-bit with one octet per septet.
    Gsm7 = 0x00,
    /// IA5, that is ASCII.
    Ascii = 0x01,
    /// ISO 8859-1.
    Latin1 = 0x03,
    /// UTF-16 big-endian.
    Ucs2 = 0x08,
    /// KS C 5601 (완성형) with its CP949 extension (확장 완성형), as Korean message centres mean it.
    #[default]
    Ksc5601 = 0x0E,
}

impl DataCoding {
    /// The coding with this number; `None` for those not spoken here (8-bit data, JIS, Cyrillic, …).
    pub const fn from_u8(number: u8) -> Option<Self> {
        match number {
            0x00 => Some(DataCoding::Gsm7),
            0x01 => Some(DataCoding::Ascii),
            0x03 => Some(DataCoding::Latin1),
            0x08 => Some(DataCoding::Ucs2),
            0x0E => Some(DataCoding::Ksc5601),
            _ => None,
        }
    }

    /// The number in the PDU.
    pub const fn as_u8(self) -> u8 {
        self as u8
    }

    /// Octets that fit one message without a user data header: 140, or 160 septets in GSM 7-bit.
    pub const fn single_max(self) -> usize {
        match self {
            DataCoding::Gsm7 => 160,
            _ => 140,
        }
    }

    /// Octets of text that fit one part beside a six-octet user data header: 134 (67 UTF-16 units), or 153 septets.
    pub const fn part_max(self) -> usize {
        match self {
            DataCoding::Gsm7 => 153,
            _ => 134,
        }
    }
}

/// The octets of a text, or `None` when a character is not in the alphabet: nothing is ever replaced silently.
pub fn encode(text: &str, coding: DataCoding) -> Option<Vec<u8>> {
    match coding {
        DataCoding::Gsm7 => gsm7::encode(text),
        DataCoding::Ascii => text.is_ascii().then(|| text.as_bytes().to_vec()),
        DataCoding::Latin1 => text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect(),
        DataCoding::Ucs2 => Some(text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        DataCoding::Ksc5601 => encode_cp949(text),
    }
}

/// The text of octets from elsewhere; what cannot be read becomes U+FFFD.
pub fn decode(octets: &[u8], coding: DataCoding) -> String {
    match coding {
        DataCoding::Gsm7 => gsm7::decode(octets),
        DataCoding::Ascii => octets
            .iter()
            .map(|octet| if octet.is_ascii() { char::from(*octet) } else { char::REPLACEMENT_CHARACTER })
            .collect(),
        DataCoding::Latin1 => octets.iter().map(|octet| char::from(*octet)).collect(),
        DataCoding::Ucs2 => decode_utf16(octets),
        DataCoding::Ksc5601 => EUC_KR.decode_without_bom_handling(octets).0.into_owned(),
    }
}

/// `encoding_rs`' own `encode` would write `&#127881;` for a character outside the alphabet; this refuses instead.
fn encode_cp949(text: &str) -> Option<Vec<u8>> {
    if text.is_ascii() {
        return Some(text.as_bytes().to_vec());
    }
    let mut encoder = EUC_KR.new_encoder();
    let capacity = encoder.max_buffer_length_from_utf8_without_replacement(text.len())?;
    let mut octets = Vec::with_capacity(capacity);
    let (result, _) = encoder.encode_from_utf8_to_vec_without_replacement(text, &mut octets, true);
    matches!(result, encoding_rs::EncoderResult::InputEmpty).then_some(octets)
}

fn decode_utf16(octets: &[u8]) -> String {
    let (pairs, odd) = octets.as_chunks::<2>();
    let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
    let mut text: String = char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    if !odd.is_empty() {
        text.push(char::REPLACEMENT_CHARACTER);
    }
    text
}

/// How many octets the character at the front takes; never more than there are.
pub(super) fn unit_len(octets: &[u8], coding: DataCoding) -> usize {
    let wanted = match (coding, octets) {
        (DataCoding::Gsm7, [gsm7::ESCAPE, ..]) => 2,
        (DataCoding::Ucs2, [0xD8..=0xDB, _, 0xDC..=0xDF, ..]) => 4,
        (DataCoding::Ucs2, _) => 2,
        (DataCoding::Ksc5601, [0x81..=0xFE, ..]) => 2,
        _ => 1,
    };
    wanted.min(octets.len())
}
