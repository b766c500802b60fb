//! The typed bodies of the PDUs this project speaks, borrowed from the read buffer (SMPP 3.4 section 4).

use std::fmt;

use super::encode::SHORT_MESSAGE_MAX;
use super::{BindState, CommandId, DecodeErrorKind, Tlvs, tag};

/// The version number of SMPP 3.4 in a bind.
pub const INTERFACE_VERSION: u8 = 0x34;

/// Maximum octets of C-strings, NUL included (section 4.1.1, 4.4.1).
pub(super) mod max {
    pub const SYSTEM_ID: usize = 16;
    pub const PASSWORD: usize = 9;
    pub const SYSTEM_TYPE: usize = 13;
    pub const ADDRESS_RANGE: usize = 41;
    pub const SERVICE_TYPE: usize = 6;
    pub const ADDRESS: usize = 21;
    pub const TIME: usize = 17;
    pub const MESSAGE_ID: usize = 65;
}

/// Bits of `esm_class` (section 5.2.12).
pub mod esm {
    /// Bits 2 to 5: the type of the message.
    pub const TYPE_MASK: u8 = 0x3C;
    /// Message type: the message centre's delivery receipt.
    pub const RECEIPT: u8 = 0x04;
    /// Message type: intermediate delivery notification.
    pub const INTERMEDIATE: u8 = 0x20;
    /// The text starts with a user data header.
    pub const UDHI: u8 = 0x40;
}

/// The body of one PDU; requests and responses without a body carry nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// Any of the three binds.
    BindRequest(BindRequest<'a>),
    /// The answer to any of the three binds.
    BindResponse(BindResponse<'a>),
    /// A message to a handset.
    SubmitSm(SubmitSm<'a>),
    /// The message centre's answer to it.
    SubmitSmResp(SubmitSmResp<'a>),
    /// A receipt, or a message from a handset.
    DeliverSm(DeliverSm<'a>),
    /// The answer to it; its `message_id` is unused (section 4.6.2).
    DeliverSmResp,
    /// "Are you there?"
    EnquireLink,
    /// "Yes."
    EnquireLinkResp,
    /// Wish to end the session.
    Unbind,
    /// Consent to it.
    UnbindResp,
    /// Some PDU was not understood; the sequence says which, 0 when that was not readable.
    GenericNack,
    /// A PDU this project does not speak: a request is answered with `generic_nack` and `ESME_RINVCMDID`.
    Unknown,
}

/// What a session may do once bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BindKind {
    /// Receives only.
    Receiver,
    /// Sends only.
    Transmitter,
    /// Both.
    #[default]
    Transceiver,
}

impl BindKind {
    /// The request's command.
    pub const fn command(self) -> CommandId {
        match self {
            BindKind::Receiver => CommandId::BIND_RECEIVER,
            BindKind::Transmitter => CommandId::BIND_TRANSMITTER,
            BindKind::Transceiver => CommandId::BIND_TRANSCEIVER,
        }
    }

    /// The session's state after the bind succeeded.
    pub const fn state(self) -> BindState {
        match self {
            BindKind::Receiver => BindState::BoundReceiver,
            BindKind::Transmitter => BindState::BoundTransmitter,
            BindKind::Transceiver => BindState::BoundTransceiver,
        }
    }
}

/// `bind_receiver`, `bind_transmitter`, `bind_transceiver` (section 4.1). Strings come without their NUL.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BindRequest<'a> {
    /// Which of the three.
    pub kind: BindKind,
    /// Who binds, at most 15 octets.
    pub system_id: &'a [u8],
    /// At most 8 octets.
    pub password: &'a [u8],
    /// At most 12 octets.
    pub system_type: &'a [u8],
    /// 0x34 for SMPP 3.4; 0x33 and below know no TLVs.
    pub interface_version: u8,
    /// Type of number of the address range.
    pub addr_ton: u8,
    /// Numbering plan of the address range.
    pub addr_npi: u8,
    /// The addresses served, at most 40 octets; usually empty.
    pub address_range: &'a [u8],
}

impl Default for BindRequest<'_> {
    fn default() -> Self {
        BindRequest {
            kind: BindKind::Transceiver,
            system_id: b"",
            password: b"",
            system_type: b"",
            interface_version: INTERFACE_VERSION,
            addr_ton: 0,
            addr_npi: 0,
            address_range: b"",
        }
    }
}

impl fmt::Debug for BindRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BindRequest")
            .field("kind", &self.kind)
            .field("system_id", &String::from_utf8_lossy(self.system_id))
            .field("interface_version", &self.interface_version)
            .finish_non_exhaustive()
    }
}

