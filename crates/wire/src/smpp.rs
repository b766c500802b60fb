//! SMPP 3.4: PDUs, receipts, texts and session rules, all as plain functions over bytes.
//!
//! Section numbers in this module are those of "Short Message Peer to Peer Protocol Specification v3.4", issue 1.2.
//! Follow one PDU: [`decode`] cuts a [`Frame`] out of a read buffer without copying, [`Frame::parse`] gives its typed
//! [`Body`], which borrows from the same buffer; the `encode_*` functions append one PDU to a write buffer.

mod body;
mod coding;
mod command;
mod date;
mod encode;
mod frame;
mod gsm7;
mod id;
mod join;
mod receipt;
mod session;
mod split;
pub mod status;
mod tlv;

pub use body::{
    BindKind, BindRequest, BindResponse, Body, DeliverSm, INTERFACE_VERSION, ShortMessage, SubmitSm, SubmitSmResp, esm,
};
pub use coding::{DataCoding, decode as decode_text, encode as encode_text};
pub use command::CommandId;
pub use encode::{
    EncodeError, SHORT_MESSAGE_MAX, encode_bind, encode_bind_resp, encode_deliver, encode_deliver_resp,
    encode_header_only, encode_submit, encode_submit_resp,
};
pub use frame::{DecodeError, DecodeErrorKind, FRAME_MAX, Frame, HEADER_LEN, SEQUENCE_MAX, decode};
pub use id::{IdRule, IdStyle, normalise_id};
pub use join::{Joined, Joiner};
pub use receipt::{DateDigits, MessageState, Receipt, format_receipt, parse_receipt, without_text};
pub use session::{BindState, Peer, Sequence, allowed};
pub use split::{PARTS_MAX, part_count, split_sar, split_udh};
pub use status::status_name;
pub use tlv::{TlvBuf, Tlvs, tag};
