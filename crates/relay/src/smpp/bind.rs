//! The first exchange on a connection: `bind_transceiver` and its answer (SMPP 3.4, 2.2 and 4.1).

use std::io;

use bongsu_wire::smpp::{
    BindRequest, CommandId, DecodeError, EncodeError, FRAME_MAX, Frame, decode, encode_bind, encode_header_only,
    status, status_name,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::dial::{DialError, Stream};
use crate::RelayConfig;

/// The sequence number of the bind; those of the session follow.
pub(super) const BIND_SEQUENCE: u32 = 1;

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(super) enum BindError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("the relay closed the connection")]
    Closed,
    #[error("the relay refused the bind: {} (0x{:08x})", status_name(*.0), .0)]
    Refused(u32),
    #[error("the relay does not speak SMPP")]
    Garbled(#[from] DecodeError),
    #[error("the credentials do not fit a bind")]
    Credentials(#[from] EncodeError),
    #[error("no bind within the session init timer")]
    Late,
}

/// Binds; what was read beyond the answer is left in `inbuf`.
pub(super) async fn bind(
    stream: &mut Box<dyn Stream>,
    config: &RelayConfig,
    inbuf: &mut Vec<u8>,
) -> Result<(), BindError> {
    let request = BindRequest {
        system_id: config.system_id.as_bytes(),
        password: config.password.expose().as_bytes(),
        ..BindRequest::default()
    };
    let mut out = Vec::with_capacity(64);
    encode_bind(&request, BIND_SEQUENCE, &mut out)?;
    loop {
        stream.write_all(&out).await?;
        stream.flush().await?;
        out.clear();
        if stream.read_buf(inbuf).await? == 0 {
            return Err(BindError::Closed);
        }
        let mut consumed = 0;
        let mut answer = None;
        while let (None, Some((frame, octets))) = (&answer, decode(&inbuf[consumed..], FRAME_MAX)?) {
            consumed += octets;
            answer = read(&frame, &mut out);
        }
        inbuf.drain(..consumed);
        if let Some(answer) = answer {
            return answer;
        }
    }
}

/// The result of the bind if `frame` is its answer.
fn read(frame: &Frame<'_>, out: &mut Vec<u8>) -> Option<Result<(), BindError>> {
    match frame.id {
        CommandId::BIND_TRANSCEIVER_RESP if frame.status == status::ESME_ROK => Some(Ok(())),
        CommandId::BIND_TRANSCEIVER_RESP | CommandId::GENERIC_NACK => Some(Err(BindError::Refused(frame.status))),
        CommandId::ENQUIRE_LINK => {
            encode_header_only(CommandId::ENQUIRE_LINK_RESP, status::ESME_ROK, frame.sequence, out);
            None
        }
        _ => None,
    }
}