/// The answer to a bind (section 4.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindResponse<'a> {
    /// Which bind is answered.
    pub kind: BindKind,
    /// Who answers; empty when the body is absent, as in refusals.
    pub system_id: &'a [u8],
    /// Usually `sc_interface_version` alone.
    pub tlvs: Tlvs<'a>,
}

/// `submit_sm` and `deliver_sm`, which have the same fields (section 4.4.1, 4.6.1). Strings come without their NUL.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct ShortMessage<'a> {
    /// At most 5 octets; usually empty.
    pub service_type: &'a [u8],
    /// Type of number of the source.
    pub source_ton: u8,
    /// Numbering plan of the source.
    pub source_npi: u8,
    /// At most 20 octets.
    pub source: &'a [u8],
    /// Type of number of the destination.
    pub dest_ton: u8,
    /// Numbering plan of the destination.
    pub dest_npi: u8,
    /// At most 20 octets.
    pub dest: &'a [u8],
    /// See [`esm`].
    pub esm_class: u8,
    /// GSM protocol id.
    pub protocol_id: u8,
    /// 0 to 3.
    pub priority: u8,
    /// Delivery time, empty or 16 octets.
    pub schedule: &'a [u8],
    /// Expiry, empty or 16 octets.
    pub validity: &'a [u8],
    /// 1 asks for a receipt of the final state.
    pub registered_delivery: u8,
    /// `replace_if_present_flag`.
    pub replace: u8,
    /// See [`super::DataCoding`].
    pub data_coding: u8,
    /// A message stored in the message centre; 0 for none.
    pub sm_default_msg_id: u8,
    /// The text, at most 254 octets; empty when `message_payload` carries it.
    pub short_message: &'a [u8],
    /// Optional parameters.
    pub tlvs: Tlvs<'a>,
}

/// A message to a handset.
pub type SubmitSm<'a> = ShortMessage<'a>;
/// A receipt, or a message from a handset.
pub type DeliverSm<'a> = ShortMessage<'a>;

impl<'a> ShortMessage<'a> {
    /// The text with its user data header if any: `short_message`, or `message_payload` when that is empty.
    pub fn payload(&self) -> &'a [u8] {
        if !self.short_message.is_empty() {
            return self.short_message;
        }
        self.tlvs.get(tag::MESSAGE_PAYLOAD).unwrap_or_default()
    }

    /// Whether the text starts with a user data header.
    pub fn has_udh(&self) -> bool {
        self.esm_class & esm::UDHI != 0
    }

    /// Whether `esm_class` says that this is a receipt, final or intermediate.
    pub fn is_receipt(&self) -> bool {
        matches!(self.esm_class & esm::TYPE_MASK, esm::RECEIPT | esm::INTERMEDIATE)
    }
}

/// No numbers and no text: they belong to people.
impl fmt::Debug for ShortMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShortMessage")
            .field("esm_class", &self.esm_class)
            .field("registered_delivery", &self.registered_delivery)
            .field("data_coding", &self.data_coding)
            .field("text_octets", &self.short_message.len())
            .field("tlvs", &self.tlvs)
            .finish_non_exhaustive()
    }
}

/// The message centre's answer to `submit_sm` (section 4.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubmitSmResp<'a> {
    /// The message centre's id, at most 64 octets; empty when the body is absent, as in refusals.
    pub message_id: &'a [u8],
}

/// Reads the body that belongs to `id`.
pub(super) fn parse(id: CommandId, body: &[u8]) -> Result<Body<'_>, DecodeErrorKind> {
    let mut fields = Fields { rest: body };
    Ok(match id {
        CommandId::SUBMIT_SM => Body::SubmitSm(fields.short_message()?),
        CommandId::SUBMIT_SM_RESP => Body::SubmitSmResp(fields.submit_resp()?),
        CommandId::DELIVER_SM => Body::DeliverSm(fields.short_message()?),
        CommandId::DELIVER_SM_RESP => Body::DeliverSmResp,
        CommandId::ENQUIRE_LINK => Body::EnquireLink,
        CommandId::ENQUIRE_LINK_RESP => Body::EnquireLinkResp,
        CommandId::UNBIND => Body::Unbind,
        CommandId::UNBIND_RESP => Body::UnbindResp,
        CommandId::GENERIC_NACK => Body::GenericNack,
        CommandId::BIND_RECEIVER => Body::BindRequest(fields.bind(BindKind::Receiver)?),
        CommandId::BIND_TRANSMITTER => Body::BindRequest(fields.bind(BindKind::Transmitter)?),
        CommandId::BIND_TRANSCEIVER => Body::BindRequest(fields.bind(BindKind::Transceiver)?),
        CommandId::BIND_RECEIVER_RESP => Body::BindResponse(fields.bind_resp(BindKind::Receiver)?),
        CommandId::BIND_TRANSMITTER_RESP => Body::BindResponse(fields.bind_resp(BindKind::Transmitter)?),
        CommandId::BIND_TRANSCEIVER_RESP => Body::BindResponse(fields.bind_resp(BindKind::Transceiver)?),
        _ => Body::Unknown,
    })
}

