//! The lines of the README that are marked as tested, run as they stand.

use std::process::{Command, Stdio};

use bongsu_testkit::World;
use serde_json::{Value, json};

use super::text;

/// The sender number that the README uses.
const NUMBER: &str = "0212345678";

fn blocks(page: &str) -> Vec<String> {
    let file = format!("{}/../{page}", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(&file).expect("the page");
    let starts = page.split("```sh test\n").skip(1);
    starts.map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

async fn run(page: &'static str) {
    let world = World::start().await;
    let sender = world.call(&world.main.key, "POST", "/v1/senders", json!({ "number": NUMBER })).await.good(201);
    let approve = format!("/v1/senders/{}/approve", text(&sender["id"]));
    world.operator("POST", &approve, Value::Null).await.good(200);
    let blocks = blocks(page);
    assert!(blocks.len() >= 6, "{} blocks in {page}", blocks.len());
    for block in blocks {
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", &block]).stdin(Stdio::null());
        command.env("BONGSU_URL", format!("http://{}", world.address())).env("BONGSU_KEY", &world.main.key);
        command.env("BONGSU_OPERATOR_KEY", &world.operator_key);
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("bash");
        assert!(output.status.success(), "{page}:\n{block}\n{output:?}");
        let answer = String::from_utf8_lossy(&output.stdout);
        // A message that has left cannot be canceled any more, and the README says so.
        let refused = answer.contains("\"status\":4") && !answer.contains("UM1012");
        assert!(answer.contains('{') && !refused, "{page}:\n{block}\n{answer}");
    }
    let received = world.sim.inbox("01012345678");
    assert!(received.iter().any(|message| message.text == "봉수 첫 소식"), "{received:?}");
    assert!(received.iter().any(|message| message.text.contains("김하나님")), "{received:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_of_the_readme_work_as_they_stand() {
    run("README.md").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_of_the_korean_readme_work_as_they_stand() {
    run("README.ko.md").await;
}
