//! `deliver_sm` to receipts; the dialects are the codec's business, the numbers are ours.

use bongsu_domain::phone::PhoneNumber;
use bongsu_domain::time::Timestamp;
use bongsu_wire::smpp::{DeliverSm, parse_receipt, tag, without_text};

use crate::{Ack, RelayConfig, RelayReceipt};

/// The longest id of a message in octets (SMPP 3.4, 5.2.23: 65 with its NUL). A longer one is none that we were given.
const ID_MAX: usize = 64;
/// The longest receipt text that is kept.
const RAW_MAX: usize = 512;

/// The receipt in a `deliver_sm`; none when it is a message from a handset, or a receipt that names no message.
pub(super) fn read(config: &RelayConfig, pdu: &DeliverSm<'_>, at: Timestamp, ack: Ack) -> Result<RelayReceipt, Ack> {
    let Some(receipt) = parse_receipt(pdu.esm_class, pdu.payload(), pdu.tlvs).filter(|it| it.id.len() <= ID_MAX) else {
        return Err(ack);
    };
    let mut raw = without_text(pdu.payload()).to_vec();
    raw.truncate(RAW_MAX);
    Ok(RelayReceipt {
        relay: config.no,
        relay_id: config.id_rule.receipt(&receipt.id),
        state: receipt.state,
        err: receipt.err,
        // A receipt travels backwards: its source is the handset (SMPP 3.4, appendix B).
        to: national(pdu.source),
        from: national(pdu.dest),
        reference: pdu.tlvs.get_u16(tag::USER_MESSAGE_REFERENCE),
        raw,
        at,
        ack,
    })
}

/// National digits of an address; what is no telephone number stays as it is.
fn national(address: &[u8]) -> String {
    let address = String::from_utf8_lossy(address);
    PhoneNumber::from_address(&address).map_or_else(|| address.into_owned(), |number| number.national().to_owned())
}

#[cfg(test)]
mod tests {
    use bongsu_wire::smpp::{IdRule, MessageState, TlvBuf, esm};

    use super::*;

    fn read_one(rule: IdRule, text: &[u8], tlvs: &TlvBuf) -> Option<RelayReceipt> {
        let config = RelayConfig { id_rule: rule, ..RelayConfig::new(5, "one", "localhost:1") };
        let pdu = DeliverSm {
            esm_class: esm::RECEIPT,
            source: b"821012345678",
            dest: b"15881588",
            short_message: text,
            tlvs: tlvs.as_tlvs(),
            ..DeliverSm::default()
        };
        read(&config, &pdu, Timestamp(7), Ack::none()).ok()
    }

    #[test]
    fn dialects_give_one_form() {
        let hex = IdRule { response_hex: true, receipt_hex: false };
        let mut tlvs = TlvBuf::new();
        tlvs.push_cstr(tag::RECEIPTED_MESSAGE_ID, b"42");
        tlvs.push_u8(tag::MESSAGE_STATE, 5);
        tlvs.push_u16(tag::USER_MESSAGE_REFERENCE, 0xBEEF);
        let none = TlvBuf::new();
        let texts: [(&[u8], &TlvBuf); 4] = [
            (
                b"id:42 sub:001 dlvrd:000 submit date:2603010900 done date:2603010901 stat:UNDELIV err:027 text:abc",
                &none,
            ),
            (b"STAT:undeliv ID:0042 ERR:027", &none),
            (b"id:42 stat:UNDELIV err:027 text:stat:DELIVRD", &none),
            (b"err:027", &tlvs),
        ];
        for (text, tlvs) in texts {
            let receipt = read_one(hex, text, tlvs).expect("is a receipt");
            assert_eq!(receipt.relay_id, hex.response("2A"), "{}", String::from_utf8_lossy(text));
            assert_eq!((receipt.state, receipt.err.as_deref()), (MessageState::Undeliverable, Some("027")));
            assert_eq!((receipt.to.as_str(), receipt.from.as_str()), ("01012345678", "15881588"));
            assert!(!String::from_utf8_lossy(&receipt.raw).contains("text:"));
        }
        assert_eq!(read_one(hex, b"", &tlvs).unwrap().reference, Some(0xBEEF));
    }

    #[test]
    fn a_receipt_without_an_id_is_none() {
        assert!(read_one(IdRule::default(), b"stat:DELIVRD", &TlvBuf::new()).is_none());
        let with_id = |length: usize| format!("id:{} stat:DELIVRD", "a".repeat(length));
        assert!(read_one(IdRule::default(), with_id(64).as_bytes(), &TlvBuf::new()).is_some());
        assert!(read_one(IdRule::default(), with_id(65).as_bytes(), &TlvBuf::new()).is_none(), "too long for an id");
    }
}
