//! Writes PDUs to the end of a buffer, so that one write call can carry many (SMPP 3.4 section 4).

use super::body::max;
use super::{BindKind, BindRequest, CommandId, DeliverSm, FRAME_MAX, HEADER_LEN, ShortMessage, SubmitSm, status, tag};
use super::{INTERFACE_VERSION, TlvBuf};

/// The longest `short_message` in octets (section 5.2.21).
pub const SHORT_MESSAGE_MAX: usize = 254;

/// A value that does not fit its field: too long, or a C-string with a NUL inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field} does not fit its field")]
pub struct EncodeError {
    /// The field's name in the specification.
    pub field: &'static str,
}

/// Appends a bind.
///
/// # Errors
/// A string too long for its field or with a NUL inside; `out` is then as before.
pub fn encode_bind(bind: &BindRequest<'_>, sequence: u32, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    pdu(bind.kind.command(), status::ESME_ROK, sequence, out, |out| {
        string("system_id", bind.system_id, max::SYSTEM_ID, out)?;
        string("password", bind.password, max::PASSWORD, out)?;
        string("system_type", bind.system_type, max::SYSTEM_TYPE, out)?;
        out.extend_from_slice(&[bind.interface_version, bind.addr_ton, bind.addr_npi]);
        string("address_range", bind.address_range, max::ADDRESS_RANGE, out)
    })
}

/// Appends the answer to a bind; a refusal (`status` other than 0) has no body.
///
/// # Errors
/// A `system_id` too long or with a NUL inside; `out` is then as before.
pub fn encode_bind_resp(
    kind: BindKind,
    status: u32,
    sequence: u32,
    system_id: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    pdu(kind.command().response(), status, sequence, out, |out| {
        if status != status::ESME_ROK {
            return Ok(());
        }
        string("system_id", system_id, max::SYSTEM_ID, out)?;
        let mut tlvs = TlvBuf::new();
        tlvs.push_u8(tag::SC_INTERFACE_VERSION, INTERFACE_VERSION);
        out.extend_from_slice(tlvs.as_tlvs().as_bytes());
        Ok(())
    })
}

/// Appends a `submit_sm`.
///
/// # Errors
/// A field too long or a C-string with a NUL inside; `out` is then as before.
pub fn encode_submit(message: &SubmitSm<'_>, sequence: u32, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    pdu(CommandId::SUBMIT_SM, status::ESME_ROK, sequence, out, |out| short_message(message, out))
}

/// Appends a `submit_sm_resp`; a refusal (`status` other than 0) has no body.
///
/// # Errors
/// A `message_id` too long or with a NUL inside; `out` is then as before.
pub fn encode_submit_resp(status: u32, sequence: u32, message_id: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    pdu(CommandId::SUBMIT_SM_RESP, status, sequence, out, |out| {
        if status != status::ESME_ROK {
            return Ok(());
        }
        string("message_id", message_id, max::MESSAGE_ID, out)
    })
}

/// Appends a `deliver_sm`.
///
/// # Errors
/// A field too long or a C-string with a NUL inside; `out` is then as before.
pub fn encode_deliver(message: &DeliverSm<'_>, sequence: u32, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    pdu(CommandId::DELIVER_SM, status::ESME_ROK, sequence, out, |out| short_message(message, out))
}

/// Appends a `deliver_sm_resp`; its `message_id` is unused and empty (section 4.6.2).
pub fn encode_deliver_resp(status: u32, sequence: u32, out: &mut Vec<u8>) {
    header(CommandId::DELIVER_SM_RESP, HEADER_LEN as u32 + 1, status, sequence, out);
    out.push(0);
}

/// Appends a PDU that is a header alone: `enquire_link`, `unbind`, their responses, `generic_nack`, refusals.
pub fn encode_header_only(id: CommandId, status: u32, sequence: u32, out: &mut Vec<u8>) {
    header(id, HEADER_LEN as u32, status, sequence, out);
}

/// Writes header and body, then puts the length in; takes everything back when the body does not fit.
fn pdu(
    id: CommandId,
    status: u32,
    sequence: u32,
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    header(id, 0, status, sequence, out);
    let written = body(out).and_then(|()| {
        let length = out.len() - start;
        if length > FRAME_MAX { Err(EncodeError { field: "command_length" }) } else { Ok(length as u32) }
    });
    match written {
        Ok(length) => out[start..start + 4].copy_from_slice(&length.to_be_bytes()),
        Err(_) => out.truncate(start),
    }
    written.map(|_| ())
}

fn header(id: CommandId, length: u32, status: u32, sequence: u32, out: &mut Vec<u8>) {
    let mut header = [0; HEADER_LEN];
    header[..4].copy_from_slice(&length.to_be_bytes());
    header[4..8].copy_from_slice(&id.0.to_be_bytes());
    header[8..12].copy_from_slice(&status.to_be_bytes());
    header[12..].copy_from_slice(&sequence.to_be_bytes());
    out.extend_from_slice(&header);
}

fn short_message(message: &ShortMessage<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let length = match u8::try_from(message.short_message.len()) {
        Ok(length) if usize::from(length) <= SHORT_MESSAGE_MAX => length,
        _ => return Err(EncodeError { field: "short_message" }),
    };
    out.reserve(128 + message.short_message.len() + message.tlvs.as_bytes().len());
    string("service_type", message.service_type, max::SERVICE_TYPE, out)?;
    out.extend_from_slice(&[message.source_ton, message.source_npi]);
    string("source_addr", message.source, max::ADDRESS, out)?;
    out.extend_from_slice(&[message.dest_ton, message.dest_npi]);
    string("destination_addr", message.dest, max::ADDRESS, out)?;
    out.extend_from_slice(&[message.esm_class, message.protocol_id, message.priority]);
    string("schedule_delivery_time", message.schedule, max::TIME, out)?;
    string("validity_period", message.validity, max::TIME, out)?;
    out.extend_from_slice(&[
        message.registered_delivery,
        message.replace,
        message.data_coding,
        message.sm_default_msg_id,
        length,
    ]);
    out.extend_from_slice(message.short_message);
    out.extend_from_slice(message.tlvs.as_bytes());
    Ok(())
}

fn string(field: &'static str, value: &[u8], max: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if value.len() >= max || value.contains(&0) {
        return Err(EncodeError { field });
    }
    out.extend_from_slice(value);
    out.push(0);
    Ok(())
}
