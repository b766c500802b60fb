//! Delivery receipts: compact while they wait, `deliver_sm` when they go out.

use std::collections::BTreeMap;

use bongsu_domain::time::Timestamp;
use bongsu_wire::smpp::{self, DateDigits, DeliverSm, MessageState, TlvBuf, esm, tag};

use crate::address::{Address, Names};
use crate::script::{Radix, ReceiptForm, RelayScript};

/// Octets of the message that a receipt's text repeats (SMPP 3.4 appendix B).
pub(crate) const TEXT_MAX: usize = 20;
/// GSM, in `network_error_code` (SMPP 3.4 section 5.3.2.31).
const NETWORK_GSM: u8 = 3;
/// Receipts that one relay keeps for clients that are slow or away before it takes no more submits.
pub(crate) const WAITING_MAX: usize = 2_000_000;

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
    /// The session that submitted the message.
    pub(crate) session: u64,
    /// Goes to another session of the client if there is one.
    pub(crate) elsewhere: bool,
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

#[cfg(test)]
impl Receipt {
    /// Some receipt with this id, of session 1 of the first client.
    pub(crate) fn sample(id: u64) -> Self {
        let mut names = Names::default();
        Self {
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
            session: 1,
            elsewhere: false,
            text: *b"hello\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            text_len: 5,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_reads_back_in_every_dialect() {
        let names = Names::default();
        let receipt = Receipt::sample(0x1F);
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
        let mut wheel = Wheel::default();
        for (due, id) in [(9, 1), (3, 2), (9, 3)] {
            wheel.push(due, Receipt::sample(id));
        }
        assert_eq!((wheel.len(), wheel.next()), (3, Some(3)));
        assert!(wheel.pop(2).is_none());
        assert_eq!(wheel.pop(9).unwrap()[0].id, 2);
        let ids: Vec<u64> = wheel.pop(9).unwrap().iter().map(|receipt| receipt.id).collect();
        assert_eq!((ids, wheel.len()), (vec![1, 3], 0));
    }
}
