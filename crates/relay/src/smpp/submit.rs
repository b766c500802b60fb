//! One message to `submit_sm` PDUs: coding, parts, addresses, validity.

use std::io::Write;
use std::time::Duration;

use bongsu_domain::channel::Channel;
use bongsu_domain::code::Code;
use bongsu_domain::id::reference;
use bongsu_domain::phone::PhoneNumber;
use bongsu_domain::time::Timestamp;
use bongsu_wire::smpp::{
    DataCoding, EncodeError, PARTS_MAX, SubmitSm, TlvBuf, encode_submit, encode_text, esm, part_count, split_udh, tag,
};

use crate::{Long, Outbound, RelayConfig};

/// Type of number and numbering plan (SMPP 3.4, 5.2.5 and 5.2.6).
const TON_INTERNATIONAL: u8 = 1;
const TON_NATIONAL: u8 = 2;
const NPI_ISDN: u8 = 1;

/// `registered_delivery`: a receipt for every final state (SMPP 3.4, 5.2.17).
const RECEIPT_WANTED: u8 = 1;

/// Longer validities are left to the relay.
const VALIDITY_MAX: Duration = Duration::from_secs(28 * 86_400);

/// The octets of a text as its PDUs carry them.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Fits one `short_message`.
    Short(Vec<u8>),
    /// One PDU with `message_payload`.
    Payload(Vec<u8>),
    /// Several, each with its user data header.
    Parts(Vec<Vec<u8>>),
}

/// How many parts a text becomes; 1 for a text that cannot be coded, which is refused when it is sent.
pub(super) fn parts(config: &RelayConfig, text: &str) -> u8 {
    // No coding makes more octets of a text than UTF-8 does, but UCS-2 and escapes of GSM 7-bit: at most twice.
    let worst = match config.coding {
        DataCoding::Ucs2 | DataCoding::Gsm7 => text.len() * 2,
        DataCoding::Ascii | DataCoding::Latin1 | DataCoding::Ksc5601 => text.len(),
    };
    if config.long == Long::Payload || worst <= config.coding.single_max() {
        return 1;
    }
    let count = encode_text(text, config.coding).map_or(1, |octets| part_count(&octets, config.coding));
    u8::try_from(count).unwrap_or(u8::MAX)
}

/// Codes a text.
///
/// # Errors
/// A character outside the coding, or more parts than there can be.
pub(super) fn content(config: &RelayConfig, message: &Outbound) -> Result<Content, Code> {
    let octets = encode_text(&message.text, config.coding).ok_or(Code::UnencodableCharacter)?;
    if octets.len() <= config.coding.single_max() {
        return Ok(Content::Short(octets));
    }
    match config.long {
        Long::Payload if octets.len() <= usize::from(u16::MAX) => Ok(Content::Payload(octets)),
        Long::Payload => Err(Code::BodyTooLong),
        Long::Udh => match split_udh(&octets, config.coding, reference(message.id)) {
            Some(parts) if parts.len() <= PARTS_MAX => Ok(Content::Parts(parts)),
            _ => Err(Code::BodyTooLong),
        },
    }
}

/// Where the text of one PDU goes.
#[derive(Clone, Copy)]
pub(super) enum Carrier<'a> {
    Short(&'a [u8]),
    Payload(&'a [u8]),
    /// A part with its header; the first one carries the subject.
    Part {
        octets: &'a [u8],
        first: bool,
    },
}

/// Appends one `submit_sm`; `tlvs` is a buffer to reuse.
///
/// # Errors
/// The code of the field that does not fit its PDU field; `out` is as before.
pub(super) fn write(
    config: &RelayConfig,
    message: &Outbound,
    carrier: Carrier<'_>,
    now: Timestamp,
    sequence: u32,
    tlvs: &mut TlvBuf,
    out: &mut Vec<u8>,
) -> Result<(), Code> {
    tlvs.clear();
    tlvs.push_u16(tag::USER_MESSAGE_REFERENCE, reference(message.id));
    let (short_message, esm_class, bears_subject) = match carrier {
        Carrier::Short(octets) => (octets, 0, true),
        Carrier::Payload(octets) => {
            tlvs.push(tag::MESSAGE_PAYLOAD, octets);
            (&[][..], 0, true)
        }
        Carrier::Part { octets, first } => (octets, esm::UDHI, first),
    };
    if bears_subject && message.channel == Channel::Lms {
        push_subject(config, message, tlvs)?;
    }
    let mut validity = [0; 16];
    let has_validity = relative_time(message.expires.since(now), &mut validity);
    let (source, dest) = (address(config, &message.from), address(config, &message.to));
    let ton = if config.address_with_country { TON_INTERNATIONAL } else { TON_NATIONAL };
    let pdu = SubmitSm {
        source_ton: ton,
        source_npi: NPI_ISDN,
        source: source.as_bytes(),
        dest_ton: ton,
        dest_npi: NPI_ISDN,
        dest: dest.as_bytes(),
        esm_class,
        validity: if has_validity { &validity } else { b"" },
        registered_delivery: RECEIPT_WANTED,
        data_coding: config.coding.as_u8(),
        short_message,
        tlvs: tlvs.as_tlvs(),
        ..SubmitSm::default()
    };
    encode_submit(&pdu, sequence, out).map_err(refusal)
}

fn push_subject(config: &RelayConfig, message: &Outbound, tlvs: &mut TlvBuf) -> Result<(), Code> {
    if let (Some(tag), Some(subject)) = (config.subject_tlv, &message.subject) {
        let octets = encode_text(subject, DataCoding::Ksc5601).ok_or(Code::UnencodableCharacter)?;
        if !tlvs.push(tag, &octets) {
            return Err(Code::SubjectTooLong);
        }
    }
    Ok(())
}

/// An address as the relay wants it; most relays take the borrowed form.
fn address<'a>(config: &RelayConfig, number: &'a PhoneNumber) -> std::borrow::Cow<'a, str> {
    if config.address_with_country { number.with_country().into() } else { number.national().into() }
}

