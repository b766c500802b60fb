//! What comes in pieces reads as what comes whole.

use bongsu_domain::Lane;
use proptest::prelude::*;

use super::*;

fn defaults(json: &str) -> Defaults {
    Defaults::new(send::read_defaults(json).expect("defaults"))
}

/// What a row says, in one line.
fn said(row: &Row) -> String {
    match &row.read {
        Ok(draft) => {
            let variables: Vec<String> =
                draft.variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let own = [draft.client_ref.as_deref(), draft.bill_code.as_deref(), draft.subject.as_deref()];
            let own: Vec<&str> = own.into_iter().flatten().collect();
            format!("{}|{}|{}|{}|{}", draft.to, draft.from, draft.text, own.join(","), variables.join(","))
        }
        Err(findings) => {
            let all: Vec<String> = findings.iter().map(|f| format!("{}: {}", f.field, f.detail)).collect();
            format!("! {} ({})", all.join("; "), row.who.to.as_deref().unwrap_or("-"))
        }
    }
}

fn csv_in(pieces: &[&[u8]], charset: Charset, defaults: &Defaults) -> Result<Vec<String>, Problem> {
    let (mut table, mut rows) = (CsvRows::new(charset), Vec::new());
    for piece in pieces {
        table.feed(piece, defaults, &mut rows)?;
    }
    table.end(defaults, &mut rows)?;
    Ok(rows.iter().map(said).collect())
}

fn csv(text: &str, of: &str) -> Vec<String> {
    csv_in(&[text.as_bytes()], Charset::Utf8, &defaults(of)).expect("a table")
}

const DEFAULTS: &str = r##"{"from": "021234567", "text": "안녕 #{이름}"}"##;

#[test]
fn a_table_becomes_rows() {
    let text = "\u{feff}to,이름,clientRef,billCode,memo\r\n\
                01012345678,홍길동,a-1,팀,x\r\n\
                '010-1234-5679,\"김, \"\"봉\"\"수\",,,\r\n\
                \r\n\
                01012345670,\"두\n줄\",a-2,,\r\n\
                01012345671,끝,a-3";
    assert_eq!(
        csv(text, DEFAULTS),
        [
            "01012345678|021234567|안녕 #{이름}|a-1,팀|이름=홍길동",
            "010-1234-5679|021234567|안녕 #{이름}||이름=김, \"봉\"수",
            "01012345670|021234567|안녕 #{이름}|a-2|이름=두\n줄",
            "! row: has 3 fields, the first line has 5 (01012345671)",
        ]
    );
}

