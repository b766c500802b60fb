//! Bodies of the send routes: good ones, malformed ones, and that both readings agree.

use std::time::Duration;

use bongsu_domain::{ChannelChoice, Code, Lane};
use bongsu_send::Draft;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn message(body: &Value) -> Result<Draft, Problem> {
    read_message(body.to_string().as_bytes())
}

fn good() -> Value {
    json!({"to": "01012345678", "from": "0212345678", "text": "안녕하세요"})
}

/// The good message with one field replaced.
fn with(field: &str, value: Value) -> Value {
    let mut body = good();
    body[field] = value;
    body
}

#[test]
fn a_short_message_gets_the_defaults() {
    let draft = message(&good()).expect("a message");
    assert_eq!((draft.channel, draft.lane), (ChannelChoice::Auto, Lane::Realtime));
    assert_eq!((draft.to.as_str(), draft.from.as_str(), &*draft.text), ("01012345678", "0212345678", "안녕하세요"));
    assert_eq!((draft.expires_in, draft.variables.len(), draft.labels.len()), (None, 0, 0));
}

#[test]
fn a_full_message_keeps_every_field() {
    let body = json!({
        "channel": "lms", "lane": "auth", "to": "010", "from": "02", "text": "#{a}\n\u{1F600}", "subject": "제목",
        "variables": {"a": "1", "#{b}": "2"}, "clientRef": "c-1", "billCode": "d", "labels": {"k": "v"},
        "expiresIn": "PT10M", "sendAt": null, "ad": false,
    });
    let draft = message(&body).expect("a message");
    assert_eq!((draft.channel, draft.lane), (ChannelChoice::Lms, Lane::Auth));
    assert_eq!((&*draft.text, draft.subject.as_deref()), ("#{a}\n\u{1F600}", Some("제목")));
    assert_eq!(draft.variables, [("#{b}".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())]);
    assert_eq!((draft.client_ref.as_deref(), draft.bill_code.as_deref()), (Some("c-1"), Some("d")));
    assert_eq!(draft.labels, [("k".to_owned(), "v".to_owned())]);
    assert_eq!(draft.expires_in, Some(Duration::from_secs(600)));
    assert_eq!(message(&with("expiresIn", json!(30))).expect("seconds").expires_in, Some(Duration::from_secs(30)));
}

#[test]
fn a_time_to_leave_has_an_offset() {
    let at = |text: &str| message(&with("sendAt", json!(text))).expect("a message").send_at;
    let nine = at("2026-11-20T09:00:00+09:00");
    assert!(nine.is_some());
    assert_eq!((at("2026-11-20T00:00:00Z"), at("2026-11-19T19:00:00.000-05:00")), (nine, nine));
    assert_eq!(message(&good()).expect("a message").send_at, None);
}

#[test]
fn what_is_an_advertisement_goes_on_its_lane() {
    let read = |ad: Value, lane: Value| {
        let mut body = with("ad", ad);
        body["lane"] = lane;
        message(&body).map(|draft| (draft.lane, draft.ad)).expect("a message")
    };
    assert_eq!(read(json!(true), json!(null)), (Lane::Ad, Some(true)));
    assert_eq!(read(json!(true), json!("bulk")), (Lane::Bulk, Some(true)), "the rules refuse it");
    assert_eq!(read(json!(false), json!(null)), (Lane::Realtime, Some(false)));
    assert_eq!(read(json!(null), json!("ad")), (Lane::Ad, None));
}

