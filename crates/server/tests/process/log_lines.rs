//! Log lines for collectors: one JSON object each, and those of a request name it.

use serde_json::{Value, json};

use super::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_lines_of_a_request_carry_its_id() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let server =
        Server::start(&data, &[("BONGSU__LOG__FORMAT", "json"), ("BONGSU__LOG__LEVEL", "info,bongsu_api=debug")]);
    let bearer = format!("Bearer {}", server.operator);
    let post = |id: &'static str, body: Value| {
        let (http, bearer) = (&server.http, bearer.as_str());
        async move {
            let headers = [("authorization", bearer), ("content-type", "application/json"), ("x-request-id", id)];
            http.send("POST", "/v1/accounts", &headers, body.to_string()).await.expect("an answer").status
        }
    };
    assert_eq!(post("mine-1", json!({ "name": "가게" })).await, 201);
    assert_eq!(post("mine-2", json!({ "name": 7 })).await, 422);
    let (exit, log) = server.stop();
    assert_eq!(exit, Some(0));
    let mut lines = Vec::new();
    for line in log.lines().filter(|line| !line.starts_with("operator key")) {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(["time", "level", "target", "message"].iter().all(|name| line[*name].is_string()), "{line}");
        lines.push(line);
    }
    for (id, status) in [("mine-1", 201), ("mine-2", 422)] {
        let line = lines.iter().find(|line| line["request_id"] == id).unwrap_or_else(|| panic!("no {id} in {log}"));
        assert_eq!((&line["operation"], &line["status"]), (&json!("create_account"), &json!(status)));
    }
    assert!(lines.iter().any(|line| line.get("request_id").is_none()), "the process's own lines have none");
}
