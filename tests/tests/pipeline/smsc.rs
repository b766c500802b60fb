//! A message centre in a few lines, for what the simulator is too well-behaved for.

use std::sync::{Arc, Mutex};

use bongsu_wire::smpp::{
    self, BindKind, Body, CommandId, FRAME_MAX, MessageState, SubmitSm, TlvBuf, decode, esm, status, tag,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

type Behaviour = Arc<Mutex<dyn FnMut(u32, &SubmitSm<'_>) -> Vec<Vec<u8>> + Send>>;

/// A message centre that lets everybody in and answers submits as it is told. It ends when it is dropped.
pub struct Smsc {
    /// Where it listens.
    pub address: String,
    task: JoinHandle<()>,
}

impl Smsc {
    /// Listens; `behaviour` gets sequence number and submit, and gives the PDUs that are written.
    pub async fn start(behaviour: impl FnMut(u32, &SubmitSm<'_>) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let behaviour: Behaviour = Arc::new(Mutex::new(behaviour));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, behaviour.clone()));
            }
        });
        Self { address, task }
    }
}

impl Drop for Smsc {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, behaviour: Behaviour) {
    let mut input = Vec::new();
    loop {
        let mut out = Vec::new();
        let used = answer(&input, &behaviour, &mut out);
        input.drain(..used);
        if stream.write_all(&out).await.is_err() || !matches!(stream.read_buf(&mut input).await, Ok(1..)) {
            return;
        }
    }
}

/// Answers every whole PDU and tells how many bytes they were.
fn answer(input: &[u8], behaviour: &Behaviour, out: &mut Vec<u8>) -> usize {
    let mut used = 0;
    while let Ok(Some((frame, length))) = decode(&input[used..], FRAME_MAX) {
        used += length;
        match frame.parse() {
            Ok(Body::SubmitSm(submit)) => {
                let pdus = (behaviour.lock().expect("no panic under the lock"))(frame.sequence, &submit);
                out.extend(pdus.into_iter().flatten());
            }
            _ => respond(frame.id, frame.sequence, out),
        }
    }
    used
}

/// What every message centre answers.
pub fn respond(id: CommandId, sequence: u32, out: &mut Vec<u8>) {
    match id {
        CommandId::BIND_TRANSCEIVER => {
            let bound = smpp::encode_bind_resp(BindKind::Transceiver, status::ESME_ROK, sequence, b"smsc", out);
            bound.expect("a short name");
        }
        CommandId::ENQUIRE_LINK => smpp::encode_header_only(CommandId::ENQUIRE_LINK_RESP, 0, sequence, out),
        CommandId::UNBIND => smpp::encode_header_only(CommandId::UNBIND_RESP, 0, sequence, out),
        _ => {}
    }
}

/// How a handset was reached, or not.
pub type Fate = (MessageState, &'static str);

/// It was.
pub fn delivered() -> Fate {
    (MessageState::Delivered, "DELIVRD err:000")
}

/// It was not: there is no such subscriber.
pub fn undelivered() -> Fate {
    (MessageState::Undeliverable, "UNDELIV err:001")
}

/// The answer to a submit that is taken.
pub fn accepted(sequence: u32, id: &str) -> Vec<u8> {
    let mut out = Vec::new();
    smpp::encode_submit_resp(status::ESME_ROK, sequence, id.as_bytes(), &mut out).expect("a short id");
    out
}

/// A receipt for a submit, with its reference echoed.
pub fn receipt(submit: &SubmitSm<'_>, id: &str, fate: Fate, sequence: u32) -> Vec<u8> {
    let mut tlvs = TlvBuf::new();
    tlvs.push_cstr(tag::RECEIPTED_MESSAGE_ID, id.as_bytes());
    tlvs.push_u8(tag::MESSAGE_STATE, fate.0 as u8);
    if let Some(reference) = submit.tlvs.get_u16(tag::USER_MESSAGE_REFERENCE) {
        tlvs.push_u16(tag::USER_MESSAGE_REFERENCE, reference);
    }
    let text = format!("id:{id} sub:001 dlvrd:001 submit date:2611211200 done date:2611211200 stat:{} text:", fate.1);
    let deliver = SubmitSm {
        source: submit.dest,
        dest: submit.source,
        esm_class: esm::RECEIPT,
        short_message: text.as_bytes(),
        tlvs: tlvs.as_tlvs(),
        ..SubmitSm::default()
    };
    let mut out = Vec::new();
    smpp::encode_deliver(&deliver, sequence, &mut out).expect("a short text");
    out
}
