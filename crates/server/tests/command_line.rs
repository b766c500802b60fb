//! Exit codes and sentences of the program where no Bongsu runs: 1 fault, 2 bad configuration.
#![allow(clippy::unwrap_used)] // Helpers of tests are tests, too.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};

use serde_json::Value;
use tokio::net::TcpSocket;

fn bongsu(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bongsu"));
    command.args(arguments).env_remove("BONGSU_URL").env_remove("BONGSU_KEY");
    command.envs(variables.iter().copied()).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The one JSON document on stdout.
fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// An address where nobody listens, as long as its socket is there: it has the port and takes no connection.
fn deaf_address() -> (String, TcpSocket) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    (socket.local_addr().unwrap().to_string(), socket)
}

/// Answers one request with `answer` and gives the address.
fn one_answer(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        let _ = stream.read(&mut head).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
    });
    format!("http://{address}")
}

#[test]
fn unknown_configuration_keys_end_with_2_and_name_every_path() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bongsu.toml");
    std::fs::write(&file, "nod = 1\n[send]\nunknown_wait = 5\n").unwrap();
    let file = file.to_str().unwrap();
    for command in [["serve", "--config", file].as_slice(), &["config", "check", "--config", file]] {
        let output = bongsu(command, &[("BONGSU__NODE", "x")]);
        assert_eq!(output.status.code(), Some(2));
        let text = stderr(&output);
        assert!(text.starts_with("bongsu: the configuration has 3 problems; correct what is listed:\n"), "{text}");
        for path in ["nod: ", "send.unknown_wait: ", "node: "] {
            assert!(text.contains(&format!("\n  {path}")), "{path} in {text}");
        }
    }
    let output = bongsu(&["config", "check", "--config", file, "--json"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(document(&output)["findings"][1]["path"], "send.unknown_wait");
}

#[cfg(not(feature = "mysql"))]
#[test]
fn an_engine_that_is_not_built_ends_with_2_and_names_the_feature() {
    let variables = [("BONGSU__STORE__KIND", "mysql"), ("BONGSU__STORE__URL", "mysql://user:password@db/bongsu")];
    let output = bongsu(&["serve"], &variables);
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    assert!(text.contains("store.kind: this build has no feature mysql"), "{text}");
    assert!(!text.contains("password"), "{text}");
}

#[test]
fn a_configuration_file_that_is_not_there_ends_with_2() {
    let output = bongsu(&["serve", "--config", "/nowhere/bongsu.toml"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("/nowhere/bongsu.toml"));
}

#[test]
fn the_configuration_in_force_is_one_document() {
    let output = bongsu(&["config", "print", "--json", "--listen", "127.0.0.1:9"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let document = document(&output);
    assert_eq!(document["listen"], "127.0.0.1:9");
    assert_eq!(document["queue"]["bulk"]["kind"], "inprocess");
}

#[test]
fn a_server_that_is_away_ends_with_1_and_says_what_to_do() {
    let (address, _socket) = deaf_address();
    let url = format!("http://{address}");
    let key = ("BONGSU_KEY", "bk_test");
    for command in [["admin", "account", "list"].as_slice(), &["audit"], &["demo", "--world", "/nowhere"]] {
        let mut command = command.to_vec();
        command.extend(["--url", &url, "--json"]);
        let output = bongsu(&command, &[key]);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {output:?}");
        let text = stderr(&output);
        assert!(text.starts_with(&format!("bongsu: Bongsu does not answer at {url} (")), "{text}");
        assert!(text.contains("start it with `bongsu serve`"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(document(&output)["error"].is_string());
    }
}

#[test]
fn a_wrong_key_ends_with_1_and_says_what_to_do() {
    let answer = "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/problem+json\r\nconnection: close\r\n\r\n\
                  {\"status\":401,\"code\":\"UM1002\",\"title\":\"The API key is missing or wrong\"}";
    let output = bongsu(&["admin", "account", "list", "--url", &one_answer(answer)], &[("BONGSU_KEY", "wrong")]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert_eq!(
        text,
        "bongsu: the key was refused (UM1002); set BONGSU_KEY to a valid key (the operator's is in DIR/operator.key)\n"
    );
}

#[test]
fn a_refused_request_shows_every_finding() {
    let answer = "HTTP/1.1 422 Unprocessable Content\r\nconnection: close\r\n\r\n\
                  {\"status\":422,\"code\":\"UM1001\",\"detail\":\"two fields\",\"errors\":[\
                  {\"field\":\"name\",\"code\":\"UM1001\",\"detail\":\"is empty\"},{\"field\":\"to\",\"index\":3,\"code\":\"UM1020\",\"detail\":\"is no number\"}]}";
    let output = bongsu(&["admin", "account", "create", "", "--url", &one_answer(answer)], &[("BONGSU_KEY", "k")]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.ends_with("\n  name: is empty (UM1001)\n  messages[3].to: is no number (UM1020)\n"), "{text}");
}

#[test]
fn an_address_that_is_not_http_ends_with_2() {
    let output = bongsu(&["admin", "account", "list", "--url", "https://example.com"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("write it like http://127.0.0.1:8080"));
}

#[test]
fn a_bad_script_ends_with_2_and_names_its_path() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("script.json");
    std::fs::write(&file, r#"{"relays":{"kt":{"codes":{"DELIVRD":1.5},"delay":3}}}"#).unwrap();
    let arguments =
        ["sim", "--relay", "kt=127.0.0.1:0", "--control", "127.0.0.1:0", "--script", file.to_str().unwrap()];
    let output = bongsu(&arguments, &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let text = stderr(&output);
    assert!(text.contains("relays.kt.codes.DELIVRD") && text.contains("relays.kt.delay"), "{text}");
}

#[test]
fn a_file_of_ids_with_a_bad_line_ends_with_2() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("acked");
    std::fs::write(&file, "msg_0000000000001\nhello\n").unwrap();
    let output = bongsu(&["audit", "--data", "/nowhere", "--acked", file.to_str().unwrap()], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("line 2 is no message id"), "{output:?}");
}

#[test]
fn the_result_codes_are_one_table() {
    let output = bongsu(&["codes"], &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text.lines().count(), 2 + bongsu_domain::Code::ALL.len());
    assert!(text.contains("| UM3001 |"));
    let output = bongsu(&["codes", "--json"], &[]);
    assert_eq!(document(&output).as_array().unwrap().len(), bongsu_domain::Code::ALL.len());
}
