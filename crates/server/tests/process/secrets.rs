//! What must not be found: numbers, texts, keys and codes, in the log or in any file of the data directory.

use std::path::{Path, PathBuf};

use bongsu_domain::Timestamp;
use bongsu_testkit::until;
use serde_json::{Value, json};

use super::{Server, simulator};

const NUMBER: &str = "01098765432";
const SENDER: &str = "01087651234";
const TEXT: &str = "아무도 읽지 못하는 소식";
const SUBJECT: &str = "감춘 제목";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_number_text_key_or_code_is_in_the_log_or_on_the_disk() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let sim = simulator();
    let server = Server::start(&data, &[("BONGSU__LOG__LEVEL", "trace")]);
    server.relay(&sim).await;
    let member = server.member(1_000).await;
    let long = json!({ "to": NUMBER, "from": member.from, "text": TEXT, "subject": SUBJECT, "clientRef": "order-1" });
    let rows = json!({
        "defaults": { "from": member.from, "text": "#{이름}" },
        "messages": [{ "to": NUMBER, "variables": { "이름": TEXT } }, { "to": NUMBER, "variables": { "이름": TEXT } }, { "to": "1" }],
    });
    let refused = json!({ "to": NUMBER, "from": SENDER, "text": TEXT });
    let mut ids = Vec::new();
    for (path, body, status) in [
        ("/v1/messages", member.message(NUMBER, TEXT), 202),
        ("/v1/messages", long, 202),
        ("/v1/messages/batch", rows, 202),
        ("/v1/messages", refused, 422),
        ("/v1/senders", json!({ "number": SENDER }), 201),
    ] {
        let answer = server.call(&member.key, "POST", path, body).await.good(status);
        ids.extend(answer["id"].as_str().filter(|id| id.starts_with("msg_")).map(str::to_owned));
        let rows = answer["results"].as_array().into_iter().flatten();
        ids.extend(rows.filter_map(|row| row["id"].as_str()).map(str::to_owned));
    }
    assert_eq!(ids.len(), 4);
    server.call("bk_no_such_key", "GET", "/v1/wallet", Value::Null).await;
    let search = format!("/v1/messages?recipient={NUMBER}&limit=3");
    server.call(&member.key, "GET", &search, Value::Null).await.good(200);
    until("everything has its result", || async {
        let list = server.call(&member.key, "GET", "/v1/messages?status=delivered", Value::Null).await.good(200);
        (list["items"].as_array().map(Vec::len) == Some(ids.len())).then_some(())
    })
    .await;
    let code =
        until("the code arrives", || async { sim.inbox(SENDER).first().map(|message| message.text.clone()) }).await;
    let code = code.split(|c: char| !c.is_ascii_digit()).find(|run| run.len() == 6).expect("six digits").to_owned();

    let mut secrets = vec![
        ("the number", NUMBER.as_bytes().to_vec()),
        ("the number abroad", format!("82{}", &NUMBER[1..]).into_bytes()),
        ("the sender's number", SENDER.as_bytes().to_vec()),
        ("the key", member.key.clone().into_bytes()),
    ];
    for (name, words) in [("the text", TEXT), ("the subject", SUBJECT)] {
        secrets.push((name, words.as_bytes().to_vec()));
        secrets.push((name, words.encode_utf16().flat_map(u16::to_be_bytes).collect()));
        secrets.push((name, bongsu_domain::text::encode_cp949(words).expect("CP949 has it")));
    }
    // While it runs the newest rows are in the logs of the files, afterwards in the files.
    search_files(&data, &secrets);
    let operator = server.operator.clone();
    let (exit, log) = server.stop();
    assert_eq!(exit, Some(0));
    search_files(&data, &secrets);
    for (name, secret) in &secrets {
        let found = contains(log.as_bytes(), secret);
        assert!(!found, "{name} is in the log");
    }
    assert!(!has_code(&log, &code), "the code is in the log");
    assert_eq!(log.matches(&operator).count(), 1, "the operator's key is shown once");
    assert!(log.contains("bongsu_relay"), "there is a log: {log}");
    sim.shutdown().await;
}

fn search_files(data: &Path, secrets: &[(&str, Vec<u8>)]) {
    let files = files_below(data);
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let bytes = std::fs::read(&file).expect("a readable file");
        for (name, secret) in secrets {
            assert!(!contains(&bytes, secret), "{name} is in {}", file.display());
        }
    }
}

fn contains(bytes: &[u8], secret: &[u8]) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret)
}

/// Whether six digits stand by themselves in a line after its time: longer numbers and microseconds may have them by chance.
fn has_code(log: &str, code: &str) -> bool {
    let words = |line: &str| line.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == code);
    log.lines().any(|line| match line.split_once(' ') {
        Some((time, rest)) if Timestamp::parse_rfc3339(time).is_some() => words(rest),
        _ => words(line),
    })
}

#[test]
fn a_code_is_told_from_a_time() {
    assert!(!has_code("2026-03-02T10:00:00.123456Z  INFO bongsu: started id=71234567", "123456"));
    assert!(has_code("2026-03-02T10:00:00.654321Z  INFO bongsu: 인증번호 [123456]", "123456"));
    assert!(has_code("  and 123456", "123456"));
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).expect("the data directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}
