//! The accept loop against stalled clients on real loopback sockets.

use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::{Limits, serve};

struct House {
    address: std::net::SocketAddr,
    limits: Limits,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

async fn house(limits: Limits, router: Router) -> House {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(serve(listener, router, limits.clone(), stopped));
    House { address, limits, stop, task }
}

fn router() -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/echo", post(|body: axum::body::Bytes| async move { body }))
}

fn patient() -> Limits {
    let long = Duration::from_secs(600);
    Limits { first_byte_timeout: long, header_timeout: long, idle_timeout: long, drain: long, ..Limits::default() }
}

async fn connect(house: &House) -> TcpStream {
    TcpStream::connect(house.address).await.expect("the loop accepts")
}

/// Sends a request and reads its answer, which ends with `hello`.
async fn greet(stream: &mut TcpStream) {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("write");
    read_until(stream, "hello").await;
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    while !seen.ends_with(end) {
        let count = stream.read(&mut buffer).await.expect("read");
        assert!(count > 0, "closed after {seen:?}");
        seen.push_str(std::str::from_utf8(&buffer[..count]).expect("text"));
    }
    seen
}

/// Reads to the end of the stream: the loop has closed it.
async fn closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    // A reset is as good as an end.
    let _ = stream.read_to_end(&mut rest).await;
}

#[tokio::test]
async fn answers_requests_of_one_connection_in_order_also_pipelined() {
    let house = house(patient(), router()).await;
    let mut stream = connect(&house).await;
    greet(&mut stream).await;
    stream
        .write_all(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\noneGET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("write");
    let both = read_until(&mut stream, "hello").await;
    assert!(both.find("one").expect("first answer") < both.find("hello").expect("second answer"));
}

#[tokio::test]
async fn closes_who_never_speaks() {
    let limits = Limits { first_byte_timeout: Duration::from_millis(40), ..patient() };
    let house = house(limits, router()).await;
    closed(connect(&house).await).await;
}

#[tokio::test]
async fn closes_who_drips_a_head() {
    let limits = Limits { header_timeout: Duration::from_millis(60), ..patient() };
    let house = house(limits, router()).await;
    let (mut reader, mut writer) = connect(&house).await.into_split();
    let dripping = tokio::spawn(async move {
        // Each byte is progress, and still the head has to be complete in time.
        let mut pace = tokio::time::interval(Duration::from_millis(5));
        writer.write_all(b"GET / HTTP/1.1\r\nX: ").await.expect("write");
        while writer.write_all(b"a").await.is_ok() {
            pace.tick().await;
        }
    });
    let mut rest = Vec::new();
    let _ = reader.read_to_end(&mut rest).await;
    dripping.await.expect("the socket was closed under it");
}

#[tokio::test]
async fn closes_who_stays_idle_after_an_answer() {
    let limits = Limits { idle_timeout: Duration::from_millis(40), ..patient() };
    let house = house(limits, router()).await;
    let mut stream = connect(&house).await;
    greet(&mut stream).await;
    closed(stream).await;
}

#[tokio::test]
async fn a_stalled_client_does_not_hold_up_others() {
    let house = house(patient(), router()).await;
    let mut stalled = Vec::new();
    for _ in 0..50 {
        let mut stream = connect(&house).await;
        stream.write_all(b"POST /echo HTTP/1.1\r\nContent-Le").await.expect("write");
        stalled.push(stream);
    }
    greet(&mut connect(&house).await).await;
}

#[tokio::test]
async fn at_the_limit_the_longest_idle_make_room() {
    let limits = Limits { max_connections: 100, ..patient() };
    let house = house(limits, router()).await;
    let mut idle = Vec::new();
    for _ in 0..100 {
        let mut stream = connect(&house).await;
        greet(&mut stream).await;
        idle.push(stream);
    }
    let mut late = Vec::new();
    for _ in 0..150 {
        let mut stream = connect(&house).await;
        greet(&mut stream).await;
        late.push(stream);
    }
    for stream in idle {
        closed(stream).await;
    }
    greet(late.last_mut().expect("some")).await;
}

#[tokio::test]
async fn at_the_limit_with_all_at_work_new_ones_wait() {
    let (started, mut starts) = mpsc::unbounded_channel();
    let (release, released) = watch::channel(false);
    let slow = move || {
        let (started, mut released) = (started.clone(), released.clone());
        async move {
            started.send(()).expect("the test listens");
            released.wait_for(|released| *released).await.expect("the test releases");
            "done"
        }
    };
    let limits = Limits { max_connections: 2, ..patient() };
    let house = house(limits, router().route("/slow", get(slow))).await;
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut stream = connect(&house).await;
        stream.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("write");
        starts.recv().await.expect("it arrived");
        busy.push(stream);
    }
    let mut third = connect(&house).await;
    third.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("write");
    assert_eq!(house.limits.sockets.load(std::sync::atomic::Ordering::Relaxed), 2);
    release.send(true).expect("they wait");
    for stream in &mut busy {
        read_until(stream, "done").await;
    }
    drop(busy);
    read_until(&mut third, "hello").await;
}

#[tokio::test]
async fn a_stop_closes_the_idle_and_lets_the_busy_finish() {
    let (started, mut starts) = mpsc::unbounded_channel();
    let (release, released) = watch::channel(false);
    let slow = move || {
        let (started, mut released) = (started.clone(), released.clone());
        async move {
            started.send(()).expect("the test listens");
            released.wait_for(|released| *released).await.expect("the test releases");
            "done"
        }
    };
    let house = house(patient(), router().route("/slow", get(slow))).await;
    let mut idle = connect(&house).await;
    greet(&mut idle).await;
    let mut busy = connect(&house).await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("write");
    starts.recv().await.expect("it arrived");
    house.stop.send(true).expect("it runs");
    closed(idle).await;
    assert!(TcpStream::connect(house.address).await.is_err(), "no new connections after a stop");
    assert!(!house.task.is_finished());
    release.send(true).expect("it waits");
    read_until(&mut busy, "done").await;
    closed(busy).await;
    house.task.await.expect("drained");
}

#[tokio::test]
async fn a_stop_cuts_what_does_not_finish_in_time() {
    let (started, mut starts) = mpsc::unbounded_channel();
    let never = move || {
        let started = started.clone();
        async move {
            started.send(()).expect("the test listens");
            std::future::pending::<&str>().await
        }
    };
    let limits = Limits { drain: Duration::from_millis(20), ..patient() };
    let house = house(limits, router().route("/never", get(never))).await;
    let mut stream = connect(&house).await;
    stream.write_all(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("write");
    starts.recv().await.expect("it arrived");
    house.stop.send(true).expect("it runs");
    house.task.await.expect("drained");
    closed(stream).await;
}

#[tokio::test]
async fn who_still_sends_a_body_that_nobody_reads_gets_the_answer_and_no_reset() {
    let refuse = || async { (http::StatusCode::PAYLOAD_TOO_LARGE, [("connection", "close")], "too large") };
    let house = house(patient(), router().route("/refuse", axum::routing::post(refuse))).await;
    let mut stream = connect(&house).await;
    let body = vec![b'x'; 8 * 1024 * 1024];
    let head = format!("POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.expect("write");
    stream.write_all(&body).await.expect("the body is taken, though nobody wants it");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer and an end, not a reset");
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with("too large"), "{answer}");
}
