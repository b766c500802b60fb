//! What goes wrong on the way to a handler, and in it.

use std::time::Duration;

use axum::body::Body;
use bongsu_domain::Code;
use bongsu_store::keys::KeyScope;
use futures_util::FutureExt;
use http::{HeaderValue, Method, Request};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::world::{Seen, World};
use crate::call::Call;
use crate::query::Query;
use crate::route::{Access, Handler, Route, Takes};
use crate::{ApiConfig, Limits, door, serve};

fn post(path: &str, key: &str) -> http::request::Builder {
    Request::builder()
        .method("POST")
        .uri(path)
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
}

/// `RateLimit-Limit` and `-Remaining`.
fn limit(seen: &Seen) -> (&str, &str) {
    let header = |name| seen.headers[name].to_str().expect("text");
    (header("ratelimit-limit"), header("ratelimit-remaining"))
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let world = World::new().await;
    assert_eq!(world.call("GET", "/v2/messages", "", Value::Null).await.refusal(), (404, "UM1011"));
    let seen = world.call("DELETE", "/v1/messages", "", Value::Null).await;
    assert_eq!(seen.refusal(), (405, "UM1014"));
    let allow = seen.headers["allow"].to_str().expect("text");
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
}

#[tokio::test]
async fn request_ids_are_kept_or_made() {
    let world = World::new().await;
    let live =
        |id: &str| Request::get("/health/live").header("x-request-id", id).body(Body::empty()).expect("a request");
    let kept = world.send(live("order-17.a_B")).await;
    assert_eq!(kept.headers["x-request-id"], "order-17.a_B");
    let (first, second) = (world.send(live("a b")).await, world.send(live(&"a".repeat(65))).await);
    assert_ne!(first.headers["x-request-id"], second.headers["x-request-id"]);
    assert!(first.headers["x-request-id"].to_str().expect("text").starts_with("req_"));
}

#[tokio::test]
async fn bodies_have_a_type_a_size_and_a_time() {
    let config = ApiConfig { body_bytes_max: 1024, body_timeout: Duration::from_millis(20), ..ApiConfig::default() };
    let world = World::with(config).await;
    let path = "/v1/accounts";
    let untyped = Request::post(path).header("authorization", format!("Bearer {}", world.operator));
    let seen = world.send(untyped.body("{}".into()).expect("a request")).await;
    assert_eq!(seen.refusal(), (415, "UM1015"));
    let told = post(path, &world.operator).header("content-length", "1025").body("{}".into()).expect("a request");
    assert_eq!(world.send(told).await.refusal(), (413, "UM1016"));
    let untold = post(path, &world.operator).body(" ".repeat(1025).into()).expect("a request");
    let seen = world.send(untold).await;
    assert_eq!(seen.refusal(), (413, "UM1016"));
    assert_eq!(seen.headers["connection"], "close");
    let never = Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let seen = world.send(post(path, &world.operator).body(never).expect("a request")).await;
    assert_eq!(seen.refusal(), (408, "UM1017"));
    world.call("POST", path, &world.operator, json!({"name": "a"})).await.good(201);
}

#[tokio::test]
async fn an_account_over_its_request_limit_waits_alone() {
    let world = World::with(ApiConfig { requests_per_s: 2, ..ApiConfig::default() }).await;
    let (_, loud) = world.account("loud", &[KeyScope::Read]).await;
    let (_, quiet) = world.account("quiet", &[KeyScope::Read]).await;
    for left in ["1", "0"] {
        let seen = world.call("GET", "/v1/wallet", &loud, Value::Null).await;
        assert_eq!(limit(&seen), ("2", left));
        seen.good(200);
    }
    let seen = world.call("GET", "/v1/wallet", &loud, Value::Null).await;
    assert_eq!(seen.refusal(), (429, "UM3003"));
    assert_eq!((limit(&seen), &seen.headers["retry-after"]), (("2", "0"), &HeaderValue::from(1)));
    world.call("GET", "/v1/wallet", &quiet, Value::Null).await.good(200);
    world.clock.advance(Duration::from_millis(500));
    world.call("GET", "/v1/wallet", &loud, Value::Null).await.good(200);
}