#[test]
fn rows_override_the_defaults() {
    let body = json!({
        "defaults": {
            "channel": "sms", "lane": "realtime", "from": "02", "text": "#{a} #{b}", "variables": {"a": "x", "b": "y"},
            "labels": {"k": "1"},
        },
        "messages": [{"to": "1"}, {"to": "2", "text": "own", "lane": "bulk", "variables": {"#{b}": "z"}, "labels": {"l": "2"}}],
        "mode": "allOrNothing",
    });
    let batch = read_batch(body.to_string().as_bytes(), true).expect("a batch");
    assert!(batch.all_or_nothing && batch.errors_only);
    let [Ok(first), Ok(second)] = &batch.rows[..] else { panic!("two drafts, not {:?}", batch.rows) };
    assert_eq!((first.lane, &*first.text, first.variables.len()), (Lane::Realtime, "#{a} #{b}", 2));
    assert_eq!((second.lane, &*second.text, second.channel), (Lane::Bulk, "own", ChannelChoice::Sms));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(second.variables, [pair("#{b}", "z"), pair("a", "x")]);
    assert_eq!(second.labels, [pair("l", "2"), pair("k", "1")]);
}

#[test]
fn rows_share_the_text_of_the_defaults() {
    let body = json!({"defaults": {"from": "02", "text": "t"}, "messages": [{"to": "1"}, {"to": "2"}]});
    let batch = read_batch(body.to_string().as_bytes(), false).expect("a batch");
    let [Ok(first), Ok(second)] = &batch.rows[..] else { panic!("two drafts, not {:?}", batch.rows) };
    assert!(std::sync::Arc::ptr_eq(&first.text, &second.text));
    assert_eq!(first.lane, Lane::Bulk);
}

#[test]
fn a_bad_row_does_not_hide_its_neighbours() {
    let body = json!({
        "defaults": {"from": "021234567", "text": "t"},
        "messages": [{"to": "1"}, {"to": 2, "toto": 1}, ["sms", "auth", "3"], {}, {"to": "5"}],
    });
    let batch = read_batch(body.to_string().as_bytes(), false).expect("a batch");
    assert!(batch.rows[0].is_ok() && batch.rows[4].is_ok());
    let seen: Vec<_> = batch.rows.into_iter().filter_map(Result::err).flatten().map(|f| (f.index, f.field)).collect();
    let expected = [(Some(1), "to"), (Some(1), "toto"), (Some(2), "messages"), (Some(3), "to")];
    assert_eq!(seen, expected.map(|(index, field)| (index, field.to_owned())));
}

