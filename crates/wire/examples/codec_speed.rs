//! Prints how long the four frequent PDUs take to read and to write: `cargo run --release --example codec_speed`.

use std::hint::black_box;
use std::time::Instant;

use bongsu_wire::smpp::*;

const ROUNDS: u32 = 1_000_000;
const REPEATS: usize = 7;

fn main() {
    let mut tlvs = TlvBuf::new();
    tlvs.push_u16(tag::USER_MESSAGE_REFERENCE, 0xBEEF);
    let text = encode_text("[봉수] 인증번호는 493027 입니다. 다른 사람에게 알려주지 마세요.", DataCoding::Ksc5601)
        .expect("the text is in KS C 5601");
    let submit = SubmitSm {
        source: b"15881234",
        dest: b"821012345678",
        registered_delivery: 1,
        data_coding: DataCoding::Ksc5601.as_u8(),
        short_message: &text,
        tlvs: tlvs.as_tlvs(),
        ..SubmitSm::default()
    };
    let mut receipt_tlvs = TlvBuf::new();
    receipt_tlvs.push_cstr(tag::RECEIPTED_MESSAGE_ID, b"1234567890");
    receipt_tlvs.push_u8(tag::MESSAGE_STATE, 2);
    let deliver = DeliverSm {
        source: b"821012345678",
        dest: b"15881234",
        esm_class: esm::RECEIPT,
        short_message:
            b"id:1234567890 sub:001 dlvrd:001 submit date:2611210901 done date:2611210901 stat:DELIVRD err:000 text:",
        tlvs: receipt_tlvs.as_tlvs(),
        ..DeliverSm::default()
    };
    report("submit_sm", |out| encode_submit(black_box(&submit), 1, out).expect("it fits"));
    report("submit_sm_resp", |out| encode_submit_resp(0, 1, black_box(b"1234567890"), out).expect("it fits"));
    report("deliver_sm", |out| encode_deliver(black_box(&deliver), 1, out).expect("it fits"));
    report("deliver_sm_resp", |out| encode_deliver_resp(0, black_box(1), out));
    let parsed = best(|| drop(black_box(parse_receipt(deliver.esm_class, black_box(deliver.payload()), deliver.tlvs))));
    println!("{:<16} {parsed:6.1} ns", "parse_receipt");
}

fn report(name: &str, encode: impl Fn(&mut Vec<u8>)) {
    let mut wire = Vec::new();
    encode(&mut wire);
    let mut out = Vec::with_capacity(4096);
    let encoding = best(|| {
        out.clear();
        encode(&mut out);
        black_box(&out);
    });
    let decoding = best(|| {
        let (frame, _) = decode(black_box(&wire), FRAME_MAX).expect("it is whole").expect("it is whole");
        black_box(frame.parse().expect("it was just written"));
    });
    println!(
        "{name:<16} {:4} octets  encode {encoding:6.1} ns  decode {decoding:6.1} ns  both {:6.1} ns",
        wire.len(),
        encoding + decoding
    );
}

/// Nanoseconds per call in the best of some repeats, because other programs only ever add time.
fn best(mut call: impl FnMut()) -> f64 {
    let nanoseconds = (0..REPEATS).map(|_| {
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| call());
        start.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
    });
    nanoseconds.fold(f64::INFINITY, f64::min)
}