#[tokio::test]
async fn messages_count_by_their_number() {
    let world = World::with(ApiConfig { messages_burst: 3, ..ApiConfig::default() }).await;
    let (account, key) = world.sending_account("a").await;
    let path = format!("/v1/accounts/{account}");
    world.call("PATCH", &path, &world.operator, json!({"ratePerS": 1})).await.good(200);
    let batch = json!({"defaults": {"from": "021234567", "text": "t"}, "messages": [{"to": "01012345678"}, {"to": "01012345679"}]});
    let seen = world.call("POST", "/v1/messages/batch", &key, batch.clone()).await;
    assert_eq!(limit(&seen), ("3", "1"));
    let seen = world.call("POST", "/v1/messages/batch", &key, batch).await;
    assert_eq!(seen.refusal(), (429, "UM3003"));
}

#[tokio::test]
async fn idempotency_keys_are_checked() {
    let world = World::new().await;
    let (_, key) = world.account("a", &[KeyScope::Send]).await;
    for bad in ["", "a b", "a/b", &"k".repeat(256)] {
        let body = json!({"to": "01012345678", "from": "0212345678", "text": "t"}).to_string();
        let request = post("/v1/messages", &key).header("idempotency-key", bad).body(body.into()).expect("a request");
        let seen = world.send(request).await;
        assert_eq!(
            (seen.refusal(), seen.body["errors"][0]["field"].clone()),
            ((400, "UM1001"), json!("Idempotency-Key"))
        );
    }
}

#[tokio::test]
async fn the_open_routes_answer_without_a_key() {
    let world = World::new().await;
    assert_eq!(world.call("GET", "/health/live", "", Value::Null).await.good(200), json!({"status": "live"}));
    let document = world.call("GET", "/openapi.json", "", Value::Null).await.good(200);
    assert_eq!(document["openapi"], "3.1.0");
    let metrics = world.call("GET", "/metrics", "", Value::Null).await.good(200);
    assert!(metrics.as_str().expect("text").contains("bongsu_sockets{protocol=\"http\"} 0"));
}

#[tokio::test]
async fn a_panic_in_a_handler_is_an_internal_error() {
    let world = World::new().await;
    let call = || Call {
        second: String::new(),
        app: world.app.clone(),
        request_id: "r".into(),
        caller: None,
        parameter: String::new(),
        query: Query::default(),
        prefers_korean: false,
        idempotency_key: None,
        body: bytes::Bytes::new(),
        rows: Default::default(),
    };
    for method in [Method::GET, Method::POST] {
        for handler in [|_| panic!("before"), |_| async { panic!("after") }.boxed()] as [Handler; 2] {
            let route = Route {
                method: method.clone(),
                path: "/",
                id: "panics",
                summary: "",
                access: Access::Public,
                query: &[],
                takes: Takes::Nothing,
                gives: (200, None),
                handler,
            };
            let problem = door::run(&route, call(), None).await.expect_err("it panicked");
            assert_eq!((problem.code, problem.status.as_u16()), (Code::Internal, 500), "{method}");
            assert!(!problem.detail.contains("before") && !problem.detail.contains("after"));
        }
    }
}

/// Sends bytes over a real connection and reads the answer to the end of the stream.
async fn converse(world: &World, request: &[u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(serve(listener, world.router.clone(), Limits::default(), stopped));
    let mut stream = TcpStream::connect(address).await.expect("the loop accepts");
    stream.write_all(request).await.expect("write");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("read");
    stop.send(true).expect("it runs");
    serving.await.expect("drained");
    String::from_utf8(answer).expect("text")
}

#[tokio::test]
async fn a_body_that_stalls_is_answered_and_the_connection_closed() {
    let world = World::with(ApiConfig { body_timeout: Duration::from_millis(20), ..ApiConfig::default() }).await;
    let head = |more: &str| {
        let key = &world.operator;
        format!("POST /v1/accounts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n{more}\r\n\r\n{{\"name\"")
    };
    let json = "Content-Type: application/json\r\n";
    for (more, status) in [
        (format!("{json}Content-Length: 100"), "408"),
        (format!("{json}Content-Length: 100000000"), "413"),
        ("Content-Length: 100".to_owned(), "415"),
    ] {
        let answer = converse(&world, head(&more).as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{more}: {answer}");
        assert!(answer.contains("connection: close") && answer.contains("\"code\":\"UM10"), "{more}: {answer}");
    }
}
