//! A connection to a Redis server that is held up in the background, so that no call ever waits for a connect.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bongsu_domain::{Clock, Timestamp};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind,
    RedisError, RedisResult, ServerErrorKind,
};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::counter::Counter;
use crate::{OpenError, PREFIX_MAX, RedisConfig};

/// How long a connect may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// The pause after the first failed connect; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A connection that lived so long is replaced at once; one that did not is replaced after the next pause, so that a
/// server which fails right after each connect is not stormed.
const STEADY: Duration = Duration::from_secs(1);
/// Calls that wait to be written; more wait for these within their own time.
const WAITING_MAX: usize = 1024;

/// What a connection does with a message that nobody asked for; it must not block.
pub(crate) type OnPush = Arc<dyn Fn(PushInfo) + Send + Sync>;

/// Holds at most one connection that calls may use. Without one the circuit is open: calls fail at once.
pub(crate) struct Link {
    client: Client,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    cut: Notify,
    pub(crate) connects: Counter,
    pub(crate) failures: Counter,
    pub(crate) timeouts: Counter,
}

struct State {
    connection: Option<MultiplexedConnection>,
    /// Tells connections apart: what is reported of an older one does not end the present one.
    generation: u64,
    admitted: Instant,
    pause: Duration,
    status: Status,
}

/// How the link is.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    pub(crate) up: bool,
    pub(crate) since: Timestamp,
    pub(crate) last_error: Option<String>,
}

/// A connection with its generation.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) connection: MultiplexedConnection,
    generation: u64,
}

/// The server did not answer as it should; the link knows why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoAnswer;

impl Link {
    pub(crate) fn new(config: &RedisConfig, clock: Arc<dyn Clock>) -> Result<Link, OpenError> {
        if config.prefix.len() > PREFIX_MAX {
            return Err(OpenError::Prefix);
        }
        let client = client(config.url.expose()).map_err(|error| OpenError::Address(describe(&error)))?;
        let status = Status { up: false, since: clock.now(), last_error: None };
        let state = State { connection: None, generation: 0, admitted: Instant::now(), pause: Duration::ZERO, status };
        Ok(Link {
            client,
            clock,
            state: Mutex::new(state),
            cut: Notify::new(),
            connects: Counter::default(),
            failures: Counter::default(),
            timeouts: Counter::default(),
        })
    }

