//! Cuts PDUs out of a byte stream by their length field (SMPP 3.4 section 3.2), and says what is wrong with bad ones.

use super::{Body, CommandId, body, status};

/// Octets of the header every PDU starts with: length, id, status, sequence.
pub const HEADER_LEN: usize = 16;

/// The longest PDU anyone may send here: a full `message_payload` (64 KiB).
pub const FRAME_MAX: usize = 65_536;

/// The highest `sequence_number` (section 5.1.4).
pub const SEQUENCE_MAX: u32 = 0x7FFF_FFFF;

/// One PDU whose header is read and whose body is not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the PDU is.
    pub id: CommandId,
    /// `command_status`; 0 in requests.
    pub status: u32,
    /// `sequence_number`; a response repeats its request's.
    pub sequence: u32,
    /// Everything after the header.
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// A field that is cut off or not terminated within its maximum, a TLV past the end, a request whose sequence
    /// number is 0 or above [`SEQUENCE_MAX`]. The stream stays in step: answer with [`DecodeError::nack_status`] and
    /// go on.
    pub fn parse(&self) -> Result<Body<'a>, DecodeError> {
        let request_numbered_wrongly = self.sequence == 0 || self.sequence > SEQUENCE_MAX;
        if request_numbered_wrongly && !self.id.is_response() {
            return Err(self.error(DecodeErrorKind::Sequence(self.sequence)));
        }
        body::parse(self.id, self.body).map_err(|kind| self.error(kind))
    }

    fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { kind, command_id: Some(self.id.0), sequence: Some(self.sequence) }
    }
}

/// The body's length only: bodies carry texts, numbers and passwords.
impl std::fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frame")
            .field("id", &self.id)
            .field("status", &self.status)
            .field("sequence", &self.sequence)
            .field("body_octets", &self.body.len())
            .finish()
    }
}

/// Reads the first PDU of `buf` and how many octets it takes; `None` when it has not wholly arrived.
///
/// `max` limits `command_length`, header included; use [`FRAME_MAX`].
///
/// # Errors
/// Only for a length below [`HEADER_LEN`] or above `max`. Where the next PDU starts is then unknown: the session sends
/// `generic_nack` and closes.
pub fn decode(buf: &[u8], max: usize) -> Result<Option<(Frame<'_>, usize)>, DecodeError> {
    let Some(length) = word(buf, 0) else {
        return Ok(None);
    };
    let octets = usize::try_from(length).unwrap_or(usize::MAX);
    if octets < HEADER_LEN || octets > max {
        return Err(DecodeError {
            kind: DecodeErrorKind::Length(length),
            command_id: word(buf, 4),
            sequence: word(buf, 12),
        });
    }
    let Some((header, body)) = buf.get(..octets).and_then(|pdu| pdu.split_first_chunk::<HEADER_LEN>()) else {
        return Ok(None);
    };
    let [_, _, _, _, i0, i1, i2, i3, s0, s1, s2, s3, n0, n1, n2, n3] = *header;
    let frame = Frame {
        id: CommandId(u32::from_be_bytes([i0, i1, i2, i3])),
        status: u32::from_be_bytes([s0, s1, s2, s3]),
        sequence: u32::from_be_bytes([n0, n1, n2, n3]),
        body,
    };
    Ok(Some((frame, octets)))
}

fn word(buf: &[u8], at: usize) -> Option<u32> {
    buf.get(at..at + 4).and_then(|octets| octets.try_into().ok()).map(u32::from_be_bytes)
}

/// A PDU that cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind} (command_id {command_id:x?}, sequence {sequence:?})")]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// `command_id` if the header arrived that far.
    pub command_id: Option<u32>,
    /// `sequence_number` if the header arrived that far.
    pub sequence: Option<u32>,
}

/// What is wrong with a PDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeErrorKind {
    /// `command_length` is below 16 or above the limit.
    #[error("command_length {0} is impossible")]
    Length(u32),
    /// `sequence_number` of a request is 0 or above [`SEQUENCE_MAX`].
    #[error("sequence_number {0} is out of range")]
    Sequence(u32),
    /// The body ends before this field does.
    #[error("{0} is cut off")]
    Truncated(&'static str),
    /// This C-string has no NUL within its maximum length.
    #[error("{0} is not terminated within its maximum length")]
    Unterminated(&'static str),
    /// `sm_length` is 255, or more than what is left of the body.
    #[error("sm_length {0} is impossible")]
    ShortMessageLength(u8),
    /// This TLV runs past the end; 0 when there is not even room for a tag and a length.
    #[error("optional parameter 0x{0:04x} runs past the end")]
    Tlv(u16),
}

impl DecodeError {
    /// Whether the next PDU cannot be found any more, so that the connection has to be closed.
    pub fn is_fatal(&self) -> bool {
        matches!(self.kind, DecodeErrorKind::Length(_))
    }

    /// The `command_status` to answer with (section 4.3.1 for `generic_nack`).
    pub fn nack_status(&self) -> u32 {
        match self.kind {
            DecodeErrorKind::Length(_) => status::ESME_RINVCMDLEN,
            DecodeErrorKind::Sequence(_) => status::ESME_RSYSERR,
            DecodeErrorKind::Truncated(_) => status::ESME_RINVCMDLEN,
            DecodeErrorKind::Unterminated(_) => status::ESME_RINVPARLEN,
            DecodeErrorKind::ShortMessageLength(_) => status::ESME_RINVMSGLEN,
            DecodeErrorKind::Tlv(_) => status::ESME_RINVOPTPARSTREAM,
        }
    }
}
