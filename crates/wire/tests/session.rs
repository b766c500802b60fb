//! What may be sent in which state, and how requests are numbered.

use bongsu_wire::smpp::*;

use BindState::{BoundReceiver, BoundTransceiver, BoundTransmitter, Closed, Open};
use Peer::{Esme, Smsc};

/// SMPP 3.4 section 2.3, table 2-1, as far as this project speaks it.
#[test]
fn each_pdu_has_its_states() {
    let cases: [(CommandId, Peer, &[BindState]); 14] = [
        (CommandId::BIND_TRANSCEIVER, Esme, &[Open]),
        (CommandId::BIND_TRANSCEIVER, Smsc, &[]),
        (CommandId::BIND_TRANSCEIVER_RESP, Smsc, &[Open]),
        (CommandId::OUTBIND, Smsc, &[Open]),
        (CommandId::SUBMIT_SM, Esme, &[BoundTransmitter, BoundTransceiver]),
        (CommandId::SUBMIT_SM, Smsc, &[]),
        (CommandId::SUBMIT_SM_RESP, Smsc, &[BoundTransmitter, BoundTransceiver]),
        (CommandId::DELIVER_SM, Smsc, &[BoundReceiver, BoundTransceiver]),
        (CommandId::DELIVER_SM, Esme, &[]),
        (CommandId::DELIVER_SM_RESP, Esme, &[BoundReceiver, BoundTransceiver]),
        (CommandId::UNBIND, Esme, &[BoundTransmitter, BoundReceiver, BoundTransceiver]),
        (CommandId::ENQUIRE_LINK, Smsc, &[Open, BoundTransmitter, BoundReceiver, BoundTransceiver]),
        (CommandId::GENERIC_NACK, Esme, &[Open, BoundTransmitter, BoundReceiver, BoundTransceiver]),
        (CommandId(0x77), Esme, &[]),
    ];
    for (id, from, states) in cases {
        for state in [Open, BoundTransmitter, BoundReceiver, BoundTransceiver, Closed] {
            assert_eq!(allowed(state, from, id), states.contains(&state), "{id:?} from {from:?} in {state:?}");
        }
    }
    for kind in [BindKind::Receiver, BindKind::Transmitter, BindKind::Transceiver] {
        assert!(kind.state().is_bound());
        assert!(allowed(Open, Esme, kind.command()));
    }
}

#[test]
fn sequences_start_at_one_and_wrap() {
    let mut sequence = Sequence::new();
    assert_eq!([sequence.next(), sequence.next(), sequence.next()], [1, 2, 3]);
    let mut wrapping = Sequence::after(SEQUENCE_MAX - 1);
    assert_eq!([wrapping.next(), wrapping.next(), wrapping.next()], [SEQUENCE_MAX, 1, 2]);
}