    /// Connects, however often that takes. Nobody else uses the connection before it is [admitted](Self::admit), so its
    /// owner can bring the server up to date first.
    pub(crate) async fn connect(self: &Arc<Self>, on_push: Option<OnPush>) -> Held {
        loop {
            let (pause, generation) = self.next_try();
            tokio::time::sleep(pause).await;
            let options = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(CONNECT_WITHIN))
                .set_response_timeout(None)
                .set_pipeline_buffer_size(WAITING_MAX)
                .set_push_sender(listener(Arc::downgrade(self), generation, on_push.clone()));
            match self.client.get_multiplexed_async_connection_with_config(&options).await {
                Ok(connection) => {
                    self.connects.add(1);
                    return Held { connection, generation };
                }
                Err(error) => self.lock().status.last_error = Some(describe(&error)),
            }
        }
    }

    fn next_try(&self) -> (Duration, u64) {
        let mut state = self.lock();
        let pause = state.pause;
        state.pause = (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        state.generation += 1;
        (pause, state.generation)
    }

    /// Lets calls use a connection.
    pub(crate) fn admit(&self, held: Held) {
        let now = self.clock.now();
        let mut state = self.lock();
        state.connection = Some(held.connection);
        state.admitted = Instant::now();
        (state.status.up, state.status.since) = (true, now);
    }

    /// Asks the connection that is held, if there is one. An answer that does not come within `patience` ends it.
    pub(crate) async fn call<T, F>(
        &self,
        patience: Duration,
        ask: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<T, NoAnswer>
    where
        F: Future<Output = RedisResult<T>>,
    {
        match self.held() {
            Some(held) => self.call_on(held, patience, ask).await,
            None => Err(NoAnswer),
        }
    }

    /// Asks over a connection that may not be admitted yet.
    pub(crate) async fn call_on<T, F>(
        &self,
        held: Held,
        patience: Duration,
        ask: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<T, NoAnswer>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let Held { connection, generation } = held;
        match tokio::time::timeout(patience, ask(connection)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if ends_connection(&error) => self.lose(generation, describe(&error)),
            Ok(Err(error)) => self.lock().status.last_error = Some(describe(&error)),
            Err(_) => {
                self.timeouts.add(1);
                self.lose(generation, format!("no answer within {patience:?}"));
            }
        }
        self.failures.add(1);
        Err(NoAnswer)
    }

    /// Gives the present connection up, for a reason that only its owner can see.
    pub(crate) fn give_up(&self, why: &str) {
        let generation = self.lock().generation;
        self.lose(generation, why.to_owned());
    }

    /// Waits until no connection is held.
    pub(crate) async fn was_cut(&self) {
        while self.held().is_some() {
            self.cut.notified().await;
        }
    }

    /// Ends the connection with the last owner's call.
    pub(crate) fn close(&self) {
        self.give_up("closed");
    }

    pub(crate) fn status(&self) -> Status {
        self.lock().status.clone()
    }

    pub(crate) fn held(&self) -> Option<Held> {
        let state = self.lock();
        let connection = state.connection.clone()?;
        Some(Held { connection, generation: state.generation })
    }

    fn lose(&self, generation: u64, why: String) {
        let now = self.clock.now();
        let mut state = self.lock();
        if state.generation != generation {
            return;
        }
        state.status.last_error = Some(why);
        if state.connection.take().is_some() {
            (state.status.up, state.status.since) = (false, now);
            if state.admitted.elapsed() >= STEADY {
                state.pause = Duration::ZERO;
            }
            self.cut.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// RESP3, because it tells of a cut at once, and carries messages and answers over one connection. Small writes are sent
/// at once: a call is a small write and somebody waits for it.
fn client(url: &str) -> RedisResult<Client> {
    let info = url.into_connection_info()?;
    if matches!(info.addr(), ConnectionAddr::TcpTls { insecure: true, .. }) {
        return Err((ErrorKind::InvalidClientConfig, "TLS without a check of the certificate is not supported").into());
    }
    let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    Client::open(info.set_redis_settings(redis).set_tcp_settings(tcp))
}

fn listener(
    link: Weak<Link>,
    generation: u64,
    on_push: Option<OnPush>,
) -> impl Fn(PushInfo) -> Result<(), RedisError> + Send + Sync + 'static {
    move |push| {
        let Some(link) = link.upgrade() else { return Ok(()) };
        if push.kind == PushKind::Disconnection {
            link.lose(generation, "the connection was cut".to_owned());
        } else if let Some(on_push) = &on_push
            && link.lock().generation == generation
        {
            // What an older connection still has to say would come twice, or too late.
            on_push(push);
        }
        Ok(())
    }
}

/// Whether another connection may do better: this one is broken, or its server is not the one to ask.
fn ends_connection(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly, TryAgain};
    match error.kind() {
        ErrorKind::Server(kind) => matches!(kind, BusyLoading | ClusterDown | MasterDown | ReadOnly | TryAgain),
        ErrorKind::Extension | ErrorKind::UnexpectedReturnType => false,
        _ => true,
    }
}

/// What may be shown of an error: a server's own words may repeat keys and values.
fn describe(error: &RedisError) -> String {
    match (error.kind(), error.code()) {
        (ErrorKind::Server(_) | ErrorKind::Extension, Some(code)) => format!("the server answered {code}"),
        (ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::UnexpectedReturnType, _) => {
            format!("the server answered something else: {}", error.category())
        }
        _ => error.to_string(),
    }
}