#[test]
fn columns_name_fields_and_variables() {
    let text = "TO,From,text,#{n},subject,\n010,02,#{n}번,5,제목,\n011,,,,,\n";
    let rows = csv(text, DEFAULTS);
    assert_eq!(rows, ["010|02|#{n}번|제목|n=5", "011|021234567|안녕 #{이름}||"]);
    let titled = csv("to,n,m,x\n010,5,6,7\n", r##"{"from": "02", "text": "#{n}번", "subject": "#{m}월"}"##);
    assert_eq!(titled, ["010|02|#{n}번|#{m}월|n=5,m=6"], "a title has variables like the text");
    assert_eq!(csv("to\n010\n", "{}"), ["! from: is required; text: is required (010)"]);
    for (wrong, why) in
        [("", "empty"), ("\n\n", "empty"), ("from,text\n", "\"to\""), ("to,To\n", "twice"), ("to,n,#{n}\n", "twice")]
    {
        let problem = csv_in(&[wrong.as_bytes()], Charset::Utf8, &defaults("{}")).expect_err(wrong);
        assert!(problem.detail.contains(why), "{}", problem.detail);
        assert_eq!(problem.status.as_u16(), 422);
    }
}

#[test]
fn korean_excel_is_read() {
    // 이름 and 홍길동 in CP949.
    let bytes = b"to,\xC0\xCC\xB8\xA7\r\n01012345678,\xC8\xAB\xB1\xE6\xB5\xBF\r\n";
    let rows = csv_in(&[bytes], Charset::Cp949, &defaults(DEFAULTS)).expect("a table");
    assert_eq!(rows, ["01012345678|021234567|안녕 #{이름}||이름=홍길동"]);
}

#[test]
fn a_row_that_is_too_long_does_not_hide_its_neighbours() {
    let long = "가".repeat(ROW_BYTES_MAX);
    let text = format!("to,text\n010,a\n011,\"{long}\"\n012,b\n");
    let rows = csv(&text, r#"{"from": "02"}"#);
    assert_eq!(rows[0], "010|02|a||");
    assert_eq!(rows[1], format!("! row: at most {ROW_BYTES_MAX} bytes (-)"));
    assert_eq!((rows[2].as_str(), rows.len()), ("012|02|b||", 3));
    let wide = format!("to,text\n010,a{}\n012,b\n", ",".repeat(300));
    assert_eq!(csv(&wide, r#"{"from": "02"}"#).len(), 2);
    let lines = format!("{{\"to\":\"010\"}}\n{{\"to\":\"{long}\"}}\n\n{{\"to\":\"012\"}}");
    let rows = ndjson_in(&[lines.as_bytes()], &defaults(r#"{"from": "02", "text": "x"}"#));
    assert_eq!(rows.iter().map(|row| row.starts_with('!')).collect::<Vec<_>>(), [false, true, false]);
}

#[test]
fn what_an_open_quote_swallows_is_in_no_text() {
    let of = r#"{"from": "02"}"#;
    let open = csv("to,text\n010,a\n011,\"b\n012,c\n013,d\n", of);
    assert_eq!(open[0], "010|02|a||");
    assert!(open[1].contains("is not closed") && open[1].ends_with("(-)"), "{}", open[1]);
    assert_eq!(open.len(), 2);
    let bytes = "to,text\n010,\"a".as_bytes();
    let pieces: Vec<&[u8]> = bytes.chunks(1).collect();
    let open = csv_in(&pieces, Charset::Utf8, &defaults(of)).expect("a table");
    assert!(open[0].contains("is not closed"), "{}", open[0]);
    // The next quote closes it, and what follows that one is too much.
    let rows = csv("to,text\n010,\"a\n011,b\n012,\"c\"\n013,d\n", of);
    assert!(rows[0].contains("text follows the quote"), "{}", rows[0]);
    assert_eq!(rows[1..], ["013|02|d||"]);
    let rows = csv("to,text\n010,\"나\"x\n011,\"나 \"\"x\"\"\"\n012,5\" pipe\n013,\"\"\n", of);
    assert!(rows[0].contains("text follows the quote"), "{}", rows[0]);
    assert_eq!(rows[1..3], ["011|02|나 \"x\"||", "012|02|5\" pipe||"]);
    let lines = |count: usize| format!("to,text\n010,\"{}\"\n011,b\n", vec!["a"; count].join("\n"));
    assert!(csv(&lines(100), of)[0].starts_with("010|"));
    let rows = csv(&lines(101), of);
    assert!(rows[0].contains("more than 100 lines"), "{}", rows[0]);
    assert_eq!(rows[1..], ["011|02|b||"]);
    let problem = csv_in(&[b"to,\"text\n010,a\n"], Charset::Utf8, &defaults(of)).expect_err("no columns");
    assert!(problem.detail.contains("is not closed"), "{}", problem.detail);
}

fn ndjson_in(pieces: &[&[u8]], defaults: &Defaults) -> Vec<String> {
    let (mut lines, mut rows) = (LineRows::default(), Vec::new());
    for piece in pieces {
        lines.feed(piece, defaults, &mut rows);
    }
    lines.end(defaults, &mut rows);
    rows.iter().map(said).collect()
}

#[test]
fn a_line_is_a_row() {
    let text = "{\"to\":\"010\",\"variables\":{\"이름\":\"홍\"}}\r\n\n  \n{\"to\":\"011\",\"lane\":\"x\"}\nno\n\
                {\"to\":\"012\",\"clientRef\":5}\n\u{feff}{\"to\":\"013\",\"text\":\"b\"}";
    let rows = ndjson_in(&[text.as_bytes()], &defaults(DEFAULTS));
    assert_eq!(rows[0], "010|021234567|안녕 #{이름}||이름=홍");
    assert!(rows[1].starts_with("! lane: must be") && rows[1].ends_with("(011)"), "{}", rows[1]);
    assert!(rows[2].starts_with("! row: is not JSON"), "{}", rows[2]);
    assert!(rows[3].contains("clientRef: must be a string") && rows[3].ends_with("(012)"), "{}", rows[3]);
    assert_eq!(rows.len(), 5);
    assert!(ndjson_in(&[b"{\"to\":\"\xFF\"}"], &defaults(DEFAULTS))[0].contains("is not UTF-8"));
}

#[test]
fn rows_have_the_lane_of_a_batch() {
    let mut rows = Vec::new();
    LineRows::default().feed(b"{\"to\":\"010\"}\n{\"to\":\"010\",\"lane\":\"auth\"}\n", &defaults(DEFAULTS), &mut rows);
    let lanes: Vec<Lane> = rows.iter().filter_map(|row| row.read.as_ref().ok()).map(|draft| draft.lane).collect();
    assert_eq!(lanes, [Lane::Bulk, Lane::Auth]);
}

#[test]
fn a_body_says_what_it_is() {
    for (said, format) in [
        ("application/json", Format::Json),
        ("application/x-ndjson; charset=utf-8", Format::Lines),
        ("text/csv", Format::Csv(Charset::Utf8)),
        ("Text/CSV; header=present; charset=\"CP949\"", Format::Csv(Charset::Cp949)),
    ] {
        assert_eq!(Format::of(Some(said)).expect(said), format);
    }
    for said in [None, Some("text/plain"), Some("text/csv; charset=utf-16"), Some("application/json; charset=cp949")] {
        assert_eq!(Format::of(said).expect_err("no").status.as_u16(), 415, "{said:?}");
    }
}

proptest! {
    #[test]
    fn pieces_read_as_the_whole(cuts in prop::collection::vec(0_usize..200, 0..6), lines in 0_usize..5) {
        let mut text = "to,이름,b\r\n".to_owned();
        let mut json = String::new();
        for line in 0..lines {
            text.push_str(&format!("0101234567{line},\"봉 \"\"수\"\",{line}\r\n"));
            json.push_str(&format!("{{\"to\":\"0101234567{line}\",\"variables\":{{\"이름\":\"봉\"}}}}\n"));
        }
        let defaults = defaults(DEFAULTS);
        for (bytes, is_csv) in [(text.as_bytes(), true), (json.as_bytes(), false)] {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| (*cut).min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            let read = |pieces: &[&[u8]]| match is_csv {
                true => csv_in(pieces, Charset::Utf8, &defaults).expect("a table"),
                false => ndjson_in(pieces, &defaults),
            };
            prop_assert_eq!(read(&pieces), read(&[bytes]));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), charset in any::<bool>()) {
        let charset = if charset { Charset::Utf8 } else { Charset::Cp949 };
        let _ = csv_in(&[&bytes], charset, &defaults(DEFAULTS));
        let mut table = b"to,a\n".to_vec();
        table.extend_from_slice(&bytes);
        let _ = csv_in(&[&table], charset, &defaults(DEFAULTS));
        let _ = ndjson_in(&[&bytes], &defaults(DEFAULTS));
    }
}
