//! Cuts long texts into parts without cutting a character, for user data headers and for SAR parameters.

use super::DataCoding;
use super::coding::unit_len;

/// The most parts a message can have: the counters are one octet.
pub const PARTS_MAX: usize = 255;

/// How many messages the octets take; 1 for an empty text. May exceed [`PARTS_MAX`], which then cannot be sent.
pub fn part_count(octets: &[u8], coding: DataCoding) -> usize {
    if octets.len() <= coding.single_max() {
        return 1;
    }
    let mut count = 0;
    let mut rest = octets;
    while !rest.is_empty() {
        rest = rest.split_at(piece_len(rest, coding)).1;
        count += 1;
    }
    count
}

/// The texts of the parts as `short_message` carries them.
///
/// One element means that the text fits: it has no user data header, and `esm_class` stays as it is. With more, each
/// starts with `05 00 03 reference total number` (3GPP TS 23.040 section 9.2.3.24.1) and `esm_class` needs
/// [`super::esm::UDHI`]; the header holds the low octet of `reference` only. `None` for more than [`PARTS_MAX`] parts.
pub fn split_udh(octets: &[u8], coding: DataCoding, reference: u16) -> Option<Vec<Vec<u8>>> {
    let pieces = split_sar(octets, coding)?;
    if let [single] = pieces.as_slice() {
        return Some(vec![single.to_vec()]);
    }
    let total = u8::try_from(pieces.len()).ok()?;
    let [_, reference] = reference.to_be_bytes();
    let headed = (1..=total).zip(pieces).map(|(number, piece)| {
        let mut part = Vec::with_capacity(6 + piece.len());
        part.extend_from_slice(&[5, 0, 3, reference, total, number]);
        part.extend_from_slice(piece);
        part
    });
    Some(headed.collect())
}

/// The same pieces without headers, for [`super::TlvBuf::push_sar`]. `None` for more than [`PARTS_MAX`] parts.
pub fn split_sar(octets: &[u8], coding: DataCoding) -> Option<Vec<&[u8]>> {
    let count = part_count(octets, coding);
    if count > PARTS_MAX {
        return None;
    }
    if count == 1 {
        return Some(vec![octets]);
    }
    let mut pieces = Vec::with_capacity(count);
    let mut rest = octets;
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(piece_len(rest, coding));
        pieces.push(piece);
        rest = tail;
    }
    Some(pieces)
}

/// The length of the longest front that fits a part and ends between two characters.
fn piece_len(octets: &[u8], coding: DataCoding) -> usize {
    let mut length = 0;
    while let Some(rest) = octets.get(length..).filter(|rest| !rest.is_empty()) {
        let next = length + unit_len(rest, coding);
        if next > coding.part_max() {
            break;
        }
        length = next;
    }
    length
}
