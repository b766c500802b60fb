//! The numbers that name PDUs (SMPP 3.4 section 5.1.2.1).

use std::fmt;

/// The `command_id` of a PDU, also of one this codec does not know.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(pub u32);

/// Bit 31 tells a response from its request.
const RESPONSE: u32 = 0x8000_0000;

impl CommandId {
    /// `generic_nack`
    pub const GENERIC_NACK: CommandId = CommandId(0x8000_0000);
    /// `bind_receiver`
    pub const BIND_RECEIVER: CommandId = CommandId(0x0000_0001);
    /// `bind_receiver_resp`
    pub const BIND_RECEIVER_RESP: CommandId = CommandId(0x8000_0001);
    /// `bind_transmitter`
    pub const BIND_TRANSMITTER: CommandId = CommandId(0x0000_0002);
    /// `bind_transmitter_resp`
    pub const BIND_TRANSMITTER_RESP: CommandId = CommandId(0x8000_0002);
    /// `query_sm`
    pub const QUERY_SM: CommandId = CommandId(0x0000_0003);
    /// `query_sm_resp`
    pub const QUERY_SM_RESP: CommandId = CommandId(0x8000_0003);
    /// `submit_sm`
    pub const SUBMIT_SM: CommandId = CommandId(0x0000_0004);
    /// `submit_sm_resp`
    pub const SUBMIT_SM_RESP: CommandId = CommandId(0x8000_0004);
    /// `deliver_sm`
    pub const DELIVER_SM: CommandId = CommandId(0x0000_0005);
    /// `deliver_sm_resp`
    pub const DELIVER_SM_RESP: CommandId = CommandId(0x8000_0005);
    /// `unbind`
    pub const UNBIND: CommandId = CommandId(0x0000_0006);
    /// `unbind_resp`
    pub const UNBIND_RESP: CommandId = CommandId(0x8000_0006);
    /// `replace_sm`
    pub const REPLACE_SM: CommandId = CommandId(0x0000_0007);
    /// `replace_sm_resp`
    pub const REPLACE_SM_RESP: CommandId = CommandId(0x8000_0007);
    /// `cancel_sm`
    pub const CANCEL_SM: CommandId = CommandId(0x0000_0008);
    /// `cancel_sm_resp`
    pub const CANCEL_SM_RESP: CommandId = CommandId(0x8000_0008);
    /// `bind_transceiver`
    pub const BIND_TRANSCEIVER: CommandId = CommandId(0x0000_0009);
    /// `bind_transceiver_resp`
    pub const BIND_TRANSCEIVER_RESP: CommandId = CommandId(0x8000_0009);
    /// `outbind`
    pub const OUTBIND: CommandId = CommandId(0x0000_000B);
    /// `enquire_link`
    pub const ENQUIRE_LINK: CommandId = CommandId(0x0000_0015);
    /// `enquire_link_resp`
    pub const ENQUIRE_LINK_RESP: CommandId = CommandId(0x8000_0015);
    /// `submit_multi`
    pub const SUBMIT_MULTI: CommandId = CommandId(0x0000_0021);
    /// `submit_multi_resp`
    pub const SUBMIT_MULTI_RESP: CommandId = CommandId(0x8000_0021);
    /// `alert_notification`
    pub const ALERT_NOTIFICATION: CommandId = CommandId(0x0000_0102);
    /// `data_sm`
    pub const DATA_SM: CommandId = CommandId(0x0000_0103);
    /// `data_sm_resp`
    pub const DATA_SM_RESP: CommandId = CommandId(0x8000_0103);

    /// The name in the specification, or `unknown`.
    pub const fn name(self) -> &'static str {
        match self {
            CommandId::GENERIC_NACK => "generic_nack",
            CommandId::BIND_RECEIVER => "bind_receiver",
            CommandId::BIND_RECEIVER_RESP => "bind_receiver_resp",
            CommandId::BIND_TRANSMITTER => "bind_transmitter",
            CommandId::BIND_TRANSMITTER_RESP => "bind_transmitter_resp",
            CommandId::QUERY_SM => "query_sm",
            CommandId::QUERY_SM_RESP => "query_sm_resp",
            CommandId::SUBMIT_SM => "submit_sm",
            CommandId::SUBMIT_SM_RESP => "submit_sm_resp",
            CommandId::DELIVER_SM => "deliver_sm",
            CommandId::DELIVER_SM_RESP => "deliver_sm_resp",
            CommandId::UNBIND => "unbind",
            CommandId::UNBIND_RESP => "unbind_resp",
            CommandId::REPLACE_SM => "replace_sm",
            CommandId::REPLACE_SM_RESP => "replace_sm_resp",
            CommandId::CANCEL_SM => "cancel_sm",
            CommandId::CANCEL_SM_RESP => "cancel_sm_resp",
            CommandId::BIND_TRANSCEIVER => "bind_transceiver",
            CommandId::BIND_TRANSCEIVER_RESP => "bind_transceiver_resp",
            CommandId::OUTBIND => "outbind",
            CommandId::ENQUIRE_LINK => "enquire_link",
            CommandId::ENQUIRE_LINK_RESP => "enquire_link_resp",
            CommandId::SUBMIT_MULTI => "submit_multi",
            CommandId::SUBMIT_MULTI_RESP => "submit_multi_resp",
            CommandId::ALERT_NOTIFICATION => "alert_notification",
            CommandId::DATA_SM => "data_sm",
            CommandId::DATA_SM_RESP => "data_sm_resp",
            _ => "unknown",
        }
    }

    /// Whether bit 31 is set; `generic_nack` counts as a response.
    pub const fn is_response(self) -> bool {
        self.0 & RESPONSE != 0
    }

    /// The response that answers this request; a response stays itself.
    pub const fn response(self) -> CommandId {
        CommandId(self.0 | RESPONSE)
    }

    /// The request this response answers; a request stays itself.
    pub const fn request(self) -> CommandId {
        CommandId(self.0 & !RESPONSE)
    }
}

impl fmt::Debug for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(0x{:08x})", self.name(), self.0)
    }
}
