//! `bongsu send` where it does not go straight on: killed while it waits, asked for other things, given bad rows.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::{BONGSU, Member, Server, bongsu, simulator};

/// A table and what is said about it.
struct Sending<'a> {
    server: &'a Server,
    member: &'a Member,
    table: &'a str,
}

impl Sending<'_> {
    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let url = self.server.url();
        let of_all = ["send", "--json", "--csv", self.table, "--url", &url];
        of_all.iter().chain(more).map(|word| (*word).to_owned()).collect()
    }

    async fn run(&self, more: &[&str]) -> Output {
        let arguments = self.arguments(more);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        bongsu(&arguments, &[("BONGSU_KEY", &self.member.key)]).await
    }

    fn note(&self) -> String {
        std::fs::read_to_string(format!("{}.bongsu", self.table)).unwrap_or_default()
    }

    async fn groups(&self) -> Vec<Value> {
        let page = self.server.call(&self.member.key, "GET", "/v1/groups", Value::Null).await.body;
        page["items"].as_array().cloned().expect("a list")
    }

    /// What was taken from the balance, entry by entry.
    async fn charges(&self) -> Vec<i64> {
        let page = self.server.call(&self.member.key, "GET", "/v1/wallet/entries", Value::Null).await.body;
        let amounts = page["items"].as_array().expect("a list").iter().filter_map(|entry| entry["amount"].as_i64());
        amounts.filter(|amount| *amount < 0).collect()
    }
}

fn table(directory: &Path, text: &str) -> String {
    let path = directory.join("t.csv");
    std::fs::write(&path, text).expect("room");
    path.to_str().expect("a name in UTF-8").to_owned()
}

/// The exit code and everything that was said about a refusal.
fn refusal(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_dies_while_it_waits_is_gone_on_with_and_sent_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(&directory.path().join("data"), &[]);
    let member = server.member(100).await;
    let table = table(directory.path(), "to\n01020000001\n01020000002\n01020000003\n");
    let sending = Sending { server: &server, member: &member, table: &table };
    let what = ["--from", &member.from, "--text", "봉수 하나"];
    // No relay is there, so the messages wait.
    let mut command = Command::new(BONGSU);
    command.args(sending.arguments(&what)).env("BONGSU_KEY", &member.key);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut first = command.spawn().expect("the program starts");
    bongsu_testkit::until("it waits for the results", || async {
        sending.note().contains("\"phase\":\"sent\"").then_some(())
    })
    .await;
    first.kill().expect("it runs");
    first.wait().expect("it ends");
    assert_eq!(sending.groups().await[0]["state"], "sending");

    for other in [
        vec!["--from", &member.from, "--text", "봉수 둘"],
        vec!["--from", &member.from, "--text", "봉수 하나", "--lane", "realtime"],
    ] {
        let (code, said) = refusal(&sending.run(&other).await);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("which was sent") && said.contains(other[other.len() - 2]), "{said}");
    }
    std::fs::write(&table, "to\n01020000001\n01020000002\n01020000009\n").expect("room");
    let (code, said) = refusal(&sending.run(&what).await);
    assert!(code == Some(2) && said.contains("the table"), "{said}");
    std::fs::write(&table, "to\n01020000001\n01020000002\n01020000003\n").expect("room");

    let sim = simulator();
    server.relay(&sim).await;
    let again = sending.run(&what).await;
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    let ended: Value = serde_json::from_slice(&again.stdout).expect("one document");
    assert_eq!((&ended["state"], &ended["counts"]["accepted"]), (&json!("finished"), &json!(3)));
    assert_eq!((sending.groups().await.len(), sending.charges().await), (1, vec![-3]));
    assert_eq!(sending.note(), "", "it has ended, and its result was printed");

    // What ended well may be begun anew; a group that has ended takes no table.
    let id = ended["id"].as_str().expect("an id");
    let (code, said) = refusal(&sending.run(&["--resume", id]).await);
    assert!(code == Some(1) && said.contains("finished"), "{said}");
    let new = sending.run(&what).await;
    assert_eq!(new.status.code(), Some(0), "{new:?}");
    assert_eq!(sending.groups().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_without_a_good_row_says_why_and_is_begun_anew() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(&directory.path().join("data"), &[]);
    let member = server.member(100).await;
    let path = table(directory.path(), "to\n1\n0212345678\n");
    let sending = Sending { server: &server, member: &member, table: &path };
    let what = ["--from", &member.from, "--text", "봉수", "--no-wait"];
    let output = sending.run(&what).await;
    let (code, said) = refusal(&output);
    assert!(code == Some(1) && said.contains("none of the 2 rows"), "{said}");
    let lines = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(lines.contains("row 1: UM1020 ") && lines.contains("row 2: UM1020 "), "{lines}");
    table(directory.path(), "to\n01020000001\n0212345678\n");
    let output = sending.run(&what).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!((sending.charges().await, sending.note().as_str()), (vec![-1], ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_staged_is_sent_by_the_same_command_or_by_its_group() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(&directory.path().join("data"), &[]);
    let member = server.member(100).await;
    let path = table(directory.path(), "to\n01020000001\n");
    let sending = Sending { server: &server, member: &member, table: &path };
    let what = ["--from", &member.from, "--text", "봉수", "--no-wait"];
    let staged = sending.run(&[what.as_slice(), &["--stage-only"]].concat()).await;
    assert_eq!(staged.status.code(), Some(0), "{staged:?}");
    let group = sending.groups().await.remove(0);
    assert_eq!(group["state"], "staging");
    let id = group["id"].as_str().expect("an id");
    let (code, said) = refusal(&sending.run(&["--resume", "grp_0000000000000"]).await);
    assert!(code == Some(2) && said.contains(id), "{said}");
    assert_eq!(sending.run(&what).await.status.code(), Some(0));
    assert_eq!((sending.groups().await.len(), sending.charges().await), (1, vec![-1]));

    let body = json!({"defaults": {"from": member.from, "text": "봉수 둘"}});
    let made = server.call(&member.key, "POST", "/v1/groups", body).await.body;
    let id = made["id"].as_str().expect("an id");
    let (code, said) = refusal(&sending.run(&["--resume", id, "--text", "다른 글", "--no-wait"]).await);
    assert!(code == Some(2) && said.contains("--text"), "{said}");
    let output = sending.run(&["--resume", id, "--no-wait"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(sending.charges().await, [-1, -1]);
}
