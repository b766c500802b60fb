//! Commands against a real server: what works, and the exit code and the one sentence of what does not.

use std::net::TcpListener;
use std::process::Output;

use serde_json::Value;

use super::{Server, bongsu, text};

/// The one sentence of a refused command, and its exit code.
fn refusal(output: &Output) -> (Option<i32>, String) {
    let sentence = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = sentence.lines().rfind(|line| line.starts_with("bongsu: ")).unwrap_or_else(|| panic!("{output:?}"));
    (output.status.code(), last.to_owned())
}

fn answer(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_may_not_end_commands_with_1_and_say_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &[]);
    let member = server.member(10).await;
    let url = server.url();
    for (key, word) in [("bk_wrong", "set BONGSU_KEY to a valid key"), (&member.key, "UM1003")] {
        for command in [["admin", "account", "list"].as_slice(), &["admin", "relay", "list"], &["audit"]] {
            let arguments = [command, &["--url", &url, "--json"]].concat();
            let output = bongsu(&arguments, &[("BONGSU_KEY", key)]).await;
            let (code, sentence) = refusal(&output);
            assert_eq!(code, Some(1), "{command:?}");
            assert!(sentence.contains(word), "{command:?}: {sentence}");
            let document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
            assert!(document["error"].is_string(), "{document}");
        }
    }
    let output = bongsu(&["admin", "account", "list", "--url", &url], &[]).await;
    assert_eq!(refusal(&output).0, Some(1), "no key at all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sets_an_installation_up_from_the_command_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &[]);
    let url = server.url();
    let admin = async |words: &[&str]| {
        let arguments = [["admin"].as_slice(), words, &["--url", &url, "--json"]].concat();
        let variables = [("BONGSU_KEY", server.operator.as_str()), ("BONGSU_RELAY_PASSWORD", "secret")];
        bongsu(&arguments, &variables).await
    };
    let account = text(&answer(&admin(&["account", "create", "shop"]).await)["id"]);
    let relay = answer(&admin(&["relay", "add", "kt", "--address", "127.0.0.1:9", "--system-id", "a"]).await);
    let id = text(&relay["id"]);
    for name in ["kt", &id] {
        let changed = answer(&admin(&["relay", "update", name, "--window", "7", "--resend-unknown", "false"]).await);
        assert_eq!((&changed["window"], &changed["resendUnknown"]), (&7.into(), &false.into()), "{name}");
    }
    let shares = answer(&admin(&["distribution", "set", "sms", "kt=100", "--account", &account]).await);
    assert_eq!(shares["shares"]["kt"], 100);
    let used = admin(&["relay", "delete", &id]).await;
    let (code, sentence) = refusal(&used);
    assert!(code == Some(1) && sentence.contains("UM1013"), "{sentence}");
    answer(&admin(&["distribution", "reset", "sms", "--account", &account]).await);
    answer(&admin(&["wallet", "credit", &account, "100", "--cause", "first"]).await);
    let key = answer(&admin(&["key", "create", "--account", &account, "--scope", "manage"]).await);
    assert!(text(&key["key"]).starts_with("bk_"));
    let sender = answer(&admin(&["sender", "add", "02-345-6789", "--account", &account]).await);
    let approved = answer(&admin(&["sender", "approve", &text(&sender["id"])]).await);
    assert_eq!(approved["state"], "active");
    let gone = admin(&["relay", "delete", &id]).await;
    assert_eq!(gone.status.code(), Some(0), "{gone:?}");
    let (code, sentence) = refusal(&admin(&["relay", "update", "kt", "--window", "7"]).await);
    assert!(code == Some(1) && sentence.contains("UM1011"), "{sentence}");
    let shown = answer(&admin(&["wallet", "show", "--account", &account]).await);
    assert_eq!(shown["balances"]["point:sms"], 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_start_says_why_in_one_sentence() {
    let directory = tempfile::tempdir().expect("a directory");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let name = |path: &std::path::Path| path.to_str().expect("a name in UTF-8").to_owned();
    let data = name(&directory.path().join("data"));
    let file = directory.path().join("file");
    std::fs::write(&file, "no directory").expect("a writable directory");
    let relay = format!("kt={address}");
    for (arguments, exit, word) in [
        (vec!["serve", "--data", &data, "--listen", &address], 1, "cannot listen on"),
        (vec!["serve", "--data", &name(&file), "--listen", "127.0.0.1:0"], 1, "cannot use the data directory"),
        (vec!["serve", "--data", &data, "--roles", "cook"], 2, "the configuration has 1 problem"),
        (vec!["sim", "--relay", &relay, "--control", "127.0.0.1:0"], 1, "listen"),
        (vec!["audit", "--data", "/nowhere"], 2, "there is no data directory"),
    ] {
        let (code, sentence) = refusal(&bongsu(&arguments, &[]).await);
        assert_eq!(code, Some(exit), "{arguments:?}: {sentence}");
        assert!(sentence.contains(word), "{arguments:?}: {sentence}");
    }
    assert!(!directory.path().join("data").exists(), "what did not start left nothing behind");

    let server = Server::start(&directory.path().join("data"), &[]);
    for command in [["serve", "--listen", "127.0.0.1:0", "--data", &data].as_slice(), &["migrate", "--data", &data]] {
        let (code, sentence) = refusal(&bongsu(command, &[]).await);
        assert_eq!(code, Some(3), "{command:?}: {sentence}");
        assert!(sentence.contains("another process uses the data directory"), "{sentence}");
    }
    assert_eq!(server.stop().0, Some(0), "the first one is unharmed");
}
