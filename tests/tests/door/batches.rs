//! Batches: which rows are accepted, how the others are told, and what a text costs once it is filled in.

use bongsu_testkit::{World, recipient};
use serde_json::{Value, json};

use super::{post, text};

async fn batch(world: &World, query: &str, body: &Value) -> bongsu_testkit::Reply {
    post(world, &world.main.key, &format!("/v1/messages/batch{query}"), &[], body.to_string()).await
}

fn mixed(world: &World, mode: &str) -> Value {
    json!({
        "defaults": { "from": world.main.from, "text": "#{이름}님, 봉수입니다" },
        "mode": mode,
        "messages": [
            { "to": recipient(0), "variables": { "이름": "하나" } },
            { "to": "12", "variables": { "이름": "둘" } },
            { "to": recipient(2) },
            { "to": recipient(3), "variables": { "이름": "셋", "나이": "3" } },
            { "to": recipient(4), "variables": { "이름": "넷" }, "from": "15880001" },
            { "to": recipient(5), "variables": { "이름": "다섯" }, "lane": "fast" },
            { "to": recipient(6), "variables": { "이름": "여섯" } },
        ],
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partial_batch_sends_the_good_rows_and_tells_the_others_by_index() {
    let world = World::start().await;
    let answer = batch(&world, "", &mixed(&world, "partial")).await.good(202);
    assert_eq!(answer["counts"], json!({ "rows": 7, "accepted": 2, "rejected": 5 }));
    assert_eq!(answer["estimate"], json!({ "unit": "point:sms", "amount": 2 }));
    let results = answer["results"].as_array().expect("results");
    let seen: Vec<(u64, bool)> =
        results.iter().map(|row| (row["index"].as_u64().expect("an index"), row["id"].is_string())).collect();
    assert_eq!(seen, (0..7).map(|index| (index, index == 0 || index == 6)).collect::<Vec<_>>());
    let wrong: Vec<(&Value, &Value)> =
        results[1..6].iter().map(|row| (&row["error"]["field"], &row["error"]["code"])).collect();
    let expected = [
        ("to", "UM1020"),
        ("variables.이름", "UM6005"),
        ("variables.나이", "UM6005"),
        ("from", "UM2001"),
        ("lane", "UM1001"),
    ];
    assert_eq!(
        wrong,
        expected.map(|(field, code)| (json!(field), json!(code))).iter().map(|(f, c)| (f, c)).collect::<Vec<_>>()
    );

    let errors = batch(&world, "?return=errors", &mixed(&world, "partial")).await.good(202);
    let rows: Vec<_> = errors["results"].as_array().expect("results").iter().map(|row| &row["index"]).collect();
    assert_eq!(rows, [1, 2, 3, 4, 5], "{errors}");
    assert_eq!(errors["counts"]["accepted"], 2);
    assert_eq!(world.points(&world.main).await, 1_000_000 - 4);
    let wrong = batch(&world, "?return=all", &mixed(&world, "partial")).await;
    assert_eq!((wrong.refusal(), &wrong.body["errors"][0]["field"]), ((400, "UM1001"), &json!("return")));
    let path = format!("batchId={}", text(&answer["batchId"]));
    assert_eq!(world.messages(&path).await.len(), 2);
    assert_eq!(world.audit().await.accepted, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_all_or_nothing_is_nothing_when_a_row_is_wrong() {
    let world = World::start().await;
    let refused = batch(&world, "", &mixed(&world, "allOrNothing")).await;
    assert_eq!(refused.refusal(), (422, "UM1001"));
    let found: Vec<_> =
        refused.body["errors"].as_array().expect("findings").iter().map(|error| &error["index"]).collect();
    assert_eq!(found, [1, 2, 3, 4, 5], "{}", refused.text);
    let rows = |refs: [&str; 3]| {
        let row = |(n, reference): (usize, &str)| json!({ "to": recipient(n), "clientRef": reference });
        let rows: Vec<Value> = refs.into_iter().enumerate().map(row).collect();
        json!({ "defaults": { "from": world.main.from, "text": "t" }, "mode": "allOrNothing", "messages": rows })
    };
    let twice = batch(&world, "", &rows(["a", "b", "a"])).await;
    assert_eq!((twice.refusal(), &twice.body["errors"][0]["index"]), ((409, "UM1010"), &json!(2)));
    assert_eq!(world.messages("").await.len(), 0);
    assert_eq!(world.points(&world.main).await, 1_000_000);

    let answer = batch(&world, "", &rows(["a", "b", "c"])).await.good(202);
    assert_eq!(answer["counts"], json!({ "rows": 3, "accepted": 3, "rejected": 0 }), "the refused rows left no trace");
    let again = batch(&world, "", &rows(["d", "b", "e"])).await;
    assert_eq!((again.refusal(), &again.body["errors"][0]["index"]), ((409, "UM1010"), &json!(1)));
    let poor = world.member("poor").await;
    let credits: Vec<Value> = (0..3).map(|n| json!({ "to": recipient(n) })).collect();
    world.operator("PUT", "/v1/prices", json!({ "channel": "sms", "unit": "krw", "amount": 9_000 })).await.good(200);
    let body = json!({ "defaults": { "from": poor.from, "text": "t" }, "messages": credits });
    let broke = post(&world, &poor.key, "/v1/messages/batch", &[], body.to_string()).await;
    assert_eq!(broke.refusal(), (402, "UM3001"), "a batch is paid for as a whole");
    assert_eq!(world.audit().await.accepted, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_rows_and_too_many_bytes_are_refused_whole() {
    let world = World::start().await;
    let body = |rows: usize| {
        let rows: Vec<Value> = (0..rows).map(|n| json!({ "to": recipient(n) })).collect();
        json!({ "defaults": { "from": world.main.from, "text": "t" }, "messages": rows })
    };
    let refused = batch(&world, "", &body(10_001)).await;
    assert_eq!((refused.refusal(), &refused.body["errors"][0]["field"]), ((413, "UM1008"), &json!("messages")));
    let mut large = body(1).to_string();
    large.push_str(&" ".repeat(16 * 1024 * 1024 + 1 - large.len()));
    let refused = post(&world, &world.main.key, "/v1/messages/batch", &[], large).await;
    assert_eq!(refused.refusal(), (413, "UM1016"));
    assert_eq!(refused.header("connection"), Some("close"));
    assert_eq!(world.points(&world.main).await, 1_000_000);

    let answer = batch(&world, "?return=errors", &body(10_000)).await.good(202);
    assert_eq!(answer["counts"], json!({ "rows": 10_000, "accepted": 10_000, "rejected": 0 }));
    assert_eq!(answer["results"], json!([]));
    assert_eq!(world.audit().await.accepted, 10_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_filled_in_text_decides_between_sms_and_lms() {
    let world = World::start().await;
    // 18 bytes of text around the name; Hangul is two bytes a letter in CP949.
    let row = |n: usize, letters: usize| json!({ "to": recipient(n), "variables": { "이름": "가".repeat(letters) } });
    let body = json!({
        "defaults": { "from": world.main.from, "text": "#{이름} 님, 주문이 왔다.." },
        "messages": [row(0, 1), row(1, 35), row(2, 36), row(3, 37), row(4, 991), row(5, 992)],
    });
    let answer = batch(&world, "", &body).await.good(202);
    assert_eq!(answer["counts"], json!({ "rows": 6, "accepted": 5, "rejected": 1 }), "{answer}");
    assert_eq!(answer["results"][5]["error"]["code"], "UM1032");
    let sent: Vec<String> =
        answer["results"].as_array().expect("results")[..5].iter().map(|row| text(&row["id"])).collect();
    let messages = world.wait_final(&sent).await;
    let seen: Vec<_> = messages.iter().map(|m| (text(&m["channel"]), m["price"]["amount"].as_i64())).collect();
    let [sms, lms] = [("sms".to_owned(), Some(1)), ("lms".to_owned(), Some(3))];
    assert_eq!(seen, [sms.clone(), sms.clone(), sms, lms.clone(), lms]);
    assert_eq!(answer["estimate"]["amount"], 9);
    assert_eq!(world.points(&world.main).await, 1_000_000 - 9);
    let long = world.sim.inbox(&recipient(4));
    assert_eq!(long.len(), 1);
    assert_eq!(long[0].text, format!("{} 님, 주문이 왔다..", "가".repeat(991)));
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn characters_that_cannot_be_sent_are_told_with_their_place_and_what_to_write_instead() {
    let world = World::start().await;
    let row = |text: &str| json!({ "to": recipient(0), "text": text });
    let body = json!({
        "defaults": { "from": world.main.from },
        "messages": [row("가나 — 다"), row("#{x}❤"), row("웃음 😀, 😀"), row("값 ₩1,000"), row("½ € ㎏ 뷁")],
    });
    let mut body = body;
    body["messages"][1]["variables"] = json!({ "x": "가나다" });
    let answer = batch(&world, "", &body).await.good(202);
    let details = |row: usize| -> Vec<String> {
        let errors = answer["results"][row]["error"]["errors"].as_array().cloned().unwrap_or_default();
        assert!(errors.iter().all(|error| error["code"] == "UM1030" && error["field"] == "text"), "{errors:?}");
        errors.iter().map(|error| text(&error["detail"])).collect()
    };
    assert_eq!(details(0), ["U+2014 at character 3 cannot be sent; write \"―\" instead"]);
    assert_eq!(
        details(1),
        ["U+2764 at character 3 cannot be sent; write \"♥\" instead"],
        "counted in the filled-in text"
    );
    assert_eq!(details(2), ["U+1F600 at character 3 cannot be sent", "U+1F600 at character 6 cannot be sent"]);
    assert_eq!(details(3), ["U+20A9 at character 2 cannot be sent; write \"￦\" instead"]);
    assert!(answer["results"][4]["id"].is_string(), "CP949 has all of these: {answer}");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_is_the_same_in_every_usual_form() {
    let world = World::start().await;
    let forms = [
        "01020000001",
        "010-2000-0001",
        "010 2000 0001",
        "010.2000.0001",
        "(010) 2000-0001",
        "+82 10-2000-0001",
        "+82-010-2000-0001",
        "821020000001",
        "8201020000001",
        "1020000001",
        "０１０ ２０００ ０００１",
        "０１０－２０００－０００１",
        "\u{200B}010\u{A0}2000‑0001",
        " 01020000001 ",
    ];
    let rows = forms.map(|form| json!({ "to": form }));
    let sender = "０２-1588-0000";
    let body = json!({ "defaults": { "from": sender, "text": "같은 번호" }, "messages": rows });
    let answer = batch(&world, "", &body).await.good(202);
    assert_eq!(answer["counts"]["accepted"], forms.len(), "{answer}");
    world.audit().await;
    let received = world.sim.inbox("01020000001");
    assert_eq!(received.len(), forms.len());
    assert!(received.iter().all(|message| message.from == world.main.from), "{received:?}");
    for form in ["010-2000-0001", "%2B821020000001", "8201020000001"] {
        assert_eq!(
            world.messages(&format!("account={}&recipient={form}", world.main.account)).await.len(),
            forms.len(),
            "{form}"
        );
    }
}