/// Bodies of a single message with the status, the field and the code they are refused with.
fn malformed_messages() -> Vec<(String, u16, &'static str, Code)> {
    let mut table: Vec<(String, u16, &'static str, Code)> = Vec::new();
    for text in [
        "",
        " ",
        "nul",
        "tru",
        "{",
        "}",
        "[",
        "]",
        "{]",
        "[}",
        "{\"to\"}",
        "{\"to\":}",
        "{\"to\":\"1\",}",
        "{to:1}",
        "{'to':'1'}",
        "\"",
        "\"\\x\"",
        "\"\\ud800\"",
        "\"\\u12\"",
        "01",
        "1.",
        "-",
        "+1",
        ".5",
        "1e",
        "1e999",
        "NaN",
        "Infinity",
        "{}{}",
        "{} x",
        "[1,]",
        "[,1]",
        "{\"a\":1 \"b\":2}",
        "// c\n{}",
        "{\"a\":\t\u{1}}",
        "\u{feff}{}",
        "{\"text\":\"a\nb\"}",
        "undefined",
        "<to>1</to>",
        "to=1&from=2",
    ] {
        table.push((text.to_owned(), 400, "body", Code::BadRequest));
    }
    table.push((format!("{}1{}", "[".repeat(200), "]".repeat(200)), 400, "body", Code::BadRequest));
    for text in ["null", "true", "1", "1.5", "\"text\"", "[]", "[{}]"] {
        table.push((text.to_owned(), 422, "body", Code::BadRequest));
    }
    let wrong_types = [json!(1), json!(1.5), json!(true), json!([]), json!({})];
    for field in ["channel", "lane", "to", "from", "text", "subject", "clientRef", "billCode"] {
        for value in &wrong_types {
            table.push((with(field, value.clone()).to_string(), 422, field, Code::BadRequest));
        }
    }
    for (field, value) in [
        ("variables", json!([])),
        ("variables", json!("a")),
        ("labels", json!(1)),
        ("channel", json!("")),
        ("channel", json!("SMS")),
        ("channel", json!("fax")),
        ("lane", json!("fast")),
        ("expiresIn", json!("10M")),
        ("expiresIn", json!("PT0S")),
        ("expiresIn", json!(0)),
        ("expiresIn", json!(-1)),
        ("expiresIn", json!(1.5)),
        ("expiresIn", json!("P30D")),
        ("expiresIn", json!({})),
        ("tu", json!("1")),
        ("From", json!("1")),
        ("id", json!("msg_1")),
        ("", json!(null)),
    ] {
        table.push((with(field, value).to_string(), 422, field, Code::BadRequest));
    }
    for field in ["to", "from", "text"] {
        table.push((with(field, json!(null)).to_string(), 422, field, Code::BadRequest));
    }
    table.push((with("variables", json!({"a": 1})).to_string(), 422, "variables.a", Code::BadRequest));
    table.push((with("labels", json!({"k": null})).to_string(), 422, "labels.k", Code::BadRequest));
    for time in ["2026-11-20T09:00:00", "2026-11-20", "09:00", "2026-13-20T09:00:00Z", ""] {
        table.push((with("sendAt", json!(time)).to_string(), 422, "sendAt", Code::BadRequest));
    }
    for (field, value) in [("sendAt", json!(1)), ("ad", json!("true")), ("ad", json!(1))] {
        table.push((with(field, value).to_string(), 422, field, Code::BadRequest));
    }
    for word in ["alimtalk", "mms", "rcs", "email", "push"] {
        table.push((with("channel", json!(word)).to_string(), 422, "channel", Code::FeatureNotEnabled));
    }
    for (field, value) in [("dedupeWindow", json!(60)), ("template", json!({"id": "x"}))] {
        table.push((with(field, value).to_string(), 422, field, Code::FeatureNotEnabled));
    }
    let step = |step: Value| json!([{"channel": "rcs"}, step]);
    for (value, field, code) in [
        (json!([{"channel": "alimtalk"}]), "fallback.0.channel", Code::FeatureNotEnabled),
        (
            json!([{"channel": "lms", "on": ["failed"], "waitFor": "PT3M"}]),
            "fallback.0.channel",
            Code::FeatureNotEnabled,
        ),
        (json!([{"channel": "fax"}]), "fallback.0.channel", Code::BadRequest),
        (json!([{"channel": 1}]), "fallback.0.channel", Code::BadRequest),
        (json!([{}]), "fallback.0.channel", Code::BadRequest),
        (step(json!("sms")), "fallback.1", Code::BadRequest),
        (step(json!({"channel": "sms", "on": ["late"]})), "fallback.1.on", Code::BadRequest),
        (step(json!({"channel": "sms", "on": "failed"})), "fallback.1.on", Code::BadRequest),
        (step(json!({"channel": "sms", "waitFor": "3 minutes"})), "fallback.1.waitFor", Code::BadRequest),
        (step(json!({"channel": "sms", "text": 1})), "fallback.1.text", Code::BadRequest),
        (step(json!({"channel": "sms", "then": "x"})), "fallback.1.then", Code::BadRequest),
        (json!(vec![json!({"channel": "rcs"}); 11]), "fallback", Code::BadRequest),
        (json!({"channel": "sms"}), "fallback", Code::BadRequest),
    ] {
        table.push((with("fallback", value).to_string(), 422, field, code));
    }
    for cost in [json!(-1), json!("1"), json!(1.5), json!(1_000_000_000_001_i64), json!(true)] {
        table.push((with("maxCost", cost).to_string(), 422, "maxCost", Code::BadRequest));
    }
    let twice = |more: &str| format!("{{\"to\":\"1\",\"from\":\"2\",\"text\":\"t\",{more}}}");
    table.push((twice("\"to\":\"2\""), 422, "to", Code::BadRequest));
    table.push((twice("\"variables\":{\"a\":\"1\",\"a\":\"2\"}"), 422, "variables.a", Code::BadRequest));
    table
}

#[test]
fn malformed_messages_are_refused_with_field_and_code() {
    let table = malformed_messages();
    assert!(table.len() >= 100, "{} bodies", table.len());
    for (body, status, field, code) in table {
        let problem = read_message(body.as_bytes()).expect_err(&body);
        assert_eq!(problem.status.as_u16(), status, "{body}: {problem:?}");
        let found = problem.errors.iter().find(|finding| finding.field == field);
        assert_eq!(found.map(|finding| finding.code), Some(code), "{body}: {problem:?}");
        assert!(found.is_some_and(|finding| !finding.detail.is_empty()));
    }
}

#[test]
fn malformed_batches_are_refused_with_field_and_code() {
    let row = json!({"to": "1", "from": "2", "text": "t"});
    let table = [
        (json!({}), "messages", Code::BadRequest),
        (json!({"messages": null}), "messages", Code::BadRequest),
        (json!({"messages": []}), "messages", Code::BadRequest),
        (json!({"messages": {}}), "messages", Code::BadRequest),
        (json!({"messages": [row], "mode": "all"}), "mode", Code::BadRequest),
        (json!({"messages": [row], "mode": 1}), "mode", Code::BadRequest),
        (json!({"messages": [row], "defaults": []}), "defaults", Code::BadRequest),
        (json!({"messages": [row], "defaults": {"lane": "x"}}), "defaults.lane", Code::BadRequest),
        (json!({"messages": [row], "defaults": {"template": 1}}), "defaults.template", Code::FeatureNotEnabled),
        (json!({"messages": [row], "defaults": {"x": 1}}), "defaults.x", Code::BadRequest),
        (json!({"messages": [row], "allowDuplicates": true}), "allowDuplicates", Code::FeatureNotEnabled),
        (json!({"rows": [row]}), "rows", Code::BadRequest),
        (json!([row]), "body", Code::BadRequest),
        (json!([null, [row], "partial"]), "body", Code::BadRequest),
    ];
    for (body, field, code) in table {
        let problem = read_batch(body.to_string().as_bytes(), false).expect_err(&body.to_string());
        assert_eq!(problem.status.as_u16(), 422, "{body}");
        let found = problem.errors.iter().find(|finding| finding.field == field);
        assert_eq!(found.map(|finding| finding.code), Some(code), "{body}: {problem:?}");
    }
}

#[test]
fn a_refused_batch_tells_of_its_rows_too() {
    let body = json!({"messages": [{"to": 1}], "mode": "x"});
    let problem = read_batch(body.to_string().as_bytes(), false).expect_err("a bad mode");
    let fields: Vec<_> = problem.errors.iter().map(|f| (f.index, f.field.as_str())).collect();
    assert_eq!(fields, [(None, "mode"), (Some(0), "to"), (Some(0), "from"), (Some(0), "text")]);
}

#[test]
fn a_row_with_a_wrong_field_also_tells_of_its_numbers_and_text() {
    let table = [
        (json!({"to": "1", "from": "021234567", "text": "🙂", "lane": "x"}), vec!["lane", "to", "text"]),
        (json!({"to": "1", "text": "t"}), vec!["from", "to"]),
        (json!({"to": 1, "from": "1", "text": " "}), vec!["to", "from", "text"]),
        (json!({"to": "01012345678", "from": "021234567", "text": "#{a}", "variables": {"a": 1}}), vec!["variables.a"]),
        (json!({"to": "01012345678", "from": "021234567", "text": "#{a}", "sendAt": 1}), vec!["sendAt", "variables.a"]),
    ];
    for (row, fields) in table {
        let problem = read_message(row.to_string().as_bytes()).expect_err(&row.to_string());
        let found: Vec<_> = problem.errors.iter().map(|finding| finding.field.as_str()).collect();
        assert_eq!(found, fields, "{row}");
        let batch = json!({"messages": [row]}).to_string();
        let rows = read_batch(batch.as_bytes(), false).expect("only rows are wrong").rows;
        let findings = rows[0].as_ref().expect_err("the row is wrong");
        assert!(findings.iter().all(|finding| finding.index == Some(0)), "{findings:?}");
        assert_eq!(findings.len(), fields.len());
    }
}

#[test]
fn one_row_too_many_is_413() {
    let rows = |count: usize| {
        let rows = vec!["{\"to\":\"1\"}"; count].join(",");
        format!("{{\"messages\":[{rows}],\"defaults\":{{\"from\":\"2\",\"text\":\"t\"}}}}")
    };
    assert_eq!(read_batch(rows(ROWS_MAX).as_bytes(), false).expect("the most").rows.len(), ROWS_MAX);
    let problem = read_batch(rows(ROWS_MAX + 1).as_bytes(), false).expect_err("one more");
    assert_eq!((problem.status.as_u16(), problem.code), (413, Code::TooManyRows));
    assert_eq!(problem.errors[0].field, "messages");
}

#[test]
fn what_is_not_utf_8_is_400_with_its_place() {
    let problem = read_message(b"{\"to\":\"\xff\"}").expect_err("a broken byte");
    assert_eq!((problem.status.as_u16(), problem.errors[0].field.as_str()), (400, "body"));
    assert!(problem.detail.contains("byte 7"), "{}", problem.detail);
}

#[test]
fn syntax_errors_say_where() {
    let problem = read_message(b"{\n  \"to\": x\n}").expect_err("no JSON");
    assert!(problem.detail.contains("line 2 column 9"), "{}", problem.detail);
}

fn field() -> impl Strategy<Value = (&'static str, Value)> {
    let text = "[a-z가-힣\\\\\"\n ]{0,12}";
    prop_oneof![
        (prop_oneof![Just("to"), Just("from"), Just("text"), Just("subject"), Just("clientRef")], text)
            .prop_map(|(name, text)| (name, json!(text))),
        prop_oneof![Just("auto"), Just("sms"), Just("lms"), Just("mms"), Just("x")]
            .prop_map(|word| ("channel", json!(word))),
        prop_oneof![Just("auth"), Just("bulk"), Just("x")].prop_map(|word| ("lane", json!(word))),
        prop_oneof![Just(json!("PT5M")), Just(json!(60)), Just(json!(0)), Just(json!(-5)), Just(json!(true))]
            .prop_map(|wait| ("expiresIn", wait)),
        prop::collection::btree_map("[a-c]", text, 0..3).prop_map(|map| ("variables", json!(map))),
        prop_oneof![Just("to"), Just("ad"), Just("zzz"), Just("labels")].prop_map(|name| (name, json!(null))),
        prop_oneof![Just("to"), Just("text"), Just("labels")].prop_map(|name| (name, json!(7))),
    ]
}

proptest! {
    /// Whatever the fast reading accepts, the thorough one reads as the same; and it finds fault with nothing else.
    #[test]
    fn both_readings_agree(fields in prop::collection::vec(field(), 0..8), base in any::<bool>()) {
        let mut body = if base { good() } else { json!({}) };
        for (name, value) in fields {
            body[name] = value;
        }
        let text = body.to_string();
        let (fast, thorough) = (fast::message(&text), thorough::message(&text));
        match (&fast, &thorough) {
            (Some(fast), Ok(thorough)) => prop_assert_eq!(format!("{fast:?}"), format!("{thorough:?}")),
            (Some(_), Err(problem)) => prop_assert!(false, "{} is refused: {:?}", text, problem),
            (None, _) => {}
        }
        let batch = json!({"messages": [body]}).to_string();
        let rows = thorough::batch(&batch).expect("only rows can be wrong").0;
        if let Some((drafts, _)) = fast::batch(&batch) {
            let row = rows[0].as_ref().expect("the fast reading took it");
            prop_assert_eq!(format!("{:?}", drafts[0]), format!("{row:?}"));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(read_message(&bytes).is_err());
        prop_assert!(read_batch(&bytes, false).is_err());
    }
}
