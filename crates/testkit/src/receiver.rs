//! An endpoint of a customer: takes calls, answers as it is told, and remembers both.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bongsu_domain::{Clock, Timestamp};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// One call as it came.
#[derive(Debug, Clone)]
pub struct Call {
    /// When, by the world's clock.
    pub at: Timestamp,
    /// Path and query.
    pub path: String,
    /// Headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Vec<u8>,
}

impl Call {
    /// The body as JSON.
    ///
    /// # Panics
    /// It is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a body of JSON")
    }

    /// A header as text, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The `webhook-id`.
    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    /// The type in the body.
    pub fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap_or_default().to_owned()
    }
}

/// How a call is answered.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: &'static str,
    /// The body goes on for ever.
    pub endless: bool,
    /// Not before the receiver is let go.
    pub held: bool,
}

impl Answer {
    /// An answer of this status without anything else.
    pub fn of(status: u16) -> Self {
        Self { status, ..Self::default() }
    }
}

type Script = dyn Fn(&Call) -> Answer + Send + Sync;

struct State {
    calls: Mutex<Vec<Call>>,
    script: Mutex<Box<Script>>,
    held: watch::Sender<bool>,
    clock: Arc<dyn Clock>,
}

/// An endpoint on a free port of this machine.
pub struct Receiver {
    address: SocketAddr,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// Starts one that answers 204.
    ///
    /// # Panics
    /// No port is free.
    pub async fn start(clock: Arc<dyn Clock>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(State {
            calls: Mutex::default(),
            script: Mutex::new(Box::new(|_| Answer::of(204))),
            held: watch::channel(true).0,
            clock,
        });
        let task = tokio::spawn(serve(listener, state.clone()));
        Self { address, state, task }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// From now on it answers like this.
    pub fn script(&self, script: impl Fn(&Call) -> Answer + Send + Sync + 'static) {
        *self.state.script.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(script);
    }

    /// From now on it answers with this status.
    pub fn status(&self, status: u16) {
        self.script(move |_| Answer::of(status));
    }

    /// Lets all answers go that were held.
    pub fn let_go(&self) {
        self.state.held.send_replace(false);
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.state.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| answer(state.clone(), request));
            // A client that goes away is its own matter.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Text>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
    let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let call = Call { at: state.clock.now(), path, headers: parts.headers, body };
    let answer = {
        let script = state.script.lock().unwrap_or_else(PoisonError::into_inner);
        script(&call)
    };
    state.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    if answer.held {
        // A receiver that is gone lets everything go.
        let _ = state.held.subscribe().wait_for(|held| !held).await;
    }
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(*name, value);
    }
    let text = Text { first: Some(Bytes::from_static(answer.body.as_bytes())), endless: answer.endless };
    Ok(response.body(text).expect("a script answers with headers"))
}

/// A body that may have no end.
struct Text {
    first: Option<Bytes>,
    endless: bool,
}

impl Body for Text {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.first.take().filter(|first| !first.is_empty()) {
            Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
            None if self.endless => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}