/// Takes fields off the front of a body.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn bind(&mut self, kind: BindKind) -> Result<BindRequest<'a>, DecodeErrorKind> {
        Ok(BindRequest {
            kind,
            system_id: self.string("system_id", max::SYSTEM_ID)?,
            password: self.string("password", max::PASSWORD)?,
            system_type: self.string("system_type", max::SYSTEM_TYPE)?,
            interface_version: self.octet("interface_version")?,
            addr_ton: self.octet("addr_ton")?,
            addr_npi: self.octet("addr_npi")?,
            address_range: self.string("address_range", max::ADDRESS_RANGE)?,
        })
    }

    fn bind_resp(&mut self, kind: BindKind) -> Result<BindResponse<'a>, DecodeErrorKind> {
        if self.rest.is_empty() {
            return Ok(BindResponse { kind, system_id: b"", tlvs: Tlvs::default() });
        }
        Ok(BindResponse { kind, system_id: self.string("system_id", max::SYSTEM_ID)?, tlvs: self.tlvs()? })
    }

    fn submit_resp(&mut self) -> Result<SubmitSmResp<'a>, DecodeErrorKind> {
        if self.rest.is_empty() {
            return Ok(SubmitSmResp::default());
        }
        Ok(SubmitSmResp { message_id: self.string("message_id", max::MESSAGE_ID)? })
    }

    fn short_message(&mut self) -> Result<ShortMessage<'a>, DecodeErrorKind> {
        let service_type = self.string("service_type", max::SERVICE_TYPE)?;
        let [source_ton, source_npi] = self.octets("source_addr_ton")?;
        let source = self.string("source_addr", max::ADDRESS)?;
        let [dest_ton, dest_npi] = self.octets("dest_addr_ton")?;
        let dest = self.string("destination_addr", max::ADDRESS)?;
        let [esm_class, protocol_id, priority] = self.octets("esm_class")?;
        let schedule = self.string("schedule_delivery_time", max::TIME)?;
        let validity = self.string("validity_period", max::TIME)?;
        let [registered_delivery, replace, data_coding, sm_default_msg_id, length] =
            self.octets("registered_delivery")?;
        Ok(ShortMessage {
            service_type,
            source_ton,
            source_npi,
            source,
            dest_ton,
            dest_npi,
            dest,
            esm_class,
            protocol_id,
            priority,
            schedule,
            validity,
            registered_delivery,
            replace,
            data_coding,
            sm_default_msg_id,
            short_message: self.text(length)?,
            tlvs: self.tlvs()?,
        })
    }

    fn text(&mut self, length: u8) -> Result<&'a [u8], DecodeErrorKind> {
        if usize::from(length) > SHORT_MESSAGE_MAX {
            return Err(DecodeErrorKind::ShortMessageLength(length));
        }
        let (text, rest) =
            self.rest.split_at_checked(usize::from(length)).ok_or(DecodeErrorKind::ShortMessageLength(length))?;
        self.rest = rest;
        Ok(text)
    }

    fn octet(&mut self, field: &'static str) -> Result<u8, DecodeErrorKind> {
        self.octets(field).map(|[octet]| octet)
    }

    fn octets<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeErrorKind> {
        let (octets, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeErrorKind::Truncated(field))?;
        self.rest = rest;
        Ok(*octets)
    }

    /// A C-string of at most `max` octets, NUL included.
    fn string(&mut self, field: &'static str, max: usize) -> Result<&'a [u8], DecodeErrorKind> {
        let window = self.rest.get(..max).unwrap_or(self.rest);
        let Some(end) = window.iter().position(|octet| *octet == 0) else {
            let is_cut = self.rest.len() < max;
            return Err(if is_cut { DecodeErrorKind::Truncated(field) } else { DecodeErrorKind::Unterminated(field) });
        };
        let (string, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        Ok(string)
    }

    fn tlvs(&mut self) -> Result<Tlvs<'a>, DecodeErrorKind> {
        Tlvs::check(std::mem::take(&mut self.rest)).map_err(DecodeErrorKind::Tlv)
    }
}
