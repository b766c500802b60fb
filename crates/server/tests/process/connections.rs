//! Clients that hold connections: slow heads, stalled bodies, and very many that say nothing.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Member, Server};

/// What others may wait at most, on a busy machine with a program that is not optimised.
const PROMPT: Duration = Duration::from_secs(15);
/// Idle connections that are tried, and the least that make sense.
const IDLE: usize = 10_000;
const IDLE_LEAST: usize = 2_000;
/// Files that the test needs besides its connections.
const OTHER_FILES: usize = 500;

/// Others are served: messages are accepted, promptly, over new connections.
async fn others_are_served(server: &Server, member: &Member) {
    for n in 0..10 {
        let start = Instant::now();
        let http = bongsu_testkit::Http::new(server.http.address());
        let body = member.message("01020000001", &format!("봉수 {n}"));
        let reply = http.call(&member.key, "POST", "/v1/messages", &body).await.expect("an answer");
        assert_eq!(reply.status, 202, "{}", reply.text);
        assert!(start.elapsed() < PROMPT, "served after {:?}", start.elapsed());
    }
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.http.address()).await.expect("the server takes connections")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_drip_are_cut_and_others_are_served_meanwhile() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &[("BONGSU__LIMITS__HEADERS_MS", "2000")]);
    let member = server.member(1_000).await;
    let start = Instant::now();
    let mut dripping = Vec::new();
    for _ in 0..300 {
        let mut stream = connect(&server).await;
        dripping.push(tokio::spawn(async move {
            // A byte now and then is progress, and still the head has to be complete in time.
            let mut pace = tokio::time::interval(Duration::from_millis(50));
            let mut ended = stream.write_all(b"POST /v1/messages HTTP/1.1\r\nX-Slow: ").await.is_err();
            while !ended {
                pace.tick().await;
                ended = stream.write_all(b"a").await.is_err();
            }
        }));
    }
    others_are_served(&server, &member).await;
    for drip in dripping {
        drip.await.expect("it was cut");
    }
    assert!(start.elapsed() < Duration::from_secs(60), "cut after {:?}", start.elapsed());
    others_are_served(&server, &member).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_stall_take_no_room_from_others() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &[("BONGSU__LIMITS__BODY_MS", "4000")]);
    let member = server.member(1_000).await;
    let mut stalled = Vec::new();
    // Together they announce 3 GiB, where 128 MiB may be in memory, and as many small ones as there may be large ones.
    for length in [16 * 1024 * 1024, 60_000].repeat(200) {
        let mut stream = connect(&server).await;
        let head = format!(
            "POST /v1/messages/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{{\"messages\":[",
            member.key
        );
        stream.write_all(head.as_bytes()).await.expect("it is taken");
        stalled.push(stream);
    }
    others_are_served(&server, &member).await;
    for mut stream in stalled {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer and an end");
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("UM1017"), "{answer}");
    }
    others_are_served(&server, &member).await;
    let (code, _) = server.stop();
    assert_eq!(code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_do_not_keep_others_from_being_served() {
    bongsu_server::run::raise_file_limit();
    let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let idle = IDLE.min(usize::try_from(allowed).unwrap_or(usize::MAX).saturating_sub(OTHER_FILES));
    assert!(idle >= IDLE_LEAST, "this machine allows {allowed} open files, too few to try");
    if idle < IDLE {
        eprintln!("only {idle} connections instead of {IDLE}: this machine allows {allowed} open files");
    }
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &[("BONGSU__LIMITS__FIRST_BYTE_MS", "60000")]);
    let member = server.member(1_000).await;
    let mut connections = Vec::with_capacity(idle);
    for _ in 0..idle {
        connections.push(connect(&server).await);
    }
    let open = bongsu_testkit::until("all connections are open", || async {
        let page = server.call("", "GET", "/metrics", serde_json::Value::Null).await.text;
        let line = page.lines().find_map(|line| line.strip_prefix("bongsu_sockets{protocol=\"http\"} "))?;
        line.parse::<usize>().ok().filter(|open| *open >= idle)
    })
    .await;
    assert!(open >= idle);
    others_are_served(&server, &member).await;
    // They were only idle: each of them still works.
    let mut one = connections.swap_remove(idle / 2);
    one.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("write");
    let mut answer = String::new();
    one.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}
