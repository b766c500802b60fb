//! Delivery receipts: compact while they wait, `deliver_sm` when they go out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bongsu_domain::time::Timestamp;
use bongsu_wire::smpp::{self, DateDigits, DeliverSm, MessageState, TlvBuf, esm, tag};
use tokio::sync::Notify;

use crate::address::{Address, Names};
use crate::script::{Radix, ReceiptForm, RelayScript};

/// Octets of the message that a receipt's text repeats (SMPP 3.4 appendix B).
pub(crate) const TEXT_MAX: usize = 20;
/// GSM, in `network_error_code` (SMPP 3.4 section 5.3.2.31).
const NETWORK_GSM: u8 = 3;
/// Receipts that one relay keeps for clients that are slow or away before it takes no more submits.
pub(crate) const WAITING_MAX: usize = 2_000_000;
/// Most system ids that one relay knows.
const CLIENTS_MAX: usize = 1_000;

/// Type of number and numbering plan of both addresses, as submitted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plans {
    pub(crate) source_ton: u8,
    pub(crate) source_npi: u8,
    pub(crate) dest_ton: u8,
    pub(crate) dest_npi: u8,
}

/// A receipt that waits for its time, for its client or for its acknowledgement.
#[derive(Clone)]
pub(crate) struct Receipt {
    pub(crate) id: u64,
    pub(crate) to: Address,
    pub(crate) from: Address,
    pub(crate) plans: Plans,
    pub(crate) reference: Option<u16>,
    pub(crate) state: MessageState,
    pub(crate) error: u16,
    pub(crate) submitted: Timestamp,
    pub(crate) done: Timestamp,
    pub(crate) client: u32,
    pub(crate) text: [u8; TEXT_MAX],
    pub(crate) text_len: u8,
}

/// An id as the relay's dialect writes it in responses.
pub(crate) fn response_id(id: u64, script: &RelayScript) -> String {
    let width = usize::from(script.leading_zeros);
    match script.id_style {
        Radix::Decimal => format!("{id:0width$}"),
        Radix::Hex => format!("{id:0width$x}"),
    }
}

impl Receipt {
    /// Appends the `deliver_sm`.
    pub(crate) fn encode(&self, script: &RelayScript, names: &Names, sequence: u32, out: &mut Vec<u8>) {
        let id = match script.receipt_id_style {
            Radix::Decimal => self.id.to_string(),
            Radix::Hex => format!("{:x}", self.id),
        };
        let mut tlvs = TlvBuf::new();
        if script.receipt_form != ReceiptForm::Text {
            tlvs.push_cstr(tag::RECEIPTED_MESSAGE_ID, id.as_bytes());
            tlvs.push_u8(tag::MESSAGE_STATE, self.state as u8);
            let [high, low] = self.error.to_be_bytes();
            tlvs.push(tag::NETWORK_ERROR_CODE, &[NETWORK_GSM, high, low]);
        }
        if let Some(reference) = self.reference.filter(|_| script.echo_reference) {
            tlvs.push_u16(tag::USER_MESSAGE_REFERENCE, reference);
        }
        let text = match script.receipt_form {
            ReceiptForm::Tlv => Vec::new(),
            _ => self.text(id, script.receipt_dates),
        };
        let (source, dest) = (names.text(self.to), names.text(self.from));
        let deliver = DeliverSm {
            source_ton: self.plans.dest_ton,
            source_npi: self.plans.dest_npi,
            source: source.as_bytes(),
            dest_ton: self.plans.source_ton,
            dest_npi: self.plans.source_npi,
            dest: dest.as_bytes(),
            esm_class: esm::RECEIPT,
            short_message: &text,
            tlvs: tlvs.as_tlvs(),
            ..DeliverSm::default()
        };
        smpp::encode_deliver(&deliver, sequence, out).expect("addresses came from a PDU and the text is short");
    }

    fn text(&self, id: String, dates: u8) -> Vec<u8> {
        let receipt = smpp::Receipt {
            id,
            state: self.state,
            err: Some(format!("{:03}", self.error)),
            sub: Some(1),
            dlvrd: Some(u32::from(self.state == MessageState::Delivered)),
            submit_date: Some(self.submitted),
            done_date: Some(self.done),
            text: Some(self.text[..self.text_len.into()].to_vec()),
        };
        let digits = if dates == 12 { DateDigits::Twelve } else { DateDigits::Ten };
        smpp::format_receipt(&receipt, digits)
    }
}

/// Receipts by the millisecond in which they fall due.
#[derive(Default)]
pub(crate) struct Wheel {
    slots: BTreeMap<u64, Vec<Receipt>>,
    count: usize,
}

impl Wheel {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The earliest slot.
    pub(crate) fn next(&self) -> Option<u64> {
        self.slots.keys().next().copied()
    }

    pub(crate) fn push(&mut self, due_ms: u64, receipt: Receipt) {
        self.slots.entry(due_ms).or_default().push(receipt);
        self.count += 1;
    }

    /// The receipts of one slot that is due.
    pub(crate) fn pop(&mut self, now_ms: u64) -> Option<Vec<Receipt>> {
        let slot = self.slots.first_entry().filter(|slot| *slot.key() <= now_ms)?.remove();
        self.count -= slot.len();
        Some(slot)
    }
}

/// Everyone who bound with one system id.
struct Client {
    system_id: Box<[u8]>,
    ready: VecDeque<Receipt>,
    /// Sessions that may receive, and how to wake them.
    receivers: Vec<(u64, Arc<Notify>)>,
}