fn refusal(error: EncodeError) -> Code {
    match error.field {
        "source_addr" => Code::SenderNotRegistered,
        "destination_addr" => Code::BadRecipientFormat,
        _ => Code::BodyTooLong,
    }
}

/// Writes a relative time `YYMMDDhhmmss000R` (SMPP 3.4, 7.1.1.1); false when the relay's own limit may stand.
fn relative_time(left: Duration, out: &mut [u8; 16]) -> bool {
    if left > VALIDITY_MAX {
        return false;
    }
    let secs = left.as_secs().max(1);
    let (days, hours, minutes) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60);
    write!(&mut out[..], "0000{days:02}{hours:02}{minutes:02}{:02}000R", secs % 60).is_ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bongsu_domain::lane::Lane;
    use bongsu_wire::smpp::{Body, FRAME_MAX, decode};

    use super::*;

    fn config(coding: DataCoding, long: Long) -> RelayConfig {
        RelayConfig { coding, long, ..RelayConfig::new(3, "one", "localhost:1") }
    }

    fn message(text: &str) -> Outbound {
        Outbound {
            id: 0x1234_5678_9ABC,
            attempt: 1,
            lane: Lane::Realtime,
            deadline: Timestamp::MAX,
            expires: Timestamp::from_secs(100),
            to: PhoneNumber::from_national("01012345678").unwrap(),
            from: PhoneNumber::from_national("15881588").unwrap(),
            channel: Channel::Lms,
            text: Arc::from(text),
            subject: Some(Arc::from("제목")),
            parts: 1,
        }
    }

    #[test]
    fn validity_is_relative() {
        let mut out = [0; 16];
        assert!(relative_time(Duration::from_secs(2 * 86_400 + 3 * 3600 + 4 * 60 + 5), &mut out));
        assert_eq!(&out, b"000002030405000R");
        assert!(relative_time(Duration::from_millis(10), &mut out));
        assert_eq!(&out, b"000000000001000R");
        assert!(!relative_time(Duration::from_secs(40 * 86_400), &mut out));
    }

    #[test]
    fn parts_agree_with_content() {
        for coding in [DataCoding::Gsm7, DataCoding::Ascii, DataCoding::Latin1, DataCoding::Ucs2, DataCoding::Ksc5601] {
            for long in [Long::Payload, Long::Udh] {
                let config = config(coding, long);
                for length in [0, 1, 70, 71, 140, 141, 160, 161, 268, 269, 2000] {
                    let text = "[".repeat(length);
                    let count = match content(&config, &message(&text)).unwrap() {
                        Content::Short(_) | Content::Payload(_) => 1,
                        Content::Parts(parts) => parts.len(),
                    };
                    assert_eq!(usize::from(parts(&config, &text)), count, "{coding:?} {long:?} {length}");
                }
            }
        }
    }

    #[test]
    fn a_text_outside_the_coding_is_refused() {
        let config = config(DataCoding::Ksc5601, Long::Udh);
        assert_eq!(content(&config, &message("안녕 🙂")), Err(Code::UnencodableCharacter));
        assert_eq!(parts(&config, "안녕 🙂"), 1);
    }

    #[test]
    fn a_payload_carries_subject_reference_and_validity() {
        let config = RelayConfig { address_with_country: true, ..config(DataCoding::Ksc5601, Long::Payload) };
        let message = message(&"가".repeat(100));
        let Content::Payload(octets) = content(&config, &message).unwrap() else { panic!("fits no short_message") };
        let (mut tlvs, mut out) = (TlvBuf::new(), Vec::new());
        write(&config, &message, Carrier::Payload(&octets), Timestamp::from_secs(40), 9, &mut tlvs, &mut out).unwrap();
        let (frame, octets_read) = decode(&out, FRAME_MAX).unwrap().unwrap();
        assert_eq!((octets_read, frame.sequence), (out.len(), 9));
        let Body::SubmitSm(pdu) = frame.parse().unwrap() else { panic!("not a submit_sm") };
        assert_eq!((pdu.source, pdu.dest), (&b"8215881588"[..], &b"821012345678"[..]));
        assert_eq!((pdu.source_ton, pdu.dest_ton), (1, 1));
        assert_eq!(pdu.validity, b"000000000100000R");
        assert_eq!((pdu.registered_delivery, pdu.data_coding, pdu.esm_class), (1, 0x0E, 0));
        assert_eq!(pdu.payload(), octets);
        assert_eq!(pdu.tlvs.get_u16(tag::USER_MESSAGE_REFERENCE), Some(0x9ABC));
        assert_eq!(pdu.tlvs.get(tag::LMS_SUBJECT), Some(&[0xC1, 0xA6, 0xB8, 0xF1][..]));
    }
}
