//! Requests as bytes, written by hand.

use std::io::Write as _;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::{Mode, Options};

/// Which text a message has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sample {
    /// A short Korean SMS.
    Short,
    /// An LMS of about 600 bytes, several parts on the wire.
    Long,
    /// One in ten is long.
    Mixed,
}

const SHORT: &str = "[봉수] 주문이 접수되었습니다. 번호 ";
const LONG: &str = "봉수대는 밤에는 횃불로, 낮에는 연기로 급한 소식을 나라 끝에서 서울까지 차례로 전하였습니다. ";
/// How often the long sentence stands in a long message: about 600 bytes in CP949.
const LONG_TIMES: usize = 6;

/// The first numbers of 010, which are for tests and refused to others.
const RESERVED: u64 = 10;
/// Handsets there are.
const HANDSETS: u64 = 100_000_000 - RESERVED;

/// The handset of an ordinal: every ordinal below [`HANDSETS`] has its own.
fn write_recipient(out: &mut Vec<u8>, ordinal: u64) {
    // A step that shares no factor with their count walks through all of them without neighbours following each other.
    let digits = RESERVED + ordinal.wrapping_mul(61_803_401) % HANDSETS;
    let _ = write!(out, "010{digits:08}");
}

fn is_long(sample: Sample, ordinal: u64) -> bool {
    match sample {
        Sample::Short => false,
        Sample::Long => true,
        Sample::Mixed => ordinal % 10 == 9,
    }
}

fn write_text(out: &mut Vec<u8>, long: bool, ordinal: u64) {
    if long {
        for _ in 0..LONG_TIMES {
            out.extend_from_slice(LONG.as_bytes());
        }
    } else {
        out.extend_from_slice(SHORT.as_bytes());
    }
    let _ = write!(out, "{ordinal}");
}

/// Writes the JSON body for messages `first..first + count`.
pub fn write_body(out: &mut Vec<u8>, options: &Options, first: u64, count: u64) {
    out.clear();
    match options.mode {
        Mode::Single => {
            let long = is_long(options.sample, first);
            out.extend_from_slice(b"{");
            write_common(out, options, long);
            out.extend_from_slice(b",\"to\":\"");
            write_recipient(out, first);
            out.extend_from_slice(b"\",\"text\":\"");
            write_text(out, long, first);
            out.extend_from_slice(b"\"}");
        }
        Mode::Batch => write_batch(out, options, first, count),
    }
}

fn write_batch(out: &mut Vec<u8>, options: &Options, first: u64, count: u64) {
    out.extend_from_slice(b"{\"defaults\":{");
    write_common(out, options, options.sample != Sample::Short);
    if options.template {
        out.extend_from_slice(b",\"text\":\"");
        let text = if options.sample == Sample::Short { SHORT.to_owned() } else { LONG.repeat(LONG_TIMES) };
        let _ = write!(out, "{text}#{{n}}");
        out.extend_from_slice(b"\"");
    }
    out.extend_from_slice(b"},\"messages\":[");
    for ordinal in first..first + count {
        if ordinal > first {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"to\":\"");
        write_recipient(out, ordinal);
        if options.template {
            let _ = write!(out, "\",\"variables\":{{\"n\":\"{ordinal}\"}}}}");
        } else {
            out.extend_from_slice(b"\",\"text\":\"");
            write_text(out, is_long(options.sample, ordinal), ordinal);
            out.extend_from_slice(b"\"}");
        }
    }
    out.extend_from_slice(b"]}");
}

/// Fields that all messages of a request share. Where some texts are long, Bongsu chooses SMS or LMS by length.
fn write_common(out: &mut Vec<u8>, options: &Options, long: bool) {
    let channel = if long { "auto" } else { "sms" };
    let _ = write!(out, r#""channel":"{channel}","lane":"{}","from":"{}""#, options.lane, options.from);
}

/// Path of the requests of a mode.
pub fn path(mode: Mode) -> &'static str {
    match mode {
        Mode::Single => "/v1/messages",
        Mode::Batch => "/v1/messages/batch",
    }
}

#[cfg(test)]
pub mod tests {
    use std::collections::HashSet;

    use super::*;
    use serde_json::Value;

    /// Options of a test.
    pub fn options(mode: Mode) -> Options {
        Options {
            url: vec!["http://127.0.0.1:1".into()],
            key: "k".into(),
            from: "0212345678".into(),
            mode,
            rows: 3,
            connections: 1,
            rate: 0.0,
            messages: 0,
            seconds: 0.0,
            lane: "bulk".into(),
            sample: Sample::Short,
            first: 0,
            template: false,
            idempotency: None,
            acked: None,
            until_cut: false,
            retry: false,
        }
    }

    fn body(options: &Options, first: u64, count: u64) -> Value {
        let mut out = Vec::new();
        write_body(&mut out, options, first, count);
        serde_json::from_slice(&out).expect("the body is JSON")
    }

    #[test]
    fn a_single_body() {
        let body = body(&options(Mode::Single), 7, 1);
        assert_eq!(body["channel"], "sms");
        assert_eq!(body["lane"], "bulk");
        assert_eq!(body["from"], "0212345678");
        assert!(body["text"].as_str().is_some_and(|t| t.ends_with(" 7")));
        assert!(body["to"].as_str().is_some_and(|t| t.len() == 11 && t.starts_with("010")));
    }

    #[test]
    fn a_batch_has_a_text_or_a_variable_per_message() {
        let mut options = options(Mode::Batch);
        let plain = body(&options, 100, 3);
        assert_eq!(plain["messages"].as_array().map(Vec::len), Some(3));
        assert!(plain["messages"][2]["text"].as_str().is_some_and(|t| t.ends_with("102")));
        options.template = true;
        let filled = body(&options, 100, 3);
        assert!(filled["defaults"]["text"].as_str().is_some_and(|t| t.ends_with("#{n}")));
        assert_eq!(filled["messages"][1]["variables"]["n"], "101");
    }

    #[test]
    fn one_in_ten_is_long_in_a_mix() {
        let mut options = options(Mode::Single);
        options.sample = Sample::Mixed;
        assert_eq!((0..100).filter(|n| body(&options, *n, 1)["channel"] == "auto").count(), 10);
    }

    #[test]
    fn recipients_do_not_repeat() {
        let mut seen = HashSet::new();
        for ordinal in 0..100_000 {
            let mut out = Vec::new();
            write_recipient(&mut out, ordinal);
            assert!(seen.insert(out), "ordinal {ordinal}");
        }
    }

    #[test]
    fn no_recipient_is_a_number_for_tests() {
        for ordinal in (0..20).flat_map(|part| part * HANDSETS..part * HANDSETS + 5_000) {
            let mut out = Vec::new();
            write_recipient(&mut out, ordinal);
            assert!(out.as_slice() >= b"01000000010".as_slice() && out.len() == 11, "ordinal {ordinal}");
        }
    }
}