/// The clients of a relay and the receipts that are ready for them.
#[derive(Default)]
pub(crate) struct Clients {
    list: Vec<Client>,
    count: usize,
}

impl Clients {
    /// Receipts that are ready and not written.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The number of a system id; `None` when there are too many of them.
    pub(crate) fn index(&mut self, system_id: &[u8]) -> Option<u32> {
        if let Some(index) = self.list.iter().position(|client| &*client.system_id == system_id) {
            return u32::try_from(index).ok();
        }
        if self.list.len() == CLIENTS_MAX {
            return None;
        }
        self.list.push(Client { system_id: system_id.into(), ready: VecDeque::new(), receivers: Vec::new() });
        u32::try_from(self.list.len() - 1).ok()
    }

    pub(crate) fn join(&mut self, client: u32, session: u64, bell: Arc<Notify>) {
        bell.notify_one();
        self.list[client as usize].receivers.push((session, bell));
    }

    pub(crate) fn leave(&mut self, client: u32, session: u64) {
        self.list[client as usize].receivers.retain(|(number, _)| *number != session);
    }

    /// Puts receipts at the end of their clients' queues; [`ring`](Self::ring) wakes the sessions.
    pub(crate) fn ready(&mut self, receipts: Vec<Receipt>) {
        self.count += receipts.len();
        for receipt in receipts {
            self.list[receipt.client as usize].ready.push_back(receipt);
        }
    }

    /// Puts back what a session could not bring home, before all others.
    pub(crate) fn return_unacked(&mut self, client: u32, receipts: impl DoubleEndedIterator<Item = Receipt>) {
        for receipt in receipts.rev() {
            self.count += 1;
            self.list[client as usize].ready.push_front(receipt);
        }
        self.ring();
    }

    /// Wakes the sessions of every client with receipts.
    pub(crate) fn ring(&self) {
        for client in self.list.iter().filter(|client| !client.ready.is_empty()) {
            for (_, bell) in &client.receivers {
                bell.notify_one();
            }
        }
    }

    /// How many receipts one session of the client should take now, so that all of them get some.
    pub(crate) fn fair_share(&self, client: u32) -> usize {
        let client = &self.list[client as usize];
        client.ready.len().div_ceil(client.receivers.len().max(1))
    }

    pub(crate) fn take(&mut self, client: u32) -> Option<Receipt> {
        let receipt = self.list[client as usize].ready.pop_front()?;
        self.count -= 1;
        Some(receipt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(id: u64, names: &mut Names) -> Receipt {
        Receipt {
            id,
            to: names.pack(b"821011112222"),
            from: names.pack(b"0212345678"),
            plans: Plans::default(),
            reference: Some(77),
            state: MessageState::Undeliverable,
            error: 5,
            submitted: Timestamp::from_millis(1_700_000_000_000),
            done: Timestamp::from_millis(1_700_000_060_000),
            client: 0,
            text: *b"hello\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            text_len: 5,
        }
    }

    #[test]
    fn a_receipt_reads_back_in_every_dialect() {
        let mut names = Names::default();
        let receipt = receipt(0x1F, &mut names);
        for form in [ReceiptForm::Both, ReceiptForm::Tlv, ReceiptForm::Text] {
            for (radix, id) in [(Radix::Decimal, "31"), (Radix::Hex, "1f")] {
                let script = RelayScript { receipt_form: form, receipt_id_style: radix, ..RelayScript::default() };
                let mut out = Vec::new();
                receipt.encode(&script, &names, 3, &mut out);
                let (frame, _) = smpp::decode(&out, smpp::FRAME_MAX).unwrap().unwrap();
                let smpp::Body::DeliverSm(sm) = frame.parse().unwrap() else { panic!("{frame:?}") };
                let read = smpp::parse_receipt(sm.esm_class, sm.payload(), sm.tlvs).unwrap();
                assert_eq!((read.id.as_str(), read.state), (id, MessageState::Undeliverable));
                assert_eq!(sm.tlvs.get_u16(tag::USER_MESSAGE_REFERENCE), Some(77));
                assert_eq!((sm.source, sm.dest), (b"821011112222".as_slice(), b"0212345678".as_slice()));
            }
        }
    }

    #[test]
    fn slots_come_in_order_and_only_when_due() {
        let mut names = Names::default();
        let mut wheel = Wheel::default();
        for (due, id) in [(9, 1), (3, 2), (9, 3)] {
            wheel.push(due, receipt(id, &mut names));
        }
        assert_eq!((wheel.len(), wheel.next()), (3, Some(3)));
        assert!(wheel.pop(2).is_none());
        assert_eq!(wheel.pop(9).unwrap()[0].id, 2);
        let ids: Vec<u64> = wheel.pop(9).unwrap().iter().map(|receipt| receipt.id).collect();
        assert_eq!((ids, wheel.len()), (vec![1, 3], 0));
    }

    #[test]
    fn unacknowledged_receipts_go_first_again() {
        let mut names = Names::default();
        let mut clients = Clients::default();
        let client = clients.index(b"bongsu").unwrap();
        assert_eq!(clients.index(b"bongsu"), Some(client));
        clients.ready(vec![receipt(3, &mut names)]);
        clients.return_unacked(client, vec![receipt(1, &mut names), receipt(2, &mut names)].into_iter());
        let ids: Vec<u64> = std::iter::from_fn(|| clients.take(client)).map(|receipt| receipt.id).collect();
        assert_eq!((ids, clients.len()), (vec![1, 2, 3], 0));
    }
}
